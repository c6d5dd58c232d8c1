// SPDX-License-Identifier: Apache-2.0

package osys

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/conformance/probe/osys/internal/startlimit"
)

// UseMemory implements [probe.LoadSystem].
func (System) UseMemory(ctx context.Context, n int64, inSelf bool) (probe.Memory, error) {
	use := probe.Memory{Requested: n}
	if n == 0 {
		return use, nil
	}
	report, free, err := shared()
	if err != nil {
		return use, err
	}
	defer free()
	// NORESERVE: the limit of the sandbox is asked, not the kernel's overcommit guess for the host.
	memory, err := unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return use, refused(err)
	}
	defer func() { _ = unix.Munmap(memory) }()
	if inSelf {
		touch(memory, report)
		use.Touched = int64(report[0])
		return use, nil
	}
	pid, err := fork(&job{kind: jobMemory, memory: memory, report: report})
	if err != nil {
		return use, refused(err)
	}
	// Should the killer have to choose, then not the probe, which has to tell. Not every kernel has the file.
	_ = os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte("1000"), 0)
	status, err := wait(ctx, pid)
	use.Touched = int64(report[0])
	if err == nil && status.Signaled() {
		use.Signal = probe.SignalName(int(status.Signal()))
	}
	return use, err
}

// UsePIDs implements [probe.LoadSystem].
func (System) UsePIDs(ctx context.Context, n int) (probe.Pids, error) {
	var use probe.Pids
	spareThreads(4)
	var children []int
	var refusal error
	for len(children) < n && ctx.Err() == nil {
		pid, err := fork(&job{kind: jobSleep})
		if err != nil {
			refusal = refused(err)
			break
		}
		children = append(children, pid)
	}
	use.Started = len(children)
	// Only now: the runtime may start a thread at any time, but none beyond the limit.
	if tasks, err := os.ReadDir("/proc/self/task"); err == nil {
		use.Before = len(tasks)
	}
	for _, pid := range children {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	for _, pid := range children {
		if _, err := wait(context.Background(), pid); err != nil {
			return use, err
		}
	}
	if ctx.Err() != nil {
		return use, ctx.Err()
	}
	return use, refusal
}

// spareThreads makes the Go runtime keep n more threads. At a pids limit it could not start one when it
// wants to, and would end the program.
func spareThreads(n int) {
	var locked, ended sync.WaitGroup
	release := make(chan struct{})
	locked.Add(n)
	for range n {
		ended.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread() // the thread stays, idle
			locked.Done()
			<-release
		})
	}
	locked.Wait()
	close(release)
	ended.Wait()
}

// UseCPU implements [probe.LoadSystem].
func (System) UseCPU(ctx context.Context, d time.Duration, threads int) (probe.CPU, error) {
	// The runtime sizes itself by the cpu limit, and then could not even try to exceed it.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(threads+1, runtime.GOMAXPROCS(0))))
	before, err := cpuTime()
	if err != nil {
		return probe.CPU{}, err
	}
	start := time.Now()
	var group sync.WaitGroup
	for range threads {
		group.Go(func() {
			for i := 0; ; i++ {
				if i%4096 == 0 && (ctx.Err() != nil || time.Since(start) >= d) {
					return
				}
			}
		})
	}
	group.Wait()
	wall := time.Since(start)
	after, err := cpuTime()
	if err != nil {
		return probe.CPU{}, err
	}
	return probe.CPU{Used: after - before, Wall: wall}, ctx.Err()
}

func cpuTime() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		return 0, refused(err)
	}
	return time.Duration(ts.Nano()), nil
}

// OpenFiles implements [probe.LoadSystem].
func (System) OpenFiles(n int) (probe.Files, error) {
	var use probe.Files
	if open, err := os.ReadDir("/proc/self/fd"); err == nil {
		use.Before = len(open) - 1 // without the one that lists them
	}
	// Package syscall raised the soft limit; the one to test is what the sandbox was given.
	if soft, hard, ok := startlimit.Nofile(); ok {
		var raised unix.Rlimit
		if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: soft, Max: hard}, &raised); err == nil {
			defer func() { _ = unix.Prlimit(0, unix.RLIMIT_NOFILE, &raised, nil) }()
		}
	}
	var fds []int
	defer func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}()
	for len(fds) < n {
		fd, err := unix.Open("/", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return use, refused(err)
		}
		fds = append(fds, fd)
		use.Opened = len(fds)
	}
	return use, nil
}

// Orphan implements [probe.LoadSystem].
func (System) Orphan(ctx context.Context, n int, d time.Duration) (probe.Orphans, error) {
	report, free, err := shared()
	if err != nil {
		return probe.Orphans{}, err
	}
	defer free()
	pid, err := fork(&job{kind: jobOrphan, count: n, linger: unix.NsecToTimespec(int64(d)), report: report})
	if err != nil {
		return probe.Orphans{}, refused(err)
	}
	if _, err := wait(ctx, pid); err != nil {
		return probe.Orphans{Made: int(report[0])}, err
	}
	orphans := probe.Orphans{Made: int(report[0])}
	if report[1] != 0 {
		return orphans, refused(syscall.Errno(report[1]))
	}
	return orphans, nil
}
