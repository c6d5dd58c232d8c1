// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/spec"
)

func lifeTests() []Test {
	restart := []Fact{FactRestart}
	pause := needs(backend.LifePause)
	signal := verb[backend.Signaller]("Signaller")
	return []Test{
		{ID: "life.create.not-started", Clause: "driver.create.stopped", Fn: createNotStarted},
		{ID: "life.create.same-again", Clause: "driver.create.idempotent", Fn: createAgain},
		{ID: "life.create.other-digest", Clause: "driver.create.taken", Fn: createOther},
		{ID: "life.create.cancelled", Clause: "driver.cancel", Fn: createCancelled},
		{ID: "life.start.twice", Clause: "driver.start.idempotent", Fn: startTwice},
		{ID: "life.start.after-exit", Clause: "driver.start.again", Needs: needs(backend.Logs), Fn: startAgain},
		{ID: "life.start.missing-command", Clause: "driver.start.failed", Fn: startMissing},
		{ID: "life.start.cancelled", Clause: "driver.start.cancelled", Fn: startCancelled},
		{ID: "life.exit.codes-pass", Clause: "driver.exit.code", Fn: exitCodes},
		{ID: "life.exit.killed", Clause: "driver.exit.signal", Fn: exitKilled},
		{ID: "life.stop.grace-honoured", Clause: "driver.stop.grace", Fn: stopGrace},
		{ID: "life.stop.kills-after-grace", Clause: "driver.stop.kill", Fn: stopKills},
		{ID: "life.stop.zero-grace-kills", Clause: "driver.stop.zero", Fn: stopZero},
		{ID: "life.stop.signal-of-spec", Clause: "life.stop-signal", Needs: needs(backend.LifeStopSignal), Fn: stopSignalSpec},
		{ID: "life.stop.signal-of-image", Clause: "life.stop-signal.image", Fn: stopSignalImage},
		{ID: "life.stop.signal-option", Clause: "driver.stop.option", Fn: stopSignalOption},
		{ID: "life.stop.not-running", Clause: "driver.stop.idempotent", Fn: stopTwice},
		{ID: "life.remove.absent-is-nil", Clause: "driver.remove.idempotent", Fn: removeAbsent},
		{ID: "life.remove.running", Clause: "driver.remove.running", Fn: removeRunning},
		{ID: "life.inspect.times", Clause: "driver.inspect.times", Fn: inspectTimes},
		{ID: "life.wait.every-waiter", Clause: "driver.wait", Fn: waitMany},
		{ID: "life.wait.context", Clause: "driver.wait.context", Fn: waitContext},
		{ID: "life.driver.second-sees-all", Clause: "driver.stateless", Fn: secondDriver},
		{ID: "life.signal.delivered", Clause: "driver.signal", Verb: signal, Fn: signalDelivered},
		{ID: "life.signal.not-running", Clause: "driver.signal.stopped", Verb: signal, Fn: signalStopped},
		{ID: "life.pause.freezes", Clause: "driver.pause", Needs: pause, Fn: pauseFreezes},
		{ID: "life.pause.not-running", Clause: "driver.pause.stopped", Needs: pause, Fn: pauseStopped},
		{ID: "life.watch.events", Clause: "driver.watch", Verb: verb[backend.Watcher]("Watcher"), Fn: watchEvents},
		{ID: "life.ttl.planned", Clause: "life.ttl", Needs: needs(backend.LifeTTL), Fn: planned(backend.LifeTTL)},
		{ID: "life.idle-timeout.planned", Clause: "life.idle", Needs: needs(backend.LifeIdle), Fn: planned(backend.LifeIdle)},
		{ID: "life.restart.planned", Clause: "life.restart", Needs: needs(backend.LifeRestart), Fn: planned(backend.LifeRestart)},
		{ID: "life.health.planned", Clause: "life.health", Needs: needs(backend.LifeHealth), Fn: planned(backend.LifeHealth)},
		{ID: "life.engine-restart.keeps-running", Clause: "life.engine-restart", Needs: needs(backend.LifeEngineRestart), Host: restart, Serial: true, Fn: engineRestartRunning},
		{ID: "life.engine-restart.keeps-sandbox", Clause: "life.engine-restart.kept", Host: []Fact{FactRestart, FactRoot}, Serial: true, Fn: engineRestartKept},
	}
}

