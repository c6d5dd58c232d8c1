// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/backend/all"
	"github.com/berthrun/berth/internal/libexec"
	"github.com/berthrun/berth/internal/sandbox"
	"github.com/berthrun/berth/internal/version"
)

// app is one invocation of the command.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) (string, bool)
	environ        func() []string
	interrupts     func() // stops SIGINT and SIGTERM from ending the context

	backendName, host, output, logLevel string
	quiet, enginePaths                  bool

	log    *slog.Logger
	driver backend.Driver
}

func newApp(stdin io.Reader, stdout, stderr io.Writer, getenv func(string) (string, bool)) *app {
	return &app{
		stdin: stdin, stdout: stdout, stderr: stderr, getenv: getenv, environ: os.Environ,
		interrupts: func() {}, log: slog.New(slog.DiscardHandler),
	}
}

// env returns a variable that is set and not empty, or def.
func (a *app) env(name, def string) string {
	if v, ok := a.getenv(name); ok && v != "" {
		return v
	}
	return def
}

// main runs the command and returns its exit code.
func (a *app) main(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	if a.driver != nil {
		_ = a.driver.Close()
	}
	return a.report(err)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "berth",
		Short: "Run untrusted work in a sandbox on any container engine",
		Long: `berth runs untrusted work in a sandbox on whatever container engine the machine
has. The same spec gives the same sandbox, or a refusal that names the field.`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.setUp() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usageOf(c, err) })
	f := root.PersistentFlags()
	f.StringVar(&a.backendName, "backend", a.env("BERTH_BACKEND", "auto"), "backend: auto or one of "+strings.Join(all.Registry().Names(), ", ")+" (BERTH_BACKEND)")
	f.StringVar(&a.host, "host", a.env("BERTH_HOST", ""), "address of the engine, such as unix:///var/run/docker.sock (BERTH_HOST)")
	f.StringVarP(&a.output, "output", "o", "table", "output: table or json")
	f.StringVar(&a.logLevel, "log-level", "warn", "log to stderr from this level: debug, info, warn, error")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "print no progress and no warnings; in lists, only ids")
	f.BoolVar(&a.enginePaths, "engine-paths", false, "host paths are paths of the engine's machine, which is another one")

	root.AddGroup(
		&cobra.Group{ID: "sandbox", Title: "Sandboxes:"},
		&cobra.Group{ID: "spec", Title: "Specs, policy and proof:"},
		&cobra.Group{ID: "engine", Title: "Engine:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("sandbox", a.runCmd(), a.createCmd(), a.lsCmd(), a.inspectCmd(), a.startCmd(), a.stopCmd(), a.pauseCmd(), a.resumeCmd(),
		a.rmCmd(), a.execCmd(), a.logsCmd(), a.cpCmd(), a.portCmd(), a.statsCmd(), a.waitCmd())
	add("spec", a.planCmd(), a.specCmd(), a.policyCmd(), a.conformanceCmd())
	add("engine", a.doctorCmd(), a.imageCmd(), a.networkCmd())
	root.AddCommand(a.completionCmd(), a.manCmd(), a.versionCmd())
	usageErrors(root)
	return root
}

// usageOf is a usage error of c; run and exec have codes of their own.
func usageOf(c *cobra.Command, err error) error {
	err = &usageError{err}
	if name := c.Name(); name == "run" || name == "exec" {
		return asCommand(err)
	}
	return err
}

// usageErrors makes a wrong number of arguments a usage error, for which cobra
// has no type.
func usageErrors(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageOf(c, fmt.Errorf("%s: %w", cmd.Name(), err))
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		usageErrors(sub)
	}
}

// setUp checks the global flags.
func (a *app) setUp() error {
	if a.output != "table" && a.output != "json" {
		return usagef("--output %q: want table or json", a.output)
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
		return usagef("--log-level %q: want debug, info, warn or error", a.logLevel)
	}
	a.log = slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level}))
	return nil
}

func (a *app) json() bool { return a.output == "json" }

// warn tells the user something that is no error.
func (a *app) warn(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintln(a.stderr, "berth: warning: "+fmt.Sprintf(format, args...))
	}
}

// home is the caller's home directory; empty when there is none.
func (a *app) home() string {
	home, _ := a.getenv("HOME")
	return home
}

