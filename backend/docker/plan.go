// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/backend/profile"
	"github.com/berthrun/berth/spec"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/go-connections/nat"
)

// Labels and names of berth's objects in the engine.
const (
	labelID      = "berth.id"
	labelName    = "berth.name"
	labelRecord  = "berth.record"
	labelNetwork = "berth.network" // on networks: isolated, shared or internal
	labelVolume  = "berth.volume"  // on volumes: what it is for
	labelHelper  = "berth.helper"  // on containers that never run: the sandbox they help to make
	prefix       = "berth-"

	isolatedNetwork = "berth-isolated"
	optionICC       = "com.docker.network.bridge.enable_icc"
)

// Bounds of docker's own.
const (
	minMemory  = 6 * spec.MiB
	cpuPeriod  = 100_000   // microseconds
	cpuLong    = 1_000_000 // for less than a hundredth of a processor: the kernel wants a quota of 1 ms at least
	logMaxSize = "32m"
	logMaxFile = "4"
)

// request is a translated sandbox: what is sent to the engine, in order.
type request struct {
	Name       string                    `json:"name,omitempty"`
	Config     *container.Config         `json:"config"`
	Host       *container.HostConfig     `json:"hostConfig"`
	Networking *network.NetworkingConfig `json:"networkingConfig,omitempty"`
	// Join are networks to be joined after the create, on engines that take only
	// one in it.
	Join []join `json:"join,omitempty"`
	// Needs are the networks that must be there, with what they must be.
	Needs []need `json:"needs,omitempty"`
	// Own are volumes whose root directory is to belong to the process when they
	// are new.
	Own []ownVolume `json:"own,omitempty"`

	// submounts are indexes in Host.Mounts of binds that Create completes with
	// read-only binds of what is mounted below their sources.
	submounts []int
	// copies are support mounts that a remote engine gets by copy.
	copies []supportCopy
	// caps is the capability set, which a seccomp profile depends on.
	caps []string
}

// ownVolume is a volume by name, which is empty for an anonymous one, and where
// it is mounted.
type ownVolume struct {
	Name   string `json:"name,omitempty"`
	Target string `json:"target"`
}

type join struct {
	Network  string                    `json:"network"`
	Endpoint *network.EndpointSettings `json:"endpoint"`
}

// need is a network that the sandbox joins.
type need struct {
	Name  string    `json:"name"`
	Field spec.Path `json:"field"`
	// Kind is isolated, shared, internal or "" for any.
	Kind string `json:"kind,omitempty"`
	// Ports says that ports are to be published there.
	Ports bool `json:"ports,omitempty"`
}

// translator collects the ledger while it fills the request.
type translator struct {
	req    *backend.CreateRequest
	s      *spec.Sandbox
	info   *backend.Info
	out    *request
	ledger map[spec.Path]backend.Mapping
	errs   []error
}

// Plan translates without asking the engine anything but what Probe asks.
func (d *driver) Plan(ctx context.Context, req *backend.CreateRequest) (*backend.Plan, error) {
	info, err := d.probe(ctx)
	if err != nil {
		return nil, err
	}
	plan, _, err := translate(req, info)
	return plan, err
}

// translate is the whole of Plan, as a function of its arguments.
func translate(req *backend.CreateRequest, info *backend.Info) (*backend.Plan, *request, error) {
	t := &translator{
		req: req, s: req.Spec, info: info, ledger: map[spec.Path]backend.Mapping{},
		out: &request{Config: &container.Config{}, Host: &container.HostConfig{}},
	}
	t.image()
	t.process()
	t.identity()
	t.mounts()
	t.support()
	t.network()
	t.ports()
	t.resources()
	t.security()
	t.life()
	t.rest()

	plan := &backend.Plan{Driver: Name}
	for _, field := range spec.SetFields(t.s) {
		m, ok := t.ledger[field]
		if !ok {
			m = backend.Mapping{Field: field, Fidelity: backend.Refused, Capability: backend.Extension, Note: "the docker driver does not know this field"}
		}
		plan.Mappings = append(plan.Mappings, m)
	}
	var err error
	if plan.Native, err = t.out.native(); err != nil {
		return nil, nil, newError(backend.Internal, "plan", req.ID, "", "%v", err)
	}
	return plan, t.out, joined(append([]error{plan.Refusals("docker.plan", req.ID)}, t.errs...))
}

