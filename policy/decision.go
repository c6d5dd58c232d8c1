// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"fmt"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
)

// Decision is the answer of [Policy.Evaluate]. All its lists are the caller's
// and never nil.
type Decision struct {
	// Allow says that no rule objects. It is false exactly when Violations is
	// not empty.
	Allow bool `json:"allow"`
	// Violations are all objections, in the order of [Rules].
	Violations []Violation `json:"violations"`
	// Warnings are risks that the policy permits and that the user must be told.
	Warnings []Warning `json:"warnings"`
	// Pending are the ids of rules that could not be decided yet, because the
	// ledger, the engine's claims or the identity is not there.
	Pending []string `json:"pending"`
	// Policies are the names of the layers that were asked, in order.
	Policies []string `json:"policies"`
}

// Final reports whether the decision permits Create: nothing objects and
// nothing is left to be decided.
func (d Decision) Final() bool { return d.Allow && len(d.Pending) == 0 }

// Err returns nil when the decision allows, and otherwise one Denied error of
// package backend for each violation, joined. Pending rules are no error.
func (d Decision) Err(op string, id backend.ID) error {
	errs := make([]error, len(d.Violations))
	for i, v := range d.Violations {
		errs[i] = &backend.Error{Kind: backend.Denied, Op: op, ID: id, Field: v.Path, Message: v.explained()}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// Violation is one objection of one rule.
type Violation struct {
	// Rule is the id of the rule.
	Rule string `json:"rule"`
	// Policy is the layer that states the rule; "built-in" for rules that always
	// hold.
	Policy string `json:"policy"`
	// Path is the field of the spec. Empty when no field is to blame.
	Path spec.Path `json:"path,omitempty"`
	// Message says what is wrong and what to do, in lower case.
	Message string `json:"message"`
	// Override is the exact text that lifts this violation when [Input].Unsafe
	// has it. Empty: it cannot be lifted.
	Override string `json:"override,omitempty"`
}

// String returns the violation as one line.
func (v Violation) String() string { return prefixed(v.Path, v.explained()) }

func (v Violation) explained() string {
	text := fmt.Sprintf("%s (rule %s of policy %s", v.Message, v.Rule, v.Policy)
	if v.Override != "" {
		text += fmt.Sprintf("; unsafe override: %s", v.Override)
	}
	return text + ")"
}

// Warning is one risk that a policy permits.
type Warning struct {
	// Rule is the id of the rule that the risk falls under.
	Rule string `json:"rule"`
	// Policy is the layer that warns.
	Policy string `json:"policy"`
	// Path is the field of the spec. Empty when no field is to blame.
	Path spec.Path `json:"path,omitempty"`
	// Message says what the risk is, in lower case.
	Message string `json:"message"`
}

// String returns the warning as one line.
func (w Warning) String() string {
	return prefixed(w.Path, fmt.Sprintf("%s (rule %s of policy %s)", w.Message, w.Rule, w.Policy))
}

func prefixed(path spec.Path, text string) string {
	if path == "" {
		return text
	}
	return string(path) + ": " + text
}
