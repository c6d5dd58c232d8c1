// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sock is a connected unix socket. It stands in for net.UnixConn because its
// Write raises no SIGPIPE, which init would have to tell from one that it must
// forward, and because package net would add a third to the agent's size.
type sock struct {
	f  *os.File
	rc syscall.RawConn
}

// newFile makes a non-blocking descriptor usable with deadlines and Close. It
// owns fd, also when it fails.
func newFile(fd int) (*os.File, syscall.RawConn, error) {
	f := os.NewFile(uintptr(fd), "socket")
	rc, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, rc, nil
}

func newSock(fd int) (*sock, error) {
	f, rc, err := newFile(fd)
	if err != nil {
		return nil, err
	}
	return &sock{f, rc}, nil
}

func (s *sock) Read(p []byte) (int, error) { return s.f.Read(p) }

// Write writes all of p or returns an error.
func (s *sock) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		var n int
		var err error
		werr := s.rc.Write(func(fd uintptr) bool {
			n, err = unix.SendmsgN(int(fd), p[written:], nil, nil, unix.MSG_NOSIGNAL)
			return !errors.Is(err, unix.EAGAIN)
		})
		switch {
		case werr != nil:
			return written, werr
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return written, os.NewSyscallError("sendmsg", err)
		}
		written += n
	}
	return written, nil
}

// closeWrite tells the peer that nothing more comes.
func (s *sock) closeWrite() error {
	var err error
	if cerr := s.rc.Control(func(fd uintptr) { err = unix.Shutdown(int(fd), unix.SHUT_WR) }); cerr != nil {
		return cerr
	}
	return err
}

func (s *sock) setDeadline(t time.Time) { _ = s.f.SetDeadline(t) }

func (s *sock) close() { s.f.Close() }

// closeFD closes a descriptor from which nothing more is wanted.
func closeFD(fd int) { _ = unix.Close(fd) }

func unixSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	return fd, os.NewSyscallError("socket", err)
}

// dial connects to the socket at path. While nothing listens there it tries
// again until ctx ends; then it returns the last error.
func dial(ctx context.Context, path string) (*sock, error) {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		fd, err := unixSocket()
		if err != nil {
			return nil, err
		}
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
		if err == nil {
			return newSock(fd)
		}
		closeFD(fd)
		err = &os.PathError{Op: "connect", Path: path, Err: err}
		// Not there yet, nobody accepts on it yet, or its backlog is full.
		if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ECONNREFUSED) &&
			!errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return nil, err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, err
		}
	}
}

// acceptOne listens at path, waits for one connection until ctx ends, and stops
// listening. No socket is left at path when it returns.
func acceptOne(ctx context.Context, path string) (*sock, error) {
	fd, err := unixSocket()
	if err != nil {
		return nil, err
	}
	// A stop and start of the same sandbox finds the socket of the last start.
	if err := unix.Unlink(path); err != nil && !errors.Is(err, unix.ENOENT) {
		closeFD(fd)
		return nil, &os.PathError{Op: "unlink", Path: path, Err: err}
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		closeFD(fd)
		return nil, &os.PathError{Op: "bind", Path: path, Err: err}
	}
	defer func() { _ = unix.Unlink(path) }()
	// The engine's exec may run as another uid. Nobody else is in the sandbox.
	if err := unix.Chmod(path, 0o666); err != nil {
		closeFD(fd)
		return nil, &os.PathError{Op: "chmod", Path: path, Err: err}
	}
	if err := unix.Listen(fd, 1); err != nil {
		closeFD(fd)
		return nil, os.NewSyscallError("listen", err)
	}
	f, rc, err := newFile(fd)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	defer context.AfterFunc(ctx, func() { _ = f.SetDeadline(time.Unix(1, 0)) })()
	for {
		var conn int
		var aerr error
		err := rc.Read(func(fd uintptr) bool {
			conn, _, aerr = unix.Accept4(int(fd), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			return !errors.Is(aerr, unix.EAGAIN)
		})
		switch {
		case err != nil:
			return nil, err
		case errors.Is(aerr, unix.EINTR), errors.Is(aerr, unix.ECONNABORTED):
			continue
		case aerr != nil:
			return nil, os.NewSyscallError("accept4", aerr)
		}
		return newSock(conn)
	}
}
