// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"
)

// The values that [Default] writes into fields that are not set.
const (
	DefaultUserName  = "berth"
	DefaultStopGrace = Duration(10 * time.Second)
)

// CapabilityAll stands for every capability in Capabilities.Add and Drop.
const CapabilityAll = "ALL"

// capabilityNames are Linux's capabilities (capabilities(7)) in the order of
// their numbers, without CAP_.
var capabilityNames = []string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
	"SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
	"IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
	"SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
	"LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG",
	"WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
}

// CapabilityNames returns every capability name that a spec may use besides
// [CapabilityAll], without CAP_, in the order of the kernel's numbers. Policies
// and drivers expand [CapabilityAll] with it.
func CapabilityNames() []string { return slices.Clone(capabilityNames) }

// Default writes the contract's default into every field of s that is not set
// and brings names that have several spellings into one: capabilities, the stop
// signal and addresses. It leaves a value that it does not understand as it is,
// for [Validate] to name. A list or map that is empty becomes one that is not
// set, because nobody could tell them apart in a document. Applying it twice changes nothing more. A decoder's
// caller runs it before Validate; an explicit zero is the same as "not set",
// so that a stop grace of zero becomes [DefaultStopGrace].
func Default(s *Sandbox) {
	set(&s.APIVersion, APIVersion)
	set(&s.Kind, Kind)
	set(&s.Image.Pull, PullMissing)
	set(&s.User.As, UserCaller)
	set(&s.User.Name, DefaultUserName)
	for i := range s.Mounts {
		m := &s.Mounts[i]
		if strings.HasPrefix(m.Source, "/") {
			set(&m.Type, MountBind)
		} else if m.Source != "" {
			set(&m.Type, MountVolume)
		}
		set(&m.Mode, ModeRW)
		set(&m.SELinux, SELinuxNone)
	}
	set(&s.Binding.Address, DefaultBindAddress)
	s.Binding.Address = canonicalAddress(s.Binding.Address)
	for i := range s.Binding.Ports {
		p := &s.Binding.Ports[i]
		set(&p.Protocol, TCP)
		p.Address = canonicalAddress(p.Address)
	}
	if s.Network.Name != "" {
		set(&s.Network.Mode, NetNamed)
	}
	set(&s.Network.Mode, NetIsolated)
	set(&s.Security.Profile, ProfileStandard)
	s.Security.Capabilities.Add = canonicalCapabilities(s.Security.Capabilities.Add)
	s.Security.Capabilities.Drop = canonicalCapabilities(s.Security.Capabilities.Drop)
	set(&s.Security.Seccomp, SeccompDefault)
	if s.Security.NoNewPrivileges == nil {
		s.Security.NoNewPrivileges = new(true)
	}
	set(&s.Agent, AgentAuto)
	if name, _, err := ParseSignal(s.Life.StopSignal); err == nil {
		s.Life.StopSignal = name
	}
	set(&s.Life.StopGrace, DefaultStopGrace)
	set(&s.Life.Restart.Policy, RestartNo)
	dropEmpty(reflect.ValueOf(s).Elem())
}

// dropEmpty makes every empty list and map below v nil. Raw JSON stays: there,
// empty is not the same as absent.
func dropEmpty(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			dropEmpty(field)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			dropEmpty(v.Elem())
		}
	case reflect.Map:
		if v.Len() == 0 {
			v.SetZero()
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.SetZero()
			return
		}
		for i := range v.Len() {
			dropEmpty(v.Index(i))
		}
	}
}

// set writes value into a field that is not set.
func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// canonicalAddress writes an IP literal in its shortest form and an IPv4
// address inside IPv6 as IPv4: a policy that allows or forbids an address must
// not be passed by another spelling of it.
func canonicalAddress(s string) string {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return s
	}
	return a.Unmap().String()
}

// canonicalCapabilities returns names in upper case without CAP_, sorted and
// unique. Unknown names stay as they are, so that Validate can quote them.
func canonicalCapabilities(names []string) []string {
	if len(names) == 0 {
		return names
	}
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = name
		upper := strings.TrimPrefix(strings.ToUpper(name), "CAP_")
		if upper == CapabilityAll || slices.Contains(capabilityNames, upper) {
			out[i] = upper
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
