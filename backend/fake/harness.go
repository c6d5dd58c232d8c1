// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance"
)

// Harness plugs an engine in memory into package conformance. Close removes its
// folder.
type Harness struct {
	engine *Engine
	host   conformance.Host
}

var (
	_ conformance.Harness       = (*Harness)(nil)
	_ conformance.LeakChecker   = (*Harness)(nil)
	_ conformance.VolumeRemover = (*Harness)(nil)
	_ conformance.Archiver      = (*Harness)(nil)
	_ conformance.Restarter     = (*Harness)(nil)
	_ conformance.Faulter       = (*Harness)(nil)
	_ conformance.Bystander     = (*Harness)(nil)
)

// References that the model's registry knows.
const (
	refPull        = "registry.test/conformance/pulled:latest"
	refDenied      = "registry.test/conformance/denied:latest"
	refAbsent      = "registry.test/conformance/absent:latest"
	refUnreachable = "unreachable.test/conformance/image:latest"
)

// Addresses of the model's world, from the blocks that are for documentation.
const (
	peerAddress    = "203.0.113.7:7777"
	serviceAddress = "192.0.2.254:9999"
)

// NewHarness makes an engine and the world around it in a new folder below dir
// (empty: the system's), and declares what this machine lacks.
func NewHarness(dir string, opts ...Option) (*Harness, error) {
	dir, err := os.MkdirTemp(dir, "berth-fake-")
	if err != nil {
		return nil, fmt.Errorf("make the fake engine's folder: %w", err)
	}
	e := NewEngine(opts...)
	e.outside[peerAddress] = "the peer outside\n"
	e.services[serviceAddress] = "a service of the host\n"
	e.registry[refPull], e.registry[refDenied], e.registry[refUnreachable] = gives, denies, unreachable
	h := &Harness{engine: e, host: conformance.Host{
		UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), TempDir: dir, Address: "127.0.0.2",
		Peer:     conformance.Endpoint{Address: peerAddress, Body: e.outside[peerAddress], Name: outsideName},
		Service:  conformance.Endpoint{Address: serviceAddress, Body: e.services[serviceAddress]},
		Submount: filepath.Join(dir, "submount"),
		Registry: conformance.Registry{Image: refPull, Denied: refDenied, Absent: refAbsent, Unreachable: refUnreachable},
		Lacks:    map[conformance.Fact]string{},
	}}
	sub := filepath.Join(h.host.Submount, "sub")
	if err := errors.Join(os.Chmod(dir, 0o755), os.MkdirAll(sub, 0o755)); err != nil {
		return nil, errors.Join(fmt.Errorf("make the fake engine's folder: %w", err), os.RemoveAll(dir))
	}
	e.submounts = []string{sub}
	if os.Getuid() != 0 {
		h.host.Lacks[conformance.FactRoot] = "the tests do not run as root"
	}
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		h.host.Lacks[conformance.FactIPv6] = "the machine has no ::1"
	} else {
		_ = l.Close()
	}
	if l, err := net.Listen("tcp", h.host.Address+":0"); err != nil {
		h.host.Lacks[conformance.FactAddress] = "the machine has only 127.0.0.1"
		h.host.Address = ""
	} else {
		_ = l.Close()
	}
	return h, nil
}

// Close removes the harness's folder.
func (h *Harness) Close() error { return os.RemoveAll(h.host.TempDir) }

// Engine returns the engine.
func (h *Harness) Engine() *Engine { return h.engine }

// Open implements conformance.Harness.
func (h *Harness) Open(context.Context) (backend.Driver, error) {
	d := h.engine.Open()
	if h.engine.has(BugVerbMissing) {
		return struct {
			backend.Driver
			backend.Imager
			backend.Networker
			backend.Copier
		}{d, d, d, d}, nil
	}
	return d, nil
}

// Host implements conformance.Harness.
func (h *Harness) Host() conformance.Host { return h.host }

// baseFiles are in every image.
var baseFiles = []file{{path: "probe", mode: 0o755, data: program}}

