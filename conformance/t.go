// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/berthrun/berth/backend"
)

// T is what the body of a test works with. It offers no way to skip and none to
// sleep. Its methods may be called concurrently, except that Fatalf and the
// helpers that end the test must be called from the body's own goroutine.
type T struct {
	run  *run
	test *Test
	ctx  context.Context

	mu       sync.Mutex
	log      []string
	failures []string
	broken   string // trouble of the harness; an outcome of its own
	cleanups []func(context.Context) error
	ids      []backend.ID
	count    int
}

// Context ends at the test's deadline, or when the run is given up.
func (t *T) Context() context.Context { return t.ctx }

// Logf notes something for the report. It is shown when the test fails.
func (t *T) Logf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.log = append(t.log, clip(fmt.Sprintf(format, args...)))
}

// Errorf marks the test as failed and goes on.
func (t *T) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures = append(t.failures, clip(fmt.Sprintf(format, args...)))
}

// Fatalf marks the test as failed and ends its body.
func (t *T) Fatalf(format string, args ...any) {
	t.Errorf(format, args...)
	runtime.Goexit()
}

// Failed reports whether the test has failed so far.
func (t *T) Failed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.failures) > 0
}

// harnessf ends the test because of the harness, which makes the run invalid.
func (t *T) harnessf(format string, args ...any) {
	t.mu.Lock()
	if t.broken == "" {
		t.broken = clip(fmt.Sprintf(format, args...))
	}
	t.mu.Unlock()
	runtime.Goexit()
}

// Cleanup has f called after the body, last one first, also when the body
// failed, panicked or ran out of time. An error from f fails the test.
func (t *T) Cleanup(f func(context.Context) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}

// must ends the test when err is not nil.
func (t *T) must(err error, doing string) {
	if err != nil {
		t.Fatalf("%s: %v", doing, err)
	}
}

// clip bounds a message: what it quotes may come out of a sandbox.
func clip(s string) string {
	const most = 4 << 10
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// Driver is the driver instance that the tests of a run share.
func (t *T) Driver() backend.Driver { return t.run.driver }

// Open returns another driver instance for the same engine, closed after the
// test.
func (t *T) Open() backend.Driver {
	d, err := t.run.harness.Open(t.ctx)
	if err != nil {
		t.harnessf("open a second driver: %v", err)
	}
	t.Cleanup(func(context.Context) error { return d.Close() })
	return d
}

// Info is what the driver's Probe said when the run was planned.
func (t *T) Info() *backend.Info { return t.run.info }

// Host is the harness's.
func (t *T) Host() Host { return t.run.host }

// Has reports whether the driver claims c.
func (t *T) Has(c backend.Capability) bool { return t.run.info.Claim(c).Has() }

// Scale stretches d by the run's factor, for waits whose length matters.
func (t *T) Scale(d time.Duration) time.Duration { return time.Duration(float64(d) * t.run.scale) }

// Name returns a name for an object of the engine that no other test uses.
func (t *T) Name(what string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	return fmt.Sprintf("conf-%s-%s-%d-%d", t.run.id, what, t.number(), t.count)
}

// number tells the tests of a run apart in names whose length is bounded.
func (t *T) number() int {
	return slices.IndexFunc(t.run.tests, func(x Test) bool { return x.ID == t.test.ID })
}

// Eventually polls cond until it returns nil, and fails the test with its last
// error when that takes too long.
func (t *T) Eventually(what string, cond func() error) {
	if err := t.poll(cond); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// poll calls cond until it returns nil or the time is over.
func (t *T) poll(cond func() error) error {
	limit := time.NewTimer(t.Scale(eventually))
	defer limit.Stop()
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := cond()
		if err == nil {
			return nil
		}
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
			continue
		case <-limit.C:
		case <-t.ctx.Done():
		}
		wait.Stop()
		return fmt.Errorf("still not after %v: %w", t.Scale(eventually), err)
	}
}

// eventually is how long poll goes on, before Config.Scale.
const eventually = 15 * time.Second

// HostDir makes a folder on the engine's machine, owned by uid and gid, that the
// sandbox can be given. It is removed after the test. Owners other than the
// caller need FactRoot.
func (t *T) HostDir(uid, gid uint32, mode fs.FileMode) string {
	dir := filepath.Join(t.run.dir, t.Name("dir"))
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		t.Cleanup(func(context.Context) error { return os.RemoveAll(dir) })
		err = errors.Join(own(dir, uid, gid), os.Chmod(dir, mode))
	}
	if err != nil {
		t.harnessf("make a folder on the host: %v", err)
	}
	return dir
}

// callerDir is a folder of the caller.
func (t *T) callerDir() string { return t.HostDir(t.Host().UID, t.Host().GID, 0o755) }

// hostFile writes a file of the caller into a folder on the host.
func (t *T) hostFile(dir, name, content string) string {
	path := filepath.Join(dir, name)
	err := os.WriteFile(path, []byte(content), 0o644)
	if err == nil {
		err = own(path, t.Host().UID, t.Host().GID)
	}
	if err != nil {
		t.harnessf("make a file on the host: %v", err)
	}
	return path
}

// own gives a path to uid and gid, unless it is theirs: only root may give.
func own(path string, uid, gid uint32) error {
	if haveUID, haveGID, ok := owner(path); ok && haveUID == uid && haveGID == gid {
		return nil
	}
	return os.Lchown(path, int(uid), int(gid))
}

// wantHostFile fails the test unless the host has that content at path.
func (t *T) wantHostFile(path, content string) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Errorf("on the host: %v", err)
		return
	}
	if string(data) != content {
		t.Errorf("on the host, %s has %q, want %q", filepath.Base(path), data, content)
	}
}

// body runs f as the test's body in a goroutine of its own, so that Fatalf can
// end it. The channel is closed when the body is over.
func (t *T) body(f func(*T)) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("panic: %v\n%s", p, debug.Stack())
			}
		}()
		f(t)
	}()
	return done
}

// cleanup calls what Cleanup was given.
func (t *T) cleanup(ctx context.Context) {
	for {
		t.mu.Lock()
		n := len(t.cleanups)
		if n == 0 {
			t.mu.Unlock()
			return
		}
		f := t.cleanups[n-1]
		t.cleanups = t.cleanups[:n-1]
		t.mu.Unlock()
		<-t.body(func(t *T) {
			if err := f(ctx); err != nil {
				t.Errorf("clean-up: %v", err)
			}
		})
	}
}
