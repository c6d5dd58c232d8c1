// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/spec"
)

func execTests() []Test {
	exec := needs(backend.Exec)
	tty := needs(backend.Exec, backend.ExecTTY)
	return []Test{
		{ID: "exec.streams.separate", Clause: "exec.streams", Needs: exec, Fn: execStreams},
		{ID: "exec.output.large", Clause: "exec.output", Needs: exec, Fn: execLarge},
		{ID: "exec.exit-code.nonzero-is-not-error", Clause: "exec.code", Needs: exec, Fn: execCodes},
		{ID: "exec.command.missing", Clause: "exec.missing", Needs: exec, Fn: execMissing},
		{ID: "exec.command.not-executable", Clause: "exec.not-executable", Needs: exec, Fn: execNotExecutable},
		{ID: "exec.argv.exact", Clause: "exec.argv", Needs: exec, Fn: execArgv},
		{ID: "exec.stdin.round-trip", Clause: "exec.stdin", Needs: exec, Fn: execStdin},
		{ID: "exec.env.added", Clause: "exec.env", Needs: exec, Fn: execEnv},
		{ID: "exec.workdir.used", Clause: "exec.workdir", Needs: exec, Fn: execWorkdir},
		{ID: "exec.user.of-sandbox", Clause: "exec.user.default", Needs: needs(backend.Exec, backend.UserNumber), Fn: execUserDefault},
		{ID: "exec.user.as-asked", Clause: "exec.user", Needs: needs(backend.Exec, backend.ExecUser), Fn: execUser},
		{ID: "exec.tty.one-terminal", Clause: "exec.tty", Needs: tty, Fn: execTTY},
		{ID: "exec.tty.size", Clause: "exec.tty-size", Needs: tty, Fn: execTTYSize},
		{ID: "exec.tty.resize", Clause: "exec.tty-resize", Needs: tty, Fn: execTTYResize},
		{ID: "exec.sandbox.not-running", Clause: "exec.stopped", Needs: exec, Fn: execStopped},
		{ID: "exec.context.bounds-start-only", Clause: "exec.context", Needs: exec, Fn: execContext},
		{ID: "exec.client.may-go", Clause: "exec.close", Needs: exec, Fn: execClientGoes},
		{ID: "exec.parallel.apart", Clause: "exec.parallel", Needs: exec, Fn: execParallel},
		{ID: "stats.read.running", Clause: "stats.running", Needs: needs(backend.Stats), Fn: statsRunning},
		{ID: "stats.read.not-running", Clause: "stats.stopped", Needs: needs(backend.Stats), Fn: statsStopped},
	}
}

// pattern returns what the probe's out and err write.
func pattern(n int64) []byte {
	data, _ := io.ReadAll(probe.Pattern(n)) // memory takes everything
	return data
}

func (t *T) wantBytes(what string, got, want []byte) {
	if bytes.Equal(got, want) {
		return
	}
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	t.Errorf("%s: %d bytes, want %d; the first difference is at %d", what, len(got), len(want), i)
}

func execStreams(t *T) {
	sb := t.Start(t.NewSpec())
	out := sb.Execute(&backend.ExecRequest{Argv: line(cmd("out", "100"), cmd("err", "50"))})
	t.wantBytes("stdout", out.Stdout, pattern(100))
	t.wantBytes("stderr", out.Stderr, pattern(50))
}

func execLarge(t *T) {
	const size = 2 << 20
	sb := t.Start(t.NewSpec())
	out := sb.Execute(&backend.ExecRequest{Argv: line(cmd("out", "2Mi"), cmd("err", "2Mi"))})
	t.wantBytes("stdout", out.Stdout, pattern(size))
	t.wantBytes("stderr", out.Stderr, pattern(size))
}

func execCodes(t *T) {
	sb := t.Start(t.NewSpec())
	for _, want := range []int{0, 1, 42, 255} {
		out := sb.Execute(&backend.ExecRequest{Argv: line(cmd("exit", fmt.Sprint(want)))})
		wantEqual(t, "exit code", out.Exit.Code, want)
	}
}

