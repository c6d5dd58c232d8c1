// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
)

// Config is what a driver needs to reach its engine.
type Config struct {
	// Host is the engine's address as the user gave it. Empty: the engine's own
	// conventions, looked up through Getenv.
	Host string
	// Getenv looks up an environment variable, as os.LookupEnv does. Required.
	Getenv func(string) (string, bool)
	// Home is the caller's home directory, for the engine's configuration files.
	Home string
	// StateDir is a directory of berth's own that survives a reboot.
	StateDir string
	// Log receives what is worth knowing; never secrets. Required.
	Log *slog.Logger
}

// Opener makes a driver. It does not talk to the engine, so that a missing
// engine is found by Probe. Invalid for an address that cannot be one.
type Opener func(ctx context.Context, cfg Config) (Driver, error)

// Registry is an explicit list of backends, in the order of preference. It is
// filled once and then only read.
type Registry struct {
	names   []string
	openers map[string]Opener
}

// Register adds a backend. It panics on a name that is taken, which is a
// defect of the program.
func (r *Registry) Register(name string, open Opener) {
	if r.openers == nil {
		r.openers = map[string]Opener{}
	}
	if _, taken := r.openers[name]; taken {
		panic("backend " + name + " registered twice")
	}
	r.names = append(r.names, name)
	r.openers[name] = open
}

// Names lists the backends in the order in which they were added.
func (r *Registry) Names() []string { return slices.Clone(r.names) }

// Open makes the driver of the named backend. Invalid for an unknown name.
func (r *Registry) Open(ctx context.Context, name string, cfg Config) (Driver, error) {
	open, ok := r.openers[name]
	if !ok {
		return nil, &Error{Kind: Invalid, Op: "backend.open", Message: fmt.Sprintf("unknown backend %q: want one of %q or auto", name, r.names)}
	}
	return open(ctx, cfg)
}
