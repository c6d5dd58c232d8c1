// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/internal/handshake"
	"github.com/berthrun/berth/internal/handshake/wire"
	"github.com/berthrun/berth/spec"
)

// Started is a sandbox whose command runs.
type Started struct {
	Status *backend.Status
	// Report is what init said of itself, checked on the host.
	Report *handshake.Report
	// Process holds the attached streams; nil when none were asked for.
	Process backend.Process
	// Warnings are what a user should know of this start.
	Warnings []string
}

// Start runs a created or exited sandbox up to the moment at which its command
// runs. A sandbox that runs already is left alone, and Started.Report is nil;
// attaching to it is still possible. When the hand-shake fails the sandbox is
// stopped, and no process of it has run but init.
//
// A command that cannot be run is a *[handshake.FailedError] in the chain, with
// the exit code that a shell would give.
func (m *Manager) Start(ctx context.Context, id backend.ID, attach *backend.AttachRequest) (*Started, error) {
	unlock, err := m.acquire(ctx, id)
	if err != nil {
		return nil, err
	}
	defer unlock()
	st, err := m.driver.Inspect(ctx, id)
	if err != nil {
		return nil, err
	}
	return m.start(ctx, st, attach)
}

// startNew starts a sandbox that this call has just made and whose status is
// therefore known.
func (m *Manager) startNew(ctx context.Context, st *backend.Status, attach *backend.AttachRequest) (*Started, error) {
	unlock, err := m.acquire(ctx, st.ID)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return m.start(ctx, st, attach)
}

func (m *Manager) start(ctx context.Context, st *backend.Status, attach *backend.AttachRequest) (_ *Started, err error) {
	out := &Started{}
	running := st.Phase == backend.PhaseRunning || st.Phase == backend.PhasePaused
	if running && attach == nil {
		out.Status = st
		return out, nil
	}
	if attach != nil {
		if out.Process, err = m.driver.Attach(ctx, st.ID, attach); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				_ = out.Process.Close()
			}
		}()
	}
	if running {
		out.Status = st
		return out, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, m.startTimeout, &backend.Error{
		Kind: backend.Unavailable, Op: "sandbox.start", ID: st.ID,
		Message: fmt.Sprintf("no hand-shake with the sandbox's init within %s", m.startTimeout),
	})
	defer cancel()
	h := &starting{m: m, st: st, nonce: handshake.NewNonce()}
	if err := h.run(ctx, out); err != nil {
		if cause := context.Cause(ctx); ctx.Err() != nil && backend.KindOf(cause) == backend.Unavailable {
			err = cause
		}
		return nil, h.undo(err)
	}
	return out, nil
}

// starting is one start of one sandbox.
type starting struct {
	m      *Manager
	st     *backend.Status
	nonce  string
	began  bool
	mounts []*os.Root // by index of the query; nil where the host cannot look
}

// run listens, starts and shakes hands.
func (h *starting) run(ctx context.Context, out *Started) error {
	m, id := h.m, h.st.ID
	var listener *handshake.Listener
	var err error
	if !h.st.Record.Listen {
		if listener, err = handshake.Listen(m.state.run(id)); err != nil {
			return local("sandbox.start", id, fmt.Errorf("hand-shake socket: %w", err))
		}
		defer listener.Close()
		listener.Log = m.log
	}
	h.began = true
	if err := m.driver.Start(ctx, id); err != nil {
		h.began = false // by contract it is as it was before
		return err
	}

	// Init may end before it connects: an image whose architecture does not fit,
	// a file system that cannot be executed.
	ended := make(chan error, 1)
	watch, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		exit, err := m.driver.Wait(watch, id)
		if err == nil {
			stop(&backend.Error{Kind: backend.Internal, Op: "sandbox.start", ID: id, Message: fmt.Sprintf("init ended with code %d before the hand-shake: %s", exit.Code, m.lastWords(context.WithoutCancel(ctx), id))})
		}
		ended <- err
	}()

	conn, err := h.connect(watch, listener)
	if err == nil {
		defer conn.Close()
		err = h.shake(watch, conn, out)
	}
	if err != nil {
		// The reason why the connection broke is worth more than that it broke.
		var failed *handshake.FailedError
		if cause := context.Cause(watch); watch.Err() != nil && ctx.Err() == nil && !errors.As(err, &failed) {
			return cause
		}
		return h.classify(err)
	}
	return nil
}

