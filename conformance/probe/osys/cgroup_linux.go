// SPDX-License-Identifier: Apache-2.0

package osys

import (
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/berthrun/berth/conformance/probe"
)

// noLimit is where version 1 begins to mean that there is no limit: it rounds the largest integer
// down to a page.
const noLimit = 1 << 62

// readCgroup reads the limits below root, the cgroup mount, for a process with the given
// /proc/self/cgroup.
func readCgroup(root fs.FS, own []byte) probe.Cgroup {
	paths := parseCgroup(own)
	if _, err := fs.Stat(root, "cgroup.controllers"); err == nil {
		return readCgroup2(root, paths[""])
	}
	if _, ok := paths["memory"]; !ok {
		return probe.Cgroup{}
	}
	cgroup := probe.Cgroup{Version: 1, Path: paths["memory"]}
	limit := func(controller, file string) *int64 {
		return cgroupLimit(root, controller, paths[controller], file)
	}
	cgroup.Memory = limit("memory", "memory.limit_in_bytes")
	cgroup.Swap = limit("memory", "memory.memsw.limit_in_bytes")
	cgroup.Pids = limit("pids", "pids.max")
	cgroup.Quota = limit("cpu", "cpu.cfs_quota_us")
	cgroup.Period = limit("cpu", "cpu.cfs_period_us")
	if cgroup == (probe.Cgroup{Version: 1, Path: cgroup.Path}) {
		return probe.Cgroup{} // nothing is mounted
	}
	return cgroup
}

func readCgroup2(root fs.FS, own string) probe.Cgroup {
	cgroup := probe.Cgroup{Version: 2, Path: own}
	cgroup.Memory = cgroupLimit(root, "", own, "memory.max")
	cgroup.Swap = cgroupLimit(root, "", own, "memory.swap.max")
	cgroup.Pids = cgroupLimit(root, "", own, "pids.max")
	quota, period, _ := strings.Cut(cgroupFile(root, "", own, "cpu.max"), " ")
	cgroup.Quota, cgroup.Period = parseLimit(quota), parseLimit(period)
	return cgroup
}

func cgroupLimit(root fs.FS, controller, own, file string) *int64 {
	return parseLimit(cgroupFile(root, controller, own, file))
}

// cgroupFile reads a file of the process's own cgroup. The path in /proc is the host's while an engine
// mounts just the sandbox's part, so the file may be at the top.
func cgroupFile(root fs.FS, controller, own, file string) string {
	for _, dir := range []string{path.Join(controller, own), controller} {
		if data, err := fs.ReadFile(root, path.Join(".", dir, file)); err == nil {
			return strings.TrimSpace(string(data))
		}
	}
	return ""
}

// parseLimit returns nil for what is no limit file's content.
func parseLimit(text string) *int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case text == "max", err == nil && (n < 0 || n >= noLimit):
		n = probe.Unlimited
	case err != nil:
		return nil
	}
	return &n
}
