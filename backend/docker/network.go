// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
)

var _ backend.Networker = (*driver)(nil)

// checkNetworks makes sure that the networks a sandbox joins are there and are
// what the spec says, and makes the isolated one when it is missing. Docker
// itself finds out at the start only.
func (d *driver) checkNetworks(ctx context.Context, id backend.ID, needs []need) error {
	if len(needs) == 0 {
		return nil
	}
	nets, err := d.cli.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return d.fail(ctx, "create", id, err)
	}
	for _, n := range needs {
		if n.Kind == "isolated" {
			if err := d.ensureIsolated(ctx, id, nets); err != nil {
				return err
			}
			continue
		}
		i := slices.IndexFunc(nets, func(s network.Summary) bool { return s.Name == n.Name })
		if i < 0 {
			return newError(backend.NotFound, "create", id, n.Field, "no network %q: create it with \"berth network create %s\"", n.Name, n.Name)
		}
		s := nets[i]
		kind := s.Labels[labelNetwork]
		switch {
		case kind == "isolated" || s.Driver == "host" || s.Driver == "null":
			return newError(backend.Invalid, "create", id, n.Field, "network %q cannot be joined by name: use network.mode", n.Name)
		case n.Kind == "internal" && !s.Internal, n.Kind == "shared" && s.Internal, n.Kind != "" && kind != "" && kind != n.Kind:
			return newError(backend.Conflict, "create", id, n.Field, "network %q is not %s", n.Name, n.Kind)
		case n.Kind != "" && kind == "":
			return newError(backend.Conflict, "create", id, n.Field, "network %q was not made by berth, so that nothing is promised about it: use network mode named", n.Name)
		case n.Ports && (s.Internal || s.Driver != "bridge" && s.Driver != "overlay" && s.Driver != "nat"):
			e := newError(backend.Unsupported, "create", id, "binding.ports[0]", "docker publishes no ports on network %q (driver %s, internal %t), and does not say so", n.Name, s.Driver, s.Internal)
			e.Capability = backend.BindInternal
			return e
		}
	}
	return nil
}

// isolated returns the networks named like berth's isolated one, oldest first.
func isolated(nets []network.Summary) []network.Summary {
	out := slices.DeleteFunc(slices.Clone(nets), func(n network.Summary) bool { return n.Name != isolatedNetwork })
	slices.SortFunc(out, func(a, b network.Summary) int {
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
	})
	return out
}

// ensureIsolated makes the isolated network when nets has none. Processes race
// for it, and engines before 25 let several networks have one name: whoever
// made one looks again, and everybody removes all but the oldest.
func (d *driver) ensureIsolated(ctx context.Context, id backend.ID, nets []network.Summary) error {
	for range 10 {
		have := isolated(nets)
		switch {
		case len(have) == 1:
			n := have[0]
			if n.Labels[labelNetwork] != "isolated" || n.Driver != "bridge" || n.Internal || n.Options[optionICC] != "false" {
				return newError(backend.Conflict, "create", id, "network.mode", "the engine has a network %q that is not berth's or was changed: remove it", isolatedNetwork)
			}
			return nil
		case len(have) > 1:
			for _, n := range have[1:] {
				if err := d.cli.NetworkRemove(ctx, n.ID); err != nil && !cerrdefs.IsNotFound(err) {
					return d.fail(ctx, "create", id, err)
				}
			}
		default:
			// Not cut off by the end of ctx: the engine would go on all the same.
			_, err := finish(ctx, func(ctx context.Context) (network.CreateResponse, error) { return d.makeIsolated(ctx, nil) })
			if err != nil && !cerrdefs.IsConflict(err) && !cerrdefs.IsAlreadyExists(err) {
				return d.fail(ctx, "create", id, err)
			}
		}
		var err error
		if nets, err = d.cli.NetworkList(ctx, network.ListOptions{Filters: filters.NewArgs(filters.Arg("name", isolatedNetwork))}); err != nil {
			return d.fail(ctx, "create", id, err)
		}
	}
	return newError(backend.Internal, "create", id, "network.mode", "network %q keeps being made and removed by others", isolatedNetwork)
}

