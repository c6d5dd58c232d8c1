// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/docker/docker/client"
)

// readyTimeout bounds how long an engine may take until it answers.
const readyTimeout = time.Minute

// Options say where an engine lives. The zero value is a new engine with a
// random name below DefaultBase.
type Options struct {
	Base    string    // directory that holds the engine's own one; "" is DefaultBase
	Name    string    // lower case letters, digits and '-', at most 16; "" is a random name
	Install bool      // install missing packages, where that is possible
	Log     io.Writer // progress, one line each; nil discards it
}

var nameRE = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,15}$`)

// Docker is a private dockerd with its own containerd. Its methods may be
// called concurrently.
type Docker struct {
	endpoint Endpoint
	dir      string
	lock     *os.File
	outside  *outside
	control  *control

	mu         sync.Mutex // guards what follows, and every start and end of a daemon
	state      state
	containerd *child
	dockerd    *child
	stopped    bool
}

// Start starts a private engine and returns when it answers. It needs root.
//
// Before that it cleans up after earlier engines below the same base whose
// owner was killed. On an error, and when ctx is cancelled, nothing is left of
// the new engine, and the error ends with the last lines of the daemon's log.
// The engine does not end with ctx: the caller must call Stop.
func Start(ctx context.Context, o Options) (*Docker, error) {
	if o.Base == "" {
		o.Base = DefaultBase
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Name == "" {
		b := make([]byte, 3)
		rand.Read(b)
		o.Name = "t-" + hex.EncodeToString(b)
	}
	if !nameRE.MatchString(o.Name) {
		return nil, fmt.Errorf("start an engine: name %q: want at most 16 of a-z, 0-9 and '-'", o.Name)
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("start an engine: it needs network namespaces and cgroups of its own: run this as root")
	}
	if err := ensureTools(ctx, o.Install, o.Log); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Base, 0o755); err != nil {
		return nil, fmt.Errorf("start an engine: %w", err)
	}
	if err := CleanStale(ctx, o.Base, o.Log); err != nil {
		return nil, err
	}

	dir, err := filepath.Abs(filepath.Join(o.Base, o.Name))
	if err != nil {
		return nil, err
	}
	if dir, err = makeDir(dir); err != nil {
		return nil, fmt.Errorf("start an engine: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("start an engine: %w", err)
	}
	d := &Docker{dir: dir, lock: lock}
	if err := d.start(ctx, o.Name); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, errors.Join(err, d.Stop())
	}
	return d, nil
}

// makeDir makes dir, which others may enter to reach the socket, and returns
// its real path: daemons and mount tables know it by that name.
func makeDir(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return "", err
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	// A unix socket's path ends at 107 bytes.
	if limit := 107 - len("/containerd.sock.ttrpc"); len(dir) > limit {
		return "", errors.Join(fmt.Errorf("directory %s: longer than %d bytes, which leaves no room for socket names", dir, limit), os.Remove(dir))
	}
	return dir, nil
}

func (d *Docker) start(ctx context.Context, name string) error {
	ns, out := "berth-"+name, "berth-"+name+"-out"
	d.endpoint = Endpoint{
		Dir:          d.dir,
		Host:         "unix://" + filepath.Join(d.dir, "docker.sock"),
		TLSHost:      "tcp://127.0.0.1:2376",
		CertPath:     filepath.Join(d.dir, "client"),
		Netns:        filepath.Join(netnsDir, ns),
		Outside:      outsideAddr,
		OutsideNetns: filepath.Join(netnsDir, out),
		Control:      filepath.Join(d.dir, "control.sock"),
	}
	for _, n := range []string{ns, out} {
		if _, err := os.Lstat(filepath.Join(netnsDir, n)); err == nil {
			return fmt.Errorf("start an engine: network namespace %s exists and is not of this engine: choose another name", n)
		}
	}
	if len(cgroupDirs(ns)) > 0 {
		return fmt.Errorf("start an engine: cgroup %s exists and is not of this engine: choose another name", ns)
	}
	d.state = state{BootID: bootID(), Netns: []string{ns, out}, Cgroup: ns, Endpoint: d.endpoint}
	// Innermost first: that is the order in which they can be removed.
	for _, m := range []string{"/run/docker/plugins", "/run/docker", "/run/containerd/s", "/run/containerd"} {
		if _, err := os.Lstat(m); errors.Is(err, os.ErrNotExist) {
			d.state.MadeDirs = append(d.state.MadeDirs, m)
		}
	}
	if err := d.state.write(d.dir); err != nil {
		return err
	}
	if err := makeNetns(ctx, ns, out); err != nil {
		return fmt.Errorf("start an engine: %w", err)
	}
	var err error
	if d.outside, err = startOutside(d.endpoint.OutsideNetns); err != nil {
		return fmt.Errorf("start the outside peer: %w", err)
	}
	d.endpoint.OutsideBody = d.outside.body
	if err := writeCerts(filepath.Join(d.dir, "server"), d.endpoint.CertPath); err != nil {
		return err
	}
	if err := d.writeConfig(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.startContainerd(ctx); err != nil {
		return err
	}
	if err := d.startDockerd(ctx); err != nil {
		return err
	}
	if d.control, err = serveControl(d); err != nil {
		return fmt.Errorf("start the control socket: %w", err)
	}
	d.state.Endpoint = d.endpoint
	return d.state.write(d.dir)
}

// writeConfig writes the daemons' files. dockerd's exists only so that the
// host's /etc/docker/daemon.json is not read.
func (d *Docker) writeConfig(ctx context.Context) error {
	major, err := dockerdMajor(ctx)
	if err != nil {
		return err
	}
	conf := "{}\n"
	if major < 23 {
		// These daemons write a key to /etc/docker unless told otherwise; newer
		// ones refuse to know the setting.
		conf = fmt.Sprintf("{\"deprecated-key-path\": %q}\n", filepath.Join(d.dir, "key.json"))
	}
	if err := os.WriteFile(filepath.Join(d.dir, "daemon.json"), []byte(conf), 0o600); err != nil {
		return err
	}
	q := func(name string) string { return strconv.Quote(filepath.Join(d.dir, name)) }
	conf = "version = 2\n" +
		"root = " + q("cd-root") + "\n" +
		"state = " + q("cd-state") + "\n" +
		"disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n" +
		"[grpc]\n" +
		"address = " + q("containerd.sock") + "\n" +
		"[plugins.\"io.containerd.internal.v1.opt\"]\n" +
		"path = " + q("cd-opt") + "\n"
	return os.WriteFile(filepath.Join(d.dir, "containerd.toml"), []byte(conf), 0o600)
}

// spawn starts one daemon in the engine's namespace and notes it in the state
// file. d.mu is held.
func (d *Docker) spawn(death syscall.Signal, name string, args ...string) (*child, error) {
	path, err := lookTool(name)
	if err != nil {
		return nil, err
	}
	// A new file for each start: what an earlier one wrote must not explain the
	// failure of a later one.
	logName := filepath.Join(d.dir, name+".log")
	_ = os.Rename(logName, logName+".1")
	log, err := os.OpenFile(logName, os.O_CREATE|os.O_WRONLY|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	tmp := filepath.Join(d.dir, "tmp")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	// Nothing is inherited: a proxy or a docker configuration of the caller
	// would change what the engine does.
	cmd.Env = []string{
		"PATH=" + toolPath(),
		"HOME=" + d.dir,
		"TMPDIR=" + tmp,
		"DOCKER_TMPDIR=" + tmp,
		markVar + "=" + d.dir,
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: death}
	c, err := startChild(d.endpoint.Netns, cmd)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c.Name = name
	d.state.Procs = append(d.state.Procs, c.process)
	return c, d.state.write(d.dir)
}

// forget drops processes that have ended from the state. d.mu is held.
func (d *Docker) forget() {
	var live []process
	for _, p := range d.state.Procs {
		if p.alive() {
			live = append(live, p)
		}
	}
	d.state.Procs = live
}

func (d *Docker) startContainerd(ctx context.Context) error {
	c, err := d.spawn(0, "containerd", "--config", filepath.Join(d.dir, "containerd.toml"))
	if err != nil {
		return err
	}
	d.containerd = c
	return d.poll(ctx, c, func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", filepath.Join(d.dir, "containerd.sock"))
		if err == nil {
			conn.Close()
		}
		return err
	})
}

func (d *Docker) startDockerd(ctx context.Context) error {
	in := func(name string) string { return filepath.Join(d.dir, name) }
	args := []string{
		"--config-file", in("daemon.json"),
		"--containerd", in("containerd.sock"),
		"--data-root", in("data"),
		"--exec-root", in("exec"),
		"--pidfile", in("dockerd.pid"),
		"--host", d.endpoint.Host,
		"--host", d.endpoint.TLSHost,
		"--tlsverify",
		"--tlscacert", in("server/ca.pem"),
		"--tlscert", in("server/cert.pem"),
		"--tlskey", in("server/key.pem"),
		"--group", "root",
		"--bip", "172.17.0.1/16",
		"--dns", d.endpoint.Outside,
		"--cgroup-parent", "/" + d.state.Cgroup,
		"--exec-opt", "native.cgroupdriver=cgroupfs",
	}
	c, err := d.spawn(syscall.SIGTERM, "dockerd", args...)
	if err != nil {
		return err
	}
	d.dockerd = c
	api, err := d.Client()
	if err != nil {
		return err
	}
	defer api.Close()
	return d.poll(ctx, c, func(ctx context.Context) error {
		_, err := api.Ping(ctx)
		return err
	})
}

var versionRE = regexp.MustCompile(`version (\d+)\.`)

func dockerdMajor(ctx context.Context) (int, error) {
	path, err := lookTool("dockerd")
	if err != nil {
		return 0, err
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("ask dockerd for its version: %w", err)
	}
	m := versionRE.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("ask dockerd for its version: no number in %q", out)
	}
	return strconv.Atoi(string(m[1]))
}

// poll calls ask until it succeeds, the daemon ends or the time is up.
func (d *Docker) poll(ctx context.Context, c *child, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("no answer within %s", readyTimeout))
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-c.done:
			return fmt.Errorf("start %s: it ended: %w%s", c.Name, exitError(c.err), d.logTail(c.Name))
		case <-ctx.Done():
			return fmt.Errorf("start %s: %w: %w%s", c.Name, context.Cause(ctx), err, d.logTail(c.Name))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func exitError(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// logTail returns the end of a daemon's log, for an error message.
func (d *Docker) logTail(name string) string {
	b, err := os.ReadFile(filepath.Join(d.dir, name+".log"))
	if err != nil || len(b) == 0 {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	lines = lines[max(0, len(lines)-15):]
	return "\n" + name + ".log:\n\t" + string(bytes.Join(lines, []byte("\n\t")))
}

// Endpoint says how to reach the engine.
func (d *Docker) Endpoint() Endpoint { return d.endpoint }

// Client returns a new API client of the engine over its unix socket. The
// caller closes it.
func (d *Docker) Client() (*client.Client, error) {
	return client.NewClientWithOpts(client.WithHost(d.endpoint.Host), client.WithAPIVersionNegotiation())
}

// Command returns a command that, started with StartIn, runs beside the engine
// and is ended by Stop should it outlive its caller.
func (d *Docker) Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), d.endpoint.Environ()...)
	cmd.Env = append(cmd.Env, markVar+"="+d.dir)
	return cmd
}

// Halt ends dockerd with SIGTERM and returns when it is gone. containerd keeps
// running, as it does on a host. Halting a halted engine does nothing.
func (d *Docker) Halt(ctx context.Context) error { return d.endDockerd(ctx, syscall.SIGTERM) }

// Kill ends dockerd with SIGKILL. Its containers keep running.
func (d *Docker) Kill() error { return d.endDockerd(context.Background(), syscall.SIGKILL) }

func (d *Docker) endDockerd(ctx context.Context, sig syscall.Signal) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return errors.New("stop dockerd: the engine was torn down")
	}
	if err := d.dockerd.signal(sig); err != nil {
		return err
	}
	select {
	case <-d.dockerd.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	d.forget()
	return d.state.write(d.dir)
}

// Resume starts dockerd after Halt or Kill and returns when it answers. It
// does nothing when dockerd runs.
func (d *Docker) Resume(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return errors.New("start dockerd: the engine was torn down")
	}
	if d.dockerd.alive() {
		return nil
	}
	d.forget()
	return d.startDockerd(ctx)
}

// Restart is Halt and then Resume.
func (d *Docker) Restart(ctx context.Context) error {
	if err := d.Halt(ctx); err != nil {
		return err
	}
	return d.Resume(ctx)
}

// Stop ends the engine and everything that runs in it, and removes all that it
// owns. It ends only processes that belong to this engine. It may be called
// again: once nothing is left it does nothing, after an error it tries again.
func (d *Docker) Stop() error {
	// The control socket goes first, without the lock: a request in progress
	// holds it.
	if d.control != nil {
		d.control.close()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return nil
	}
	if d.outside != nil {
		d.outside.close()
	}
	// dockerd first: it needs containerd to stop its containers.
	d.forget()
	var first, rest []process
	for _, p := range d.state.Procs {
		if p.Name == "dockerd" {
			first = append(first, p)
		} else {
			rest = append(rest, p)
		}
	}
	d.state.Procs = append(first, rest...)
	if d.state.BootID != "" { // else it was refused before it made anything
		if err := d.state.write(d.dir); err != nil {
			return fmt.Errorf("stop the engine: %w", err)
		}
	}
	if err := cleanDir(context.Background(), d.dir); err != nil {
		return fmt.Errorf("stop the engine: %w", err)
	}
	for _, c := range []*child{d.dockerd, d.containerd} {
		if c != nil {
			<-c.done
		}
	}
	d.stopped = true
	d.lock.Close()
	return nil
}