// joined is errors.Join that leaves a single error alone.
func joined(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

func (t *translator) set(m backend.Mapping) {
	if old, ok := t.ledger[m.Field]; ok && old.Fidelity == backend.Refused {
		return // a refusal stands, whatever else is said of the field
	}
	t.ledger[m.Field] = m
}

func (t *translator) exact(field spec.Path, native string, note ...string) {
	t.set(backend.Mapping{Field: field, Fidelity: backend.Exact, Native: native, Note: strings.Join(note, "; ")})
}

func (t *translator) emulated(field spec.Path, native, note string) {
	t.set(backend.Mapping{Field: field, Fidelity: backend.ByEmulation, Native: native, Note: note})
}

func (t *translator) refuse(field spec.Path, c backend.Capability, format string, args ...any) {
	t.set(backend.Mapping{Field: field, Fidelity: backend.Refused, Capability: c, Note: fmt.Sprintf(format, args...)})
}

// needs maps field by what the claim about c says, and reports whether it is
// there.
func (t *translator) needs(field spec.Path, c backend.Capability, native string, note ...string) bool {
	claim := t.info.Claim(c)
	switch claim.Support {
	case backend.Native:
		t.set(backend.Mapping{Field: field, Fidelity: backend.Exact, Native: native, Capability: c, Note: strings.Join(note, "; ")})
	case backend.Emulated:
		t.set(backend.Mapping{Field: field, Fidelity: backend.ByEmulation, Native: native, Capability: c, Note: strings.Join(append([]string{claim.Mechanism}, note...), "; ")})
	default:
		reason := claim.Reason
		if reason == "" {
			reason = "the engine did not say whether it can"
		}
		t.refuse(field, c, "%s", reason)
	}
	return claim.Has()
}

func (t *translator) api(v string) bool {
	return t.info.APIVersion != "" && versions.GreaterThanOrEqualTo(t.info.APIVersion, v)
}

func (t *translator) image() {
	t.exact("image.ref", "Config.Image")
	if t.s.Image.Ref == spec.HostImage {
		t.needs("image.ref", backend.ImageHost, "")
	}
	if t.req.Image != nil {
		t.out.Config.Image = t.req.Image.ID
	}
	t.emulated("image.pull", "", "berth fetches the image before it creates the sandbox")
	if t.s.Image.Platform != "" {
		t.needs("image.platform", backend.ImagePlatform, "Config.Image")
	}
}

func (t *translator) process() {
	c, p := t.out.Config, t.s.Process
	argv := t.req.Argv
	if t.req.Init != nil {
		argv = t.req.Init.Args(argv)
	}
	// Both are always set, so that nothing of the image's own leaks in.
	c.Entrypoint, c.Cmd = []string{}, []string{}
	if len(argv) > 0 {
		c.Entrypoint, c.Cmd = argv[:1:1], slices.Clone(argv[1:])
	}
	t.exact("process.command", "Config.Entrypoint")
	t.exact("process.args", "Config.Cmd")
	for _, k := range slices.Sorted(maps.Keys(t.req.Env)) {
		c.Env = append(c.Env, k+"="+t.req.Env[k])
	}
	t.exact("process.env", "Config.Env")
	c.WorkingDir = p.Workdir
	t.exact("process.workdir", "Config.WorkingDir")
	// StdinOnce hands the end of the client's input on to the process.
	c.OpenStdin, c.StdinOnce, c.AttachStdin = p.Stdin, p.Stdin, p.Stdin
	c.AttachStdout, c.AttachStderr = true, true
	t.exact("process.stdin", "Config.OpenStdin")
	c.Tty = p.TTY
	t.exact("process.tty", "Config.Tty")
	c.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}}
}

func (t *translator) identity() {
	id := t.req.Identity
	switch id.Mode {
	case spec.UserImage:
		t.out.Config.User = id.User
		t.needs("user.as", backend.UserImage, "Config.User")
	case spec.UserCaller:
		t.out.Config.User = fmt.Sprintf("%d:%d", id.UID, id.GID)
		if t.needs("user.as", backend.UserCaller, "Config.User") && t.info.CallerAsRoot && (id.UID != 0 || id.GID != 0) {
			t.refuse("user.as", backend.UserCaller, "on a rootless engine uid 0 of the sandbox is the caller, and %d:%d is somebody else", id.UID, id.GID)
		}
	default:
		t.out.Config.User = fmt.Sprintf("%d:%d", id.UID, id.GID)
		note := []string{}
		if t.info.Rootless && id.UID != 0 {
			note = append(note, "files in binds belong to a subordinate uid of the engine's user on the host")
		}
		t.needs("user.as", backend.UserNumber, "Config.User", note...)
	}
	groups := id.Groups
	if groups == nil {
		groups = t.s.User.Groups
	}
	for _, g := range groups {
		t.out.Host.GroupAdd = append(t.out.Host.GroupAdd, strconv.FormatUint(uint64(g), 10))
	}
	if len(t.s.User.Groups) > 0 {
		t.needs("user.groups", backend.UserGroups, "HostConfig.GroupAdd")
	}
	t.emulated("user.name", "", "an entry in a passwd file that berth provides when the image has none for the uid")
}

// mountField names the unit of a mount, or one of its options.
func mountField(i int, option string) spec.Path {
	return spec.Path(fmt.Sprintf("mounts[%d]%s", i, option))
}

func (t *translator) mounts() {
	for i, m := range t.s.Mounts {
		unit, mode := mountField(i, ""), mountField(i, ".mode")
		if m.Mode == spec.ModeOverlay {
			t.overlay(i, m)
			continue
		}
		switch m.Type {
		case spec.MountBind:
			t.bind(i, m)
		case spec.MountVolume:
			t.volume(i, m)
		case spec.MountTmpfs:
			t.tmpfs(i, m)
		default:
			t.refuse(unit, backend.MountBind, "mount type %q is unknown", m.Type)
			t.refuse(mode, backend.MountBind, "mount type %q is unknown", m.Type)
		}
		if m.Size != 0 && m.Type != spec.MountTmpfs {
			t.refuse(mountField(i, ".size"), backend.MountSize, "only a tmpfs has a size on docker")
		}
		if m.NoExec && m.Type != spec.MountTmpfs {
			t.refuse(mountField(i, ".noExec"), backend.MountNoExec, "docker mounts a %s as its source is mounted: use a tmpfs or an overlay, or mount the source noexec", m.Type)
		}
		if m.Upper != "" {
			t.refuse(mountField(i, ".upper"), backend.MountOverlay, "only a mount of mode overlay has an upper directory")
		}
	}
}

