// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
)

// Config is how a run is made. The zero value runs everything.
type Config struct {
	// Match selects tests by id. Nil: all. What is left out is not-run, and a
	// profile with such a test gets no verdict.
	Match func(id string) bool
	// Known are the failures that are expected.
	Known []Known
	// Parallel is how many tests run at once. Zero: twice the processors.
	Parallel int
	// Attempts is how often a failing test is tried. Zero: once. A test that
	// passes later is flaky, not passed.
	Attempts int
	// Scale stretches every wait. Zero: 1.
	Scale float64
	// Command is the command line of the run, for the report.
	Command string
	// Tests replaces the catalogue. Nil: [Catalogue].
	Tests []Test
	// Progress is told of each result, one at a time. May be nil.
	Progress func(Result)
}

const (
	defaultTimeout = time.Minute
	// cleanupTimeout bounds the clean-up of one test, before Config.Scale.
	cleanupTimeout = time.Minute
	// grace is how long a body may go on after its deadline before it is given
	// up, before Config.Scale.
	grace = 10 * time.Second
)

// run is the state of one run. It does not change once tests run, apart from
// what has a lock.
type run struct {
	id      string
	harness Harness
	host    Host
	driver  backend.Driver
	info    *backend.Info
	tests   []Test
	scale   float64
	dir     string // on the host, for this run

	before []Object // what the engine had before the run

	mu     sync.Mutex
	images map[ImageKind]*loading
	loaded map[string]*backend.Image // by reference
}

// loading is a fixture image that is loaded at most once.
type loading struct {
	once  sync.Once
	ref   string
	image *backend.Image
	err   error
}

// Run runs the suite against h, each test as a subtest that has its id as name.
// The returned report is complete when Run returns. Bad outcomes fail t.
func Run(t *testing.T, h Harness, cfg *Config) *Report {
	t.Helper()
	report, err := execute(t.Context(), h, cfg, func(id string, body func() Result) Result {
		result := Result{Outcome: NotRun, Message: "left out by -run"}
		t.Run(id, func(t *testing.T) {
			result = body()
			for _, line := range result.Log {
				t.Log(line)
			}
			if text := strings.TrimSpace(string(result.Outcome) + ": " + result.Message); result.Outcome.Bad() {
				t.Error(text)
			} else if result.Message != "" {
				t.Log(text)
			}
		})
		return result
	})
	if err != nil {
		t.Error(err)
	}
	return report
}

// Execute runs the suite against h. The error is nil when nothing unexpected
// happened; it is a [*RunError] otherwise, or the context's own. The report is
// never nil and says as much as is known.
func Execute(ctx context.Context, h Harness, cfg *Config) (*Report, error) {
	return execute(ctx, h, cfg, func(_ string, body func() Result) Result { return body() })
}

func execute(ctx context.Context, h Harness, cfg *Config, wrap func(string, func() Result) Result) (*Report, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	report := newReport(cfg)
	defer report.finish(time.Now())
	r, err := open(ctx, h, cfg)
	if err != nil {
		report.Error = err.Error()
		if ctx.Err() != nil {
			return report, ctx.Err()
		}
		return report, &RunError{Invalid: true, Err: err}
	}
	defer r.close()
	report.describe(r)
	items := r.plan(cfg)
	results := r.schedule(ctx, items, cfg, wrap)
	report.Results = results
	if ctx.Err() != nil {
		report.Error = "given up: " + context.Cause(ctx).Error()
		return report, ctx.Err()
	}
	return report, report.Err()
}

// open makes everything that the tests of a run share.
func open(ctx context.Context, h Harness, cfg *Config) (*run, error) {
	r := &run{
		id: randomWord(6), harness: h, host: h.Host(), scale: cfg.Scale, tests: cfg.Tests,
		images: map[ImageKind]*loading{}, loaded: map[string]*backend.Image{},
	}
	if r.scale <= 0 {
		r.scale = 1
	}
	if r.tests == nil {
		r.tests = Catalogue()
	}
	r.tests = slices.Clone(r.tests)
	slices.SortFunc(r.tests, func(a, b Test) int { return strings.Compare(a.ID, b.ID) })
	if err := errors.Join(check(r.tests), checkHost(h, r.host), checkKnown(cfg.Known, r.tests)); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(r.host.TempDir, "conformance-"+r.id+"-")
	if err != nil {
		return nil, fmt.Errorf("make the run's folder on the host: %w", err)
	}
	// The engine may run as another user than the tests.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	r.dir = dir
	if r.driver, err = h.Open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open the driver: %w", err), os.RemoveAll(dir))
	}
	if r.info, err = r.driver.Probe(ctx, true); err == nil && r.info == nil {
		err = errors.New("no info")
	}
	if err != nil {
		err = fmt.Errorf("probe the engine: %w", err)
	} else {
		r.before, err = r.objects(ctx)
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *run) close() {
	// Nothing depends on either any more; a test has looked for leaks.
	_ = r.driver.Close()
	_ = os.RemoveAll(r.dir)
}

