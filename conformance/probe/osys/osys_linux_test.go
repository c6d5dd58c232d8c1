// SPDX-License-Identifier: Apache-2.0

package osys_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"

	"github.com/berthrun/berth/conformance/probe"
)

// program is the probe, built once. These tests need root, for they make namespaces and change users.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "berth-probe-test-")
	if err == nil {
		err = os.Chmod(dir, 0o755) // other users run the program too
	}
	program = filepath.Join(dir, "probe")
	if err == nil {
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", program, "github.com/berthrun/berth/cmd/berth-probe")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		cmd.Stderr = os.Stderr
		err = cmd.Run()
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot build the probe:", err)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// command prepares a call of the probe, which the test's end kills.
func command(t *testing.T, commands ...[]string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program, probe.Line(commands...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	return cmd
}

// under puts other programs before the probe, such as unshare.
func under(cmd *exec.Cmd, t *testing.T, words ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(words[0])
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args = append(words, cmd.Args...)
	cmd.Path = path
	return cmd
}

// output runs a probe that is to end with a code, and decodes what it prints.
func output(t *testing.T, cmd *exec.Cmd, code int) []probe.Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Fatalf("%q: %v, want code %d; stderr: %s", cmd.Args, cmd.ProcessState, code, &stderr)
	}
	results, err := probe.Decode(stdout.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func value[T any](t *testing.T, r probe.Result) T {
	t.Helper()
	v, err := probe.Value[T](r)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// errnos collects what the operations came to.
func errnos(results []probe.Result) string {
	var all []string
	for _, r := range results {
		all = append(all, fmt.Sprintf("%s=%s", r.Command, r.Errno))
	}
	return strings.Join(all, " ")
}

func TestIDOfAnyUser(t *testing.T) {
	dir := t.TempDir()
	cmd := command(t, []string{"id"}, []string{"env"}, []string{"env", "HOME", "NONE"}, []string{"status"})
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 600000000, Gid: 501, Groups: []uint32{77, 501, 33}}
	cmd.Dir, cmd.Env = "/", []string{"HOME=/h", "USER=u", "ODD=a=b", "HOME=/twice"}
	got := output(t, cmd, 0)
	id := value[probe.ID](t, got[0])
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	want := probe.ID{
		UID: 600000000, EUID: 600000000, GID: 501, EGID: 501, Groups: []int{33, 77, 501}, HomeEnv: "/twice", UserEnv: "u",
		Cwd: "/", Hostname: hostname, PID: cmd.Process.Pid, PPID: os.Getpid(), Umask: id.Umask,
	}
	if diff := cmp.Diff(want, id); diff != "" {
		t.Errorf("id (-want +got):\n%s", diff)
	}
	// exec.Cmd drops the first of two equal variables.
	if diff := cmp.Diff([]string{"USER=u", "ODD=a=b", "HOME=/twice"}, value[probe.Env](t, got[1]).Vars); diff != "" {
		t.Errorf("env (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(probe.Env{Vars: []string{"HOME=/twice"}, Missing: []string{"NONE"}}, value[probe.Env](t, got[2])); diff != "" {
		t.Errorf("env HOME NONE (-want +got):\n%s", diff)
	}
	status := value[probe.Status](t, got[3])
	if len(status.CapEffective) != 0 || len(status.CapBounding) == 0 || status.NoNewPrivs || !slices.Equal(status.Groups, want.Groups) {
		t.Errorf("status %+v", status)
	}

	cmd = under(command(t, []string{"id"}, []string{"status"}), t, "sh", "-c", "umask 027; cd \"$0\"; exec \"$@\"", dir)
	cmd.Args = append(cmd.Args[:4], append([]string{program}, cmd.Args[5:]...)...)
	got = output(t, cmd, 0)
	id = value[probe.ID](t, got[0])
	if id.User != "root" || id.Group != "root" || id.PasswdHome != "/root" || id.Umask != 0o27 || id.Cwd != dir {
		t.Errorf("id of root: %+v", id)
	}
}

func TestStatusUnderRestrictions(t *testing.T) {
	cmd := under(command(t, []string{"status"}), t, "setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all,+chown,+kill", "--")
	got := value[probe.Status](t, output(t, cmd, 0)[0])
	want := probe.Status{
		CapInheritable: []string{}, CapAmbient: []string{}, CapBounding: []string{"CAP_CHOWN", "CAP_KILL"},
		CapPermitted: []string{"CAP_CHOWN", "CAP_KILL"}, CapEffective: []string{"CAP_CHOWN", "CAP_KILL"},
		NoNewPrivs: true, Seccomp: got.Seccomp, Threads: got.Threads, Groups: got.Groups,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.Threads < 1 {
		t.Errorf("%d threads", got.Threads)
	}
}

// TestStartLimit shows that the limit on open files is the one the process was started with, not what the Go
// runtime makes of it.
func TestStartLimit(t *testing.T) {
	got := output(t, under(command(t, []string{"limits"}, []string{"nofile", "1000"}), t, "prlimit", "--nofile=333:1000", "--core=0", "--"), 0)
	limits := map[string]probe.Limit{}
	for _, limit := range value[probe.Limits](t, got[0]).Limits {
		limits[limit.Name] = limit
	}
	if l := limits["nofile"]; l.Soft != 333 || l.Hard != 1000 {
		t.Errorf("nofile %+v, want 333 and 1000", l)
	}
	if l := limits["core"]; l.Soft != 0 || l.Hard != 0 {
		t.Errorf("core %+v, want 0 and 0", l)
	}
	if l := limits["rttime"]; l.Soft != probe.Unlimited {
		t.Errorf("rttime %+v, want none", l)
	}
	files := value[probe.Files](t, got[1])
	if got[1].Errno != "EMFILE" || files.Opened+files.Before != 333 {
		t.Errorf("nofile: %q, %+v; want EMFILE at 333 together", got[1].Errno, files)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	cmd := command(t,
		[]string{"mkdir", at("d"), "1750"}, []string{"write", at("d/f"), "hello", "640"}, []string{"append", at("d/f"), " you"},
		[]string{"read", at("d/f")}, []string{"read", at("d/f"), "5"}, []string{"chown", at("d/f"), "1000", "-1"},
		[]string{"chmod", at("d/f"), "4711"}, []string{"stat", at("d/f")}, []string{"stat", at("d")},
		[]string{"link", at("d/f"), at("d/g")}, []string{"symlink", "f", at("d/l")}, []string{"stat", at("d/l")},
		[]string{"mknod", at("d/p"), "p", "0", "0"}, []string{"stat", at("d/p")}, []string{"mknod", at("d/c"), "c", "1", "3"},
		[]string{"stat", at("d/c")}, []string{"rename", at("d/g"), at("d/h")}, []string{"list", at("d")}, []string{"touch", at("d/new")},
		[]string{"remove", at("d")}, []string{"remove", at("d/h")}, []string{"stat", at("d/h")}, []string{"mkdir", at("d")},
		[]string{"read", at("d")}, []string{"read", at("d/p")}, []string{"write", at("d/p"), "x"}, []string{"write", at("none/f"), "x"},
	)
	cmd.Args = append([]string{"sh", "-c", "umask 0; exec \"$0\" \"$@\"", program}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	got := output(t, cmd, 0)
	const want = "mkdir= write= append= read= read= chown= chmod= stat= stat= link= symlink= stat= mknod= stat= mknod= stat= rename= list= touch= " +
		"remove=ENOTEMPTY remove= stat=ENOENT mkdir=EEXIST read=EISDIR read= write=ENXIO write=ENOENT"
	if errnos(got) != want {
		t.Errorf("errnos\n%s\nwant\n%s", errnos(got), want)
	}
	if c := value[probe.Content](t, got[3]); string(c.Data) != "hello you" || c.Truncated {
		t.Errorf("read: %+v", c)
	}
	if c := value[probe.Content](t, got[4]); string(c.Data) != "hello" || !c.Truncated {
		t.Errorf("read 5: %+v", c)
	}
	info, err := os.Stat(at("d/f"))
	if err != nil {
		t.Fatal(err)
	}
	native := info.Sys().(*syscall.Stat_t)
	wantStat := probe.Stat{
		Type: probe.TypeFile, Mode: 0o4711, UID: 1000, GID: 0, Size: 9, Links: 1, Dev: native.Dev, Ino: native.Ino, MTime: info.ModTime().UTC(),
	}
	if diff := cmp.Diff(wantStat, value[probe.Stat](t, got[7])); diff != "" {
		t.Errorf("stat (-want +got):\n%s", diff)
	}
	for i, want := range map[int]probe.Stat{
		8:  {Type: probe.TypeDir, Mode: 0o1750},
		11: {Type: probe.TypeSymlink, Mode: 0o777, Target: "f"},
		13: {Type: probe.TypeFIFO, Mode: 0o666},
		15: {Type: probe.TypeChar, Mode: 0o666, Rdev: 0x103},
	} {
		s := value[probe.Stat](t, got[i])
		if s.Type != want.Type || s.Mode != want.Mode || s.Target != want.Target || s.Rdev != want.Rdev {
			t.Errorf("%v: %+v, want %+v", got[i].Args, s, want)
		}
	}
	if diff := cmp.Diff(probe.Names{Names: []string{"c", "f", "h", "l", "p"}}, value[probe.Names](t, got[17])); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

func TestMountsInNamespace(t *testing.T) {
	dir := t.TempDir()
	ro, tmp := filepath.Join(dir, "ro"), filepath.Join(dir, "tmp")
	script := `set -e
mkdir "$1" "$2"; mount --bind "$1" "$1"; mount -o remount,bind,ro,nosuid "$1"; mount -t tmpfs -o size=1m,noexec,nosuid,nodev,mode=1777 none "$2"
probe=$3; shift 3; exec "$probe" "$@"`
	cmd := command(t,
		[]string{"write", ro + "/f", "x"}, []string{"mkdir", ro + "/d"}, []string{"touch", ro + "/f"}, []string{"statfs", ro},
		[]string{"mountinfo", ro}, []string{"remount", ro}, []string{"write", ro + "/f", "x"},
		[]string{"fill", tmp + "/full", "4Mi"}, []string{"remove", tmp + "/full"}, []string{"statfs", tmp},
		[]string{"mount", tmp}, []string{"mountinfo", tmp}, []string{"mount", ro + "/none"},
	)
	cmd.Args = append([]string{"unshare", "-m", "sh", "-c", script, "sh", ro, tmp, program}, cmd.Args[1:]...)
	path, err := exec.LookPath("unshare")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Path = path
	got := output(t, cmd, 0)
	const want = "write=EROFS mkdir=EROFS touch=EROFS statfs= mountinfo= remount= write=EROFS fill=ENOSPC remove= statfs= mount= mountinfo= mount=ENOENT"
	if errnos(got) != want {
		t.Errorf("errnos\n%s\nwant\n%s", errnos(got), want)
	}
	if s := value[probe.Statfs](t, got[3]); !s.ReadOnly || !s.NoSUID || s.NoExec {
		t.Errorf("statfs of the read-only mount: %+v", s)
	}
	if m := value[probe.Mounts](t, got[4]).Mounts; len(m) != 1 || m[0].Target != ro || !m[0].ReadOnly {
		t.Errorf("mountinfo of the read-only mount: %+v", m)
	}
	if w := value[probe.Written](t, got[7]); w.Bytes != 1<<20 {
		t.Errorf("fill wrote %d bytes, want %d", w.Bytes, 1<<20)
	}
	wantTmp := probe.Statfs{Type: "tmpfs", Size: 1 << 20, Free: 1 << 20, NoExec: true, NoSUID: true, NoDev: true}
	if diff := cmp.Diff(wantTmp, value[probe.Statfs](t, got[9])); diff != "" {
		t.Errorf("statfs of the tmpfs (-want +got):\n%s", diff)
	}
	if m := value[probe.Mounts](t, got[11]).Mounts; len(m) != 1 {
		t.Errorf("after the attempt to mount: %+v, want one", m)
	}

	cmd = command(t, []string{"mount", "/tmp"}, []string{"remount", "/proc"}, []string{"mknod", "/tmp/berth-probe-none", "c", "1", "3"})
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 1000, Gid: 1000}
	if got := errnos(output(t, cmd, 0)); got != "mount=EPERM remount=EPERM mknod=EPERM" {
		t.Errorf("as a user: %s", got)
	}
}

func TestExecAndSetuid(t *testing.T) {
	// Beside the program, for there other users can go.
	dir := filepath.Join(filepath.Dir(program), t.Name())
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	copied, broken, plain := filepath.Join(dir, "copy"), filepath.Join(dir, "broken"), filepath.Join(dir, "plain")
	got := output(t, command(t,
		[]string{"mkexec", copied}, []string{"write", broken, "\x01not a program", "755"}, []string{"write", plain, "x", "644"},
		[]string{"exec", copied, "args", "a b"}, []string{"exec", copied, "exit", "7"}, []string{"exec", copied, "kill-self", "KILL"},
		[]string{"exec", copied, "out", "300Ki"}, []string{"exec", broken}, []string{"exec", plain}, []string{"exec", copied + "-none"},
		[]string{"suid", copied}, []string{"chmod", copied, "4755"}, []string{"stat", copied},
	), 0)
	const want = "mkexec= write= write= exec= exec= exec= exec= exec=ENOEXEC exec=EACCES exec=ENOENT suid= chmod= stat="
	if errnos(got) != want {
		t.Fatalf("errnos\n%s\nwant\n%s", errnos(got), want)
	}
	if inner, err := probe.Decode(value[probe.Exec](t, got[3]).Stdout); err != nil || !slices.Equal(value[probe.Args](t, inner[0]).Args, []string{"a b"}) {
		t.Errorf("exec args: %+v, %v", inner, err)
	}
	if e := value[probe.Exec](t, got[4]); e.Code != 7 || e.Signal != "" {
		t.Errorf("exec exit 7: %+v", e)
	}
	if e := value[probe.Exec](t, got[5]); e.Code != -1 || e.Signal != "KILL" {
		t.Errorf("exec kill-self: %+v", e)
	}
	if e := value[probe.Exec](t, got[6]); len(e.Stdout) != 256<<10 || !e.Truncated {
		t.Errorf("exec out: %d bytes, truncated %t", len(e.Stdout), e.Truncated)
	}
	if stat := value[probe.Stat](t, got[12]); stat.Mode != 0o4755 {
		t.Errorf("mode %o", stat.Mode)
	}

	for _, test := range []struct {
		before []string
		euid   int
	}{
		{nil, 0},
		{[]string{"setpriv", "--no-new-privs", "--"}, 1000},
	} {
		cmd := command(t, []string{"suid", copied})
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 1000, Gid: 1000}
		if test.before != nil {
			cmd = under(cmd, t, test.before...)
		}
		got := value[probe.Suid](t, output(t, cmd, 0)[0])
		if got.UID != 1000 || got.EUID != test.euid || (len(got.CapEffective) > 0) != (test.euid == 0) {
			t.Errorf("under %q: %+v, want euid %d", test.before, got, test.euid)
		}
	}
}

func TestLoads(t *testing.T) {
	cmd := command(t,
		[]string{"memory", "8Mi"}, []string{"memory-self", "8Mi"}, []string{"memory", "0"}, []string{"pids", "20"}, []string{"cpu", "50ms"},
		[]string{"nofile", "10"}, []string{"ps"},
	)
	got := output(t, cmd, 0)
	for i, want := range []any{
		&probe.Memory{Requested: 8 << 20, Touched: 8 << 20}, &probe.Memory{Requested: 8 << 20, Touched: 8 << 20}, &probe.Memory{},
	} {
		if diff := cmp.Diff(want, got[i].Value); diff != "" {
			t.Errorf("%v (-want +got):\n%s", got[i].Args, diff)
		}
	}
	if p := value[probe.Pids](t, got[3]); p.Started != 20 || p.Before < 1 {
		t.Errorf("pids: %+v", p)
	}
	if c := value[probe.CPU](t, got[4]); c.Wall < 50*time.Millisecond || c.Used <= 0 {
		t.Errorf("cpu: %+v", c)
	}
	if f := value[probe.Files](t, got[5]); f.Opened != 10 {
		t.Errorf("nofile: %+v", f)
	}
	for _, p := range value[probe.Processes](t, got[6]).Processes {
		if p.PPID == cmd.Process.Pid {
			t.Errorf("child left behind: %+v", p)
		}
	}

	// A process limit is met exactly: a user of our own, so that nobody else's processes count.
	cmd = under(command(t, []string{"pids", "100"}), t, "prlimit", "--nproc=50", "--")
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 54321, Gid: 54321}
	got = output(t, cmd, 0)
	if p := value[probe.Pids](t, got[0]); got[0].Errno != "EAGAIN" || p.Started+p.Before != 50 {
		t.Errorf("pids under a limit of 50: %q, %+v", got[0].Errno, p)
	}
}

func inPIDNamespace(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	return under(cmd, t, "unshare", "-fpm", "--mount-proc", "--kill-child")
}

func TestPIDNamespace(t *testing.T) {
	got := output(t, inPIDNamespace(t, command(t,
		[]string{"ps"}, []string{"orphan", "3", "1ms"}, []string{"sleep", "300ms"}, []string{"zombies"}, []string{"kill", "4000000", "TERM"},
	)), 0)
	if diff := cmp.Diff([]probe.ProcessEntry{{PID: 1, PPID: 0, State: "S", Name: "probe"}}, value[probe.Processes](t, got[0]).Processes,
		cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".State" }, cmp.Ignore())); diff != "" {
		t.Errorf("ps (-want +got):\n%s", diff)
	}
	if o := value[probe.Orphans](t, got[1]); o.Made != 3 {
		t.Errorf("orphan: %+v", o)
	}
	// The probe as PID 1 reaps nobody else's children, so they stay.
	if z := value[probe.Zombies](t, got[3]); z.Count != 3 {
		t.Errorf("zombies: %+v, want 3", z)
	}
	if got[4].Errno != "ESRCH" {
		t.Errorf("kill of nobody: %q", got[4].Errno)
	}
	output(t, inPIDNamespace(t, command(t, []string{"kill-self", "TERM"})), 143)
	output(t, inPIDNamespace(t, command(t, []string{"kill-self", "KILL"})), 137)
}

// running is a probe that does not end by itself.
type running struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *probe.Reader
}

func start(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &running{t, cmd, probe.NewReader(stdout)}
}

func (r *running) next() []probe.Result {
	r.t.Helper()
	results, err := r.lines.Next()
	if err != nil {
		r.t.Fatal(err)
	}
	return results
}

func (r *running) ends(code int) {
	r.t.Helper()
	if _, err := r.lines.Next(); !errors.Is(err, io.EOF) {
		r.t.Errorf("more output: %v", err)
	}
	_ = r.cmd.Wait()
	if got := r.cmd.ProcessState.ExitCode(); got != code {
		r.t.Errorf("%q: %v, want code %d", r.cmd.Args, r.cmd.ProcessState, code)
	}
}

func TestSignalsAsPID1(t *testing.T) {
	for _, test := range []struct {
		name   string
		line   [][]string
		signal syscall.Signal
		after  bool // whether a result follows the signal
		code   int
	}{
		{"hold", [][]string{{"hold"}}, syscall.SIGTERM, false, 143},
		{"listen", [][]string{{"listen", "tcp", "127.0.0.1:0"}}, syscall.SIGTERM, false, 143},
		{"sleep", [][]string{{"args"}, {"sleep", "1h"}}, syscall.SIGINT, false, 130},
		{"cpu", [][]string{{"args"}, {"cpu", "1h"}}, syscall.SIGTERM, false, 143},
		{"trap", [][]string{{"trap", "TERM", "7"}}, syscall.SIGTERM, true, 7},
		{"trap a real-time signal", [][]string{{"trap", "RTMIN+3", "8"}}, syscall.Signal(37), true, 8},
	} {
		for _, pid1 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, pid1=%t", test.name, pid1), func(t *testing.T) {
				cmd := command(t, test.line...)
				if pid1 {
					// clone, not unshare: the child is then the probe itself and gets the signal.
					cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
				}
				r := start(t, cmd)
				r.next()
				if err := cmd.Process.Signal(test.signal); err != nil {
					t.Fatal(err)
				}
				if test.after {
					if s := value[probe.Signal](t, r.next()[0]); !s.Received {
						t.Errorf("%+v, want received", s)
					}
				}
				r.ends(test.code)
			})
		}
	}
	t.Run("ignore", func(t *testing.T) {
		cmd := command(t, []string{"ignore", "TERM"})
		r := start(t, cmd)
		r.next()
		for range 2 {
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if s := value[probe.Signal](t, r.next()[0]); s != (probe.Signal{Signal: "TERM", Received: true}) {
				t.Errorf("%+v", s)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		r.ends(-1)
	})
	t.Run("kill-self dies of the signal", func(t *testing.T) {
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGSEGV, syscall.SIGKILL, syscall.SIGUSR1} {
			cmd := command(t, []string{"kill-self", probe.SignalName(int(signal))})
			output(t, cmd, -1)
			if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != signal || status.CoreDump() {
				t.Errorf("%v, want %v and no core", cmd.ProcessState, signal)
			}
		}
	})
}

