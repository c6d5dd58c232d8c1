// SPDX-License-Identifier: Apache-2.0

// Package spec is the neutral description of a sandbox: what runs, as whom,
// with which mounts, addresses, networks, limits and protections. It names no
// engine and imports only the standard library, so that a driver author, a
// policy author and a client can share it without sharing anything else.
//
// The life of a spec is: decode (package spec/yaml or spec/openhands), then
// [Default], then [Validate]. A spec that has passed both is what package
// backend calls a set spec; [SetFields] lists the fields of it that a driver
// has to realise or refuse. All functions here are pure and may be called
// concurrently on different specs.
package spec

import "encoding/json"

// APIVersion and Kind identify a spec document. [Validate] refuses any other
// value, so that a future version is never read as this one.
const (
	APIVersion = "berth/v1alpha1"
	Kind       = "Sandbox"
)

// Sandbox is one sandbox as its user asked for it. The zero value of a field
// means "not set"; [Default] replaces it where the contract has a default.
type Sandbox struct {
	// APIVersion is always [APIVersion].
	APIVersion string `json:"apiVersion"`
	// Kind is always [Kind].
	Kind string `json:"kind"`
	// Name is a handle that is unique on one engine: 1 to 63 of a-z, 0-9 and
	// "-", starting and ending with a letter or digit. Empty: only the id.
	Name string `json:"name,omitempty"`

	// Image says which root file system the sandbox has.
	Image Image `json:"image,omitzero"`
	// Process says what runs.
	Process Process `json:"process,omitzero"`
	// User says as whom the process runs.
	User User `json:"user,omitzero"`
	// Mounts are the file systems that the sandbox sees besides its root.
	Mounts []Mount `json:"mounts,omitempty"`
	// Binding says where the sandbox's ports are published on the host.
	Binding Binding `json:"binding,omitzero"`
	// Network says what the sandbox is connected to.
	Network Network `json:"network,omitzero"`
	// Resources bounds what the sandbox may use.
	Resources Resources `json:"resources,omitzero"`
	// Security says how the process is confined.
	Security Security `json:"security,omitzero"`
	// Agent says who serves inside the sandbox. Default [AgentAuto].
	Agent Agent `json:"agent,omitempty"`
	// Life says how the sandbox ends.
	Life Life `json:"life,omitzero"`
	// Labels are the user's own. Keys that start with "berth." are reserved.
	Labels map[string]string `json:"labels,omitempty"`
	// Extensions holds raw settings for one backend each, keyed by the
	// backend's name. Policy denies every key that it does not list.
	Extensions map[string]json.RawMessage `json:"extensions,omitempty"`
}

// Image says which root file system the sandbox has.
type Image struct {
	// Ref is an image reference as docker and podman write it, or [HostImage]
	// for the host's own toolchain. Package spec/imageref normalises it before
	// it reaches a driver: "debian" becomes "docker.io/library/debian:latest".
	Ref string `json:"ref,omitempty"`
	// Pull says when the engine may fetch the image. Default [PullMissing].
	Pull PullPolicy `json:"pull,omitempty"`
	// Platform is os/arch[/variant], such as linux/arm64. Empty: the engine's own.
	Platform string `json:"platform,omitempty"`
}

// HostImage is the reference that stands for the host's own toolchain,
// read-only, instead of an image.
const HostImage = "host"

// PullPolicy says when an image may be fetched from its registry.
type PullPolicy string

// The pull policies, with the meaning they have in docker and podman.
const (
	PullMissing PullPolicy = "missing"
	PullAlways  PullPolicy = "always"
	PullNever   PullPolicy = "never"
)

// Process says what runs. Command replaces the image's entrypoint and Args
// its command, so that args alone are handed to the image's entrypoint, as in
// "docker run IMAGE ARGS". A set Command also clears the image's command.
type Process struct {
	// Command is the program and its first arguments. It replaces the image's
	// entrypoint and clears the image's command.
	Command []string `json:"command,omitempty"`
	// Args are further arguments. They replace the image's command.
	Args []string `json:"args,omitempty"`
	// Env is added to the image's environment and wins over it.
	Env map[string]string `json:"env,omitempty"`
	// Workdir is an absolute path. Empty: the image's.
	Workdir string `json:"workdir,omitempty"`
	// Stdin keeps the standard input open for an attached client.
	Stdin bool `json:"stdin,omitempty"`
	// TTY gives the process a terminal; stdout and stderr are then one stream.
	TTY bool `json:"tty,omitempty"`
}

