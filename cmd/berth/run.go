// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/internal/sandbox"
	"github.com/berthrun/berth/spec"
)

func (a *app) runCmd() *cobra.Command {
	f := &specFlags{}
	c := &cobra.Command{
		Use:   "run [flags] [-- CMD…]",
		Short: "Create a sandbox, run a command in it, and remove it",
		Long: `run creates a sandbox, starts it, streams its output, passes signals and the
command's exit code through, and removes everything afterwards. Exit code 125:
berth or the engine failed; 126: the command cannot be invoked; 127: it was not
found; 128+n: signal n ended it.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.run(cmd, f, args); err != nil {
				return asCommand(err)
			}
			return nil
		},
	}
	c.Flags().SetInterspersed(false)
	f.register(c.Flags())
	return c
}

// asCommand gives a failure of run or exec its codes, which are docker's.
func asCommand(err error) error {
	if _, ok := errors.AsType[exitCode](err); ok {
		return err
	}
	return &commandError{err}
}

func (a *app) run(cmd *cobra.Command, f *specFlags, args []string) error {
	c, err := a.compose(cmd, f, args)
	if err != nil {
		return err
	}
	for _, w := range c.warnings {
		a.warn("%s", w)
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	m, err := a.manager(ctx)
	if err != nil {
		return err
	}
	s := a.newSession(ctx, m, c.spec.Process.TTY)
	if err := s.checkTerminal(c.spec.Process.Stdin); err != nil {
		return err
	}
	streams := backend.Streams{Stdout: a.stdout, Stderr: a.stderr}
	if c.spec.Process.Stdin {
		streams.Stdin = a.stdin
	}
	exit, err := m.Run(ctx, c.request(f, a.progress()), streams, sandbox.RunHooks{
		Created: func(p *sandbox.Prepared, st *backend.Status) {
			a.tell(p)
			// From here on signals are the command's.
			a.interrupts()
			s.begin(st.ID, cancel)
		},
		Started: func(st *sandbox.Started) {
			for _, w := range st.Warnings {
				a.warn("%s", w)
			}
			a.announcePorts(st.Status)
			s.attach(st.Process)
		},
	})
	s.end()
	if err != nil {
		return err
	}
	if exit.Code != 0 {
		return exitCode(exit.Code)
	}
	return nil
}

// tell prints what policy changed and what it warns of.
func (a *app) tell(p *sandbox.Prepared) {
	if p == nil {
		return
	}
	for _, patch := range p.Patches {
		a.warn("profile sets %s", patch)
	}
	for _, w := range p.Decision.Warnings {
		a.warn("%s", w)
	}
}

// announcePorts tells where published ports are: on stderr, because stdout is
// the command's.
func (a *app) announcePorts(st *backend.Status) {
	if a.quiet || st == nil {
		return
	}
	for _, p := range st.Ports {
		fmt.Fprintf(a.stderr, "berth: port %s\n", portLine(p))
	}
}

// session is the client's side of a running command: signals and terminal.
type session struct {
	app *app
	m   *sandbox.Manager
	tty bool

	signals chan os.Signal
	done    chan struct{}
	once    sync.Once
	restore func()
}

func (a *app) newSession(_ context.Context, m *sandbox.Manager, tty bool) *session {
	return &session{app: a, m: m, tty: tty, signals: make(chan os.Signal, 16), done: make(chan struct{}), restore: func() {}}
}

// checkTerminal refuses a terminal for a command whose input is none, as docker
// does: line editing would wait for ever.
func (s *session) checkTerminal(interactive bool) error {
	if _, ok := terminal(s.app.stdin); s.tty && interactive && !ok {
		return usagef("--tty with --interactive: the input is not a terminal")
	}
	return nil
}

// forwarded are the signals that reach the command.
var forwarded = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
}

// begin passes signals on. The third interrupt in a row ends the sandbox even
// when the command will not.
func (s *session) begin(id backend.ID, cancel func()) {
	signal.Notify(s.signals, forwarded...)
	signaller, ok := backend.As[backend.Signaller](s.m.Driver())
	go func() {
		interrupts := 0
		for {
			select {
			case <-s.done:
				return
			case sig := <-s.signals:
				if sig == syscall.SIGINT || sig == syscall.SIGTERM {
					interrupts++
				}
				if interrupts >= 3 || !ok {
					cancel()
					return
				}
				name := unix.SignalName(sig.(syscall.Signal))
				ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
				err := signaller.Signal(ctx, id, name)
				stop()
				// Not running yet: the interrupt ends the start instead.
				if errors.Is(err, backend.Conflict) && (sig == syscall.SIGINT || sig == syscall.SIGTERM) {
					cancel()
					return
				}
				if err != nil && !errors.Is(err, backend.NotFound) && !errors.Is(err, backend.Conflict) {
					s.app.log.Warn("signal was not passed on", "signal", name, "error", err)
				}
			}
		}
	}()
}

// attach puts the terminal into raw mode and follows its size.
func (s *session) attach(p backend.Process) {
	fd, ok := terminal(s.app.stdin)
	if !s.tty || !ok {
		return
	}
	if old, err := term.MakeRaw(fd); err == nil {
		s.restore = func() { _ = term.Restore(fd, old) }
	}
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	resize := func() {
		if cols, rows, err := term.GetSize(fd); err == nil {
			ctx, stop := context.WithTimeout(context.Background(), 5*time.Second)
			_ = p.Resize(ctx, uint16(cols), uint16(rows))
			stop()
		}
	}
	resize()
	go func() {
		defer signal.Stop(resized)
		for {
			select {
			case <-s.done:
				return
			case <-resized:
				resize()
			}
		}
	}()
}

// end gives the terminal and the signals back.
func (s *session) end() {
	s.once.Do(func() {
		close(s.done)
		signal.Stop(s.signals)
		s.restore()
	})
}

func (a *app) createCmd() *cobra.Command {
	f := &specFlags{}
	var noStart bool
	c := &cobra.Command{
		Use:   "create [flags] [-- CMD…]",
		Short: "Create and start a long-lived sandbox; prints its id",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			c, err := a.compose(cmd, f, args)
			if err != nil {
				return err
			}
			for _, w := range c.warnings {
				a.warn("%s", w)
			}
			m, err := a.manager(ctx)
			if err != nil {
				return err
			}
			st, p, err := m.Create(ctx, c.request(f, a.progress()))
			if err != nil {
				return err
			}
			a.tell(p)
			if !noStart {
				started, err := m.Start(ctx, st.ID, nil)
				if err != nil {
					clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
					defer cancel()
					return errors.Join(err, m.Remove(clean, st.ID, &backend.RemoveOptions{Force: true}))
				}
				for _, w := range started.Warnings {
					a.warn("%s", w)
				}
				st = started.Status
				a.announcePorts(st)
			}
			return a.print(sandbox.NewView(st), func(t *table) { t.row(string(st.ID)) })
		},
	}
	c.Flags().SetInterspersed(false)
	f.register(c.Flags())
	c.Flags().BoolVar(&noStart, "no-start", false, "leave the sandbox stopped")
	return c
}

func (a *app) planCmd() *cobra.Command {
	f := &specFlags{}
	c := &cobra.Command{
		Use:   "plan [flags] [-- CMD…]",
		Short: "Print how the backend would realise each field of a spec",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.compose(cmd, f, args)
			if err != nil {
				return err
			}
			m, err := a.manager(cmd.Context())
			if err != nil {
				return err
			}
			p, err := m.Prepare(cmd.Context(), c.request(f, nil), false)
			if p == nil || p.Plan == nil {
				return err
			}
			out := map[string]any{"plan": p.Plan, "decision": p.Decision, "spec": spec.Redact(p.Spec), "patches": p.Patches}
			return errors.Join(a.print(out, func(t *table) {
				t.row("FIELD", "FIDELITY", "NATIVE", "NOTE")
				for _, line := range p.Plan.Mappings {
					t.row(string(line.Field), string(line.Fidelity), line.Native, line.Note)
				}
			}), err)
		},
	}
	c.Flags().SetInterspersed(false)
	f.register(c.Flags())
	return c
}
