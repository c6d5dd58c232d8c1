// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
)

// off is the subject of rules that are a switch.
const off = "off"

// Built-in rules.

func checkSpec(c *context, f *findings) {
	if c.spec == nil {
		f.add("", "", "there is no spec to judge")
		return
	}
	s := c.spec
	if !slices.Contains(knownProfiles, s.Security.Profile) {
		f.add("security.profile", "", "%s", unknownProfile(s.Security.Profile))
	}
	if !slices.Contains(knownNetworks, s.Network.Mode) {
		f.add("network.mode", "", "network mode %q is not known: want one of %q", s.Network.Mode, knownNetworks)
	}
	for i, m := range s.Mounts {
		switch {
		case !slices.Contains(knownTypes, m.Type):
			f.add(sourceField(i), "", "mount type %q is not known: want one of %q", m.Type, knownTypes)
		case m.Type != spec.MountBind && strings.Contains(m.Source, "/"):
			// Engines take such a name for a host path.
			f.add(sourceField(i), "", "a %s has no host path: want type bind for %q", m.Type, m.Source)
		case m.Type != spec.MountBind && m.Mode == spec.ModeOverlay:
			f.add(sourceField(i).Field("mode"), "", "only a bind can be an overlay")
		}
		if !slices.Contains(knownModes, m.Mode) {
			f.add(sourceField(i).Field("mode"), "", "mount mode %q is not known: want one of %q", m.Mode, knownModes)
		}
	}
}

func checkResolved(c *context, f *findings) {
	for _, h := range slices.Concat(c.binds, c.files) {
		want, ok := cleanAbs(h.Path)
		if !ok {
			f.add(h.Field, "", "%q is not an absolute path", h.Path)
			continue
		}
		if len(h.found) == 0 {
			f.add(h.Field, "", "host path %s has not been looked up", want)
		}
		for _, p := range h.found {
			asked, okAsked := cleanAbs(p.Asked)
			actual, okReal := cleanAbs(p.Resolved)
			switch {
			case !okAsked || !okReal || hasDotDot(p.Resolved):
				f.add(h.Field, "", "host path %s was not resolved to an absolute path, but to %q", want, p.Resolved)
			case want != asked && want != actual:
				f.add(h.Field, "", "host path %s is not what was looked up, %s", want, asked)
			case p.Remote && p.Kind == KindUnknown:
			default:
				checkKind(h, p.Kind, actual, f)
			}
		}
	}
}

// checkKind objects when kind cannot be what the field needs. Sockets and the
// like are for rules that can be overridden.
func checkKind(h hostPath, kind PathKind, actual string, f *findings) {
	want := KindUnknown
	switch {
	case h.Field == seccompField:
		want = KindFile
	case strings.HasPrefix(string(h.Field), "security.devices["):
		want = KindDevice
	case strings.HasSuffix(string(h.Field), ".upper"):
		if kind == KindMissing {
			return // made when it is needed
		}
		want = KindDir
	}
	switch {
	case kind == KindMissing:
		f.add(h.Field, "", "host path %s does not exist", actual)
	case want != KindUnknown && kind != want:
		f.add(h.Field, "", "host path %s is a %s: want a %s", actual, kindName(kind), want)
	case !slices.Contains([]PathKind{KindDir, KindFile, KindSocket, KindDevice, KindFIFO}, kind):
		f.add(h.Field, "", "host path %s is of an unknown kind", actual)
	}
}

func kindName(kind PathKind) string {
	if kind == KindUnknown {
		return "path of unknown kind"
	}
	return string(kind)
}

func checkProtected(c *context, f *findings) {
	for _, h := range c.binds {
		guard(h, c.guarded.protected, "is protected", f)
	}
}

func checkSystemWrite(c *context, f *findings) {
	for _, h := range c.binds {
		if h.write {
			guard(h, c.guarded.writeProtected, "is run by the host and may not be written: mount it read-only", f)
		}
	}
}

