// SPDX-License-Identifier: Apache-2.0

package openhands

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/berthrun/berth/spec"
)

const (
	// maxID is the largest uid or gid: the one above it is (uid_t)-1, which
	// chown(2) and setresuid(2) take for "leave it".
	maxID = math.MaxUint32 - 1
	// maxSeconds keeps a number of seconds within a duration.
	maxSeconds = math.MaxInt32
	// workspaceTarget is where OpenHands looks for the project.
	workspaceTarget = "/workspace"
)

// noApply marks a key that is honoured together with others, in one of the
// methods below that Read calls at the end.
func noApply(*reader, *value) {}

func seconds(n int64) spec.Duration { return spec.Duration(time.Duration(n) * time.Second) }

// on says whether a boolean key is set to true.
func (r *reader) on(env string) bool {
	v := r.get(env)
	return v != nil && v.bool
}

// Checks of a text that has the right type. Each returns "" or what is wrong
// and what to write.

func checkImage(s string) string {
	if strings.ContainsFunc(s, unicode.IsSpace) || strings.HasPrefix(s, "-") {
		return fmt.Sprintf("%q is not an image reference; write one such as debian:12 or ghcr.io/owner/image:tag", s)
	}
	return ""
}

var tagForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

func checkTag(s string) string {
	if !tagForm.MatchString(s) {
		return fmt.Sprintf("%q is not a tag of an image; write one such as latest", s)
	}
	return ""
}

var platformForm = regexp.MustCompile(`^[a-z0-9_]+/[a-z0-9_]+(/[a-z0-9_.]+)?$`)

func checkPlatform(s string) string {
	if !platformForm.MatchString(s) {
		return fmt.Sprintf("%q is not a platform; write os/arch[/variant], such as linux/arm64", s)
	}
	return ""
}

func checkAddress(s string) string {
	if a, err := netip.ParseAddr(s); err != nil || a.Zone() != "" {
		return fmt.Sprintf("%q is not an IP address; write one such as 127.0.0.1 or ::1, without port, brackets or zone", s)
	}
	return ""
}

var gpuForm = regexp.MustCompile(`^(all|[0-9]+(:[0-9]+)?|(GPU|MIG)-[A-Za-z0-9-]+)$`)

func checkGPUs(s string) string {
	for gpu := range strings.SplitSeq(s, ",") {
		if !gpuForm.MatchString(strings.TrimSpace(gpu)) {
			return fmt.Sprintf("%q in %q names no GPU; write indexes or UUIDs separated by commas, such as 0,1", strings.TrimSpace(gpu), s)
		}
	}
	return ""
}

