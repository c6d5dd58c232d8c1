// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/berthrun/berth/internal/handshake/wire"
)

// failure is why the command does not run, with the exit code that engines give:
// 127 when it, or the interpreter it names, does not exist, 126 for any other
// reason.
func failure(name string, err error) *wire.Failed {
	f := &wire.Failed{Code: wire.ExitCannotExec, Message: fmt.Sprintf("exec %q: %v", name, err)}
	if errors.Is(err, unix.ENOENT) {
		f.Code = wire.ExitNotFound
	}
	return f
}

// lookPath finds the program as runc does: a name with a slash is a path, any
// other is sought in PATH; an empty element of PATH is the working directory, and
// without PATH nothing is found. What is found there and cannot be executed is
// passed over.
func lookPath(name string) (string, *wire.Failed) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	if name != "" {
		if list := os.Getenv("PATH"); list != "" {
			for dir := range strings.SplitSeq(list, ":") {
				if dir == "" {
					dir = "."
				}
				if path := dir + "/" + name; executable(path) {
					return path, nil
				}
			}
		}
	}
	return "", &wire.Failed{Code: wire.ExitNotFound, Message: fmt.Sprintf("exec %q: executable file not found in PATH", name)}
}

func executable(path string) bool {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return false
	}
	err := unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		// A seccomp profile that does not know faccessat2.
		return st.Mode&0o111 != 0
	}
	return err == nil
}

// start runs the command in a process group of its own, with init's streams,
// environment and working directory. When stdin is init's controlling terminal the
// group becomes its foreground group, so that the terminal's signals reach the
// command once, and not a second time through init.
//
// Init keeps the streams open, as other inits do: /proc/1/fd/1 is a common way to
// write to the log of a sandbox.
func start(args []string) (int, *wire.Failed) {
	path, failed := lookPath(args[0])
	if failed != nil {
		return 0, failed
	}
	attr := &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	}
	if _, err := unix.IoctlGetInt(0, unix.TIOCGPGRP); err == nil {
		attr.Sys.Foreground, attr.Sys.Ctty = true, 0
	}
	// ForkExec and not os/exec: it waits for the child only when exec fails, so
	// that the one wait4 of init sees every exit.
	pid, err := syscall.ForkExec(path, args, attr)
	if attr.Sys.Foreground && (errors.Is(err, unix.EIO) || errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EPERM)) {
		// The terminal was hung up in between; the command has a right to see that.
		attr.Sys.Foreground = false
		pid, err = syscall.ForkExec(path, args, attr)
	}
	if err == nil {
		return pid, nil
	}
	failed = failure(path, err)
	switch {
	case errors.Is(err, unix.ENOENT) && unix.Access(path, unix.F_OK) == nil:
		failed.Message = fmt.Sprintf("exec %q: the file exists, but the interpreter or loader that it names does not", path)
	case errors.Is(err, unix.EAGAIN):
		failed.Message += fmt.Sprintf("; the sandbox's process limit may be too low: init needs up to %d of it", wire.InitTasks)
	}
	return 0, failed
}
