// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
)

// asks is a twin that a field of the spec stands for.
func asks(field spec.Path, change func(s *spec.Sandbox)) Twin {
	return Twin{Field: field, Spec: func(_ *T, s *spec.Sandbox) { change(s) }}
}

// mounting is a twin of a mount.
func mounting(field spec.Path, m spec.Mount) Twin {
	return Twin{Field: field, Spec: func(t *T, s *spec.Sandbox) {
		if m.Type == spec.MountBind {
			m.Source = t.callerDir()
		}
		s.Mounts = []spec.Mount{m}
	}}
}

// twins says for each capability how a driver without it shows that.
var twins = map[backend.Capability]Twin{
	backend.ImagePlatform: asks("image.platform", func(s *spec.Sandbox) { s.Image.Platform = "linux/s390x" }),
	backend.ImageHost:     asks("image.ref", func(s *spec.Sandbox) { s.Image.Ref = spec.HostImage }),
	backend.ImagePull: {Check: imagerRefuses(backend.ImagePull, func(ctx context.Context, i backend.Imager) error {
		_, err := i.PullImage(ctx, "registry.invalid/none:latest", nil)
		return err
	})},
	backend.ImageLoad: {Check: imagerRefuses(backend.ImageLoad, func(ctx context.Context, i backend.Imager) error {
		_, err := i.LoadImage(ctx, bytes.NewReader(nil))
		return err
	})},

	backend.UserCaller: asks("user.as", func(s *spec.Sandbox) { s.User.As = spec.UserCaller }),
	backend.UserImage:  asks("user.as", func(s *spec.Sandbox) { s.User.As = spec.UserImage }),
	backend.UserNumber: asks("user.as", func(s *spec.Sandbox) { s.User.As = "1234:1234" }),
	backend.UserGroups: asks("user.groups", func(s *spec.Sandbox) { s.User.Groups = []uint32{4321} }),

	backend.MountBind:     mounting("mounts[0]", spec.Mount{Type: spec.MountBind, Target: "/work"}),
	backend.MountReadOnly: mounting("mounts[0].mode", spec.Mount{Type: spec.MountBind, Target: "/work", Mode: spec.ModeRO}),
	backend.MountOverlay:  mounting("mounts[0].mode", spec.Mount{Type: spec.MountBind, Target: "/work", Mode: spec.ModeOverlay}),
	backend.MountSELinux:  mounting("mounts[0].selinux", spec.Mount{Type: spec.MountBind, Target: "/work", SELinux: spec.SELinuxShared}),
	backend.MountVolume:   mounting("mounts[0]", spec.Mount{Type: spec.MountVolume, Target: "/work"}),
	backend.MountTmpfs:    mounting("mounts[0]", spec.Mount{Type: spec.MountTmpfs, Target: "/work"}),
	backend.MountSize:     mounting("mounts[0].size", spec.Mount{Type: spec.MountTmpfs, Target: "/work", Size: spec.MiB}),
	backend.MountNoExec:   mounting("mounts[0].noExec", spec.Mount{Type: spec.MountTmpfs, Target: "/work", NoExec: true}),

	backend.BindTCP:     asks("binding.ports[0]", publish(spec.NetIsolated, spec.Port{ContainerPort: 80})),
	backend.BindUDP:     asks("binding.ports[0]", publish(spec.NetIsolated, spec.Port{ContainerPort: 80, Protocol: spec.UDP})),
	backend.BindIPv6:    asks("binding.ports[0]", publish(spec.NetIsolated, spec.Port{ContainerPort: 80, Address: "::1"})),
	backend.BindAddress: asks("binding.address", func(s *spec.Sandbox) { s.Binding.Address = "192.0.2.1" }),
	backend.BindNone:    asks("binding.ports[0]", publish(spec.NetNone, spec.Port{ContainerPort: 80})),
	backend.BindInternal: asks("binding.ports[0]", func(s *spec.Sandbox) {
		publish(spec.NetInternal, spec.Port{ContainerPort: 80})(s)
		s.Network.Name = "conf-no-such-network"
	}),

	backend.NetIsolated:  asks("network.mode", func(s *spec.Sandbox) { s.Network = spec.Network{Mode: spec.NetIsolated} }),
	backend.NetNone:      asks("network.mode", func(s *spec.Sandbox) { s.Network = spec.Network{Mode: spec.NetNone} }),
	backend.NetHost:      asks("network.mode", func(s *spec.Sandbox) { s.Network = spec.Network{Mode: spec.NetHost} }),
	backend.NetInternal:  asks("network.mode", network(spec.NetInternal, "conf-no-such-network")),
	backend.NetShared:    asks("network.mode", network(spec.NetShared, "conf-no-such-network")),
	backend.NetNamed:     asks("network.mode", network(spec.NetNamed, "conf-no-such-network")),
	backend.NetHostAlias: asks("network.hostAlias", func(s *spec.Sandbox) { s.Network = spec.Network{HostAlias: true} }),
	backend.NetAdditional: asks("network.additional[0]", func(s *spec.Sandbox) {
		s.Network = spec.Network{Additional: []spec.Attachment{{Name: "conf-no-such-network"}}}
	}),
	backend.NetAliases: asks("network.aliases", func(s *spec.Sandbox) {
		s.Network = spec.Network{Mode: spec.NetShared, Name: "conf-no-such-network", Aliases: []string{"other"}}
	}),
	backend.NetEgress: asks("network.egress[0]", func(s *spec.Sandbox) {
		s.Network = spec.Network{Egress: []spec.EgressRule{{CIDR: "192.0.2.0/24"}}}
	}),
	backend.NetHostAccess: {Check: saysSo},

	backend.ResCPUs:   asks("resources.cpus", func(s *spec.Sandbox) { s.Resources.CPUs = 500 }),
	backend.ResMemory: asks("resources.memory", func(s *spec.Sandbox) { s.Resources.Memory = 64 * spec.MiB }),
	backend.ResPids:   asks("resources.pids", func(s *spec.Sandbox) { s.Resources.Pids = 64 }),
	backend.ResShm:    asks("resources.shm", func(s *spec.Sandbox) { s.Resources.Shm = 8 * spec.MiB }),
	backend.ResNoFile: asks("resources.nofile", func(s *spec.Sandbox) { s.Resources.NoFile = spec.NoFile{Soft: 128, Hard: 256} }),
	backend.ResDisk:   asks("resources.disk", func(s *spec.Sandbox) { s.Resources.Disk = 64 * spec.MiB }),

	backend.SecCapabilities: asks("security.capabilities.drop", func(s *spec.Sandbox) { s.Security.Capabilities.Drop = []string{"CHOWN"} }),
	backend.SecSeccomp:      asks("security.seccomp", func(s *spec.Sandbox) { s.Security.Seccomp = spec.SeccompDefault }),
	backend.SecNoNewPrivs:   asks("security.noNewPrivileges", func(s *spec.Sandbox) { s.Security.NoNewPrivileges = new(true) }),
	backend.SecReadOnlyRoot: asks("security.readOnlyRoot", func(s *spec.Sandbox) { s.Security.ReadOnlyRoot = true }),
	backend.SecRuntime:      asks("security.runtime", func(s *spec.Sandbox) { s.Security.Runtime = "runc" }),
	backend.SecDeviceCDI:    asks("security.devices[0]", func(s *spec.Sandbox) { s.Security.Devices = []string{"berth.example/none=one"} }),
	backend.SecDevicePath:   asks("security.devices[0]", func(s *spec.Sandbox) { s.Security.Devices = []string{"/dev/zero:/dev/conformance:rw"} }),

	backend.AgentBuiltin: asks("agent", func(s *spec.Sandbox) { s.Agent = spec.AgentBuiltin }),
	backend.AgentImage:   asks("agent", func(s *spec.Sandbox) { s.Agent = spec.AgentImage }),

	backend.LifeStopSignal: asks("life.stopSignal", func(s *spec.Sandbox) { s.Life.StopSignal = "SIGUSR1" }),
	backend.LifeTTL:        asks("life.ttl", func(s *spec.Sandbox) { s.Life.TTL = spec.Duration(time.Hour) }),
	backend.LifeIdle:       asks("life.idleTimeout", func(s *spec.Sandbox) { s.Life.IdleTimeout = spec.Duration(time.Hour) }),
	backend.LifeRestart:    asks("life.restart", func(s *spec.Sandbox) { s.Life.Restart.Policy = spec.RestartAlways }),
	backend.LifeHealth:     asks("life.health", func(s *spec.Sandbox) { s.Life.Health = &spec.Health{Command: line(cmd("exit", "0"))} }),

	backend.LifeEngineRestart: {Check: saysSo},
	backend.LifePause: {Check: func(t *T) {
		p, ok := backend.As[backend.Pauser](t.Driver())
		if !ok {
			return
		}
		t.wantMissing(backend.LifePause, p.Pause(t.ctx, t.Start(t.NewSpec()).ID))
	}},

	backend.Exec:     {Check: execRefuses(backend.Exec, backend.ExecRequest{})},
	backend.ExecTTY:  {Check: execRefuses(backend.ExecTTY, backend.ExecRequest{TTY: true})},
	backend.ExecUser: {Check: execRefuses(backend.ExecUser, backend.ExecRequest{User: "1234:1234"})},
	backend.Logs: {Check: func(t *T) {
		for _, err := range t.Driver().Logs(t.ctx, t.Start(t.NewSpec()).ID, nil) {
			t.wantMissing(backend.Logs, err)
			return
		}
		t.Errorf("logs: no entry and no error: an empty log is a wrong answer")
	}},
	backend.LogsSplit: {Check: saysSo},
	backend.Copy: {Check: func(t *T) {
		c, ok := backend.As[backend.Copier](t.Driver())
		if !ok {
			return
		}
		_, err := c.CopyFrom(t.ctx, t.Start(t.NewSpec()).ID, probePath)
		t.wantMissing(backend.Copy, err)
	}},
	backend.Stats: {Check: func(t *T) {
		r, ok := backend.As[backend.StatsReader](t.Driver())
		if !ok {
			return
		}
		_, err := r.Stats(t.ctx, t.Start(t.NewSpec()).ID)
		t.wantMissing(backend.Stats, err)
	}},
	// The key of the extension is the driver's own name.
	backend.Extension: {Spec: func(t *T, s *spec.Sandbox) {
		s.Extensions = map[string]json.RawMessage{t.Driver().Name(): json.RawMessage(`{"setting": true}`)}
	}},
}

