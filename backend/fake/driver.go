// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/spec"
)

// Driver is a driver instance for an [Engine]. The zero value is not usable.
type Driver struct {
	engine *Engine
	broken bool // its address leads nowhere
}

var (
	_ backend.Driver      = (*Driver)(nil)
	_ backend.Imager      = (*Driver)(nil)
	_ backend.Networker   = (*Driver)(nil)
	_ backend.Pauser      = (*Driver)(nil)
	_ backend.Copier      = (*Driver)(nil)
	_ backend.StatsReader = (*Driver)(nil)
	_ backend.Signaller   = (*Driver)(nil)
)

// Engine returns the engine that the driver works on.
func (d *Driver) Engine() *Engine { return d.engine }

// enter takes the engine's lock, if the engine answers and ctx lets it.
func (d *Driver) enter(ctx context.Context) (*Engine, error) {
	e := d.engine
	if ctx.Err() != nil && !e.has(BugContextIgnored) {
		if e.has(BugContextWrapped) {
			return nil, &backend.Error{Kind: backend.Internal, Op: Name, Message: "call", Err: errors.New(ctx.Err().Error())}
		}
		return nil, ctx.Err()
	}
	e.mu.Lock()
	if e.down || d.broken {
		e.mu.Unlock()
		kind := backend.Unavailable
		if e.has(BugUnavailableInternal) {
			kind = backend.Internal
		}
		return nil, fail(kind, "connect", "", "no engine answers: start it")
	}
	return e, nil
}

// find returns a sandbox; the lock is held.
func (e *Engine) sandbox(op string, id backend.ID) (*sandbox, error) {
	if sb := e.sandboxes[id]; sb != nil {
		return sb, nil
	}
	if e.has(BugNotFoundInternal) {
		return nil, fail(backend.Internal, op, id, "no such sandbox")
	}
	if e.has(BugErrorsTwice) {
		return nil, &backend.Error{Kind: backend.NotFound, Op: Name + "." + op, Err: fail(backend.NotFound, op, id, "no such sandbox")}
	}
	return nil, fail(backend.NotFound, op, id, "no such sandbox")
}

// Name implements backend.Driver.
func (d *Driver) Name() string { return Name }

// Probe implements backend.Driver.
func (d *Driver) Probe(ctx context.Context, _ bool) (*backend.Info, error) {
	e, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	if e.has(BugProbeLeaks) {
		name := fmt.Sprintf("probe-%d", e.next())
		e.volumes[name] = &volume{name: name, tree: newMemory(0, 0o755)}
	}
	return e.info(), nil
}

// Close implements backend.Driver.
func (d *Driver) Close() error { return nil }

// step is a moment in which a caller may have given up.
func (e *Engine) step(ctx context.Context) error {
	e.mu.Unlock()
	d := stepTime
	if e.has(BugCreatesCollide) || e.has(BugRemovesCollide) || e.has(BugExecsMixed) {
		d *= 100 // so that they do meet
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	defer e.mu.Lock()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		if e.has(BugContextIgnored) {
			return nil
		}
		return ctx.Err()
	}
}

// stepTime is how long a step of Create takes, so that it can be cancelled.
const stepTime = 200 * time.Microsecond

// Create implements backend.Driver.
func (d *Driver) Create(ctx context.Context, req *backend.CreateRequest) (*backend.Status, error) {
	if err := ctx.Err(); err != nil && d.engine.has(BugCancelLeaves) {
		ctx = context.WithoutCancel(ctx)
		_, _ = d.create(ctx, req)
		return nil, err
	}
	return d.create(ctx, req)
}

