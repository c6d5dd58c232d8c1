// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds that Validate holds and that are not in the table of constraints.
const (
	maxStopGrace = Duration(time.Hour)
	// maxText is the longest argument or NAME=value that Linux passes to a
	// program (execve(2), MAX_ARG_STRLEN, less the NUL at the end).
	maxText = 128<<10 - 1
	// maxLabels bounds the keys and values of all labels together; engines keep
	// them in memory and repeat them in every list.
	maxLabels = 64 << 10
)

// reservedLabels is the start of the label keys that berth writes itself.
const reservedLabels = "berth."

// Places in the sandbox that berth or the engine fills.
var (
	berthPlaces  = []string{"/run/berth", "/run/berth-agent"}
	kernelPlaces = []string{"/proc", "/sys", "/dev"}
)

// engineNetworks are words that an engine reads as a network mode and not as
// the name of a network: a named network must not be a way around a policy
// that forbids the mode.
var engineNetworks = []string{"container", "default", "host", "ns", "none", "pasta", "private", "slirp4netns"}

// reservedAliases are names that berth or every C library resolves itself.
var reservedAliases = []string{"localhost", "host.berth.internal", "host.docker.internal"}

// Validate judges the spec that [Default] makes of s and returns nil or every
// problem at once as [Problems], in document order. It covers what can be known
// without a host: forms, ranges, duplicates and contradictions. Whether a path
// exists, an image can be had or an engine can do it is not its business. It
// does not change s.
func Validate(s *Sandbox) error {
	c := Clone(s)
	Default(c)
	v := validator{s: c, rank: map[Path]int{}}
	walk(c, v.node)
	v.image()
	v.process()
	v.user()
	v.mounts()
	v.binding()
	v.network()
	v.resources()
	v.security()
	v.life()
	v.labels()
	v.extensions()
	if len(v.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(v.problems, func(a, b Problem) int { return v.rank[a.Path] - v.rank[b.Path] })
	return v.problems
}

type validator struct {
	s        *Sandbox
	problems Problems
	rank     map[Path]int // place in the document
}

func (v *validator) add(p Path, c Code, format string, args ...any) {
	v.problems = append(v.problems, Problem{p, c, fmt.Sprintf(format, args...)})
}

// failed reports whether the field at p already has a problem, so that one
// mistake is not told twice.
func (v *validator) failed(p Path) bool {
	return slices.ContainsFunc(v.problems, func(x Problem) bool { return x.Path == p })
}

// node checks what holds for one value alone.
func (v *validator) node(n node) {
	v.rank[n.path] = len(v.rank)
	c := constraints[n.pattern]
	switch n.value.Kind() {
	case reflect.String:
		if !v.text(n.path, n.value.String()) {
			return
		}
	case reflect.Map:
		for _, k := range slices.Sorted(maps.Keys(mapOf(n.value))) {
			if v.text(n.path.Key(k), k) && c.Keys != "" && !compiled()[c.Keys].MatchString(k) {
				v.add(n.path.Key(k), CodeInvalid, "the key %q is not valid: want %s", k, c.Want)
			}
		}
	}
	if code, message := c.check(n.value, n.element); code != "" {
		v.add(n.path, code, "%s", explain(n, message))
	}
}

// text refuses what neither a kernel interface nor JSON can carry.
func (v *validator) text(p Path, s string) bool {
	switch {
	case strings.ContainsRune(s, 0):
		v.add(p, CodeInvalid, "has a NUL byte: remove it")
	case !utf8.ValidString(s):
		v.add(p, CodeInvalid, "%q is not UTF-8: rewrite it", s)
	default:
		return true
	}
	return false
}

// explain replaces the general message where a common mistake has a better one.
func explain(n node, message string) string {
	if n.value.Kind() != reflect.String {
		return message
	}
	text := n.value.String()
	switch n.pattern {
	case "mounts[].type":
		if text == string(ModeOverlay) {
			return `"overlay" is a mode, not a type: write type: bind and mode: overlay`
		}
	case "mounts[].target", "mounts[].upper", "process.workdir":
		if text != "" {
			return pathMessage(text)
		}
	case "security.devices[]":
		if host, mode, ok := strings.Cut(text, ":"); ok && mode != "" && strings.Trim(mode, "rwm") == "" {
			return fmt.Sprintf("%q is not valid: write %s:%s:%s", text, host, host, mode)
		}
	}
	return message
}

// pathMessage says what is wrong with a path that is not absolute and clean.
func pathMessage(p string) string {
	switch {
	case p == "/":
		return `"/" cannot be replaced: want a path below it`
	case !strings.HasPrefix(p, "/"):
		return fmt.Sprintf("%q is not absolute: write the path from /", p)
	case slices.Contains(strings.Split(p, "/"), ".."):
		return fmt.Sprintf("%q has a .. element: write the path that it leads to", p)
	}
	return fmt.Sprintf("%q is not clean: remove empty and . elements and the / at the end", p)
}

func isClean(p string) bool { return compiled()[patCleanPath].MatchString(p) }

// below reports whether the clean path p is dir or below it.
func below(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

func (v *validator) image() {
	if v.s.Image.Ref == HostImage && v.s.Image.Platform != "" {
		v.add("image.platform", CodeConflict, "the host's own toolchain has the host's platform: remove it")
	}
}

func (v *validator) process() {
	p := v.s.Process
	if len(p.Command) > 0 && p.Command[0] == "" {
		v.add("process.command[0]", CodeInvalid, "is empty: want the program to run")
	}
	long := func(at Path, n int) {
		if n > maxText {
			v.add(at, CodeOutOfRange, "is %d bytes long: Linux passes at most %d", n, maxText)
		}
	}
	for i, a := range p.Command {
		long(Path("process.command").Index(i), len(a))
	}
	for i, a := range p.Args {
		long(Path("process.args").Index(i), len(a))
	}
	for name, value := range p.Env {
		long(Path("process.env").Key(name), len(name)+len("=")+len(value))
	}
}

func (v *validator) user() {
	u := v.s.User
	if !v.failed("user.as") && u.As != UserCaller && u.As != UserImage {
		for id := range strings.SplitSeq(u.As, ":") {
			if n, err := strconv.ParseUint(id, 10, 64); err != nil || n > maxID {
				v.add("user.as", CodeOutOfRange, "%s is out of range: want an id of 0 to %d", id, int64(maxID))
			}
		}
	}
	v.unique("user.groups", len(u.Groups), func(i int) string { return fmt.Sprint(u.Groups[i]) })
}

// unique reports each element of a list of single values that repeats an
// earlier one.
func (v *validator) unique(list Path, n int, key func(int) string) {
	seen := map[string]int{}
	for i := range n {
		k := key(i)
		if first, ok := seen[k]; ok {
			v.add(list.Index(i), CodeDuplicate, "%q is %s already: remove one", k, list.Index(first))
			continue
		}
		seen[k] = i
	}
}

func (v *validator) mounts() {
	targets, uppers := map[string]Path{}, map[string]Path{}
	for i, m := range v.s.Mounts {
		at := Path("mounts").Index(i)
		v.source(at.Field("source"), m)
		if t := at.Field("target"); !v.failed(t) {
			v.target(t, m.Target)
			if first, ok := targets[m.Target]; ok {
				v.add(t, CodeDuplicate, "%q is the target of %s already: remove one", m.Target, first)
			} else {
				targets[m.Target] = at
			}
		}
		v.mountOptions(at, m)
		if u := at.Field("upper"); m.Upper != "" && !v.failed(u) {
			if first, ok := uppers[m.Upper]; ok {
				v.add(u, CodeDuplicate, "%q is the upper directory of %s already: give each overlay its own", m.Upper, first)
			} else {
				uppers[m.Upper] = at
			}
		}
	}
}

func (v *validator) source(at Path, m Mount) {
	if v.failed(at) {
		return
	}
	switch m.Type {
	case MountBind:
		switch {
		case m.Source == "":
			v.add(at, CodeRequired, "is required: want the absolute path of the folder or file to mount")
		case !isClean(m.Source):
			v.add(at, CodeInvalid, "%s", pathMessage(m.Source))
		}
	case MountVolume:
		switch {
		case m.Source == "" || compiled()[patObject].MatchString(m.Source):
		case strings.Contains(m.Source, "/") || strings.HasPrefix(m.Source, ".") || strings.HasPrefix(m.Source, "~"):
			v.add(at, CodeInvalid, "%q is not the name of a volume: for a folder of the host write its absolute path and type: bind", m.Source)
		default:
			v.add(at, CodeInvalid, "%q is not the name of a volume: want %s", m.Source, wantObject)
		}
	case MountTmpfs:
		if m.Source != "" {
			v.add(at, CodeConflict, "a tmpfs has no source: remove it")
		}
	}
}

func (v *validator) target(at Path, target string) {
	for _, place := range berthPlaces {
		if below(target, place) {
			v.add(at, CodeReserved, "%q is berth's own place: mount somewhere else", target)
			return
		}
	}
	if below(target, "/dev/shm") {
		v.add(at, CodeReserved, "%q is made by the engine: set resources.shm for its size", target)
		return
	}
	for _, place := range kernelPlaces {
		if below(target, place) {
			v.add(at, CodeReserved, "%q is in %s, which the engine fills: mount somewhere else", target, place)
			return
		}
	}
}

func (v *validator) mountOptions(at Path, m Mount) {
	if mode := at.Field("mode"); !v.failed(mode) && !v.failed(at.Field("type")) {
		switch {
		case m.Mode == ModeOverlay && m.Type != MountBind:
			v.add(mode, CodeConflict, "overlay needs a folder of the host below it: use type: bind or another mode")
		case m.Mode == ModeRO && m.Type == MountTmpfs:
			v.add(mode, CodeConflict, "a read-only tmpfs stays empty: use rw or remove the mount")
		}
	}
	if m.Size > 0 && m.Type != MountTmpfs {
		v.add(at.Field("size"), CodeConflict, "only a tmpfs has a size: remove it, or bound the root file system with resources.disk")
	}
	if m.Type == MountTmpfs && m.SELinux != SELinuxNone && !v.failed(at.Field("selinux")) {
		v.add(at.Field("selinux"), CodeConflict, "a tmpfs is not relabelled: remove it")
	}
	if upper := at.Field("upper"); m.Upper != "" && !v.failed(upper) {
		switch {
		case m.Mode != ModeOverlay:
			v.add(upper, CodeConflict, "only mode: overlay has an upper directory: set the mode or remove it")
		case isClean(m.Source) && (below(m.Upper, m.Source) || below(m.Source, m.Upper)):
			v.add(upper, CodeConflict, "%q overlaps the source %q: want a directory outside it", m.Upper, m.Source)
		}
	}
}

func (v *validator) binding() {
	b := v.s.Binding
	v.address("binding.address", b.Address)
	if len(b.Ports) > 0 && v.s.Network.Mode == NetHost {
		v.add("binding.ports", CodeConflict, "with network mode host a port cannot be published, what listens is on the host already: remove the ports or use another mode")
	}
	names := map[string]Path{}
	type inner struct {
		port     int
		protocol Protocol
		address  string
	}
	inners := map[inner]Path{}
	type outer struct {
		at      Path
		port    Port
		address netip.Addr
	}
	var outers []outer
	for i, p := range b.Ports {
		at := Path("binding.ports").Index(i)
		if first, ok := names[p.Name]; ok && p.Name != "" {
			v.add(at.Field("name"), CodeDuplicate, "%q is the name of %s already: choose another", p.Name, first)
		}
		names[p.Name] = at
		v.address(at.Field("address"), p.Address)
		address := p.Address
		if address == "" {
			address = b.Address
		}
		key := inner{p.ContainerPort, p.Protocol, address}
		if first, ok := inners[key]; ok {
			v.add(at.Field("containerPort"), CodeDuplicate, "%d/%s is published on %s by %s already: remove one", p.ContainerPort, p.Protocol, address, first)
		} else {
			inners[key] = at
		}
		parsed, err := netip.ParseAddr(address)
		if err != nil || p.HostPort == 0 {
			continue
		}
		for _, o := range outers {
			if o.port.HostPort == p.HostPort && o.port.Protocol == p.Protocol && collide(o.address, parsed) {
				v.add(at.Field("hostPort"), CodeDuplicate, "%d/%s on %s is taken by %s already: choose another, or 0 for any", p.HostPort, p.Protocol, address, o.at)
				break
			}
		}
		outers = append(outers, outer{at, p, parsed})
	}
}

// collide reports whether the same port cannot be bound on both addresses.
func collide(a, b netip.Addr) bool {
	return a == b || a.Is4() == b.Is4() && (a.IsUnspecified() || b.IsUnspecified())
}

func (v *validator) address(at Path, s string) {
	if s == "" || v.failed(at) {
		return
	}
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		v.add(at, CodeInvalid, "%q is not an IP address: want one such as 127.0.0.1 or ::1", s)
	case a.Zone() != "":
		v.add(at, CodeInvalid, "%q has a zone: want an address without %%", s)
	case a.IsMulticast() || s == "255.255.255.255":
		v.add(at, CodeInvalid, "%q is not the address of an interface: want one such as 127.0.0.1 or ::1", s)
	}
}

func (v *validator) network() {
	n := v.s.Network
	alone := n.Mode == NetNone || n.Mode == NetHost
	switch n.Mode {
	case NetInternal, NetShared, NetNamed:
		if n.Name == "" {
			v.add("network.name", CodeRequired, "mode %s needs the name of a network: set it", n.Mode)
		}
	case NetIsolated, NetNone, NetHost:
		if n.Name != "" {
			v.add("network.name", CodeConflict, "mode %s has no name: remove it, or use internal, shared or named", n.Mode)
		}
		if len(n.Aliases) > 0 {
			v.add("network.aliases", CodeConflict, "with mode %s no other sandbox could use an alias: remove them, or use internal, shared or named", n.Mode)
		}
	}
	v.networkName("network.name", n.Name)
	v.aliases("network.aliases", n.Aliases)
	if alone && len(n.Additional) > 0 {
		v.add("network.additional", CodeConflict, "mode %s cannot be joined with other networks: remove them or the mode", n.Mode)
	}
	seen := map[string]Path{}
	if n.Name != "" {
		seen[n.Name] = "network.name"
	}
	for i, a := range n.Additional {
		at := Path("network.additional").Index(i)
		v.networkName(at.Field("name"), a.Name)
		if first, ok := seen[a.Name]; ok && a.Name != "" {
			v.add(at.Field("name"), CodeDuplicate, "%q is %s already: remove one", a.Name, first)
		} else {
			seen[a.Name] = at.Field("name")
		}
		v.aliases(at.Field("aliases"), a.Aliases)
	}
	v.egress(n.Egress)
}

func (v *validator) networkName(at Path, name string) {
	if slices.Contains(engineNetworks, name) {
		v.add(at, CodeReserved, "%q is what an engine calls a mode, not a network: choose another name", name)
	}
}

func (v *validator) aliases(list Path, names []string) {
	for i, name := range names {
		at := list.Index(i)
		_, err := netip.ParseAddr(name)
		switch {
		case v.failed(at):
		case err == nil:
			v.add(at, CodeInvalid, "%q is an address, not a name: want a name", name)
		case slices.Contains(reservedAliases, strings.ToLower(name)):
			v.add(at, CodeReserved, "%q has a meaning of its own in every sandbox: choose another name", name)
		}
	}
	v.unique(list, len(names), func(i int) string { return strings.ToLower(names[i]) })
}

func (v *validator) egress(rules []EgressRule) {
	for i, r := range rules {
		at := Path("network.egress").Index(i)
		switch {
		case r.CIDR == "" && r.Domain == "":
			v.add(at, CodeRequired, "allows nothing: set cidr or domain")
			continue
		case r.CIDR != "" && r.Domain != "":
			v.add(at, CodeConflict, "has both cidr and domain: make two rules of it")
		}
		if cidr := at.Field("cidr"); r.CIDR != "" && !v.failed(cidr) {
			if message := cidrProblem(r.CIDR); message != "" {
				v.add(cidr, CodeInvalid, "%s", message)
			}
		}
		domain := at.Field("domain")
		if a, err := netip.ParseAddr(r.Domain); err == nil && !v.failed(domain) {
			v.add(domain, CodeInvalid, "%q is an address: write cidr: %s", r.Domain, netip.PrefixFrom(a, a.BitLen()))
		}
		if len(r.Domain) > 253 && !v.failed(domain) {
			v.add(domain, CodeOutOfRange, "is %d characters long: a domain has at most 253", len(r.Domain))
		}
	}
	v.unique("network.egress", len(rules), func(i int) string { return rules[i].CIDR + rules[i].Domain })
}

func cidrProblem(s string) string {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
			return fmt.Sprintf("%q has no length: write %s", s, netip.PrefixFrom(a, a.BitLen()))
		}
		return fmt.Sprintf("%q is not a network: want one such as 10.0.0.0/8 or fd00::/8", s)
	}
	if p.Addr().Is4In6() {
		return fmt.Sprintf("%q is IPv4 inside IPv6: write the IPv4 network", s)
	}
	if p.Masked() != p {
		return fmt.Sprintf("%q has bits beyond its length: write %s", s, p.Masked())
	}
	return ""
}

