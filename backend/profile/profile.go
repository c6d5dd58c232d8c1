// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"slices"

	"github.com/berthrun/berth/spec"
)

// standard is docker's default set without NET_RAW, with which a root sandbox
// poisons its neighbours' ARP entries even when traffic between them is off,
// and without MKNOD and SETFCAP, which nothing in a sandbox needs and escapes
// have used.
var standard = []string{
	"CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
	"NET_BIND_SERVICE", "SYS_CHROOT", "AUDIT_WRITE",
}

// maskedPaths is what docker hides since version 28, which is a superset of
// what older ones hide, without the paths that depend on the number of
// processors.
var maskedPaths = []string{
	"/proc/acpi",
	"/proc/asound",
	"/proc/interrupts",
	"/proc/kcore",
	"/proc/keys",
	"/proc/latency_stats",
	"/proc/sched_debug",
	"/proc/scsi",
	"/proc/timer_list",
	"/proc/timer_stats",
	"/sys/devices/virtual/powercap",
	"/sys/firmware",
}

var readonlyPaths = []string{
	"/proc/bus",
	"/proc/fs",
	"/proc/irq",
	"/proc/sys",
	"/proc/sysrq-trigger",
}

// Standard returns the capabilities that a sandbox has when its spec changes
// nothing, without CAP_, in the order of the kernel's numbers. The slice is the
// caller's.
func Standard() []string { return inOrder(standard) }

// Capabilities returns the bounding set of a sandbox whose spec has c: the
// standard set, or the empty one when ALL is dropped, without what else is
// dropped and with what is added. A name that is both added and dropped is
// dropped, because the smaller set is the safe one. ALL in Add stands for every
// capability that package spec knows. The result is without CAP_, unique, in
// the order of the kernel's numbers. It expects c to have passed spec.Default.
func Capabilities(c spec.Capabilities) []string {
	set := map[string]bool{}
	if !slices.Contains(c.Drop, spec.CapabilityAll) {
		for _, name := range standard {
			set[name] = true
		}
	}
	for _, name := range c.Add {
		if name == spec.CapabilityAll {
			for _, every := range spec.CapabilityNames() {
				set[every] = true
			}
			continue
		}
		set[name] = true
	}
	for _, name := range c.Drop {
		delete(set, name)
	}
	var out []string
	for name := range set {
		out = append(out, name)
	}
	return inOrder(out)
}

// inOrder returns the known ones of names in the kernel's order, without
// duplicates.
func inOrder(names []string) []string {
	out := []string{}
	for _, name := range spec.CapabilityNames() {
		if slices.Contains(names, name) {
			out = append(out, name)
		}
	}
	return out
}

// MaskedPaths lists what a sandbox must not read: an engine mounts an empty
// file or directory over each that exists. The slice is the caller's.
func MaskedPaths() []string { return slices.Clone(maskedPaths) }

// ReadonlyPaths lists what a sandbox must not write. The slice is the caller's.
func ReadonlyPaths() []string { return slices.Clone(readonlyPaths) }