// stateDir is where berth keeps what belongs to sandboxes on this machine.
func (a *app) stateDir() (string, error) {
	if dir, ok := a.getenv("BERTH_STATE_DIR"); ok && dir != "" {
		return filepath.Abs(dir)
	}
	if dir, ok := a.getenv("XDG_STATE_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "berth"), nil
	}
	if os.Geteuid() == 0 {
		return "/var/lib/berth", nil
	}
	if a.home() == "" {
		return "", &backend.Error{Kind: backend.Invalid, Message: "no place for state: set HOME or BERTH_STATE_DIR"}
	}
	return filepath.Join(a.home(), ".local", "state", "berth"), nil
}

func (a *app) config() (backend.Config, error) {
	dir, err := a.stateDir()
	if err != nil {
		return backend.Config{}, err
	}
	return backend.Config{Host: a.host, Getenv: a.getenv, Home: a.home(), StateDir: dir, Log: a.log}, nil
}

// choice is what became of one backend when one was looked for.
type choice struct {
	Backend string        `json:"backend"`
	Chosen  bool          `json:"chosen"`
	Info    *backend.Info `json:"info,omitempty"`
	Reason  string        `json:"reason,omitempty"`
}

// choose opens the backend that the user named, or with auto the first that
// answers. All candidates are asked only when everything is set.
func (a *app) choose(ctx context.Context, everything bool) (backend.Driver, []choice, error) {
	registry := all.Registry()
	names := registry.Names()
	if a.backendName != "auto" {
		names = []string{a.backendName}
	}
	cfg, err := a.config()
	if err != nil {
		return nil, nil, err
	}
	var chosen backend.Driver
	var choices []choice
	var errs []error
	for _, name := range names {
		d, err := registry.Open(ctx, name, cfg)
		if err != nil {
			if a.backendName != "auto" {
				return nil, choices, err
			}
			errs = append(errs, err)
			choices = append(choices, choice{Backend: name, Reason: err.Error()})
			continue
		}
		if a.backendName != "auto" && !everything {
			return d, nil, nil
		}
		info, err := d.Probe(ctx, false)
		if ctx.Err() != nil {
			_ = d.Close()
			return nil, nil, ctx.Err()
		}
		c := choice{Backend: name, Info: info}
		switch {
		case err != nil:
			c.Reason = err.Error()
			errs = append(errs, err)
			_ = d.Close()
		case chosen == nil:
			chosen, c.Chosen = d, true
			c.Reason = "the first that answers"
			if a.backendName != "auto" {
				c.Reason = "asked for"
			}
		default:
			c.Reason = "another one came first"
			_ = d.Close()
		}
		choices = append(choices, c)
		if chosen != nil && !everything {
			break
		}
	}
	if chosen == nil {
		return nil, choices, &backend.Error{
			Kind: backend.Unavailable, Message: "no container engine answers (berth doctor says more)", Err: errors.Join(errs...),
		}
	}
	return chosen, choices, nil
}

// open returns the driver that this invocation uses.
func (a *app) open(ctx context.Context) (backend.Driver, error) {
	if a.driver != nil {
		return a.driver, nil
	}
	d, _, err := a.choose(ctx, false)
	a.driver = d
	return d, err
}

// manager returns the life cycle on the chosen backend.
func (a *app) manager(ctx context.Context) (*sandbox.Manager, error) {
	d, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := a.stateDir()
	if err != nil {
		return nil, err
	}
	// A missing agent matters only to what creates a sandbox, which says so.
	agent, err := libexec.Find("berth-agent", a.getenv)
	if err != nil {
		agent = "berth-agent"
	}
	return sandbox.New(sandbox.Options{
		Driver: d, StateDir: dir, Agent: agent, Version: version.String(), Log: a.log, EnginePaths: a.enginePaths,
		Caller: sandbox.Caller{UID: uint32(max(0, os.Getuid())), GID: uint32(max(0, os.Getgid())), Home: a.home()},
	})
}

// find returns the manager and the sandbox that the user means.
func (a *app) find(ctx context.Context, text string) (*sandbox.Manager, *backend.Status, error) {
	m, err := a.manager(ctx)
	if err != nil {
		return nil, nil, err
	}
	st, err := m.Find(ctx, text)
	return m, st, err
}

// optional returns the driver's implementation of an optional interface.
func optional[T any](d backend.Driver, what string, c backend.Capability) (T, error) {
	t, ok := backend.As[T](d)
	if !ok {
		return t, &backend.Error{Kind: backend.Unsupported, Op: d.Name() + "." + what, Capability: c, Message: "this backend cannot do it"}
	}
	return t, nil
}

// terminal reports whether stream is a terminal, and which.
func terminal(stream any) (fd int, ok bool) {
	f, isFile := stream.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	return int(f.Fd()), true
}
