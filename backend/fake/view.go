// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"path"
	"slices"
	"strings"

	"github.com/berthrun/berth/conformance/probe"
)

// mounted is a file system at a place of a sandbox.
type mounted struct {
	target string
	tree   tree
	typ    string
	source string

	ro, noExec, noSUID, noDev bool
}

func (m *mounted) rel(p string) string {
	return strings.TrimPrefix(strings.TrimPrefix(p, m.target), "/")
}

// view is the file tree of a sandbox: its mounts, the later ones over the
// earlier ones. The engine's lock is held.
type view struct {
	mounts []*mounted
	blind  bool // a defect: a later mount hides what is mounted below it
}

// at returns the mount that shows p, which is clean and free of links.
func (v *view) at(p string) *mounted {
	var best *mounted
	for _, m := range v.mounts {
		if m.target == "/" || p == m.target || strings.HasPrefix(p, m.target+"/") {
			if best == nil || v.blind || len(m.target) >= len(best.target) {
				best = m
			}
		}
	}
	return best
}

func (v *view) lstat(p string) (probe.Stat, bool) {
	m := v.at(p)
	return m.tree.lstat(m.rel(p))
}

// user is whose rights an access has.
type user struct {
	uid, euid, gid int
	groups         []int
	effective      []string // capabilities
}

func (u user) can(capability string) bool { return slices.Contains(u.effective, capability) }

// Bits of an access.
const (
	read    = 4
	write   = 2
	execute = 1
)

func (u user) allowed(st probe.Stat, want uint32) bool {
	if u.can("DAC_OVERRIDE") {
		return want&execute == 0 || st.Type == probe.TypeDir || st.Mode&0o111 != 0
	}
	have := st.Mode & 7
	switch {
	case st.UID == u.euid:
		have = st.Mode >> 6 & 7
	case st.GID == u.gid || slices.Contains(u.groups, st.GID):
		have = st.Mode >> 3 & 7
	}
	return have&want == want
}

// found is where a path leads.
type found struct {
	path  string
	mount *mounted
	rel   string
	st    probe.Stat
	// exists is false when only the directory above does.
	exists bool
}

const maxLinks = 40

// walk resolves a path with the rights of u. Final symbolic links are followed
// when follow says so.
func (v *view) walk(u user, cwd, p string, follow bool) (found, error) {
	if !strings.HasPrefix(p, "/") {
		p = path.Join(cwd, p) // good enough: the working directory has no links
	}
	todo := strings.Split(p, "/")
	cur, links := "/", 0
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		last := !slices.ContainsFunc(todo, func(s string) bool { return s != "" })
		switch name {
		case "", ".":
			continue
		case "..":
			cur = path.Dir(cur)
			continue
		}
		dir, ok := v.lstat(cur)
		switch {
		case !ok:
			return found{}, eNOENT
		case dir.Type != probe.TypeDir:
			return found{}, eNOTDIR
		case !u.allowed(dir, execute):
			return found{}, eACCES
		}
		next := path.Join(cur, name)
		st, ok := v.lstat(next)
		if !ok && last {
			m := v.at(next)
			return found{path: next, mount: m, rel: m.rel(next)}, nil
		}
		if !ok {
			return found{}, eNOENT
		}
		if st.Type == probe.TypeSymlink && (!last || follow) {
			if links++; links > maxLinks {
				return found{}, eLOOP
			}
			if strings.HasPrefix(st.Target, "/") {
				cur = "/"
			}
			todo = append(strings.Split(st.Target, "/"), todo...)
			continue
		}
		cur = next
	}
	m := v.at(cur)
	st, ok := v.lstat(cur)
	return found{path: cur, mount: m, rel: m.rel(cur), st: st, exists: ok}, nil
}

// existing is walk for something that must be there.
func (v *view) existing(u user, cwd, p string, follow bool) (found, error) {
	f, err := v.walk(u, cwd, p, follow)
	if err == nil && !f.exists {
		err = eNOENT
	}
	return f, err
}

