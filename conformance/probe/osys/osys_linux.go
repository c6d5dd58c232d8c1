// SPDX-License-Identifier: Apache-2.0

package osys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/berthrun/berth/conformance/probe"
)

// System implements [probe.System] with the kernel. It has no state: its methods are as safe for
// concurrent use as the operations are. There is one process, so one [probe.Run] at a time.
type System struct{}

// New returns the real system; cmd/berth-probe calls it.
func New() System { return System{} }

var _ probe.System = System{}

// refused turns an error of the kernel into one that carries a probe.Errno. Context errors and errors
// without an errno are returned as they are.
func refused(err error) error {
	var number syscall.Errno
	var dns *net.DNSError
	var address *net.AddrError
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &dns) && dns.IsTimeout:
		return fmt.Errorf("%w: %w", probe.Timeout, err)
	case errors.As(err, &dns):
		// An errno in it would be about a name server that nobody asked for.
		return fmt.Errorf("%w: %w", probe.NoHost, err)
	case errors.As(err, &number):
		return fmt.Errorf("%w: %w", errnoName(number), err)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", probe.Timeout, err)
	case errors.As(err, &address):
		// No address of the asked family; the kernel was never asked.
		return fmt.Errorf("%w: %w", errnoName(unix.EAFNOSUPPORT), err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", errnoName(unix.ENOENT), err)
	default:
		return err
	}
}

func errnoName(number syscall.Errno) probe.Errno {
	if name := unix.ErrnoName(number); name != "" {
		return probe.Errno(name)
	}
	return probe.Errno("E" + strconv.Itoa(int(number)))
}

// retry calls f again while a signal interrupts it.
func retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
