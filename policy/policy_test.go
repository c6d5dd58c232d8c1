// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/policy"
	"github.com/berthrun/berth/spec"
)

var update = flag.Bool("update", false, "rewrite golden files")

func Example() {
	s := &spec.Sandbox{
		Image:   spec.Image{Ref: "docker.io/library/debian:12"},
		Mounts:  []spec.Mount{{Type: spec.MountBind, Source: "/home/ann/keys", Target: "/workspace"}},
		Network: spec.Network{Mode: spec.NetHost},
	}
	p, err := policy.For(s)
	if err != nil {
		fmt.Println(err)
		return
	}
	d := p.Evaluate(policy.Input{
		Spec:   s,
		Homes:  []string{"/home/ann"},
		Unsafe: []string{"network.modes=host"},
		Paths:  []policy.ResolvedPath{{Field: "mounts[0]", Asked: "/home/ann/keys", Resolved: "/home/ann/.ssh", Kind: policy.KindDir}},
	})
	fmt.Println(d.Allow, d.Pending)
	for _, v := range d.Violations {
		fmt.Println(v)
	}
	for _, w := range d.Warnings {
		fmt.Println(w)
	}
	// Output:
	// false [plan.complete]
	// mounts[0]: host path /home/ann/.ssh, where /home/ann/keys leads, is protected (rule mounts.protected of policy built-in; unsafe override: mounts.protected=/home/ann/.ssh)
	// network.mode: permitted by the unsafe override network.modes=host: network mode host shares the host's network stack, its loopback services and abstract sockets included: permitted is isolated, none, internal, shared, named (rule network.modes of policy standard)
}