var userNameForm = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,30}$`)

func checkUserName(s string) string {
	if !userNameForm.MatchString(s) {
		return fmt.Sprintf("%q is not a login name; write at most 31 of a-z, 0-9, _ and -, beginning with a letter or _", s)
	}
	return ""
}

func checkFactor(s string) string {
	if !slices.Contains([]string{"1", "2", "4", "8"}, s) {
		return s + " is not a resource factor; OpenHands knows 1, 2, 4 and 8"
	}
	return ""
}

// envProblem says why a variable cannot be given to a process, or "".
func envProblem(name, text string) string {
	switch {
	case name == "":
		return "the name of the variable is empty"
	case !utf8.ValidString(name) || !utf8.ValidString(text):
		return "the text is not valid UTF-8"
	case strings.ContainsFunc(name, func(c rune) bool { return c == '=' || unicode.IsSpace(c) || unicode.IsControl(c) }):
		return "the name of a variable has no =, no white space and no control character"
	case strings.Contains(text, "\x00"):
		return "the value has a NUL in it, which ends a variable"
	}
	return ""
}

func applyRuntimeClass(r *reader, v *value) {
	runtimes := map[string]string{"gvisor": "runsc", "sysbox": "sysbox-runc"}
	runtime, ok := runtimes[v.str]
	if !ok {
		r.problem(v, spec.CodeUnknownValue, "%q is not a runtime class; OpenHands knows gvisor and sysbox, and without the key the engine's default runtime is used", v.str)
		return
	}
	r.set("security.runtime", v, &r.res.Spec.Security.Runtime, runtime)
}

func applyCloseDelay(r *reader, v *value) {
	if r.on("SANDBOX_KEEP_RUNTIME_ALIVE") {
		r.warn(v, NoticeOverridden, "%s is set, and a sandbox that is kept is not stopped for being idle", r.get("SANDBOX_KEEP_RUNTIME_ALIVE").name)
		return
	}
	r.res.Spec.Life.IdleTimeout = seconds(v.int)
	r.source("life.idleTimeout", v)
}

func applyNetworks(r *reader, v *value) {
	seen := map[string]bool{}
	for i, name := range v.list {
		name = strings.TrimSpace(name)
		switch {
		case name == "" || strings.ContainsFunc(name, unicode.IsSpace):
			r.problem(v, spec.CodeInvalid, "element %d, %q, is not the name of a network", i+1, name)
			continue
		case seen[name]:
			r.problem(v, spec.CodeDuplicate, "network %q appears twice", name)
			continue
		}
		seen[name] = true
		n := &r.res.Spec.Network
		n.Additional = append(n.Additional, spec.Attachment{Name: name})
		r.source("network.additional", v)
		r.source(spec.Path("network.additional").Index(len(n.Additional)-1), v)
	}
}

// applyNetworkMode honours use_host_network.
func (r *reader) applyNetworkMode() {
	if !r.on("SANDBOX_USE_HOST_NETWORK") {
		return
	}
	v := r.get("SANDBOX_USE_HOST_NETWORK")
	r.res.Spec.Network.Mode = spec.NetHost
	r.source("network.mode", v)
	if more := r.get("SANDBOX_ADDITIONAL_NETWORKS"); more != nil && len(more.list) > 0 {
		r.problem(more, spec.CodeConflict, "a sandbox on the host's network joins no other; remove this or %s", v.name)
	}
}

func applyVSCodePort(r *reader, v *value) {
	if r.on("SANDBOX_USE_HOST_NETWORK") {
		r.warn(v, NoticeOverridden, "%s is set: nothing is published on the host's network, and what listens on %d in the sandbox is there already", r.get("SANDBOX_USE_HOST_NETWORK").name, v.int)
		return
	}
	b := &r.res.Spec.Binding
	b.Ports = append(b.Ports, spec.Port{Name: "vscode", Protocol: spec.TCP, ContainerPort: int(v.int), HostPort: int(v.int)})
	r.source(spec.Path("binding.ports").Index(len(b.Ports)-1), v)
}

func (r *reader) device(name string, vs ...*value) {
	s := &r.res.Spec.Security
	s.Devices = append(s.Devices, name)
	r.source(spec.Path("security.devices").Index(len(s.Devices)-1), vs...)
	r.devices = append(r.devices, vs...)
	r.source("security.devices", r.devices...)
}

func applyKVM(r *reader, v *value) {
	if v.bool {
		r.device("/dev/kvm", v)
	}
}

func applyGPU(r *reader, v *value) {
	const class = "nvidia.com/gpu="
	only := r.get("SANDBOX_CUDA_VISIBLE_DEVICES")
	switch {
	case !v.bool:
	case only == nil:
		r.device(class+"all", v)
	default:
		var names []string
		for gpu := range strings.SplitSeq(only.str, ",") {
			names = append(names, strings.TrimSpace(gpu))
		}
		if slices.Contains(names, "all") {
			names = []string{"all"}
		}
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			r.device(class+name, v, only)
		}
	}
}

// applyGPUList warns about a choice of GPUs where none was asked for.
func applyGPUList(r *reader, v *value) {
	if !r.on("SANDBOX_ENABLE_GPU") {
		r.warn(v, NoticeOverridden, "no GPU is handed in without SANDBOX_ENABLE_GPU=true, so this has no effect")
	}
}

// What OpenHands' other runtimes are, and what to do instead.
var otherRuntimes = map[string]string{
	"local":      "runs the agent on the host with no sandbox at all; unset it, or say docker",
	"cli":        "runs the agent on the host with no sandbox at all; unset it, or say docker",
	"process":    "runs the agent on the host with no sandbox at all; unset it, or say docker",
	"remote":     "leaves the sandbox to a hosted service, and berth starts it itself; unset it, and name another machine's engine with --host",
	"kubernetes": "leaves the sandbox to a cluster; unset it, and on a node use the node's engine with --backend containerd",
}

func applyRuntime(r *reader, v *value) {
	name := strings.ToLower(v.str)
	docker := name == "docker" || name == "eventstream"
	if kind := r.get("OH_SANDBOX_KIND"); kind != nil {
		if !docker {
			r.warn(v, NoticeOverridden, "%s is set and wins", kind.name)
		}
		return
	}
	if docker {
		r.res.Hints.Backend = Hint[string]{"docker", v.source}
		return
	}
	if why, ok := otherRuntimes[name]; ok {
		r.problem(v, spec.CodeUnsupported, "refused: %s %s", name, why)
		return
	}
	switch name {
	case "podman", "containerd", "embedded":
		r.problem(v, spec.CodeUnknownValue, "%q is a backend of berth and not a runtime of OpenHands; use --backend %s or BERTH_BACKEND=%s", v.str, name, name)
	default:
		r.problem(v, spec.CodeUnknownValue, "refused: %q is not a runtime that berth can stand in for; say docker, or unset it", v.str)
	}
}

func applyKind(r *reader, v *value) {
	// A class may be written with the module that it is in.
	kind := v.str[strings.LastIndex(v.str, ".")+1:]
	switch kind {
	case "DockerSandboxServiceInjector":
		r.res.Hints.Backend = Hint[string]{"docker", v.source}
	case "RemoteSandboxServiceInjector":
		r.problem(v, spec.CodeUnsupported, "refused: %s %s", kind, otherRuntimes["remote"])
	case "ProcessSandboxServiceInjector":
		r.problem(v, spec.CodeUnsupported, "refused: %s runs the agent on the host with no sandbox at all; unset it", kind)
	default:
		r.problem(v, spec.CodeUnknownValue, "refused: %q is not a kind that berth can stand in for; say DockerSandboxServiceInjector, or unset it", v.str)
	}
}

// applyImage picks the image from the keys that name one.
func (r *reader) applyImage() {
	repository, tag := r.get("AGENT_SERVER_IMAGE_REPOSITORY"), r.get("AGENT_SERVER_IMAGE_TAG")
	type candidate struct {
		ref string
		vs  []*value
	}
	var found []candidate
	if v := r.get("SANDBOX_RUNTIME_CONTAINER_IMAGE"); v != nil {
		found = append(found, candidate{v.str, []*value{v}})
	}
	switch {
	case repository != nil && tag != nil:
		found = append(found, candidate{repository.str + ":" + tag.str, []*value{repository, tag}})
	case repository != nil:
		r.problem(repository, spec.CodeRequired, "OpenHands takes it only together with AGENT_SERVER_IMAGE_TAG; set that too, or use SANDBOX_RUNTIME_CONTAINER_IMAGE")
	case tag != nil:
		r.problem(tag, spec.CodeRequired, "OpenHands takes it only together with AGENT_SERVER_IMAGE_REPOSITORY; set that too, or use SANDBOX_RUNTIME_CONTAINER_IMAGE")
	}
	if v := r.get("SANDBOX_BASE_CONTAINER_IMAGE"); v != nil {
		found = append(found, candidate{v.str, []*value{v}})
	}
	if len(found) == 0 {
		return
	}
	r.res.Spec.Image.Ref = found[0].ref
	r.source("image.ref", found[0].vs...)
	for _, c := range found[1:] {
		for _, v := range c.vs {
			r.warn(v, NoticeOverridden, "%s names the image and wins; remove one of them", found[0].vs[0].name)
		}
	}
}

// applyUser decides as whom the process runs.
func (r *reader) applyUser() {
	uid, other, gid := r.get("SANDBOX_USER_ID"), r.get("RUNTIME_UID"), r.get("SANDBOX_GROUP_ID")
	asOpenHands := r.get("RUN_AS_OPENHANDS")
	if uid == nil {
		uid = other
	} else if other != nil && other.int != uid.int {
		r.warn(other, NoticeOverridden, "%s is set and wins; remove one of them", uid.name)
	}
	if asOpenHands != nil && !asOpenHands.bool {
		if uid == nil {
			uid = asOpenHands // its int is 0, which is what it means
		} else if uid.int != 0 {
			r.warn(asOpenHands, NoticeOverridden, "%s is set and wins, so the process does not run as root", uid.name)
		}
	}
	user := &r.res.Spec.User
	switch {
	case uid == nil && gid == nil:
	case uid == nil && r.in.UID < 0:
		r.problem(gid, spec.CodeRequired, "this system has no uid to go with the group; set SANDBOX_USER_ID too")
	case uid == nil:
		user.As = fmt.Sprintf("%d:%d", r.in.UID, gid.int)
		r.source("user.as", gid)
	case gid != nil:
		user.As = fmt.Sprintf("%d:%d", uid.int, gid.int)
		r.source("user.as", uid, gid)
	case uid.int == int64(r.in.UID) && r.in.GID >= 0:
		user.As = fmt.Sprintf("%d:%d", uid.int, r.in.GID)
		r.source("user.as", uid)
	default:
		user.As = strconv.FormatInt(uid.int, 10)
		r.source("user.as", uid)
	}
	if name := r.get("RUNTIME_USERNAME"); name != nil {
		if name.str == "root" && (uid == nil || uid.int != 0) {
			r.problem(name, spec.CodeConflict, "root is the name of uid 0; set SANDBOX_USER_ID=0 to run as root")
			return
		}
		r.set("user.name", name, &user.Name, name.str)
	}
}

// applyMounts honours every key that mounts something.
func (r *reader) applyMounts() {
	s := r.res.Spec
	var made []*value // what made each mount
	targets := map[string]*value{}
	legacy := false
	if v := r.get("SANDBOX_VOLUMES"); v != nil {
		mounts, err := ParseVolumes(v.str, r.in.Home, r.in.Dir)
		for _, e := range joined(err) {
			code := spec.CodeInvalid
			if bad, ok := errors.AsType[*VolumeError](e); ok {
				code = bad.Code
			}
			r.problem(v, code, "%v", e)
		}
		s.Mounts = mounts
		made = slices.Repeat([]*value{v}, len(mounts))
		for _, old := range r.workspaceKeys() {
			r.warn(old, NoticeOverridden, "deprecated, and %s is set and wins; remove it", v.name)
		}
	} else if m, v := r.workspaceMount(); v != nil {
		s.Mounts, made, legacy = []spec.Mount{m}, []*value{v}, true
		targets[m.Target] = cmp.Or(r.get("WORKSPACE_MOUNT_PATH_IN_SANDBOX"), v)
	}
	modes := make([]*value, len(made))
	for _, n := range r.mountVariables() {
		m, ok := r.variableMount(n)
		if !ok {
			continue
		}
		if i := slices.IndexFunc(s.Mounts, func(o spec.Mount) bool { return o.Target == m.Target }); i >= 0 {
			r.problem(n.container, spec.CodeDuplicate, "container path %s is already the target of a mount from %s", m.Target, made[i].name)
			continue
		}
		targets[m.Target] = n.container
		maker := &value{name: n.host.name, source: n.container.source + ", " + n.host.source}
		s.Mounts, made, modes = append(s.Mounts, m), append(made, maker), append(modes, n.mode)
	}

	overlays := r.get("SANDBOX_VOLUME_OVERLAYS")
	upper, overlaid := "", false
	if overlays != nil {
		dir, err := resolveHost(overlays.str, r.in.Home, r.in.Dir)
		switch {
		case err != nil:
			r.problem(overlays, spec.CodeInvalid, "%v", err)
		case isWindowsPath(overlays.str):
			r.problem(overlays, spec.CodeUnsupported, "%q is a Windows path; write the path of a folder of this system", overlays.str)
		case r.in.Name != "" && (!filepath.IsLocal(r.in.Name) || strings.Contains(r.in.Name, "/")):
			r.problem(overlays, spec.CodeInvalid, "the sandbox's name %q cannot be the name of a folder below it", r.in.Name)
		default:
			upper = filepath.Join(dir, r.in.Name)
		}
	}
	for i := range s.Mounts {
		m, at := &s.Mounts[i], spec.Path("mounts").Index(i)
		r.source(at, made[i])
		r.makers[at.Field("target")] = cmp.Or(targets[m.Target], made[i])
		r.source(at.Field("mode"), cmp.Or(modes[i], made[i]))
		if m.SELinux != "" {
			r.source(at.Field("selinux"), cmp.Or(modes[i], made[i]))
		}
		if m.Mode == spec.ModeOverlay && overlays != nil {
			overlaid = true
			// Beside it there is room for what an overlay needs besides.
			m.Upper = filepath.Join(upper, strconv.Itoa(i), "upper")
			r.source(at.Field("upper"), overlays)
		}
	}
	if overlays != nil && !overlaid {
		r.warn(overlays, NoticeOverridden, "no mount has the mode overlay, so this has no effect")
	}
	r.applyWorkspace(made, legacy)
}

// applyWorkspace says which mount is the project.
func (r *reader) applyWorkspace(made []*value, legacy bool) {
	s := r.res.Spec
	if len(s.Mounts) == 0 {
		return
	}
	i := slices.IndexFunc(s.Mounts, func(m spec.Mount) bool { return m.Target == workspaceTarget })
	explicit := i >= 0 || legacy
	if legacy || i < 0 {
		i = 0
	}
	r.res.Hints.Workspace = &Workspace{Mount: i, Source: s.Mounts[i].Source, Target: s.Mounts[i].Target, Explicit: explicit}
	if explicit {
		r.set("process.workdir", made[i], &s.Process.Workdir, s.Mounts[i].Target)
		if in := r.get("WORKSPACE_MOUNT_PATH_IN_SANDBOX"); legacy && in != nil {
			r.source("process.workdir", in)
		}
	}
}

// workspaceKeys returns the deprecated keys that are set.
func (r *reader) workspaceKeys() []*value {
	var out []*value
	for _, name := range []string{"WORKSPACE_BASE", "WORKSPACE_MOUNT_PATH", "WORKSPACE_MOUNT_PATH_IN_SANDBOX", "WORKSPACE_MOUNT_REWRITE"} {
		if v := r.get(name); v != nil {
			out = append(out, v)
		}
	}
	return out
}

// workspaceMount makes the one mount of the deprecated keys, as OpenHands'
// finalize_config does, and gives each of them its one warning. The value is
// the key that named the folder; nil when there is no mount.
func (r *reader) workspaceMount() (spec.Mount, *value) {
	base, direct := r.get("WORKSPACE_BASE"), r.get("WORKSPACE_MOUNT_PATH")
	inside, rewrite := r.get("WORKSPACE_MOUNT_PATH_IN_SANDBOX"), r.get("WORKSPACE_MOUNT_REWRITE")
	ok := true
	fail := func(v *value, code spec.Code, format string, args ...any) {
		r.problem(v, code, format+"; better, use SANDBOX_VOLUMES=/my/dir:/workspace:rw instead", args...)
		ok = false
	}

	target := workspaceTarget
	if inside != nil {
		clean, err := cleanTarget(inside.str)
		if err != nil {
			fail(inside, spec.CodeInvalid, "%v", err)
		}
		target = clean
	}
	if base == nil && direct == nil {
		for _, v := range r.workspaceKeys() {
			if ok {
				r.warn(v, NoticeDeprecated, "deprecated, and without a folder to mount it has no effect; use SANDBOX_VOLUMES=/my/dir:%s:rw instead", target)
			}
		}
		return spec.Mount{}, nil
	}

	resolve := func(v *value) string {
		if isWindowsPath(v.str) {
			fail(v, spec.CodeUnsupported, "%q is a Windows path; write the path of a folder of this system", v.str)
			return ""
		}
		path, err := resolveHost(v.str, r.in.Home, r.in.Dir)
		if err != nil {
			fail(v, spec.CodeInvalid, "%v", err)
		}
		return path
	}
	var basePath, source string
	maker := cmp.Or(direct, base)
	if base != nil {
		basePath = resolve(base)
		source = basePath
	}
	if direct != nil {
		source = resolve(direct)
	}
	unused := map[*value]string{}
	if rewrite != nil && ok {
		from, to, colon := strings.Cut(rewrite.str, ":")
		if base == nil {
			basePath = r.in.Dir
		}
		// OpenHands replaces every occurrence, and lets the result win over
		// WORKSPACE_MOUNT_PATH.
		source = filepath.Clean(strings.ReplaceAll(basePath, from, to))
		switch {
		case !colon || from == "" || strings.Contains(to, ":"):
			fail(rewrite, spec.CodeInvalid, "%q does not have the form FROM:TO", rewrite.str)
		case !strings.HasPrefix(source, "/"):
			fail(rewrite, spec.CodeInvalid, "%q makes %q of %q, which is not absolute", rewrite.str, source, basePath)
		case !strings.Contains(basePath, from):
			unused[rewrite] = fmt.Sprintf(" (%q is not in %q, so nothing was rewritten)", from, basePath)
		default:
			maker = rewrite
		}
		if direct != nil {
			unused[direct] = fmt.Sprintf(" (%s wins over it)", rewrite.name)
		}
	}
	if base != nil && direct != nil && rewrite == nil {
		unused[base] = fmt.Sprintf(" (%s wins over it)", direct.name)
	}
	if reason := unusableText(source); ok && reason != "" {
		fail(maker, spec.CodeInvalid, "%s", reason)
	}
	if !ok {
		return spec.Mount{}, nil
	}
	m := spec.Mount{Type: spec.MountBind, Source: source, Target: target, Mode: spec.ModeRW}
	for _, v := range r.workspaceKeys() {
		r.warn(v, NoticeDeprecated, "deprecated; use %s instead%s", replacement(m), unused[v])
	}
	return m, maker
}

// replacement is the line that says in the newer form what m is. A path that
// the newer form cannot hold has none.
func replacement(m spec.Mount) string {
	value := m.Source + ":" + m.Target + ":" + string(m.Mode)
	back, err := ParseVolumes(value, "", "")
	if err != nil || !slices.Equal(back, []spec.Mount{m}) {
		return fmt.Sprintf("a spec file with a mount of %q at %q (SANDBOX_VOLUMES cannot hold these paths)", m.Source, m.Target)
	}
	return "SANDBOX_VOLUMES=" + shellQuote(value)
}

var shellSafe = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=~-]+$`)

