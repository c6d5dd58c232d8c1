// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/internal/sandbox"
	"github.com/berthrun/berth/internal/specsource"
	"github.com/berthrun/berth/policy"
	policyfile "github.com/berthrun/berth/policy/file"
	"github.com/berthrun/berth/spec"
	"github.com/berthrun/berth/spec/openhands"
	specyaml "github.com/berthrun/berth/spec/yaml"
)

// specFlags are the flags that describe a sandbox.
type specFlags struct {
	file, config string
	policies     []string
	unsafe       []string

	image, pull, platform, name, entrypoint, workdir, user string
	env, envFile, volumes, tmpfs, publish                  []string
	bindAddress, network                                   string
	addNetworks, aliases, groups                           []string
	hostAlias                                              bool
	agent, cpus, memory, shmSize, disk                     string
	pids                                                   int64
	ulimits, capAdd, capDrop                               []string
	readOnly, allowNewPrivileges                           bool
	seccomp, runtime, gpus                                 string
	devices                                                []string
	profile                                                string
	labels                                                 []string
	stopSignal, stopGrace, idle, ttl, restart              string
	interactive, tty                                       bool
}

// register adds the flags to c. Names and meanings are docker's and podman's.
func (f *specFlags) register(fs *pflag.FlagSet) {
	fs.StringVarP(&f.file, "file", "f", "", "spec `file`, YAML or JSON")
	fs.StringVar(&f.config, "config", "", "OpenHands config.toml `file`")
	fs.StringArrayVar(&f.policies, "policy", nil, "policy `file` that narrows the profile (repeatable)")
	fs.StringArrayVar(&f.unsafe, "unsafe", nil, "name one `override` of a policy rule (repeatable); \"berth policy show\" lists them")
	fs.StringVar(&f.image, "image", "", "image `reference`")
	fs.StringVar(&f.pull, "pull", "", "pull the image: missing, always or never")
	fs.StringVar(&f.platform, "platform", "", "image platform, such as linux/arm64")
	fs.StringVar(&f.name, "name", "", "name of the sandbox")
	fs.StringVar(&f.entrypoint, "entrypoint", "", "`command` instead of the image's entrypoint")
	fs.StringArrayVarP(&f.env, "env", "e", nil, "environment `KEY=VALUE`, or KEY to take the caller's value (repeatable)")
	fs.StringArrayVar(&f.envFile, "env-file", nil, "`file` of KEY=VALUE lines (repeatable)")
	fs.StringVarP(&f.workdir, "workdir", "w", "", "working directory in the sandbox")
	fs.StringVarP(&f.user, "user", "u", "", "caller, image, or `UID[:GID]`")
	fs.StringArrayVarP(&f.volumes, "volume", "v", nil, "mount `HOST:CONTAINER[:rw|ro|overlay]` (repeatable)")
	fs.StringArrayVar(&f.tmpfs, "tmpfs", nil, "mount a tmpfs `PATH[:size=64m,noexec]` (repeatable)")
	fs.StringVar(&f.bindAddress, "bind-address", "", "host `address` of published ports (default 127.0.0.1)")
	fs.StringArrayVarP(&f.publish, "publish", "p", nil, "publish `[ADDR:][HOSTPORT:]PORT[/udp]` (repeatable)")
	fs.StringVar(&f.network, "network", "", "isolated, none, host, or the `name` of a network")
	fs.StringArrayVar(&f.addNetworks, "add-network", nil, "join a further network `NAME[:alias,…]` (repeatable)")
	fs.StringArrayVar(&f.aliases, "network-alias", nil, "further `name` of this sandbox on its network (repeatable)")
	fs.BoolVar(&f.hostAlias, "host-alias", false, "let host.berth.internal and host.docker.internal name the host")
	fs.StringArrayVar(&f.groups, "group-add", nil, "supplementary group `id` (repeatable)")
	fs.StringVar(&f.agent, "agent", "", "who serves inside: auto, builtin, image or none")
	fs.StringVar(&f.cpus, "cpus", "", "processors, such as 1.5")
	fs.StringVarP(&f.memory, "memory", "m", "", "memory, such as 512m or 2Gi")
	fs.Int64Var(&f.pids, "pids-limit", 0, "most processes and threads")
	fs.StringVar(&f.shmSize, "shm-size", "", "size of /dev/shm")
	fs.StringVar(&f.disk, "disk", "", "most bytes in the root file system")
	fs.StringArrayVar(&f.ulimits, "ulimit", nil, "`nofile=SOFT[:HARD]`")
	fs.StringArrayVar(&f.capAdd, "cap-add", nil, "add a Linux `capability` (repeatable)")
	fs.StringArrayVar(&f.capDrop, "cap-drop", nil, "drop a Linux `capability`, or ALL (repeatable)")
	fs.BoolVar(&f.readOnly, "read-only", false, "read-only root file system")
	fs.BoolVar(&f.allowNewPrivileges, "allow-new-privileges", false, "let setuid programs work (policy may deny it)")
	fs.StringVar(&f.seccomp, "seccomp", "", "default, unconfined, or a profile `file`")
	fs.StringVar(&f.runtime, "runtime", "", "OCI runtime: runc, crun, runsc, kata …")
	fs.StringArrayVar(&f.devices, "device", nil, "CDI `name` or host device path (repeatable)")
	fs.StringVar(&f.gpus, "gpus", "", "`all`, or a comma-separated list of NVIDIA GPUs")
	fs.StringVar(&f.profile, "profile", "", "policy profile: standard, hardened or openhands-compat")
	fs.StringArrayVar(&f.labels, "label", nil, "label `KEY=VALUE` (repeatable)")
	fs.StringVar(&f.stopSignal, "stop-signal", "", "signal that asks the command to end")
	fs.StringVar(&f.stopGrace, "stop-grace", "", "time between that signal and SIGKILL, such as 10s")
	fs.StringVar(&f.idle, "idle-timeout", "", "stop a sandbox that nobody uses for this long")
	fs.StringVar(&f.ttl, "ttl", "", "stop the sandbox this long after its start")
	fs.StringVar(&f.restart, "restart", "", "no, on-failure[:N], always or unless-stopped")
	fs.BoolVarP(&f.interactive, "interactive", "i", false, "keep standard input open")
	fs.BoolVarP(&f.tty, "tty", "t", false, "give the command a terminal")
}

