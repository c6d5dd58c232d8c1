// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"context"
	"errors"
	"strings"

	"github.com/berthrun/berth/spec"
)

// Kind classifies an error by what its reader can do about it. A Kind is
// itself an error, so that errors.Is(err, backend.NotFound) asks the question.
type Kind string

// The error kinds.
const (
	// Invalid: the request is wrong whatever the engine; Field names where.
	Invalid Kind = "invalid"
	// NotFound: the object named does not exist.
	NotFound Kind = "not found"
	// Exists: the name or id is taken by another object.
	Exists Kind = "already exists"
	// Conflict: the object is in a state that forbids the operation.
	Conflict Kind = "conflict"
	// Unsupported: this engine on this host cannot do it; Field and Capability
	// are set.
	Unsupported Kind = "unsupported"
	// Denied: a policy, a registry or an engine's authorisation said no.
	Denied Kind = "denied"
	// Exhausted: disk, ports, addresses, ids or another bounded thing ran out.
	Exhausted Kind = "exhausted"
	// Unavailable: no engine answers, or it may not be talked to.
	Unavailable Kind = "unavailable"
	// Internal: a defect of berth or of the engine.
	Internal Kind = "internal"
)

// Kinds lists every kind.
func Kinds() []Kind {
	return []Kind{Invalid, NotFound, Exists, Conflict, Unsupported, Denied, Exhausted, Unavailable, Internal}
}

// Error makes a Kind usable as the target of errors.Is.
func (k Kind) Error() string { return string(k) }

// Error is what every method of a [Driver] returns when it fails, except for
// the context's own errors, which pass unwrapped. It is made once, where the
// native error is classified; nobody wraps an Error in another.
type Error struct {
	// Kind is required.
	Kind Kind
	// Op is the operation, "docker.create".
	Op string
	// ID is the sandbox, when one is concerned.
	ID ID
	// Field is the field of the spec that caused the failure. Required for
	// Unsupported, and for Invalid when a spec is concerned.
	Field spec.Path
	// Capability is what is missing. Required for Unsupported.
	Capability Capability
	// Message says what is wrong and what to do, in lower case. Empty: the
	// native error says it well enough.
	Message string
	// Err is the native cause. It stays reachable by errors.As.
	Err error
}

// Error prints operation, object, message and cause on one line.
func (e *Error) Error() string {
	var parts []string
	if e.Op != "" {
		parts = append(parts, e.Op)
	}
	if e.ID != "" {
		parts = append(parts, "sandbox "+string(e.ID))
	}
	if e.Field != "" {
		parts = append(parts, string(e.Field))
	}
	if e.Message != "" {
		parts = append(parts, e.Message)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	if e.Message == "" && e.Err == nil {
		parts = append(parts, string(e.Kind))
	}
	return strings.Join(parts, ": ")
}

// Is reports whether target is the error's kind.
func (e *Error) Is(target error) bool { return target == error(e.Kind) }

// Unwrap returns the native cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of err: the first one found in its chain, Internal
// when there is none, and "" for nil and for context errors.
func KindOf(err error) Kind {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	for _, k := range Kinds() {
		if errors.Is(err, k) {
			return k
		}
	}
	return Internal
}

// LeakError says that cleaning up after a failure failed too, and lists the
// engine's own names of what is left. It is joined to the error that started
// the clean-up.
type LeakError struct {
	// Left are native names, such as "container 3f2a" or "volume berth-x".
	Left []string
	// Err is why the clean-up failed.
	Err error
}

// Error lists what is left.
func (e *LeakError) Error() string {
	return "left behind: " + strings.Join(e.Left, ", ") + ": " + e.Err.Error()
}

// Unwrap returns why the clean-up failed.
func (e *LeakError) Unwrap() error { return e.Err }
