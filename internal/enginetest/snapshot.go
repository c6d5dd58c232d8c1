// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"maps"
	"slices"
)

// Snapshot lists what exists in one engine and around it. Each list is sorted.
// Zombie processes and the empty namespace files that docker collects once a
// minute are not counted: they hold no resource.
type Snapshot struct {
	Containers []string `json:"containers"` // name, short id, state
	Networks   []string `json:"networks"`   // name, and short id of those that are not the engine's own
	Volumes    []string `json:"volumes"`    // names
	Netns      []string `json:"netns"`      // network namespaces that the engine holds mounted
	Mounts     []string `json:"mounts"`     // other mounts below the engine's directory
	Links      []string `json:"links"`      // network devices in the engine's namespace
	Rules      []string `json:"rules"`      // iptables rules there, counters removed
	Cgroups    []string `json:"cgroups"`    // cgroups below the engine's own
	Processes  []string `json:"processes"`  // shims, proxies and container processes
}

func (s *Snapshot) lists() map[string][]string {
	return map[string][]string{
		"container": s.Containers,
		"network":   s.Networks,
		"volume":    s.Volumes,
		"netns":     s.Netns,
		"mount":     s.Mounts,
		"link":      s.Links,
		"rule":      s.Rules,
		"cgroup":    s.Cgroups,
		"process":   s.Processes,
	}
}

// Diff returns one line for each thing that only one of the snapshots has:
// "left: KIND WHAT" when it appeared and "gone: KIND WHAT" when it vanished.
// It returns nil when they are equal. A thing that is listed twice counts
// twice.
func Diff(before, after *Snapshot) []string {
	var out []string
	b, a := before.lists(), after.lists()
	for _, kind := range slices.Sorted(maps.Keys(a)) {
		count := map[string]int{}
		for _, v := range a[kind] {
			count[v]++
		}
		for _, v := range b[kind] {
			count[v]--
		}
		for _, v := range slices.Sorted(maps.Keys(count)) {
			for range max(count[v], 0) {
				out = append(out, "left: "+kind+" "+v)
			}
			for range max(-count[v], 0) {
				out = append(out, "gone: "+kind+" "+v)
			}
		}
	}
	return out
}
