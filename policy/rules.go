// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"maps"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
)

// Rules are the restrictions of one layer. The zero value of a field states
// nothing; an empty list that is not nil permits nothing. The path of a field's
// JSON name, such as "mounts.roots", is the id of its rule; [Catalogue] says what
// each one means.
//
// In lists of names "*" stands for any run of characters but "/", and "**" for
// any run at all.
type Rules struct {
	// Profiles are the profiles that a spec may choose.
	Profiles     []spec.Profile  `json:"profiles,omitzero"`
	Images       ImageRules      `json:"images,omitzero"`
	Mounts       MountRules      `json:"mounts,omitzero"`
	Binding      BindingRules    `json:"binding,omitzero"`
	Network      NetworkRules    `json:"network,omitzero"`
	Capabilities CapabilityRules `json:"capabilities,omitzero"`
	Resources    ResourceRules   `json:"resources,omitzero"`
	Security     SecurityRules   `json:"security,omitzero"`
	User         UserRules       `json:"user,omitzero"`
	// Extensions are the backends whose raw settings a spec may carry.
	Extensions []string `json:"extensions,omitzero"`
	// Fidelity demands, for the fields of the ledger that a pattern matches, at
	// least this fidelity. In patterns "*" ends at a dot: "network.*".
	Fidelity map[string]backend.Fidelity `json:"fidelity,omitzero"`
	// Claims are capabilities that the engine must have.
	Claims []backend.Capability `json:"claims,omitzero"`
	// Unsafe are the overrides that may be used at all.
	Unsafe []string `json:"unsafe,omitzero"`
}

// ImageRules restrict the root file system.
type ImageRules struct {
	// Allow are patterns of normalised references, "docker.io/library/*" or
	// "ghcr.io/acme/**"; without a tag or digest they match every one.
	// [spec.HostImage] has to be listed by its name.
	Allow []string `json:"allow,omitzero"`
	// Pinned demands a digest in the reference.
	Pinned bool `json:"pinned,omitzero"`
}

// MountRules restrict the mounts.
type MountRules struct {
	// Roots are the host directories at or below which the sources and upper
	// directories of binds must be, symbolic links resolved. "~" is the
	// caller's home. They are paths and no patterns.
	Roots []string `json:"roots,omitzero"`
	// Types are the permitted types.
	Types []spec.MountType `json:"types,omitzero"`
	// Modes are the permitted modes of binds and volumes.
	Modes []spec.MountMode `json:"modes,omitzero"`
	// Volumes are patterns of names of volumes. Anonymous volumes are permitted
	// always.
	Volumes []string `json:"volumes,omitzero"`
	// Local forbids binds of paths that berth cannot look at.
	Local bool `json:"local,omitzero"`
	// NoRelabel forbids changing SELinux labels of host files.
	NoRelabel bool `json:"noRelabel,omitzero"`
}

// Words of BindingRules.Addresses besides addresses and prefixes.
const (
	// AddressLoopback is 127.0.0.0/8 and ::1.
	AddressLoopback = "loopback"
	// AddressUnspecified is 0.0.0.0 and ::, every address of the host. No prefix
	// includes it.
	AddressUnspecified = "unspecified"
)

// BindingRules restrict where ports are published.
type BindingRules struct {
	// Addresses are [AddressLoopback], [AddressUnspecified], addresses or
	// prefixes.
	Addresses []string `json:"addresses,omitzero"`
	// MinHostPort is the lowest host port that a spec may ask for.
	MinHostPort int `json:"minHostPort,omitzero"`
}

// NetworkRules restrict what the sandbox is connected to.
type NetworkRules struct {
	// Modes are the permitted modes.
	Modes []spec.NetworkMode `json:"modes,omitzero"`
	// Names are patterns for the network of the modes internal, shared and named.
	Names []string `json:"names,omitzero"`
	// Additional are patterns for additional networks.
	Additional []string `json:"additional,omitzero"`
	// NoHostAlias forbids names for the host.
	NoHostAlias bool `json:"noHostAlias,omitzero"`
	// HostBlocked demands that the engine keeps the host's own services out of
	// reach, unless the mode is none.
	HostBlocked bool `json:"hostBlocked,omitzero"`
}

