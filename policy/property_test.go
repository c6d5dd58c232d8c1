// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/policy"
	"github.com/berthrun/berth/spec"
)

// Values that some rule or other takes seriously, so that random inputs run
// into rules and not past them.
var (
	somePaths = []string{
		"", "/", "//", "/srv", "/srv/a", "/srv/a/", "/srv//a", "/srv/a/../b", "/opt/x", "/etc", "/etc/ssl", "/var", "/run/docker.sock",
		"/usr/bin", "/home", "/home/ann", "/home/ann/src", "/home/ann/.ssh", "/home/bob/x", "/run/media/d", "rel", "/a\x00b", "/srv/*", "/*",
		"/opt/berth-state", "/srv/engine", "/dev/kvm", "/dev/sda", "/srv/p.json",
	}
	someNames     = []string{"", "a", "team-a", "host", "bridge", "container:x", "a/b", "*", "**"}
	someAddresses = []string{"", "127.0.0.1", "::1", "0.0.0.0", "::", "::ffff:0.0.0.0", "10.0.0.1", "192.0.2.7", "fe80::1%x", "localhost"}
	someImages    = []string{"", "host", "debian", "docker.io/library/debian:12", "docker.io/library/debian@sha256:00", "ghcr.io/acme/x:1", "localhost:5000/x:1"}
	someDevices   = []string{"", "nvidia.com/gpu=0", "vendor.com/nic=1", "/dev/kvm", "/dev/kvm:/dev/x:rw", "/srv/a"}
	someCaps      = []string{"ALL", "all", "CHOWN", "cap_chown", "NET_RAW", "SYS_ADMIN", "NOPE"}
	someUsers     = []string{"", "caller", "image", "0", "0:0", "1000", "1000:0", "x"}
	someOverrides = []string{
		"", "*", "network.modes=host", "network.mode=host", "mounts.protected=/etc", "mounts.protected=/etc/", "mounts.protected=/", "mounts.roots=/opt/x",
		"mounts.systemWrite=/usr/bin", "capabilities.add=NET_RAW", "capabilities.drop=ALL", "security.noNewPrivileges=off", "security.readOnlyRoot=off",
		"extensions=docker", "resources.required=memory", "binding.addresses=0.0.0.0", "user.nonRoot=off", "security.devices=/dev/kvm",
	}
)

func pick[T any](t *rapid.T, label string, list []T) T { return rapid.SampledFrom(list).Draw(t, label) }

// often is true about once in six times; the library prefers small numbers.
func often(t *rapid.T, label string) bool { return rapid.Uint8().Draw(t, label)%6 == 5 }

func some[T any](t *rapid.T, label string, list []T) []T {
	return rapid.SliceOfN(rapid.SampledFrom(list), 0, 3).Draw(t, label)
}

