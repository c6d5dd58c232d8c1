// SPDX-License-Identifier: Apache-2.0

package backend

import "slices"

// Capability names one thing that an engine on a host may or may not be able
// to do. The names are dotted nouns owned by this package and listed by
// [Capabilities]; a driver that claims another one, except with the prefix
// "x-<driver>.", is refused by [CheckInfo].
type Capability string

// The capabilities.
const (
	ImagePull     Capability = "image.pull"
	ImageLoad     Capability = "image.load"
	ImagePlatform Capability = "image.platform"
	ImageHost     Capability = "image.host"

	UserCaller Capability = "user.caller"
	UserImage  Capability = "user.image"
	UserNumber Capability = "user.number"
	UserGroups Capability = "user.groups"

	MountBind     Capability = "mount.bind"
	MountReadOnly Capability = "mount.readonly-recursive"
	MountVolume   Capability = "mount.volume"
	MountTmpfs    Capability = "mount.tmpfs"
	MountSize     Capability = "mount.tmpfs-size"
	MountNoExec   Capability = "mount.noexec"
	MountOverlay  Capability = "mount.overlay"
	MountSELinux  Capability = "mount.selinux-label"

	BindTCP      Capability = "binding.tcp"
	BindUDP      Capability = "binding.udp"
	BindAddress  Capability = "binding.address"
	BindIPv6     Capability = "binding.ipv6"
	BindNone     Capability = "binding.on-none"
	BindInternal Capability = "binding.on-internal"

	NetIsolated   Capability = "net.isolated"
	NetNone       Capability = "net.none"
	NetInternal   Capability = "net.internal"
	NetShared     Capability = "net.shared"
	NetHost       Capability = "net.host"
	NetNamed      Capability = "net.named"
	NetAdditional Capability = "net.additional"
	NetAliases    Capability = "net.aliases"
	NetHostAlias  Capability = "net.host-alias"
	NetEgress     Capability = "net.egress"
	// NetHostAccess claims that the host's own services are out of reach of
	// isolated, shared and internal sandboxes.
	NetHostAccess Capability = "net.host-access"

	ResCPUs   Capability = "resources.cpus"
	ResMemory Capability = "resources.memory"
	ResPids   Capability = "resources.pids"
	ResShm    Capability = "resources.shm"
	ResNoFile Capability = "resources.nofile"
	ResDisk   Capability = "resources.disk"

	SecCapabilities Capability = "security.capabilities"
	SecSeccomp      Capability = "security.seccomp"
	SecNoNewPrivs   Capability = "security.no-new-privileges"
	SecReadOnlyRoot Capability = "security.readonly-root"
	SecRuntime      Capability = "security.runtime"
	SecDeviceCDI    Capability = "security.device-cdi"
	SecDevicePath   Capability = "security.device-path"

	AgentBuiltin Capability = "agent.builtin"
	AgentImage   Capability = "agent.image"

	LifeStopSignal    Capability = "life.stop-signal"
	LifeTTL           Capability = "life.ttl"
	LifeIdle          Capability = "life.idle-timeout"
	LifeRestart       Capability = "life.restart"
	LifeHealth        Capability = "life.health"
	LifeEngineRestart Capability = "life.engine-restart"
	LifePause         Capability = "life.pause"

	Exec      Capability = "exec.run"
	ExecTTY   Capability = "exec.tty"
	ExecUser  Capability = "exec.user"
	Logs      Capability = "logs.read"
	LogsSplit Capability = "logs.streams"
	Copy      Capability = "copy.files"
	Stats     Capability = "stats.read"
	Extension Capability = "extension.data"
)

var capabilities = []Capability{
	ImagePull, ImageLoad, ImagePlatform, ImageHost,
	UserCaller, UserImage, UserNumber, UserGroups,
	MountBind, MountReadOnly, MountVolume, MountTmpfs, MountSize, MountNoExec, MountOverlay, MountSELinux,
	BindTCP, BindUDP, BindAddress, BindIPv6, BindNone, BindInternal,
	NetIsolated, NetNone, NetInternal, NetShared, NetHost, NetNamed, NetAdditional, NetAliases, NetHostAlias, NetEgress, NetHostAccess,
	ResCPUs, ResMemory, ResPids, ResShm, ResNoFile, ResDisk,
	SecCapabilities, SecSeccomp, SecNoNewPrivs, SecReadOnlyRoot, SecRuntime, SecDeviceCDI, SecDevicePath,
	AgentBuiltin, AgentImage,
	LifeStopSignal, LifeTTL, LifeIdle, LifeRestart, LifeHealth, LifeEngineRestart, LifePause,
	Exec, ExecTTY, ExecUser, Logs, LogsSplit, Copy, Stats, Extension,
}

// Capabilities lists every capability, by area. The slice is the caller's.
func Capabilities() []Capability { return slices.Clone(capabilities) }

// Support says how far a capability is there. The zero value is Unknown: a
// driver that says nothing has promised nothing.
type Support string

// The degrees of support.
const (
	Unknown  Support = ""
	Missing  Support = "unsupported"
	Emulated Support = "emulated"
	Native   Support = "native"
)

// Claim is what a driver found out about one capability, from the engine and
// from the host.
type Claim struct {
	Support Support `json:"support"`
	// Mechanism says by what it is done: "HostConfig.Memory", "berth init".
	Mechanism string `json:"mechanism,omitempty"`
	// Reason says why not, and what would enable it. Required for Missing.
	Reason string `json:"reason,omitempty"`
	// Fact is the key in Info.Facts of what the claim read. Required.
	Fact string `json:"fact"`
}

// Has reports whether the capability is there, natively or emulated.
func (c Claim) Has() bool { return c.Support == Native || c.Support == Emulated }