func createNotStarted(t *T) {
	sb := t.Create(t.NewSpec())
	for _, status := range []*backend.Status{sb.Created, sb.wantPhase(backend.PhaseCreated)} {
		if !status.StartedAt.IsZero() || status.Exit != nil || status.Engine.InitPID != 0 {
			t.Errorf("looks started: %s", show(status))
		}
		if status.CreatedAt.IsZero() {
			t.Errorf("the time of creation is not told")
		}
		wantEqual(t, "the id", status.ID, sb.ID)
		wantEqual(t, "the driver", status.Engine.Driver, t.Driver().Name())
	}
	_, err := t.Driver().Wait(t.ctx, sb.ID)
	t.wantKind("wait for a sandbox that was never started", err, backend.Conflict)
}

func createAgain(t *T) {
	req := t.Request(t.NewSpec())
	first := t.CreateRequest(req)
	for _, d := range []backend.Driver{t.Driver(), t.Open()} {
		again, err := d.Create(t.ctx, req)
		t.must(err, "create the same again")
		wantEqual(t, "the engine's id of the sandbox", again.Engine.NativeID, first.Created.Engine.NativeID)
	}
	wantEqual(t, "sandboxes of this test", t.list(t.Driver(), map[string]string{labelTest: t.test.ID}), []backend.ID{req.ID})
}

func createOther(t *T) {
	first := t.Create(t.NewSpec())
	other := t.Request(t.NewSpec(func(s *spec.Sandbox) { s.Process.Env = map[string]string{"OTHER": "1"} }))
	other.ID = first.ID
	_, err := t.Driver().Create(t.ctx, other)
	t.wantKind("create with an id that has another spec", err, backend.Exists)
	status := first.wantPhase(backend.PhaseCreated)
	wantEqual(t, "the digest after that", status.Record.Digest, first.Request.Digest)
}

// createCancelled gives up at different moments. Whatever create says, nothing
// is left when it says that it was cancelled.
func createCancelled(t *T) {
	for i, delay := range []time.Duration{0, 0, time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond} {
		req := t.Request(t.NewSpec(mounts(spec.Mount{Type: spec.MountTmpfs, Target: "/scratch"})))
		t.own(req.ID)
		ctx, cancel := context.WithCancel(t.ctx)
		if i == 0 {
			cancel()
		} else {
			time.AfterFunc(t.Scale(delay), cancel)
		}
		_, err := t.Driver().Create(ctx, req)
		cancel()
		switch {
		case err == nil && i == 0:
			t.Errorf("create with a context that had ended made a sandbox")
		case err != nil:
			t.wantContext("a cancelled create", err, context.Canceled)
			t.wantNothingLeft(req.ID)
		}
	}
}

// wantContext fails the test unless err is the context's own.
func (t *T) wantContext(doing string, err, want error) {
	var e *backend.Error
	if !errors.Is(err, want) || errors.As(err, &e) {
		t.Errorf("%s: %v, want the context's own error", doing, err)
	}
}

func startTwice(t *T) {
	sb := t.Start(t.NewSpec())
	first := sb.wantPhase(backend.PhaseRunning)
	sb.Start()
	t.must(t.Open().Start(t.ctx, sb.ID), "start with a second driver")
	wantEqual(t, "the time of the start", sb.wantPhase(backend.PhaseRunning).StartedAt, first.StartedAt)
}

// startAgain sees in the log that the root file system is kept.
func startAgain(t *T) {
	sb := t.Create(t.NewSpec(user("0:0"), runs(cmd("append", "/kept", "x"), cmd("read", "/kept"))))
	for range 3 {
		sb.Start()
		wantEqual(t, "exit code", sb.Wait().Code, 0)
	}
	sb.wantPhase(backend.PhaseExited)
	out, _ := t.logText(sb.ID, nil)
	results, err := probe.Decode(out)
	t.must(err, "the log")
	if len(results) != 6 {
		t.Fatalf("%d results of three starts, want 6", len(results))
	}
	wantEqual(t, "the file after three starts", string(value[probe.Content](t, results[5]).Data), "xxx")
}

