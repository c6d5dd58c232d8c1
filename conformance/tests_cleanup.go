// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"fmt"
	"slices"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
)

func cleanupTests() []Test {
	return []Test{
		{ID: "cleanup.remove.takes-everything", Clause: "driver.remove.everything", Needs: needs(backend.MountVolume, backend.NetIsolated, backend.BindTCP), Fn: removeEverything},
		{ID: "cleanup.create.failure-leaves-nothing", Clause: "driver.create.failed", Needs: needs(backend.MountVolume, backend.NetNamed), Serial: true, Fn: createFails},
		{ID: "cleanup.start.failure-leaves-removable", Clause: "driver.start.failed", Needs: needs(backend.MountVolume), Fn: startFails},
		{ID: "cleanup.network.last-one-out", Clause: "driver.remove.networks", Needs: needs(backend.NetIsolated), Host: []Fact{FactLeaks}, Serial: true, Fn: lastOneOut},
		{ID: "cleanup.foreign.untouched", Clause: "driver.foreign", Needs: needs(backend.NetShared), Host: []Fact{FactBystander}, Fn: foreignUntouched},
		{ID: "cleanup.suite.leaves-nothing", Clause: "driver.remove.everything", Fn: suiteLeavesNothing, last: true},
	}
}

func removeEverything(t *T) {
	dir := t.callerDir()
	kept := t.hostFile(dir, "kept", "of the user")
	s := t.NewSpec(user("0:0"), network(spec.NetIsolated, ""), runs(cmd("write", "/v/x", "1"), cmd("listen", "tcp", ":8080", "x")),
		ports(spec.Port{ContainerPort: 8080}),
		mounts(spec.Mount{Type: spec.MountVolume, Target: "/v"}, spec.Mount{Type: spec.MountTmpfs, Target: "/t"}, bind(dir, "/b", spec.ModeRW)))
	sb := t.Spawn(s)
	t.wantOK(sb.Next())
	sb.Remove()
	t.wantNothingLeft(sb.ID)
	t.wantHostFile(kept, "of the user")
}

// createFails fails late, when other things may have been made already.
func createFails(t *T) {
	before, err := t.run.objects(t.ctx)
	if err != nil {
		t.harnessf("%v", err)
	}
	req := t.Request(t.NewSpec(network(spec.NetNamed, t.Name("absent")), mounts(spec.Mount{Type: spec.MountVolume, Target: "/v"})))
	if _, err := t.TryCreate(req); err == nil {
		t.Errorf("create on a network that does not exist succeeded")
	}
	t.wantNothingLeft(req.ID)
	t.wantObjects(before)
}

func startFails(t *T) {
	sb := t.Create(t.NewSpec(mounts(spec.Mount{Type: spec.MountVolume, Target: "/v"}), func(s *spec.Sandbox) { s.Process.Command = []string{"/no/such/program"} }))
	for range 2 {
		if err := t.Driver().Start(t.ctx, sb.ID); err == nil {
			t.Errorf("a command that is missing was started")
		}
		sb.wantPhase(backend.PhaseCreated)
	}
	t.must(t.Driver().Remove(t.ctx, sb.ID, nil), "remove what could not be started")
	t.wantNothingLeft(sb.ID)
}

// lastOneOut runs alone: it looks at what isolated sandboxes share.
func lastOneOut(t *T) {
	before, err := t.run.objects(t.ctx)
	if err != nil {
		t.harnessf("%v", err)
	}
	a := t.Start(t.NewSpec(network(spec.NetIsolated, "")))
	b := t.Start(t.NewSpec(network(spec.NetIsolated, "")))
	a.Remove()
	b.wantPhase(backend.PhaseRunning)
	b.Kill()
	b.Start()
	b.Remove()
	t.wantNothingLeft(a.ID, b.ID)
	t.wantObjects(before)
}

func foreignUntouched(t *T) {
	name := t.Name("foreign")
	f, remove, err := t.run.harness.(Bystander).MakeForeign(t.ctx, name)
	if err != nil {
		t.harnessf("make a foreign container: %v", err)
	}
	t.Cleanup(remove)
	t.wantKind("remove a network that is not berth's", t.networker().RemoveNetwork(t.ctx, f.Network), backend.Denied)
	_, err = t.networker().CreateNetwork(t.ctx, f.Network, false)
	t.wantKind("create a network with a foreign one's name", err, backend.Exists)
	for status, err := range t.Driver().List(t.ctx, nil) {
		t.must(err, "list")
		if status.Name == name || status.Engine.NativeName == name {
			t.Errorf("the list has a container that is not berth's")
		}
	}
	sb := t.Start(t.NewSpec(network(spec.NetNamed, f.Network)))
	sb.Remove()
	alive, err := f.Alive(t.ctx)
	if err != nil {
		t.harnessf("look at the foreign container: %v", err)
	}
	wantEqual(t, "whether the foreign container and network are as they were", alive, true)
}

// suiteLeavesNothing runs after all others.
func suiteLeavesNothing(t *T) {
	wantEqual(t, "sandboxes of this run", t.list(t.Driver(), nil), nil)
	err := t.poll(func() error {
		now, err := t.run.objects(t.ctx)
		if err != nil {
			return err
		}
		for _, o := range now {
			ours := o.Owner == "" || len(o.Owner) > len(t.run.id) && string(o.Owner[:len(t.run.id)]) == t.run.id
			if ours && !slices.Contains(t.run.before, o) {
				return fmt.Errorf("left in the engine: %s %s", o.Kind, o.Name)
			}
		}
		return nil
	})
	if err != nil && context.Cause(t.ctx) == nil {
		t.Errorf("%v", err)
	}
}
