// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"encoding/json"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/go-connections/nat"
)

// inspectors bounds how many containers List asks about at once.
const inspectors = 8

// labelled lists the containers that bear berth's label, helpers among them.
func (d *driver) labelled(ctx context.Context) ([]container.Summary, error) {
	return d.cli.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", labelID))})
}

// containers lists the containers of berth's sandboxes, of any state.
func (d *driver) containers(ctx context.Context) ([]container.Summary, error) {
	all, err := d.labelled(ctx)
	return sandboxes(all), err
}

// sandboxes are those of the containers that are one.
func sandboxes(all []container.Summary) []container.Summary {
	return slices.DeleteFunc(slices.Clone(all), func(c container.Summary) bool {
		return !slices.ContainsFunc(c.Names, func(name string) bool { return ours(name, c.Labels) })
	})
}

// ours reports whether a container is a sandbox. Its name must agree with its
// labels, because an image can carry labels and cannot name its container.
func ours(name string, labels map[string]string) bool {
	id, own := labels[labelID], labels[labelName]
	if id == "" {
		return false
	}
	name = strings.TrimPrefix(name, "/")
	return own == "" && name == prefix+id || own != "" && name == prefix+own
}

// find returns the container of a sandbox, freshly inspected. NotFound when
// there is none.
func (d *driver) find(ctx context.Context, op string, id backend.ID) (*container.InspectResponse, error) {
	native, err := d.native(ctx, op, id)
	if err != nil {
		return nil, err
	}
	c, err := d.cli.ContainerInspect(ctx, native)
	if cerrdefs.IsNotFound(err) {
		d.forget(id)
		if native, err = d.native(ctx, op, id); err != nil {
			return nil, err
		}
		c, err = d.cli.ContainerInspect(ctx, native)
	}
	switch {
	case cerrdefs.IsNotFound(err):
		return nil, absent(op, id)
	case err != nil:
		return nil, d.fail(ctx, op, id, err)
	case c.ContainerJSONBase == nil || c.State == nil || c.Config == nil || c.HostConfig == nil:
		return nil, newError(backend.Internal, op, id, "", "the engine's answer about the container is not complete")
	case c.Config.Labels[labelID] != string(id) || !ours(c.Name, c.Config.Labels):
		return nil, absent(op, id)
	}
	return &c, nil
}

func absent(op string, id backend.ID) error {
	return newError(backend.NotFound, op, id, "", "no such sandbox on this engine")
}

// native returns the id of a sandbox's container, which may be gone by now.
func (d *driver) native(ctx context.Context, op string, id backend.ID) (string, error) {
	d.mu.Lock()
	native, ok := d.natives[id]
	d.mu.Unlock()
	if ok {
		return native, nil
	}
	list, err := d.cli.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", labelID+"="+string(id)))})
	if err != nil {
		return "", d.fail(ctx, op, id, err)
	}
	for _, c := range list {
		if c.Labels[labelID] == string(id) && slices.ContainsFunc(c.Names, func(name string) bool { return ours(name, c.Labels) }) {
			d.remember(id, c.ID)
			return c.ID, nil
		}
	}
	return "", absent(op, id)
}

func (d *driver) remember(id backend.ID, native string) {
	d.mu.Lock()
	d.natives[id] = native
	d.mu.Unlock()
}

func (d *driver) forget(id backend.ID) {
	d.mu.Lock()
	delete(d.natives, id)
	d.mu.Unlock()
}

// Inspect reports the sandbox's state.
func (d *driver) Inspect(ctx context.Context, id backend.ID) (*backend.Status, error) {
	c, err := d.find(ctx, "inspect", id)
	if err != nil {
		return nil, err
	}
	return d.status(c), nil
}

