// SPDX-License-Identifier: Apache-2.0

package dockerharness

import (
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// otherNetwork says why ports that the engine at host publishes are not on this
// process' network; empty when they are. The engine is who listens on its
// socket.
func otherNetwork(host string) string {
	path, ok := strings.CutPrefix(host, "unix://")
	if !ok {
		return ""
	}
	c, err := net.Dial("unix", path) //nolint:noctx // a local socket answers at once or not at all
	if err != nil {
		return "the engine's socket: " + err.Error()
	}
	defer c.Close()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return err.Error()
	}
	var peer *unix.Ucred
	cerr := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if cerr != nil || err != nil {
		return "who listens on the engine's socket is not known"
	}
	own, err1 := os.Readlink("/proc/self/ns/net")
	theirs, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", peer.Pid))
	if err1 != nil || err2 != nil {
		return "the engine's network namespace cannot be read"
	}
	if own != theirs {
		return "the engine is in another network namespace"
	}
	return ""
}
