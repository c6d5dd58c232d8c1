// SPDX-License-Identifier: Apache-2.0

package probe

import "time"

// The values of results. Field names in JSON are lowerCamelCase and the zero value is always
// written, so a strict decoder notices a probe of another version. Bytes are base64 in JSON.
// Durations are nanoseconds.

// Self is what [SelfSystem.Self] reports.
type Self struct {
	PID, PPID            int
	UID, EUID, GID, EGID int
	Groups               []int // supplementary groups, ascending
	Umask                uint32
	Cwd                  string
	Hostname             string
	Status               Status
}

// ID is the value of id.
type ID struct {
	UID        int      `json:"uid"`
	EUID       int      `json:"euid"`
	GID        int      `json:"gid"`
	EGID       int      `json:"egid"`
	Groups     []int    `json:"groups"`     // supplementary, ascending
	User       string   `json:"user"`       // name of UID in /etc/passwd; empty without an entry
	PasswdHome string   `json:"passwdHome"` // home of that entry
	Group      string   `json:"group"`      // name of GID in /etc/group; empty without an entry
	HomeEnv    string   `json:"homeEnv"`    // $HOME
	UserEnv    string   `json:"userEnv"`    // $USER
	Cwd        string   `json:"cwd"`
	Hostname   string   `json:"hostname"`
	PID        int      `json:"pid"`
	PPID       int      `json:"ppid"`
	Umask      uint32   `json:"umask"`
	Stdin      Terminal `json:"stdin"`
	Stdout     Terminal `json:"stdout"`
	Stderr     Terminal `json:"stderr"`
}

// Env is the value of env.
type Env struct {
	Vars    []string `json:"vars"`    // KEY=VALUE in the original order, duplicates included
	Missing []string `json:"missing"` // names asked for that are not set
}

// Args is the value of args.
type Args struct {
	Args []string `json:"args"`
}

// Status is the value of status. Capabilities are names as "CAP_CHOWN", by ascending number;
// numbers without a name are "CAP_63".
type Status struct {
	CapInheritable []string `json:"capInheritable"`
	CapPermitted   []string `json:"capPermitted"`
	CapEffective   []string `json:"capEffective"`
	CapBounding    []string `json:"capBounding"`
	CapAmbient     []string `json:"capAmbient"`
	NoNewPrivs     bool     `json:"noNewPrivs"`
	Seccomp        int      `json:"seccomp"` // 0 off, 1 strict, 2 filter
	Threads        int      `json:"threads"` // of the probe; they count against a pids limit
	Groups         []int    `json:"groups"`  // supplementary, ascending
}

// Unlimited is how limits say that there is none.
const Unlimited int64 = -1

// Limit is one resource limit; [Unlimited] for none.
type Limit struct {
	Name string `json:"name"`
	Soft int64  `json:"soft"`
	Hard int64  `json:"hard"`
}

// Limits is the value of limits.
type Limits struct {
	Limits []Limit `json:"limits"`
}

// Cgroup is the value of cgroup. A nil field means that the sandbox cannot see it, which is not
// the same as [Unlimited].
type Cgroup struct {
	Version int    `json:"version"` // 1, 2, or 0 when no cgroup file system is visible
	Path    string `json:"path"`    // own path as the kernel shows it, of the memory controller in version 1
	Memory  *int64 `json:"memory"`  // bytes
	Swap    *int64 `json:"swap"`    // bytes of memory and swap together in version 1, swap alone in 2
	Pids    *int64 `json:"pids"`
	Quota   *int64 `json:"quota"`  // microseconds of cpu time in each period
	Period  *int64 `json:"period"` // microseconds
}

// ProcessEntry is one visible process.
type ProcessEntry struct {
	PID   int    `json:"pid"`
	PPID  int    `json:"ppid"`
	State string `json:"state"` // the kernel's letter: R, S, D, T, Z…
	Name  string `json:"name"`  // the kernel's short name
}