func TestFor(t *testing.T) {
	own := define(t, policy.Rules{})
	for _, c := range []struct {
		spec *spec.Sandbox
		want []string
	}{
		{nil, []string{"standard", "own"}},
		{&spec.Sandbox{}, []string{"standard", "own"}},
		{&spec.Sandbox{Security: spec.Security{Profile: hard}}, []string{"hardened", "own"}},
	} {
		p, err := policy.For(c.spec, own, own)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Names(); !slices.Equal(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	p, err := policy.For(&spec.Sandbox{Security: spec.Security{Profile: "lax"}}, own)
	if p != nil || !errors.Is(err, backend.Invalid) || !strings.Contains(err.Error(), "hardened") {
		t.Errorf("%v %v", p, err)
	}
	var e *backend.Error
	if !errors.As(err, &e) || e.Field != "security.profile" {
		t.Errorf("%#v", err)
	}
}

// A policy that nobody made denies, and stays so in company.
func TestNobodysPolicyDenies(t *testing.T) {
	in := planned(base())
	for name, p := range map[string]*policy.Policy{
		"nil": nil, "zero": {}, "nil first": policy.Intersect(nil, profile(t, std)), "zero last": policy.Intersect(profile(t, std), &policy.Policy{}),
	} {
		if d := p.Evaluate(in); d.Allow {
			t.Errorf("%s allows", name)
		}
	}
}

func TestNewReportsEveryMistake(t *testing.T) {
	_, err := policy.New(policy.Definition{Name: "standard", Extends: "lax",
		Rules: policy.Rules{
			Profiles:     []spec.Profile{"lax"},
			Images:       policy.ImageRules{Allow: []string{"debian", "", "docker.io/", "library/debian", "host"}},
			Mounts:       policy.MountRules{Roots: []string{"rel", "~bob", "/a/../b", "", "/a/*", "~/ok", "/ok"}, Types: []spec.MountType{"x"}, Modes: []spec.MountMode{"x"}, Volumes: []string{"a/b", ""}},
			Binding:      policy.BindingRules{Addresses: []string{"any", "127.0.0.1/33", "fe80::1%x", "::ffff:10.0.0.0/104", "::/0"}, MinHostPort: 70000},
			Network:      policy.NetworkRules{Modes: []spec.NetworkMode{"bridge"}, Names: []string{""}, Additional: []string{"/"}},
			Capabilities: policy.CapabilityRules{Add: []string{"CAP_CHOWN"}, Drop: []string{"all"}},
			Resources:    policy.ResourceRules{Required: []policy.Resource{"ram"}, Max: policy.Limits{Memory: -1, CPUs: -1}},
			Security:     policy.SecurityRules{Seccomp: []string{"rel.json", "/a/../b", "/ok.json"}, Runtimes: []string{""}, Devices: []string{""}},
			Extensions:   []string{"Docker"},
			Fidelity:     map[string]backend.Fidelity{"a.*": "roughly", "": backend.Exact},
			Claims:       []backend.Capability{"net.magic"},
			Unsafe:       []string{"network.mode=host"},
		},
		Warn: policy.Rules{Network: policy.NetworkRules{Modes: []spec.NetworkMode{"bridge"}}},
	})
	var problems spec.Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	var got []string
	for _, p := range problems {
		got = append(got, string(p.Path))
		if p.Message == "" || p.Code == "" {
			t.Errorf("%+v", p)
		}
	}
	want := []string{
		"name", "extends",
		"rules.binding.addresses[0]", "rules.binding.addresses[1]", "rules.binding.addresses[2]", "rules.binding.minHostPort",
		"rules.capabilities.add[0]", "rules.capabilities.drop[0]", "rules.claims[0]", "rules.extensions[0]", "rules.fidelity", "rules.fidelity[\"a.*\"]",
		"rules.images.allow[0]", "rules.images.allow[1]", "rules.images.allow[2]", "rules.images.allow[3]",
		"rules.mounts.modes[0]", "rules.mounts.roots[0]", "rules.mounts.roots[1]", "rules.mounts.roots[2]", "rules.mounts.roots[3]", "rules.mounts.roots[4]",
		"rules.mounts.types[0]", "rules.mounts.volumes[0]", "rules.mounts.volumes[1]",
		"rules.network.additional[0]", "rules.network.modes[0]", "rules.network.names[0]", "rules.profiles[0]",
		"rules.resources.max.cpus", "rules.resources.max.memory", "rules.resources.required[0]",
		"rules.security.devices[0]", "rules.security.runtimes[0]", "rules.security.seccomp[0]", "rules.security.seccomp[1]", "rules.unsafe[0]",
		"warn.network.modes[0]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"", "built-in", "none"} {
		if _, err := policy.New(policy.Definition{Name: name}); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
}

// What the caller does to its definition later does not change the policy.
func TestNewCopies(t *testing.T) {
	modes := []spec.NetworkMode{spec.NetIsolated}
	p := define(t, policy.Rules{Network: policy.NetworkRules{Modes: modes}})
	modes[0] = spec.NetNone
	if d := p.Evaluate(planned(base())); d.Allow {
		t.Error("the policy has changed")
	}
}

func TestErr(t *testing.T) {
	in := base()
	in.Spec.Network.Mode = spec.NetHost
	in.Spec.Security.Seccomp = spec.SeccompUnconfined
	err := profile(t, std).Evaluate(planned(in)).Err("sandbox.policy", "abc")
	if !errors.Is(err, backend.Denied) || backend.KindOf(err) != backend.Denied {
		t.Errorf("kind of %v", err)
	}
	for _, want := range []string{"sandbox.policy: sandbox abc: network.mode: ", "unsafe override: security.seccomp=unconfined"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	in.Spec.Network.Mode = spec.NetNone
	var e *backend.Error
	if err := profile(t, std).Evaluate(planned(in)).Err("x", ""); !errors.As(err, &e) || e.Field != "security.seccomp" {
		t.Errorf("%#v", err)
	}
}

func TestHostPaths(t *testing.T) {
	s := &spec.Sandbox{
		Mounts: []spec.Mount{
			{Type: spec.MountBind, Source: "/a", Mode: spec.ModeOverlay, Upper: "/u"},
			{Type: spec.MountVolume, Source: "v"}, {Source: "/b"}, {Type: spec.MountTmpfs},
		},
		Security: spec.Security{Seccomp: "/p.json", Devices: []string{"vendor.com/c=n", "/dev/x:/dev/y:r"}},
	}
	want := []policy.HostPath{
		{Field: "mounts[0]", Path: "/a"}, {Field: "mounts[0].upper", Path: "/u"}, {Field: "mounts[2]", Path: "/b"},
		{Field: "security.seccomp", Path: "/p.json"}, {Field: "security.devices[1]", Path: "/dev/x"},
	}
	if diff := cmp.Diff(want, policy.HostPaths(s)); diff != "" {
		t.Error(diff)
	}
	if got := policy.HostPaths(nil); len(got) != 0 {
		t.Error(got)
	}
}

func TestTightenHardened(t *testing.T) {
	s := &spec.Sandbox{Security: spec.Security{NoNewPrivileges: new(false), Capabilities: spec.Capabilities{Add: []string{"CHOWN"}, Drop: []string{"kill"}}}}
	tight, patches := profile(t, hard).Tighten(s)
	want := []policy.Patch{
		{Path: "security.capabilities.drop", From: "KILL", To: "ALL, KILL", Rule: "capabilities.drop"},
		{Path: "security.noNewPrivileges", From: "false", To: "true", Rule: "security.noNewPrivileges"},
		{Path: "security.readOnlyRoot", From: "false", To: "true", Rule: "security.readOnlyRoot"},
	}
	if diff := cmp.Diff(want, patches); diff != "" {
		t.Error(diff)
	}
	if !slices.Equal(tight.Security.Capabilities.Add, []string{"CHOWN"}) {
		t.Errorf("what was asked for is gone: %q", tight.Security.Capabilities.Add)
	}
	if got := patches[0].String(); got != "security.capabilities.drop: KILL -> ALL, KILL (rule capabilities.drop)" {
		t.Error(got)
	}
	_, patches = profile(t, hard).Tighten(s, "security.readOnlyRoot=off", "security.noNewPrivileges=off", "capabilities.drop=ALL")
	if len(patches) != 0 {
		t.Errorf("tightened in spite of overrides: %v", patches)
	}
	own := define(t, policy.Rules{Security: policy.SecurityRules{ReadOnlyRoot: true}})
	if _, patches := own.Tighten(s, "security.readOnlyRoot=off"); len(patches) != 1 {
		t.Errorf("an override lifted an own rule: %v", patches)
	}
	if out, patches := profile(t, hard).Tighten(nil); out != nil || len(patches) != 0 {
		t.Errorf("%v %v", out, patches)
	}
}

func TestTightenFillsInTheSmallestBound(t *testing.T) {
	limit := func(b spec.Bytes) *policy.Policy {
		return define(t, policy.Rules{Resources: policy.ResourceRules{Max: policy.Limits{Memory: b, Shm: b}}})
	}
	want := []policy.Patch{{Path: "resources.memory", To: "1Gi", Rule: "resources.max"}}
	for _, p := range []*policy.Policy{policy.Intersect(limit(spec.GiB), limit(2*spec.GiB)), policy.Intersect(limit(2*spec.GiB), limit(spec.GiB))} {
		tight, patches := p.Tighten(&spec.Sandbox{})
		if tight.Resources.Memory != spec.GiB || tight.Resources.Shm != 0 || !cmp.Equal(patches, want) {
			t.Errorf("%v %v", tight.Resources, patches)
		}
	}
	asked := &spec.Sandbox{Resources: spec.Resources{Memory: 4 * spec.GiB}}
	if _, patches := limit(spec.GiB).Tighten(asked); len(patches) != 0 {
		t.Errorf("a number that was asked for is changed: %v", patches)
	}
}

func TestExplain(t *testing.T) {
	policies := map[string]*policy.Policy{}
	for _, name := range policy.Profiles() {
		policies[string(name)] = profile(t, name)
	}
	own, err := policy.New(policy.Definition{Name: "ci", Extends: hard,
		Rules: policy.Rules{
			Images:    policy.ImageRules{Allow: []string{"ghcr.io/acme/**"}},
			Resources: policy.ResourceRules{Max: policy.Limits{CPUs: 1500, Memory: spec.GiB}},
			Fidelity:  map[string]backend.Fidelity{"network.*": backend.Exact},
			Unsafe:    []string{},
		},
		Warn: policy.Rules{Images: policy.ImageRules{Pinned: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	policies["file"] = own
	for name, p := range policies {
		var got bytes.Buffer
		if err := p.WriteText(&got); err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", "explain", name+".txt")
		if *update {
			if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Keys and empty lists of what programs read are a contract.
func TestJSON(t *testing.T) {
	in := base()
	in.Spec.Network.Mode = spec.NetHost
	in.Plan = nil
	got, err := json.Marshal(profile(t, std).Evaluate(in))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"allow":false,"violations":[{"rule":"network.modes","policy":"standard","path":"network.mode","message":"network mode host shares the host's network stack, its loopback services and abstract sockets included: permitted is isolated, none, internal, shared, named","override":"network.modes=host"}],"warnings":[],"pending":["plan.complete"],"policies":["standard"]}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	for _, e := range profile(t, std).Explain() {
		if e.Settings == nil {
			t.Errorf("%s: nil settings", e.ID)
		}
	}
}

// Whatever a caller hands over, the answer is a decision and never a panic.
func FuzzEvaluate(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		in, p := anyInput(t), anyPolicy(t, "p")
		for i := range in.Spec.Mounts {
			in.Spec.Mounts[i].Source += rapid.String().Draw(t, "tail")
		}
		for i := range in.Paths {
			in.Paths[i].Resolved += rapid.String().Draw(t, "tail")
		}
		in.Spec.Binding.Address = rapid.String().Draw(t, "address")
		in.Unsafe = append(in.Unsafe, rapid.String().Draw(t, "override"), "mounts.protected="+rapid.String().Draw(t, "subject"))
		d := p.Evaluate(in)
		if d.Allow != (len(d.Violations) == 0) {
			t.Fatal("allow and violations differ")
		}
		tight, _ := p.Tighten(in.Spec, in.Unsafe...)
		if tight == nil {
			t.Fatal("no spec")
		}
	}))
}

func BenchmarkEvaluate(b *testing.B) {
	c := ruleCase{profile: std, change: both(dir("/home/ann/project"), dir("/usr/share/doc"))}
	in := c.input()
	p, err := policy.For(in.Spec)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if d := p.Evaluate(in); !d.Allow {
			b.Fatal(d.Violations)
		}
	}
}
