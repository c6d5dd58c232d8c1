// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
)

// networkModes has the capability of each network mode.
var networkModes = map[spec.NetworkMode]backend.Capability{
	spec.NetIsolated: backend.NetIsolated, spec.NetNone: backend.NetNone, spec.NetInternal: backend.NetInternal,
	spec.NetShared: backend.NetShared, spec.NetHost: backend.NetHost, spec.NetNamed: backend.NetNamed,
}

// wanted lists the capabilities that a field of s needs.
func wanted(s *spec.Sandbox, field spec.Path, driver string) []backend.Capability {
	var list []backend.Capability
	when := func(cond bool, c backend.Capability) {
		if cond {
			list = append(list, c)
		}
	}
	name, rest, indexed := strings.Cut(string(field), "[")
	index := 0
	if indexed {
		digits, tail, _ := strings.Cut(rest, "]")
		for _, d := range digits {
			index = 10*index + int(d-'0')
		}
		name += "[]" + tail
	}
	switch name {
	case "image.ref":
		when(s.Image.Ref == spec.HostImage, backend.ImageHost)
	case "image.platform":
		when(true, backend.ImagePlatform)
	case "user.as":
		switch s.User.As {
		case spec.UserCaller:
			when(true, backend.UserCaller)
		case spec.UserImage:
			when(true, backend.UserImage)
		default:
			when(true, backend.UserNumber)
		}
	case "user.groups":
		when(true, backend.UserGroups)
	case "mounts[]":
		switch s.Mounts[index].Type {
		case spec.MountBind:
			when(true, backend.MountBind)
		case spec.MountVolume:
			when(true, backend.MountVolume)
		case spec.MountTmpfs:
			when(true, backend.MountTmpfs)
		}
	case "mounts[].mode":
		when(s.Mounts[index].Mode == spec.ModeRO, backend.MountReadOnly)
		when(s.Mounts[index].Mode == spec.ModeOverlay, backend.MountOverlay)
	case "mounts[].size":
		when(true, backend.MountSize)
	case "mounts[].noExec":
		when(true, backend.MountNoExec)
	case "mounts[].selinux":
		when(true, backend.MountSELinux)
	case "mounts[].upper":
		when(true, backend.MountOverlay)
	case "binding.address":
		when(s.Binding.Address != spec.DefaultBindAddress, backend.BindAddress)
	case "binding.ports[]":
		p := s.Binding.Ports[index]
		when(p.Protocol == spec.TCP, backend.BindTCP)
		when(p.Protocol == spec.UDP, backend.BindUDP)
		address := s.Binding.Address
		if p.Address != "" {
			address = p.Address
		}
		a, _ := netip.ParseAddr(address)
		when(a.Is6(), backend.BindIPv6)
		when(p.Address != "" && p.Address != spec.DefaultBindAddress, backend.BindAddress)
		when(s.Network.Mode == spec.NetNone, backend.BindNone)
		when(s.Network.Mode == spec.NetInternal, backend.BindInternal)
	case "network.mode":
		when(true, networkModes[s.Network.Mode])
	case "network.aliases":
		when(true, backend.NetAliases)
	case "network.additional[]":
		when(true, backend.NetAdditional)
	case "network.egress[]":
		when(true, backend.NetEgress)
	case "network.hostAlias":
		when(true, backend.NetHostAlias)
	case "resources.cpus":
		when(true, backend.ResCPUs)
	case "resources.memory":
		when(true, backend.ResMemory)
	case "resources.pids":
		when(true, backend.ResPids)
	case "resources.shm":
		when(true, backend.ResShm)
	case "resources.nofile":
		when(true, backend.ResNoFile)
	case "resources.disk":
		when(true, backend.ResDisk)
	case "security.capabilities.add", "security.capabilities.drop":
		when(true, backend.SecCapabilities)
	case "security.seccomp":
		when(true, backend.SecSeccomp)
	case "security.noNewPrivileges":
		when(true, backend.SecNoNewPrivs)
	case "security.readOnlyRoot":
		when(true, backend.SecReadOnlyRoot)
	case "security.runtime":
		when(true, backend.SecRuntime)
	case "security.devices[]":
		path := strings.HasPrefix(s.Security.Devices[index], "/")
		when(path, backend.SecDevicePath)
		when(!path, backend.SecDeviceCDI)
	case "agent":
		when(s.Agent == spec.AgentBuiltin, backend.AgentBuiltin)
		when(s.Agent == spec.AgentImage, backend.AgentImage)
	case "life.stopSignal":
		when(true, backend.LifeStopSignal)
	case "life.ttl":
		when(true, backend.LifeTTL)
	case "life.idleTimeout":
		when(true, backend.LifeIdle)
	case "life.restart":
		when(s.Life.Restart.Policy != spec.RestartNo, backend.LifeRestart)
	case "life.health":
		when(true, backend.LifeHealth)
	default:
		when(strings.HasPrefix(name, "extensions."), backend.Extension)
	}
	return list
}