func (v *validator) resources() {
	r := v.s.Resources
	if r.Memory > 0 && r.Memory < minMemory {
		v.add("resources.memory", CodeOutOfRange, "%s is too small for any program: want at least %s", r.Memory, minMemory)
	}
	if f := r.NoFile; f != (NoFile{}) {
		switch {
		case f.Soft == 0:
			v.add("resources.nofile.soft", CodeRequired, "is required: without an open file nothing starts")
		case f.Hard == 0:
			v.add("resources.nofile.hard", CodeRequired, "is required: want at least %d, the soft limit", f.Soft)
		case f.Soft > f.Hard:
			v.add("resources.nofile.soft", CodeConflict, "%d is above the hard limit %d: lower it or raise hard", f.Soft, f.Hard)
		}
		if f.Soft > math.MaxInt64 {
			v.add("resources.nofile.soft", CodeOutOfRange, "%d is out of range: want at most %d", f.Soft, int64(math.MaxInt64))
		}
		if f.Hard > math.MaxInt64 {
			v.add("resources.nofile.hard", CodeOutOfRange, "%d is out of range: want at most %d", f.Hard, int64(math.MaxInt64))
		}
	}
}

func (v *validator) security() {
	c := v.s.Security.Capabilities
	// The problems are those of the whole list: Default has sorted it, an index
	// would point somewhere else in the document.
	known := func(at Path, names []string) {
		for _, name := range names {
			if name != CapabilityAll && !slices.Contains(capabilityNames, name) {
				v.add(at, CodeUnknownValue, "%q is not a capability: want ALL or a name of capabilities(7) such as NET_BIND_SERVICE", name)
			}
		}
	}
	known("security.capabilities.add", c.Add)
	known("security.capabilities.drop", c.Drop)
	for _, name := range c.Drop {
		if slices.Contains(c.Add, name) {
			v.add("security.capabilities.drop", CodeConflict, "%s is added too: remove it from one of the lists", name)
		}
	}
	devices := v.s.Security.Devices
	for i, d := range devices {
		if _, mode, ok := strings.Cut(strings.TrimPrefix(d, "/"), ":/"); ok && strings.Contains(mode, ":") {
			perms := mode[strings.LastIndex(mode, ":")+1:]
			for _, p := range "rwm" {
				if at := Path("security.devices").Index(i); strings.Count(perms, string(p)) > 1 && !v.failed(at) {
					v.add(at, CodeInvalid, "%q grants %c twice: remove one", d, p)
				}
			}
		}
	}
	v.unique("security.devices", len(devices), func(i int) string { return devices[i] })
}

