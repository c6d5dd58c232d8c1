// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/berthrun/berth/backend"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/system"
)

// answerLimit bounds the JSON answers that are read without the client library.
const answerLimit = 16 << 20

// Probe asks the engine two questions at once, /info and /networks/bridge, the
// first time it is called; later calls return what was found then. The version
// comes from the headers of the answer: /version would make the engine run runc
// once more. A deep probe finds nothing more than a shallow one.
func (d *driver) Probe(ctx context.Context, _ bool) (*backend.Info, error) {
	info, err := d.probe(ctx)
	if err != nil {
		return nil, err
	}
	c := *info
	c.Runtimes = slices.Clone(info.Runtimes)
	c.Facts = maps.Clone(info.Facts)
	c.Claims = maps.Clone(info.Claims)
	c.Warnings = slices.Clone(info.Warnings)
	return &c, nil
}

// probe returns the cached result, which nobody may change.
func (d *driver) probe(ctx context.Context) (*backend.Info, error) {
	select {
	case d.probing <- struct{}{}:
		defer func() { <-d.probing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	d.mu.Lock()
	info := d.info
	d.mu.Unlock()
	if info != nil {
		return info, nil
	}
	info, err := d.ask(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		// Whatever answers there, it is no engine that can be used.
		return nil, &backend.Error{Kind: backend.Unavailable, Op: "docker.probe", Message: d.unavailable(err), Err: err}
	}
	d.mu.Lock()
	d.info = info
	d.mu.Unlock()
	return info, nil
}

// answers are the engine's replies that facts are made of.
type answers struct {
	info    system.Info
	version types.Version
	bridge  *network.Inspect // nil: the engine has no default bridge
	podman  bool
}

func (d *driver) ask(ctx context.Context) (*backend.Info, error) {
	var a answers
	var bridge network.Inspect
	bridgeErr := make(chan error, 1)
	go func() {
		_, err := d.get(ctx, "/networks/bridge", &bridge)
		bridgeErr <- err
	}()
	header, err := d.get(ctx, "/info", &a.info)
	netErr := <-bridgeErr
	if err != nil {
		return nil, err
	}
	switch {
	case netErr == nil:
		a.bridge = &bridge
	case kindOf(netErr) != backend.NotFound && kindOf(netErr) != backend.Internal:
		return nil, netErr
	}
	a.version.APIVersion = header.Get("Api-Version")
	a.podman = header.Get("Libpod-Api-Version") != "" || strings.HasPrefix(header.Get("Server"), "Libpod/")
	if a.version.APIVersion == "" { // a proxy in between drops headers
		if _, err := d.get(ctx, "/version", &a.version); err != nil {
			return nil, err
		}
		for _, c := range a.version.Components {
			a.podman = a.podman || strings.Contains(strings.ToLower(c.Name), "podman")
		}
	}
	d.cli.NegotiateAPIVersionPing(types.Ping{APIVersion: a.version.APIVersion})
	a.version.APIVersion = d.cli.ClientVersion()
	return d.infoOf(&a), nil
}

// get reads a JSON answer without a version in the path, which every engine
// takes and which saves the library's round trip to negotiate one.
func (d *driver) get(ctx context.Context, path string, into any) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.base+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := d.cli.HTTPClient().Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body := io.LimitReader(resp.Body, answerLimit)
	if resp.StatusCode != http.StatusOK {
		return nil, readStatus(resp.StatusCode, body)
	}
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return nil, fmt.Errorf("read the engine's answer to %s: %w", path, err)
	}
	return resp.Header, nil
}

// readStatus makes an error of an answer that is not a success.
func readStatus(code int, body io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(body, 64<<10))
	if err != nil {
		return err
	}
	var m types.ErrorResponse
	if json.Unmarshal(text, &m) == nil && m.Message != "" {
		return &statusError{code: code, message: m.Message}
	}
	return &statusError{code: code, message: strings.TrimSpace(string(text))}
}