// Plan implements backend.Driver.
func (d *Driver) Plan(ctx context.Context, req *backend.CreateRequest) (*backend.Plan, error) {
	e, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	if e.has(BugPlanCreates) {
		e.volumes["made-by-plan"] = &volume{name: "made-by-plan", tree: newMemory(0, 0o755)}
	}
	if e.has(BugPlanWritesRequest) {
		req.Spec.Labels["planned"] = "yes"
	}
	return e.plan(req)
}

// plan is Plan with the lock held.
func (e *Engine) plan(req *backend.CreateRequest) (*backend.Plan, error) {
	s := req.Spec
	claims := e.claims()
	p := &backend.Plan{Driver: Name}
	for _, field := range spec.SetFields(s) {
		m := backend.Mapping{Field: field, Fidelity: backend.Exact, Native: "model." + string(field)}
		for _, c := range wanted(s, field, Name) {
			if claims[c].Has() || e.has(BugRefusesNothing) {
				continue
			}
			m = backend.Mapping{Field: field, Fidelity: backend.Refused, Capability: c, Note: claims[c].Reason}
			if e.has(BugWrongCapability) {
				m.Capability = backend.Stats
			}
			break
		}
		switch {
		case field == "network.mode" && m.Fidelity == backend.Exact && !claims[backend.NetHostAccess].Has() && !e.has(BugRefusesNothing):
			m.Note = "services of the host itself can be reached"
		case field == "security.runtime" && m.Fidelity == backend.Exact && (s.Security.Runtime != "model" && !e.has(BugRuntimeIgnored) || e.has(BugRuntimeRefused)):
			m = backend.Mapping{Field: field, Fidelity: backend.Refused, Capability: backend.SecRuntime, Note: "the engine has no such runtime: want model"}
		case strings.HasPrefix(string(field), "extensions.") && m.Fidelity == backend.Exact && !e.has(BugExtensionIgnored):
			if key, ok := unknownKey(s, field); ok {
				m = backend.Mapping{Field: field, Fidelity: backend.Refused, Capability: backend.Extension, Note: "the model knows no setting " + key}
			}
		}
		if e.has(BugLedgerLine) && field == "life.stopGrace" {
			continue
		}
		if e.has(BugRefusalHidesRest) && m.Fidelity == backend.Refused {
			p.Mappings = append(p.Mappings, m)
			break
		}
		p.Mappings = append(p.Mappings, m)
	}
	if e.has(BugPlanVaries) {
		p.Mappings[0].Native += string(rune('a' + e.next()%26))
	}
	shown := spec.Redact(s)
	if e.has(BugPlanShowsEnv) {
		shown = s
	}
	p.Native, _ = json.Marshal(shown)
	err := p.Refusals(Name+".plan", req.ID)
	if e.has(BugFirstRefusalOnly) {
		for _, m := range p.Mappings {
			if m.Fidelity == backend.Refused {
				return p, &backend.Error{Kind: backend.Unsupported, Op: Name + ".plan", ID: req.ID, Field: m.Field, Capability: m.Capability, Message: m.Note}
			}
		}
	}
	return p, err
}

// unknownKey finds a key of the driver's own extension; the model has none.
func unknownKey(s *spec.Sandbox, field spec.Path) (string, bool) {
	if field != spec.Path("extensions").Key(Name) {
		return string(field), true
	}
	var keys map[string]json.RawMessage
	if json.Unmarshal(s.Extensions[Name], &keys) != nil || len(keys) == 0 {
		return "", false
	}
	var list []string
	for k := range keys {
		list = append(list, k)
	}
	slices.Sort(list)
	return list[0], true
}
