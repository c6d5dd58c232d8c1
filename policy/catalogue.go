// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Rule describes one rule for a reader.
type Rule struct {
	// ID is stable. That of a rule which a policy states is its place in
	// [Rules]; the others hold in every policy.
	ID string `json:"id"`
	// BuiltIn says that the rule holds whatever the policy states.
	BuiltIn bool `json:"builtIn"`
	// Sentence says what the rule is about.
	Sentence string `json:"sentence"`
	// Denies says what it refuses.
	Denies string `json:"denies"`
	// Override is the form of the override that lifts it. Empty: nothing does.
	Override string `json:"override,omitempty"`
}

// Catalogue lists every rule, in the order in which decisions report them. The
// slice is the caller's.
func Catalogue() []Rule {
	out := make([]Rule, len(catalogue))
	for i, r := range catalogue {
		out[i] = r.Rule
	}
	return out
}

// rule is a rule and what it does: core for a built-in one; check for one that
// layers state, and value, which writes what they state and returns "" for
// nothing.
type rule struct {
	Rule
	core  func(*context, *findings)
	check func(*context, *Rules, *findings)
	value func(*Rules) string
}

// catalogue is filled by init because checks look rules up in it.
var catalogue []rule

func init() {
	catalogue = slices.Concat(coreRules(), layerRules())
}

func coreRules() []rule {
	core := func(id, override, sentence, denies string, check func(*context, *findings)) rule {
		if override != "" {
			override = id + "=" + override
		}
		return rule{Rule: Rule{ID: id, BuiltIn: true, Sentence: sentence, Denies: denies, Override: override}, core: func(c *context, f *findings) {
			if c.spec != nil || id == "spec.known" {
				check(c, f)
			}
		}}
	}
	return []rule{
		core("spec.known", "",
			"A spec is judged only when every word in it is known.",
			"an unknown profile, network mode, mount type or mount mode, and a volume or tmpfs whose name is a path",
			checkSpec),
		core("mounts.resolved", "",
			"Host paths are judged by where they lead, so each must have been looked up.",
			"a host path that is missing, was not resolved, or is not what was looked up",
			checkResolved),
		core("mounts.protected", "PATH",
			"No sandbox sees the host's own directories, an engine's state, or keys and passwords of a home directory.",
			"a bind of / or of a path that is at, below or above a protected one, or a symbolic link to one",
			checkProtected),
		core("mounts.systemWrite", "PATH",
			"No sandbox writes to files that the host or the caller's shell runs.",
			"a writable bind or upper directory at, below or above such a path",
			checkSystemWrite),
		core("mounts.socket", "PATH",
			"A unix socket lets a sandbox command the program behind it; an engine's is root on the host.",
			"a bind of a socket",
			checkSocket),
		core("mounts.special", "PATH",
			"Device nodes and pipes are no way to share files.",
			"a bind of a device node or FIFO",
			checkSpecial),
		core("network.name", "",
			"A network is named by a plain name.",
			"names that engines take for the host's network stack or for another container's",
			checkNetworkName),
		core("security.seccompWritable", "",
			"A sandbox must not be able to change its own seccomp profile for the next start.",
			"a profile file in a place that the sandbox can write",
			checkSeccompWritable),
		core("plan.complete", "",
			"Every set field must be realised.",
			"a field that the ledger refuses or does not have",
			checkPlanComplete),
		core("unsafe.known", "",
			"An override is written exactly as a violation prints it.",
			"overrides that no violation can print",
			checkOverridesKnown),
	}
}

