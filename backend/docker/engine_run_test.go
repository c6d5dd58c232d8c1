// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/fixture"
	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/spec"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
)

// value decodes the value of the n-th result.
func value[T any](t *testing.T, results []probe.Result, n int) T {
	t.Helper()
	if n >= len(results) {
		t.Fatalf("%d results, want at least %d", len(results), n+1)
	}
	v, err := probe.Value[T](results[n])
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// objects lists what the driver has in the engine for a sandbox, or at all.
func (w *world) objects(id backend.ID) []string {
	w.t.Helper()
	ctx := context.Background()
	var out []string
	containers, err := w.cli.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range containers {
		if c.Labels[labelID] == string(id) || c.Labels[labelHelper] == string(id) {
			out = append(out, "container "+c.Names[0])
		}
	}
	volumes, err := w.cli.VolumeList(ctx, volume.ListOptions{Filters: filters.NewArgs(filters.Arg("label", labelID+"="+string(id)))})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, v := range volumes.Volumes {
		out = append(out, "volume "+v.Name)
	}
	return out
}

func (w *world) wantNothing(id backend.ID) {
	w.t.Helper()
	if left := w.objects(id); len(left) > 0 {
		w.t.Errorf("left behind: %q", left)
	}
}

func wantKind(t *testing.T, err error, kind backend.Kind, field spec.Path) {
	t.Helper()
	var e *backend.Error
	if !errors.As(err, &e) || e.Kind != kind || e.Field != field {
		t.Fatalf("error %v (%T), want kind %q and field %q", err, err, kind, field)
	}
}

func TestProbeOfRealEngine(t *testing.T) {
	w := newWorld(t)
	info, err := w.Probe(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := backend.CheckInfo(info); err != nil {
		t.Error(err)
	}
	if info.Engine != "docker" || info.APIVersion == "" || info.EngineVersion == "" || info.EngineID == "" || info.Kernel == "" || info.Arch == "" || info.CgroupVersion == 0 || !slices.Contains(info.Runtimes, "runc") {
		t.Errorf("info %+v", info)
	}
	info.Facts["api.version"] = "changed"
	if again, _ := w.Probe(t.Context(), true); again.Facts["api.version"] == "changed" {
		t.Error("a caller changed the driver's cache")
	}
}

func TestConfinementInForce(t *testing.T) {
	w := newWorld(t)
	req := w.request(func(s *spec.Sandbox) {
		s.User.As = "1000:1000"
		s.Resources = spec.Resources{Memory: 64 * spec.MiB, Pids: 64, CPUs: 500, Shm: spec.MiB, NoFile: spec.NoFile{Soft: 100, Hard: 200}}
		s.Security.ReadOnlyRoot = true
		s.Security.Capabilities.Drop = []string{"ALL"}
		s.Mounts = []spec.Mount{{Type: spec.MountTmpfs, Target: "/scratch", Size: spec.MiB, NoExec: true}, {Type: spec.MountTmpfs, Target: "/tmp"}}
	}, "id", "+", "status", "+", "limits", "+", "cgroup", "+", "touch", "/x", "+", "touch", "/scratch/x", "+", "touch", "/tmp/x", "+", "mountinfo", "/scratch")
	req.Identity = backend.Identity{Mode: "number", UID: 1000, GID: 1000, Groups: []uint32{27}}
	r := w.results(w.run(req, nil))
	if id := value[probe.ID](t, r, 0); id.UID != 1000 || id.GID != 1000 || !slices.Contains(id.Groups, 27) {
		t.Errorf("id %+v", id)
	}
	st := value[probe.Status](t, r, 1)
	if !st.NoNewPrivs || st.Seccomp != 2 || len(st.CapBounding) != 0 {
		t.Errorf("status %+v", st)
	}
	t.Logf("limits %+v", value[probe.Limits](t, r, 2))
	t.Logf("cgroup %+v", value[probe.Cgroup](t, r, 3))
	if r[4].Errno != "EROFS" {
		t.Errorf("touch /x: %+v", r[4])
	}
	if r[5].Errno != "" || r[6].Errno != "" {
		t.Errorf("tmpfs is not writable for its user: %+v %+v", r[5], r[6])
	}
}

func TestVolumes(t *testing.T) {
	w := newWorld(t)
	name := "berth-test-" + string(newID())
	t.Cleanup(func() { w.cli.VolumeRemove(context.Background(), name, true) })
	change := func(s *spec.Sandbox) {
		s.User.As = "1000:1000"
		s.Mounts = []spec.Mount{{Type: spec.MountVolume, Source: name, Target: "/named"}, {Type: spec.MountVolume, Target: "/anon"}}
	}
	req := w.request(change, "touch", "/named/x", "+", "touch", "/anon/x")
	req.Identity = backend.Identity{Mode: "number", UID: 1000, GID: 1000}
	for _, r := range w.results(w.run(req, nil)) {
		if r.Errno != "" {
			t.Errorf("%v: %s", r.Args, r.Errno)
		}
	}
	before, err := w.cli.VolumeList(t.Context(), volume.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Remove(t.Context(), req.ID, nil); err != nil {
		t.Fatal(err)
	}
	after, err := w.cli.VolumeList(t.Context(), volume.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(after.Volumes) >= len(before.Volumes) {
		t.Errorf("%d volumes before the remove, %d after: the anonymous one is left", len(before.Volumes), len(after.Volumes))
	}
	again := w.request(change, "stat", "/named/x")
	again.Identity = req.Identity
	if r := w.results(w.run(again, nil)); r[0].Errno != "" {
		t.Errorf("the named volume lost its file: %s", r[0].Errno)
	}
}

func TestPorts(t *testing.T) {
	w := newWorld(t)
	req := w.request(func(s *spec.Sandbox) {
		s.Binding.Ports = []spec.Port{{Name: "a", ContainerPort: 8080}, {ContainerPort: 8080, Address: "127.0.0.2"}, {ContainerPort: 53, Protocol: spec.UDP}}
	}, "listen", "tcp", ":8080", "body")
	w.create(req)
	if err := w.Start(t.Context(), req.ID); err != nil {
		t.Fatal(err)
	}
	st, err := w.Inspect(t.Context(), req.ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(st.Ports) != 3 || st.Ports[0].Address != "127.0.0.1" || st.Ports[0].HostPort == 0 || st.Ports[1].Address != "127.0.0.2" || st.Ports[2].Protocol != spec.UDP {
		t.Errorf("ports %+v", st.Ports)
	}
	if len(st.Networks) != 1 || st.Networks[0].Name != "isolated" || len(st.Networks[0].Addresses) != 1 {
		t.Errorf("networks %+v", st.Networks)
	}
	other := w.request(func(s *spec.Sandbox) {
		s.Binding.Ports = []spec.Port{{ContainerPort: 1}, {ContainerPort: 2, HostPort: st.Ports[0].HostPort}}
	}, "hold")
	w.create(other)
	err = w.Start(t.Context(), other.ID)
	wantKind(t, err, backend.Exhausted, "binding.ports[1]")
	if st, err := w.Inspect(t.Context(), other.ID); err != nil || st.Phase != backend.PhaseCreated {
		t.Errorf("after a failed start: %+v, %v", st, err)
	}
	if err := w.Stop(t.Context(), req.ID, &backend.StopOptions{Grace: new(time.Duration)}); err != nil {
		t.Fatal(err)
	}
	if err := w.Start(t.Context(), other.ID); err != nil {
		t.Errorf("start when the port is free again: %v", err)
	}
}

func TestIsolatedNetworkComesAndGoes(t *testing.T) {
	w := newWorld(t)
	count := func() int {
		list, err := w.cli.NetworkList(t.Context(), network.ListOptions{Filters: filters.NewArgs(filters.Arg("name", isolatedNetwork))})
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	var wg sync.WaitGroup
	reqs := make([]*backend.CreateRequest, 4)
	for i := range reqs {
		reqs[i] = w.request(nil, "hold")
		d := open(t, w.engine.Host) // a process of its own, in a way
		wg.Go(func() {
			if _, err := d.Create(t.Context(), reqs[i]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := count(); n != 1 {
		t.Errorf("%d networks, want 1", n)
	}
	// Run one to its end, take the network away, and start it again.
	first := reqs[0].ID
	if err := w.Start(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if err := w.Stop(t.Context(), first, nil); err != nil {
		t.Fatal(err)
	}
	for _, r := range reqs[1:] {
		if err := w.Remove(t.Context(), r.ID, nil); err != nil {
			t.Error(err)
		}
	}
	if n := count(); n != 1 {
		t.Errorf("%d networks while a stopped sandbox is to start again, want 1", n)
	}
	w.cli.NetworkRemove(t.Context(), isolatedNetwork)
	if err := w.Start(t.Context(), first); err != nil {
		t.Errorf("start after the network went: %v", err)
	}
	if err := w.Remove(t.Context(), first, &backend.RemoveOptions{Force: true}); err != nil {
		t.Error(err)
	}
}

// TestRemovedAtOnce removes several sandboxes at the same moment: one of them has
// to take the network along.
func TestRemovedAtOnce(t *testing.T) {
	w := newWorld(t)
	var reqs []*backend.CreateRequest
	for range 6 {
		req := w.request(nil, "hold")
		w.create(req)
		reqs = append(reqs, req)
	}
	var wg sync.WaitGroup
	for _, r := range reqs {
		d := open(t, w.engine.Host)
		wg.Go(func() {
			if err := d.Remove(t.Context(), r.ID, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	all, err := w.containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if usesIsolated("", all) {
		return // somebody else's sandbox is there, and keeps it
	}
	if _, err := w.cli.NetworkInspect(t.Context(), isolatedNetwork, network.InspectOptions{}); err == nil {
		t.Error("the network is left")
	}
}

func TestNamedNetworks(t *testing.T) {
	w := newWorld(t)
	name := "t" + string(newID())
	join := func(mode spec.NetworkMode, extra ...string) func(*spec.Sandbox) {
		return func(s *spec.Sandbox) {
			s.Network = spec.Network{Mode: mode, Name: name, Aliases: []string{"db"}}
			for _, e := range extra {
				s.Network.Additional = append(s.Network.Additional, spec.Attachment{Name: e, Aliases: []string{"other"}})
			}
		}
	}
	_, err := w.Create(t.Context(), w.request(join(spec.NetShared), "hold"))
	wantKind(t, err, backend.NotFound, "network.name")

	if _, err := w.CreateNetwork(t.Context(), name, false); err != nil {
		t.Fatal(err)
	}
	second := "t" + string(newID())
	if _, err := w.CreateNetwork(t.Context(), second, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, n := range []string{name, second} {
			if err := w.RemoveNetwork(context.Background(), n); err != nil {
				t.Error(err)
			}
		}
	})
	if n, err := w.CreateNetwork(t.Context(), name, false); err != nil || !n.Managed || n.Internal {
		t.Errorf("again: %+v, %v", n, err)
	}
	_, err = w.CreateNetwork(t.Context(), name, true)
	wantKind(t, err, backend.Exists, "")
	_, err = w.Create(t.Context(), w.request(join(spec.NetInternal), "hold"))
	wantKind(t, err, backend.Conflict, "network.name")

	req := w.request(join(spec.NetShared, second), "listen", "tcp", ":80", "hello")
	w.create(req)
	wantKind(t, w.RemoveNetwork(t.Context(), name), backend.Conflict, "")
	if err := w.Start(t.Context(), req.ID); err != nil {
		t.Fatal(err)
	}
	peer := w.request(func(s *spec.Sandbox) { s.Network = spec.Network{Mode: spec.NetInternal, Name: second} }, "dial", "tcp", "other:80", "3s")
	r := w.results(w.run(peer, nil))
	if d := value[probe.Dial](t, r, 0); string(d.Body) != "hello" {
		t.Errorf("dial by alias on the second network: %+v %+v", d, r[0])
	}
	var found bool
	for n, err := range w.Networks(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if n.Name == second {
			found = true
			if n.Members != 2 || !n.Internal || !n.Managed {
				t.Errorf("network %+v", n)
			}
		}
		if n.Name == isolatedNetwork || n.Name == "host" || n.Name == "none" {
			t.Errorf("%s is listed", n.Name)
		}
	}
	if !found {
		t.Error("the network is not listed")
	}
	for _, id := range []backend.ID{req.ID, peer.ID} {
		if err := w.Remove(t.Context(), id, &backend.RemoveOptions{Force: true}); err != nil {
			t.Error(err)
		}
	}
	wantKind(t, w.RemoveNetwork(t.Context(), "bridge"), backend.Denied, "")
	wantKind(t, w.RemoveNetwork(t.Context(), "no-such-network"), backend.NotFound, "")
}

func TestCreateIsIdempotent(t *testing.T) {
	w := newWorld(t)
	name := "n" + string(newID())
	req := w.request(func(s *spec.Sandbox) { s.Name = name }, "hold")
	first := w.create(req)
	again, err := w.Create(t.Context(), req)
	if err != nil || again.Engine.NativeID != first.Engine.NativeID {
		t.Fatalf("again: %+v, %v", again, err)
	}
	other := *req
	other.Digest = "sha256:other"
	_, err = w.Create(t.Context(), &other)
	wantKind(t, err, backend.Exists, "")
	taken := w.request(func(s *spec.Sandbox) { s.Name = name }, "hold")
	_, err = w.Create(t.Context(), taken)
	wantKind(t, err, backend.Exists, "name")
	w.wantNothing(taken.ID)
	if st, err := w.Inspect(t.Context(), req.ID); err != nil || st.Phase != backend.PhaseCreated || st.Name != name {
		t.Errorf("%+v, %v", st, err)
	}

	// Twins at the same moment.
	twin := w.request(nil, "hold")
	var wg sync.WaitGroup
	ids := make([]string, 4)
	for i := range ids {
		wg.Go(func() {
			st, err := open(t, w.engine.Host).Create(t.Context(), twin)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = st.Engine.NativeID
		})
	}
	wg.Wait()
	if len(slices.Compact(ids)) != 1 {
		t.Errorf("containers %q", ids)
	}
	if err := w.Remove(t.Context(), twin.ID, nil); err != nil {
		t.Error(err)
	}
	w.wantNothing(twin.ID)
}

func TestFailedCreateLeavesNothing(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	fresh := "berth-test-" + string(newID())
	req := w.request(func(s *spec.Sandbox) {
		s.Mounts = []spec.Mount{{Type: spec.MountVolume, Source: fresh, Target: "/v"}, {Type: spec.MountBind, Source: filepath.Join(dir, "missing"), Target: "/b"}}
	}, "hold")
	_, err := w.Create(t.Context(), req)
	wantKind(t, err, backend.Invalid, "mounts[1]")
	w.wantNothing(req.ID)
	if _, err := w.cli.VolumeInspect(t.Context(), fresh); err == nil {
		t.Error("the volume that was made is left")
	}

	req = w.request(nil, "hold")
	req.Image = &backend.Image{ID: "sha256:" + strings.Repeat("ab", 32)}
	_, err = w.Create(t.Context(), req)
	wantKind(t, err, backend.NotFound, "image.ref")

	for _, after := range []time.Duration{0, time.Millisecond, 3 * time.Millisecond, 6 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond} {
		req := w.request(nil, "hold")
		ctx, cancel := context.WithTimeout(t.Context(), after)
		_, err := w.Create(ctx, req)
		cancel()
		if err == nil {
			if err := w.Remove(t.Context(), req.ID, nil); err != nil {
				t.Error(err)
			}
			continue
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cancelled after %s: %v", after, err)
		}
		w.wantNothing(req.ID)
	}
}

func TestStop(t *testing.T) {
	w := newWorld(t)
	start := func(change func(*spec.Sandbox), argv ...string) backend.ID {
		req := w.request(change, argv...)
		w.create(req)
		if err := w.Start(t.Context(), req.ID); err != nil {
			t.Fatal(err)
		}
		w.waitFor(req.ID)
		return req.ID
	}
	exit := func(id backend.ID) int {
		e, err := w.Wait(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return e.Code
	}
	id := start(nil, "trap", "SIGTERM", "7", "+", "hold")
	if err := w.Stop(t.Context(), id, nil); err != nil {
		t.Fatal(err)
	}
	if code := exit(id); code != 7 {
		t.Errorf("exit %d, want 7", code)
	}
	if err := w.Stop(t.Context(), id, nil); err != nil {
		t.Errorf("stop again: %v", err)
	}

	id = start(func(s *spec.Sandbox) {
		s.Life.StopSignal = "SIGUSR1"
		s.Life.StopGrace = spec.Duration(300 * time.Millisecond)
	}, "ignore", "SIGUSR1", "+", "hold")
	began := time.Now()
	if err := w.Stop(t.Context(), id, nil); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 300*time.Millisecond || took > 2*time.Second {
		t.Errorf("a grace of 300ms took %s", took)
	}
	if code := exit(id); code != 137 {
		t.Errorf("exit %d, want 137", code)
	}

	id = start(nil, "trap", "SIGHUP", "3", "+", "hold")
	if err := w.Pause(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := w.Pause(t.Context(), id); err != nil {
		t.Errorf("pause again: %v", err)
	}
	if _, err := w.Exec(t.Context(), id, &backend.ExecRequest{Argv: []string{"/probe", "id"}}); backend.KindOf(err) != backend.Conflict {
		t.Errorf("exec while paused: %v", err)
	}
	if err := w.Stop(t.Context(), id, &backend.StopOptions{Signal: "HUP"}); err != nil {
		t.Fatal(err)
	}
	if code := exit(id); code != 3 {
		t.Errorf("stopped while paused: exit %d, want 3", code)
	}
	for name, err := range map[string]error{
		"pause": w.Pause(t.Context(), id), "resume": w.Resume(t.Context(), id), "signal": w.Signal(t.Context(), id, "TERM"),
	} {
		if backend.KindOf(err) != backend.Conflict {
			t.Errorf("%s of a stopped sandbox: %v", name, err)
		}
	}
	wantKind(t, w.Stop(t.Context(), "tnosuchsandbox00", nil), backend.NotFound, "")
	_, err := w.Wait(t.Context(), "tnosuchsandbox00")
	wantKind(t, err, backend.NotFound, "")
}

// waitFor polls until PID 1 of the sandbox is the probe with its handlers set.
func (w *world) waitFor(id backend.ID) {
	w.t.Helper()
	for {
		for e, err := range w.Logs(w.t.Context(), id, nil) {
			if err != nil {
				w.t.Fatal(err)
			}
			if bytes.Contains(e.Data, []byte("[")) {
				return
			}
		}
		select {
		case <-w.t.Context().Done():
			w.t.Fatal("the probe did not come up")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestExec(t *testing.T) {
	w := newWorld(t)
	req := w.request(func(s *spec.Sandbox) { s.Process.Workdir = "/data" }, "hold")
	w.create(req)
	_, err := w.Exec(t.Context(), req.ID, &backend.ExecRequest{Argv: []string{"/probe", "id"}})
	wantKind(t, err, backend.Conflict, "")
	if err := w.Start(t.Context(), req.ID); err != nil {
		t.Fatal(err)
	}
	if err := w.Start(t.Context(), req.ID); err != nil {
		t.Errorf("start again: %v", err)
	}
	o := w.exec(req.ID, &backend.ExecRequest{Argv: []string{"/probe", "id", "+", "env", "A", "HOME", "+", "exit", "5"}, Env: map[string]string{"A": "b c"}, User: "1000:27"})
	r := w.results(o)
	if id := value[probe.ID](t, r, 0); id.UID != 1000 || id.GID != 27 || id.Cwd != "/data" || o.exit.Code != 5 {
		t.Errorf("id %+v, exit %d", id, o.exit.Code)
	}
	for name, tt := range map[string]struct {
		argv []string
		code int
	}{
		"missing":      {[]string{"/nope"}, 127},
		"not in path":  {[]string{"nope"}, 127},
		"not a binary": {[]string{"/usr/bin/plain"}, 126},
		"broken":       {[]string{"/usr/bin/broken"}, 126},
		"a directory":  {[]string{"/data"}, 126},
	} {
		o := w.exec(req.ID, &backend.ExecRequest{Argv: tt.argv})
		if o.exit.Code != tt.code || o.out.Len() > 0 {
			t.Errorf("%s: exit %d, want %d; output %q %q", name, o.exit.Code, tt.code, o.out.String(), o.err.String())
		}
		tty := w.exec(req.ID, &backend.ExecRequest{Argv: tt.argv, TTY: true})
		if tty.exit.Code != tt.code || strings.Contains(tty.out.String(), notStarted) {
			t.Errorf("%s on a terminal: exit %d, want %d; output %q", name, tty.exit.Code, tt.code, tty.out.String())
		}
	}
	// Both ways, a lot, with the end of the input passed on.
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
	o = w.exec(req.ID, &backend.ExecRequest{Argv: []string{"/probe", "cat"}, Streams: backend.Streams{Stdin: bytes.NewReader(big)}})
	if !bytes.Equal(o.out.Bytes(), big) || o.exit.Code != 0 {
		t.Errorf("cat gave %d bytes of %d, exit %d", o.out.Len(), len(big), o.exit.Code)
	}
	// Engines before docker 23 set the size a moment after the start.
	o = w.exec(req.ID, &backend.ExecRequest{Argv: []string{"/probe", "sleep", "1s", "+", "tty"}, TTY: true, Cols: 101, Rows: 33})
	r = w.results(o)
	if tty := value[probe.Terminals](t, r, 1); tty.Stdout != (probe.Terminal{TTY: true, Rows: 33, Cols: 101}) {
		t.Errorf("terminal %+v", tty)
	}
}

func TestAttachLargeOutput(t *testing.T) {
	w := newWorld(t)
	req := w.request(func(s *spec.Sandbox) { s.Process.Stdin = true }, "cat")
	big := bytes.Repeat([]byte("0123456789abcde\n"), 1<<17)
	o := w.run(req, bytes.NewReader(big))
	if !bytes.Equal(o.out.Bytes(), big) || o.exit.Code != 0 {
		t.Errorf("cat gave %d bytes of %d, exit %d", o.out.Len(), len(big), o.exit.Code)
	}
}

// TestAttachSurvivesFailedStart: the engine drops the streams of a container
// that it cannot start.
func TestAttachSurvivesFailedStart(t *testing.T) {
	w := newWorld(t)
	blocker := w.request(func(s *spec.Sandbox) { s.Binding.Ports = []spec.Port{{ContainerPort: 1}} }, "hold")
	w.create(blocker)
	if err := w.Start(t.Context(), blocker.ID); err != nil {
		t.Fatal(err)
	}
	st, err := w.Inspect(t.Context(), blocker.ID)
	if err != nil {
		t.Fatal(err)
	}
	req := w.request(func(s *spec.Sandbox) {
		s.Process.Stdin = true
		s.Binding.Ports = []spec.Port{{ContainerPort: 1, HostPort: st.Ports[0].HostPort}}
	}, "cat")
	w.create(req)
	var out, errs bytes.Buffer
	p, err := w.Attach(t.Context(), req.ID, &backend.AttachRequest{Streams: backend.Streams{Stdin: strings.NewReader("said before"), Stdout: &out, Stderr: &errs}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for range 2 {
		wantKind(t, w.Start(t.Context(), req.ID), backend.Exhausted, "binding.ports[0]")
	}
	if err := w.Stop(t.Context(), blocker.ID, &backend.StopOptions{Grace: new(time.Duration)}); err != nil {
		t.Fatal(err)
	}
	if err := w.Start(t.Context(), req.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out.String() != "said before" {
		t.Errorf("output %q, errors %q", out.String(), errs.String())
	}
}

// TestStartAfterTheNetworkWent takes the network away between attach and start.
func TestStartAfterTheNetworkWent(t *testing.T) {
	w := newWorld(t)
	if in := w.inUse(); in > 0 {
		t.Logf("%d other sandboxes are on the network", in)
	}
	req := w.request(func(s *spec.Sandbox) { s.Process.Stdin = true }, "cat")
	w.create(req)
	var out bytes.Buffer
	p, err := w.Attach(t.Context(), req.ID, &backend.AttachRequest{Streams: backend.Streams{Stdin: strings.NewReader("said before"), Stdout: &out}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := w.cli.NetworkRemove(t.Context(), isolatedNetwork); err != nil {
		t.Fatal(err)
	}
	if err := w.Start(t.Context(), req.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out.String() != "said before" {
		t.Errorf("output %q", out.String())
	}
}

// inUse counts the running sandboxes on the isolated network.
func (w *world) inUse() (n int) {
	all, err := w.containers(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range all {
		if c.HostConfig.NetworkMode == isolatedNetwork && c.State == container.StateRunning {
			n++
		}
	}
	return n
}

func TestLogs(t *testing.T) {
	w := newWorld(t)
	req := w.request(nil, "id", "+", "exit", "0")
	began := time.Now().Add(-time.Second)
	o := w.run(req, nil)
	var text string
	for e, err := range w.Logs(t.Context(), req.ID, &backend.LogOptions{Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Stream != backend.Stdout || e.Time.Before(began) {
			t.Errorf("entry %+v", e)
		}
		text += string(e.Data)
	}
	if text != o.out.String() {
		t.Errorf("logs %q, attached %q", text, o.out.String())
	}
	for range w.Logs(t.Context(), req.ID, &backend.LogOptions{Tail: -1}) {
		t.Error("an entry with a negative tail")
	}
	for range w.Logs(t.Context(), req.ID, &backend.LogOptions{Since: time.Now().Add(time.Hour)}) {
		t.Error("an entry from the future")
	}
	for _, err := range w.Logs(t.Context(), "tnosuchsandbox00", nil) {
		wantKind(t, err, backend.NotFound, "")
	}
}

func TestLogsFollowEndsWithContext(t *testing.T) {
	w := newWorld(t)
	req := w.request(nil, "id", "+", "hold")
	w.create(req)
	if err := w.Start(t.Context(), req.ID); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range w.Logs(ctx, req.ID, &backend.LogOptions{Follow: true}) {
		last = err
		cancel()
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("ended with %v", last)
	}
}

func TestCopy(t *testing.T) {
	w := newWorld(t)
	req := w.request(nil, "stat", "/data/sub/f", "+", "read", "/data/sub/f")
	w.create(req)
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "sub/", Mode: 0o750, Uid: 1000, Gid: 27})
	tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "sub/f", Mode: 0o640, Uid: 1001, Gid: 28, Size: 5})
	tw.Write([]byte("hello"))
	tw.Close()
	if err := w.CopyTo(t.Context(), req.ID, "/data", bytes.NewReader(b.Bytes())); err != nil {
		t.Fatal(err)
	}
	wantKind(t, w.CopyTo(t.Context(), req.ID, "/absent", bytes.NewReader(b.Bytes())), backend.NotFound, "")
	_, err := w.CopyFrom(t.Context(), req.ID, "/absent")
	wantKind(t, err, backend.NotFound, "")
	_, err = w.CopyFrom(t.Context(), "tnosuchsandbox00", "/data")
	wantKind(t, err, backend.NotFound, "")
	if err := w.CopyTo(t.Context(), req.ID, "/data", strings.NewReader("this is no tar archive at all")); backend.KindOf(err) != backend.Invalid {
		t.Errorf("no tar: %v", err)
	}
	r := w.results(w.start(req.ID, nil))
	if st := value[probe.Stat](t, r, 0); st.UID != 1001 || st.GID != 28 {
		t.Errorf("stat %+v", st)
	}
	rc, err := w.CopyFrom(t.Context(), req.ID, "/data/sub")
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	var names []string
	for tr := tar.NewReader(rc); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, fmt.Sprintf("%s %d:%d", h.Name, h.Uid, h.Gid))
	}
	if want := []string{"sub/ 1000:27", "sub/f 1001:28"}; !slices.Equal(names, want) {
		t.Errorf("entries %q, want %q", names, want)
	}
	ro := w.request(func(s *spec.Sandbox) { s.Security.ReadOnlyRoot = true }, "hold")
	w.create(ro)
	wantKind(t, w.CopyTo(t.Context(), ro.ID, "/data", bytes.NewReader(b.Bytes())), backend.Conflict, "")
}

func TestStats(t *testing.T) {
	w := newWorld(t)
	req := w.request(func(s *spec.Sandbox) { s.Resources.Memory = 64 * spec.MiB }, "hold")
	w.create(req)
	_, err := w.Stats(t.Context(), req.ID)
	wantKind(t, err, backend.Conflict, "")
	if err := w.Start(t.Context(), req.ID); err != nil {
		t.Fatal(err)
	}
	u, err := w.Stats(t.Context(), req.ID)
	if err != nil {
		t.Fatal(err)
	}
	if u.MemoryLimit != 64<<20 || u.Memory == 0 || u.Pids == 0 || u.Time.IsZero() {
		t.Errorf("usage %+v", u)
	}
}

func TestWatch(t *testing.T) {
	w := newWorld(t)
	req := w.request(func(s *spec.Sandbox) { s.Network.Mode = spec.NetNone }, "exit", "0")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got := make(chan string, 20)
	watching := make(chan struct{})
	var once sync.Once
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for e, err := range w.Watch(ctx) {
			if err != nil {
				t.Error(err)
				return
			}
			if e.ID != req.ID {
				once.Do(func() { close(watching) })
				continue
			}
			got <- fmt.Sprint(e.Phase, e.Removed)
			if e.Removed {
				return
			}
		}
	})
	// Nothing tells when the engine has begun to watch but an event: others are
	// made until one arrives.
	for seen := false; !seen; {
		herald := w.request(func(s *spec.Sandbox) { s.Network.Mode = spec.NetNone }, "exit", "0")
		w.create(herald)
		if err := w.Remove(t.Context(), herald.ID, nil); err != nil {
			t.Fatal(err)
		}
		select {
		case <-watching:
			seen = true
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("no event arrives")
		}
	}
	w.run(req, nil)
	if err := w.Remove(t.Context(), req.ID, nil); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	close(got)
	var events []string
	for e := range got {
		events = append(events, e)
	}
	if want := []string{"createdfalse", "runningfalse", "exitedfalse", "exitedtrue"}; !slices.Equal(events, want) {
		t.Errorf("events %q, want %q", events, want)
	}
}

func TestCommitTakesFilesAndNoSecrets(t *testing.T) {
	w := newWorld(t)
	req := w.request(func(s *spec.Sandbox) { s.Process.Env = map[string]string{"TOKEN": "very-secret"} }, "write", "/data/made", "here")
	req.Image = w.image(fixture.Entrypoint)
	req.Env["TOKEN"] = "very-secret"
	w.run(req, nil)
	ref := "berth.test/commit:" + string(newID())
	img, err := w.Commit(t.Context(), req.ID, ref)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.RemoveImage(context.Background(), ref, true) })
	raw, err := w.cli.ImageInspect(t.Context(), img.ID)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(raw)
	for _, bad := range []string{"very-secret", "TOKEN", "berth.id", "berth.record"} {
		if bytes.Contains(text, []byte(bad)) {
			t.Errorf("the image's configuration has %q: %s", bad, text)
		}
	}
	base := w.image(fixture.Entrypoint)
	if !slices.Equal(img.Entrypoint, base.Entrypoint) || !slices.Equal(img.Cmd, base.Cmd) || !slices.Equal(img.Env, base.Env) || img.Workdir != base.Workdir || img.User != base.User {
		t.Errorf("configuration %+v, want that of %+v", img, base)
	}
	files, err := w.ImageFiles(t.Context(), img, []string{"/data/made"}, 100)
	if err != nil || string(files["/data/made"]) != "here" {
		t.Errorf("files %q, %v", files, err)
	}
}

func TestImageFiles(t *testing.T) {
	w := newWorld(t)
	img := w.image(fixture.Tree)
	files, err := w.ImageFiles(t.Context(), img, []string{"/etc/passwd", "/etc/group", "/absent", "/data", "/link"}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(files["/etc/passwd"], []byte("root:")) || len(files["/etc/group"]) == 0 {
		t.Errorf("files %q", files)
	}
	for _, absent := range []string{"/absent", "/data"} {
		if _, ok := files[absent]; ok {
			t.Errorf("%s is a file", absent)
		}
	}
	if _, err := w.ImageFiles(t.Context(), img, []string{"/etc/passwd"}, 3); backend.KindOf(err) != backend.Invalid {
		t.Errorf("above the limit: %v", err)
	}
	list, err := w.cli.ContainerList(t.Context(), container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", labelHelper))})
	if err != nil || len(list) > 0 {
		t.Errorf("%d helpers left, %v", len(list), err)
	}
}

func TestLoadImage(t *testing.T) {
	w := newWorld(t)
	for name, archive := range map[string]string{"empty": "", "no tar": strings.Repeat("nonsense ", 1000), "cut off": "\x1f\x8b\x08\x00"} {
		if _, err := w.LoadImage(t.Context(), strings.NewReader(archive)); backend.KindOf(err) != backend.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 3})
	tw.Write([]byte("abc"))
	tw.Close()
	if _, err := w.LoadImage(t.Context(), bytes.NewReader(b.Bytes())); backend.KindOf(err) != backend.Invalid {
		t.Errorf("tar without an image: %v", err)
	}
	if _, err := w.LoadImage(t.Context(), bytes.NewReader(b.Bytes()[:600])); backend.KindOf(err) != backend.Invalid {
		t.Errorf("tar cut off: %v", err)
	}
}

func TestStartOfMissingCommand(t *testing.T) {
	w := newWorld(t)
	req := w.request(nil)
	req.Argv = []string{"/nope"}
	w.create(req)
	wantKind(t, w.Start(t.Context(), req.ID), backend.Invalid, "process.command")
	if st, err := w.Inspect(t.Context(), req.ID); err != nil || st.Phase != backend.PhaseCreated {
		t.Errorf("%+v, %v", st, err)
	}
	_, err := w.Wait(t.Context(), req.ID)
	wantKind(t, err, backend.Conflict, "")
}

func TestNoFileAboveTheEngines(t *testing.T) {
	w := newWorld(t)
	req := w.request(func(s *spec.Sandbox) { s.Resources.NoFile = spec.NoFile{Soft: 1 << 30, Hard: 1 << 30} }, "hold")
	w.create(req)
	wantKind(t, w.Start(t.Context(), req.ID), backend.Exhausted, "resources.nofile")
}

// TestRemoveTakesHelpersAlong finds what a berth that was killed during a create
// has left behind.
func TestRemoveTakesHelpersAlong(t *testing.T) {
	w := newWorld(t)
	id := newID()
	made, err := w.cli.ContainerCreate(t.Context(), &container.Config{Image: w.image(fixture.Tree).ID, Cmd: []string{"/probe"}, Labels: map[string]string{labelID: "", labelHelper: string(id)}}, nil, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.cli.ContainerRemove(context.Background(), made.ID, container.RemoveOptions{Force: true}) })
	if _, err := w.cli.VolumeCreate(t.Context(), volume.CreateOptions{Name: volumeName(id, "run"), Labels: map[string]string{labelID: string(id)}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Remove(t.Context(), newID(), nil); err != nil {
		t.Fatal(err)
	}
	if len(w.objects(id)) != 2 {
		t.Errorf("another sandbox's removal took something along: %q", w.objects(id))
	}
	if err := w.Remove(t.Context(), id, nil); err != nil {
		t.Fatal(err)
	}
	w.wantNothing(id)
}

func TestList(t *testing.T) {
	w := newWorld(t)
	mark := string(newID())
	var want []backend.ID
	for range 3 {
		req := w.request(func(s *spec.Sandbox) { s.Labels = map[string]string{"mark": mark} }, "hold")
		w.create(req)
		want = append(want, req.ID)
	}
	var got []backend.ID
	for st, err := range w.List(t.Context(), &backend.ListOptions{Labels: map[string]string{"mark": mark}}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, st.ID)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for range w.List(t.Context(), nil) {
		break // must not hang or panic
	}
}

// TestForgedLabels makes a container whose labels say that it is a sandbox, as
// an image's labels can.
func TestForgedLabels(t *testing.T) {
	w := newWorld(t)
	id := newID()
	made, err := w.cli.ContainerCreate(t.Context(), &container.Config{Image: w.image(fixture.Tree).ID, Cmd: []string{"/probe"}, Labels: map[string]string{labelID: string(id), labelName: "", labelRecord: "{}"}}, nil, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.cli.ContainerRemove(context.Background(), made.ID, container.RemoveOptions{Force: true}) })
	_, err = w.Inspect(t.Context(), id)
	wantKind(t, err, backend.NotFound, "")
	for st := range w.List(t.Context(), nil) {
		if st != nil && st.ID == id {
			t.Error("it is listed")
		}
	}
	if err := w.Remove(t.Context(), id, &backend.RemoveOptions{Force: true}); err != nil {
		t.Error(err)
	}
	if _, err := w.cli.ContainerInspect(t.Context(), made.ID); err != nil {
		t.Errorf("somebody else's container was touched: %v", err)
	}
}
