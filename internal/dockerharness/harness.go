// SPDX-License-Identifier: Apache-2.0

// Package dockerharness runs the conformance suite against a docker engine: it
// loads the fixture images, tells what the machine gives to tests, and lists
// leftovers by the engine's own means. The command "berth conformance" and the
// project's tests use the same one.
package dockerharness

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance"
	"github.com/berthrun/berth/conformance/fixture"
)

// Engine is what a test run knows of an engine that was started for it and that
// nobody else uses.
type Engine interface {
	Stop(ctx context.Context) error
	Start(ctx context.Context) error
}

// Options are what a Harness needs.
type Options struct {
	// Open makes a driver for the engine, or for another address when host is
	// not empty.
	Open func(ctx context.Context, host string) (backend.Driver, error)
	// Docker is a client of the same engine. The harness closes it.
	Docker *client.Client
	// Probe is the path of the static probe program.
	Probe string
	// Separate says why the engine's network is not the one of this process; empty
	// when it is.
	Separate string
	// Peer is a service beyond the engine's machine; the zero value: none.
	// ClosePeer, which may be nil, ends it.
	Peer      conformance.Endpoint
	ClosePeer func()
	// Engine can stop and start the engine. Nil: others may use it.
	Engine Engine
	Log    *slog.Logger
}

// Harness implements conformance.Harness and all its optional interfaces. What
// it cannot do on this machine is in Host().Lacks. Close it after the run.
type Harness struct {
	o     Options
	set   *fixture.Set
	host  conformance.Host
	close []func()

	mu     sync.Mutex
	loaded map[conformance.ImageKind]string
}

// New prepares a run: a directory, a submount, a service and a registry on this
// machine, as far as it gives them. Nothing is changed on the engine.
func New(ctx context.Context, o Options) (_ *Harness, err error) {
	h := &Harness{o: o, loaded: map[conformance.ImageKind]string{}}
	defer func() {
		if err != nil {
			h.Close()
		}
	}()
	h.close = append(h.close, func() { _ = o.Docker.Close() })
	if o.ClosePeer != nil {
		h.close = append(h.close, o.ClosePeer)
	}
	if h.set, err = fixture.Load(o.Probe); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "berth-conformance-")
	if err != nil {
		return nil, err
	}
	h.close = append(h.close, func() { _ = os.RemoveAll(dir) })
	// Folders in it are opened by sandboxes of any user.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	h.host = conformance.Host{
		UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), TempDir: dir, Lacks: map[conformance.Fact]string{},
	}
	lacks := h.host.Lacks
	if os.Geteuid() != 0 {
		lacks[conformance.FactRoot] = "the tests do not run as root"
	}
	if o.Engine == nil {
		lacks[conformance.FactRestart] = "the engine was not started for this run"
	}
	if h.host.Peer = o.Peer; o.Peer.Address == "" {
		lacks[conformance.FactPeer] = "no service outside the machine belongs to this run"
	}
	h.submount()
	if o.Separate != "" {
		for _, f := range []conformance.Fact{conformance.FactNetwork, conformance.FactAddress, conformance.FactIPv6, conformance.FactService, conformance.FactRegistry} {
			lacks[f] = o.Separate
		}
		return h, nil
	}
	if err := h.network(ctx); err != nil {
		return nil, err
	}
	return h, nil
}

// network finds out and makes what tests of the network need.
func (h *Harness) network(ctx context.Context) error {
	lacks := h.host.Lacks
	if h.host.Address = secondAddress(); h.host.Address == "" {
		lacks[conformance.FactAddress] = "the machine has loopback addresses only"
		lacks[conformance.FactService] = lacks[conformance.FactAddress]
	} else if err := h.service(ctx); err != nil {
		return err
	}
	var lc net.ListenConfig
	if l, err := lc.Listen(ctx, "tcp6", "[::1]:0"); err != nil {
		lacks[conformance.FactIPv6] = "the machine has no ::1: " + err.Error()
	} else {
		_ = l.Close()
	}
	return h.registry(ctx)
}

// secondAddress is an IPv4 address of this machine that is no loopback.
func secondAddress() string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	return ""
}