// anyInput draws an input; half of them start from one that every profile is
// content with, so that both answers are frequent.
func anyInput(t *rapid.T) policy.Input {
	in := base()
	s := in.Spec
	if often(t, "mounts") {
		for range rapid.IntRange(1, 3).Draw(t, "mounts") {
			m := spec.Mount{
				Type:    pick(t, "type", []spec.MountType{spec.MountBind, spec.MountBind, spec.MountVolume, spec.MountTmpfs, "", "npipe"}),
				Source:  pick(t, "source", somePaths),
				Target:  "/t",
				Mode:    pick(t, "mode", []spec.MountMode{spec.ModeRW, spec.ModeRO, spec.ModeOverlay, "", "x"}),
				SELinux: pick(t, "selinux", []spec.SELinuxLabel{"", spec.SELinuxShared}),
			}
			if m.Type == spec.MountVolume {
				m.Source = pick(t, "volume", someNames)
			}
			if often(t, "upper") {
				m.Upper = pick(t, "upper", somePaths)
			}
			s.Mounts = append(s.Mounts, m)
		}
	}
	if often(t, "ports") {
		s.Binding.Address = pick(t, "address", someAddresses)
		for range rapid.IntRange(0, 2).Draw(t, "ports") {
			s.Binding.Ports = append(s.Binding.Ports, spec.Port{ContainerPort: 80, HostPort: pick(t, "host port", []int{-1, 0, 80, 1024, 70000}), Address: pick(t, "port address", someAddresses)})
		}
	}
	if often(t, "network") {
		s.Network = spec.Network{
			Mode:      pick(t, "mode", []spec.NetworkMode{"", spec.NetIsolated, spec.NetNone, spec.NetInternal, spec.NetShared, spec.NetHost, spec.NetNamed, "bridge"}),
			Name:      pick(t, "name", someNames),
			HostAlias: rapid.Bool().Draw(t, "alias"),
		}
		for _, n := range some(t, "additional", someNames) {
			s.Network.Additional = append(s.Network.Additional, spec.Attachment{Name: n})
		}
	}
	if often(t, "resources") {
		s.Resources = spec.Resources{
			CPUs:   pick(t, "cpus", []spec.CPUs{-1, 0, 500, 4000}),
			Memory: pick(t, "memory", []spec.Bytes{-1, 0, spec.MiB, 8 * spec.GiB}),
			Pids:   pick(t, "pids", []int64{-1, 0, 64, 5000}),
			Shm:    pick(t, "shm", []spec.Bytes{0, spec.MiB, spec.GiB}),
			NoFile: pick(t, "nofile", []spec.NoFile{{}, {Soft: 1, Hard: 2}, {Soft: 1, Hard: 1 << 63}}),
			Disk:   pick(t, "disk", []spec.Bytes{0, spec.GiB}),
		}
	}
	if often(t, "security") {
		s.Security = spec.Security{
			Capabilities: spec.Capabilities{Add: some(t, "add", someCaps), Drop: some(t, "drop", someCaps)},
			Seccomp:      pick(t, "seccomp", []string{"", "default", "unconfined", "/srv/p.json", "x"}),
			ReadOnlyRoot: rapid.Bool().Draw(t, "read-only"),
			Runtime:      pick(t, "runtime", []string{"", "runc", "runsc", "/x/runc", "kata-qemu", "yolo"}),
			Devices:      some(t, "devices", someDevices),
		}
		if rapid.Bool().Draw(t, "nnp") {
			s.Security.NoNewPrivileges = new(rapid.Bool().Draw(t, "nnp on"))
		}
	}
	if often(t, "profile in a bind") {
		s.Security.Seccomp = "/srv/p.json"
		s.Mounts = append(s.Mounts, spec.Mount{Type: spec.MountBind, Source: pick(t, "bind", []string{"/srv", "/srv/a"}), Target: "/t"})
	}
	s.Security.Profile = pick(t, "profile", policy.Profiles())
	if often(t, "rest") {
		s.Security.Profile = pick(t, "profile", []spec.Profile{"", "lax"})
		s.Image.Ref = pick(t, "image", someImages)
		s.User.As = pick(t, "as", someUsers)
		in.Identity = pick(t, "identity", []*backend.Identity{nil, {}, {UID: 1, HostUID: 1}, {Mode: spec.UserImage, User: "x"}, {HostUID: 1000}})
		if rapid.Bool().Draw(t, "extension") {
			s.Extensions = map[string]json.RawMessage{pick(t, "key", []string{"docker", "", "x y"}): json.RawMessage(`{`)}
		}
		in.Homes = some(t, "homes", somePaths)
		in.Protected = some(t, "protected", somePaths)
	}
	// The resolver mostly does its work.
	for _, p := range policy.HostPaths(s) {
		if often(t, "not looked up") {
			continue
		}
		r := policy.ResolvedPath{Field: p.Field, Asked: p.Path, Resolved: p.Path}
		r.Kind = pick(t, "kind", []policy.PathKind{policy.KindDir, policy.KindDir, policy.KindFile, policy.KindSocket, policy.KindDevice, policy.KindFIFO, policy.KindMissing, policy.KindUnknown, "x"})
		r.Remote = often(t, "remote")
		if often(t, "link") {
			r.Resolved = pick(t, "real", somePaths)
		}
		in.Paths = append(in.Paths, r)
	}
	if rapid.Bool().Draw(t, "planned") {
		in = planned(in)
		for i := range in.Plan.Mappings {
			if rapid.Uint16().Draw(t, "fidelity")%200 == 199 {
				in.Plan.Mappings[i].Fidelity = pick(t, "to", []backend.Fidelity{backend.ByEmulation, backend.Refused, ""})
			}
		}
	}
	if often(t, "info") {
		in.Info = pick(t, "info", []*backend.Info{nil, {}, {Host: "unix://rel"}, {Host: "tcp://x"}})
	}
	if often(t, "unsafe") {
		in.Unsafe = some(t, "unsafe", someOverrides)
	}
	return in
}

