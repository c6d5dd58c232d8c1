// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package handshake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
)

// Listener exists on Linux only: sandboxes that share this machine's kernel can
// connect to a socket of it. Elsewhere engines are remote and init listens.
type Listener struct {
	// Log is not used on this system.
	Log *slog.Logger
}

// errRemote matches errors.ErrUnsupported.
var errRemote = fmt.Errorf("%w: on %s a sandbox cannot connect to a socket of this machine; use a remote engine, for which init listens", errors.ErrUnsupported, runtime.GOOS)

// Listen always fails here with an error that is errors.ErrUnsupported.
func Listen(string) (*Listener, error) { return nil, fmt.Errorf("run directory: %w", errRemote) }

// Path returns "".
func (*Listener) Path() string { return "" }

// Accept always fails here as Listen does.
func (*Listener) Accept(context.Context, func(context.Context) (int, error)) (*Conn, error) {
	return nil, fmt.Errorf("run directory: %w", errRemote)
}

// Close does nothing.
func (*Listener) Close() error { return nil }
