// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
)

func planTests() []Test {
	return []Test{
		{ID: "probe.claims.complete", Clause: "driver.probe.claims", Fn: claimsComplete},
		{ID: "probe.claims.agree-with-interfaces", Clause: "driver.probe.interfaces", Fn: claimsAgree},
		{ID: "probe.info.identity", Clause: "driver.probe.identity", Fn: probeIdentity},
		{ID: "probe.info.changes-nothing", Clause: "driver.probe.read-only", Serial: true, Fn: probeReadOnly},
		{ID: "plan.ledger.complete", Clause: "driver.plan.ledger", Fn: ledgerComplete},
		{ID: "plan.ledger.complete-for-defaults", Clause: "driver.plan.ledger", Fn: ledgerDefaults},
		{ID: "plan.result.pure", Clause: "driver.plan.pure", Serial: true, Fn: planPure},
		{ID: "plan.refusal.names-every-field", Clause: "driver.plan.refusal", Fn: planRefusals},
		{ID: "plan.native.hides-env", Clause: "driver.plan.redacted", Fn: planHidesEnv},
	}
}

func claimsComplete(t *T) {
	if err := backend.CheckInfo(t.Info()); err != nil {
		t.Errorf("%v", err)
	}
	for _, c := range backend.Capabilities() {
		if t.Info().Claim(c).Support == backend.Unknown {
			t.Errorf("%s: unknown: %s", c, t.Info().Claim(c).Reason)
		}
	}
}

// claimsAgree wants a verb exactly where it is claimed.
func claimsAgree(t *T) {
	for c, v := range map[backend.Capability]*Verb{
		backend.LifePause: verb[backend.Pauser]("Pauser"),
		backend.Copy:      verb[backend.Copier]("Copier"),
		backend.Stats:     verb[backend.StatsReader]("StatsReader"),
		backend.ImageLoad: verb[backend.Imager]("Imager"),
		backend.NetShared: verb[backend.Networker]("Networker"),
	} {
		if t.Has(c) && !v.Has(t.Driver()) {
			t.Errorf("%s is claimed, but the driver is no backend.%s", c, v.Name)
		}
	}
}

func probeIdentity(t *T) {
	i := t.Info()
	for what, text := range map[string]string{
		"driver": i.Driver, "engine": i.Engine, "engine version": i.EngineVersion, "os": i.OS, "arch": i.Arch, "kernel": i.Kernel,
	} {
		if text == "" {
			t.Errorf("the %s is not told", what)
		}
	}
	wantEqual(t, "Info.Driver", i.Driver, t.Driver().Name())
	other, err := t.Open().Probe(t.ctx, false)
	t.must(err, "probe with a second driver")
	wantEqual(t, "the engine's id, seen by a second driver", other.EngineID, i.EngineID)
}

func probeReadOnly(t *T) {
	before, err := t.run.objects(t.ctx)
	if err != nil {
		t.harnessf("%v", err)
	}
	first, err := t.Open().Probe(t.ctx, false)
	t.must(err, "probe")
	second, err := t.Open().Probe(t.ctx, false)
	t.must(err, "probe again")
	wantSame(t, "the claims of a second probe", second.Claims, first.Claims)
	t.wantObjects(before)
}

// everything is a spec that sets as many fields as one spec can. Some of them
// will be refused. What takes effect above the driver is left out where it is
// claimed, for a driver may refuse it without berth's init.
func everything(t *T) *spec.Sandbox {
	dir := t.callerDir()
	return t.NewSpec(func(s *spec.Sandbox) {
		s.Name = t.Name("all")
		s.Image.Pull = spec.PullNever
		s.Process.Args = []string{"+", "id"}
		s.Process.Env = map[string]string{"SECRET": "swordfish"}
		s.Process.Workdir = "/work"
		s.Process.Stdin = true
		s.User = spec.User{As: "1234:1234", Groups: []uint32{4321}, Name: "someone"}
		s.Mounts = []spec.Mount{
			{Type: spec.MountBind, Source: dir, Target: "/work", Mode: spec.ModeRO, SELinux: spec.SELinuxShared},
			{Type: spec.MountVolume, Target: "/volume"},
			{Type: spec.MountTmpfs, Target: "/scratch", Size: spec.MiB, NoExec: true},
			{Type: spec.MountBind, Source: t.callerDir(), Target: "/layer", Mode: spec.ModeOverlay},
		}
		s.Network = spec.Network{
			Mode: spec.NetIsolated, HostAlias: true, Egress: []spec.EgressRule{{CIDR: "192.0.2.0/24"}, {Domain: "berth.example"}},
		}
		s.Binding.Ports = []spec.Port{{Name: "web", ContainerPort: 8080}, {ContainerPort: 8080, Protocol: spec.UDP}}
		s.Resources = spec.Resources{
			CPUs: 500, Memory: 64 * spec.MiB, Pids: 64, Shm: spec.MiB, NoFile: spec.NoFile{Soft: 128, Hard: 256}, Disk: 64 * spec.MiB,
		}
		s.Security = spec.Security{
			Capabilities: spec.Capabilities{Add: []string{"SYS_PTRACE"}, Drop: []string{"CHOWN"}},
			ReadOnlyRoot: true, Devices: []string{"/dev/zero:/dev/conformance:rw", "berth.example/none=one"},
		}
		s.Agent = spec.AgentNone
		s.Life = spec.Life{StopSignal: "SIGUSR1", StopGrace: spec.Duration(time.Second)}
		for _, c := range []backend.Capability{backend.LifeTTL, backend.LifeIdle, backend.LifeRestart, backend.LifeHealth} {
			if !t.Has(c) {
				twins[c].Spec(t, s)
			}
		}
	})
}