// composed is a spec put together from all its sources.
type composed struct {
	spec     *spec.Sandbox
	origins  map[spec.Path]string
	warnings []string
	policies []*policy.Policy
	unsafe   []string
}

// compose lays flags over environment over config file over spec file.
func (a *app) compose(cmd *cobra.Command, f *specFlags, args []string) (*composed, error) {
	flags, err := a.flagLayer(cmd, f, args)
	if err != nil {
		return nil, err
	}
	var layers []specsource.Layer
	if f.file != "" {
		doc, err := readFile(f.file, "spec file")
		if err != nil {
			return nil, err
		}
		s, err := specyaml.Decode(doc, f.file)
		if err != nil {
			return nil, &backend.Error{Kind: backend.Invalid, Err: err}
		}
		layers = append(layers, specsource.Layer{Name: f.file, Spec: s})
	}
	in := openhands.Input{Environ: a.unoutranked(cmd), Home: a.home(), UID: os.Getuid(), GID: os.Getgid(), Name: f.name}
	if in.Dir, err = os.Getwd(); err != nil {
		return nil, err
	}
	if f.config != "" {
		if in.Config, err = readFile(f.config, "config file"); err != nil {
			return nil, err
		}
		in.ConfigName = f.config
	}
	oh, err := openhands.Read(in)
	if err != nil {
		return nil, &backend.Error{Kind: backend.Invalid, Err: err}
	}
	layers = append(layers, specsource.Layer{Name: "environment", Spec: oh.Spec, Sources: oh.Sources}, flags)
	out := &composed{warnings: a.heed(cmd, oh.Hints)}
	out.spec, out.origins = specsource.Merge(layers...)
	for _, w := range oh.Warnings {
		text := w.Key + ": " + w.Message
		if w.File != "" {
			text = fmt.Sprintf("%s:%d: %s", w.File, w.Line, text)
		}
		out.warnings = append(out.warnings, text)
	}
	if f.interactive {
		out.spec.Process.Stdin = true
	}
	for _, path := range f.policies {
		data, err := readFile(path, "policy file")
		if err != nil {
			return nil, err
		}
		p, err := policyfile.Decode(data, path)
		if err != nil {
			return nil, &backend.Error{Kind: backend.Invalid, Err: err}
		}
		out.policies = append(out.policies, p.Policy)
		out.unsafe = append(out.unsafe, p.Unsafe...)
	}
	return out, nil
}

