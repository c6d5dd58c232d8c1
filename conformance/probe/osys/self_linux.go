// SPDX-License-Identifier: Apache-2.0

package osys

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/conformance/probe/osys/internal/startlimit"
)

// Self implements [probe.SelfSystem].
func (System) Self() (probe.Self, error) {
	cwd, err := unix.Getwd()
	if err != nil {
		cwd = "" // the directory was removed, or cannot be seen
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return probe.Self{}, refused(err)
	}
	status, umask, err := selfStatus()
	if err != nil {
		return probe.Self{}, err
	}
	return probe.Self{
		PID: os.Getpid(), PPID: os.Getppid(),
		UID: os.Getuid(), EUID: os.Geteuid(), GID: os.Getgid(), EGID: os.Getegid(), Groups: status.Groups,
		Umask: umask, Cwd: cwd, Hostname: unix.ByteSliceToString(uts.Nodename[:]), Status: status,
	}, nil
}

// selfStatus asks the kernel where it can, and reads /proc/self/status for the rest: not every
// kernel that runs sandboxes has all its lines (gVisor has no Umask, for example).
func selfStatus() (probe.Status, uint32, error) {
	var status probe.Status
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return status, 0, refused(err)
	}
	fields := parseStatus(data)
	for _, set := range []struct {
		key  string
		into *[]string
	}{
		{"CapInh", &status.CapInheritable}, {"CapPrm", &status.CapPermitted}, {"CapEff", &status.CapEffective},
		{"CapBnd", &status.CapBounding}, {"CapAmb", &status.CapAmbient},
	} {
		if *set.into, err = capNames(fields[set.key]); err != nil {
			return status, 0, fmt.Errorf("/proc/self/status %s: %w", set.key, err)
		}
	}
	noNewPrivs, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil {
		return status, 0, refused(err)
	}
	status.NoNewPrivs = noNewPrivs == 1
	status.Seccomp, _ = strconv.Atoi(fields["Seccomp"])
	status.Threads, _ = strconv.Atoi(fields["Threads"])
	groups, err := unix.Getgroups()
	if err != nil {
		return status, 0, refused(err)
	}
	status.Groups = append([]int{}, groups...)
	slices.Sort(status.Groups)
	umask, err := strconv.ParseUint(fields["Umask"], 8, 32)
	if err != nil {
		old := unix.Umask(0o077)
		unix.Umask(old)
		umask = uint64(old)
	}
	return status, uint32(umask), nil
}

// parseStatus returns the lines of a /proc status file as key and trimmed value.
func parseStatus(data []byte) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			fields[key] = strings.TrimSpace(value)
		}
	}
	return fields
}

// capabilities are the names of linux/capability.h by number.
var capabilities = strings.Fields(`
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
PERFMON BPF CHECKPOINT_RESTORE`)

func capNames(hex string) ([]string, error) {
	names := []string{}
	if hex == "" {
		return names, nil
	}
	bits, err := strconv.ParseUint(hex, 16, 64)
	if err != nil {
		return nil, fmt.Errorf("%q is no set of capabilities", hex)
	}
	for n := range 64 {
		switch {
		case bits&(1<<n) == 0:
		case n < len(capabilities):
			names = append(names, "CAP_"+capabilities[n])
		default:
			names = append(names, "CAP_"+strconv.Itoa(n))
		}
	}
	return names, nil
}

// Environ implements [probe.SelfSystem]. Package os hides nothing and keeps the order.
func (System) Environ() []string { return os.Environ() }

// Terminal implements [probe.SelfSystem].
func (System) Terminal(fd int) (probe.Terminal, error) {
	if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
		return probe.Terminal{}, nil
	}
	terminal := probe.Terminal{TTY: true}
	if size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ); err == nil {
		terminal.Rows, terminal.Cols = int(size.Row), int(size.Col)
	}
	return terminal, nil
}

// SetEcho implements [probe.SelfSystem].
func (System) SetEcho(fd int, on bool) error {
	termios, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return refused(err)
	}
	termios.Lflag &^= unix.ECHO
	if on {
		termios.Lflag |= unix.ECHO
	}
	return refused(unix.IoctlSetTermios(fd, unix.TCSETS, termios))
}

// rlimits are the names of resource limits by number.
var rlimits = strings.Fields(`
cpu fsize data stack core rss nproc nofile memlock as locks sigpending msgqueue nice rtprio rttime`)

// Limits implements [probe.SelfSystem].
func (System) Limits() ([]probe.Limit, error) {
	limits := []probe.Limit{}
	for number, name := range rlimits {
		var limit unix.Rlimit
		if err := unix.Prlimit(0, number, nil, &limit); err != nil {
			return nil, refused(err)
		}
		if soft, hard, ok := startlimit.Nofile(); ok && number == unix.RLIMIT_NOFILE {
			limit.Cur, limit.Max = soft, hard
		}
		limits = append(limits, probe.Limit{Name: name, Soft: rlimit(limit.Cur), Hard: rlimit(limit.Max)})
	}
	slices.SortFunc(limits, func(a, b probe.Limit) int { return strings.Compare(a.Name, b.Name) })
	return limits, nil
}

func rlimit(n uint64) int64 {
	if n > math.MaxInt64 {
		return probe.Unlimited
	}
	return int64(n)
}

// cgroupRoot is where engines mount the cgroup file system.
const cgroupRoot = "/sys/fs/cgroup"

// Cgroup implements [probe.SelfSystem].
func (System) Cgroup() (probe.Cgroup, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return probe.Cgroup{}, nil // kernels without cgroups are allowed to exist
	}
	return readCgroup(os.DirFS(cgroupRoot), own), nil
}

// parseCgroup returns the paths of /proc/self/cgroup by controller; the key of version 2 is "".
func parseCgroup(data []byte) map[string]string {
	paths := map[string]string{}
	for line := range bytes.Lines(data) {
		parts := strings.SplitN(strings.TrimRight(string(line), "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			paths[controller] = path.Clean("/" + parts[2])
		}
	}
	return paths
}
