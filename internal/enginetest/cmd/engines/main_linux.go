// SPDX-License-Identifier: Apache-2.0

// Command engines starts a private container engine for tests and removes it
// again. `engines help` prints its use; `make test` and `make engines` call it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/berthrun/berth/internal/enginetest"
)

const usage = `engines starts a private docker engine for tests.

  engines run [--keep] [--leaks] -- CMD ARGS...
        start a new engine, run CMD beside it, in its network namespace, and
        remove the engine. The exit code is CMD's. --keep leaves the engine
        running until a signal comes; --leaks fails when CMD left something
        in the engine.
  engines up       start an engine in the background and leave it running
  engines env      print the variables that lead to it, for eval in a shell
  engines enter -- CMD ARGS...
        run CMD in the network namespace of that engine, with its variables
  engines snapshot print what exists in and around it, as JSON
  engines down     remove it

All take --base DIR (default ` + enginetest.DefaultBase + `); all but run
take --name NAME (default dev). It needs root. On Debian and Ubuntu it installs
docker.io and iptables when they are missing.
`

// Exit statuses of the harness itself. CMD's own status passes through.
const (
	exitUsage   = 2
	exitLeaks   = 3   // CMD succeeded but left something in the engine
	exitHarness = 125 // the engine did not start or could not be removed
)

func main() {
	os.Exit(dispatch(os.Args[1:]))
}

func dispatch(args []string) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		fmt.Fprint(os.Stderr, usage)
		return exitUsage
	}
	verb := args[0]
	fs := flag.NewFlagSet("engines "+verb, flag.ContinueOnError)
	fs.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	o := options{}
	fs.StringVar(&o.base, "base", enginetest.DefaultBase, "")
	if verb == "run" {
		fs.BoolVar(&o.keep, "keep", false, "")
		fs.BoolVar(&o.leaks, "leaks", false, "")
	} else {
		fs.StringVar(&o.name, "name", "dev", "")
	}
	if err := fs.Parse(args[1:]); err != nil {
		return exitUsage
	}
	o.args = fs.Args()
	verbs := map[string]func(options) (int, error){
		"run": run, "up": up, "env": env, "enter": enterNetns, "snapshot": snapshot, "down": down,
		"supervise": supervise,
	}
	f, ok := verbs[verb]
	needsCmd := verb == "run" || verb == "enter"
	if !ok || needsCmd != (len(o.args) > 0) {
		fmt.Fprint(os.Stderr, usage)
		return exitUsage
	}
	code, err := f(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "engines:", err)
		if code == 0 {
			code = exitHarness
		}
	}
	return code
}

type options struct {
	base, name  string
	keep, leaks bool
	args        []string
}

// run is the main job: one engine for one command.
func run(o options) (code int, err error) {
	// Registered before anything exists, so that no signal finds the engine
	// half started and undefended.
	sigs := make(chan os.Signal, 8)
	signal.Notify(sigs, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	defer signal.Stop(sigs)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	if err := enginetest.AdoptOrphans(ctx); err != nil {
		return 0, err
	}

	type result struct {
		d   *enginetest.Docker
		err error
	}
	started := make(chan result, 1)
	begin := time.Now()
	go func() {
		d, err := enginetest.Start(ctx, enginetest.Options{Base: o.base, Install: true, Log: os.Stderr})
		started <- result{d, err}
	}()
	var r result
	var caught os.Signal
	for waiting := true; waiting; {
		select {
		case r = <-started:
			waiting = false
		case s := <-sigs:
			if caught == nil {
				caught = s
				cancel(fmt.Errorf("%s while the engine started", s))
			}
		}
	}
	if r.err != nil {
		if caught != nil {
			return statusOf(caught), context.Cause(ctx)
		}
		return 0, r.err
	}
	d := r.d
	defer func() {
		// The harness goes on ignoring signals here: an impatient second
		// Ctrl-C must not leave half an engine behind.
		if stopErr := d.Stop(); stopErr != nil {
			code, err = exitHarness, errors.Join(err, stopErr)
		}
	}()
	if caught != nil {
		return statusOf(caught), nil
	}
	fmt.Fprintf(os.Stderr, "engines: docker is up after %s in %s\n", time.Since(begin).Round(10*time.Millisecond), d.Endpoint().Dir)

	before, err := d.Snapshot(ctx)
	if err != nil {
		return 0, err
	}
	code, err = beside(d, o.args, sigs)
	if err != nil {
		return code, err
	}
	if o.leaks {
		if left := leaks(ctx, d, before); len(left) > 0 {
			fmt.Fprintf(os.Stderr, "engines: %s left something in the engine:\n\t%s\n", o.args[0], strings.Join(left, "\n\t"))
			if code == 0 {
				code = exitLeaks
			}
		}
	}
	if o.keep {
		fmt.Fprintf(os.Stderr, "engines: exit status %d; the engine stays until Ctrl-C:\n", code)
		if err := printEnv(os.Stderr, d.Endpoint()); err != nil {
			return code, err
		}
		<-sigs
	}
	return code, nil
}

// beside runs a command in the engine's network namespace and passes signals
// on to it.
func beside(d *enginetest.Docker, args []string, sigs <-chan os.Signal) (int, error) {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return 127, err
	}
	cmd := d.Command(path, args[1:]...)
	cmd.Args[0] = args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// There is no module proxy in there: what is missing must say so at once.
	cmd.Env = append(cmd.Env, "GOPROXY=off", "GOTOOLCHAIN=local")
	// A group of its own, so that a signal reaches all of it exactly once. On
	// a terminal it becomes the foreground group, so that it can read.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	tty := term.IsTerminal(0)
	if tty {
		signal.Ignore(unix.SIGTTOU)
		cmd.SysProcAttr.Foreground, cmd.SysProcAttr.Ctty = true, 0
	}
	done, err := enginetest.StartIn(d.Endpoint().Netns, cmd)
	if err != nil {
		return 126, err
	}
	group := -cmd.Process.Pid
	var kill <-chan time.Time
	for {
		select {
		case s := <-sigs:
			_ = syscall.Kill(group, s.(syscall.Signal))
			if kill == nil {
				kill = time.After(20 * time.Second)
			}
			continue
		case <-kill:
			_ = syscall.Kill(group, syscall.SIGKILL)
			continue
		case err = <-done:
		}
		break
	}
	if tty {
		_ = unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, unix.Getpgrp())
	}
	_ = syscall.Kill(group, syscall.SIGKILL) // what it left in its group
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		if ws := exit.Sys().(syscall.WaitStatus); ws.Signaled() {
			return statusOf(ws.Signal()), nil
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}

