// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/spec"
)

// sandbox is one sandbox of the engine. The engine's lock guards all of it.
type sandbox struct {
	engine *Engine
	id     backend.ID
	native string
	req    *backend.CreateRequest // the engine's own copy
	image  *image

	phase                      backend.Phase
	created, started, finished time.Time
	exit                       *backend.Exit
	oom                        bool

	root      *memory
	view      view
	volumes   []string // anonymous ones
	networks  []*network
	listeners map[string]*listener
	ports     []published

	main      *process
	processes map[int]*process
	lastPID   int

	log      []backend.LogEntry
	partial  map[backend.LogStream][]byte
	attached []*attachment
	stdin    *pipe
	starts   int

	oneWaiter bool          // of a bug
	removing  bool          // of a bug
	starter   *Driver       // of a bug
	lastExec  *attachment   // of a bug
	late      []*attachment // of a bug
}

// process is a process in a sandbox.
type process struct {
	sb        *sandbox
	pid, ppid int
	argv      []string
	env       []string
	cwd       string
	user      user
	tty       *probe.Terminal

	cancel   context.CancelFunc
	signals  chan string
	notified map[string]bool
	ended    bool
	code     int
	killed   int // the signal that ended it by its default action
}

// The capabilities that a sandbox has unless it asks otherwise.
var standardCapabilities = []string{
	"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "AUDIT_WRITE",
}

// bounding is the sandbox's capability set, in the kernel's order.
func (sb *sandbox) bounding() []string {
	c := sb.req.Spec.Security.Capabilities
	e := sb.engine
	has := map[string]bool{}
	all := func(names []string, value bool) {
		for _, name := range names {
			if name == spec.CapabilityAll {
				for _, each := range spec.CapabilityNames() {
					has[each] = value
				}
				continue
			}
			has[name] = value
		}
	}
	all(standardCapabilities, true)
	if e.has(BugKeepsNetRaw) {
		has["NET_RAW"] = true
	}
	if !e.has(BugCapDropIgnored) {
		all(c.Drop, false)
	}
	if !e.has(BugCapAddIgnored) {
		all(c.Add, true)
	}
	if e.has(BugPrivileged) {
		all([]string{spec.CapabilityAll}, true)
	}
	return slices.DeleteFunc(spec.CapabilityNames(), func(name string) bool { return !has[name] })
}

// login is what a process of these ids may do.
func (sb *sandbox) login(uid, gid int, groups []int) user {
	u := user{uid: uid, euid: uid, gid: gid, groups: slices.Sorted(slices.Values(groups))}
	if uid == 0 || sb.engine.has(BugCapsForAll) {
		u.effective = sb.bounding()
	}
	return u
}

// mainUser is the user of the main process.
func (sb *sandbox) mainUser() user {
	id := sb.req.Identity
	e := sb.engine
	uid, gid := int(id.UID), int(id.GID)
	if id.Mode == spec.UserImage && !e.has(BugImageUserIgnored) {
		uid, gid = sb.imageUser()
	}
	if e.has(BugGIDDropped) {
		gid = 0
	}
	if e.has(BugLargeUIDCut) && uid > 1<<16 {
		uid &= 1<<16 - 1
	}
	if e.has(BugAlwaysRoot) {
		uid, gid = 0, 0
	}
	var groups []int
	if !e.has(BugGroupsDropped) {
		for _, g := range id.Groups {
			groups = append(groups, int(g))
		}
	}
	if e.has(BugExtraGroups) {
		groups = append(groups, 27)
	}
	return sb.login(uid, gid, groups)
}

// imageUser looks the image's user up in its own files.
func (sb *sandbox) imageUser() (uid, gid int) {
	if sb.image.User == "" && sb.engine.has(BugNoUserIsNobody) {
		return 65534, 65534
	}
	name, group, hasGroup := strings.Cut(sb.image.User, ":")
	uid, err := strconv.Atoi(name)
	if err != nil {
		data, _ := sb.view.readFile(user{effective: []string{"DAC_OVERRIDE"}}, "/", "/etc/passwd", 1<<20)
		for line := range strings.Lines(string(data)) {
			if f := strings.Split(line, ":"); len(f) > 3 && f[0] == name {
				uid, _ = strconv.Atoi(f[2])
				gid, _ = strconv.Atoi(f[3])
			}
		}
	}
	if hasGroup {
		gid, _ = strconv.Atoi(group)
	}
	return uid, gid
}