// baseArchive is an archive of the base image under another name.
func baseArchive(ref string) []byte {
	return archive(ref, backend.Image{Entrypoint: []string{"/probe"}}, nil, baseFiles)
}

// Image implements conformance.Harness.
func (h *Harness) Image(_ context.Context, kind conformance.ImageKind) (string, error) {
	ref := "berth.test/fake:" + string(kind)
	data := baseArchive(ref)
	switch kind {
	case conformance.ImageBase:
	case conformance.ImageUser:
		data = archive(ref, backend.Image{Entrypoint: []string{"/probe"}, User: "app"}, nil, append([]file{
			{path: "etc/passwd", mode: 0o644, data: "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:App:/home/app:/bin/sh\n"},
			{path: "etc/group", mode: 0o644, data: "root:x:0:\napp:x:1000:\n"},
			{path: "home/app", mode: 0o755, dir: true, uid: 1000, gid: 1000},
		}, baseFiles...))
	case conformance.ImageConfig:
		data = archive(ref, conformance.ConfigImage(), nil, append([]file{
			{path: "srv/work", mode: 0o755, dir: true},
			{path: "srv/data", mode: 0o644, data: conformance.ConfigData},
			{path: "srv/link", link: "/etc/passwd"},
		}, baseFiles...))
	case conformance.ImageVolume:
		data = archive(ref, backend.Image{Entrypoint: []string{"/probe"}}, []string{"/data"}, baseFiles)
	default:
		return "", fmt.Errorf("no fixture image %q", kind)
	}
	images, err := unpack(bytes.NewReader(data))
	if err != nil {
		return "", err
	}
	h.engine.mu.Lock()
	defer h.engine.mu.Unlock()
	h.engine.add(images[0])
	return ref, nil
}

// Objects implements conformance.LeakChecker.
func (h *Harness) Objects(context.Context) ([]conformance.Object, error) {
	var list []conformance.Object
	for _, o := range h.engine.objects() {
		list = append(list, conformance.Object{Kind: o.kind, Name: o.name, Owner: o.owner})
	}
	return list, nil
}

// RemoveVolume implements conformance.VolumeRemover.
func (h *Harness) RemoveVolume(_ context.Context, name string) error {
	h.engine.mu.Lock()
	defer h.engine.mu.Unlock()
	delete(h.engine.volumes, name)
	return nil
}

// Archive implements conformance.Archiver.
func (h *Harness) Archive(_ context.Context, ref string) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(baseArchive(ref))), nil
}

// StopEngine implements conformance.Restarter.
func (h *Harness) StopEngine(ctx context.Context) error {
	e := h.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	e.down = true
	if !e.supports(backend.LifeEngineRestart) || e.has(BugEngineRestartKills) {
		for _, sb := range e.sandboxes {
			if sb.running() {
				sb.resume()
				sb.main.send("KILL", true)
			}
		}
	}
	err := e.wait(ctx, func() bool {
		for _, sb := range e.sandboxes {
			if sb.running() && sb.main.killed > 0 {
				return false
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	if e.has(BugEngineRestartForgets) {
		for _, sb := range e.sandboxes {
			delete(e.sandboxes, sb.id)
		}
	}
	return nil
}

// StartEngine implements conformance.Restarter.
func (h *Harness) StartEngine(context.Context) error {
	h.engine.mu.Lock()
	defer h.engine.mu.Unlock()
	h.engine.down = false
	return nil
}

// OpenBroken implements conformance.Faulter.
func (h *Harness) OpenBroken(context.Context, conformance.Fault) (backend.Driver, error) {
	d := h.engine.Open()
	d.broken = true
	return d, nil
}

// MakeForeign implements conformance.Bystander.
func (h *Harness) MakeForeign(_ context.Context, name string) (conformance.Foreign, func(context.Context) error, error) {
	e := h.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.newNetwork(name, false)
	n.foreign = true
	alive := func(context.Context) (bool, error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.networks[name] == n, nil
	}
	remove := func(context.Context) error {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.networks, name)
		return nil
	}
	return conformance.Foreign{Network: name, Alive: alive}, remove, nil
}
