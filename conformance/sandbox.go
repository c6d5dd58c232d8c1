// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/spec"
)

// Labels that every sandbox of a run has.
const (
	labelRun  = "conformance-run"
	labelTest = "conformance-test"
)

// probePath is the probe in every fixture image.
const probePath = "/probe"

// cmd is one command of the probe.
func cmd(words ...string) []string { return words }

// line is a whole command line of the probe.
func line(commands ...[]string) []string {
	return append([]string{probePath}, probe.Line(commands...)...)
}

// NewSpec returns the smallest spec, changed by each function in turn: the base
// image, the caller as user, and, where it is claimed, no network, which is the
// cheapest. It runs "hold", which stays until it is signalled.
func (t *T) NewSpec(change ...func(*spec.Sandbox)) *spec.Sandbox {
	s := &spec.Sandbox{
		Labels:  map[string]string{labelRun: t.run.id, labelTest: t.test.ID},
		Process: spec.Process{Command: line(cmd("hold"))},
	}
	s.Image.Ref, _ = t.image(ImageBase)
	if t.Has(backend.NetNone) {
		s.Network.Mode = spec.NetNone
	}
	for _, f := range change {
		f(s)
	}
	return s
}

// image returns a fixture image.
func (t *T) image(kind ImageKind) (string, *backend.Image) {
	ref, image, err := t.run.image(t.ctx, kind)
	if err != nil {
		t.harnessf("fixture image %s: %v", kind, err)
	}
	return ref, image
}

// Changes to specs that many tests make.

func runs(commands ...[]string) func(*spec.Sandbox) {
	return func(s *spec.Sandbox) { s.Process.Command, s.Process.Args = line(commands...), nil }
}

func user(as string) func(*spec.Sandbox) {
	return func(s *spec.Sandbox) { s.User.As = as }
}

func mounts(list ...spec.Mount) func(*spec.Sandbox) {
	return func(s *spec.Sandbox) { s.Mounts = append(s.Mounts, list...) }
}

func bind(source, target string, mode spec.MountMode) spec.Mount {
	return spec.Mount{Type: spec.MountBind, Source: source, Target: target, Mode: mode}
}

func network(mode spec.NetworkMode, name string) func(*spec.Sandbox) {
	return func(s *spec.Sandbox) { s.Network = spec.Network{Mode: mode, Name: name} }
}

// Request builds what package internal/sandbox would build from s, without init
// and support mounts. Each call has a new id.
func (t *T) Request(s *spec.Sandbox) *backend.CreateRequest {
	digest := spec.Digest(s)
	s = spec.Clone(s)
	spec.Default(s)
	if err := spec.Validate(s); err != nil {
		t.Fatalf("the test's own spec is not valid: %v", err)
	}
	t.run.mu.Lock()
	image := t.run.loaded[s.Image.Ref]
	t.run.mu.Unlock()
	if image == nil {
		// The test is about an image that is not there.
		image = &backend.Image{ID: "sha256:" + strings.Repeat("0", 64), Refs: []string{s.Image.Ref}}
	}
	req := &backend.CreateRequest{
		ID: t.run.newID(), Spec: s, Digest: digest, Image: image,
		Identity: t.identity(s, image), Argv: argv(s, image), Env: map[string]string{},
	}
	maps.Copy(req.Env, s.Process.Env)
	for i, m := range s.Mounts {
		if m.Mode == spec.ModeOverlay {
			if req.Overlays == nil {
				req.Overlays = map[int]backend.OverlayDirs{}
			}
			req.Overlays[i] = t.overlayDirs(m)
		}
	}
	t.fill(req)
	return req
}

// fill writes the record that belongs to a request.
func (t *T) fill(req *backend.CreateRequest) {
	req.Record = backend.Record{
		Version: 1, Berth: "conformance", Spec: spec.Redact(req.Spec), Digest: req.Digest,
		Identity: req.Identity, Owner: t.Host().UID,
	}
}

// as makes a request of the caller uid:gid, whoever runs the tests.
func (t *T) as(req *backend.CreateRequest, uid, gid uint32) {
	req.Identity.UID, req.Identity.GID, req.Identity.HostUID, req.Identity.HostGID = uid, gid, uid, gid
	if t.Info().CallerAsRoot {
		req.Identity.UID, req.Identity.GID = 0, 0
	}
	t.fill(req)
}

// argv composes the command as spec.Process says.
func argv(s *spec.Sandbox, image *backend.Image) []string {
	if len(s.Process.Command) > 0 {
		return slices.Concat(s.Process.Command, s.Process.Args)
	}
	if len(s.Process.Args) > 0 {
		return slices.Concat(image.Entrypoint, s.Process.Args)
	}
	return slices.Concat(image.Entrypoint, image.Cmd)
}

// Sandbox is a sandbox that a test made.
type Sandbox struct {
	ID      backend.ID
	Request *backend.CreateRequest
	// Created is what Create returned.
	Created *backend.Status
	// Driver is the instance that its methods use.
	Driver backend.Driver
	t      *T
}

