// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/berthrun/berth/internal/handshake"
)

func TestExitCode(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   int
	}{
		"zero":    {"exit 0", 0},
		"three":   {"exit 3", 3},
		"255":     {"exit 255", 255},
		"SIGKILL": {"kill -9 $$", 137},
		"SIGTERM": {"kill -15 $$", 143},
		"SIGHUP":  {"kill -1 $$", 129},
		"RTMAX":   {"kill -64 $$", 192},
	} {
		t.Run(name, func(t *testing.T) {
			b := runBox(t, boxOptions{}, "sh", "-c", c.script)
			if got := b.wait(); got != c.want {
				t.Errorf("exit code: got %d, want %d", got, c.want)
			}
			if out := b.stdout.String() + b.stderr.String(); out != "" {
				t.Errorf("output that is not the command's: %q", out)
			}
		})
	}
}

func TestCannotStart(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	plain := write("plain", "#!/bin/sh\n", 0o644)
	noInterpreter := write("no-interpreter", "#!/does/not/exist\n", 0o755)
	noFormat := write("no-format", "\x00\x01\x02 neither program nor script\n", 0o755)
	for name, c := range map[string]struct {
		command string
		path    string // PATH
		code    int
		message string
	}{
		"absent":           {"/does/not/exist", "/bin", 127, `exec "/does/not/exist": no such file or directory`},
		"absentInPath":     {"no-such-command", "/bin:/usr/bin", 127, `exec "no-such-command": executable file not found in PATH`},
		"emptyPath":        {"sh", "", 127, `exec "sh": executable file not found in PATH`},
		"emptyName":        {"", "/bin", 127, `exec "": executable file not found in PATH`},
		"folder":           {dir, "/bin", 126, fmt.Sprintf("exec %q: permission denied", dir)},
		"notExecutable":    {plain, "/bin", 126, fmt.Sprintf("exec %q: permission denied", plain)},
		"passedOverInPath": {"plain", dir, 127, `exec "plain": executable file not found in PATH`},
		"underAFile":       {plain + "/x", "/bin", 126, fmt.Sprintf("exec %q: not a directory", plain+"/x")},
		"noInterpreter":    {noInterpreter, "/bin", 127, fmt.Sprintf("exec %q: the file exists, but the interpreter or loader that it names does not", noInterpreter)},
		"noFormat":         {noFormat, "/bin", 126, fmt.Sprintf("exec %q: exec format error", noFormat)},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			err := b.run(boxOptions{env: []string{"PATH=" + c.path}}, c.command, "arg")
			var failed *handshake.FailedError
			if !errors.As(err, &failed) {
				t.Fatalf("go: got %v, want a failure", err)
			}
			if diff := cmp.Diff(&handshake.FailedError{Code: c.code, Message: c.message}, failed); diff != "" {
				t.Errorf("failure (-want +got):\n%s", diff)
			}
			if got := b.wait(); got != c.code {
				t.Errorf("exit code: got %d, want %d", got, c.code)
			}
			if out := b.stdout.String() + b.stderr.String(); out != "" {
				t.Errorf("init wrote to the command's streams: %q", out)
			}
		})
	}
}

func TestCommandIsFoundInPath(t *testing.T) {
	empty := t.TempDir()
	for name, path := range map[string]string{
		"second":    empty + ":" + filepath.Dir(roles),
		"workdir":   empty + "::/nowhere",
		"relative":  "../" + filepath.Base(filepath.Dir(roles)),
		"unsetRest": filepath.Dir(roles),
	} {
		t.Run(name, func(t *testing.T) {
			b := runBox(t, boxOptions{role: "exit", env: []string{"PATH=" + path}, attr: func(c *exec.Cmd) { c.Dir = filepath.Dir(roles) }}, "roles", "5")
			if got := b.wait(); got != 5 {
				t.Errorf("exit code: got %d, want 5", got)
			}
		})
	}
}