// guard objects once when any spelling of h hits a pattern.
func guard(h hostPath, patterns []pattern, what string, f *findings) {
	actual := h.real()
	for _, p := range slices.Concat(actual, h.spelled()) {
		which, above := hit(p, patterns)
		if len(which) == 0 {
			continue
		}
		shown := p
		if asked := h.spelled(); !slices.Contains(actual, p) && len(actual) > 0 {
			shown = fmt.Sprintf("%s, which leads to %s,", p, actual[0])
		} else if len(asked) > 0 && !slices.Contains(asked, p) {
			shown = fmt.Sprintf("%s, where %s leads,", p, asked[0])
		}
		switch {
		case above:
			f.add(h.Field, h.overridePath(), "host path %s contains %s: mount a folder inside it that does not", shown, listed(which))
		case which[0] == p:
			f.add(h.Field, h.overridePath(), "host path %s %s", shown, what)
		default:
			f.add(h.Field, h.overridePath(), "host path %s is below %s, which %s", shown, which[0], what)
		}
		return
	}
}

// listed names the first few of a list.
func listed(list []string) string {
	const most = 3
	if len(list) > most {
		return strings.Join(list[:most], ", ") + " and others"
	}
	return strings.Join(list, ", ")
}

func checkSocket(c *context, f *findings) {
	for _, h := range c.binds {
		for _, p := range h.real() {
			if which, _ := hit(p, c.guarded.protected); len(which) > 0 {
				continue // one override for one path
			}
			isSocket := slices.ContainsFunc(h.found, func(r ResolvedPath) bool {
				// A path that could not be looked at is judged by its name.
				return r.Kind == KindSocket || r.Kind == KindUnknown && (strings.HasSuffix(p, ".sock") || strings.HasSuffix(p, ".socket"))
			})
			if isSocket {
				f.add(h.Field, h.overridePath(), "host path %s is a unix socket: whoever listens there would serve the sandbox", p)
				break
			}
		}
	}
}

func checkSpecial(c *context, f *findings) {
	for _, h := range c.binds {
		for _, r := range h.found {
			if r.Kind == KindDevice || r.Kind == KindFIFO {
				f.add(h.Field, h.overridePath(), "host path %s is a %s: want a file or a directory", r.Resolved, r.Kind)
				break
			}
		}
	}
}

func checkSeccompWritable(c *context, f *findings) {
	for _, h := range c.files {
		if h.Field != seccompField {
			continue
		}
		for _, p := range slices.Concat(h.real(), h.spelled()) {
			for _, b := range c.binds {
				written := func(dir string) bool { return below(p, dir) }
				if b.write && slices.ContainsFunc(slices.Concat(b.real(), b.spelled()), written) {
					f.add(h.Field, "", "the profile %s is in %s, which the sandbox can write: keep it elsewhere", p, b.Field)
					return
				}
			}
		}
	}
}

var networkName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// engineNetworks are words that engines take for something else than the name
// of a network: the host's stack, another container's, none at all.
var engineNetworks = []string{"host", "none", "default", "private", "container", "ns", "pod", "slirp4netns", "pasta"}

func checkNetworkName(c *context, f *findings) {
	check := func(at spec.Path, name string) {
		switch {
		case slices.Contains(engineNetworks, strings.ToLower(name)):
			f.add(at, "", "%q is a word of engines and no network: use network.mode", name)
		case !networkName.MatchString(name):
			f.add(at, "", "%q cannot be the name of a network", name)
		}
	}
	if n := c.spec.Network; n.Name != "" {
		check("network.name", n.Name)
	}
	for i, a := range c.spec.Network.Additional {
		check(additionalField(i), a.Name)
	}
}

func additionalField(i int) spec.Path { return spec.Path("network.additional").Index(i) }
func portField(i int) spec.Path       { return spec.Path("binding.ports").Index(i) }