// anyRules draws rules that New accepts.
func anyRules(t *rapid.T) policy.Rules {
	var r policy.Rules
	state := func(label string) bool { return rapid.IntRange(0, 5).Draw(t, label) == 0 }
	if state("profiles") {
		r.Profiles = some(t, "profiles", policy.Profiles())
	}
	if state("images") {
		r.Images = policy.ImageRules{Allow: some(t, "images", []string{"host", "docker.io/**", "docker.io/library/debian", "docker.io/*", "**"}), Pinned: rapid.Bool().Draw(t, "pinned")}
	}
	if state("mounts") {
		r.Mounts = policy.MountRules{
			Roots:     some(t, "roots", []string{"/srv", "~", "~/src", "/opt/x", "/"}),
			Types:     some(t, "types", []spec.MountType{spec.MountBind, spec.MountVolume, spec.MountTmpfs}),
			Local:     rapid.Bool().Draw(t, "local"),
			NoRelabel: rapid.Bool().Draw(t, "relabel"),
		}
	}
	if state("mounts 2") {
		r.Mounts.Modes = some(t, "modes", []spec.MountMode{spec.ModeRO, spec.ModeRW, spec.ModeOverlay})
		r.Mounts.Volumes = some(t, "volumes", []string{"a", "team-*", "**"})
	}
	if state("binding") {
		r.Binding = policy.BindingRules{Addresses: some(t, "addresses", []string{"loopback", "unspecified", "10.0.0.0/8", "0.0.0.0/0", "::/0"}), MinHostPort: pick(t, "min", []int{0, 1024})}
	}
	if state("network") {
		r.Network = policy.NetworkRules{
			Modes:       some(t, "modes", []spec.NetworkMode{spec.NetNone, spec.NetHost, spec.NetIsolated, spec.NetNamed}),
			NoHostAlias: rapid.Bool().Draw(t, "alias"), HostBlocked: rapid.Bool().Draw(t, "blocked"),
		}
	}
	if state("network 2") {
		r.Network.Names = some(t, "names", []string{"team-*", "**"})
		r.Network.Additional = some(t, "additional", []string{"a", "**"})
	}
	if state("capabilities") {
		r.Capabilities = policy.CapabilityRules{Add: some(t, "add", []string{"ALL", "CHOWN", "NET_RAW"}), Drop: some(t, "drop", []string{"ALL", "CHOWN", "SETUID"})}
	}
	if state("resources") {
		r.Resources.Required = some(t, "required", []policy.Resource{policy.ResourceMemory, policy.ResourceDisk, policy.ResourceNoFile})
	}
	if state("max") {
		r.Resources.Max = policy.Limits{
			CPUs: pick(t, "cpus", []spec.CPUs{0, 500, 1000}), Memory: pick(t, "memory", []spec.Bytes{0, spec.MiB, spec.GiB}), Pids: pick(t, "pids", []int64{0, 10, 256}),
			Shm: pick(t, "shm", []spec.Bytes{0, spec.MiB}), NoFile: pick(t, "nofile", []uint64{0, 5}), Disk: pick(t, "disk", []spec.Bytes{0, spec.MiB, spec.GiB}),
		}
	}
	if state("security") {
		r.Security = policy.SecurityRules{
			Seccomp:         some(t, "seccomp", []string{"default", "file", "unconfined", "/srv/p.json"}),
			NoNewPrivileges: rapid.Bool().Draw(t, "nnp"), ReadOnlyRoot: rapid.Bool().Draw(t, "read-only"),
		}
	}
	if state("security 2") {
		r.Security.Runtimes = some(t, "runtimes", []string{"default", "runc", "kata*"})
		r.Security.Devices = some(t, "devices", []string{"nvidia.com/*", "/dev/kvm"})
		r.User.NonRoot = rapid.Bool().Draw(t, "non-root")
	}
	if state("rest") {
		r.Extensions = some(t, "extensions", []string{"docker"})
		r.Fidelity = map[string]backend.Fidelity{pick(t, "fields", []string{"network.*", "**"}): pick(t, "fidelity", []backend.Fidelity{backend.Exact, backend.ByEmulation})}
		r.Claims = some(t, "claims", []backend.Capability{backend.NetHostAccess, backend.NetEgress})
	}
	if state("unsafe") {
		r.Unsafe = some(t, "unsafe", []string{"network.modes=host", "mounts.protected=/etc"})
	}
	return r
}