func TestCommandGetsWhatInitGot(t *testing.T) {
	b := newBox(t)
	o := boxOptions{role: "facts", env: []string{"A=1", "EMPTY=", "SPACE=a b\nc", "GOMAXPROCS=7"}}
	if err := b.run(o, roles, "", "two words", "--flag"); err != nil {
		t.Fatal(err)
	}
	if got := b.wait(); got != 0 {
		t.Fatalf("exit code %d: %s", got, b.stderr.String())
	}
	var got sandboxFacts
	if err := json.Unmarshal([]byte(b.stdout.String()), &got); err != nil {
		t.Fatal(err)
	}
	want := sandboxFacts{PID: got.PID, PPID: 1, PGID: got.PID, UID: os.Getuid(), Dir: b.dir,
		Args: []string{roles, "", "two words", "--flag"}, Env: b.cmd.Env}
	// Go keeps the first of two equal keys, and so does every libc's getenv.
	if diff := cmp.Diff(want, got, cmpopts.IgnoreSliceElements(func(s string) bool { return strings.HasPrefix(s, "PWD=") })); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
}

// What the Go runtime changes for itself must not reach the command: it catches
// signals, and raises the limit of open files.
func TestCommandHasCleanSignalsAndLimits(t *testing.T) {
	b := runBox(t, boxOptions{wrap: []string{"nofile=200"}}, "sh", "-c", "ulimit -Sn; ulimit -Hn; echo $(ls /proc/self/fd); exec cat /proc/self/status")
	if got := b.wait(); got != 0 {
		t.Fatalf("exit code %d: %s", got, b.stderr.String())
	}
	// The test may have been started with descriptors and ignored signals of its
	// own, as make's children are.
	without, err := exec.Command("sh", "-c", "echo $(ls /proc/self/fd)").Output()
	if err != nil {
		t.Fatal(err)
	}
	inherited, err := exec.Command("sed", "-n", "s/^SigIgn:[[:space:]]*//p", "/proc/self/status").Output()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	lines := strings.Split(b.stdout.String(), "\n")
	got["soft"], got["hard"], got["fds"] = lines[0], lines[1], lines[2]
	for _, l := range lines[3:] {
		if k, v, ok := strings.Cut(l, ":"); ok && (k == "SigBlk" || k == "SigIgn" || k == "SigCgt") {
			got[k] = strings.TrimSpace(v)
		}
	}
	want := map[string]string{"soft": "200", "hard": "300", "fds": strings.TrimSpace(string(without)),
		"SigBlk": "0000000000000000", "SigIgn": strings.TrimSpace(string(inherited)), "SigCgt": "0000000000000000"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSignalsAreForwarded(t *testing.T) {
	b := runBox(t, boxOptions{role: "signals"}, roles)
	b.waitOutput("ready")
	for n := syscall.Signal(1); n <= 64; n++ {
		switch n {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGURG, unix.SIGCONT, unix.SIGTTIN, unix.SIGTTOU, unix.SIGUSR2, unix.SIGPROF, 32, 33, 34:
			continue
		}
		b.signal(n)
		b.waitOutput(fmt.Sprintf("signal %d\n", int(n)))
	}
	b.signal(unix.SIGUSR2)
	if got := b.wait(); got != 0 {
		t.Errorf("exit code: got %d, want 0", got)
	}
}

func TestOrphansAreReaped(t *testing.T) {
	const n = 1000
	b := runBox(t, boxOptions{}, "sh", "-c", fmt.Sprintf("i=0; while [ $i -lt %d ]; do ( : & ); i=$((i+1)); done; echo made; read x", n))
	b.waitOutput("made")
	eventually(t, "only the command is left", func() bool {
		c := b.children()
		for _, state := range c {
			if state == "Z" {
				return false
			}
		}
		return len(c) == 1
	})
	b.stdin.Close()
	b.wait()
}

func TestOrphanDoesNotEndTheSandbox(t *testing.T) {
	b := runBox(t, boxOptions{}, "sh", "-c", "( (exit 9) & ); echo made; read x; exit 4")
	b.waitOutput("made")
	eventually(t, "the orphan is reaped", func() bool { return len(b.children()) == 1 })
	b.stdin.Close()
	if got := b.wait(); got != 4 {
		t.Errorf("exit code: got %d, want 4", got)
	}
}

// Init works as a subreaper when it is not process 1.
func TestNotProcessOne(t *testing.T) {
	b := runBox(t, boxOptions{sameNS: true}, "sh", "-c", "( sleep 100 & echo orphan $! ); read x; exit 6")
	b.waitOutput("\n")
	if b.report.PID != b.cmd.Process.Pid {
		t.Errorf("reported process id: got %d, want %d", b.report.PID, b.cmd.Process.Pid)
	}
	var orphan int
	if _, err := fmt.Sscanf(b.stdout.String(), "orphan %d", &orphan); err != nil {
		t.Fatal(err)
	}
	defer unix.Kill(orphan, unix.SIGKILL)
	eventually(t, "the orphan comes to init", func() bool { return b.children()[orphan] != "" })
	if err := unix.Kill(orphan, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the orphan is reaped", func() bool { return len(b.children()) == 1 })
	b.stdin.Close()
	if got := b.wait(); got != 6 {
		t.Errorf("exit code: got %d, want 6", got)
	}
}

func TestTimeToLive(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		config handshake.Config
		want   int
	}{
		"term":       {"exec sleep 100", handshake.Config{TTL: 50 * time.Millisecond, StopGrace: time.Minute}, 128 + 15},
		"stopSignal": {"exec sleep 100", handshake.Config{TTL: 50 * time.Millisecond, StopGrace: time.Minute, StopSignal: 10}, 128 + 10},
		"kill":       {"trap '' TERM; exec sleep 100", handshake.Config{TTL: 300 * time.Millisecond, StopGrace: 50 * time.Millisecond}, 128 + 9},
	} {
		t.Run(name, func(t *testing.T) {
			b := runBox(t, boxOptions{config: c.config}, "sh", "-c", c.script)
			if got := b.wait(); got != c.want {
				t.Errorf("exit code: got %d, want %d", got, c.want)
			}
		})
	}
	t.Run("stopped", func(t *testing.T) {
		// A process that SIGSTOP holds must not outlive its time.
		b := runBox(t, boxOptions{config: handshake.Config{TTL: 100 * time.Millisecond, StopGrace: time.Minute}}, "sh", "-c", "kill -STOP $$; sleep 100")
		if got := b.wait(); got != 128+15 {
			t.Errorf("exit code: got %d, want 143", got)
		}
	})
	t.Run("notReached", func(t *testing.T) {
		b := runBox(t, boxOptions{role: "exit", config: handshake.Config{TTL: time.Hour}}, roles, "3")
		if got := b.wait(); got != 3 {
			t.Errorf("exit code: got %d, want 3", got)
		}
	})
}

func TestLeftBehind(t *testing.T) {
	// The command leaves a process in another session, which answers SIGTERM.
	const polite = `setsid sh -c 'trap "echo bye; exit" TERM; echo ready; while :; do sleep 0.01; done' & read x; exit 2`
	const deaf = `setsid sh -c 'trap "" TERM; echo ready; while :; do sleep 0.01; done' & read x; exit 2`
	for name, c := range map[string]struct {
		script    string
		grace     time.Duration
		bye       bool
		atMost    time.Duration
		thenStop  bool
		wantsLong bool
	}{
		"noGrace": {script: polite, grace: 0, atMost: 2 * time.Second},
		"grace":   {script: polite, grace: 10 * time.Second, bye: true, atMost: 5 * time.Second},
		"deaf":    {script: deaf, grace: 100 * time.Millisecond, atMost: 5 * time.Second, wantsLong: true},
		"stop":    {script: deaf, grace: 20 * time.Second, atMost: 5 * time.Second, thenStop: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := runBox(t, boxOptions{config: handshake.Config{ExitGrace: c.grace}}, "sh", "-c", c.script)
			b.waitOutput("ready")
			start := time.Now()
			b.stdin.Close()
			if c.thenStop {
				eventually(t, "the command has ended", func() bool { return len(b.children()) == 1 })
				b.signal(unix.SIGTERM)
			}
			if got := b.wait(); got != 2 {
				t.Errorf("exit code: got %d, want 2", got)
			}
			took := time.Since(start)
			if took > c.atMost || c.wantsLong && took < c.grace {
				t.Errorf("took %v", took)
			}
			if got := strings.Contains(b.stdout.String(), "bye"); got != c.bye {
				t.Errorf("the process left behind could end in order: got %v, want %v", got, c.bye)
			}
		})
	}
}

// A command that has used up the process limit must not take init down.
func TestProcessLimit(t *testing.T) {
	b := newBox(t)
	b.listen()
	b.start(boxOptions{role: "signals", mapped: &syscall.SysProcIDMap{ContainerID: 1000, HostID: someUID(), Size: 1}}, roles)
	b.accept()
	b.negotiate(handshake.Config{})
	if _, err := b.conn.Go(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.waitOutput("ready")
	limitProcesses(t, b)
	for range 2000 {
		b.signal(unix.SIGUSR1)
		b.signal(unix.SIGWINCH)
		b.signal(unix.SIGCHLD)
	}
	b.signal(unix.SIGUSR2)
	if got := b.wait(); got != 0 {
		t.Errorf("exit code: got %d, want 0; %s", got, b.stderr.String())
	}
}

func limitProcesses(t *testing.T, b *box) {
	t.Helper()
	none := unix.Rlimit{Cur: 1, Max: 1}
	if err := unix.Prlimit(b.cmd.Process.Pid, unix.RLIMIT_NPROC, &none, nil); err != nil {
		t.Fatal(err)
	}
}

// A limit that leaves no room for the command is named as the cause. Init has its
// threads before "go", so that it survives this.
func TestNoRoomForTheCommand(t *testing.T) {
	b := newBox(t)
	b.listen()
	b.start(boxOptions{mapped: &syscall.SysProcIDMap{ContainerID: 1000, HostID: someUID(), Size: 1}}, "true")
	b.accept()
	b.negotiate(handshake.Config{})
	limitProcesses(t, b)
	_, err := b.conn.Go(t.Context())
	var failed *handshake.FailedError
	if !errors.As(err, &failed) || failed.Code != 126 || !strings.Contains(failed.Message, "process limit may be too low") {
		t.Errorf("go: got %v, want a failure with 126 that names the limit", err)
	}
	if got := b.wait(); got != 126 {
		t.Errorf("exit code: got %d, want 126", got)
	}
}

func TestIdleMemoryAndThreads(t *testing.T) {
	b := runBox(t, boxOptions{role: "line"}, roles)
	kib := func() int {
		n, err := strconv.Atoi(strings.TrimSuffix(b.status("RssAnon"), " kB"))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var got int
	eventually(t, "at most 4 MiB of anonymous memory", func() bool { got = kib(); return got <= 4096 })
	threads, err := strconv.Atoi(b.status("Threads"))
	if err != nil || threads > handshake.InitTasks {
		t.Errorf("init has %d threads, %v; at most %d are promised", threads, err, handshake.InitTasks)
	}
	t.Logf("anonymous memory %d KiB, %d threads", got, threads)
}

func TestAgentIsSmallAndStatic(t *testing.T) {
	st, err := os.Stat(agentPath)
	if err != nil {
		t.Fatal(err)
	}
	if st.Size() > 4<<20 {
		t.Errorf("the agent has %d bytes, more than 4 MiB", st.Size())
	}
	f, err := elf.Open(agentPath)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the agent needs a loader: it has a segment %v", p.Type)
		}
	}
}