func (v *validator) life() {
	l := v.s.Life
	if l.StopSignal != "" && !v.failed("life.stopSignal") {
		if _, _, err := ParseSignal(l.StopSignal); err != nil {
			v.add("life.stopSignal", CodeUnknownValue, "%q is not a signal: want a name such as SIGTERM or SIGRTMIN+3", l.StopSignal)
		}
	}
	if l.Restart.MaxRetries > 0 && l.Restart.Policy != RestartOnFailure {
		v.add("life.restart.maxRetries", CodeConflict, "only policy: on-failure counts its tries: change the policy or remove it")
	}
	if h := l.Health; h != nil {
		if len(h.Command) > 0 && h.Command[0] == "" {
			v.add("life.health.command[0]", CodeInvalid, "is empty: want the program to run")
		}
		for _, d := range []struct {
			at    Path
			value Duration
		}{{"life.health.interval", h.Interval}, {"life.health.timeout", h.Timeout}, {"life.health.startPeriod", h.StartPeriod}} {
			if d.value > 0 && d.value < Duration(time.Millisecond) {
				v.add(d.at, CodeOutOfRange, "%s is too short: want at least 1ms", d.value)
			}
		}
	}
}

func (v *validator) labels() {
	total := 0
	for k, value := range v.s.Labels {
		total += len(k) + len(value)
		if at := Path("labels").Key(k); strings.HasPrefix(strings.ToLower(k), reservedLabels) {
			v.add(at, CodeReserved, "keys that start with %s are berth's own: choose another", reservedLabels)
		}
	}
	if total > maxLabels {
		v.add("labels", CodeOutOfRange, "are %d bytes in all: want at most %d", total, maxLabels)
	}
}