// Values of User.As besides "UID" and "UID:GID" in decimal.
const (
	// UserCaller makes files that the sandbox writes into a bind mount belong,
	// on the host, to the user who asked for the sandbox.
	UserCaller = "caller"
	// UserImage runs as the user that the image names.
	UserImage = "image"
)

// User says as whom the process runs.
type User struct {
	// As is [UserCaller] (default), [UserImage], "UID" or "UID:GID".
	As string `json:"as,omitempty"`
	// Groups are supplementary group ids.
	Groups []uint32 `json:"groups,omitempty"`
	// Name is the login name that the uid gets when the image has none for it.
	// Default "berth".
	Name string `json:"name,omitempty"`
}

// MountType is the kind of a mount's source.
type MountType string

// The mount types. Source is a host path for a bind, a volume name for a
// volume (empty: an anonymous one that is removed with the sandbox) and empty
// for a tmpfs.
const (
	MountBind   MountType = "bind"
	MountVolume MountType = "volume"
	MountTmpfs  MountType = "tmpfs"
)

// MountMode says what writes to a mount do.
type MountMode string

// The mount modes.
const (
	// ModeRW: writes reach the source.
	ModeRW MountMode = "rw"
	// ModeRO: writes fail, in everything mounted below the source too.
	ModeRO MountMode = "ro"
	// ModeOverlay: only for binds. The source is never written; writes land in
	// an upper directory that berth keeps until the sandbox is removed, or in
	// Mount.Upper, which outlives it.
	ModeOverlay MountMode = "overlay"
)

// SELinuxLabel says whether the engine may relabel the source.
type SELinuxLabel string

// The SELinux choices; shared and private are what docker and podman write as
// ":z" and ":Z".
const (
	SELinuxNone    SELinuxLabel = "none"
	SELinuxShared  SELinuxLabel = "shared"
	SELinuxPrivate SELinuxLabel = "private"
)

// Mount is one file system that the sandbox sees besides its root.
type Mount struct {
	// Type is the kind of source. Default: bind when Source starts with a slash,
	// volume when it is any other text.
	Type MountType `json:"type"`
	// Source depends on Type. A bind's source is absolute; package
	// internal/sandbox resolves it once, symbolic links included, before use.
	Source string `json:"source,omitempty"`
	// Target is an absolute, clean path in the sandbox, unique in the spec.
	Target string `json:"target"`
	// Mode defaults to [ModeRW].
	Mode MountMode `json:"mode,omitempty"`
	// Size bounds a tmpfs. Zero: no bound but the memory limit.
	Size Bytes `json:"size,omitempty"`
	// NoExec forbids executing files from the mount.
	NoExec bool `json:"noExec,omitempty"`
	// SELinux defaults to [SELinuxNone].
	SELinux SELinuxLabel `json:"selinux,omitempty"`
	// Upper is an absolute host directory that keeps an overlay's writes; it is
	// made when it is absent, and serves one sandbox at a time. Empty: a
	// directory in berth's state, discarded with the sandbox.
	Upper string `json:"upper,omitempty"`
}

// DefaultBindAddress is where ports are published unless the spec asks
// otherwise.
const DefaultBindAddress = "127.0.0.1"

// Binding says where the sandbox's ports are published on the host.
type Binding struct {
	// Address is an IP literal. Default [DefaultBindAddress].
	Address string `json:"address,omitempty"`
	// Ports are the published ports.
	Ports []Port `json:"ports,omitempty"`
}

// Protocol is a transport protocol of a published port.
type Protocol string

// The protocols.
const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
)