// request is what the composed spec asks of internal/sandbox.
func (c *composed) request(f *specFlags, progress func(backend.PullProgress)) sandbox.Request {
	return sandbox.Request{Spec: c.spec, Policies: c.policies, Unsafe: append(c.unsafe, f.unsafe...), Progress: progress}
}

// unoutranked is the environment without the variables whose only field a flag
// sets: a value that nobody uses cannot be an error.
func (a *app) unoutranked(cmd *cobra.Command) map[string]string {
	env := a.environment()
	for _, key := range openhands.Keys() {
		if flag, ok := flagNames[key.Path]; ok && key.Path != "process.env" && cmd.Flags().Changed(flag) {
			for _, name := range append([]string{key.Env}, key.Aliases...) {
				delete(env, name)
			}
		}
	}
	return env
}

// heed acts on what OpenHands' settings ask for besides a spec, and says where
// it does not.
func (a *app) heed(cmd *cobra.Command, h openhands.Hints) []string {
	var out []string
	if h.Backend.Value != "" && a.backendName == "auto" {
		a.backendName = h.Backend.Value
	}
	if h.KeepAlive.Value && cmd.Name() == "run" {
		out = append(out, h.KeepAlive.Source+": run removes its sandbox when the command has ended: use create for one that stays")
	}
	if h.ActionTimeout.Source != "" {
		out = append(out, h.ActionTimeout.Source+": bounds an agent's single action, and no agent acts here: use --ttl to bound the sandbox")
	}
	return out
}

func (a *app) environment() map[string]string {
	out := map[string]string{}
	for _, kv := range a.environ() {
		if k, v, ok := strings.Cut(kv, "="); ok {
			out[k] = v
		}
	}
	return out
}

// maxFile bounds every file that a user names; specs and policies are small.
const maxFile = 1 << 20

func readFile(path, what string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() > maxFile {
		err = fmt.Errorf("%s: larger than 1 MiB", path)
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &backend.Error{Kind: backend.NotFound, Message: what, Err: err}
	}
	if err != nil {
		return nil, &backend.Error{Kind: backend.Invalid, Message: what, Err: err}
	}
	return data, nil
}