func anyPolicy(t *rapid.T, name string) *policy.Policy {
	switch rapid.IntRange(0, 4).Draw(t, name) {
	case 0:
		p, err := policy.Profile(pick(t, name+" profile", policy.Profiles()))
		if err != nil {
			t.Fatal(err)
		}
		return p
	case 1:
		if rapid.IntRange(0, 5).Draw(t, name+" nobody's") == 0 {
			return pick(t, name, []*policy.Policy{nil, {}})
		}
	}
	d := policy.Definition{Name: name, Rules: anyRules(t)}
	if rapid.Bool().Draw(t, name+" warns") {
		d.Warn = anyRules(t)
	}
	if rapid.IntRange(0, 3).Draw(t, name+" extends") == 0 {
		d.Extends = pick(t, name+" base", policy.Profiles())
	}
	p, err := policy.New(d)
	if err != nil {
		t.Fatalf("%+v: %v", d, err)
	}
	return p
}

func policies(t *rapid.T) []*policy.Policy {
	var out []*policy.Policy
	for i := range rapid.IntRange(1, 3).Draw(t, "policies") {
		out = append(out, anyPolicy(t, "p"+strconv.Itoa(i)))
	}
	return out
}

// Adding a policy never turns a deny into an allow: it keeps each objection and
// each open question.
func TestIntersectOnlyRestricts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, ps := anyInput(t), policies(t)
		more := anyPolicy(t, "more")
		before := policy.Intersect(ps[0], ps[1:]...).Evaluate(in)
		at := rapid.IntRange(0, len(ps)).Draw(t, "at")
		with := slices.Insert(slices.Clone(ps), at, more)
		after := policy.Intersect(with[0], with[1:]...).Evaluate(in)
		if after.Allow && !before.Allow || after.Final() && !before.Final() {
			t.Fatalf("adding a policy permits more\nbefore %v %v\nafter %v %v", before.Violations, before.Pending, after.Violations, after.Pending)
		}
		for _, v := range before.Violations {
			if !slices.Contains(after.Violations, v) {
				t.Fatalf("adding a policy lost %v", v)
			}
		}
		for _, p := range before.Pending {
			if !slices.Contains(after.Pending, p) {
				t.Fatalf("adding a policy decided %s", p)
			}
		}
		if own := more.Evaluate(in); after.Allow && !own.Allow {
			t.Fatalf("the whole permits what a part denies: %v", own.Violations)
		}
	})
}

