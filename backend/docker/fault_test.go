// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/system"
)

// faulty is an HTTP server that answers as much of docker's API as a create
// needs, and wrongly where a test says so. It shows what the driver does when an
// engine misbehaves; what it does with a real one is tested with a real one.
type faulty struct {
	t  *testing.T
	mu sync.Mutex
	// calls are the requests, "POST /containers/create".
	calls []string
	made  *container.CreateRequest
	name  string
	// answer may replace an answer; true means that it did.
	answer func(w http.ResponseWriter, r *http.Request, call string) bool
	// inspect may change what a container looks like.
	inspect  func(*container.InspectResponse)
	warnings []string
	podman   bool
}

func newFaulty(t *testing.T) (*faulty, *driver) {
	t.Helper()
	f := &faulty{t: t}
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(f)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return f, open(t, "unix://"+socket)
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if rest, ok := strings.CutPrefix(path, "/v"); ok && strings.Contains(rest, "/") && rest[0] == '1' {
		path = rest[strings.Index(rest, "/"):]
	}
	call := r.Method + " " + path
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
	w.Header().Set("Api-Version", "1.41")
	if f.podman {
		w.Header().Set("Libpod-Api-Version", "4.3.1")
	}
	w.Header().Set("Content-Type", "application/json")
	if f.answer != nil && f.answer(w, r, call) {
		return
	}
	reply := func(code int, v any) {
		w.WriteHeader(code)
		json.NewEncoder(w).Encode(v)
	}
	switch {
	case call == "HEAD /_ping" || call == "GET /_ping":
		w.WriteHeader(http.StatusOK)
	case call == "GET /info":
		reply(200, system.Info{OSType: "linux", Architecture: "x86_64", KernelVersion: "6.1", CgroupVersion: "2", MemoryLimit: true, SwapLimit: true, PidsLimit: true,
			CPUCfsQuota: true, CPUCfsPeriod: true, SecurityOptions: []string{"name=seccomp"}, Plugins: system.PluginsInfo{Log: []string{"json-file"}}, Runtimes: map[string]system.RuntimeWithStatus{"runc": {}}})
	case call == "GET /networks/bridge":
		reply(200, network.Inspect{Name: "bridge", Driver: "bridge"})
	case call == "GET /networks":
		reply(200, []network.Summary{{Name: isolatedNetwork, ID: "n1", Driver: "bridge", Options: map[string]string{optionICC: "false"}, Labels: map[string]string{labelNetwork: "isolated"}}})
	case call == "GET /containers/json":
		reply(200, []container.Summary{})
	case call == "POST /containers/create":
		f.made, f.name = new(container.CreateRequest), r.URL.Query().Get("name")
		if err := json.NewDecoder(r.Body).Decode(f.made); err != nil {
			f.t.Error(err)
		}
		reply(201, container.CreateResponse{ID: "c1", Warnings: f.warnings})
	case call == "GET /containers/c1/json" || call == "GET /containers/"+f.name+"/json" && f.made != nil:
		if f.made == nil {
			reply(404, types.ErrorResponse{Message: "No such container: c1"})
			return
		}
		c := &container.InspectResponse{
			ContainerJSONBase: &container.ContainerJSONBase{ID: "c1", Name: "/" + f.name, Image: f.made.Image, State: &container.State{Status: "created"}, HostConfig: f.made.HostConfig},
			Config:            f.made.Config, NetworkSettings: &container.NetworkSettings{},
		}
		for _, m := range f.made.HostConfig.Mounts {
			c.Mounts = append(c.Mounts, container.MountPoint{Type: m.Type, Destination: m.Target, RW: !m.ReadOnly})
		}
		if f.inspect != nil {
			f.inspect(c)
		}
		reply(200, c)
	case call == "DELETE /containers/c1":
		f.made = nil
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	default:
		reply(404, types.ErrorResponse{Message: "page not found: " + call})
	}
}

func (f *faulty) called(call string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.calls, call)
}

