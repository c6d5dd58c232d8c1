// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berthrun/berth/internal/handshake/wire"
)

// InitOptions are the arguments of init.
type InitOptions struct {
	// Version is the agent's version, for the report.
	Version string
	// Connect is the socket that berth listens on.
	Connect string
	// Listen, when not "", is where init listens itself; Connect is not used then.
	Listen string
	// Timeout bounds the hand-shake, from init's start to "go".
	Timeout time.Duration
	// Args are the command and its arguments; at least one.
	Args []string
}

// Init is the whole life of process 1 of a sandbox. It returns the exit code: the
// command's own, 128+n when signal n killed it, 127 or 126 when it could not be
// started, wire.ExitInit when the hand-shake did not come to "go", and 128+n when
// signal n asked init to stop before that.
//
// It takes over the process: signals, children and the Go runtime's settings. It
// is called once, and the caller exits with its result.
// Nothing that it created remains, except after SIGKILL.
//
// It also works when it is not process 1; orphans then come to it as their
// subreaper, and ExitGrace covers the command's process group only.
func Init(o InitOptions) int {
	// Init is idle nearly always and never has two things to do at once. One
	// processor means one allocation cache, and a collector that starts at 400 KiB
	// instead of 4 MiB keeps the memory small that every sandbox pays.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(10)

	signals := make(chan os.Signal, 128)
	signal.Notify(signals, forwardable()...)
	children := make(chan os.Signal, 1) // one pending mark is enough: reap takes all
	signal.Notify(children, unix.SIGCHLD)

	if os.Getpid() != 1 {
		_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	}

	reserveThreads()

	hs, code := negotiate(o, signals)
	if hs == nil {
		return code
	}
	pid, failed := start(o.Args)
	// The command decides now, whatever happens to the connection.
	hs.conn.setDeadline(time.Now().Add(10 * time.Second))
	if failed != nil {
		hs.send(wire.Message{Failed: failed})
		hs.conn.close()
		return failed.Code
	}
	hs.send(wire.Message{Started: &wire.Started{PID: pid}})
	hs.conn.close()
	cfg := hs.cfg
	hs = nil
	// Give back what the hand-shake used, out of berth's way.
	go debug.FreeOSMemory()
	return supervise(pid, cfg, signals, children)
}

// reserveThreads makes the Go runtime create every thread that init can need, while
// there are some to be had. A command that has used up the sandbox's process limit
// would otherwise crash init, and the sandbox with it, when the runtime asks for one
// more. Threads are not given back.
//
// Three suffice: one waits for signals, one may be in a system call, and one runs
// what is left.
func reserveThreads() {
	const n = 3
	var all, done sync.WaitGroup
	all.Add(n)
	for range n {
		done.Go(func() {
			// A goroutine that waits while it is locked keeps a thread to itself.
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			all.Done()
			all.Wait()
		})
	}
	done.Wait()
}

// hello is a hand-shake that has come to "go".
type hello struct {
	conn *sock
	cfg  *wire.Config
}

func (h *hello) send(m wire.Message) {
	if line, err := wire.Encode(m); err == nil {
		_, _ = h.conn.Write(line)
	}
}

// negotiate does the hand-shake up to "go". When it returns nil, the hand-shake is
// over, its files are gone and init exits with code.
func negotiate(o InitOptions, signals <-chan os.Signal) (h *hello, code int) {
	ctx, cancel := context.WithTimeout(context.Background(), o.Timeout)
	defer cancel()
	done := make(chan *hello, 1)
	go func() { done <- converse(ctx, o) }()
	for {
		select {
		case h := <-done:
			return h, wire.ExitInit
		case s := <-signals:
			if !stops(s) {
				continue
			}
			cancel()
			if h := <-done; h != nil {
				h.conn.close()
			}
			return nil, 128 + int(s.(syscall.Signal))
		}
	}
}

// converse talks to berth until "go" and returns nil for any other end, which
// includes the end of ctx. The probe files are gone when it returns.
func converse(ctx context.Context, o InitOptions) (h *hello) {
	var conn *sock
	var err error
	if o.Listen != "" {
		conn, err = acceptOne(ctx, o.Listen)
	} else {
		conn, err = dial(ctx, o.Connect)
	}
	if err != nil {
		return nil
	}
	defer func() {
		if h == nil {
			conn.close()
		}
	}()
	defer context.AfterFunc(ctx, func() { conn.setDeadline(time.Unix(1, 0)) })()
	// Probe files go first, then the connection: its end tells berth that they did.
	var p probes
	defer p.remove()

	h = &hello{conn: conn}
	in := wire.NewReader(conn, wire.MaxConfigLine)
	line, err := in.ReadLine()
	if err != nil {
		return nil
	}
	if h.cfg, err = readConfig(line); err != nil {
		h.send(wire.Message{Failed: &wire.Failed{Code: wire.ExitInit, Message: err.Error()}})
		// Let berth close first, so that the answer cannot be lost.
		_ = conn.closeWrite()
		_, _ = io.Copy(io.Discard, conn)
		return nil
	}
	report := &wire.Report{Version: wire.Version, Nonce: h.cfg.Nonce, AgentVersion: o.Version}
	facts(report)
	report.Mounts = examine(h.cfg, &p)
	if line, err = wire.Encode(wire.Message{Report: report}); err != nil {
		return nil
	}
	if len(line) > wire.MaxLine {
		h.send(wire.Message{Failed: &wire.Failed{Code: wire.ExitInit, Message: fmt.Sprintf(
			"the report on %d mounts has %d bytes, more than the %d that berth reads: use fewer mounts or shorter targets", len(h.cfg.Mounts), len(line), wire.MaxLine)}})
		return nil
	}
	if _, err := conn.Write(line); err != nil {
		return nil
	}
	if m, err := in.Read(); err != nil || m.Go == nil || ctx.Err() != nil {
		return nil
	}
	return h
}