// flagLayer turns the flags that were given into a layer of the spec.
func (a *app) flagLayer(cmd *cobra.Command, f *specFlags, args []string) (specsource.Layer, error) {
	s := &spec.Sandbox{}
	l := specsource.Layer{Name: "flags", Spec: s, Sources: map[spec.Path]string{}}
	p := &flagReader{flags: cmd.Flags()}

	p.text("name", f.name, func(v string) { s.Name = v })
	p.text("image", f.image, func(v string) { s.Image.Ref = v })
	p.text("pull", f.pull, func(v string) { s.Image.Pull = spec.PullPolicy(v) })
	p.text("platform", f.platform, func(v string) { s.Image.Platform = v })
	if f.entrypoint != "" {
		s.Process.Command = []string{f.entrypoint}
	}
	s.Process.Args = args
	s.Process.Env = p.environment(a, f)
	p.text("workdir", f.workdir, func(v string) { s.Process.Workdir = v })
	s.Process.Stdin, s.Process.TTY = f.interactive, f.tty
	p.text("user", f.user, func(v string) { s.User.As = v })
	for _, g := range f.groups {
		id, err := strconv.ParseUint(g, 10, 32)
		p.check("group-add", err != nil, "%q: want a group id", g)
		s.User.Groups = append(s.User.Groups, uint32(id))
	}
	p.mounts(a, f, s)
	p.text("bind-address", f.bindAddress, func(v string) { s.Binding.Address = v })
	for _, v := range f.publish {
		port, err := parsePort(v)
		p.check("publish", err != nil, "%v", err)
		s.Binding.Ports = append(s.Binding.Ports, port)
	}
	p.text("network", f.network, func(v string) {
		switch mode := spec.NetworkMode(v); mode {
		case spec.NetIsolated, spec.NetNone, spec.NetHost:
			s.Network.Mode = mode
		default:
			s.Network.Mode, s.Network.Name = spec.NetNamed, v
		}
	})
	for _, v := range f.addNetworks {
		name, aliases, _ := strings.Cut(v, ":")
		at := spec.Attachment{Name: name}
		if aliases != "" {
			at.Aliases = strings.Split(aliases, ",")
		}
		s.Network.Additional = append(s.Network.Additional, at)
	}
	s.Network.Aliases, s.Network.HostAlias = f.aliases, f.hostAlias
	p.text("agent", f.agent, func(v string) { s.Agent = spec.Agent(v) })
	p.text("cpus", f.cpus, func(v string) {
		cpus, err := spec.ParseCPUs(v)
		p.check("cpus", err != nil, "%v", err)
		s.Resources.CPUs = cpus
	})
	p.size("memory", f.memory, &s.Resources.Memory)
	p.size("shm-size", f.shmSize, &s.Resources.Shm)
	p.size("disk", f.disk, &s.Resources.Disk)
	// Docker's -1 and 0 mean no limit, which is what an unset field means.
	if p.flags.Changed("pids-limit") && f.pids > 0 {
		s.Resources.Pids = f.pids
	}
	p.check("pids-limit", f.pids < -1, "%d: want a positive number", f.pids)
	for _, v := range f.ulimits {
		limit, err := parseNoFile(v)
		p.check("ulimit", err != nil, "%v", err)
		s.Resources.NoFile = limit
	}
	s.Security.Capabilities = spec.Capabilities{Add: f.capAdd, Drop: f.capDrop}
	s.Security.ReadOnlyRoot = f.readOnly
	if f.allowNewPrivileges {
		no := false
		s.Security.NoNewPrivileges = &no
	}
	p.text("seccomp", f.seccomp, func(v string) {
		if v != spec.SeccompDefault && v != spec.SeccompUnconfined {
			v = a.hostPath(v)
		}
		s.Security.Seccomp = v
	})
	p.text("runtime", f.runtime, func(v string) { s.Security.Runtime = v })
	s.Security.Devices = slices.Clone(f.devices)
	p.text("gpus", f.gpus, func(v string) {
		v = strings.TrimPrefix(v, "device=")
		for gpu := range strings.SplitSeq(v, ",") {
			s.Security.Devices = append(s.Security.Devices, "nvidia.com/gpu="+gpu)
		}
	})
	p.text("profile", f.profile, func(v string) { s.Security.Profile = spec.Profile(v) })
	for _, v := range f.labels {
		key, value, _ := strings.Cut(v, "=")
		if s.Labels == nil {
			s.Labels = map[string]string{}
		}
		s.Labels[key] = value
	}
	p.text("stop-signal", f.stopSignal, func(v string) { s.Life.StopSignal = v })
	p.duration("stop-grace", f.stopGrace, &s.Life.StopGrace)
	p.duration("idle-timeout", f.idle, &s.Life.IdleTimeout)
	p.duration("ttl", f.ttl, &s.Life.TTL)
	p.text("restart", f.restart, func(v string) {
		name, tries, has := strings.Cut(v, ":")
		s.Life.Restart.Policy = spec.RestartPolicy(name)
		if has {
			n, err := strconv.Atoi(tries)
			p.check("restart", err != nil, "%q: want on-failure:N", v)
			s.Life.Restart.MaxRetries = n
		}
	})
	for path, flag := range flagNames {
		l.Sources[path] = "--" + flag
	}
	for i := range s.Mounts {
		l.Sources[spec.Path(fmt.Sprintf("mounts[%d]", i))] = "--volume"
	}
	if len(p.errs) > 0 {
		return l, &usageError{errors.Join(p.errs...)}
	}
	return l, nil
}

