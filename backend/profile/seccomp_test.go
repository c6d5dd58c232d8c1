// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

var machine = Machine{Arch: "amd64", Kernel: "6.1.0-28-amd64"}

// allows reports whether p has a rule that allows name without conditions.
func allows(p *specs.LinuxSeccomp, name string) bool {
	return slices.ContainsFunc(p.Syscalls, func(s specs.LinuxSyscall) bool {
		return s.Action == specs.ActAllow && len(s.Args) == 0 && slices.Contains(s.Names, name)
	})
}

func mustDefault(t *testing.T, m Machine, caps []string) *specs.LinuxSeccomp {
	t.Helper()
	p, err := DefaultSeccomp(m, caps)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDefaultSeccompFollowsCapabilities(t *testing.T) {
	for call, capability := range map[string]string{
		"mount": "SYS_ADMIN", "bpf": "BPF", "chroot": "SYS_CHROOT", "reboot": "SYS_BOOT", "clone3": "SYS_ADMIN", "settimeofday": "SYS_TIME",
	} {
		if allows(mustDefault(t, machine, nil), call) {
			t.Errorf("%s is allowed without %s", call, capability)
		}
		if !allows(mustDefault(t, machine, []string{capability}), call) {
			t.Errorf("%s is not allowed with %s", call, capability)
		}
	}
}

func TestDefaultSeccompFollowsMachine(t *testing.T) {
	tests := map[string]struct {
		m     Machine
		arch  specs.Arch
		calls map[string]bool
	}{
		"amd64":          {machine, specs.ArchX86_64, map[string]bool{"read": true, "ptrace": true, "arch_prctl": true, "riscv_flush_icache": false}},
		"arm64":          {Machine{"arm64", "6.1"}, specs.ArchAARCH64, map[string]bool{"arch_prctl": false, "arm_fadvise64_64": true}},
		"riscv64":        {Machine{"riscv64", "6.1"}, specs.ArchRISCV64, map[string]bool{"riscv_flush_icache": true}},
		"old kernel":     {Machine{"amd64", "4.4.0"}, specs.ArchX86_64, map[string]bool{"ptrace": false, "read": true}},
		"unknown kernel": {Machine{"amd64", ""}, specs.ArchX86_64, map[string]bool{"ptrace": false, "read": true}},
		"unknown arch":   {Machine{"pdp11", "6.1"}, "", map[string]bool{"read": true, "arch_prctl": false}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := mustDefault(t, tt.m, nil)
			if tt.arch != "" && (len(p.Architectures) == 0 || p.Architectures[0] != tt.arch) {
				t.Errorf("architectures %v: want %s first", p.Architectures, tt.arch)
			}
			if tt.arch == "" && len(p.Architectures) != 0 {
				t.Errorf("architectures %v: want none", p.Architectures)
			}
			for call, want := range tt.calls {
				if got := allows(p, call); got != want {
					t.Errorf("%s allowed: %t, want %t", call, got, want)
				}
			}
		})
	}
}

// TestSeccompIsStatic reads the result back the way an engine does and expects
// that nothing is left to decide.
func TestSeccompIsStatic(t *testing.T) {
	p := mustDefault(t, machine, Standard())
	text, err := JSON(p)
	if err != nil {
		t.Fatal(err)
	}
	var back seccomp.Seccomp
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	for _, s := range back.Syscalls {
		if s.Includes != nil || s.Excludes != nil {
			t.Errorf("%v is conditional", s.Names)
		}
	}
	if len(back.ArchMap) != 0 || len(back.Syscalls) == 0 {
		t.Errorf("%d entries in archMap, %d rules", len(back.ArchMap), len(back.Syscalls))
	}
	again, err := Seccomp(text, Machine{Arch: "arm64"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(again, p); diff != "" {
		t.Errorf("a static profile changed when it was resolved again:\n%s", diff)
	}
}

func TestSeccompRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"empty":             "",
		"not JSON":          "allow everything",
		"a list":            "[]",
		"no default action": `{"syscalls":[]}`,
		"trailing text":     `{"defaultAction":"SCMP_ACT_ERRNO"} x`,
		"both arch forms":   `{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86"}]}`,
		"name and names":    `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"name":"read","names":["write"],"action":"SCMP_ACT_ALLOW"}]}`,
		"null rule":         `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[null]}`,
		"bad kernel":        `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"name":"read","action":"SCMP_ACT_ALLOW","includes":{"minKernel":"x"}}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if p, err := Seccomp([]byte(text), machine, nil); err == nil {
				t.Errorf("accepted: %+v", p)
			} else if !strings.HasPrefix(err.Error(), "seccomp profile: ") {
				t.Errorf("error %q does not say what it is about", err)
			}
		})
	}
}

func FuzzSeccomp(f *testing.F) {
	f.Add(defaultProfile)
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"read","action":"SCMP_ACT_ERRNO"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Seccomp(text, machine, Standard())
		if err != nil {
			return
		}
		out, err := JSON(p)
		if err != nil {
			t.Fatalf("accepted, and cannot be written: %v", err)
		}
		if _, err := Seccomp(out, machine, nil); err != nil {
			t.Fatalf("its own output is refused: %v", err)
		}
	})
}