// hostPath refuses the unit of mount i when the path is not the engine's.
func (t *translator) hostPath(i int, c backend.Capability, native string) bool {
	unit := mountField(i, "")
	if t.info.Remote && t.req.EnginePaths {
		t.exact(unit, native, "the path is the engine's")
		return true
	}
	return t.needs(unit, c, native)
}

func (t *translator) bind(i int, m spec.Mount) {
	mode := mountField(i, ".mode")
	if !t.hostPath(i, backend.MountBind, "HostConfig.Mounts") {
		t.emulated(mode, "HostConfig.Mounts[].ReadOnly", "the mount itself is refused")
		return
	}
	ro := m.Mode == spec.ModeRO
	if m.SELinux != "" && m.SELinux != spec.SELinuxNone {
		t.labelled(i, m)
		return
	}
	bind := mount.Mount{Type: mount.TypeBind, Source: m.Source, Target: m.Target, ReadOnly: ro, BindOptions: &mount.BindOptions{Propagation: mount.PropagationRPrivate}}
	t.exact(mode, "HostConfig.Mounts[].ReadOnly")
	if ro {
		t.needs(mode, backend.MountReadOnly, "HostConfig.Mounts[].ReadOnly")
		switch t.info.Claim(backend.MountReadOnly).Support {
		case backend.Native:
			bind.BindOptions.ReadOnlyForceRecursive = true
		case backend.Emulated:
			// Older engines leave what is mounted below the source writable, so it
			// must not be there at all unless it is bound read-only by itself.
			bind.BindOptions.NonRecursive = true
			t.out.submounts = append(t.out.submounts, len(t.out.Host.Mounts))
		}
	}
	t.out.Host.Mounts = append(t.out.Host.Mounts, bind)
}

// labelled binds by the older form of the API, which alone can label.
func (t *translator) labelled(i int, m spec.Mount) {
	field, mode := mountField(i, ".selinux"), mountField(i, ".mode")
	t.exact(mode, "HostConfig.Binds")
	if !t.needs(field, backend.MountSELinux, "HostConfig.Binds") {
		return
	}
	if strings.ContainsAny(m.Source+m.Target, ":") {
		t.refuse(field, backend.MountSELinux, "docker labels only binds whose paths have no colon")
		return
	}
	options := []string{"rw", "rprivate", "z"}
	if m.SELinux == spec.SELinuxPrivate {
		options[2] = "Z"
	}
	if m.Mode == spec.ModeRO {
		if t.info.Claim(backend.MountReadOnly).Support != backend.Native {
			t.refuse(field, backend.MountSELinux, "docker before 25 cannot label a bind and make it read-only with what is mounted below it")
			return
		}
		options[0] = "ro"
	}
	t.out.Host.Binds = append(t.out.Host.Binds, m.Source+":"+m.Target+":"+strings.Join(options, ","))
}

func (t *translator) volume(i int, m spec.Mount) {
	kind := "named"
	if m.Source == "" {
		kind = "anonymous"
	}
	t.needs(mountField(i, ""), backend.MountVolume, "HostConfig.Mounts")
	t.exact(mountField(i, ".mode"), "HostConfig.Mounts[].ReadOnly")
	if m.SELinux != "" && m.SELinux != spec.SELinuxNone {
		t.refuse(mountField(i, ".selinux"), backend.MountSELinux, "docker labels volumes by itself")
	}
	if uid, gid, ok := owner(t.req.Identity); ok && (uid != 0 || gid != 0) && m.Mode != spec.ModeRO {
		// Docker gives a new volume to root, as no user expects.
		t.out.Own = append(t.out.Own, ownVolume{Name: m.Source, Target: m.Target})
	}
	t.out.Host.Mounts = append(t.out.Host.Mounts, mount.Mount{
		Type: mount.TypeVolume, Source: m.Source, Target: m.Target, ReadOnly: m.Mode == spec.ModeRO,
		VolumeOptions: &mount.VolumeOptions{Labels: map[string]string{labelVolume: kind}},
	})
}

