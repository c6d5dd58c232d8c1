// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
)

// settleTimeout is how long a request that changes the engine may still take
// after its caller's context has ended. The engine goes on with it in any case,
// so that only its answer tells what there is to clean up.
const settleTimeout = 15 * time.Second

// finish runs a request that changes the engine to its end, although ctx ends,
// within settleTimeout from then.
func finish[T any](ctx context.Context, fn func(context.Context) (T, error)) (T, error) {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(settleTimeout, cancel)
		context.AfterFunc(inner, func() { t.Stop() })
	})
	defer stop()
	return fn(inner)
}

// cleanup runs fn with a context that does not end with ctx.
func (d *driver) cleanup(ctx context.Context, fn func(context.Context)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	fn(ctx)
}

// Create makes the container. It takes three round trips when nothing special
// is asked for: a look at what is there (in parallel), the create, the read-back.
func (d *driver) Create(ctx context.Context, req *backend.CreateRequest) (*backend.Status, error) {
	if req.ID == "" || req.Image == nil {
		return nil, newError(backend.Invalid, "create", req.ID, "", "a request without id or image")
	}
	info, err := d.probe(ctx)
	if err != nil {
		return nil, err
	}
	_, out, err := translate(req, info)
	if err != nil {
		return nil, err
	}

	var existing *backend.Status
	var fresh []string
	if err := together(
		func() (err error) { existing, err = d.existing(ctx, req); return err },
		func() error { return d.checkNetworks(ctx, req.ID, out.Needs) },
		func() (err error) { fresh, err = d.freshVolumes(ctx, req.ID, out); return err },
	); err != nil || existing != nil {
		if existing != nil && backend.KindOf(err) != backend.Exists {
			return existing, nil // whatever the networks are like by now
		}
		return nil, d.undo(ctx, req.ID, nil, err)
	}
	if !info.Remote {
		d.bindSubmounts(req, out)
	}

	made := &leftovers{volumes: fresh, name: out.Name}
	for _, m := range out.Host.Mounts {
		if m.VolumeOptions == nil {
			continue
		}
		if m.VolumeOptions.Labels[labelID] == string(req.ID) {
			made.volumes = append(made.volumes, m.Source)
		}
		if m.VolumeOptions.Labels[labelVolume] == sharedVolume {
			made.shared = append(made.shared, m.Source)
		}
	}
	st, err := d.build(ctx, req, info, out, fresh, made)
	if err != nil {
		if st != nil {
			return st, nil
		}
		return nil, d.undo(ctx, req.ID, made, err)
	}
	return st, nil
}

// errTwin says that another process made the same sandbox at the same moment.
var errTwin = errors.New("made by another process")