func startMissing(t *T) {
	sb := t.Create(t.NewSpec(func(s *spec.Sandbox) { s.Process.Command = []string{"/no/such/program"} }))
	err := t.Driver().Start(t.ctx, sb.ID)
	t.wantKind("start a command that is missing", err, backend.Invalid, backend.NotFound)
	status := sb.wantPhase(backend.PhaseCreated)
	if status.Exit != nil {
		t.Errorf("a sandbox that could not be started has an exit: %s", show(status.Exit))
	}
}

func startCancelled(t *T) {
	sb := t.Create(t.NewSpec())
	ctx, cancel := context.WithCancel(t.ctx)
	cancel()
	t.wantContext("start with a context that had ended", t.Driver().Start(ctx, sb.ID), context.Canceled)
	for _, delay := range []time.Duration{time.Millisecond, 20 * time.Millisecond} {
		ctx, cancel := context.WithCancel(t.ctx)
		time.AfterFunc(t.Scale(delay), cancel)
		if err := t.Driver().Start(ctx, sb.ID); err != nil {
			t.wantContext("a cancelled start", err, context.Canceled)
		}
		cancel()
	}
	t.Eventually("start after all that", func() error { return t.Driver().Start(t.ctx, sb.ID) })
	sb.wantPhase(backend.PhaseRunning)
}

func exitCodes(t *T) {
	for _, want := range []int{0, 3, 255} {
		sb := t.Start(t.NewSpec(runs(cmd("exit", fmt.Sprint(want)))))
		wantEqual(t, "exit code", sb.Wait().Code, want)
		status := sb.wantPhase(backend.PhaseExited)
		if status.Exit == nil || status.Exit.Code != want {
			t.Errorf("inspect tells the exit as %s, want code %d", show(status.Exit), want)
		}
	}
}

func exitKilled(t *T) {
	sb := t.Start(t.NewSpec())
	sb.Kill()
	exit := sb.Wait()
	wantEqual(t, "exit code of a process that was killed", exit.Code, 137)
	wantEqual(t, "whether the memory limit ended it", exit.OOMKilled, false)
}

// trapping is a sandbox that ends with code when the signal comes. It has
// installed its handler when trapping returns.
func (t *T) trapping(signal, code string, change ...func(*spec.Sandbox)) *Live {
	sb := t.Spawn(t.NewSpec(append([]func(*spec.Sandbox){runs(cmd("trap", signal, code))}, change...)...))
	t.wantOK(sb.Next())
	return sb
}

func grace30(s *spec.Sandbox) { s.Life.StopGrace = spec.Duration(30 * time.Second) }

func stopGrace(t *T) {
	sb := t.trapping("TERM", "7", grace30)
	sb.Stop(nil)
	status := sb.wantPhase(backend.PhaseExited)
	if status.Exit == nil || status.Exit.Code != 7 {
		t.Errorf("the process had a signal that it handles, and the exit is %s, want code 7", show(status.Exit))
	}
}

func stopKills(t *T) {
	grace := t.Scale(time.Second)
	sb := t.Spawn(t.NewSpec(runs(cmd("ignore", "TERM")), func(s *spec.Sandbox) { s.Life.StopGrace = spec.Duration(grace) }))
	t.wantOK(sb.Next())
	start := time.Now()
	sb.Stop(nil)
	if took := time.Since(start); took < grace {
		t.Errorf("killed after %v, the grace is %v", took, grace)
	}
	status := sb.wantPhase(backend.PhaseExited)
	if status.Exit == nil || status.Exit.Code != 137 {
		t.Errorf("the exit is %s, want code 137", show(status.Exit))
	}
	// It had its chance.
	if s := value[probe.Signal](t, sb.Next()); !s.Received {
		t.Errorf("killed without the stop signal before it")
	}
}

func stopZero(t *T) {
	sb := t.trapping("TERM", "7", grace30)
	sb.Kill()
	wantEqual(t, "exit code", sb.Wait().Code, 137)
}

