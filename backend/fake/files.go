// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/berthrun/berth/conformance/probe"
)

// The errno names that the model answers with.
const (
	eACCES  probe.Errno = "EACCES"
	eAGAIN  probe.Errno = "EAGAIN"
	eEXIST  probe.Errno = "EEXIST"
	eINVAL  probe.Errno = "EINVAL"
	eISDIR  probe.Errno = "EISDIR"
	eLOOP   probe.Errno = "ELOOP"
	eMFILE  probe.Errno = "EMFILE"
	eNOENT  probe.Errno = "ENOENT"
	eNOEXEC probe.Errno = "ENOEXEC"
	eNOSPC  probe.Errno = "ENOSPC"
	eNOSYS  probe.Errno = "ENOSYS"
	eNOTDIR probe.Errno = "ENOTDIR"
	eNOTTY  probe.Errno = "ENOTTY"
	eEMPTY  probe.Errno = "ENOTEMPTY"
	ePERM   probe.Errno = "EPERM"
	eROFS   probe.Errno = "EROFS"
	eSRCH   probe.Errno = "ESRCH"
	eXDEV   probe.Errno = "EXDEV"

	eREFUSED probe.Errno = "ECONNREFUSED"
	eUNREACH probe.Errno = "EHOSTUNREACH"
	eNETDOWN probe.Errno = "ENETUNREACH"
	eINUSE   probe.Errno = "EADDRINUSE"
	eNOADDR  probe.Errno = "EADDRNOTAVAIL"
)

// node is an entry to be made.
type node struct {
	kind     probe.FileType
	mode     uint32
	uid, gid int
	target   string
	rdev     uint64
}

// tree is one file system. Paths are relative to its root, "" is the root
// itself; symbolic links in them are resolved already. The engine's lock is held.
type tree interface {
	lstat(p string) (probe.Stat, bool)
	readFile(p string, limit int) ([]byte, error)
	// writeFile changes an existing regular file.
	writeFile(p string, data []byte, mode probe.WriteMode) (int, error)
	create(p string, n node) error
	remove(p string) error
	rename(from, to string) error
	link(from, to string) error
	chmod(p string, mode uint32) error
	chown(p string, uid, gid int) error
	touch(p string) error
	readDir(p string) ([]string, error)
	space() (size, free int64)
}

// memory is a file system in memory.
type memory struct {
	dev   uint64
	limit int64 // of all content together; 0 is no bound
	nodes map[string]*inode
	ino   uint64
}

type inode struct {
	node
	data  []byte
	ino   uint64
	mtime time.Time
	links uint64
}

func newMemory(dev uint64, mode uint32) *memory {
	m := &memory{dev: dev, nodes: map[string]*inode{}}
	_ = m.create("", node{kind: probe.TypeDir, mode: mode})
	return m
}

// clone returns a deep copy, for a sandbox that starts from an image.
func (m *memory) clone(dev uint64) *memory {
	c := &memory{dev: dev, limit: m.limit, nodes: map[string]*inode{}, ino: m.ino}
	for p, n := range m.nodes {
		copied := *n
		copied.data = slices.Clone(n.data)
		c.nodes[p] = &copied
	}
	return c
}

// put makes a file with everything above it, when an image or a fixed part of a
// sandbox is built.
func (m *memory) put(p string, n node, data string) {
	p = strings.TrimPrefix(p, "/")
	if dir := path.Dir(p); dir != "." && m.nodes[dir] == nil {
		m.put(dir, node{kind: probe.TypeDir, mode: 0o755}, "")
	}
	if m.nodes[p] == nil {
		_ = m.create(p, n)
	}
	m.nodes[p].data = []byte(data)
}

func (m *memory) lstat(p string) (probe.Stat, bool) {
	n := m.nodes[p]
	if n == nil {
		return probe.Stat{}, false
	}
	return probe.Stat{
		Type: n.kind, Mode: n.mode, UID: n.uid, GID: n.gid, Size: int64(len(n.data)), Links: n.links, Dev: m.dev, Ino: n.ino,
		Rdev: n.rdev, MTime: n.mtime.UTC(), Target: n.target,
	}, true
}