// request makes a request that uses much of the API.
func faultRequest(t *testing.T) *backend.CreateRequest {
	t.Helper()
	s := &spec.Sandbox{
		Image: spec.Image{Ref: "docker.io/library/x:latest"}, User: spec.User{As: "1000:1000", Groups: []uint32{4}},
		Process: spec.Process{Env: map[string]string{"TOKEN": "secret-value"}},
		Mounts: []spec.Mount{
			{Type: spec.MountBind, Source: "/srv", Target: "/srv", Mode: spec.ModeRO},
			{Type: spec.MountTmpfs, Target: "/t", Size: spec.MiB},
		},
		Binding:   spec.Binding{Ports: []spec.Port{{ContainerPort: 80}}},
		Resources: spec.Resources{Memory: 64 * spec.MiB, Pids: 10, CPUs: 500, Shm: spec.MiB, NoFile: spec.NoFile{Soft: 1, Hard: 2}},
		Security:  spec.Security{ReadOnlyRoot: true, Devices: []string{"/dev/null"}, Runtime: "runc"},
		Network:   spec.Network{HostAlias: true},
	}
	spec.Default(s)
	if err := spec.Validate(s); err != nil {
		t.Fatal(err)
	}
	req := planRequest(s)
	req.Env["TOKEN"] = "secret-value"
	return req
}

func TestCreateAgainstFaultlessServer(t *testing.T) {
	f, d := newFaulty(t)
	st, err := d.Create(t.Context(), faultRequest(t))
	if err != nil || st.Phase != backend.PhaseCreated {
		t.Fatalf("%+v, %v", st, err)
	}
	// The look at the engine, a look at what is there, the create, the read-back.
	want := []string{"GET /containers/c1/json", "GET /containers/json", "GET /info", "GET /networks", "GET /networks/bridge", "POST /containers/create"}
	if got := slices.Sorted(slices.Values(f.calls)); !slices.Equal(got, want) {
		t.Errorf("requests %q, want %q", got, want)
	}
}

