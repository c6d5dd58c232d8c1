// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/fixture"
	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/internal/enginetest"
	"github.com/berthrun/berth/spec"
)

// world is one engine with the fixture images, for one test.
type world struct {
	*driver
	t      *testing.T
	engine *enginetest.Client
}

var fixtures = sync.OnceValues(func() (*fixture.Set, error) {
	path, err := fixture.Probe(context.Background())
	if err != nil {
		return nil, err
	}
	return fixture.Load(path)
})

// open connects a driver to the engine that the tests were given.
func open(t *testing.T, host string) *driver {
	t.Helper()
	home := t.TempDir()
	d, err := Open(t.Context(), backend.Config{
		Host: host, Home: home, StateDir: home, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Getenv: func(string) (string, bool) { return "", false },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d.(*driver)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	engine := enginetest.NeedDocker(t)
	return &world{driver: open(t, engine.Host), t: t, engine: engine}
}

// image makes sure that the engine has a fixture image.
func (w *world) image(kind fixture.Kind) *backend.Image {
	w.t.Helper()
	set, err := fixtures()
	if err != nil {
		w.t.Fatal(err)
	}
	ref, err := set.Reference(kind)
	if err != nil {
		w.t.Fatal(err)
	}
	img, err := w.Image(w.t.Context(), ref, "")
	if backend.KindOf(err) == backend.NotFound {
		var archive bytes.Buffer
		if err := set.SaveTar(&archive, kind); err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.LoadImage(w.t.Context(), &archive); err != nil {
			w.t.Fatal(err)
		}
		img, err = w.Image(w.t.Context(), ref, "")
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return img
}

func newID() backend.ID {
	var b [8]byte
	rand.Read(b[:])
	return backend.ID("t" + hex.EncodeToString(b[:])[1:])
}

// request makes the request of a sandbox that runs the probe as root.
func (w *world) request(change func(*spec.Sandbox), argv ...string) *backend.CreateRequest {
	w.t.Helper()
	s := &spec.Sandbox{Image: spec.Image{Ref: "berth.test/fixture"}, User: spec.User{As: "0:0"}}
	if change != nil {
		change(s)
	}
	spec.Default(s)
	if err := spec.Validate(s); err != nil {
		w.t.Fatal(err)
	}
	return &backend.CreateRequest{
		ID: newID(), Spec: s, Digest: spec.Digest(s), Image: w.image(fixture.Tree),
		Identity: backend.Identity{Mode: "number", Home: "/root"},
		Argv:     append([]string{"/probe"}, argv...), Env: map[string]string{"HOME": "/root"},
		Record: backend.Record{Version: 1, Berth: "test", Spec: spec.Redact(s), Digest: spec.Digest(s)},
	}
}

// create makes a sandbox and removes it when the test ends.
func (w *world) create(req *backend.CreateRequest) *backend.Status {
	w.t.Helper()
	st, err := w.Create(w.t.Context(), req)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := w.Remove(ctx, req.ID, &backend.RemoveOptions{Force: true}); err != nil {
			w.t.Error(err)
		}
	})
	return st
}

// output is what a sandbox wrote.
type output struct {
	out, err bytes.Buffer
	exit     *backend.Exit
}

// run creates, attaches, starts and waits.
func (w *world) run(req *backend.CreateRequest, stdin io.Reader) *output {
	w.t.Helper()
	w.create(req)
	return w.start(req.ID, stdin)
}

func (w *world) start(id backend.ID, stdin io.Reader) *output {
	w.t.Helper()
	var o output
	p, err := w.Attach(w.t.Context(), id, &backend.AttachRequest{Streams: backend.Streams{Stdin: stdin, Stdout: &o.out, Stderr: &o.err}})
	if err != nil {
		w.t.Fatal(err)
	}
	defer p.Close()
	if err := w.Start(w.t.Context(), id); err != nil {
		w.t.Fatal(err)
	}
	if o.exit, err = p.Wait(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return &o
}

// results decodes what the probe printed.
func (w *world) results(o *output) []probe.Result {
	w.t.Helper()
	results, err := probe.Decode(o.out.Bytes())
	if err != nil {
		w.t.Fatalf("probe's output %q, errors %q: %v", o.out.String(), o.err.String(), err)
	}
	return results
}

func (w *world) exec(id backend.ID, req *backend.ExecRequest) *output {
	w.t.Helper()
	var o output
	req.Stdout, req.Stderr = &o.out, &o.err
	p, err := w.Exec(w.t.Context(), id, req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer p.Close()
	if o.exit, err = p.Wait(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return &o
}

func TestRunPassesOutputAndExitCode(t *testing.T) {
	w := newWorld(t)
	req := w.request(func(s *spec.Sandbox) { s.Process.Stdin = true }, "id", "+", "exit", "7")
	o := w.run(req, strings.NewReader("hello"))
	if o.exit.Code != 7 || !strings.Contains(o.out.String(), `"id"`) {
		t.Errorf("exit %+v, output %q, errors %q", o.exit, o.out.String(), o.err.String())
	}
	st, err := w.Inspect(t.Context(), req.ID)
	if err != nil {
		t.Fatal(err)
	}
	if st.Phase != backend.PhaseExited || st.Exit == nil || st.Exit.Code != 7 || st.FinishedAt.IsZero() {
		t.Errorf("status %+v, exit %+v", st, st.Exit)
	}
	if err := w.Remove(t.Context(), req.ID, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Inspect(t.Context(), req.ID); backend.KindOf(err) != backend.NotFound {
		t.Errorf("after remove: %v, want not found", err)
	}
}

// sshSocket makes this program play ssh: it connects its standard streams to the
// socket, as "docker system dial-stdio" does on the other machine.
const sshSocket = "BERTH_TEST_SSH_SOCKET"

func TestMain(m *testing.M) {
	socket := os.Getenv(sshSocket)
	if socket == "" {
		os.Exit(m.Run())
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		os.Exit(255)
	}
	go func() {
		io.Copy(conn, os.Stdin)
		conn.(*net.UnixConn).CloseWrite()
	}()
	io.Copy(os.Stdout, conn)
	os.Exit(0)
}

// TestSSH reaches the engine through a program named ssh, with every kind of
// connection.
func TestSSH(t *testing.T) {
	w := newWorld(t)
	img := w.image(fixture.Tree)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "ssh")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	t.Setenv(sshSocket, strings.TrimPrefix(w.engine.Host, "unix://"))
	far := &world{driver: open(t, "ssh://me@far.example"), t: t, engine: w.engine}
	info, err := far.Probe(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	if !info.Remote || info.Host != "ssh://me@far.example" {
		t.Errorf("remote %t, host %q", info.Remote, info.Host)
	}
	req := far.request(func(s *spec.Sandbox) { s.Process.Stdin = true }, "cat")
	req.Image = img
	if o := far.run(req, strings.NewReader("there and back")); o.out.String() != "there and back" || o.exit.Code != 0 {
		t.Errorf("output %q, exit %+v", o.out.String(), o.exit)
	}
}