func publish(mode spec.NetworkMode, ports ...spec.Port) func(*spec.Sandbox) {
	return func(s *spec.Sandbox) {
		s.Network.Mode = mode
		s.Binding.Ports = append(s.Binding.Ports, ports...)
	}
}

// imagerRefuses is the twin of a verb on images.
func imagerRefuses(c backend.Capability, call func(context.Context, backend.Imager) error) func(*T) {
	return func(t *T) {
		if i, ok := backend.As[backend.Imager](t.Driver()); ok {
			t.wantMissing(c, call(t.ctx, i))
		}
	}
}

// execRefuses is the twin of a way to run further processes.
func execRefuses(c backend.Capability, req backend.ExecRequest) func(*T) {
	return func(t *T) {
		sb := t.Start(t.NewSpec())
		req.Argv = line(cmd("id"))
		_, err := t.Driver().Exec(t.ctx, sb.ID, &req)
		t.wantMissing(c, err)
	}
}

// wantMissing fails the test unless err says that c is missing.
func (t *T) wantMissing(c backend.Capability, err error) {
	t.wantKind(string(c), err, backend.Unsupported)
	var e *backend.Error
	if errors.As(err, &e) && e.Capability != c {
		t.Errorf("%s: the error names capability %q", c, e.Capability)
	}
}