// build makes the container and everything after it. With an error and a
// status, the status is that of a twin that won.
func (d *driver) build(ctx context.Context, req *backend.CreateRequest, info *backend.Info, out *request, fresh []string, made *leftovers) (*backend.Status, error) {
	if err := d.prepareSupport(ctx, req, out); err != nil {
		return nil, err
	}
	create := func(ctx context.Context) (container.CreateResponse, error) {
		return d.cli.ContainerCreate(ctx, out.Config, out.Host, out.Networking, nil, out.Name)
	}
	resp, err := finish(ctx, create)
	if err != nil && len(out.copies) > 0 && strings.Contains(err.Error(), "source path does not exist") {
		// The last other user of a shared volume took it along just now.
		if err := d.prepareSupport(ctx, req, out); err != nil {
			return nil, err
		}
		resp, err = finish(ctx, create)
	}
	for pause := 5 * time.Millisecond; isTaken(err); pause = min(pause*2, time.Second) {
		st, stranger, terr := d.twin(ctx, req, out, err)
		if st != nil || terr != nil {
			made.container = "none"
			if stranger {
				// Docker makes volumes after it has taken the name: named ones that
				// are there by now are somebody else's.
				made.volumes = slices.DeleteFunc(made.volumes, func(v string) bool { return !strings.HasPrefix(v, volumeName(req.ID, "")) })
			} else {
				made.volumes, made.shared = nil, nil
			}
			return st, terr
		}
		// The name is taken by a container that is only about to exist, or is
		// about to go.
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			made.container = "none"
			made.volumes = slices.DeleteFunc(made.volumes, func(v string) bool { return !strings.HasPrefix(v, volumeName(req.ID, "")) })
			return nil, ctx.Err()
		}
		resp, err = finish(ctx, create)
	}
	if err != nil {
		return nil, d.createError(ctx, req, err)
	}
	made.container = resp.ID
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err := checkWarnings(req, info, resp.Warnings); err != nil {
		return nil, err
	}
	for _, j := range out.Join {
		if err := d.cli.NetworkConnect(ctx, j.Network, resp.ID, j.Endpoint); err != nil {
			return nil, d.fail(ctx, "create", req.ID, err)
		}
	}
	c, err := d.cli.ContainerInspect(ctx, resp.ID)
	if err != nil {
		return nil, d.fail(ctx, "create", req.ID, err)
	}
	if err := d.ownVolumes(ctx, req, out, c.Mounts, fresh); err != nil {
		return nil, err
	}
	if err := readBack(req, info, out, &c); err != nil {
		return nil, err
	}
	d.remember(req.ID, resp.ID)
	return d.status(&c), nil
}

func isTaken(err error) bool { return cerrdefs.IsConflict(err) || cerrdefs.IsAlreadyExists(err) }