// writable reports whether entries may be made or removed beside f.
func (v *view) writable(u user, f found) error {
	dir, ok := v.lstat(path.Dir(f.path))
	switch {
	case !ok:
		return eNOENT
	case f.mount.ro:
		return eROFS
	case !u.allowed(dir, write|execute):
		return eACCES
	case f.exists && dir.Mode&0o1000 != 0 && f.st.UID != u.euid && dir.UID != u.euid && !u.can("FOWNER"):
		return ePERM
	}
	return nil
}

// make makes a new entry owned by u.
func (v *view) make(u user, cwd, p string, n node) (found, error) {
	f, err := v.walk(u, cwd, p, n.kind == probe.TypeFile)
	if err != nil {
		return f, err
	}
	if f.exists {
		return f, eEXIST
	}
	if err := v.writable(u, f); err != nil {
		return f, err
	}
	const umask = 0o022
	n.uid, n.gid = u.euid, u.gid
	if n.kind != probe.TypeSymlink {
		n.mode &^= umask
	}
	return f, f.mount.tree.create(f.rel, n)
}

func (v *view) readFile(u user, cwd, p string, limit int) ([]byte, error) {
	f, err := v.existing(u, cwd, p, true)
	switch {
	case err != nil:
		return nil, err
	case f.st.Type == probe.TypeDir:
		return nil, eISDIR
	case !u.allowed(f.st, read):
		return nil, eACCES
	}
	return f.mount.tree.readFile(f.rel, limit)
}

func (v *view) writeFile(u user, cwd, p string, data []byte, mode probe.WriteMode, perm uint32) (int, error) {
	f, err := v.walk(u, cwd, p, true)
	if err != nil {
		return 0, err
	}
	if !f.exists {
		if f, err = v.make(u, cwd, p, node{kind: probe.TypeFile, mode: perm}); err != nil {
			return 0, err
		}
		return f.mount.tree.writeFile(f.rel, data, probe.Append)
	}
	switch {
	case f.st.Type == probe.TypeDir:
		return 0, eISDIR
	case f.mount.ro && f.st.Type == probe.TypeFile:
		return 0, eROFS
	case !u.allowed(f.st, write):
		return 0, eACCES
	}
	return f.mount.tree.writeFile(f.rel, data, mode)
}

func (v *view) remove(u user, cwd, p string) error {
	f, err := v.existing(u, cwd, p, false)
	if err == nil {
		err = v.writable(u, f)
	}
	if err != nil {
		return err
	}
	return f.mount.tree.remove(f.rel)
}

func (v *view) rename(u user, cwd, from, to string) error {
	a, err := v.existing(u, cwd, from, false)
	if err != nil {
		return err
	}
	b, err := v.walk(u, cwd, to, false)
	if err != nil {
		return err
	}
	if a.mount != b.mount {
		return eXDEV
	}
	for _, f := range []found{a, b} {
		if err := v.writable(u, f); err != nil {
			return err
		}
	}
	return a.mount.tree.rename(a.rel, b.rel)
}

func (v *view) link(u user, cwd, from, to string) error {
	a, err := v.existing(u, cwd, from, false)
	if err != nil {
		return err
	}
	b, err := v.walk(u, cwd, to, false)
	if err != nil {
		return err
	}
	switch {
	case b.exists:
		return eEXIST
	case a.mount != b.mount:
		return eXDEV
	case a.st.Type == probe.TypeDir:
		return ePERM
	}
	if err := v.writable(u, b); err != nil {
		return err
	}
	return a.mount.tree.link(a.rel, b.rel)
}

// change does something to the attributes of an entry.
func (v *view) change(u user, cwd, p string, follow bool, capability string, do func(found) error) error {
	f, err := v.existing(u, cwd, p, follow)
	switch {
	case err != nil:
		return err
	case f.mount.ro:
		return eROFS
	case f.st.UID != u.euid && !u.can(capability):
		return ePERM
	}
	return do(f)
}

func (v *view) readDir(u user, cwd, p string) ([]string, error) {
	f, err := v.existing(u, cwd, p, true)
	switch {
	case err != nil:
		return nil, err
	case f.st.Type != probe.TypeDir:
		return nil, eNOTDIR
	case !u.allowed(f.st, read):
		return nil, eACCES
	}
	return f.mount.tree.readDir(f.rel)
}
