// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/berthrun/berth/internal/handshake"
)

// hostStat is the host's look at a probe file, as internal/sandbox does it.
func hostStat(dirs map[string]string) handshake.StatProbe {
	return func(target, name string) (uid, gid int, dev, ino uint64, err error) {
		var st unix.Stat_t
		err = unix.Lstat(filepath.Join(dirs[target], name), &st)
		return int(st.Uid), int(st.Gid), uint64(st.Dev), st.Ino, err
	}
}

func devIno(t testing.TB, path string) (dev, ino uint64) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return uint64(st.Dev), st.Ino
}

// openDir makes a folder that every user may write to and reach.
func openDir(t testing.TB, parent, name string) string {
	t.Helper()
	dir := filepath.Join(parent, name)
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestReportFacts(t *testing.T) {
	// After an exec by root the permitted set is the bounding set; with no-root it is
	// the ambient set. So between them the two cases tell the sets apart.
	for name, wrap := range map[string][]string{
		"plain":    {},
		"root":     {"caps", "nnp", "seccomp"},
		"noRoot":   {"caps", "noroot", "nnp"},
		"onlyCaps": {"caps"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.listen()
			b.start(boxOptions{wrap: wrap}, "true")
			b.accept()
			b.negotiate(handshake.Config{})
			number := func(field string, base int) uint64 {
				n, err := strconv.ParseUint(b.status(field), base, 64)
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			groups, _ := os.Getgroups()
			want := &handshake.Report{
				Version: handshake.Version, Nonce: b.report.Nonce, AgentVersion: "v1.2.3-test", PID: 1,
				UID: 0, GID: 0, Groups: append([]int{}, groups...), NoNewPrivs: slices.Contains(wrap, "nnp"), Seccomp: int(number("Seccomp", 10)),
				CapEff: number("CapEff", 16), CapPrm: number("CapPrm", 16), CapInh: number("CapInh", 16), CapBnd: number("CapBnd", 16), CapAmb: number("CapAmb", 16),
				Mounts: []handshake.MountReport{},
			}
			if slices.Contains(wrap, "seccomp") != (want.Seccomp == 2) || slices.Contains(wrap, "noroot") == (want.CapBnd == want.CapPrm) ||
				slices.Contains(wrap, "caps") == (want.CapAmb == 0 || want.CapInh == 0) {
				t.Errorf("the test did not set up what it compares: %+v", want)
			}
			if diff := cmp.Diff(want, b.report); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReportIdentity(t *testing.T) {
	b := newBox(t)
	b.listen()
	b.start(boxOptions{wrap: []string{"uid=600000000"}}, "true")
	b.accept()
	b.negotiate(handshake.Config{})
	type id struct {
		UID, GID int
		Groups   []int
	}
	if diff := cmp.Diff(id{600000000, 600000000, []int{7, 9}}, id{b.report.UID, b.report.GID, b.report.Groups}); diff != "" {
		t.Errorf("identity (-want +got):\n%s", diff)
	}
	if got := b.conn.Peer().UID; got != 600000000 {
		t.Errorf("peer uid: got %d", got)
	}
}

func TestReportMounts(t *testing.T) {
	b := newBox(t)
	base := t.TempDir()
	rw, ro, dst, dstro, again := openDir(t, base, "rw"), openDir(t, base, "ro"), openDir(t, base, "dst"), openDir(t, base, "dstro"), openDir(t, base, "again")
	file := filepath.Join(base, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(base, "link")
	if err := os.Symlink(rw, link); err != nil {
		t.Fatal(err)
	}
	b.listen()
	b.start(boxOptions{wrap: []string{"private", "bind=" + rw + ":" + dst, "bind=" + rw + ":" + again, "bindro=" + ro + ":" + dstro}}, "true")
	b.accept()
	queries := []handshake.MountQuery{
		{Target: dst, Probe: true}, {Target: again, Probe: true}, {Target: dstro, Probe: true},
		{Target: dst}, {Target: file, Probe: true}, {Target: link, Probe: true}, {Target: base + "/absent", Probe: true}, {Target: file + "/x", Probe: true},
	}
	nonce := handshake.NewNonce()
	b.negotiate(handshake.Config{Nonce: nonce, Mounts: queries})
	probe := func(dir string, i int) *handshake.ProbeReport {
		name := handshake.ProbeName(nonce, i)
		dev, ino := devIno(t, filepath.Join(dir, name))
		return &handshake.ProbeReport{Name: name, Dev: dev, Ino: ino, UID: os.Getuid(), GID: os.Getgid()}
	}
	seen := func(target, host string, mode uint32, ro bool, p *handshake.ProbeReport) handshake.MountReport {
		dev, ino := devIno(t, host)
		return handshake.MountReport{Target: target, Dev: dev, Ino: ino, Mode: mode, ReadOnly: ro, FSType: b.report.Mounts[0].FSType, Probe: p}
	}
	refused := &handshake.ProbeReport{Name: handshake.ProbeName(nonce, 2), Error: "read-only file system"}
	want := []handshake.MountReport{
		seen(dst, rw, unix.S_IFDIR|0o777, false, probe(rw, 0)),
		seen(again, rw, unix.S_IFDIR|0o777, false, probe(rw, 1)),
		seen(dstro, ro, unix.S_IFDIR|0o777, true, refused),
		seen(dst, rw, unix.S_IFDIR|0o777, false, nil),
		seen(file, file, unix.S_IFREG|0o600, false, nil),
		seen(link, link, unix.S_IFLNK|0o777, false, nil),
		{Target: base + "/absent", Error: "no such file or directory"},
		{Target: file + "/x", Error: "not a directory"},
	}
	if diff := cmp.Diff(want, b.report.Mounts); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
	if got := b.report.Mounts[0].FSType; got == "" || strings.HasPrefix(got, "0x") {
		t.Errorf("file system %q has no name", got)
	}
	if st, err := os.Stat(filepath.Join(rw, handshake.ProbeName(nonce, 0))); err != nil || st.Mode() != 0o600 {
		t.Errorf("probe file: %v, %v", st, err)
	}
	if _, err := b.conn.Go(t.Context()); err != nil {
		t.Fatal(err)
	}
	noProbes(t, rw, ro)
	if got := b.wait(); got != 0 {
		t.Errorf("exit code %d", got)
	}
}

// A file that init did not create is neither reported as a probe nor removed.
func TestProbeDoesNotTouchWhatIsThere(t *testing.T) {
	for name, plant := range map[string]func(string) error{
		"file":     func(p string) error { return os.WriteFile(p, []byte("keep"), 0o644) },
		"symlink":  func(p string) error { return os.Symlink("/etc/passwd", p) },
		"dangling": func(p string) error { return os.Symlink("made-by-probe", p) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := openDir(t, t.TempDir(), "w")
			nonce := handshake.NewNonce()
			path := filepath.Join(dir, handshake.ProbeName(nonce, 0))
			if err := plant(path); err != nil {
				t.Fatal(err)
			}
			b := newBox(t)
			b.listen()
			b.start(boxOptions{}, "true")
			b.accept()
			b.negotiate(handshake.Config{Nonce: nonce, Mounts: []handshake.MountQuery{{Target: dir, Probe: true}}})
			if got := b.report.Mounts[0].Probe.Error; got != "file exists" {
				t.Errorf("probe error: got %q", got)
			}
			if _, err := b.conn.Go(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.wait()
			if _, err := os.Lstat(path); err != nil {
				t.Errorf("what was there is gone: %v", err)
			}
			if left, _ := os.ReadDir(dir); len(left) != 1 {
				t.Errorf("in the folder: %v", left)
			}
		})
	}
}

// Any uid, in an image that has nothing: an empty, read-only root without /proc,
// where the agent and the command are the only files.
func TestAnyUserInAnEmptyReadOnlyImage(t *testing.T) {
	for _, uid := range []int{0, 1000, 1001, 501, 600000000} {
		t.Run(itoa(uid), func(t *testing.T) {
			b := newBox(t)
			root := openDir(t, filepath.Dir(b.dir), "root")
			run, work := openDir(t, root, "run"), openDir(t, root, "work")
			locked := filepath.Join(root, "locked")
			if err := copyFile(agentPath, root+"/run/berth-agent"); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(run+"/berth", 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(locked, 0o755); err != nil {
				t.Fatal(err)
			}
			b.listen()
			b.start(boxOptions{
				wrap: []string{"private", "chrootro=" + root + ":", "uid=" + itoa(uid)},
				attr: func(c *exec.Cmd) {
					// The bind mounts of an engine: they stay writable under a read-only root.
					i := slices.Index(c.Args, "private") + 1
					c.Args = append(c.Args[:i:i], append([]string{"bind=" + b.dir + ":" + run + "/berth", "bind=" + work + ":" + work}, c.Args[i:]...)...)
					for i, a := range c.Args {
						switch a {
						case agentPath:
							c.Args[i] = "/run/berth-agent"
						case filepath.Join(b.dir, handshake.SocketName):
							c.Args[i] = "/run/berth/init.sock"
						}
					}
				},
			}, "/run/berth-agent", "version")
			b.accept()
			nonce := handshake.NewNonce()
			b.negotiate(handshake.Config{Nonce: nonce, Mounts: []handshake.MountQuery{{Target: "/work", Probe: true}, {Target: "/locked", Probe: true}}})
			dev, ino := devIno(t, work)
			want := handshake.Expect{UID: uid, GID: uid, Mounts: []handshake.MountExpect{
				{Target: "/work", Compare: true, Dev: dev, Ino: ino, MustWrite: true, Stat: true},
				{Target: "/locked", ReadOnly: true},
			}}
			if err := handshake.Verify(b.report, want, hostStat(map[string]string{"/work": work})); err != nil {
				t.Errorf("verify: %v", err)
			}
			if _, err := b.conn.Go(t.Context()); err != nil {
				t.Fatalf("go: %v; %s", err, b.stderr.String())
			}
			if got := b.wait(); got != 0 {
				t.Errorf("exit code %d: %s", got, b.stderr.String())
			}
			if got, want := b.stdout.String(), "v1.2.3-test\n"; got != want {
				t.Errorf("output of the command: got %q, want %q", got, want)
			}
			noProbes(t, work, locked)
		})
	}
}

// What a rootless engine with a wrong map does: inside everything looks right.
func TestWrongOwnerShowsOnlyOnTheHost(t *testing.T) {
	b := newBox(t)
	work := openDir(t, filepath.Dir(b.dir), "work")
	b.listen()
	b.start(boxOptions{mapped: &syscall.SysProcIDMap{ContainerID: 1000, HostID: 100999, Size: 1}}, "true")
	b.accept()
	b.negotiate(handshake.Config{Mounts: []handshake.MountQuery{{Target: work, Probe: true}}})
	if p := b.report.Mounts[0].Probe; p.UID != 1000 || p.GID != 1000 {
		t.Errorf("owner from inside: %d:%d", p.UID, p.GID)
	}
	dev, ino := devIno(t, work)
	err := handshake.Verify(b.report, handshake.Expect{UID: 1000, GID: 1000, Mounts: []handshake.MountExpect{
		{Target: work, Compare: true, Dev: dev, Ino: ino, MustWrite: true, Stat: true},
	}}, hostStat(map[string]string{work: work}))
	want := "mount " + work + ": files that the sandbox writes belong to 100999:100999 on the host instead of 1000:1000"
	if err == nil || err.Error() != want {
		t.Errorf("verify:\n got %v\nwant %s", err, want)
	}
	if err := b.conn.Abort(t.Context(), err.Error()); err != nil {
		t.Errorf("abort: %v", err)
	}
	noProbes(t, work)
	if got := b.wait(); got != handshake.ExitInit {
		t.Errorf("exit code: got %d, want 125", got)
	}
}

// Every end of the hand-shake before "go": the command does not run, nothing is
// written, and no probe file is left.
func TestHandshakeEndsBeforeGo(t *testing.T) {
	for name, c := range map[string]struct {
		initArgs []string
		end      func(b *box)
		want     int
	}{
		"abort": {end: func(b *box) {
			if err := b.conn.Abort(b.t.Context(), "no"); err != nil {
				b.t.Errorf("abort: %v", err)
			}
			noProbes(b.t, b.dir) // they are gone when Abort returns
		}, want: 125},
		"close":   {end: func(b *box) { b.conn.Close() }, want: 125},
		"timeout": {initArgs: []string{"--timeout", "300ms"}, end: func(*box) {}, want: 125},
		"SIGTERM": {end: func(b *box) { b.signal(unix.SIGTERM) }, want: 143},
		"SIGINT":  {end: func(b *box) { b.signal(unix.SIGINT) }, want: 130},
		"SIGUSR1": {end: func(b *box) { b.signal(unix.SIGUSR1) }, want: 138},
		"RTMIN+3": {end: func(b *box) { b.signal(37) }, want: 165},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.listen()
			ran := filepath.Join(b.dir, "ran")
			b.start(boxOptions{initArgs: append(c.initArgs, "--connect", filepath.Join(b.dir, handshake.SocketName))}, "touch", ran)
			b.accept()
			b.negotiate(handshake.Config{Mounts: []handshake.MountQuery{{Target: b.dir, Probe: true}}})
			if found, _ := filepath.Glob(b.dir + "/" + handshake.ProbePrefix + "*"); len(found) != 1 {
				t.Fatalf("probe files before the end: %v", found)
			}
			c.end(b)
			if got := b.wait(); got != c.want {
				t.Errorf("exit code: got %d, want %d", got, c.want)
			}
			noProbes(t, b.dir)
			if _, err := os.Stat(ran); !errors.Is(err, fs.ErrNotExist) {
				t.Error("the command ran")
			}
			if out := b.stdout.String() + b.stderr.String(); out != "" {
				t.Errorf("init wrote to the command's streams: %q", out)
			}
		})
	}
}

// Signals that ask for nothing do not end the hand-shake.
func TestHandshakeSurvivesHarmlessSignals(t *testing.T) {
	b := newBox(t)
	b.listen()
	b.start(boxOptions{role: "exit"}, roles, "3")
	b.accept()
	b.negotiate(handshake.Config{})
	for _, s := range []syscall.Signal{unix.SIGWINCH, unix.SIGCONT, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGCHLD, unix.SIGURG} {
		b.signal(s)
	}
	if _, err := b.conn.Go(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.wait(); got != 3 {
		t.Errorf("exit code: got %d, want 3", got)
	}
}

func TestNobodyAnswers(t *testing.T) {
	// Absent, a file, a socket that nobody listens on, one that nobody accepts on.
	for name, plant := range map[string]func(path string) error{
		"absent": func(string) error { return nil },
		"file":   func(p string) error { return os.WriteFile(p, nil, 0o666) },
		"dead": func(p string) error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p, Net: "unix"})
			if err != nil {
				return err
			}
			l.SetUnlinkOnClose(false)
			return l.Close()
		},
		"silent": func(p string) error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p, Net: "unix"})
			t.Cleanup(func() { l.Close() })
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			path := filepath.Join(b.dir, handshake.SocketName)
			if err := plant(path); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			b.start(boxOptions{initArgs: []string{"--connect", path, "--timeout", "150ms"}}, "touch", b.dir+"/ran")
			if got := b.wait(); got != handshake.ExitInit {
				t.Errorf("exit code: got %d, want 125", got)
			}
			if took := time.Since(start); took < 150*time.Millisecond {
				t.Errorf("gave up after %v", took)
			}
			if out := b.stdout.String() + b.stderr.String(); out != "" {
				t.Errorf("init wrote to the command's streams: %q", out)
			}
		})
	}
	t.Run("stop", func(t *testing.T) {
		b := newBox(t)
		b.listen()
		b.start(boxOptions{}, "true")
		b.accept() // and say nothing
		b.signal(unix.SIGTERM)
		if got := b.wait(); got != 143 {
			t.Errorf("exit code: got %d, want 143", got)
		}
	})
}

