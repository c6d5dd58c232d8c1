// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
)

// Test is one entry of the catalogue.
type Test struct {
	// ID is area.subject.expectation. It is never renamed.
	ID string
	// Clause is the id of the clause of package spec that the test carries.
	Clause string
	// Level is the clause's. [Catalogue] fills it in.
	Level spec.Level
	// Needs are the capabilities without which Fn cannot hold. When one is
	// missing, its refusal twin runs instead.
	Needs []backend.Capability
	// Host are the facts without which Fn cannot run.
	Host []Fact
	// Verb is an optional interface of the driver that Fn calls and that no
	// capability stands for. Nil: none.
	Verb *Verb
	// Serial tests run alone.
	Serial bool
	// Timeout bounds the whole test, before Config.Scale. Zero: a minute.
	Timeout time.Duration
	// Fn is the body.
	Fn func(*T)
	// Twin replaces the twin of the missing capability. Nil: the suite's own.
	Twin *Twin

	last bool // runs after all others
}

// Area is the first word of the id.
func (t Test) Area() string { return area(t.ID) }

func area(id string) string {
	for i, r := range id {
		if r == '.' {
			return id[:i]
		}
	}
	return id
}

// Verb is an optional interface of package backend.
type Verb struct {
	Name string
	Has  func(backend.Driver) bool
}

// verb describes the optional interface V.
func verb[V any](name string) *Verb {
	return &Verb{Name: name, Has: func(d backend.Driver) bool {
		_, ok := backend.As[V](d)
		return ok
	}}
}

// Twin says how a driver shows that it refuses what it does not have.
type Twin struct {
	// Field is the field that the refusal names.
	Field spec.Path
	// Spec makes a spec ask for what is missing. The suite then wants Plan and
	// Create to refuse with kind Unsupported, Field and the capability, the
	// ledger to be complete, and the engine to be unchanged.
	Spec func(t *T, s *spec.Sandbox)
	// Check replaces all that for a capability that no field asks for.
	Check func(t *T)
}

// Catalogue lists every test, by id. The slice is the caller's.
func Catalogue() []Test {
	all := slices.Concat(
		planTests(), specTests(), imageTests(), mountTests(), userTests(), bindingTests(), networkTests(),
		resourceTests(), securityTests(), lifeTests(), execTests(), logTests(), copyTests(), errorTests(),
		cleanupTests(), concurrencyTests(),
	)
	levels := map[string]spec.Level{}
	for _, c := range spec.Clauses() {
		levels[c.ID] = c.Level
	}
	for i := range all {
		all[i].Level = levels[all[i].Clause]
	}
	slices.SortFunc(all, func(a, b Test) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

var idForm = regexp.MustCompile(`^[a-z][a-z0-9-]*\.[a-z][a-z0-9-]*\.[a-z0-9][a-z0-9-]*$`)

// check returns an error for each way in which a catalogue is not usable.
func check(tests []Test) error {
	clauses := map[string]bool{}
	for _, c := range spec.Clauses() {
		clauses[c.ID] = true
	}
	var errs []error
	seen := map[string]bool{}
	for _, test := range tests {
		bad := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("test %q: %s", test.ID, fmt.Sprintf(format, args...)))
		}
		switch {
		case !idForm.MatchString(test.ID):
			bad("the id is not area.subject.expectation")
		case seen[test.ID]:
			bad("the id is taken")
		}
		seen[test.ID] = true
		if !clauses[test.Clause] {
			bad("there is no clause %q", test.Clause)
		}
		if test.Fn == nil {
			bad("has no body")
		}
		for _, c := range test.Needs {
			if !slices.Contains(backend.Capabilities(), c) {
				bad("there is no capability %q", c)
			}
			if _, ok := twins[c]; !ok && test.Twin == nil {
				bad("capability %s has no twin", c)
			}
		}
		for _, f := range test.Host {
			if !slices.Contains(Facts(), f) {
				bad("there is no fact %q", f)
			}
		}
	}
	return errors.Join(errs...)
}
