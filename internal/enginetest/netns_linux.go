// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Addresses of the link between the engine's namespace and the outside peer.
// They come from the ranges that are reserved for documentation, so that they
// look public to every policy and can be nobody's.
const (
	engineLink   = "203.0.113.2"
	outsideLink  = "203.0.113.1"
	outsideAddr  = "198.51.100.1"
	engineLink6  = "2001:db8:be::2"
	outsideLink6 = "2001:db8:be::1"
)

const netnsDir = "/run/netns"

// InNetns runs f on a thread that has entered the network namespace at path.
// Sockets that f opens, and processes that it starts, stay in that namespace.
// f must do its work on the calling goroutine. It needs CAP_SYS_ADMIN.
func InNetns(path string, f func() error) error {
	errc := make(chan error, 1)
	go func() {
		// The goroutine ends locked, which ends the thread: a thread that has
		// been in another namespace never serves other goroutines.
		runtime.LockOSThread()
		errc <- enter(path, f)
	}()
	return <-errc
}

func enter(path string, f func() error) error {
	fd, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer fd.Close()
	if err := unix.Setns(int(fd.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	return f()
}

// Listen opens a listener inside the network namespace at path, for a test
// that owns both ends of a connection. address must be numeric.
func Listen(ctx context.Context, path, network, address string) (net.Listener, error) {
	var l net.Listener
	err := InNetns(path, func() (err error) {
		l, err = new(net.ListenConfig).Listen(ctx, network, address)
		return err
	})
	return l, err
}

// ListenPacket is Listen for datagrams.
func ListenPacket(ctx context.Context, path, network, address string) (net.PacketConn, error) {
	var c net.PacketConn
	err := InNetns(path, func() (err error) {
		c, err = new(net.ListenConfig).ListenPacket(ctx, network, address)
		return err
	})
	return c, err
}

// Dial connects from inside the network namespace at path. address must be
// numeric.
func Dial(ctx context.Context, path, network, address string) (net.Conn, error) {
	var c net.Conn
	err := InNetns(path, func() (err error) {
		c, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// child is a process that StartIn started.
type child struct {
	process
	done chan struct{} // closed when the process was waited for
	err  error         // what Wait said; read it after done
}

// children holds the pids that this package waits for itself.
var children sync.Map

// StartIn starts cmd in the network namespace at path and waits for it in the
// background: the caller must not call cmd.Wait. The channel gets what Wait
// returned and is then closed. A parent-death signal in cmd.SysProcAttr works
// as expected: the starting thread lives as long as the process does.
func StartIn(path string, cmd *exec.Cmd) (<-chan error, error) {
	c, err := startChild(path, cmd)
	if err != nil {
		return nil, err
	}
	out := make(chan error, 1)
	go func() {
		<-c.done
		out <- c.err
		close(out)
	}()
	return out, nil
}

func startChild(path string, cmd *exec.Cmd) (*child, error) {
	c := &child{done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// Never unlocked, and it stays here until the process has ended: the
		// kernel sends the parent-death signal when this *thread* ends.
		runtime.LockOSThread()
		err := enter(path, func() error {
			if err := cmd.Start(); err != nil {
				return fmt.Errorf("start %s: %w", cmd.Path, err)
			}
			children.Store(cmd.Process.Pid, true)
			return nil
		})
		if err == nil {
			// Before Wait the pid cannot be used again.
			c.process, err = identify(filepath.Base(cmd.Path), cmd.Process.Pid)
		}
		started <- err
		if cmd.Process != nil {
			c.err = cmd.Wait()
			children.Delete(cmd.Process.Pid)
		}
		close(c.done)
	}()
	return c, <-started
}

// ip runs the ip command and returns its error text in the error.
func ip(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// makeNetns makes the two namespaces and the link between them.
func makeNetns(ctx context.Context, engine, outside string) error {
	steps := [][]string{
		{"netns", "add", engine},
		{"netns", "add", outside},
		{"-n", engine, "link", "set", "lo", "up"},
		{"-n", outside, "link", "set", "lo", "up"},
		// Both ends are made inside their namespaces: the host never sees them.
		{"-n", engine, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", outside},
		{"-n", engine, "addr", "add", engineLink + "/24", "dev", "eth0"},
		{"-n", outside, "addr", "add", outsideLink + "/24", "dev", "eth0"},
		{"-n", outside, "addr", "add", outsideAddr + "/32", "dev", "lo"},
		{"-n", outside, "addr", "add", MetadataAddress + "/32", "dev", "lo"},
		{"-n", engine, "link", "set", "eth0", "up"},
		{"-n", outside, "link", "set", "eth0", "up"},
		{"-n", engine, "route", "add", "default", "via", outsideLink},
	}
	if _, err := os.Stat("/proc/sys/net/ipv6"); err == nil {
		steps = append(steps,
			[]string{"-n", engine, "addr", "add", engineLink6 + "/64", "dev", "eth0", "nodad"},
			[]string{"-n", outside, "addr", "add", outsideLink6 + "/64", "dev", "eth0", "nodad"},
			[]string{"-n", engine, "route", "add", "default", "via", outsideLink6},
		)
	}
	for _, s := range steps {
		if err := ip(ctx, s...); err != nil {
			return err
		}
	}
	// A router without a route says "unreachable" at once. A host that is no
	// router would drop the packet, and whoever sent it would wait.
	return InNetns(filepath.Join(netnsDir, outside), func() error {
		return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600)
	})
}

// removeNetns deletes a namespace that makeNetns made. One that is already
// gone is no error.
func removeNetns(ctx context.Context, name string) error {
	path := filepath.Join(netnsDir, name)
	if _, err := os.Lstat(path); os.IsNotExist(err) {
		return nil
	}
	// The namespace lives on while a process is in it; its link must not.
	_ = ip(ctx, "-n", name, "link", "del", "eth0") // the other end took it along
	return ip(ctx, "netns", "del", name)
}