// connect returns the connection to init.
func (h *starting) connect(ctx context.Context, l *handshake.Listener) (*handshake.Conn, error) {
	if l == nil {
		return h.m.connectByExec(ctx, h.st.ID)
	}
	return l.Accept(ctx, func(ctx context.Context) (int, error) {
		st, err := h.m.driver.Inspect(ctx, h.st.ID)
		if err != nil {
			return 0, err
		}
		h.st = st
		return st.Engine.InitPID, nil
	})
}

// shake compares init's report with the host and lets the command run.
func (h *starting) shake(ctx context.Context, conn *handshake.Conn, out *Started) error {
	rec := &h.st.Record
	config, expect := h.expectations()
	defer h.closeMounts()
	report, err := conn.Negotiate(ctx, config)
	if err != nil {
		return err
	}
	if err := h.verify(report, expect, config); err != nil {
		return errors.Join(err, conn.Abort(ctx, "the host sees something else"))
	}
	if _, err := conn.Go(ctx); err != nil {
		return err
	}
	out.Report = report
	out.Warnings = writeWarnings(rec, report)
	// The ports are known only now that the sandbox runs; the status that was
	// read for init's pid has them.
	out.Status = h.st
	if h.st.Phase != backend.PhaseRunning {
		if out.Status, err = h.m.driver.Inspect(ctx, h.st.ID); err != nil {
			return err
		}
	}
	return nil
}

// expectations says what init has to examine, and what the host expects of it.
func (h *starting) expectations() (handshake.Config, handshake.Expect) {
	rec := &h.st.Record
	s := rec.Spec
	ident := rec.Identity
	config := handshake.Config{
		Version: handshake.Version, Nonce: h.nonce,
		TTL: s.Life.TTL.Std(), StopGrace: s.Life.StopGrace.Std(),
	}
	if s.Life.StopSignal != "" {
		// Validate has accepted the name; 0 would mean SIGTERM.
		_, config.StopSignal, _ = spec.ParseSignal(s.Life.StopSignal)
	}
	expect := handshake.Expect{UID: int(ident.HostUID), GID: int(ident.HostGID)}
	for _, r := range rec.Mounts {
		mt := s.Mounts[r.Index]
		e := handshake.MountExpect{
			Target: mt.Target, Dev: r.Dev, Ino: r.Ino, ReadOnly: mt.Mode == spec.ModeRO,
			Compare: !rec.EnginePaths && mt.Mode != spec.ModeOverlay,
			AnyGID:  true,
		}
		probe := r.Dir && mt.Mode == spec.ModeRW
		var root *os.Root
		if probe && e.Compare {
			root, _ = os.OpenRoot(r.Source)
			// Only an owner who is promised can be checked, and a folder in which
			// the caller could not write on the host either is not a fault.
			e.Stat = root != nil && ident.Mode != spec.UserImage && rec.Berth != ""
			e.MustWrite = e.Stat && int(ident.HostUID) == os.Geteuid() && writable(r.Source)
		}
		h.mounts = append(h.mounts, root)
		config.Mounts = append(config.Mounts, handshake.MountQuery{Target: mt.Target, Probe: probe})
		expect.Mounts = append(expect.Mounts, e)
	}
	return config, expect
}

