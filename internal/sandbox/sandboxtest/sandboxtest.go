// SPDX-License-Identifier: Apache-2.0

// Package sandboxtest checks what package sandbox promises on top of a driver.
// It runs over every backend that a real engine stands behind; package
// conformance checks the drivers themselves.
package sandboxtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/internal/handshake"
	"github.com/berthrun/berth/internal/sandbox"
	"github.com/berthrun/berth/spec"
)

// Config is one backend on one engine.
type Config struct {
	// Open makes a driver; it is called several times, as several processes do.
	Open func(ctx context.Context) (backend.Driver, error)
	// Agent is the path of the built berth-agent.
	Agent string
	// Tree is a reference to the fixture image of that kind, on the engine; User
	// and Scratch likewise.
	Tree, User, Scratch string
	// Remote says that the engine has no paths in common with the tests.
	Remote bool
	// Objects lists what berth made in the engine, by the engine's own means.
	Objects func(ctx context.Context) ([]string, error)
}

// suite is the state of one test.
type suite struct {
	*testing.T
	cfg    Config
	m      *sandbox.Manager
	driver backend.Driver
	state  string
}

// Run checks every promise as a subtest.
func Run(t *testing.T, cfg Config) {
	t.Helper()
	before, err := cfg.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		local bool // needs paths in common with the engine
		fn    func(*suite)
	}{
		{"run passes output and exit code", false, (*suite).runPasses},
		{"run leaves nothing", false, (*suite).runLeavesNothing},
		{"a command that does not exist is 127", false, (*suite).notFound},
		{"a command that cannot be run is 126", false, (*suite).cannotRun},
		{"files belong to the caller", true, (*suite).ownership},
		{"a folder that the caller cannot write is a warning", true, (*suite).unwritable},
		{"home and account", false, (*suite).account},
		{"home survives stop and start", false, (*suite).homeSurvives},
		{"an image without accounts", false, (*suite).scratch},
		{"the image's own user", false, (*suite).imageUser},
		{"a swapped folder is found out", true, (*suite).swapped},
		{"probe files are gone", true, (*suite).probeFiles},
		{"a link into a forbidden place is denied", true, (*suite).forbiddenLink},
		{"a missing folder is refused and not made", true, (*suite).missingFolder},
		{"read-only and overlay mounts", true, (*suite).mounts},
		{"an upper directory of the user's is kept", true, (*suite).ownUpper},
		{"another process finds, waits and removes", false, (*suite).reattach},
		{"signals reach the command", false, (*suite).signals},
		{"ttl ends the command", false, (*suite).ttl},
		{"cancel at any time leaves nothing", false, (*suite).cancel},
		{"a failed start leaves it stopped", true, (*suite).failedStart},
		{"starts at once are one start", false, (*suite).startTwice},
		{"values of the environment are not recorded", false, (*suite).secrets},
		{"names are unique", false, (*suite).names},
	}
	for _, tt := range tests {
		if tt.local && cfg.Remote {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			s := &suite{T: t, cfg: cfg, state: filepath.Join(t.TempDir(), "state")}
			s.m = s.manager(sandbox.Caller{UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Home: "/nonexistent"})
			s.driver = s.m.Driver()
			t.Cleanup(func() {
				s.emptyState()
				after, err := cfg.Objects(context.Background())
				if err != nil || !slices.Equal(before, after) {
					t.Errorf("the engine has %q, and had %q; %v", after, before, err)
				}
				before = after // the next test is not to blame
			})
			tt.fn(s)
		})
	}
}

// manager makes a Manager as another process of that caller would.
func (s *suite) manager(caller sandbox.Caller) *sandbox.Manager {
	s.Helper()
	d, err := s.cfg.Open(s.Context())
	s.must(err)
	s.Cleanup(func() { _ = d.Close() })
	m, err := sandbox.New(sandbox.Options{
		Driver: d, StateDir: s.state, Agent: s.cfg.Agent, Caller: caller, Version: "test",
		Log: slog.New(slog.NewTextHandler(s.Output(), nil)),
	})
	s.must(err)
	return m
}

