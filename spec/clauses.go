// SPDX-License-Identifier: Apache-2.0

package spec

// Level says how binding a clause is, in the words of RFC 2119.
type Level string

// The levels.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
	May    Level = "MAY"
)

// Clause is one normative sentence of the contract between a spec's user and
// every backend. Package conformance tests clauses; documents cite them.
type Clause struct {
	// ID is dotted lower-case words, the area first. It is never renamed.
	ID string
	// Level is how binding it is.
	Level Level
	// Text is the sentence.
	Text string
	// Field is the field of a spec that the sentence is about, without indexes
	// ("mounts.mode"). Empty: it is about a driver's verbs.
	Field Path
}

// Clauses lists every clause in the order of the contract. The slice is the
// caller's.
func Clauses() []Clause { return append([]Clause(nil), clauses...) }

var clauses = []Clause{
	{"driver.probe.claims", Must, "Probe claims every capability, and each claim names the fact that it read and says by what or why not.", ""},
	{"driver.probe.interfaces", Must, "A driver that claims what an optional interface does implements that interface.", ""},
	{"driver.probe.identity", Must, "Probe tells what the engine is, and the engine's id is the same for every driver instance.", ""},
	{"driver.probe.read-only", Must, "Probe changes nothing on the engine.", ""},
	{"driver.plan.ledger", Must, "The ledger has exactly one line for each field that is set, and a refusal never hides the others.", ""},
	{"driver.plan.pure", Must, "Plan changes nothing, and the same request gives the same plan.", ""},
	{"driver.plan.refusal", Must, "When fields are refused, the error names every one of them with the capability that it needs.", ""},
	{"driver.plan.redacted", Must, "A plan never shows the value of an environment variable.", "process.env"},
	{"driver.create.stopped", Must, "Create makes a sandbox that is not running yet.", ""},
	{"driver.exit.code", Must, "The exit code of the main process is passed on, as a shell would see it.", ""},
	{"driver.remove.idempotent", Must, "Remove of an absent sandbox is nil.", ""},
}
