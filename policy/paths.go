// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"path"
	"slices"
	"strings"
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

// components splits a clean absolute path; "/" has none.
func components(p string) []string {
	if p == "/" {
		return nil
	}
	return strings.Split(p[1:], "/")
}

// within reports whether the clean path p is at or below the pattern.
func within(p, pattern string) bool {
	have, want := components(p), components(pattern)
	return len(have) >= len(want) && matchComponents(have[:len(want)], want)
}

// contains reports whether the clean path p is a directory above the pattern.
func contains(p, pattern string) bool {
	have, want := components(p), components(pattern)
	return len(have) < len(want) && matchComponents(have, want[:len(have)])
}

func matchComponents(have, want []string) bool {
	for i := range want {
		if want[i] != "*" && want[i] != have[i] {
			return false
		}
	}
	return true
}

// guarded is the set of patterns that the paths of one input are held against.
type guarded struct {
	protected, writeProtected []string
}

func newGuarded(in Input) guarded {
	var g guarded
	g.protected = ProtectedPaths(in.Homes)
	g.writeProtected = slices.Clone(hostWriteProtected)
	for _, home := range slices.Concat(in.Homes, homePatterns) {
		home, ok := cleanAbs(home)
		if !ok {
			continue
		}
		for _, name := range homeProtected {
			g.protected = append(g.protected, path.Join(home, name))
		}
		for _, name := range homeWriteProtected {
			g.writeProtected = append(g.writeProtected, path.Join(home, name))
		}
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
			g.protected = append(g.protected, p)
		}
	}
	return g
}

// hit returns which of the patterns p must not be mounted for, and whether p
// only contains them.
func hit(p string, patterns []string) (which []string, above bool) {
	if p == "/" {
		return []string{"/"}, false
	}
	for _, e := range hostExcepted {
		if within(p, e) && p != e {
			patterns = slices.DeleteFunc(slices.Clone(patterns), func(g string) bool { return contains(g, e) })
		}
	}
	for _, g := range patterns {
		// "/" as a pattern would deny everything; the file system as a whole is
		// dealt with above.
		if g != "/" && within(p, g) {
			return []string{g}, false
		}
	}
	for _, g := range patterns {
		if contains(p, g) && !slices.Contains(which, g) {
			which = append(which, g)
		}
	}
	return which, true
}