func (d *Driver) create(ctx context.Context, req *backend.CreateRequest) (*backend.Status, error) {
	e, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	if _, err := e.plan(req); err != nil {
		if e.has(BugRefusalLeaves) {
			e.volumes["left-"+string(req.ID)] = &volume{name: "left-" + string(req.ID), owner: req.ID}
		}
		return nil, err
	}
	old, err := e.taken(req)
	if old != nil || err != nil {
		return old, err
	}
	s := req.Spec
	img := e.find(req.Image.ID, s.Image.Platform)
	if img == nil {
		if img = e.any(); !e.has(BugAbsentImageMade) || img == nil {
			return nil, failField(backend.NotFound, "create", req.ID, "image.ref", "no image %q: pull or load it", s.Image.Ref)
		}
	}
	networks, err := e.networksOf(req.ID, s)
	if err != nil {
		return nil, err
	}
	for i, m := range s.Mounts {
		if m.Type != spec.MountBind || e.has(BugMissingSourceIgnored) {
			continue
		}
		st, err := statHost(m.Source)
		if err == nil && st.Type != probe.TypeDir && e.has(BugFileBindRefused) {
			err = eNOTDIR
		}
		if err != nil {
			failed := failField(backend.NotFound, "create", req.ID, spec.Path("mounts").Index(i), "the source cannot be bound")
			failed.Err = err
			return nil, failed
		}
	}
	if e.has(BugCreatesCollide) {
		if e.creating {
			return nil, fail(backend.Internal, "create", req.ID, "another create is under way")
		}
		e.creating = true
		defer func() { e.creating = false }()
	}
	if err := e.step(ctx); err != nil {
		return nil, err
	}
	// Somebody else may have been here meanwhile.
	if old, err := e.taken(req); old != nil || err != nil {
		return old, err
	}
	own := *req
	own.Spec, own.Argv, own.Env = spec.Clone(s), slices.Clone(req.Argv), maps.Clone(req.Env)
	own.Identity.Groups, own.Overlays = slices.Clone(req.Identity.Groups), maps.Clone(req.Overlays)
	own.Record.Spec = spec.Clone(req.Record.Spec)
	sb := &sandbox{
		engine: e, id: req.ID, native: fmt.Sprintf("native-%d", e.next()), req: &own, image: img, phase: backend.PhaseCreated,
		created: time.Now().UTC(), root: img.root.clone(uint64(e.next())), processes: map[int]*process{}, listeners: map[string]*listener{},
		partial: map[backend.LogStream][]byte{}, stdin: &pipe{engine: e},
	}
	if s.Resources.Disk > 0 && !e.has(BugDiskIgnored) {
		_, free := sb.root.space()
		sb.root.limit = int64(s.Resources.Disk) + 1<<40 - free
	}
	e.sandboxes[req.ID] = sb
	e.join(sb, networks)
	err = e.step(ctx)
	if err != nil && !e.has(BugCancelLeaves) {
		e.remove(sb)
		return nil, err
	}
	if e.has(BugCreateStarts) {
		if err := e.start(sb); err != nil {
			return nil, err
		}
	}
	return sb.status(), nil
}

// any returns some image.
func (e *Engine) any() *image {
	for _, id := range slices.Sorted(maps.Keys(e.images)) {
		return e.images[id]
	}
	return nil
}

// taken looks for a sandbox that has the id or the name already.
func (e *Engine) taken(req *backend.CreateRequest) (*backend.Status, error) {
	if old := e.sandboxes[req.ID]; old != nil {
		if e.has(BugCreateNotIdempotent) || old.req.Digest != req.Digest && !e.has(BugDigestIgnored) {
			return nil, fail(backend.Exists, "create", req.ID, "the id is taken by a sandbox with another spec")
		}
		return old.status(), nil
	}
	for _, other := range e.sandboxes {
		if other.req.Spec.Name != "" && other.req.Spec.Name == req.Spec.Name && !e.has(BugNameClash) {
			return nil, failField(backend.Exists, "create", req.ID, "name", "%q is the name of sandbox %s: choose another", req.Spec.Name, other.id)
		}
	}
	return nil, nil
}

