// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"encoding/json"
	"slices"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/spec"
)

func securityTests() []Test {
	caps := needs(backend.SecCapabilities)
	seccomp := needs(backend.SecSeccomp)
	nnp := needs(backend.SecNoNewPrivs)
	return []Test{
		{ID: "security.capabilities.standard-set", Clause: "security.capabilities.standard", Needs: caps, Fn: capsStandard},
		{ID: "security.capabilities.none-for-others", Clause: "security.capabilities.user", Needs: needs(backend.SecCapabilities, backend.UserNumber), Fn: capsOthers},
		{ID: "security.capabilities.add", Clause: "security.capabilities.add", Needs: caps, Fn: capsAdd},
		{ID: "security.capabilities.drop", Clause: "security.capabilities.drop", Needs: caps, Fn: capsDrop},
		{ID: "security.capabilities.drop-all", Clause: "security.capabilities.drop", Needs: caps, Fn: capsDropAll},
		{ID: "security.no-new-privileges.on", Clause: "security.no-new-privileges", Needs: nnp, Fn: noNewPrivsOn},
		{ID: "security.no-new-privileges.off-when-asked", Clause: "security.no-new-privileges.off", Needs: nnp, Fn: noNewPrivsOff},
		{ID: "security.setuid.raises-nothing", Clause: "security.setuid", Needs: needs(backend.SecNoNewPrivs, backend.UserNumber, backend.Exec, backend.ExecUser), Fn: setuidRaisesNothing},
		{ID: "security.seccomp.default-filters", Clause: "security.seccomp", Needs: seccomp, Fn: seccompDefault},
		{ID: "security.seccomp.unconfined", Clause: "security.seccomp.unconfined", Needs: seccomp, Fn: seccompUnconfined},
		{ID: "security.seccomp.own-profile", Clause: "security.seccomp.profile", Needs: seccomp, Fn: seccompProfile},
		{ID: "security.exec.as-confined", Clause: "security.exec", Needs: needs(backend.Exec, backend.SecSeccomp, backend.SecNoNewPrivs, backend.SecCapabilities), Fn: execConfined},
		{ID: "security.rootfs.read-only", Clause: "security.rootfs.read-only", Needs: needs(backend.SecReadOnlyRoot, backend.MountTmpfs), Fn: rootReadOnly},
		{ID: "security.rootfs.writable-by-default", Clause: "security.rootfs.writable", Fn: rootWritable},
		{ID: "security.proc.masked", Clause: "security.masked", Fn: procMasked},
		{ID: "security.proc.not-writable", Clause: "security.proc", Fn: procNotWritable},
		{ID: "security.mount.forbidden", Clause: "security.mount", Fn: mountForbidden},
		{ID: "security.devices.standard-only", Clause: "security.devices.standard", Fn: devicesStandard},
		{ID: "security.devices.no-mknod", Clause: "security.devices.mknod", Fn: noMknod},
		{ID: "security.device.path", Clause: "security.devices.path", Needs: needs(backend.SecDevicePath), Fn: devicePath},
		{ID: "security.device.cdi-unknown-refused", Clause: "security.devices.cdi", Needs: needs(backend.SecDeviceCDI), Fn: deviceCDIUnknown},
		{ID: "security.processes.own-only", Clause: "security.pids", Fn: processesOwn},
		{ID: "security.runtime.unknown-refused", Clause: "security.runtime", Needs: needs(backend.SecRuntime), Fn: runtimeUnknown},
		{ID: "security.runtime.default-named", Clause: "security.runtime.named", Needs: needs(backend.SecRuntime), Fn: runtimeNamed},
	}
}

// standardCapabilities is what root in a sandbox has, in the kernel's order. It
// is written down here once more: the suite does not ask the driver what is
// right.
var standardCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP",
	"CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_AUDIT_WRITE",
}

func (t *T) status(change ...func(*spec.Sandbox)) probe.Status {
	return value[probe.Status](t, t.RunProbe(t.NewSpec(change...), cmd("status"))[0])
}