func checkPlanComplete(c *context, f *findings) {
	if c.in.Plan == nil {
		f.pending = true
		return
	}
	for _, field := range spec.SetFields(c.spec) {
		m, ok := c.in.Plan.Mapping(field)
		switch {
		case !ok:
			f.add(field, "", "the ledger of %s does not say how it is realised", c.in.Plan.Driver)
		case m.Fidelity == backend.Refused:
			f.add(field, "", "%s cannot realise it: %s", c.in.Plan.Driver, m.Note)
		case !slices.Contains(knownFidelities, m.Fidelity):
			f.add(field, "", "the ledger of %s has the unknown fidelity %q", c.in.Plan.Driver, m.Fidelity)
		}
	}
}

func checkOverridesKnown(c *context, f *findings) {
	for _, text := range c.in.Unsafe {
		if complaint := checkOverride(text); complaint != "" {
			f.add("", "", "unsafe override %q %s", text, complaint)
		}
	}
}

// Rules of layers.

func checkOverridesAllowed(c *context, r *Rules, f *findings) {
	if r.Unsafe == nil {
		return
	}
	var allowed []string
	for _, text := range r.Unsafe {
		if rule, subject, ok := parseOverride(text); ok {
			allowed = append(allowed, rule+"="+subject)
		}
	}
	for _, text := range c.in.Unsafe {
		rule, subject, ok := parseOverride(text)
		if ok && !slices.Contains(allowed, rule+"="+subject) {
			f.add("", "", "the unsafe override %s=%s may not be used", rule, subject)
		}
	}
}

func checkProfiles(c *context, r *Rules, f *findings) {
	if r.Profiles != nil && !slices.Contains(r.Profiles, c.spec.Security.Profile) {
		f.add("security.profile", "", "profile %s may not be chosen%s", c.spec.Security.Profile, choice(f, r.Profiles))
	}
}

// splitReference cuts a reference into repository and tag or digest.
func splitReference(ref string) (name, suffix string) {
	if i := strings.IndexByte(ref, '@'); i >= 0 {
		ref, suffix = ref[:i], ref[i:]
	}
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		ref, suffix = ref[:i], ref[i:]+suffix
	}
	return ref, suffix
}

// normalised reports whether ref has its registry and a tag or digest.
func normalised(ref string) bool {
	name, suffix := splitReference(ref)
	registry, rest, ok := strings.Cut(name, "/")
	return ok && rest != "" && suffix != "" && isRegistry(registry) && !strings.Contains(ref, "*")
}

func checkImages(c *context, r *Rules, f *findings) {
	if r.Images.Allow == nil {
		return
	}
	ref := c.spec.Image.Ref
	if ref == spec.HostImage {
		if !slices.Contains(r.Images.Allow, spec.HostImage) {
			f.add("image.ref", "", "the image host is not permitted%s", choice(f, r.Images.Allow))
		}
		return
	}
	if !normalised(ref) {
		f.add("image.ref", "", "image %q is not a full reference with registry and tag or digest, and cannot be judged", ref)
		return
	}
	name, _ := splitReference(ref)
	for _, pattern := range r.Images.Allow {
		text := ref
		if _, suffix := splitReference(pattern); suffix == "" {
			text = name
		}
		if pattern != spec.HostImage && glob(pattern, text, '/') {
			return
		}
	}
	f.add("image.ref", "", "image %s is not permitted%s", ref, choice(f, r.Images.Allow))
}

func checkPinned(c *context, r *Rules, f *findings) {
	if r.Images.Pinned && c.spec.Image.Ref != spec.HostImage && !strings.Contains(c.spec.Image.Ref, "@sha256:") {
		f.add("image.ref", "", "image %q may change under its name: add its digest, name@sha256:…", c.spec.Image.Ref)
	}
}

