// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berthrun/berth/spec"
)

func TestDefault(t *testing.T) {
	base := func(change func(*spec.Sandbox)) *spec.Sandbox {
		s := &spec.Sandbox{
			APIVersion: "berth/v1alpha1",
			Kind:       "Sandbox",
			Image:      spec.Image{Pull: spec.PullMissing},
			User:       spec.User{As: "caller", Name: "berth"},
			Binding:    spec.Binding{Address: "127.0.0.1"},
			Network:    spec.Network{Mode: spec.NetIsolated},
			Security:   spec.Security{Profile: spec.ProfileStandard, Seccomp: "default", NoNewPrivileges: new(true)},
			Agent:      spec.AgentAuto,
			Life:       spec.Life{StopGrace: spec.Duration(10 * time.Second), Restart: spec.Restart{Policy: spec.RestartNo}},
		}
		change(s)
		return s
	}
	for _, tt := range []struct {
		name     string
		in, want *spec.Sandbox
	}{
		{"nothing set", &spec.Sandbox{}, base(func(*spec.Sandbox) {})},
		{
			"empty is not set",
			&spec.Sandbox{Process: spec.Process{Command: []string{}, Env: map[string]string{}}, Mounts: []spec.Mount{}},
			base(func(*spec.Sandbox) {}),
		},
		{
			"mount types from sources",
			&spec.Sandbox{Mounts: []spec.Mount{{Source: "/a"}, {Source: "cache"}, {}, {Type: "tmpfs", Mode: "ro", SELinux: "shared"}}},
			base(func(s *spec.Sandbox) {
				s.Mounts = []spec.Mount{
					{Type: spec.MountBind, Source: "/a", Mode: spec.ModeRW, SELinux: spec.SELinuxNone},
					{Type: spec.MountVolume, Source: "cache", Mode: spec.ModeRW, SELinux: spec.SELinuxNone},
					{Mode: spec.ModeRW, SELinux: spec.SELinuxNone},
					{Type: spec.MountTmpfs, Mode: spec.ModeRO, SELinux: spec.SELinuxShared},
				}
			}),
		},
		{
			"one spelling of an address",
			&spec.Sandbox{Binding: spec.Binding{Address: "::ffff:0.0.0.0", Ports: []spec.Port{{Address: "0:0:0:0:0:0:0:1"}, {Address: "fe80::1%eth0"}, {}}}},
			base(func(s *spec.Sandbox) {
				s.Binding = spec.Binding{Address: "0.0.0.0", Ports: []spec.Port{
					{Address: "::1", Protocol: spec.TCP}, {Address: "fe80::1%eth0", Protocol: spec.TCP}, {Protocol: spec.TCP},
				}}
			}),
		},
		{
			"a name alone is a named network",
			&spec.Sandbox{Network: spec.Network{Name: "lab"}},
			base(func(s *spec.Sandbox) { s.Network = spec.Network{Mode: spec.NetNamed, Name: "lab"} }),
		},
		{
			"one spelling of capabilities",
			&spec.Sandbox{Security: spec.Security{NoNewPrivileges: new(false), Capabilities: spec.Capabilities{
				Add:  []string{"net_raw", "CAP_CHOWN", "chown", "Nope", "CAP_CAP_CHOWN"},
				Drop: []string{"all"},
			}}},
			base(func(s *spec.Sandbox) {
				s.Security.NoNewPrivileges = new(false)
				s.Security.Capabilities = spec.Capabilities{Add: []string{"CAP_CAP_CHOWN", "CHOWN", "NET_RAW", "Nope"}, Drop: []string{"ALL"}}
			}),
		},
		{
			"one spelling of signals",
			&spec.Sandbox{Life: spec.Life{StopSignal: "int"}},
			base(func(s *spec.Sandbox) { s.Life.StopSignal = "SIGINT" }),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec.Default(tt.in)
			if diff := cmp.Diff(tt.want, tt.in); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseSignal(t *testing.T) {
	for _, tt := range []struct {
		in, name string
		number   int
	}{
		{"TERM", "SIGTERM", 15}, {"sigterm", "SIGTERM", 15}, {"15", "SIGTERM", 15}, {"1", "SIGHUP", 1}, {"31", "SIGSYS", 31},
		{"CLD", "SIGCHLD", 17}, {"SIGPOLL", "SIGIO", 29}, {"IOT", "SIGABRT", 6},
		{"RTMIN", "SIGRTMIN", 34}, {"RTMIN+0", "SIGRTMIN", 34}, {"RTMIN+3", "SIGRTMIN+3", 37}, {"sigrtmin+15", "SIGRTMIN+15", 49},
		{"RTMIN+16", "SIGRTMAX-14", 50}, {"RTMAX-14", "SIGRTMAX-14", 50}, {"SIGRTMAX", "SIGRTMAX", 64}, {"64", "SIGRTMAX", 64},
		{"RTMIN+30", "SIGRTMAX", 64}, {"RTMAX-30", "SIGRTMIN", 34}, {"34", "SIGRTMIN", 34},
	} {
		if name, number, err := spec.ParseSignal(tt.in); err != nil || name != tt.name || number != tt.number {
			t.Errorf("ParseSignal(%q) = %q, %d, %v; want %q, %d", tt.in, name, number, err, tt.name, tt.number)
		}
	}
	for _, in := range []string{"", "SIG", "0", "32", "33", "65", "-1", "+15", "NOPE", "SIGSIGTERM", "RTMIN+31", "RTMIN-1", "RTMAX-31", "RTMIN+", "SIG15", " TERM"} {
		if name, number, err := spec.ParseSignal(in); err == nil {
			t.Errorf("ParseSignal(%q) = %q, %d; want an error", in, name, number)
		}
	}
}

func FuzzParseSignal(f *testing.F) {
	for _, s := range []string{"TERM", "RTMIN+3", "SIGRTMAX-1", "64", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, number, err := spec.ParseSignal(s)
		if err != nil {
			return
		}
		for _, again := range []string{name, fmt.Sprint(number)} {
			if n, i, err := spec.ParseSignal(again); err != nil || n != name || i != number {
				t.Errorf("%q is %s, %d; %q is %s, %d, %v", s, name, number, again, n, i, err)
			}
		}
	})
}