func (t *translator) tmpfs(i int, m spec.Mount) {
	options := []string{"rw", "nosuid", "nodev", "exec", "mode=1777"}
	if m.Mode == spec.ModeRO {
		options[0] = "ro"
	}
	if m.NoExec {
		options[3] = "noexec"
		t.needs(mountField(i, ".noExec"), backend.MountNoExec, "HostConfig.Tmpfs noexec")
		t.exact(mountField(i, ".noExec"), "HostConfig.Tmpfs noexec")
	}
	if m.Size != 0 {
		options = append(options, "size="+strconv.FormatInt(int64(m.Size), 10))
		t.needs(mountField(i, ".size"), backend.MountSize, "HostConfig.Tmpfs size")
	}
	// When the image has the target, docker drops the mode for the image's own,
	// so that only the owner can be relied on.
	if uid, gid, ok := owner(t.req.Identity); ok {
		options = append(options, fmt.Sprintf("uid=%d", uid), fmt.Sprintf("gid=%d", gid))
	}
	if m.SELinux != "" && m.SELinux != spec.SELinuxNone {
		t.refuse(mountField(i, ".selinux"), backend.MountSELinux, "a tmpfs has nothing to label")
	}
	t.needs(mountField(i, ""), backend.MountTmpfs, "HostConfig.Tmpfs")
	t.exact(mountField(i, ".mode"), "HostConfig.Tmpfs")
	if t.out.Host.Tmpfs == nil {
		t.out.Host.Tmpfs = map[string]string{}
	}
	t.out.Host.Tmpfs[m.Target] = strings.Join(options, ",")
}

// owner is the user of the process, when it is known by number.
func owner(id backend.Identity) (uid, gid uint32, ok bool) {
	if id.Mode != spec.UserImage || id.UID != 0 || id.User == "" {
		return id.UID, id.GID, true
	}
	user, group, _ := strings.Cut(id.User, ":")
	u, err := strconv.ParseUint(user, 10, 32)
	if err != nil {
		return 0, 0, user == "root" && group == ""
	}
	g, err := strconv.ParseUint(group, 10, 32)
	if err != nil {
		g = 0
	}
	return uint32(u), uint32(g), true
}