// remove takes a sandbox away that does not run; the lock is held.
func (e *Engine) remove(sb *sandbox) {
	sb.unpublish()
	if !e.has(BugVolumeLeaked) {
		for _, name := range sb.volumes {
			delete(e.volumes, name)
		}
	}
	e.leave(sb)
	if !e.has(BugSandboxLeaked) {
		delete(e.sandboxes, sb.id)
	}
	for _, a := range sb.attached {
		a.finish(&backend.Exit{Code: 137})
	}
	e.happened(sb, true)
}

// Start implements backend.Driver.
func (d *Driver) Start(ctx context.Context, id backend.ID) error {
	e, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer e.mu.Unlock()
	sb, err := e.sandbox("start", id)
	if err != nil {
		return err
	}
	if sb.phase == backend.PhaseRunning || sb.phase == backend.PhasePaused {
		if e.has(BugStartTwice) {
			return fail(backend.Conflict, "start", id, "runs already")
		}
		return nil
	}
	if sb.phase == backend.PhaseExited && e.has(BugNoRestart) {
		return fail(backend.Conflict, "start", id, "has ended")
	}
	if sb.phase == backend.PhaseExited && e.has(BugRestartForgets) {
		sb.root = sb.image.root.clone(uint64(e.next()))
	}
	sb.starter = d
	if err := e.start(sb); err != nil {
		if e.has(BugFailedStartPhase) {
			sb.phase = backend.PhaseExited
			sb.exit = &backend.Exit{Code: 128}
		}
		return err
	}
	return nil
}

// running reports whether the sandbox has a main process; the lock is held.
func (sb *sandbox) running() bool {
	return sb.phase == backend.PhaseRunning || sb.phase == backend.PhasePaused
}

// Stop implements backend.Driver.
func (d *Driver) Stop(ctx context.Context, id backend.ID, opts *backend.StopOptions) error {
	e, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer e.mu.Unlock()
	sb, err := e.sandbox("stop", id)
	if err != nil {
		return err
	}
	if !sb.running() {
		if e.has(BugStopTwice) {
			return fail(backend.Conflict, "stop", id, "does not run")
		}
		return nil
	}
	signal, grace := sb.stopSignal(), sb.req.Spec.Life.StopGrace.Std()
	if e.has(BugGraceOfSpecIgnored) {
		grace = 10 * time.Second
	}
	if opts != nil && opts.Signal != "" && !e.has(BugStopOptionIgnored) {
		signal = opts.Signal
	}
	if opts != nil && opts.Grace != nil && !e.has(BugStopOptionIgnored) {
		grace = *opts.Grace
	}
	sb.resume()
	p, starts := sb.main, sb.starts
	over := func() bool { return sb.phase == backend.PhaseExited || sb.starts != starts || e.sandboxes[id] != sb }
	if grace > 0 && !e.has(BugGraceIgnored) {
		p.send(signal, true)
		if e.has(BugStopReturnsEarly) {
			return nil
		}
		graceCtx, cancel := context.WithTimeout(ctx, grace)
		defer cancel()
		err := e.wait(graceCtx, over)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if e.has(BugNeverKills) {
			return e.wait(ctx, over)
		}
	}
	p.send("KILL", true)
	return e.wait(ctx, over)
}

// stopSignal is what stop sends.
func (sb *sandbox) stopSignal() string {
	e := sb.engine
	switch s := sb.req.Spec.Life.StopSignal; {
	case s != "" && !e.has(BugStopSignalIgnored):
		return s
	case sb.image.StopSignal != "" && !e.has(BugImageSignalIgnored):
		return sb.image.StopSignal
	}
	return "SIGTERM"
}

// Signal implements backend.Signaller.
func (d *Driver) Signal(ctx context.Context, id backend.ID, signal string) error {
	e, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer e.mu.Unlock()
	sb, err := e.sandbox("signal", id)
	if err != nil {
		return err
	}
	if !sb.running() {
		if e.has(BugSignalStopped) {
			return nil
		}
		return fail(backend.Conflict, "signal", id, "does not run: start it")
	}
	if e.has(BugSignalLost) {
		return nil
	}
	sb.main.send(signal, true)
	return nil
}