func execMissing(t *T) {
	sb := t.Start(t.NewSpec())
	for _, name := range []string{"/no/such/program", "no-such-program"} {
		wantEqual(t, "exit code of "+name, sb.Execute(&backend.ExecRequest{Argv: []string{name}}).Exit.Code, 127)
	}
	sb.wantPhase(backend.PhaseRunning)
}

func execNotExecutable(t *T) {
	sb := t.Start(t.NewSpec(user("0:0")))
	t.wantOK(sb.Probe(cmd("write", "/plain", "not a program", "0644"), cmd("mkdir", "/dir"))...)
	for _, name := range []string{"/plain", "/dir"} {
		wantEqual(t, "exit code of "+name, sb.Execute(&backend.ExecRequest{Argv: []string{name}}).Exit.Code, 126)
	}
}

func execArgv(t *T) {
	want := []string{"", "two words", "$HOME", "`id`", "a\nb", "\"", "'", "\\", ";", "日本"}
	sb := t.Start(t.NewSpec())
	got := value[probe.Args](t, sb.Probe(cmd(append([]string{"args"}, want...)...))[0])
	wantEqual(t, "the arguments", got.Args, want)
}

// execStdin closes its side, and the process sees the end and answers after it.
func execStdin(t *T) {
	const size = 1 << 20
	sb := t.Start(t.NewSpec())
	out := sb.Execute(&backend.ExecRequest{Argv: line(cmd("cat")), Streams: backend.Streams{Stdin: probe.Pattern(size)}})
	t.wantBytes("what came back", out.Stdout, pattern(size))
	results := t.results(sb.Execute(&backend.ExecRequest{Argv: line(cmd("sha")), Streams: backend.Streams{Stdin: probe.Pattern(size)}}), 1)
	wantEqual(t, "what arrived", value[probe.Digest](t, results[0]), patternDigest(size))
}

func execEnv(t *T) {
	sb := t.Start(t.NewSpec(func(s *spec.Sandbox) { s.Process.Env = map[string]string{"KEPT": "spec", "CHANGED": "spec"} }))
	out := sb.Execute(&backend.ExecRequest{Argv: line(cmd("env", "KEPT", "CHANGED", "ADDED")), Env: map[string]string{"CHANGED": "exec", "ADDED": "a=b c"}})
	got := value[probe.Env](t, t.results(out, 1)[0])
	wantEqual(t, "the environment", slices.Sorted(slices.Values(got.Vars)), []string{"ADDED=a=b c", "CHANGED=exec", "KEPT=spec"})
	again := value[probe.Env](t, sb.Probe(cmd("env", "ADDED"))[0])
	wantEqual(t, "what the next process has of it", again.Missing, []string{"ADDED"})
}

func execWorkdir(t *T) {
	sb := t.Start(t.NewSpec(fromImage(t, ImageConfig)))
	cwd := func(req *backend.ExecRequest) string {
		req.Argv = line(cmd("id"))
		return value[probe.ID](t, t.results(sb.Execute(req), 1)[0]).Cwd
	}
	wantEqual(t, "the working directory as asked", cwd(&backend.ExecRequest{Workdir: "/srv"}), "/srv")
	wantEqual(t, "the working directory by default", cwd(&backend.ExecRequest{}), ConfigImage().Workdir)
}

func execUserDefault(t *T) {
	sb := t.Start(t.NewSpec(user("4321:8765")))
	id := value[probe.ID](t, sb.Probe(cmd("id"))[0])
	wantEqual(t, "uid:gid", fmt.Sprint(id.UID, ":", id.GID), fmt.Sprint(4321, ":", 8765))
}

func execUser(t *T) {
	sb := t.Start(t.NewSpec(user("0:0")))
	for as, want := range map[string]string{"4321:8765": "4321 8765", "0:0": "0 0", "600000000:600000001": "600000000 600000001"} {
		out := sb.Execute(&backend.ExecRequest{Argv: line(cmd("id")), User: as})
		id := value[probe.ID](t, t.results(out, 1)[0])
		wantEqual(t, "uid and gid as "+as, fmt.Sprint(id.UID, " ", id.GID), want)
	}
}

