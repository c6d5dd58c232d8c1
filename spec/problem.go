// SPDX-License-Identifier: Apache-2.0

package spec

import "strings"

// Code says which kind of mistake a [Problem] is. Codes are stable: tests,
// editors and other programs may match them, messages may change.
type Code string

// The codes.
const (
	// CodeRequired: a field that must be set is not.
	CodeRequired Code = "required"
	// CodeInvalid: the value does not have the form that the field needs.
	CodeInvalid Code = "invalid"
	// CodeOutOfRange: a number, length or size is too small or too large.
	CodeOutOfRange Code = "out-of-range"
	// CodeDuplicate: the same thing is said twice.
	CodeDuplicate Code = "duplicate"
	// CodeConflict: two fields cannot both be honoured.
	CodeConflict Code = "conflict"
	// CodeUnknownValue: the value is none of those that the field knows.
	CodeUnknownValue Code = "unknown-value"
	// CodeUnknownField: a document has a key that the spec does not know. Only
	// decoders report it.
	CodeUnknownField Code = "unknown-field"
	// CodeReserved: the name or place belongs to berth or to the kernel.
	CodeReserved Code = "reserved"
	// CodeUnsupported: the form is understood and never honoured.
	CodeUnsupported Code = "unsupported"
)

// Problem is one mistake in a spec.
type Problem struct {
	// Path names the field that has to change.
	Path Path
	// Code is the kind of mistake.
	Code Code
	// Message says what is wrong and what to do, in lower case.
	Message string
}

// String returns the problem as one line, "path: message".
func (p Problem) String() string {
	if p.Path == "" {
		return p.Message
	}
	return string(p.Path) + ": " + p.Message
}

// Problems is the error that [Validate] returns: every mistake it found, in
// document order. It is never empty when returned as an error. Reach it with
// errors.As.
type Problems []Problem

// Error returns one line for each problem, without a line break at the end.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}