// verify compares the report with the host: the folders still are what they
// were when policy judged them, and the probe files are the promised owner's.
func (h *starting) verify(report *handshake.Report, expect handshake.Expect, config handshake.Config) error {
	ident := h.st.Record.Identity
	index := map[string]int{}
	for i, q := range config.Mounts {
		index[q.Target] = i
	}
	err := handshake.Verify(report, expect, func(target, name string) (uid, gid int, dev, ino uint64, err error) {
		root := h.mounts[index[target]]
		info, err := root.Lstat(name)
		if err != nil {
			return 0, 0, 0, 0, err
		}
		dev, ino = identityOf(info)
		u, g, ok := owner(info)
		if !ok {
			return 0, 0, 0, 0, errors.New("this system does not tell owners")
		}
		return int(u), int(g), dev, ino, nil
	})
	if err != nil {
		e := &backend.Error{Kind: backend.Conflict, Op: "sandbox.start", ID: h.st.ID, Err: err, Message: "the sandbox does not see what was asked for"}
		var mismatch *handshake.MismatchError
		if errors.As(err, &mismatch) && len(mismatch.Mismatches) > 0 {
			first := mismatch.Mismatches[0]
			for i, mt := range h.st.Record.Spec.Mounts {
				if mt.Target == first.Target {
					e.Field = spec.Path(fmt.Sprintf("mounts[%d]", i))
				}
			}
			if first.What == "owner" {
				e.Kind, e.Field, e.Capability = backend.Unsupported, "user.as", backend.UserCaller
			}
		}
		return e
	}
	if ident.Mode != spec.UserImage && (report.UID != int(ident.UID) || report.GID != int(ident.GID)) {
		return &backend.Error{
			Kind: backend.Internal, Op: "sandbox.start", ID: h.st.ID, Field: "user.as",
			Message: fmt.Sprintf("the process is %d:%d inside, and should be %d:%d", report.UID, report.GID, ident.UID, ident.GID),
		}
	}
	if nnp := h.st.Record.Spec.Security.NoNewPrivileges; nnp != nil && *nnp && !report.NoNewPrivs {
		return &backend.Error{Kind: backend.Internal, Op: "sandbox.start", ID: h.st.ID, Field: "security.noNewPrivileges", Message: "the kernel says that it is not in force"}
	}
	if h.st.Record.Spec.Security.Seccomp != spec.SeccompUnconfined && report.Seccomp != 2 {
		return &backend.Error{Kind: backend.Internal, Op: "sandbox.start", ID: h.st.ID, Field: "security.seccomp", Message: "the kernel says that no filter is in force"}
	}
	return nil
}

