// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berthrun/berth/spec"
)

// The corpus covers what a document can say; this is what only a program can
// put into a spec, and what would make long documents.
func TestValidate(t *testing.T) {
	long := strings.Repeat("x", 128<<10)
	for _, tt := range []struct {
		name string
		set  func(*spec.Sandbox)
		want []string
	}{
		{"nothing but an image", func(*spec.Sandbox) {}, nil},
		{"text that is not UTF-8", func(s *spec.Sandbox) {
			s.Process.Args = []string{"\xff"}
			s.Labels = map[string]string{"a\x80": ""}
		}, []string{"process.args[0]: invalid", `labels["a\x80"]: invalid`}},
		{"NUL in an enumeration", func(s *spec.Sandbox) { s.Image.Pull = "never\x00" }, []string{"image.pull: invalid"}},
		{"negative numbers", func(s *spec.Sandbox) {
			s.Mounts = []spec.Mount{{Type: spec.MountTmpfs, Target: "/a", Size: -1}}
			s.Resources = spec.Resources{CPUs: -1, Memory: -1, Pids: -1, Shm: -1, Disk: -1}
			s.Life = spec.Life{
				StopGrace: -1, IdleTimeout: -1, TTL: -1,
				Restart: spec.Restart{Policy: spec.RestartOnFailure, MaxRetries: -1},
				Health:  &spec.Health{Command: []string{"x"}, Interval: -1, Timeout: -1, StartPeriod: -1, Retries: -1},
			}
		}, []string{
			"mounts[0].size: out-of-range",
			"resources.cpus: out-of-range", "resources.memory: out-of-range", "resources.pids: out-of-range",
			"resources.shm: out-of-range", "resources.disk: out-of-range",
			"life.stopGrace: out-of-range", "life.idleTimeout: out-of-range", "life.ttl: out-of-range",
			"life.restart.maxRetries: out-of-range",
			"life.health.interval: out-of-range", "life.health.timeout: out-of-range",
			"life.health.startPeriod: out-of-range", "life.health.retries: out-of-range",
		}},
		{"more cpus than a text can say", func(s *spec.Sandbox) { s.Resources.CPUs = math.MaxInt64 }, []string{"resources.cpus: out-of-range"}},
		{"limits of open files", func(s *spec.Sandbox) { s.Resources.NoFile = spec.NoFile{Hard: 5} }, []string{"resources.nofile.soft: required"}},
		{"unlimited open files", func(s *spec.Sandbox) {
			s.Resources.NoFile = spec.NoFile{Soft: math.MaxUint64, Hard: math.MaxUint64}
		}, []string{"resources.nofile.soft: out-of-range", "resources.nofile.hard: out-of-range"}},
		{"text that Linux does not pass on", func(s *spec.Sandbox) {
			s.Process = spec.Process{Command: []string{"sh", long}, Args: []string{long[1:], long}, Env: map[string]string{"A": long[2:], "AA": long[3:], "B": long[3:]}}
		}, []string{"process.command[1]: out-of-range", "process.args[1]: out-of-range", "process.env.A: out-of-range", "process.env.AA: out-of-range"}},
		{"many labels", func(s *spec.Sandbox) { s.Labels = map[string]string{"a": long[:64<<10]} }, []string{"labels: out-of-range"}},
		{"as many labels as may be", func(s *spec.Sandbox) { s.Labels = map[string]string{"a": long[:64<<10-1]} }, nil},
		{"reserved label in another case", func(s *spec.Sandbox) { s.Labels = map[string]string{"Berth.x": ""} }, []string{"labels.Berth.x: reserved"}},
		{"extensions", func(s *spec.Sandbox) {
			s.Extensions = map[string]json.RawMessage{
				"a": nil, "b": json.RawMessage(`{`), "c": json.RawMessage(`[{}]`), "d": json.RawMessage(`{"x":1,"x":2}`),
				"e": json.RawMessage(`{"x":[{"y":{"z":1}},{"y":1,"z":{"y":1},"\u0079":2}]}`), "f": json.RawMessage(`{} {}`),
				"g": json.RawMessage("{\"\xff\":1}"), "h": json.RawMessage(` {"x":{"x":["x","x"]},"y":"x"} `),
			}
		}, []string{
			"extensions.a: invalid", "extensions.b: invalid", "extensions.c: invalid", "extensions.d: invalid",
			"extensions.e: invalid", "extensions.f: invalid", "extensions.g: invalid",
		}},
		{"one mistake is told once", func(s *spec.Sandbox) {
			s.Mounts = []spec.Mount{{Type: "x", Source: "rel", Target: "rel", Mode: "y", Upper: "rel"}, {Target: ""}, {Target: ""}}
			s.Binding.Address = "x\x00"
			s.Security.Devices = []string{"\x00", "kvm"}
		}, []string{
			"mounts[0].type: unknown-value", "mounts[0].target: invalid", "mounts[0].mode: unknown-value", "mounts[0].upper: invalid",
			"mounts[1].type: required", "mounts[1].target: required", "mounts[2].type: required", "mounts[2].target: required",
			"binding.address: invalid", "security.devices[0]: invalid", "security.devices[1]: invalid",
		}},
		{"shortest and longest grace", func(s *spec.Sandbox) { s.Life.StopGrace = spec.Duration(time.Hour) }, nil},
		{"a long domain", func(s *spec.Sandbox) {
			s.Network.Egress = []spec.EgressRule{{Domain: strings.Repeat("a.", 127)}, {Domain: strings.Repeat("a.", 127) + "com"}}
		}, []string{"network.egress[0].domain: invalid", "network.egress[1].domain: out-of-range"}},
		{"a network in two families", func(s *spec.Sandbox) {
			s.Network.Egress = []spec.EgressRule{{CIDR: "::ffff:10.0.0.0/104"}, {CIDR: "fe80::1%eth0"}, {CIDR: "10.0.0.0/33"}}
		}, []string{"network.egress[0].cidr: invalid", "network.egress[1].cidr: invalid", "network.egress[2].cidr: invalid"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &spec.Sandbox{Image: spec.Image{Ref: "debian"}}
			tt.set(s)
			err := spec.Validate(s)
			var problems spec.Problems
			errors.As(err, &problems)
			var got []string
			for _, p := range problems {
				got = append(got, string(p.Path)+": "+string(p.Code))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s%v", diff, err)
			}
		})
	}
}

