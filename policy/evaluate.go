// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/berthrun/berth/spec"
)

// builtIn is the name that violations of rules have that hold in every policy.
const builtIn = "built-in"

// Evaluate decides about in. It is a pure function: it reads nothing but in,
// changes nothing in it, and the same input gives the same decision. It never
// panics, whatever in holds: what it does not understand it denies.
//
// A violation whose Override is in in.Unsafe becomes a warning. Callers evaluate
// twice, at admission and with the ledger right before Create; only a
// [Decision.Final] one permits Create.
func (p *Policy) Evaluate(in Input) Decision {
	d := Decision{Violations: []Violation{}, Warnings: []Warning{}, Pending: []string{}, Policies: p.Names()}
	e := evaluation{d: &d, unsafe: map[string]bool{}}
	for _, text := range in.Unsafe {
		if rule, subject, ok := parseOverride(text); ok {
			e.unsafe[rule+"="+subject] = false
		}
	}
	c := newContext(in)
	for i := range catalogue {
		r := &catalogue[i]
		switch {
		case r.core != nil:
			var f findings
			r.core(c, &f)
			e.objections(r, builtIn, false, f)
		case c.spec != nil:
			for _, l := range p.stack() {
				deny, warn := findings{}, findings{warn: true}
				r.check(c, &l.deny, &deny)
				e.objections(r, l.name, l.fixed, deny)
				r.check(c, &l.warn, &warn)
				e.risks(r, l.name, warn)
			}
		}
	}
	e.finish(in)
	return d
}

// finding is one thing that a rule has to say. The subject is what an override
// has to name; without one it cannot be overridden.
type finding struct {
	path    spec.Path
	subject string
	message string
}

// findings collects what one rule of one layer has to say.
type findings struct {
	list []finding
	// warn says that nothing is denied, so that the words have to fit.
	warn bool
	// pending says that a fact is missing that the rule needs.
	pending bool
}

func (f *findings) add(path spec.Path, subject, format string, args ...any) {
	f.list = append(f.list, finding{path, subject, fmt.Sprintf(format, args...)})
}

// choice ends a message with what a list leaves to choose from.
func choice[T ~string](f *findings, list []T) string {
	switch {
	case f.warn && len(list) == 0:
		return ""
	case f.warn:
		return ": safer is " + text(list)
	case len(list) == 0:
		return ": none is permitted"
	}
	return ": permitted is " + text(list)
}

// evaluation turns findings into a decision.
type evaluation struct {
	d *Decision
	// unsafe has the valid overrides, and whether each was of use.
	unsafe map[string]bool
	// denied are the violations, warned the findings of warn rules, which only
	// count where nothing stronger was said about the same.
	denied, warned []said
}

// said is what a rule said.
type said struct {
	finding
	rule, policy string
}

func (e *evaluation) objections(r *rule, name string, fixed bool, f findings) {
	if f.pending && !slices.Contains(e.d.Pending, r.ID) {
		e.d.Pending = append(e.d.Pending, r.ID)
	}
	for _, one := range f.list {
		override := ""
		if r.Override != "" && one.subject != "" && !fixed {
			override = r.ID + "=" + one.subject
		}
		if _, lifted := e.unsafe[override]; lifted {
			e.unsafe[override] = true
			e.warn(Warning{Rule: r.ID, Policy: name, Path: one.path, Message: "permitted by the unsafe override " + override + ": " + one.message})
			continue
		}
		v := Violation{Rule: r.ID, Policy: name, Path: one.path, Message: one.message, Override: override}
		if !slices.Contains(e.d.Violations, v) {
			e.d.Violations = append(e.d.Violations, v)
			e.denied = append(e.denied, said{one, r.ID, name})
		}
	}
}

func (e *evaluation) risks(r *rule, name string, f findings) {
	for _, one := range f.list {
		override := r.ID + "=" + one.subject
		if _, named := e.unsafe[override]; named {
			e.unsafe[override] = true
		}
		e.warned = append(e.warned, said{one, r.ID, name})
	}
}

func (e *evaluation) warn(w Warning) {
	same := func(o Warning) bool { return o.Rule == w.Rule && o.Path == w.Path && o.Message == w.Message }
	if !slices.ContainsFunc(e.d.Warnings, same) {
		e.d.Warnings = append(e.d.Warnings, w)
	}
}

func (e *evaluation) finish(in Input) {
	for _, w := range e.warned {
		stronger := func(v said) bool {
			return v.rule == w.rule && (v.path == w.path && v.subject == w.subject || strings.HasPrefix(string(v.path), string(w.path)+"."))
		}
		if !slices.ContainsFunc(e.denied, stronger) {
			e.warn(Warning{Rule: w.rule, Policy: w.policy, Path: w.path, Message: w.message})
		}
	}
	// Before everything is decided, an override may still come to be of use.
	if len(e.d.Pending) == 0 {
		for _, text := range in.Unsafe {
			rule, subject, ok := parseOverride(text)
			if key := rule + "=" + subject; ok && !e.unsafe[key] {
				e.warn(Warning{Rule: rule, Policy: builtIn, Message: fmt.Sprintf("the unsafe override %s lifts nothing here: leave it out", key)})
			}
		}
	}
	e.d.Allow = len(e.d.Violations) == 0
}

// parseOverride splits an override into rule and subject and brings a path as
// subject into the form in which violations print it. It reports false for text
// that no violation prints.
func parseOverride(text string) (id, subject string, ok bool) {
	id, subject, found := strings.Cut(text, "=")
	if !found || subject == "" {
		return "", "", false
	}
	if p, ok := cleanAbs(subject); ok {
		subject = p
	}
	i := slices.IndexFunc(catalogue, func(r rule) bool { return r.ID == id })
	return id, subject, i >= 0 && catalogue[i].Override != ""
}
