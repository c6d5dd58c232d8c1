// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"github.com/berthrun/berth/backend"
)

// state is berth's directory on its own machine. It holds what a sandbox needs
// on the host besides the engine's objects: the run directory, HOME, overlay
// uppers, and the agent's binary. It is no record of which sandboxes exist.
//
// Its top is 0700: directories below it may be open to every inner uid, and
// other users of the host must not come by.
type state struct{ dir string }

func openState(dir string) (*state, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("state directory %q: want an absolute path", dir)
	}
	for _, d := range []string{dir, filepath.Join(dir, "sandboxes"), filepath.Join(dir, "agents"), filepath.Join(dir, "images")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("state directory: %w", err)
		}
	}
	// Resolved once, because the engine is given paths below it.
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	info, err := os.Stat(real)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return nil, fmt.Errorf("state directory %s: mode %04o lets others in: run chmod 700 on it", real, perm)
	}
	return &state{dir: real}, nil
}

func (s *state) sandbox(id backend.ID) string { return filepath.Join(s.dir, "sandboxes", string(id)) }
func (s *state) run(id backend.ID) string     { return filepath.Join(s.sandbox(id), "run") }
func (s *state) home(id backend.ID) string    { return filepath.Join(s.sandbox(id), "home") }

// validID keeps an id from naming a place outside the state: ids come back from
// engine labels, which anybody with access to the engine can write.
func validID(id backend.ID) bool {
	if len(id) != 16 || id[0] < 'a' || id[0] > 'z' {
		return false
	}
	return strings.Trim(string(id), "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// make creates the directories of a new sandbox. A collision with an earlier
// sandbox is an error: its content must not be inherited. The engine that will
// have it is noted, so that an abandoned directory can be told from one of a
// sandbox elsewhere.
func (s *state) make(id backend.ID, engine string) (err error) {
	if err := os.Mkdir(s.sandbox(id), 0o700); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.remove(id))
		}
	}()
	if err := os.WriteFile(filepath.Join(s.sandbox(id), "engine"), []byte(engine), 0o600); err != nil {
		return err
	}
	if err := os.Mkdir(s.run(id), 0o700); err != nil {
		return err
	}
	// Any inner uid serves from here; the parent shuts everybody else out.
	return os.Chmod(s.run(id), 0o777)
}

// engine is which engine a sandbox's directory was made for; empty when that is
// not known.
func (s *state) engine(id backend.ID) string {
	data, err := os.ReadFile(filepath.Join(s.sandbox(id), "engine"))
	if err != nil {
		return ""
	}
	return string(data)
}

// makeHome creates HOME for an inner uid. A caller who cannot give it away
// opens it instead, which only that sandbox can use.
func (s *state) makeHome(id backend.ID, uid, gid uint32) (string, error) {
	dir := s.home(id)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	if int(uid) == os.Geteuid() {
		return dir, nil
	}
	err := os.Chown(dir, int(uid), int(gid))
	if errors.Is(err, fs.ErrPermission) {
		return dir, os.Chmod(dir, 0o777)
	}
	return dir, err
}

// remove deletes everything of a sandbox. Absent: nil. Symbolic links that the
// sandbox left are removed, never followed.
func (s *state) remove(id backend.ID) error {
	if !validID(id) {
		return fmt.Errorf("sandbox id %q: malformed", id)
	}
	works, err := filepath.Glob(filepath.Join(s.sandbox(id), noted+"*"))
	if err != nil {
		return err
	}
	for _, note := range works {
		work, err := os.ReadFile(note)
		if err != nil {
			return err
		}
		if err := os.RemoveAll(string(work)); err != nil {
			return err
		}
	}
	root, err := os.OpenRoot(filepath.Join(s.dir, "sandboxes"))
	if err != nil {
		return err
	}
	defer root.Close()
	return root.RemoveAll(string(id))
}

// noted starts the names of notes about directories outside the state.
const noted = "work-"

// note remembers an overlay's work directory, so that remove takes it along.
// The note is out of the sandbox's reach.
func (s *state) note(id backend.ID, work string) error {
	sum := sha256.Sum256([]byte(work))
	return writeFile(filepath.Join(s.sandbox(id), noted+hex.EncodeToString(sum[:8])), []byte(work), 0o600)
}

// lock keeps two berths from starting or removing one sandbox at once. The
// lock is a file beside the sandbox's directory, so that removing the directory
// does not remove it under a waiter.
func (s *state) lock(id backend.ID) *flock.Flock {
	return flock.New(filepath.Join(s.dir, "sandboxes", "."+string(id)+".lock"))
}

// dropLock removes the lock's file after the sandbox is gone.
func (s *state) dropLock(id backend.ID) {
	_ = os.Remove(filepath.Join(s.dir, "sandboxes", "."+string(id)+".lock"))
}

// agent returns a copy of the agent's binary that stays what it is while
// sandboxes that bind it exist, whatever an upgrade does to the original.
func (s *state) agent(src string) (path, digest string, err error) {
	info, err := os.Stat(src)
	if err != nil {
		return "", "", err
	}
	key := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%d", src, info.Size(), info.ModTime().UnixNano()))
	index := filepath.Join(s.dir, "agents", hex.EncodeToString(key[:8])+".json")
	var entry struct {
		Digest string `json:"digest"`
		Size   int64  `json:"size"`
	}
	if data, err := os.ReadFile(index); err == nil && json.Unmarshal(data, &entry) == nil && len(entry.Digest) == 64 {
		path = filepath.Join(s.dir, "agents", entry.Digest)
		if got, err := os.Stat(path); err == nil && got.Size() == entry.Size && entry.Size == info.Size() {
			return path, entry.Digest, nil
		}
	}
	in, err := os.Open(src)
	if err != nil {
		return "", "", err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Join(s.dir, "agents"), ".new-")
	if err != nil {
		return "", "", err
	}
	defer func() { _ = os.Remove(out.Name()) }()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, h), in)
	if err == nil {
		err = out.Chmod(0o555)
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return "", "", err
	}
	entry.Digest, entry.Size = hex.EncodeToString(h.Sum(nil)), n
	path = filepath.Join(s.dir, "agents", entry.Digest)
	if err := os.Rename(out.Name(), path); err != nil {
		return "", "", err
	}
	return path, entry.Digest, writeJSON(index, entry)
}

// writeJSON replaces path in one step.
func writeJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFile(path, data, 0o600)
}

func writeFile(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