func (t *translator) overlay(i int, m spec.Mount) {
	unit, mode, upper := mountField(i, ""), mountField(i, ".mode"), mountField(i, ".upper")
	native := "a volume of the local driver, type overlay"
	ok := t.hostPath(i, backend.MountOverlay, native)
	t.exact(mode, native, "file systems mounted below the source do not show")
	t.exact(upper, "upperdir of the volume")
	if m.SELinux != "" && m.SELinux != spec.SELinuxNone {
		t.refuse(mountField(i, ".selinux"), backend.MountSELinux, "docker does not label overlays")
	}
	if m.Size != 0 {
		t.refuse(mountField(i, ".size"), backend.MountSize, "only a tmpfs has a size on docker")
	}
	options := []string{}
	if m.NoExec {
		options = append(options, "noexec")
		t.exact(mountField(i, ".noExec"), "o=noexec of the volume")
	}
	if !ok {
		return
	}
	dirs, prepared := t.req.Overlays[i]
	if !prepared {
		t.refuse(mode, backend.MountOverlay, "no upper directory was prepared for it")
		return
	}
	for field, paths := range map[spec.Path][]string{unit: {dirs.Lower}, upper: {dirs.Upper, dirs.Work}} {
		if m.Upper == "" {
			field = unit
		}
		for _, p := range paths {
			if strings.ContainsAny(p, `,:\`) {
				t.refuse(field, backend.MountOverlay, "the kernel's overlay options cannot carry the path %q: it has a comma, a colon or a backslash", p)
			}
		}
	}
	options = append(options, "lowerdir="+dirs.Lower, "upperdir="+dirs.Upper, "workdir="+dirs.Work)
	if t.info.Rootless {
		options = append(options, "userxattr")
	}
	t.out.Host.Mounts = append(t.out.Host.Mounts, mount.Mount{
		Type: mount.TypeVolume, Source: volumeName(t.req.ID, fmt.Sprintf("overlay-%d", i)), Target: m.Target,
		VolumeOptions: &mount.VolumeOptions{
			NoCopy: true, Labels: map[string]string{labelVolume: "overlay", labelID: string(t.req.ID)},
			DriverConfig: &mount.Driver{Name: "local", Options: map[string]string{"type": "overlay", "device": "overlay", "o": strings.Join(options, ",")}},
		},
	})
}

// volumeName is the name of a volume that belongs to one sandbox and goes with
// it.
func volumeName(id backend.ID, what string) string { return prefix + string(id) + "-" + what }

// support adds berth's own mounts. They are no fields of the spec.
func (t *translator) support() {
	for _, s := range t.req.Support {
		if t.info.Remote {
			m := remoteMount(t.req.ID, s)
			t.out.copies = append(t.out.copies, supportCopy{support: s, mount: m})
			t.out.Host.Mounts = append(t.out.Host.Mounts, m)
			continue
		}
		t.out.Host.Mounts = append(t.out.Host.Mounts, mount.Mount{
			Type: mount.TypeBind, Source: s.Source, Target: s.Target, ReadOnly: s.ReadOnly,
			BindOptions: &mount.BindOptions{Propagation: mount.PropagationRPrivate, NonRecursive: true},
		})
	}
}

func (t *translator) network() {
	n, h := t.s.Network, t.out.Host
	host := string(t.req.ID)
	if t.s.Name != "" {
		host = t.s.Name
	}
	t.out.Config.Hostname = host
	t.out.Name = prefix + host
	if host == "" {
		t.out.Name = ""
	}
	t.exact("name", "the container's name "+prefix+t.s.Name+", Config.Hostname")

	mode := spec.Path("network.mode")
	reach := "the services of the engine's own machine are in reach"
	ports := len(t.s.Binding.Ports) > 0
	first := "" // the network that the container is created on
	switch n.Mode {
	case spec.NetIsolated:
		first = isolatedNetwork
		kind := "isolated"
		if t.info.Facts["network.bridge.icc"] == "false" {
			first, kind = "bridge", ""
		}
		if t.needs(mode, backend.NetIsolated, "HostConfig.NetworkMode "+first, reach) {
			t.out.Needs = append(t.out.Needs, need{Name: first, Field: mode, Kind: kind})
		}
	case spec.NetNone:
		first = "none"
		t.needs(mode, backend.NetNone, "HostConfig.NetworkMode none")
	case spec.NetHost:
		first = "host"
		t.out.Config.Hostname = "" // it is the host's
		t.needs(mode, backend.NetHost, "HostConfig.NetworkMode host")
	case spec.NetInternal:
		first = n.Name
		if t.needs(mode, backend.NetInternal, "HostConfig.NetworkMode", reach) {
			t.out.Needs = append(t.out.Needs, need{Name: first, Field: "network.name", Kind: "internal"})
		}
	case spec.NetShared:
		first = n.Name
		if t.needs(mode, backend.NetShared, "HostConfig.NetworkMode", reach) {
			t.out.Needs = append(t.out.Needs, need{Name: first, Field: "network.name", Kind: "shared", Ports: ports})
		}
	case spec.NetNamed:
		first = n.Name
		if t.needs(mode, backend.NetNamed, "HostConfig.NetworkMode", "what a network that berth did not make lets through is not promised", reach) {
			t.out.Needs = append(t.out.Needs, need{Name: first, Field: "network.name", Ports: ports})
		}
	default:
		t.refuse(mode, backend.NetNamed, "network mode %q is unknown", n.Mode)
	}
	h.NetworkMode = container.NetworkMode(first)
	t.exact("network.name", "HostConfig.NetworkMode")
	if n.Name != "" && notJoinable(n.Name) {
		t.refuse("network.name", backend.NetNamed, "%q is a name that docker or berth gives a meaning of its own: use network.mode", n.Name)
	}

	alone := n.Mode == spec.NetNone || n.Mode == spec.NetHost
	named := n.Mode == spec.NetInternal || n.Mode == spec.NetShared || n.Mode == spec.NetNamed
	if len(n.Aliases) > 0 {
		switch {
		case !named || n.Name == "bridge":
			t.refuse("network.aliases", backend.NetAliases, "only on a network with a name do peers resolve names")
		default:
			t.needs("network.aliases", backend.NetAliases, "NetworkingConfig.EndpointsConfig[].Aliases")
		}
	}
	endpoints := map[string]*network.EndpointSettings{}
	if named && n.Name != "bridge" {
		endpoints[first] = t.endpoint(n.Aliases)
	}
	for i, a := range n.Additional {
		field := spec.Path(fmt.Sprintf("network.additional[%d]", i))
		switch {
		case alone:
			t.refuse(field, backend.NetAdditional, "docker joins no further network with network mode %s", n.Mode)
		case notJoinable(a.Name) || a.Name == "bridge":
			t.refuse(field, backend.NetAdditional, "%q cannot be joined besides another network", a.Name)
		case a.Name == n.Name:
			t.refuse(field, backend.NetAdditional, "it is network.name already")
		case t.needs(field, backend.NetAdditional, "NetworkingConfig.EndpointsConfig"):
			t.out.Needs = append(t.out.Needs, need{Name: a.Name, Field: field})
			if t.api(apiReadOnly) {
				if len(endpoints) == 0 {
					endpoints[first] = &network.EndpointSettings{}
				}
				endpoints[a.Name] = t.endpoint(a.Aliases)
			} else {
				t.out.Join = append(t.out.Join, join{Network: a.Name, Endpoint: t.endpoint(a.Aliases)})
			}
		}
	}
	if len(endpoints) > 0 {
		t.out.Networking = &network.NetworkingConfig{EndpointsConfig: endpoints}
	}
	for i := range n.Egress {
		t.needs(spec.Path(fmt.Sprintf("network.egress[%d]", i)), backend.NetEgress, "")
	}
	if n.HostAlias {
		switch {
		case n.Mode == spec.NetNone:
			t.refuse("network.hostAlias", backend.NetHostAlias, "nothing is in reach with network mode none")
		case t.needs("network.hostAlias", backend.NetHostAlias, "HostConfig.ExtraHosts"):
			h.ExtraHosts = []string{"host.docker.internal:host-gateway", "host.berth.internal:host-gateway"}
		}
	}
}

// notJoinable reports whether docker or berth has a meaning of its own for a
// network name.
func notJoinable(name string) bool {
	switch name {
	case "none", "host", "default", "nat", isolatedNetwork:
		return true
	}
	return strings.HasPrefix(name, "container:")
}

// endpoint gives the sandbox its name and aliases on one network.
func (t *translator) endpoint(aliases []string) *network.EndpointSettings {
	var names []string
	if t.s.Name != "" {
		names = append(names, t.s.Name)
	}
	for _, a := range aliases {
		if !slices.Contains(names, a) {
			names = append(names, a)
		}
	}
	return &network.EndpointSettings{Aliases: names}
}

func (t *translator) ports() {
	b, mode := t.s.Binding, t.s.Network.Mode
	t.exact("binding.address", "HostConfig.PortBindings[].HostIp")
	for i, p := range b.Ports {
		field := spec.Path(fmt.Sprintf("binding.ports[%d]", i))
		address := portAddress(b, p)
		ok := true
		for _, c := range portNeeds(p, address) {
			ok = ok && t.needs(field, c, "HostConfig.PortBindings")
		}
		switch mode {
		case spec.NetNone:
			ok = ok && t.needs(field, backend.BindNone, "HostConfig.PortBindings")
		case spec.NetInternal:
			ok = ok && t.needs(field, backend.BindInternal, "HostConfig.PortBindings")
		case spec.NetHost:
			t.refuse(field, backend.BindAddress, "with network mode host the process listens on the host itself")
			ok = false
		}
		if j := slices.IndexFunc(b.Ports[:i], func(o spec.Port) bool {
			return o.ContainerPort == p.ContainerPort && o.Protocol == p.Protocol && o.HostPort == 0 && p.HostPort == 0 && overlap(portAddress(b, o), address)
		}); j >= 0 && ok {
			t.refuse(field, backend.BindAddress, "docker 28 picks one host port for all addresses of a container port, and binding.ports[%d] has it on %s already: set hostPort, or remove one", j, portAddress(b, b.Ports[j]))
			ok = false
		}
		if !ok {
			continue
		}
		key := nat.Port(fmt.Sprintf("%d/%s", p.ContainerPort, p.Protocol))
		hostPort := ""
		if p.HostPort != 0 {
			hostPort = strconv.Itoa(p.HostPort)
		}
		if t.out.Host.PortBindings == nil {
			t.out.Host.PortBindings, t.out.Config.ExposedPorts = nat.PortMap{}, nat.PortSet{}
		}
		t.out.Host.PortBindings[key] = append(t.out.Host.PortBindings[key], nat.PortBinding{HostIP: address, HostPort: hostPort})
		t.out.Config.ExposedPorts[key] = struct{}{}
	}
}

// portAddress is where p is published.
func portAddress(b spec.Binding, p spec.Port) string {
	if p.Address != "" {
		return p.Address
	}
	if b.Address != "" {
		return b.Address
	}
	return spec.DefaultBindAddress
}

func portNeeds(p spec.Port, address string) []backend.Capability {
	needs := []backend.Capability{backend.BindTCP}
	if p.Protocol == spec.UDP {
		needs[0] = backend.BindUDP
	}
	if a, err := netip.ParseAddr(address); err == nil && a.Is6() {
		return append(needs, backend.BindIPv6)
	}
	if address != spec.DefaultBindAddress {
		needs = append(needs, backend.BindAddress)
	}
	return needs
}

func (t *translator) resources() {
	r, h := t.s.Resources, t.out.Host
	if r.CPUs != 0 && t.needs("resources.cpus", backend.ResCPUs, "HostConfig.CpuQuota, HostConfig.CpuPeriod") {
		// NanoCpus means the same, but docker refuses more than the machine has.
		h.CPUPeriod = cpuPeriod
		if r.CPUs < 10 {
			h.CPUPeriod = cpuLong
		}
		h.CPUQuota = int64(r.CPUs) * h.CPUPeriod / 1000
	}
	if r.Memory != 0 {
		swap := "memory and swap together"
		if t.info.Facts["info.SwapLimit"] != "true" {
			swap = "the kernel does not account for swap, so swap is not bounded"
		}
		switch {
		case r.Memory < minMemory:
			t.refuse("resources.memory", backend.ResMemory, "docker takes no limit below %s", minMemory)
		case t.needs("resources.memory", backend.ResMemory, "HostConfig.Memory, HostConfig.MemorySwap", swap):
			h.Memory = int64(r.Memory)
			h.MemorySwap = int64(r.Memory)
		}
	}
	if r.Pids != 0 && t.needs("resources.pids", backend.ResPids, "HostConfig.PidsLimit") {
		h.PidsLimit = &r.Pids
	}
	if r.Shm != 0 && t.needs("resources.shm", backend.ResShm, "HostConfig.ShmSize") {
		h.ShmSize = int64(r.Shm)
	}
	if (r.NoFile != spec.NoFile{}) && t.needs("resources.nofile", backend.ResNoFile, "HostConfig.Ulimits") {
		soft, ok1 := rlimit(r.NoFile.Soft)
		hard, ok2 := rlimit(r.NoFile.Hard)
		if !ok1 || !ok2 {
			t.refuse("resources.nofile", backend.ResNoFile, "docker takes limits below 2^63")
		}
		h.Ulimits = []*container.Ulimit{{Name: "nofile", Soft: soft, Hard: hard}}
	}
	if r.Disk != 0 && t.needs("resources.disk", backend.ResDisk, "HostConfig.StorageOpt size") {
		h.StorageOpt = map[string]string{"size": strconv.FormatInt(int64(r.Disk), 10)}
	}
}

// rlimit writes RLIM_INFINITY as docker does.
func rlimit(v uint64) (int64, bool) {
	if v == math.MaxUint64 {
		return -1, true
	}
	return int64(v), v <= math.MaxInt64
}

func (t *translator) security() {
	s, h := t.s.Security, t.out.Host
	t.emulated("security.profile", "", "berth's policy decides; its effects are the other fields")

	t.out.caps = profile.Capabilities(s.Capabilities)
	h.CapDrop, h.CapAdd = []string{spec.CapabilityAll}, t.out.caps
	if slices.Contains(s.Capabilities.Add, spec.CapabilityAll) {
		// The engine knows which ones its kernel has.
		h.CapAdd, h.CapDrop = []string{spec.CapabilityAll}, slices.DeleteFunc(slices.Clone(s.Capabilities.Drop), func(c string) bool { return c == spec.CapabilityAll })
	}
	if len(s.Capabilities.Add) > 0 {
		t.needs("security.capabilities.add", backend.SecCapabilities, "HostConfig.CapAdd")
	}
	if len(s.Capabilities.Drop) > 0 {
		t.needs("security.capabilities.drop", backend.SecCapabilities, "HostConfig.CapDrop")
	}

	t.seccomp()
	on := s.NoNewPrivileges == nil || *s.NoNewPrivileges
	t.needs("security.noNewPrivileges", backend.SecNoNewPrivs, "HostConfig.SecurityOpt no-new-privileges")
	h.SecurityOpt = append(h.SecurityOpt, "no-new-privileges="+strconv.FormatBool(on))

	h.ReadonlyRootfs = s.ReadOnlyRoot
	if s.ReadOnlyRoot {
		t.needs("security.readOnlyRoot", backend.SecReadOnlyRoot, "HostConfig.ReadonlyRootfs")
	}
	if s.Runtime != "" {
		if t.needs("security.runtime", backend.SecRuntime, "HostConfig.Runtime") && !slices.Contains(t.info.Runtimes, s.Runtime) {
			t.refuse("security.runtime", backend.SecRuntime, "the engine has no runtime %q: it has %q", s.Runtime, t.info.Runtimes)
		}
		h.Runtime = s.Runtime
	}
	for i, device := range s.Devices {
		t.device(i, device)
	}

	h.MaskedPaths, h.ReadonlyPaths = profile.MaskedPaths(), profile.ReadonlyPaths()
	h.IpcMode = container.IPCModePrivate
	if t.info.CgroupVersion == 2 {
		h.CgroupnsMode = container.CgroupnsModePrivate
	}
	h.Init = new(false) // berth brings its own
}

func (t *translator) seccomp() {
	s := t.s.Security.Seccomp
	if s == spec.SeccompUnconfined {
		t.exact("security.seccomp", "HostConfig.SecurityOpt seccomp=unconfined")
		t.out.Host.SecurityOpt = append(t.out.Host.SecurityOpt, "seccomp=unconfined")
		return
	}
	if !t.needs("security.seccomp", backend.SecSeccomp, "HostConfig.SecurityOpt seccomp", "the engine adds its own AppArmor or SELinux confinement where it has it") {
		return
	}
	machine := profile.Machine{Arch: t.info.Arch, Kernel: t.info.Kernel}
	p, err := profile.DefaultSeccomp(machine, t.out.caps)
	if s != "" && s != spec.SeccompDefault {
		p, err = profile.Seccomp(t.req.Seccomp, machine, t.out.caps)
	}
	if err == nil {
		var text json.RawMessage
		if text, err = profile.JSON(p); err == nil {
			t.out.Host.SecurityOpt = append(t.out.Host.SecurityOpt, "seccomp="+string(text))
			return
		}
	}
	t.errs = append(t.errs, &backend.Error{Kind: backend.Invalid, Op: "docker.plan", ID: t.req.ID, Field: "security.seccomp", Err: err})
}

// device adds a CDI name (vendor.com/class=name) or a path (/dev/x[:/dev/y[:rwm]]).
func (t *translator) device(i int, device string) {
	field := spec.Path(fmt.Sprintf("security.devices[%d]", i))
	h := t.out.Host
	if strings.HasPrefix(device, "/") {
		parts := strings.Split(device, ":")
		d := container.DeviceMapping{PathOnHost: parts[0], PathInContainer: parts[0], CgroupPermissions: "rwm"}
		if len(parts) > 1 && parts[1] != "" {
			d.PathInContainer = parts[1]
		}
		if len(parts) > 2 && parts[2] != "" {
			d.CgroupPermissions = parts[2]
		}
		if t.info.Remote && !t.req.EnginePaths {
			t.refuse(field, backend.SecDevicePath, "the engine is on another machine: say that the paths are the engine's")
			return
		}
		if t.needs(field, backend.SecDevicePath, "HostConfig.Devices") {
			h.Devices = append(h.Devices, d)
		}
		return
	}
	if !t.needs(field, backend.SecDeviceCDI, "HostConfig.DeviceRequests") {
		return
	}
	if t.info.Claim(backend.SecDeviceCDI).Support == backend.Native {
		// Older engines find out at the start.
		if known := strings.Fields(t.info.Facts["info.DiscoveredDevices"]); t.api(apiDevices) && !slices.Contains(known, device) {
			t.refuse(field, backend.SecDeviceCDI, "the engine has no CDI device %q: it has %q", device, known)
			return
		}
		h.DeviceRequests = append(h.DeviceRequests, container.DeviceRequest{Driver: "cdi", DeviceIDs: []string{device}})
		return
	}
	kind, name, _ := strings.Cut(device, "=")
	if kind != "nvidia.com/gpu" {
		t.refuse(field, backend.SecDeviceCDI, "without CDI this engine gives only nvidia.com/gpu=NAME, through NVIDIA's runtime")
		return
	}
	r := container.DeviceRequest{Driver: "nvidia", Capabilities: [][]string{{"gpu"}}}
	if name == "all" {
		r.Count = -1
	} else {
		r.DeviceIDs = []string{name}
	}
	h.DeviceRequests = append(h.DeviceRequests, r)
}

func (t *translator) life() {
	l, c, h := t.s.Life, t.out.Config, t.out.Host
	switch t.s.Agent {
	case spec.AgentBuiltin:
		t.needs("agent", backend.AgentBuiltin, "")
	case spec.AgentImage:
		t.needs("agent", backend.AgentImage, "")
	case spec.AgentAuto:
		t.emulated("agent", "", "nobody serves: this backend has no runtime server")
	default:
		t.exact("agent", "nothing is started")
	}
	c.StopSignal = l.StopSignal
	t.exact("life.stopSignal", "Config.StopSignal")
	if l.StopSignal != "" {
		t.needs("life.stopSignal", backend.LifeStopSignal, "Config.StopSignal")
	}
	if l.StopGrace != 0 {
		seconds := int(math.Ceil(l.StopGrace.Std().Seconds()))
		c.StopTimeout = &seconds
	}
	t.emulated("life.stopGrace", "Config.StopTimeout", "berth signals, waits and kills by itself, because docker counts whole seconds")
	if l.IdleTimeout != 0 {
		t.needs("life.idleTimeout", backend.LifeIdle, "")
	}
	if l.TTL != 0 && t.needs("life.ttl", backend.LifeTTL, "") && t.req.Init == nil {
		t.refuse("life.ttl", backend.LifeTTL, "it is berth's init that ends the process, and this sandbox runs without")
	}
	t.exact("life.restart", "HostConfig.RestartPolicy")
	if p := l.Restart.Policy; p != "" && p != spec.RestartNo {
		t.needs("life.restart", backend.LifeRestart, "")
	}
	h.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyDisabled}
	if l.Health != nil {
		t.needs("life.health", backend.LifeHealth, "")
	}
}

func (t *translator) rest() {
	c := t.out.Config
	c.Labels = maps.Clone(t.s.Labels)
	if c.Labels == nil {
		c.Labels = map[string]string{}
	}
	record, err := json.Marshal(t.req.Record)
	if err != nil {
		t.errs = append(t.errs, newError(backend.Internal, "plan", t.req.ID, "", "write the record: %v", err))
	}
	// All three are always set: an image's labels would fill a gap.
	c.Labels[labelID] = string(t.req.ID)
	c.Labels[labelName] = t.s.Name
	c.Labels[labelRecord] = string(record)
	t.exact("labels", "Config.Labels")

	for key, raw := range t.s.Extensions {
		field := spec.Path("extensions." + key)
		if key != Name {
			t.emulated(field, "", "it is for another backend")
			continue
		}
		var m map[string]json.RawMessage
		if err := json.Unmarshal(raw, &m); err == nil && len(m) == 0 {
			t.emulated(field, "", "it is empty")
			continue
		}
		t.needs(field, backend.Extension, "")
	}

	// Logs are kept by the engine, bounded, and where they can be read.
	t.out.Host.LogConfig = container.LogConfig{Type: logDriver(t.info.Facts), Config: map[string]string{"max-size": logMaxSize, "max-file": logMaxFile}}
}

// native is the request in canonical JSON: keys sorted, zero values left out,
// environment values redacted, and a seccomp profile shortened to its size,
// because it is the same few thousand words each time.
func (r *request) native() (json.RawMessage, error) {
	c := *r
	config, host := *r.Config, *r.Host
	config.Env = slices.Clone(config.Env)
	for i, e := range config.Env {
		k, _, _ := strings.Cut(e, "=")
		config.Env[i] = k + "=" + spec.Redacted
	}
	host.SecurityOpt = slices.Clone(host.SecurityOpt)
	for i, o := range host.SecurityOpt {
		if strings.HasPrefix(o, "seccomp={") {
			host.SecurityOpt[i] = fmt.Sprintf("seccomp={%d bytes}", len(o)-len("seccomp="))
		}
	}
	c.Config, c.Host = &config, &host
	data, err := json.Marshal(&c)
	if err != nil {
		return nil, err
	}
	return canonicalJSON(data)
}

// canonicalJSON sorts keys and leaves out the members of objects that are zero.
func canonicalJSON(data []byte) (json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber() // a float64 would round large sizes
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, err
	}
	return json.Marshal(prune(tree))
}

// prune leaves out the members of objects that are zero.
func prune(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			switch e := prune(e).(type) {
			case nil:
				delete(v, k)
			case map[string]any:
				if len(e) == 0 {
					delete(v, k)
				}
			case []any:
				if len(e) == 0 {
					delete(v, k)
				}
			case string:
				if e == "" {
					delete(v, k)
				}
			case json.Number:
				if e == "0" {
					delete(v, k)
				}
			case bool:
				if !e {
					delete(v, k)
				}
			}
		}
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
	}
	return v
}