// The whole permits exactly what all parts permit, in whatever order and
// grouping they come.
func TestIntersectIsConjunction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, ps := anyInput(t), policies(t)
		all := true
		for _, p := range ps {
			all = all && p.Evaluate(in).Allow
		}
		shuffled := rapid.Permutation(ps).Draw(t, "order")
		nested := policy.Intersect(shuffled[0])
		for _, p := range shuffled[1:] {
			nested = policy.Intersect(p, nested)
		}
		for name, p := range map[string]*policy.Policy{
			"flat": policy.Intersect(ps[0], ps[1:]...), "shuffled": policy.Intersect(shuffled[0], shuffled[1:]...),
			"nested": nested, "twice": policy.Intersect(nested, nested),
		} {
			if d := p.Evaluate(in); d.Allow != all {
				t.Fatalf("%s: %v, the parts say %v: %v", name, d.Allow, all, d.Violations)
			}
		}
	})
}

// deepCopy copies an input by way of its text, so that the copy shares nothing.
func deepCopy(t *rapid.T, in policy.Input) policy.Input {
	out := in
	out.Spec = spec.Clone(in.Spec)
	out.Paths, out.Homes, out.Protected, out.Unsafe = slices.Clone(in.Paths), slices.Clone(in.Homes), slices.Clone(in.Protected), slices.Clone(in.Unsafe)
	through := func(from, to any) {
		data, err := json.Marshal(from)
		if err == nil {
			err = json.Unmarshal(data, to)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	through(in.Identity, &out.Identity)
	through(in.Plan, &out.Plan)
	through(in.Info, &out.Info)
	return out
}

// The same input gives the same decision, and is as it was afterwards.
func TestEvaluateIsPure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, p := anyInput(t), anyPolicy(t, "p")
		kept := deepCopy(t, in)
		first := p.Evaluate(in)
		if diff := cmp.Diff(kept, in); diff != "" {
			t.Fatalf("the input has changed: %s", diff)
		}
		// What a caller does to a decision is its own business.
		second := p.Evaluate(in)
		for i := range second.Policies {
			second.Policies[i] = "changed"
		}
		if diff := cmp.Diff(p.Evaluate(kept), first); diff != "" {
			t.Fatalf("the decision has changed: %s", diff)
		}
		if first.Violations == nil || first.Warnings == nil || first.Pending == nil || first.Policies == nil {
			t.Fatalf("nil list in %+v", first)
		}
		if (first.Err("x", "") == nil) != first.Allow {
			t.Fatal("Err and Allow differ")
		}
	})
}

// An override lifts and never adds; one that is not known denies.
func TestOverridesOnlyLift(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, p := anyInput(t), anyPolicy(t, "p")
		in.Unsafe = nil
		before := p.Evaluate(in)
		in.Unsafe = some(t, "overrides", someOverrides)
		after := p.Evaluate(in)
		for _, v := range after.Violations {
			if !slices.Contains(before.Violations, v) && v.Rule != "unsafe.known" && v.Rule != "unsafe" {
				t.Fatalf("an override brought up %v", v)
			}
		}
		for _, v := range before.Violations {
			if !slices.Contains(after.Violations, v) && !slices.ContainsFunc(in.Unsafe, func(o string) bool {
				return v.Override != "" && (o == v.Override || strings.TrimRight(o, "/") == v.Override)
			}) {
				t.Fatalf("%q lifted %v", in.Unsafe, v)
			}
		}
	})
}

// fixable reports whether Tighten could have avoided v.
func fixable(v policy.Violation, s *spec.Sandbox) bool {
	switch v.Rule {
	case "capabilities.drop", "security.noNewPrivileges", "security.readOnlyRoot":
		return true
	case "resources.max":
		bounds := map[spec.Path]bool{
			"resources.cpus": s.Resources.CPUs <= 0, "resources.memory": s.Resources.Memory <= 0,
			"resources.pids": s.Resources.Pids <= 0, "resources.disk": s.Resources.Disk <= 0,
		}
		return bounds[v.Path]
	}
	return false
}

