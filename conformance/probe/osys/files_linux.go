// SPDX-License-Identifier: Apache-2.0

package osys

import (
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berthrun/berth/conformance/probe"
)

// Lstat implements [probe.FileSystem].
func (System) Lstat(path string) (probe.Stat, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Lstat(path, &st) }); err != nil {
		return probe.Stat{}, refused(err)
	}
	stat := probe.Stat{
		Type: fileType(st.Mode), Mode: st.Mode & 0o7777, UID: int(st.Uid), GID: int(st.Gid), Size: st.Size,
		Links: uint64(st.Nlink), Dev: st.Dev, Ino: st.Ino, Rdev: st.Rdev, MTime: time.Unix(st.Mtim.Unix()).UTC(),
	}
	if stat.Type == probe.TypeSymlink {
		target, err := os.Readlink(path)
		if err != nil {
			return probe.Stat{}, refused(err)
		}
		stat.Target = target
	}
	return stat, nil
}

func fileType(mode uint32) probe.FileType {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return probe.TypeDir
	case unix.S_IFLNK:
		return probe.TypeSymlink
	case unix.S_IFCHR:
		return probe.TypeChar
	case unix.S_IFBLK:
		return probe.TypeBlock
	case unix.S_IFIFO:
		return probe.TypeFIFO
	case unix.S_IFSOCK:
		return probe.TypeSocket
	default:
		return probe.TypeFile
	}
}

// ReadFile implements [probe.FileSystem].
func (System) ReadFile(path string, limit int) ([]byte, error) {
	// Without O_NONBLOCK a FIFO would block the probe for ever.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, refused(err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, int64(limit)))
	return data, refused(err)
}

// WriteFile implements [probe.FileSystem].
func (System) WriteFile(path string, data []byte, mode probe.WriteMode, perm uint32) (int, error) {
	flags := unix.O_WRONLY | unix.O_CREAT | unix.O_CLOEXEC | unix.O_NONBLOCK
	if mode == probe.Append {
		flags |= unix.O_APPEND
	} else {
		flags |= unix.O_TRUNC
	}
	// Package os masks the mode to nine bits and sets others in a second step.
	var fd int
	if err := retry(func() (err error) { fd, err = unix.Open(path, flags, perm); return err }); err != nil {
		return 0, refused(err)
	}
	file := os.NewFile(uintptr(fd), path)
	n, err := file.Write(data)
	// Some file systems report a full disk only here.
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return n, refused(err)
}

// Touch implements [probe.FileSystem].
func (System) Touch(path string) error {
	now := time.Now()
	err := os.Chtimes(path, now, now)
	if !errors.Is(err, os.ErrNotExist) {
		return refused(err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return refused(err)
	}
	return refused(file.Close())
}

// Mkdir implements [probe.FileSystem].
func (System) Mkdir(path string, perm uint32) error {
	return refused(retry(func() error { return unix.Mkdir(path, perm) }))
}

// Remove implements [probe.FileSystem].
func (System) Remove(path string) error { return refused(os.Remove(path)) }

// Rename implements [probe.FileSystem].
func (System) Rename(oldPath, newPath string) error {
	return refused(retry(func() error { return unix.Rename(oldPath, newPath) }))
}

// Link implements [probe.FileSystem].
func (System) Link(oldPath, newPath string) error { return refused(os.Link(oldPath, newPath)) }

// Symlink implements [probe.FileSystem].
func (System) Symlink(target, path string) error { return refused(os.Symlink(target, path)) }

// Chmod implements [probe.FileSystem].
func (System) Chmod(path string, mode uint32) error {
	return refused(retry(func() error { return unix.Chmod(path, mode) }))
}

// Chown implements [probe.FileSystem].
func (System) Chown(path string, uid, gid int) error { return refused(os.Lchown(path, uid, gid)) }

// ReadDir implements [probe.FileSystem].
func (System) ReadDir(path string, limit int) ([]string, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, refused(err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(limit)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	slices.Sort(names)
	return append([]string{}, names...), refused(err)
}

// Mknod implements [probe.FileSystem].
func (System) Mknod(path string, kind probe.NodeKind, major, minor uint32) error {
	types := map[probe.NodeKind]uint32{
		probe.CharDevice: unix.S_IFCHR, probe.BlockDevice: unix.S_IFBLK,
		probe.FIFO: unix.S_IFIFO, probe.Socket: unix.S_IFSOCK,
	}
	return refused(retry(func() error {
		return unix.Mknod(path, types[kind]|0o666, int(unix.Mkdev(major, minor)))
	}))
}

// self is the running program, also when its file was moved or removed.
const self = "/proc/self/exe"

// CopySelf implements [probe.FileSystem].
func (System) CopySelf(path string) (int64, error) {
	from, err := os.Open(self)
	if err != nil {
		return 0, refused(err)
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return 0, refused(err)
	}
	n, err := io.Copy(to, from)
	if err == nil {
		err = to.Chmod(0o755) // whatever the umask is
	}
	if closeErr := to.Close(); err == nil {
		err = closeErr
	}
	return n, refused(err)
}