// Remove implements backend.Driver.
func (d *Driver) Remove(ctx context.Context, id backend.ID, opts *backend.RemoveOptions) error {
	e, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer e.mu.Unlock()
	sb := e.sandboxes[id]
	if sb == nil {
		if e.has(BugRemoveAbsent) {
			return fail(backend.NotFound, "remove", id, "no such sandbox")
		}
		return nil
	}
	if e.has(BugRemovesCollide) {
		if sb.removing {
			return fail(backend.Internal, "remove", id, "another remove is under way")
		}
		sb.removing = true
		defer func() { sb.removing = false }()
		if err := e.step(ctx); err != nil {
			return err
		}
	}
	if sb.running() {
		if (opts == nil || !opts.Force) && !e.has(BugRemoveRunning) {
			return fail(backend.Conflict, "remove", id, "is running: stop it first, or force")
		}
		if e.has(BugForceIgnored) {
			return fail(backend.Conflict, "remove", id, "is running")
		}
		sb.resume()
		starts := sb.starts
		sb.main.send("KILL", true)
		if err := e.wait(ctx, func() bool { return !sb.running() || sb.starts != starts || e.sandboxes[id] != sb }); err != nil {
			return err
		}
		if sb.running() {
			return fail(backend.Conflict, "remove", id, "was started meanwhile: try again")
		}
	}
	if e.sandboxes[id] == sb {
		e.remove(sb)
	}
	return nil
}

// Inspect implements backend.Driver.
func (d *Driver) Inspect(ctx context.Context, id backend.ID) (*backend.Status, error) {
	e, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	sb, err := e.sandbox("inspect", id)
	if err != nil {
		if e.has(BugAbsentIsNil) {
			return nil, nil
		}
		return nil, err
	}
	return sb.status(), nil
}

