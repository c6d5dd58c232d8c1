// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/policy"
	"github.com/berthrun/berth/spec"
)

// hostPath is a bind's source after it was resolved, once.
type hostPath struct {
	index    int
	resolved string
	mode     fs.FileMode
	dev, ino uint64
	upper    string // resolved Mount.Upper, when set
}

func (p hostPath) record() backend.MountRecord {
	return backend.MountRecord{Index: p.index, Source: p.resolved, Dev: p.dev, Ino: p.ino, Dir: p.mode.IsDir(), Upper: p.upper}
}

// resolve follows every host path of s to its end and notes what is there: for
// the policy, and for the binds, so that init's report can be compared with it.
// The engine resolves the path again later; a folder that was swapped in between
// is then found out before the command runs.
//
// With paths of the engine's machine nothing can be looked at here; the policy
// is told so.
func (m *Manager) resolve(s *spec.Sandbox) (judged []policy.ResolvedPath, binds []hostPath, err error) {
	var errs []error
	resolved := map[spec.Path]policy.ResolvedPath{}
	for _, hp := range policy.HostPaths(s) {
		// A seccomp profile is read by berth, wherever the engine is.
		remote := m.enginePaths && hp.Field != "security.seccomp"
		r := policy.ResolvedPath{Field: hp.Field, Asked: hp.Path, Resolved: hp.Path, Remote: remote}
		if !remote {
			if strings.HasSuffix(string(hp.Field), ".upper") {
				// An upper is berth's to make, as HOME is; its parent is not.
				if _, err := os.Lstat(hp.Path); errors.Is(err, fs.ErrNotExist) {
					r.Resolved, r.Kind = resolveMissing(hp.Path), policy.KindMissing
					resolved[hp.Field] = r
					judged = append(judged, r)
					continue
				}
			}
			if r.Resolved, err = filepath.EvalSymlinks(hp.Path); err != nil {
				errs = append(errs, badPath(hp.Field, err, hp.Path))
				continue
			}
			info, err := os.Stat(r.Resolved)
			if err != nil {
				errs = append(errs, badPath(hp.Field, err, hp.Path))
				continue
			}
			r.Kind = kindOf(info.Mode())
		}
		resolved[hp.Field] = r
		judged = append(judged, r)
	}
	if m.enginePaths {
		return judged, nil, errors.Join(errs...)
	}
	for i, mt := range s.Mounts {
		field := spec.Path(fmt.Sprintf("mounts[%d]", i))
		r, ok := resolved[field]
		if mt.Type != spec.MountBind || !ok {
			continue
		}
		p := hostPath{index: i, resolved: r.Resolved}
		info, err := os.Stat(p.resolved)
		if err != nil {
			errs = append(errs, badPath(field, err, mt.Source))
			continue
		}
		p.mode = info.Mode()
		p.dev, p.ino = identityOf(info)
		if mt.Mode == spec.ModeOverlay && !info.IsDir() {
			errs = append(errs, &backend.Error{Kind: backend.Invalid, Op: "sandbox.resolve", Field: field + ".mode", Message: fmt.Sprintf("overlay needs a folder, and %s is none", p.resolved)})
			continue
		}
		p.upper = resolved[field+".upper"].Resolved
		binds = append(binds, p)
	}
	return judged, binds, errors.Join(errs...)
}

// resolveMissing resolves the part of a path that exists.
func resolveMissing(path string) string {
	for dir, rest := filepath.Dir(path), filepath.Base(path); ; dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest)
		}
		if dir == filepath.Dir(dir) {
			return path
		}
	}
}

func badPath(field spec.Path, err error, asked string) error {
	e := &backend.Error{Kind: backend.Invalid, Op: "sandbox.resolve", Field: field, Err: err}
	if errors.Is(err, fs.ErrNotExist) {
		e.Message, e.Err = fmt.Sprintf("host path %s does not exist: create it first, berth makes no host folders", asked), nil
	}
	return e
}

func kindOf(mode fs.FileMode) policy.PathKind {
	switch {
	case mode.IsDir():
		return policy.KindDir
	case mode.IsRegular():
		return policy.KindFile
	case mode&fs.ModeSocket != 0:
		return policy.KindSocket
	case mode&fs.ModeDevice != 0:
		return policy.KindDevice
	case mode&fs.ModeNamedPipe != 0:
		return policy.KindFIFO
	}
	return policy.KindUnknown
}

// protected are host paths that no sandbox may see besides those that the
// policy knows: berth's own state, and where protected paths lead that are
// symbolic links here.
func (m *Manager) protected() []string {
	out := []string{m.state.dir}
	for _, p := range policy.ProtectedPaths(m.homes) {
		if real, err := filepath.EvalSymlinks(p); err == nil && real != p {
			out = append(out, real)
		}
	}
	return out
}
