// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func setFilter(f []unix.SockFilter) error {
	prog := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0)
}

// dropCaps leaves a different set of capabilities in each of the five sets that
// survives an exec by root: bounding without MKNOD, and the ambient and
// inheritable sets with CHOWN and KILL.
func dropCaps() error {
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_MKNOD, 0, 0, 0); err != nil {
		return err
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return err
	}
	data[0].Inheritable = 1<<unix.CAP_CHOWN | 1<<unix.CAP_KILL
	data[1].Inheritable = 1 << (unix.CAP_CHECKPOINT_RESTORE - 32)
	if err := unix.Capset(&hdr, &data[0]); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_KILL, 0, 0)
}
