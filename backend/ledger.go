// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/berthrun/berth/spec"
)

// Fidelity says how a field of the spec is realised.
type Fidelity string

// The fidelities. There is no "ignored".
const (
	// Exact: the engine has the same notion.
	Exact Fidelity = "exact"
	// ByEmulation: berth or another mechanism of the engine gives the same
	// observable result; Mapping.Note says by what.
	ByEmulation Fidelity = "emulated"
	// Refused: not here; Mapping.Capability and Note say why.
	Refused Fidelity = "refused"
)

// Mapping is one line of the ledger.
type Mapping struct {
	Field    spec.Path `json:"field"`
	Fidelity Fidelity  `json:"fidelity"`
	// Native is the engine's own name of the setting, "HostConfig.Memory".
	Native string `json:"native,omitempty"`
	// Capability is what the field needs. Required when refused.
	Capability Capability `json:"capability,omitempty"`
	// Note says by what a field is emulated, why it is refused, and what is not
	// promised.
	Note string `json:"note,omitempty"`
}

// Plan is how a driver would realise a spec.
type Plan struct {
	Driver   string    `json:"driver"`
	Mappings []Mapping `json:"mappings"`
	// Native is the engine's create request in canonical JSON, environment
	// values redacted.
	Native json.RawMessage `json:"native,omitempty"`
}

// Mapping returns the line for field.
func (p *Plan) Mapping(field spec.Path) (Mapping, bool) {
	i := slices.IndexFunc(p.Mappings, func(m Mapping) bool { return m.Field == field })
	if i < 0 {
		return Mapping{}, false
	}
	return p.Mappings[i], true
}

// Refusals returns one Unsupported error for each refused line, joined, or nil.
// Drivers end Plan with it.
func (p *Plan) Refusals(op string, id ID) error {
	var errs []error
	for _, m := range p.Mappings {
		if m.Fidelity == Refused {
			errs = append(errs, &Error{Kind: Unsupported, Op: op, ID: id, Field: m.Field, Capability: m.Capability, Message: m.Note})
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// CheckPlan returns an error for each way in which p breaks the contract of
// Plan for s: a set field without a line, with two, a line for a field that is
// not set, a refusal without capability or reason, an emulation without a note.
func CheckPlan(p *Plan, s *spec.Sandbox) error {
	var errs []error
	lines := map[spec.Path]int{}
	for _, m := range p.Mappings {
		lines[m.Field]++
		switch {
		case m.Fidelity == Refused && (m.Capability == "" || m.Note == ""):
			errs = append(errs, fmt.Errorf("%s: refused without capability or reason", m.Field))
		case m.Fidelity == ByEmulation && m.Note == "":
			errs = append(errs, fmt.Errorf("%s: emulated without saying by what", m.Field))
		case m.Fidelity == Exact && m.Native == "":
			errs = append(errs, fmt.Errorf("%s: exact without a native name", m.Field))
		case m.Fidelity != Exact && m.Fidelity != ByEmulation && m.Fidelity != Refused:
			errs = append(errs, fmt.Errorf("%s: unknown fidelity %q", m.Field, m.Fidelity))
		}
	}
	for _, f := range spec.SetFields(s) {
		if lines[f] != 1 {
			errs = append(errs, fmt.Errorf("%s: %d lines in the ledger, want 1", f, lines[f]))
		}
		delete(lines, f)
	}
	for f := range lines {
		errs = append(errs, fmt.Errorf("%s: in the ledger, but not set", f))
	}
	return errors.Join(errs...)
}