// Processes is the value of ps.
type Processes struct {
	Processes []ProcessEntry `json:"processes"`
}

// Zombies is the value of zombies.
type Zombies struct {
	Count int `json:"count"`
}

// Terminal is one descriptor; the size is 0 by 0 unless it is a terminal.
type Terminal struct {
	TTY  bool `json:"tty"`
	Rows int  `json:"rows"`
	Cols int  `json:"cols"`
}

// Terminals is the value of tty.
type Terminals struct {
	Stdin  Terminal `json:"stdin"`
	Stdout Terminal `json:"stdout"`
	Stderr Terminal `json:"stderr"`
}

// FileType is the type of a file.
type FileType string

// The types of files.
const (
	TypeFile    FileType = "file"
	TypeDir     FileType = "dir"
	TypeSymlink FileType = "symlink"
	TypeChar    FileType = "char"
	TypeBlock   FileType = "block"
	TypeFIFO    FileType = "fifo"
	TypeSocket  FileType = "socket"
)

// Stat is the value of stat.
type Stat struct {
	Type   FileType  `json:"type"`
	Mode   uint32    `json:"mode"` // the twelve permission bits
	UID    int       `json:"uid"`
	GID    int       `json:"gid"`
	Size   int64     `json:"size"`
	Links  uint64    `json:"links"`
	Dev    uint64    `json:"dev"` // device of the file system, in the kernel's encoding
	Ino    uint64    `json:"ino"`
	Rdev   uint64    `json:"rdev"`   // device that a node stands for
	MTime  time.Time `json:"mtime"`  // UTC
	Target string    `json:"target"` // of a symbolic link
}

// Content is the value of read.
type Content struct {
	Data      []byte `json:"data"`
	Truncated bool   `json:"truncated"` // the file has more than the limit
}

// Written is the value of write, append, fill and mkexec.
type Written struct {
	Bytes int64 `json:"bytes"` // stored, also when the operation failed
}

// Names is the value of list.
type Names struct {
	Names     []string `json:"names"`
	Truncated bool     `json:"truncated"`
}

// Statfs is the value of statfs. The flags are what the kernel says of the mount.
type Statfs struct {
	Type     string `json:"type"` // as in the mount table ("tmpfs", "overlay"); the hexadecimal magic when it has no name
	Size     int64  `json:"size"` // bytes
	Free     int64  `json:"free"` // bytes free for this user
	ReadOnly bool   `json:"readOnly"`
	NoSUID   bool   `json:"nosuid"`
	NoDev    bool   `json:"nodev"`
	NoExec   bool   `json:"noexec"`
}

// Mount is one line of the mount table.
type Mount struct {
	Target       string   `json:"target"`
	Root         string   `json:"root"` // of the mount inside its file system
	Device       string   `json:"device"`
	Type         string   `json:"type"`
	Source       string   `json:"source"`
	ReadOnly     bool     `json:"readOnly"`     // the mount or its file system is read-only
	Options      []string `json:"options"`      // of the mount
	SuperOptions []string `json:"superOptions"` // of the file system
	Propagation  []string `json:"propagation"`  // "shared:1", "master:2"; empty when private
}

// Mounts is the value of mountinfo.
type Mounts struct {
	Mounts []Mount `json:"mounts"`
}

// Exec is the value of exec. Exactly one of Code and Signal tells how it ended.
type Exec struct {
	Code      int    `json:"code"`   // exit code; -1 when a signal ended it
	Signal    string `json:"signal"` // name without SIG
	Stdout    []byte `json:"stdout"`
	Stderr    []byte `json:"stderr"`
	Truncated bool   `json:"truncated"` // a stream was longer than the limit
}

// Suid is the value of suid.
type Suid struct {
	UID          int      `json:"uid"`  // real user id of the setuid program
	EUID         int      `json:"euid"` // effective user id: 0 means that privileges were raised
	CapEffective []string `json:"capEffective"`
}