// objects lists what berth has in the engine, or nothing without a LeakChecker.
func (r *run) objects(ctx context.Context) ([]Object, error) {
	checker, ok := r.harness.(LeakChecker)
	if !ok {
		return nil, nil
	}
	objects, err := checker.Objects(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the engine's objects: %w", err)
	}
	return objects, nil
}

// image returns the fixture image of a kind, loading it on the first call.
func (r *run) image(ctx context.Context, kind ImageKind) (string, *backend.Image, error) {
	r.mu.Lock()
	l := r.images[kind]
	if l == nil {
		l = &loading{}
		r.images[kind] = l
	}
	r.mu.Unlock()
	l.once.Do(func() {
		// Other tests wait for this one, so its end must not end theirs.
		ctx := context.WithoutCancel(ctx)
		if l.ref, l.err = r.harness.Image(ctx, kind); l.err != nil {
			return
		}
		imager, ok := backend.As[backend.Imager](r.driver)
		if !ok {
			l.err = errors.New("the driver is no backend.Imager")
			return
		}
		if l.image, l.err = imager.Image(ctx, l.ref, ""); l.err == nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.loaded[l.ref] = l.image
		}
	})
	return l.ref, l.image, l.err
}

// schedule runs the items: twins and serial tests one after the other, then the
// rest in parallel, then the last ones. The results are in the order of items.
func (r *run) schedule(ctx context.Context, items []item, cfg *Config, wrap func(string, func() Result) Result) []Result {
	results := make([]Result, len(items))
	var progress sync.Mutex
	one := func(i int) {
		p := items[i]
		result := Result{Outcome: NotRun, Message: p.reason}
		if p.outcome != NotRun {
			if ctx.Err() != nil {
				result.Message = "the run was given up"
			} else {
				result = wrap(p.test.ID, func() Result { return r.result(ctx, p, cfg) })
			}
		}
		result.ID, result.Clause, result.Level = p.test.ID, p.test.Clause, p.test.Level
		results[i] = result
		if cfg.Progress != nil {
			progress.Lock()
			defer progress.Unlock()
			cfg.Progress(result)
		}
	}
	var parallel, last []int
	for i, p := range items {
		switch {
		case p.test.last:
			last = append(last, i)
		case p.test.Serial || p.mode != runTest:
			one(i)
		default:
			parallel = append(parallel, i)
		}
	}
	workers := cfg.Parallel
	if workers <= 0 {
		workers = 2 * runtime.GOMAXPROCS(0)
	}
	queue := make(chan int)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range queue {
				one(i)
			}
		})
	}
	for _, i := range parallel {
		queue <- i
	}
	close(queue)
	wg.Wait()
	for _, i := range last {
		one(i)
	}
	return results
}

// result carries out one item, with its attempts.
func (r *run) result(ctx context.Context, p item, cfg *Config) Result {
	if p.mode == runNothing {
		return Result{Outcome: p.outcome, Message: p.reason}
	}
	if p.mode == runUnknown {
		return Result{Outcome: Fail, Message: p.reason}
	}
	body := p.test.Fn
	if p.mode == runTwin {
		body = func(t *T) { t.twin(p.missing) }
	}
	var result Result
	start := time.Now()
	for n := 1; n <= max(cfg.Attempts, 1); n++ {
		result = r.attempt(ctx, &p.test, body)
		result.Attempts = n
		if result.Outcome == Pass || result.Outcome == Errored || p.known != nil || ctx.Err() != nil {
			break
		}
	}
	result.Duration = time.Since(start)
	switch {
	case result.Outcome == Pass && p.known != nil:
		result.Outcome = Stale
		result.Message = fmt.Sprintf("passes, but is listed as a known failure: remove it (%s)", p.known.Issue)
	case result.Outcome == Pass && result.Attempts > 1:
		result.Outcome = Flaky
		result.Message = fmt.Sprintf("passed at attempt %d", result.Attempts)
	case result.Outcome == Pass && p.mode == runTwin:
		result.Outcome, result.Message = Refused, p.reason
	case result.Outcome == Fail && p.known != nil:
		result.Outcome = KnownFailure
		result.Message = fmt.Sprintf("%s (%s): %s", p.known.Reason, p.known.Issue, result.Message)
	}
	return result
}