// List implements backend.Driver.
func (d *Driver) List(ctx context.Context, opts *backend.ListOptions) iter.Seq2[*backend.Status, error] {
	return func(yield func(*backend.Status, error) bool) {
		e, err := d.enter(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		var all []*backend.Status
		for _, id := range slices.Sorted(maps.Keys(e.sandboxes)) {
			sb := e.sandboxes[id]
			match := true
			if opts != nil && !e.has(BugListFilterIgnored) {
				for k, v := range opts.Labels {
					match = match && sb.req.Spec.Labels[k] == v
				}
			}
			if e.has(BugListRunningOnly) && !sb.running() {
				match = false
			}
			if match {
				all = append(all, sb.status())
			}
		}
		e.mu.Unlock()
		for _, st := range all {
			if !yield(st, nil) {
				return
			}
		}
	}
}

// Wait implements backend.Driver.
func (d *Driver) Wait(ctx context.Context, id backend.ID) (*backend.Exit, error) {
	e, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	sb, err := e.sandbox("wait", id)
	if err != nil {
		return nil, err
	}
	if sb.phase == backend.PhaseCreated && !e.has(BugWaitNeverStarted) {
		return nil, fail(backend.Conflict, "wait", id, "was never started: start it")
	}
	if e.has(BugWaitOnce) {
		if sb.oneWaiter {
			return nil, e.wait(ctx, func() bool { return false })
		}
		sb.oneWaiter = true
	}
	starts := sb.starts
	var exit *backend.Exit
	if e.has(BugWaitIgnoresContext) {
		ctx = context.WithoutCancel(ctx)
	}
	err = e.wait(ctx, func() bool {
		if sb.starts == starts && sb.exit != nil {
			exit = sb.exit
		}
		return exit != nil || sb.starts != starts || e.sandboxes[id] != sb
	})
	switch {
	case err != nil:
		return nil, err
	case exit == nil:
		return nil, fail(backend.NotFound, "wait", id, "was removed or started again before its end was seen")
	}
	return new(*exit), nil
}

// Attach implements backend.Driver.
func (d *Driver) Attach(ctx context.Context, id backend.ID, req *backend.AttachRequest) (backend.Process, error) {
	e, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	sb, err := e.sandbox("attach", id)
	if err != nil {
		return nil, err
	}
	a := newAttachment(e, sb, req.Streams)
	if req.Logs && !e.has(BugAttachNoReplay) {
		for _, entry := range sb.log {
			a.write(entry.Stream, entry.Data)
		}
	}
	switch {
	case sb.phase == backend.PhaseExited:
		a.finish(sb.exit)
	case e.has(BugAttachMisses) && sb.phase == backend.PhaseCreated:
		context.AfterFunc(ctx, func() { a.finish(&backend.Exit{}) })
		sb.late = append(sb.late, a)
	default:
		sb.attached = append(sb.attached, a)
	}
	if req.Stdin != nil && sb.req.Spec.Process.Stdin {
		go sb.stdin.feed(req.Stdin)
	}
	return a, nil
}

// Exec implements backend.Driver.
func (d *Driver) Exec(ctx context.Context, id backend.ID, req *backend.ExecRequest) (backend.Process, error) {
	e, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	sb, err := e.sandbox("exec", id)
	if err != nil {
		return nil, err
	}
	if err := e.missing("exec", id, "", backend.Exec); err != nil {
		return nil, err
	}
	if req.TTY {
		if err := e.missing("exec", id, "", backend.ExecTTY); err != nil {
			return nil, err
		}
	}
	if req.User != "" {
		if err := e.missing("exec", id, "", backend.ExecUser); err != nil {
			return nil, err
		}
	}
	if sb.phase != backend.PhaseRunning && !(e.has(BugExecPaused) && sb.phase == backend.PhasePaused) {
		kind := backend.Conflict
		if e.has(BugExecStoppedKind) {
			kind = backend.Internal
		}
		return nil, fail(kind, "exec", id, "does not run: start or resume it")
	}
	if e.has(BugExecPaused) && sb.phase == backend.PhasePaused {
		sb.resume()
	}
	p := &process{argv: slices.Clone(req.Argv), env: sb.environ(), cwd: sb.workdir(), user: sb.mainUser()}
	if e.has(BugExecArgsSplit) {
		p.argv = strings.Fields(strings.Join(p.argv, " "))
	}
	for _, name := range slices.Sorted(maps.Keys(req.Env)) {
		if !e.has(BugExecEnvIgnored) {
			p.env = slices.DeleteFunc(p.env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
			p.env = append(p.env, name+"="+req.Env[name])
		}
	}
	if req.Workdir != "" && !e.has(BugExecWorkdirIgnored) {
		p.cwd = req.Workdir
	}
	if req.User != "" && !e.has(BugExecUserIgnored) {
		var uid, gid int
		if _, err := fmt.Sscanf(req.User, "%d:%d", &uid, &gid); err != nil {
			_, _ = fmt.Sscanf(req.User, "%d", &uid)
		}
		p.user = sb.login(uid, gid, nil)
	}
	if req.TTY && !e.has(BugNoTTY) {
		p.tty = &probe.Terminal{TTY: true, Rows: 24, Cols: 80}
		if req.Rows > 0 && req.Cols > 0 && !e.has(BugTTYSizeIgnored) {
			p.tty.Rows, p.tty.Cols = int(req.Rows), int(req.Cols)
		}
	}
	a := newAttachment(e, sb, req.Streams)
	a.proc, sb.lastExec = p, a
	if code := sb.lookUp(p); code != 0 {
		switch {
		case e.has(BugMissingCommandCode):
			code = 1
		case e.has(BugMissingCommandError):
			return nil, fail(backend.Invalid, "exec", id, "%q cannot be run", req.Argv[0])
		}
		p.ended = true
		a.finish(&backend.Exit{Code: code})
		return a, nil
	}
	stdin := &pipe{engine: e, ended: req.Stdin == nil}
	if req.Stdin != nil {
		go stdin.feed(req.Stdin)
	}
	out, errs := &execOutput{a, backend.Stdout}, &execOutput{a, backend.Stderr}
	if e.has(BugExecStreamsSwapped) {
		out, errs = errs, out
	}
	sb.launch(p, stdin, out, errs, func() {
		stdin.ended = true
		exit := &backend.Exit{Code: p.code}
		if e.has(BugExecCodeLost) {
			exit.Code = 0
		}
		a.finish(exit)
	})
	if e.has(BugExecContextKills) {
		context.AfterFunc(ctx, func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			p.send("KILL", true)
		})
	}
	return a, nil
}

// execOutput is a standard stream of a further process.
type execOutput struct {
	a      *attachment
	stream backend.LogStream
}

// Write implements io.Writer.
func (o *execOutput) Write(p []byte) (int, error) {
	e := o.a.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	stream := o.stream
	if e.has(BugExecsMixed) {
		_ = e.step(context.Background())
		o.a.sb.lastExec.write(stream, p)
		return len(p), nil
	}
	if o.a.proc.tty != nil {
		stream = backend.Stdout
	}
	if e.has(BugExecOutputCut) {
		o.a.written += len(p)
		if o.a.written > 64<<10 {
			return len(p), nil
		}
	}
	o.a.write(stream, p)
	return len(p), nil
}

// Logs implements backend.Driver.
func (d *Driver) Logs(ctx context.Context, id backend.ID, opts *backend.LogOptions) iter.Seq2[backend.LogEntry, error] {
	return func(yield func(backend.LogEntry, error) bool) {
		if err := d.logs(ctx, id, opts, func(entry backend.LogEntry) bool { return yield(entry, nil) }); err != nil {
			yield(backend.LogEntry{}, err)
		}
	}
}

func (d *Driver) logs(ctx context.Context, id backend.ID, opts *backend.LogOptions, yield func(backend.LogEntry) bool) error {
	e, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer e.mu.Unlock()
	sb, err := e.sandbox("logs", id)
	if err != nil {
		return err
	}
	if err := e.missing("logs", id, "", backend.Logs); err != nil {
		return err
	}
	var o backend.LogOptions
	if opts != nil {
		o = *opts
	}
	if sb.starter != d && e.has(BugLogsOfStarterOnly) {
		return nil
	}
	if sb.phase == backend.PhaseCreated && e.has(BugLogsNeverStarted) {
		return fail(backend.Conflict, "logs", id, "was never started")
	}
	if e.has(BugFollowIgnoresContext) {
		ctx = context.WithoutCancel(ctx)
	}
	if e.has(BugSinceIgnored) {
		o.Since = time.Time{}
	}
	at := 0
	if !o.Since.IsZero() {
		at = len(sb.log)
		if i := slices.IndexFunc(sb.log, func(x backend.LogEntry) bool { return !x.Time.Before(o.Since) }); i >= 0 {
			at = i
		}
	}
	if o.Tail != 0 && !e.has(BugTailIgnored) {
		tail := max(o.Tail, 0)
		if e.has(BugTailOffByOne) {
			tail++
		}
		at = max(at, len(sb.log)-tail)
	}
	for {
		for at < len(sb.log) {
			entry := sb.log[at]
			at++
			e.mu.Unlock()
			more := yield(entry)
			e.mu.Lock()
			if !more {
				return nil
			}
		}
		switch {
		case !o.Follow || e.has(BugFollowIgnored):
			return nil
		case !sb.running() && sb.phase != backend.PhaseCreated && !e.has(BugFollowNeverEnds), e.sandboxes[id] != sb:
			return nil
		}
		n := len(sb.log)
		if err := e.wait(ctx, func() bool {
			return len(sb.log) > n || sb.phase == backend.PhaseExited && !e.has(BugFollowNeverEnds) || e.sandboxes[id] != sb
		}); err != nil {
			return err
		}
	}
}

// Pause implements backend.Pauser.
func (d *Driver) Pause(ctx context.Context, id backend.ID) error {
	return d.freeze(ctx, "pause", id, func(sb *sandbox) {
		if !sb.engine.has(BugPauseIgnored) {
			sb.phase = backend.PhasePaused
		}
	})
}

// Resume implements backend.Pauser.
func (d *Driver) Resume(ctx context.Context, id backend.ID) error {
	return d.freeze(ctx, "resume", id, (*sandbox).resume)
}

func (sb *sandbox) resume() {
	if sb.phase == backend.PhasePaused {
		sb.phase = backend.PhaseRunning
		sb.engine.changed.Broadcast()
	}
}

func (d *Driver) freeze(ctx context.Context, op string, id backend.ID, do func(*sandbox)) error {
	e, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer e.mu.Unlock()
	sb, err := e.sandbox(op, id)
	if err != nil {
		return err
	}
	if err := e.missing(op, id, "", backend.LifePause); err != nil {
		return err
	}
	if !sb.running() {
		if e.has(BugPauseStopped) {
			return nil
		}
		return fail(backend.Conflict, op, id, "does not run: start it")
	}
	do(sb)
	e.changed.Broadcast()
	return nil
}

// Stats implements backend.StatsReader.
func (d *Driver) Stats(ctx context.Context, id backend.ID) (*backend.Usage, error) {
	e, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	sb, err := e.sandbox("stats", id)
	if err != nil {
		return nil, err
	}
	if err := e.missing("stats", id, "", backend.Stats); err != nil {
		return nil, err
	}
	if !sb.running() {
		if e.has(BugStatsStopped) {
			return &backend.Usage{}, nil
		}
		return nil, fail(backend.Conflict, "stats", id, "does not run: start it")
	}
	u := &backend.Usage{
		Time: time.Now().UTC(), CPU: time.Since(sb.started), Memory: 1 << 20, MemoryLimit: uint64(sb.req.Spec.Resources.Memory),
		Pids: uint64(len(sb.processes)),
	}
	if e.has(BugStatsEmpty) {
		u.Memory, u.Pids = 0, 0
	}
	return u, nil
}

// CopyTo implements backend.Copier.
func (d *Driver) CopyTo(ctx context.Context, id backend.ID, dir string, archive io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(archive, maxArchive))
	if err != nil {
		return &backend.Error{Kind: backend.Invalid, Op: Name + ".copy", ID: id, Err: err}
	}
	e, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer e.mu.Unlock()
	sb, err := e.copying(id)
	if err != nil {
		return err
	}
	f, err := sb.view.existing(engineUser, "/", dir, true)
	if err != nil || f.st.Type != probe.TypeDir {
		if e.has(BugCopyMakesDir) {
			return nil
		}
		return fail(backend.NotFound, "copy", id, "there is no directory %s", dir)
	}
	if f.mount.ro && !e.has(BugCopyReadOnly) {
		return fail(backend.Conflict, "copy", id, "%s is read-only", dir)
	}
	for t := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return &backend.Error{Kind: backend.Invalid, Op: Name + ".copy", ID: id, Message: "no tar archive", Err: err}
		}
		content, err := io.ReadAll(t)
		if err != nil {
			return &backend.Error{Kind: backend.Invalid, Op: Name + ".copy", ID: id, Err: err}
		}
		name := path.Join(f.path, path.Clean("/"+h.Name))
		if e.has(BugCopyEscapes) {
			name = path.Join(f.path, h.Name) //nolint:gosec // that is the bug
		}
		sb.place(name, h, content)
	}
}

