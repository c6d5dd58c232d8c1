// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/fixture"
	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/internal/enginetest"
	"github.com/berthrun/berth/spec"
	"github.com/docker/docker/api/types/volume"
)

// remote opens the engine by its TLS address, which makes it remote, although
// it is not far.
func remote(t *testing.T) *world {
	t.Helper()
	engine := enginetest.NeedDocker(t)
	home := t.TempDir()
	env := map[string]string{"DOCKER_HOST": engine.TLSHost, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": engine.CertPath}
	d, err := Open(t.Context(), backend.Config{
		Home: home, StateDir: home, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Getenv: func(k string) (string, bool) { v, ok := env[k]; return v, ok },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return &world{driver: d.(*driver), t: t, engine: engine}
}

// TestRemoteSupport copies an agent, a run directory and a passwd file to the
// engine and runs from them, below a read-only root file system.
func TestRemoteSupport(t *testing.T) {
	w := remote(t)
	info, err := w.Probe(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	if !info.Remote || len(info.Warnings) > 0 || info.Claim(backend.MountBind).Has() {
		t.Errorf("info %+v", info)
	}
	dir := t.TempDir()
	run, passwd := filepath.Join(dir, "run"), filepath.Join(dir, "passwd")
	if err := os.Mkdir(run, 0o700); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(run, "key"), []byte("k"), 0o600)
	os.WriteFile(passwd, []byte("berth:x:1000:1000::/home/berth:\n"), 0o644)
	program, err := fixture.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(append(data, t.Name()...)) // a volume of this test's own
	make := func() *backend.CreateRequest {
		req := w.request(func(s *spec.Sandbox) {
			s.User.As = "1000:1000"
			s.Security.ReadOnlyRoot = true
			s.Mounts = []spec.Mount{{Type: spec.MountVolume, Target: "/v"}}
		})
		req.Identity = backend.Identity{Mode: "number", UID: 1000, GID: 1000}
		req.Support = []backend.SupportMount{
			{Role: backend.RoleAgent, Source: program, Target: backend.AgentTarget, ReadOnly: true, Digest: hex.EncodeToString(sum[:]), Mode: 0o755},
			{Role: backend.RoleRun, Source: run, Target: backend.RunTarget, Dir: true, UID: 1000, GID: 1000, Mode: 0o777},
			{Role: backend.RolePasswd, Source: passwd, Target: "/etc/passwd", ReadOnly: true, Mode: 0o644},
		}
		req.Argv = []string{backend.AgentTarget, "id", "+", "read", backend.RunTarget + "/key", "+", "touch", backend.RunTarget + "/x", "+", "touch", backend.AgentTarget, "+", "touch", "/etc/passwd", "+", "stat", backend.RunTarget, "+", "touch", "/v/x", "+", "touch", "/x"}
		return req
	}
	agents := func() (n int) {
		list, err := w.cli.VolumeList(t.Context(), volume.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range list.Volumes {
			if strings.HasSuffix(v.Name, hex.EncodeToString(sum[:])[:12]) {
				n++
			}
		}
		return n
	}
	first, second := make(), make()
	r := w.results(w.run(first, nil))
	if id := value[probe.ID](t, r, 0); id.UID != 1000 || id.User != "berth" {
		t.Errorf("id %+v", id)
	}
	if c := value[probe.Content](t, r, 1); !bytes.Equal(c.Data, []byte("k")) {
		t.Errorf("run directory: %+v", r[1])
	}
	for i, want := range map[int]probe.Errno{2: "", 3: "EROFS", 4: "EROFS", 6: "", 7: "EROFS"} {
		if r[i].Errno != want {
			t.Errorf("%v: %q, want %q", r[i].Args, r[i].Errno, want)
		}
	}
	if st := value[probe.Stat](t, r, 5); st.UID != 1000 || st.Mode != 0o777 {
		t.Errorf("run directory %+v", st)
	}
	w.run(second, nil)
	if n := agents(); n != 1 {
		t.Errorf("%d agent volumes for two sandboxes, want 1", n)
	}
	for i, req := range []*backend.CreateRequest{first, second} {
		if err := w.Remove(context.Background(), req.ID, nil); err != nil {
			t.Error(err)
		}
		w.wantNothing(req.ID)
		if n := agents(); n != 1-i {
			t.Errorf("%d agent volumes after %d removes", n, i+1)
		}
	}
}

func TestRemoteBindIsRefused(t *testing.T) {
	w := remote(t)
	req := w.request(func(s *spec.Sandbox) {
		s.Mounts = []spec.Mount{{Type: spec.MountBind, Source: "/tmp", Target: "/b"}}
	}, "hold")
	_, err := w.Create(t.Context(), req)
	wantKind(t, err, backend.Unsupported, "mounts[0]")
	w.wantNothing(req.ID)
	req.EnginePaths = true
	w.create(req)
}

func TestTLSIsChecked(t *testing.T) {
	engine := enginetest.NeedDocker(t)
	d := open(t, engine.TLSHost) // no certificates
	_, err := d.Probe(t.Context(), false)
	wantKind(t, err, backend.Unavailable, "")
}