// shellQuote writes s so that a POSIX shell reads it as one word.
func shellQuote(s string) string {
	if shellSafe.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// joined takes an error of errors.Join apart.
func joined(err error) []error {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return many.Unwrap()
	}
	return []error{err}
}

// mountVars are the variables OH_SANDBOX_MOUNTS_<N>_* of one N.
type mountVars struct {
	number                string
	host, container, mode *value
}

// mountVariables groups the variables by their number, in its order.
func (r *reader) mountVariables() []*mountVars {
	byNumber := map[string]*mountVars{}
	collect := func(part string, field func(*mountVars) **value) {
		for _, v := range r.patterns["OH_SANDBOX_MOUNTS_<N>_"+part] {
			if byNumber[v.part] == nil {
				byNumber[v.part] = &mountVars{number: v.part}
			}
			*field(byNumber[v.part]) = v
		}
	}
	collect("HOST_PATH", func(m *mountVars) **value { return &m.host })
	collect("CONTAINER_PATH", func(m *mountVars) **value { return &m.container })
	collect("MODE", func(m *mountVars) **value { return &m.mode })
	return slices.SortedFunc(maps.Values(byNumber), func(a, b *mountVars) int {
		i, _ := strconv.Atoi(a.number)
		j, _ := strconv.Atoi(b.number)
		return cmp.Or(i-j, strings.Compare(a.number, b.number))
	})
}

