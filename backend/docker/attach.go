// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/versions"
)

// Attach connects to the main process. A wait for its end is registered before,
// so that a process that ends at once is not missed.
func (d *driver) Attach(ctx context.Context, id backend.ID, req *backend.AttachRequest) (backend.Process, error) {
	c, err := d.find(ctx, "attach", id)
	if err != nil {
		return nil, err
	}
	// The engine answers "next-exit" for a sandbox that is still to be started;
	// for a running one it could have ended before the request arrives.
	condition := container.WaitConditionNextExit
	if c.State.Running {
		condition = container.WaitConditionNotRunning
	}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	ended, failed := d.cli.ContainerWait(background, c.ID, condition)
	query := url.Values{"stream": {"1"}, "stdout": {"1"}, "stderr": {"1"}}
	if req.Stdin != nil {
		query.Set("stdin", "1")
	}
	connect := func(ctx context.Context) (*stream, error) {
		return d.hijack(ctx, "/containers/"+c.ID+"/attach", query, nil)
	}
	if req.Logs {
		query.Set("logs", "1")
	}
	conn, err := connect(ctx)
	if !stop() && err == nil {
		conn.Close()
		err = ctx.Err()
	}
	if err != nil {
		cancel()
		return nil, d.fail(ctx, "attach", id, err)
	}
	query.Del("logs") // once is enough
	p := &process{conn: conn, cancel: cancel, again: connect}
	p.wait = func(ctx context.Context) (*backend.Exit, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.exit == nil {
			var err error
			if p.exit, err = d.exit(ctx, id, c.ID, ended, failed); err != nil {
				p.exit = nil
				return nil, err
			}
		}
		return p.exit, nil
	}
	p.resize = func(ctx context.Context, cols, rows uint16) error {
		return d.fail(ctx, "resize", id, d.cli.ContainerResize(ctx, c.ID, container.ResizeOptions{Width: uint(cols), Height: uint(rows)}))
	}
	p.run(req.Streams, c.Config.Tty)
	if c.State.Running {
		p.hold()
		p.release(true)
	} else {
		d.watch(id, p)
	}
	return p, nil
}

// watch lets Start find the process, until it has ended.
func (d *driver) watch(id backend.ID, p *process) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.attached[id] = append(d.attached[id], p)
	go func() {
		<-p.copied
		d.mu.Lock()
		defer d.mu.Unlock()
		if rest := slices.DeleteFunc(d.attached[id], func(o *process) bool { return o == p }); len(rest) > 0 {
			d.attached[id] = rest
		} else {
			delete(d.attached, id)
		}
	}()
}

// watched are the processes that wait for a start of the sandbox.
func (d *driver) watched(id backend.ID) []*process {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.attached[id])
}