func execTTY(t *T) {
	sb := t.Start(t.NewSpec())
	out := sb.Execute(&backend.ExecRequest{Argv: line(cmd("tty")), TTY: true})
	tty := value[probe.Terminals](t, t.results(out, 1)[0])
	if !tty.Stdin.TTY || !tty.Stdout.TTY || !tty.Stderr.TTY {
		t.Errorf("not all of the streams are terminals: %s", show(tty))
	}
	out = sb.Execute(&backend.ExecRequest{Argv: line(cmd("err", "64")), TTY: true})
	t.wantBytes("what went to stderr, on the terminal", bytes.ReplaceAll(out.Stdout, []byte("\r\n"), []byte("\n")), pattern(64))
	wantEqual(t, "how much stderr got", len(out.Stderr), 0)
	plain := value[probe.Terminals](t, sb.Probe(cmd("tty"))[0])
	wantEqual(t, "terminals without asking", plain, probe.Terminals{})
}

// terminal starts echo on a terminal of that size, or of the engine's default.
func (s *Sandbox) terminal(cols, rows uint16) (*probe.Reader, backend.Process, *io.PipeWriter) {
	t := s.t
	out := &stream{}
	in, typed := io.Pipe()
	p, err := s.Driver.Exec(t.ctx, s.ID, &backend.ExecRequest{
		Argv: line(cmd("echo")), TTY: true, Cols: cols, Rows: rows, Streams: backend.Streams{Stdin: in, Stdout: out},
	})
	t.must(err, "exec with a terminal")
	t.Cleanup(func(context.Context) error { return errors.Join(typed.Close(), p.Close()) })
	stop := context.AfterFunc(t.ctx, func() { out.end(context.Cause(t.ctx)) })
	t.Cleanup(func(context.Context) error { stop(); return nil })
	return probe.NewReader(out), p, typed
}

// nextEcho reads one event of echo.
func (t *T) nextEcho(r *probe.Reader) probe.Echo {
	results, err := r.Next()
	t.must(err, "output of the probe")
	if len(results) != 1 {
		t.Fatalf("%d results, want 1", len(results))
	}
	return value[probe.Echo](t, results[0])
}

func execTTYSize(t *T) {
	sb := t.Start(t.NewSpec())
	r, _, typed := sb.terminal(111, 37)
	t.wantSize(r, t.nextEcho(r), 111, 37)
	_, err := io.WriteString(typed, "typed\n")
	t.must(err, "type")
	for {
		e := t.nextEcho(r)
		if e.Event == probe.EchoRead {
			wantEqual(t, "what was typed", string(e.Text), "typed")
			return
		}
	}
}

// wantSize waits for the size: some engines set it a moment after the start.
func (t *T) wantSize(r *probe.Reader, e probe.Echo, cols, rows int) {
	for e.Terminal.Cols != cols || e.Terminal.Rows != rows {
		if t.ctx.Err() != nil {
			t.Fatalf("the terminal is %s, want %d columns and %d rows", show(e.Terminal), cols, rows)
		}
		e = t.nextEcho(r)
	}
}

func execTTYResize(t *T) {
	sb := t.Start(t.NewSpec())
	r, p, _ := sb.terminal(0, 0)
	e := t.nextEcho(r)
	t.must(p.Resize(t.ctx, 99, 44), "resize")
	t.wantSize(r, e, 99, 44)
}

func execStopped(t *T) {
	sb := t.Create(t.NewSpec(runs(cmd("exit", "0"))))
	_, err := t.Driver().Exec(t.ctx, sb.ID, &backend.ExecRequest{Argv: line(cmd("id"))})
	t.wantKind("exec before the start", err, backend.Conflict)
	sb.Start()
	sb.Wait()
	_, err = t.Driver().Exec(t.ctx, sb.ID, &backend.ExecRequest{Argv: line(cmd("id"))})
	t.wantKind("exec after the end", err, backend.Conflict)
}

