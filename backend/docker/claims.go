// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"slices"
	"strings"

	"github.com/berthrun/berth/backend"
	"github.com/docker/docker/api/types/versions"
)

// lacks are the capabilities that this driver does not have on any engine. It
// is a fact like the others, so that a claim can name it.
var lacks = strings.Join([]string{
	string(backend.ImageHost), string(backend.NetEgress), string(backend.AgentBuiltin), string(backend.AgentImage),
	string(backend.LifeIdle), string(backend.LifeRestart), string(backend.LifeHealth), string(backend.Extension),
}, " ")

var lackReasons = map[backend.Capability]string{
	backend.ImageHost:    "the docker driver needs an image: name one",
	backend.NetEgress:    "nothing enforces egress rules on docker: use network none or internal",
	backend.AgentBuiltin: "this berth has no runtime server for sandboxes: use agent auto or none",
	backend.AgentImage:   "this berth does not start an image's own server: use agent none and name the server as the command",
	backend.LifeIdle:     "nothing measures idleness: use life.ttl",
	backend.LifeRestart:  "a restarted process would skip berth's hand-shake: use restart no",
	backend.LifeHealth:   "nothing runs health checks: leave life.health out",
	backend.Extension:    "the docker driver takes no raw settings: remove extensions.docker",
}

// Versions of the API in which docker learned something.
const (
	apiExecSize     = "1.42" // first size of an exec's terminal
	apiReadOnly     = "1.44" // recursive read-only binds, several networks at create (docker 25)
	apiDevices      = "1.50" // /info lists the CDI devices that there are
	apiHostGateway  = "1.41" // host-gateway in ExtraHosts (docker 20.10)
	kernelReadOnly  = "5.12" // mount_setattr(2)
	kernelUserXattr = "5.11" // overlay in a user namespace
)

