// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/spec"
)

// system is the operating system as a process of the model sees it.
type system struct{ process *process }

var _ probe.System = (*system)(nil)

func (s *system) sb() *sandbox { return s.process.sb }

// enter takes the engine's lock once the sandbox is not frozen.
func (s *system) enter(ctx context.Context) error {
	e := s.sb().engine
	e.mu.Lock()
	err := e.wait(ctx, func() bool { return s.sb().phase != backend.PhasePaused || s.process.killed > 0 })
	if err != nil {
		e.mu.Unlock()
	}
	return err
}

func (s *system) leave() { s.sb().engine.mu.Unlock() }

// files calls f with the lock and the sandbox's view.
func (s *system) files(f func(v *view, u user, cwd string) error) error {
	if err := s.enter(context.Background()); err != nil {
		return err
	}
	defer s.leave()
	return f(&s.sb().view, s.process.user, s.process.cwd)
}

// Self implements probe.SelfSystem.
func (s *system) Self() (probe.Self, error) {
	if err := s.enter(context.Background()); err != nil {
		return probe.Self{}, err
	}
	defer s.leave()
	p, sb := s.process, s.sb()
	caps := func(names []string) []string {
		list := []string{}
		for _, name := range names {
			list = append(list, "CAP_"+name)
		}
		return list
	}
	status := probe.Status{
		CapInheritable: []string{}, CapPermitted: caps(p.user.effective), CapEffective: caps(p.user.effective),
		CapBounding: caps(sb.bounding()), CapAmbient: []string{},
		NoNewPrivs: sb.noNewPrivs(), Seccomp: 2, Threads: 1, Groups: append([]int{}, p.user.groups...),
	}
	if sb.engine.has(BugExecUnconfined) && p.pid != 1 {
		status.NoNewPrivs, status.Seccomp = false, 0
	}
	if sb.seccomp() == spec.SeccompUnconfined {
		status.Seccomp = 0
	}
	return probe.Self{
		PID: p.pid, PPID: p.ppid, UID: p.user.uid, EUID: p.user.euid, GID: p.user.gid, EGID: p.user.gid, Groups: append([]int{}, p.user.groups...),
		Umask: 0o022, Cwd: p.cwd, Hostname: sb.hostname(), Status: status,
	}, nil
}

func (sb *sandbox) noNewPrivs() bool {
	e := sb.engine
	if e.has(BugNoNewPrivsAlways) {
		return true
	}
	return *sb.req.Spec.Security.NoNewPrivileges && !e.has(BugNoNewPrivsDropped)
}

// seccomp is the profile in force.
func (sb *sandbox) seccomp() string {
	e := sb.engine
	switch s := sb.req.Spec.Security.Seccomp; {
	case e.has(BugNoSeccomp):
		return spec.SeccompUnconfined
	case s == spec.SeccompUnconfined && e.has(BugUnconfinedIgnored), strings.HasPrefix(s, "/") && e.has(BugProfileIgnored):
		return spec.SeccompDefault
	default:
		return s
	}
}

// Environ implements probe.SelfSystem.
func (s *system) Environ() []string { return slices.Clone(s.process.env) }

// Terminal implements probe.SelfSystem.
func (s *system) Terminal(int) (probe.Terminal, error) {
	if err := s.enter(context.Background()); err != nil {
		return probe.Terminal{}, err
	}
	defer s.leave()
	if s.process.tty == nil {
		return probe.Terminal{}, nil
	}
	return *s.process.tty, nil
}

// SetEcho implements probe.SelfSystem.
func (s *system) SetEcho(int, bool) error {
	if s.process.tty == nil {
		return eNOTTY
	}
	return nil
}

// The limits that a process has unless the spec says otherwise.
const (
	defaultSoft = 1024
	defaultHard = 4096
)

func (sb *sandbox) noFile() (soft, hard int64) {
	if n := sb.req.Spec.Resources.NoFile; n != (spec.NoFile{}) && !sb.engine.has(BugNoFileIgnored) {
		return int64(n.Soft), int64(n.Hard)
	}
	return defaultSoft, defaultHard
}