// Exec runs a further process in two requests: docker makes it first and starts
// it with the connection of its streams.
func (d *driver) Exec(ctx context.Context, id backend.ID, req *backend.ExecRequest) (backend.Process, error) {
	if len(req.Argv) == 0 {
		return nil, newError(backend.Invalid, "exec", id, "", "no command")
	}
	native, err := d.native(ctx, "exec", id)
	if err != nil {
		return nil, err
	}
	opts := container.ExecOptions{
		User: req.User, Tty: req.TTY, Cmd: req.Argv, WorkingDir: req.Workdir,
		AttachStdin: req.Stdin != nil, AttachStdout: true, AttachStderr: true,
	}
	for _, k := range slices.Sorted(maps.Keys(req.Env)) {
		opts.Env = append(opts.Env, k+"="+req.Env[k])
	}
	start := container.ExecStartOptions{Tty: req.TTY}
	var later bool
	if req.TTY && req.Cols > 0 && req.Rows > 0 {
		if err := d.negotiate(ctx); err != nil {
			return nil, d.fail(ctx, "exec", id, err)
		}
		if later = versions.LessThan(d.cli.ClientVersion(), apiExecSize); !later {
			opts.ConsoleSize = &[2]uint{uint(req.Rows), uint(req.Cols)}
			start.ConsoleSize = opts.ConsoleSize
		}
	}
	made, err := d.cli.ContainerExecCreate(ctx, native, opts)
	if err != nil {
		return nil, d.execError(ctx, id, err)
	}
	conn, err := d.hijack(ctx, "/exec/"+made.ID+"/start", nil, start)
	if err != nil {
		var status *statusError
		if asStatus(err, &status) && strings.Contains(status.message, notStarted) {
			// Newer engines refuse before they hand the connection over.
			d.cfg.Log.Debug("exec not started", "sandbox", id, "reason", status.message)
			return ended(startExit(status.message)), nil
		}
		return nil, d.execError(ctx, id, err)
	}
	p := &process{conn: conn}
	var held *holder
	streams := req.Streams
	held = &holder{w: streams.Stdout}
	streams.Stdout = held
	head := &header{w: streams.Stderr}
	streams.Stderr = head
	if req.TTY {
		head.w, held.w = held.w, head
	}
	p.run(streams, req.TTY)
	p.hold()
	p.release(true) // an exec is started already
	p.wait = func(ctx context.Context) (*backend.Exit, error) {
		select {
		case <-p.copied:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.exit == nil {
			var err error
			if p.exit, err = d.execExit(ctx, id, made.ID, req.Argv[0], held, head); err != nil {
				return nil, err
			}
		}
		return p.exit, nil
	}
	p.resize = func(ctx context.Context, cols, rows uint16) error {
		return d.fail(ctx, "resize", id, d.cli.ContainerExecResize(ctx, made.ID, container.ResizeOptions{Width: uint(cols), Height: uint(rows)}))
	}
	if later {
		// The context bounds the start, and the size belongs to it.
		go p.firstSize(context.WithoutCancel(ctx), req.Cols, req.Rows)
	}
	return p, nil
}

// firstSize sets the terminal's size on an engine that takes none at the start.
// It refuses until the process runs, which it does not tell.
func (p *process) firstSize(ctx context.Context, cols, rows uint16) {
	ctx, cancel := context.WithTimeout(ctx, cleanupTimeout)
	defer cancel()
	for pause := time.Millisecond; p.resize(ctx, cols, rows) != nil; pause = min(pause*2, 100*time.Millisecond) {
		select {
		case <-time.After(pause):
		case <-p.copied:
			return
		case <-ctx.Done():
			return
		}
	}
}

// execError tells a sandbox that is gone from one that does not run.
func (d *driver) execError(ctx context.Context, id backend.ID, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch kindOf(err) {
	case backend.NotFound, backend.Conflict, backend.Internal:
		c, ferr := d.find(ctx, "exec", id)
		switch {
		case ferr != nil:
			return ferr
		case c.State.Paused:
			return &backend.Error{Kind: backend.Conflict, Op: "docker.exec", ID: id, Message: "the sandbox is paused: resume it", Err: err}
		case !c.State.Running:
			return &backend.Error{Kind: backend.Conflict, Op: "docker.exec", ID: id, Message: "the sandbox is not running: start it", Err: err}
		}
	}
	return d.fail(ctx, "exec", id, err)
}

// execExit asks how an exec ended whose output has ended. The engine may notice
// the end of the process a moment after that of its output.
func (d *driver) execExit(ctx context.Context, id backend.ID, exec, command string, held *holder, head *header) (*backend.Exit, error) {
	pause := time.Millisecond
	for {
		in, err := d.cli.ContainerExecInspect(ctx, exec)
		if err != nil {
			held.release()
			return nil, d.execError(ctx, id, err)
		}
		if !in.Running {
			code := in.ExitCode
			if text := held.text(); text != "" && in.Pid == 0 {
				d.cfg.Log.Debug("exec not started", "sandbox", id, "reason", text)
				code = startExit(text)
			} else {
				held.release()
				code = execFailed(code, command, head.text())
			}
			return &backend.Exit{Code: code}, nil
		}
		select {
		case <-time.After(pause):
			pause = min(pause*2, 100*time.Millisecond)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// ended is a process that ended before it began.
func ended(code int) backend.Process { return endedProcess(code) }

type endedProcess int

func (p endedProcess) Wait(context.Context) (*backend.Exit, error) {
	return &backend.Exit{Code: int(p)}, nil
}
func (endedProcess) Resize(context.Context, uint16, uint16) error { return nil }
func (endedProcess) Close() error                                 { return nil }

// holder passes output on, except that it keeps back what may be the engine's
// word that the command could not be started, until more follows, a moment has
// passed or the end has told.
type holder struct {
	mu    sync.Mutex
	w     io.Writer
	begun bool
	held  []byte
	timer *time.Timer
	err   error
}

// holdLimit bounds the text kept back, holdTime how long.
const (
	holdLimit = 16 << 10
	holdTime  = 2 * time.Second
)

func (h *holder) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.begun {
		h.begun = true
		if len(p) < holdLimit && bytes.HasPrefix(p, []byte(notStarted)) {
			h.held = bytes.Clone(p)
			h.timer = time.AfterFunc(holdTime, h.release)
			return len(p), nil
		}
	}
	h.flush()
	h.write(p)
	return len(p), h.err
}

func (h *holder) write(p []byte) {
	if h.w != nil && h.err == nil && len(p) > 0 {
		_, h.err = h.w.Write(p)
	}
}

func (h *holder) flush() {
	if h.timer != nil {
		h.timer.Stop()
	}
	h.write(h.held)
	h.held = nil
}

// release writes what is held.
func (h *holder) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.flush()
}

// text returns what is held, and drops it.
func (h *holder) text() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.timer != nil {
		h.timer.Stop()
	}
	text := strings.TrimSpace(string(h.held))
	return text
}

// header passes output on and remembers its beginning.
type header struct {
	w     io.Writer
	mu    sync.Mutex
	first []byte
	more  bool
}

const headerLimit = 4096 + 100 // the longest path and what runc says of it

func (h *header) Write(p []byte) (int, error) {
	h.mu.Lock()
	keep := min(len(p), headerLimit-len(h.first))
	h.first = append(h.first, p[:keep]...)
	h.more = h.more || keep < len(p)
	h.mu.Unlock()
	if h.w == nil {
		return len(p), nil
	}
	return h.w.Write(p)
}

// text is all of the output, when it is short.
func (h *header) text() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.more {
		return ""
	}
	return string(h.first)
}

// runcFailed is all that an exec says whose file the kernel refused: runc is
// the process then, and ends with 1 or 255.
var runcFailed = regexp.MustCompile(`^exec (\S+): ([a-z ]+)\r?\n$`)

// execFailed corrects the exit code of a command that the kernel could not
// execute, such as a file in an unknown format.
func execFailed(code int, command, stderr string) int {
	m := runcFailed.FindStringSubmatch(stderr)
	if m == nil || code != 1 && code != 255 || path.Base(m[1]) != path.Base(command) {
		return code
	}
	if m[2] == "no such file or directory" {
		return 127
	}
	return 126
}

func asStatus(err error, target **statusError) bool {
	s, ok := err.(*statusError) //nolint:errorlint // made here, never wrapped
	if ok {
		*target = s
	}
	return ok
}