// infoOf makes facts, claims and warnings of the engine's answers and of what
// this machine says, when it is the engine's.
func (d *driver) infoOf(a *answers) *backend.Info {
	in := &a.info
	f := map[string]string{
		"driver.lacks":            lacks,
		"engine.name":             "docker",
		"host.remote":             strconv.FormatBool(d.remote),
		"api.version":             a.version.APIVersion,
		"info.ServerVersion":      in.ServerVersion,
		"info.OSType":             in.OSType,
		"info.OperatingSystem":    in.OperatingSystem,
		"info.Architecture":       in.Architecture,
		"info.KernelVersion":      in.KernelVersion,
		"info.NCPU":               strconv.Itoa(in.NCPU),
		"info.CgroupVersion":      in.CgroupVersion,
		"info.CgroupDriver":       in.CgroupDriver,
		"info.MemoryLimit":        strconv.FormatBool(in.MemoryLimit),
		"info.SwapLimit":          strconv.FormatBool(in.SwapLimit),
		"info.CpuCfsQuota":        strconv.FormatBool(in.CPUCfsQuota && in.CPUCfsPeriod),
		"info.PidsLimit":          strconv.FormatBool(in.PidsLimit),
		"info.Driver":             in.Driver,
		"info.BackingFilesystem":  driverStatus(in.DriverStatus, "Backing Filesystem"),
		"info.LiveRestoreEnabled": strconv.FormatBool(in.LiveRestoreEnabled),
		"info.LoggingDriver":      in.LoggingDriver,
		"info.Plugins.Log":        sorted(in.Plugins.Log),
		"info.DefaultRuntime":     in.DefaultRuntime,
		"info.CDISpecDirs":        strings.Join(in.CDISpecDirs, " "),
		"info.SecurityOptions":    strings.Join(in.SecurityOptions, " "),
	}
	if in.CgroupVersion == "" && in.CgroupDriver != "none" {
		f["info.CgroupVersion"] = "1" // engines before 20.10 know no other
	}
	if a.podman {
		f["engine.name"] = "podman"
	}
	for _, name := range []string{"rootless", "userns", "seccomp", "apparmor", "selinux"} {
		f["security."+name] = strconv.FormatBool(securityOption(in.SecurityOptions, name))
	}
	if len(in.Plugins.Log) == 0 { // podman, and docker through a filtering proxy
		f["info.Plugins.Log"] = in.LoggingDriver
	}
	var devices []string
	for _, dev := range in.DiscoveredDevices {
		if dev.Source == "cdi" {
			devices = append(devices, dev.ID)
		}
	}
	f["info.DiscoveredDevices"] = sorted(devices)
	f["network.bridge.icc"] = "absent"
	if a.bridge != nil {
		f["network.bridge.icc"] = "true"
		if v, ok := a.bridge.Options[optionICC]; ok {
			f["network.bridge.icc"] = v
		}
	}
	f["storage.quota"] = strconv.FormatBool(d.quota(in))
	var runtimes []string
	for name := range in.Runtimes {
		// The shims' own names are aliases of runc that dockerd lists too.
		if !strings.HasPrefix(name, "io.containerd.") {
			runtimes = append(runtimes, name)
		}
	}
	slices.Sort(runtimes)
	f["info.Runtimes"] = strings.Join(runtimes, " ")

	cgroup, _ := strconv.Atoi(f["info.CgroupVersion"])
	info := &backend.Info{
		Driver: Name, Engine: f["engine.name"], EngineVersion: in.ServerVersion, APIVersion: a.version.APIVersion, EngineID: in.ID,
		Host: d.host, Remote: d.remote, Rootless: f["security.rootless"] == "true", CallerAsRoot: f["security.rootless"] == "true",
		OS: in.OSType, Arch: goArch(in.Architecture), Kernel: in.KernelVersion,
		CgroupVersion: cgroup, CgroupDriver: in.CgroupDriver, StorageDriver: in.Driver,
		Runtimes: runtimes, DefaultRuntime: in.DefaultRuntime,
		Facts: f, Claims: claims(f), Warnings: d.warnings(f, in),
	}
	if info.Runtimes == nil {
		info.Runtimes = []string{}
	}
	return info
}