// own notes an id, so that nothing of it is left after the test.
func (t *T) own(id backend.ID) {
	t.mu.Lock()
	t.ids = append(t.ids, id)
	t.mu.Unlock()
	t.Cleanup(func(ctx context.Context) error {
		return t.Driver().Remove(ctx, id, &backend.RemoveOptions{Force: true})
	})
}

func (t *T) owned() []backend.ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.ids)
}

// TryCreate creates a sandbox. It is removed after the test.
func (t *T) TryCreate(req *backend.CreateRequest) (*Sandbox, error) {
	t.own(req.ID)
	status, err := t.Driver().Create(t.ctx, req)
	if err != nil {
		return nil, err
	}
	if status == nil {
		return nil, errors.New("no error and no status")
	}
	return &Sandbox{ID: req.ID, Request: req, Created: status, Driver: t.Driver(), t: t}, nil
}

// Create creates a sandbox and ends the test when that fails.
func (t *T) Create(s *spec.Sandbox) *Sandbox { return t.CreateRequest(t.Request(s)) }

// CreateRequest is Create with a request that the test has changed.
func (t *T) CreateRequest(req *backend.CreateRequest) *Sandbox {
	sb, err := t.TryCreate(req)
	t.must(err, "create")
	return sb
}

// Start creates and starts a sandbox.
func (t *T) Start(s *spec.Sandbox) *Sandbox {
	sb := t.Create(s)
	sb.Start()
	return sb
}

// Start starts the sandbox and ends the test when that fails.
func (s *Sandbox) Start() { s.t.must(s.Driver.Start(s.t.ctx, s.ID), "start") }

// Stop stops it.
func (s *Sandbox) Stop(opts *backend.StopOptions) {
	s.t.must(s.Driver.Stop(s.t.ctx, s.ID, opts), "stop")
}

// Kill ends it at once.
func (s *Sandbox) Kill() { s.Stop(&backend.StopOptions{Grace: new(zeroGrace)}) }

// Remove removes it.
func (s *Sandbox) Remove() {
	s.t.must(s.Driver.Remove(s.t.ctx, s.ID, &backend.RemoveOptions{Force: true}), "remove")
}

// Inspect returns its status.
func (s *Sandbox) Inspect() *backend.Status {
	status, err := s.Driver.Inspect(s.t.ctx, s.ID)
	s.t.must(err, "inspect")
	if status == nil {
		s.t.Fatalf("inspect: no error and no status")
	}
	return status
}

// Wait returns how it ended.
func (s *Sandbox) Wait() backend.Exit {
	exit, err := s.Driver.Wait(s.t.ctx, s.ID)
	s.t.must(err, "wait")
	if exit == nil {
		s.t.Fatalf("wait: no error and no exit")
	}
	return *exit
}

// Output is what a process wrote and how it ended.
type Output struct {
	Stdout, Stderr []byte
	Exit           backend.Exit
}

// TryExecute runs a further process to its end. Unlike the methods that end the
// test it may be called from any goroutine.
func (s *Sandbox) TryExecute(req *backend.ExecRequest) (Output, error) {
	var out, errs stream
	r := *req
	if r.Stdout == nil {
		r.Stdout = &out
	}
	if r.Stderr == nil {
		r.Stderr = &errs
	}
	process, err := s.Driver.Exec(s.t.ctx, s.ID, &r)
	if err != nil {
		return Output{}, fmt.Errorf("exec %s: %w", clip(strings.Join(req.Argv, " ")), err)
	}
	defer process.Close()
	exit, err := process.Wait(s.t.ctx)
	if err != nil {
		return Output{}, fmt.Errorf("wait for exec %s: %w", clip(strings.Join(req.Argv, " ")), err)
	}
	return Output{Stdout: out.bytes(), Stderr: errs.bytes(), Exit: *exit}, nil
}

// Execute runs a further process to its end.
func (s *Sandbox) Execute(req *backend.ExecRequest) Output {
	out, err := s.TryExecute(req)
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	return out
}

// Probe runs commands of the probe in the running sandbox and returns their
// results, one for each.
func (s *Sandbox) Probe(commands ...[]string) []probe.Result {
	results, err := s.TryProbe(commands...)
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	return results
}

// TryProbe is Probe for any goroutine.
func (s *Sandbox) TryProbe(commands ...[]string) ([]probe.Result, error) {
	out, err := s.TryExecute(&backend.ExecRequest{Argv: line(commands...)})
	if err != nil {
		return nil, err
	}
	return out.results(len(commands))
}

// results decodes what the probe printed.
func (t *T) results(out Output, want int) []probe.Result {
	results, err := out.results(want)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return results
}