func TestNetwork(t *testing.T) {
	dir := t.TempDir()
	r := start(t, command(t,
		[]string{"listen", "tcp", "127.0.0.1:0", "tcp body"}, []string{"listen", "udp", "127.0.0.1:0", "udp body"},
		[]string{"listen", "unix", dir + "/s", "unix body"},
	))
	var addresses []string
	for range 3 {
		addresses = append(addresses, value[probe.Listen](t, r.next()[0]).Address)
	}
	// A listener that never answers.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	// A port that is free, as it was just given back.
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()

	got := output(t, command(t,
		[]string{"dial", "tcp", addresses[0]}, []string{"dial", "tcp", addresses[0], "2s", "data that the server does not read"},
		[]string{"dial", "udp", addresses[1]}, []string{"dial", "unix", addresses[2]},
		[]string{"dial", "tcp", silent.Addr().String(), "100ms"}, []string{"dial", "tcp", closed.Addr().String()},
		[]string{"dial", "tcp6", "127.0.0.1:1"}, []string{"listen", "tcp", addresses[0]}, []string{"resolve", "localhost"},
		[]string{"exit", "0"},
	), 0)
	const want = "dial= dial= dial= dial= dial=TIMEOUT dial=ECONNREFUSED dial=EAFNOSUPPORT listen=EADDRINUSE resolve="
	if errnos(got) != want {
		t.Errorf("errnos\n%s\nwant\n%s", errnos(got), want)
	}
	for i, body := range []string{"tcp body", "tcp body", "udp body", "unix body", ""} {
		if d := value[probe.Dial](t, got[i]); string(d.Body) != body || !d.Connected {
			t.Errorf("%v: %+v, body %q, want %q", got[i].Args, d, d.Body, body)
		}
	}
	if d := value[probe.Dial](t, got[5]); d.Connected {
		t.Errorf("closed port: %+v", d)
	}
	if a := value[probe.Addresses](t, got[8]); !slices.Contains(a.Addresses, "127.0.0.1") {
		t.Errorf("localhost is %v", a)
	}
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r.ends(143)
}