// engineUser is with whose rights the engine copies.
var engineUser = user{effective: []string{"DAC_OVERRIDE", "FOWNER", "CHOWN"}}

// copying finds the sandbox of a copy, with its files mounted.
func (e *Engine) copying(id backend.ID) (*sandbox, error) {
	sb, err := e.sandbox("copy", id)
	if err != nil {
		return nil, err
	}
	if err := e.missing("copy", id, "", backend.Copy); err != nil {
		return nil, err
	}
	if !sb.running() && e.has(BugCopyNeedsRunning) {
		return nil, fail(backend.Conflict, "copy", id, "does not run")
	}
	if len(sb.view.mounts) == 0 {
		sb.mount()
		sb.files()
	}
	return sb, nil
}

// place puts an entry of an archive at name. Links on the way are followed
// inside the sandbox only.
func (sb *sandbox) place(name string, h *tar.Header, content []byte) {
	e := sb.engine
	n := node{kind: probe.TypeFile, mode: uint32(h.Mode & 0o7777), target: h.Linkname}
	switch h.Typeflag {
	case tar.TypeDir:
		n.kind = probe.TypeDir
	case tar.TypeSymlink:
		n.kind = probe.TypeSymlink
	}
	f, err := sb.view.walk(engineUser, "/", name, false)
	if err != nil || f.mount.ro && !e.has(BugCopyReadOnly) {
		return
	}
	if f.exists && n.kind == probe.TypeDir {
		return
	}
	if f.exists {
		_ = f.mount.tree.remove(f.rel)
	}
	n.uid, n.gid = h.Uid, h.Gid
	if e.has(BugCopyOwnerLost) {
		n.uid, n.gid = 0, 0
	}
	if e.has(BugCopyModeLost) {
		n.mode = 0o644
	}
	if err := f.mount.tree.create(f.rel, n); err != nil {
		return
	}
	if n.kind == probe.TypeFile {
		_, _ = f.mount.tree.writeFile(f.rel, content, probe.Append)
	}
}