// together runs the functions at the same time and returns the first error in
// their order.
func together(fns ...func() error) error {
	errs := make([]error, len(fns))
	var wg sync.WaitGroup
	for i, fn := range fns {
		wg.Go(func() { errs[i] = fn() })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// existing returns the sandbox of the request's id when it is there already:
// its status when it was made of the same spec, Exists otherwise.
func (d *driver) existing(ctx context.Context, req *backend.CreateRequest) (*backend.Status, error) {
	c, err := d.find(ctx, "create", req.ID)
	if backend.KindOf(err) == backend.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	st := d.status(c)
	if st.Record.Digest != req.Digest {
		return st, newError(backend.Exists, "create", req.ID, "", "the sandbox was made from another spec")
	}
	return st, nil
}

// twin decides what a taken container name means. Neither status nor error: it
// cannot be seen yet by whom it is taken. A stranger has another id, and none of
// this sandbox's volumes.
func (d *driver) twin(ctx context.Context, req *backend.CreateRequest, out *request, cause error) (st *backend.Status, stranger bool, _ error) {
	c, err := d.cli.ContainerInspect(ctx, out.Name)
	if cerrdefs.IsNotFound(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, d.fail(ctx, "create", req.ID, err)
	}
	if c.Config != nil && c.Config.Labels[labelID] == string(req.ID) {
		st = d.status(&c)
		if st.Record.Digest == req.Digest {
			return st, false, errTwin
		}
		return nil, false, newError(backend.Exists, "create", req.ID, "", "the sandbox was made from another spec")
	}
	if req.Spec.Name == "" {
		return nil, true, &backend.Error{Kind: backend.Exists, Op: "docker.create", ID: req.ID, Message: "a container with the sandbox's name is there already", Err: cause}
	}
	return nil, true, &backend.Error{Kind: backend.Exists, Op: "docker.create", ID: req.ID, Field: "name", Message: fmt.Sprintf("the name %q is taken: choose another one", req.Spec.Name), Err: cause}
}

// freshVolumes returns the named volumes of the request that the engine does
// not have yet, which are the ones that go when the create fails.
func (d *driver) freshVolumes(ctx context.Context, id backend.ID, out *request) ([]string, error) {
	var fresh []string
	for _, m := range out.Host.Mounts {
		if m.Type != mount.TypeVolume || m.Source == "" || m.VolumeOptions.Labels[labelVolume] != "named" || slices.Contains(fresh, m.Source) {
			continue
		}
		_, err := d.cli.VolumeInspect(ctx, m.Source)
		switch {
		case cerrdefs.IsNotFound(err):
			fresh = append(fresh, m.Source)
		case err != nil:
			return nil, d.fail(ctx, "create", id, err)
		}
	}
	return fresh, nil
}

// bindSubmounts adds a read-only bind for every file system that is mounted
// below the source of a bind that had to be made not recursive. What is mounted
// there later does not show in the sandbox at all.
func (d *driver) bindSubmounts(req *backend.CreateRequest, out *request) {
	if len(out.submounts) == 0 || runtime.GOOS != "linux" {
		return
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		d.cfg.Log.Debug("submounts are not known", "error", err)
		return
	}
	defer f.Close()
	var points []string
	for m := range mountTable(f) {
		points = append(points, m.point)
	}
	out.Host.Mounts = append(out.Host.Mounts, submounts(req.Spec, out, points)...)
}

func submounts(s *spec.Sandbox, out *request, points []string) []mount.Mount {
	points = slices.Compact(slices.Sorted(slices.Values(points)))
	var extra []mount.Mount
	for _, i := range out.submounts {
		b := out.Host.Mounts[i]
		for _, p := range points {
			if p == b.Source || !within(p, b.Source) {
				continue
			}
			target := path.Join(b.Target, strings.TrimPrefix(p, b.Source))
			if slices.ContainsFunc(s.Mounts, func(m spec.Mount) bool {
				return m.Target != b.Target && within(m.Target, b.Target) && within(target, m.Target)
			}) {
				continue // another mount of the spec covers it
			}
			extra = append(extra, mount.Mount{
				Type: mount.TypeBind, Source: p, Target: target, ReadOnly: true,
				BindOptions: &mount.BindOptions{Propagation: mount.PropagationRPrivate, NonRecursive: true},
			})
		}
	}
	return extra
}

// createError finds the field that an engine's refusal is about. The engine
// tells it by text alone.
func (d *driver) createError(ctx context.Context, req *backend.CreateRequest, err error) error {
	e, ok := errors.AsType[*backend.Error](d.fail(ctx, "create", req.ID, err))
	if !ok {
		return ctx.Err()
	}
	text := err.Error()
	switch {
	case e.Kind == backend.NotFound && strings.Contains(strings.ToLower(text), "image"):
		e.Field, e.Message = "image.ref", fmt.Sprintf("the engine has no image %q", req.Spec.Image.Ref)
	case strings.Contains(text, "storage-opt"):
		e.Kind, e.Field, e.Capability = backend.Unsupported, "resources.disk", backend.ResDisk
	case strings.Contains(text, "nknown runtime"):
		e.Kind, e.Field, e.Capability = backend.Unsupported, "security.runtime", backend.SecRuntime
	case strings.Contains(text, "nknown capability"):
		e.Kind, e.Field, e.Capability = backend.Unsupported, "security.capabilities.add", backend.SecCapabilities
	case strings.Contains(text, "device driver"):
		e.Kind, e.Field, e.Capability = backend.Unsupported, "security.devices", backend.SecDeviceCDI
	case strings.Contains(text, "seccomp"):
		e.Kind, e.Field = backend.Invalid, "security.seccomp"
	case e.Kind == backend.Invalid && strings.Contains(text, "mount"):
		for i, m := range req.Spec.Mounts {
			if strings.Contains(text, m.Target) || m.Source != "" && strings.Contains(text, m.Source) {
				e.Field = mountField(i, "")
			}
		}
	}
	return e
}

// harmless are warnings of a create that take nothing from what was asked.
var harmless = []struct {
	text *regexp.Regexp
	when func(*backend.CreateRequest, *backend.Info) bool
}{
	// The limit on memory holds; the plan says that swap has none.
	{regexp.MustCompile(`(?i)swap limit|memory limited without swap`), func(_ *backend.CreateRequest, info *backend.Info) bool { return info.Facts["info.SwapLimit"] != "true" }},
	// The spec asked for another platform than the engine's.
	{regexp.MustCompile(`platform .* does not match the detected host platform`), func(req *backend.CreateRequest, _ *backend.Info) bool { return req.Spec.Image.Platform != "" }},
}

// warningFields guesses which field a warning takes away.
var warningFields = []struct {
	text       *regexp.Regexp
	field      spec.Path
	capability backend.Capability
}{
	{regexp.MustCompile(`(?i)swap|memory`), "resources.memory", backend.ResMemory},
	{regexp.MustCompile(`(?i)cpu|cfs`), "resources.cpus", backend.ResCPUs},
	{regexp.MustCompile(`(?i)pids`), "resources.pids", backend.ResPids},
	{regexp.MustCompile(`(?i)platform`), "image.platform", backend.ImagePlatform},
	{regexp.MustCompile(`(?i)port|forwarding|network`), "network.mode", backend.NetNamed},
	{regexp.MustCompile(`(?i)seccomp`), "security.seccomp", backend.SecSeccomp},
}

// checkWarnings refuses what the engine only warns of.
func checkWarnings(req *backend.CreateRequest, info *backend.Info, warnings []string) error {
next:
	for _, w := range warnings {
		for _, h := range harmless {
			if h.text.MatchString(w) && h.when(req, info) {
				continue next
			}
		}
		for _, f := range warningFields {
			if f.text.MatchString(w) {
				e := newError(backend.Unsupported, "create", req.ID, f.field, "the engine warns: %s", w)
				e.Capability = f.capability
				return e
			}
		}
		return newError(backend.Internal, "create", req.ID, "", "the engine warns: %s", w)
	}
	return nil
}

// leftovers is what a create has made so far.
type leftovers struct {
	container string   // "": not known; "none": surely none
	name      string   // the container's name, when its id is not known
	volumes   []string // made or about to be made for this sandbox
	shared    []string // made or used, and used by others too
}

// undo takes back what a failed create has made, and joins what it could not.
func (d *driver) undo(ctx context.Context, id backend.ID, made *leftovers, cause error) error {
	var leak backend.LeakError
	left := func(what string, err error) {
		if err != nil && !cerrdefs.IsNotFound(err) {
			leak.Left = append(leak.Left, what)
			leak.Err = errors.Join(leak.Err, err)
		}
	}
	if backend.KindOf(cause) == backend.Unavailable && ctx.Err() == nil {
		// Look once whether the engine is back, and do not wait for it longer.
		if _, err := d.cli.Ping(ctx); err != nil {
			if made != nil && made.container != "none" {
				return errors.Join(cause, &backend.LeakError{Left: []string{"container " + made.name}, Err: errors.New("the engine is gone")})
			}
			return cause
		}
	}
	d.cleanup(ctx, func(ctx context.Context) {
		if made != nil {
			native := made.container
			if native == "" {
				// The answer was lost; the container may be there all the same.
				c, err := d.cli.ContainerInspect(ctx, made.name)
				if err == nil && c.Config != nil && c.Config.Labels[labelID] == string(id) {
					native = c.ID
				} else if err != nil {
					left("container "+made.name, err)
				}
			}
			if native != "" && native != "none" {
				left("container "+made.name, d.removeContainer(ctx, native, true))
			}
			for _, v := range made.volumes {
				left("volume "+v, d.cli.VolumeRemove(ctx, v, true))
			}
		}
		d.forget(id)
		if all, err := d.containers(ctx); err == nil {
			d.dropIsolated(ctx, id, all)
			if made != nil {
				d.dropShared(ctx, id, made.shared, all)
			}
		}
	})
	if len(leak.Left) > 0 {
		return errors.Join(cause, &leak)
	}
	return cause
}