// variableMount makes the mount of one group of variables.
func (r *reader) variableMount(n *mountVars) (spec.Mount, bool) {
	prefix := "OH_SANDBOX_MOUNTS_" + n.number
	switch {
	case n.host == nil:
		r.problem(cmp.Or(n.container, n.mode), spec.CodeRequired, "the mount has no host path; set %s_HOST_PATH", prefix)
		return spec.Mount{}, false
	case n.container == nil:
		r.problem(n.host, spec.CodeRequired, "the mount has no container path; set %s_CONTAINER_PATH", prefix)
		return spec.Mount{}, false
	}
	entry := strings.TrimSpace(n.host.str) + ":" + strings.TrimSpace(n.container.str)
	if n.mode != nil {
		entry += ":" + strings.TrimSpace(n.mode.str)
	}
	m, err := parseVolume(entry, r.in.Home, r.in.Dir)
	if err != nil {
		blame := n.host
		if _, bad := cleanTarget(strings.TrimSpace(n.container.str)); bad != nil {
			blame = n.container
		} else if err.Code == spec.CodeUnknownValue && n.mode != nil {
			blame = n.mode
		}
		r.problem(blame, err.Code, "the mount %q: %s; %s", entry, err.Reason, volumeForm)
		return spec.Mount{}, false
	}
	return m, true
}

