// SPDX-License-Identifier: Apache-2.0

package osys

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/berthrun/berth/conformance/probe"
)

// Processes implements [probe.ProcessSystem].
func (System) Processes() ([]probe.ProcessEntry, error) {
	names, err := os.ReadDir("/proc")
	if err != nil {
		return nil, refused(err)
	}
	processes := []probe.ProcessEntry{}
	for _, name := range names {
		pid, err := strconv.Atoi(name.Name())
		if err != nil {
			continue
		}
		data, err := os.ReadFile("/proc/" + name.Name() + "/stat")
		if err != nil {
			continue // it ended meanwhile
		}
		entry, err := parseStat(data)
		if err != nil {
			return nil, err
		}
		entry.PID = pid
		processes = append(processes, entry)
	}
	slices.SortFunc(processes, func(a, b probe.ProcessEntry) int { return a.PID - b.PID })
	return processes, nil
}

// parseStat reads /proc/PID/stat. The name is whatever the process likes, parentheses included, so its end is the last one.
func parseStat(data []byte) (probe.ProcessEntry, error) {
	text := string(data)
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return probe.ProcessEntry{}, fmt.Errorf("stat of a process: unexpected content %q", text)
	}
	fields := strings.Fields(text[end+1:])
	if len(fields) < 2 {
		return probe.ProcessEntry{}, fmt.Errorf("stat of a process: unexpected content %q", text)
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return probe.ProcessEntry{}, fmt.Errorf("stat of a process: parent %q is no number", fields[1])
	}
	return probe.ProcessEntry{PPID: parent, State: fields[0], Name: text[open+1 : end]}, nil
}

// Exec implements [probe.ProcessSystem].
func (System) Exec(ctx context.Context, path string, args []string, limit int) (probe.Exec, error) {
	stdout, stderr := newBounded(limit), newBounded(limit)
	cmd := exec.CommandContext(ctx, path)
	cmd.Path, cmd.Err = path, nil // execve decides, not a search in PATH
	cmd.Args, cmd.Stdout, cmd.Stderr = args, stdout, stderr
	cmd.WaitDelay = time.Second // a grandchild may keep the pipes
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return probe.Exec{}, ctx.Err()
	case err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay):
		return probe.Exec{}, refused(err)
	}
	result := probe.Exec{
		Code: cmd.ProcessState.ExitCode(), Stdout: stdout.data, Stderr: stderr.data,
		Truncated: stdout.more || stderr.more,
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		result.Signal = probe.SignalName(int(status.Signal()))
	}
	return result, nil
}

// bounded keeps the first bytes and takes the rest without keeping it. It embeds no buffer: os/exec would find
// the buffer's ReadFrom and use that, past the bound.
type bounded struct {
	data  []byte
	limit int
	more  bool
}

func newBounded(limit int) *bounded { return &bounded{data: []byte{}, limit: limit} }

func (b *bounded) Write(p []byte) (int, error) {
	keep := min(len(p), b.limit-len(b.data))
	b.data = append(b.data, p[:keep]...)
	b.more = b.more || keep < len(p)
	return len(p), nil
}

// Notify implements [probe.ProcessSystem].
func (System) Notify(names []string) (<-chan string, func()) {
	var numbers []os.Signal
	for _, name := range names {
		if n, ok := probe.SignalNumber(name); ok && n != int(unix.SIGKILL) && n != int(unix.SIGSTOP) {
			numbers = append(numbers, syscall.Signal(n))
		}
	}
	arrived, named := make(chan os.Signal, 64), make(chan string, 64)
	done := make(chan struct{})
	signal.Notify(arrived, numbers...)
	go func() {
		for {
			select {
			case s := <-arrived:
				if number, ok := s.(syscall.Signal); ok {
					named <- probe.SignalName(int(number))
				}
			case <-done:
				return
			}
		}
	}()
	return named, func() { signal.Stop(arrived); close(done) }
}

// Kill implements [probe.ProcessSystem].
func (System) Kill(pid int, name string) error {
	number, _ := probe.SignalNumber(name)
	return refused(unix.Kill(pid, syscall.Signal(number)))
}

// deathWait bounds how long Die waits for a signal that may not kill.
const deathWait = time.Second

// Die implements [probe.ProcessSystem].
func (System) Die(name string) error {
	number, _ := probe.SignalNumber(name)
	pid := os.Getpid()
	if pid == 1 {
		return nil // the kernel shields PID 1 from its own signals
	}
	// The Go runtime handles nearly every signal, so its handler has to go: a zero sigaction is SIG_DFL.
	// KILL and STOP refuse that and need none.
	var action [64]byte
	//nolint:gosec // G103: no package wraps this call; the memory outlives it
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(number), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	// No core file in the sandbox.
	_ = unix.Prlimit(0, unix.RLIMIT_CORE, &unix.Rlimit{}, nil)
	if err := unix.Kill(pid, syscall.Signal(number)); err != nil {
		return refused(err)
	}
	time.Sleep(deathWait) // the default of CHLD or WINCH is to do nothing
	return nil
}

// Sleep implements [probe.ProcessSystem].
func (System) Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
