// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"net"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/internal/sandbox"
)

func (a *app) lsCmd() *cobra.Command {
	var labels []string
	c := &cobra.Command{
		Use: "ls", Aliases: []string{"ps"}, Short: "List sandboxes", Args: cobra.NoArgs,
		Long: `ls lists sandboxes. It also removes what a run left whose client was killed: the
sandbox, when its command has ended since, and its directory.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := a.manager(cmd.Context())
			if err != nil {
				return err
			}
			opts := &backend.ListOptions{Labels: map[string]string{}}
			for _, l := range labels {
				k, v, _ := strings.Cut(l, "=")
				opts.Labels[k] = v
			}
			removed, err := m.Reconcile(cmd.Context())
			if backend.KindOf(err) == backend.Unavailable {
				return err
			}
			if err != nil {
				a.warn("what killed clients left could not be removed: %v", err)
			} else if len(removed) > 0 {
				a.log.Info("removed what killed clients left", "sandboxes", removed)
			}
			list, err := m.List(cmd.Context(), opts)
			if err != nil {
				return err
			}
			views := []*sandbox.View{}
			for _, st := range list {
				views = append(views, sandbox.NewView(st))
			}
			return a.print(views, func(t *table) {
				if !a.quiet {
					t.row("ID", "NAME", "PHASE", "IMAGE", "CREATED", "PORTS")
				}
				for i, st := range list {
					if a.quiet {
						t.row(string(st.ID))
						continue
					}
					var ports []string
					for _, p := range st.Ports {
						ports = append(ports, portLine(p))
					}
					image := ""
					if views[i].Spec != nil {
						image = views[i].Spec.Image.Ref
					}
					t.row(string(st.ID), st.Name, string(st.Phase), image, units.HumanDuration(time.Since(st.CreatedAt))+" ago", strings.Join(ports, ", "))
				}
			})
		},
	}
	c.Flags().StringArrayVar(&labels, "label", nil, "only sandboxes with this `KEY=VALUE` (repeatable)")
	return c
}

func portLine(p backend.PortStatus) string {
	return net.JoinHostPort(p.Address, strconv.Itoa(p.HostPort)) + "->" + strconv.Itoa(p.ContainerPort) + "/" + string(p.Protocol)
}

func (a *app) inspectCmd() *cobra.Command {
	return &cobra.Command{
		Use: "inspect SANDBOX…", Short: "Print the neutral status of sandboxes as JSON", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			views := []*sandbox.View{}
			var errs []error
			for _, arg := range args {
				_, st, err := a.find(cmd.Context(), arg)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				views = append(views, sandbox.NewView(st))
			}
			a.output = "json"
			if len(args) == 1 && len(views) == 1 {
				return a.print(views[0], nil)
			}
			return errors.Join(a.print(views, nil), errors.Join(errs...))
		},
	}
}

// each makes a verb that does one thing to each sandbox it is given, and prints
// the ids of those for which it worked.
func (a *app) each(use, short string, do func(context.Context, *sandbox.Manager, *backend.Status) error) *cobra.Command {
	return &cobra.Command{
		Use: use + " SANDBOX…", Short: short, Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var errs []error
			done := []string{}
			for _, arg := range args {
				m, st, err := a.find(cmd.Context(), arg)
				if err == nil {
					err = do(cmd.Context(), m, st)
				}
				if err != nil {
					errs = append(errs, err)
					continue
				}
				done = append(done, string(st.ID))
			}
			return errors.Join(a.print(map[string]any{"ids": done}, func(t *table) {
				for _, id := range done {
					t.row(id)
				}
			}), errors.Join(errs...))
		},
	}
}

func (a *app) startCmd() *cobra.Command {
	return a.each("start", "Start stopped sandboxes", func(ctx context.Context, m *sandbox.Manager, st *backend.Status) error {
		started, err := m.Start(ctx, st.ID, nil)
		if err != nil {
			return err
		}
		for _, w := range started.Warnings {
			a.warn("%s", w)
		}
		a.announcePorts(started.Status)
		return nil
	})
}

func (a *app) stopCmd() *cobra.Command {
	var signal string
	var grace int
	c := a.each("stop", "Stop sandboxes", nil)
	run := func(ctx context.Context, m *sandbox.Manager, st *backend.Status) error {
		opts := &backend.StopOptions{Signal: signal}
		if c.Flags().Changed("time") {
			d := time.Duration(grace) * time.Second
			opts.Grace = &d
		}
		return m.Driver().Stop(ctx, st.ID, opts)
	}
	c.RunE = a.each("stop", "", run).RunE
	c.Flags().StringVarP(&signal, "signal", "s", "", "signal to send instead of the spec's")
	c.Flags().IntVarP(&grace, "time", "t", 0, "`seconds` to wait before killing (default: the spec's grace)")
	return c
}

func (a *app) pauseCmd() *cobra.Command {
	return a.each("pause", "Freeze every process of sandboxes", func(ctx context.Context, m *sandbox.Manager, st *backend.Status) error {
		p, err := optional[backend.Pauser](m.Driver(), "pause", backend.LifePause)
		if err != nil {
			return err
		}
		return p.Pause(ctx, st.ID)
	})
}

func (a *app) resumeCmd() *cobra.Command {
	return a.each("resume", "Thaw paused sandboxes", func(ctx context.Context, m *sandbox.Manager, st *backend.Status) error {
		p, err := optional[backend.Pauser](m.Driver(), "resume", backend.LifePause)
		if err != nil {
			return err
		}
		return p.Resume(ctx, st.ID)
	})
}

func (a *app) rmCmd() *cobra.Command {
	var force bool
	c := a.each("rm", "Remove sandboxes with everything that belongs to them", nil)
	c.RunE = a.each("rm", "", func(ctx context.Context, m *sandbox.Manager, st *backend.Status) error {
		return m.Remove(ctx, st.ID, &backend.RemoveOptions{Force: force})
	}).RunE
	c.Flags().BoolVarP(&force, "force", "f", false, "kill running sandboxes")
	return c
}

func (a *app) execCmd() *cobra.Command {
	var env []string
	var workdir, user string
	var interactive, tty bool
	c := &cobra.Command{
		Use: "exec [flags] SANDBOX -- CMD…", Short: "Run a further command in a running sandbox", Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			argv := args[1:]
			if argv[0] == "--" { // flags end at SANDBOX, so that -- is handed through
				argv = argv[1:]
			}
			if len(argv) == 0 {
				return asCommand(usagef("exec: no command after --"))
			}
			m, st, err := a.find(cmd.Context(), args[0])
			if err != nil {
				return asCommand(err)
			}
			req := &backend.ExecRequest{Argv: argv, Workdir: workdir, User: user, TTY: tty}
			reader := &flagReader{flags: cmd.Flags()}
			req.Env = reader.environment(a, &specFlags{env: env})
			if err := errors.Join(reader.errs...); err != nil {
				return asCommand(&usageError{err})
			}
			req.Stdout, req.Stderr = a.stdout, a.stderr
			if interactive {
				req.Stdin = a.stdin
			}
			s := a.newSession(cmd.Context(), m, tty)
			if err := s.checkTerminal(interactive); err != nil {
				return asCommand(err)
			}
			p, err := m.Driver().Exec(cmd.Context(), st.ID, req)
			if err != nil {
				return asCommand(err)
			}
			defer p.Close()
			s.attach(p)
			exit, err := p.Wait(cmd.Context())
			s.end()
			if err != nil {
				return asCommand(err)
			}
			if exit.Code != 0 {
				return exitCode(exit.Code)
			}
			return nil
		},
	}
	f := c.Flags()
	f.SetInterspersed(false)
	f.StringArrayVarP(&env, "env", "e", nil, "environment `KEY=VALUE` (repeatable)")
	f.StringVarP(&workdir, "workdir", "w", "", "working directory")
	f.StringVarP(&user, "user", "u", "", "`UID[:GID]` instead of the sandbox's user")
	f.BoolVarP(&interactive, "interactive", "i", false, "keep standard input open")
	f.BoolVarP(&tty, "tty", "t", false, "give the command a terminal")
	return c
}

func (a *app) logsCmd() *cobra.Command {
	var opts backend.LogOptions
	var since, tail string
	var timestamps bool
	c := &cobra.Command{
		Use: "logs SANDBOX", Short: "Print what the main command wrote", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if since != "" {
				at, err := parseSince(since, time.Now())
				if err != nil {
					return err
				}
				opts.Since = at
			}
			if tail != "all" {
				n, err := strconv.Atoi(tail)
				if err != nil || n < 0 {
					return usagef("--tail %q: want a number or all", tail)
				}
				if opts.Tail = n; n == 0 {
					opts.Tail = -1
				}
			}
			m, st, err := a.find(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			for e, err := range m.Driver().Logs(cmd.Context(), st.ID, &opts) {
				if err != nil {
					return err
				}
				if err := a.printLog(e, timestamps); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f := c.Flags()
	f.BoolVarP(&opts.Follow, "follow", "f", false, "go on until the command has ended")
	f.StringVar(&since, "since", "", "only since a `time` (RFC 3339) or for a duration such as 10m")
	f.StringVarP(&tail, "tail", "n", "all", "only the last `lines`")
	f.BoolVarP(&timestamps, "timestamps", "t", false, "print the time of each line")
	return c
}

func (a *app) printLog(e backend.LogEntry, timestamps bool) error {
	if a.json() {
		return a.printLine(map[string]any{"time": e.Time.UTC(), "stream": e.Stream, "data": string(e.Data)})
	}
	w := a.stdout
	if e.Stream == backend.Stderr {
		w = a.stderr
	}
	if timestamps {
		fmt.Fprint(w, e.Time.UTC().Format(time.RFC3339Nano)+" ")
	}
	_, err := shown(w).Write(e.Data)
	return err
}

func parseSince(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return at, usagef("--since %q: want a time such as 2026-01-31T12:00:00Z or a duration such as 10m", text)
	}
	return at, nil
}

func (a *app) portCmd() *cobra.Command {
	return &cobra.Command{
		Use: "port SANDBOX [PORT[/PROTOCOL]]", Short: "Print where published ports are", Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, st, err := a.find(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			ports := []backend.PortStatus{}
			for _, p := range st.Ports {
				number := strconv.Itoa(p.ContainerPort)
				if len(args) < 2 || args[1] == number || args[1] == number+"/"+string(p.Protocol) || args[1] == p.Name {
					ports = append(ports, p)
				}
			}
			if len(args) == 2 && len(ports) == 0 {
				return &backend.Error{Kind: backend.NotFound, Op: "berth.port", ID: st.ID, Message: "port " + args[1] + " is not published"}
			}
			return a.print(ports, func(t *table) {
				for _, p := range ports {
					at := net.JoinHostPort(p.Address, strconv.Itoa(p.HostPort))
					if len(args) == 2 {
						t.row(at)
					} else {
						t.row(fmt.Sprintf("%d/%s -> %s", p.ContainerPort, p.Protocol, at))
					}
				}
			})
		},
	}
}

func (a *app) statsCmd() *cobra.Command {
	return &cobra.Command{
		Use: "stats [SANDBOX…]", Short: "Print what sandboxes use now",
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := a.manager(cmd.Context())
			if err != nil {
				return err
			}
			reader, err := optional[backend.StatsReader](m.Driver(), "stats", backend.Stats)
			if err != nil {
				return err
			}
			var list []*backend.Status
			for _, arg := range args {
				st, err := m.Find(cmd.Context(), arg)
				if err != nil {
					return err
				}
				list = append(list, st)
			}
			if len(args) == 0 {
				all, err := m.List(cmd.Context(), nil)
				if err != nil {
					return err
				}
				for _, st := range all {
					if st.Phase == backend.PhaseRunning {
						list = append(list, st)
					}
				}
			}
			type usage struct {
				ID   backend.ID `json:"id"`
				Name string     `json:"name"`
				*backend.Usage
			}
			rows := []usage{}
			for _, st := range list {
				u, err := reader.Stats(cmd.Context(), st.ID)
				if err != nil {
					return err
				}
				rows = append(rows, usage{st.ID, st.Name, u})
			}
			return a.print(rows, func(t *table) {
				t.row("ID", "NAME", "CPU TIME", "MEMORY", "LIMIT", "PIDS", "NET RX/TX")
				for _, r := range rows {
					limit := "-"
					if r.MemoryLimit > 0 {
						limit = units.BytesSize(float64(r.MemoryLimit))
					}
					t.row(string(r.ID), r.Name, r.CPU.Round(time.Millisecond).String(), units.BytesSize(float64(r.Memory)), limit,
						strconv.FormatUint(r.Pids, 10), units.BytesSize(float64(r.NetRx))+" / "+units.BytesSize(float64(r.NetTx)))
				}
			})
		},
	}
}

func (a *app) waitCmd() *cobra.Command {
	return &cobra.Command{
		Use: "wait SANDBOX…", Short: "Wait until sandboxes have ended and print their exit codes", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			type ended struct {
				ID backend.ID `json:"id"`
				*backend.Exit
			}
			rows := []ended{}
			for _, arg := range args {
				m, st, err := a.find(cmd.Context(), arg)
				if err != nil {
					return err
				}
				exit, err := m.Driver().Wait(cmd.Context(), st.ID)
				if err != nil {
					return err
				}
				rows = append(rows, ended{st.ID, exit})
			}
			return a.print(rows, func(t *table) {
				for _, r := range rows {
					t.row(strconv.Itoa(r.Code))
				}
			})
		},
	}
}

func (a *app) networkCmd() *cobra.Command {
	c := &cobra.Command{Use: "network", Short: "Make, list and remove networks that sandboxes join by name"}
	networker := func(ctx context.Context) (backend.Networker, error) {
		d, err := a.open(ctx)
		if err != nil {
			return nil, err
		}
		return optional[backend.Networker](d, "network", backend.NetNamed)
	}
	var internal bool
	create := &cobra.Command{
		Use: "create [--internal] NAME", Short: "Make a network", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := networker(cmd.Context())
			if err != nil {
				return err
			}
			info, err := n.CreateNetwork(cmd.Context(), args[0], internal)
			if err != nil {
				return err
			}
			return a.print(info, func(t *table) { t.row(info.Name) })
		},
	}
	create.Flags().BoolVar(&internal, "internal", false, "members reach each other and nothing else")
	ls := &cobra.Command{
		Use: "ls", Short: "List networks", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := networker(cmd.Context())
			if err != nil {
				return err
			}
			list := []backend.NetworkInfo{}
			for info, err := range n.Networks(cmd.Context()) {
				if err != nil {
					return err
				}
				list = append(list, info)
			}
			return a.print(list, func(t *table) {
				t.row("NAME", "INTERNAL", "MADE BY BERTH", "SANDBOXES")
				for _, i := range list {
					t.row(i.Name, strconv.FormatBool(i.Internal), strconv.FormatBool(i.Managed), strconv.Itoa(i.Members))
				}
			})
		},
	}
	rm := &cobra.Command{
		Use: "rm NAME…", Short: "Remove networks that berth made", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := networker(cmd.Context())
			if err != nil {
				return err
			}
			var errs []error
			done := []string{}
			for _, name := range args {
				if err := n.RemoveNetwork(cmd.Context(), name); err != nil {
					errs = append(errs, err)
					continue
				}
				done = append(done, name)
			}
			return errors.Join(a.print(map[string]any{"names": done}, func(t *table) {
				for _, name := range done {
					t.row(name)
				}
			}), errors.Join(errs...))
		},
	}
	c.AddCommand(create, ls, rm)
	return c
}