// saysSo is the twin of a promise that no field or verb asks for: users find it
// in the claim's reason and in the ledger's note on the network mode.
func saysSo(t *T) {
	missing := t.missing()
	if t.Info().Claim(missing).Reason == "" {
		t.Errorf("%s: missing without a reason", missing)
	}
	if missing != backend.NetHostAccess {
		return
	}
	plan, err := t.Driver().Plan(t.ctx, t.Request(t.NewSpec(network(spec.NetIsolated, ""))))
	t.must(err, "plan")
	if m, ok := plan.Mapping("network.mode"); !ok || m.Note == "" {
		t.Errorf("%s: the ledger does not say on network.mode what is not promised: %s", missing, show(m))
	}
}

// missing is the capability whose twin is running.
func (t *T) missing() backend.Capability {
	for _, c := range t.test.Needs {
		if t.Info().Claim(c).Support == backend.Missing {
			return c
		}
	}
	return ""
}

// twin runs the refusal twin of a missing capability.
func (t *T) twin(c backend.Capability) {
	twin := twins[c]
	if t.test.Twin != nil {
		twin = *t.test.Twin
	}
	if twin.Check != nil {
		twin.Check(t)
		return
	}
	s := t.NewSpec()
	twin.Spec(t, s)
	field := twin.Field
	if c == backend.Extension {
		field = spec.Path("extensions").Key(t.Driver().Name())
	}
	t.wantRefused(s, field, c)
}