// Common mistakes have an answer of their own.
func TestValidateAdvice(t *testing.T) {
	for _, tt := range []struct {
		set  func(*spec.Sandbox)
		want string
	}{
		{func(s *spec.Sandbox) { s.Mounts[0].Type = "overlay" }, `mounts[0].type: "overlay" is a mode, not a type: write type: bind and mode: overlay`},
		{func(s *spec.Sandbox) { s.Mounts[0].Source = "./src" }, `mounts[0].source: "./src" is not absolute: write the path from /`},
		{func(s *spec.Sandbox) { s.Mounts[0].Source = "/a/../b" }, `mounts[0].source: "/a/../b" has a .. element: write the path that it leads to`},
		{func(s *spec.Sandbox) { s.Mounts[0].Source = "/a/" }, `mounts[0].source: "/a/" is not clean: remove empty and . elements and the / at the end`},
		{func(s *spec.Sandbox) { s.Mounts[0] = spec.Mount{Source: "./src", Target: "/a"} }, `mounts[0].source: "./src" is not the name of a volume: for a folder of the host write its absolute path and type: bind`},
		{func(s *spec.Sandbox) { s.Mounts[0].Target = "/" }, `mounts[0].target: "/" cannot be replaced: want a path below it`},
		{func(s *spec.Sandbox) { s.Mounts[0].Target = "/dev/shm" }, `mounts[0].target: "/dev/shm" is made by the engine: set resources.shm for its size`},
		{func(s *spec.Sandbox) { s.Mounts[0].Target = "/dev/pts" }, `mounts[0].target: "/dev/pts" is in /dev, which the engine fills: mount somewhere else`},
		{func(s *spec.Sandbox) { s.Security.Devices = []string{"/dev/kvm:rw"} }, `security.devices[0]: "/dev/kvm:rw" is not valid: write /dev/kvm:/dev/kvm:rw`},
		{func(s *spec.Sandbox) { s.Network.Egress = []spec.EgressRule{{CIDR: "::1"}} }, `network.egress[0].cidr: "::1" has no length: write ::1/128`},
		{func(s *spec.Sandbox) { s.Resources.Memory = spec.MiB }, `resources.memory: 1Mi is too small for any program: want at least 6Mi`},
		{func(s *spec.Sandbox) { s.Image.Pull = "allways" }, `image.pull: "allways" is not known: want missing, always or never`},
		{func(s *spec.Sandbox) { s.Life.StopGrace = spec.Duration(2 * time.Hour) }, `life.stopGrace: 2h0m0s is out of range: want at most 1h0m0s`},
		{func(s *spec.Sandbox) { s.Resources.CPUs = -1500 }, `resources.cpus: -1.5 is out of range: want at least 0`},
	} {
		s := &spec.Sandbox{Image: spec.Image{Ref: "debian"}, Mounts: []spec.Mount{{Type: spec.MountBind, Source: "/a", Target: "/a"}}}
		tt.set(s)
		if got := message(spec.Validate(s)); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	for name, data := range corpus(b, "good", 25) {
		if name != "mounts.yaml" {
			continue
		}
		s, _, err := read(data, name)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if err := spec.Validate(s); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func TestValidateAcceptsEveryCapability(t *testing.T) {
	names := spec.CapabilityNames()
	if len(names) != 41 { // CAP_LAST_CAP is 40, CHECKPOINT_RESTORE
		t.Errorf("%d capabilities", len(names))
	}
	s := &spec.Sandbox{Image: spec.Image{Ref: "debian"}}
	for _, name := range names {
		s.Security.Capabilities.Add = append(s.Security.Capabilities.Add, "cap_"+strings.ToLower(name))
	}
	if err := spec.Validate(s); err != nil {
		t.Error(err)
	}
	names[0] = "X"
	if spec.CapabilityNames()[0] != "CHOWN" {
		t.Error("a caller's change reached the list")
	}
}

// The table is read by the generator of the schema; nobody may change it.
func TestConstraintsAreTheCallersOwn(t *testing.T) {
	c := spec.Constraints()
	delete(c, "name")
	if _, ok := spec.Constraints()["name"]; !ok {
		t.Error("a caller's change reached the table")
	}
}

// Whoever fuzzes gets specs as a careless program would build them: JSON read
// without any strictness.
func FuzzValidate(f *testing.F) {
	for _, data := range corpus(f, "good", 25) {
		s, _, err := read(data, "x.yaml")
		if err != nil || s == nil {
			f.Fatal(err)
		}
		canonical, err := spec.Canonical(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(canonical)
	}
	f.Add([]byte(`{"mounts":[{"target":"/a"},{"target":"/a"}],"security":{"devices":[":/::","/dev/a:/dev/b:"]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := new(spec.Sandbox)
		if json.Unmarshal(data, s) != nil {
			return
		}
		first := spec.Validate(s)
		spec.Default(s)
		once := spec.Clone(s)
		spec.Default(s)
		if diff := cmp.Diff(once, s); diff != "" {
			t.Errorf("the second Default changed:\n%s", diff)
		}
		if again := spec.Validate(s); message(first) != message(again) {
			t.Errorf("problems differ:\n%v\n\n%v", first, again)
		}
		spec.SetFields(s)
		if first == nil && spec.Digest(s) == "" {
			t.Error("a valid spec has no digest")
		}
	})
}