// After "go" the command belongs to the user: that berth dies then, and init's
// answer has nobody to read it, must not touch it.
func TestBerthDiesAfterGo(t *testing.T) {
	b := newBox(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(b.dir, handshake.SocketName), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b.start(boxOptions{}, "sh", "-c", "echo runs; read x; exit 3")
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, `{"config":{"version":1,"nonce":%q}}`+"\n", handshake.NewNonce())
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(conn, `{"go":{}}`)
	conn.Close()
	b.waitOutput("runs")
	b.stdin.Close()
	if got := b.wait(); got != 3 {
		t.Errorf("exit code: got %d, want 3", got)
	}
}

// Init does not need the socket to be there when it starts.
func TestSocketAppearsLater(t *testing.T) {
	b := newBox(t)
	b.start(boxOptions{role: "exit"}, roles, "3")
	<-time.After(30 * time.Millisecond)
	b.listen()
	b.accept()
	b.negotiate(handshake.Config{})
	if _, err := b.conn.Go(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := b.wait(); got != 3 {
		t.Errorf("exit code: got %d, want 3", got)
	}
}

// What init makes of a peer that does not speak as berth does.
func TestInitRefusesBadConfig(t *testing.T) {
	const nonce = `"nonce":"0123456789abcdef0123456789abcdef"`
	for name, c := range map[string]struct{ line, answer string }{
		"version":      {`{"config":{"version":9,` + nonce + `,"fieldOfVersion9":true}}`, "this agent speaks version 1 of the hand-shake, not 9"},
		"noVersion":    {`{"config":{` + nonce + `}}`, "this agent speaks version 1 of the hand-shake, not 0"},
		"nonce":        {`{"config":{"version":1,"nonce":"../../../../../etc/passwd0000000"}}`, "nonce must be 32 lowercase hexadecimal digits"},
		"upperNonce":   {`{"config":{"version":1,"nonce":"0123456789ABCDEF0123456789ABCDEF"}}`, "nonce must be 32 lowercase hexadecimal digits"},
		"unknownField": {`{"config":{"version":1,` + nonce + `,"x":1}}`, "not a message of the hand-shake: unknown field"},
		"unknownType":  {`{"exec":{}}`, "not a message of the hand-shake: unknown field"},
		"goFirst":      {`{"go":{}}`, "go instead of config"},
		"relative":     {`{"config":{"version":1,` + nonce + `,"mounts":[{"target":"etc"}]}}`, `mounts[0].target "etc" is not an absolute path`},
		"negativeTTL":  {`{"config":{"version":1,` + nonce + `,"ttl":-1}}`, "ttl, stopGrace and exitGrace must not be negative"},
		"signal":       {`{"config":{"version":1,` + nonce + `,"stopSignal":65}}`, "stopSignal 65 is not a signal number"},
		"noJSON":       {`hello`, "not a message of the hand-shake: invalid JSON at byte 1"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(b.dir, handshake.SocketName), Net: "unix"})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			b.start(boxOptions{}, "touch", b.dir+"/ran")
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(conn, c.line)
			answer, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf(`{"failed":{"code":125,"message":%q}}`+"\n", c.answer)
			if answer != want {
				t.Errorf("answer:\n got %swant %s", answer, want)
			}
			conn.Close()
			if got := b.wait(); got != handshake.ExitInit {
				t.Errorf("exit code: got %d, want 125", got)
			}
			if _, err := os.Stat(b.dir + "/ran"); err == nil {
				t.Error("the command ran")
			}
		})
	}
	t.Run("endless", func(t *testing.T) {
		b := newBox(t)
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(b.dir, handshake.SocketName), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		b.start(boxOptions{}, "true")
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		n, err := io.Copy(conn, endless{})
		if err == nil || n > 8<<20 {
			t.Errorf("init read %d bytes of one line, %v", n, err)
		}
		if got := b.wait(); got != handshake.ExitInit {
			t.Errorf("exit code: got %d, want 125", got)
		}
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '['
	}
	return len(p), nil
}

