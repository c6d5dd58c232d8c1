// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/spec"
)

func TestMountModes(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	ro, rw, lower, upper, work := filepath.Join(dir, "ro"), filepath.Join(dir, "rw"), filepath.Join(dir, "lower"), filepath.Join(dir, "up"), filepath.Join(dir, "work")
	for _, d := range []string{ro, rw, lower, upper, work, filepath.Join(ro, "sub")} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	os.Chmod(rw, 0o777)
	if err := syscall.Mount("tmpfs", filepath.Join(ro, "sub"), "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(filepath.Join(ro, "sub"), syscall.MNT_DETACH) })
	os.WriteFile(filepath.Join(ro, "sub", "f"), []byte("below"), 0o644)
	os.WriteFile(filepath.Join(lower, "f"), []byte("lower"), 0o644)
	req := w.request(func(s *spec.Sandbox) {
		s.Mounts = []spec.Mount{
			{Type: spec.MountBind, Source: ro, Target: "/ro", Mode: spec.ModeRO},
			{Type: spec.MountBind, Source: rw, Target: "/rw"},
			{Type: spec.MountBind, Source: lower, Target: "/over", Mode: spec.ModeOverlay},
		}
	}, "touch", "/ro/x", "+", "touch", "/ro/sub/x", "+", "read", "/ro/sub/f", "+", "touch", "/rw/x", "+", "write", "/over/f", "new", "+", "remount", "/ro/sub", "+", "remove", "/ro/sub/f")
	req.Overlays = map[int]backend.OverlayDirs{2: {Lower: lower, Upper: upper, Work: work}}
	r := w.results(w.run(req, nil))
	for i, want := range []string{"EROFS", "EROFS", "", "", "", "EPERM", "EROFS"} {
		if string(r[i].Errno) != want {
			t.Errorf("%v: %q, want %q", r[i].Args, r[i].Errno, want)
		}
	}
	if c := value[probe.Content](t, r, 2); string(c.Data) != "below" {
		t.Errorf("what is mounted below a read-only bind reads %q", c.Data)
	}
	if got, _ := os.ReadFile(filepath.Join(lower, "f")); string(got) != "lower" {
		t.Errorf("the overlay wrote to its source: %q", got)
	}
	if got, _ := os.ReadFile(filepath.Join(upper, "f")); string(got) != "new" {
		t.Errorf("upper has %q", got)
	}
	if _, err := os.Stat(filepath.Join(rw, "x")); err != nil {
		t.Error(err)
	}
	if err := w.Remove(t.Context(), req.ID, nil); err != nil {
		t.Fatal(err)
	}
	w.wantNothing(req.ID)
}