// dropIsolated removes the isolated network unless a sandbox other than id is
// to use it. A sandbox that is running keeps the engine from removing it, which
// is how a sandbox that was made since others were listed is safe; one that was
// not started yet gets a new network at its start.
func (d *driver) dropIsolated(ctx context.Context, id backend.ID, others []container.Summary) {
	for _, c := range others {
		if c.Labels[labelID] != string(id) && c.HostConfig.NetworkMode == isolatedNetwork {
			return
		}
	}
	n, err := d.cli.NetworkInspect(ctx, isolatedNetwork, network.InspectOptions{})
	if err != nil || n.Labels[labelKeep] != "" {
		return
	}
	if err := d.cli.NetworkRemove(ctx, n.ID); err != nil && !cerrdefs.IsNotFound(err) {
		d.cfg.Log.Debug("network kept", "network", isolatedNetwork, "reason", err)
	}
}

// makeIsolated makes the network that isolated sandboxes share.
func (d *driver) makeIsolated(ctx context.Context, labels map[string]string) (network.CreateResponse, error) {
	all := map[string]string{labelNetwork: "isolated"}
	maps.Copy(all, labels)
	return d.cli.NetworkCreate(ctx, isolatedNetwork, network.CreateOptions{
		Driver: "bridge", Options: map[string]string{optionICC: "false"}, Labels: all,
	})
}

// labelKeep marks an isolated network that stays when no sandbox needs it: it
// costs more to make and remove than a sandbox itself. Docker's labels cannot be
// changed later, so that one which is in use cannot be kept any more.
const labelKeep = "berth.keep"

// keepIsolated makes the isolated network ahead of time.
func (d *driver) keepIsolated(ctx context.Context) (*backend.NetworkInfo, error) {
	const op = "network-create"
	_, err := finish(ctx, func(ctx context.Context) (network.CreateResponse, error) {
		return d.makeIsolated(ctx, map[string]string{labelKeep: "true"})
	})
	if err != nil && !cerrdefs.IsConflict(err) && !cerrdefs.IsAlreadyExists(err) {
		return nil, d.fail(ctx, op, "", err)
	}
	n, err := d.cli.NetworkInspect(ctx, isolatedNetwork, network.InspectOptions{})
	if err != nil {
		return nil, d.fail(ctx, op, "", err)
	}
	if n.Labels[labelKeep] == "" {
		return nil, newError(backend.Conflict, op, "", "", "network %q is in use as one that goes with its last sandbox: remove the sandboxes first", isolatedNetwork)
	}
	return &backend.NetworkInfo{Name: string(spec.NetIsolated), Managed: true, NativeID: n.ID, Members: len(n.Containers)}, nil
}

// usesIsolated reports whether a sandbox other than id is to use the isolated
// network.
func usesIsolated(id backend.ID, all []container.Summary) bool {
	return slices.ContainsFunc(all, func(c container.Summary) bool {
		return c.Labels[labelID] != string(id) && c.HostConfig.NetworkMode == isolatedNetwork
	})
}

// CreateNetwork makes a bridge network. The name "isolated" stands for the
// network that isolated sandboxes share: it is then kept when the last of them
// goes.
func (d *driver) CreateNetwork(ctx context.Context, name string, internal bool) (*backend.NetworkInfo, error) {
	const op = "network-create"
	if name == string(spec.NetIsolated) && !internal {
		return d.keepIsolated(ctx)
	}
	if name == "" || notJoinable(name) || name == "bridge" {
		return nil, newError(backend.Invalid, op, "", "network.name", "%q cannot be the name of a network", name)
	}
	kind := string(spec.NetShared)
	if internal {
		kind = string(spec.NetInternal)
	}
	_, err := finish(ctx, func(ctx context.Context) (network.CreateResponse, error) {
		return d.cli.NetworkCreate(ctx, name, network.CreateOptions{
			Driver: "bridge", Internal: internal, Labels: map[string]string{labelNetwork: kind},
		})
	})
	if err != nil && !cerrdefs.IsConflict(err) && !cerrdefs.IsAlreadyExists(err) {
		return nil, d.fail(ctx, op, "", err)
	}
	made := err == nil
	if ctx.Err() != nil {
		if made {
			d.cleanup(ctx, func(ctx context.Context) { _ = d.cli.NetworkRemove(ctx, name) })
		}
		return nil, ctx.Err()
	}
	n, err := d.cli.NetworkInspect(ctx, name, network.InspectOptions{})
	if err != nil {
		return nil, d.fail(ctx, op, "", err)
	}
	if n.Labels[labelNetwork] != kind || n.Internal != internal {
		return nil, newError(backend.Exists, op, "", "", "the engine has another network %q: choose another name", name)
	}
	return &backend.NetworkInfo{Name: n.Name, Internal: n.Internal, Managed: true, NativeID: n.ID, Members: len(n.Containers)}, nil
}