// CapabilityRules restrict the capability bounding set.
type CapabilityRules struct {
	// Add is the ceiling: the capabilities that a spec may add.
	Add []string `json:"add,omitzero"`
	// Drop are the capabilities that a spec must drop; dropping ALL drops each.
	Drop []string `json:"drop,omitzero"`
}

// Resource names a bound of [spec.Resources].
type Resource string

// The resources.
const (
	ResourceCPUs   Resource = "cpus"
	ResourceMemory Resource = "memory"
	ResourcePids   Resource = "pids"
	ResourceShm    Resource = "shm"
	ResourceNoFile Resource = "nofile"
	ResourceDisk   Resource = "disk"
)

// ResourceRules restrict how much a sandbox may use.
type ResourceRules struct {
	// Required are the bounds that a spec must set.
	Required []Resource `json:"required,omitzero"`
	// Max are the largest bounds. For cpus, memory, pids and disk no bound is
	// more than any; shm and nofile have an engine's default and are only judged
	// when set.
	Max Limits `json:"max,omitzero"`
}

// Limits are amounts of resources; zero states nothing.
type Limits struct {
	CPUs   spec.CPUs  `json:"cpus,omitzero"`
	Memory spec.Bytes `json:"memory,omitzero"`
	Pids   int64      `json:"pids,omitzero"`
	Shm    spec.Bytes `json:"shm,omitzero"`
	NoFile uint64     `json:"nofile,omitzero"`
	Disk   spec.Bytes `json:"disk,omitzero"`
}

// Words of SecurityRules.
const (
	// SeccompFile stands for any profile file.
	SeccompFile = "file"
	// RuntimeDefault stands for the engine's default runtime.
	RuntimeDefault = "default"
)

// SecurityRules restrict how the process is confined.
type SecurityRules struct {
	// Seccomp are [spec.SeccompDefault], [SeccompFile], [spec.SeccompUnconfined]
	// or absolute paths of profiles.
	Seccomp []string `json:"seccomp,omitzero"`
	// NoNewPrivileges must be on.
	NoNewPrivileges bool `json:"noNewPrivileges,omitzero"`
	// ReadOnlyRoot must be on.
	ReadOnlyRoot bool `json:"readOnlyRoot,omitzero"`
	// Runtimes are patterns of OCI runtimes, and [RuntimeDefault].
	Runtimes []string `json:"runtimes,omitzero"`
	// Devices are patterns of CDI names and of device paths on the host.
	Devices []string `json:"devices,omitzero"`
}

// UserRules restrict as whom the process runs.
type UserRules struct {
	// NonRoot forbids uid 0, unless it is not the host's uid 0.
	NonRoot bool `json:"nonRoot,omitzero"`
}

// clone returns a copy that shares nothing with r.
func (r Rules) clone() Rules {
	r.Profiles = slices.Clone(r.Profiles)
	r.Images.Allow = slices.Clone(r.Images.Allow)
	r.Mounts.Roots = slices.Clone(r.Mounts.Roots)
	r.Mounts.Types = slices.Clone(r.Mounts.Types)
	r.Mounts.Modes = slices.Clone(r.Mounts.Modes)
	r.Mounts.Volumes = slices.Clone(r.Mounts.Volumes)
	r.Binding.Addresses = slices.Clone(r.Binding.Addresses)
	r.Network.Modes = slices.Clone(r.Network.Modes)
	r.Network.Names = slices.Clone(r.Network.Names)
	r.Network.Additional = slices.Clone(r.Network.Additional)
	r.Capabilities.Add = slices.Clone(r.Capabilities.Add)
	r.Capabilities.Drop = slices.Clone(r.Capabilities.Drop)
	r.Resources.Required = slices.Clone(r.Resources.Required)
	r.Security.Seccomp = slices.Clone(r.Security.Seccomp)
	r.Security.Runtimes = slices.Clone(r.Security.Runtimes)
	r.Security.Devices = slices.Clone(r.Security.Devices)
	r.Extensions = slices.Clone(r.Extensions)
	r.Fidelity = maps.Clone(r.Fidelity)
	r.Claims = slices.Clone(r.Claims)
	r.Unsafe = slices.Clone(r.Unsafe)
	return r
}