// wantLedger fails the test unless the plan for s is complete, and returns it
// with the plan's own error.
func (t *T) wantLedger(s *spec.Sandbox) (*backend.Plan, error) {
	req := t.Request(s)
	plan, err := t.Driver().Plan(t.ctx, req)
	if plan == nil {
		t.Fatalf("plan: no ledger: %v", err)
	}
	if problem := backend.CheckPlan(plan, req.Spec); problem != nil {
		t.Errorf("%v", problem)
	}
	wantEqual(t, "the plan's driver", plan.Driver, t.Driver().Name())
	return plan, err
}

func ledgerComplete(t *T) {
	plan, err := t.wantLedger(everything(t))
	refused := slices.ContainsFunc(plan.Mappings, func(m backend.Mapping) bool { return m.Fidelity == backend.Refused })
	if refused != (err != nil) {
		t.Errorf("the ledger has refusals: %v, but the error is %v", refused, err)
	}
	// Networks by name need another spec.
	for _, mode := range []spec.NetworkMode{spec.NetShared, spec.NetInternal, spec.NetNamed, spec.NetNone, spec.NetHost} {
		s := t.NewSpec(network(mode, ""))
		if mode != spec.NetNone && mode != spec.NetHost {
			s.Network.Name = "conf-plan-only"
			s.Network.Aliases = []string{"one"}
			s.Network.Additional = []spec.Attachment{{Name: "conf-plan-other", Aliases: []string{"two"}}}
		}
		// A driver may say already here that the network is absent.
		req := t.Request(s)
		plan, err := t.Driver().Plan(t.ctx, req)
		if plan == nil && errors.Is(err, backend.NotFound) {
			continue
		}
		if plan == nil {
			t.Errorf("plan for network mode %s: no ledger: %v", mode, err)
			continue
		}
		if problem := backend.CheckPlan(plan, req.Spec); problem != nil {
			t.Errorf("network mode %s: %v", mode, problem)
		}
	}
}

func ledgerDefaults(t *T) {
	s := t.NewSpec()
	s.Network = spec.Network{}
	if _, err := t.wantLedger(s); err != nil && t.Has(backend.NetIsolated) && t.Has(backend.UserCaller) {
		t.Errorf("the default spec is refused: %v", err)
	}
}

func planPure(t *T) {
	before, err := t.run.objects(t.ctx)
	if err != nil {
		t.harnessf("%v", err)
	}
	listed := t.list(t.Driver(), nil)
	req := t.Request(everything(t))
	asked := show(req)
	plan := func(what string, d backend.Driver, req *backend.CreateRequest) string {
		plan, err := d.Plan(t.ctx, req)
		if plan == nil {
			t.Fatalf("plan %s: no ledger: %v", what, err)
		}
		return show(plan) + fmt.Sprint(err)
	}
	first := plan("once", t.Driver(), req)
	wantEqual(t, "the second plan", plan("twice", t.Driver(), req), first)
	wantEqual(t, "the plan of a second driver", plan("with a second driver", t.Open(), req), first)
	wantEqual(t, "the request after planning", show(req), asked)
	noID := *req
	noID.ID = ""
	if plan, err := t.Driver().Plan(t.ctx, &noID); plan == nil {
		t.Errorf("plan without an id: no ledger: %v", err)
	}
	if now := t.list(t.Driver(), nil); !slices.Equal(now, listed) {
		t.Errorf("planning changed the list of sandboxes: %v, was %v", now, listed)
	}
	t.wantObjects(before)
}

func planRefusals(t *T) {
	plan, err := t.Driver().Plan(t.ctx, t.Request(everything(t)))
	if plan == nil {
		t.Fatalf("plan: no ledger: %v", err)
	}
	found := refusals(err)
	for _, m := range plan.Mappings {
		if m.Fidelity != backend.Refused {
			continue
		}
		if t.Has(m.Capability) {
			t.Errorf("%s is refused for lack of %s, which is claimed", m.Field, m.Capability)
		}
		named := func(e *backend.Error) bool { return e.Field == m.Field && e.Capability == m.Capability }
		if !slices.ContainsFunc(found, named) {
			t.Errorf("%s is refused in the ledger, and the error does not name it: %v", m.Field, err)
		}
	}
	if len(found) > 0 && !slices.ContainsFunc(plan.Mappings, func(m backend.Mapping) bool {
		return m.Fidelity == backend.Refused && m.Field == found[0].Field
	}) {
		t.Errorf("the error names %s, which the ledger does not refuse", found[0].Field)
	}
}

func planHidesEnv(t *T) {
	const secret = "swordfish-in-the-plan"
	plan, err := t.Driver().Plan(t.ctx, t.Request(t.NewSpec(func(s *spec.Sandbox) {
		s.Process.Env = map[string]string{"SECRET": secret}
	})))
	t.must(err, "plan")
	if bytes.Contains(plan.Native, []byte(secret)) || strings.Contains(show(plan.Mappings), secret) {
		t.Errorf("the plan shows the value of an environment variable")
	}
}