// wantRefused fails the test unless Plan and Create refuse s because of field
// and capability, and the engine is afterwards what it was.
func (t *T) wantRefused(s *spec.Sandbox, field spec.Path, c backend.Capability) {
	before, err := t.run.objects(t.ctx)
	if err != nil {
		t.harnessf("%v", err)
	}
	listed := t.list(t.Driver(), nil)
	req := t.Request(s)
	plan, err := t.Driver().Plan(t.ctx, req)
	t.wantRefusal("plan", err, field, c)
	switch {
	case plan == nil:
		t.Errorf("plan: a refusal without its ledger")
	default:
		if err := backend.CheckPlan(plan, req.Spec); err != nil {
			t.Errorf("plan: the ledger: %v", err)
		}
		if m, _ := plan.Mapping(field); m.Fidelity != backend.Refused || m.Capability != c {
			t.Errorf("plan: the ledger's line is %s, want %s refused for %s", show(m), field, c)
		}
	}
	sb, err := t.TryCreate(req)
	t.wantRefusal("create", err, field, c)
	if sb != nil {
		t.Errorf("create: refused by the plan, and made")
		sb.Remove()
	}
	t.wantNothingLeft(req.ID)
	if now := t.list(t.Driver(), nil); !slices.Equal(now, listed) {
		t.Errorf("the refusal changed the list of sandboxes: %v, was %v", now, listed)
	}
	t.wantObjects(before)
}

// wantRefusal looks for one refusal among those that err joins.
func (t *T) wantRefusal(doing string, err error, field spec.Path, c backend.Capability) {
	t.wantKind(doing, err, backend.Unsupported)
	if err == nil {
		return
	}
	for _, e := range refusals(err) {
		if e.Field == field && e.Capability == c {
			return
		}
	}
	t.Errorf("%s: no refusal of %s for lack of %s: %v", doing, field, c, err)
}

// refusals lists the Unsupported errors that err joins.
func refusals(err error) []*backend.Error {
	var list []*backend.Error
	//nolint:errorlint // all of the tree is looked at
	switch e := err.(type) {
	case *backend.Error:
		if e.Kind == backend.Unsupported {
			list = append(list, e)
		}
	case interface{ Unwrap() []error }:
		for _, next := range e.Unwrap() {
			list = append(list, refusals(next)...)
		}
	case interface{ Unwrap() error }:
		list = refusals(e.Unwrap())
	}
	return list
}

// wantObjects fails the test unless the engine has the objects that it had
// before, sandboxes of others left out. Only a test that runs alone may ask.
func (t *T) wantObjects(before []Object) {
	shared := func(list []Object) []Object {
		return slices.DeleteFunc(slices.Clone(list), func(o Object) bool { return o.Owner != "" })
	}
	had := shared(before)
	err := t.poll(func() error {
		now, err := t.run.objects(t.ctx)
		if err != nil {
			return err
		}
		for _, o := range shared(now) {
			if !slices.Contains(had, o) {
				return errors.New("the engine has more than before: " + o.Kind + " " + o.Name)
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("%v", err)
	}
}