// CopyFrom implements backend.Copier.
func (d *Driver) CopyFrom(ctx context.Context, id backend.ID, p string) (io.ReadCloser, error) {
	e, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	sb, err := e.copying(id)
	if err != nil {
		return nil, err
	}
	f, err := sb.view.existing(engineUser, "/", p, e.has(BugCopyFollows))
	if err != nil {
		if e.has(BugCopyAbsentEmpty) {
			return io.NopCloser(bytes.NewReader(nil)), nil
		}
		return nil, fail(backend.NotFound, "copy", id, "there is no %s", p)
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	var add func(f found, name string)
	add = func(f found, name string) {
		h := &tar.Header{Name: name, Mode: int64(f.st.Mode), Uid: f.st.UID, Gid: f.st.GID, ModTime: f.st.MTime, Typeflag: tar.TypeReg}
		if e.has(BugCopyOwnerLost) {
			h.Uid, h.Gid = 0, 0
		}
		var data []byte
		switch f.st.Type {
		case probe.TypeDir:
			h.Typeflag = tar.TypeDir
			h.Name += "/"
		case probe.TypeSymlink:
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.st.Target
		case probe.TypeFile:
			data, _ = f.mount.tree.readFile(f.rel, int(f.st.Size))
			h.Size = int64(len(data))
		default:
			return
		}
		_ = w.WriteHeader(h) // a buffer takes everything
		_, _ = w.Write(data)
		if f.st.Type != probe.TypeDir {
			return
		}
		names, _ := f.mount.tree.readDir(f.rel)
		for _, child := range names {
			if c, err := sb.view.existing(engineUser, "/", path.Join(f.path, child), false); err == nil {
				add(c, path.Join(name, child))
			}
		}
	}
	add(f, path.Base(p))
	_ = w.Close()
	return io.NopCloser(bytes.NewReader(out.Bytes())), nil
}