func (t *T) wantCaps(what string, s probe.Status, want []string) {
	wantEqual(t, what+": effective", s.CapEffective, want)
	wantEqual(t, what+": permitted", s.CapPermitted, want)
	wantEqual(t, what+": bounding", s.CapBounding, want)
	wantEqual(t, what+": ambient", s.CapAmbient, []string{})
}

func capsStandard(t *T) {
	t.wantCaps("root", t.status(user("0:0")), standardCapabilities)
}

func capsOthers(t *T) {
	s := t.status(user("1234:1234"))
	wantEqual(t, "effective", s.CapEffective, []string{})
	wantEqual(t, "permitted", s.CapPermitted, []string{})
	wantEqual(t, "ambient", s.CapAmbient, []string{})
	for _, c := range s.CapBounding {
		if !slices.Contains(standardCapabilities, c) {
			t.Errorf("%s could be had by a setuid program", c)
		}
	}
}

func capsAdd(t *T) {
	s := t.status(user("0:0"), func(s *spec.Sandbox) { s.Security.Capabilities.Add = []string{"SYS_PTRACE"} })
	want := slices.Insert(slices.Clone(standardCapabilities), slices.Index(standardCapabilities, "CAP_AUDIT_WRITE"), "CAP_SYS_PTRACE")
	t.wantCaps("with one added", s, want)
}

func capsDrop(t *T) {
	s := t.status(user("0:0"), func(s *spec.Sandbox) { s.Security.Capabilities.Drop = []string{"CHOWN", "NET_RAW"} })
	t.wantCaps("with one dropped", s, standardCapabilities[1:])
}

func capsDropAll(t *T) {
	s := t.status(user("0:0"), func(s *spec.Sandbox) {
		s.Security.Capabilities = spec.Capabilities{Add: []string{"NET_BIND_SERVICE"}, Drop: []string{spec.CapabilityAll}}
	})
	t.wantCaps("with all but one dropped", s, []string{"CAP_NET_BIND_SERVICE"})
}

func noNewPrivsOn(t *T) {
	wantEqual(t, "no-new-privileges", t.status(user("0:0")).NoNewPrivs, true)
}

func privileges(allowed bool) func(*spec.Sandbox) {
	return func(s *spec.Sandbox) { s.Security.NoNewPrivileges = new(!allowed) }
}

func noNewPrivsOff(t *T) {
	wantEqual(t, "no-new-privileges", t.status(user("0:0"), privileges(true)).NoNewPrivs, false)
}

// setuidRaisesNothing shows first that the same program does raise privileges
// where that is allowed.
func setuidRaisesNothing(t *T) {
	for _, allowed := range []bool{true, false} {
		sb := t.Start(t.NewSpec(user("0:0"), privileges(allowed)))
		t.wantOK(sb.Probe(cmd("mkexec", "/raise"), cmd("chmod", "/raise", "4755"))...)
		out := sb.Execute(&backend.ExecRequest{Argv: line(cmd("suid", "/raise")), User: "1234:1234"})
		got := value[probe.Suid](t, t.results(out, 1)[0])
		switch {
		case allowed && got.EUID != 0:
			t.Errorf("a setuid program raises nothing even where it may: this test proves nothing")
		case !allowed && (got.EUID == 0 || len(got.CapEffective) > 0):
			t.Errorf("a setuid program got %s", show(got))
		}
	}
}

// wantForbidden fails the test for each system call that was carried out.
func (t *T) wantForbidden(results ...probe.Result) {
	for _, r := range results {
		call := value[probe.Syscall](t, r)
		if !slices.Contains([]probe.Errno{"EPERM", "EACCES", "ENOSYS"}, call.Errno) {
			t.Errorf("system call %s: %q, want it refused", call.Name, call.Errno)
		}
	}
}

// unprivileged are calls that any user of a host may make, and no sandbox: only
// the filter refuses them.
var unprivileged = []string{"keyctl", "add_key", "request_key", "unshare-newuser", "clone-newuser", "clone3-newuser", "userfaultfd"}

