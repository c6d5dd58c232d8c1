// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"time"
)

// System is the operating system as the commands see it. [Run] calls it; package osys implements it
// with the kernel, a modelling driver with its model.
//
// Errors: a refused operation returns an [Errno] (wrapped or not), which becomes data in the result.
// Any other error is a defect of the implementation and ends the probe with [ExitFailure].
// Where a method returns both a value and an error, the value says how far it came.
//
// Paths are as given by the caller: absolute, or relative to the working directory. Modes are the
// twelve low permission bits of Unix. Run calls methods from one goroutine at a time, apart from
// what a cancelled command may still be doing, so methods must be safe for concurrent use.
// A method with a context returns soon after the context ends, with the context's error.
type System interface {
	SelfSystem
	FileSystem
	MountSystem
	ProcessSystem
	LoadSystem
	NetworkSystem
}

// SelfSystem tells about the probe's own process.
type SelfSystem interface {
	// Self reports ids, names and security state of the calling process.
	Self() (Self, error)
	// Environ returns the environment as KEY=VALUE in its original order, duplicates included.
	Environ() []string
	// Terminal reports whether descriptor 0, 1 or 2 is a terminal, and its size.
	Terminal(fd int) (Terminal, error)
	// SetEcho turns the terminal's own echo of what is typed on or off; ENOTTY when fd is no terminal.
	SetEcho(fd int, on bool) error
	// Limits returns the resource limits by lower-case name ("nofile"), sorted by name.
	Limits() ([]Limit, error)
	// Cgroup returns the limits that the cgroup file system shows to the process.
	Cgroup() (Cgroup, error)
}

// WriteMode says what WriteFile does with a file that exists.
type WriteMode int

const (
	// Truncate replaces the content.
	Truncate WriteMode = iota
	// Append adds to the content.
	Append
)

// FileSystem is the file operations of the probe's process, with its rights.
type FileSystem interface {
	// Lstat describes path itself, not what a symbolic link points to.
	Lstat(path string) (Stat, error)
	// ReadFile returns at most limit bytes from the start of a file. Fewer mean that the file ended.
	ReadFile(path string, limit int) ([]byte, error)
	// WriteFile writes data, making the file with perm (before umask) when it is absent.
	// It returns how many bytes were stored, also when it fails.
	WriteFile(path string, data []byte, mode WriteMode, perm uint32) (int, error)
	// Touch makes an empty file with mode 0666 (before umask), or sets the times of an existing one.
	Touch(path string) error
	// Mkdir makes one directory with perm, before umask.
	Mkdir(path string, perm uint32) error
	// Remove removes a file or an empty directory.
	Remove(path string) error
	// Rename moves old to new, replacing what rename(2) replaces.
	Rename(oldPath, newPath string) error
	// Link makes a hard link.
	Link(oldPath, newPath string) error
	// Symlink makes path point to target.
	Symlink(target, path string) error
	// Chmod sets the permission bits of what path leads to.
	Chmod(path string, mode uint32) error
	// Chown sets the owner of path itself; -1 leaves a value as it is.
	Chown(path string, uid, gid int) error
	// ReadDir returns the sorted names in a directory, at most limit of them.
	ReadDir(path string, limit int) ([]string, error)
	// Mknod makes a node with mode 0666 (before umask). The numbers matter for devices only.
	Mknod(path string, kind NodeKind, major, minor uint32) error
	// CopySelf writes the running program to path with mode 0755 and returns its size.
	CopySelf(path string) (int64, error)
}

// NodeKind is the kind of node that Mknod makes.
type NodeKind string

// The kinds of nodes, as mknod(1) abbreviates them.
const (
	CharDevice  NodeKind = "c"
	BlockDevice NodeKind = "b"
	FIFO        NodeKind = "p"
	Socket      NodeKind = "s"
)

// MountSystem is the mount table.
type MountSystem interface {
	// Statfs describes the file system under path.
	Statfs(path string) (Statfs, error)
	// Mounts returns the mount table of the process in its own order.
	Mounts() ([]Mount, error)
	// TryMount mounts a tmpfs on target. When that works it is taken away again before returning.
	TryMount(target string) error
	// TryRemount makes the mount at target writable. When that works it is made read-only again.
	TryRemount(target string) error
}