func stopSignalSpec(t *T) {
	sb := t.trapping("USR2", "5", grace30, func(s *spec.Sandbox) { s.Life.StopSignal = "USR2" })
	sb.Stop(nil)
	wantEqual(t, "exit code", sb.Wait().Code, 5)
}

func stopSignalImage(t *T) {
	sb := t.trapping("USR1", "6", grace30, fromImage(t, ImageConfig))
	sb.Stop(nil)
	wantEqual(t, "exit code", sb.Wait().Code, 6)
}

func stopSignalOption(t *T) {
	sb := t.trapping("HUP", "4", grace30)
	sb.Stop(&backend.StopOptions{Signal: "SIGHUP"})
	wantEqual(t, "exit code", sb.Wait().Code, 4)
}

func stopTwice(t *T) {
	sb := t.Create(t.NewSpec(runs(cmd("exit", "3"))))
	sb.Stop(nil)
	sb.wantPhase(backend.PhaseCreated)
	sb.Start()
	sb.Wait()
	sb.Stop(nil)
	sb.Stop(nil)
	wantEqual(t, "exit code after stopping what had ended", sb.Wait().Code, 3)
}

func removeAbsent(t *T) {
	sb := t.Create(t.NewSpec())
	t.must(t.Driver().Remove(t.ctx, sb.ID, nil), "remove")
	t.must(t.Driver().Remove(t.ctx, sb.ID, nil), "remove an absent sandbox")
	t.must(t.Driver().Remove(t.ctx, sb.ID, &backend.RemoveOptions{Force: true}), "remove an absent sandbox by force")
	_, err := t.Driver().Inspect(t.ctx, sb.ID)
	t.wantKind("inspect after removal", err, backend.NotFound)
}

func removeRunning(t *T) {
	sb := t.Start(t.NewSpec())
	t.wantKind("remove a running sandbox", t.Driver().Remove(t.ctx, sb.ID, nil), backend.Conflict)
	sb.wantPhase(backend.PhaseRunning)
	sb.Remove()
	t.wantNothingLeft(sb.ID)
}

func inspectTimes(t *T) {
	sb := t.Start(t.NewSpec(runs(cmd("exit", "0"))))
	sb.Wait()
	s := sb.wantPhase(backend.PhaseExited)
	if s.CreatedAt.IsZero() || s.StartedAt.Before(s.CreatedAt) || s.FinishedAt.Before(s.StartedAt) {
		t.Errorf("created %v, started %v, finished %v is not an order of events", s.CreatedAt, s.StartedAt, s.FinishedAt)
	}
	if age := time.Since(s.CreatedAt); age < -time.Hour || age > time.Hour {
		t.Errorf("created %v ago", age)
	}
	if s.Engine.NativeID == "" || s.Engine.InitPID != 0 {
		t.Errorf("what the engine says of an ended sandbox is %s", show(s.Engine))
	}
}

func waitMany(t *T) {
	sb := t.trapping("USR1", "9", grace30)
	drivers := []backend.Driver{t.Driver(), t.Driver(), t.Driver(), t.Open(), t.Open()}
	codes := make([]string, len(drivers))
	var wg sync.WaitGroup
	for i, d := range drivers {
		wg.Go(func() {
			exit, err := d.Wait(t.ctx, sb.ID)
			if err != nil {
				codes[i] = err.Error()
				return
			}
			codes[i] = fmt.Sprint(exit.Code)
		})
	}
	sb.Stop(&backend.StopOptions{Signal: "SIGUSR1"})
	wg.Wait()
	wantEqual(t, "what the waiters were told", codes, []string{"9", "9", "9", "9", "9"})
	wantEqual(t, "what is told afterwards", sb.Wait().Code, 9)
	exit, err := t.Open().Wait(t.ctx, sb.ID)
	t.must(err, "wait with another driver afterwards")
	wantEqual(t, "what another driver is told afterwards", exit.Code, 9)
}

func waitContext(t *T) {
	sb := t.Start(t.NewSpec())
	ctx, cancel := context.WithCancel(t.ctx)
	time.AfterFunc(t.Scale(50*time.Millisecond), cancel)
	_, err := t.Driver().Wait(ctx, sb.ID)
	t.wantContext("a wait that was given up", err, context.Canceled)
	sb.wantPhase(backend.PhaseRunning)
}