// flagNames are the flags whose value is one field.
var flagNames = map[spec.Path]string{
	"name": "name", "image.ref": "image", "image.pull": "pull", "image.platform": "platform",
	"process.command": "entrypoint", "process.args": "command line", "process.env": "env", "process.workdir": "workdir",
	"process.stdin": "interactive", "process.tty": "tty", "user.as": "user", "user.groups": "group-add",
	"binding.address": "bind-address", "network.mode": "network", "network.name": "network", "network.aliases": "network-alias",
	"network.hostAlias": "host-alias", "resources.cpus": "cpus", "resources.memory": "memory", "resources.pids": "pids-limit",
	"resources.shm": "shm-size", "resources.nofile": "ulimit", "resources.disk": "disk", "security.profile": "profile",
	"security.capabilities.add": "cap-add", "security.capabilities.drop": "cap-drop", "security.seccomp": "seccomp",
	"security.noNewPrivileges": "allow-new-privileges", "security.readOnlyRoot": "read-only", "security.runtime": "runtime",
	"agent": "agent", "life.stopSignal": "stop-signal", "life.stopGrace": "stop-grace", "life.idleTimeout": "idle-timeout",
	"life.ttl": "ttl", "life.restart": "restart", "labels": "label",
}

// flagReader reads flag values and collects all that is wrong with them.
type flagReader struct {
	flags *pflag.FlagSet
	errs  []error
}

func (p *flagReader) check(flag string, bad bool, format string, args ...any) {
	if bad {
		p.errs = append(p.errs, fmt.Errorf("--"+flag+": "+format, args...))
	}
}

// text hands a flag's value on; a flag that was given without one is an error,
// because it would otherwise mean the default.
func (p *flagReader) text(flag, value string, set func(string)) {
	if value != "" {
		set(value)
		return
	}
	p.check(flag, p.flags.Changed(flag), "needs a value")
}

func (p *flagReader) size(flag, value string, into *spec.Bytes) {
	p.text(flag, value, func(v string) {
		n, err := parseSize(v)
		p.check(flag, err != nil, "%v", err)
		*into = n
	})
}

func (p *flagReader) duration(flag, value string, into *spec.Duration) {
	p.text(flag, value, func(v string) {
		d, err := spec.ParseDuration(v)
		p.check(flag, err != nil, "%v", err)
		*into = d
	})
}

// parseSize takes the spec's own form and docker's suffixes, all binary.
func parseSize(v string) (spec.Bytes, error) {
	if n, err := spec.ParseBytes(v); err == nil {
		return n, nil
	}
	n, err := units.RAMInBytes(v)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("size %q: want a number with b, k, m or g, or with Ki, Mi or Gi", v)
	}
	return spec.Bytes(n), nil
}

// environment reads --env-file, then --env, which outranks it.
func (p *flagReader) environment(a *app, f *specFlags) map[string]string {
	env := map[string]string{}
	set := func(flag, entry string) {
		key, value, has := strings.Cut(entry, "=")
		p.check(flag, key == "", "%q: no name", entry)
		if !has {
			v, ok := a.getenv(key)
			if !ok {
				return // as docker: a name that the caller does not have is left out
			}
			value = v
		}
		env[key] = value
	}
	for _, path := range f.envFile {
		data, err := readFile(path, "env file")
		if err != nil {
			p.errs = append(p.errs, err)
			continue
		}
		sc := bufio.NewScanner(strings.NewReader(string(data)))
		sc.Buffer(nil, maxFile)
		for sc.Scan() {
			line := strings.TrimLeft(sc.Text(), " \t")
			if line != "" && !strings.HasPrefix(line, "#") {
				set("env-file", line)
			}
		}
	}
	for _, e := range f.env {
		set("env", e)
	}
	if len(env) == 0 {
		return nil
	}
	return env
}