func layerRules() []rule {
	layered := func(id, override, sentence, denies string, check func(*context, *Rules, *findings), value func(*Rules) string) rule {
		if override != "" {
			override = id + "=" + override
		}
		return rule{Rule: Rule{ID: id, Sentence: sentence, Denies: denies, Override: override}, check: check, value: value}
	}
	return []rule{
		layered("profiles", "",
			"The profiles that a spec may choose.",
			"other profiles",
			checkProfiles, func(r *Rules) string { return text(r.Profiles) }),
		layered("images.allow", "",
			"The images that may run, as patterns of full references.",
			"other images, and references without registry and tag or digest",
			checkImages, func(r *Rules) string { return text(r.Images.Allow) }),
		layered("images.pinned", "",
			"An image is named by its digest.",
			"references without a digest",
			checkPinned, func(r *Rules) string { return toggle(r.Images.Pinned) }),
		layered("mounts.roots", "PATH",
			"The host folders below which binds must be.",
			"binds whose real path is elsewhere",
			checkRoots, func(r *Rules) string { return text(r.Mounts.Roots) }),
		layered("mounts.types", "",
			"The types of mounts.",
			"other types",
			checkTypes, func(r *Rules) string { return text(r.Mounts.Types) }),
		layered("mounts.modes", "",
			"The modes of binds and volumes.",
			"other modes",
			checkModes, func(r *Rules) string { return text(r.Mounts.Modes) }),
		layered("mounts.volumes", "NAME",
			"The named volumes that may be mounted; anonymous ones always may.",
			"other named volumes, which may hold another sandbox's or program's data",
			checkVolumes, func(r *Rules) string { return text(r.Mounts.Volumes) }),
		layered("mounts.local", "PATH",
			"Binds are of paths that berth can look at.",
			"binds of paths on a remote engine's machine",
			checkLocal, func(r *Rules) string { return toggle(r.Mounts.Local) }),
		layered("mounts.noRelabel", "LABEL",
			"SELinux labels of host files stay as they are.",
			"the labels shared and private",
			checkRelabel, func(r *Rules) string { return toggle(r.Mounts.NoRelabel) }),
		layered("binding.addresses", "ADDRESS",
			"The addresses of the host on which ports may be published.",
			"ports on other addresses",
			checkAddresses, func(r *Rules) string { return text(r.Binding.Addresses) }),
		layered("binding.minHostPort", "PORT",
			"The lowest host port that may be asked for.",
			"lower host ports",
			checkHostPorts, func(r *Rules) string { return positive(uint64(max(r.Binding.MinHostPort, 0))) }),
		layered("network.modes", "MODE",
			"The network modes.",
			"other modes",
			checkNetworkModes, func(r *Rules) string { return text(r.Network.Modes) }),
		layered("network.names", "",
			"The networks that may be joined by name.",
			"other networks",
			checkNetworkNames, func(r *Rules) string { return text(r.Network.Names) }),
		layered("network.additional", "NAME",
			"The networks that may be joined besides.",
			"other additional networks",
			checkAdditional, func(r *Rules) string { return text(r.Network.Additional) }),
		layered("network.noHostAlias", off,
			"The host has no name in the sandbox.",
			"network.hostAlias",
			checkHostAlias, func(r *Rules) string { return toggle(r.Network.NoHostAlias) }),
		layered("network.hostBlocked", off,
			"The host's own services are out of the sandbox's reach.",
			"engines that cannot promise it, unless the network mode is none",
			checkHostBlocked, func(r *Rules) string { return toggle(r.Network.HostBlocked) }),
		layered("capabilities.add", "CAPABILITY",
			"The capabilities that may be added.",
			"other capabilities",
			checkCapAdd, func(r *Rules) string { return text(r.Capabilities.Add) }),
		layered("capabilities.drop", "CAPABILITY",
			"The capabilities that must be dropped.",
			"specs that keep one of them",
			checkCapDrop, func(r *Rules) string { return text(r.Capabilities.Drop) }),
		layered("resources.required", "RESOURCE",
			"The bounds that must be set.",
			"specs without one of them",
			checkRequired, func(r *Rules) string { return text(r.Resources.Required) }),
		layered("resources.max", "",
			"The largest bounds.",
			"larger bounds, and no bound of cpus, memory, pids or disk",
			checkMax, func(r *Rules) string { return maxima(r.Resources.Max) }),
		layered("security.seccomp", "PROFILE",
			"The seccomp profiles.",
			"other profiles",
			checkSeccompRule, func(r *Rules) string { return text(r.Security.Seccomp) }),
		layered("security.noNewPrivileges", off,
			"No program in the sandbox gains rights by being executed.",
			"turning no-new-privileges off",
			checkNoNewPrivileges, func(r *Rules) string { return toggle(r.Security.NoNewPrivileges) }),
		layered("security.readOnlyRoot", off,
			"The root file system is read-only.",
			"a writable root file system",
			checkReadOnlyRoot, func(r *Rules) string { return toggle(r.Security.ReadOnlyRoot) }),
		layered("security.runtimes", "NAME",
			"The OCI runtimes.",
			"other runtimes",
			checkRuntimes, func(r *Rules) string { return text(r.Security.Runtimes) }),
		layered("security.devices", "DEVICE",
			"The devices that may be handed to the sandbox.",
			"other devices",
			checkDevices, func(r *Rules) string { return text(r.Security.Devices) }),
		layered("user.nonRoot", off,
			"The process does not run as the host's root.",
			"uid 0, unless the engine maps it to another one, and users of an image whose uid is not known",
			checkNonRoot, func(r *Rules) string { return toggle(r.User.NonRoot) }),
		layered("extensions", "BACKEND",
			"The backends whose raw settings a spec may carry.",
			"raw settings for others",
			checkExtensions, func(r *Rules) string { return text(r.Extensions) }),
		layered("fidelity", "",
			"How exactly the engine must realise fields.",
			"fields that the ledger realises with less",
			checkFidelity, func(r *Rules) string {
				var out []string
				for _, p := range slices.Sorted(maps.Keys(r.Fidelity)) {
					out = append(out, p+": "+string(r.Fidelity[p]))
				}
				return strings.Join(out, ", ")
			}),
		layered("claims", "",
			"What the engine must be able to do.",
			"engines that cannot",
			checkClaims, func(r *Rules) string {
				if len(r.Claims) == 0 {
					return ""
				}
				return text(r.Claims)
			}),
		layered("unsafe", "",
			"The overrides that may be used at all.",
			"other overrides",
			checkOverridesAllowed, func(r *Rules) string { return text(r.Unsafe) }),
	}
}

// text writes a list; "" when nothing is stated.
func text[T ~string](list []T) string {
	if list == nil {
		return ""
	}
	if len(list) == 0 {
		return "(none)"
	}
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = string(w)
	}
	return strings.Join(words, ", ")
}

func toggle(on bool) string {
	if on {
		return "required"
	}
	return ""
}

func positive(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func maxima(l Limits) string {
	var out []string
	for _, name := range knownResources {
		if n, text := limit(l, name); n > 0 {
			out = append(out, fmt.Sprintf("%s %s", name, text))
		}
	}
	return strings.Join(out, ", ")
}
