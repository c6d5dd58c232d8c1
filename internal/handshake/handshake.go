// SPDX-License-Identifier: Apache-2.0

// Package handshake is the host's side of the hand-shake with the init process
// of a sandbox (DESIGN section 4, Identity).
//
// Before the command of a sandbox runs, init reports who it is and what it sees
// at every mount, and waits. The caller compares the report with the host
// (Verify) and then says Go or Abort:
//
//	l, err := handshake.Listen(runDir)          // before the sandbox is created
//	…                                           // create and start it
//	c, err := l.Accept(ctx, hostPIDOfInit)
//	r, err := c.Negotiate(ctx, handshake.Config{Nonce: handshake.NewNonce(), Mounts: …})
//	if err := handshake.Verify(r, want, stat); err != nil {
//		c.Abort(ctx, err.Error())
//	}
//	s, err := c.Go(ctx)
//
// Where the engine is remote, or a socket cannot cross into the sandbox, init
// listens instead, berth runs "berth-agent connect PATH" through the engine's
// exec, and NewConn speaks over that stream.
//
// Everything that is read here comes out of a sandbox and is hostile: lines are
// bounded, decoding is strict, every answer has a deadline, and texts are cleaned
// of everything that is not printable ASCII.
package handshake

import (
	"crypto/rand"
	"encoding/hex"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/internal/handshake/wire"
)

// The messages, as package wire documents them.
type (
	// Config is what Negotiate sends.
	Config = wire.Config
	// MountQuery is one mount of a Config.
	MountQuery = wire.MountQuery
	// Report is what Negotiate returns.
	Report = wire.Report
	// MountReport is one mount of a Report.
	MountReport = wire.MountReport
	// ProbeReport is the probe file of a MountReport.
	ProbeReport = wire.ProbeReport
	// Started is what Go returns.
	Started = wire.Started
)

const (
	// Version is the protocol version that this berth speaks.
	Version = wire.Version

	// SocketName is the name of init's socket in the run directory, as drivers
	// tell it to init.
	SocketName = backend.InitSocket
	// ProbePrefix starts the name of every probe file.
	ProbePrefix = wire.ProbePrefix

	// InitTasks is how many tasks of a sandbox's process limit to count for init. A
	// limit must be larger, or the command may fail to start.
	InitTasks = wire.InitTasks

	// ExitInit is init's exit code when the command never ran because the
	// hand-shake failed, was aborted or timed out.
	ExitInit = wire.ExitInit
)

// NewNonce returns a fresh nonce for one hand-shake. It does not fail.
func NewNonce() string {
	var b [wire.NonceLen / 2]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// ProbeName is the name of the probe file that init makes in the mount with that
// index in Config.Mounts. A caller that cannot know whether init ended in order
// (it was killed) removes these names on the host.
func ProbeName(nonce string, index int) string { return wire.ProbeName(nonce, index) }