func (m *memory) readFile(p string, limit int) ([]byte, error) {
	data := m.nodes[p].data
	return slices.Clone(data[:min(len(data), limit)]), nil
}

func (m *memory) writeFile(p string, data []byte, mode probe.WriteMode) (int, error) {
	n := m.nodes[p]
	if n.kind != probe.TypeFile {
		return len(data), nil // a device takes everything
	}
	if mode == probe.Truncate {
		n.data = nil
	}
	var err error
	if m.limit > 0 {
		if _, free := m.space(); int64(len(data)) > free {
			data, err = data[:free], eNOSPC
		}
	}
	n.data = append(n.data, data...)
	n.mtime = time.Now()
	return len(data), err
}

func (m *memory) create(p string, n node) error {
	m.ino++
	m.nodes[p] = &inode{node: n, ino: m.ino, mtime: time.Now(), links: 1}
	return nil
}

func (m *memory) remove(p string) error {
	if names, _ := m.readDir(p); len(names) > 0 {
		return eEMPTY
	}
	m.nodes[p].links--
	delete(m.nodes, p)
	return nil
}

func (m *memory) rename(from, to string) error {
	moved := map[string]*inode{}
	for p, n := range m.nodes {
		if p == from || strings.HasPrefix(p, from+"/") {
			moved[to+strings.TrimPrefix(p, from)] = n
			delete(m.nodes, p)
		}
	}
	maps.Copy(m.nodes, moved)
	return nil
}

func (m *memory) link(from, to string) error {
	m.nodes[to] = m.nodes[from]
	m.nodes[to].links++
	return nil
}

func (m *memory) chmod(p string, mode uint32) error { m.nodes[p].mode = mode; return nil }

func (m *memory) chown(p string, uid, gid int) error {
	m.nodes[p].uid, m.nodes[p].gid = uid, gid
	return nil
}

func (m *memory) touch(p string) error { m.nodes[p].mtime = time.Now(); return nil }

