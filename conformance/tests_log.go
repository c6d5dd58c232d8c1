// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/spec"
)

func logTests() []Test {
	logs := needs(backend.Logs)
	split := needs(backend.Logs, backend.LogsSplit)
	return []Test{
		{ID: "logs.streams.tagged", Clause: "logs.streams", Needs: split, Fn: logsTagged},
		{ID: "logs.order.kept", Clause: "logs.order", Needs: logs, Fn: logsOrder},
		{ID: "logs.output.large", Clause: "logs.all", Needs: logs, Fn: logsLarge},
		{ID: "logs.output.no-newline", Clause: "logs.all", Needs: logs, Fn: logsNoNewline},
		{ID: "logs.output.hostile-bytes", Clause: "logs.bytes", Needs: logs, Fn: logsHostile},
		{ID: "logs.stderr.tail-kept", Clause: "logs.all", Needs: split, Fn: logsErrTail},
		{ID: "logs.tail.last-entries", Clause: "logs.tail", Needs: logs, Fn: logsTail},
		{ID: "logs.since.later-entries", Clause: "logs.since", Needs: logs, Fn: logsSince},
		{ID: "logs.follow.until-exit", Clause: "logs.follow", Needs: logs, Fn: logsFollow},
		{ID: "logs.follow.context-ends", Clause: "logs.context", Needs: logs, Fn: logsContext},
		{ID: "logs.second-driver.same", Clause: "logs.stateless", Needs: logs, Fn: logsSecond},
		{ID: "logs.sandbox.never-started", Clause: "logs.empty", Needs: logs, Fn: logsEmpty},
		{ID: "attach.before-start.misses-nothing", Clause: "attach.before", Fn: attachBefore},
		{ID: "attach.client.several", Clause: "attach.several", Fn: attachSeveral},
		{ID: "attach.logs.replayed", Clause: "attach.replay", Needs: logs, Fn: attachReplay},
		{ID: "attach.client.may-go", Clause: "attach.close", Fn: attachGoes},
	}
}

// entries reads a log.
func (t *T) entries(d backend.Driver, id backend.ID, opts *backend.LogOptions) []backend.LogEntry {
	var list []backend.LogEntry
	for e, err := range d.Logs(t.ctx, id, opts) {
		t.must(err, "logs")
		e.Data = bytes.Clone(e.Data)
		list = append(list, e)
	}
	return list
}

// joined puts the pieces of each stream together.
func joined(list []backend.LogEntry) (out, errs []byte) {
	for _, e := range list {
		if e.Stream == backend.Stderr {
			errs = append(errs, e.Data...)
		} else {
			out = append(out, e.Data...)
		}
	}
	return out, errs
}

// logText reads a log of a sandbox that has ended. Engines may write the last of
// it a moment after they told of the end.
func (t *T) logText(id backend.ID, opts *backend.LogOptions) (out, errs []byte) {
	return joined(t.entries(t.Driver(), id, opts))
}

// logged runs a sandbox to its end.
func (t *T) logged(commands ...[]string) *Sandbox {
	sb := t.Start(t.NewSpec(runs(commands...)))
	sb.Wait()
	return sb
}

func logsTagged(t *T) {
	out, errs := t.logText(t.logged(cmd("out", "320"), cmd("err", "160")).ID, nil)
	t.wantBytes("stdout in the log", out, pattern(320))
	t.wantBytes("stderr in the log", errs, pattern(160))
}

// logsOrder looks at each stream alone: a process writes to both at once, and
// nothing in the kernel keeps an order between two pipes.
func logsOrder(t *T) {
	list := t.entries(t.Driver(), t.logged(cmd("lines", "100")).ID, nil)
	last := map[backend.LogStream]time.Time{}
	var want [2]strings.Builder
	for i := range 100 {
		fmt.Fprintf(&want[0], "out %d\n", i)
		fmt.Fprintf(&want[1], "err %d\n", i)
	}
	for _, e := range list {
		if e.Time.Before(last[e.Stream]) {
			t.Errorf("an entry of %s at %v comes after one at %v", e.Stream, e.Time, last[e.Stream])
		}
		last[e.Stream] = e.Time
		if age := time.Since(e.Time); age < -time.Hour || age > time.Hour {
			t.Errorf("an entry is %v old", age)
		}
	}
	out, errs := joined(list)
	if t.Has(backend.LogsSplit) {
		t.wantBytes("stdout in the log", out, []byte(want[0].String()))
		t.wantBytes("stderr in the log", errs, []byte(want[1].String()))
	}
}

