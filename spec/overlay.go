// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"maps"
	"slices"
)

// Overlay writes what over sets onto base and returns the paths that it wrote,
// in document order, as they are in base afterwards. The command line stacks a
// file, a config file, the environment and flags with it, lowest first, before
// [Default], and keeps the paths to say where each value came from.
//
// A scalar or list that is set replaces the one of base. Environment, labels and
// extensions are merged by key, mounts by target, ports by container port and
// protocol: an entry of over replaces its namesake whole or is added at the
// end. Network mode and name are one choice, so that "none" does not keep the
// name of a network, and so are a restart policy with its retries, the two
// limits of nofile, and health. Two entries of over with one key both arrive,
// for [Validate] to refuse. The zero value of a field is "not set", so that
// over cannot turn a true of base into false, Security.NoNewPrivileges apart.
// base never shares memory with over.
func Overlay(base, over *Sandbox) []Path {
	over = Clone(over)
	o := overlay{}

	replace(&o, "apiVersion", &base.APIVersion, over.APIVersion)
	replace(&o, "kind", &base.Kind, over.Kind)
	replace(&o, "name", &base.Name, over.Name)

	replace(&o, "image.ref", &base.Image.Ref, over.Image.Ref)
	replace(&o, "image.pull", &base.Image.Pull, over.Image.Pull)
	replace(&o, "image.platform", &base.Image.Platform, over.Image.Platform)

	replaceList(&o, "process.command", &base.Process.Command, over.Process.Command)
	replaceList(&o, "process.args", &base.Process.Args, over.Process.Args)
	mergeKeys(&o, "process.env", &base.Process.Env, over.Process.Env)
	replace(&o, "process.workdir", &base.Process.Workdir, over.Process.Workdir)
	replace(&o, "process.stdin", &base.Process.Stdin, over.Process.Stdin)
	replace(&o, "process.tty", &base.Process.TTY, over.Process.TTY)

	replace(&o, "user.as", &base.User.As, over.User.As)
	replaceList(&o, "user.groups", &base.User.Groups, over.User.Groups)
	replace(&o, "user.name", &base.User.Name, over.User.Name)

	mergeList(&o, "mounts", &base.Mounts, over.Mounts, func(a, b Mount) bool { return a.Target == b.Target })

	replace(&o, "binding.address", &base.Binding.Address, over.Binding.Address)
	mergeList(&o, "binding.ports", &base.Binding.Ports, over.Binding.Ports, samePort)

	if over.Network.Mode != "" || over.Network.Name != "" {
		base.Network.Mode, base.Network.Name = "", ""
		replace(&o, "network.mode", &base.Network.Mode, over.Network.Mode)
		replace(&o, "network.name", &base.Network.Name, over.Network.Name)
	}
	replaceList(&o, "network.aliases", &base.Network.Aliases, over.Network.Aliases)
	replaceList(&o, "network.additional", &base.Network.Additional, over.Network.Additional)
	replaceList(&o, "network.egress", &base.Network.Egress, over.Network.Egress)
	replace(&o, "network.hostAlias", &base.Network.HostAlias, over.Network.HostAlias)

	replace(&o, "resources.cpus", &base.Resources.CPUs, over.Resources.CPUs)
	replace(&o, "resources.memory", &base.Resources.Memory, over.Resources.Memory)
	replace(&o, "resources.pids", &base.Resources.Pids, over.Resources.Pids)
	replace(&o, "resources.shm", &base.Resources.Shm, over.Resources.Shm)
	replace(&o, "resources.nofile", &base.Resources.NoFile, over.Resources.NoFile)
	replace(&o, "resources.disk", &base.Resources.Disk, over.Resources.Disk)

	replace(&o, "security.profile", &base.Security.Profile, over.Security.Profile)
	replaceList(&o, "security.capabilities.add", &base.Security.Capabilities.Add, over.Security.Capabilities.Add)
	replaceList(&o, "security.capabilities.drop", &base.Security.Capabilities.Drop, over.Security.Capabilities.Drop)
	replace(&o, "security.seccomp", &base.Security.Seccomp, over.Security.Seccomp)
	replace(&o, "security.noNewPrivileges", &base.Security.NoNewPrivileges, over.Security.NoNewPrivileges)
	replace(&o, "security.readOnlyRoot", &base.Security.ReadOnlyRoot, over.Security.ReadOnlyRoot)
	replace(&o, "security.runtime", &base.Security.Runtime, over.Security.Runtime)
	replaceList(&o, "security.devices", &base.Security.Devices, over.Security.Devices)

	replace(&o, "agent", &base.Agent, over.Agent)

	replace(&o, "life.stopSignal", &base.Life.StopSignal, over.Life.StopSignal)
	replace(&o, "life.stopGrace", &base.Life.StopGrace, over.Life.StopGrace)
	replace(&o, "life.idleTimeout", &base.Life.IdleTimeout, over.Life.IdleTimeout)
	replace(&o, "life.ttl", &base.Life.TTL, over.Life.TTL)
	replace(&o, "life.restart", &base.Life.Restart, over.Life.Restart)
	replace(&o, "life.health", &base.Life.Health, over.Life.Health)

	mergeKeys(&o, "labels", &base.Labels, over.Labels)
	mergeKeys(&o, "extensions", &base.Extensions, over.Extensions)
	return o.paths
}

func samePort(a, b Port) bool {
	set(&a.Protocol, TCP)
	set(&b.Protocol, TCP)
	return a.ContainerPort == b.ContainerPort && a.Protocol == b.Protocol
}

type overlay struct{ paths []Path }

func (o *overlay) add(p Path) { o.paths = append(o.paths, p) }

func replace[T comparable](o *overlay, p Path, base *T, over T) {
	var zero T
	if over != zero {
		*base = over
		o.add(p)
	}
}

func replaceList[T any](o *overlay, p Path, base *[]T, over []T) {
	if len(over) > 0 {
		*base = over
		o.add(p)
	}
}

func mergeKeys[T any](o *overlay, p Path, base *map[string]T, over map[string]T) {
	if *base == nil && len(over) > 0 {
		*base = map[string]T{}
	}
	for _, k := range slices.Sorted(maps.Keys(over)) {
		(*base)[k] = over[k]
		o.add(p.Key(k))
	}
}

// mergeList replaces at most one entry of base for each entry of over, and no
// entry twice, so that two entries of over with one key stay two.
func mergeList[T any](o *overlay, p Path, base *[]T, over []T, same func(a, b T) bool) {
	taken := make([]bool, len(*base))
	var indexes []int
	for _, entry := range over {
		i := 0
		for i < len(taken) && (taken[i] || !same((*base)[i], entry)) {
			i++
		}
		if i < len(taken) {
			(*base)[i], taken[i] = entry, true
		} else {
			i = len(*base)
			*base = append(*base, entry)
		}
		indexes = append(indexes, i)
	}
	slices.Sort(indexes)
	for _, i := range indexes {
		o.add(p.Index(i))
	}
}
