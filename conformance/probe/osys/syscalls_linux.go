// SPDX-License-Identifier: Apache-2.0

package osys

import (
	"math"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// syscallEntry is one attempt: a call whose arguments change nothing outside the child that makes it, even when
// the kernel carries it out. Arguments are chosen so that a missing privilege shows before they are
// looked at, as far as the kernel's order of checks allows.
type syscallEntry struct {
	number uintptr
	args   [6]uintptr
	memory []any // what args point to
}

// none is a path that does not exist.
const none = "/proc/self/berth-probe-none"

// syscallTable makes the entries; they point to fresh memory, which heap allocation keeps in place.
func syscallTable() map[string]syscallEntry {
	minusOne := ^uintptr(0)
	table := map[string]syscallEntry{}
	var memory []any
	add := func(name string, number uintptr, args ...uintptr) {
		entry := syscallEntry{number: number, memory: memory}
		copy(entry.args[:], args)
		table[name] = entry
		memory = nil
	}
	words := func(values ...uint64) uintptr {
		// Room to spare: a kernel may know a longer structure than these words.
		block := new([32]uint64)
		copy(block[:], values)
		memory = append(memory, block)
		return uintptr(unsafe.Pointer(block)) //nolint:gosec // G103: entry.memory keeps it
	}
	text := func(s string) uintptr {
		block := append([]byte(s), 0)
		memory = append(memory, block)
		return uintptr(unsafe.Pointer(&block[0])) //nolint:gosec // G103: entry.memory keeps it
	}
	here := uintptr(unix.AT_FDCWD & math.MaxUint32)
	parent := uintptr(os.Getpid())

	// acct(NULL) would turn accounting off, kexec_load of no segments would unload a kernel: hence the
	// missing file, the flags and the count.
	add("acct", unix.SYS_ACCT, text(none))
	add("kexec_load", unix.SYS_KEXEC_LOAD, 0, 1<<16, 0, 0xffff)
	add("kexec_file_load", unix.SYS_KEXEC_FILE_LOAD, minusOne, minusOne, 0, 0, 0xffff)
	add("reboot", unix.SYS_REBOOT, 0, 0, 0, 0) // wrong magic

	add("add_key", unix.SYS_ADD_KEY, text("user"), text("berth-probe"), text("x"), 1, keySpecProcess)
	add("request_key", unix.SYS_REQUEST_KEY, text("user"), text("berth-probe-none"), 0, 0)
	add("keyctl", unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, keySpecProcess, 0)

	add("bpf", unix.SYS_BPF, unix.BPF_MAP_CREATE, words(2|4<<32, 4|1<<32), 72) // an array of one word
	add("perf_event_open", unix.SYS_PERF_EVENT_OPEN, words(1|112<<32), 0, minusOne, minusOne, 0)
	add("userfaultfd", unix.SYS_USERFAULTFD, unix.O_CLOEXEC|1) // user mode only
	add("io_uring_setup", unix.SYS_IO_URING_SETUP, 1, words())
	add("fanotify_init", unix.SYS_FANOTIFY_INIT, unix.FAN_CLASS_CONTENT, unix.O_RDONLY)

	add("open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, here, words(8|1<<32), unix.O_RDONLY)
	add("name_to_handle_at", unix.SYS_NAME_TO_HANDLE_AT, here, text("/"), words(), words(), 0)

	add("mount", unix.SYS_MOUNT, text("none"), text("/"), text("berth-probe-none"), 0, 0)
	add("umount2", unix.SYS_UMOUNT2, text("/proc/self"), 0)
	add("move_mount", unix.SYS_MOVE_MOUNT, minusOne, text(""), minusOne, text(""), 0)
	add("open_tree", unix.SYS_OPEN_TREE, here, text("/"), unix.OPEN_TREE_CLONE)
	add("fsopen", unix.SYS_FSOPEN, text("tmpfs"), 0)
	add("pivot_root", unix.SYS_PIVOT_ROOT, text("/"), text("/"))
	add("chroot", unix.SYS_CHROOT, text("/"))
	add("swapon", unix.SYS_SWAPON, text(none), 0)
	add("swapoff", unix.SYS_SWAPOFF, text(none))
	add("quotactl", unix.SYS_QUOTACTL, 0x800001<<8, text(none), 0, 0) // Q_SYNC of a device that is not there

	add("init_module", unix.SYS_INIT_MODULE, 0, 0, text(""))
	add("finit_module", unix.SYS_FINIT_MODULE, minusOne, text(""), 0)
	add("delete_module", unix.SYS_DELETE_MODULE, text("berth_probe_none"), unix.O_NONBLOCK)

	add("unshare-newuser", unix.SYS_UNSHARE, unix.CLONE_NEWUSER)
	add("unshare-newns", unix.SYS_UNSHARE, unix.CLONE_NEWNS)
	add("unshare-newnet", unix.SYS_UNSHARE, unix.CLONE_NEWNET)
	add("clone-newuser", unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD), 0, 0, 0, 0)
	add("clone3-newuser", unix.SYS_CLONE3, words(unix.CLONE_NEWUSER, 0, 0, 0, uint64(unix.SIGCHLD), 0, 0, 0), 64)
	add("setns", unix.SYS_SETNS, minusOne, unix.CLONE_NEWNET)

	add("ptrace", unix.SYS_PTRACE, unix.PTRACE_SEIZE, parent, 0, 0) // stops nobody and ends with the child
	one := words()
	vector := words(uint64(one), 1)
	add("process_vm_readv", unix.SYS_PROCESS_VM_READV, parent, vector, 1, vector, 1, 0)
	add("kcmp", unix.SYS_KCMP, parent, parent, 0, 0, 0)
	add("personality", unix.SYS_PERSONALITY, 0x0040000) // ADDR_NO_RANDOMIZE
	add("syslog", unix.SYS_SYSLOG, 10, 0, 0)            // size of the kernel's log

	add("settimeofday", unix.SYS_SETTIMEOFDAY, 0, 0)
	add("clock_settime", unix.SYS_CLOCK_SETTIME, unix.CLOCK_REALTIME, words(0, math.MaxUint64))
	add("sethostname", unix.SYS_SETHOSTNAME, text(""), minusOne)
	add("setdomainname", unix.SYS_SETDOMAINNAME, text(""), minusOne)

	add("mbind", unix.SYS_MBIND, 0, 0, 0, 0, 0, 0)
	add("set_mempolicy", unix.SYS_SET_MEMPOLICY, 0, 0, 0)
	add("get_mempolicy", unix.SYS_GET_MEMPOLICY, 0, 0, 0, 0, 0)
	add("move_pages", unix.SYS_MOVE_PAGES, 0, 0, 0, 0, 0, 0)

	add("socket-raw", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)
	add("socket-packet", unix.SYS_SOCKET, unix.AF_PACKET, unix.SOCK_RAW, 0)
	add("socket-alg", unix.SYS_SOCKET, unix.AF_ALG, unix.SOCK_SEQPACKET, 0)
	add("socket-vsock", unix.SYS_SOCKET, unix.AF_VSOCK, unix.SOCK_STREAM, 0)

	for name, number := range archSyscalls {
		add(name, number, archArgs[name]...)
	}
	runtime.KeepAlive(one)
	return table
}

// keySpecProcess is KEY_SPEC_PROCESS_KEYRING, which ends with the child.
const keySpecProcess = ^uintptr(1)