// Limits implements probe.SelfSystem.
func (s *system) Limits() ([]probe.Limit, error) {
	soft, hard := s.sb().noFile()
	return []probe.Limit{{Name: "core", Soft: 0, Hard: probe.Unlimited}, {Name: "nofile", Soft: soft, Hard: hard}}, nil
}

// limit is a value of the cgroup file system.
func limit[N ~int64](n N, ignored bool) *int64 {
	if n == 0 || ignored {
		return new(probe.Unlimited)
	}
	return new(int64(n))
}

// cpuPeriod is in microseconds.
const cpuPeriod = 100000

// Cgroup implements probe.SelfSystem.
func (s *system) Cgroup() (probe.Cgroup, error) {
	r, e := s.sb().req.Spec.Resources, s.sb().engine
	memory := limit(r.Memory, e.has(BugMemoryIgnored))
	return probe.Cgroup{
		Version: 1, Path: "/" + string(s.sb().id), Memory: memory, Swap: memory, Pids: limit(r.Pids, e.has(BugPidsIgnored)),
		Quota: limit(r.CPUs*cpuPeriod/1000, e.has(BugCPUsIgnored)), Period: new(int64(cpuPeriod)),
	}, nil
}

// Lstat implements probe.FileSystem.
func (s *system) Lstat(path string) (st probe.Stat, err error) {
	err = s.files(func(v *view, u user, cwd string) error {
		f, err := v.existing(u, cwd, path, false)
		st = f.st
		return err
	})
	return st, err
}

// ReadFile implements probe.FileSystem.
func (s *system) ReadFile(path string, limit int) (data []byte, err error) {
	err = s.files(func(v *view, u user, cwd string) error {
		data, err = v.readFile(u, cwd, path, limit)
		return err
	})
	return data, err
}

// WriteFile implements probe.FileSystem.
func (s *system) WriteFile(path string, data []byte, mode probe.WriteMode, perm uint32) (n int, err error) {
	err = s.files(func(v *view, u user, cwd string) error {
		n, err = v.writeFile(u, cwd, path, data, mode, perm)
		return err
	})
	return n, err
}

// Touch implements probe.FileSystem.
func (s *system) Touch(path string) error {
	return s.files(func(v *view, u user, cwd string) error {
		f, err := v.walk(u, cwd, path, true)
		if err != nil {
			return err
		}
		if !f.exists {
			_, err := v.make(u, cwd, path, node{kind: probe.TypeFile, mode: 0o666})
			return err
		}
		if f.mount.ro {
			return eROFS
		}
		if f.st.UID != u.euid && !u.allowed(f.st, write) {
			return eACCES
		}
		return f.mount.tree.touch(f.rel)
	})
}

func (s *system) make(path string, n node) error {
	return s.files(func(v *view, u user, cwd string) error {
		_, err := v.make(u, cwd, path, n)
		return err
	})
}

// Mkdir implements probe.FileSystem.
func (s *system) Mkdir(path string, perm uint32) error {
	return s.make(path, node{kind: probe.TypeDir, mode: perm})
}

// Symlink implements probe.FileSystem.
func (s *system) Symlink(target, path string) error {
	return s.make(path, node{kind: probe.TypeSymlink, mode: 0o777, target: target})
}

// Mknod implements probe.FileSystem.
func (s *system) Mknod(path string, kind probe.NodeKind, major, minor uint32) error {
	types := map[probe.NodeKind]probe.FileType{
		probe.CharDevice: probe.TypeChar, probe.BlockDevice: probe.TypeBlock, probe.FIFO: probe.TypeFIFO, probe.Socket: probe.TypeSocket,
	}
	if (kind == probe.CharDevice || kind == probe.BlockDevice) && !s.process.user.can("MKNOD") {
		return ePERM
	}
	return s.make(path, node{kind: types[kind], mode: 0o666, rdev: uint64(major)<<8 | uint64(minor)})
}

// Remove implements probe.FileSystem.
func (s *system) Remove(path string) error {
	return s.files(func(v *view, u user, cwd string) error { return v.remove(u, cwd, path) })
}

// Rename implements probe.FileSystem.
func (s *system) Rename(oldPath, newPath string) error {
	return s.files(func(v *view, u user, cwd string) error { return v.rename(u, cwd, oldPath, newPath) })
}