// List yields every sandbox. The engine's list lacks half of a status, so that
// each container is asked about; those that go meanwhile are left out.
func (d *driver) List(ctx context.Context, opts *backend.ListOptions) iter.Seq2[*backend.Status, error] {
	return func(yield func(*backend.Status, error) bool) {
		all, err := d.containers(ctx)
		if err != nil {
			yield(nil, d.fail(ctx, "list", "", err))
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		found := make([]*backend.Status, len(all))
		errs := make([]error, len(all))
		done := make([]chan struct{}, len(all))
		slots := make(chan struct{}, inspectors)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		for i := range all {
			done[i] = make(chan struct{})
		}
		for i, c := range all {
			wg.Go(func() {
				defer close(done[i])
				select {
				case slots <- struct{}{}:
					defer func() { <-slots }()
				case <-ctx.Done():
					errs[i] = ctx.Err()
					return
				}
				id := backend.ID(c.Labels[labelID])
				d.remember(id, c.ID)
				in, err := d.find(ctx, "list", id)
				if err == nil {
					found[i] = d.status(in)
				} else if backend.KindOf(err) != backend.NotFound {
					errs[i] = err
				}
			})
		}
		for i := range all {
			<-done[i]
			switch {
			case errs[i] != nil:
				yield(nil, errs[i])
				return
			case found[i] == nil || opts != nil && !hasLabels(found[i], opts.Labels):
				continue
			}
			if !yield(found[i], nil) {
				return
			}
		}
	}
}

// hasLabels compares with the spec's labels, not with the container's, which the
// image may have added to.
func hasLabels(st *backend.Status, want map[string]string) bool {
	for k, v := range want {
		if st.Record.Spec == nil {
			return false
		}
		if got, ok := st.Record.Spec.Labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// status makes the neutral state of what the engine says about a container.
func (d *driver) status(c *container.InspectResponse) *backend.Status {
	st := &backend.Status{
		ID: backend.ID(c.Config.Labels[labelID]), Name: c.Config.Labels[labelName],
		Ports: []backend.PortStatus{}, Networks: []backend.NetworkStatus{},
		CreatedAt: moment(c.Created), StartedAt: moment(c.State.StartedAt),
		Engine: backend.EngineStatus{Driver: Name, NativeID: c.ID, NativeName: strings.TrimPrefix(c.Name, "/"), InitPID: c.State.Pid, Image: c.Image},
	}
	if err := json.Unmarshal([]byte(c.Config.Labels[labelRecord]), &st.Record); err != nil {
		d.cfg.Log.Warn("record of a sandbox cannot be read", "sandbox", st.ID, "error", err)
	}
	switch c.State.Status {
	case container.StateCreated:
		st.Phase = backend.PhaseCreated
	case container.StateRunning, container.StateRestarting:
		st.Phase = backend.PhaseRunning
	case container.StatePaused:
		st.Phase = backend.PhasePaused
	case container.StateExited:
		st.Phase = backend.PhaseExited
	default: // removing, dead
		st.Phase = backend.PhaseFailed
	}
	if st.Phase == backend.PhaseExited {
		st.FinishedAt = moment(c.State.FinishedAt)
		if st.FinishedAt.Before(st.StartedAt) {
			// The engine notes the start when it has heard of it, which for a short
			// process is after its end.
			st.StartedAt = st.FinishedAt
		}
		st.Exit = &backend.Exit{Code: c.State.ExitCode, OOMKilled: c.State.OOMKilled}
	}
	s := st.Record.Spec
	if s == nil {
		s = &spec.Sandbox{}
	}
	running := st.Phase == backend.PhaseRunning || st.Phase == backend.PhasePaused
	if c.NetworkSettings != nil {
		if running {
			st.Ports = ports(s, c.NetworkSettings.Ports)
		}
		for _, name := range slices.Sorted(maps.Keys(c.NetworkSettings.Networks)) {
			ep := c.NetworkSettings.Networks[name]
			if name == "none" || name == "host" || ep == nil {
				continue
			}
			n := backend.NetworkStatus{Name: name, Addresses: []string{}}
			if s.Network.Mode == spec.NetIsolated && string(c.HostConfig.NetworkMode) == name {
				n.Name = string(spec.NetIsolated) // whatever carries it
			}
			for _, a := range []string{ep.IPAddress, ep.GlobalIPv6Address} {
				if a != "" && running {
					n.Addresses = append(n.Addresses, a)
				}
			}
			st.Networks = append(st.Networks, n)
		}
	}
	return st
}

// moment reads the engine's form of a time, in which year 1 is "never".
func moment(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() <= 1 {
		return time.Time{}
	}
	return t.UTC()
}

// ports gives the spec's ports the host ports that the engine bound, in the
// spec's order. One container port may be published several times.
func ports(s *spec.Sandbox, bound nat.PortMap) []backend.PortStatus {
	taken := map[nat.PortBinding]nat.Port{}
	found := make([]*backend.PortStatus, len(s.Binding.Ports))
	// Ports with a host port of their own go first, so that it is not given to
	// one for which the engine picked.
	for _, fixed := range []bool{true, false} {
		for i, p := range s.Binding.Ports {
			if (p.HostPort != 0) != fixed {
				continue
			}
			key := nat.Port(strconv.Itoa(p.ContainerPort) + "/" + string(p.Protocol))
			address := portAddress(s.Binding, p)
			for _, b := range bound[key] {
				port, err := strconv.Atoi(b.HostPort)
				if err != nil || taken[b] == key || !sameAddress(b.HostIP, address) || fixed && port != p.HostPort {
					continue
				}
				taken[b] = key
				found[i] = &backend.PortStatus{Name: p.Name, Protocol: p.Protocol, ContainerPort: p.ContainerPort, Address: address, HostPort: port}
				break
			}
		}
	}
	out := []backend.PortStatus{}
	for _, f := range found {
		if f != nil {
			out = append(out, *f)
		}
	}
	return out
}

func sameAddress(a, b string) bool {
	x, err1 := netip.ParseAddr(a)
	y, err2 := netip.ParseAddr(b)
	return a == b || err1 == nil && err2 == nil && x.Unmap() == y.Unmap()
}