func (sb *sandbox) hostname() string { return string(sb.id)[:12] }

// environ is the environment of the main process.
func (sb *sandbox) environ() []string {
	e := sb.engine
	env := map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME": sb.hostname(), "HOME": sb.req.Identity.Home}
	for _, v := range sb.image.Env {
		if name, value, ok := strings.Cut(v, "="); ok && !e.has(BugImageEnvDropped) {
			env[name] = value
		}
	}
	if e.has(BugEnvLeaked) {
		env["ENGINE_SECRET"] = "of the engine's own environment"
	}
	for name, value := range sb.req.Env {
		if e.has(BugEnvCut) {
			value, _, _ = strings.Cut(value, "\n")
		}
		env[name] = value
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// workdir is where the main process starts.
func (sb *sandbox) workdir() string {
	e := sb.engine
	switch w := sb.req.Spec.Process.Workdir; {
	case w != "" && !e.has(BugWorkdirIgnored):
		return w
	case sb.image.Workdir != "" && !e.has(BugWorkdirIgnored):
		return sb.image.Workdir
	}
	return "/"
}

// mount builds what the sandbox sees, for a start.
func (sb *sandbox) mount() {
	e, s := sb.engine, sb.req.Spec
	v := view{blind: e.has(BugMountOrder)}
	add := func(m *mounted) { v.mounts = append(v.mounts, m) }
	kernel := func(target string, mode uint32, ro bool, typ string) *memory {
		t := newMemory(uint64(e.next()), mode)
		add(&mounted{target: target, tree: t, typ: typ, source: typ, ro: ro, noSUID: true, noDev: typ != "dev", noExec: true})
		return t
	}
	add(&mounted{target: "/", tree: sb.root, typ: "overlay", source: "overlay", ro: s.Security.ReadOnlyRoot && !e.has(BugRootWritable) || e.has(BugRootReadOnly)})

	regular := node{kind: probe.TypeFile, mode: 0o644}
	sysctl := !e.has(BugProcWritable)
	kernel("/proc", 0o555, false, "proc")
	kernel("/proc/sys", 0o555, sysctl, "proc").put("kernel/core_pattern", regular, "core\n")
	trigger := newMemory(uint64(e.next()), 0o200)
	add(&mounted{target: "/proc/sysrq-trigger", tree: trigger, typ: "proc", ro: sysctl})
	trigger.nodes[""].kind = probe.TypeFile
	for _, p := range maskedFiles {
		t := newMemory(uint64(e.next()), 0o400)
		add(&mounted{target: p, tree: t, typ: "tmpfs", ro: true})
		t.nodes[""].kind = probe.TypeFile
		if e.has(BugNotMasked) {
			t.nodes[""].data = []byte("what the kernel says\n")
		}
	}
	kernel("/sys", 0o555, true, "sysfs")
	firmware := kernel("/sys/firmware", 0o555, true, "tmpfs")
	if e.has(BugNotMasked) {
		firmware.put("dmi", node{kind: probe.TypeDir, mode: 0o755}, "")
	}
	dev := kernel("/dev", 0o755, false, "dev")
	for name, minor := range map[string]uint64{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
		dev.put(name, node{kind: probe.TypeChar, mode: 0o666, rdev: 1<<8 | minor}, "")
	}
	for name, minor := range map[string]uint64{"tty": 0, "ptmx": 2} {
		dev.put(name, node{kind: probe.TypeChar, mode: 0o666, rdev: 5<<8 | minor}, "")
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		dev.put(name, node{kind: probe.TypeSymlink, mode: 0o777, target: target}, "")
	}
	for _, dir := range []string{"pts", "mqueue"} {
		dev.put(dir, node{kind: probe.TypeDir, mode: 0o755}, "")
	}
	if e.has(BugHostDevices) {
		dev.put("sda", node{kind: probe.TypeBlock, mode: 0o660, rdev: 0x800}, "")
	}
	for _, d := range s.Security.Devices {
		if e.has(BugDevicesDropped) {
			break
		}
		parts := strings.Split(d, ":")
		target := parts[0]
		if len(parts) > 1 {
			target = parts[1]
		}
		if st, err := statHost(parts[0]); err == nil {
			dev.put(strings.TrimPrefix(target, "/dev/"), node{kind: st.Type, mode: 0o666, rdev: st.Rdev}, "")
		}
	}
	shm := kernel("/dev/shm", 0o1777, false, "tmpfs")
	shm.limit = 64 << 20
	if s.Resources.Shm > 0 && !e.has(BugShmIgnored) {
		shm.limit = int64(s.Resources.Shm)
	}

	order := make([]int, len(s.Mounts))
	for i := range order {
		order[i] = i
	}
	if !e.has(BugMountOrder) {
		slices.SortStableFunc(order, func(a, b int) int {
			return strings.Count(s.Mounts[a].Target, "/") - strings.Count(s.Mounts[b].Target, "/")
		})
	}
	declared := slices.Clone(sb.image.volumes)
	for _, i := range order {
		sb.mountOne(&v, i)
		declared = slices.DeleteFunc(declared, func(t string) bool { return t == s.Mounts[i].Target })
	}
	for _, target := range declared {
		add(&mounted{target: target, tree: e.anonymous(sb, target).tree, typ: "volume"})
	}
	sb.view = v
	for _, m := range v.mounts[1:] {
		sb.mountPoint(m)
	}
}

// The files of /proc that show more than a sandbox's business.
var maskedFiles = []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/latency_stats"}

// mountPoint makes the place of a mount, as engines do.
func (sb *sandbox) mountPoint(m *mounted) {
	below := view{blind: sb.view.blind, mounts: slices.DeleteFunc(slices.Clone(sb.view.mounts), func(o *mounted) bool { return o == m })}
	parent := below.at(m.target)
	if _, ok := parent.tree.lstat(parent.rel(m.target)); ok {
		return
	}
	root := &memory{nodes: sb.root.nodes, ino: sb.root.ino}
	if parent.tree == tree(sb.root) {
		root.put(m.target, node{kind: probe.TypeDir, mode: 0o755}, "")
	} else {
		below := ""
		for name := range strings.SplitSeq(parent.rel(m.target), "/") {
			below = path.Join(below, name)
			if _, ok := parent.tree.lstat(below); !ok {
				_ = parent.tree.create(below, node{kind: probe.TypeDir, mode: 0o755})
			}
		}
	}
}

func (sb *sandbox) mountOne(v *view, i int) {
	e, m := sb.engine, sb.req.Spec.Mounts[i]
	ids := idMap{
		uid: int(sb.req.Identity.UID), gid: int(sb.req.Identity.GID),
		hostUID: int(sb.req.Identity.HostUID), hostGID: int(sb.req.Identity.HostGID),
	}
	if sb.req.Identity.Mode == spec.UserImage {
		ids = idMap{}
	}
	if e.has(BugWrongOwner) {
		ids.skew = 7
	}
	ro := m.Mode == spec.ModeRO && !e.has(BugReadOnlyDropped) || m.Type == spec.MountBind && e.has(BugBindReadOnly)
	switch {
	case m.Type == spec.MountTmpfs:
		t := newMemory(uint64(e.next()), 0o1777)
		t.limit = int64(m.Size)
		if e.has(BugTmpfsSizeIgnored) {
			t.limit = 0
		}
		if e.has(BugTmpfsNotWritable) {
			t.nodes[""].mode = 0o755
		}
		noExec := m.NoExec && !e.has(BugNoExecIgnored) || e.has(BugTmpfsNeverExec)
		v.mounts = append(v.mounts, &mounted{target: m.Target, tree: t, typ: "tmpfs", source: "tmpfs", noExec: noExec, noSUID: true, noDev: true})
	case m.Type == spec.MountVolume:
		vol := e.volumes[m.Source]
		if m.Source == "" {
			vol = e.anonymous(sb, m.Target)
		} else if vol == nil || e.has(BugVolumeForgets) {
			vol = &volume{name: m.Source, tree: newMemory(uint64(e.next()), 0o1777)}
			e.volumes[m.Source] = vol
		}
		v.mounts = append(v.mounts, &mounted{target: m.Target, tree: vol.tree, typ: "volume", source: vol.name, ro: ro})
	case m.Mode == spec.ModeOverlay && !e.has(BugOverlayPlain):
		dirs := sb.req.Overlays[i]
		t := &layered{lower: &host{base: dirs.Lower, ids: ids}, upper: &host{base: dirs.Upper, ids: ids}, gone: map[string]bool{}, through: e.has(BugOverlayWritesThrough)}
		v.mounts = append(v.mounts, &mounted{target: m.Target, tree: t, typ: "overlay", source: "overlay"})
	default:
		h := &host{base: m.Source, ids: ids}
		if e.has(BugBindStale) {
			h.freeze()
		}
		v.mounts = append(v.mounts, &mounted{target: m.Target, tree: h, typ: "bind", source: m.Source, ro: ro, noExec: m.NoExec})
		for _, sub := range e.submounts {
			if rel, below := strings.CutPrefix(sub, m.Source+"/"); below {
				var t tree = &host{base: sub, ids: ids}
				if e.has(BugSubmountHidden) {
					t = newMemory(uint64(e.next()), 0o755)
				}
				v.mounts = append(v.mounts, &mounted{
					target: path.Join(m.Target, rel), tree: t, typ: "bind", source: sub, ro: ro && !e.has(BugNotRecursive),
				})
			}
		}
	}
}

// anonymous returns the sandbox's own volume for a target.
func (e *Engine) anonymous(sb *sandbox, target string) *volume {
	name := "anonymous-" + string(sb.id) + strings.ReplaceAll(target, "/", "-")
	if vol := e.volumes[name]; vol != nil {
		return vol
	}
	vol := &volume{name: name, owner: sb.id, tree: newMemory(uint64(e.next()), 0o1777)}
	e.volumes[name] = vol
	sb.volumes = append(sb.volumes, name)
	return vol
}

// files writes what every engine puts into /etc.
func (sb *sandbox) files() {
	s := sb.req.Spec
	regular := node{kind: probe.TypeFile, mode: 0o644}
	var hosts strings.Builder
	hosts.WriteString("127.0.0.1 localhost\n")
	for _, n := range sb.networks {
		fmt.Fprintf(&hosts, "%s %s\n", sb.address(n), sb.hostname())
	}
	e := sb.engine
	if s.Network.HostAlias && !e.has(BugHostAliasDropped) || e.has(BugHostAliasAlways) {
		hosts.WriteString("192.0.2.254 host.berth.internal host.docker.internal\n")
	}
	sb.root.put("/etc/hosts", regular, hosts.String())
	sb.root.put("/etc/hostname", regular, sb.hostname()+"\n")
	sb.root.put("/etc/resolv.conf", regular, "nameserver 192.0.2.53\n")
}

// launch starts a process; the lock is held. The returned process runs in a
// goroutine of its own.
func (sb *sandbox) launch(p *process, stdin io.Reader, stdout, stderr io.Writer, done func()) {
	ctx, cancel := context.WithCancel(context.Background())
	sb.lastPID++
	p.sb, p.pid, p.cancel = sb, sb.lastPID, cancel
	p.signals, p.notified = make(chan string, 64), map[string]bool{}
	sb.processes[p.pid] = p
	if p.tty != nil {
		stdout = &crlf{stdout}
		stderr = stdout
		if sb.engine.has(BugTTYLosesErrors) {
			stderr = io.Discard
		}
	}
	go func() {
		code := probe.Run(ctx, &system{process: p}, p.argv[1:], stdin, stdout, stderr)
		sb.engine.mu.Lock()
		defer sb.engine.mu.Unlock()
		cancel()
		if p.killed > 0 {
			code = 128 + p.killed
		}
		p.code, p.ended = code, true
		delete(sb.processes, p.pid)
		if done != nil {
			done()
		}
		sb.engine.changed.Broadcast()
	}()
}

// send delivers a signal; the lock is held.
func (p *process) send(name string, outside bool) {
	if p.ended {
		return
	}
	n, _ := probe.SignalNumber(name)
	name = probe.SignalName(n)
	switch {
	case name == "KILL" && (p.pid != 1 || outside):
		p.killed = 9
		p.cancel()
	case p.notified[name]:
		select {
		case p.signals <- name:
		default:
		}
	case p.pid == 1 || slices.Contains([]string{"CHLD", "CONT", "URG", "WINCH", "KILL"}, name):
		// ignored: PID 1 has no default actions
	default:
		p.killed = n
		p.cancel()
	}
}

// start runs the main process; the lock is held.
func (e *Engine) start(sb *sandbox) error {
	s := sb.req.Spec
	sb.mount()
	sb.files()
	p := &process{argv: slices.Clone(sb.req.Argv), env: sb.environ(), cwd: sb.workdir(), user: sb.mainUser()}
	if e.has(BugArgsSplit) {
		p.argv = strings.Fields(strings.Join(p.argv, " "))
	}
	if s.Process.TTY && !e.has(BugNoTTY) {
		p.tty = &probe.Terminal{TTY: true, Rows: 24, Cols: 80}
	}
	for _, m := range s.Mounts {
		if _, ok := sb.image.root.lstat(strings.TrimPrefix(m.Target, "/")); !ok && e.has(BugTargetNotMade) {
			return failField(backend.Invalid, "start", sb.id, "mounts[0].target", "the image has no %s", m.Target)
		}
	}
	if code := sb.lookUp(p); code != 0 {
		return failField(backend.Invalid, "start", sb.id, "process.command", "%q cannot be run: the image has no such program", p.argv[0])
	}
	if err := e.publish(sb); err != nil {
		return err
	}
	sb.phase, sb.started, sb.finished, sb.exit, sb.oom = backend.PhaseRunning, time.Now().UTC(), time.Time{}, nil, false
	sb.lastPID, sb.processes = 0, map[int]*process{}
	sb.starts++
	var stdin io.Reader
	if s.Process.Stdin && !e.has(BugStdinDropped) {
		stdin = sb.stdin
	}
	sb.main = p
	out, errs := &output{sb: sb, stream: backend.Stdout}, &output{sb: sb, stream: backend.Stderr}
	if e.has(BugStreamsSwapped) {
		out, errs = errs, out
	}
	sb.launch(p, stdin, out, errs, func() { sb.over(p) })
	e.happened(sb, false)
	return nil
}

// over is the end of the main process; the lock is held.
func (sb *sandbox) over(p *process) {
	e := sb.engine
	for _, other := range sb.processes {
		other.killed = 9
		other.cancel()
	}
	for stream, rest := range sb.partial {
		if len(rest) > 0 && !e.has(BugLastLineLost) {
			sb.entry(stream, rest)
		}
	}
	clear(sb.partial)
	sb.listeners = map[string]*listener{}
	if !e.has(BugPortsLeaked) {
		sb.unpublish()
	}
	code := p.code
	switch {
	case e.has(BugExitCodeLost):
		code = 0
	case e.has(BugSignalCodeLost) && code > 128:
		code -= 128
	}
	sb.phase, sb.finished = backend.PhaseExited, time.Now().UTC()
	if e.has(BugNoFinishTime) {
		sb.finished = time.Time{}
	}
	e.happened(sb, false)
	sb.exit = &backend.Exit{Code: code, OOMKilled: sb.oom && !e.has(BugOOMUntold)}
	for _, a := range slices.Concat(sb.attached, sb.late) {
		a.finish(sb.exit)
	}
	sb.attached, sb.late = nil, nil
	sb.stdin.ended = true
	sb.stdin = &pipe{engine: e}
}

// lookUp finds the program of a process: 0, or the code of a shell.
func (sb *sandbox) lookUp(p *process) int {
	name := p.argv[0]
	names := []string{name}
	if !strings.Contains(name, "/") {
		names = nil
		for _, v := range p.env {
			if dirs, ok := strings.CutPrefix(v, "PATH="); ok {
				for dir := range strings.SplitSeq(dirs, ":") {
					names = append(names, path.Join(dir, name))
				}
			}
		}
	}
	code := 127
	for _, name := range names {
		f, err := sb.view.existing(p.user, p.cwd, name, true)
		if err != nil {
			continue
		}
		code = 126
		data, err := f.mount.tree.readFile(f.rel, len(program))
		if err == nil && f.st.Type == probe.TypeFile && f.st.Mode&0o111 != 0 && !f.mount.noExec && string(data) == program {
			return 0
		}
	}
	return code
}

// output is a standard stream of the main process.
type output struct {
	sb     *sandbox
	stream backend.LogStream
}

// Write logs, and hands on to whoever is attached.
func (o *output) Write(p []byte) (int, error) {
	sb := o.sb
	sb.engine.mu.Lock()
	defer sb.engine.mu.Unlock()
	e := sb.engine
	for i, a := range sb.attached {
		if i == 0 || !e.has(BugOneClient) {
			a.write(o.stream, p)
		}
	}
	stream := o.stream
	if sb.main.tty != nil {
		stream = backend.Stdout
	}
	rest := append(sb.partial[stream], p...)
	for {
		n := bytes.IndexByte(rest, '\n') + 1
		if n == 0 && len(rest) >= maxLine {
			n = maxLine
		}
		if n == 0 {
			break
		}
		line := bytes.Clone(rest[:n])
		if e.has(BugLogsCut) && len(sb.log) >= 1000 {
			line = nil
		}
		if line != nil {
			sb.entry(stream, line)
		}
		rest = rest[n:]
	}
	sb.partial[stream] = rest
	e.changed.Broadcast()
	return len(p), nil
}

// maxLine is where a long line is cut into several entries.
const maxLine = 16 << 10

// entry adds to the log.
func (sb *sandbox) entry(stream backend.LogStream, data []byte) {
	e := sb.engine
	if stream == backend.Stderr {
		if e.has(BugStderrUnlogged) {
			return
		}
		if e.has(BugStreamsMerged) {
			stream = backend.Stdout
		}
	}
	if e.has(BugLogsText) {
		data = bytes.ToValidUTF8(data, []byte("?"))
	}
	now := time.Now().UTC()
	if n := len(sb.log); n > 0 && !now.After(sb.log[n-1].Time) {
		now = sb.log[n-1].Time.Add(1)
	}
	entry := backend.LogEntry{Time: now, Stream: stream, Data: bytes.Clone(data)}
	if e.has(BugLogsNewestFirst) && len(sb.log) > 0 {
		sb.log = slices.Insert(sb.log, len(sb.log)-1, entry)
		return
	}
	sb.log = append(sb.log, entry)
}

// attachment is a client that holds the streams of a process.
type attachment struct {
	engine *Engine
	dst    map[backend.LogStream]io.Writer
	queue  []piece
	exit   *backend.Exit
	idle   bool // all of the queue was written
	closed bool
	wake   sync.Cond
	proc   *process // of an exec
	sb     *sandbox

	written int    // of a bug
	held    []byte // of a bug
}

type piece struct {
	stream backend.LogStream
	data   []byte
}

func newAttachment(e *Engine, sb *sandbox, s backend.Streams) *attachment {
	a := &attachment{engine: e, sb: sb, idle: true, dst: map[backend.LogStream]io.Writer{backend.Stdout: s.Stdout, backend.Stderr: s.Stderr}}
	a.wake.L = &e.mu
	go a.copy()
	return a
}

// write queues a piece; the lock is held.
func (a *attachment) write(stream backend.LogStream, p []byte) {
	if a.closed || a.dst[stream] == nil {
		return
	}
	next := piece{stream, bytes.Clone(p)}
	if a.engine.has(BugStderrTailLost) && stream == backend.Stderr {
		next.data, a.held = a.held, next.data
	}
	a.queue = append(a.queue, next)
	a.idle = false
	a.wake.Broadcast()
}

// copy writes what is queued, so that a slow client holds nobody up.
func (a *attachment) copy() {
	a.engine.mu.Lock()
	defer a.engine.mu.Unlock()
	for {
		for len(a.queue) == 0 {
			a.idle = true
			a.engine.changed.Broadcast()
			if a.exit != nil || a.closed {
				return
			}
			a.wake.Wait()
		}
		next := a.queue[0]
		a.queue = a.queue[1:]
		dst := a.dst[next.stream]
		a.engine.mu.Unlock()
		_, _ = dst.Write(next.data)
		a.engine.mu.Lock()
	}
}

// finish says that no more comes; the lock is held.
func (a *attachment) finish(exit *backend.Exit) {
	if a.exit == nil {
		a.exit = exit
	}
	a.wake.Broadcast()
}

// Wait implements backend.Process.
func (a *attachment) Wait(ctx context.Context) (*backend.Exit, error) {
	a.engine.mu.Lock()
	defer a.engine.mu.Unlock()
	err := a.engine.wait(ctx, func() bool { return a.exit != nil && (a.idle || a.closed) })
	if err != nil {
		return nil, err
	}
	return new(*a.exit), nil
}

// Resize implements backend.Process.
func (a *attachment) Resize(ctx context.Context, cols, rows uint16) error {
	a.engine.mu.Lock()
	defer a.engine.mu.Unlock()
	p := a.proc
	if p == nil {
		p = a.sb.main
	}
	if p == nil || p.tty == nil || p.ended {
		return fail(backend.Conflict, "resize", a.sb.id, "there is no terminal")
	}
	if a.engine.has(BugResizeIgnored) {
		return nil
	}
	p.tty.Cols, p.tty.Rows = int(cols), int(rows)
	p.send("WINCH", true)
	return nil
}

// Close implements backend.Process.
func (a *attachment) Close() error {
	a.engine.mu.Lock()
	defer a.engine.mu.Unlock()
	a.closed, a.queue = true, nil
	if a.proc != nil && !a.proc.ended && a.engine.has(BugCloseKills) {
		a.proc.killed = 9
		a.proc.cancel()
	}
	a.wake.Broadcast()
	a.engine.changed.Broadcast()
	return nil
}

// pipe carries what clients send to a process. It never blocks the writer.
type pipe struct {
	engine *Engine
	data   []byte
	ended  bool
}

// Read implements io.Reader.
func (p *pipe) Read(b []byte) (int, error) {
	p.engine.mu.Lock()
	defer p.engine.mu.Unlock()
	for len(p.data) == 0 && !p.ended {
		p.engine.changed.Wait()
	}
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.data)
	p.data = p.data[n:]
	return n, nil
}

// feed copies a client's input in.
func (p *pipe) feed(r io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		p.engine.mu.Lock()
		if p.engine.has(BugStdinCut) && len(p.data)+n > 64<<10 {
			n = 0
		}
		p.data = append(p.data, buf[:n]...)
		if err != nil && !p.engine.has(BugNoHalfClose) {
			p.ended = true
		}
		p.engine.changed.Broadcast()
		p.engine.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// crlf is what a terminal does to the ends of lines.
type crlf struct{ w io.Writer }

// Write implements io.Writer.
func (c *crlf) Write(p []byte) (int, error) {
	if _, err := c.w.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// status is what Inspect tells; the lock is held.
func (sb *sandbox) status() *backend.Status {
	e := sb.engine
	st := &backend.Status{
		ID: sb.id, Name: sb.req.Spec.Name, Phase: sb.phase, Record: sb.req.Record,
		CreatedAt: sb.created, StartedAt: sb.started, FinishedAt: sb.finished,
		Ports: []backend.PortStatus{}, Networks: []backend.NetworkStatus{},
		Engine: backend.EngineStatus{Driver: Name, NativeID: sb.native, NativeName: "fake-" + string(sb.id), Image: sb.image.ID},
	}
	st.Record.Spec = spec.Clone(sb.req.Record.Spec)
	if e.has(BugRecordLost) {
		st.Record.Identity = backend.Identity{}
	}
	if e.has(BugSecretsShown) {
		st.Record.Spec = spec.Clone(sb.req.Spec)
	}
	if e.has(BugLabelsLost) {
		st.Record.Spec.Labels = nil
	}
	if e.has(BugNameLost) {
		st.Name = ""
	}
	if sb.exit != nil && sb.phase == backend.PhaseExited {
		st.Exit = new(*sb.exit)
	}
	if sb.phase == backend.PhaseRunning || sb.phase == backend.PhasePaused {
		st.Engine.InitPID = 1000 + int(sb.created.UnixNano()%1000)
	}
	if e.has(BugPausedUntold) && sb.phase == backend.PhasePaused {
		st.Phase = backend.PhaseRunning
	}
	for _, p := range sb.ports {
		st.Ports = append(st.Ports, p.status)
	}
	for _, n := range sb.networks {
		if !e.has(BugNetworksUntold) && sb.phase == backend.PhaseRunning {
			st.Networks = append(st.Networks, backend.NetworkStatus{Name: n.name, Addresses: []string{sb.address(n)}})
		}
	}
	return st
}