func TestTighten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, ps := anyInput(t), policies(t)
		p := policy.Intersect(ps[0], ps[1:]...)
		kept := spec.Clone(in.Spec)
		tight, patches := p.Tighten(in.Spec, in.Unsafe...)
		if diff := cmp.Diff(kept, in.Spec); diff != "" {
			t.Fatalf("the spec has changed: %s", diff)
		}

		// Only what the patches name has changed, and only to be tighter.
		was := spec.Clone(in.Spec)
		spec.Default(was)
		expected := spec.Clone(was)
		for _, patch := range patches {
			if err := tighter(expected, tight, patch); err != nil {
				t.Fatalf("%v: %v", patch, err)
			}
		}
		if diff := cmp.Diff(expected, tight); diff != "" {
			t.Fatalf("changed without a patch: %s", diff)
		}
		if again, more := p.Tighten(tight, in.Unsafe...); len(more) != 0 || !cmp.Equal(again, tight) {
			t.Fatalf("not idempotent: %v", more)
		}

		// What it can avoid is avoided, and nothing comes up that was not there.
		before := p.Evaluate(in)
		in.Spec, in.Plan = tight, nil
		after := p.Evaluate(in)
		for _, v := range after.Violations {
			if fixable(v, tight) {
				t.Fatalf("left to be fixed: %v", v)
			}
			if !slices.Contains(before.Violations, v) {
				t.Fatalf("tightening brought up %v", v)
			}
		}
	})
}

// tighter applies to s what patch says, taken from tight, after it has checked
// that it is a restriction.
func tighter(s, tight *spec.Sandbox, patch policy.Patch) error {
	bound := func(have, want int64) error {
		if have > 0 || want <= 0 {
			return fmt.Errorf("a bound went from %d to %d", have, want)
		}
		return nil
	}
	if patch.From == patch.To || patch.To == "" {
		return fmt.Errorf("nothing is patched")
	}
	switch patch.Path {
	case "security.readOnlyRoot":
		s.Security.ReadOnlyRoot = true
	case "security.noNewPrivileges":
		s.Security.NoNewPrivileges = new(true)
	case "security.capabilities.drop":
		for _, name := range s.Security.Capabilities.Drop {
			if !slices.Contains(tight.Security.Capabilities.Drop, name) {
				return fmt.Errorf("%s is no longer dropped", name)
			}
		}
		s.Security.Capabilities.Drop = tight.Security.Capabilities.Drop
	case "resources.cpus":
		defer func() { s.Resources.CPUs = tight.Resources.CPUs }()
		return bound(int64(s.Resources.CPUs), int64(tight.Resources.CPUs))
	case "resources.memory":
		defer func() { s.Resources.Memory = tight.Resources.Memory }()
		return bound(int64(s.Resources.Memory), int64(tight.Resources.Memory))
	case "resources.pids":
		defer func() { s.Resources.Pids = tight.Resources.Pids }()
		return bound(s.Resources.Pids, tight.Resources.Pids)
	case "resources.disk":
		defer func() { s.Resources.Disk = tight.Resources.Disk }()
		return bound(int64(s.Resources.Disk), int64(tight.Resources.Disk))
	default:
		return fmt.Errorf("this field is not for tightening")
	}
	return nil
}

// The generators are themselves worth a look: without allowed inputs the
// properties would say little.
func TestGeneratorDrawsBothAnswers(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) map[string]bool {
		in := anyInput(t)
		d := anyPolicy(t, "p").Evaluate(in)
		seen := map[string]bool{fmt.Sprintf("allow %v", d.Allow): true, fmt.Sprintf("final %v", d.Final()): true}
		for _, v := range d.Violations {
			seen[v.Rule] = true
		}
		return seen
	})
	seen := map[string]int{}
	for seed := range 3000 {
		for what := range gen.Example(seed) {
			seen[what]++
		}
	}
	for _, r := range policy.Catalogue() {
		if seen[r.ID] == 0 {
			t.Errorf("%s was never violated", r.ID)
		}
	}
	if seen["allow true"] < 300 || seen["allow false"] < 300 || seen["final true"] < 100 {
		t.Errorf("%v", seen)
	}
}