// Networks yields what a sandbox can name in network.name or network.additional.
func (d *driver) Networks(ctx context.Context) iter.Seq2[backend.NetworkInfo, error] {
	return func(yield func(backend.NetworkInfo, error) bool) {
		nets, err := d.cli.NetworkList(ctx, network.ListOptions{})
		if err != nil {
			yield(backend.NetworkInfo{}, d.fail(ctx, "networks", "", err))
			return
		}
		all, err := d.containers(ctx)
		if err != nil {
			yield(backend.NetworkInfo{}, d.fail(ctx, "networks", "", err))
			return
		}
		slices.SortFunc(nets, func(a, b network.Summary) int { return strings.Compare(a.Name, b.Name) })
		for _, n := range nets {
			kind, name := n.Labels[labelNetwork], n.Name
			if n.Labels[labelKeep] != "" {
				kind, name = "kept", string(spec.NetIsolated)
			}
			if n.Driver == "host" || n.Driver == "null" || n.Ingress || n.ConfigOnly || kind == "isolated" {
				continue
			}
			if !yield(backend.NetworkInfo{Name: name, Internal: n.Internal, Managed: kind != "", NativeID: n.ID, Members: len(members(n.Name, all))}, nil) {
				return
			}
		}
	}
}

// members are the sandboxes, of any state, that joined the network name.
func members(name string, all []container.Summary) []backend.ID {
	var out []backend.ID
	for _, c := range all {
		joined := c.HostConfig.NetworkMode == name
		if c.NetworkSettings != nil {
			_, on := c.NetworkSettings.Networks[name]
			joined = joined || on
		}
		if joined {
			out = append(out, backend.ID(c.Labels[labelID]))
		}
	}
	return out
}

// RemoveNetwork removes a network of CreateNetwork's. A stopped sandbox keeps
// it too: docker would let it go, and the sandbox could never start again.
func (d *driver) RemoveNetwork(ctx context.Context, name string) error {
	const op = "network-remove"
	if name == string(spec.NetIsolated) {
		name = isolatedNetwork
	}
	n, err := d.cli.NetworkInspect(ctx, name, network.InspectOptions{})
	if err != nil || n.Name != name { // an id or the beginning of one is found too
		if err == nil || cerrdefs.IsNotFound(err) {
			return newError(backend.NotFound, op, "", "", "no network %q", name)
		}
		return d.fail(ctx, op, "", err)
	}
	if kind := n.Labels[labelNetwork]; kind != "shared" && kind != "internal" && n.Labels[labelKeep] == "" {
		return newError(backend.Denied, op, "", "", "network %q was not made by \"berth network create\"", name)
	}
	all, err := d.containers(ctx)
	if err != nil {
		return d.fail(ctx, op, "", err)
	}
	if in := members(name, all); len(in) > 0 {
		return newError(backend.Conflict, op, "", "", "network %q is in use by %d sandboxes, %s among them: remove them first", name, len(in), in[0])
	}
	if err := d.cli.NetworkRemove(ctx, n.ID); err != nil {
		if cerrdefs.IsPermissionDenied(err) || strings.Contains(err.Error(), "active endpoints") {
			// 403, or 409 since docker 28, is this engine's word for "in use".
			return &backend.Error{Kind: backend.Conflict, Op: "docker." + op, Message: "network " + name + " is in use", Err: err}
		}
		return d.fail(ctx, op, "", err)
	}
	return nil
}