func secondDriver(t *T) {
	other := t.Open()
	sb := t.Create(t.NewSpec(runs(cmd("exit", "3"))))
	byOther := &Sandbox{ID: sb.ID, Request: sb.Request, Driver: other, t: t}
	wantSame(t, "inspect by another driver", byOther.Inspect(), sb.Inspect())
	wantEqual(t, "list by another driver", t.list(other, map[string]string{labelTest: t.test.ID}), []backend.ID{sb.ID})
	byOther.Start()
	wantEqual(t, "exit code by another driver", byOther.Wait().Code, 3)
	sb.wantPhase(backend.PhaseExited)
	wantEqual(t, "list of what has ended", t.list(other, map[string]string{labelTest: t.test.ID}), []backend.ID{sb.ID})
	byOther.Remove()
	t.wantNothingLeft(sb.ID)
}

func (t *T) signaller() backend.Signaller {
	s, _ := backend.As[backend.Signaller](t.Driver())
	return s
}

func signalDelivered(t *T) {
	sb := t.Spawn(t.NewSpec(runs(cmd("ignore", "USR1"), cmd("trap", "INT", "8"))))
	t.wantOK(sb.Next(), sb.Next())
	t.must(t.signaller().Signal(t.ctx, sb.ID, "SIGUSR1"), "send SIGUSR1")
	if s := value[probe.Signal](t, sb.Next()); s.Signal != "USR1" || !s.Received {
		t.Errorf("the process tells of %s", show(s))
	}
	t.must(t.signaller().Signal(t.ctx, sb.ID, "SIGINT"), "send SIGINT")
	wantEqual(t, "exit code", sb.Wait().Code, 8)
}

func signalStopped(t *T) {
	sb := t.Create(t.NewSpec())
	t.wantKind("signal a sandbox that does not run", t.signaller().Signal(t.ctx, sb.ID, "SIGTERM"), backend.Conflict)
}

func (t *T) pauser() backend.Pauser {
	p, ok := backend.As[backend.Pauser](t.Driver())
	if !ok {
		t.Fatalf("the driver is no backend.Pauser")
	}
	return p
}

// pauseFreezes has a process write to the host all the time, and sees it stop
// and go on.
func pauseFreezes(t *T) {
	dir := t.callerDir()
	s := t.NewSpec(mounts(bind(dir, "/work", spec.ModeRW)))
	s.Process.Command = line(cmd("trap", "TERM", "0"), cmd("lines", "1000000", "5ms"))
	sb := t.Spawn(s)
	size := func() int { return len(sb.Stdout.bytes()) }
	t.Eventually("output", func() error {
		if size() < 40 {
			return errors.New("nothing is written")
		}
		return nil
	})
	t.must(t.pauser().Pause(t.ctx, sb.ID), "pause")
	t.must(t.pauser().Pause(t.ctx, sb.ID), "pause again")
	sb.wantPhase(backend.PhasePaused)
	// What was on its way may still come; then nothing does.
	t.Eventually("silence", func() error {
		before := size()
		wait := time.NewTimer(t.Scale(100 * time.Millisecond))
		defer wait.Stop()
		<-wait.C
		if size() != before {
			return errors.New("it goes on writing")
		}
		return nil
	})
	if t.Has(backend.Exec) {
		_, err := t.Driver().Exec(t.ctx, sb.ID, &backend.ExecRequest{Argv: line(cmd("id"))})
		t.wantKind("exec in a paused sandbox", err, backend.Conflict)
	}
	before := size()
	t.must(t.pauser().Resume(t.ctx, sb.ID), "resume")
	t.must(t.pauser().Resume(t.ctx, sb.ID), "resume again")
	sb.wantPhase(backend.PhaseRunning)
	t.Eventually("output after the pause", func() error {
		if size() == before {
			return errors.New("nothing is written")
		}
		return nil
	})
	t.must(t.pauser().Pause(t.ctx, sb.ID), "pause before the stop")
	sb.Kill()
	sb.wantPhase(backend.PhaseExited)
}