// envVar is a variable that a key sets in the sandbox.
type envVar struct {
	name, text string
	v          *value
}

// env sets variables of the sandbox. A later call wins over an earlier one.
func (r *reader) env(v *value, text string, names ...string) {
	for _, name := range names {
		r.envs = append(r.envs, envVar{name, text, v})
	}
}

// flag sets a variable to true for a boolean that is.
func (r *reader) flag(name string, v *value) {
	if v.bool {
		r.env(v, "true", name)
	}
}

// applyEnv merges the variables of the sandbox, the weakest source first: what
// single keys set, SANDBOX_ENV_*, OH_AGENT_SERVER_ENV, the startup variables.
func (r *reader) applyEnv() {
	for _, v := range r.patterns["SANDBOX_ENV_<NAME>"] {
		if reason := envProblem(v.part, v.str); reason != "" {
			r.problem(v, spec.CodeInvalid, "%s; write SANDBOX_ENV_NAME=value", reason)
			continue
		}
		r.env(v, v.str, v.part)
	}
	for _, name := range []string{"OH_AGENT_SERVER_ENV", "SANDBOX_RUNTIME_STARTUP_ENV_VARS"} {
		if v := r.get(name); v != nil {
			for _, key := range v.keys {
				r.env(v, v.table[key], key)
			}
		}
	}
	if len(r.envs) == 0 {
		return
	}
	winner := map[string]envVar{}
	for _, e := range r.envs {
		if old, ok := winner[e.name]; ok && old.text != e.text {
			r.warn(old.v, NoticeOverridden, "%s sets %s in the sandbox too and wins", e.v.name, e.name)
		}
		winner[e.name] = e
	}
	env := map[string]string{}
	var sources []*value
	for _, name := range slices.Sorted(maps.Keys(winner)) {
		e := winner[name]
		env[name] = e.text
		sources = append(sources, e.v)
		r.source(spec.Path("process.env").Key(name), e.v)
	}
	r.res.Spec.Process.Env = env
	r.source("process.env", sources...)
}

