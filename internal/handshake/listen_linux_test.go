// SPDX-License-Identifier: Apache-2.0

package handshake_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berthrun/berth/internal/handshake"
	"github.com/berthrun/berth/internal/handshake/wire"
)

func self(context.Context) (int, error) { return os.Getpid(), nil }

func dial(t *testing.T, l *handshake.Listener) net.Conn {
	t.Helper()
	dir, err := os.Open(filepath.Dir(l.Path()))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	// The path can be longer than a socket address.
	name := filepath.Join("/proc/self/fd", itoa(int(dir.Fd())), filepath.Base(l.Path()))
	c, err := net.Dial("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestListenAndHandshake(t *testing.T) {
	runDir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if err := os.Mkdir(runDir, 0o777); err != nil {
		t.Fatal(err)
	}
	l, err := handshake.Listen(runDir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	st, err := os.Lstat(filepath.Join(runDir, handshake.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := st.Mode(), os.ModeSocket|0o666; got != want {
		t.Errorf("mode of the socket: got %v, want %v", got, want)
	}
	peer := dial(t, l)
	c, err := l.Accept(t.Context(), self)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Peer(), (handshake.Peer{PID: os.Getpid(), UID: os.Getuid(), GID: os.Getgid()}); got != want {
		t.Errorf("peer: got %+v, want %+v", got, want)
	}
	go fakeInit(t, peer, wire.Message{Started: &wire.Started{PID: 7}})
	r, err := c.Negotiate(t.Context(), handshake.Config{Nonce: nonce, Mounts: []handshake.MountQuery{{Target: "/w", Probe: true}}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]handshake.MountReport{{Target: "/w"}}, r.Mounts); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
	s, err := c.Go(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.PID != 7 {
		t.Errorf("started pid: got %d, want 7", s.PID)
	}
	if err := l.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if left, _ := os.ReadDir(runDir); len(left) != 0 {
		t.Errorf("left in the run directory: %v", left)
	}
}

func TestListenReplacesLeftovers(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, plant := range map[string]func(string) error{
		"file":    func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"symlink": func(p string) error { return os.Symlink(outside, p) },
		"folder":  func(p string) error { return os.MkdirAll(filepath.Join(p, "a", "b"), 0o777) },
		"socket": func(p string) error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p, Net: "unix"})
			if err != nil {
				return err
			}
			l.SetUnlinkOnClose(false)
			return l.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := plant(filepath.Join(dir, handshake.SocketName)); err != nil {
				t.Fatal(err)
			}
			l, err := handshake.Listen(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			dial(t, l)
		})
	}
	if st, err := os.Stat(outside); err != nil || st.Mode() != 0o600 {
		t.Errorf("a file outside the run directory was touched: %v, %v", st.Mode(), err)
	}
}

func TestAcceptDropsStrangers(t *testing.T) {
	l, err := handshake.Listen(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var log bytes.Buffer
	l.Log = slog.New(slog.NewTextHandler(&log, nil))
	stranger := connectFromChild(t, l.Path())
	dial(t, l)
	c, err := l.Accept(t.Context(), self)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Peer().PID != os.Getpid() {
		t.Errorf("accepted process %d instead of %d", c.Peer().PID, os.Getpid())
	}
	if want := "peerPid=" + itoa(stranger); !strings.Contains(log.String(), want) {
		t.Errorf("the log does not name the dropped peer %s:\n%s", want, log.String())
	}
}

func TestAcceptEnds(t *testing.T) {
	l, err := handshake.Listen(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Run("context", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := l.Accept(ctx, self); !exactly(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v as it is", err, context.DeadlineExceeded)
		}
	})
	t.Run("engine", func(t *testing.T) {
		dial(t, l)
		broken := errors.New("engine is gone")
		if _, err := l.Accept(t.Context(), func(context.Context) (int, error) { return 0, broken }); !exactly(err, broken) {
			t.Errorf("got %v, want %v as it is", err, broken)
		}
	})
	t.Run("noPID", func(t *testing.T) {
		dial(t, l)
		if _, err := l.Accept(t.Context(), func(context.Context) (int, error) { return 0, nil }); err == nil {
			t.Error("a process id of 0 was accepted")
		}
	})
	t.Run("usableAfter", func(t *testing.T) {
		dial(t, l)
		c, err := l.Accept(t.Context(), self)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	})
	t.Run("close", func(t *testing.T) {
		time.AfterFunc(20*time.Millisecond, func() { l.Close() })
		if _, err := l.Accept(t.Context(), self); !errors.Is(err, net.ErrClosed) {
			t.Errorf("got %v, want %v", err, net.ErrClosed)
		}
	})
}