// service listens on all addresses of the machine, as a host's own service that
// forgot to bind to loopback would.
func (h *Harness) service(ctx context.Context) error {
	const body = "a service of the engine's machine"
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "0.0.0.0:0")
	if err != nil {
		return err
	}
	h.close = append(h.close, func() { _ = l.Close() })
	go serve(l, body)
	_, port, err := net.SplitHostPort(l.Addr().String())
	h.host.Service = conformance.Endpoint{Address: net.JoinHostPort(h.host.Address, port), Body: body}
	return err
}

// registry serves two registries on loopback, which engines reach without TLS.
func (h *Harness) registry(ctx context.Context) error {
	open, err := fixture.NewRegistry(fixture.RegistryOptions{})
	if err != nil {
		return err
	}
	h.close = append(h.close, func() { _ = open.Close() })
	closed, err := fixture.NewRegistry(fixture.RegistryOptions{Auth: fixture.AuthBasic, User: "nobody", Password: "knows"})
	if err != nil {
		return err
	}
	h.close = append(h.close, func() { _ = closed.Close() })
	img, err := h.set.Fresh(fixture.Scratch, rand.Text())
	if err != nil {
		return err
	}
	r := &h.host.Registry
	if r.Image, err = open.Push(ctx, img, "fixture:pulled"); err != nil {
		return err
	}
	if r.Denied, err = closed.Push(ctx, img, "fixture:denied"); err != nil {
		return err
	}
	r.Absent = open.Host() + "/absent:none"
	// A port that was free a moment ago answers nobody.
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	r.Unreachable = l.Addr().String() + "/fixture:gone"
	return l.Close()
}

// Close takes away what New made on this machine, and the images that the run
// loaded.
func (h *Harness) Close() {
	ctx := context.Background()
	for _, ref := range h.loaded {
		d, err := h.o.Open(ctx, "")
		if err != nil {
			break
		}
		if images, ok := backend.As[backend.Imager](d); ok {
			_ = images.RemoveImage(ctx, ref, false)
		}
		_ = d.Close()
	}
	for _, undo := range slices.Backward(h.close) {
		undo()
	}
	h.close = nil
}

// Open implements conformance.Harness.
func (h *Harness) Open(ctx context.Context) (backend.Driver, error) { return h.o.Open(ctx, "") }

// Host implements conformance.Harness.
func (h *Harness) Host() conformance.Host { return h.host }

// Image implements conformance.Harness.
func (h *Harness) Image(ctx context.Context, kind conformance.ImageKind) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ref, ok := h.loaded[kind]; ok {
		return ref, nil
	}
	ref, err := h.set.Reference(fixture.Kind(kind))
	if err != nil {
		return "", err
	}
	if err := h.load(ctx, func(w io.Writer) error { return h.set.SaveTar(w, fixture.Kind(kind)) }); err != nil {
		return "", err
	}
	h.loaded[kind] = ref
	return ref, nil
}

func (h *Harness) load(ctx context.Context, save func(io.Writer) error) error {
	pr, pw := io.Pipe()
	go func() { _ = pw.CloseWithError(save(pw)) }()
	defer pr.Close()
	resp, err := h.o.Docker.ImageLoad(ctx, pr)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// Archive implements conformance.Archiver. The image is one of its own, because
// docker lets a name of an image go, used or not, while there are others.
func (h *Harness) Archive(_ context.Context, ref string) (io.ReadCloser, error) {
	img, err := h.set.Fresh(fixture.Base, ref)
	if err != nil {
		return nil, err
	}
	pr, pw := io.Pipe()
	go func() { _ = pw.CloseWithError(saveAs(pw, ref, img)) }()
	return pr, nil
}

// Objects implements conformance.LeakChecker: everything that bears a label of
// berth's, by the engine's own lists.
func (h *Harness) Objects(ctx context.Context) ([]conformance.Object, error) {
	var out []conformance.Object
	containers, err := h.o.Docker.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		return nil, err
	}
	for _, c := range containers {
		if ours(c.Labels) {
			out = append(out, conformance.Object{Kind: "container", Name: c.ID, Owner: backend.ID(c.Labels["berth.id"])})
		}
	}
	networks, err := h.o.Docker.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, n := range networks {
		if ours(n.Labels) {
			out = append(out, conformance.Object{Kind: "network", Name: n.Name, Owner: backend.ID(n.Labels["berth.id"])})
		}
	}
	volumes, err := h.o.Docker.VolumeList(ctx, volume.ListOptions{Filters: filters.NewArgs()})
	if err != nil {
		return nil, err
	}
	for _, v := range volumes.Volumes {
		if ours(v.Labels) {
			out = append(out, conformance.Object{Kind: "volume", Name: v.Name, Owner: backend.ID(v.Labels["berth.id"])})
		}
	}
	return out, nil
}