// kwargsHint names the field of a spec for each of docker_runtime_kwargs that
// has one.
func kwargsHint(v *value) string {
	if v.rule.Env != "SANDBOX_DOCKER_RUNTIME_KWARGS" {
		return ""
	}
	fields := map[string]string{
		"cap_add": "security.capabilities.add", "cap_drop": "security.capabilities.drop", "cpu_count": "resources.cpus",
		"cpu_period": "resources.cpus", "cpu_quota": "resources.cpus", "device_requests": "security.devices",
		"devices": "security.devices", "entrypoint": "process.command", "environment": "process.env",
		"labels": "labels", "mem_limit": "resources.memory", "mounts": "mounts", "nano_cpus": "resources.cpus",
		"network": "network.name", "network_mode": "network.mode", "pids_limit": "resources.pids",
		"platform": "image.platform", "ports": "binding.ports", "read_only": "security.readOnlyRoot",
		"restart_policy": "life.restart", "runtime": "security.runtime", "security_opt": "security",
		"shm_size": "resources.shm", "stop_signal": "life.stopSignal", "tmpfs": "mounts", "ulimits": "resources.nofile",
		"user": "user.as", "volumes": "mounts", "working_dir": "process.workdir",
	}
	parts := make([]string, len(v.keys))
	for i, key := range v.keys {
		parts[i] = strconv.Quote(key) + " has no field"
		if field := fields[key]; field != "" {
			parts[i] = fmt.Sprintf("%q is %s", key, field)
		}
	}
	return ": " + strings.Join(parts, ", ")
}
