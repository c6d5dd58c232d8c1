// SPDX-License-Identifier: Apache-2.0

//go:build amd64 || arm64

package startlimit

func read() (s state) {
	s.ok = prlimitNofile(&s.limit) == 0
	return s
}

// prlimitNofile is prlimit64(0, RLIMIT_NOFILE, NULL, limit). It returns what the kernel returns.
//
//go:noescape
func prlimitNofile(limit *[2]uint64) int64
