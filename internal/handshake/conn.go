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
	close func() error
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
	var r *Report
	err := c.exchange(ctx, wire.Message{Config: &cfg}, func(m wire.Message) error {
		if m.Report == nil {
			return fmt.Errorf("%w: %s instead of report", ErrProtocol, m.Kind())
		}
		if err := checkReport(&cfg, m.Report); err != nil {
			return fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		r = m.Report
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.state = stateReported
	return r, nil
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
	defer c.Close()
	var s *Started
	err := c.exchange(ctx, wire.Message{Go: &wire.Go{}}, func(m wire.Message) error {
		if m.Started == nil {
			return fmt.Errorf("%w: %s instead of started", ErrProtocol, m.Kind())
		}
		if m.Started.PID <= 0 {
			return fmt.Errorf("%w: process id %d", ErrProtocol, m.Started.PID)
		}
		s = m.Started
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Abort tells init not to run the command, waits until init has removed its probe
// files and closes the connection. It may be called instead of Negotiate or after
// it; after Go, or a method that failed, it only closes and returns nil.
//
// Errors: ErrProtocol, ErrTimeout, the context's. Init gives up in these cases
// too, but its probe files may still be there.
func (c *Conn) Abort(ctx context.Context, reason string) error {
	defer c.Close()
	if c.state == stateDone {
		return nil
	}
	c.state = stateDone
	if len(reason) > wire.MaxText {
		reason = reason[:wire.MaxText]
	}
	err := c.exchange(ctx, wire.Message{Abort: &wire.Abort{Reason: reason}}, func(m wire.Message) error {
		return fmt.Errorf("%w: %s after abort", ErrProtocol, m.Kind())
	})
	if errors.Is(err, ErrGone) {
		return nil // it is what abort asks for
	}
	return err
}

// exchange sends m and hands the answer to use. On any error the connection is
// closed.
func (c *Conn) exchange(ctx context.Context, m wire.Message, use func(wire.Message) error) (err error) {
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	op, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// Closing is the one way that ends a pending read on every kind of stream.
	stop := context.AfterFunc(op, func() { c.close() })
	defer func() {
		if !stop() && err == nil {
			// The answer and the end came together; the stream is closed already.
			err = op.Err()
		}
		if err == nil {
			return
		}
		c.state = stateDone
		c.close()
		if ctx.Err() != nil {
			err = ctx.Err()
		} else if op.Err() != nil {
			err = fmt.Errorf("hand-shake: %w (%s)", ErrTimeout, timeout)
		}
	}()

	line, err := wire.Encode(m)
	if err != nil {
		return fmt.Errorf("hand-shake: %w", err)
	}
	if _, err := c.rwc.Write(line); err != nil {
		// The answer may say why init does not listen any more: read on.
		if answer, rerr := c.r.Read(); rerr == nil && answer.Failed != nil {
			return failed(answer.Failed)
		}
		return fmt.Errorf("hand-shake: %w: %w", ErrGone, err)
	}
	answer, err := c.r.Read()
	switch {
	case errors.Is(err, wire.ErrSyntax), errors.Is(err, wire.ErrTooLong), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("hand-shake: %w", ErrGone)
	case err != nil:
		return fmt.Errorf("hand-shake: %w: %w", ErrGone, err)
	case answer.Failed != nil:
		return failed(answer.Failed)
	}
	return use(answer)
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
