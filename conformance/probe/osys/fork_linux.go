// SPDX-License-Identifier: Apache-2.0

package osys

import (
	"context"
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/berthrun/berth/conformance/probe"
)

// Some commands need a child that is nothing but one task: a pids limit counts tasks, and a Go program that
// is started anew has many. So children here are plain forks that never return to Go code: they run
// child, which makes system calls only, cannot grow its stack and allocates nothing.

// job is what a forked child does.
type job struct {
	kind jobKind

	number uintptr    // jobSyscall: the call and its arguments
	args   [6]uintptr //
	memory []byte     // jobMemory: pages to write to

	count  int           // jobOrphan: how many children to leave behind
	linger unix.Timespec // jobOrphan: how long they live

	// report is a page shared with the parent: progress, and an errno.
	report *[2]uint64
}

type jobKind int

const (
	jobSleep jobKind = iota
	jobSyscall
	jobMemory
	jobOrphan
)

const pageSize = 4096

// child never returns. It must stay free of everything that needs the Go runtime.
//
//go:nosplit
//go:norace
func child(j *job, parent uintptr) {
	if j.kind != jobOrphan {
		// Nothing is to stay behind when the probe is killed in the middle.
		_, _, _ = syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0, 0)
		if now, _, _ := syscall.RawSyscall6(unix.SYS_GETPPID, 0, 0, 0, 0, 0, 0); now != parent {
			die(1)
		}
	}
	switch j.kind {
	case jobSleep:
		for {
			_, _, _ = syscall.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
		}
	case jobSyscall:
		_, _, errno := syscall.RawSyscall6(j.number, j.args[0], j.args[1], j.args[2], j.args[3], j.args[4], j.args[5])
		// A call that makes a process runs this in both.
		die(uintptr(errno))
	case jobMemory:
		touch(j.memory, j.report)
		die(0)
	case jobOrphan:
		for range j.count {
			pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
			if errno != 0 {
				j.report[1] = uint64(errno)
				break
			}
			if pid == 0 {
				//nolint:gosec // G103: the child has a copy of the memory
				_, _, _ = syscall.RawSyscall6(unix.SYS_PPOLL, 0, 0, uintptr(unsafe.Pointer(&j.linger)), 0, 0, 0)
				die(0)
			}
			j.report[0]++
		}
		die(0)
	}
	die(0)
}

//go:nosplit
//go:norace
func die(code uintptr) {
	for {
		_, _, _ = syscall.RawSyscall6(unix.SYS_EXIT_GROUP, code, 0, 0, 0, 0, 0)
	}
}

// touch writes to every page and counts the bytes in report[0].
//
//go:nosplit
//go:norace
func touch(memory []byte, report *[2]uint64) {
	for i := 0; i < len(memory); i += pageSize {
		memory[i] = 1
		report[0] = uint64(min(i+pageSize, len(memory)))
	}
}

//go:nosplit
//go:norace
//go:noinline
func clone(j *job, parent uintptr) (uintptr, syscall.Errno) {
	pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && pid == 0 {
		child(j, parent)
	}
	return pid, errno
}

// fork starts a child for j and returns its pid. The child has all signals blocked, so that no handler of
// the Go runtime ever runs in it; only SIGKILL ends it from outside.
func fork(j *job) (int, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, old unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &old); err != nil {
		return 0, err
	}
	pid, errno := clone(j, uintptr(unix.Getpid()))
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil); err != nil {
		return int(pid), err
	}
	runtime.KeepAlive(j)
	if errno != 0 {
		return 0, errno
	}
	return int(pid), nil
}

// wait waits for a child. The end of ctx kills it.
func wait(ctx context.Context, pid int) (unix.WaitStatus, error) {
	stop := context.AfterFunc(ctx, func() { _ = unix.Kill(pid, unix.SIGKILL) })
	// The child stays a zombie until the AfterFunc is out of the way: a number that is free could be
	// somebody else's.
	err := retry(func() error { return unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) })
	stop()
	if err != nil {
		return 0, fmt.Errorf("waiting for child %d: %w", pid, err)
	}
	var status unix.WaitStatus
	err = retry(func() error { _, err := unix.Wait4(pid, &status, 0, nil); return err })
	if err == nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return status, err
}

// shared returns a page that forked children share with the probe.
func shared() (report *[2]uint64, free func(), err error) {
	page, err := unix.Mmap(-1, 0, pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
	if err != nil {
		return nil, nil, refused(err)
	}
	//nolint:gosec // G103: the page is larger than the two words and is freed by the caller only
	return (*[2]uint64)(unsafe.Pointer(&page[0])), func() { _ = unix.Munmap(page) }, nil
}

// Syscall implements [probe.ProcessSystem]. The call runs in a child, because some of them change the
// caller when they are allowed.
func (System) Syscall(name string) error {
	call, ok := syscallTable()[name]
	if !ok {
		return errnoName(unix.ENOSYS) // not on this architecture
	}
	j := &job{kind: jobSyscall, number: call.number, args: call.args}
	pid, err := fork(j)
	if err != nil {
		return refused(err)
	}
	status, err := wait(context.Background(), pid)
	runtime.KeepAlive(call.memory)
	switch {
	case err != nil:
		return err
	case status.Signaled():
		return probe.Errno("SIG" + probe.SignalName(int(status.Signal())))
	case status.ExitStatus() != 0:
		return errnoName(syscall.Errno(status.ExitStatus()))
	default:
		return nil
	}
}