// undo brings the sandbox back to where it was before the start, and removes
// probe files that a killed init left in the caller's folders.
func (h *starting) undo(err error) error {
	if !h.began {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var zero time.Duration
	if serr := h.m.driver.Stop(ctx, h.st.ID, &backend.StopOptions{Grace: &zero}); serr != nil && !errors.Is(serr, backend.NotFound) {
		err = errors.Join(err, serr)
	}
	for k, r := range h.st.Record.Mounts {
		if h.st.Record.EnginePaths || !r.Dir {
			continue
		}
		root, oerr := os.OpenRoot(r.Source)
		if oerr != nil {
			continue
		}
		if info, serr := root.Stat("."); serr == nil {
			if dev, ino := identityOf(info); dev == r.Dev && ino == r.Ino {
				_ = root.Remove(handshake.ProbeName(h.nonce, k))
			}
		}
		_ = root.Close()
	}
	return err
}

func (h *starting) closeMounts() {
	for _, r := range h.mounts {
		if r != nil {
			_ = r.Close()
		}
	}
}

// classify gives an error of the hand-shake its kind.
func (h *starting) classify(err error) error {
	var e *backend.Error
	if errors.As(err, &e) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if _, ok := errors.AsType[*handshake.FailedError](err); ok {
		return &backend.Error{Kind: backend.Invalid, Op: "sandbox.start", ID: h.st.ID, Field: "process.args", Err: err}
	}
	return &backend.Error{Kind: backend.Internal, Op: "sandbox.start", ID: h.st.ID, Message: "hand-shake with init", Err: err}
}

// connectByExec reaches an init that listens, through the engine's exec: the
// way into engines on another machine.
func (m *Manager) connectByExec(ctx context.Context, id backend.ID) (*handshake.Conn, error) {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	proc, err := m.driver.Exec(ctx, id, &backend.ExecRequest{
		Streams: backend.Streams{Stdin: inR, Stdout: outW},
		Argv:    []string{backend.AgentTarget, "connect", backend.RunTarget + "/" + backend.InitSocket},
	})
	if err != nil {
		return nil, err
	}
	go func() {
		_, err := proc.Wait(ctx)
		_ = outW.CloseWithError(errors.Join(err, io.EOF))
	}()
	return handshake.NewConn(&execStream{inW: inW, outR: outR, proc: proc}), nil
}

// execStream is a process's standard streams as one connection.
type execStream struct {
	inW  *io.PipeWriter
	outR *io.PipeReader
	proc backend.Process
}

func (s *execStream) Read(p []byte) (int, error)  { return s.outR.Read(p) }
func (s *execStream) Write(p []byte) (int, error) { return s.inW.Write(p) }

// Close ends a pending Read and Write and drops the process.
func (s *execStream) Close() error {
	_ = s.inW.Close()
	_ = s.outR.Close()
	return s.proc.Close()
}

// lastWords are the last lines that a failed sandbox printed, made fit to show.
func (m *Manager) lastWords(ctx context.Context, id backend.ID) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var text []byte
	for entry, err := range m.driver.Logs(ctx, id, &backend.LogOptions{Tail: 3}) {
		if err != nil {
			break
		}
		text = append(text, entry.Data...)
	}
	if len(text) == 0 {
		return "it printed nothing"
	}
	return wire.CleanText(string(text))
}

// writeWarnings tells of folders that are mounted rw and that the sandbox's
// user cannot write.
func writeWarnings(rec *backend.Record, report *handshake.Report) []string {
	var out []string
	for i, r := range rec.Mounts {
		if i >= len(report.Mounts) {
			break
		}
		if p := report.Mounts[i].Probe; p != nil && p.Error != "" {
			out = append(out, fmt.Sprintf("%s is mounted rw, but uid %d cannot write in %s: %s", rec.Spec.Mounts[r.Index].Target, rec.Identity.HostUID, r.Source, p.Error))
		}
	}
	return out
}

// acquire takes the sandbox's lock.
func (m *Manager) acquire(ctx context.Context, id backend.ID) (func(), error) {
	if !validID(id) {
		return nil, &backend.Error{Kind: backend.Invalid, Op: "sandbox.lock", Message: fmt.Sprintf("id %q is malformed", id)}
	}
	l := m.state.lock(id)
	if ok, err := l.TryLock(); err != nil {
		return nil, local("sandbox.lock", id, err)
	} else if !ok {
		if _, err := l.TryLockContext(ctx, 20*time.Millisecond); err != nil {
			return nil, local("sandbox.lock", id, err)
		}
	}
	return func() { _ = l.Unlock() }, nil
}

// Remove takes a sandbox away with everything that was made for it, on the
// engine and on the host. Absent on both: nil.
func (m *Manager) Remove(ctx context.Context, id backend.ID, opts *backend.RemoveOptions) error {
	unlock, err := m.acquire(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	if err := m.driver.Remove(ctx, id, opts); err != nil {
		return err
	}
	return m.dropState(id)
}

func (m *Manager) dropState(id backend.ID) error {
	if err := m.state.remove(id); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return local("sandbox.remove", id, &backend.LeakError{Left: []string{"directory " + filepath.Clean(m.state.sandbox(id))}, Err: err})
	}
	m.state.dropLock(id)
	return nil
}
