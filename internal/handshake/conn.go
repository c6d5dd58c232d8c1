// SPDX-License-Identifier: Apache-2.0

package handshake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/berthrun/berth/internal/handshake/wire"
)

// DefaultTimeout is how long each method of Conn waits for init's answer unless
// Conn.Timeout says otherwise or the context ends first.
const DefaultTimeout = 30 * time.Second

var (
	// ErrProtocol is in the chain of an error about a peer that does not keep to
	// the protocol: it is broken or hostile, and must not be believed.
	ErrProtocol = errors.New("init broke the hand-shake protocol")
	// ErrGone is in the chain of an error about a peer that closed the connection
	// before its answer, most often because init ended.
	ErrGone = errors.New("init closed the connection")
	// ErrTimeout is in the chain of an error about a peer that gave no answer in
	// Conn.Timeout. The end of the caller's context is not that: it is returned
	// as it is.
	ErrTimeout = errors.New("init gave no answer in time")
	// ErrOrder is returned when methods of Conn are called out of order. Nothing
	// was sent.
	ErrOrder = errors.New("hand-shake steps are out of order")
)

// FailedError is init's own account of why the command does not run.
type FailedError struct {
	// Code is the exit code of the sandbox: 127 the command was not found, 126 it
	// cannot be invoked, 125 init refused the hand-shake.
	Code int
	// Message comes out of the sandbox; it is cleaned and at most 1 KiB.
	Message string
}

// Error returns the message.
func (e *FailedError) Error() string { return e.Message }

// Peer is who connected, in the namespaces of this process.
type Peer struct {
	PID, UID, GID int
}

// Conn is one hand-shake over a byte stream: Negotiate, then Go or Abort, then
// Close. It is for one goroutine; Close may be called from any.
//
// When a method fails, or its context ends, the connection is closed. Init then
// removes its probe files and exits with 125 without having run the command,
// unless "go" had reached it already.
type Conn struct {
	// Timeout is the bound for each answer; 0 means DefaultTimeout.
	Timeout time.Duration

	rwc   io.ReadWriteCloser
	r     *wire.Reader
	peer  Peer
	state state
	close func() error // of rwc, once
}

type state int

const (
	stateNew state = iota
	stateReported
	stateDone
)

// NewConn speaks the hand-shake over rwc, which it owns from here on. Closing rwc
// must end a pending Read and Write. It is called by Accept, and by the caller of
// an engine's exec for sandboxes in which init listens.
func NewConn(rwc io.ReadWriteCloser) *Conn {
	return &Conn{
		rwc:   rwc,
		r:     wire.NewReader(rwc, wire.MaxLine),
		close: sync.OnceValue(rwc.Close),
	}
}

// Peer returns who connected; it is zero for a Conn made by NewConn.
func (c *Conn) Peer() Peer { return c.peer }

// Close ends the connection; it may be called more than once. Before Go it makes
// init give up, as described at Conn.
func (c *Conn) Close() error { return c.close() }

// hangUp is Close where nothing follows from its error.
func (c *Conn) hangUp() { _ = c.close() }

// Negotiate sends cfg and returns init's report. cfg.Version may be 0 and is then
// Version. The report is checked for form: it is for this nonce and version,
// answers every mount in order, names the probe files as ProbeName does, and its
// texts are clean. What it says still has to be checked by Verify.
//
// Errors: ErrProtocol, ErrGone, ErrTimeout, ErrOrder, *FailedError when init
// refuses cfg, the context's.
func (c *Conn) Negotiate(ctx context.Context, cfg Config) (*Report, error) {
	if c.state != stateNew {
		return nil, fmt.Errorf("negotiate: %w", ErrOrder)
	}
	if cfg.Version == 0 {
		cfg.Version = Version
	}
	if err := cfg.Check(); err != nil {
		return nil, fmt.Errorf("hand-shake: %w", err)
	}
	answer, err := c.exchange(ctx, wire.Message{Config: &cfg})
	if err != nil {
		return nil, err
	}
	if answer.Report == nil {
		return nil, c.broken(fmt.Errorf("%s instead of report", answer.Kind()))
	}
	if err := checkReport(&cfg, answer.Report); err != nil {
		return nil, c.broken(err)
	}
	c.state = stateReported
	return answer.Report, nil
}

// Go lets init start the command, waits until it runs and closes the connection.
// When it returns without error, the probe files are gone and the command runs.
//
// Errors: *FailedError when the command cannot be started, else as Negotiate.
// After ErrGone, ErrTimeout or the context's error the command may be running:
// the caller stops the sandbox if it does not want that.
func (c *Conn) Go(ctx context.Context) (*Started, error) {
	if c.state != stateReported {
		return nil, fmt.Errorf("go: %w", ErrOrder)
	}
	c.state = stateDone
	defer c.hangUp()
	answer, err := c.exchange(ctx, wire.Message{Go: &wire.Go{}})
	if err != nil {
		return nil, err
	}
	if answer.Started == nil {
		return nil, c.broken(fmt.Errorf("%s instead of started", answer.Kind()))
	}
	if answer.Started.PID <= 0 {
		return nil, c.broken(fmt.Errorf("process id %d", answer.Started.PID))
	}
	return answer.Started, nil
}