func ours(labels map[string]string) bool {
	for k := range labels {
		if strings.HasPrefix(k, "berth.") {
			return true
		}
	}
	return false
}

// RemoveVolume implements conformance.VolumeRemover.
func (h *Harness) RemoveVolume(ctx context.Context, name string) error {
	err := h.o.Docker.VolumeRemove(ctx, name, false)
	if cerrdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// StopEngine implements conformance.Restarter.
func (h *Harness) StopEngine(ctx context.Context) error {
	if h.o.Engine == nil {
		return errors.New("the engine was not started for this run")
	}
	return h.o.Engine.Stop(ctx)
}

// StartEngine implements conformance.Restarter.
func (h *Harness) StartEngine(ctx context.Context) error {
	if h.o.Engine == nil {
		return errors.New("the engine was not started for this run")
	}
	return h.o.Engine.Start(ctx)
}

// OpenBroken implements conformance.Faulter. A process that runs as root cannot
// be refused a socket by its mode, so that the forbidden engine is one whose
// socket answers 403 to everything, as filtering proxies do.
func (h *Harness) OpenBroken(ctx context.Context, fault conformance.Fault) (backend.Driver, error) {
	dir, err := os.MkdirTemp("", "berth-broken-")
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	h.close = append(h.close, func() { _ = os.RemoveAll(dir) })
	h.mu.Unlock()
	socket := filepath.Join(dir, "docker.sock")
	switch fault {
	case conformance.FaultAbsent:
	case conformance.FaultForbidden:
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "unix", socket)
		if err != nil {
			return nil, err
		}
		if os.Geteuid() != 0 {
			if err := os.Chmod(socket, 0); err != nil {
				return nil, err
			}
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"message":"forbidden by the administrator"}`, http.StatusForbidden)
		}), ReadHeaderTimeout: 5e9}
		go func() { _ = srv.Serve(l) }()
		h.mu.Lock()
		h.close = append(h.close, func() { _ = srv.Close() })
		h.mu.Unlock()
	default:
		return nil, fmt.Errorf("fault %q is not known", fault)
	}
	return h.o.Open(ctx, "unix://"+socket)
}

// MakeForeign implements conformance.Bystander.
func (h *Harness) MakeForeign(ctx context.Context, name string) (conformance.Foreign, func(context.Context) error, error) {
	var f conformance.Foreign
	ref, err := h.Image(ctx, conformance.ImageBase)
	if err != nil {
		return f, nil, err
	}
	f.Network = name + "-net"
	n, err := h.o.Docker.NetworkCreate(ctx, f.Network, network.CreateOptions{Driver: "bridge"})
	if err != nil {
		return f, nil, err
	}
	c, err := h.o.Docker.ContainerCreate(ctx, &container.Config{
		Image: ref, Entrypoint: []string{"/probe"}, Cmd: []string{"sleep", "1h"},
	}, &container.HostConfig{NetworkMode: container.NetworkMode(f.Network)}, nil, nil, name)
	if err == nil {
		err = h.o.Docker.ContainerStart(ctx, c.ID, container.StartOptions{})
	}
	remove := func(ctx context.Context) error {
		var errs []error
		if c.ID != "" {
			errs = append(errs, h.o.Docker.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true}))
		}
		return errors.Join(append(errs, h.o.Docker.NetworkRemove(ctx, n.ID))...)
	}
	if err != nil {
		return f, nil, errors.Join(err, remove(ctx))
	}
	before, err := h.o.Docker.ContainerInspect(ctx, c.ID)
	if err != nil {
		return f, nil, errors.Join(err, remove(ctx))
	}
	f.Alive = func(ctx context.Context) (bool, error) {
		now, err := h.o.Docker.ContainerInspect(ctx, c.ID)
		if cerrdefs.IsNotFound(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if _, err := h.o.Docker.NetworkInspect(ctx, n.ID, network.InspectOptions{}); cerrdefs.IsNotFound(err) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		return now.State.Running && now.State.StartedAt == before.State.StartedAt && now.Name == before.Name, nil
	}
	return f, remove, nil
}

// serve sends body to every connection and closes it.
func serve(l net.Listener, body string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			_, _ = io.WriteString(c, body)
			_ = c.Close()
		}()
	}
}
