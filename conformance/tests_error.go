// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"time"

	"github.com/berthrun/berth/backend"
)

func errorTests() []Test {
	return []Test{
		{ID: "errors.not-found.every-verb", Clause: "errors.not-found", Fn: notFoundEverywhere},
		{ID: "errors.context.unwrapped", Clause: "errors.context", Fn: contextUnwrapped},
		{ID: "errors.context.prompt", Clause: "errors.prompt", Fn: contextPrompt},
		{ID: "errors.unavailable.no-engine", Clause: "errors.unavailable", Host: []Fact{FactFaults}, Fn: unavailable(FaultAbsent, backend.Unavailable)},
		{ID: "errors.unavailable.no-permission", Clause: "errors.forbidden", Host: []Fact{FactFaults}, Fn: unavailable(FaultForbidden, backend.Unavailable, backend.Denied)},
	}
}

// verbs calls every verb that takes an id, and Create and Plan with req.
func verbs(ctx context.Context, d backend.Driver, id backend.ID) map[string]error {
	errs := map[string]error{}
	errs["start"] = d.Start(ctx, id)
	errs["stop"] = d.Stop(ctx, id, nil)
	_, errs["inspect"] = d.Inspect(ctx, id)
	_, errs["wait"] = d.Wait(ctx, id)
	_, errs["attach"] = d.Attach(ctx, id, &backend.AttachRequest{})
	_, errs["exec"] = d.Exec(ctx, id, &backend.ExecRequest{Argv: line(cmd("id"))})
	for _, err := range d.Logs(ctx, id, nil) {
		errs["logs"] = errors.Join(errs["logs"], err)
	}
	if p, ok := backend.As[backend.Pauser](d); ok {
		errs["pause"] = p.Pause(ctx, id)
		errs["resume"] = p.Resume(ctx, id)
	}
	if s, ok := backend.As[backend.Signaller](d); ok {
		errs["signal"] = s.Signal(ctx, id, "SIGTERM")
	}
	if c, ok := backend.As[backend.Copier](d); ok {
		_, errs["copy from"] = c.CopyFrom(ctx, id, "/probe")
	}
	if r, ok := backend.As[backend.StatsReader](d); ok {
		_, errs["stats"] = r.Stats(ctx, id)
	}
	return errs
}

func notFoundEverywhere(t *T) {
	for verb, err := range verbs(t.ctx, t.Driver(), t.run.newID()) {
		if _, ok := t.logsMissing(verb); ok {
			continue
		}
		t.wantKind(verb+" of an absent sandbox", err, backend.NotFound)
	}
}

// logsMissing reports whether a verb is refused before the sandbox is looked
// for.
func (t *T) logsMissing(verb string) (backend.Capability, bool) {
	c := map[string]backend.Capability{
		"exec": backend.Exec, "logs": backend.Logs, "pause": backend.LifePause, "resume": backend.LifePause,
		"copy from": backend.Copy, "stats": backend.Stats,
	}[verb]
	return c, c != "" && !t.Has(c)
}

func contextUnwrapped(t *T) {
	sb := t.Start(t.NewSpec())
	ctx, cancel := context.WithCancel(t.ctx)
	cancel()
	d := t.Open()
	for verb, err := range verbs(ctx, d, sb.ID) {
		if _, ok := t.logsMissing(verb); ok {
			continue
		}
		t.wantContext(verb+" with a context that had ended", err, context.Canceled)
	}
	_, err := d.Probe(ctx, false)
	t.wantContext("probe with a context that had ended", err, context.Canceled)
	_, err = d.Create(ctx, t.Request(t.NewSpec()))
	t.wantContext("create with a context that had ended", err, context.Canceled)
	t.wantContext("remove with a context that had ended", d.Remove(ctx, sb.ID, nil), context.Canceled)
	var listed error
	for _, err := range d.List(ctx, nil) {
		listed = errors.Join(listed, err)
	}
	t.wantContext("list with a context that had ended", listed, context.Canceled)
	sb.wantPhase(backend.PhaseRunning)
}

// contextPrompt has a call wait for something that does not come.
func contextPrompt(t *T) {
	sb := t.Spawn(t.NewSpec(runs(cmd("ignore", "TERM")), grace30))
	t.wantOK(sb.Next())
	ctx, cancel := context.WithTimeout(t.ctx, t.Scale(300*time.Millisecond))
	defer cancel()
	start := time.Now()
	err := t.Driver().Stop(ctx, sb.ID, nil)
	t.wantContext("a stop that ran out of time", err, context.DeadlineExceeded)
	if took := time.Since(start); took > t.Scale(10*time.Second) {
		t.Errorf("it took %v to give up", took)
	}
}

func unavailable(fault Fault, kinds ...backend.Kind) func(*T) {
	return func(t *T) {
		d, err := t.run.harness.(Faulter).OpenBroken(t.ctx, fault)
		if err != nil {
			t.harnessf("open a driver on a broken address: %v", err)
		}
		t.Cleanup(func(context.Context) error { return d.Close() })
		_, err = d.Probe(t.ctx, false)
		t.wantKind("probe", err, kinds...)
		for verb, err := range verbs(t.ctx, d, t.run.newID()) {
			t.wantKind(verb, err, kinds...)
		}
		_, err = d.Create(t.ctx, t.Request(t.NewSpec()))
		t.wantKind("create", err, kinds...)
		n := 0
		for _, err := range d.List(t.ctx, nil) {
			n++
			t.wantKind("list", err, kinds...)
		}
		wantEqual(t, "errors of list", n, 1)
	}
}
