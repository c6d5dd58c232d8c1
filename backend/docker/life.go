// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
)

var (
	_ backend.Pauser    = (*driver)(nil)
	_ backend.Signaller = (*driver)(nil)
)

// startTries bounds how often Start makes the isolated network anew that others
// keep removing.
const startTries = 5

// Start starts the container. The isolated network may have gone since the
// sandbox was made or last ran; then it is made again. The engine drops the
// attached streams when a start fails, so that they are connected again too.
func (d *driver) Start(ctx context.Context, id backend.ID) error {
	native, err := d.native(ctx, "start", id)
	if err != nil {
		return err
	}
	attached := d.watched(id)
	for _, p := range attached {
		p.hold()
	}
	started := false
	defer func() {
		for _, p := range attached {
			p.release(started)
		}
	}()
	for try := range startTries {
		_, err = finish(ctx, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, d.cli.ContainerStart(ctx, native, container.StartOptions{})
		})
		if ctx.Err() != nil {
			if err == nil {
				d.cleanup(ctx, func(ctx context.Context) { _ = d.cli.ContainerKill(ctx, native, "KILL") })
			}
			return ctx.Err()
		}
		if err == nil {
			started = true
			return nil
		}
		again, rerr := d.rejoin(ctx, id, err)
		for _, p := range attached {
			if cerr := p.renew(ctx); cerr != nil {
				d.cfg.Log.Debug("attach again after a failed start", "sandbox", id, "error", cerr)
			}
		}
		if rerr != nil {
			return rerr
		}
		if !again || try == startTries-1 {
			break
		}
	}
	return d.startError(ctx, id, err)
}

// rejoin puts a sandbox that could not be started on the isolated network that
// there is now, and reports whether that can have been the reason.
func (d *driver) rejoin(ctx context.Context, id backend.ID, cause error) (bool, error) {
	c, err := d.find(ctx, "start", id)
	if err != nil {
		return false, err
	}
	if c.HostConfig.NetworkMode != isolatedNetwork {
		return false, nil
	}
	nets, err := d.cli.NetworkList(ctx, network.ListOptions{Filters: filters.NewArgs(filters.Arg("name", isolatedNetwork))})
	if err != nil {
		return false, d.fail(ctx, "start", id, err)
	}
	text := cause.Error()
	missing := cerrdefs.IsNotFound(cause) || strings.Contains(text, "ambiguous") || strings.Contains(text, "matches found")
	if len(isolated(nets)) == 1 && !(missing && strings.Contains(text, "network")) {
		return false, nil
	}
	if err := d.ensureIsolated(ctx, id, nets); err != nil {
		return false, err
	}
	if c.State.Status == container.StateCreated {
		return true, nil // it knows the network by name
	}
	// One that has run before knows the network by its old id.
	if err := d.cli.NetworkDisconnect(ctx, isolatedNetwork, c.ID, true); err != nil && !cerrdefs.IsNotFound(err) {
		return false, d.fail(ctx, "start", id, err)
	}
	if err := d.cli.NetworkConnect(ctx, isolatedNetwork, c.ID, nil); err != nil && !strings.Contains(err.Error(), "already exists") {
		return false, d.fail(ctx, "start", id, err)
	}
	return true, nil
}

var (
	portTaken   = regexp.MustCompile(`port is already allocated|address already in use|ports are not available|[Aa]ll ports are allocated`)
	portForeign = regexp.MustCompile(`cannot assign requested address`)
	portDenied  = regexp.MustCompile(`cannot expose privileged port|bind: permission denied`)
	rlimitText  = regexp.MustCompile(`setting rlimit|rlimits?`)
	commandText = regexp.MustCompile(`executable file not found|exec format error|exec: |no such file or directory`)
)