// The closed vocabularies that rules choose from.
var (
	knownProfiles   = []spec.Profile{spec.ProfileStandard, spec.ProfileHardened, spec.ProfileOpenHandsCompat}
	knownTypes      = []spec.MountType{spec.MountBind, spec.MountVolume, spec.MountTmpfs}
	knownModes      = []spec.MountMode{spec.ModeRW, spec.ModeRO, spec.ModeOverlay}
	knownNetworks   = []spec.NetworkMode{spec.NetIsolated, spec.NetNone, spec.NetInternal, spec.NetShared, spec.NetHost, spec.NetNamed}
	knownResources  = []Resource{ResourceCPUs, ResourceMemory, ResourcePids, ResourceShm, ResourceNoFile, ResourceDisk}
	knownFidelities = []backend.Fidelity{backend.Exact, backend.ByEmulation}
	knownClaims     = backend.Capabilities()
	knownCaps       = append(spec.CapabilityNames(), spec.CapabilityAll)
	extensionName   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
)

// validate returns every mistake in r; paths start with prefix.
func (r Rules) validate(prefix string) spec.Problems {
	v := validator{prefix: prefix}
	words(&v, "profiles", r.Profiles, knownProfiles)
	v.each("images.allow", r.Images.Allow, checkImagePattern)
	v.each("mounts.roots", r.Mounts.Roots, checkRoot)
	words(&v, "mounts.types", r.Mounts.Types, knownTypes)
	words(&v, "mounts.modes", r.Mounts.Modes, knownModes)
	v.each("mounts.volumes", r.Mounts.Volumes, checkName)
	v.each("binding.addresses", r.Binding.Addresses, checkAddress)
	if p := r.Binding.MinHostPort; p < 0 || p > 65535 {
		v.add("binding.minHostPort", spec.CodeOutOfRange, "want 1 to 65535, have %d", p)
	}
	words(&v, "network.modes", r.Network.Modes, knownNetworks)
	v.each("network.names", r.Network.Names, checkName)
	v.each("network.additional", r.Network.Additional, checkName)
	words(&v, "capabilities.add", r.Capabilities.Add, knownCaps)
	words(&v, "capabilities.drop", r.Capabilities.Drop, knownCaps)
	words(&v, "resources.required", r.Resources.Required, knownResources)
	m := r.Resources.Max
	for name, n := range map[string]int64{"cpus": int64(m.CPUs), "memory": int64(m.Memory), "pids": m.Pids, "shm": int64(m.Shm), "disk": int64(m.Disk)} {
		if n < 0 {
			v.add("resources.max."+name, spec.CodeOutOfRange, "want more than 0")
		}
	}
	v.each("security.seccomp", r.Security.Seccomp, checkSeccomp)
	v.each("security.runtimes", r.Security.Runtimes, checkNotEmpty)
	v.each("security.devices", r.Security.Devices, checkNotEmpty)
	v.each("extensions", r.Extensions, func(s string) string {
		if !extensionName.MatchString(s) {
			return "want the name of a backend, such as docker"
		}
		return ""
	})
	for _, pattern := range slices.Sorted(maps.Keys(r.Fidelity)) {
		at := string(spec.Path("fidelity").Key(pattern))
		if pattern == "" {
			v.add("fidelity", spec.CodeInvalid, "want a pattern of field paths, such as \"network.*\"")
		}
		if f := r.Fidelity[pattern]; !slices.Contains(knownFidelities, f) {
			v.add(at, spec.CodeUnknownValue, "fidelity %q is not known: want one of %q", f, knownFidelities)
		}
	}
	words(&v, "claims", r.Claims, knownClaims)
	v.each("unsafe", r.Unsafe, checkOverride)
	slices.SortStableFunc(v.problems, func(a, b spec.Problem) int { return strings.Compare(string(a.Path), string(b.Path)) })
	return v.problems
}