// hostPath makes a path of the command line absolute; one on the engine's
// machine has to be written so.
func (a *app) hostPath(path string) string {
	if path == "~" || strings.HasPrefix(path, "~/") {
		path = filepath.Join(a.home(), path[1:])
	}
	if a.enginePaths || filepath.IsAbs(path) {
		return path
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return abs
}

// mounts reads -v and --tmpfs.
func (p *flagReader) mounts(a *app, f *specFlags, s *spec.Sandbox) {
	for _, v := range f.volumes {
		m, err := a.parseVolume(v)
		p.check("volume", err != nil, "%v", err)
		s.Mounts = append(s.Mounts, m)
	}
	for _, v := range f.tmpfs {
		m, err := parseTmpfs(v)
		p.check("tmpfs", err != nil, "%v", err)
		s.Mounts = append(s.Mounts, m)
	}
}

// parseVolume reads HOST:CONTAINER[:OPTIONS]. A source without a slash that does
// not start with a dot or tilde is a volume's name, as in docker.
func (a *app) parseVolume(v string) (spec.Mount, error) {
	const want = "want HOST:CONTAINER[:rw|ro|overlay], such as ./src:/workspace:ro"
	parts := strings.Split(v, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || parts[1] == "" {
		return spec.Mount{}, fmt.Errorf("%q: %s", v, want)
	}
	m := spec.Mount{Type: spec.MountVolume, Source: parts[0], Target: parts[1]}
	if strings.ContainsRune(parts[0], '/') || strings.HasPrefix(parts[0], ".") || strings.HasPrefix(parts[0], "~") {
		m.Type, m.Source = spec.MountBind, a.hostPath(parts[0])
	}
	if !strings.HasPrefix(m.Target, "/") {
		return m, fmt.Errorf("%q: the path %q in the sandbox is not absolute: %s", v, m.Target, want)
	}
	// A trailing slash is how shells complete a folder; it says nothing.
	if m.Target != "/" {
		m.Target = strings.TrimRight(m.Target, "/")
	}
	if len(parts) < 3 {
		return m, nil
	}
	for option := range strings.SplitSeq(parts[2], ",") {
		switch option {
		case "rw", "ro", "overlay":
			if m.Mode != "" {
				return m, fmt.Errorf("%q: two modes", v)
			}
			m.Mode = spec.MountMode(option)
		case "z":
			m.SELinux = spec.SELinuxShared
		case "Z":
			m.SELinux = spec.SELinuxPrivate
		case "noexec":
			m.NoExec = true
		default:
			return m, fmt.Errorf("%q: unknown mode %q: %s", v, option, want)
		}
	}
	return m, nil
}

// parseTmpfs reads PATH[:OPTIONS].
func parseTmpfs(v string) (spec.Mount, error) {
	target, options, has := strings.Cut(v, ":")
	m := spec.Mount{Type: spec.MountTmpfs, Target: target}
	if !has {
		return m, nil
	}
	for option := range strings.SplitSeq(options, ",") {
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "size":
			n, err := parseSize(value)
			if err != nil {
				return m, fmt.Errorf("%q: %w", v, err)
			}
			m.Size = n
		case "noexec":
			m.NoExec = true
		case "rw", "nosuid", "nodev", "exec": // what every tmpfs of berth's is, unless noexec
		default:
			return m, fmt.Errorf("%q: option %q cannot be honoured: want size=… or noexec", v, option)
		}
	}
	return m, nil
}

// parsePort reads [ADDR:][HOSTPORT:]PORT[/PROTOCOL]; an IPv6 address stands in
// brackets.
func parsePort(v string) (spec.Port, error) {
	const want = "want [ADDR:][HOSTPORT:]PORT[/udp], such as 8080, 9000:8080 or [::1]:9000:8080"
	var p spec.Port
	rest, proto, has := strings.Cut(v, "/")
	if has {
		if p.Protocol = spec.Protocol(proto); p.Protocol != spec.TCP && p.Protocol != spec.UDP {
			return p, fmt.Errorf("%q: unknown protocol %q: %s", v, proto, want)
		}
	}
	if strings.HasPrefix(rest, "[") {
		addr, tail, ok := strings.Cut(rest[1:], "]:")
		if !ok {
			return p, fmt.Errorf("%q: %s", v, want)
		}
		p.Address, rest = addr, tail
	} else if n := strings.Count(rest, ":"); n == 2 {
		p.Address, rest, _ = strings.Cut(rest, ":")
	} else if n == 1 {
		// ADDR:PORT lets the engine pick the host port at that address.
		if addr, port, _ := strings.Cut(rest, ":"); strings.Contains(addr, ".") {
			p.Address, rest = addr, port
		}
	} else if n > 2 {
		return p, fmt.Errorf("%q: %s", v, want)
	}
	if p.Address != "" {
		if _, err := netip.ParseAddr(p.Address); err != nil {
			return p, fmt.Errorf("%q: address %q is no IP address: %s", v, p.Address, want)
		}
	}
	number := func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 65535 {
			return 0, fmt.Errorf("%q: port %q is not a number from 1 to 65535: %s", v, text, want)
		}
		return n, nil
	}
	host, inner, two := strings.Cut(rest, ":")
	if !two {
		host, inner = "", rest
	}
	var err error
	if host != "" && host != "0" {
		if p.HostPort, err = number(host); err != nil {
			return p, err
		}
	}
	p.ContainerPort, err = number(inner)
	return p, err
}