func checkRoots(c *context, r *Rules, f *findings) {
	if r.Mounts.Roots == nil {
		return
	}
	roots := c.roots(r.Mounts.Roots)
	for _, h := range c.binds {
		for _, p := range h.real() {
			if !slices.ContainsFunc(roots, func(root string) bool { return below(p, root) }) {
				f.add(h.Field, h.overridePath(), "host path %s is not at or below a permitted folder%s", p, choice(f, r.Mounts.Roots))
				break
			}
		}
	}
}

func checkTypes(c *context, r *Rules, f *findings) {
	for i, m := range c.spec.Mounts {
		if r.Mounts.Types != nil && !slices.Contains(r.Mounts.Types, m.Type) {
			f.add(sourceField(i), "", "mounts of type %s are not permitted%s", m.Type, choice(f, r.Mounts.Types))
		}
	}
}

func checkModes(c *context, r *Rules, f *findings) {
	for i, m := range c.spec.Mounts {
		if r.Mounts.Modes != nil && m.Type != spec.MountTmpfs && !slices.Contains(r.Mounts.Modes, m.Mode) {
			f.add(sourceField(i).Field("mode"), "", "mounts with mode %s are not permitted%s", m.Mode, choice(f, r.Mounts.Modes))
		}
	}
}

func checkVolumes(c *context, r *Rules, f *findings) {
	for i, m := range c.spec.Mounts {
		if r.Mounts.Volumes != nil && m.Type == spec.MountVolume && m.Source != "" && !globAny(r.Mounts.Volumes, m.Source, '/') {
			f.add(sourceField(i), m.Source, "volume %s outlives the sandbox and may be shared%s", m.Source, choice(f, r.Mounts.Volumes))
		}
	}
}

func checkLocal(c *context, r *Rules, f *findings) {
	for _, h := range c.binds {
		if r.Mounts.Local && slices.ContainsFunc(h.found, func(p ResolvedPath) bool { return p.Remote }) {
			f.add(h.Field, h.overridePath(), "host path %s is on the engine's machine: what it is, and where its links lead, cannot be checked", h.Path)
		}
	}
}

func checkRelabel(c *context, r *Rules, f *findings) {
	for i, m := range c.spec.Mounts {
		if r.Mounts.NoRelabel && m.SELinux != "" && m.SELinux != spec.SELinuxNone {
			f.add(sourceField(i).Field("selinux"), string(m.SELinux), "SELinux label %s changes the labels of every file below %s on the host, for good", m.SELinux, m.Source)
		}
	}
}

func checkAddresses(c *context, r *Rules, f *findings) {
	if r.Binding.Addresses == nil {
		return
	}
	for i := range c.spec.Binding.Ports {
		if a := c.portAddress(i); !addressPermitted(a, r.Binding.Addresses) {
			what := "is reachable from other machines"
			if ip, err := netip.ParseAddr(a); err != nil {
				what = "is no IP address"
			} else if ip.IsUnspecified() {
				what = "is every address of the host"
			}
			f.add(portField(i), a, "address %s %s%s", a, what, choice(f, r.Binding.Addresses))
		}
	}
}

// addressPermitted expects an address that spec.Default has brought into its one
// form, so that no spelling of it passes by.
func addressPermitted(address string, list []string) bool {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Zone() != "" {
		return false
	}
	for _, entry := range list {
		switch entry {
		case AddressLoopback:
			if a.IsLoopback() {
				return true
			}
		case AddressUnspecified:
			if a.IsUnspecified() {
				return true
			}
		default:
			// 0.0.0.0/0 means each single address; binding to all of them at
			// once takes the word.
			if p, ok := parsePrefix(entry); ok && !a.IsUnspecified() && p.Contains(a) {
				return true
			}
		}
	}
	return false
}

func checkHostPorts(c *context, r *Rules, f *findings) {
	for i, p := range c.spec.Binding.Ports {
		if p.HostPort != 0 && p.HostPort < r.Binding.MinHostPort {
			f.add(portField(i), strconv.Itoa(p.HostPort), "host port %d is where the host's own services are: use %d or above, or 0 for any", p.HostPort, r.Binding.MinHostPort)
		}
	}
}