type validator struct {
	prefix   string
	problems spec.Problems
}

func (v *validator) add(at string, code spec.Code, format string, args ...any) {
	v.problems = append(v.problems, spec.Problem{Path: spec.Path(v.prefix + "." + at), Code: code, Message: fmt.Sprintf(format, args...)})
}

// each reports the elements about which check has something to say.
func (v *validator) each(at string, list []string, check func(string) string) {
	for i, s := range list {
		if complaint := check(s); complaint != "" {
			v.add(fmt.Sprintf("%s[%d]", at, i), spec.CodeInvalid, "%q: %s", s, complaint)
		}
	}
}

// words reports the elements of list that are not in known.
func words[T ~string](v *validator, at string, list, known []T) {
	for i, w := range list {
		if !slices.Contains(known, w) {
			v.add(fmt.Sprintf("%s[%d]", at, i), spec.CodeUnknownValue, "%q is not known: want one of %q", w, known)
		}
	}
}

func checkNotEmpty(s string) string {
	if s == "" {
		return "must not be empty"
	}
	return ""
}

func checkName(s string) string {
	if s == "" || strings.Contains(s, "/") {
		return "want a name or a pattern of names, without \"/\""
	}
	return ""
}

func checkImagePattern(s string) string {
	if s == spec.HostImage || strings.HasPrefix(s, "**") {
		return ""
	}
	registry, rest, ok := strings.Cut(s, "/")
	if !ok || rest == "" || !isRegistry(registry) {
		return "want a normalised reference that starts with its registry, such as docker.io/library/*, or the word host"
	}
	return ""
}

// isRegistry reports whether the first component of a reference is a registry
// rather than the start of a short name; the test is docker's own.
func isRegistry(s string) bool {
	return s == "localhost" || strings.ContainsAny(s, ".:*")
}

func checkRoot(s string) string {
	rest, home := strings.CutPrefix(s, "~")
	switch {
	case hasDotDot(s), strings.Contains(s, "*"):
		return "\"..\" and patterns are not allowed"
	case home && (rest == "" || strings.HasPrefix(rest, "/")), strings.HasPrefix(s, "/") && !strings.ContainsRune(s, 0):
		return ""
	}
	return "want an absolute path, or one that starts with \"~/\""
}

func checkAddress(s string) string {
	if s == AddressLoopback || s == AddressUnspecified {
		return ""
	}
	if _, ok := parsePrefix(s); ok {
		return ""
	}
	return "want loopback, unspecified, an IP address or a prefix such as 10.0.0.0/8"
}

// parsePrefix reads an address or a prefix. IPv4 inside IPv6 becomes IPv4.
func parsePrefix(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, false
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}

func checkSeccomp(s string) string {
	if s == spec.SeccompDefault || s == SeccompFile || s == spec.SeccompUnconfined {
		return ""
	}
	if p, ok := cleanAbs(s); ok && p == path.Clean(s) && !hasDotDot(s) {
		return ""
	}
	return "want default, file, unconfined or the absolute path of a profile"
}

// CheckOverride returns an error that says why text is no override: whoever
// takes overrides from a user calls it, so that a mistake is found where it was
// made. Every decision checks them again.
func CheckOverride(text string) error {
	if complaint := checkOverride(text); complaint != "" {
		return fmt.Errorf("%q %s", text, complaint)
	}
	return nil
}

func checkOverride(s string) string {
	if _, _, ok := parseOverride(s); !ok {
		return "is no override: want RULE=SUBJECT with a rule that can be overridden, as a violation prints it"
	}
	return ""
}
