// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/fixture"
	"github.com/berthrun/berth/spec"
)

// pullWorld has a registry on the engine's own loopback, where the tests run too.
func pullWorld(t *testing.T, o fixture.RegistryOptions) (*world, *fixture.Registry, string) {
	t.Helper()
	w := newWorld(t)
	w.cfg.Home = t.TempDir()
	r, err := fixture.NewRegistry(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	set, err := fixtures()
	if err != nil {
		t.Fatal(err)
	}
	img, err := set.Fresh(fixture.Scratch, string(newID())) // an engine asks for no blob that it has
	if err != nil {
		t.Fatal(err)
	}
	ref, err := r.Push(t.Context(), img, "team/image:"+string(newID()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.RemoveImage(context.Background(), ref, true) })
	return w, r, ref
}

// login writes docker's configuration with a password for the registry.
func (w *world) login(host, user, password string) {
	w.t.Helper()
	dir := filepath.Join(w.cfg.Home, ".docker")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	text := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func TestPull(t *testing.T) {
	w, r, ref := pullWorld(t, fixture.RegistryOptions{})
	steps := 0
	img, err := w.PullImage(t.Context(), ref, &backend.PullOptions{Progress: func(p backend.PullProgress) {
		steps++
		if p.Status == "" {
			t.Errorf("a step without a status: %+v", p)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if steps == 0 || img.Platform == "" || len(img.Digests) == 0 {
		t.Errorf("%d steps, image %+v", steps, img)
	}
	for name, tt := range map[string]struct {
		ref, platform string
		kind          backend.Kind
		field         spec.Path
	}{
		"no such tag":    {r.Host() + "/team/image:none", "", backend.NotFound, "image.ref"},
		"no such image":  {r.Host() + "/team/nothing:1", "", backend.NotFound, "image.ref"},
		"nobody there":   {"127.0.0.1:1/x:1", "", backend.Unavailable, "image.ref"},
		"bad reference":  {"127.0.0.1/UPPER:1", "", backend.Invalid, "image.ref"},
		"bad platform":   {ref, "nonsense", backend.Invalid, "image.platform"},
		"other platform": {ref, "linux/s390x", backend.NotFound, "image.platform"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.PullImage(t.Context(), tt.ref, &backend.PullOptions{Platform: tt.platform})
			wantKind(t, err, tt.kind, tt.field)
		})
	}
}

func TestPullWithCredentials(t *testing.T) {
	for _, auth := range []fixture.Auth{fixture.AuthBasic, fixture.AuthBearer} {
		t.Run(string(auth), func(t *testing.T) {
			w, r, ref := pullWorld(t, fixture.RegistryOptions{Auth: auth, User: "me", Password: "very-secret"})
			_, err := w.PullImage(t.Context(), ref, nil)
			wantKind(t, err, backend.Denied, "image.ref")
			w.login(r.Host(), "me", "wrong-secret")
			_, err = w.PullImage(t.Context(), ref, nil)
			wantKind(t, err, backend.Denied, "image.ref")
			if strings.Contains(err.Error(), "wrong-secret") {
				t.Errorf("the error shows the password: %v", err)
			}
			w.login(r.Host(), "me", "very-secret")
			if _, err := w.PullImage(t.Context(), ref, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPullFromFaultyRegistry(t *testing.T) {
	for fault, kind := range map[fixture.Fault]backend.Kind{
		fixture.FaultForbidden: backend.Denied, fixture.FaultUnauthorized: backend.Denied, fixture.FaultThrottled: backend.Exhausted,
		fixture.FaultInternal: backend.Unavailable, fixture.FaultWrongDigest: backend.Internal,
	} {
		t.Run(string(fault), func(t *testing.T) {
			w, r, ref := pullWorld(t, fixture.RegistryOptions{})
			r.SetFault(fault)
			_, err := w.PullImage(t.Context(), ref, nil)
			wantKind(t, err, kind, "image.ref")
		})
	}
	w, r, ref := pullWorld(t, fixture.RegistryOptions{})
	r.SetFault(fixture.FaultSlow)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := w.PullImage(ctx, ref, nil); err != context.DeadlineExceeded {
		t.Errorf("a registry that does not answer: %v", err)
	}
}

// TestPlatformOfImage asks for a platform that the engine's image is not for.
func TestPlatformOfImage(t *testing.T) {
	w := newWorld(t)
	img := w.image(fixture.Tree)
	if _, err := w.Image(t.Context(), img.Refs[0], img.Platform); err != nil {
		t.Error(err)
	}
	_, err := w.Image(t.Context(), img.Refs[0], "linux/s390x")
	wantKind(t, err, backend.NotFound, "image.platform")
	_, err = w.Image(t.Context(), "berth.test/nothing:at-all", "")
	wantKind(t, err, backend.NotFound, "image.ref")
}