func pauseStopped(t *T) {
	sb := t.Create(t.NewSpec())
	t.wantKind("pause a sandbox that does not run", t.pauser().Pause(t.ctx, sb.ID), backend.Conflict)
	t.wantKind("resume a sandbox that does not run", t.pauser().Resume(t.ctx, sb.ID), backend.Conflict)
}

func watchEvents(t *T) {
	w, _ := backend.As[backend.Watcher](t.Driver())
	var mu sync.Mutex
	seen := map[backend.Phase]bool{}
	removed := false
	var watchErr error
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	req := t.Request(t.NewSpec())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e, err := range w.Watch(ctx) {
			mu.Lock()
			if err != nil {
				watchErr = err
			} else if e.ID == req.ID {
				removed = removed || e.Removed
				if !e.Removed {
					seen[e.Phase] = true
				}
			}
			mu.Unlock()
		}
	}()
	sb := t.CreateRequest(req)
	// Whether the watch has begun cannot be seen: change the state until it is.
	t.Eventually("events of start, end and removal", func() error {
		sb.Start()
		sb.Kill()
		mu.Lock()
		defer mu.Unlock()
		if watchErr != nil {
			t.Fatalf("watch: %v", watchErr)
		}
		if !seen[backend.PhaseRunning] || !seen[backend.PhaseExited] {
			return fmt.Errorf("phases seen: %s", show(seen))
		}
		return nil
	})
	sb.Remove()
	t.Eventually("event of removal", func() error {
		mu.Lock()
		defer mu.Unlock()
		if !removed {
			return errors.New("not seen")
		}
		return nil
	})
	cancel()
	t.Eventually("the end of the watch", func() error {
		select {
		case <-done:
			return nil
		default:
			return errors.New("it goes on after its context has ended")
		}
	})
}

// restart stops the engine, shows that the driver says so, and starts it again.
func (t *T) restart() {
	r := t.run.harness.(Restarter)
	up := false
	t.Cleanup(func(ctx context.Context) error {
		if up {
			return nil
		}
		return r.StartEngine(ctx)
	})
	if err := r.StopEngine(t.ctx); err != nil {
		t.harnessf("stop the engine: %v", err)
	}
	_, err := t.Driver().Inspect(t.ctx, "a123456789012345")
	t.wantKind("inspect without an engine", err, backend.Unavailable)
	_, err = t.Open().Probe(t.ctx, false)
	t.wantKind("probe without an engine", err, backend.Unavailable)
	if err := r.StartEngine(t.ctx); err != nil {
		t.harnessf("start the engine: %v", err)
	}
	up = true
}

func engineRestartRunning(t *T) {
	sb := t.Start(t.NewSpec())
	started := sb.Inspect().StartedAt
	t.restart()
	status := sb.wantPhase(backend.PhaseRunning)
	wantEqual(t, "the time of the start", status.StartedAt, started)
	sb.Kill()
	wantEqual(t, "exit code", sb.Wait().Code, 137)
}

func engineRestartKept(t *T) {
	dir := t.callerDir()
	sb := t.Spawn(t.NewSpec(user("0:0"), mounts(bind(dir, "/work", spec.ModeRW)),
		runs(cmd("append", "/kept", "x"), cmd("read", "/kept"), cmd("append", "/work/kept", "x"), cmd("hold"))))
	t.wantOK(sb.Next())
	record := sb.Inspect().Record
	t.restart()
	wantSame(t, "the record after a restart of the engine", sb.Inspect().Record, record)
	wantEqual(t, "sandboxes of this test", t.list(t.Open(), map[string]string{labelTest: t.test.ID}), []backend.ID{sb.ID})
	if sb.Inspect().Phase != backend.PhaseRunning {
		sb.Start()
	} else {
		sb.Kill()
		sb.Start()
	}
	t.Eventually("the second start", func() error {
		data, err := os.ReadFile(filepath.Join(dir, "kept"))
		if err == nil && string(data) != "xx" {
			err = fmt.Errorf("the file has %q", data)
		}
		return err
	})
	if t.Has(backend.Exec) {
		results := sb.Probe(cmd("read", "/kept"))
		wantEqual(t, "the file in the root file system", string(value[probe.Content](t, results[0]).Data), "xx")
	}
}
