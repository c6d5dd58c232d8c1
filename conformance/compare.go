// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"maps"
	"slices"

	"github.com/berthrun/berth/backend"
)

// Diff is how a report differs from an earlier one. Its lists are sorted.
type Diff struct {
	// Outcomes are the tests whose outcome changed. One that a report lacks is
	// not-run in it.
	Outcomes []OutcomeChange `json:"outcomes"`
	// Claims are the capabilities whose support changed: a lost one stays green
	// in the outcomes, because its twin passes.
	Claims []ClaimChange `json:"claims"`
	// Profiles are those whose verdict changed.
	Profiles []VerdictChange `json:"profiles"`
}

// OutcomeChange is a test whose outcome changed.
type OutcomeChange struct {
	ID     string  `json:"id"`
	Before Outcome `json:"before"`
	After  Outcome `json:"after"`
	// Worse: it passed before and does not any more.
	Worse bool `json:"worse"`
}

// ClaimChange is a capability whose support changed.
type ClaimChange struct {
	Capability backend.Capability `json:"capability"`
	Before     backend.Support    `json:"before"`
	After      backend.Support    `json:"after"`
	// Worse: it was there before and is not any more.
	Worse bool `json:"worse"`
}

// VerdictChange is a profile whose verdict changed. The verdicts are
// "conformant", "not conformant" and "none".
type VerdictChange struct {
	Profile string `json:"profile"`
	Before  string `json:"before"`
	After   string `json:"after"`
	Worse   bool   `json:"worse"`
}

// Compare tells how after differs from before.
func Compare(before, after *Report) Diff {
	d := Diff{Outcomes: []OutcomeChange{}, Claims: []ClaimChange{}, Profiles: []VerdictChange{}}
	outcomes := func(r *Report) map[string]Outcome {
		m := map[string]Outcome{}
		for _, x := range r.Results {
			m[x.ID] = x.Outcome
		}
		return m
	}
	eachChange(outcomes(before), outcomes(after), NotRun, func(id string, b, a Outcome) {
		d.Outcomes = append(d.Outcomes, OutcomeChange{id, b, a, b == Pass})
	})
	support := func(r *Report) map[backend.Capability]backend.Support {
		m := map[backend.Capability]backend.Support{}
		for c, claim := range r.Claims {
			m[c] = claim.Support
		}
		return m
	}
	has := func(s backend.Support) bool { return backend.Claim{Support: s}.Has() }
	eachChange(support(before), support(after), backend.Unknown, func(c backend.Capability, b, a backend.Support) {
		d.Claims = append(d.Claims, ClaimChange{c, b, a, has(b) && !has(a)})
	})
	verdicts := func(r *Report) map[string]string {
		m := map[string]string{}
		for _, v := range r.Profiles {
			m[v.Profile] = verdictWord(v)
		}
		return m
	}
	eachChange(verdicts(before), verdicts(after), "none", func(p, b, a string) {
		d.Profiles = append(d.Profiles, VerdictChange{p, b, a, b == "conformant"})
	})
	return d
}

// eachChange calls f for each key whose value differs, in order. A key that is
// missing has the value absent.
func eachChange[K ~string, V comparable](before, after map[K]V, absent V, f func(k K, before, after V)) {
	all := maps.Clone(before)
	maps.Copy(all, after)
	for _, k := range slices.Sorted(maps.Keys(all)) {
		b, ok := before[k]
		if !ok {
			b = absent
		}
		a, ok := after[k]
		if !ok {
			a = absent
		}
		if a != b {
			f(k, b, a)
		}
	}
}

// Empty reports whether nothing changed.
func (d Diff) Empty() bool { return len(d.Outcomes)+len(d.Claims)+len(d.Profiles) == 0 }

// Worse reports whether something was lost.
func (d Diff) Worse() bool {
	return slices.ContainsFunc(d.Outcomes, func(c OutcomeChange) bool { return c.Worse }) ||
		slices.ContainsFunc(d.Claims, func(c ClaimChange) bool { return c.Worse }) ||
		slices.ContainsFunc(d.Profiles, func(c VerdictChange) bool { return c.Worse })
}

// Lines tells each change in a line of its own; what was lost starts with "!".
func (d Diff) Lines() []string {
	lines := []string{}
	add := func(worse bool, what, name, after, before string) {
		mark := " "
		if worse {
			mark = "!"
		}
		lines = append(lines, fmt.Sprintf("%s %s %s: %s, was %s", mark, what, name, after, before))
	}
	support := func(s backend.Support) string {
		if s == backend.Unknown {
			return "unknown"
		}
		return string(s)
	}
	for _, c := range d.Profiles {
		add(c.Worse, "profile", c.Profile, c.After, c.Before)
	}
	for _, c := range d.Claims {
		add(c.Worse, "claim", string(c.Capability), support(c.After), support(c.Before))
	}
	for _, c := range d.Outcomes {
		add(c.Worse, "test", c.ID, string(c.After), string(c.Before))
	}
	return lines
}
