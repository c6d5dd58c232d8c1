// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/docker/go-connections/nat"
	"github.com/google/go-cmp/cmp"
)

// build compiles one of this package's commands, once for all tests.
var build = func() func(t *testing.T, pkg string) string {
	var mu sync.Mutex
	done := map[string]string{}
	return func(t *testing.T, pkg string) string {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if done[pkg] == "" {
			out := filepath.Join(buildDir, filepath.Base(pkg))
			cmd := exec.Command("go", "build", "-o", out, pkg)
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
			if b, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("go build %s: %v\n%s", pkg, err, b)
			}
			done[pkg] = out
		}
		return done[pkg]
	}
}()

var buildDir string

func TestMain(m *testing.M) {
	var err error
	if buildDir, err = os.MkdirTemp("", "enginetest"); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := os.RemoveAll(buildDir); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// newBase returns a directory for engines. It is on the disk, not on a tmpfs,
// and its name is short. Whatever engine a failed test leaves there is removed.
func newBase(t *testing.T) string {
	t.Helper()
	needRoot(t)
	base, err := os.MkdirTemp("/var/tmp", "be-") //nolint:usetesting // TempDir may be a tmpfs, and its name is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		states, _ := filepath.Glob(filepath.Join(base, "*", "state.json"))
		for _, s := range states {
			// It waits for an owner that is just being killed.
			if err := Down(ctx, base, filepath.Base(filepath.Dir(s))); err != nil {
				t.Error(err)
			}
		}
		if err := removeData(base); err != nil {
			t.Error(err)
		}
	})
	return base
}

