// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berthrun/berth/internal/handshake"
)

// agentPath is the agent as it ships, built once for all tests. roles, the test
// binary itself, plays the command of a sandbox.
var agentPath, roles string

func TestMain(m *testing.M) {
	if role := os.Getenv("BERTH_TEST_ROLE"); role != "" {
		os.Exit(play(role, os.Args[1:]))
	}
	os.Exit(func() int {
		// World-readable, because the agent also runs as other users here.
		dir, err := os.MkdirTemp("", "agent")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o755); err != nil {
			panic(err)
		}
		agentPath = filepath.Join(dir, "berth-agent")
		build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w -X main.version=v1.2.3-test", "-o", agentPath, "github.com/berthrun/berth/cmd/berth-agent")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the agent: %v\n%s", err, out)
			return 1
		}
		roles = filepath.Join(dir, "roles")
		if err := copyFile(os.Args[0], roles); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

// play is the life of a command in a sandbox.
func play(role string, args []string) int {
	switch role {
	case "exit":
		n, _ := strconv.Atoi(args[0])
		return n
	case "signals":
		// Prints each signal that it gets; ends by SIGUSR2 with the number of SIGINTs.
		return playSignals()
	case "facts":
		return playFacts()
	case "line":
		// Reads one line, as a shell on a terminal does.
		b := make([]byte, 100)
		n, err := os.Stdin.Read(b)
		if err != nil {
			fmt.Println("read:", err)
			return 1
		}
		fmt.Printf("got %q\n", strings.TrimSpace(string(b[:n])))
		return 0
	case "wrap":
		// Prepares the sandbox and becomes init: args are steps, "--", command.
		return playWrap(args)
	}
	fmt.Println("unknown role", role)
	return 99
}

func playSignals() int {
	c := make(chan os.Signal, 1000)
	var all []os.Signal
	for n := syscall.Signal(1); n <= 64; n++ {
		if n != unix.SIGURG && n != unix.SIGCHLD && n != unix.SIGCONT {
			all = append(all, n)
		}
	}
	signal.Notify(c, all...)
	fmt.Println("ready")
	ints := 0
	for s := range c {
		switch s {
		case unix.SIGINT:
			ints++
		case unix.SIGUSR2:
			fmt.Println("interrupts", ints)
			return 0
		}
		fmt.Println("signal", int(s.(syscall.Signal)))
	}
	return 0
}

// sandboxFacts is what the command of a sandbox sees of itself.
type sandboxFacts struct {
	PID, PPID, PGID, UID int
	Dir                  string
	Args                 []string
	Env                  []string
}

func playFacts() int {
	dir, _ := os.Getwd()
	json.NewEncoder(os.Stdout).Encode(sandboxFacts{
		PID: os.Getpid(), PPID: os.Getppid(), PGID: unix.Getpgrp(), UID: os.Getuid(), Dir: dir, Args: os.Args, Env: os.Environ(),
	})
	return 0
}

func playWrap(args []string) int {
	for i, step := range args {
		verb, rest, _ := strings.Cut(step, "=")
		from, to, _ := strings.Cut(rest, ":")
		var err error
		switch verb {
		case "--":
			env := slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "BERTH_TEST_ROLE=") })
			for i, e := range env {
				if v, ok := strings.CutPrefix(e, "BERTH_TEST_NEXT="); ok {
					env[i] = "BERTH_TEST_ROLE=" + v
				}
			}
			err = unix.Exec(args[i+1], args[i+1:], env)
		case "bind", "bindro":
			if err = unix.Mount(from, to, "", unix.MS_BIND, ""); err == nil && verb == "bindro" {
				err = unix.Mount("", to, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
			}
		case "private":
			err = unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, "")
		case "chrootro":
			if err = unix.Mount(from, from, "", unix.MS_BIND|unix.MS_REC, ""); err == nil {
				err = unix.Mount("", from, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
			}
			if err == nil {
				err = unix.Chroot(from)
			}
			if err == nil {
				err = unix.Chdir("/")
			}
		case "nnp":
			err = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		case "seccomp":
			err = allowAll()
		case "caps":
			err = dropCaps()
		case "noroot":
			err = unix.Prctl(unix.PR_SET_SECUREBITS, 1, 0, 0, 0)
		case "uid":
			n, _ := strconv.Atoi(rest)
			if err = syscall.Setgroups([]int{7, 9}); err == nil {
				err = syscall.Setgid(n)
			}
			if err == nil {
				err = syscall.Setuid(n)
			}
		case "nofile":
			n, _ := strconv.ParseUint(rest, 10, 64)
			err = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n + 100})
		default:
			err = errors.New("unknown step")
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "step %q: %v\n", step, err)
			return 98
		}
	}
	return 97
}

