// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"path"
	"slices"
	"strings"
	"sync"
)

// hostProtected are host paths that no sandbox may see, neither they nor what
// is below them nor a directory that contains them. "*" stands for one name.
var hostProtected = []string{
	// The host itself: its accounts, secrets, kernel and hardware.
	"/etc", "/proc", "/sys", "/dev", "/boot", "/efi", "/private/etc",
	// Runtime state: sockets of engines, of init, of the session and of agents
	// for keys. Removable disks below /run/media are excepted.
	"/run", "/var/run", "/private/var/run", "/tmp/.X11-unix",
	// What engines and orchestrators keep. Whoever writes there is root on the
	// host or in the next sandbox.
	"/var/lib/docker", "/var/lib/docker-engine", "/var/lib/containers", "/var/lib/containerd", "/var/lib/nerdctl",
	"/var/lib/buildkit", "/var/lib/cni", "/var/lib/crio", "/var/lib/kubelet", "/var/lib/rancher", "/var/lib/k0s",
	"/var/lib/etcd", "/var/lib/lxc", "/var/lib/lxd", "/var/lib/incus", "/var/lib/machines", "/var/lib/libvirt",
	"/var/lib/berth", "/var/snap/docker", "/var/snap/microk8s", "/var/snap/lxd",
	// What runs as root on its own.
	"/var/spool/cron",
}

// hostExcepted are paths below hostProtected that hold users' own files.
var hostExcepted = []string{"/run/media"}

// homeProtected are names in a home directory that hold keys, passwords,
// sessions or the store of an engine.
var homeProtected = []string{
	".ssh", ".gnupg", ".pki", ".password-store", ".netrc", ".git-credentials", ".vault-token",
	".aws", ".azure", ".oci", ".kube", ".minikube", ".docker", ".boto", ".s3cfg", ".terraform.d",
	".npmrc", ".yarnrc.yml", ".pypirc", ".pgpass", ".my.cnf", ".cargo/credentials", ".cargo/credentials.toml",
	".gem/credentials", ".m2/settings.xml", ".m2/settings-security.xml", ".gradle/gradle.properties",
	".composer/auth.json", ".config/composer/auth.json",
	".config/gcloud", ".config/gh", ".config/glab-cli", ".config/hub", ".config/containers", ".config/doctl",
	".config/git/credentials", ".config/helm", ".config/op", ".config/rclone", ".config/sops", ".config/age",
	".config/berth", ".config/openstack",
	".mozilla", ".thunderbird", ".config/google-chrome", ".config/chromium", ".config/BraveSoftware",
	".local/share/keyrings", ".local/share/kwalletd", ".local/share/containers", ".local/share/docker",
	".local/share/containerd", ".local/share/nerdctl", ".local/share/buildkit", ".local/share/berth",
	".local/state/berth", ".lima", ".colima", ".rd",
	"Library/Keychains", "Library/Cookies", "Library/Application Support/Google/Chrome",
}

// hostWriteProtected are host paths that a sandbox may read but not write: the
// host runs what is there.
var hostWriteProtected = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store", "/snap",
	"/var/lib/dpkg", "/var/lib/rpm", "/var/lib/systemd", "/var/spool", "/var/log",
	"/System", "/Library", "/Applications",
}

// homeWriteProtected are names in a home directory that the caller's shell,
// session or git executes.
var homeWriteProtected = []string{
	".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".profile",
	".zshrc", ".zshenv", ".zprofile", ".zlogin", ".zlogout", ".kshrc", ".inputrc", ".config/fish",
	".xprofile", ".xinitrc", ".xsession", ".xsessionrc", ".config/autostart", ".config/systemd",
	".config/environment.d", ".local/share/systemd", ".local/bin", ".gitconfig", ".config/git",
}

// homePatterns are where home directories of others are.
var homePatterns = []string{"/root", "/home/*", "/var/home/*", "/Users/*"}

// ProtectedPaths lists the absolute paths that are always denied for callers
// with these home directories, patterns left out. A resolver follows the ones
// that are symbolic links on its machine and adds where they lead to
// [Input].Protected, so that /data/docker is denied where /var/lib/docker points
// to it.
func ProtectedPaths(homes []string) []string {
	out := slices.Clone(hostProtected)
	for _, home := range homes {
		if home, ok := cleanAbs(home); ok {
			for _, name := range homeProtected {
				out = append(out, path.Join(home, name))
			}
		}
	}
	return out
}