// stream is the stdin and stdout of an engine's exec of "berth-agent connect".
type stream struct {
	io.WriteCloser
	io.Reader
}

func (b *box) connect(t *testing.T, args ...string) (*exec.Cmd, stream) {
	t.Helper()
	cmd := exec.Command(agentPath, append([]string{"connect"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = &b.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd, stream{in, out}
}

func TestListenTransport(t *testing.T) {
	b := newBox(t)
	sock := filepath.Join(b.dir, "in.sock")
	// What a start before this one left behind.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: sock, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	bridge, s := b.connect(t, sock) // it may come before init
	b.start(boxOptions{role: "line", initArgs: []string{"--listen", sock}}, roles)
	b.conn = handshake.NewConn(s)
	b.negotiate(handshake.Config{Mounts: []handshake.MountQuery{{Target: b.dir, Probe: true}}})
	if _, err := os.Lstat(sock); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there after the one connection: %v", err)
	}
	if _, err := b.conn.Go(t.Context()); err != nil {
		t.Fatal(err)
	}
	noProbes(t, b.dir)
	if err := bridge.Wait(); err != nil {
		t.Errorf("connect: %v; %s", err, b.stderr.String())
	}
	fmt.Fprintln(b.stdin, "hello")
	if got := b.wait(); got != 0 || b.stdout.String() != "got \"hello\"\n" {
		t.Errorf("exit code %d, output %q, %q", got, b.stdout.String(), b.stderr.String())
	}
}

func TestListenTransportEnds(t *testing.T) {
	for name, end := range map[string]func(cmd *exec.Cmd, c *handshake.Conn){
		"abort":     func(_ *exec.Cmd, c *handshake.Conn) { c.Abort(context.Background(), "no") },
		"close":     func(_ *exec.Cmd, c *handshake.Conn) { c.Close() },
		"killed -9": func(cmd *exec.Cmd, _ *handshake.Conn) { cmd.Process.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			sock := filepath.Join(b.dir, "in.sock")
			b.start(boxOptions{initArgs: []string{"--listen", sock}}, "touch", b.dir+"/ran")
			cmd, s := b.connect(t, sock)
			b.conn = handshake.NewConn(s)
			b.negotiate(handshake.Config{Mounts: []handshake.MountQuery{{Target: b.dir, Probe: true}}})
			end(cmd, b.conn)
			if got := b.wait(); got != handshake.ExitInit {
				t.Errorf("exit code: got %d, want 125", got)
			}
			if left, _ := os.ReadDir(b.dir); len(left) != 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
	t.Run("timeout", func(t *testing.T) {
		b := newBox(t)
		b.start(boxOptions{initArgs: []string{"--listen", b.dir + "/in.sock", "--timeout", "100ms"}}, "true")
		if got := b.wait(); got != handshake.ExitInit {
			t.Errorf("exit code: got %d, want 125", got)
		}
		if left, _ := os.ReadDir(b.dir); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
	t.Run("stop", func(t *testing.T) {
		b := newBox(t)
		b.start(boxOptions{initArgs: []string{"--listen", b.dir + "/in.sock"}}, "true")
		eventually(t, "init listens", func() bool { _, err := os.Lstat(b.dir + "/in.sock"); return err == nil })
		b.signal(unix.SIGTERM)
		if got := b.wait(); got != 143 {
			t.Errorf("exit code: got %d, want 143", got)
		}
		if left, _ := os.ReadDir(b.dir); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
}

func TestConnectPassesHalfCloseOn(t *testing.T) {
	b := newBox(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: b.dir + "/s", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd, s := b.connect(t, b.dir+"/s")
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(s, "question")
	s.Close()
	got, err := io.ReadAll(peer) // returns only when the half close has arrived
	if err != nil || string(got) != "question" {
		t.Fatalf("%q, %v", got, err)
	}
	io.WriteString(peer, "answer")
	peer.Close()
	if got, err = io.ReadAll(s); err != nil || string(got) != "answer" {
		t.Errorf("%q, %v", got, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

// BenchmarkHandshake is from the start of the process to the running command.
func BenchmarkHandshake(b *testing.B) {
	mounts := []handshake.MountQuery{}
	dir := b.TempDir()
	for range 3 {
		mounts = append(mounts, handshake.MountQuery{Target: dir, Probe: true})
	}
	box := newBox(b)
	box.listen()
	var talk time.Duration
	for b.Loop() {
		box.start(boxOptions{}, "/bin/true")
		box.accept()
		start := time.Now()
		box.negotiate(handshake.Config{Mounts: mounts})
		if _, err := box.conn.Go(b.Context()); err != nil {
			b.Fatal(err)
		}
		talk += time.Since(start)
		b.StopTimer()
		box.wait()
		b.StartTimer()
	}
	b.ReportMetric(float64(talk.Microseconds())/float64(b.N), "µs-talk/op")
}

// BenchmarkExec is the same process without init, to subtract.
func BenchmarkExec(b *testing.B) {
	for b.Loop() {
		cmd := exec.Command("/bin/true")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		cmd.Wait()
		b.StartTimer()
	}
}
