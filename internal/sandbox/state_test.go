// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berthrun/berth/backend"
)

func TestStateIsClosedToOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	st, err := openState(dir)
	if err != nil {
		t.Fatal(err)
	}
	id := newID()
	if err := st.make(id, "engine"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, st.sandbox(id): 0o700, st.run(id): 0o777} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: mode %04o, want %04o", path, got, want)
		}
	}
	if err := st.make(id, "engine"); err == nil {
		t.Error("the directory of another sandbox was taken over")
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := openState(dir); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("a state directory that others may enter: error %v", err)
	}
}

func TestStateRemoveStaysInside(t *testing.T) {
	outer := t.TempDir()
	st, err := openState(filepath.Join(outer, "state"))
	if err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(outer, "victim")
	if err := os.MkdirAll(filepath.Join(victim, "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	id := newID()
	if err := st.make(id, "engine"); err != nil {
		t.Fatal(err)
	}
	// What a hostile sandbox leaves in its run directory.
	if err := os.Symlink(victim, filepath.Join(st.run(id), "out")); err != nil {
		t.Fatal(err)
	}
	if err := st.remove(id); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(st.sandbox(id)); !os.IsNotExist(err) {
		t.Errorf("the sandbox's directory is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(victim, "deep")); err != nil {
		t.Errorf("removal followed a link: %v", err)
	}
	for _, forged := range []backend.ID{"", ".", "..", "../../victim", "a/../../../victim", "ABCDEFGHIJKLMNOP", "a234567890123456x"} {
		if err := st.remove(forged); err == nil {
			t.Errorf("id %q was accepted", forged)
		}
	}
	if err := st.remove(id); err != nil {
		t.Errorf("removing twice: %v", err)
	}
}

func TestAgentCopySurvivesTheOriginal(t *testing.T) {
	dir := t.TempDir()
	st, err := openState(filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	src := filepath.Join(dir, "agent")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(src, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	first, digest, err := st.agent(src)
	if err != nil {
		t.Fatal(err)
	}
	if again, d, err := st.agent(src); err != nil || again != first || d != digest {
		t.Errorf("second time %q %q %v", again, d, err)
	}
	write("another")
	second, other, err := st.agent(src)
	if err != nil || second == first || other == digest {
		t.Errorf("an upgrade gives %q %q %v", second, other, err)
	}
	if got, _ := os.ReadFile(first); string(got) != "one" {
		t.Errorf("the first copy now has %q", got)
	}
	info, err := os.Stat(second)
	if err != nil || info.Mode().Perm() != 0o555 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestNewID(t *testing.T) {
	seen := map[backend.ID]bool{}
	for range 1000 {
		id := newID()
		if !validID(id) || seen[id] {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
}