// Abort tells init not to run the command, waits until init has removed its probe
// files and closes the connection. It may be called instead of Negotiate or after
// it; after Go, or a method that failed, it only closes and returns nil.
//
// Errors: ErrProtocol, ErrTimeout, *FailedError, the context's. Init gives up in
// these cases too, but its probe files may still be there.
func (c *Conn) Abort(ctx context.Context, reason string) error {
	defer c.hangUp()
	if c.state == stateDone {
		return nil
	}
	c.state = stateDone
	if len(reason) > wire.MaxText {
		reason = reason[:wire.MaxText]
	}
	answer, err := c.exchange(ctx, wire.Message{Abort: &wire.Abort{Reason: reason}})
	switch {
	case errors.Is(err, ErrGone):
		return nil // it is what abort asks for
	case err != nil:
		return err
	}
	return c.broken(fmt.Errorf("%s after abort", answer.Kind()))
}

// exchange sends m and returns the answer, which counts even if the context ends
// at the same moment. On any error the connection is closed.
func (c *Conn) exchange(ctx context.Context, m wire.Message) (wire.Message, error) {
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	op, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// Closing is the one way that ends a pending read on every kind of stream.
	stop := context.AfterFunc(op, c.hangUp)
	defer stop()
	answer, err := c.talk(m)
	if err == nil {
		if answer.Failed != nil {
			c.end()
			return wire.Message{}, failed(answer.Failed)
		}
		return answer, nil
	}
	c.end()
	switch {
	case ctx.Err() != nil:
		return wire.Message{}, ctx.Err()
	case op.Err() != nil:
		return wire.Message{}, fmt.Errorf("hand-shake: %w (%s)", ErrTimeout, timeout)
	}
	return wire.Message{}, err
}

// talk writes m and reads the answer.
func (c *Conn) talk(m wire.Message) (wire.Message, error) {
	line, err := wire.Encode(m)
	if err != nil {
		return wire.Message{}, fmt.Errorf("hand-shake: %w", err)
	}
	_, werr := c.rwc.Write(line)
	// Read on after a failed write: init may have said why it does not listen.
	answer, err := c.r.Read()
	switch {
	case err == nil && (werr == nil || answer.Failed != nil):
		return answer, nil
	case werr != nil:
		return wire.Message{}, fmt.Errorf("hand-shake: %w: %w", ErrGone, werr)
	case errors.Is(err, wire.ErrSyntax), errors.Is(err, wire.ErrTooLong), errors.Is(err, io.ErrUnexpectedEOF):
		return wire.Message{}, fmt.Errorf("%w: %w", ErrProtocol, err)
	case errors.Is(err, io.EOF):
		return wire.Message{}, fmt.Errorf("hand-shake: %w", ErrGone)
	}
	return wire.Message{}, fmt.Errorf("hand-shake: %w: %w", ErrGone, err)
}

// end closes the connection and lets no step follow.
func (c *Conn) end() {
	c.state = stateDone
	c.hangUp()
}

// broken ends the hand-shake with a peer that does not keep to the protocol.
func (c *Conn) broken(err error) error {
	c.end()
	return fmt.Errorf("%w: %w", ErrProtocol, err)
}

// failed checks and cleans init's failure.
func failed(f *wire.Failed) error {
	if f.Code < wire.ExitInit || f.Code > wire.ExitNotFound {
		return fmt.Errorf("%w: exit code %d for a failure", ErrProtocol, f.Code)
	}
	return &FailedError{Code: f.Code, Message: wire.CleanText(f.Message)}
}

// checkReport checks the form of r against what was asked and cleans its texts.
func checkReport(cfg *Config, r *Report) error {
	switch {
	case r.Version != cfg.Version:
		return fmt.Errorf("version %d instead of %d", r.Version, cfg.Version)
	case r.Nonce != cfg.Nonce:
		return errors.New("the report is for another nonce")
	case len(r.Mounts) != len(cfg.Mounts):
		return fmt.Errorf("%d mounts instead of %d", len(r.Mounts), len(cfg.Mounts))
	case r.PID <= 0 || r.UID < 0 || r.GID < 0:
		return errors.New("negative process, user or group id")
	case r.Seccomp < -1 || r.Seccomp > 2:
		return fmt.Errorf("seccomp mode %d", r.Seccomp)
	}
	r.AgentVersion = wire.CleanText(r.AgentVersion)
	for i := range r.Mounts {
		m, q := &r.Mounts[i], cfg.Mounts[i]
		if m.Target != q.Target {
			return fmt.Errorf("mounts[%d] is for another target than %q", i, q.Target)
		}
		m.Error = wire.CleanText(m.Error)
		m.FSType = wire.CleanText(m.FSType)
		p := m.Probe
		if p == nil {
			continue
		}
		if !q.Probe {
			return fmt.Errorf("a probe in %q that was not asked for", q.Target)
		}
		// The name becomes part of a host path, so it must be ours.
		if p.Name != wire.ProbeName(cfg.Nonce, i) {
			return fmt.Errorf("the probe in %q has another name than agreed", q.Target)
		}
		p.Error = wire.CleanText(p.Error)
	}
	return nil
}
