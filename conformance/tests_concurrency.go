// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
)

func concurrencyTests() []Test {
	return []Test{
		{ID: "concurrency.create.many", Clause: "concurrency.create", Fn: createMany},
		{ID: "concurrency.create.same-id", Clause: "concurrency.same-id", Fn: createSameID},
		{ID: "concurrency.create.same-name", Clause: "concurrency.same-name", Fn: createSameName},
		{ID: "concurrency.start.races-stop", Clause: "concurrency.start-stop", Fn: startRacesStop},
		{ID: "concurrency.remove.many-callers", Clause: "concurrency.remove", Fn: removeMany},
		{ID: "concurrency.network.come-and-go", Clause: "concurrency.network", Needs: needs(backend.NetIsolated), Fn: comeAndGo},
	}
}

// together calls f n times at once and returns what was not nil.
func together(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func createMany(t *T) {
	const n = 10
	reqs := make([]*backend.CreateRequest, n)
	want := make([]backend.ID, n)
	for i := range reqs {
		reqs[i] = t.Request(t.NewSpec(func(s *spec.Sandbox) { s.Labels["many"] = t.test.ID }))
		want[i] = reqs[i].ID
		t.own(want[i])
	}
	d := []backend.Driver{t.Driver(), t.Open()}
	t.must(together(n, func(i int) error {
		_, err := d[i%2].Create(t.ctx, reqs[i])
		return err
	}), "create ten at once")
	slices.Sort(want)
	wantEqual(t, "the list", t.list(t.Driver(), map[string]string{"many": t.test.ID}), want)
	t.must(together(n, func(i int) error { return d[i%2].Remove(t.ctx, reqs[i].ID, nil) }), "remove ten at once")
	t.wantNothingLeft(want...)
}

// createSameID allows that callers which came second are told Exists or
// Conflict: there must be one sandbox, and it must work.
func createSameID(t *T) {
	req := t.Request(t.NewSpec(runs(cmd("exit", "3"))))
	t.own(req.ID)
	d := []backend.Driver{t.Driver(), t.Open(), t.Open(), t.Open()}
	var mu sync.Mutex
	natives := map[string]bool{}
	err := together(len(d), func(i int) error {
		status, err := d[i].Create(t.ctx, req)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		natives[status.Engine.NativeID] = true
		return nil
	})
	t.must(err, "create the same sandbox from four drivers at once")
	wantEqual(t, "how many sandboxes they were given", len(natives), 1)
	wantEqual(t, "the list", t.list(t.Driver(), map[string]string{labelTest: t.test.ID}), []backend.ID{req.ID})
	sb := &Sandbox{ID: req.ID, Request: req, Driver: t.Driver(), t: t}
	sb.Start()
	wantEqual(t, "exit code", sb.Wait().Code, 3)
}

func createSameName(t *T) {
	const n = 4
	name := t.Name("name")
	reqs := make([]*backend.CreateRequest, n)
	for i := range reqs {
		reqs[i] = t.Request(t.NewSpec(func(s *spec.Sandbox) { s.Name = name }))
		t.own(reqs[i].ID)
	}
	d := []backend.Driver{t.Driver(), t.Open()}
	var mu sync.Mutex
	var made []backend.ID
	err := together(n, func(i int) error {
		_, err := d[i%2].Create(t.ctx, reqs[i])
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			made = append(made, reqs[i].ID)
			return nil
		}
		if !errors.Is(err, backend.Exists) {
			return err
		}
		return nil
	})
	t.must(err, "create with the same name from two drivers at once")
	if len(made) != 1 {
		t.Errorf("%d sandboxes have the same name", len(made))
	}
	wantEqual(t, "the list", t.list(t.Driver(), map[string]string{labelTest: t.test.ID}), slices.Sorted(slices.Values(made)))
}

// startRacesStop does not ask who wins.
func startRacesStop(t *T) {
	sb := t.Create(t.NewSpec(grace30))
	other := t.Open()
	zero := zeroGrace
	for range 3 {
		err := together(4, func(i int) error {
			if i%2 == 0 {
				return t.Driver().Start(t.ctx, sb.ID)
			}
			return other.Stop(t.ctx, sb.ID, &backend.StopOptions{Grace: &zero})
		})
		t.must(err, "start and stop at once")
	}
	sb.Start()
	sb.wantPhase(backend.PhaseRunning)
	sb.Kill()
	wantEqual(t, "exit code", sb.Wait().Code, 137)
}

func removeMany(t *T) {
	sb := t.Start(t.NewSpec())
	d := []backend.Driver{t.Driver(), t.Open(), t.Open()}
	t.must(together(len(d), func(i int) error {
		return d[i].Remove(t.ctx, sb.ID, &backend.RemoveOptions{Force: true})
	}), "remove from three drivers at once")
	t.wantNothingLeft(sb.ID)
}

// comeAndGo has the first and the last user of what isolated sandboxes share
// meet each other.
func comeAndGo(t *T) {
	const workers, rounds = 3, 2
	reqs := make([][]*backend.CreateRequest, workers)
	for i := range reqs {
		for range rounds {
			req := t.Request(t.NewSpec(network(spec.NetIsolated, ""), runs(cmd("exit", "0"))))
			t.own(req.ID)
			reqs[i] = append(reqs[i], req)
		}
	}
	drivers := []backend.Driver{t.Driver(), t.Open(), t.Open()}
	t.must(together(workers, func(i int) error {
		d := drivers[i]
		for _, req := range reqs[i] {
			if _, err := d.Create(t.ctx, req); err != nil {
				return fmt.Errorf("create: %w", err)
			}
			if err := d.Start(t.ctx, req.ID); err != nil {
				return fmt.Errorf("start: %w", err)
			}
			if _, err := d.Wait(t.ctx, req.ID); err != nil {
				return fmt.Errorf("wait: %w", err)
			}
			if err := d.Remove(t.ctx, req.ID, nil); err != nil {
				return fmt.Errorf("remove: %w", err)
			}
		}
		return nil
	}), "come and go at once")
}
