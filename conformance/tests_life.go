// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/probe"
)

func lifeTests() []Test {
	return []Test{
		{ID: "life.create.not-started", Clause: "driver.create.stopped", Fn: createNotStarted},
		{ID: "life.exit.codes-pass", Clause: "driver.exit.code", Fn: exitCodes},
		{ID: "life.remove.absent-is-nil", Clause: "driver.remove.idempotent", Fn: removeAbsent},
	}
}

func createNotStarted(t *T) {
	sb := t.Create(t.NewSpec())
	status := sb.wantPhase(backend.PhaseCreated)
	if !status.StartedAt.IsZero() || status.Exit != nil || status.Engine.InitPID != 0 {
		t.Errorf("looks started: %s", show(status))
	}
	if status.CreatedAt.IsZero() {
		t.Errorf("the time of creation is not told")
	}
	_, err := t.Driver().Wait(t.ctx, sb.ID)
	t.wantKind("wait for a sandbox that was never started", err, backend.Conflict)
}

func exitCodes(t *T) {
	for _, c := range []struct {
		command []string
		want    int
	}{{cmd("exit", "0"), 0}, {cmd("exit", "3"), 3}, {cmd("exit", "255"), 255}} {
		sb := t.Start(t.NewSpec(runs(c.command)))
		wantEqual(t, "exit code of "+show(c.command), sb.Wait().Code, c.want)
		status := sb.wantPhase(backend.PhaseExited)
		if status.Exit == nil || status.Exit.Code != c.want {
			t.Errorf("inspect tells the exit as %s, want code %d", show(status.Exit), c.want)
		}
	}
}

func removeAbsent(t *T) {
	sb := t.Create(t.NewSpec())
	sb.Remove()
	sb.Remove()
	t.must(t.Driver().Remove(t.ctx, sb.ID, nil), "remove an absent sandbox")
	_, err := t.Driver().Inspect(t.ctx, sb.ID)
	t.wantKind("inspect after removal", err, backend.NotFound)
}

// keep the type in use until the tests of running commands are here
var _ = probe.ID{}
