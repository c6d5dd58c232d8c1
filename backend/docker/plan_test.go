// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
	"github.com/berthrun/berth/spec/yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

// planFor makes the request that internal/sandbox would make of a spec.
func planRequest(s *spec.Sandbox) *backend.CreateRequest {
	req := &backend.CreateRequest{
		ID: "a123456789abcdef", Spec: s, Digest: spec.Digest(s), Image: &backend.Image{ID: "sha256:" + strings.Repeat("1f", 32)},
		Identity: backend.Identity{Mode: "number", UID: 1000, GID: 1000, Home: "/home/berth"},
		Argv:     slices.Concat(s.Process.Command, s.Process.Args), Env: maps.Clone(s.Process.Env),
		Init:     &backend.Init{Timeout: time.Minute},
		Overlays: map[int]backend.OverlayDirs{},
		Record:   backend.Record{Version: 1, Digest: "sha256:0"},
	}
	switch s.User.As {
	case spec.UserCaller:
		req.Identity.Mode = spec.UserCaller
	case spec.UserImage:
		req.Identity = backend.Identity{Mode: spec.UserImage, User: "app"}
	}
	for i, m := range s.Mounts {
		if m.Mode == spec.ModeOverlay {
			upper := m.Upper
			if upper == "" {
				upper = fmt.Sprintf("/state/%d/upper", i)
			}
			req.Overlays[i] = backend.OverlayDirs{Lower: m.Source, Upper: upper, Work: fmt.Sprintf("/state/%d/work", i)}
		}
	}
	if strings.HasPrefix(s.Security.Seccomp, "/") {
		req.Seccomp = json.RawMessage(`{"defaultAction":"SCMP_ACT_ALLOW"}`)
	}
	return req
}

// golden requests may change facts and the request.
type goldenOptions struct {
	Facts       map[string]string
	Identity    *backend.Identity
	Support     []backend.SupportMount
	NoInit      bool
	EnginePaths bool
}

// TestPlanGolden translates specs without an engine. A file has the spec, and
// may have options; the ledger and the native request are written by -update.
func TestPlanGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/plan/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var o goldenOptions
			var s *spec.Sandbox
			for _, f := range archive.Files {
				switch f.Name {
				case "spec.yaml":
					if s, err = yaml.Decode(f.Data, f.Name); err != nil {
						t.Fatal(err)
					}
				case "options.json":
					dec := json.NewDecoder(bytes.NewReader(f.Data))
					dec.DisallowUnknownFields()
					if err := dec.Decode(&o); err != nil {
						t.Fatal(err)
					}
				}
			}
			spec.Default(s)
			if err := spec.Validate(s); err != nil {
				t.Fatal(err)
			}
			req := planRequest(s)
			req.Support, req.EnginePaths = o.Support, o.EnginePaths
			if o.Identity != nil {
				req.Identity = *o.Identity
			}
			if o.NoInit {
				req.Init = nil
			}
			plan, _, err := translate(req, infoWith(o.Facts))
			if err := backend.CheckPlan(plan, s); err != nil {
				t.Error(err)
			}
			got := map[string]string{"ledger": ledgerText(plan), "native.json": indent(t, plan.Native), "error": ""}
			if err != nil {
				got["error"] = err.Error() + "\n"
			}
			want := map[string]string{"ledger": "", "native.json": "", "error": ""}
			for _, f := range archive.Files {
				if _, ok := want[f.Name]; ok {
					want[f.Name] = string(f.Data)
				}
			}
			if *update {
				archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { _, ok := want[f.Name]; return ok })
				for _, name := range []string{"ledger", "error", "native.json"} {
					if got[name] != "" {
						archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(got[name])})
					}
				}
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("got, want (-update writes it):\n%s", diff)
			}
		})
	}
}

