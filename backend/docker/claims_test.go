// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"log/slog"
	"maps"
	"strings"
	"testing"

	"github.com/berthrun/berth/backend"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/system"
)

// factsOf are the facts of a rootful docker that has everything but what the
// driver lacks.
func factsOf(change map[string]string) map[string]string {
	d := &driver{host: "unix:///var/run/docker.sock", base: "http://docker", cfg: backend.Config{Log: slog.New(slog.DiscardHandler)}}
	a := &answers{
		info: system.Info{
			ID: "ID", ServerVersion: "28.5.2", OSType: "linux", OperatingSystem: "Debian", Architecture: "x86_64", KernelVersion: "6.1.0-28-amd64", NCPU: 4,
			CgroupVersion: "2", CgroupDriver: "systemd", MemoryLimit: true, SwapLimit: true, CPUCfsQuota: true, CPUCfsPeriod: true, PidsLimit: true,
			Driver: "btrfs", LiveRestoreEnabled: true, LoggingDriver: "journald", Plugins: system.PluginsInfo{Log: []string{"journald", "json-file", "local"}},
			Runtimes: map[string]system.RuntimeWithStatus{"runc": {}, "runsc": {}, "io.containerd.runc.v2": {}}, DefaultRuntime: "runc",
			CDISpecDirs: []string{"/etc/cdi"}, DiscoveredDevices: []system.DeviceInfo{{Source: "cdi", ID: "vendor.com/device=one"}}, SecurityOptions: []string{"name=apparmor", "name=seccomp,profile=builtin", "name=selinux", "name=cgroupns"},
		},
		version: types.Version{APIVersion: "1.51"},
		bridge:  &network.Inspect{},
	}
	f := d.infoOf(a).Facts
	maps.Copy(f, change)
	return f
}

// infoWith is an Info made of changed facts.
func infoWith(change map[string]string) *backend.Info {
	f := factsOf(change)
	return &backend.Info{
		Driver: Name, Engine: f["engine.name"], APIVersion: f["api.version"], Remote: f["host.remote"] == "true",
		Rootless: f["security.rootless"] == "true", CallerAsRoot: f["security.rootless"] == "true",
		OS: "linux", Arch: "amd64", Kernel: f["info.KernelVersion"], CgroupVersion: 2, Runtimes: strings.Fields(f["info.Runtimes"]),
		Facts: f, Claims: claims(f), Warnings: []string{},
	}
}

// flips are other values for each fact that a claim may name.
var flips = map[string]string{
	"driver.lacks":            "",
	"engine.name":             "somethingelse",
	"api.version":             "1.40",
	"host.remote":             "true",
	"info.OSType":             "windows",
	"info.CgroupDriver":       "none",
	"info.MemoryLimit":        "false",
	"info.CpuCfsQuota":        "false",
	"info.PidsLimit":          "false",
	"info.LiveRestoreEnabled": "false",
	"info.Plugins.Log":        "journald",
	"info.Runtimes":           "",
	"info.CDISpecDirs":        "",
	"security.rootless":       "true",
	"security.userns":         "true",
	"security.seccomp":        "false",
	"security.selinux":        "false",
	"storage.quota":           "false",
}

// TestClaimsReadTheirFact flips the fact that each claim names and expects that
// the claim says something else.
func TestClaimsReadTheirFact(t *testing.T) {
	base := factsOf(nil)
	before := claims(base)
	for _, c := range backend.Capabilities() {
		claim := before[c]
		value, ok := flips[claim.Fact]
		if !ok || base[claim.Fact] == value {
			t.Errorf("%s names the fact %q, for which the test has no other value than %q", c, claim.Fact, base[claim.Fact])
			continue
		}
		after := claims(factsOf(map[string]string{claim.Fact: value}))[c]
		if after.Support == claim.Support {
			t.Errorf("%s stays %q when %s goes from %q to %q", c, claim.Support, claim.Fact, base[claim.Fact], value)
		}
	}
}

