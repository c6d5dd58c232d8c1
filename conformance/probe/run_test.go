// SPDX-License-Identifier: Apache-2.0

package probe_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berthrun/berth/conformance/probe"
)

// run runs a command line on a model and decodes what it prints.
func run(t *testing.T, sys probe.System, commands ...[]string) ([]probe.Result, int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := probe.Run(t.Context(), sys, probe.Line(commands...), nil, &stdout, &stderr)
	if stderr.Len() > 0 {
		t.Logf("stderr: %s", &stderr)
	}
	results, err := probe.Decode(stdout.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return results, code
}

func TestChain(t *testing.T) {
	m := newModel()
	got, code := run(t, m,
		[]string{"id"},
		[]string{"write", "/workspace/a", "+"},
		[]string{"write", "/ro/x", "hello"},
		[]string{"read", "/workspace/a"},
		[]string{"stat", "/x"},
		[]string{"env", "HOME", "ODD", "GONE"},
	)
	if code != 0 {
		t.Errorf("exit code %d, want 0: a refusal is data", code)
	}
	want := []probe.Result{
		{Command: "id", Args: []string{}, Value: &probe.ID{
			UID: 7, EUID: 7, GID: 8, EGID: 8, Groups: []int{8, 9}, User: "app", PasswdHome: "/home/app", Group: "grp",
			HomeEnv: "/last", UserEnv: "app", Cwd: "/work", Hostname: "box", PID: 1, Umask: 0o22,
			Stdin: probe.Terminal{TTY: true, Rows: 24, Cols: 80},
		}},
		{Command: "write", Args: []string{"/workspace/a", "+"}, Value: &probe.Written{Bytes: 1}},
		{Command: "write", Args: []string{"/ro/x", "hello"}, Errno: "EROFS", Detail: "EROFS", Value: &probe.Written{}},
		{Command: "read", Args: []string{"/workspace/a"}, Value: &probe.Content{Data: []byte("+")}},
		{Command: "stat", Args: []string{"/x"}, Errno: "ENOSYS", Detail: "ENOSYS"},
		{Command: "env", Args: []string{"HOME", "ODD", "GONE"}, Value: &probe.Env{
			Vars: []string{"HOME=/home/app", "ODD=\ufffd", "HOME=/last"}, Missing: []string{"GONE"},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results differ (-want +got):\n%s", diff)
	}
}

func TestUsageErrorsDoNothing(t *testing.T) {
	for name, args := range map[string][]string{
		"empty":            {},
		"empty command":    {"id", "+", "+", "id"},
		"unknown":          {"write", "/a", "b", "+", "nonsense"},
		"missing":          {"write", "/a", "b", "+", "stat"},
		"too many":         {"write", "/a", "b", "+", "stat", "/a", "/b"},
		"empty path":       {"write", "/a", "b", "+", "stat", ""},
		"size":             {"write", "/a", "b", "+", "memory", "1M"},
		"size overflow":    {"write", "/a", "b", "+", "memory", "9223372036854775807Gi"},
		"mode":             {"write", "/a", "b", "+", "chmod", "/a", "8"},
		"duration":         {"write", "/a", "b", "+", "sleep", "-1s"},
		"signal":           {"write", "/a", "b", "+", "kill-self", "NONE"},
		"uncatchable":      {"write", "/a", "b", "+", "trap", "KILL", "3"},
		"exit code":        {"write", "/a", "b", "+", "exit", "256"},
		"network":          {"write", "/a", "b", "+", "dial", "tpc", "x:1"},
		"address":          {"write", "/a", "b", "+", "dial", "tcp", "localhost"},
		"port":             {"write", "/a", "b", "+", "listen", "tcp", ":http"},
		"unlisted syscall": {"write", "/a", "b", "+", "syscall", "read"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel()
			var stdout, stderr bytes.Buffer
			code := probe.Run(context.Background(), m, args, nil, &stdout, &stderr)
			if code != probe.ExitUsage || stdout.Len() > 0 || stderr.Len() == 0 {
				t.Errorf("code %d, stdout %q, stderr %q; want %d, nothing, a message", code, &stdout, &stderr, probe.ExitUsage)
			}
			if _, ok := m.files["/a"]; ok {
				t.Error("the first command ran although the line is wrong")
			}
		})
	}
}

// commandLines has one working line for every command.
var commandLines = map[string][]string{
	"id": nil, "env": {"A"}, "args": {"a", "++"}, "status": nil, "limits": nil, "cgroup": nil, "ps": nil, "zombies": nil,
	"tty": nil, "stat": {"/a"}, "read": {"/a", "1Ki"}, "write": {"/a", "b", "600"}, "append": {"/a", "b"}, "fill": {"/a", "1Mi"},
	"touch": {"/a"}, "mkdir": {"/a", "1777"}, "remove": {"/a"}, "rename": {"/a", "/b"}, "link": {"/a", "/b"},
	"symlink": {"/a", "/b"}, "chmod": {"/a", "4755"}, "chown": {"/a", "-1", "4294967294"}, "list": {"/"},
	"mknod": {"/a", "c", "1", "3"}, "statfs": {"/"}, "mountinfo": {"/a"}, "mount": {"/a"}, "remount": {"/a"},
	"exec": {"/a", "b"}, "mkexec": {"/a"}, "suid": {"/a"}, "memory": {"1Gi"}, "memory-self": {"1"}, "pids": {"3"},
	"cpu": {"1ms", "2"}, "nofile": {"3"}, "orphan": {"3", "1s"}, "dial": {"tcp", "a:1", "1s", "x"}, "listen": {"udp", ":0", "x"},
	"resolve": {"a"}, "interfaces": nil, "routes": nil, "hosts": nil, "resolver": nil, "syscall": {"mount"}, "syscalls": nil,
	"sleep": {"1ms"}, "hold": nil, "trap": {"TERM", "3"}, "ignore": {"HUP"}, "kill": {"-1", "TERM"}, "kill-self": {"RTMIN+3"},
	"exit": {"0"}, "out": {"5"}, "err": {"5"}, "lines": {"2"}, "cat": nil, "term": nil, "sha": nil, "echo": nil,
}

// TestEveryCommandRefused runs each command on a system that refuses everything: that is data, not a failure, and
// the chain goes on.
func TestEveryCommandRefused(t *testing.T) {
	// These need no operation that can be refused.
	plain := []string{
		"env", "args", "tty", "hold", "trap", "ignore", "exit", "out", "err", "lines", "cat", "term", "sha", "echo", "syscall", "syscalls",
	}
	for name, args := range commandLines {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			line := probe.Line(append([]string{name}, args...), []string{"args", "end"})
			if code := probe.Run(t.Context(), refuses{}, line, nil, &stdout, &stderr); code != 0 {
				t.Fatalf("exit code %d, stderr %s", code, &stderr)
			}
			if slices.Contains(plain, name) {
				return
			}
			results, err := probe.Decode(stdout.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if len(results) != 2 || results[0].Command != name || results[0].Errno != nosys || results[1].Command != "args" {
				t.Errorf("results %+v, want %s refused with %s, then args", results, name, nosys)
			}
			if err := results[0].Err(); !errors.Is(err, nosys) {
				t.Errorf("Err() = %v, want one that is %s", err, nosys)
			}
		})
	}
}

// TestDocTable holds the package's table, the usage and the tests together.
func TestDocTable(t *testing.T) {
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for line := range strings.Lines(string(source)) {
		// The usage is everything before column 31, where the value's name starts.
		if row, ok := strings.CutPrefix(line, "//\t"); ok && len([]rune(row)) > 31 && !strings.HasPrefix(row, "command ") && row[0] != '/' {
			documented = append(documented, strings.TrimSpace(string([]rune(row)[:31])))
		}
	}
	var used []string
	for line := range strings.Lines(probe.Usage()) {
		if usage, ok := strings.CutPrefix(line, "  "); ok {
			used = append(used, strings.TrimSpace(usage))
		}
	}
	slices.Sort(documented)
	slices.Sort(used)
	if diff := cmp.Diff(used, documented); diff != "" {
		t.Errorf("doc.go does not list the commands (-usage +doc):\n%s", diff)
	}
	for _, usage := range used {
		name, _, _ := strings.Cut(usage, " ")
		if _, ok := commandLines[name]; !ok {
			t.Errorf("no test line for %s", name)
		}
	}
}

// session is a Run in the background.
type session struct {
	t     *testing.T
	lines *probe.Reader
	code  chan int
	stdin *io.PipeWriter
}

func begin(ctx context.Context, t *testing.T, sys probe.System, commands ...[]string) *session {
	t.Helper()
	in, stdin := io.Pipe()
	out, stdout := io.Pipe()
	s := &session{t: t, lines: probe.NewReader(out), code: make(chan int, 1), stdin: stdin}
	go func() {
		s.code <- probe.Run(ctx, sys, probe.Line(commands...), in, stdout, io.Discard)
		_ = stdout.Close()
	}()
	t.Cleanup(func() { _, _, _ = in.Close(), stdin.Close(), out.Close() })
	return s
}

func (s *session) next() []probe.Result {
	s.t.Helper()
	results, err := s.lines.Next()
	if err != nil {
		s.t.Fatal(err)
	}
	return results
}

func (s *session) ends(code int) {
	s.t.Helper()
	if _, err := s.lines.Next(); !errors.Is(err, io.EOF) {
		s.t.Errorf("after the end: %v, want nothing", err)
	}
	select {
	case got := <-s.code:
		if got != code {
			s.t.Errorf("exit code %d, want %d", got, code)
		}
	case <-time.After(10 * time.Second):
		s.t.Fatal("it does not end")
	}
}

func TestSignals(t *testing.T) {
	t.Run("default ends at once", func(t *testing.T) {
		for name, code := range map[string]int{"TERM": 143, "INT": 130, "HUP": 129, "USR1": 138} {
			m := newModel()
			s := begin(t.Context(), t, m, []string{"args", "first"}, []string{"sleep", "1h"}, []string{"write", "/late", "x"})
			if got := s.next(); got[0].Command != "args" {
				t.Errorf("before the wait: %+v", got)
			}
			m.signals <- name
			s.ends(code)
			if _, ok := m.files["/late"]; ok {
				t.Errorf("%s: the chain went on", name)
			}
		}
	})
	t.Run("standing chain", func(t *testing.T) {
		m := newModel()
		s := begin(t.Context(), t, m, []string{"hold"})
		s.next()
		m.signals <- "WINCH"
		m.signals <- "TERM"
		s.ends(143)
	})
	t.Run("standing in the middle does not hold", func(t *testing.T) {
		s := begin(t.Context(), t, newModel(), []string{"trap", "TERM", "7"}, []string{"args"})
		s.next()
		s.next()
		s.ends(0)
	})
	t.Run("trap and ignore", func(t *testing.T) {
		m := newModel()
		s := begin(t.Context(), t, m, []string{"ignore", "SIGINT"}, []string{"trap", "RTMIN+3", "7"})
		for _, want := range []probe.Result{
			{Command: "ignore", Args: []string{"SIGINT"}, Value: &probe.Signal{Signal: "INT"}},
			{Command: "trap", Args: []string{"RTMIN+3", "7"}, Value: &probe.Signal{Signal: "RTMIN+3"}},
		} {
			if diff := cmp.Diff([]probe.Result{want}, s.next()); diff != "" {
				t.Error(diff)
			}
		}
		m.signals <- "INT"
		want := []probe.Result{{Command: "ignore", Args: []string{"SIGINT"}, Value: &probe.Signal{Signal: "INT", Received: true}}}
		if diff := cmp.Diff(want, s.next()); diff != "" {
			t.Error(diff)
		}
		m.signals <- "RTMIN+3"
		want = []probe.Result{{Command: "trap", Args: []string{"RTMIN+3", "7"}, Value: &probe.Signal{Signal: "RTMIN+3", Received: true}}}
		if diff := cmp.Diff(want, s.next()); diff != "" {
			t.Error(diff)
		}
		s.ends(7)
	})
	t.Run("the end of the context is SIGKILL", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := begin(ctx, t, newModel(), []string{"ignore", "TERM"})
		s.next()
		cancel()
		s.ends(137)
	})
	t.Run("a reader that does not read cannot hold it", func(t *testing.T) {
		m := newModel()
		out, stdout := io.Pipe()
		code := make(chan int, 1)
		go func() { code <- probe.Run(t.Context(), m, []string{"out", "1Gi"}, nil, stdout, io.Discard) }()
		// The write that this is a part of ends only when all of it was read.
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		m.signals <- "TERM"
		select {
		case got := <-code:
			if got != 143 {
				t.Errorf("exit code %d, want 143", got)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("it does not end")
		}
		_ = stdout.Close()
	})
	t.Run("kill-self", func(t *testing.T) {
		m := newModel()
		s := begin(t.Context(), t, m, []string{"args"}, []string{"kill-self", "9"}, []string{"args"})
		s.next()
		s.ends(137)
		if m.died != "KILL" {
			t.Errorf("died of %q, want KILL", m.died)
		}
	})
}

func TestEcho(t *testing.T) {
	m := newModel()
	s := begin(t.Context(), t, m, []string{"echo"})
	line := func(event probe.EchoEvent, text string) {
		t.Helper()
		want := []probe.Result{{Command: "echo", Args: []string{}, Value: &probe.Echo{
			Event: event, Text: []byte(text), Terminal: probe.Terminal{TTY: true, Rows: 24, Cols: 80},
		}}}
		if diff := cmp.Diff(want, s.next()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	line(probe.EchoReady, "")
	if _, err := io.WriteString(s.stdin, "hello\r\n\xff\n"); err != nil {
		t.Fatal(err)
	}
	line(probe.EchoRead, "hello")
	line(probe.EchoRead, "\xff")
	m.signals <- "WINCH"
	line(probe.EchoResize, "")
	if _, err := io.WriteString(s.stdin, "no line end"); err != nil {
		t.Fatal(err)
	}
	_ = s.stdin.Close()
	line(probe.EchoRead, "no line end")
	s.ends(0)
}

func TestStreams(t *testing.T) {
	pattern := func(n int64) string {
		data, err := io.ReadAll(probe.Pattern(n))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for _, test := range []struct {
		line           []string
		stdin          string
		stdout, stderr string
		code           int
	}{
		{line: []string{"out", "100", "+", "exit", "3"}, stdout: pattern(100), code: 3},
		{line: []string{"err", "33"}, stderr: pattern(33)},
		{line: []string{"lines", "2"}, stdout: "out 0\nout 1\n", stderr: "err 0\nerr 1\n"},
		{line: []string{"lines", "2", "1ms"}, stdout: "out 0\nout 1\n", stderr: "err 0\nerr 1\n"},
		{line: []string{"cat"}, stdin: "a\x00\xff", stdout: "a\x00\xff"},
		{line: []string{"term"}, stdout: probe.HostileText},
		{line: []string{"args", "+", "exit", "255"}, stdout: `[{"command":"args","args":[],"errno":"","value":{"args":[]}}]` + "\n", code: 255},
		{
			line: []string{"sha"}, stdin: "abc",
			stdout: `[{"command":"sha","args":[],"errno":"","value":{"bytes":3,"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}}]` + "\n",
		},
	} {
		var stdout, stderr bytes.Buffer
		code := probe.Run(t.Context(), newModel(), test.line, strings.NewReader(test.stdin), &stdout, &stderr)
		if stdout.String() != test.stdout || stderr.String() != test.stderr || code != test.code {
			t.Errorf("%q: code %d, stdout %q, stderr %q; want %d, %q, %q", test.line, code, &stdout, &stderr, test.code, test.stdout, test.stderr)
		}
	}
}

func TestFill(t *testing.T) {
	m := newModel()
	m.full = 1<<20 + 100
	got, _ := run(t, m, []string{"fill", "/a", "2Mi"}, []string{"fill", "/ro/b", "1"}, []string{"fill", "/c", "1Mi"})
	for i, want := range []struct {
		errno probe.Errno
		bytes int64
	}{{"ENOSPC", 1<<20 + 100}, {"EROFS", 0}, {"", 1 << 20}} {
		written, err := probe.Value[probe.Written](got[i])
		if err != nil || written.Bytes != want.bytes || got[i].Errno != want.errno {
			t.Errorf("%v: %+v, %q, %v; want %d bytes, %q", got[i].Args, written, got[i].Errno, err, want.bytes, want.errno)
		}
	}
}

func TestFilesOfSandbox(t *testing.T) {
	m := newModel()
	m.files["/etc/hosts"] = "127.0.0.1\tlocalhost loopback # here\n\n# none\n::1\n10.0.0.2 peer\n"
	m.files["/etc/resolv.conf"] = "# x\nnameserver 10.0.0.1\nnameserver ::1\nsearch a b\nsearch c\noptions ndots:0\n; y z\nnameserver\n"
	got, _ := run(t, m, []string{"hosts"}, []string{"resolver"}, []string{"read", "/etc/hosts", "9"}, []string{"syscall", "mount"}, []string{"syscall", "bpf"})
	want := []any{
		&probe.Hosts{Hosts: []probe.Host{{Address: "127.0.0.1", Names: []string{"localhost", "loopback"}}, {Address: "10.0.0.2", Names: []string{"peer"}}}},
		&probe.Resolver{Servers: []string{"10.0.0.1", "::1"}, Search: []string{"c"}, Options: []string{"ndots:0"}},
		&probe.Content{Data: []byte("127.0.0.1"), Truncated: true},
		&probe.Syscall{Name: "mount"},
		&probe.Syscall{Name: "bpf", Errno: "EPERM"},
	}
	for i := range want {
		if diff := cmp.Diff(want[i], got[i].Value); diff != "" || got[i].Errno != probe.OK {
			t.Errorf("%s: errno %q (-want +got):\n%s", got[i].Command, got[i].Errno, diff)
		}
	}
}

// broken has a method that fails without an errno, which only a defect does.
type broken struct{ refuses }

func (broken) Mkdir(string, uint32) error { return errors.New("out of order") }

func TestDefectIsNoResult(t *testing.T) {
	var stdout, stderr bytes.Buffer
	code := probe.Run(t.Context(), broken{}, []string{"args", "+", "mkdir", "/a", "+", "args"}, nil, &stdout, &stderr)
	results, err := probe.Decode(stdout.Bytes())
	if code != probe.ExitFailure || err != nil || len(results) != 1 || !strings.Contains(stderr.String(), "out of order") {
		t.Errorf("code %d, results %v, %v, stderr %q; want %d, the one before, the reason", code, results, err, &stderr, probe.ExitFailure)
	}
}