// Link implements probe.FileSystem.
func (s *system) Link(oldPath, newPath string) error {
	return s.files(func(v *view, u user, cwd string) error { return v.link(u, cwd, oldPath, newPath) })
}

// Chmod implements probe.FileSystem.
func (s *system) Chmod(path string, mode uint32) error {
	return s.files(func(v *view, u user, cwd string) error {
		return v.change(u, cwd, path, true, "FOWNER", func(f found) error { return f.mount.tree.chmod(f.rel, mode) })
	})
}

// Chown implements probe.FileSystem.
func (s *system) Chown(path string, uid, gid int) error {
	return s.files(func(v *view, u user, cwd string) error {
		return v.change(u, cwd, path, false, "CHOWN", func(f found) error {
			if uid < 0 {
				uid = f.st.UID
			}
			if gid < 0 {
				gid = f.st.GID
			}
			if (uid != f.st.UID || gid != f.st.GID && gid != u.gid) && !u.can("CHOWN") {
				return ePERM
			}
			return f.mount.tree.chown(f.rel, uid, gid)
		})
	})
}

// ReadDir implements probe.FileSystem.
func (s *system) ReadDir(path string, limit int) (names []string, err error) {
	err = s.files(func(v *view, u user, cwd string) error {
		names, err = v.readDir(u, cwd, path)
		names = append([]string{}, names[:min(len(names), limit)]...)
		// What is mounted in it shows, whatever its own file system has.
		for _, m := range v.mounts {
			if dir, name := splitPath(m.target); err == nil && dir == path && name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return err
	})
	return names, err
}

func splitPath(p string) (dir, name string) {
	i := strings.LastIndex(p, "/")
	if i == 0 {
		return "/", p[1:]
	}
	return p[:i], p[i+1:]
}

// CopySelf implements probe.FileSystem.
func (s *system) CopySelf(path string) (int64, error) {
	n, err := s.WriteFile(path, []byte(program), probe.Truncate, 0o755)
	return int64(n), err
}

// Statfs implements probe.MountSystem.
func (s *system) Statfs(path string) (st probe.Statfs, err error) {
	err = s.files(func(v *view, u user, cwd string) error {
		f, err := v.existing(u, cwd, path, true)
		if err != nil {
			return err
		}
		m := f.mount
		st = probe.Statfs{Type: m.typ, ReadOnly: m.ro, NoSUID: m.noSUID, NoDev: m.noDev, NoExec: m.noExec}
		st.Size, st.Free = m.tree.space()
		return nil
	})
	return st, err
}

// Mounts implements probe.MountSystem.
func (s *system) Mounts() (list []probe.Mount, err error) {
	err = s.files(func(v *view, _ user, _ string) error {
		for _, m := range v.mounts {
			options := []string{"rw"}
			if m.ro {
				options = []string{"ro"}
			}
			for name, on := range map[string]bool{"nosuid": m.noSUID, "nodev": m.noDev, "noexec": m.noExec} {
				if on {
					options = append(options, name)
				}
			}
			slices.Sort(options[1:])
			list = append(list, probe.Mount{
				Target: m.target, Root: "/", Device: "0:1", Type: m.typ, Source: m.source, ReadOnly: m.ro, Options: options,
				SuperOptions: []string{"rw"}, Propagation: []string{},
			})
		}
		return nil
	})
	return list, err
}

// TryMount implements probe.MountSystem.
func (s *system) TryMount(string) error { return s.Syscall("mount") }

// TryRemount implements probe.MountSystem.
func (s *system) TryRemount(string) error { return s.Syscall("mount") }

// Processes implements probe.ProcessSystem.
func (s *system) Processes() ([]probe.ProcessEntry, error) {
	if err := s.enter(context.Background()); err != nil {
		return nil, err
	}
	defer s.leave()
	var list []probe.ProcessEntry
	for _, p := range s.sb().processes {
		list = append(list, probe.ProcessEntry{PID: p.pid, PPID: p.ppid, State: "S", Name: "probe"})
	}
	if s.sb().engine.has(BugHostPIDs) {
		list = append(list, probe.ProcessEntry{PID: 4000, State: "S", Name: "engine"})
	}
	slices.SortFunc(list, func(a, b probe.ProcessEntry) int { return a.PID - b.PID })
	return list, nil
}

// Exec implements probe.ProcessSystem.
func (s *system) Exec(ctx context.Context, path string, args []string, limit int) (probe.Exec, error) {
	if err := s.enter(ctx); err != nil {
		return probe.Exec{}, err
	}
	sb, parent := s.sb(), s.process
	f, err := sb.view.existing(parent.user, parent.cwd, path, true)
	if err == nil {
		data, _ := f.mount.tree.readFile(f.rel, len(program))
		switch {
		case f.st.Type != probe.TypeFile || !parent.user.allowed(f.st, execute) || f.st.Mode&0o111 == 0 || f.mount.noExec:
			err = eACCES
		case string(data) != program:
			err = eNOEXEC
		}
	}
	if err != nil {
		s.leave()
		return probe.Exec{}, err
	}
	child := &process{argv: args, env: slices.Clone(parent.env), cwd: parent.cwd, user: parent.user, ppid: parent.pid}
	if f.st.Mode&0o4000 != 0 && !f.mount.noSUID && !sb.noNewPrivs() {
		child.user.euid = f.st.UID
		child.user.effective = nil
		if f.st.UID == 0 {
			child.user.effective = sb.bounding()
		}
	}
	var out, errs bytes.Buffer
	sb.launch(child, nil, &out, &errs, nil)
	defer s.leave()
	if err := sb.engine.wait(ctx, func() bool { return child.ended }); err != nil {
		child.cancel()
		return probe.Exec{}, err
	}
	result := probe.Exec{
		Code: child.code, Stdout: out.Bytes()[:min(out.Len(), limit)], Stderr: errs.Bytes()[:min(errs.Len(), limit)],
		Truncated: out.Len() > limit || errs.Len() > limit,
	}
	if child.killed > 0 {
		result.Code, result.Signal = -1, probe.SignalName(child.killed)
	}
	return result, nil
}

// Notify implements probe.ProcessSystem.
func (s *system) Notify(names []string) (<-chan string, func()) {
	e := s.sb().engine
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, name := range names {
		s.process.notified[name] = true
	}
	e.changed.Broadcast()
	return s.process.signals, func() {}
}

// Kill implements probe.ProcessSystem.
func (s *system) Kill(pid int, signal string) error {
	if err := s.enter(context.Background()); err != nil {
		return err
	}
	defer s.leave()
	p := s.sb().processes[pid]
	if p == nil {
		return eSRCH
	}
	p.send(signal, false)
	return nil
}

// Die implements probe.ProcessSystem: the model's processes end with a code.
func (s *system) Die(string) error { return nil }

// needs has the capability that a system call asks for.
var needs = map[string]string{
	"acct": "SYS_PACCT", "adjtimex": "SYS_TIME", "chroot": "SYS_CHROOT", "clock_adjtime": "SYS_TIME", "clock_settime": "SYS_TIME",
	"settimeofday": "SYS_TIME", "delete_module": "SYS_MODULE", "init_module": "SYS_MODULE", "finit_module": "SYS_MODULE",
	"create_module": "SYS_MODULE", "fanotify_init": "SYS_ADMIN", "fsopen": "SYS_ADMIN", "ioperm": "SYS_RAWIO", "iopl": "SYS_RAWIO",
	"kexec_file_load": "SYS_BOOT", "kexec_load": "SYS_BOOT", "reboot": "SYS_BOOT", "mount": "SYS_ADMIN", "move_mount": "SYS_ADMIN",
	"open_by_handle_at": "DAC_READ_SEARCH", "open_tree": "SYS_ADMIN", "pivot_root": "SYS_ADMIN", "quotactl": "SYS_ADMIN",
	"setdomainname": "SYS_ADMIN", "sethostname": "SYS_ADMIN", "setns": "SYS_ADMIN", "socket-packet": "NET_RAW", "socket-raw": "NET_RAW",
	"swapoff": "SYS_ADMIN", "swapon": "SYS_ADMIN", "syslog": "SYSLOG", "umount2": "SYS_ADMIN", "unshare-newnet": "SYS_ADMIN",
	"unshare-newns": "SYS_ADMIN", "vhangup": "SYS_TTY_CONFIG", "bpf": "BPF", "perf_event_open": "PERFMON", "lookup_dcookie": "SYS_ADMIN",
}

// harmless are the calls that the default profile lets through.
var harmless = []string{"ptrace", "personality", "process_vm_readv", "kcmp", "name_to_handle_at", "io_uring_setup", "get_mempolicy", "vmsplice"}

// Syscall implements probe.ProcessSystem.
func (s *system) Syscall(name string) error {
	capability, privileged := needs[name]
	sb := s.sb()
	granted := privileged && s.process.user.can(capability)
	switch profile := sb.seccomp(); {
	case privileged && !granted:
		return ePERM
	case profile == spec.SeccompUnconfined, granted && profile == spec.SeccompDefault:
		return nil
	case profile == spec.SeccompDefault:
		if slices.Contains(harmless, name) {
			return nil
		}
		return ePERM
	}
	var custom struct {
		DefaultAction string
		Syscalls      []struct {
			Names  []string
			Action string
		}
	}
	if err := json.Unmarshal(sb.req.Seccomp, &custom); err != nil {
		return eNOSYS
	}
	action := custom.DefaultAction
	for _, rule := range custom.Syscalls {
		if slices.Contains(rule.Names, name) {
			action = rule.Action
		}
	}
	if action == "SCMP_ACT_ALLOW" {
		return nil
	}
	return ePERM
}

// Sleep implements probe.ProcessSystem.
func (s *system) Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	s.leave()
	return nil
}