func TestClaimsByEngine(t *testing.T) {
	type want map[backend.Capability]backend.Support
	tests := map[string]struct {
		facts map[string]string
		want  want
	}{
		"docker 20.10": {map[string]string{"api.version": "1.41", "info.CDISpecDirs": ""}, want{
			backend.MountReadOnly: backend.Emulated, backend.SecDeviceCDI: backend.Missing, backend.NetHostAlias: backend.Native, backend.UserCaller: backend.Native}},
		"docker 19.03":               {map[string]string{"api.version": "1.40"}, want{backend.NetHostAlias: backend.Missing}},
		"docker 28 on an old kernel": {map[string]string{"info.KernelVersion": "5.10.0"}, want{backend.MountReadOnly: backend.Emulated}},
		"nvidia's runtime":           {map[string]string{"info.CDISpecDirs": "", "info.Runtimes": "nvidia runc"}, want{backend.SecDeviceCDI: backend.Emulated}},
		"rootless": {map[string]string{"security.rootless": "true"}, want{
			backend.UserCaller: backend.Emulated, backend.NetHost: backend.Missing, backend.MountOverlay: backend.Native}},
		"rootless on an old kernel": {map[string]string{"security.rootless": "true", "info.KernelVersion": "5.4"}, want{backend.MountOverlay: backend.Missing}},
		"rootless on cgroup v1": {map[string]string{"security.rootless": "true", "info.CgroupDriver": "none", "info.MemoryLimit": "false", "info.CpuCfsQuota": "false", "info.PidsLimit": "false"}, want{
			backend.ResMemory: backend.Missing, backend.ResCPUs: backend.Missing, backend.ResPids: backend.Missing, backend.LifePause: backend.Missing}},
		"userns-remap":   {map[string]string{"security.userns": "true"}, want{backend.UserCaller: backend.Missing, backend.UserNumber: backend.Native}},
		"remote":         {map[string]string{"host.remote": "true"}, want{backend.MountBind: backend.Missing, backend.MountOverlay: backend.Missing, backend.MountVolume: backend.Native}},
		"desktop":        {map[string]string{"info.OperatingSystem": "Docker Desktop"}, want{backend.NetHost: backend.Missing}},
		"bridge no icc":  {map[string]string{"network.bridge.icc": "false"}, want{backend.NetIsolated: backend.Native}},
		"podman":         {map[string]string{"engine.name": "podman"}, want{backend.NetIsolated: backend.Missing, backend.NetHostAlias: backend.Missing, backend.MountReadOnly: backend.Missing, backend.UserCaller: backend.Missing, backend.BindNone: backend.Missing}},
		"windows":        {map[string]string{"info.OSType": "windows"}, want{backend.ImagePull: backend.Missing, backend.NetNone: backend.Missing, backend.Exec: backend.Missing}},
		"something else": {map[string]string{"engine.name": "other"}, want{backend.Exec: backend.Unknown, backend.NetNone: backend.Unknown}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			info := infoWith(tt.facts)
			if err := backend.CheckInfo(info); err != nil {
				t.Error(err)
			}
			for c, support := range tt.want {
				if got := info.Claim(c); got.Support != support {
					t.Errorf("%s is %q (%s%s), want %q", c, got.Support, got.Mechanism, got.Reason, support)
				}
			}
		})
	}
}

func TestKernelAtLeast(t *testing.T) {
	for _, tt := range []struct {
		release, want string
		ok            bool
	}{
		{"6.1.0-28-amd64", "5.12", true}, {"5.12", "5.12", true}, {"5.12-rc1", "5.12", true}, {"5.4.0", "5.12", false},
		{"5.11.99", "5.12", false}, {"4.18.0-553.el8", "5.11", false}, {"", "5.12", false}, {"linux", "1.0", false}, {"10.0", "5.12", true},
	} {
		if got := kernelAtLeast(tt.release, tt.want); got != tt.ok {
			t.Errorf("kernelAtLeast(%q, %q) = %t", tt.release, tt.want, got)
		}
	}
}

func TestMountTable(t *testing.T) {
	const table = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
not a line
30 22 0:25 / /mnt/a\040b rw - xfs /dev/vdb rw,attr2,prjquota
31 22 0:26 / /mnt/tab\011 rw shared:2 master:1 - tmpfs tmpfs rw,size=1k
`
	var got []string
	for m := range mountTable(strings.NewReader(table)) {
		got = append(got, m.point+" "+strings.Join(m.super, ","))
	}
	want := []string{"/ rw", "/mnt/a b rw,attr2,prjquota", "/mnt/tab\t rw,size=1k"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q, want %q", got, want)
	}
}