func execContext(t *T) {
	sb := t.Start(t.NewSpec())
	ctx, cancel := context.WithCancel(t.ctx)
	var out stream
	p, err := t.Driver().Exec(ctx, sb.ID, &backend.ExecRequest{Argv: line(cmd("sleep", t.Scale(300*time.Millisecond).String()), cmd("exit", "6")), Streams: backend.Streams{Stdout: &out}})
	t.must(err, "exec")
	defer p.Close()
	cancel()
	exit, err := p.Wait(t.ctx)
	t.must(err, "wait")
	wantEqual(t, "exit code of a process whose start's context has ended", exit.Code, 6)
	wantEqual(t, "whether it wrote its result", len(out.bytes()) > 0, true)
}

// execClientGoes closes process and driver; the process goes on.
func execClientGoes(t *T) {
	sb := t.Start(t.NewSpec(mounts(spec.Mount{Type: spec.MountTmpfs, Target: "/scratch"})))
	d, err := t.run.harness.Open(t.ctx)
	if err != nil {
		t.harnessf("open a driver: %v", err)
	}
	var out stream
	p, err := d.Exec(t.ctx, sb.ID, &backend.ExecRequest{
		Argv:    line(cmd("id"), cmd("sleep", t.Scale(time.Second).String()), cmd("write", "/scratch/done", "1")),
		Streams: backend.Streams{Stdout: &out},
	})
	if err != nil {
		t.Errorf("exec: %v", errors.Join(err, d.Close()))
		return
	}
	stop := context.AfterFunc(t.ctx, func() { out.end(context.Cause(t.ctx)) })
	defer stop()
	_, err = probe.NewReader(&out).Next()
	t.must(err, "the process has begun")
	t.must(errors.Join(p.Close(), d.Close()), "close process and driver")
	t.Eventually("the process goes on without its client", func() error { return sb.Probe(cmd("stat", "/scratch/done"))[0].Err() })
}

func execParallel(t *T) {
	sb := t.Start(t.NewSpec())
	const n = 8
	problems := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			var out stream
			p, err := t.Driver().Exec(t.ctx, sb.ID, &backend.ExecRequest{Argv: line(cmd("args", fmt.Sprint(i))), Streams: backend.Streams{Stdout: &out}})
			if err != nil {
				problems[i] = err.Error()
				return
			}
			defer p.Close()
			if _, err := p.Wait(t.ctx); err != nil {
				problems[i] = err.Error()
				return
			}
			results, err := probe.Decode(out.bytes())
			if err != nil || len(results) != 1 || !slices.Equal(results[0].Args, []string{fmt.Sprint(i)}) {
				problems[i] = fmt.Sprintf("process %d answered %q (%v)", i, out.bytes(), err)
			}
		})
	}
	wg.Wait()
	for _, p := range problems {
		if p != "" {
			t.Errorf("%s", p)
		}
	}
}

func (t *T) statsReader() backend.StatsReader {
	r, ok := backend.As[backend.StatsReader](t.Driver())
	if !ok {
		t.Fatalf("the driver is no backend.StatsReader")
	}
	return r
}

func statsRunning(t *T) {
	sb := t.Start(t.NewSpec(func(s *spec.Sandbox) {
		if t.Has(backend.ResMemory) {
			s.Resources.Memory = 128 * spec.MiB
		}
	}))
	t.Eventually("the sandbox's use", func() error {
		u, err := t.statsReader().Stats(t.ctx, sb.ID)
		t.must(err, "stats")
		if u.Memory == 0 || u.Pids == 0 || u.Time.IsZero() {
			return fmt.Errorf("nothing is used: %s", show(u))
		}
		if limit := uint64(sb.Request.Spec.Resources.Memory); u.MemoryLimit != limit {
			return fmt.Errorf("the memory limit is told as %d, want %d", u.MemoryLimit, limit)
		}
		return nil
	})
}

func statsStopped(t *T) {
	sb := t.Create(t.NewSpec())
	_, err := t.statsReader().Stats(t.ctx, sb.ID)
	t.wantKind("stats of a sandbox that does not run", err, backend.Conflict)
}