// cleanAbs returns p without needless slashes, "." and "..", when p is absolute
// and can be a path at all.
func cleanAbs(p string) (string, bool) {
	if !strings.HasPrefix(p, "/") || strings.ContainsRune(p, 0) {
		return "", false
	}
	return path.Clean(p), true
}

// hasDotDot reports whether p has a ".." component, which only the file system
// itself can resolve.
func hasDotDot(p string) bool { return slices.Contains(strings.Split(p, "/"), "..") }

// pattern is a clean absolute path in its components, of which "*" stands for
// any one; "/" has none.
type pattern struct {
	text  string
	parts []string
}

func newPattern(clean string) pattern { return pattern{clean, components(clean)} }

// components splits a clean absolute path.
func components(p string) []string {
	if p == "/" {
		return nil
	}
	return strings.Split(p[1:], "/")
}

// holds reports whether a path with these components is at or below p.
func (p pattern) holds(parts []string) bool {
	return len(parts) >= len(p.parts) && p.agrees(parts, len(p.parts))
}

// inside reports whether a path with these components is a directory above p.
func (p pattern) inside(parts []string) bool {
	return len(parts) < len(p.parts) && p.agrees(parts, len(parts))
}

func (p pattern) agrees(parts []string, n int) bool {
	for i, want := range p.parts[:n] {
		if want != "*" && want != parts[i] {
			return false
		}
	}
	return true
}

// guarded is the set of patterns that the paths of one input are held against.
type guarded struct {
	protected, writeProtected []pattern
}

// add guards a home directory.
func (g *guarded) add(home string) {
	home, ok := cleanAbs(home)
	if !ok {
		return
	}
	for _, name := range homeProtected {
		g.protected = append(g.protected, newPattern(path.Join(home, name)))
	}
	for _, name := range homeWriteProtected {
		g.writeProtected = append(g.writeProtected, newPattern(path.Join(home, name)))
	}
}

// guardedHost is what is guarded for every caller.
var guardedHost = sync.OnceValue(func() guarded {
	var g guarded
	for _, p := range hostProtected {
		g.protected = append(g.protected, newPattern(p))
	}
	for _, p := range hostWriteProtected {
		g.writeProtected = append(g.writeProtected, newPattern(p))
	}
	for _, home := range homePatterns {
		g.add(home)
	}
	return g
})

func newGuarded(in Input) guarded {
	// The caller's own places come first, because messages name them.
	var g guarded
	for _, home := range in.Homes {
		g.add(home)
	}
	further := slices.Clone(in.Protected)
	if in.Info != nil {
		// The engine in use may listen anywhere.
		if _, socket, ok := strings.Cut(in.Info.Host, "unix://"); ok {
			further = append(further, socket)
		}
	}
	for _, p := range further {
		if p, ok := cleanAbs(p); ok {
			g.protected = append(g.protected, newPattern(p))
		}
	}
	host := guardedHost()
	return guarded{slices.Concat(g.protected, host.protected), slices.Concat(g.writeProtected, host.writeProtected)}
}

// hit returns which of the patterns p must not be mounted for, and whether p
// only contains them.
func hit(p string, patterns []pattern) (which []string, above bool) {
	if p == "/" {
		return []string{"/"}, false
	}
	parts := components(p)
	excepted := func(g pattern) bool {
		return slices.ContainsFunc(hostExcepted, func(e string) bool {
			return strings.HasPrefix(p, e+"/") && strings.HasPrefix(e, g.text+"/")
		})
	}
	for _, g := range patterns {
		// "/" as a pattern would deny everything; the file system as a whole is
		// dealt with above.
		if len(g.parts) > 0 && g.holds(parts) && !excepted(g) {
			return []string{g.text}, false
		}
	}
	for _, g := range patterns {
		if g.inside(parts) && !slices.Contains(which, g.text) {
			which = append(which, g.text)
		}
	}
	return which, true
}
