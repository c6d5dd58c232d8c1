// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/policy"
	"github.com/berthrun/berth/spec"
)

const home = "/home/ann"

// base is an input that every rule of every profile is content with, but for
// those that a case states.
func base() policy.Input {
	s := &spec.Sandbox{
		Image:   spec.Image{Ref: "docker.io/library/debian:12"},
		User:    spec.User{As: "1000"},
		Network: spec.Network{Mode: spec.NetNone},
		Resources: spec.Resources{
			CPUs: 2000, Memory: spec.GiB, Pids: 256,
		},
		Security: spec.Security{
			ReadOnlyRoot: true,
			Capabilities: spec.Capabilities{Drop: []string{"ALL"}},
		},
	}
	info := &backend.Info{Driver: "fake", Engine: "fake", Host: "unix:///srv/engine/fake.sock", Claims: map[backend.Capability]backend.Claim{
		backend.NetHostAccess: {Support: backend.Native, Mechanism: "fake", Fact: "fake"},
	}}
	return policy.Input{
		Spec:      s,
		Homes:     []string{home, "/var/people/ann"},
		Protected: []string{"/opt/berth-state"},
		Identity:  &backend.Identity{Mode: "number", UID: 1000, HostUID: 1000},
		Info:      info,
	}
}

// planned adds a ledger in which every set field is exact.
func planned(in policy.Input) policy.Input {
	s := spec.Clone(in.Spec)
	spec.Default(s)
	in.Plan = &backend.Plan{Driver: "fake"}
	for _, f := range spec.SetFields(s) {
		in.Plan.Mappings = append(in.Plan.Mappings, backend.Mapping{Field: f, Fidelity: backend.Exact, Native: "x"})
	}
	return in
}

// bind adds a bind that resolves to real.
func bind(in *policy.Input, asked, actual string, mode spec.MountMode, kind policy.PathKind) {
	field := spec.Path("mounts").Index(len(in.Spec.Mounts))
	in.Spec.Mounts = append(in.Spec.Mounts, spec.Mount{Type: spec.MountBind, Source: asked, Target: "/m" + string(rune('a'+len(in.Spec.Mounts))), Mode: mode})
	in.Paths = append(in.Paths, policy.ResolvedPath{Field: field, Asked: asked, Resolved: actual, Kind: kind})
}

func dir(path string) func(*policy.Input) {
	return func(in *policy.Input) { bind(in, path, path, spec.ModeRO, policy.KindDir) }
}

func writable(path string) func(*policy.Input) {
	return func(in *policy.Input) { bind(in, path, path, spec.ModeRW, policy.KindDir) }
}

func link(asked, actual string) func(*policy.Input) {
	return func(in *policy.Input) { bind(in, asked, actual, spec.ModeRO, policy.KindDir) }
}

func kind(path string, k policy.PathKind) func(*policy.Input) {
	return func(in *policy.Input) { bind(in, path, path, spec.ModeRO, k) }
}

func overlay(source, upper string) func(*policy.Input) {
	return func(in *policy.Input) {
		bind(in, source, source, spec.ModeOverlay, policy.KindDir)
		last := len(in.Spec.Mounts) - 1
		in.Spec.Mounts[last].Upper = upper
		in.Paths = append(in.Paths, policy.ResolvedPath{Field: spec.Path("mounts").Index(last).Field("upper"), Asked: upper, Resolved: upper, Kind: policy.KindDir})
	}
}

func remote(path string) func(*policy.Input) {
	return func(in *policy.Input) {
		bind(in, path, path, spec.ModeRO, policy.KindUnknown)
		in.Paths[len(in.Paths)-1].Remote = true
	}
}

func port(p spec.Port) func(*policy.Input) {
	return func(in *policy.Input) { in.Spec.Binding.Ports = append(in.Spec.Binding.Ports, p) }
}

func seccomp(path string) func(*policy.Input) {
	return func(in *policy.Input) {
		in.Spec.Security.Seccomp = path
		in.Paths = append(in.Paths, policy.ResolvedPath{Field: "security.seccomp", Asked: path, Resolved: path, Kind: policy.KindFile})
	}
}

func device(path, actual string) func(*policy.Input) {
	return func(in *policy.Input) {
		in.Spec.Security.Devices = append(in.Spec.Security.Devices, path)
		if host, _, _ := strings.Cut(path, ":"); strings.HasPrefix(path, "/") {
			in.Paths = append(in.Paths, policy.ResolvedPath{Field: "security.devices[0]", Asked: host, Resolved: actual, Kind: policy.KindDevice})
		}
	}
}

func edit(f func(s *spec.Sandbox)) func(*policy.Input) {
	return func(in *policy.Input) { f(in.Spec) }
}

func both(fs ...func(*policy.Input)) func(*policy.Input) {
	return func(in *policy.Input) {
		for _, f := range fs {
			f(in)
		}
	}
}

