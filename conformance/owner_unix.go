// SPDX-License-Identifier: Apache-2.0

//go:build unix

package conformance

import (
	"os"
	"syscall"
)

// owner returns the ids that own path itself.
func owner(path string) (uid, gid uint32, ok bool) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, 0, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return st.Uid, st.Gid, true
}