// claims decides what the engine can do, from the facts alone.
func claims(f map[string]string) map[backend.Capability]backend.Claim {
	c := map[backend.Capability]backend.Claim{}
	native := func(name backend.Capability, fact, mechanism string) {
		c[name] = backend.Claim{Support: backend.Native, Mechanism: mechanism, Fact: fact}
	}
	missing := func(name backend.Capability, fact, reason string) {
		c[name] = backend.Claim{Support: backend.Missing, Reason: reason, Fact: fact}
	}
	when := func(ok bool, name backend.Capability, fact, mechanism, reason string) {
		if ok {
			native(name, fact, mechanism)
		} else {
			missing(name, fact, reason)
		}
	}
	is := func(fact string) bool { return f[fact] == "true" }
	api := func(v string) bool {
		return f["api.version"] != "" && versions.GreaterThanOrEqualTo(f["api.version"], v)
	}

	// What every docker engine for Linux containers has.
	for name, mechanism := range map[backend.Capability]string{
		backend.ImagePull: "POST /images/create", backend.ImageLoad: "POST /images/load", backend.ImagePlatform: "image os, architecture and variant",
		backend.UserImage: "Config.User", backend.UserNumber: "Config.User", backend.UserGroups: "HostConfig.GroupAdd",
		backend.MountVolume: "HostConfig.Mounts type volume", backend.MountTmpfs: "HostConfig.Tmpfs", backend.MountSize: "HostConfig.Tmpfs size=",
		backend.MountNoExec: "HostConfig.Tmpfs noexec, and the options of an overlay volume; binds and volumes are refused",
		backend.BindTCP:     "HostConfig.PortBindings", backend.BindUDP: "HostConfig.PortBindings", backend.BindAddress: "HostConfig.PortBindings[].HostIp",
		backend.BindIPv6: "HostConfig.PortBindings[].HostIp",
		backend.NetNone:  "HostConfig.NetworkMode none", backend.NetInternal: "a bridge network with Internal", backend.NetShared: "a bridge network",
		backend.NetNamed: "HostConfig.NetworkMode", backend.NetAdditional: "NetworkingConfig.EndpointsConfig", backend.NetAliases: "NetworkingConfig.EndpointsConfig[].Aliases",
		backend.ResShm: "HostConfig.ShmSize", backend.ResNoFile: "HostConfig.Ulimits nofile",
		backend.SecCapabilities: "HostConfig.CapDrop, HostConfig.CapAdd", backend.SecNoNewPrivs: "HostConfig.SecurityOpt no-new-privileges",
		backend.SecReadOnlyRoot: "HostConfig.ReadonlyRootfs", backend.SecDevicePath: "HostConfig.Devices",
		backend.LifeStopSignal: "Config.StopSignal", backend.Exec: "POST /containers/ID/exec", backend.ExecTTY: "Tty of an exec", backend.ExecUser: "User of an exec",
		backend.LogsSplit: "multiplexed log stream", backend.Copy: "/containers/ID/archive", backend.Stats: "/containers/ID/stats",
	} {
		native(name, "info.OSType", mechanism)
	}
	c[backend.LifeTTL] = backend.Claim{Support: backend.Emulated, Mechanism: "berth's init ends the process", Fact: "info.OSType"}

	// Identity.
	native(backend.UserCaller, "security.userns", "Config.User")
	if is("security.rootless") {
		c[backend.UserCaller] = backend.Claim{Support: backend.Emulated, Mechanism: "uid 0 of a rootless engine's containers is the caller", Fact: "security.userns"}
	}
	if is("security.userns") {
		missing(backend.UserCaller, "security.userns", "the engine remaps user ids (userns-remap), so that the caller's files would belong to somebody else: use user image or a number")
	}

	// Mounts from the machine need the engine's machine to be this one.
	remote := "the engine is on another machine: say that the paths are the engine's, or use a volume"
	when(!is("host.remote"), backend.MountBind, "host.remote", "HostConfig.Mounts type bind", remote)
	when(!is("host.remote"), backend.MountOverlay, "host.remote", "a volume of the local driver, type overlay", remote)
	if c[backend.MountOverlay].Has() && is("security.rootless") && !kernelAtLeast(f["info.KernelVersion"], kernelUserXattr) {
		missing(backend.MountOverlay, "info.KernelVersion", "a rootless engine can mount overlays from Linux "+kernelUserXattr+" on")
	}
	when(is("security.selinux"), backend.MountSELinux, "security.selinux", "HostConfig.Binds z, Z", "the engine does not label for SELinux (--selinux-enabled)")
	if api(apiReadOnly) && kernelAtLeast(f["info.KernelVersion"], kernelReadOnly) {
		native(backend.MountReadOnly, "api.version", "HostConfig.Mounts[].BindOptions.ReadOnlyForceRecursive")
	} else {
		c[backend.MountReadOnly] = backend.Claim{Support: backend.Emulated, Fact: "api.version",
			Mechanism: "a bind that is not recursive, and a read-only one for each file system mounted below the source"}
	}

	// Networks.
	dropped := "docker publishes no port of a sandbox on such a network, and does not say so"
	missing(backend.BindNone, "engine.name", dropped)
	missing(backend.BindInternal, "engine.name", dropped)
	missing(backend.NetHostAccess, "engine.name", "docker's bridges let containers reach every address of the engine's machine")
	native(backend.NetIsolated, "engine.name", "the bridge network "+isolatedNetwork+" with "+optionICC+"=false")
	if f["network.bridge.icc"] == "false" {
		native(backend.NetIsolated, "engine.name", "the default bridge, which has "+optionICC+"=false")
	}
	when(!is("security.rootless"), backend.NetHost, "security.rootless", "HostConfig.NetworkMode host",
		"the network of a rootless engine is RootlessKit's, not the host's")
	if f["info.OperatingSystem"] == "Docker Desktop" {
		missing(backend.NetHost, "info.OperatingSystem", "the network of Docker Desktop's engine is its virtual machine's, not the host's")
	}
	when(api(apiHostGateway), backend.NetHostAlias, "api.version", "HostConfig.ExtraHosts host-gateway", "host-gateway needs docker 20.10 (API "+apiHostGateway+")")

	// Limits. A rootless engine on cgroup v1 reports none of them.
	cgroup := ": the engine has no such cgroup controller (rootless engines need cgroup v2 and systemd's delegation)"
	when(is("info.MemoryLimit"), backend.ResMemory, "info.MemoryLimit", "HostConfig.Memory", "memory is not limited"+cgroup)
	when(is("info.CpuCfsQuota"), backend.ResCPUs, "info.CpuCfsQuota", "HostConfig.CpuQuota", "processor time is not limited"+cgroup)
	when(is("info.PidsLimit"), backend.ResPids, "info.PidsLimit", "HostConfig.PidsLimit", "processes are not limited"+cgroup)
	when(is("storage.quota"), backend.ResDisk, "storage.quota", "HostConfig.StorageOpt size",
		"storage driver "+f["info.Driver"]+" on "+f["info.BackingFilesystem"]+" bounds no root file system: it takes overlay2 on XFS mounted with pquota, btrfs or zfs")
	when(f["info.CgroupDriver"] != "none", backend.LifePause, "info.CgroupDriver", "cgroup freezer", "an engine without cgroups cannot freeze processes")

	// Confinement.
	when(is("security.seccomp"), backend.SecSeccomp, "security.seccomp", "HostConfig.SecurityOpt seccomp", "the engine was built without seccomp or its kernel lacks it")
	when(f["info.Runtimes"] != "", backend.SecRuntime, "info.Runtimes", "HostConfig.Runtime", "the engine lists no runtimes")
	when(f["info.CDISpecDirs"] != "", backend.SecDeviceCDI, "info.CDISpecDirs", "HostConfig.DeviceRequests driver cdi", "the engine reads no CDI specifications: docker 25 does with features.cdi, docker 28 by default")
	if !c[backend.SecDeviceCDI].Has() && slices.Contains(strings.Fields(f["info.Runtimes"]), "nvidia") {
		c[backend.SecDeviceCDI] = backend.Claim{Support: backend.Emulated, Fact: "info.CDISpecDirs",
			Mechanism: "nvidia.com/gpu only: HostConfig.DeviceRequests driver nvidia"}
	}

	// Life.
	when(is("info.LiveRestoreEnabled"), backend.LifeEngineRestart, "info.LiveRestoreEnabled", "live-restore",
		"this engine kills its containers when it restarts: set live-restore in its daemon.json")
	when(logDriver(f) != "", backend.Logs, "info.Plugins.Log", "HostConfig.LogConfig "+logDriver(f), "the engine has neither of the logging drivers json-file and local, whose logs can be read")

	for name, reason := range lackReasons {
		if slices.Contains(strings.Fields(f["driver.lacks"]), string(name)) {
			missing(name, "driver.lacks", reason)
		} else {
			c[name] = backend.Claim{Fact: "driver.lacks", Reason: "not known"}
		}
	}

	switch {
	case f["info.OSType"] != "linux":
		for name := range c {
			missing(name, "info.OSType", "berth needs Linux containers, and this engine runs "+f["info.OSType"])
		}
	case f["engine.name"] == "podman":
		for name, what := range map[backend.Capability]string{
			backend.NetIsolated:   "ignores the option that keeps containers on a bridge apart",
			backend.NetHostAlias:  "writes host-gateway literally into /etc/hosts",
			backend.MountReadOnly: "drops BindOptions",
			backend.MountOverlay:  "has local volumes of its own",
			backend.UserCaller:    "maps user ids by rules that this API cannot state",
		} {
			missing(name, "engine.name", "podman's imitation of docker's API "+what+": use --backend podman")
		}
	case f["engine.name"] != "docker":
		for name := range c {
			c[name] = backend.Claim{Fact: "engine.name", Reason: "the engine is not known"}
		}
	}
	return c
}

// logDriver is the logging driver that berth asks for: one whose logs are
// bounded and can be read back.
func logDriver(f map[string]string) string {
	have := strings.Fields(f["info.Plugins.Log"])
	for _, name := range []string{"json-file", "local", "k8s-file"} {
		if slices.Contains(have, name) {
			return name
		}
	}
	return ""
}

// kernelAtLeast compares the first two numbers of a kernel's release.
func kernelAtLeast(release, want string) bool {
	number := func(s string) (n [2]int) {
		for i, part := range strings.SplitN(s, ".", 3) {
			if i > 1 {
				break
			}
			for _, r := range part {
				if r < '0' || r > '9' {
					break
				}
				n[i] = n[i]*10 + int(r-'0')
			}
		}
		return n
	}
	a, b := number(release), number(want)
	return a[0] > b[0] || a[0] == b[0] && a[1] >= b[1]
}