func TestNetworkNamespace(t *testing.T) {
	cmd := command(t, []string{"interfaces"}, []string{"routes"}, []string{"dial", "tcp", "192.0.2.1:80"}, []string{"resolve", "nobody.invalid"},
		[]string{"dial", "tcp", "nobody.invalid:80"})
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	got := output(t, cmd, 0)
	if errnos(got) != "interfaces= routes= dial=ENETUNREACH resolve=NOHOST dial=NOHOST" {
		t.Errorf("errnos %s", errnos(got))
	}
	for _, i := range value[probe.Interfaces](t, got[0]).Interfaces {
		if i.Up || len(i.Addresses) > 0 || i.Loopback != (i.Name == "lo") {
			t.Errorf("interface %+v in a new namespace", i)
		}
	}
	if r := value[probe.Routes](t, got[1]).Routes; len(r) != 0 {
		t.Errorf("routes %+v in a new namespace", r)
	}

	script := `set -e
ip link set lo up; ip link add dum0 address 02:00:00:00:00:05 type veth peer name dum1; ip link set dum1 up; ip addr add 10.9.8.7/24 dev dum0; ip link set dum0 up; ip route add default via 10.9.8.1 metric 5
exec "$@"`
	cmd = under(command(t, []string{"interfaces"}, []string{"routes"}), t, "unshare", "-n", "sh", "-c", script, "sh")
	got = output(t, cmd, 0)
	interfaces := value[probe.Interfaces](t, got[0]).Interfaces
	i := slices.IndexFunc(interfaces, func(i probe.Interface) bool { return i.Name == "dum0" })
	if i < 0 || !interfaces[i].Up || interfaces[i].Hardware != "02:00:00:00:00:05" || !slices.Contains(interfaces[i].Addresses, "10.9.8.7/24") {
		t.Errorf("interfaces %+v", interfaces)
	}
	want := []probe.Route{
		{Interface: "dum0", Destination: "0.0.0.0/0", Gateway: "10.9.8.1", Metric: 5}, {Interface: "dum0", Destination: "10.9.8.0/24"},
	}
	if diff := cmp.Diff(want, value[probe.Routes](t, got[1]).Routes); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}

