// SPDX-License-Identifier: Apache-2.0

package osys

import "golang.org/x/sys/unix"

// Calls that only this architecture has.
var (
	archSyscalls = map[string]uintptr{"iopl": unix.SYS_IOPL, "ioperm": unix.SYS_IOPERM}
	archArgs     = map[string][]uintptr{"iopl": {3}, "ioperm": {0x80, 1, 1}}
)
