// SPDX-License-Identifier: Apache-2.0

//go:build unix

package fake

import (
	"io/fs"
	"os"
	"syscall"

	"github.com/berthrun/berth/conformance/probe"
)

// statHost describes a file of the real machine.
func statHost(p string) (probe.Stat, error) {
	info, err := os.Lstat(p)
	if err != nil {
		return probe.Stat{}, err
	}
	st := describe(info)
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		st.UID, st.GID = int(sys.Uid), int(sys.Gid)
		//nolint:unconvert // the types differ between systems
		st.Dev, st.Ino, st.Links, st.Rdev = uint64(sys.Dev), uint64(sys.Ino), uint64(sys.Nlink), uint64(sys.Rdev)
	}
	if st.Type == probe.TypeSymlink {
		st.Target, err = os.Readlink(p)
	}
	return st, err
}

// describe translates what every system knows of a file.
func describe(info fs.FileInfo) probe.Stat {
	st := probe.Stat{Type: probe.TypeFile, Mode: uint32(info.Mode().Perm()), Size: info.Size(), Links: 1, MTime: info.ModTime().UTC()}
	for flag, bit := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if info.Mode()&flag != 0 {
			st.Mode |= bit
		}
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		st.Type = probe.TypeDir
	case mode&fs.ModeSymlink != 0:
		st.Type = probe.TypeSymlink
	case mode&fs.ModeNamedPipe != 0:
		st.Type = probe.TypeFIFO
	case mode&fs.ModeSocket != 0:
		st.Type = probe.TypeSocket
	case mode&fs.ModeCharDevice != 0:
		st.Type = probe.TypeChar
	case mode&fs.ModeDevice != 0:
		st.Type = probe.TypeBlock
	}
	return st
}