// emptyState proves that no directory of a sandbox was left.
func (s *suite) emptyState() {
	left, err := filepath.Glob(filepath.Join(s.state, "sandboxes", "*"))
	if err != nil || len(left) > 0 {
		s.Errorf("state has %q, %v", left, err)
	}
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// spec is a sandbox of the tree image that runs probe commands.
func (s *suite) spec(commands ...string) *spec.Sandbox {
	return &spec.Sandbox{
		Image:   spec.Image{Ref: s.cfg.Tree, Pull: spec.PullNever},
		Process: spec.Process{Command: []string{"/probe"}, Args: commands},
	}
}

// bind adds a bind mount.
func bind(sb *spec.Sandbox, source, target string, mode spec.MountMode) *spec.Sandbox {
	sb.Mounts = append(sb.Mounts, spec.Mount{Type: spec.MountBind, Source: source, Target: target, Mode: mode})
	return sb
}

// output runs a sandbox that must succeed and returns what it printed.
func (s *suite) output(m *sandbox.Manager, sb *spec.Sandbox) string {
	s.Helper()
	var stdout, stderr bytes.Buffer
	exit, err := m.Run(s.Context(), sandbox.Request{Spec: sb}, backend.Streams{Stdout: &stdout, Stderr: &stderr}, sandbox.RunHooks{})
	s.must(err)
	if exit.Code != 0 {
		s.Fatalf("exit code %d: %s%s", exit.Code, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// create makes and starts a sandbox that is removed with the test.
func (s *suite) create(sb *spec.Sandbox) *sandbox.Started {
	s.Helper()
	st, _, err := s.m.Create(s.Context(), sandbox.Request{Spec: sb})
	s.must(err)
	s.Cleanup(func() {
		if err := s.m.Remove(context.Background(), st.ID, &backend.RemoveOptions{Force: true}); err != nil {
			s.Error(err)
		}
	})
	started, err := s.m.Start(s.Context(), st.ID, nil)
	s.must(err)
	return started
}

// one decodes the result of one probe command.
func (s *suite) one(text string) probe.Result {
	s.Helper()
	results, err := probe.Decode([]byte(text))
	s.must(err)
	if len(results) != 1 {
		s.Fatalf("%d results in %s", len(results), text)
	}
	return results[0]
}

// value decodes the value of one probe command.
func value[T any](s *suite, text string) T {
	s.Helper()
	v, err := probe.Value[T](s.one(text))
	s.must(err)
	return v
}

func (s *suite) exec(id backend.ID, args ...string) string {
	s.Helper()
	var stdout, stderr bytes.Buffer
	p, err := s.driver.Exec(s.Context(), id, &backend.ExecRequest{
		Argv: append([]string{"/probe"}, args...), Streams: backend.Streams{Stdout: &stdout, Stderr: &stderr},
	})
	s.must(err)
	defer p.Close()
	exit, err := p.Wait(s.Context())
	s.must(err)
	if exit.Code != 0 {
		s.Fatalf("exec %q: exit code %d: %s", args, exit.Code, stderr.String())
	}
	return stdout.String()
}

func (s *suite) runPasses() {
	var stdout, stderr bytes.Buffer
	exit, err := s.m.Run(s.Context(), sandbox.Request{Spec: s.spec("cat")}, backend.Streams{Stdin: strings.NewReader("x"), Stdout: &stdout, Stderr: &stderr}, sandbox.RunHooks{})
	s.must(err)
	if exit.Code != 0 || stdout.String() != "" {
		s.Errorf("stdin was not asked for, and the command read %q and ended with %d", stdout.String(), exit.Code)
	}
	sb := s.spec("cat")
	sb.Process.Stdin = true
	stdout.Reset()
	if _, err = s.m.Run(s.Context(), sandbox.Request{Spec: sb}, backend.Streams{Stdin: strings.NewReader("hello\n"), Stdout: &stdout, Stderr: &stderr}, sandbox.RunHooks{}); err != nil || stdout.String() != "hello\n" {
		s.Errorf("cat gave %q, %v", stdout.String(), err)
	}
	for _, code := range []int{3, 125, 255} {
		exit, err := s.m.Run(s.Context(), sandbox.Request{Spec: s.spec("exit", fmt.Sprint(code))}, backend.Streams{}, sandbox.RunHooks{})
		if err != nil || exit.Code != code {
			s.Errorf("exit %d: got %+v, %v", code, exit, err)
		}
	}
	exit, err = s.m.Run(s.Context(), sandbox.Request{Spec: s.spec("kill-self", "SIGKILL")}, backend.Streams{}, sandbox.RunHooks{})
	if err != nil || exit.Code != 137 {
		s.Errorf("killed by signal 9: got %+v, %v", exit, err)
	}
}

func (s *suite) runLeavesNothing() {
	before, err := s.cfg.Objects(s.Context())
	s.must(err)
	s.output(s.m, s.spec("exit", "0"))
	after, err := s.cfg.Objects(s.Context())
	s.must(err)
	if !slices.Equal(before, after) {
		s.Errorf("the engine has %q, and had %q", after, before)
	}
}

func (s *suite) notFound() { s.startFails(127, "no-such-command") }

func (s *suite) cannotRun() {
	s.startFails(126, "/usr/bin/plain")
	s.startFails(126, "/usr/bin/broken")
}

func (s *suite) startFails(code int, argv ...string) {
	s.Helper()
	sb := s.spec()
	sb.Process.Command = argv
	var stdout, stderr bytes.Buffer
	_, err := s.m.Run(s.Context(), sandbox.Request{Spec: sb}, backend.Streams{Stdout: &stdout, Stderr: &stderr}, sandbox.RunHooks{})
	var failed *handshake.FailedError
	if !errors.As(err, &failed) || failed.Code != code || !errors.Is(err, backend.Invalid) {
		s.Errorf("%q: error %v, want code %d of kind Invalid", argv, err, code)
	}
	if stdout.Len()+stderr.Len() > 0 {
		s.Errorf("%q: init wrote on the command's streams: %q %q", argv, stdout.String(), stderr.String())
	}
}

// ownership is checked on the host, for every kind of uid, in folders that only
// their owner may enter.
func (s *suite) ownership() {
	if os.Getuid() != 0 {
		s.Fatal("the test makes folders of other users: run it as root")
	}
	for _, uid := range []uint32{0, 1000, 1001, 501, 600000000} {
		for _, mode := range []os.FileMode{0o755, 0o700} {
			dir := s.folder(uid, mode)
			for _, as := range []string{spec.UserCaller, fmt.Sprint(uid)} {
				m := s.m
				if as == spec.UserCaller {
					m = s.manager(sandbox.Caller{UID: uid, GID: uid, Home: "/nonexistent"})
				}
				sb := bind(s.spec("write", "/workspace/"+as, "x"), dir, "/workspace", spec.ModeRW)
				sb.User.As = as
				s.output(m, sb)
				info, err := os.Lstat(filepath.Join(dir, as))
				s.must(err)
				if st := info.Sys().(*syscall.Stat_t); st.Uid != uid || st.Gid != uid {
					s.Errorf("uid %d as %s in a folder %04o: the file belongs to %d:%d", uid, as, mode, st.Uid, st.Gid)
				}
			}
		}
	}
}

// folder is a directory of that owner which the engine can reach.
func (s *suite) folder(uid uint32, mode os.FileMode) string {
	s.Helper()
	dir, err := os.MkdirTemp("", "berth-sandboxtest-")
	s.must(err)
	s.Cleanup(func() { _ = os.RemoveAll(dir) })
	s.must(os.Chmod(dir, mode))
	if uint32(os.Getuid()) != uid {
		s.must(os.Chown(dir, int(uid), int(uid)))
	}
	return dir
}

func (s *suite) unwritable() {
	dir := s.folder(0, 0o755)
	sb := bind(s.spec("exit", "0"), dir, "/workspace", spec.ModeRW)
	sb.User.As = "1001"
	var warnings []string
	_, err := s.m.Run(s.Context(), sandbox.Request{Spec: sb}, backend.Streams{}, sandbox.RunHooks{
		Started: func(st *sandbox.Started) { warnings = st.Warnings },
	})
	s.must(err)
	if len(warnings) != 1 || !strings.Contains(warnings[0], dir) || !strings.Contains(warnings[0], "1001") {
		s.Errorf("warnings %q, want one that names %s and the uid", warnings, dir)
	}
}

func (s *suite) account() {
	for as, want := range map[string]struct{ user, home string }{
		"0":         {"root", "/root"},
		"1000":      {"app", "/home/app"},
		"1":         {"daemon", "/home/daemon"},
		"600000000": {"berth", "/home/berth"},
	} {
		sb := s.spec("id")
		sb.User.As = as
		id := value[probe.ID](s, s.output(s.m, sb))
		if id.UserEnv != want.user || id.HomeEnv != want.home || id.User != want.user {
			s.Errorf("uid %s: USER=%q HOME=%q, passwd says %q; want %q and %q", as, id.UserEnv, id.HomeEnv, id.User, want.user, want.home)
		}
		// HOME can be written, and useradd's way of replacing the account file
		// works where the image knew the uid.
		sb = s.spec("write", want.home+"/x", "1")
		sb.User.As = as
		if w := s.one(s.output(s.m, sb)); w.Errno != probe.OK {
			s.Errorf("uid %s: writing in %s: %s", as, want.home, w.Errno)
		}
	}
}

func (s *suite) homeSurvives() {
	sb := s.spec("sleep", "1h")
	sb.User.As = "600000000"
	st := s.create(sb)
	if w := s.one(s.exec(st.Status.ID, "write", "/home/berth/kept", "1")); w.Errno != probe.OK {
		s.Fatalf("writing in HOME: %s", w.Errno)
	}
	var now time.Duration
	s.must(s.driver.Stop(s.Context(), st.Status.ID, &backend.StopOptions{Grace: &now}))
	_, err := s.m.Start(s.Context(), st.Status.ID, nil)
	s.must(err)
	if r := value[probe.Content](s, s.exec(st.Status.ID, "read", "/home/berth/kept")); string(r.Data) != "1" {
		s.Errorf("after stop and start the file says %q", r.Data)
	}
}

func (s *suite) scratch() {
	sb := s.spec("id")
	sb.Image.Ref = s.cfg.Scratch
	sb.User.As = "1234:5678"
	sb.Security.ReadOnlyRoot = true
	id := value[probe.ID](s, s.output(s.m, sb))
	if id.UID != 1234 || id.GID != 5678 || id.User != "berth" || id.Group != "berth" {
		s.Errorf("%+v", id)
	}
}

func (s *suite) imageUser() {
	sb := s.spec("id")
	sb.Image.Ref, sb.User.As = s.cfg.User, spec.UserImage
	if id := value[probe.ID](s, s.output(s.m, sb)); id.UID != 1000 || id.GID != 1000 {
		s.Errorf("the image's user is %d:%d, want 1000:1000", id.UID, id.GID)
	}
}

// swapped replaces the folder after policy has judged it and before the engine
// opens it.
func (s *suite) swapped() {
	top := s.folder(uint32(os.Getuid()), 0o755)
	dir, other := filepath.Join(top, "work"), filepath.Join(top, "other")
	s.must(os.Mkdir(dir, 0o755))
	s.must(os.Mkdir(other, 0o755))
	st, _, err := s.m.Create(s.Context(), sandbox.Request{Spec: bind(s.spec("write", "/workspace/ran", "1"), dir, "/workspace", spec.ModeRW)})
	s.must(err)
	defer func() { s.must(s.m.Remove(context.Background(), st.ID, &backend.RemoveOptions{Force: true})) }()
	s.must(os.Rename(dir, dir+".moved"))
	s.must(os.Symlink(other, dir))
	_, err = s.m.Start(s.Context(), st.ID, nil)
	var e *backend.Error
	if !errors.As(err, &e) || e.Kind != backend.Conflict || e.Field != "mounts[0]" {
		s.Errorf("error %v, want Conflict at mounts[0]", err)
	}
	for _, d := range []string{other, dir + ".moved"} {
		if left, _ := os.ReadDir(d); len(left) > 0 {
			s.Errorf("%s has %v: the command ran, or a probe file was left", d, left)
		}
	}
}

func (s *suite) probeFiles() {
	dir := s.folder(uint32(os.Getuid()), 0o755)
	s.create(bind(s.spec("sleep", "1h"), dir, "/workspace", spec.ModeRW))
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		s.Errorf("a started sandbox left %v in the folder", left)
	}
}

func (s *suite) forbiddenLink() {
	dir := s.folder(uint32(os.Getuid()), 0o755)
	link := filepath.Join(dir, "innocent")
	for _, target := range []string{"/etc", "/var/run", "/proc"} {
		_ = os.Remove(link)
		s.must(os.Symlink(target, link))
		_, _, err := s.m.Create(s.Context(), sandbox.Request{Spec: bind(s.spec("exit", "0"), link, "/workspace", spec.ModeRO)})
		if !errors.Is(err, backend.Denied) {
			s.Errorf("a link to %s: error %v, want Denied", target, err)
		}
	}
}

func (s *suite) missingFolder() {
	dir := filepath.Join(s.folder(uint32(os.Getuid()), 0o755), "absent")
	_, _, err := s.m.Create(s.Context(), sandbox.Request{Spec: bind(s.spec("exit", "0"), dir, "/workspace", spec.ModeRW)})
	var e *backend.Error
	if !errors.As(err, &e) || e.Kind != backend.Invalid || e.Field != "mounts[0]" {
		s.Errorf("error %v, want Invalid at mounts[0]", err)
	}
	if _, err := os.Lstat(dir); err == nil {
		s.Error("the folder was made")
	}
}

func (s *suite) mounts() {
	dir := s.folder(uint32(os.Getuid()), 0o755)
	s.must(os.WriteFile(filepath.Join(dir, "file"), []byte("host"), 0o644))
	sb := bind(s.spec("sleep", "1h"), dir, "/ro", spec.ModeRO)
	sb = bind(sb, dir, "/over", spec.ModeOverlay)
	st := s.create(sb)
	if w := s.one(s.exec(st.Status.ID, "write", "/ro/x", "1")); w.Errno != "EROFS" {
		s.Errorf("writing read-only: %q, want EROFS", w.Errno)
	}
	if w := s.one(s.exec(st.Status.ID, "write", "/over/file", "sandbox")); w.Errno != probe.OK {
		s.Errorf("writing an overlay: %s", w.Errno)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "file")); string(got) != "host" {
		s.Errorf("the host's file now says %q", got)
	}
	view := sandbox.NewView(st.Status)
	if len(view.Overlays) != 1 {
		s.Fatalf("overlays %+v", view.Overlays)
	}
	if got, err := os.ReadFile(filepath.Join(view.Overlays[0].Upper, "file")); string(got) != "sandbox" {
		s.Errorf("the upper has %q, %v", got, err)
	}
}

func (s *suite) ownUpper() {
	dir, keep := s.folder(uint32(os.Getuid()), 0o755), s.folder(uint32(os.Getuid()), 0o755)
	sb := bind(s.spec("write", "/over/new", "1"), dir, "/over", spec.ModeOverlay)
	sb.Mounts[0].Upper = filepath.Join(keep, "made", "upper")
	s.output(s.m, sb)
	if got, err := os.ReadFile(filepath.Join(keep, "made", "upper", "new")); string(got) != "1" {
		s.Errorf("kept %q, %v", got, err)
	}
	if left, err := os.ReadDir(filepath.Join(keep, "made")); err != nil || len(left) != 1 {
		s.Errorf("beside the upper: %v, %v", left, err)
	}
	// One upper serves one sandbox at a time.
	sb.Process.Args = []string{"sleep", "1h"}
	s.create(sb)
	_, _, err := s.m.Create(s.Context(), sandbox.Request{Spec: sb})
	var e *backend.Error
	if !errors.As(err, &e) || e.Kind != backend.Conflict || e.Field != "mounts[0].upper" {
		s.Errorf("a second sandbox: error %v, want Conflict at mounts[0].upper", err)
	}
}

func (s *suite) reattach() {
	sb := s.spec("sleep", "1h")
	sb.Name = "reattach-" + strings.ToLower(handshake.NewNonce()[:6])
	st := s.create(sb)
	other := s.manager(sandbox.Caller{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())})
	found, err := other.Find(s.Context(), sb.Name)
	s.must(err)
	if found.ID != st.Status.ID || found.Record.Digest != st.Status.Record.Digest {
		s.Errorf("found %+v", found)
	}
	if _, err := other.Find(s.Context(), string(st.Status.ID[:8])); err != nil {
		s.Error(err)
	}
	if _, err := other.Find(s.Context(), "no-such-sandbox"); !errors.Is(err, backend.NotFound) {
		s.Errorf("error %v, want NotFound", err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := other.Driver().Wait(s.Context(), found.ID)
		done <- err
	}()
	var now time.Duration
	s.must(s.driver.Stop(s.Context(), found.ID, &backend.StopOptions{Grace: &now}))
	s.must(<-done)
	s.must(other.Remove(s.Context(), found.ID, nil))
	if _, err := s.m.Find(s.Context(), sb.Name); !errors.Is(err, backend.NotFound) {
		s.Errorf("after removal: error %v, want NotFound", err)
	}
}

func (s *suite) signals() {
	signaller, ok := backend.As[backend.Signaller](s.driver)
	if !ok {
		s.Fatal("the driver cannot signal")
	}
	var id backend.ID
	signalled := make(chan error, 1)
	exit, err := s.m.Run(s.Context(), sandbox.Request{Spec: s.spec("trap", "SIGUSR1", "42")}, backend.Streams{}, sandbox.RunHooks{
		Created: func(_ *sandbox.Prepared, st *backend.Status) { id = st.ID },
		Started: func(*sandbox.Started) {
			// The trap is set a moment after the command has started.
			go func() {
				for e, err := range s.driver.Logs(s.Context(), id, &backend.LogOptions{Follow: true}) {
					if err == nil && len(e.Data) > 0 {
						err = signaller.Signal(s.Context(), id, "SIGUSR1")
						signalled <- err
						return
					}
					if err != nil {
						signalled <- err
						return
					}
				}
			}()
		},
	})
	if err != nil || exit.Code != 42 {
		s.Errorf("got %+v, %v; want code 42", exit, err)
	}
	s.must(<-signalled)
}

func (s *suite) ttl() {
	sb := s.spec("sleep", "1h")
	sb.Life.TTL = spec.Duration(300 * time.Millisecond)
	st := s.create(sb)
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	exit, err := s.driver.Wait(ctx, st.Status.ID)
	s.must(err)
	if exit.Code != 143 {
		s.Errorf("exit code %d, want 143", exit.Code)
	}
}

// cancel ends Run at moments that differ from try to try.
func (s *suite) cancel() {
	before, err := s.cfg.Objects(s.Context())
	s.must(err)
	for i := range 12 {
		ctx, cancel := context.WithTimeout(s.Context(), time.Duration(1<<i)*time.Millisecond)
		_, err := s.m.Run(ctx, sandbox.Request{Spec: s.spec("sleep", "1h")}, backend.Streams{}, sandbox.RunHooks{})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			s.Errorf("try %d: error %v, want the context's", i, err)
		}
		after, err := s.cfg.Objects(s.Context())
		s.must(err)
		if !slices.Equal(before, after) {
			s.Errorf("try %d: the engine has %q, and had %q", i, after, before)
		}
		s.emptyState()
	}
}

func (s *suite) failedStart() {
	dir := s.folder(uint32(os.Getuid()), 0o755)
	sb := bind(s.spec(), dir, "/workspace", spec.ModeRW)
	sb.Process.Command = []string{"no-such-command"}
	st, _, err := s.m.Create(s.Context(), sandbox.Request{Spec: sb})
	s.must(err)
	defer func() { s.must(s.m.Remove(context.Background(), st.ID, nil)) }()
	if _, err := s.m.Start(s.Context(), st.ID, nil); err == nil {
		s.Fatal("started")
	}
	now, err := s.driver.Inspect(s.Context(), st.ID)
	s.must(err)
	if now.Phase == backend.PhaseRunning {
		s.Error("still running")
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		s.Errorf("left %v in the folder", left)
	}
}

func (s *suite) startTwice() {
	st, _, err := s.m.Create(s.Context(), sandbox.Request{Spec: s.spec("sleep", "1h")})
	s.must(err)
	defer func() { s.must(s.m.Remove(context.Background(), st.ID, &backend.RemoveOptions{Force: true})) }()
	other := s.manager(sandbox.Caller{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())})
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		m := []*sandbox.Manager{s.m, other}[i%2]
		wg.Go(func() { _, errs[i] = m.Start(s.Context(), st.ID, nil) })
	}
	wg.Wait()
	s.must(errors.Join(errs...))
}