// TestReadBackFindsEveryDifference lets the engine forget one setting at a time.
func TestReadBackFindsEveryDifference(t *testing.T) {
	type change = func(*container.InspectResponse)
	for name, tt := range map[string]struct {
		field  spec.Path
		change change
	}{
		"user":            {"user.as", func(c *container.InspectResponse) { c.Config.User = "" }},
		"entrypoint":      {"process.command", func(c *container.InspectResponse) { c.Config.Entrypoint = []string{"/other"} }},
		"command":         {"process.args", func(c *container.InspectResponse) { c.Config.Cmd = nil }},
		"env":             {"process.env", func(c *container.InspectResponse) { c.Config.Env = nil }},
		"label":           {"labels", func(c *container.InspectResponse) { delete(c.Config.Labels, labelRecord) }},
		"image":           {"image.ref", func(c *container.InspectResponse) { c.Image = "sha256:other" }},
		"groups":          {"user.groups", func(c *container.InspectResponse) { c.HostConfig.GroupAdd = nil }},
		"mount writable":  {"mounts", func(c *container.InspectResponse) { c.Mounts[0].RW = true }},
		"mount gone":      {"mounts", func(c *container.InspectResponse) { c.Mounts = c.Mounts[1:] }},
		"mount recursive": {"mounts", func(c *container.InspectResponse) { c.HostConfig.Mounts[0].BindOptions.NonRecursive = false }},
		"tmpfs":           {"mounts", func(c *container.InspectResponse) { c.HostConfig.Tmpfs["/t"] = "rw" }},
		"extra bind":      {"mounts", func(c *container.InspectResponse) { c.HostConfig.Binds = []string{"/:/host"} }},
		"port address":    {"binding.ports", func(c *container.InspectResponse) { c.HostConfig.PortBindings["80/tcp"][0].HostIP = "" }},
		"all ports":       {"binding.ports", func(c *container.InspectResponse) { c.HostConfig.PublishAllPorts = true }},
		"network":         {"network.mode", func(c *container.InspectResponse) { c.HostConfig.NetworkMode = "default" }},
		"hosts":           {"network.hostAlias", func(c *container.InspectResponse) { c.HostConfig.ExtraHosts = nil }},
		"memory":          {"resources.memory", func(c *container.InspectResponse) { c.HostConfig.Memory = 0 }},
		"swap":            {"resources.memory", func(c *container.InspectResponse) { c.HostConfig.MemorySwap = -1 }},
		"cpus":            {"resources.cpus", func(c *container.InspectResponse) { c.HostConfig.CPUQuota = 0 }},
		"pids":            {"resources.pids", func(c *container.InspectResponse) { c.HostConfig.PidsLimit = nil }},
		"shm":             {"resources.shm", func(c *container.InspectResponse) { c.HostConfig.ShmSize = 64 << 20 }},
		"nofile":          {"resources.nofile", func(c *container.InspectResponse) { c.HostConfig.Ulimits = nil }},
		"cap add":         {"security.capabilities", func(c *container.InspectResponse) { c.HostConfig.CapAdd = append(c.HostConfig.CapAdd, "CAP_SYS_ADMIN") }},
		"cap drop":        {"security.capabilities", func(c *container.InspectResponse) { c.HostConfig.CapDrop = nil }},
		"seccomp":         {"security.seccomp", func(c *container.InspectResponse) { c.HostConfig.SecurityOpt = c.HostConfig.SecurityOpt[1:] }},
		"new privs":       {"security.seccomp", func(c *container.InspectResponse) { c.HostConfig.SecurityOpt = c.HostConfig.SecurityOpt[:1] }},
		"read-only":       {"security.readOnlyRoot", func(c *container.InspectResponse) { c.HostConfig.ReadonlyRootfs = false }},
		"privileged":      {"security", func(c *container.InspectResponse) { c.HostConfig.Privileged = true }},
		"masked paths":    {"security", func(c *container.InspectResponse) { c.HostConfig.MaskedPaths = nil }},
		"ro paths":        {"security", func(c *container.InspectResponse) { c.HostConfig.ReadonlyPaths = nil }},
		"pid mode":        {"security", func(c *container.InspectResponse) { c.HostConfig.PidMode = "host" }},
		"ipc mode":        {"security", func(c *container.InspectResponse) { c.HostConfig.IpcMode = "host" }},
		"cgroupns":        {"security", func(c *container.InspectResponse) { c.HostConfig.CgroupnsMode = "host" }},
		"userns":          {"security", func(c *container.InspectResponse) { c.HostConfig.UsernsMode = "host" }},
		"devices":         {"security.devices", func(c *container.InspectResponse) { c.HostConfig.Devices[0].CgroupPermissions = "rw" }},
		"runtime":         {"security.runtime", func(c *container.InspectResponse) { c.HostConfig.Runtime = "other" }},
		"restart":         {"life.restart", func(c *container.InspectResponse) { c.HostConfig.RestartPolicy.Name = "always" }},
		"auto remove":     {"life.restart", func(c *container.InspectResponse) { c.HostConfig.AutoRemove = true }},
		"nothing":         {"", func(c *container.InspectResponse) { c.HostConfig = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			f, d := newFaulty(t)
			f.inspect = tt.change
			_, err := d.Create(t.Context(), faultRequest(t))
			wantKind(t, err, backend.Internal, tt.field)
			if strings.Contains(err.Error(), "secret-value") {
				t.Errorf("the error shows an environment value: %v", err)
			}
			if !f.called("DELETE /containers/c1") {
				t.Error("the container is left")
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	for warning, tt := range map[string]struct {
		kind  backend.Kind
		field spec.Path
	}{
		"Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.": {backend.Unsupported, "resources.memory"},
		"Your kernel does not support CPU CFS scheduler quota. Period and quota discarded.":                               {backend.Unsupported, "resources.cpus"},
		"Your kernel does not support pids limit capabilities. PIDs limit discarded.":                                     {backend.Unsupported, "resources.pids"},
		"IPv4 forwarding is disabled. Networking will not work.":                                                          {backend.Unsupported, "network.mode"},
		"something that nobody has heard of":                                                                              {backend.Internal, ""},
	} {
		t.Run(warning, func(t *testing.T) {
			f, d := newFaulty(t)
			f.warnings = []string{warning}
			_, err := d.Create(t.Context(), faultRequest(t))
			wantKind(t, err, tt.kind, tt.field)
			if !f.called("DELETE /containers/c1") {
				t.Error("the container is left")
			}
		})
	}
	req := faultRequest(t)
	if err := checkWarnings(req, infoWith(map[string]string{"info.SwapLimit": "false"}), []string{"Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap."}); err != nil {
		t.Errorf("a harmless warning is refused: %v", err)
	}
}

// cut ends the connection without an answer.
func cut(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		conn.Close()
	}
}

func TestConnectionCutDuringCreate(t *testing.T) {
	f, d := newFaulty(t)
	f.answer = func(w http.ResponseWriter, r *http.Request, call string) bool {
		if call != "POST /containers/create" {
			return false
		}
		// The engine has made it, and the answer is lost.
		f.made, f.name = new(container.CreateRequest), r.URL.Query().Get("name")
		json.NewDecoder(r.Body).Decode(f.made)
		cut(w)
		return true
	}
	_, err := d.Create(t.Context(), faultRequest(t))
	wantKind(t, err, backend.Unavailable, "")
	if !f.called("DELETE /containers/c1") {
		t.Errorf("the container is left; requests %q", f.calls)
	}
}

func TestFailedCleanUpIsSaid(t *testing.T) {
	f, d := newFaulty(t)
	f.inspect = func(c *container.InspectResponse) { c.HostConfig.Privileged = true }
	f.answer = func(w http.ResponseWriter, _ *http.Request, call string) bool {
		if call == "DELETE /containers/c1" {
			w.WriteHeader(500)
			io.WriteString(w, `{"message":"device or resource busy"}`)
			return true
		}
		return false
	}
	_, err := d.Create(t.Context(), faultRequest(t))
	var leak *backend.LeakError
	if !errors.As(err, &leak) || len(leak.Left) != 1 || !strings.Contains(leak.Left[0], "berth-a123456789abcdef") {
		t.Errorf("error %v, want one that lists the container", err)
	}
	if backend.KindOf(err) != backend.Internal {
		t.Errorf("kind %q", backend.KindOf(err))
	}
}

func TestCancelWhileTheEngineCreates(t *testing.T) {
	f, d := newFaulty(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.answer = func(_ http.ResponseWriter, _ *http.Request, call string) bool {
		if call == "POST /containers/create" {
			cancel()
		}
		return false
	}
	_, err := d.Create(ctx, faultRequest(t))
	if err != context.Canceled {
		t.Errorf("error %v", err)
	}
	if !f.called("DELETE /containers/c1") {
		t.Errorf("the container is left; requests %q", f.calls)
	}
}

func TestErrorKinds(t *testing.T) {
	for name, tt := range map[string]struct {
		call    string
		status  int
		message string
		kind    backend.Kind
		field   spec.Path
	}{
		"no image":        {"POST /containers/create", 404, "No such image: sha256:1f", backend.NotFound, "image.ref"},
		"bad value":       {"POST /containers/create", 400, "invalid something", backend.Invalid, ""},
		"full disk":       {"POST /containers/create", 500, "mkdir /var/lib/docker: no space left on device", backend.Exhausted, ""},
		"no quota":        {"POST /containers/create", 400, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option", backend.Unsupported, "resources.disk"},
		"no runtime":      {"POST /containers/create", 400, "unknown runtime specified kata", backend.Unsupported, "security.runtime"},
		"no capability":   {"POST /containers/create", 400, `invalid CapAdd: unknown capability: "CAP_BPF"`, backend.Unsupported, "security.capabilities.add"},
		"plugin says no":  {"POST /containers/create", 403, "authorization denied by plugin", backend.Denied, ""},
		"defect":          {"POST /containers/create", 500, "something broke", backend.Internal, ""},
		"gateway":         {"POST /containers/create", 503, "come back later", backend.Unavailable, ""},
		"no source":       {"POST /containers/create", 400, `invalid mount config for type "bind": bind source path does not exist: /srv`, backend.Invalid, "mounts[0]"},
		"list fails":      {"GET /containers/json", 500, "broken", backend.Internal, ""},
		"networks fail":   {"GET /networks", 500, "broken", backend.Internal, ""},
		"read-back fails": {"GET /containers/c1/json", 500, "broken", backend.Internal, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f, d := newFaulty(t)
			f.answer = func(w http.ResponseWriter, _ *http.Request, call string) bool {
				if call != tt.call {
					return false
				}
				w.WriteHeader(tt.status)
				json.NewEncoder(w).Encode(types.ErrorResponse{Message: tt.message})
				return true
			}
			_, err := d.Create(t.Context(), faultRequest(t))
			wantKind(t, err, tt.kind, tt.field)
			if !strings.Contains(err.Error(), tt.message) {
				t.Errorf("the engine's word is lost: %v", err)
			}
		})
	}
}

func TestNetworkPoolExhausted(t *testing.T) {
	f, d := newFaulty(t)
	f.answer = func(w http.ResponseWriter, _ *http.Request, call string) bool {
		switch call {
		case "GET /networks":
			io.WriteString(w, "[]")
		case "POST /networks/create":
			w.WriteHeader(500)
			io.WriteString(w, `{"message":"could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"}`)
		default:
			return false
		}
		return true
	}
	_, err := d.Create(t.Context(), faultRequest(t))
	wantKind(t, err, backend.Exhausted, "")
	if f.called("POST /containers/create") {
		t.Error("the container was made all the same")
	}
}

// TestDuplicateNetworks lets two networks of one name exist: the older one stays.
func TestDuplicateNetworks(t *testing.T) {
	f, d := newFaulty(t)
	var removed []string
	f.answer = func(w http.ResponseWriter, r *http.Request, call string) bool {
		switch {
		case call == "GET /networks":
			var list []network.Summary
			for i, id := range []string{"young", "old"} {
				if !slices.Contains(removed, id) {
					list = append(list, network.Summary{Name: isolatedNetwork, ID: id, Created: time.Unix(int64(100-i), 0), Driver: "bridge", Options: map[string]string{optionICC: "false"}, Labels: map[string]string{labelNetwork: "isolated"}})
				}
			}
			json.NewEncoder(w).Encode(list)
		case strings.HasPrefix(call, "DELETE /networks/"):
			removed = append(removed, strings.TrimPrefix(call, "DELETE /networks/"))
			w.WriteHeader(204)
		default:
			return false
		}
		return true
	}
	if _, err := d.Create(t.Context(), faultRequest(t)); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(removed, []string{"young"}) {
		t.Errorf("removed %q", removed)
	}
}

func TestForeignIsolatedNetwork(t *testing.T) {
	for name, n := range map[string]network.Summary{
		"not berth's":      {Name: isolatedNetwork, ID: "x", Driver: "bridge", Options: map[string]string{optionICC: "false"}},
		"containers reach": {Name: isolatedNetwork, ID: "x", Driver: "bridge", Labels: map[string]string{labelNetwork: "isolated"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, d := newFaulty(t)
			f.answer = func(w http.ResponseWriter, _ *http.Request, call string) bool {
				if call == "GET /networks" {
					json.NewEncoder(w).Encode([]network.Summary{n})
					return true
				}
				return false
			}
			_, err := d.Create(t.Context(), faultRequest(t))
			wantKind(t, err, backend.Conflict, "network.mode")
		})
	}
}

func TestPodmanIsRecognised(t *testing.T) {
	f, d := newFaulty(t)
	f.podman = true
	info, err := d.Probe(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := backend.CheckInfo(info); err != nil {
		t.Error(err)
	}
	if info.Engine != "podman" || !slices.ContainsFunc(info.Warnings, func(w string) bool { return strings.Contains(w, "--backend podman") }) {
		t.Errorf("engine %q, warnings %q", info.Engine, info.Warnings)
	}
	_, err = d.Create(t.Context(), faultRequest(t))
	if backend.KindOf(err) != backend.Unsupported || f.called("POST /containers/create") {
		t.Errorf("error %v, requests %q", err, f.calls)
	}
}

// TestHeadersDropped recognises the engine behind a proxy that passes no headers
// on.
func TestHeadersDropped(t *testing.T) {
	f, d := newFaulty(t)
	f.answer = func(w http.ResponseWriter, _ *http.Request, call string) bool {
		w.Header().Del("Api-Version")
		if call != "GET /version" {
			return false
		}
		json.NewEncoder(w).Encode(types.Version{APIVersion: "1.40", Components: []types.ComponentVersion{{Name: "Podman Engine"}}})
		return true
	}
	info, err := d.Probe(t.Context(), false)
	if err != nil || info.Engine != "podman" || info.APIVersion != "1.40" {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestNoEngine(t *testing.T) {
	dir := t.TempDir()
	missing := open(t, "unix://"+filepath.Join(dir, "nothing"))
	_, err := missing.Probe(t.Context(), false)
	wantKind(t, err, backend.Unavailable, "")
	if !strings.Contains(err.Error(), "start it") {
		t.Errorf("the error does not say what to do: %v", err)
	}
	for _, err := range missing.List(t.Context(), nil) {
		wantKind(t, err, backend.Unavailable, "")
	}
	_, err = missing.Inspect(t.Context(), "x")
	wantKind(t, err, backend.Unavailable, "")

	other := httptest.NewServer(http.NotFoundHandler()) // a web server, no engine
	defer other.Close()
	_, err = open(t, "tcp://"+strings.TrimPrefix(other.URL, "http://")).Probe(t.Context(), false)
	wantKind(t, err, backend.Unavailable, "")

	silent, err := net.Listen("unix", filepath.Join(dir, "silent"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := open(t, "unix://"+filepath.Join(dir, "silent")).Probe(ctx, false); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an engine that says nothing: %v", err)
	}
}

func TestForbiddenSocket(t *testing.T) {
	d := &driver{host: "unix:///var/run/docker.sock", cfg: backend.Config{Log: slog.New(slog.DiscardHandler)}}
	err := d.fail(t.Context(), "list", "", fmt.Errorf("dial: %w", os.ErrPermission))
	if !strings.Contains(d.unavailable(err), "group docker") {
		t.Errorf("advice %q", d.unavailable(err))
	}
}
