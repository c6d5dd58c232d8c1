// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"fmt"
	"maps"
	"slices"
)

// Path names a field of a spec the way a reader of the document would:
// "resources.memory", "mounts[0].size", "extensions.docker".
type Path string

// SetFields lists the units of s that a driver has to realise or refuse, in
// document order: every scalar that is set, every element of a list of objects
// as one unit (type, source and target of a mount; the numbers of a port), and
// the further options of an element that are set as units of their own. A
// driver's ledger has exactly one mapping for each. It expects a spec that has
// passed [Default].
func SetFields(s *Sandbox) []Path {
	var out []Path
	add := func(set bool, p Path) {
		if set {
			out = append(out, p)
		}
	}
	at := func(format string, i int) Path { return Path(fmt.Sprintf(format, i)) }

	add(s.Name != "", "name")
	add(s.Image.Ref != "", "image.ref")
	add(s.Image.Pull != "", "image.pull")
	add(s.Image.Platform != "", "image.platform")
	add(len(s.Process.Command) > 0, "process.command")
	add(len(s.Process.Args) > 0, "process.args")
	add(len(s.Process.Env) > 0, "process.env")
	add(s.Process.Workdir != "", "process.workdir")
	add(s.Process.Stdin, "process.stdin")
	add(s.Process.TTY, "process.tty")
	add(s.User.As != "", "user.as")
	add(len(s.User.Groups) > 0, "user.groups")
	add(s.User.Name != "", "user.name")
	for i, m := range s.Mounts {
		add(true, at("mounts[%d]", i))
		add(m.Mode != "", at("mounts[%d].mode", i))
		add(m.Size != 0, at("mounts[%d].size", i))
		add(m.NoExec, at("mounts[%d].noExec", i))
		add(m.SELinux != "" && m.SELinux != SELinuxNone, at("mounts[%d].selinux", i))
		add(m.Upper != "", at("mounts[%d].upper", i))
	}
	add(s.Binding.Address != "", "binding.address")
	for i := range s.Binding.Ports {
		add(true, at("binding.ports[%d]", i))
	}
	add(s.Network.Mode != "", "network.mode")
	add(s.Network.Name != "", "network.name")
	add(len(s.Network.Aliases) > 0, "network.aliases")
	for i := range s.Network.Additional {
		add(true, at("network.additional[%d]", i))
	}
	for i := range s.Network.Egress {
		add(true, at("network.egress[%d]", i))
	}
	add(s.Network.HostAlias, "network.hostAlias")
	add(s.Resources.CPUs != 0, "resources.cpus")
	add(s.Resources.Memory != 0, "resources.memory")
	add(s.Resources.Pids != 0, "resources.pids")
	add(s.Resources.Shm != 0, "resources.shm")
	add(s.Resources.NoFile != NoFile{}, "resources.nofile")
	add(s.Resources.Disk != 0, "resources.disk")
	add(s.Security.Profile != "", "security.profile")
	add(len(s.Security.Capabilities.Add) > 0, "security.capabilities.add")
	add(len(s.Security.Capabilities.Drop) > 0, "security.capabilities.drop")
	add(s.Security.Seccomp != "", "security.seccomp")
	add(s.Security.NoNewPrivileges != nil, "security.noNewPrivileges")
	add(s.Security.ReadOnlyRoot, "security.readOnlyRoot")
	add(s.Security.Runtime != "", "security.runtime")
	for i := range s.Security.Devices {
		add(true, at("security.devices[%d]", i))
	}
	add(s.Agent != "", "agent")
	add(s.Life.StopSignal != "", "life.stopSignal")
	add(s.Life.StopGrace != 0, "life.stopGrace")
	add(s.Life.IdleTimeout != 0, "life.idleTimeout")
	add(s.Life.TTL != 0, "life.ttl")
	add(s.Life.Restart.Policy != "", "life.restart")
	add(s.Life.Health != nil, "life.health")
	add(len(s.Labels) > 0, "labels")
	for _, k := range slices.Sorted(maps.Keys(s.Extensions)) {
		add(true, Path("extensions").Key(k))
	}
	return out
}