func logsLarge(t *T) {
	const size = 1 << 20
	out, _ := t.logText(t.logged(cmd("out", "1Mi")).ID, nil)
	t.wantBytes("the log", out, pattern(size))
}

func logsNoNewline(t *T) {
	out, _ := t.logText(t.logged(cmd("out", "45")).ID, nil)
	t.wantBytes("the log", out, pattern(45))
}

func logsErrTail(t *T) {
	_, errs := t.logText(t.logged(cmd("out", "64Ki"), cmd("err", "100")).ID, nil)
	t.wantBytes("stderr in the log", errs, pattern(100))
}

// logsHostile allows what a text format does to bytes that are not UTF-8, and
// nothing else: line breaks, quotes and escapes arrive as they are.
func logsHostile(t *T) {
	out, _ := t.logText(t.logged(cmd("term")).ID, nil)
	var want strings.Builder
	for _, r := range probe.HostileText { // as encoding/json would
		want.WriteRune(r)
	}
	if got := string(out); got != probe.HostileText && got != want.String() {
		t.Errorf("the log is %q, want %q", got, probe.HostileText)
	}
}

func logsTail(t *T) {
	sb := t.logged(cmd("out", "320"))
	for n, want := range map[int][]byte{1: pattern(320)[288:], 3: pattern(320)[224:], 100: pattern(320), 0: pattern(320), -1: nil} {
		out, _ := t.logText(sb.ID, &backend.LogOptions{Tail: n})
		t.wantBytes(fmt.Sprintf("tail %d", n), out, want)
	}
}

func logsSince(t *T) {
	sb := t.logged(cmd("lines", "4", t.Scale(30*time.Millisecond).String()))
	all := t.entries(t.Driver(), sb.ID, nil)
	if len(all) != 8 {
		t.Fatalf("%d entries, want 8", len(all))
	}
	middle := all[4].Time
	for _, e := range t.entries(t.Driver(), sb.ID, &backend.LogOptions{Since: middle}) {
		// Engines keep time in coarser steps.
		if e.Time.Before(middle.Add(-time.Second)) {
			t.Errorf("an entry of %v is not since %v", e.Time, middle)
		}
	}
	future := t.entries(t.Driver(), sb.ID, &backend.LogOptions{Since: time.Now().Add(time.Hour)})
	wantEqual(t, "entries since a moment to come", len(future), 0)
	past := t.entries(t.Driver(), sb.ID, &backend.LogOptions{Since: all[0].Time.Add(-time.Hour)})
	wantEqual(t, "entries since an hour before the first", len(past), 8)
}

// logsFollow follows from before the end, and the log ends by itself.
func logsFollow(t *T) {
	sb := t.trappingRaw()
	var mu sync.Mutex
	var got []byte
	done := make(chan error, 1)
	go func() {
		for e, err := range t.Driver().Logs(t.ctx, sb.ID, &backend.LogOptions{Follow: true}) {
			if err != nil {
				done <- err
				return
			}
			mu.Lock()
			got = append(got, e.Data...)
			mu.Unlock()
		}
		done <- nil
	}()
	t.Eventually("what was written before", func() error {
		mu.Lock()
		defer mu.Unlock()
		if len(got) == 0 {
			return errors.New("nothing")
		}
		return nil
	})
	sb.Stop(nil)
	select {
	case err := <-done:
		t.must(err, "follow")
	case <-t.ctx.Done():
		t.Fatalf("the log goes on after the process has ended")
	}
	results, err := probe.Decode(got)
	t.must(err, "what was followed")
	if len(results) != 2 || !value[probe.Signal](t, results[1]).Received {
		t.Errorf("what was followed is %s, want the trap and its signal", show(results))
	}
}

// trappingRaw is trapping without an attached client.
func (t *T) trappingRaw() *Sandbox {
	return t.Start(t.NewSpec(runs(cmd("trap", "TERM", "7")), grace30))
}

