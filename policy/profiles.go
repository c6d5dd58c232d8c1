// SPDX-License-Identifier: Apache-2.0

package policy

import "github.com/berthrun/berth/spec"

// The profiles. What one permits with a warning is in its warn rules.
var profiles = []*layer{
	{name: string(spec.ProfileStandard), deny: standardDeny, warn: standardWarn},
	{name: string(spec.ProfileHardened), deny: hardenedDeny},
	{name: string(spec.ProfileOpenHandsCompat), deny: compatDeny, warn: compatWarn},
}

// standardCapabilities are docker's default set without NET_RAW, MKNOD and
// SETFCAP. Adding one of them gives a sandbox nothing that berth's own set does
// not have; it is there for "drop ALL, add some".
var standardCapabilities = []string{
	"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE",
	"SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}

// ociRuntimes are runtimes that implement the OCI runtime specification in full.
// Others, and paths, need an override: a runtime runs as the engine.
var ociRuntimes = []string{
	RuntimeDefault, "runc", "crun", "crun-*", "youki", "runsc", "runsc-*", "kata", "kata-*",
	"io.containerd.runc.v2", "io.containerd.runsc.v1", "io.containerd.kata.v2", "io.containerd.kata-*.v2",
}

// gpus are CDI names of processors for graphics and computing. They are
// permitted with a warning: nobody asks for one by accident, and the driver in
// the host's kernel is then open to the sandbox.
var gpus = []string{"nvidia.com/gpu=*", "amd.com/gpu=*", "intel.com/gpu=*"}

var standardDeny = Rules{
	Network:      NetworkRules{Modes: []spec.NetworkMode{spec.NetIsolated, spec.NetNone, spec.NetInternal, spec.NetShared, spec.NetNamed}},
	Capabilities: CapabilityRules{Add: standardCapabilities},
	Security: SecurityRules{
		Seccomp:         []string{spec.SeccompDefault, SeccompFile},
		NoNewPrivileges: true,
		Runtimes:        ociRuntimes,
		Devices:         gpus,
	},
	Extensions: []string{},
}

var standardWarn = Rules{
	Mounts:   MountRules{Local: true, NoRelabel: true},
	Binding:  BindingRules{Addresses: []string{AddressLoopback}, MinHostPort: 1024},
	Security: SecurityRules{Seccomp: []string{spec.SeccompDefault}, Devices: []string{}},
}

var hardenedDeny = Rules{
	Mounts: MountRules{
		// Where people keep their own files. A policy file narrows it.
		Roots:     []string{"~", "/srv", "/data", "/workspace", "/workspaces", "/mnt", "/media", "/run/media"},
		Volumes:   []string{},
		Local:     true,
		NoRelabel: true,
	},
	Binding: BindingRules{Addresses: []string{AddressLoopback}, MinHostPort: 1024},
	Network: NetworkRules{
		Modes:       []spec.NetworkMode{spec.NetNone, spec.NetInternal},
		Additional:  []string{},
		NoHostAlias: true,
		HostBlocked: true,
	},
	Capabilities: CapabilityRules{Add: []string{}, Drop: []string{spec.CapabilityAll}},
	Resources:    ResourceRules{Required: []Resource{ResourceCPUs, ResourceMemory, ResourcePids}},
	Security: SecurityRules{
		Seccomp:         []string{spec.SeccompDefault},
		NoNewPrivileges: true,
		ReadOnlyRoot:    true,
		Runtimes:        ociRuntimes,
		Devices:         []string{},
	},
	User:       UserRules{NonRoot: true},
	Extensions: []string{},
}

// compatDeny permits what OpenHands' own docker runtime does or can be told to
// do: every address, the host's network, docker's default capabilities, sudo
// and su in its images (so no no-new-privileges), GPUs and /dev/kvm.
var compatDeny = Rules{
	Capabilities: CapabilityRules{Add: append([]string{"NET_RAW", "MKNOD", "SETFCAP"}, standardCapabilities...)},
	Security: SecurityRules{
		Seccomp:  []string{spec.SeccompDefault, SeccompFile},
		Runtimes: ociRuntimes,
		Devices:  append([]string{"/dev/kvm"}, gpus...),
	},
	Extensions: []string{},
}

// compatWarn names each risk of compatDeny: what standard would refuse or warn
// about, other networks, and a root user.
var compatWarn = Rules{
	Mounts:  standardWarn.Mounts,
	Binding: standardWarn.Binding,
	Network: NetworkRules{
		Modes:      standardDeny.Network.Modes,
		Additional: []string{},
	},
	Capabilities: standardDeny.Capabilities,
	Resources:    hardenedDeny.Resources,
	Security: SecurityRules{
		Seccomp:         []string{spec.SeccompDefault},
		NoNewPrivileges: true,
		Devices:         []string{},
	},
	User: UserRules{NonRoot: true},
}