func startEngine(t *testing.T, o Options) *Docker {
	t.Helper()
	if o.Base == "" {
		o.Base = newBase(t)
	}
	begin := time.Now()
	d, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the engine answered after %s", time.Since(begin))
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func newClient(t *testing.T, host string) *client.Client {
	t.Helper()
	c, err := client.NewClientWithOpts(client.WithHost(host), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// importProbe makes an image that holds nothing but the probe.
func importProbe(t *testing.T, c *client.Client) {
	t.Helper()
	bin, err := os.ReadFile(build(t, "./testdata/probe"))
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := errors.Join(
		w.WriteHeader(&tar.Header{Name: "probe", Mode: 0o755, Size: int64(len(bin))}),
		func() error { _, err := w.Write(bin); return err }(),
		w.Close(),
	); err != nil {
		t.Fatal(err)
	}
	r, err := c.ImageImport(t.Context(), image.ImportSource{Source: &buf, SourceName: "-"}, "probe",
		image.ImportOptions{Changes: []string{`ENTRYPOINT ["/probe"]`}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
}

func startProbe(t *testing.T, c *client.Client, hc *container.HostConfig, args ...string) string {
	t.Helper()
	cc := &container.Config{Image: "probe", Cmd: args}
	if hc.PortBindings != nil {
		cc.ExposedPorts = nat.PortSet{}
		for p := range hc.PortBindings {
			cc.ExposedPorts[p] = struct{}{}
		}
	}
	r, err := c.ContainerCreate(t.Context(), cc, hc, nil, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ContainerStart(t.Context(), r.ID, container.StartOptions{}); err != nil {
		t.Fatal(err)
	}
	return r.ID
}

// output runs the probe in a container, removes it and returns what it wrote.
func output(t *testing.T, c *client.Client, hc *container.HostConfig, args ...string) string {
	t.Helper()
	id := startProbe(t, c, hc, args...)
	wait, errs := c.ContainerWait(t.Context(), id, container.WaitConditionNotRunning)
	select {
	case <-wait:
	case err := <-errs:
		t.Fatal(err)
	}
	r, err := c.ContainerLogs(t.Context(), id, container.LogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, r); err != nil {
		t.Fatal(err)
	}
	removeContainer(t, c, id)
	return strings.TrimSpace(out.String())
}

func removeContainer(t *testing.T, c *client.Client, id string) {
	t.Helper()
	if err := c.ContainerRemove(t.Context(), id, container.RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
}

// get fetches a URL from inside a network namespace.
func get(t *testing.T, netns, url string) (string, error) {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true}
	tr.DialContext = func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		return Dial(ctx, netns, network, addr)
	}
	c := &http.Client{Transport: tr, Timeout: 5 * time.Second}
	r, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return string(b), err
}

// eventually calls f until it returns "" and fails with what it last returned.
func eventually(t *testing.T, f func() string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		why := f()
		if why == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(why)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// hostNetns returns the network namespace of the machine itself, wherever this
// test runs: the one of the oldest ancestor that may be asked.
func hostNetns(t *testing.T) string {
	t.Helper()
	for _, pid := range slices.Backward(ancestors(os.Getpid())) {
		path := fmt.Sprintf("/proc/%d/ns/net", pid)
		if f, err := os.Open(path); err == nil {
			f.Close()
			return path
		}
	}
	t.Fatal("no process above this one shows its network namespace")
	return ""
}

// hostRules returns the iptables rules of the machine itself.
func hostRules(t *testing.T) []string {
	t.Helper()
	var rules []string
	err := InNetns(hostNetns(t), func() error {
		for _, tool := range []string{"iptables-save", "ip6tables-save"} {
			path, err := lookTool(tool)
			if err != nil {
				return err
			}
			out, err := exec.Command(path).Output()
			if err != nil {
				return err
			}
			rules = append(rules, parseRules(tool, out)...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func hostFiles(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, dir := range []string{"/etc/docker", "/var/lib/docker", "/var/lib/containerd", "/opt/containerd", "/run/docker", "/run/containerd"} {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		out[dir] = nil
		for _, e := range entries {
			out[dir] = append(out[dir], e.Name())
		}
	}
	return out
}

// remains returns what is left of the engine at dir, whatever its state file
// says.
func remains(dir string) []string {
	name := "berth-" + filepath.Base(dir)
	var out []string
	if _, err := os.Lstat(dir); err == nil {
		out = append(out, dir)
	}
	for _, ns := range []string{name, name + "-out"} {
		if _, err := os.Lstat(filepath.Join(netnsDir, ns)); err == nil {
			out = append(out, "netns "+ns)
		}
	}
	points, err := mountsBelow(dir)
	if err != nil {
		out = append(out, err.Error())
	}
	out = append(out, points...)
	out = append(out, cgroupDirs(name)...)
	for _, pid := range pids() {
		s, err := readStat(pid)
		if err != nil || s.state == 'Z' || pid == os.Getpid() {
			continue
		}
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if bytes.Contains(b, []byte(dir+"/")) || bytes.Contains(env, []byte(markVar+"="+dir+"\x00")) {
			out = append(out, fmt.Sprintf("process %d %s", pid, s.comm))
		}
	}
	return out
}

func TestEngine(t *testing.T) {
	base := newBase(t)
	rules, files := hostRules(t), hostFiles(t)
	d := startEngine(t, Options{Base: base})
	e := d.Endpoint()
	c := newClient(t, e.Host)
	ctx := t.Context()

	if left := remains(e.Dir); len(left) < 5 {
		t.Fatalf("the test that nothing remains finds only %q while the engine runs", left)
	}
	info, err := c.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("docker %s, %s, cgroup v%s %s, containerd %s", info.ServerVersion, info.Driver, info.CgroupVersion, info.CgroupDriver, info.ContainerdCommit.ID)
	if want := filepath.Join(e.Dir, "data"); info.DockerRootDir != want {
		t.Errorf("data root %s, want %s", info.DockerRootDir, want)
	}
	importProbe(t, c)
	before, err := d.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("tls", func(t *testing.T) {
		ping := func(withCert bool) error {
			opts := []client.Opt{client.WithHost(e.TLSHost), client.WithAPIVersionNegotiation()}
			pem := func(name string) string { return filepath.Join(e.CertPath, name) }
			if withCert {
				opts = append(opts, client.WithTLSClientConfig(pem("ca.pem"), pem("cert.pem"), pem("key.pem")))
			} else {
				tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
				opts = append(opts, client.WithHTTPClient(&http.Client{Transport: tr}), client.WithScheme("https"))
			}
			opts = append(opts, client.WithDialContext(func(ctx context.Context, network, addr string) (net.Conn, error) {
				return Dial(ctx, e.Netns, network, addr)
			}))
			api, err := client.NewClientWithOpts(opts...)
			if err != nil {
				return err
			}
			defer api.Close()
			_, err = api.Ping(ctx)
			return err
		}
		if err := ping(true); err != nil {
			t.Errorf("with the client's certificate: %v", err)
		}
		if err := ping(false); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("without a certificate: %v, want the engine to ask for one", err)
		}
	})

	t.Run("reaches only the outside peer", func(t *testing.T) {
		if got := output(t, c, &container.HostConfig{}, "get", "http://"+e.Outside); got != e.OutsideBody {
			t.Errorf("a container got %q from the outside, want %q", got, e.OutsideBody)
		}
		if got := output(t, c, &container.HostConfig{}, "get", "http://"+MetadataAddress); got != e.OutsideBody {
			t.Errorf("a container got %q from the metadata address, want %q", got, e.OutsideBody)
		}
		if got, want := output(t, c, &container.HostConfig{}, "lookup", OutsideName), "["+e.Outside+"]"; got != want {
			t.Errorf("a container resolved %s to %q, want %q", OutsideName, got, want)
		}
		if got := output(t, c, &container.HostConfig{}, "get", "http://192.0.2.1"); !strings.Contains(got, "unreachable") {
			t.Errorf("a container got %q from an address that nobody has, want unreachable", got)
		}
		if got := output(t, c, &container.HostConfig{NetworkMode: "none"}, "get", "http://"+e.Outside); !strings.Contains(got, "unreachable") {
			t.Errorf("a container without network got %q", got)
		}
	})

	t.Run("published port", func(t *testing.T) {
		port := nat.Port("80/tcp")
		id := startProbe(t, c, &container.HostConfig{PortBindings: nat.PortMap{port: {{HostIP: "127.0.0.1"}}}}, "serve", ":80", "it is me")
		in, err := c.ContainerInspect(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		addr := netip.MustParseAddrPort("127.0.0.1:" + in.NetworkSettings.Ports[port][0].HostPort)
		eventually(t, func() string {
			if got, err := get(t, e.Netns, "http://"+addr.String()); got != "it is me" {
				return fmt.Sprintf("in the engine's namespace: %q, %v", got, err)
			}
			return ""
		})
		if got, err := get(t, hostNetns(t), "http://"+addr.String()); err == nil {
			t.Errorf("on the machine itself the port answers %q", got)
		}
		removeContainer(t, c, id)
	})

	t.Run("snapshot sees everything", func(t *testing.T) {
		n, err := c.NetworkCreate(ctx, "net-1", network.CreateOptions{Driver: "bridge"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.VolumeCreate(ctx, volume.CreateOptions{Name: "vol-1"}); err != nil {
			t.Fatal(err)
		}
		hc := &container.HostConfig{NetworkMode: "net-1", PortBindings: nat.PortMap{"80/tcp": {{HostIP: "127.0.0.1"}}}}
		id := startProbe(t, c, hc, "serve", ":80", "x")
		after, err := d.Snapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		diff := strings.Join(Diff(before, after), "\n")
		for _, want := range []string{
			"left: container", "left: network net-1", "left: volume vol-1", "left: netns", "left: mount data/overlay2/",
			"left: link br-", "left: link veth", "left: rule iptables nat -A DOCKER", "left: cgroup " + id,
			"docker-proxy", "/probe serve", "-address " + e.Dir + "/containerd.sock", // not the machine's own containerd
		} {
			if !strings.Contains(diff, want) {
				t.Errorf("the difference lacks %q:\n%s", want, diff)
			}
		}
		removeContainer(t, c, id)
		if err := errors.Join(c.NetworkRemove(ctx, n.ID), c.VolumeRemove(ctx, "vol-1", false)); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("nothing is left of the containers", func(t *testing.T) {
		eventually(t, func() string {
			after, err := d.Snapshot(ctx)
			if err != nil {
				return err.Error()
			}
			return strings.Join(Diff(before, after), "\n")
		})
	})

	t.Run("control", func(t *testing.T) {
		cl := &Client{e}
		answers := func() bool { _, err := c.Ping(ctx); return err == nil }
		id := startProbe(t, c, &container.HostConfig{}, "serve", ":80", "x")
		running := func() bool {
			in, err := c.ContainerInspect(ctx, id)
			return err == nil && in.State.Running
		}
		for _, step := range []struct {
			name             string
			do               func(context.Context) error
			answers, running bool
		}{
			{"start what runs", cl.Start, true, true},
			{"kill", cl.Kill, false, false},
			{"start after kill", cl.Start, true, false},
			{"stop", cl.Stop, false, false},
			{"stop again", cl.Stop, false, false},
			{"start", cl.Start, true, false},
			{"restart", cl.Restart, true, false},
		} {
			if err := step.do(ctx); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			if answers() != step.answers || running() != step.running {
				t.Fatalf("after %s: answers %v, container runs %v; want %v, %v", step.name, answers(), running(), step.answers, step.running)
			}
		}
		if s, err := cl.Snapshot(ctx); err != nil || len(s.Containers) != 1 {
			t.Errorf("snapshot: %+v, %v, want one container", s, err)
		}
		for _, line := range []string{"start podman", "what docker", ""} {
			if _, err := d.control.handle(ctx, d, line); err == nil {
				t.Errorf("request %q was taken", line)
			}
		}
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if err := cl.Start(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled request: %v", err)
		}
	})

	t.Run("stop removes everything", func(t *testing.T) {
		// The worst case: containers that come back, and that ignore SIGTERM.
		for range 2 {
			startProbe(t, c, &container.HostConfig{RestartPolicy: container.RestartPolicy{Name: "always"}}, "serve", ":80", "x")
		}
		if err := d.Stop(); err != nil {
			t.Fatal(err)
		}
		if left := remains(e.Dir); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
		if diff := cmp.Diff(rules, hostRules(t)); diff != "" {
			t.Errorf("the machine's own rules changed: %s", diff)
		}
		if diff := cmp.Diff(files, hostFiles(t)); diff != "" {
			t.Errorf("files of a system-wide engine changed: %s", diff)
		}
		if err := d.Stop(); err != nil {
			t.Errorf("a second Stop: %v", err)
		}
		if err := d.Resume(ctx); err == nil {
			t.Error("Resume after Stop started something")
		}
	})
}

func TestEnginesSideBySide(t *testing.T) {
	base := newBase(t)
	one := startEngine(t, Options{Base: base, Name: "one"})
	two := startEngine(t, Options{Base: base, Name: "two"})
	if _, err := Start(t.Context(), Options{Base: base, Name: "one"}); !errors.Is(err, errOwned) {
		t.Errorf("a second engine of the same name: %v, want %v", err, errOwned)
	}
	before, err := two.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, one.Endpoint().Host)
	importProbe(t, c)
	if _, err := c.NetworkCreate(t.Context(), "net-1", network.CreateOptions{Driver: "bridge"}); err != nil {
		t.Fatal(err)
	}
	startProbe(t, c, &container.HostConfig{NetworkMode: "net-1"}, "serve", ":80", "x")
	if err := one.Stop(); err != nil {
		t.Fatal(err)
	}
	after, err := two.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := Diff(before, after); diff != nil {
		t.Errorf("what happened to one engine shows in the other: %q", diff)
	}
}

// fakeDockerd puts a script in dockerd's place.
func fakeDockerd(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	body := "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'Docker version 20.10.24, build x'; exit; fi\n" + script
	if err := os.WriteFile(filepath.Join(dir, "dockerd"), []byte(body), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestStartTellsWhyItFailed(t *testing.T) {
	base := newBase(t)
	fakeDockerd(t, "echo 'the disk is made of cheese' >&2; exit 3")
	_, err := Start(t.Context(), Options{Base: base, Name: "bad"})
	if err == nil || !strings.Contains(err.Error(), "made of cheese") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v, want the exit status and the end of the log", err)
	}
	if left := remains(filepath.Join(base, "bad")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestCancelledStartLeavesNothing(t *testing.T) {
	base := newBase(t)
	fakeDockerd(t, "trap '' TERM; echo started >&2; while :; do sleep 1000; done")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := Start(ctx, Options{Base: base, Name: "slow"})
		done <- err
	}()
	eventually(t, func() string {
		if b, _ := os.ReadFile(filepath.Join(base, "slow", "dockerd.log")); string(b) != "started\n" {
			return "the daemon did not start"
		}
		return ""
	})
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	if left := remains(filepath.Join(base, "slow")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestStartRefusesForeignNetns(t *testing.T) {
	base := newBase(t)
	name := fmt.Sprintf("f%d", os.Getpid())
	if err := ip(t.Context(), "netns", "add", "berth-"+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ip(context.Background(), "netns", "del", "berth-"+name) })
	if d, err := Start(t.Context(), Options{Base: base, Name: name}); err == nil {
		t.Fatalf("Start took a namespace that is not its own; stop: %v", d.Stop())
	}
	if _, err := os.Lstat(filepath.Join(netnsDir, "berth-"+name)); err != nil {
		t.Errorf("the foreign namespace: %v", err)
	}
	if left := remains(filepath.Join(base, name)); !slices.Equal(left, []string{"netns berth-" + name}) {
		t.Errorf("left: %q", left)
	}
}

// engines starts the command and returns it with its output.
func engines(t *testing.T, args ...string) (*exec.Cmd, *syncBuffer) {
	t.Helper()
	out := new(syncBuffer)
	cmd := exec.Command(build(t, "./cmd/engines"), args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second // an orphan holds the output of a killed run open
	// When this test runs inside `engines run`, that one's mark must stay.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "BERTH_TEST_") })
	return cmd, out
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func exitCode(err error) int {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

func TestRunPassesOn(t *testing.T) {
	base := newBase(t)
	for name, tc := range map[string]struct {
		args []string
		code int
		out  string
	}{
		"exit code":       {[]string{"--", "sh", "-c", "exit 42"}, 42, ""},
		"signal":          {[]string{"--", "sh", "-c", "kill -KILL $$"}, 137, ""},
		"variables":       {[]string{"--", "sh", "-c", `echo "$DOCKER_HOST $BERTH_TEST_REQUIRE"; test -S "${BERTH_TEST_DOCKER_HOST#unix://}"`}, 0, "/docker.sock 1"},
		"in the netns":    {[]string{"--", "sh", "-c", "ip -o -4 addr show dev eth0"}, 0, engineLink},
		"sys is kept":     {[]string{"--", "sh", "-c", "ls -d /sys/fs/cgroup/*"}, 0, "/sys/fs/cgroup/"},
		"no such command": {[]string{"--", "no-such-command"}, 127, "no-such-command"},
		"clean":           {[]string{"--leaks", "--", "true"}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cmd, out := engines(t, append([]string{"run", "--base", base}, tc.args...)...)
			err := cmd.Run()
			if exitCode(err) != tc.code || !strings.Contains(out.String(), tc.out) {
				t.Errorf("%v, want exit code %d and output with %q; output: %s", err, tc.code, tc.out, out)
			}
			if left, _ := filepath.Glob(filepath.Join(base, "*")); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

// runWith starts `engines run` with a shell script and returns the client of
// its engine once the script has printed "ready".
func runWith(t *testing.T, base, script string, flags ...string) (*exec.Cmd, *syncBuffer, *Client) {
	t.Helper()
	args := append([]string{"run", "--base", base}, flags...)
	cmd, out := engines(t, append(args, "--", "sh", "-c", script)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	eventually(t, func() string {
		if !strings.Contains(out.String(), "ready\n") {
			return "the script did not start: " + out.String()
		}
		return ""
	})
	states, _ := filepath.Glob(filepath.Join(base, "*", "state.json"))
	if len(states) != 1 {
		t.Fatalf("engines: %q, want one", states)
	}
	c, err := Find(base, filepath.Base(filepath.Dir(states[0])))
	if err != nil {
		t.Fatal(err)
	}
	return cmd, out, c
}

func TestRunFindsLeaks(t *testing.T) {
	base := newBase(t)
	cmd, out, c := runWith(t, base, "echo ready; while [ ! -e "+base+"/go ]; do sleep 0.05; done", "--leaks")
	if _, err := newClient(t, c.Host).NetworkCreate(t.Context(), "forgotten", network.CreateOptions{Driver: "bridge"}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(base, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); exitCode(err) != 3 || !strings.Contains(out.String(), "left: network forgotten") {
		t.Errorf("%v, want exit code 3 and the network's name; output: %s", err, out)
	}
	if left := remains(c.Dir); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestInterruptedRunCleansUp(t *testing.T) {
	for name, sig := range map[string]syscall.Signal{"SIGINT": syscall.SIGINT, "SIGTERM": syscall.SIGTERM, "SIGHUP": syscall.SIGHUP} {
		t.Run(name, func(t *testing.T) {
			base := newBase(t)
			// The script leaves a process that wants to survive.
			cmd, out, c := runWith(t, base, "setsid sleep 1000 & trap 'exit 9' INT TERM HUP; echo ready; while :; do sleep 0.05; done")
			importProbe(t, newClient(t, c.Host))
			startProbe(t, newClient(t, c.Host), &container.HostConfig{}, "serve", ":80", "x")
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); exitCode(err) != 9 {
				t.Errorf("%v, want the command's own exit code 9; output: %s", err, out)
			}
			if left := remains(c.Dir); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

func TestInterruptDuringStart(t *testing.T) {
	base := newBase(t)
	fakeDockerd(t, "trap '' TERM; echo started >&2; while :; do sleep 1000; done")
	cmd, out := engines(t, "run", "--base", base, "--", "true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	eventually(t, func() string {
		if logs, _ := filepath.Glob(filepath.Join(base, "*", "dockerd.log")); len(logs) == 0 {
			return "the daemon did not start: " + out.String()
		}
		return ""
	})
	dirs, _ := filepath.Glob(filepath.Join(base, "*"))
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); exitCode(err) != 130 {
		t.Errorf("%v, want exit code 130; output: %s", err, out)
	}
	for _, dir := range dirs {
		if left := remains(dir); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	}
}

func TestNextStartCleansUpAfterKill(t *testing.T) {
	base := newBase(t)
	cmd, _, c := runWith(t, base, "setsid sleep 1000 & echo ready; sleep 1000")
	importProbe(t, newClient(t, c.Host))
	startProbe(t, newClient(t, c.Host), &container.HostConfig{RestartPolicy: container.RestartPolicy{Name: "always"}}, "serve", ":80", "x")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if left := remains(c.Dir); len(left) < 5 {
		t.Fatalf("a killed run leaves only %q: this test shows nothing", left)
	}
	next := startEngine(t, Options{Base: base})
	if left := remains(c.Dir); len(left) > 0 {
		t.Errorf("left by the killed run: %q", left)
	}
	if _, err := newClient(t, next.Endpoint().Host).Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestUpAndDown(t *testing.T) {
	base := newBase(t)
	name := fmt.Sprintf("u%d", os.Getpid())
	do := func(code int, args ...string) string {
		t.Helper()
		cmd, out := engines(t, args...)
		if err := cmd.Run(); exitCode(err) != code {
			t.Fatalf("engines %q: %v, want exit code %d; output: %s", args, err, code, out)
		}
		return out.String()
	}
	flags := []string{"--base", base, "--name", name}
	with := func(verb string, more ...string) []string {
		return append(append([]string{verb}, flags...), more...)
	}
	if out := do(125, with("env")...); !strings.Contains(out, "make engines") {
		t.Errorf("env without an engine: %q", out)
	}
	first := do(0, with("up")...)
	if again := do(0, with("up")...); !strings.Contains(again, first) {
		t.Errorf("a second up: %q, want the engine that is up: %q", again, first)
	}
	if env := do(0, with("env")...); env != first {
		t.Errorf("env: %q, want %q", env, first)
	}
	if out := do(0, with("enter", "--", "sh", "-c", "ip -o -4 addr show dev eth0; echo $DOCKER_HOST")...); !strings.Contains(out, engineLink) || !strings.Contains(out, "unix://"+base) {
		t.Errorf("enter: %q", out)
	}
	if out := do(0, with("snapshot")...); !strings.Contains(out, `"networks"`) {
		t.Errorf("snapshot: %q", out)
	}
	do(0, with("down")...)
	if left := remains(filepath.Join(base, name)); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	do(0, with("down")...)

	// A supervisor that was killed.
	do(0, with("up")...)
	var supervisor int
	for _, pid := range pids() {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if strings.Contains(string(b), "supervise\x00--base\x00"+base+"\x00") {
			supervisor = pid
		}
	}
	if supervisor == 0 {
		t.Fatal("no supervisor")
	}
	if err := syscall.Kill(supervisor, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	do(0, with("down")...)
	if left := remains(filepath.Join(base, name)); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"help"}, {"what"}, {"run"}, {"env", "--", "x"}, {"run", "--no-such-flag", "--", "true"}} {
		cmd, out := engines(t, args...)
		if err := cmd.Run(); exitCode(err) != 2 || !strings.Contains(out.String(), "engines run") {
			t.Errorf("engines %q: %v, want exit code 2 and the usage; output: %s", args, err, out)
		}
	}
}