// statusOf is the shell's exit status for a signal.
func statusOf(s os.Signal) int { return 128 + int(s.(syscall.Signal)) }

// leaks compares the engine with before until nothing is left or the time for
// what ends by itself is over.
func leaks(ctx context.Context, d *enginetest.Docker, before *enginetest.Snapshot) []string {
	deadline := time.Now().Add(5 * time.Second)
	for {
		left := []string{"the engine does not answer"}
		after, err := d.Snapshot(ctx)
		if err == nil {
			left = enginetest.Diff(before, after)
		} else {
			left = append(left, err.Error())
		}
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// up starts a supervisor in the background and waits until its engine answers.
func up(o options) (int, error) {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if c, err := enginetest.Find(o.base, o.name); err == nil && c.Ready(ctx) == nil {
		fmt.Fprintf(os.Stderr, "engines: %s is up already\n", o.name)
		return 0, printEnv(os.Stdout, c.Endpoint)
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(o.base, 0o755); err != nil {
		return 0, err
	}
	logName := filepath.Join(o.base, o.name+".log")
	log, err := os.Create(logName)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := exec.Command(self, "supervise", "--base", o.base, "--name", o.name)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // ProcessState says how it ended
		close(done)
	}()
	for {
		if c, err := enginetest.Find(o.base, o.name); err == nil && c.Ready(ctx) == nil {
			return 0, printEnv(os.Stdout, c.Endpoint)
		}
		select {
		case <-done:
			b, _ := os.ReadFile(logName)
			return 0, fmt.Errorf("the supervisor ended: %s\n%s", cmd.ProcessState, b)
		case <-ctx.Done():
			_ = cmd.Process.Signal(unix.SIGTERM)
			<-done
			return 0, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// supervise owns the engine of `engines up`.
func supervise(o options) (int, error) {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer stop()
	if err := enginetest.AdoptOrphans(ctx); err != nil {
		return 0, err
	}
	d, err := enginetest.Start(ctx, enginetest.Options{Base: o.base, Name: o.name, Install: true, Log: os.Stderr})
	if err != nil {
		return 0, err
	}
	select {
	case <-ctx.Done():
	case <-d.ShutdownRequested():
	}
	if err := d.Stop(); err != nil {
		return 0, err
	}
	return 0, os.Remove(filepath.Join(o.base, o.name+".log"))
}

func env(o options) (int, error) {
	c, err := find(o)
	if err != nil {
		return 0, err
	}
	return 0, printEnv(os.Stdout, c.Endpoint)
}

func find(o options) (*enginetest.Client, error) {
	c, err := enginetest.Find(o.base, o.name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no engine %s: run `make engines` (engines up)", o.name)
	}
	return c, err
}

func printEnv(w io.Writer, e enginetest.Endpoint) error {
	for _, kv := range e.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		if _, err := fmt.Fprintf(w, "export %s=%s\n", k, quote(v)); err != nil {
			return err
		}
	}
	return nil
}

// quote quotes s for a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// enterNetns replaces this process with a command in the engine's namespace.
func enterNetns(o options) (int, error) {
	c, err := find(o)
	if err != nil {
		return 0, err
	}
	path, err := exec.LookPath(o.args[0])
	if err != nil {
		return 127, err
	}
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), c.Environ()...)
	environ := cmd.Environ() // each variable once: ours wins
	return 126, enginetest.InNetns(c.Netns, func() error {
		// The whole process becomes what this thread is: in the namespace.
		return syscall.Exec(path, o.args, environ)
	})
}

func snapshot(o options) (int, error) {
	c, err := find(o)
	if err != nil {
		return 0, err
	}
	s, err := c.Snapshot(context.Background())
	if err != nil {
		return 0, err
	}
	enc := json.NewEncoder(os.Stdout)
	enc.SetIndent("", "  ")
	return 0, enc.Encode(s)
}

func down(o options) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return 0, enginetest.Down(ctx, o.base, o.name)
}
