// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"slices"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/spec"
)

func resourceTests() []Test {
	return []Test{
		{ID: "resources.memory.bites", Clause: "resources.memory", Needs: needs(backend.ResMemory), Fn: memoryBites},
		{ID: "resources.memory.ends-process", Clause: "resources.memory", Needs: needs(backend.ResMemory), Fn: memoryEnds},
		{ID: "resources.memory.told", Clause: "resources.memory-told", Needs: needs(backend.ResMemory), Fn: memoryTold},
		{ID: "resources.memory.enough", Clause: "resources.memory-enough", Needs: needs(backend.ResMemory), Fn: memoryEnough},
		{ID: "resources.pids.bite", Clause: "resources.pids", Needs: needs(backend.ResPids), Fn: pidsBite},
		{ID: "resources.cpus.bite", Clause: "resources.cpus", Needs: needs(backend.ResCPUs), Fn: cpusBite},
		{ID: "resources.shm.size", Clause: "resources.shm", Needs: needs(backend.ResShm), Fn: shmSize},
		{ID: "resources.nofile.limit", Clause: "resources.nofile", Needs: needs(backend.ResNoFile), Fn: noFileLimit},
		{ID: "resources.disk.bites", Clause: "resources.disk", Needs: needs(backend.ResDisk), Fn: diskBites},
	}
}

func limited(change func(*spec.Resources)) func(*spec.Sandbox) {
	return func(s *spec.Sandbox) { change(&s.Resources) }
}

func memory64(r *spec.Resources) { r.Memory = 64 * spec.MiB }

// seen compares a value of the cgroup file system where the sandbox can see it.
func (t *T) seen(what string, got *int64, want int64) {
	if got == nil {
		t.Logf("%s: the sandbox cannot see it", what)
		return
	}
	wantEqual(t, what, *got, want)
}

func memoryBites(t *T) {
	results := t.RunProbe(t.NewSpec(limited(memory64)), cmd("cgroup"), cmd("memory", "160Mi"))
	t.seen("the memory limit inside", value[probe.Cgroup](t, results[0]).Memory, 64<<20)
	m, err := probe.Value[probe.Memory](results[1])
	if err == nil && m.Signal == "" && m.Touched >= 160<<20 {
		t.Errorf("a process with a limit of 64Mi used 160Mi")
	}
}

func memoryEnds(t *T) {
	wantEqual(t, "exit code", t.RunCommand(t.NewSpec(limited(memory64), runs(cmd("memory-self", "160Mi")))).Exit.Code, 137)
}

func memoryTold(t *T) {
	sb := t.Start(t.NewSpec(limited(memory64), runs(cmd("memory-self", "160Mi"))))
	if exit := sb.Wait(); !exit.OOMKilled {
		t.Errorf("the memory limit ended the process, and the exit is %s", show(exit))
	}
}

func memoryEnough(t *T) {
	results := t.RunProbe(t.NewSpec(limited(memory64)), cmd("memory", "24Mi"))
	wantEqual(t, "the signal that ended a process below the limit", value[probe.Memory](t, results[0]).Signal, "")
}

func pidsBite(t *T) {
	const limit = 40 // the probe's own threads count too
	results := t.RunProbe(t.NewSpec(limited(func(r *spec.Resources) { r.Pids = limit })), cmd("cgroup"), cmd("pids", "80"))
	t.seen("the limit inside", value[probe.Cgroup](t, results[0]).Pids, limit)
	t.wantErrno(results[1:], "EAGAIN")
	if p, err := probe.Value[probe.Pids](results[1]); err == nil && (p.Started < 1 || p.Started >= limit) {
		t.Errorf("%d processes at once, with a limit of %d", p.Started, limit)
	}
}

// cpusBite has two threads ask for ten times what they may have. The bound is
// loose: what is tested is that there is one.
func cpusBite(t *T) {
	results := t.RunProbe(t.NewSpec(limited(func(r *spec.Resources) { r.CPUs = 200 })), cmd("cgroup"), cmd("cpu", "600ms", "2"))
	c := value[probe.Cgroup](t, results[0])
	if c.Quota != nil && c.Period != nil && *c.Period > 0 {
		wantEqual(t, "thousandths of a processor inside", *c.Quota*1000 / *c.Period, 200)
	}
	cpu := value[probe.CPU](t, results[1])
	if cpu.Used > cpu.Wall*6/10+50*time.Millisecond {
		t.Errorf("used %v of cpu time in %v, with a limit of a fifth", cpu.Used, cpu.Wall)
	}
}

func shmSize(t *T) {
	results := t.RunProbe(t.NewSpec(limited(func(r *spec.Resources) { r.Shm = 4 * spec.MiB })), cmd("statfs", "/dev/shm"), cmd("fill", "/dev/shm/x", "8Mi"))
	wantEqual(t, "the size of /dev/shm", value[probe.Statfs](t, results[0]).Size, 4<<20)
	t.wantErrno(results[1:], "ENOSPC")
}

func noFileLimit(t *T) {
	results := t.RunProbe(t.NewSpec(limited(func(r *spec.Resources) { r.NoFile = spec.NoFile{Soft: 128, Hard: 256} })), cmd("limits"), cmd("nofile", "512"))
	limits := value[probe.Limits](t, results[0]).Limits
	i := slices.IndexFunc(limits, func(l probe.Limit) bool { return l.Name == "nofile" })
	if i < 0 {
		t.Fatalf("no limit named nofile: %s", show(limits))
	}
	wantEqual(t, "the limit", limits[i], probe.Limit{Name: "nofile", Soft: 128, Hard: 256})
	// The runtime of the probe raises its own soft limit to the hard one.
	t.wantErrno(results[1:], "EMFILE")
	if f, err := probe.Value[probe.Files](results[1]); err == nil && f.Opened+f.Before > 256 {
		t.Errorf("%d open files, with a limit of 256", f.Opened+f.Before)
	}
}

func diskBites(t *T) {
	results := t.RunProbe(t.NewSpec(user("0:0"), limited(func(r *spec.Resources) { r.Disk = 16 * spec.MiB })), cmd("fill", "/big", "32Mi"), cmd("write", "/small", ""))
	t.wantErrno(results[:1], "ENOSPC", "EDQUOT")
}
