// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// markVar carries the engine's directory in the environment of every process
// that the harness starts for it. Shims and proxies inherit it, so that a later
// run can tell the orphans of a killed one from all other processes. It is not
// part of Environ: a user's own shell must never carry it.
const markVar = "BERTH_ENGINE_MARK"

// process names one process for good: a pid alone may be used again.
type process struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since boot, field 22 of /proc/PID/stat
}

// stat is the part of /proc/PID/stat that the harness needs.
type stat struct {
	comm  string
	state byte
	ppid  int
	start uint64
}

func readStat(pid int) (stat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	return parseStat(b)
}

func parseStat(b []byte) (stat, error) {
	// The command name is in parentheses and may itself hold any character.
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return stat{}, fmt.Errorf("parse process state %q: no command name", b)
	}
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 20 || len(f[0]) != 1 {
		return stat{}, fmt.Errorf("parse process state %q: too few fields", b)
	}
	ppid, err := strconv.Atoi(f[1])
	if err != nil {
		return stat{}, fmt.Errorf("parse process state %q: %w", b, err)
	}
	start, err := strconv.ParseUint(f[19], 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("parse process state %q: %w", b, err)
	}
	return stat{comm: string(b[open+1 : end]), state: f[0][0], ppid: ppid, start: start}, nil
}

// identify records which process has pid now.
func identify(name string, pid int) (process, error) {
	s, err := readStat(pid)
	return process{Name: name, PID: pid, Start: s.start}, err
}

// alive reports whether this very process still runs. A zombie does not.
func (p process) alive() bool {
	s, err := readStat(p.PID)
	return err == nil && s.start == p.Start && s.state != 'Z' && s.state != 'X'
}

// signal sends sig to this very process. A process that is gone is no error.
func (p process) signal(sig syscall.Signal) error {
	// FindProcess opens a pidfd first, so that the check below and the signal
	// are about the same process.
	h, err := os.FindProcess(p.PID)
	if err != nil {
		return fmt.Errorf("open %s (pid %d): %w", p.Name, p.PID, err)
	}
	defer h.Release()
	if !p.alive() {
		return nil
	}
	if err := h.Signal(sig); err != nil && p.alive() {
		return fmt.Errorf("signal %s (pid %d): %w", p.Name, p.PID, err)
	}
	return nil
}

// end asks the process to terminate, waits for grace, then kills it. It calls
// tick, if given, while it waits.
func (p process) end(grace time.Duration, tick func(waited time.Duration)) error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	if p.wait(grace, tick) {
		return nil
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	if !p.wait(10*time.Second, nil) {
		return fmt.Errorf("end %s (pid %d): it survives SIGKILL", p.Name, p.PID)
	}
	return nil
}

func (p process) wait(limit time.Duration, tick func(waited time.Duration)) bool {
	begin := time.Now()
	for p.alive() {
		waited := time.Since(begin)
		if waited > limit {
			return false
		}
		if tick != nil {
			tick(waited)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return true
}

// pids returns all process ids of the machine.
func pids() []int {
	d, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	var out []int
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

// marked returns the processes that carry the mark of dir, without this
// process and those above it.
func marked(dir string) []process {
	want := []byte(markVar + "=" + dir)
	above := ancestors(os.Getpid())
	var out []process
	for _, pid := range pids() {
		if slices.Contains(above, pid) {
			continue
		}
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil || !slices.ContainsFunc(bytes.Split(env, []byte{0}), func(kv []byte) bool { return bytes.Equal(kv, want) }) {
			continue
		}
		if s, err := readStat(pid); err == nil && s.state != 'Z' {
			out = append(out, process{Name: s.comm, PID: pid, Start: s.start})
		}
	}
	return out
}

func ancestors(pid int) []int {
	var out []int
	for pid > 0 && !slices.Contains(out, pid) {
		out = append(out, pid)
		s, err := readStat(pid)
		if err != nil {
			break
		}
		pid = s.ppid
	}
	return out
}

// killAll kills what find returns until it returns nothing.
func killAll(ctx context.Context, find func() []process) error {
	for {
		left := find()
		if len(left) == 0 {
			return nil
		}
		for _, p := range left {
			if err := p.signal(syscall.SIGKILL); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("end the engine's processes: %v survive SIGKILL", left)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// cgroupRoots returns the directories that hold a cgroup tree: one for each
// controller on version 1, one on version 2.
func cgroupRoots() []string {
	roots, _ := filepath.Glob("/sys/fs/cgroup/*")
	out := []string{"/sys/fs/cgroup"}
	for _, r := range roots {
		if _, err := os.Stat(filepath.Join(r, "cgroup.procs")); err == nil {
			out = append(out, r)
		}
	}
	return out
}

// ownName matches the names of namespaces and cgroups that the harness makes.
var ownName = regexp.MustCompile(`^berth-[a-z0-9-]+$`)

// cgroupDirs returns every directory of the cgroup name in all hierarchies,
// children before parents. It returns none for a name that the harness never
// gives: with an empty one, callers would kill and remove all there is.
func cgroupDirs(name string) []string {
	var out []string
	if !ownName.MatchString(name) {
		return nil
	}
	for _, root := range cgroupRoots() {
		top := filepath.Join(root, name)
		_ = filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				out = append(out, path)
			}
			return nil // a cgroup may vanish under the walk
		})
	}
	slices.Sort(out)
	slices.Reverse(out)
	return slices.Compact(out)
}

// cgroupProcs returns the processes in the cgroup name and below it.
func cgroupProcs(name string) []process {
	seen := map[int]process{}
	for _, dir := range cgroupDirs(name) {
		b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			continue
		}
		for f := range strings.FieldsSeq(string(b)) {
			pid, err := strconv.Atoi(f)
			if err != nil || pid == 0 {
				continue
			}
			if s, err := readStat(pid); err == nil && s.state != 'Z' {
				seen[pid] = process{Name: s.comm, PID: pid, Start: s.start}
			}
		}
	}
	var out []process
	for _, p := range seen {
		out = append(out, p)
	}
	return out
}