// ProcessSystem is processes, signals and time.
type ProcessSystem interface {
	// Processes lists the processes that are visible, by ascending pid.
	Processes() ([]ProcessEntry, error)
	// Exec runs path with args (args[0] is the name that the program sees) and the probe's
	// environment, with no stdin, and waits for it. A program that runs and fails is not an error.
	// At most limit bytes of each stream are kept.
	Exec(ctx context.Context, path string, args []string, limit int) (Exec, error)
	// Notify delivers the named signals (see [SignalNumber]) to the channel, instead of their default action,
	// until stop is called. It is called once in a Run, before the first command.
	// Signals that the process cannot catch are left out.
	Notify(names []string) (signals <-chan string, stop func())
	// Kill sends a signal to a process; pid is a number as the process itself sees it.
	Kill(pid int, signal string) error
	// Die ends the process by the signal's default action, even if Notify named it. It returns nil
	// where the process cannot die like that (PID 1, or a model); Run then ends with 128+n.
	Die(signal string) error
	// Syscall tries one call of [Syscalls] with arguments that change nothing if it is allowed.
	// nil means that the kernel carried it out.
	Syscall(name string) error
	// Sleep waits.
	Sleep(ctx context.Context, d time.Duration) error
}

// LoadSystem uses resources up, to see where limits bite.
type LoadSystem interface {
	// UseMemory allocates n bytes and writes to every page, then gives them back. In a child process
	// unless inSelf, so that the out-of-memory killer's choice is a result.
	UseMemory(ctx context.Context, n int64, inSelf bool) (Memory, error)
	// UsePIDs starts n children that sleep, counts them and ends them. It stops at the first refusal.
	UsePIDs(ctx context.Context, n int) (Pids, error)
	// UseCPU spins with the given number of threads for d of wall time.
	UseCPU(ctx context.Context, d time.Duration, threads int) (CPU, error)
	// OpenFiles opens n descriptors, counts them and closes them. It stops at the first refusal.
	OpenFiles(n int) (Files, error)
	// Orphan makes n processes whose parent is gone at once and that end by themselves after d.
	// It returns when they are orphans; it does not wait for their end.
	Orphan(ctx context.Context, n int, d time.Duration) (Orphans, error)
}

// NetworkSystem is the network of the process.
type NetworkSystem interface {
	// Dial connects, sends what is to be sent, and reads until the peer ends, the limit or the
	// timeout. [Timeout] is its error when the time ended first; the reply tells how far it came.
	Dial(ctx context.Context, request DialRequest) (Dial, error)
	// Listen serves body to every connection (to every datagram, for udp) in the background until
	// ctx ends. It returns the real address as soon as connections are accepted.
	Listen(ctx context.Context, network, address string, body []byte) (string, error)
	// Resolve returns the sorted addresses of a host name, from the hosts file and name servers of
	// the sandbox. [NoHost] is its error for a name that does not exist.
	Resolve(ctx context.Context, name string) ([]string, error)
	// Interfaces lists network interfaces in index order.
	Interfaces() ([]Interface, error)
	// Routes lists the IPv4 routes of the main table.
	Routes() ([]Route, error)
}

// DialRequest is what [NetworkSystem.Dial] does.
type DialRequest struct {
	Network string // tcp, tcp4, tcp6, udp, udp4, udp6, unix
	Address string
	Send    []byte
	Limit   int           // bytes to read at most
	Timeout time.Duration // for all of it
}

// Errno is the outcome of an operation: empty when it was carried out, a name of errno(3) such as
// "EROFS", a name of a signal such as "SIGSYS" when the kernel killed the attempt, or one of the
// words below.
// It is an error so that a [System] can return it.
type Errno string

// The outcomes that are not names of errno(3).
const (
	OK      Errno = ""
	Timeout Errno = "TIMEOUT" // the probe's own time bound ended before an answer
	NoHost  Errno = "NOHOST"  // the name does not resolve: it is certain, or nobody answered
)

// Error implements error.
func (e Errno) Error() string { return string(e) }