// Port is one published port.
type Port struct {
	// Name is a handle of 1 to 15 of a-z, 0-9 and "-". Optional, unique.
	Name string `json:"name,omitempty"`
	// Protocol defaults to [TCP].
	Protocol Protocol `json:"protocol,omitempty"`
	// ContainerPort is what the process inside listens on, 1 to 65535.
	ContainerPort int `json:"containerPort"`
	// HostPort is 0 (the engine or berth picks; read it back from the status)
	// or 1 to 65535.
	HostPort int `json:"hostPort,omitempty"`
	// Address overrides Binding.Address for this port.
	Address string `json:"address,omitempty"`
}

// NetworkMode says whom the sandbox reaches and who reaches it.
type NetworkMode string

// The network modes; DESIGN.md section 3 has the table of who reaches whom.
const (
	// NetIsolated: the internet, and no other sandbox. The default.
	NetIsolated NetworkMode = "isolated"
	// NetNone: nothing but the sandbox's own loopback.
	NetNone NetworkMode = "none"
	// NetInternal joins the network Network.Name, made with "berth network
	// create --internal": its members reach each other by name and nothing else.
	NetInternal NetworkMode = "internal"
	// NetShared joins the network Network.Name, made with "berth network
	// create": its members reach each other by name, and the internet.
	NetShared NetworkMode = "shared"
	// NetHost: the host's own network stack.
	NetHost NetworkMode = "host"
	// NetNamed joins the network Network.Name, whatever made it. For a network
	// that berth did not make, the ledger says what is not promised.
	NetNamed NetworkMode = "named"
)

// Network says what the sandbox is connected to.
type Network struct {
	// Mode defaults to [NetIsolated], or [NetNamed] when Name is set.
	Mode NetworkMode `json:"mode,omitempty"`
	// Name is the network of the modes internal, shared and named.
	Name string `json:"name,omitempty"`
	// Aliases are further names of this sandbox on that network.
	Aliases []string `json:"aliases,omitempty"`
	// Additional networks are joined besides.
	Additional []Attachment `json:"additional,omitempty"`
	// Egress rules narrow what the sandbox may reach.
	Egress []EgressRule `json:"egress,omitempty"`
	// HostAlias makes the names host.berth.internal and host.docker.internal
	// resolve to the host.
	HostAlias bool `json:"hostAlias,omitempty"`
}

// Attachment is a further network that the sandbox joins.
type Attachment struct {
	// Name is the network's name.
	Name string `json:"name"`
	// Aliases are further names of this sandbox on that network.
	Aliases []string `json:"aliases,omitempty"`
}

// EgressRule allows one destination. Exactly one of its fields is set.
type EgressRule struct {
	// CIDR is a network such as 10.0.0.0/8.
	CIDR string `json:"cidr,omitempty"`
	// Domain is a name such as example.com, or *.example.com for all below it.
	Domain string `json:"domain,omitempty"`
}

// Resources bounds what the sandbox may use. Zero means no bound of berth's.
type Resources struct {
	// CPUs bounds processor time, in processors: 0.5 is half of one.
	CPUs CPUs `json:"cpus,omitempty"`
	// Memory bounds memory, page cache included; at least 6Mi.
	Memory Bytes `json:"memory,omitempty"`
	// Pids bounds the number of processes and threads.
	Pids int64 `json:"pids,omitempty"`
	// Shm is the size of /dev/shm. Zero: the engine's own.
	Shm Bytes `json:"shm,omitempty"`
	// NoFile bounds the open files of each process.
	NoFile NoFile `json:"nofile,omitzero"`
	// Disk bounds what the sandbox writes to its root file system.
	Disk Bytes `json:"disk,omitempty"`
}

// NoFile is RLIMIT_NOFILE (getrlimit(2)). The zero value is not set.
type NoFile struct {
	// Soft is the limit that holds until a process raises it.
	Soft uint64 `json:"soft"`
	// Hard is the limit up to which a process may raise it.
	Hard uint64 `json:"hard"`
}

// Profile names a policy profile.
type Profile string

// The profiles that package policy ships.
const (
	ProfileStandard        Profile = "standard"
	ProfileHardened        Profile = "hardened"
	ProfileOpenHandsCompat Profile = "openhands-compat"
)

// Values of Security.Seccomp besides an absolute path of a profile in docker's
// JSON form.
const (
	SeccompDefault    = "default"
	SeccompUnconfined = "unconfined"
)