// Memory is the value of memory and memory-self.
type Memory struct {
	Requested int64  `json:"requested"`
	Touched   int64  `json:"touched"` // bytes written before the end, in steps
	Signal    string `json:"signal"`  // what ended the child, without SIG; empty when it lived
}

// Pids is the value of pids.
type Pids struct {
	Started int `json:"started"` // children alive at the same time
	Before  int `json:"before"`  // tasks of the probe besides them; a pids limit counts them too
}

// CPU is the value of cpu.
type CPU struct {
	Used time.Duration `json:"used"` // cpu time of the process
	Wall time.Duration `json:"wall"`
}

// Files is the value of nofile.
type Files struct {
	Opened int `json:"opened"`
	Before int `json:"before"` // descriptors that were open already
}

// Orphans is the value of orphan.
type Orphans struct {
	Made int `json:"made"`
}

// Dial is the value of dial.
type Dial struct {
	Connected bool   `json:"connected"` // for udp it only means that there is a route
	Local     string `json:"local"`
	Remote    string `json:"remote"`
	Body      []byte `json:"body"`
	Truncated bool   `json:"truncated"`
}

// Listen is the value of listen. When it is printed connections are accepted.
type Listen struct {
	Address string `json:"address"`
}

// Addresses is the value of resolve.
type Addresses struct {
	Addresses []string `json:"addresses"`
}

// Interface is one network interface.
type Interface struct {
	Name      string   `json:"name"`
	Index     int      `json:"index"`
	MTU       int      `json:"mtu"`
	Hardware  string   `json:"hardware"`
	Up        bool     `json:"up"`
	Loopback  bool     `json:"loopback"`
	Addresses []string `json:"addresses"` // CIDR
}

// Interfaces is the value of interfaces.
type Interfaces struct {
	Interfaces []Interface `json:"interfaces"`
}

// Route is one IPv4 route. The default route's destination is "0.0.0.0/0".
type Route struct {
	Interface   string `json:"interface"`
	Destination string `json:"destination"` // CIDR
	Gateway     string `json:"gateway"`     // empty when on the link
	Metric      int    `json:"metric"`
}

// Routes is the value of routes.
type Routes struct {
	Routes []Route `json:"routes"`
}

// Host is one line of a hosts file.
type Host struct {
	Address string   `json:"address"`
	Names   []string `json:"names"`
}

// Hosts is the value of hosts.
type Hosts struct {
	Hosts []Host `json:"hosts"`
}

// Resolver is the value of resolver.
type Resolver struct {
	Servers []string `json:"servers"`
	Search  []string `json:"search"`
	Options []string `json:"options"`
}

// Syscall is the value of syscall. The result's own errno is always empty; a blocked call is data.
type Syscall struct {
	Name  string `json:"name"`
	Errno Errno  `json:"errno"` // [OK] when the kernel carried it out
}

// SyscallList is the value of syscalls.
type SyscallList struct {
	Syscalls []Syscall `json:"syscalls"` // in the order of [Syscalls]
}

// Slept is the value of sleep.
type Slept struct {
	Duration time.Duration `json:"duration"`
}

// Signal is the value of trap and ignore, and of the result that is printed when such a signal comes.
type Signal struct {
	Signal   string `json:"signal"`
	Received bool   `json:"received"` // false when the command took effect, true when the signal came
}

// Digest is the value of sha.
type Digest struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // hexadecimal
}

// EchoEvent says why echo printed.
type EchoEvent string

// The events of echo.
const (
	EchoReady  EchoEvent = "ready"  // once, before it reads; terminal echo is off from here on
	EchoRead   EchoEvent = "read"   // a line came
	EchoResize EchoEvent = "resize" // the terminal's size changed
)

// Echo is the value of echo: one when it is ready, then one for every line of standard input and every resize.
type Echo struct {
	Event    EchoEvent `json:"event"`
	Text     []byte    `json:"text"`     // without the line end
	Terminal Terminal  `json:"terminal"` // of standard input, now
}