// startError finds the field that a failed start is about. The engine answers
// 500 for nearly all of it, so that only the text tells.
func (d *driver) startError(ctx context.Context, id backend.ID, err error) error {
	e, ok := errors.AsType[*backend.Error](d.fail(ctx, "start", id, err))
	if !ok {
		return ctx.Err()
	}
	text := err.Error()
	switch {
	case cerrdefs.IsNotFound(err) && strings.Contains(text, "No such container"):
		d.forget(id)
		return absent("start", id)
	case strings.Contains(text, "paused"):
		e.Kind, e.Message = backend.Conflict, "the sandbox is paused: resume it"
	case portTaken.MatchString(text):
		e.Kind, e.Message = backend.Exhausted, "the host port is taken: choose another one, or 0 to let the engine pick"
		e.Field = d.portField(ctx, id, text)
	case portForeign.MatchString(text):
		e.Kind, e.Message = backend.Invalid, "the engine's machine does not have this address"
		e.Field = d.portField(ctx, id, text)
	case portDenied.MatchString(text):
		e.Kind, e.Message = backend.Denied, "the engine may not publish a port below 1024"
		e.Field = d.portField(ctx, id, text)
	case rlimitText.MatchString(text):
		e.Kind, e.Field, e.Message = backend.Exhausted, "resources.nofile", "the limit is above what the engine itself has"
	case e.Kind == backend.NotFound && strings.Contains(text, "network"):
		e.Field = "network.name"
	case strings.Contains(text, "nknown runtime") || strings.Contains(text, "runtime") && strings.Contains(text, "not found"):
		e.Kind, e.Field, e.Capability = backend.Unsupported, "security.runtime", backend.SecRuntime
	case strings.Contains(text, "CDI device"):
		e.Kind, e.Field, e.Message = backend.NotFound, "security.devices", "the engine has no such CDI device"
	case strings.Contains(text, "device") && (e.Kind == backend.Internal || e.Kind == backend.Invalid) && strings.Contains(text, "gathering device information"):
		e.Kind, e.Field = backend.Invalid, "security.devices"
	case commandText.MatchString(text) && !strings.Contains(text, "mount"):
		e.Kind, e.Field = backend.Invalid, "process.command"
	}
	return e
}

// portField names the port of the spec that a message is about. Newer engines
// do not say which; then it is the one that somebody else has.
func (d *driver) portField(ctx context.Context, id backend.ID, text string) spec.Path {
	c, err := d.find(ctx, "start", id)
	if err != nil {
		return "binding.ports"
	}
	s := d.status(c).Record.Spec
	if s == nil {
		return "binding.ports"
	}
	all, err := d.cli.ContainerList(ctx, container.ListOptions{})
	if err != nil {
		d.cfg.Log.Debug("ports of others", "error", err)
	}
	return portField(s, text, func(address string, p spec.Port) bool {
		for _, o := range all {
			for _, b := range o.Ports {
				if int(b.PublicPort) == p.HostPort && b.Type == string(p.Protocol) && overlap(b.IP, address) {
					return true
				}
			}
		}
		return !d.remote && !free(address, p)
	})
}

func portField(s *spec.Sandbox, text string, taken func(string, spec.Port) bool) spec.Path {
	best, found := 0, spec.Path("binding.ports")
	for i, p := range s.Binding.Ports {
		address := portAddress(s.Binding, p)
		rank := 1
		switch {
		case regexp.MustCompile(regexp.QuoteMeta(net.JoinHostPort(address, strconv.Itoa(p.HostPort))) + `\b`).MatchString(text):
			rank = 4
		case p.HostPort == 0: // the engine picked a free one
			rank = 0
		case taken(address, p):
			rank = 3
		case strings.Contains(strings.ToLower(text), string(p.Protocol)):
			rank = 2
		}
		if rank > best || len(s.Binding.Ports) == 1 {
			best, found = rank, spec.Path(fmt.Sprintf("binding.ports[%d]", i))
		}
	}
	return found
}

