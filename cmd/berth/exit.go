// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/internal/handshake"
)

// Exit codes of run and exec besides the command's own, as docker has them.
const (
	codeEngine      = 125
	codeInterrupted = 130
)

// codes are the exit codes of the other verbs, by kind.
var codes = map[backend.Kind]int{
	backend.Internal: 1, backend.Invalid: 2, backend.NotFound: 3, backend.Exists: 4, backend.Conflict: 4,
	backend.Unsupported: 5, backend.Denied: 6, backend.Unavailable: 7, backend.Exhausted: 8,
}

// usageError is a command line that cannot be read.
type usageError struct{ err error }

func (e *usageError) Error() string   { return e.err.Error() }
func (e *usageError) Unwrap() error   { return e.err }
func (e *usageError) Is(t error) bool { return t == error(backend.Invalid) }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// exitCode ends the command with a code and without a message.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// commandError is a failure of run or exec, which have codes of their own so
// that they are not mistaken for the command's.
type commandError struct{ err error }

func (e *commandError) Error() string { return e.err.Error() }
func (e *commandError) Unwrap() error { return e.err }

// code returns the exit code for an error.
func code(err error) int {
	var exit exitCode
	var command *commandError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	case errors.Is(err, context.Canceled):
		return codeInterrupted
	case errors.As(err, &command):
		if failed, ok := errors.AsType[*handshake.FailedError](err); ok {
			return failed.Code
		}
		return codeEngine
	case errors.Is(err, context.DeadlineExceeded):
		return codes[backend.Unavailable]
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return codes[backend.Invalid]
	}
	if kind := backend.KindOf(err); kind != backend.Internal {
		return codes[kind]
	}
	return codes[backend.Internal]
}

// report prints err, if there is anything to say, and returns the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return 0
	}
	if _, ok := errors.AsType[exitCode](err); !ok {
		text := err.Error()
		if errors.Is(err, context.Canceled) {
			text = "interrupted"
		}
		for line := range strings.SplitSeq(text, "\n") {
			if strings.TrimSpace(line) == "" {
				continue
			}
			fmt.Fprintln(a.stderr, "berth: "+line)
		}
		if isCobraUsage(text) {
			return codes[backend.Invalid]
		}
	}
	return code(err)
}

// isCobraUsage recognises the usage errors that cobra makes itself; it has no
// type for them.
func isCobraUsage(text string) bool {
	return strings.HasPrefix(text, "unknown command ") || strings.HasPrefix(text, "required flag(s)")
}