func (o Output) results(want int) ([]probe.Result, error) {
	if o.Exit.Code != 0 {
		return nil, fmt.Errorf("the probe ended with %d: %s", o.Exit.Code, clip(string(o.Stderr)))
	}
	results, err := probe.Decode(o.Stdout)
	if err != nil {
		return nil, fmt.Errorf("%w; stderr %q", err, clip(string(o.Stderr)))
	}
	if len(results) != want {
		return nil, fmt.Errorf("%d results of the probe, want %d: %s", len(results), want, clip(string(o.Stdout)))
	}
	return results, nil
}

// RunCommand creates a sandbox, attaches to it, and runs it to its end.
func (t *T) RunCommand(s *spec.Sandbox) Output { return t.runRequest(t.Request(s)) }

func (t *T) runRequest(req *backend.CreateRequest) Output {
	sb := t.CreateRequest(req)
	var out, errs stream
	process, err := sb.Driver.Attach(t.ctx, sb.ID, &backend.AttachRequest{Streams: backend.Streams{Stdout: &out, Stderr: &errs}})
	t.must(err, "attach")
	defer process.Close()
	sb.Start()
	exit, err := process.Wait(t.ctx)
	t.must(err, "wait for the attached process")
	return Output{Stdout: out.bytes(), Stderr: errs.bytes(), Exit: *exit}
}

// RunProbe runs commands of the probe as the main process of a sandbox and
// returns their results.
func (t *T) RunProbe(s *spec.Sandbox, commands ...[]string) []probe.Result {
	runs(commands...)(s)
	return t.results(t.RunCommand(s), len(commands))
}

// Live is a sandbox whose probe is being listened to.
type Live struct {
	*Sandbox
	Stdout, Stderr *stream
	Process        backend.Process
	reader         *probe.Reader
	queue          []probe.Result
}

// Spawn creates, attaches and starts a sandbox, and leaves it running.
func (t *T) Spawn(s *spec.Sandbox) *Live { return t.spawn(t.Create(s)) }

func (t *T) spawn(sb *Sandbox) *Live {
	l := &Live{Sandbox: sb, Stdout: &stream{}, Stderr: &stream{}}
	process, err := sb.Driver.Attach(t.ctx, sb.ID, &backend.AttachRequest{Streams: backend.Streams{Stdout: l.Stdout, Stderr: l.Stderr}})
	t.must(err, "attach")
	t.Cleanup(func(context.Context) error { return process.Close() })
	stop := context.AfterFunc(t.ctx, func() { l.Stdout.end(context.Cause(t.ctx)) })
	t.Cleanup(func(context.Context) error { stop(); return nil })
	l.Process, l.reader = process, probe.NewReader(l.Stdout)
	sb.Start()
	return l
}

// Next returns the next result that the probe prints.
func (l *Live) Next() probe.Result {
	if len(l.queue) == 0 {
		results, err := l.reader.Next()
		if err != nil {
			l.t.Fatalf("output of the probe: %v; stderr %q", err, clip(string(l.Stderr.bytes())))
		}
		l.queue = results
	}
	r := l.queue[0]
	l.queue = l.queue[1:]
	return r
}

// value returns the value of a result, and ends the test when the operation was
// refused.
func value[V any](t *T, r probe.Result) V {
	if err := r.Err(); err != nil {
		t.Fatalf("%v", err)
	}
	v, err := probe.Value[V](r)
	t.must(err, "value of "+r.Command)
	return v
}

// wantOK fails the test for each result whose operation was refused.
func (t *T) wantOK(results ...probe.Result) {
	for _, r := range results {
		if err := r.Err(); err != nil {
			t.Errorf("%v", err)
		}
	}
}

// wantErrno fails the test unless each operation was refused with one of the
// outcomes.
func (t *T) wantErrno(results []probe.Result, errnos ...probe.Errno) {
	for _, r := range results {
		if !slices.Contains(errnos, r.Errno) {
			t.Errorf("probe %s %q: %q, want one of %q", r.Command, r.Args, r.Errno, errnos)
		}
	}
}

// stream is an end of a process's output: it takes everything that is written,
// without ever blocking the writer, and can be read while that goes on.
type stream struct {
	mu     sync.Mutex
	more   sync.Cond
	data   bytes.Buffer
	offset int
	err    error
}

func (s *stream) wake() {
	if s.more.L == nil {
		s.more.L = &s.mu
	}
	s.more.Broadcast()
}

// Write implements io.Writer.
func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.data.Len()+len(p) > probe.MaxOutput {
		return 0, errors.New("more output than any test expects")
	}
	s.data.Write(p)
	s.wake()
	return len(p), nil
}

// Read blocks until there is something new or the stream has ended.
func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.offset == s.data.Len() {
		if s.err != nil {
			return 0, s.err
		}
		s.wake()
		s.more.Wait()
	}
	n := copy(p, s.data.Bytes()[s.offset:])
	s.offset += n
	return n, nil
}

// end makes a blocked and every later Read fail once all has been read.
func (s *stream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.wake()
}

// bytes returns everything written so far.
func (s *stream) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.data.Bytes())
}