func checkNetworkModes(c *context, r *Rules, f *findings) {
	mode := c.spec.Network.Mode
	if r.Network.Modes == nil || slices.Contains(r.Network.Modes, mode) {
		return
	}
	what := "is not permitted"
	if mode == spec.NetHost {
		what = "shares the host's network stack, its loopback services and abstract sockets included"
	}
	f.add("network.mode", string(mode), "network mode %s %s%s", mode, what, choice(f, r.Network.Modes))
}

func checkNetworkNames(c *context, r *Rules, f *findings) {
	if name := c.spec.Network.Name; r.Network.Names != nil && name != "" && !globAny(r.Network.Names, name, '/') {
		f.add("network.name", "", "network %s may not be joined%s", name, choice(f, r.Network.Names))
	}
}

func checkAdditional(c *context, r *Rules, f *findings) {
	for i, a := range c.spec.Network.Additional {
		if r.Network.Additional != nil && !globAny(r.Network.Additional, a.Name, '/') {
			f.add(additionalField(i), a.Name, "additional network %s connects the sandbox to everything on it%s", a.Name, choice(f, r.Network.Additional))
		}
	}
}

func checkHostAlias(c *context, r *Rules, f *findings) {
	if r.Network.NoHostAlias && c.spec.Network.HostAlias {
		f.add("network.hostAlias", off, "names for the host show the way to its services: leave them out")
	}
}

func checkHostBlocked(c *context, r *Rules, f *findings) {
	mode := c.spec.Network.Mode
	if !r.Network.HostBlocked || mode == spec.NetNone && len(c.spec.Network.Additional) == 0 {
		return
	}
	if mode == spec.NetHost {
		f.add("network.mode", off, "the host's own services are in reach of network mode host")
		return
	}
	if c.in.Info == nil {
		f.pending = true
		return
	}
	if claim := c.in.Info.Claim(backend.NetHostAccess); !claim.Has() {
		f.add("network.mode", off, "%s does not keep the host's own services out of reach: use network mode none%s", engineName(c.in.Info), because(claim))
	}
}

func engineName(i *backend.Info) string {
	if i.Engine != "" {
		return i.Engine
	}
	return "the engine"
}

func because(claim backend.Claim) string {
	if claim.Reason == "" {
		return ""
	}
	return " (" + claim.Reason + ")"
}

func checkCapAdd(c *context, r *Rules, f *findings) {
	if r.Capabilities.Add == nil {
		return
	}
	for _, name := range c.spec.Security.Capabilities.Add {
		if !slices.Contains(r.Capabilities.Add, name) && !slices.Contains(r.Capabilities.Add, spec.CapabilityAll) {
			f.add("security.capabilities.add", name, "capability %s may not be added%s", name, choice(f, r.Capabilities.Add))
		}
	}
}

func checkCapDrop(c *context, r *Rules, f *findings) {
	drop := c.spec.Security.Capabilities.Drop
	for _, name := range r.Capabilities.Drop {
		if !slices.Contains(drop, name) && !slices.Contains(drop, spec.CapabilityAll) {
			f.add("security.capabilities.drop", name, "capability %s must be dropped", name)
		}
	}
}

// amount returns a bound of the spec as a number; zero is not set.
func amount(r spec.Resources, name Resource) uint64 {
	switch name {
	case ResourceCPUs:
		return uint64(max(r.CPUs, 0))
	case ResourceMemory:
		return uint64(max(r.Memory, 0))
	case ResourcePids:
		return uint64(max(r.Pids, 0))
	case ResourceShm:
		return uint64(max(r.Shm, 0))
	case ResourceNoFile:
		return max(r.NoFile.Soft, r.NoFile.Hard)
	case ResourceDisk:
		return uint64(max(r.Disk, 0))
	}
	return 0
}

