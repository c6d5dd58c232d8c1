// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
)

// Policy is an immutable stack of layers. The zero value and nil deny
// everything, alone and in every [Intersect]. A Policy may be used concurrently.
type Policy struct {
	layers []*layer
}

// layer is one set of rules. Layers are shared between policies and are never
// changed.
type layer struct {
	name string
	// fixed layers were stated by an operator in a file; no override lifts
	// them.
	fixed bool
	// deny objects, warn only tells.
	deny, warn Rules
}

// closed stands in for a Policy that nobody made.
var closed = &layer{name: "none", fixed: true, deny: Rules{Profiles: []spec.Profile{}}}

func (p *Policy) stack() []*layer {
	if p == nil || len(p.layers) == 0 {
		return []*layer{closed}
	}
	return p.layers
}

// Names returns the names of the layers, in order.
func (p *Policy) Names() []string {
	var names []string
	for _, l := range p.stack() {
		names = append(names, l.name)
	}
	return names
}

// Intersect returns the policy that permits what first and all of more permit.
// A layer that comes twice counts once.
func Intersect(first *Policy, more ...*Policy) *Policy {
	var out Policy
	for _, p := range append([]*Policy{first}, more...) {
		for _, l := range p.stack() {
			if !slices.Contains(out.layers, l) {
				out.layers = append(out.layers, l)
			}
		}
	}
	return &out
}

// For returns the policy for s: the profile that it asks for, intersected with
// more. Invalid for a profile that is not known.
func For(s *spec.Sandbox, more ...*Policy) (*Policy, error) {
	name := spec.ProfileStandard
	if s != nil && s.Security.Profile != "" {
		name = s.Security.Profile
	}
	p, err := Profile(name)
	if err != nil {
		return nil, err
	}
	return Intersect(p, more...), nil
}

// Definition is a policy as an operator writes it.
type Definition struct {
	// Name is what violations call the policy. Required, and not the name of a
	// profile.
	Name string
	// Extends is the profile that it adds to. Empty: none of its own; the spec's
	// profile holds in any case, see [For].
	Extends spec.Profile
	// Rules are the restrictions.
	Rules Rules
	// Warn are restrictions that only warn.
	Warn Rules
}

// New makes a policy of d. Its own rules are fixed: no override lifts them,
// because an operator who wants an exception changes the definition. Those of
// the profile that it extends can still be overridden. The error is
// [spec.Problems], with paths such as "rules.mounts.roots[0]".
func New(d Definition) (*Policy, error) {
	var problems spec.Problems
	if d.Name == "" {
		problems = append(problems, spec.Problem{Path: "name", Code: spec.CodeRequired, Message: "a policy needs a name"})
	}
	if slices.Contains(knownProfiles, spec.Profile(d.Name)) || d.Name == builtIn || d.Name == closed.name {
		problems = append(problems, spec.Problem{Path: "name", Code: spec.CodeReserved, Message: fmt.Sprintf("%q is a name of berth's own: choose another", d.Name)})
	}
	var base []*layer
	if d.Extends != "" {
		if p, err := Profile(d.Extends); err != nil {
			problems = append(problems, spec.Problem{Path: "extends", Code: spec.CodeUnknownValue, Message: unknownProfile(d.Extends)})
		} else {
			base = p.layers
		}
	}
	problems = append(problems, d.Rules.validate("rules")...)
	problems = append(problems, d.Warn.validate("warn")...)
	if len(problems) > 0 {
		return nil, problems
	}
	own := &layer{name: d.Name, fixed: true, deny: d.Rules.clone(), warn: d.Warn.clone()}
	return &Policy{layers: append(slices.Clone(base), own)}, nil
}

// Profile returns a profile that berth ships. Invalid for another name; the
// error lists the names.
func Profile(name spec.Profile) (*Policy, error) {
	for _, l := range profiles {
		if l.name == string(name) {
			return &Policy{layers: []*layer{l}}, nil
		}
	}
	return nil, &backend.Error{Kind: backend.Invalid, Op: "policy.profile", Field: "security.profile", Message: unknownProfile(name)}
}

func unknownProfile(name spec.Profile) string {
	return fmt.Sprintf("profile %q is not known: want one of %q", name, knownProfiles)
}

// Profiles lists the names of the profiles that berth ships.
func Profiles() []spec.Profile { return slices.Clone(knownProfiles) }
