// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/policy"
	"github.com/berthrun/berth/spec"
)

func (a *app) policyCmd() *cobra.Command {
	c := &cobra.Command{Use: "policy", Short: "Show what policies say, and check a spec against them"}
	show := &cobra.Command{
		Use: "show [PROFILE]", Short: "Print the rules, or what a profile states", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				p, err := policy.Profile(spec.Profile(args[0]))
				if err != nil {
					return err
				}
				if a.json() {
					return a.print(map[string]any{"profile": args[0], "rules": p.Explain()}, nil)
				}
				return a.print(nil, func(t *table) {
					t.row("RULE", "STATES", "OVERRIDE")
					for _, e := range p.Explain() {
						var states []string
						for _, s := range e.Settings {
							states = append(states, string(s.Effect)+": "+s.Value)
						}
						t.row(e.ID, strings.Join(states, "; "), e.Override)
					}
				})
			}
			return a.print(map[string]any{"profiles": policy.Profiles(), "rules": policy.Catalogue()}, func(t *table) {
				t.row("RULE", "DENIES", "OVERRIDE")
				for _, r := range policy.Catalogue() {
					t.row(r.ID, r.Denies, r.Override)
				}
			})
		},
	}
	f := &specFlags{}
	check := &cobra.Command{
		Use: "check [flags] [-- CMD…]", Short: "Say what the policy decides about a spec, without making anything",
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
			if p == nil {
				return err
			}
			perr := a.print(map[string]any{"decision": p.Decision, "patches": p.Patches}, func(t *table) {
				for _, v := range p.Decision.Violations {
					t.row("deny", v.String())
				}
				for _, w := range p.Decision.Warnings {
					t.row("warn", w.String())
				}
				for _, patch := range p.Patches {
					t.row("set", patch.String())
				}
				if p.Decision.Allow {
					t.row("allow", "")
				}
			})
			// What the driver would refuse is not the policy's business.
			if errors.Is(err, backend.Unsupported) {
				err = nil
			}
			return errors.Join(perr, err)
		},
	}
	check.Flags().SetInterspersed(false)
	f.register(check.Flags())
	c.AddCommand(show, check)
	return c
}