// parseNoFile reads nofile=SOFT[:HARD].
func parseNoFile(v string) (spec.NoFile, error) {
	name, limits, _ := strings.Cut(v, "=")
	if name != "nofile" {
		return spec.NoFile{}, fmt.Errorf("%q: only nofile can be set: want nofile=SOFT[:HARD]", v)
	}
	soft, hard, has := strings.Cut(limits, ":")
	if !has {
		hard = soft
	}
	s, err1 := strconv.ParseUint(soft, 10, 63)
	h, err2 := strconv.ParseUint(hard, 10, 63)
	if err1 != nil || err2 != nil {
		return spec.NoFile{}, fmt.Errorf("%q: want nofile=SOFT[:HARD]", v)
	}
	return spec.NoFile{Soft: s, Hard: h}, nil
}

// specCmd is "berth spec".
func (a *app) specCmd() *cobra.Command {
	c := &cobra.Command{Use: "spec", Short: "Check, show and describe specs"}

	validate := &cobra.Command{
		Use: "validate FILE…", Short: "Check spec files", Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var errs []error
			for _, path := range args {
				errs = append(errs, a.validateFile(path))
			}
			if err := errors.Join(errs...); err != nil {
				return err
			}
			return a.print(map[string]any{"valid": args}, func(t *table) {
				for _, path := range args {
					t.row(path + ": valid")
				}
			})
		},
	}
	f := &specFlags{}
	show := &cobra.Command{
		Use: "show [flags] [-- CMD…]", Short: "Print the spec that flags, environment and files give, and where each value comes from",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.compose(cmd, f, args)
			if err != nil {
				return err
			}
			for _, w := range c.warnings {
				a.warn("%s", w)
			}
			if err := spec.Validate(c.spec); err != nil {
				return &backend.Error{Kind: backend.Invalid, Err: err}
			}
			shown := spec.Redact(c.spec)
			if a.json() {
				return a.print(map[string]any{"spec": shown, "origins": c.origins, "digest": spec.Digest(c.spec)}, nil)
			}
			text, err := specyaml.Encode(shown)
			if err != nil {
				return err
			}
			fmt.Fprint(a.stdout, string(text))
			for _, p := range spec.SetFields(c.spec) {
				fmt.Fprintf(a.stdout, "# %s: %s\n", p, c.origins[p])
			}
			return nil
		},
	}
	f.register(show.Flags())
	schemaCmd := &cobra.Command{
		Use: "schema", Short: "Print the JSON schema of a spec", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.printSchema() },
	}
	c.AddCommand(validate, show, schemaCmd)
	return c
}

func (a *app) validateFile(path string) error {
	data, err := readFile(path, "spec file")
	if err != nil {
		return err
	}
	s, err := specyaml.Decode(data, path)
	if err == nil {
		spec.Default(s)
		if err = spec.Validate(s); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	if err != nil {
		return &backend.Error{Kind: backend.Invalid, Err: err}
	}
	return nil
}