// limit returns a bound of a policy as a number and as text; zero is not
// stated.
func limit(l Limits, name Resource) (uint64, string) {
	switch name {
	case ResourceCPUs:
		return uint64(max(l.CPUs, 0)), l.CPUs.String()
	case ResourceMemory:
		return uint64(max(l.Memory, 0)), l.Memory.String()
	case ResourcePids:
		return uint64(max(l.Pids, 0)), strconv.FormatInt(l.Pids, 10)
	case ResourceShm:
		return uint64(max(l.Shm, 0)), l.Shm.String()
	case ResourceNoFile:
		return l.NoFile, strconv.FormatUint(l.NoFile, 10)
	case ResourceDisk:
		return uint64(max(l.Disk, 0)), l.Disk.String()
	}
	return 0, ""
}

func resourceField(name Resource) spec.Path { return spec.Path("resources").Field(string(name)) }

func checkRequired(c *context, r *Rules, f *findings) {
	var missing []Resource
	for _, name := range r.Resources.Required {
		if amount(c.spec.Resources, name) == 0 {
			missing = append(missing, name)
		}
	}
	if f.warn && len(missing) > 1 {
		f.add("resources", "", "there is no bound of %s: set them, or the sandbox can use up the host's", text(missing))
		return
	}
	for _, name := range missing {
		f.add(resourceField(name), string(name), "there is no bound: set one, or the sandbox can use up the host's %s", resourceNoun(name))
	}
}

func resourceNoun(name Resource) string {
	switch name {
	case ResourceCPUs:
		return "processors"
	case ResourcePids:
		return "process ids"
	case ResourceShm:
		return "shared memory"
	case ResourceNoFile:
		return "open files"
	}
	return string(name)
}

// boundless reports whether not set means more than any bound. For shm and
// nofile engines have defaults of their own.
func boundless(name Resource) bool { return name != ResourceShm && name != ResourceNoFile }

func checkMax(c *context, r *Rules, f *findings) {
	for _, name := range knownResources {
		most, text := limit(r.Resources.Max, name)
		have := amount(c.spec.Resources, name)
		switch {
		case most == 0:
		case have == 0 && boundless(name):
			f.add(resourceField(name), "", "there is no bound: at most %s is permitted", text)
		case have > most:
			f.add(resourceField(name), "", "at most %s is permitted", text)
		}
	}
}

func checkSeccompRule(c *context, r *Rules, f *findings) {
	list := r.Security.Seccomp
	have := c.spec.Security.Seccomp
	isFile := strings.HasPrefix(have, "/")
	if list == nil || !isFile && slices.Contains(list, have) {
		return
	}
	if !isFile {
		what := "is not permitted"
		if have == spec.SeccompUnconfined {
			what = "opens every system call to the sandbox"
		}
		f.add(seccompField, have, "seccomp %s %s%s", have, what, choice(f, list))
		return
	}
	if slices.Contains(list, SeccompFile) {
		return
	}
	for _, h := range c.files {
		if h.Field != seccompField {
			continue
		}
		listed := func(p string) bool {
			return slices.ContainsFunc(list, func(entry string) bool { return strings.HasPrefix(entry, "/") && below(p, entry) && below(entry, p) })
		}
		if actual := h.real(); len(actual) == 1 && listed(actual[0]) {
			return
		}
		f.add(seccompField, h.overridePath(), "seccomp profile %s may permit anything, its content is not judged%s", have, choice(f, list))
	}
}

func checkNoNewPrivileges(c *context, r *Rules, f *findings) {
	if on := c.spec.Security.NoNewPrivileges; r.Security.NoNewPrivileges && (on == nil || !*on) {
		f.add("security.noNewPrivileges", off, "without it programs such as sudo and su give the sandbox root's rights")
	}
}

func checkReadOnlyRoot(c *context, r *Rules, f *findings) {
	if r.Security.ReadOnlyRoot && !c.spec.Security.ReadOnlyRoot {
		f.add("security.readOnlyRoot", off, "the root file system must be read-only")
	}
}