// overlap reports whether ports at both addresses exclude each other.
func overlap(a, b string) bool {
	x, err1 := netip.ParseAddr(a)
	y, err2 := netip.ParseAddr(b)
	return err1 == nil && err2 == nil && (x == y || (x.IsUnspecified() || y.IsUnspecified()) && x.Is4() == y.Is4())
}

// free reports whether the host port can be taken on this machine.
func free(address string, p spec.Port) bool {
	at := net.JoinHostPort(address, strconv.Itoa(p.HostPort))
	var c io.Closer
	var err error
	if p.Protocol == spec.UDP {
		c, err = net.ListenPacket("udp", at)
	} else {
		c, err = net.Listen("tcp", at)
	}
	if err != nil {
		return !errors.Is(err, syscall.EADDRINUSE)
	}
	c.Close()
	return true
}

// Stop signals, waits for the grace and kills. Docker's own stop knows whole
// seconds only, and older engines no other signal than the container's.
func (d *driver) Stop(ctx context.Context, id backend.ID, opts *backend.StopOptions) error {
	if opts == nil {
		opts = &backend.StopOptions{}
	}
	c, err := d.find(ctx, "stop", id)
	if err != nil {
		return err
	}
	signal := c.Config.StopSignal
	if opts.Signal != "" {
		signal = opts.Signal
	}
	number := "TERM"
	if signal != "" {
		_, n, err := spec.ParseSignal(signal)
		if err != nil {
			if opts.Signal != "" {
				return &backend.Error{Kind: backend.Invalid, Op: "docker.stop", ID: id, Field: "life.stopSignal", Err: err}
			}
			n = 15 // an image may name a signal that nobody knows
		}
		number = strconv.Itoa(n)
	}
	grace := spec.DefaultStopGrace.Std()
	if s := d.status(c).Record.Spec; s != nil && s.Life.StopGrace > 0 {
		grace = s.Life.StopGrace.Std()
	}
	if opts.Grace != nil {
		grace = *opts.Grace
	}
	if !c.State.Running {
		return nil
	}

	// The wait begins before the signal, so that it cannot miss the end.
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	ended, failed := d.cli.ContainerWait(wait, c.ID, container.WaitConditionNotRunning)
	if grace > 0 {
		if err := d.kill(ctx, id, c.ID, number); err != nil {
			return d.endedOr(ctx, id, err)
		}
		if c.State.Paused {
			// A frozen process takes the signal when it is thawed.
			if err := d.cli.ContainerUnpause(ctx, c.ID); err != nil && !cerrdefs.IsConflict(err) {
				d.cfg.Log.Debug("unpause before stop", "sandbox", id, "error", err)
			}
		}
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-ended:
			return nil
		case err := <-failed:
			return d.endedOr(ctx, id, err)
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
	if err := d.kill(ctx, id, c.ID, "KILL"); err != nil {
		return d.endedOr(ctx, id, err)
	}
	select {
	case <-ended:
		return nil
	case err := <-failed:
		return d.endedOr(ctx, id, err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// kill sends a signal; a process that has ended meanwhile is no error.
func (d *driver) kill(ctx context.Context, id backend.ID, native, signal string) error {
	err := d.cli.ContainerKill(ctx, native, signal)
	if err != nil && cerrdefs.IsConflict(err) && strings.Contains(err.Error(), "not running") {
		return nil
	}
	return err
}

// endedOr is the result of Stop when something failed on the way: nil when the
// process has ended all the same.
func (d *driver) endedOr(ctx context.Context, id backend.ID, err error) error {
	if err == nil {
		return nil
	}
	if c, ferr := d.find(ctx, "stop", id); ferr == nil && !c.State.Running {
		return nil
	} else if backend.KindOf(ferr) == backend.NotFound {
		return ferr
	}
	return d.fail(ctx, "stop", id, err)
}

// Signal signals PID 1.
func (d *driver) Signal(ctx context.Context, id backend.ID, signal string) error {
	_, n, err := spec.ParseSignal(signal)
	if err != nil {
		return &backend.Error{Kind: backend.Invalid, Op: "docker.signal", ID: id, Err: err}
	}
	return d.act(ctx, "signal", id, func(native string) error { return d.cli.ContainerKill(ctx, native, strconv.Itoa(n)) }, "")
}

// Pause freezes the sandbox.
func (d *driver) Pause(ctx context.Context, id backend.ID) error {
	return d.act(ctx, "pause", id, func(native string) error { return d.cli.ContainerPause(ctx, native) }, backend.PhasePaused)
}

// Resume thaws the sandbox.
func (d *driver) Resume(ctx context.Context, id backend.ID) error {
	return d.act(ctx, "resume", id, func(native string) error { return d.cli.ContainerUnpause(ctx, native) }, backend.PhaseRunning)
}

// act does something to a running container. When it fails, the state says
// whether there was nothing to do (the phase is there already) or the sandbox
// does not run; docker answers 409 or 500 for both, by version.
func (d *driver) act(ctx context.Context, op string, id backend.ID, do func(native string) error, phase backend.Phase) error {
	native, err := d.native(ctx, op, id)
	if err != nil {
		return err
	}
	err = do(native)
	if err == nil {
		return nil
	}
	c, ferr := d.find(ctx, op, id)
	if ferr != nil {
		return ferr
	}
	switch st := d.status(c); {
	case phase != "" && st.Phase == phase:
		return nil
	case !c.State.Running:
		return newError(backend.Conflict, op, id, "", "the sandbox is not running")
	case c.ID != native:
		return d.fail(ctx, op, id, do(c.ID))
	}
	return d.fail(ctx, op, id, err)
}

// Wait asks the engine to answer when the process has ended.
func (d *driver) Wait(ctx context.Context, id backend.ID) (*backend.Exit, error) {
	c, err := d.find(ctx, "wait", id)
	if err != nil {
		return nil, err
	}
	if c.State.Status == container.StateCreated {
		return nil, newError(backend.Conflict, "wait", id, "", "the sandbox was never started")
	}
	if !c.State.Running {
		return d.status(c).Exit, nil
	}
	// Should it end before the engine gets to it, the condition holds at once.
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	ended, failed := d.cli.ContainerWait(wait, c.ID, container.WaitConditionNotRunning)
	return d.exit(ctx, id, c.ID, ended, failed)
}

// exit turns the engine's answer to a wait into an Exit.
func (d *driver) exit(ctx context.Context, id backend.ID, native string, ended <-chan container.WaitResponse, failed <-chan error) (*backend.Exit, error) {
	select {
	case r := <-ended:
		if r.Error != nil && r.Error.Message != "" {
			return nil, newError(backend.Internal, "wait", id, "", "%s", r.Error.Message)
		}
		exit := &backend.Exit{Code: int(r.StatusCode)}
		// Only the container knows whether memory was the reason.
		if c, err := d.cli.ContainerInspect(ctx, native); err == nil && c.State != nil && c.State.ExitCode == exit.Code {
			exit.OOMKilled = c.State.OOMKilled
		}
		return exit, nil
	case err := <-failed:
		return nil, d.fail(ctx, "wait", id, err)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Remove takes the container away with its anonymous volumes, its own volumes
// and the isolated network when it was the last there.
func (d *driver) Remove(ctx context.Context, id backend.ID, opts *backend.RemoveOptions) error {
	force := opts != nil && opts.Force
	marked, err := d.labelled(ctx)
	if err != nil {
		return d.fail(ctx, "remove", id, err)
	}
	d.sweep(ctx, id, marked)
	all := sandboxes(marked)
	var own *container.Summary
	for i := range all {
		if all[i].Labels[labelID] == string(id) {
			own = &all[i]
		}
	}
	if own == nil {
		d.forget(id)
		return d.removeVolumes(ctx, id)
	}
	running := own.State == container.StateRunning || own.State == container.StatePaused || own.State == container.StateRestarting
	if running && !force {
		return newError(backend.Conflict, "remove", id, "", "the sandbox is running: stop it first, or force")
	}
	volumes, shared := supportVolumes(id, own.Mounts)
	onIsolated := own.HostConfig.NetworkMode == isolatedNetwork
	// Removing a bridge takes several times as long as removing a container, and
	// one that has ended does not hold on to it.
	early := onIsolated && !running && !usesIsolated(id, all)
	err = together(
		func() error { return d.removeContainer(ctx, own.ID, force) },
		func() error {
			if early {
				d.dropIsolated(ctx, id, all)
			}
			return nil
		},
	)
	if err != nil {
		if cerrdefs.IsConflict(err) && !force {
			return &backend.Error{Kind: backend.Conflict, Op: "docker.remove", ID: id, Message: "the sandbox is running: stop it first, or force", Err: err}
		}
		return d.fail(ctx, "remove", id, err)
	}
	d.forget(id)
	for _, v := range volumes {
		if err := d.cli.VolumeRemove(ctx, v, true); err != nil && !cerrdefs.IsNotFound(err) {
			return d.fail(ctx, "remove", id, err)
		}
	}
	if onIsolated && !early || len(shared) > 0 {
		// Of several that are removed at once, the last one has to see that it is.
		if all, err = d.containers(ctx); err != nil {
			return d.fail(ctx, "remove", id, err)
		}
		if onIsolated && !early {
			d.dropIsolated(ctx, id, all)
		}
		d.dropShared(ctx, id, shared, all)
	}
	return nil
}

// helperAge is after what time a helper container is taken for left behind. They
// live for a tenth of a second.
const helperAge = time.Hour

// sweep removes the helper containers of a sandbox, and old ones of any, which a
// berth that was killed has left behind.
func (d *driver) sweep(ctx context.Context, id backend.ID, marked []container.Summary) {
	for _, c := range marked {
		of, helper := c.Labels[labelHelper]
		if !helper || c.State != container.StateCreated || of != string(id) && time.Since(time.Unix(c.Created, 0)) < helperAge {
			continue
		}
		if err := d.removeContainer(ctx, c.ID, false); err != nil {
			d.cfg.Log.Debug("helper kept", "container", c.ID, "error", err)
		}
	}
}

// removeContainer removes a container and waits when somebody else is at it.
func (d *driver) removeContainer(ctx context.Context, native string, force bool) error {
	opts := container.RemoveOptions{Force: force, RemoveVolumes: true}
	err := d.cli.ContainerRemove(ctx, native, opts)
	if err == nil || cerrdefs.IsNotFound(err) {
		return nil
	}
	if !cerrdefs.IsConflict(err) || !strings.Contains(err.Error(), "already in progress") {
		return err
	}
	ended, failed := d.cli.ContainerWait(ctx, native, container.WaitConditionRemoved)
	select {
	case <-ended:
		return nil
	case err := <-failed:
		if cerrdefs.IsNotFound(err) {
			return nil
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// removeVolumes removes the volumes of a sandbox whose container is gone, as
// after a create that was killed.
func (d *driver) removeVolumes(ctx context.Context, id backend.ID) error {
	list, err := d.cli.VolumeList(ctx, volume.ListOptions{Filters: filters.NewArgs(filters.Arg("label", labelID+"="+string(id)))})
	if err != nil {
		return d.fail(ctx, "remove", id, err)
	}
	var errs []error
	for _, v := range list.Volumes {
		if v != nil && strings.HasPrefix(v.Name, volumeName(id, "")) {
			if err := d.cli.VolumeRemove(ctx, v.Name, true); err != nil && !cerrdefs.IsNotFound(err) {
				errs = append(errs, err)
			}
		}
	}
	return d.fail(ctx, "remove", id, errors.Join(errs...))
}