// readConfig decodes and checks the first message. The version is looked at before
// anything else, because another version's config may hold unknown fields.
func readConfig(line []byte) (*wire.Config, error) {
	version, peeked := wire.PeekVersion(line)
	m, err := wire.Decode(line)
	switch {
	case peeked && version != wire.Version:
		return nil, fmt.Errorf("this agent speaks version %d of the hand-shake, not %d", wire.Version, version)
	case err != nil:
		return nil, err
	case m.Config == nil:
		return nil, errors.New(m.Kind() + " instead of config")
	}
	return m.Config, m.Config.Check()
}

// supervise forwards signals to the command, reaps, enforces the time to live and
// returns the exit code when the command has ended.
//
// Everything happens in this one goroutine: between a reap and a kill of the same
// process id nothing can come.
func supervise(pid int, cfg *wire.Config, signals, children <-chan os.Signal) int {
	var ttl, kill <-chan time.Time
	if cfg.TTL > 0 {
		ttl = time.After(cfg.TTL)
	}
	stop := syscall.Signal(cfg.StopSignal)
	if stop == 0 {
		stop = unix.SIGTERM
	}
	for {
		// First of all: the command may have ended before the handler was there.
		if code, ended := reap(pid); ended {
			end(pid, cfg.ExitGrace, signals, children)
			return code
		}
		select {
		case <-children:
		case s := <-signals:
			// The terminal's stop signals for background processes are for init, which
			// is one; forwarded they would stop the command.
			if s != unix.SIGTTIN && s != unix.SIGTTOU {
				_ = unix.Kill(pid, s.(syscall.Signal))
			}
		case <-ttl:
			_ = unix.Kill(pid, stop)
			_ = unix.Kill(pid, unix.SIGCONT) // a stopped process would not see it
			kill = time.After(cfg.StopGrace)
		case <-kill:
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// reap collects every child that has ended and tells whether the command, pid, is
// among them.
func reap(pid int) (code int, ended bool) {
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, unix.WNOHANG|unix.WUNTRACED, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || got == 0:
			return code, ended
		case ws.Stopped():
			// Ctrl-Z. Nobody in here could resume the command, and the terminal would be
			// dead. Process 1 of a sandbox without init ignores this signal; do as it.
			if got == pid && ws.StopSignal() == unix.SIGTSTP {
				_ = unix.Kill(-pid, unix.SIGCONT)
			}
		case got == pid && ws.Signaled():
			code, ended = 128+int(ws.Signal()), true
		case got == pid:
			code, ended = ws.ExitStatus(), true
		}
	}
}

// end gives the processes that the command left behind grace to end: SIGTERM to
// all, then SIGKILL. With no grace it does nothing, and the kernel kills them when
// process 1 exits. A signal that asks init to stop ends the grace.
func end(pid int, grace time.Duration, signals, children <-chan os.Signal) {
	if grace <= 0 {
		return
	}
	// -1 is every process but init, which only process 1 may do: it has the whole
	// pid namespace for itself.
	all := -1
	if os.Getpid() != 1 {
		all = -pid
	}
	left := func(sig syscall.Signal) bool { return unix.Kill(all, sig) == nil }
	timer := time.After(grace)
	for ok := left(unix.SIGTERM); ok; ok = left(0) {
		select {
		case <-children:
			reap(pid)
		case s := <-signals:
			if stops(s) {
				left(unix.SIGKILL)
				return
			}
		case <-timer:
			left(unix.SIGKILL)
			return
		}
	}
}

// forwardable is every signal that a process can catch and that is not about the
// catcher itself: SIGCHLD, and SIGURG, with which the Go runtime interrupts its own
// threads. The Go runtime does not let a program have 32 and 33, which belong to
// the C libraries' threads, 34, which belongs to musl's, and SIGPROF.
func forwardable() []os.Signal {
	var s []os.Signal
	for n := syscall.Signal(1); n <= 64; n++ {
		switch n {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGURG, unix.SIGPROF, 32, 33, 34:
		default:
			s = append(s, n)
		}
	}
	return s
}

// stops tells whether a signal that arrives before the command runs is a request to
// stop: whether its default action would end a process. SIGPIPE is left out, since
// no one asks by it.
func stops(s os.Signal) bool {
	switch s {
	case unix.SIGCONT, unix.SIGWINCH, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGPIPE:
		return false
	}
	return true
}