func TestTerminal(t *testing.T) {
	cmd := command(t, []string{"tty"}, []string{"echo"})
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	terminal, err := pty.StartWithAttrs(cmd, &pty.Winsize{Rows: 30, Cols: 100}, cmd.SysProcAttr)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	r := &running{t, cmd, probe.NewReader(terminal)}
	size := probe.Terminal{TTY: true, Rows: 30, Cols: 100}
	if diff := cmp.Diff(probe.Terminals{Stdin: size, Stdout: size, Stderr: size}, value[probe.Terminals](t, r.next()[0])); diff != "" {
		t.Errorf("tty (-want +got):\n%s", diff)
	}
	expect := func(event probe.EchoEvent, text string) {
		t.Helper()
		if diff := cmp.Diff(probe.Echo{Event: event, Text: []byte(text), Terminal: size}, value[probe.Echo](t, r.next()[0])); diff != "" {
			t.Errorf("echo (-want +got):\n%s", diff)
		}
	}
	expect(probe.EchoReady, "")
	if _, err := terminal.WriteString("typed\n"); err != nil {
		t.Fatal(err)
	}
	expect(probe.EchoRead, "typed")
	size.Rows, size.Cols = 11, 22
	if err := pty.Setsize(terminal, &pty.Winsize{Rows: 11, Cols: 22}); err != nil {
		t.Fatal(err)
	}
	expect(probe.EchoResize, "")
	if _, err := terminal.Write([]byte{3}); err != nil { // Ctrl-C
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("after Ctrl-C: %v, want code 130", cmd.ProcessState)
	}
}