func (v *validator) extensions() {
	for k, raw := range v.s.Extensions {
		if message := objectProblem(raw); message != "" {
			v.add(Path("extensions").Key(k), CodeInvalid, "%s", message)
		}
	}
}

// objectProblem says why raw is not one JSON object with unique keys, or "".
// A repeated key is refused because two readers of it could see two values.
func objectProblem(raw json.RawMessage) string {
	if !utf8.Valid(raw) || !json.Valid(raw) {
		return "is not JSON: want an object"
	}
	if !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) {
		return "is not an object: want {…}"
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	type level struct {
		keys  map[string]bool // nil in an array
		value bool            // the next token is a value, not a key
	}
	var levels []level
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return ""
		}
		if err != nil {
			return "is not JSON: want an object"
		}
		top := len(levels) - 1
		key := top >= 0 && levels[top].keys != nil && !levels[top].value
		if top >= 0 && levels[top].keys != nil {
			levels[top].value = !levels[top].value
		}
		switch token := token.(type) {
		case json.Delim:
			switch token {
			case '{':
				levels = append(levels, level{keys: map[string]bool{}})
			case '[':
				levels = append(levels, level{})
			default:
				levels = levels[:top]
			}
		case string:
			if key {
				if levels[top].keys[token] {
					return fmt.Sprintf("has the key %q twice: remove one", token)
				}
				levels[top].keys[token] = true
			}
		}
	}
}