func checkRuntimes(c *context, r *Rules, f *findings) {
	if name := c.runtimeName(); r.Security.Runtimes != nil && !globAny(r.Security.Runtimes, name, '/') {
		f.add("security.runtime", name, "runtime %s is not permitted%s", name, choice(f, r.Security.Runtimes))
	}
}

func checkDevices(c *context, r *Rules, f *findings) {
	if r.Security.Devices == nil {
		return
	}
	paths := map[spec.Path]hostPath{}
	for _, h := range c.files {
		paths[h.Field] = h
	}
	for i, device := range c.spec.Security.Devices {
		at := deviceField(i)
		names, subject := []string{device}, device
		if h, ok := paths[at]; ok {
			names, subject = h.real(), h.overridePath()
		}
		permits := func(name string) bool { return globAny(r.Security.Devices, name, '/') }
		if len(names) == 0 || !allOf(names, permits) {
			f.add(at, subject, "device %s opens a driver of the host's kernel to the sandbox%s", device, choice(f, r.Security.Devices))
		}
	}
}

func allOf(list []string, ok func(string) bool) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !ok(s) })
}

func checkNonRoot(c *context, r *Rules, f *findings) {
	if !r.User.NonRoot {
		return
	}
	uid, _, _ := strings.Cut(c.spec.User.As, ":")
	id := c.in.Identity
	if id == nil {
		if n, err := strconv.ParseUint(uid, 10, 32); err != nil || n == 0 {
			// Which uid the words stand for, and whether 0 is the host's 0, is
			// decided later.
			f.pending = true
		}
		return
	}
	root := id.UID == 0 && id.HostUID == 0
	if id.Mode == spec.UserImage {
		name, _, _ := strings.Cut(id.User, ":")
		n, err := strconv.ParseUint(name, 10, 32)
		switch {
		case name == "" || name == "root" || err == nil && n == 0:
			root = id.HostUID == 0
		case err != nil && id.UID == 0:
			f.add("user.as", off, "the uid of the image's user %q is not known: name a uid that is not 0", name)
			return
		default:
			root = false
		}
	}
	if root {
		f.add("user.as", off, "the process would run as the host's root: choose another user")
	}
}

func checkExtensions(c *context, r *Rules, f *findings) {
	if r.Extensions == nil {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(c.spec.Extensions)) {
		if !slices.Contains(r.Extensions, key) {
			f.add(spec.Path("extensions").Key(key), key, "raw settings for %s pass every other rule by%s", key, choice(f, r.Extensions))
		}
	}
}

func checkFidelity(c *context, r *Rules, f *findings) {
	if len(r.Fidelity) == 0 {
		return
	}
	if c.in.Plan == nil {
		f.pending = true
		return
	}
	for _, field := range spec.SetFields(c.spec) {
		m, ok := c.in.Plan.Mapping(field)
		for _, pattern := range slices.Sorted(maps.Keys(r.Fidelity)) {
			want := r.Fidelity[pattern]
			if !glob(pattern, string(field), '.') {
				continue
			}
			have := m.Fidelity
			if !ok {
				have = "not in the ledger"
			}
			if have != backend.Exact && (have != backend.ByEmulation || want != backend.ByEmulation) {
				f.add(field, "", "the policy wants it %s, and with %s it is %s", want, c.in.Plan.Driver, have)
				break
			}
		}
	}
}

func checkClaims(c *context, r *Rules, f *findings) {
	if len(r.Claims) == 0 {
		return
	}
	if c.in.Info == nil {
		f.pending = true
		return
	}
	for _, name := range r.Claims {
		if claim := c.in.Info.Claim(name); !claim.Has() {
			f.add("", "", "the policy wants an engine with %s, which %s has not%s", name, engineName(c.in.Info), because(claim))
		}
	}
}