func TestSyscalls(t *testing.T) {
	before, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	list := func(cmd *exec.Cmd) map[string]probe.Errno {
		all := map[string]probe.Errno{}
		got := value[probe.SyscallList](t, output(t, cmd, 0)[0])
		var names []string
		for _, call := range got.Syscalls {
			all[call.Name] = call.Errno
			names = append(names, call.Name)
		}
		if diff := cmp.Diff(probe.Syscalls(), names); diff != "" {
			t.Errorf("names (-want +got):\n%s", diff)
		}
		return all
	}
	// As root, in namespaces of its own, everything that the kernel has is looked at and changes nothing.
	cmd := command(t, []string{"syscalls"})
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC
	root := list(cmd)
	for _, name := range []string{"unshare-newns", "unshare-newnet", "clone-newuser", "chroot", "socket-raw", "socket-packet", "settimeofday", "ptrace"} {
		if root[name] != probe.OK {
			t.Errorf("%s as root: %s", name, root[name])
		}
	}
	for name, want := range map[string]probe.Errno{"mount": "ENODEV", "umount2": "EINVAL", "pivot_root": "EBUSY", "reboot": "EINVAL", "sethostname": "EINVAL", "setns": "EBADF", "swapon": "ENOENT"} {
		if root[name] != want {
			t.Errorf("%s as root: %q, want %q", name, root[name], want)
		}
	}
	if after, err := os.Hostname(); err != nil || after != before {
		t.Errorf("host name is %q, was %q (%v)", after, before, err)
	}

	// Without capabilities, all that needs one is stopped.
	cmd = under(command(t, []string{"syscalls"}), t, "setpriv", "--bounding-set=-all", "--inh-caps=-all", "--")
	none := list(cmd)
	for _, name := range []string{
		"acct", "chroot", "fsopen", "mount", "move_mount", "open_by_handle_at", "open_tree", "pivot_root", "reboot", "sethostname",
		"setdomainname", "settimeofday", "socket-packet", "socket-raw", "swapoff", "swapon", "umount2", "unshare-newnet", "unshare-newns",
	} {
		if none[name] != "EPERM" {
			t.Errorf("%s without capabilities: %q, want EPERM", name, none[name])
		}
	}
}

