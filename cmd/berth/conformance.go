// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/backend/all"
	"github.com/berthrun/berth/backend/fake"
	"github.com/berthrun/berth/conformance"
	"github.com/berthrun/berth/conformance/fixture"
	"github.com/berthrun/berth/internal/dockerharness"
	"github.com/berthrun/berth/spec"
)

// Exit codes of "conformance run".
const (
	conformanceFailed  = 1
	conformanceInvalid = 3
)

func (a *app) conformanceCmd() *cobra.Command {
	c := &cobra.Command{Use: "conformance", Short: "Prove that a backend keeps the contract"}
	c.AddCommand(a.conformanceRunCmd(), a.conformanceListCmd(), a.conformanceExplainCmd(), a.conformanceCompareCmd())
	return c
}

func (a *app) conformanceRunCmd() *cobra.Command {
	var match, known, report, junit, markdown, require string
	var parallel int
	c := &cobra.Command{
		Use: "run", Short: "Run the suite; --backend fake runs it on the model", Args: cobra.NoArgs,
		Long: `run runs the conformance suite against the backend. Exit code 1: a test did not
pass, or the profile of --require is not met; 3: the run proves nothing, because
the harness or the engine was in trouble or no test was executed.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			cfg := &conformance.Config{Parallel: parallel, Command: "berth " + strings.Join(os.Args[1:], " ")}
			if match != "" {
				re, err := regexp.Compile(match)
				if err != nil {
					return usagef("--run: %v", err)
				}
				cfg.Match = re.MatchString
			}
			if known != "" {
				f, err := os.Open(known)
				if err != nil {
					return &backend.Error{Kind: backend.NotFound, Op: "berth.conformance", Err: err}
				}
				defer f.Close()
				if cfg.Known, err = conformance.ReadKnown(f); err != nil {
					return &backend.Error{Kind: backend.Invalid, Op: "berth.conformance", Err: err}
				}
			}
			if !a.quiet && !a.json() {
				cfg.Progress = func(r conformance.Result) {
					fmt.Fprintf(a.stderr, "%-15s %s  %s\n", r.Outcome, r.ID, printable(r.Message))
				}
			}
			h, closeHarness, err := a.harness(ctx)
			if err != nil {
				return err
			}
			defer closeHarness()
			rep, runErr := conformance.Execute(ctx, h, cfg)
			for path, write := range map[string]func(io.Writer) error{report: rep.WriteJSON, junit: rep.WriteJUnit, markdown: rep.WriteMarkdown} {
				if path == "" {
					continue
				}
				if err := writeTo(path, write); err != nil {
					return err
				}
			}
			if err := a.printReport(rep); err != nil {
				return err
			}
			var failed *conformance.RunError
			switch {
			case errors.As(runErr, &failed) && failed.Invalid:
				fmt.Fprintln(a.stderr, "berth: "+runErr.Error())
				return exitCode(conformanceInvalid)
			case errors.As(runErr, &failed):
				fmt.Fprintln(a.stderr, "berth: "+runErr.Error())
				return exitCode(conformanceFailed)
			case runErr != nil:
				return runErr
			}
			if require != "" {
				if v, ok := rep.Verdict(require); !ok || !v.Conformant {
					fmt.Fprintf(a.stderr, "berth: profile %s is not met\n", require)
					return exitCode(conformanceFailed)
				}
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&match, "run", "", "only tests whose id matches this `regexp`")
	f.StringVar(&known, "known", "", "`file` of known failures, which must fail")
	f.StringVar(&report, "report", "", "write the report as JSON to this `file`")
	f.StringVar(&junit, "junit", "", "write the report as JUnit XML to this `file`")
	f.StringVar(&markdown, "markdown", "", "write the report as Markdown to this `file`")
	f.StringVar(&require, "require", "", "fail unless this `profile` is met")
	f.IntVar(&parallel, "parallel", 0, "tests at once (default: twice the processors)")
	return c
}

func writeTo(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

func (a *app) printReport(rep *conformance.Report) error {
	if a.json() {
		return rep.WriteJSON(a.stdout)
	}
	for _, o := range conformance.Outcomes() {
		if n := rep.Counts[o]; n > 0 {
			fmt.Fprintf(a.stdout, "%4d %s\n", n, o)
		}
	}
	for _, v := range rep.Profiles {
		verdict := "not conformant"
		if v.Conformant {
			verdict = "conformant"
		}
		fmt.Fprintf(a.stdout, "profile %s: %s\n", v.Profile, verdict)
	}
	return nil
}

// harness returns the harness for the chosen backend.
func (a *app) harness(ctx context.Context) (conformance.Harness, func(), error) {
	if a.backendName == "fake" {
		h, err := fake.NewHarness("")
		if err != nil {
			return nil, nil, err
		}
		return h, func() { _ = h.Close() }, nil
	}
	d, err := a.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	probe, err := fixture.FindProbe()
	if err != nil {
		return nil, nil, &backend.Error{Kind: backend.NotFound, Op: "berth.conformance", Err: err}
	}
	cfg, err := a.config()
	if err != nil {
		return nil, nil, err
	}
	name := d.Name()
	if name != "docker" {
		return nil, nil, &backend.Error{Kind: backend.Unsupported, Op: "berth.conformance", Message: "no harness for backend " + name}
	}
	h, err := dockerharness.ForEngine(ctx, dockerharness.EngineOptions{
		Open: func(ctx context.Context, host string) (backend.Driver, error) {
			c := cfg
			if host != "" {
				c.Host = host
			}
			return all.Registry().Open(ctx, name, c)
		},
		Probe: probe, Getenv: a.getenv, Log: a.log,
	})
	if err != nil {
		return nil, nil, err
	}
	return h, h.Close, nil
}

func (a *app) conformanceListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the tests", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			type row struct {
				ID     string               `json:"id"`
				Clause string               `json:"clause"`
				Level  spec.Level           `json:"level"`
				Needs  []backend.Capability `json:"needs"`
			}
			rows := []row{}
			for _, t := range conformance.Catalogue() {
				needs := t.Needs
				if needs == nil {
					needs = []backend.Capability{}
				}
				rows = append(rows, row{t.ID, t.Clause, t.Level, needs})
			}
			return a.print(rows, func(t *table) {
				t.row("TEST", "LEVEL", "CLAUSE")
				for _, r := range rows {
					t.row(r.ID, string(r.Level), r.Clause)
				}
			})
		},
	}
}

func (a *app) conformanceExplainCmd() *cobra.Command {
	return &cobra.Command{
		Use: "explain ID", Short: "Say what a test proves and what it needs", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			for _, test := range conformance.Catalogue() {
				if test.ID != args[0] {
					continue
				}
				var clause spec.Clause
				for _, c := range spec.Clauses() {
					if c.ID == test.Clause {
						clause = c
					}
				}
				return a.print(map[string]any{"id": test.ID, "clause": clause, "needs": test.Needs, "host": test.Host}, func(t *table) {
					t.row("test", test.ID)
					t.row("clause", clause.ID+" ("+string(clause.Level)+")")
					t.row("text", clause.Text)
					for _, c := range test.Needs {
						t.row("needs", string(c))
					}
					for _, f := range test.Host {
						t.row("host", string(f))
					}
				})
			}
			return &backend.Error{Kind: backend.NotFound, Op: "berth.conformance", Message: "no test " + args[0] + ": \"berth conformance list\" lists them"}
		},
	}
}

func (a *app) conformanceCompareCmd() *cobra.Command {
	return &cobra.Command{
		Use: "compare OLD NEW", Short: "Say how two reports differ in outcomes and claims", Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			var reports [2]*conformance.Report
			for i, path := range args {
				f, err := os.Open(path)
				if err != nil {
					return &backend.Error{Kind: backend.NotFound, Op: "berth.conformance", Err: err}
				}
				reports[i], err = conformance.ReadReport(f)
				_ = f.Close()
				if err != nil {
					return &backend.Error{Kind: backend.Invalid, Op: "berth.conformance", Message: path, Err: err}
				}
			}
			diff := conformance.Compare(reports[0], reports[1])
			if err := a.print(diff, func(t *table) {
				for _, line := range diff.Lines() {
					t.row(line)
				}
			}); err != nil {
				return err
			}
			if !diff.Empty() {
				return exitCode(conformanceFailed)
			}
			return nil
		},
	}
}
