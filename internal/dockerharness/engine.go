// SPDX-License-Identifier: Apache-2.0

package dockerharness

import (
	"context"
	"log/slog"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/backend/docker"
	"github.com/berthrun/berth/internal/enginetest"
)

// EngineOptions are the options of ForEngine.
type EngineOptions struct {
	// Open makes a driver for the engine, or for another address when host is
	// not empty.
	Open func(ctx context.Context, host string) (backend.Driver, error)
	// Probe is the path of the static probe program.
	Probe string
	// Getenv tells whether the engine was started for this run.
	Getenv func(string) (string, bool)
	Log    *slog.Logger
}

// ForEngine makes a harness for the engine that Open reaches. When that engine
// was started by package enginetest for this run, the harness may stop it and
// has a peer outside.
func ForEngine(ctx context.Context, o EngineOptions) (*Harness, error) {
	d, err := o.Open(ctx, "")
	if err != nil {
		return nil, err
	}
	info, err := d.Probe(ctx, false)
	if err != nil {
		_ = d.Close()
		return nil, err
	}
	cli, ok := docker.Client(d)
	if !ok {
		_ = d.Close()
		return nil, &backend.Error{Kind: backend.Unsupported, Op: "conformance", Message: "backend " + d.Name() + " is not docker"}
	}
	opts := Options{Open: o.Open, Docker: cli, Probe: o.Probe, Log: o.Log}
	if info.Remote {
		opts.Separate = "the engine is on another machine"
	} else if why := otherNetwork(info.Host); why != "" {
		opts.Separate = why
	}
	if c, ours := enginetest.FromEnv(); ours && c.Host == info.Host {
		opts.Engine = c
		if opts.Separate == "" {
			if opts.Peer, opts.ClosePeer, err = outside(ctx, c); err != nil {
				_ = d.Close()
				return nil, err
			}
		}
	}
	return New(ctx, opts)
}