// safeBuffer collects output while the process runs.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// box is a sandbox: init as process 1 of its own namespaces, and the host's side.
type box struct {
	t              testing.TB
	cmd            *exec.Cmd
	dir            string // the run directory
	l              *handshake.Listener
	conn           *handshake.Conn
	report         *handshake.Report
	stdout, stderr safeBuffer
	stdin          io.WriteCloser
	wait           func() int
}

type boxOptions struct {
	role     string                // BERTH_TEST_ROLE of the command
	env      []string              // added to a small environment
	initArgs []string              // before "--"; default --connect to the listener
	wrap     []string              // steps of the role wrap
	attr     func(*exec.Cmd)       // last changes
	tty      *os.File              // the three streams, and the controlling terminal
	config   handshake.Config      // Nonce is filled in
	mapped   *syscall.SysProcIDMap // one uid and gid in a user namespace
	sameNS   bool                  // no pid namespace: init is not process 1
}

// newBox makes a run directory that every uid can reach.
func newBox(t testing.TB) *box {
	t.Helper()
	parent := t.TempDir()
	if err := os.Chmod(filepath.Dir(parent), 0o711); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(parent, "run")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return &box{t: t, dir: dir}
}

func (b *box) listen() {
	b.t.Helper()
	l, err := handshake.Listen(b.dir)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { l.Close() })
	b.l = l
}

// start runs init with a command, up to the connection.
func (b *box) start(o boxOptions, command ...string) {
	b.t.Helper()
	init := o.initArgs
	if init == nil {
		init = []string{"--connect", filepath.Join(b.dir, handshake.SocketName)}
	}
	argv := append([]string{agentPath, "init"}, init...)
	argv = append(append(argv, "--"), command...)
	env := append([]string{"PATH=" + os.Getenv("PATH"), "GOCOVERDIR=" + b.dir}, o.env...)
	if o.wrap != nil {
		argv = append(append([]string{roles}, append(o.wrap, "--")...), argv...)
		env = append(env, "BERTH_TEST_ROLE=wrap", "BERTH_TEST_NEXT="+o.role)
	} else if o.role != "" {
		env = append(env, "BERTH_TEST_ROLE="+o.role)
	}
	b.cmd = exec.Command(argv[0], argv[1:]...)
	b.cmd.Env = env
	b.cmd.Dir = b.dir
	b.cmd.WaitDelay = 5 * time.Second // for a process that outlives init and holds its output
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if o.sameNS {
		attr.Cloneflags = 0
	}
	b.cmd.SysProcAttr = attr
	if o.mapped != nil || os.Geteuid() != 0 {
		m := syscall.SysProcIDMap{ContainerID: 0, HostID: os.Geteuid(), Size: 1}
		if o.mapped != nil {
			m = *o.mapped
		}
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings, attr.GidMappings = []syscall.SysProcIDMap{m}, []syscall.SysProcIDMap{m}
		attr.Credential = &syscall.Credential{Uid: uint32(m.ContainerID), Gid: uint32(m.ContainerID), NoSetGroups: true}
	}
	if o.tty != nil {
		b.cmd.Stdin, b.cmd.Stdout, b.cmd.Stderr = o.tty, o.tty, o.tty
		attr.Setsid, attr.Setctty = true, true
	} else {
		b.cmd.Stdout, b.cmd.Stderr = &b.stdout, &b.stderr
		var err error
		if b.stdin, err = b.cmd.StdinPipe(); err != nil {
			b.t.Fatal(err)
		}
	}
	if o.attr != nil {
		o.attr(b.cmd)
	}
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.wait = sync.OnceValue(func() int {
		kill := time.AfterFunc(20*time.Second, func() { b.cmd.Process.Kill() })
		defer kill.Stop()
		if b.stdin != nil {
			defer b.stdin.Close()
		}
		if err := b.cmd.Wait(); err != nil {
			if _, ok := errors.AsType[*exec.ExitError](err); !ok {
				b.t.Errorf("wait for init: %v", err)
			}
		}
		return b.cmd.ProcessState.ExitCode()
	})
	b.t.Cleanup(func() {
		b.cmd.Process.Kill()
		b.wait()
	})
}

