// SPDX-License-Identifier: Apache-2.0

package handshake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Listener waits for init's connection on a socket in a run directory.
type Listener struct {
	// Log gets a line for each connection that is dropped; nil means none. Set it
	// before Accept.
	Log *slog.Logger

	path  string // as the caller named it, for messages
	dir   *os.File
	l     *net.UnixListener
	close func() error
}

// Listen makes the socket for one start of one sandbox in runDir and listens. It
// is called before the sandbox is created or started, so that init finds the
// socket at once. runDir must exist, belong to that sandbox alone, and be shut to
// other users by its parent: the socket itself may be opened by any uid, because
// init may run as any.
//
// Whatever a previous run left at the socket's name is removed, without following
// it: the directory is writable from inside. Linux only; elsewhere it returns an
// error.
func Listen(runDir string) (*Listener, error) {
	path := filepath.Join(runDir, SocketName)
	fail := func(err error) error {
		return fmt.Errorf("run directory: listen on %s: %w", path, err)
	}
	dir, err := os.OpenFile(runDir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fail(err)
	}
	self := "/proc/self/fd/" + strconv.Itoa(int(dir.Fd()))
	root, err := os.OpenRoot(self)
	if err != nil {
		dir.Close()
		return nil, fail(err)
	}
	err = root.RemoveAll(SocketName)
	err = errors.Join(err, root.Close())
	if err != nil {
		dir.Close()
		return nil, fail(fmt.Errorf("remove what an earlier run left: %w", err))
	}
	// A socket address holds 107 bytes only; through the descriptor the length of
	// runDir does not count.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: self + "/" + SocketName, Net: "unix"})
	if err != nil {
		dir.Close()
		return nil, fail(err)
	}
	l.SetUnlinkOnClose(false)
	ln := &Listener{path: path, dir: dir, l: l}
	ln.close = sync.OnceValue(func() error {
		err := l.Close()
		uerr := unix.Unlinkat(int(dir.Fd()), SocketName, 0)
		if errors.Is(uerr, fs.ErrNotExist) {
			uerr = nil
		}
		return errors.Join(err, uerr, dir.Close())
	})
	if err := openToAll(dir); err != nil {
		return nil, errors.Join(fail(err), ln.Close())
	}
	return ln, nil
}

// openToAll lets every uid connect, whatever the umask, without following a link
// that might have taken the socket's place.
func openToAll(dir *os.File) error {
	fd, err := unix.Openat(int(dir.Fd()), SocketName, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return errors.New("something replaced the socket")
	}
	return os.Chmod("/proc/self/fd/"+strconv.Itoa(fd), 0o666)
}

// Path is the socket's path on the host.
func (l *Listener) Path() string { return l.path }

// Accept returns the connection of the sandbox's init. The peer's process id, as
// the kernel gives it, must be the one that expectPID returns; any other peer is
// dropped and logged, and Accept goes on waiting.
//
// expectPID is called at most once, after the first peer has connected, which can
// be before the engine's start call has returned. It must wait until the engine
// knows init's process id on the host (in this process' pid namespace); its error
// is returned as it is.
//
// The listener stays open; Close it after the hand-shake. One call at a time.
// Errors: expectPID's, the context's, net.ErrClosed after Close.
func (l *Listener) Accept(ctx context.Context, expectPID func(context.Context) (int, error)) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := l.l.SetDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("accept on %s: %w", l.path, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = l.l.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	want := 0
	for {
		c, err := l.l.AcceptUnix()
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, fmt.Errorf("accept on %s: %w", l.path, err)
		}
		peer, err := peerOf(c)
		if err != nil {
			c.Close()
			l.drop(ctx, peer, want, err)
			continue
		}
		if want == 0 {
			if want, err = expectPID(ctx); err != nil {
				c.Close()
				return nil, err
			}
			if want <= 0 {
				c.Close()
				return nil, fmt.Errorf("accept on %s: the engine reports process id %d for the sandbox's init", l.path, want)
			}
		}
		if peer.PID != want {
			c.Close()
			l.drop(ctx, peer, want, nil)
			continue
		}
		conn := NewConn(c)
		conn.peer = peer
		return conn, nil
	}
}

func (l *Listener) drop(ctx context.Context, p Peer, want int, err error) {
	if l.Log == nil {
		return
	}
	attrs := []slog.Attr{
		slog.String("socket", l.path), slog.Int("peerPid", p.PID), slog.Int("peerUid", p.UID), slog.Int("wantPid", want),
	}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	l.Log.LogAttrs(ctx, slog.LevelWarn, "dropped a connection that is not from the sandbox's init", attrs...)
}

// peerOf asks the kernel who connected.
func peerOf(c *net.UnixConn) (Peer, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var cred *unix.Ucred
	var cerr error
	if err := raw.Control(func(fd uintptr) {
		cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return Peer{}, err
	}
	if cerr != nil {
		return Peer{}, os.NewSyscallError("getsockopt", cerr)
	}
	return Peer{PID: int(cred.Pid), UID: int(cred.Uid), GID: int(cred.Gid)}, nil
}

// Close stops listening and removes the socket. It may be called more than once
// and while Accept waits, which then returns net.ErrClosed.
func (l *Listener) Close() error { return l.close() }