func (s *suite) secrets() {
	const secret = "correct-horse-battery-staple"
	sb := s.spec("env", "TOKEN")
	sb.Process.Env = map[string]string{"TOKEN": secret}
	var status []byte
	var stdout bytes.Buffer
	_, err := s.m.Run(s.Context(), sandbox.Request{Spec: sb}, backend.Streams{Stdout: &stdout}, sandbox.RunHooks{
		Created: func(p *sandbox.Prepared, st *backend.Status) {
			status, _ = json.Marshal([]any{st, sandbox.NewView(st), p.Plan, p.Decision})
		},
	})
	s.must(err)
	if !strings.Contains(stdout.String(), secret) {
		s.Errorf("the command does not have the value: %s", stdout.String())
	}
	if len(status) == 0 || bytes.Contains(status, []byte(secret)) {
		s.Errorf("status, plan or decision show the value: %s", status)
	}
}

func (s *suite) names() {
	sb := s.spec("sleep", "1h")
	sb.Name = "unique-" + strings.ToLower(handshake.NewNonce()[:6])
	s.create(sb)
	_, _, err := s.m.Create(s.Context(), sandbox.Request{Spec: sb})
	var e *backend.Error
	if !errors.As(err, &e) || e.Kind != backend.Exists || e.Field != "name" {
		s.Errorf("error %v, want Exists at name", err)
	}
}