func logsContext(t *T) {
	sb := t.trappingRaw()
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	var last error
	for _, err := range t.Driver().Logs(ctx, sb.ID, &backend.LogOptions{Follow: true}) {
		last = err
		if err != nil {
			break
		}
		cancel()
	}
	if last != nil {
		t.wantContext("a log that was given up", last, context.Canceled)
	}
	sb.wantPhase(backend.PhaseRunning)
}

func logsSecond(t *T) {
	sb := t.logged(cmd("out", "640"))
	out, _ := joined(t.entries(t.Open(), sb.ID, nil))
	t.wantBytes("the log, by another driver", out, pattern(640))
}

func logsEmpty(t *T) {
	sb := t.Create(t.NewSpec())
	wantEqual(t, "entries before the start", len(t.entries(t.Driver(), sb.ID, nil)), 0)
}

func attachBefore(t *T) {
	out := t.RunCommand(t.NewSpec(runs(cmd("out", "256Ki"), cmd("err", "4Ki"), cmd("exit", "5"))))
	t.wantBytes("stdout", out.Stdout, pattern(256<<10))
	t.wantBytes("stderr", out.Stderr, pattern(4<<10))
	wantEqual(t, "exit code", out.Exit.Code, 5)
}

func attachSeveral(t *T) {
	sb := t.Create(t.NewSpec(runs(cmd("out", "8Ki"), cmd("err", "64"))))
	type client struct {
		out, errs stream
		process   backend.Process
	}
	clients := []*client{{}, {}}
	for _, c := range clients {
		p, err := t.Driver().Attach(t.ctx, sb.ID, &backend.AttachRequest{Streams: backend.Streams{Stdout: &c.out, Stderr: &c.errs}})
		t.must(err, "attach")
		c.process = p
		defer p.Close()
	}
	sb.Start()
	for _, c := range clients {
		_, err := c.process.Wait(t.ctx)
		t.must(err, "wait")
		t.wantBytes("stdout", c.out.bytes(), pattern(8<<10))
		t.wantBytes("stderr", c.errs.bytes(), pattern(64))
	}
}

func attachReplay(t *T) {
	sb := t.trappingRaw()
	t.Eventually("output", func() error {
		if len(t.entries(t.Driver(), sb.ID, nil)) == 0 {
			return errors.New("nothing")
		}
		return nil
	})
	var out stream
	p, err := t.Open().Attach(t.ctx, sb.ID, &backend.AttachRequest{Logs: true, Streams: backend.Streams{Stdout: &out}})
	t.must(err, "attach")
	defer p.Close()
	sb.Stop(nil)
	exit, err := p.Wait(t.ctx)
	t.must(err, "wait")
	wantEqual(t, "exit code", exit.Code, 7)
	results, err := probe.Decode(out.bytes())
	t.must(err, "what was attached to")
	if len(results) != 2 {
		t.Errorf("%d results, want the one before and the one after: %s", len(results), show(results))
	}
}

func attachGoes(t *T) {
	sb := t.Create(t.NewSpec(runs(cmd("trap", "TERM", "7"), cmd("lines", "100000", "5ms")), func(s *spec.Sandbox) { grace30(s) }))
	d, err := t.run.harness.Open(t.ctx)
	if err != nil {
		t.harnessf("open a driver: %v", err)
	}
	var out stream
	p, err := d.Attach(t.ctx, sb.ID, &backend.AttachRequest{Streams: backend.Streams{Stdout: &out}})
	if err != nil {
		t.Errorf("attach: %v", errors.Join(err, d.Close()))
		return
	}
	sb.Start()
	t.Eventually("output", func() error {
		if len(out.bytes()) < 100 {
			return errors.New("nothing")
		}
		return nil
	})
	t.must(errors.Join(p.Close(), d.Close()), "close process and driver")
	sb.wantPhase(backend.PhaseRunning)
	sb.Stop(nil)
	wantEqual(t, "exit code", sb.Wait().Code, 7)
	if !t.Has(backend.Logs) {
		return
	}
	list := t.entries(t.Driver(), sb.ID, nil)
	if !slices.ContainsFunc(list, func(e backend.LogEntry) bool { return bytes.Contains(e.Data, []byte(`"received":true`)) }) {
		t.Errorf("what was written after the client had gone is not in the log")
	}
}