// TestScratch runs the probe with nothing else in the file system but /proc.
func TestScratch(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{root, filepath.Join(root, "proc")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "probe"), data, 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"unshare", "-fpmn", "--kill-child", "--root=" + root, "--mount-proc=/proc", "--setuid=600000000", "--setgid=501", "/probe"}
	path, err := exec.LookPath("unshare")
	if err != nil {
		t.Fatal(err)
	}
	line := [][]string{
		{"id"}, {"status"}, {"limits"}, {"cgroup"}, {"list", "/"}, {"hosts"}, {"resolve", "localhost"}, {"memory", "1Mi"}, {"pids", "3"}, {"ps"},
	}
	cmd := command(t)
	cmd.Path, cmd.Args, cmd.Dir = path, append(args, probe.Line(line...)...), "/"
	got := output(t, cmd, 0)
	if errnos(got) != "id= status= limits= cgroup= list= hosts=ENOENT resolve=NOHOST memory= pids= ps=" {
		t.Errorf("errnos %s", errnos(got))
	}
	if id := value[probe.ID](t, got[0]); id.UID != 600000000 || id.GID != 501 || id.User != "" || id.PID != 1 {
		t.Errorf("id %+v", id)
	}
	if diff := cmp.Diff([]string{"probe", "proc"}, value[probe.Names](t, got[4]).Names); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}