// Security says how the process is confined. The defaults are the safe ones.
type Security struct {
	// Profile defaults to [ProfileStandard].
	Profile Profile `json:"profile,omitempty"`
	// Capabilities changes the set that berth grants.
	Capabilities Capabilities `json:"capabilities,omitzero"`
	// Seccomp defaults to [SeccompDefault].
	Seccomp string `json:"seccomp,omitempty"`
	// NoNewPrivileges defaults to true (prctl(2) PR_SET_NO_NEW_PRIVS).
	NoNewPrivileges *bool `json:"noNewPrivileges,omitempty"`
	// ReadOnlyRoot makes the root file system read-only.
	ReadOnlyRoot bool `json:"readOnlyRoot,omitempty"`
	// Runtime is the engine's name of an OCI runtime: runc, crun, runsc, kata.
	// Empty: the engine's default.
	Runtime string `json:"runtime,omitempty"`
	// Devices are CDI names (vendor.com/class=name) or host device paths
	// (/dev/kvm[:/dev/target[:rwm]]).
	Devices []string `json:"devices,omitempty"`
}

// Capabilities changes the capability bounding set (capabilities(7)). Names
// are written without CAP_ after [Default]. Drop "ALL" drops every one that is
// not in Add.
type Capabilities struct {
	// Add grants capabilities. Policy decides which it may name.
	Add []string `json:"add,omitempty"`
	// Drop takes capabilities away.
	Drop []string `json:"drop,omitempty"`
}

// Agent says who serves requests inside the sandbox.
type Agent string

// The agent choices. With each of them berth's init is PID 1.
const (
	// AgentAuto: berth's agent where the backend has it, else nobody.
	AgentAuto Agent = "auto"
	// AgentBuiltin: berth's agent.
	AgentBuiltin Agent = "builtin"
	// AgentImage: the image's own server, which init executes.
	AgentImage Agent = "image"
	// AgentNone: nobody.
	AgentNone Agent = "none"
)

// Life says how the sandbox ends.
type Life struct {
	// StopSignal is a signal name such as SIGTERM. Empty: the image's, else
	// SIGTERM.
	StopSignal string `json:"stopSignal,omitempty"`
	// StopGrace is how long stop waits before it kills. Default 10s.
	StopGrace Duration `json:"stopGrace,omitempty"`
	// IdleTimeout stops a sandbox that nobody uses. Zero: never.
	IdleTimeout Duration `json:"idleTimeout,omitempty"`
	// TTL stops the sandbox that long after each start. Zero: never.
	TTL Duration `json:"ttl,omitempty"`
	// Restart says what happens after the process ended.
	Restart Restart `json:"restart,omitzero"`
	// Health says how to find out whether the sandbox works. Nil: not checked.
	Health *Health `json:"health,omitempty"`
}

// RestartPolicy says when an ended process is started again.
type RestartPolicy string

// The restart policies.
const (
	RestartNo            RestartPolicy = "no"
	RestartOnFailure     RestartPolicy = "on-failure"
	RestartAlways        RestartPolicy = "always"
	RestartUnlessStopped RestartPolicy = "unless-stopped"
)

// Restart is a policy and, for on-failure, the most tries (0: no bound).
type Restart struct {
	// Policy defaults to [RestartNo].
	Policy RestartPolicy `json:"policy,omitempty"`
	// MaxRetries bounds the tries of on-failure. Zero: no bound.
	MaxRetries int `json:"maxRetries,omitempty"`
}

// Health runs Command in the sandbox; exit 0 is healthy.
type Health struct {
	// Command is the program that finds out, with its arguments.
	Command []string `json:"command,omitempty"`
	// Interval is the time between two checks. Zero: the engine's own.
	Interval Duration `json:"interval,omitempty"`
	// Timeout is how long one check may take. Zero: the engine's own.
	Timeout Duration `json:"timeout,omitempty"`
	// StartPeriod is the time after the start in which failures do not count.
	StartPeriod Duration `json:"startPeriod,omitempty"`
	// Retries is how many failures in a row make the sandbox unhealthy. Zero:
	// the engine's own.
	Retries int `json:"retries,omitempty"`
}