// UseMemory implements probe.LoadSystem.
func (s *system) UseMemory(ctx context.Context, n int64, inSelf bool) (probe.Memory, error) {
	if err := s.enter(ctx); err != nil {
		return probe.Memory{}, err
	}
	defer s.leave()
	sb := s.sb()
	bound := int64(sb.req.Spec.Resources.Memory)
	if sb.engine.has(BugMemoryQuarter) {
		bound /= 4
	}
	if bound == 0 || n < bound || sb.engine.has(BugMemoryIgnored) {
		return probe.Memory{Requested: n, Touched: n}, nil
	}
	if !inSelf {
		return probe.Memory{Requested: n, Touched: bound, Signal: "KILL"}, nil
	}
	sb.oom = true
	s.process.send("KILL", true)
	return probe.Memory{}, sb.engine.wait(ctx, func() bool { return false })
}

// UsePIDs implements probe.LoadSystem.
func (s *system) UsePIDs(ctx context.Context, n int) (probe.Pids, error) {
	if err := s.enter(ctx); err != nil {
		return probe.Pids{}, err
	}
	defer s.leave()
	bound := int(s.sb().req.Spec.Resources.Pids)
	left := bound - len(s.sb().processes)
	if bound == 0 || n <= left || s.sb().engine.has(BugPidsIgnored) {
		return probe.Pids{Started: n, Before: 1}, nil
	}
	return probe.Pids{Started: max(left, 0), Before: 1}, eAGAIN
}

// UseCPU implements probe.LoadSystem.
func (s *system) UseCPU(_ context.Context, d time.Duration, threads int) (probe.CPU, error) {
	used := d * time.Duration(threads)
	if cpus := s.sb().req.Spec.Resources.CPUs; cpus > 0 && !s.sb().engine.has(BugCPUsIgnored) {
		used = min(used, d*time.Duration(cpus)/1000)
	}
	return probe.CPU{Used: used, Wall: d}, nil
}

// OpenFiles implements probe.LoadSystem.
func (s *system) OpenFiles(n int) (probe.Files, error) {
	const before = 3
	soft, _ := s.sb().noFile()
	if left := int(soft) - before; n > left {
		return probe.Files{Opened: left, Before: before}, eMFILE
	}
	return probe.Files{Opened: n, Before: before}, nil
}

// Orphan implements probe.LoadSystem. The model has no process without a program.
func (s *system) Orphan(_ context.Context, n int, _ time.Duration) (probe.Orphans, error) {
	return probe.Orphans{Made: n}, nil
}