// attempt runs a body once, cleans up after it and looks for what it left.
func (r *run) attempt(ctx context.Context, test *Test, body func(*T)) Result {
	timeout := test.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	scaled := func(d time.Duration) time.Duration { return time.Duration(float64(d) * r.scale) }
	bodyCtx, cancel := context.WithTimeout(ctx, scaled(timeout))
	defer cancel()
	t := &T{run: r, test: test, ctx: bodyCtx}
	done := t.body(body)
	select {
	case <-done:
	case <-bodyCtx.Done():
		late := time.NewTimer(scaled(grace))
		defer late.Stop()
		select {
		case <-done:
		case <-late.C:
			t.Errorf("still running %v after its deadline of %v: given up", scaled(grace), scaled(timeout))
		}
	}
	if bodyCtx.Err() != nil && ctx.Err() == nil {
		t.Errorf("the deadline of %v has passed", scaled(timeout))
	}
	// Cleaning up has to work when the run is given up, too.
	cleanCtx, cancelClean := context.WithTimeout(context.WithoutCancel(ctx), scaled(cleanupTimeout))
	defer cancelClean()
	t.cleanup(cleanCtx)
	// A body that was given up may still use t.
	after := &T{run: r, test: test, ctx: cleanCtx}
	<-after.body(func(after *T) { after.wantNothingLeft(t.owned()...) })
	return t.verdict(after.failures)
}

// verdict is the result of an attempt, with what was found after it.
func (t *T) verdict(after []string) Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	result := Result{Outcome: Pass, Log: slices.Clone(t.log)}
	switch failures := slices.Concat(t.failures, after); {
	case t.broken != "":
		result.Outcome, result.Message = Errored, t.broken
	case len(failures) > 0:
		result.Outcome, result.Message = Fail, strings.Join(failures, "\n")
	}
	return result
}

// randomWord returns n characters of a-z and 0-9, the first one a letter.
func randomWord(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // never fails
	for i, b := range raw {
		if i == 0 {
			raw[i] = letters[int(b)%26]
		} else {
			raw[i] = letters[int(b)%len(letters)]
		}
	}
	return string(raw)
}

// newID returns an id for a sandbox that carries the run's.
func (r *run) newID() backend.ID { return backend.ID(r.id + randomWord(16-len(r.id))) }

// identity is the user that a spec asks for.
func (t *T) identity(s *spec.Sandbox, image *backend.Image) backend.Identity {
	host := t.Host()
	id := backend.Identity{Mode: s.User.As, Groups: slices.Clone(s.User.Groups), Home: "/"}
	switch s.User.As {
	case spec.UserCaller:
		id.UID, id.GID, id.HostUID, id.HostGID = host.UID, host.GID, host.UID, host.GID
		if t.Info().CallerAsRoot {
			id.UID, id.GID = 0, 0
		}
	case spec.UserImage:
		id.User = image.User
	default:
		id.Mode = "number"
		if _, err := fmt.Sscanf(s.User.As, "%d:%d", &id.UID, &id.GID); err != nil {
			if _, err := fmt.Sscanf(s.User.As, "%d", &id.UID); err != nil {
				t.Fatalf("user %q in the test's spec: %v", s.User.As, err)
			}
		}
		id.HostUID, id.HostGID = id.UID, id.GID
	}
	return id
}

// overlayDirs makes the directories of an overlay mount.
func (t *T) overlayDirs(m spec.Mount) backend.OverlayDirs {
	base := t.callerDir()
	dirs := backend.OverlayDirs{Lower: m.Source, Upper: m.Upper, Work: filepath.Join(base, "work")}
	if dirs.Upper == "" {
		dirs.Upper = filepath.Join(base, "upper")
	}
	for _, dir := range []string{dirs.Upper, dirs.Work} {
		err := os.MkdirAll(dir, 0o755)
		if err == nil {
			err = own(dir, t.Host().UID, t.Host().GID)
		}
		if err != nil {
			t.harnessf("make the folders of an overlay: %v", err)
		}
	}
	return dirs
}
