// SPDX-License-Identifier: Apache-2.0

//go:build unix

package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"github.com/berthrun/berth/backend"
)

// localKind is the kind of an error of berth's own machine.
func localKind(err error) backend.Kind {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return backend.Exhausted
	case errors.Is(err, fs.ErrPermission):
		return backend.Denied
	case errors.Is(err, fs.ErrNotExist):
		return backend.NotFound
	}
	return backend.Internal
}

// owner returns who owns a file.
func owner(info os.FileInfo) (uid, gid uint32, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return st.Uid, st.Gid, true
}

// identityOf returns the device and inode of a file.
func identityOf(info os.FileInfo) (dev, ino uint64) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0
	}
	return uint64(st.Dev), st.Ino //nolint:unconvert // Dev is 32 bits wide on darwin.
}

// writable reports whether this process may create files in dir (access(2)).
func writable(dir string) bool { return syscall.Access(dir, 2|1) == nil }
