// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseStat(t *testing.T) {
	tail := " S 17 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0"
	for name, tc := range map[string]struct {
		in   string
		want stat
		ok   bool
	}{
		"plain":              {"42 (sh)" + tail, stat{"sh", 'S', 17, 4711}, true},
		"hostile name":       {"42 (a) Z 1 (b)" + tail, stat{"a) Z 1 (b", 'S', 17, 4711}, true},
		"no name":            {"42 sh" + tail, stat{}, false},
		"cut off":            {"42 (sh) S 17 1", stat{}, false},
		"no number":          {"42 (sh)" + strings.Replace(tail, "4711", "x", 1), stat{}, false},
		"parens wrong order": {")(", stat{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseStat([]byte(tc.in))
			if (err == nil) != tc.ok || got != tc.want {
				t.Errorf("parseStat = %+v, %v, want %+v, ok %v", got, err, tc.want, tc.ok)
			}
		})
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (sh) S 17 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0"))
	f.Add([]byte(")("))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseStat(b); err != nil && s != (stat{}) {
			t.Errorf("parseStat(%q) = %+v with error %v", b, s, err)
		}
	})
}

// A recorded pid that now belongs to another process must not be signalled.
func TestSignalNeedsSameProcess(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := identify("sleep", cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	other := p
	other.Start++
	if other.alive() {
		t.Error("a process with another start time counts as alive")
	}
	if err := other.signal(syscall.SIGKILL); err != nil {
		t.Errorf("signal a process that is gone: %v, want no error", err)
	}
	if !p.alive() {
		t.Error("the signal reached a process with another start time")
	}
	if err := p.end(time.Second, nil); err != nil {
		t.Errorf("end: %v", err)
	}
	if p.alive() {
		t.Error("the process survived end")
	}
	_ = cmd.Wait()
}

func TestMarked(t *testing.T) {
	dir := t.TempDir()
	for env, want := range map[string]bool{
		markVar + "=" + dir:         true,
		markVar + "=" + dir + "x":   false, // another engine's directory
		"X" + markVar + "=" + dir:   false,
		"OTHER=" + markVar + "=dir": false,
	} {
		cmd := exec.Command("sleep", "1000")
		cmd.Env = []string{"A=B", env, "C=D"}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, p := range marked(dir) {
			found = found || p.PID == cmd.Process.Pid
		}
		if found != want {
			t.Errorf("marked finds a process with %q: %v, want %v", env, found, want)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

func TestMarkedLeavesOutThisProcess(t *testing.T) {
	if os.Getenv(markVar) == "" {
		// environ shows what a process started with: run this test again.
		cmd := exec.Command(os.Args[0], "-test.run=^TestMarkedLeavesOutThisProcess$", "-test.v")
		cmd.Env = append(os.Environ(), markVar+"=/some/dir")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	for _, p := range marked(os.Getenv(markVar)) {
		if p.PID == os.Getpid() || p.PID == os.Getppid() {
			t.Errorf("marked returns %+v, which is this process or its parent", p)
		}
	}
}

func TestAnswerDNS(t *testing.T) {
	query := func(name string, qtype uint16) []byte {
		q := []byte{0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
		for l := range strings.SplitSeq(name, ".") {
			q = append(append(q, byte(len(l))), l...)
		}
		return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(append(q, 0), qtype), 1)
	}
	known := answerDNS(query("Outside.berth.TEST", 1))
	if known == nil || known[3]&0xf != 0 || known[7] != 1 || !strings.HasSuffix(string(known), "\xc6\x33\x64\x01") {
		t.Errorf("the known name: %x, want one answer with %s", known, outsideAddr)
	}
	if r := answerDNS(query(OutsideName, 28)); r == nil || r[3]&0xf != 0 || r[7] != 0 {
		t.Errorf("the known name's IPv6 address: %x, want no error and no answer", r)
	}
	if r := answerDNS(query("example.com", 1)); r == nil || r[3]&0xf != 3 || r[7] != 0 {
		t.Errorf("another name: %x, want NXDOMAIN", r)
	}
	if r := answerDNS(known); r != nil {
		t.Errorf("a reply was answered: %x", r)
	}
}

func FuzzAnswerDNS(f *testing.F) {
	f.Add([]byte("\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07outside\x05berth\x04test\x00\x00\x01\x00\x01"))
	f.Add([]byte("\xab\xcd\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c"))
	f.Fuzz(func(t *testing.T, q []byte) {
		if r := answerDNS(q); r != nil && (len(r) < 12 || r[2]&0x80 == 0 || string(r[:2]) != string(q[:2])) {
			t.Errorf("answerDNS(%x) = %x: want a reply to this query", q, r)
		}
	})
}

func TestParseRules(t *testing.T) {
	in := "# Generated\n*nat\n:PREROUTING ACCEPT [12:34]\n-A POSTROUTING -s 1.2.3.0/24 -j MASQUERADE\nCOMMIT\n*filter\n:FORWARD DROP [0:0]\nCOMMIT\n"
	want := []string{
		"iptables nat :PREROUTING ACCEPT",
		"iptables nat -A POSTROUTING -s 1.2.3.0/24 -j MASQUERADE",
		"iptables filter :FORWARD DROP",
	}
	if d := cmp.Diff(want, parseRules("iptables", []byte(in))); d != "" {
		t.Error(d)
	}
}

func TestForbidServices(t *testing.T) {
	for name, had := range map[string]bool{"none before": false, "one before": true} {
		for _, killed := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "policy-rc.d")
				own := "#!/bin/sh\nexit 104\n"
				if had {
					if err := os.WriteFile(path, []byte(own), 0o755); err != nil {
						t.Fatal(err)
					}
				}
				restore, err := forbidServices(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := exec.Command(path).Run(); err == nil || err.Error() != "exit status 101" {
					t.Errorf("the script: %v, want exit status 101", err)
				}
				if killed { // the first one never restored
					if restore, err = forbidServices(path); err != nil {
						t.Fatal(err)
					}
				}
				if err := restore(); err != nil {
					t.Fatal(err)
				}
				b, err := os.ReadFile(path)
				if had && string(b) != own || !had && !errors.Is(err, os.ErrNotExist) {
					t.Errorf("after restore: %q, %v", b, err)
				}
				if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		}
	}
}

// The lock is what tells a living owner from a dead one.
func TestLockDir(t *testing.T) {
	dir := t.TempDir()
	l, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockDir(dir); !errors.Is(err, errOwned) {
		t.Errorf("a second lock: %v, want %v", err, errOwned)
	}
	l.Close()
	if l, err = lockDir(dir); err != nil {
		t.Fatalf("after the owner is gone: %v", err)
	}
	l.Close()
}

// Deleting must never go through a bind mount into somebody's files.
func TestRemoveDataRefusesMounts(t *testing.T) {
	needRoot(t)
	dir, user := t.TempDir(), t.TempDir()
	precious := filepath.Join(user, "precious")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	point := filepath.Join(dir, "a b")
	if err := os.Mkdir(point, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(user, point, "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(point, syscall.MNT_DETACH) })
	if err := removeData(dir); err == nil || !strings.Contains(err.Error(), point) {
		t.Errorf("removeData: %v, want a refusal that names %q", err, point)
	}
	if err := unmountBelow(dir); err != nil {
		t.Fatal(err)
	}
	if err := removeData(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
}

// An empty or foreign name must never lead to other people's cgroups.
func TestOnlyOwnNames(t *testing.T) {
	for _, name := range []string{"", ".", "..", "/", "docker", "system.slice", "berth-x/../docker", "berth-"} {
		if got := cgroupDirs(name); got != nil {
			t.Errorf("cgroupDirs(%q) = %q", name, got)
		}
		for _, s := range []state{{Cgroup: name}, {Cgroup: "berth-x", Netns: []string{name}}} {
			dir := t.TempDir()
			if err := s.write(dir); err != nil {
				t.Fatal(err)
			}
			if err := cleanDir(t.Context(), dir); err == nil {
				t.Errorf("cleanDir took the state %+v", s)
			}
		}
	}
}

// Somebody else's state file must not make root kill and remove things.
func TestRefusesForeignBase(t *testing.T) {
	needRoot(t)
	for name, spoil := range map[string]func(base string) error{
		"other owner":    func(base string) error { return os.Chown(base, 12345, 0) },
		"world writable": func(base string) error { return os.Chmod(base, 0o777) },
		"symlink": func(base string) error {
			return errors.Join(os.Rename(base, base+"-real"), os.Symlink(base+"-real", base))
		},
	} {
		t.Run(name, func(t *testing.T) {
			base := filepath.Join(t.TempDir(), "base")
			dir := filepath.Join(base, "x")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := (&state{Cgroup: "berth-x"}).write(dir); err != nil {
				t.Fatal(err)
			}
			if err := spoil(base); err != nil {
				t.Fatal(err)
			}
			_, startErr := Start(t.Context(), Options{Base: base, Name: "y"})
			_, findErr := Find(base, "x")
			for what, err := range map[string]error{
				"CleanStale": CleanStale(t.Context(), base, io.Discard), "Down": Down(t.Context(), base, "x"), "Start": startErr, "Find": findErr,
			} {
				if err == nil || !strings.Contains(err.Error(), "only this user") {
					t.Errorf("%s: %v, want a refusal", what, err)
				}
			}
			if _, err := os.Stat(filepath.Join(dir, "state.json")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLongDirectory(t *testing.T) {
	needRoot(t)
	base := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	if d, err := Start(t.Context(), Options{Base: base, Name: "y"}); err == nil {
		t.Fatalf("started: %v", d.Stop())
	} else if !strings.Contains(err.Error(), "no room for socket names") {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(base, "*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestStartRefusesNames(t *testing.T) {
	for _, name := range []string{"../x", "UPPER", "-a", strings.Repeat("a", 17), "a b"} {
		if d, err := Start(context.Background(), Options{Base: t.TempDir(), Name: name}); err == nil {
			t.Errorf("name %q was taken: %v", name, d.Stop())
		}
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test starts an engine or mounts something: run `make test` as root")
	}
}