// Many makes n sandboxes, eight at a time, has them all alive at once, and
// removes them.
func Many(t *testing.T, cfg Config, n int) {
	t.Helper()
	before, err := cfg.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{T: t, cfg: cfg, state: filepath.Join(t.TempDir(), "state")}
	s.m = s.manager(sandbox.Caller{UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Home: "/nonexistent"})
	s.driver = s.m.Driver()
	ids := make([]backend.ID, n)
	each := func(do func(i int) error) {
		t.Helper()
		errs := make([]error, n)
		slots := make(chan struct{}, 8)
		var wg sync.WaitGroup
		for i := range n {
			slots <- struct{}{}
			wg.Go(func() {
				errs[i] = do(i)
				<-slots
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
	}
	start := time.Now()
	each(func(i int) error {
		st, _, err := s.m.Create(t.Context(), sandbox.Request{Spec: s.spec("sleep", "1h")})
		if err != nil {
			return err
		}
		ids[i] = st.ID
		_, err = s.m.Start(t.Context(), st.ID, nil)
		return err
	})
	t.Logf("%d sandboxes were started in %s", n, time.Since(start).Round(time.Millisecond))
	list, err := s.m.List(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	running := 0
	for _, st := range list {
		if st.Phase == backend.PhaseRunning && slices.Contains(ids, st.ID) {
			running++
		}
	}
	if running != n {
		t.Errorf("%d of %d sandboxes run at once", running, n)
	}
	each(func(i int) error {
		if ids[i] == "" {
			return nil
		}
		return s.m.Remove(context.Background(), ids[i], &backend.RemoveOptions{Force: true})
	})
	s.emptyState()
	after, err := cfg.Objects(t.Context())
	if err != nil || !slices.Equal(before, after) {
		t.Errorf("the engine has %q, and had %q; %v", after, before, err)
	}
}