// warnings says what a user of this engine should know.
func (d *driver) warnings(f map[string]string, in *system.Info) []string {
	out := []string{}
	if f["engine.name"] == "podman" {
		out = append(out, "Podman answers behind this docker socket, and its imitation of docker's API drops settings without saying so: use --backend podman.")
	}
	if strings.HasPrefix(d.host, "tcp://") && strings.HasPrefix(d.base, "http://") {
		out = append(out, "The connection to "+d.host+" is neither encrypted nor authenticated: whoever reaches that address is root on the engine's machine. Set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH.")
	}
	if f["security.userns"] == "true" {
		out = append(out, "The engine remaps user ids (userns-remap), so that files in bind mounts belong to other users than the caller: user caller is refused.")
	}
	if local := localKernel(); !d.remote && local != "" && local != in.KernelVersion {
		out = append(out, fmt.Sprintf("The engine runs on another kernel (%s) than this machine (%s): bind mounts reach only what that machine shares.", in.KernelVersion, local))
	}
	return append(out, in.Warnings...)
}

// localKernel is the release of this machine's kernel, "" where it is not Linux.
func localKernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// quota reports whether the engine can bound a container's root file system.
// overlay2 can on an XFS that is mounted with project quotas, which only the
// mount table of its machine tells.
func (d *driver) quota(in *system.Info) bool {
	switch in.Driver {
	case "btrfs", "zfs", "windowsfilter":
		return true
	}
	if in.Driver != "overlay2" || driverStatus(in.DriverStatus, "Backing Filesystem") != "xfs" || d.remote || runtime.GOOS != "linux" {
		return false
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	defer f.Close()
	best, found := "", false
	for m := range mountTable(f) {
		if len(m.point) >= len(best) && within(in.DockerRootDir, m.point) {
			best = m.point
			found = slices.Contains(m.super, "prjquota") || slices.Contains(m.super, "pquota")
		}
	}
	return found
}

// within reports whether p is dir or below it. Both are absolute and clean.
func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// mountEntry is a line of mountinfo.
type mountEntry struct {
	point string
	super []string // options of the file system
}

// mountTable yields the lines of a mountinfo file (proc_pid_mountinfo(5)) in
// order; lines that it does not understand are left out.
func mountTable(r io.Reader) func(yield func(mountEntry) bool) {
	return func(yield func(mountEntry) bool) {
		s := bufio.NewScanner(r)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			fields := strings.Fields(s.Text())
			dash := slices.Index(fields, "-")
			if len(fields) < 6 || dash < 0 || len(fields) < dash+4 {
				continue
			}
			m := mountEntry{point: path.Clean(unescapeMount(fields[4])), super: strings.Split(fields[dash+3], ",")}
			if !yield(m) {
				return
			}
		}
	}
}

// unescapeMount undoes the kernel's octal escapes (\040 for a space).
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

// securityOption reports whether the engine lists the option name, as in
// "name=seccomp,profile=default".
func securityOption(options []string, name string) bool {
	return slices.ContainsFunc(options, func(o string) bool {
		first, _, _ := strings.Cut(o, ",")
		return first == "name="+name || first == name
	})
}

func driverStatus(status [][2]string, key string) string {
	for _, s := range status {
		if s[0] == key {
			return s[1]
		}
	}
	return ""
}

func sorted(names []string) string {
	return strings.Join(slices.Sorted(slices.Values(names)), " ")
}

// goArch maps the kernel's names of architectures to Go's.
func goArch(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64", "arm64":
		return "arm64"
	case "i386", "i686":
		return "386"
	case "armv6l", "armv7l", "armhf":
		return "arm"
	case "loongarch64":
		return "loong64"
	case "mips64el", "mips64le":
		return "mips64le"
	}
	return machine
}