func ledgerText(p *backend.Plan) string {
	var b strings.Builder
	for _, m := range p.Mappings {
		fmt.Fprintf(&b, "%s %s", m.Field, m.Fidelity)
		for _, part := range []string{m.Native, string(m.Capability), m.Note} {
			fmt.Fprintf(&b, " | %s", part)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func indent(t *testing.T, data json.RawMessage) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, data, "", "  "); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

// some draws one of a few values, the zero value among them.
func some[T any](t *rapid.T, label string, values ...T) T {
	var zero T
	return rapid.SampledFrom(append([]T{zero}, values...)).Draw(t, label)
}

// anySandbox draws over the whole type. Not every draw is valid: the ledger has
// to be complete all the same.
func anySandbox(t *rapid.T) *spec.Sandbox {
	s := &spec.Sandbox{
		Name:  some(t, "name", "web"),
		Image: spec.Image{Ref: some(t, "ref", "docker.io/library/debian:latest", spec.HostImage), Pull: some(t, "pull", spec.PullAlways), Platform: some(t, "platform", "linux/arm64")},
		Process: spec.Process{
			Command: some(t, "command", []string{"sh", "-c"}), Args: some(t, "args", []string{"true"}), Env: some(t, "env", map[string]string{"TOKEN": "secret-value", "A": ""}),
			Workdir: some(t, "workdir", "/w"), Stdin: rapid.Bool().Draw(t, "stdin"), TTY: rapid.Bool().Draw(t, "tty"),
		},
		User:    spec.User{As: some(t, "as", "image", "0", "1000:1000"), Groups: some(t, "groups", []uint32{4, 27}), Name: some(t, "login", "app")},
		Network: spec.Network{Mode: some(t, "mode", spec.NetNone, spec.NetHost, spec.NetInternal, spec.NetShared, spec.NetNamed), Name: some(t, "net", "team", "bridge", "host"), Aliases: some(t, "aliases", []string{"db"}), HostAlias: rapid.Bool().Draw(t, "hostAlias")},
		Resources: spec.Resources{
			CPUs: some(t, "cpus", spec.CPUs(1), spec.CPUs(2500)), Memory: some(t, "memory", spec.MiB, 64*spec.MiB), Pids: some(t, "pids", int64(10)), Shm: some(t, "shm", spec.MiB),
			NoFile: some(t, "nofile", spec.NoFile{Soft: 10, Hard: 20}, spec.NoFile{Soft: 1, Hard: 1<<64 - 1}, spec.NoFile{Soft: 1, Hard: 1 << 63}), Disk: some(t, "disk", spec.GiB),
		},
		Security: spec.Security{
			Profile:      some(t, "profile", spec.ProfileHardened),
			Capabilities: spec.Capabilities{Add: some(t, "add", []string{"ALL"}, []string{"NET_RAW"}), Drop: some(t, "drop", []string{"ALL"}, []string{"CHOWN"})},
			Seccomp:      some(t, "seccomp", "unconfined", "/profile.json"), NoNewPrivileges: some(t, "nnp", new(false), new(true)), ReadOnlyRoot: rapid.Bool().Draw(t, "ro"),
			Runtime: some(t, "runtime", "runsc", "kata"), Devices: some(t, "devices", []string{"/dev/kvm", "/dev/a:/dev/b:r", "nvidia.com/gpu=all", "vendor.com/x=y"}),
		},
		Agent: some(t, "agent", spec.AgentBuiltin, spec.AgentImage, spec.AgentNone),
		Life: spec.Life{
			StopSignal: some(t, "signal", "SIGUSR1"), StopGrace: some(t, "grace", spec.Duration(1500*time.Millisecond)), IdleTimeout: some(t, "idle", spec.Duration(time.Hour)),
			TTL: some(t, "ttl", spec.Duration(time.Hour)), Restart: some(t, "restart", spec.Restart{Policy: spec.RestartAlways}), Health: some(t, "health", &spec.Health{Command: []string{"true"}}),
		},
		Labels:     some(t, "labels", map[string]string{"a": "b"}),
		Extensions: some(t, "extensions", map[string]json.RawMessage{"docker": json.RawMessage(`{"x":1}`), "podman": json.RawMessage(`{}`)}, map[string]json.RawMessage{"docker": json.RawMessage(`{}`)}),
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "mounts") {
		s.Mounts = append(s.Mounts, spec.Mount{
			Type: some(t, "type", spec.MountBind, spec.MountVolume, spec.MountTmpfs), Source: some(t, "source", "/src", "/s,r:c", "cache"), Target: fmt.Sprintf("/t%d", i),
			Mode: some(t, "mountMode", spec.ModeRO, spec.ModeOverlay), Size: some(t, "size", spec.MiB), NoExec: rapid.Bool().Draw(t, "noexec"),
			SELinux: some(t, "selinux", spec.SELinuxShared, spec.SELinuxPrivate), Upper: some(t, "upper", "/upper", "/up,per"),
		})
	}
	s.Binding.Address = some(t, "address", "0.0.0.0", "::1")
	for i := range rapid.IntRange(0, 2).Draw(t, "ports") {
		s.Binding.Ports = append(s.Binding.Ports, spec.Port{ContainerPort: 8000 + i, HostPort: some(t, "hostPort", 9000+i), Protocol: some(t, "protocol", spec.UDP), Address: some(t, "portAddress", "192.0.2.1")})
	}
	for range rapid.IntRange(0, 2).Draw(t, "additional") {
		s.Network.Additional = append(s.Network.Additional, spec.Attachment{Name: some(t, "other", "extra", "bridge", "team"), Aliases: some(t, "otherAliases", []string{"x"})})
	}
	for range rapid.IntRange(0, 1).Draw(t, "egress") {
		s.Network.Egress = append(s.Network.Egress, spec.EgressRule{Domain: "example.com"})
	}
	spec.Default(s)
	return s
}

func anyFacts(t *rapid.T) map[string]string {
	change := map[string]string{}
	for _, fact := range slices.Sorted(maps.Keys(flips)) {
		if rapid.IntRange(0, 9).Draw(t, fact) == 0 {
			change[fact] = flips[fact]
		}
	}
	return change
}

// TestPlanIsComplete checks the contract of Plan over specs and engines.
func TestPlanIsComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySandbox(t)
		info := infoWith(anyFacts(t))
		req := planRequest(s)
		plan, out, err := translate(req, info)
		if plan == nil {
			t.Fatal(err)
		}
		if err := backend.CheckPlan(plan, s); err != nil {
			t.Fatal(err)
		}
		if err := backend.CheckInfo(info); err != nil {
			t.Fatal(err)
		}
		refused := slices.ContainsFunc(plan.Mappings, func(m backend.Mapping) bool { return m.Fidelity == backend.Refused })
		if refused != errors.Is(err, backend.Unsupported) {
			t.Fatalf("refused %t, error %v", refused, err)
		}
		again, _, _ := translate(planRequest(spec.Clone(s)), info)
		if diff := cmp.Diff(again, plan); diff != "" {
			t.Fatalf("the same request gave another plan:\n%s", diff)
		}
		for field, used := range map[spec.Path]bool{
			"security.readOnlyRoot": out.Host.ReadonlyRootfs, "resources.memory": out.Host.Memory != 0, "resources.pids": out.Host.PidsLimit != nil,
		} {
			if m, ok := plan.Mapping(field); ok && m.Fidelity != backend.Refused && !used {
				t.Fatalf("%s is %s and has no effect on the request", field, m.Fidelity)
			}
		}
		if bytes.Contains(plan.Native, []byte("secret-value")) {
			t.Fatal("the native request has an environment value")
		}
		if h := out.Host; h.Privileged || h.PublishAllPorts || h.PidMode != "" || h.UsernsMode != "" || h.IpcMode != "private" || len(h.MaskedPaths) == 0 || len(h.SecurityOpt) < 1 {
			t.Fatalf("unsafe: %+v", h)
		}
	})
}