func seccompDefault(t *T) {
	commands := [][]string{cmd("status")}
	for _, name := range slices.Concat(unprivileged, []string{"mount", "umount2", "reboot", "kexec_load", "init_module", "bpf", "swapon", "setns", "pivot_root"}) {
		commands = append(commands, cmd("syscall", name))
	}
	for _, as := range []string{"0:0", "1234:1234"} {
		results := t.RunProbe(t.NewSpec(user(as)), commands...)
		wantEqual(t, "the seccomp mode", value[probe.Status](t, results[0]).Seccomp, 2)
		t.wantForbidden(results[1:]...)
	}
}

func seccompUnconfined(t *T) {
	s := t.status(user("0:0"), func(s *spec.Sandbox) { s.Security.Seccomp = spec.SeccompUnconfined })
	wantEqual(t, "the seccomp mode", s.Seccomp, 0)
}

// seccompProfile forbids one call that the default allows and allows the rest.
func seccompProfile(t *T) {
	s := t.NewSpec(user("0:0"), runs(cmd("status"), cmd("syscall", "process_vm_readv"), cmd("syscall", "keyctl")))
	control := t.results(t.RunCommand(s), 3)
	if value[probe.Syscall](t, control[1]).Errno != probe.OK {
		t.Errorf("the default profile forbids process_vm_readv: this test proves nothing")
	}
	s.Security.Seccomp = "/profile/of/the/request.json"
	req := t.Request(s)
	req.Seccomp = json.RawMessage(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["process_vm_readv"],"action":"SCMP_ACT_ERRNO"}]}`)
	results := t.results(t.runRequest(req), 3)
	wantEqual(t, "the seccomp mode", value[probe.Status](t, results[0]).Seccomp, 2)
	t.wantForbidden(results[1])
	if call := value[probe.Syscall](t, results[2]); call.Errno == "EPERM" {
		t.Errorf("the profile allows keyctl, and it is refused with %s", call.Errno)
	}
}

func execConfined(t *T) {
	sb := t.Start(t.NewSpec(user("0:0")))
	results := sb.Probe(cmd("status"), cmd("syscall", "unshare-newuser"), cmd("syscall", "mount"))
	s := value[probe.Status](t, results[0])
	t.wantCaps("a further process", s, standardCapabilities)
	wantEqual(t, "its no-new-privileges", s.NoNewPrivs, true)
	wantEqual(t, "its seccomp mode", s.Seccomp, 2)
	t.wantForbidden(results[1:]...)
}

func rootReadOnly(t *T) {
	s := t.NewSpec(user("0:0"), func(s *spec.Sandbox) {
		s.Security.ReadOnlyRoot = true
		s.Mounts = []spec.Mount{{Type: spec.MountTmpfs, Target: "/scratch"}}
	})
	results := t.RunProbe(s, cmd("write", "/x", "1"), cmd("mkdir", "/etc/x"), cmd("remove", "/probe"), cmd("write", "/scratch/x", "1"), cmd("remount", "/"))
	t.wantErrno(results[:3], "EROFS")
	t.wantOK(results[3])
	t.wantErrno(results[4:], "EPERM", "EACCES", "ENOSYS", "EINVAL")
}

func rootWritable(t *T) {
	t.wantOK(t.RunProbe(t.NewSpec(user("0:0")), cmd("write", "/x", "1"), cmd("mkdir", "/d"))...)
}

// procMasked allows any way of showing nothing.
func procMasked(t *T) {
	var commands [][]string
	for _, path := range []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/latency_stats"} {
		commands = append(commands, cmd("read", path, "64"))
	}
	files := len(commands)
	for _, path := range []string{"/proc/acpi", "/proc/scsi", "/sys/firmware"} {
		commands = append(commands, cmd("list", path))
	}
	results := t.RunProbe(t.NewSpec(user("0:0")), commands...)
	for i, r := range results {
		if r.Errno != probe.OK {
			continue
		}
		if i < files {
			if c := value[probe.Content](t, r); len(c.Data) > 0 {
				t.Errorf("%q shows %q", r.Args, c.Data)
			}
		} else if n := value[probe.Names](t, r); len(n.Names) > 0 {
			t.Errorf("%q shows %q", r.Args, n.Names)
		}
	}
}

func procNotWritable(t *T) {
	results := t.RunProbe(t.NewSpec(user("0:0")),
		cmd("write", "/proc/sys/kernel/core_pattern", "|/probe"), cmd("write", "/proc/sysrq-trigger", ""), cmd("write", "/sys/kernel/uevent_helper", "x"))
	t.wantErrno(results, "EROFS", "EACCES", "EPERM", "ENOENT")
}

func mountForbidden(t *T) {
	results := t.RunProbe(t.NewSpec(user("0:0")), cmd("mount", "/proc"), cmd("syscall", "mount"), cmd("syscall", "umount2"), cmd("syscall", "pivot_root"))
	t.wantErrno(results[:1], "EPERM", "EACCES", "ENOSYS")
	t.wantForbidden(results[1:]...)
}

// standardDevices are what an OCI runtime makes (runtime-spec, config-linux,
// default devices), and the directories in /dev.
var standardDevices = []string{
	"console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero",
}

func devicesStandard(t *T) {
	results := t.RunProbe(t.NewSpec(user("0:0")), cmd("list", "/dev"), cmd("stat", "/dev/null"))
	for _, name := range value[probe.Names](t, results[0]).Names {
		if !slices.Contains(standardDevices, name) {
			t.Errorf("there is a device /dev/%s, and nobody asked for it", name)
		}
	}
	wantEqual(t, "the type of /dev/null", value[probe.Stat](t, results[1]).Type, probe.TypeChar)
}

func noMknod(t *T) {
	results := t.RunProbe(t.NewSpec(user("0:0")), cmd("mknod", "/disk", "b", "8", "0"), cmd("mknod", "/mem", "c", "1", "1"))
	t.wantErrno(results, "EPERM", "EACCES")
}

func devicePath(t *T) {
	s := t.NewSpec(user("0:0"), func(s *spec.Sandbox) { s.Security.Devices = []string{"/dev/zero:/dev/conformance:rw"} })
	results := t.RunProbe(s, cmd("stat", "/dev/conformance"), cmd("stat", "/dev/zero"), cmd("write", "/dev/conformance", "x"))
	t.wantOK(results...)
	device, zero := value[probe.Stat](t, results[0]), value[probe.Stat](t, results[1])
	wantEqual(t, "its type", device.Type, probe.TypeChar)
	wantEqual(t, "the device that it stands for", device.Rdev, zero.Rdev)
}

func deviceCDIUnknown(t *T) {
	req := t.Request(t.NewSpec(func(s *spec.Sandbox) { s.Security.Devices = []string{"berth.example/none=one"} }))
	_, err := t.TryCreate(req)
	t.wantField("create with a device that nobody declared", err, "security.devices[0]", backend.Invalid, backend.NotFound, backend.Unsupported)
	t.wantNothingLeft(req.ID)
}

func processesOwn(t *T) {
	results := t.RunProbe(t.NewSpec(user("0:0")), cmd("id"), cmd("ps"))
	wantEqual(t, "the main process's own pid", value[probe.ID](t, results[0]).PID, 1)
	if list := value[probe.Processes](t, results[1]).Processes; len(list) != 1 || list[0].PID != 1 {
		t.Errorf("the sandbox sees processes that are not its own: %s", show(list))
	}
}

func runtimeUnknown(t *T) {
	req := t.Request(t.NewSpec(func(s *spec.Sandbox) { s.Security.Runtime = "no-such-runtime" }))
	_, err := t.TryCreate(req)
	t.wantField("create with a runtime that the engine does not have", err, "security.runtime", backend.Unsupported, backend.Invalid, backend.NotFound)
	t.wantNothingLeft(req.ID)
}

func runtimeNamed(t *T) {
	i := t.Info()
	if !slices.Contains(i.Runtimes, i.DefaultRuntime) {
		t.Fatalf("the default runtime %q is not among %q", i.DefaultRuntime, i.Runtimes)
	}
	t.wantOK(t.RunProbe(t.NewSpec(func(s *spec.Sandbox) { s.Security.Runtime = i.DefaultRuntime }), cmd("id"))...)
}
