// SPDX-License-Identifier: Apache-2.0

package openhands

import (
	"fmt"
	"strings"

	"github.com/berthrun/berth/spec"
)

// Input is everything that [Read] looks at.
type Input struct {
	// Environ is the environment. A caller whose own flag outranks a variable
	// leaves that variable out, so that a value nobody uses cannot be an error.
	Environ map[string]string
	// Config is the text of a config.toml; nil or empty for none.
	Config []byte
	// ConfigName is what messages call it. Default "config.toml".
	ConfigName string
	// Home and Dir are the absolute paths that "~" and relative host paths
	// resolve against; empty where there is none.
	Home, Dir string
	// UID and GID are the caller's, or -1 where the system has none.
	UID, GID int
	// Name is the sandbox's name when it is known already. It keeps the
	// overlays of several sandboxes below one SANDBOX_VOLUME_OVERLAYS apart.
	Name string
}

// Result is what [Read] found.
type Result struct {
	// Spec has what the input sets and nothing else; it has not been through
	// spec.Default. spec.Validate has nothing against it but a missing image.
	// It is never nil.
	Spec *spec.Sandbox
	// Sources says for each path of spec.SetFields(Spec), and for each path
	// that spec.Overlay reports for Spec over an empty one, what set it:
	// "SANDBOX_VOLUMES" or "config.toml: sandbox.volumes". Several sources of
	// one field are joined by ", ".
	Sources map[spec.Path]string
	// Warnings are in the order of [Keys]; those about unknown names come
	// last.
	Warnings []Notice
	// Hints are settings that no field of a spec holds.
	Hints Hints
}

// Hint is a setting and where it came from; an empty Source means that it was
// not set.
type Hint[T any] struct {
	Value  T
	Source string
}

// Hints are for the caller, who uses each one that is set or says that it does
// not.
type Hints struct {
	// Backend is the backend that RUNTIME or OH_SANDBOX_KIND asks for: docker.
	Backend Hint[string]
	// KeepAlive asks that the sandbox stays when its client goes.
	KeepAlive Hint[bool]
	// ActionTimeout bounds one action of an agent, not the sandbox.
	ActionTimeout Hint[spec.Duration]
	// Workspace is nil when nothing is mounted.
	Workspace *Workspace
}

// Workspace is the mount that tools take for the project.
type Workspace struct {
	// Mount is its index in Spec.Mounts.
	Mount int
	// Source is the folder on the host, or the name of the volume.
	Source string
	// Target is where the sandbox sees it.
	Target string
	// Explicit says that the mount is on /workspace or was made by a
	// WORKSPACE_* key; it is then the working directory too. Otherwise it is
	// merely the first mount.
	Explicit bool
}

// NoticeCode says which kind of warning a [Notice] is. Codes are stable.
type NoticeCode string

// The codes.
const (
	// NoticeDeprecated: honoured, with what to write instead.
	NoticeDeprecated NoticeCode = "deprecated"
	// NoticeOverridden: another key wins, or the key has nothing to act on.
	NoticeOverridden NoticeCode = "overridden"
	// NoticeNotHonoured: OpenHands knows the key, and berth does not do it.
	NoticeNotHonoured NoticeCode = "not-honoured"
	// NoticeUnknown: the name is not one of OpenHands'.
	NoticeUnknown NoticeCode = "unknown"
)

// Notice is one warning. Print it as it is.
type Notice struct {
	// Key is the variable, or the key of config.toml ("sandbox.volumes").
	// A warning about several variables of one pattern joins them by ", ".
	Key string
	// File and Line are set for a key of config.toml; Line counts from 1.
	File string
	Line int
	Code NoticeCode
	// Message says why and what to do.
	Message string
}

// String returns the warning as one line.
func (n Notice) String() string { return at(n.File, n.Line, n.Key) + n.Message }

// Problem is one mistake in the input.
type Problem struct {
	// Key, File and Line are as in [Notice]. Key is empty when the whole file
	// cannot be read.
	Key  string
	File string
	Line int
	// Code is the kind of mistake. [spec.CodeUnsupported] means that the value
	// is well-formed and refused.
	Code spec.Code
	// Message says what is wrong and what to do.
	Message string
}

// Error returns the problem as one line, "SANDBOX_USER_ID: …" or
// "config.toml:12: sandbox.user_id: …".
func (p *Problem) Error() string { return at(p.File, p.Line, p.Key) + p.Message }

func at(file string, line int, key string) string {
	var b strings.Builder
	if file != "" {
		b.WriteString(file)
		if line > 0 {
			fmt.Fprintf(&b, ":%d", line)
		}
		b.WriteString(": ")
	}
	if key != "" {
		b.WriteString(key + ": ")
	}
	return b.String()
}

// Problems is the error that [Read] returns: every mistake, in the order of
// [Keys]. It is never empty when returned as an error. Reach it with errors.As.
type Problems []*Problem

// Error returns one line for each problem, without a line break at the end.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.Is and errors.As each problem.
func (ps Problems) Unwrap() []error {
	out := make([]error, len(ps))
	for i, p := range ps {
		out[i] = p
	}
	return out
}

// Read turns an environment and a config.toml into a partial spec. A variable
// wins over the same key of the file; an empty value counts as not set. On
// error, which is always a [Problems], the result is nil. The command line
// calls it once and lays the result over its spec file.
func Read(in Input) (*Result, error) {
	if in.ConfigName == "" {
		in.ConfigName = "config.toml"
	}
	r := &reader{
		in:     in,
		values: map[string]*value{},
		makers: map[spec.Path]*value{},
		res: &Result{
			Spec:    &spec.Sandbox{},
			Sources: map[spec.Path]string{},
		},
	}
	r.collect()
	r.warnUnused()
	for i := range rules {
		rule := &rules[i]
		if rule.apply == nil {
			continue
		}
		if v := r.values[rule.Env]; v != nil {
			rule.apply(r, v)
		}
	}
	r.applyImage()
	r.applyUser()
	r.applyMounts()
	r.applyNetworkMode()
	r.applyEnv()
	if len(r.problems) == 0 {
		r.validate()
	}
	r.sortMessages()
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	return r.res, nil
}