func (m *memory) readDir(p string) ([]string, error) {
	var names []string
	for child := range m.nodes {
		if child != "" && strings.TrimSuffix(path.Dir(child), ".") == p {
			names = append(names, path.Base(child))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (m *memory) space() (size, free int64) {
	var used int64
	for _, n := range m.nodes {
		used += int64(len(n.data))
	}
	if m.limit == 0 {
		return 1 << 40, 1<<40 - used
	}
	return m.limit, m.limit - used
}

// host is a folder or file of the real machine.
type host struct {
	base  string
	ids   idMap
	known map[string]bool // a defect: what appears later is not seen
}

// freeze notes what is there now.
func (h *host) freeze() {
	h.known = map[string]bool{}
	_ = filepath.WalkDir(h.base, func(p string, _ fs.DirEntry, err error) error {
		if rel, relErr := filepath.Rel(h.base, p); err == nil && relErr == nil {
			h.known[strings.TrimSuffix(filepath.ToSlash(rel), ".")] = true
		}
		return nil
	})
}

// idMap translates between the ids in a sandbox and those on the host.
type idMap struct {
	uid, gid         int // inside
	hostUID, hostGID int
	skew             int // a defect of the engine
}

func (m idMap) out(uid, gid int) (int, int) {
	if uid == m.uid {
		uid = m.hostUID
	}
	if gid == m.gid {
		gid = m.hostGID
	}
	return uid + m.skew, gid
}

func (m idMap) in(uid, gid int) (int, int) {
	if uid == m.hostUID+m.skew {
		uid = m.uid
	}
	if gid == m.hostGID {
		gid = m.gid
	}
	return uid, gid
}

func (h *host) at(p string) string { return filepath.Join(h.base, filepath.FromSlash(p)) }

func (h *host) lstat(p string) (probe.Stat, bool) {
	if h.known != nil && !h.known[p] {
		return probe.Stat{}, false
	}
	st, err := statHost(h.at(p))
	if err != nil {
		return probe.Stat{}, false
	}
	st.UID, st.GID = h.ids.in(st.UID, st.GID)
	return st, true
}

func (h *host) readFile(p string, limit int) ([]byte, error) {
	data, err := os.ReadFile(h.at(p))
	return data[:min(len(data), limit)], errnoOf(err)
}

func (h *host) writeFile(p string, data []byte, mode probe.WriteMode) (int, error) {
	flags := os.O_WRONLY | os.O_TRUNC
	if mode == probe.Append {
		flags = os.O_WRONLY | os.O_APPEND
	}
	f, err := os.OpenFile(h.at(p), flags, 0)
	if err != nil {
		return 0, errnoOf(err)
	}
	n, err := f.Write(data)
	return n, errnoOf(errors.Join(err, f.Close()))
}

func (h *host) create(p string, n node) error {
	if h.known != nil {
		h.known[p] = true
	}
	at := h.at(p)
	var err error
	switch n.kind {
	case probe.TypeDir:
		err = os.Mkdir(at, 0o700)
	case probe.TypeSymlink:
		err = os.Symlink(n.target, at)
	case probe.TypeFile:
		err = os.WriteFile(at, nil, 0o600)
	default:
		return ePERM
	}
	if err != nil {
		return errnoOf(err)
	}
	if err := h.chown(p, n.uid, n.gid); err != nil {
		return err
	}
	if n.kind == probe.TypeSymlink {
		return nil
	}
	return h.chmod(p, n.mode)
}

func (h *host) remove(p string) error        { return errnoOf(os.Remove(h.at(p))) }
func (h *host) rename(from, to string) error { return errnoOf(os.Rename(h.at(from), h.at(to))) }
func (h *host) link(from, to string) error   { return errnoOf(os.Link(h.at(from), h.at(to))) }
func (h *host) touch(p string) error {
	now := time.Now()
	return errnoOf(os.Chtimes(h.at(p), now, now))
}
func (h *host) chmod(p string, m uint32) error { return errnoOf(os.Chmod(h.at(p), fileMode(m))) }

func (h *host) chown(p string, uid, gid int) error {
	uid, gid = h.ids.out(uid, gid)
	if st, err := statHost(h.at(p)); err == nil && st.UID == uid && st.GID == gid {
		return nil // only root may change an owner, and nothing changes
	}
	return errnoOf(os.Lchown(h.at(p), uid, gid))
}

func (h *host) readDir(p string) ([]string, error) {
	entries, err := os.ReadDir(h.at(p))
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, errnoOf(err)
}

func (h *host) space() (size, free int64) { return 1 << 40, 1 << 39 }

// fileMode translates the twelve permission bits of Unix.
func fileMode(m uint32) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	for bit, flag := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if m&bit != 0 {
			mode |= flag
		}
	}
	return mode
}

// errnoOf names an error of the real machine as a sandbox would see it.
func errnoOf(err error) error {
	if err == nil {
		return nil
	}
	names := map[syscall.Errno]probe.Errno{
		syscall.EACCES: eACCES, syscall.EPERM: ePERM, syscall.ENOENT: eNOENT, syscall.EEXIST: eEXIST, syscall.ENOTDIR: eNOTDIR,
		syscall.EISDIR: eISDIR, syscall.ENOTEMPTY: eEMPTY, syscall.EROFS: eROFS, syscall.ENOSPC: eNOSPC, syscall.EXDEV: eXDEV,
		syscall.EADDRINUSE: eINUSE, syscall.EADDRNOTAVAIL: eNOADDR, syscall.ECONNREFUSED: eREFUSED,
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		if name, ok := names[errno]; ok {
			return name
		}
	}
	return probe.Errno("EIO")
}

// layered is an overlay: lower is never written.
type layered struct {
	lower, upper *host
	gone         map[string]bool // removed from lower
	through      bool            // a defect: writes reach lower
}

// hidden reports whether lower's entry was removed, or one above it.
func (l *layered) hidden(p string) bool {
	for {
		if l.gone[p] {
			return true
		}
		if p == "" {
			return false
		}
		p = strings.TrimSuffix(path.Dir(p), ".")
	}
}

func (l *layered) lstat(p string) (probe.Stat, bool) {
	if st, ok := l.upper.lstat(p); ok {
		return st, true
	}
	if l.hidden(p) {
		return probe.Stat{}, false
	}
	return l.lower.lstat(p)
}

// where returns the layer that has p.
func (l *layered) where(p string) *host {
	if _, ok := l.upper.lstat(p); ok {
		return l.upper
	}
	return l.lower
}

// copyUp makes sure that upper has p.
func (l *layered) copyUp(p string) error {
	if l.through {
		return nil
	}
	if _, ok := l.upper.lstat(p); ok {
		return nil
	}
	if p != "" {
		if err := l.copyUp(strings.TrimSuffix(path.Dir(p), ".")); err != nil {
			return err
		}
	}
	st, ok := l.lower.lstat(p)
	if !ok {
		return eNOENT
	}
	if err := l.upper.create(p, node{kind: st.Type, mode: st.Mode, uid: st.UID, gid: st.GID, target: st.Target}); err != nil {
		return err
	}
	if st.Type != probe.TypeFile {
		return nil
	}
	data, err := l.lower.readFile(p, 1<<30)
	if err == nil {
		_, err = l.upper.writeFile(p, data, probe.Truncate)
	}
	return err
}

func (l *layered) readFile(p string, limit int) ([]byte, error) { return l.where(p).readFile(p, limit) }

func (l *layered) writeFile(p string, data []byte, mode probe.WriteMode) (int, error) {
	if err := l.copyUp(p); err != nil {
		return 0, err
	}
	return l.where(p).writeFile(p, data, mode)
}

func (l *layered) create(p string, n node) error {
	if l.through {
		return l.lower.create(p, n)
	}
	if err := l.copyUp(strings.TrimSuffix(path.Dir(p), ".")); err != nil {
		return err
	}
	return l.upper.create(p, n)
}

func (l *layered) remove(p string) error {
	if names, _ := l.readDir(p); len(names) > 0 {
		return eEMPTY
	}
	if _, ok := l.upper.lstat(p); ok {
		if err := l.upper.remove(p); err != nil {
			return err
		}
	}
	if l.through {
		return l.lower.remove(p)
	}
	if _, ok := l.lower.lstat(p); ok {
		l.gone[p] = true
	}
	return nil
}

func (l *layered) rename(from, to string) error {
	st, ok := l.lstat(from)
	if !ok || st.Type != probe.TypeFile {
		return eXDEV
	}
	data, err := l.readFile(from, 1<<30)
	if err != nil {
		return err
	}
	if err := l.create(to, node{kind: st.Type, mode: st.Mode, uid: st.UID, gid: st.GID}); err != nil {
		return err
	}
	if _, err := l.writeFile(to, data, probe.Truncate); err != nil {
		return err
	}
	return l.remove(from)
}

func (l *layered) link(string, string) error { return eXDEV }

func (l *layered) chmod(p string, mode uint32) error {
	return errors.Join(l.copyUp(p), l.where(p).chmod(p, mode))
}

func (l *layered) chown(p string, uid, gid int) error {
	return errors.Join(l.copyUp(p), l.where(p).chown(p, uid, gid))
}

func (l *layered) touch(p string) error { return errors.Join(l.copyUp(p), l.where(p).touch(p)) }

func (l *layered) readDir(p string) ([]string, error) {
	all := map[string]bool{}
	if upper, err := l.upper.readDir(p); err == nil {
		for _, name := range upper {
			all[name] = true
		}
	}
	if !l.hidden(p) {
		lower, err := l.lower.readDir(p)
		if err != nil && len(all) == 0 {
			return nil, err
		}
		for _, name := range lower {
			if !l.hidden(path.Join(p, name)) {
				all[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all)), nil
}

func (l *layered) space() (size, free int64) { return l.upper.space() }
