// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Effect says what a rule does with a sandbox that breaks it.
type Effect string

// The effects.
const (
	EffectDeny Effect = "deny"
	EffectWarn Effect = "warn"
)

// Setting is what one layer states for a rule.
type Setting struct {
	// Policy is the layer; "built-in" for what always holds.
	Policy string `json:"policy"`
	Effect Effect `json:"effect"`
	// Value is what is stated, in words.
	Value string `json:"value"`
	// Overridable says that the rule's override lifts it for this layer.
	Overridable bool `json:"overridable"`
}

// Explanation is a rule and what a policy states for it.
type Explanation struct {
	Rule
	// Settings are in the order of the layers. A rule without any restricts
	// nothing.
	Settings []Setting `json:"settings"`
}

// Explain lists every rule of the [Catalogue] with what p states for it.
func (p *Policy) Explain() []Explanation {
	out := make([]Explanation, 0, len(catalogue))
	for i := range catalogue {
		r := &catalogue[i]
		e := Explanation{Rule: r.Rule, Settings: []Setting{}}
		if r.BuiltIn {
			e.Settings = append(e.Settings, Setting{builtIn, EffectDeny, builtInValue(r.ID), r.Override != ""})
		} else {
			for _, l := range p.stack() {
				if v := r.value(&l.deny); v != "" {
					e.Settings = append(e.Settings, Setting{l.name, EffectDeny, v, r.Override != "" && !l.fixed})
				}
				if v := r.value(&l.warn); v != "" {
					e.Settings = append(e.Settings, Setting{l.name, EffectWarn, v, false})
				}
			}
		}
		out = append(out, e)
	}
	return out
}

// builtInValue says what a built-in rule goes by.
func builtInValue(id string) string {
	paths := func(host, home []string) string {
		list := slices.Clone(host)
		for _, name := range home {
			list = append(list, "~/"+name)
		}
		return strings.Join(list, ", ")
	}
	switch id {
	case "mounts.protected":
		return paths(append([]string{"/"}, hostProtected...), homeProtected) + "; not " + strings.Join(hostExcepted, ", ")
	case "mounts.systemWrite":
		return paths(hostWriteProtected, homeWriteProtected)
	case "network.name":
		return "not " + strings.Join(engineNetworks, ", ")
	}
	return "always"
}

// WriteText writes what p states as text for a reader, one paragraph for each
// rule; rules that p says nothing about are listed at the end. The error is
// w's.
func (p *Policy) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "policy: %s\n", strings.Join(p.Names(), " and "))
	var silent []string
	for _, e := range p.Explain() {
		if len(e.Settings) == 0 {
			silent = append(silent, e.ID)
			continue
		}
		fmt.Fprintf(&b, "\n%s\n  %s\n  denies: %s\n", e.ID, e.Sentence, e.Denies)
		for _, s := range e.Settings {
			b.WriteString(wrap(fmt.Sprintf("  %s by %s: %s", s.Effect, s.Policy, s.Value)))
		}
		if slices.ContainsFunc(e.Settings, func(s Setting) bool { return s.Overridable }) {
			fmt.Fprintf(&b, "  unsafe override: %s\n", e.Override)
		}
	}
	if len(silent) > 0 {
		b.WriteString(wrap("\nnot stated: " + strings.Join(silent, ", ")))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// wrap breaks a list after commas so that its lines fit a terminal.
func wrap(text string) string {
	const width = 100
	var b strings.Builder
	column := 0
	for i, item := range strings.Split(text, ", ") {
		switch {
		case i == 0:
		case column+len(item) > width:
			b.WriteString(",\n    ")
			column = 4
		default:
			b.WriteString(", ")
			column += 2
		}
		b.WriteString(item)
		column += len(item)
	}
	return b.String() + "\n"
}
