// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
	"github.com/docker/docker/api/types/container"
)

// readBack compares what the engine says it made with what it was asked to
// make. Engines, and proxies in front of them, drop what they do not know.
func readBack(req *backend.CreateRequest, info *backend.Info, out *request, c *container.InspectResponse) error {
	if c.ContainerJSONBase == nil || c.Config == nil || c.HostConfig == nil || c.State == nil {
		return newError(backend.Internal, "create", req.ID, "", "the engine's answer about the container is not complete")
	}
	w, g := out.Host, c.HostConfig
	type check struct {
		field     spec.Path
		name      string
		want, got any
	}
	checks := []check{
		{"user.as", "Config.User", out.Config.User, c.Config.User},
		{"process.command", "Config.Entrypoint", out.Config.Entrypoint, c.Config.Entrypoint},
		{"process.args", "Config.Cmd", out.Config.Cmd, c.Config.Cmd},
		{"process.env", "Config.Env", out.Config.Env, intersect(out.Config.Env, c.Config.Env)},
		{"process.tty", "Config.Tty", out.Config.Tty, c.Config.Tty},
		{"process.stdin", "Config.OpenStdin", out.Config.OpenStdin, c.Config.OpenStdin},
		{"image.ref", "Image", req.Image.ID, c.Image},
		{"user.groups", "HostConfig.GroupAdd", w.GroupAdd, g.GroupAdd},
		{"mounts", "HostConfig.Mounts", w.Mounts, g.Mounts},
		{"mounts", "HostConfig.Binds", w.Binds, g.Binds},
		{"mounts", "HostConfig.Tmpfs", w.Tmpfs, g.Tmpfs},
		{"mounts", "HostConfig.VolumesFrom", w.VolumesFrom, g.VolumesFrom},
		{"binding.ports", "HostConfig.PortBindings", w.PortBindings, g.PortBindings},
		{"binding.ports", "HostConfig.PublishAllPorts", false, g.PublishAllPorts},
		{"network.mode", "HostConfig.NetworkMode", w.NetworkMode, g.NetworkMode},
		{"network.hostAlias", "HostConfig.ExtraHosts", w.ExtraHosts, g.ExtraHosts},
		{"network.mode", "HostConfig.Links", w.Links, g.Links},
		{"resources.memory", "HostConfig.Memory", w.Memory, g.Memory},
		{"resources.cpus", "HostConfig.CpuQuota", w.CPUQuota, g.CPUQuota},
		{"resources.cpus", "HostConfig.CpuPeriod", w.CPUPeriod, g.CPUPeriod},
		{"resources.pids", "HostConfig.PidsLimit", w.PidsLimit, g.PidsLimit},
		{"resources.disk", "HostConfig.StorageOpt", w.StorageOpt, g.StorageOpt},
		{"security.capabilities", "HostConfig.CapAdd", capabilitySet(w.CapAdd), capabilitySet(g.CapAdd)},
		{"security.capabilities", "HostConfig.CapDrop", capabilitySet(w.CapDrop), capabilitySet(g.CapDrop)},
		{"security.seccomp", "HostConfig.SecurityOpt", set(w.SecurityOpt), set(g.SecurityOpt)},
		{"security.readOnlyRoot", "HostConfig.ReadonlyRootfs", w.ReadonlyRootfs, g.ReadonlyRootfs},
		{"security", "HostConfig.Privileged", false, g.Privileged},
		{"security", "HostConfig.MaskedPaths", set(w.MaskedPaths), set(g.MaskedPaths)},
		{"security", "HostConfig.ReadonlyPaths", set(w.ReadonlyPaths), set(g.ReadonlyPaths)},
		{"security", "HostConfig.PidMode", w.PidMode, g.PidMode},
		{"security", "HostConfig.IpcMode", w.IpcMode, g.IpcMode},
		{"security", "HostConfig.UTSMode", w.UTSMode, g.UTSMode},
		{"security", "HostConfig.UsernsMode", w.UsernsMode, g.UsernsMode},
		{"security", "HostConfig.Sysctls", w.Sysctls, g.Sysctls},
		{"security.devices", "HostConfig.Devices", w.Devices, g.Devices},
		{"security.devices", "HostConfig.DeviceRequests", w.DeviceRequests, g.DeviceRequests},
		{"security.devices", "HostConfig.DeviceCgroupRules", w.DeviceCgroupRules, g.DeviceCgroupRules},
		{"life.restart", "HostConfig.RestartPolicy", w.RestartPolicy, g.RestartPolicy},
		{"life.restart", "HostConfig.AutoRemove", false, g.AutoRemove},
		{"labels", "Config.Labels", out.Config.Labels, only(out.Config.Labels, c.Config.Labels)},
	}
	add := func(asked bool, f spec.Path, name string, want, got any) {
		if asked {
			checks = append(checks, check{f, name, want, got})
		}
	}
	add(w.Memory != 0 && info.Facts["info.SwapLimit"] == "true", "resources.memory", "HostConfig.MemorySwap", w.MemorySwap, g.MemorySwap)
	add(w.ShmSize != 0, "resources.shm", "HostConfig.ShmSize", w.ShmSize, g.ShmSize)
	add(w.Runtime != "", "security.runtime", "HostConfig.Runtime", w.Runtime, g.Runtime)
	add(w.CgroupnsMode != "", "security", "HostConfig.CgroupnsMode", w.CgroupnsMode, g.CgroupnsMode)
	add(w.LogConfig.Type != "", "logs", "HostConfig.LogConfig", w.LogConfig, g.LogConfig)
	for _, u := range w.Ulimits { // the engine's own defaults may stand beside
		i := slices.IndexFunc(g.Ulimits, func(o *container.Ulimit) bool { return o != nil && o.Name == u.Name })
		var got any
		if i >= 0 {
			got = g.Ulimits[i]
		}
		add(true, "resources.nofile", "HostConfig.Ulimits", u, got)
	}
	for _, m := range w.Mounts {
		i := slices.IndexFunc(c.Mounts, func(p container.MountPoint) bool { return p.Destination == m.Target })
		got := "absent"
		if i >= 0 {
			got = fmt.Sprintf("writable %t", c.Mounts[i].RW)
		}
		add(true, "mounts", "Mounts["+m.Target+"]", fmt.Sprintf("writable %t", !m.ReadOnly), got)
	}
	for _, ch := range checks {
		want, got := canonical(ch.want), canonical(ch.got)
		if want != got {
			if ch.field == "process.env" || ch.name == "HostConfig.SecurityOpt" {
				want, got = "what was asked", "something else" // secrets, or pages of profile
			}
			return newError(backend.Internal, "create", req.ID, ch.field, "the engine made something else than it was asked for: %s is %s, want %s", ch.name, got, want)
		}
	}
	return nil
}

// canonical is a value's JSON, in which absent and empty are the same.
func canonical(v any) string {
	data, err := json.Marshal(v)
	if err == nil {
		data, err = canonicalJSON(data)
	}
	if err != nil {
		return err.Error()
	}
	switch text := string(data); text {
	case "null", "[]", "{}":
		return "empty"
	default:
		return text
	}
}

func set(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

// capabilitySet brings both spellings of capabilities into one.
func capabilitySet(list []string) []string {
	out := make([]string, 0, len(list))
	for _, c := range list {
		out = append(out, strings.TrimPrefix(strings.ToUpper(c), "CAP_"))
	}
	return set(out)
}

// intersect returns the elements of want that are in got.
func intersect(want, got []string) []string {
	var out []string
	for _, e := range want {
		if slices.Contains(got, e) {
			out = append(out, e)
		}
	}
	return out
}

// only returns the entries of got that want has.
func only(want, got map[string]string) map[string]string {
	out := map[string]string{}
	for k := range want {
		if v, ok := got[k]; ok {
			out[k] = v
		}
	}
	return out
}