func (b *box) accept() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	defer cancel()
	c, err := b.l.Accept(ctx, func(context.Context) (int, error) { return b.cmd.Process.Pid, nil })
	if err != nil {
		b.t.Fatalf("accept: %v; stderr of init: %s", err, b.stderr.String())
	}
	b.t.Cleanup(func() { c.Close() })
	b.conn = c
}

func (b *box) negotiate(cfg handshake.Config) {
	b.t.Helper()
	if cfg.Nonce == "" {
		cfg.Nonce = handshake.NewNonce()
	}
	r, err := b.conn.Negotiate(b.t.Context(), cfg)
	if err != nil {
		b.t.Fatalf("negotiate: %v", err)
	}
	b.report = r
}

// run does the whole hand-shake and returns what Go returned.
func (b *box) run(o boxOptions, command ...string) error {
	b.t.Helper()
	b.listen()
	b.start(o, command...)
	b.accept()
	b.negotiate(o.config)
	_, err := b.conn.Go(b.t.Context())
	return err
}

// runBox is run for a command that must start.
func runBox(t testing.TB, o boxOptions, command ...string) *box {
	t.Helper()
	b := newBox(t)
	if err := b.run(o, command...); err != nil {
		t.Fatalf("go: %v", err)
	}
	return b
}

// someUID is a host uid to run as: not root's where there is a choice, because
// limits do not hold for root.
func someUID() int {
	if os.Geteuid() == 0 {
		return 64123
	}
	return os.Geteuid()
}

// eventually waits for a condition without a fixed sleep.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

func (b *box) waitOutput(want string) {
	b.t.Helper()
	eventually(b.t, fmt.Sprintf("output %q; got %q and %q", want, b.stdout.String(), b.stderr.String()), func() bool {
		return strings.Contains(b.stdout.String(), want)
	})
}

func (b *box) signal(s syscall.Signal) {
	b.t.Helper()
	if err := b.cmd.Process.Signal(s); err != nil {
		b.t.Fatalf("signal %v: %v", s, err)
	}
}

// noProbes fails when a probe file is left in one of the folders.
func noProbes(t testing.TB, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		left, err := filepath.Glob(filepath.Join(dir, handshake.ProbePrefix+"*"))
		if err != nil || len(left) > 0 {
			t.Errorf("probe files left: %v %v", left, err)
		}
	}
}

// children returns the state letter of each child of init, by process id.
func (b *box) children() map[int]string {
	states := map[int]string{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, rest, ok := strings.Cut(string(raw), ") ")
		fields := strings.Fields(rest)
		if !ok || len(fields) < 2 || fields[1] != strconv.Itoa(b.cmd.Process.Pid) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		states[pid] = fields[0]
	}
	return states
}

// status reads a field of /proc/PID/status of init.
func (b *box) status(field string) string {
	b.t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.cmd.Process.Pid))
	if err != nil {
		b.t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	b.t.Fatalf("no field %s", field)
	return ""
}

// allowAll installs a seccomp filter that allows everything.
func allowAll() error {
	allow := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}
	return setFilter([]unix.SockFilter{allow})
}
