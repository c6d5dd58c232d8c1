// SPDX-License-Identifier: Apache-2.0

package osys

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/berthrun/berth/conformance/probe"
)

func TestParseMountinfo(t *testing.T) {
	got, err := parseMountinfo([]byte("36 35 98:0 /mnt1 /mnt\\0402 ro,noatime master:1 - ext3 /dev/root rw,errors=continue\n" +
		"37 35 0:5 / / rw shared:2 master:1 - tmpfs  rw\n" +
		"38 35 0:6 / /a rw - overlay overlay ro,lowerdir=/l\n"))
	want := []probe.Mount{
		{Target: "/mnt 2", Root: "/mnt1", Device: "98:0", Type: "ext3", Source: "/dev/root", ReadOnly: true,
			Options: []string{"ro", "noatime"}, SuperOptions: []string{"rw", "errors=continue"}, Propagation: []string{"master:1"}},
		{Target: "/", Root: "/", Device: "0:5", Type: "tmpfs", Options: []string{"rw"}, SuperOptions: []string{"rw"},
			Propagation: []string{"shared:2", "master:1"}},
		{Target: "/a", Root: "/", Device: "0:6", Type: "overlay", Source: "overlay", ReadOnly: true,
			Options: []string{"rw"}, SuperOptions: []string{"ro", "lowerdir=/l"}, Propagation: []string{}},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	if got, err := parseMountinfo([]byte("1 2 3 4\n")); err == nil {
		t.Errorf("a short line gives %v", got)
	}
}

func TestParseRoutes(t *testing.T) {
	const heading = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
	got, err := parseRoutes([]byte(heading +
		"eth0\t00000000\t010011AC\t0003\t0\t0\t100\t00000000\t0\t0\t0\n" +
		"eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\n"))
	want := []probe.Route{
		{Interface: "eth0", Destination: "0.0.0.0/0", Gateway: "172.17.0.1", Metric: 100},
		{Interface: "eth0", Destination: "172.17.0.0/16"},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	for _, line := range []string{"eth0\t0\n", "eth0\tx\t0\t0\t0\t0\t0\t0\n", "eth0\t0\t0\t0\t0\t0\tx\t0\n"} {
		if got, err := parseRoutes([]byte(heading + line)); err == nil {
			t.Errorf("%q gives %v", line, got)
		}
	}
}

func TestParseStat(t *testing.T) {
	got, err := parseStat([]byte("12 (a) Z (b)) S 7 12 12 0"))
	if diff := cmp.Diff(probe.ProcessEntry{PPID: 7, State: "S", Name: "a) Z (b)"}, got); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	for _, text := range []string{"", "12", "12 )(", "12 (a) S", "12 (a) S x"} {
		if got, err := parseStat([]byte(text)); err == nil {
			t.Errorf("%q gives %+v", text, got)
		}
	}
}

func TestCapNames(t *testing.T) {
	got, err := capNames("8000010000000021")
	if diff := cmp.Diff([]string{"CAP_CHOWN", "CAP_KILL", "CAP_CHECKPOINT_RESTORE", "CAP_63"}, got); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	if got, err := capNames("xyz"); err == nil {
		t.Errorf("xyz gives %v", got)
	}
}

func TestReadCgroup(t *testing.T) {
	limit := func(n int64) *int64 { return &n }
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	const own1 = "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n2:pids:/docker/abc\n1:name=systemd:/x\n0::/\n"
	for _, test := range []struct {
		name string
		root fstest.MapFS
		own  string
		want probe.Cgroup
	}{
		{name: "nothing mounted", own: own1, root: fstest.MapFS{}},
		{name: "no cgroups", own: "", root: fstest.MapFS{}},
		{
			name: "version 1, the sandbox's part is mounted", own: own1,
			root: fstest.MapFS{
				"memory/memory.limit_in_bytes": file("67108864\n"), "memory/memory.memsw.limit_in_bytes": file("9223372036854771712\n"),
				"pids/pids.max": file("max\n"), "cpu/cpu.cfs_quota_us": file("-1\n"), "cpu/cpu.cfs_period_us": file("100000\n"),
			},
			want: probe.Cgroup{Version: 1, Path: "/docker/abc", Memory: limit(67108864), Swap: limit(-1), Pids: limit(-1), Quota: limit(-1), Period: limit(100000)},
		},
		{
			name: "version 1, all is mounted: the own part counts", own: own1,
			root: fstest.MapFS{
				"memory/memory.limit_in_bytes": file("1\n"), "memory/docker/abc/memory.limit_in_bytes": file("2\n"),
			},
			want: probe.Cgroup{Version: 1, Path: "/docker/abc", Memory: limit(2)},
		},
		{
			name: "version 2", own: "0::/\n",
			root: fstest.MapFS{
				"cgroup.controllers": file("cpu memory pids"), "memory.max": file("67108864\n"), "memory.swap.max": file("0\n"),
				"pids.max": file("64\n"), "cpu.max": file("50000 100000\n"),
			},
			want: probe.Cgroup{Version: 2, Path: "/", Memory: limit(67108864), Swap: limit(0), Pids: limit(64), Quota: limit(50000), Period: limit(100000)},
		},
		{
			name: "version 2, no limit and hidden files", own: "0::/../..\n",
			root: fstest.MapFS{"cgroup.controllers": file(""), "cpu.max": file("max 100000\n")},
			want: probe.Cgroup{Version: 2, Path: "/", Quota: limit(-1), Period: limit(100000)},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, readCgroup(test.root, []byte(test.own))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzParsers: files of /proc and of the cgroup mount can hold anything in a kernel that only looks like Linux.
func FuzzParsers(f *testing.F) {
	for _, path := range []string{"/proc/self/mountinfo", "/proc/net/route", "/proc/self/stat", "/proc/self/status", "/proc/self/cgroup"} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("36 35 98:0 /\\04 /\\999 ro - a b\\ c"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = parseMountinfo(data)
		_, _ = parseRoutes(data)
		_, _ = parseStat(data)
		for _, value := range parseStatus(data) {
			_, _ = capNames(value)
		}
		root := fstest.MapFS{"cgroup.controllers": {}, "memory.max": {Data: data}, "cpu.max": {Data: data}}
		_ = readCgroup(root, data)
		delete(root, "cgroup.controllers")
		_ = readCgroup(root, data)
		if text := string(data); !strings.Contains(text, `\`) && unescape(text) != text {
			t.Errorf("unescape changed %q", text)
		}
	})
}

// TestForkedChildKilled shows what the memory command shows when the kernel chooses the child.
func TestForkedChildKilled(t *testing.T) {
	pid, err := fork(&job{kind: jobSleep})
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	status, err := wait(context.Background(), pid)
	if err != nil || !status.Signaled() || status.Signal() != unix.SIGKILL {
		t.Errorf("status %#x, %v; want killed", status, err)
	}
}

func TestForkedChildEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	pid, err := fork(&job{kind: jobSleep})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := wait(ctx, pid); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("child %d: %v, want it gone", pid, err)
	}
}

func TestErrnoName(t *testing.T) {
	for number, want := range map[syscall.Errno]probe.Errno{unix.EROFS: "EROFS", unix.EAGAIN: "EAGAIN", 524: "E524"} {
		if got := errnoName(number); got != want {
			t.Errorf("%d is %s, want %s", number, got, want)
		}
	}
}

// TestSyscallsKnown holds the list of names and the table together.
func TestSyscallsKnown(t *testing.T) {
	table := syscallTable()
	for _, name := range probe.Syscalls() {
		if _, ok := table[name]; !ok && name != "iopl" && name != "ioperm" {
			t.Errorf("%s has no entry", name)
		}
		delete(table, name)
	}
	for name := range table {
		t.Errorf("%s is not in probe.Syscalls", name)
	}
}