func profile(t *testing.T, name spec.Profile) *policy.Policy {
	t.Helper()
	p, err := policy.Profile(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func define(t *testing.T, r policy.Rules) *policy.Policy {
	t.Helper()
	p, err := policy.New(policy.Definition{Name: "own", Rules: r})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ruleCase is one input for one rule. Without rules of its own the profile
// states it; built-in rules need none.
type ruleCase struct {
	rule    string
	name    string
	profile spec.Profile
	rules   policy.Rules
	change  func(*policy.Input)
	// deny is the path of the violation; "-" for one without path, "" for none.
	deny spec.Path
	// pending says that the rule cannot be decided.
	pending bool
	// unplanned leaves the ledger out.
	unplanned bool
}

func mounts(r policy.MountRules) policy.Rules       { return policy.Rules{Mounts: r} }
func network(r policy.NetworkRules) policy.Rules    { return policy.Rules{Network: r} }
func securityR(r policy.SecurityRules) policy.Rules { return policy.Rules{Security: r} }
func resources(r policy.ResourceRules) policy.Rules { return policy.Rules{Resources: r} }
func caps(add, drop []string) policy.Rules {
	return policy.Rules{Capabilities: policy.CapabilityRules{Add: add, Drop: drop}}
}
func images(allow ...string) policy.Rules {
	return policy.Rules{Images: policy.ImageRules{Allow: allow}}
}
func addresses(list ...string) policy.Rules {
	return policy.Rules{Binding: policy.BindingRules{Addresses: list}}
}
func fidelity(m map[string]backend.Fidelity) policy.Rules { return policy.Rules{Fidelity: m} }

const (
	std  = spec.ProfileStandard
	hard = spec.ProfileHardened
	oh   = spec.ProfileOpenHandsCompat
)

var ruleCases = []ruleCase{
	{rule: "spec.known", name: "plain"},
	{rule: "spec.known", name: "no spec", change: func(in *policy.Input) { in.Spec = nil }, deny: "-", unplanned: true},
	{rule: "spec.known", name: "unknown profile", change: edit(func(s *spec.Sandbox) { s.Security.Profile = "lax" }), deny: "security.profile"},
	{rule: "spec.known", name: "unknown network mode", change: edit(func(s *spec.Sandbox) { s.Network.Mode = "bridge" }), deny: "network.mode"},
	{rule: "spec.known", name: "wrong case", change: edit(func(s *spec.Sandbox) { s.Network.Mode = "None" }), deny: "network.mode"},
	{rule: "spec.known", name: "unknown mount type", change: edit(func(s *spec.Sandbox) { s.Mounts = []spec.Mount{{Type: "npipe", Source: "x", Target: "/x"}} }), deny: "mounts[0]"},
	{rule: "spec.known", name: "volume with a path", change: edit(func(s *spec.Sandbox) {
		s.Mounts = []spec.Mount{{Type: spec.MountVolume, Source: "/etc", Target: "/x"}}
	}), deny: "mounts[0]"},
	{rule: "spec.known", name: "tmpfs with a path", change: edit(func(s *spec.Sandbox) {
		s.Mounts = []spec.Mount{{Type: spec.MountTmpfs, Source: "../etc", Target: "/x"}}
	}), deny: "mounts[0]"},
	{rule: "spec.known", name: "overlay of a volume", change: edit(func(s *spec.Sandbox) {
		s.Mounts = []spec.Mount{{Type: spec.MountVolume, Source: "v", Target: "/x", Mode: spec.ModeOverlay}}
	}), deny: "mounts[0].mode"},
	{rule: "spec.known", name: "unknown mode", change: func(in *policy.Input) { bind(in, "/srv/a", "/srv/a", "rwx", policy.KindDir) }, deny: "mounts[0].mode"},

	{rule: "mounts.resolved", name: "resolved", change: dir("/srv/a")},
	{rule: "mounts.resolved", name: "link", change: link("/srv/a", "/srv/b")},
	{rule: "mounts.resolved", name: "source already replaced", change: func(in *policy.Input) {
		bind(in, "/srv/a", "/srv/b", spec.ModeRO, policy.KindDir)
		in.Spec.Mounts[0].Source = "/srv/b"
	}},
	{rule: "mounts.resolved", name: "untidy", change: link("//srv/./a/", "/srv/a/")},
	{rule: "mounts.resolved", name: "dots in what was asked", change: link("/srv/x/../a", "/srv/a")},
	{rule: "mounts.resolved", name: "upper to be made", change: func(in *policy.Input) {
		overlay("/srv/a", "/srv/up")(in)
		in.Paths[1].Kind = policy.KindMissing
	}},
	{rule: "mounts.resolved", name: "remote", change: remote("/srv/a")},
	{rule: "mounts.resolved", name: "not looked up", change: edit(func(s *spec.Sandbox) {
		s.Mounts = []spec.Mount{{Type: spec.MountBind, Source: "/srv/a", Target: "/x"}}
	}), deny: "mounts[0]"},
	{rule: "mounts.resolved", name: "upper not looked up", change: func(in *policy.Input) {
		overlay("/srv/a", "/srv/up")(in)
		in.Paths = in.Paths[:1]
	}, deny: "mounts[0].upper"},
	{rule: "mounts.resolved", name: "seccomp profile not looked up", change: edit(func(s *spec.Sandbox) { s.Security.Seccomp = "/srv/p.json" }), deny: "security.seccomp"},
	{rule: "mounts.resolved", name: "device not looked up", change: edit(func(s *spec.Sandbox) { s.Security.Devices = []string{"/dev/kvm"} }), deny: "security.devices[0]"},
	{rule: "mounts.resolved", name: "untyped bind not looked up", change: edit(func(s *spec.Sandbox) { s.Mounts = []spec.Mount{{Source: "/srv/a", Target: "/x"}} }), deny: "mounts[0]"},
	{rule: "mounts.resolved", name: "another path looked up", change: func(in *policy.Input) {
		dir("/srv/a")(in)
		in.Spec.Mounts[0].Source = "/srv/c"
	}, deny: "mounts[0]"},
	{rule: "mounts.resolved", name: "one of two answers is another path", change: func(in *policy.Input) {
		dir("/srv/a")(in)
		in.Paths = append(in.Paths, policy.ResolvedPath{Field: "mounts[0]", Asked: "/srv/c", Resolved: "/srv/c", Kind: policy.KindDir})
	}, deny: "mounts[0]"},
	{rule: "mounts.resolved", name: "relative", change: link("srv/a", "/srv/a"), deny: "mounts[0]"},
	{rule: "mounts.resolved", name: "resolved to something relative", change: link("/srv/a", "srv/a"), deny: "mounts[0]"},
	{rule: "mounts.resolved", name: "resolved with dots", change: link("/srv/a", "/srv/b/../a"), deny: "mounts[0]"},
	{rule: "mounts.resolved", name: "NUL", change: link("/srv/a\x00b", "/srv/a\x00b"), deny: "mounts[0]"},
	{rule: "mounts.resolved", name: "missing", change: kind("/srv/a", policy.KindMissing), deny: "mounts[0]"},
	{rule: "mounts.resolved", name: "kind not known", change: kind("/srv/a", policy.KindUnknown), deny: "mounts[0]"},
	{rule: "mounts.resolved", name: "kind of nonsense", change: kind("/srv/a", "whiteout"), deny: "mounts[0]"},
	{rule: "mounts.resolved", name: "upper is a file", change: func(in *policy.Input) {
		overlay("/srv/a", "/srv/up")(in)
		in.Paths[1].Kind = policy.KindFile
	}, deny: "mounts[0].upper"},
	{rule: "mounts.resolved", name: "profile is a directory", change: func(in *policy.Input) {
		seccomp("/srv/p.json")(in)
		in.Paths[0].Kind = policy.KindDir
	}, deny: "security.seccomp"},
	{rule: "mounts.resolved", name: "device is a directory", change: func(in *policy.Input) {
		device("/dev/dri", "/dev/dri")(in)
		in.Paths[0].Kind = policy.KindDir
	}, deny: "security.devices[0]"},

	{rule: "mounts.protected", name: "project", change: dir(home + "/project")},
	{rule: "mounts.protected", name: "project with a similar name", change: dir(home + "/.sshfs")},
	{rule: "mounts.protected", name: "beside etc", change: dir("/etcetera")},
	{rule: "mounts.protected", name: "other case", change: dir("/ETC")},
	{rule: "mounts.protected", name: "documents", change: dir("/usr/share/doc")},
	{rule: "mounts.protected", name: "temporary directory", change: dir("/tmp/x")},
	{rule: "mounts.protected", name: "removable disk", change: dir("/run/media/ann/disk")},
	{rule: "mounts.protected", name: "workspace below var", change: dir("/var/lib/jenkins/workspace")},
	{rule: "mounts.protected", name: "root", change: dir("/"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "root, written otherwise", change: dir("///."), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "etc", change: dir("/etc"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "etc, untidy", change: dir("//etc//"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "etc with dots", change: link("/srv/../etc", "/etc"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "below etc", change: kind("/etc/shadow", policy.KindFile), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "proc", change: dir("/proc/1/root"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "sys", change: dir("/sys"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "dev", change: dir("/dev"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "boot", change: dir("/boot/efi"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "docker socket", change: kind("/var/run/docker.sock", policy.KindSocket), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "link to the docker socket", change: func(in *policy.Input) {
		bind(in, home+"/project/innocent", "/run/docker.sock", spec.ModeRO, policy.KindSocket)
	}, deny: "mounts[0]"},
	{rule: "mounts.protected", name: "link to ssh", change: link(home+"/project/keys", home+"/.ssh"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "link out of etc", change: link("/etc/app", "/srv/app"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "directory of sockets", change: dir("/run/containerd"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "session directory", change: dir("/run/user/1000"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "run", change: dir("/run"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "mount point of disks", change: dir("/run/media"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "docker's data", change: dir("/var/lib/docker/volumes/x/_data"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "containers' data", change: dir("/var/lib/containers"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "containerd's data", change: dir("/var/lib/containerd"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "above docker's data", change: dir("/var"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "right above docker's data", change: dir("/var/lib"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "home", change: dir(home), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "home, the other spelling", change: dir("/var/people/ann"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "all homes", change: dir("/home"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "home of another", change: dir("/home/bob"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "keys of another", change: dir("/home/bob/.gnupg/private"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "root's keys", change: dir("/root/.ssh"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "root's project", change: dir("/root/project")},
	{rule: "mounts.protected", name: "aws", change: dir(home + "/.aws"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "kube", change: kind(home+"/.kube/config", policy.KindFile), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "docker's login", change: kind(home+"/.docker/config.json", policy.KindFile), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "gcloud", change: dir(home + "/.config/gcloud"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "above gh", change: dir(home + "/.config"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "netrc", change: kind(home+"/.netrc", policy.KindFile), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "git credentials", change: kind(home+"/.git-credentials", policy.KindFile), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "berth's state", change: dir("/opt/berth-state/overlays"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "the engine's socket", change: kind("/srv/engine/fake.sock", policy.KindSocket), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "directory of the engine's socket", change: dir("/srv/engine"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "upper directory", change: overlay("/srv/a", "/var/lib/docker/x"), deny: "mounts[0].upper"},
	{rule: "mounts.protected", name: "remote", change: remote("/etc"), deny: "mounts[0]"},
	{rule: "mounts.protected", name: "one of two answers", change: func(in *policy.Input) {
		dir("/srv/a")(in)
		in.Paths = append(in.Paths, policy.ResolvedPath{Field: "mounts[0]", Asked: "/srv/a", Resolved: "/etc", Kind: policy.KindDir})
	}, deny: "mounts[0]"},

	{rule: "mounts.systemWrite", name: "read", change: dir("/usr/share/doc")},
	{rule: "mounts.systemWrite", name: "overlay", change: overlay("/usr/share/doc", "/srv/up")},
	{rule: "mounts.systemWrite", name: "project", change: writable(home + "/project")},
	{rule: "mounts.systemWrite", name: "gitconfig, read", change: kind(home+"/.gitconfig", policy.KindFile)},
	{rule: "mounts.systemWrite", name: "write", change: writable("/usr/local/bin"), deny: "mounts[0]"},
	{rule: "mounts.systemWrite", name: "unknown mode", change: func(in *policy.Input) { bind(in, "/usr", "/usr", "r0", policy.KindDir) }, deny: "mounts[0]"},
	{rule: "mounts.systemWrite", name: "shell's start-up file", change: writable(home + "/.bashrc"), deny: "mounts[0]"},
	{rule: "mounts.systemWrite", name: "git's configuration", change: writable(home + "/.gitconfig"), deny: "mounts[0]"},
	{rule: "mounts.systemWrite", name: "home", change: writable(home), deny: "mounts[0]"},
	{rule: "mounts.systemWrite", name: "upper", change: overlay("/srv/a", "/usr/local/up"), deny: "mounts[0].upper"},

	{rule: "mounts.socket", name: "directory", change: dir("/srv/a")},
	{rule: "mounts.socket", name: "remote directory", change: remote("/srv/a")},
	{rule: "mounts.socket", name: "socket", change: kind("/srv/agent", policy.KindSocket), deny: "mounts[0]"},
	{rule: "mounts.socket", name: "link to a socket", change: func(in *policy.Input) { bind(in, "/srv/a", "/srv/b", spec.ModeRO, policy.KindSocket) }, deny: "mounts[0]"},
	{rule: "mounts.socket", name: "remote, by its name", change: remote("/srv/x/docker.sock"), deny: "mounts[0]"},

	{rule: "mounts.special", name: "file", change: kind("/srv/a", policy.KindFile)},
	{rule: "mounts.special", name: "device", change: kind("/srv/sda", policy.KindDevice), deny: "mounts[0]"},
	{rule: "mounts.special", name: "pipe", change: kind("/srv/pipe", policy.KindFIFO), deny: "mounts[0]"},

	{rule: "network.name", name: "name", change: edit(func(s *spec.Sandbox) { s.Network = spec.Network{Mode: spec.NetNamed, Name: "team_1.x"} })},
	{rule: "network.name", name: "host", change: edit(func(s *spec.Sandbox) { s.Network = spec.Network{Mode: spec.NetNamed, Name: "host"} }), deny: "network.name"},
	{rule: "network.name", name: "Host", change: edit(func(s *spec.Sandbox) { s.Network = spec.Network{Name: "Host"} }), deny: "network.name"},
	{rule: "network.name", name: "another container's", change: edit(func(s *spec.Sandbox) { s.Network = spec.Network{Name: "container:db"} }), deny: "network.name"},
	{rule: "network.name", name: "a namespace", change: edit(func(s *spec.Sandbox) { s.Network = spec.Network{Name: "ns:/proc/1/ns/net"} }), deny: "network.name"},
	{rule: "network.name", name: "additional host", change: edit(func(s *spec.Sandbox) { s.Network.Additional = []spec.Attachment{{Name: "a"}, {Name: "host"}} }), deny: "network.additional[1]"},
	{rule: "network.name", name: "additional without a name", change: edit(func(s *spec.Sandbox) { s.Network.Additional = []spec.Attachment{{}} }), deny: "network.additional[0]"},

	{rule: "security.seccompWritable", name: "elsewhere", change: both(seccomp("/srv/p.json"), writable("/srv/a"))},
	{rule: "security.seccompWritable", name: "read-only", change: both(seccomp("/srv/a/p.json"), func(in *policy.Input) {
		in.Spec.Mounts = []spec.Mount{{Type: spec.MountBind, Source: "/srv/a", Target: "/x", Mode: spec.ModeRO}}
		in.Paths = append(in.Paths, policy.ResolvedPath{Field: "mounts[0]", Asked: "/srv/a", Resolved: "/srv/a", Kind: policy.KindDir})
	})},
	{rule: "security.seccompWritable", name: "similar name", change: both(seccomp("/srv/ab/p.json"), writable("/srv/a"))},
	{rule: "security.seccompWritable", name: "in a writable bind", change: both(seccomp("/srv/a/x/p.json"), writable("/srv/a")), deny: "security.seccomp"},
	{rule: "security.seccompWritable", name: "the bind itself", change: both(seccomp("/srv/p.json"), writable("/srv/p.json")), deny: "security.seccomp"},
	{rule: "security.seccompWritable", name: "in an upper directory", change: both(seccomp("/srv/up/p.json"), overlay("/srv/a", "/srv/up")), deny: "security.seccomp"},
	{rule: "security.seccompWritable", name: "through a link", change: func(in *policy.Input) {
		in.Spec.Security.Seccomp = "/srv/p.json"
		in.Paths = append(in.Paths, policy.ResolvedPath{Field: "security.seccomp", Asked: "/srv/p.json", Resolved: "/data/a/p.json", Kind: policy.KindFile})
		bind(in, "/srv/link", "/data/a", spec.ModeRW, policy.KindDir)
	}, deny: "security.seccomp"},

	{rule: "plan.complete", name: "complete"},
	{rule: "plan.complete", name: "before planning", unplanned: true, pending: true},
	{rule: "plan.complete", name: "line missing", change: func(in *policy.Input) {
		*in = planned(*in)
		in.Plan.Mappings = slices.DeleteFunc(in.Plan.Mappings, func(m backend.Mapping) bool { return m.Field == "resources.memory" })
	}, deny: "resources.memory"},
	{rule: "plan.complete", name: "refused", change: func(in *policy.Input) {
		*in = planned(*in)
		for i := range in.Plan.Mappings {
			if in.Plan.Mappings[i].Field == "resources.pids" {
				in.Plan.Mappings[i] = backend.Mapping{Field: "resources.pids", Fidelity: backend.Refused, Capability: backend.ResPids, Note: "no pids controller"}
			}
		}
	}, deny: "resources.pids"},
	{rule: "plan.complete", name: "ignored", change: func(in *policy.Input) {
		*in = planned(*in)
		in.Plan.Mappings[0].Fidelity = "ignored"
	}, deny: "image.ref"},

	{rule: "unsafe.known", name: "known", change: func(in *policy.Input) { in.Unsafe = []string{"network.modes=host"} }},
	{rule: "unsafe.known", name: "rule that does not exist", change: func(in *policy.Input) { in.Unsafe = []string{"network.mode=host"} }, deny: "-"},
	{rule: "unsafe.known", name: "rule that cannot be lifted", change: func(in *policy.Input) { in.Unsafe = []string{"mounts.resolved=/srv"} }, deny: "-"},
	{rule: "unsafe.known", name: "no subject", change: func(in *policy.Input) { in.Unsafe = []string{"mounts.protected="} }, deny: "-"},
	{rule: "unsafe.known", name: "everything", change: func(in *policy.Input) { in.Unsafe = []string{"*"} }, deny: "-"},

	{rule: "profiles", name: "listed", rules: policy.Rules{Profiles: []spec.Profile{std}}},
	{rule: "profiles", name: "not listed", rules: policy.Rules{Profiles: []spec.Profile{std, hard}}, change: edit(func(s *spec.Sandbox) { s.Security.Profile = oh }), deny: "security.profile"},
	{rule: "profiles", name: "default not listed", rules: policy.Rules{Profiles: []spec.Profile{hard}}, deny: "security.profile"},

	{rule: "images.allow", name: "exact", rules: images("docker.io/library/debian:12")},
	{rule: "images.allow", name: "any tag", rules: images("docker.io/library/debian")},
	{rule: "images.allow", name: "one level", rules: images("docker.io/library/*")},
	{rule: "images.allow", name: "all levels", rules: images("docker.io/**")},
	{rule: "images.allow", name: "digest", rules: images("docker.io/library/debian"), change: edit(func(s *spec.Sandbox) { s.Image.Ref = "docker.io/library/debian@sha256:00" })},
	{rule: "images.allow", name: "registry with a port", rules: images("localhost:5000/*"), change: edit(func(s *spec.Sandbox) { s.Image.Ref = "localhost:5000/x:1" })},
	{rule: "images.allow", name: "host listed", rules: images("docker.io/**", "host"), change: edit(func(s *spec.Sandbox) { s.Image.Ref = "host" })},
	{rule: "images.allow", name: "none", rules: policy.Rules{Images: policy.ImageRules{Allow: []string{}}}, deny: "image.ref"},
	{rule: "images.allow", name: "other tag", rules: images("docker.io/library/debian:11"), deny: "image.ref"},
	{rule: "images.allow", name: "tag for show beside a digest", rules: images("docker.io/library/debian:12"), change: edit(func(s *spec.Sandbox) { s.Image.Ref = "docker.io/library/debian:12@sha256:00" }), deny: "image.ref"},
	{rule: "images.allow", name: "two levels", rules: images("docker.io/*"), deny: "image.ref"},
	{rule: "images.allow", name: "look-alike registry", rules: images("ghcr.io/**"), change: edit(func(s *spec.Sandbox) { s.Image.Ref = "ghcr.io.evil.example/x:1" }), deny: "image.ref"},
	{rule: "images.allow", name: "look-alike name", rules: images("docker.io/library/debian"), change: edit(func(s *spec.Sandbox) { s.Image.Ref = "docker.io/library/debian-evil:12" }), deny: "image.ref"},
	{rule: "images.allow", name: "short", rules: images("**"), change: edit(func(s *spec.Sandbox) { s.Image.Ref = "debian" }), deny: "image.ref"},
	{rule: "images.allow", name: "no tag", rules: images("**"), change: edit(func(s *spec.Sandbox) { s.Image.Ref = "docker.io/library/debian" }), deny: "image.ref"},
	{rule: "images.allow", name: "host not listed", rules: images("**"), change: edit(func(s *spec.Sandbox) { s.Image.Ref = "host" }), deny: "image.ref"},

	{rule: "images.pinned", name: "digest", rules: policy.Rules{Images: policy.ImageRules{Pinned: true}}, change: edit(func(s *spec.Sandbox) { s.Image.Ref = "docker.io/library/debian@sha256:00" })},
	{rule: "images.pinned", name: "host", rules: policy.Rules{Images: policy.ImageRules{Pinned: true}}, change: edit(func(s *spec.Sandbox) { s.Image.Ref = "host" })},
	{rule: "images.pinned", name: "tag", rules: policy.Rules{Images: policy.ImageRules{Pinned: true}}, deny: "image.ref"},

	{rule: "mounts.roots", name: "at the root", rules: mounts(policy.MountRules{Roots: []string{"/opt/work/"}}), change: dir("/opt/work")},
	{rule: "mounts.roots", name: "below the root", rules: mounts(policy.MountRules{Roots: []string{"/opt/work"}}), change: dir("/opt/work/a/b")},
	{rule: "mounts.roots", name: "below home", profile: hard, change: dir(home + "/project")},
	{rule: "mounts.roots", name: "home, the other spelling", rules: mounts(policy.MountRules{Roots: []string{"~/src"}}), change: dir("/var/people/ann/src/x")},
	{rule: "mounts.roots", name: "link into the root", rules: mounts(policy.MountRules{Roots: []string{"/opt/work"}}), change: link("/srv/x", "/opt/work/x")},
	{rule: "mounts.roots", name: "volumes are none of its business", profile: hard, change: edit(func(s *spec.Sandbox) { s.Mounts = []spec.Mount{{Type: spec.MountVolume, Target: "/x"}} })},
	{rule: "mounts.roots", name: "outside", profile: hard, change: dir("/opt/x"), deny: "mounts[0]"},
	{rule: "mounts.roots", name: "similar name", rules: mounts(policy.MountRules{Roots: []string{"/opt/work"}}), change: dir("/opt/workers"), deny: "mounts[0]"},
	{rule: "mounts.roots", name: "above", rules: mounts(policy.MountRules{Roots: []string{"/opt/work"}}), change: dir("/opt"), deny: "mounts[0]"},
	{rule: "mounts.roots", name: "link out of the root", rules: mounts(policy.MountRules{Roots: []string{"/opt/work"}}), change: link("/opt/work/x", "/srv/x"), deny: "mounts[0]"},
	{rule: "mounts.roots", name: "upper outside", rules: mounts(policy.MountRules{Roots: []string{"/opt/work"}}), change: overlay("/opt/work", "/srv/up"), deny: "mounts[0].upper"},
	{rule: "mounts.roots", name: "none", rules: mounts(policy.MountRules{Roots: []string{}}), change: dir("/srv/x"), deny: "mounts[0]"},
	{rule: "mounts.roots", name: "no home", rules: mounts(policy.MountRules{Roots: []string{"~"}}), change: both(dir("/srv/x"), func(in *policy.Input) { in.Homes = nil }), deny: "mounts[0]"},
	{rule: "mounts.roots", name: "home is the root directory", rules: mounts(policy.MountRules{Roots: []string{"~"}}), change: both(dir("/srv/x"), func(in *policy.Input) { in.Homes = []string{"/"} }), deny: "mounts[0]"},

	{rule: "mounts.types", name: "listed", rules: mounts(policy.MountRules{Types: []spec.MountType{spec.MountBind}}), change: dir("/srv/x")},
	{rule: "mounts.types", name: "not listed", rules: mounts(policy.MountRules{Types: []spec.MountType{spec.MountTmpfs}}), change: dir("/srv/x"), deny: "mounts[0]"},
	{rule: "mounts.modes", name: "listed", rules: mounts(policy.MountRules{Modes: []spec.MountMode{spec.ModeRO}}), change: dir("/srv/x")},
	{rule: "mounts.modes", name: "tmpfs", rules: mounts(policy.MountRules{Modes: []spec.MountMode{spec.ModeRO}}), change: edit(func(s *spec.Sandbox) { s.Mounts = []spec.Mount{{Type: spec.MountTmpfs, Target: "/x"}} })},
	{rule: "mounts.modes", name: "not listed", rules: mounts(policy.MountRules{Modes: []spec.MountMode{spec.ModeRO}}), change: writable("/srv/x"), deny: "mounts[0].mode"},
	{rule: "mounts.volumes", name: "anonymous", profile: hard, change: edit(func(s *spec.Sandbox) { s.Mounts = []spec.Mount{{Type: spec.MountVolume, Target: "/x"}} })},
	{rule: "mounts.volumes", name: "listed", rules: mounts(policy.MountRules{Volumes: []string{"cache-*"}}), change: edit(func(s *spec.Sandbox) { s.Mounts = []spec.Mount{{Source: "cache-go", Target: "/x"}} })},
	{rule: "mounts.volumes", name: "named", profile: hard, change: edit(func(s *spec.Sandbox) { s.Mounts = []spec.Mount{{Type: spec.MountVolume, Source: "pg", Target: "/x"}} }), deny: "mounts[0]"},
	{rule: "mounts.local", name: "local", profile: hard, change: dir("/srv/x")},
	{rule: "mounts.local", name: "remote", profile: hard, change: remote("/srv/x"), deny: "mounts[0]"},
	{rule: "mounts.noRelabel", name: "none", rules: mounts(policy.MountRules{NoRelabel: true}), change: dir("/srv/x")},
	{rule: "mounts.noRelabel", name: "private", rules: mounts(policy.MountRules{NoRelabel: true}), change: both(dir("/srv/x"), edit(func(s *spec.Sandbox) { s.Mounts[0].SELinux = spec.SELinuxPrivate })), deny: "mounts[0].selinux"},

	{rule: "mounts.noRelabel", name: "shared", profile: hard, change: both(dir("/srv/x"), edit(func(s *spec.Sandbox) { s.Mounts[0].SELinux = spec.SELinuxShared })), deny: "mounts[0].selinux"},

	{rule: "binding.addresses", name: "default", profile: hard, change: port(spec.Port{ContainerPort: 80})},
	{rule: "binding.addresses", name: "other loopback", profile: hard, change: port(spec.Port{ContainerPort: 80, Address: "127.9.9.9"})},
	{rule: "binding.addresses", name: "loopback of version 6", profile: hard, change: port(spec.Port{ContainerPort: 80, Address: "::1"})},
	{rule: "binding.addresses", name: "no ports", profile: hard, change: edit(func(s *spec.Sandbox) { s.Binding.Address = "0.0.0.0" })},
	{rule: "binding.addresses", name: "standard permits all", profile: std, change: port(spec.Port{ContainerPort: 80, Address: "0.0.0.0"})},
	{rule: "binding.addresses", name: "prefix", rules: addresses("10.0.0.0/8"), change: port(spec.Port{ContainerPort: 80, Address: "10.1.2.3"})},
	{rule: "binding.addresses", name: "every address", rules: addresses("unspecified"), change: port(spec.Port{ContainerPort: 80, Address: "::"})},
	{rule: "binding.addresses", name: "all", profile: hard, change: port(spec.Port{ContainerPort: 80, Address: "0.0.0.0"}), deny: "binding.ports[0]"},
	{rule: "binding.addresses", name: "all of version 6, long", profile: hard, change: port(spec.Port{ContainerPort: 80, Address: "0:0:0:0:0:0:0:0"}), deny: "binding.ports[0]"},
	{rule: "binding.addresses", name: "all, version 4 in 6", profile: hard, change: port(spec.Port{ContainerPort: 80, Address: "::ffff:0.0.0.0"}), deny: "binding.ports[0]"},
	{rule: "binding.addresses", name: "inherited", profile: hard, change: both(port(spec.Port{ContainerPort: 80}), edit(func(s *spec.Sandbox) { s.Binding.Address = "192.0.2.1" })), deny: "binding.ports[0]"},
	{rule: "binding.addresses", name: "second port", profile: hard, change: both(port(spec.Port{ContainerPort: 80}), port(spec.Port{ContainerPort: 81, Address: "192.0.2.1"})), deny: "binding.ports[1]"},
	{rule: "binding.addresses", name: "a name", profile: hard, change: port(spec.Port{ContainerPort: 80, Address: "localhost"}), deny: "binding.ports[0]"},
	{rule: "binding.addresses", name: "with a zone", rules: addresses("fe80::/10"), change: port(spec.Port{ContainerPort: 80, Address: "fe80::1%eth0"}), deny: "binding.ports[0]"},
	{rule: "binding.addresses", name: "all is in no prefix", rules: addresses("0.0.0.0/0"), change: port(spec.Port{ContainerPort: 80, Address: "0.0.0.0"}), deny: "binding.ports[0]"},

	{rule: "binding.minHostPort", name: "any", profile: hard, change: port(spec.Port{ContainerPort: 80})},
	{rule: "binding.minHostPort", name: "first", profile: hard, change: port(spec.Port{ContainerPort: 80, HostPort: 1024})},
	{rule: "binding.minHostPort", name: "below", profile: hard, change: port(spec.Port{ContainerPort: 80, HostPort: 1023}), deny: "binding.ports[0]"},

	{rule: "network.modes", name: "isolated", profile: std, change: edit(func(s *spec.Sandbox) { s.Network.Mode = spec.NetIsolated })},
	{rule: "network.modes", name: "named", profile: std, change: edit(func(s *spec.Sandbox) { s.Network = spec.Network{Name: "x"} })},
	{rule: "network.modes", name: "host where it is usual", profile: oh, change: edit(func(s *spec.Sandbox) { s.Network.Mode = spec.NetHost })},
	{rule: "network.modes", name: "host", profile: std, change: edit(func(s *spec.Sandbox) { s.Network.Mode = spec.NetHost }), deny: "network.mode"},
	{rule: "network.modes", name: "hardened isolated", profile: hard, change: edit(func(s *spec.Sandbox) { s.Network.Mode = spec.NetIsolated }), deny: "network.mode"},
	{rule: "network.modes", name: "hardened default", profile: hard, change: edit(func(s *spec.Sandbox) { s.Network.Mode = "" }), deny: "network.mode"},

	{rule: "network.names", name: "listed", rules: network(policy.NetworkRules{Names: []string{"team-*"}}), change: edit(func(s *spec.Sandbox) { s.Network = spec.Network{Name: "team-a"} })},
	{rule: "network.names", name: "not listed", rules: network(policy.NetworkRules{Names: []string{"team-*"}}), change: edit(func(s *spec.Sandbox) { s.Network = spec.Network{Name: "bridge"} }), deny: "network.name"},
	{rule: "network.additional", name: "none", profile: hard},
	{rule: "network.additional", name: "listed", rules: network(policy.NetworkRules{Additional: []string{"a", "b*"}}), change: edit(func(s *spec.Sandbox) { s.Network.Additional = []spec.Attachment{{Name: "bc"}} })},
	{rule: "network.additional", name: "one", profile: hard, change: edit(func(s *spec.Sandbox) { s.Network.Additional = []spec.Attachment{{Name: "x"}} }), deny: "network.additional[0]"},
	{rule: "network.noHostAlias", name: "off", profile: hard},
	{rule: "network.noHostAlias", name: "on", profile: hard, change: edit(func(s *spec.Sandbox) { s.Network.HostAlias = true }), deny: "network.hostAlias"},

	{rule: "network.hostBlocked", name: "claimed", profile: hard, change: edit(func(s *spec.Sandbox) { s.Network = spec.Network{Mode: spec.NetInternal, Name: "x"} })},
	{rule: "network.hostBlocked", name: "none", profile: hard, change: func(in *policy.Input) { in.Info = nil }},
	{rule: "network.hostBlocked", name: "not probed", profile: hard, change: func(in *policy.Input) {
		in.Info = nil
		in.Spec.Network = spec.Network{Mode: spec.NetInternal, Name: "x"}
	}, pending: true},
	{rule: "network.hostBlocked", name: "missing", profile: hard, change: func(in *policy.Input) {
		in.Info.Claims = map[backend.Capability]backend.Claim{backend.NetHostAccess: {Support: backend.Missing, Reason: "no firewall"}}
		in.Spec.Network = spec.Network{Mode: spec.NetInternal, Name: "x"}
	}, deny: "network.mode"},
	{rule: "network.hostBlocked", name: "nothing claimed", profile: hard, change: func(in *policy.Input) {
		in.Info.Claims = nil
		in.Spec.Network = spec.Network{Mode: spec.NetInternal, Name: "x"}
	}, deny: "network.mode"},
	{rule: "network.hostBlocked", name: "none and a further network", rules: network(policy.NetworkRules{HostBlocked: true}), change: func(in *policy.Input) {
		in.Info.Claims = nil
		in.Spec.Network.Additional = []spec.Attachment{{Name: "x"}}
	}, deny: "network.mode"},
	{rule: "network.hostBlocked", name: "host", rules: network(policy.NetworkRules{HostBlocked: true}), change: edit(func(s *spec.Sandbox) { s.Network.Mode = spec.NetHost }), deny: "network.mode"},

	{rule: "capabilities.add", name: "of the standard set", profile: std, change: edit(func(s *spec.Sandbox) { s.Security.Capabilities.Add = []string{"cap_chown", "NET_BIND_SERVICE"} })},
	{rule: "capabilities.add", name: "every one, all listed", rules: caps([]string{"ALL"}, nil), change: edit(func(s *spec.Sandbox) { s.Security.Capabilities.Add = []string{"SYS_ADMIN", "ALL"} })},
	{rule: "capabilities.add", name: "docker's, where it is usual", profile: oh, change: edit(func(s *spec.Sandbox) { s.Security.Capabilities.Add = []string{"NET_RAW"} })},
	{rule: "capabilities.add", name: "raw sockets", profile: std, change: edit(func(s *spec.Sandbox) { s.Security.Capabilities.Add = []string{"NET_RAW"} }), deny: "security.capabilities.add"},
	{rule: "capabilities.add", name: "other spelling", profile: std, change: edit(func(s *spec.Sandbox) { s.Security.Capabilities.Add = []string{"cap_sys_admin"} }), deny: "security.capabilities.add"},
	{rule: "capabilities.add", name: "administration", profile: oh, change: edit(func(s *spec.Sandbox) { s.Security.Capabilities.Add = []string{"SYS_ADMIN"} }), deny: "security.capabilities.add"},
	{rule: "capabilities.add", name: "all", profile: std, change: edit(func(s *spec.Sandbox) { s.Security.Capabilities.Add = []string{"all"} }), deny: "security.capabilities.add"},
	{rule: "capabilities.add", name: "all, when each is listed", rules: caps(spec.CapabilityNames(), nil), change: edit(func(s *spec.Sandbox) { s.Security.Capabilities.Add = []string{"ALL"} }), deny: "security.capabilities.add"},
	{rule: "capabilities.add", name: "unknown", profile: std, change: edit(func(s *spec.Sandbox) { s.Security.Capabilities.Add = []string{"NEW_THING"} }), deny: "security.capabilities.add"},
	{rule: "capabilities.add", name: "any in hardened", profile: hard, change: edit(func(s *spec.Sandbox) { s.Security.Capabilities.Add = []string{"CHOWN"} }), deny: "security.capabilities.add"},

	{rule: "capabilities.drop", name: "all", profile: hard},
	{rule: "capabilities.drop", name: "one, by all", rules: caps(nil, []string{"SETUID"})},
	{rule: "capabilities.drop", name: "kept", rules: caps(nil, []string{"SETUID"}), change: edit(func(s *spec.Sandbox) { s.Security.Capabilities.Drop = []string{"CHOWN"} }), deny: "security.capabilities.drop"},
	{rule: "capabilities.drop", name: "all kept", profile: hard, change: edit(func(s *spec.Sandbox) { s.Security.Capabilities.Drop = spec.CapabilityNames() }), deny: "security.capabilities.drop"},

	{rule: "resources.required", name: "set", profile: hard},
	{rule: "resources.required", name: "only told", profile: std, change: edit(func(s *spec.Sandbox) { s.Resources = spec.Resources{} })},
	{rule: "resources.required", name: "no memory", profile: hard, change: edit(func(s *spec.Sandbox) { s.Resources.Memory = 0 }), deny: "resources.memory"},
	{rule: "resources.required", name: "negative", profile: hard, change: edit(func(s *spec.Sandbox) { s.Resources.Pids = -1 }), deny: "resources.pids"},
	{rule: "resources.required", name: "no disk", rules: resources(policy.ResourceRules{Required: []policy.Resource{policy.ResourceDisk}}), deny: "resources.disk"},
	{rule: "resources.required", name: "no open files", rules: resources(policy.ResourceRules{Required: []policy.Resource{policy.ResourceNoFile}}), deny: "resources.nofile"},
	{rule: "resources.required", name: "no shared memory", rules: resources(policy.ResourceRules{Required: []policy.Resource{policy.ResourceShm}}), deny: "resources.shm"},

	{rule: "resources.max", name: "at most", rules: resources(policy.ResourceRules{Max: policy.Limits{CPUs: 2000, Memory: spec.GiB, Pids: 256, Shm: 1, NoFile: 1}})},
	{rule: "resources.max", name: "too much memory", rules: resources(policy.ResourceRules{Max: policy.Limits{Memory: spec.GiB - 1}}), deny: "resources.memory"},
	{rule: "resources.max", name: "too many processors", rules: resources(policy.ResourceRules{Max: policy.Limits{CPUs: 1999}}), deny: "resources.cpus"},
	{rule: "resources.max", name: "no bound", rules: resources(policy.ResourceRules{Max: policy.Limits{Disk: spec.GiB}}), deny: "resources.disk"},
	{rule: "resources.max", name: "hard limit", rules: resources(policy.ResourceRules{Max: policy.Limits{NoFile: 10}}), change: edit(func(s *spec.Sandbox) { s.Resources.NoFile = spec.NoFile{Soft: 1, Hard: 11} }), deny: "resources.nofile"},
	{rule: "resources.max", name: "shared memory", rules: resources(policy.ResourceRules{Max: policy.Limits{Shm: 10}}), change: edit(func(s *spec.Sandbox) { s.Resources.Shm = 11 }), deny: "resources.shm"},

	{rule: "security.seccomp", name: "default", profile: hard},
	{rule: "security.seccomp", name: "file", profile: std, change: seccomp("/srv/p.json")},
	{rule: "security.seccomp", name: "listed file", rules: securityR(policy.SecurityRules{Seccomp: []string{"/srv/p.json"}}), change: seccomp("/srv/p.json")},
	{rule: "security.seccomp", name: "unconfined", profile: std, change: edit(func(s *spec.Sandbox) { s.Security.Seccomp = spec.SeccompUnconfined }), deny: "security.seccomp"},
	{rule: "security.seccomp", name: "unconfined in compat", profile: oh, change: edit(func(s *spec.Sandbox) { s.Security.Seccomp = spec.SeccompUnconfined }), deny: "security.seccomp"},
	{rule: "security.seccomp", name: "file in hardened", profile: hard, change: seccomp("/srv/p.json"), deny: "security.seccomp"},
	{rule: "security.seccomp", name: "another file", rules: securityR(policy.SecurityRules{Seccomp: []string{"/srv/p.json"}}), change: seccomp("/srv/q.json"), deny: "security.seccomp"},
	{rule: "security.seccomp", name: "link from a listed file", rules: securityR(policy.SecurityRules{Seccomp: []string{"/srv/p.json"}}), change: both(seccomp("/srv/p.json"), func(in *policy.Input) { in.Paths[0].Resolved = "/srv/q.json" }), deny: "security.seccomp"},

	{rule: "security.noNewPrivileges", name: "default", profile: std},
	{rule: "security.noNewPrivileges", name: "off where it is usual", profile: oh, change: edit(func(s *spec.Sandbox) { s.Security.NoNewPrivileges = new(false) })},
	{rule: "security.noNewPrivileges", name: "off", profile: std, change: edit(func(s *spec.Sandbox) { s.Security.NoNewPrivileges = new(false) }), deny: "security.noNewPrivileges"},
	{rule: "security.readOnlyRoot", name: "on", profile: hard},
	{rule: "security.readOnlyRoot", name: "off", profile: hard, change: edit(func(s *spec.Sandbox) { s.Security.ReadOnlyRoot = false }), deny: "security.readOnlyRoot"},

	{rule: "security.runtimes", name: "default", profile: std},
	{rule: "security.runtimes", name: "gVisor", profile: std, change: edit(func(s *spec.Sandbox) { s.Security.Runtime = "runsc" })},
	{rule: "security.runtimes", name: "kata by its longer name", profile: std, change: edit(func(s *spec.Sandbox) { s.Security.Runtime = "kata-qemu" })},
	{rule: "security.runtimes", name: "path", profile: std, change: edit(func(s *spec.Sandbox) { s.Security.Runtime = "/tmp/runc" }), deny: "security.runtime"},
	{rule: "security.runtimes", name: "path behind a pattern", profile: std, change: edit(func(s *spec.Sandbox) { s.Security.Runtime = "kata-/../../tmp/x" }), deny: "security.runtime"},
	{rule: "security.runtimes", name: "unknown", profile: oh, change: edit(func(s *spec.Sandbox) { s.Security.Runtime = "yolo" }), deny: "security.runtime"},
	{rule: "security.runtimes", name: "default not listed", rules: securityR(policy.SecurityRules{Runtimes: []string{"runsc"}}), deny: "security.runtime"},

	{rule: "security.devices", name: "none", profile: hard},
	{rule: "security.devices", name: "gpu", profile: std, change: device("nvidia.com/gpu=all", "")},
	{rule: "security.devices", name: "kvm where it is usual", profile: oh, change: device("/dev/kvm:/dev/kvm:rw", "/dev/kvm")},
	{rule: "security.devices", name: "gpu in hardened", profile: hard, change: device("nvidia.com/gpu=all", ""), deny: "security.devices[0]"},
	{rule: "security.devices", name: "other class", profile: std, change: device("nvidia.com/nic=all", ""), deny: "security.devices[0]"},
	{rule: "security.devices", name: "kvm", profile: std, change: device("/dev/kvm", "/dev/kvm"), deny: "security.devices[0]"},
	{rule: "security.devices", name: "disk named kvm", profile: oh, change: device("/dev/kvm", "/dev/sda"), deny: "security.devices[0]"},

	{rule: "user.nonRoot", name: "number", profile: hard},
	{rule: "user.nonRoot", name: "number, before it is decided", profile: hard, change: func(in *policy.Input) { in.Identity = nil }},
	{rule: "user.nonRoot", name: "mapped root", profile: hard, change: func(in *policy.Input) { in.Identity = &backend.Identity{Mode: "caller", UID: 0, HostUID: 1000} }},
	{rule: "user.nonRoot", name: "image's number", profile: hard, change: func(in *policy.Input) {
		in.Identity = &backend.Identity{Mode: spec.UserImage, User: "65532:0"}
	}},
	{rule: "user.nonRoot", name: "image's known name", profile: hard, change: func(in *policy.Input) {
		in.Identity = &backend.Identity{Mode: spec.UserImage, User: "app", UID: 5}
	}},
	{rule: "user.nonRoot", name: "not decided", profile: hard, change: func(in *policy.Input) {
		in.Identity = nil
		in.Spec.User.As = ""
	}, pending: true},
	{rule: "user.nonRoot", name: "zero, not decided", profile: hard, change: func(in *policy.Input) {
		in.Identity = nil
		in.Spec.User.As = "0:1000"
	}, pending: true},
	{rule: "user.nonRoot", name: "root", profile: hard, change: func(in *policy.Input) { in.Identity = &backend.Identity{Mode: "caller"} }, deny: "user.as"},
	{rule: "user.nonRoot", name: "image without a user", profile: hard, change: func(in *policy.Input) { in.Identity = &backend.Identity{Mode: spec.UserImage} }, deny: "user.as"},
	{rule: "user.nonRoot", name: "image's root", profile: hard, change: func(in *policy.Input) {
		in.Identity = &backend.Identity{Mode: spec.UserImage, User: "root:wheel"}
	}, deny: "user.as"},
	{rule: "user.nonRoot", name: "image's zero", profile: hard, change: func(in *policy.Input) { in.Identity = &backend.Identity{Mode: spec.UserImage, User: "00"} }, deny: "user.as"},
	{rule: "user.nonRoot", name: "image's unknown name", profile: hard, change: func(in *policy.Input) {
		in.Identity = &backend.Identity{Mode: spec.UserImage, User: "toor", HostUID: 1000}
	}, deny: "user.as"},

	{rule: "extensions", name: "none", profile: oh},
	{rule: "extensions", name: "listed", rules: policy.Rules{Extensions: []string{"docker"}}, change: edit(func(s *spec.Sandbox) { s.Extensions = map[string]json.RawMessage{"docker": json.RawMessage(`{}`)} })},
	{rule: "extensions", name: "another", rules: policy.Rules{Extensions: []string{"docker"}}, change: edit(func(s *spec.Sandbox) { s.Extensions = map[string]json.RawMessage{"podman": json.RawMessage(`{}`)} }), deny: "extensions.podman"},
	{rule: "extensions", name: "one", profile: oh, change: edit(func(s *spec.Sandbox) { s.Extensions = map[string]json.RawMessage{"docker": json.RawMessage(`{}`)} }), deny: "extensions.docker"},

	{rule: "fidelity", name: "exact", rules: fidelity(map[string]backend.Fidelity{"**": backend.Exact})},
	{rule: "fidelity", name: "other fields", rules: fidelity(map[string]backend.Fidelity{"binding.*": backend.Exact}), change: emulated("network.mode")},
	{rule: "fidelity", name: "emulated suffices", rules: fidelity(map[string]backend.Fidelity{"network.*": backend.ByEmulation}), change: emulated("network.mode")},
	{rule: "fidelity", name: "before planning", rules: fidelity(map[string]backend.Fidelity{"**": backend.Exact}), unplanned: true, pending: true},
	{rule: "fidelity", name: "emulated", rules: fidelity(map[string]backend.Fidelity{"network.*": backend.Exact}), change: emulated("network.mode"), deny: "network.mode"},
	{rule: "fidelity", name: "strictest pattern", rules: fidelity(map[string]backend.Fidelity{"**": backend.ByEmulation, "network.*": backend.Exact}), change: emulated("network.mode"), deny: "network.mode"},
	{rule: "fidelity", name: "not in the ledger", rules: fidelity(map[string]backend.Fidelity{"network.*": backend.ByEmulation}), change: func(in *policy.Input) { in.Plan = &backend.Plan{Driver: "fake"} }, deny: "network.mode"},

	{rule: "claims", name: "claimed", rules: policy.Rules{Claims: []backend.Capability{backend.NetHostAccess}}},
	{rule: "claims", name: "not probed", rules: policy.Rules{Claims: []backend.Capability{backend.NetHostAccess}}, change: func(in *policy.Input) { in.Info = nil }, pending: true},
	{rule: "claims", name: "missing", rules: policy.Rules{Claims: []backend.Capability{backend.NetHostAccess, backend.NetEgress}}, deny: "-"},

	{rule: "unsafe", name: "listed", rules: policy.Rules{Unsafe: []string{"mounts.protected=/etc/"}}, change: func(in *policy.Input) { in.Unsafe = []string{"mounts.protected=/etc"} }},
	{rule: "unsafe", name: "not listed", rules: policy.Rules{Unsafe: []string{"mounts.protected=/etc"}}, change: func(in *policy.Input) { in.Unsafe = []string{"mounts.protected=/etc/ssl"} }, deny: "-"},
	{rule: "unsafe", name: "none", rules: policy.Rules{Unsafe: []string{}}, change: func(in *policy.Input) { in.Unsafe = []string{"network.modes=host"} }, deny: "-"},
}

func emulated(field spec.Path) func(*policy.Input) {
	return func(in *policy.Input) {
		*in = planned(*in)
		for i := range in.Plan.Mappings {
			if in.Plan.Mappings[i].Field == field {
				in.Plan.Mappings[i] = backend.Mapping{Field: field, Fidelity: backend.ByEmulation, Note: "by berth"}
			}
		}
	}
}

// decide evaluates a case.
func (c ruleCase) decide(t *testing.T, unsafe ...string) policy.Decision {
	t.Helper()
	return c.policy(t).Evaluate(c.input(unsafe...))
}

func (c ruleCase) policy(t *testing.T) *policy.Policy {
	t.Helper()
	switch {
	case c.profile != "":
		return profile(t, c.profile)
	case !reflect.ValueOf(c.rules).IsZero():
		return define(t, c.rules)
	}
	return profile(t, std)
}

func (c ruleCase) input(unsafe ...string) policy.Input {
	in := base()
	if c.change != nil {
		c.change(&in)
	}
	if in.Plan == nil && !c.unplanned {
		in = planned(in)
	}
	in.Unsafe = append(in.Unsafe, unsafe...)
	return in
}

func violationsOf(d policy.Decision, rule string) []policy.Violation {
	return slices.DeleteFunc(slices.Clone(d.Violations), func(v policy.Violation) bool { return v.Rule != rule })
}

func TestRules(t *testing.T) {
	for _, c := range ruleCases {
		t.Run(c.rule+"/"+c.name, func(t *testing.T) {
			d := c.decide(t)
			got := violationsOf(d, c.rule)
			var paths []string
			for _, v := range got {
				paths = append(paths, string(v.Path))
				if v.Message == "" || v.Policy == "" {
					t.Errorf("violation without message or policy: %+v", v)
				}
			}
			var want []string
			if c.deny != "" {
				want = []string{strings.TrimPrefix(string(c.deny), "-")}
			}
			if !slices.Equal(slices.Compact(paths), want) {
				t.Errorf("paths %q, want %q\n%v", paths, want, got)
			}
			if d.Allow != (len(d.Violations) == 0) {
				t.Errorf("allow is %v with %d violations", d.Allow, len(d.Violations))
			}
			if got := slices.Contains(d.Pending, c.rule); got != c.pending {
				t.Errorf("pending %v, want %v", got, c.pending)
			}
			if len(d.Pending) > 0 && d.Final() {
				t.Error("final with pending rules")
			}
		})
	}
}

// The base must satisfy every profile, or cases would pass for the wrong
// reason.
func TestBaseIsAllowedByEveryProfile(t *testing.T) {
	for _, name := range policy.Profiles() {
		d := profile(t, name).Evaluate(planned(base()))
		if !d.Final() || len(d.Warnings) > 0 {
			t.Errorf("%s: %v %v %v", name, d.Violations, d.Warnings, d.Pending)
		}
	}
}

func TestEveryRuleHasBothKindsOfCases(t *testing.T) {
	for _, r := range policy.Catalogue() {
		has := func(deny bool) bool {
			return slices.ContainsFunc(ruleCases, func(c ruleCase) bool { return c.rule == r.ID && (c.deny != "") == deny })
		}
		if !has(true) || !has(false) {
			t.Errorf("%s: cases that are denied %v, that are allowed %v", r.ID, has(true), has(false))
		}
	}
	for _, c := range ruleCases {
		if !slices.ContainsFunc(policy.Catalogue(), func(r policy.Rule) bool { return r.ID == c.rule }) {
			t.Errorf("case for %q, which is no rule", c.rule)
		}
	}
}

// The id of a rule is where it is stated, so that a reader of a violation finds
// the line to change.
func TestRuleIDsAreTheFieldsOfRules(t *testing.T) {
	var want []string
	var walk func(prefix string, rt reflect.Type)
	walk = func(prefix string, rt reflect.Type) {
		for f := range rt.Fields() {
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if options != "omitzero" {
				// omitempty would lose an empty list, which permits nothing.
				t.Errorf("%s%s: json option %q", prefix, name, options)
			}
			if ft := f.Type; ft.Kind() == reflect.Struct && ft != reflect.TypeFor[policy.Limits]() {
				walk(prefix+name+".", ft)
				continue
			}
			want = append(want, prefix+name)
		}
	}
	walk("", reflect.TypeFor[policy.Rules]())
	var got []string
	for _, r := range policy.Catalogue() {
		if !r.BuiltIn {
			got = append(got, r.ID)
		}
		if r.Sentence == "" || r.Denies == "" {
			t.Errorf("%s: no sentence", r.ID)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("rules %q\nfields %q", got, want)
	}
}

// Every violation of a rule that can be overridden is lifted by exactly the
// text that it prints, and only that violation.
func TestOverridesLiftWhatTheyName(t *testing.T) {
	overridable := map[string]bool{}
	for _, c := range ruleCases {
		if c.deny == "" {
			continue
		}
		before := c.decide(t)
		for _, v := range before.Violations {
			if v.Override == "" {
				continue
			}
			overridable[v.Rule] = true
			in := c.input(v.Override)
			after := c.policy(t).Evaluate(in)
			for _, w := range after.Violations {
				if w.Override == v.Override {
					t.Errorf("%s/%s: %s does not lift %v", c.rule, c.name, v.Override, w)
				}
			}
			for _, other := range before.Violations {
				// The rule "unsafe" reports the override itself, mounts.socket
				// steps back only where mounts.protected speaks.
				if other.Override != v.Override && !slices.Contains(after.Violations, other) {
					t.Errorf("%s/%s: %s also lifts %v", c.rule, c.name, v.Override, other)
				}
			}
			if !slices.ContainsFunc(after.Warnings, func(w policy.Warning) bool {
				return w.Rule == v.Rule && strings.Contains(w.Message, v.Override)
			}) {
				t.Errorf("%s/%s: %s is lifted without a warning", c.rule, c.name, v.Override)
			}
		}
	}
	for _, r := range policy.Catalogue() {
		if (r.Override != "") != overridable[r.ID] {
			t.Errorf("%s: the catalogue has the override %q, the cases have %v", r.ID, r.Override, overridable[r.ID])
		}
	}
}

// An operator's own rules are not lifted, because whoever wants an exception
// changes them.
func TestOwnRulesAreFixed(t *testing.T) {
	own := define(t, policy.Rules{Network: policy.NetworkRules{Modes: []spec.NetworkMode{spec.NetNone}}})
	in := base()
	in.Spec.Network.Mode = spec.NetHost
	in.Unsafe = []string{"network.modes=host"}
	in = planned(in)
	if d := profile(t, std).Evaluate(in); !d.Allow {
		t.Errorf("standard with the override: %v", d.Violations)
	}
	d := policy.Intersect(profile(t, std), own).Evaluate(in)
	if len(d.Violations) != 1 || d.Violations[0].Policy != "own" || d.Violations[0].Override != "" {
		t.Errorf("with an own rule: %v", d.Violations)
	}
}

func TestOverrideThatLiftsNothingIsTold(t *testing.T) {
	in := planned(base())
	in.Unsafe = []string{"mounts.protected=/etc"}
	d := profile(t, std).Evaluate(in)
	if !d.Allow || len(d.Warnings) != 1 || d.Warnings[0].Rule != "mounts.protected" {
		t.Errorf("%v %v", d.Violations, d.Warnings)
	}
	in.Plan = nil
	if d := profile(t, std).Evaluate(in); len(d.Warnings) != 0 {
		t.Errorf("told before everything was decided: %v", d.Warnings)
	}
}

// What a profile permits although it is a risk is told.
func TestWarnings(t *testing.T) {
	all := both(
		port(spec.Port{ContainerPort: 80, HostPort: 80, Address: "0.0.0.0"}),
		device("nvidia.com/gpu=0", ""),
		seccomp("/srv/p.json"),
		remote("/srv/x"),
		edit(func(s *spec.Sandbox) {
			s.Mounts[0].SELinux = spec.SELinuxShared
			s.Resources = spec.Resources{}
			s.Network = spec.Network{Mode: spec.NetHost, Additional: []spec.Attachment{{Name: "x"}}}
			s.Security.NoNewPrivileges = new(false)
			s.Security.Capabilities.Add = []string{"MKNOD"}
		}),
		func(in *policy.Input) { in.Identity = &backend.Identity{Mode: "caller"} },
	)
	want := map[spec.Profile][]string{
		std: {"mounts.local", "mounts.noRelabel", "binding.addresses", "binding.minHostPort", "security.seccomp", "security.devices"},
		oh: {"mounts.local", "mounts.noRelabel", "binding.addresses", "binding.minHostPort", "network.modes", "network.additional", "capabilities.add",
			"resources.required", "security.seccomp", "security.noNewPrivileges", "security.devices", "user.nonRoot"},
	}
	for name, rules := range want {
		c := ruleCase{profile: name, change: all}
		d := c.decide(t)
		var got []string
		for _, w := range d.Warnings {
			got = append(got, w.Rule)
			if w.Message == "" || w.Policy != string(name) {
				t.Errorf("%+v", w)
			}
		}
		slices.Sort(got)
		slices.Sort(rules)
		if !slices.Equal(got, rules) {
			t.Errorf("%s warns by %q, want %q", name, got, rules)
		}
		if name == oh && !d.Final() {
			t.Errorf("%s denies what it should tell: %v", name, d.Violations)
		}
	}
}

// What is denied is not told a second time.
func TestWarningsGiveWayToViolations(t *testing.T) {
	p := policy.Intersect(profile(t, std), profile(t, hard))
	in := base()
	in.Spec.Resources = spec.Resources{}
	in.Spec.Binding.Ports = []spec.Port{{ContainerPort: 1, Address: "0.0.0.0"}}
	d := p.Evaluate(planned(in))
	if len(d.Violations) != 4 || len(d.Warnings) != 0 {
		t.Errorf("%v\n%v", d.Violations, d.Warnings)
	}
}
