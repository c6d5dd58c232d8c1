// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/backend/fake"
	"github.com/berthrun/berth/conformance"
	"github.com/berthrun/berth/spec"
)

// harness is the fake's, with a driver and facts that a test can change.
type harness struct {
	*fake.Harness
	wrap func(backend.Driver) backend.Driver
	host func(*conformance.Host)
	err  error
}

func newHarness(t *testing.T, opts ...fake.Option) *harness {
	t.Helper()
	h, err := fake.NewHarness(t.TempDir(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	return &harness{Harness: h}
}

func (h *harness) Open(ctx context.Context) (backend.Driver, error) {
	d, err := h.Harness.Open(ctx)
	if err == nil && h.wrap != nil {
		d = h.wrap(d)
	}
	return d, err
}

func (h *harness) Host() conformance.Host {
	host := h.Harness.Host()
	host.Lacks = maps.Clone(host.Lacks)
	if h.host != nil {
		h.host(&host)
	}
	return host
}

func (h *harness) Image(ctx context.Context, kind conformance.ImageKind) (string, error) {
	if h.err != nil {
		return "", h.err
	}
	return h.Harness.Image(ctx, kind)
}

// clause is one that exists.
const clause = "driver.exit.code"

// body makes a test of the engine's own.
func body(id string, fn func(*conformance.T)) conformance.Test {
	return conformance.Test{ID: "own." + id + ".works", Clause: clause, Level: spec.Must, Fn: fn}
}

func execute(t *testing.T, h conformance.Harness, cfg conformance.Config) (*conformance.Report, error) {
	t.Helper()
	if cfg.Scale == 0 {
		cfg.Scale = 0.1
	}
	return conformance.Execute(t.Context(), h, &cfg)
}

func outcomes(r *conformance.Report) map[string]conformance.Outcome {
	m := map[string]conformance.Outcome{}
	for _, x := range r.Results {
		m[strings.TrimSuffix(strings.TrimPrefix(x.ID, "own."), ".works")] = x.Outcome
	}
	return m
}

func result(t *testing.T, r *conformance.Report, id string) conformance.Result {
	t.Helper()
	i := slices.IndexFunc(r.Results, func(x conformance.Result) bool { return x.ID == "own."+id+".works" || x.ID == id })
	if i < 0 {
		t.Fatalf("no result of %s: %v", id, r.Results)
	}
	return r.Results[i]
}

// kindOf returns the RunError, and whether it says that the run is invalid.
func kindOf(err error) string {
	var e *conformance.RunError
	switch {
	case err == nil:
		return "green"
	case errors.As(err, &e) && e.Invalid:
		return "invalid"
	case errors.As(err, &e):
		return "failed"
	}
	return err.Error()
}

func TestOutcomes(t *testing.T) {
	var order []string
	var mu sync.Mutex
	note := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, s)
	}
	tests := []conformance.Test{
		body("pass", func(*conformance.T) {}),
		body("errorf", func(ct *conformance.T) { ct.Errorf("one"); ct.Errorf("two"); ct.Logf("noted") }),
		body("fatalf", func(ct *conformance.T) { ct.Fatalf("the end"); note("after fatalf") }),
		body("panic", func(ct *conformance.T) {
			ct.Cleanup(func(context.Context) error { note("cleaned up after panic"); return nil })
			panic("boom")
		}),
		body("cleanup", func(ct *conformance.T) {
			ct.Cleanup(func(context.Context) error { note("first in, last out"); return errors.New("cannot clean up") })
			ct.Cleanup(func(context.Context) error { note("last in, first out"); return nil })
		}),
		body("cleanup-panic", func(ct *conformance.T) {
			ct.Cleanup(func(context.Context) error { panic("in clean-up") })
		}),
		body("left-out", func(*conformance.T) { note("left out") }),
	}
	// Refused, because the fake has no such thing.
	missing := body("missing", func(*conformance.T) { note("missing") })
	missing.Needs = []backend.Capability{backend.NetEgress}
	lacking := body("lacking", func(*conformance.T) { note("lacking") })
	lacking.Host = []conformance.Fact{conformance.FactService}
	verb := body("verb", func(*conformance.T) { note("verb") })
	verb.Verb = &conformance.Verb{Name: "Nothing", Has: func(backend.Driver) bool { return false }}
	h := newHarness(t)
	h.host = func(host *conformance.Host) {
		host.Service, host.Lacks[conformance.FactService] = conformance.Endpoint{}, "a reason"
	}
	var progress []string
	report, err := execute(t, h, conformance.Config{
		Tests: append(tests, missing, lacking, verb), Parallel: 1,
		Match:    func(id string) bool { return id != "own.left-out.works" },
		Progress: func(r conformance.Result) { progress = append(progress, r.ID) },
	})
	if kindOf(err) != "failed" {
		t.Errorf("the run is %s, want failed", kindOf(err))
	}
	want := map[string]conformance.Outcome{
		"pass": conformance.Pass, "errorf": conformance.Fail, "fatalf": conformance.Fail, "panic": conformance.Fail,
		"cleanup": conformance.Fail, "cleanup-panic": conformance.Fail, "left-out": conformance.NotRun,
		"missing": conformance.Refused, "lacking": conformance.NotApplicable, "verb": conformance.Refused,
	}
	if diff := cmp.Diff(want, outcomes(report)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"last in, first out", "first in, last out", "cleaned up after panic"}, order); diff != "" {
		t.Errorf("what ran: %s", diff)
	}
	for id, text := range map[string]string{
		"errorf": "one\ntwo", "fatalf": "the end", "panic": "panic: boom", "cleanup": "cannot clean up", "cleanup-panic": "in clean-up",
		"lacking": "service: a reason", "missing": "net.egress", "verb": "backend.Nothing",
	} {
		if m := result(t, report, id).Message; !strings.Contains(m, text) {
			t.Errorf("%s says %q, want %q in it", id, m, text)
		}
	}
	if m := result(t, report, "panic").Message; !strings.Contains(m, "engine_test.go") {
		t.Errorf("a panic does not tell where: %q", m)
	}
	if log := result(t, report, "errorf").Log; !slices.Equal(log, []string{"noted"}) {
		t.Errorf("the log is %q", log)
	}
	if len(progress) != len(report.Results) || !slices.IsSortedFunc(report.Results, func(a, b conformance.Result) int { return strings.Compare(a.ID, b.ID) }) {
		t.Errorf("%d results were told of, want %d, sorted in the report", len(progress), len(report.Results))
	}
}

func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	deaf := body("deaf", func(*conformance.T) { <-release })
	late := body("late", func(ct *conformance.T) { <-ct.Context().Done() })
	deaf.Timeout, late.Timeout = 100*time.Millisecond, 100*time.Millisecond
	report, err := execute(t, newHarness(t), conformance.Config{Tests: []conformance.Test{deaf, late, body("pass", func(*conformance.T) {})}, Scale: 0.02})
	if kindOf(err) != "failed" {
		t.Errorf("the run is %s, want failed", kindOf(err))
	}
	for id, text := range map[string]string{"deaf": "given up", "late": "deadline"} {
		if r := result(t, report, id); r.Outcome != conformance.Fail || !strings.Contains(r.Message, text) {
			t.Errorf("%s: %s: %s", id, r.Outcome, r.Message)
		}
	}
	if r := result(t, report, "pass"); r.Outcome != conformance.Pass {
		t.Errorf("the others suffer: %s: %s", r.Outcome, r.Message)
	}
}

func TestKnownFailures(t *testing.T) {
	tests := []conformance.Test{
		body("broken", func(ct *conformance.T) { ct.Errorf("as ever") }),
		body("repaired", func(*conformance.T) {}),
	}
	known := func(ids ...string) []conformance.Known {
		var list []conformance.Known
		for _, id := range ids {
			list = append(list, conformance.Known{ID: "own." + id + ".works", Issue: "https://berth.example/1", Reason: "somebody else's defect"})
		}
		return list
	}
	t.Run("as listed", func(t *testing.T) {
		report, err := execute(t, newHarness(t), conformance.Config{Tests: tests, Known: known("broken")})
		if kindOf(err) != "green" || result(t, report, "broken").Outcome != conformance.KnownFailure {
			t.Errorf("%s, %v", kindOf(err), outcomes(report))
		}
		if m := result(t, report, "broken").Message; !strings.Contains(m, "https://berth.example/1") || !strings.Contains(m, "as ever") {
			t.Errorf("the message is %q", m)
		}
	})
	t.Run("stale", func(t *testing.T) {
		report, err := execute(t, newHarness(t), conformance.Config{Tests: tests, Known: known("broken", "repaired")})
		if kindOf(err) != "failed" || result(t, report, "repaired").Outcome != conformance.Stale {
			t.Errorf("%s, %v", kindOf(err), outcomes(report))
		}
	})
	t.Run("unknown id", func(t *testing.T) {
		_, err := execute(t, newHarness(t), conformance.Config{Tests: tests, Known: known("no-such")})
		if kindOf(err) != "invalid" || !strings.Contains(err.Error(), "own.no-such.works") {
			t.Errorf("%v", err)
		}
	})
}

func TestFlaky(t *testing.T) {
	tries := 0
	flaky := body("flaky", func(ct *conformance.T) {
		if tries++; tries < 3 {
			ct.Errorf("not this time")
		}
	})
	report, err := execute(t, newHarness(t), conformance.Config{Tests: []conformance.Test{flaky}, Attempts: 3})
	if r := result(t, report, "flaky"); kindOf(err) != "failed" || r.Outcome != conformance.Flaky || r.Attempts != 3 {
		t.Errorf("%s, %s after %d attempts", kindOf(err), r.Outcome, r.Attempts)
	}
	tries = 0
	report, _ = execute(t, newHarness(t), conformance.Config{Tests: []conformance.Test{flaky}})
	if r := result(t, report, "flaky"); r.Outcome != conformance.Fail || r.Attempts != 1 {
		t.Errorf("without asking: %s after %d attempts", r.Outcome, r.Attempts)
	}
}

// TestInvalid: a run that proves nothing is an error, never green.
func TestInvalid(t *testing.T) {
	pass := []conformance.Test{body("pass", func(*conformance.T) {})}
	uses := []conformance.Test{body("uses-image", func(ct *conformance.T) { ct.NewSpec() })}
	lacking := body("lacking", func(*conformance.T) {})
	lacking.Host = []conformance.Fact{conformance.FactService}
	twice := append(slices.Clone(pass), pass...)
	badID, noClause, noBody, badNeed, badFact := pass[0], pass[0], pass[0], pass[0], pass[0]
	badID.ID, noClause.Clause, noBody.Fn = "Wrong", "no.such.clause", nil
	badNeed.Needs, badFact.Host = []backend.Capability{"no.such"}, []conformance.Fact{"no-such"}
	for name, c := range map[string]struct {
		cfg  conformance.Config
		host func(*conformance.Host)
		wrap func(backend.Driver) backend.Driver
		err  error
		want string
	}{
		"nothing selected":   {cfg: conformance.Config{Tests: pass, Match: func(string) bool { return false }}, want: "no test was executed"},
		"nothing applicable": {cfg: conformance.Config{Tests: []conformance.Test{lacking}}, host: lacks(conformance.FactService, "why"), want: "no test was executed"},
		"no image":           {cfg: conformance.Config{Tests: uses}, err: errors.New("no disk"), want: "own.uses-image.works"},
		"fact unsaid":        {cfg: conformance.Config{Tests: pass}, host: func(h *conformance.Host) { h.Service = conformance.Endpoint{} }, want: "provides no service"},
		"no reason":          {cfg: conformance.Config{Tests: pass}, host: lacks(conformance.FactService, ""), want: "without a reason"},
		"unknown fact":       {cfg: conformance.Config{Tests: pass}, host: lacks("nothing", "why"), want: `no fact "nothing"`},
		"no directory":       {cfg: conformance.Config{Tests: pass}, host: func(h *conformance.Host) { h.TempDir = "" }, want: "TempDir"},
		"same id twice":      {cfg: conformance.Config{Tests: twice}, want: "the id is taken"},
		"bad id":             {cfg: conformance.Config{Tests: []conformance.Test{badID}}, want: "area.subject.expectation"},
		"no clause":          {cfg: conformance.Config{Tests: []conformance.Test{noClause}}, want: "no.such.clause"},
		"no body":            {cfg: conformance.Config{Tests: []conformance.Test{noBody}}, want: "no body"},
		"bad need":           {cfg: conformance.Config{Tests: []conformance.Test{badNeed}}, want: `no capability "no.such"`},
		"bad fact":           {cfg: conformance.Config{Tests: []conformance.Test{badFact}}, want: `no fact "no-such"`},
		"no engine":          {cfg: conformance.Config{Tests: pass}, wrap: func(d backend.Driver) backend.Driver { return deadDriver{d} }, want: "probe the engine"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.host, h.wrap, h.err = c.host, c.wrap, c.err
			report, err := execute(t, h, c.cfg)
			if kindOf(err) != "invalid" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q in it", kindOf(err), err, c.want)
			}
			if report == nil {
				t.Fatal("no report")
			}
			if kindOf(report.Err()) != "invalid" {
				t.Errorf("the report by itself is %s", kindOf(report.Err()))
			}
			if slices.ContainsFunc(report.Profiles, func(v conformance.Verdict) bool { return v.Conformant }) {
				t.Errorf("a profile is conformant: %v", report.Profiles)
			}
		})
	}
}

func lacks(f conformance.Fact, reason string) func(*conformance.Host) {
	return func(h *conformance.Host) {
		h.Lacks[f] = reason
		if f == conformance.FactService {
			h.Service = conformance.Endpoint{}
		}
	}
}

// deadDriver does not answer.
type deadDriver struct{ backend.Driver }

func (deadDriver) Probe(context.Context, bool) (*backend.Info, error) {
	return nil, &backend.Error{Kind: backend.Unavailable, Op: "dead.probe"}
}

// silentDriver says nothing about one capability.
type silentDriver struct {
	backend.Driver
	about backend.Capability
}

func (d silentDriver) Unwrap() backend.Driver { return d.Driver }

func (d silentDriver) Probe(ctx context.Context, deep bool) (*backend.Info, error) {
	info, err := d.Driver.Probe(ctx, deep)
	if err == nil {
		info.Claims[d.about] = backend.Claim{Reason: "nobody looked", Fact: info.Claims[d.about].Fact}
	}
	return info, err
}

// TestUnknownClaim: a driver that does not say fails, and is not skipped.
func TestUnknownClaim(t *testing.T) {
	h := newHarness(t)
	h.wrap = func(d backend.Driver) backend.Driver { return silentDriver{d, backend.ResShm} }
	report, err := execute(t, h, conformance.Config{Match: func(id string) bool {
		return id == "probe.claims.complete" || id == "resources.shm.size" || id == "resources.pids.bite"
	}})
	if kindOf(err) != "failed" {
		t.Errorf("the run is %s, want failed", kindOf(err))
	}
	for id, want := range map[string]conformance.Outcome{"probe.claims.complete": conformance.Fail, "resources.shm.size": conformance.Fail, "resources.pids.bite": conformance.Pass} {
		if got := result(t, report, id).Outcome; got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
}

// TestLeaksAreFound: what a test leaves is found after it, by the engine's own
// list.
func TestLeaksAreFound(t *testing.T) {
	leaks := body("leaks", func(ct *conformance.T) { ct.Create(ct.NewSpec()) })
	report, err := execute(t, newHarness(t, fake.WithBug(fake.BugSandboxLeaked)), conformance.Config{Tests: []conformance.Test{leaks}, Scale: 0.02})
	if r := result(t, report, "leaks"); kindOf(err) != "failed" || !strings.Contains(r.Message, "left in the engine: sandbox") {
		t.Errorf("%s: %s", kindOf(err), r.Message)
	}
}

// TestOthersAreLeftAlone: the suite passes on an engine in use, and what others
// have there stays.
func TestOthersAreLeftAlone(t *testing.T) {
	h := newHarness(t)
	var other *conformance.Sandbox
	hold := body("other", func(ct *conformance.T) {
		other = ct.Start(ct.NewSpec())
		report, err := execute(t, h, conformance.Config{Match: func(id string) bool {
			return strings.HasPrefix(id, "cleanup.") || strings.HasPrefix(id, "plan.") || strings.HasPrefix(id, "life.ttl")
		}})
		if err != nil {
			t.Errorf("%v: %v", err, outcomes(report))
		}
		if status, err := ct.Driver().Inspect(ct.Context(), other.ID); err != nil || status.Phase != backend.PhaseRunning {
			t.Errorf("the other's sandbox is %v, %v", status, err)
		}
	})
	if _, err := execute(t, h, conformance.Config{Tests: []conformance.Test{hold}, Scale: 1}); err != nil {
		t.Error(err)
	}
}

func TestGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	started := body("started", func(ct *conformance.T) {
		ct.Start(ct.NewSpec())
		cancel()
		<-ct.Context().Done()
	})
	late := body("zz-late", func(*conformance.T) { t.Error("a test began after the run was given up") })
	h := newHarness(t)
	report, err := conformance.Execute(ctx, h, &conformance.Config{Tests: []conformance.Test{started, late}, Parallel: 1})
	if !errors.Is(err, context.Canceled) || report.Error == "" {
		t.Errorf("%v, %q", err, report.Error)
	}
	if o := result(t, report, "zz-late").Outcome; o != conformance.NotRun {
		t.Errorf("the late one is %s", o)
	}
	if objects, err := h.Objects(t.Context()); err != nil || len(objects) > 0 {
		t.Errorf("left in the engine: %v, %v", objects, err)
	}
}

func TestSerialRunsAlone(t *testing.T) {
	var mu sync.Mutex
	running, most := 0, 0
	enter := func(serial bool) func(*conformance.T) {
		return func(ct *conformance.T) {
			mu.Lock()
			running++
			most = max(most, running)
			if serial && running > 1 {
				ct.Errorf("%d others run", running-1)
			}
			mu.Unlock()
			if !serial {
				ct.Eventually("company", func() error {
					mu.Lock()
					defer mu.Unlock()
					if most < 2 {
						return errors.New("alone")
					}
					return nil
				})
			}
			mu.Lock()
			running--
			mu.Unlock()
		}
	}
	var tests []conformance.Test
	for i := range 4 {
		serial := body(fmt.Sprint("serial-", i), enter(true))
		serial.Serial = true
		tests = append(tests, serial, body(fmt.Sprint("parallel-", i), enter(false)))
	}
	if _, err := execute(t, newHarness(t), conformance.Config{Tests: tests, Parallel: 3}); err != nil {
		t.Error(err)
	}
	if most > 3 {
		t.Errorf("%d tests ran at once, want at most 3", most)
	}
}

func TestCatalogue(t *testing.T) {
	tests := conformance.Catalogue()
	if len(tests) < 90 {
		t.Errorf("%d tests", len(tests))
	}
	clauses := map[string]spec.Level{}
	for _, c := range spec.Clauses() {
		clauses[c.ID] = c.Level
	}
	carried := map[string]bool{}
	areas := map[string]bool{}
	for _, test := range tests {
		level, ok := clauses[test.Clause]
		if !ok || level != test.Level {
			t.Errorf("%s carries %q at level %q, which is %q", test.ID, test.Clause, test.Level, level)
		}
		carried[test.Clause], areas[test.Area()] = true, true
	}
	for id, level := range clauses {
		if !carried[id] && level == spec.Must {
			t.Errorf("no test carries the clause %s", id)
		}
	}
	for area := range strings.FieldsSeq("spec image mount user binding network resources security life exec logs copy errors cleanup concurrency probe plan") {
		if !areas[area] {
			t.Errorf("area %s has no test", area)
		}
	}
	for _, p := range conformance.Profiles() {
		if !slices.ContainsFunc(tests, p.Has) {
			t.Errorf("profile %s has no test", p.Name)
		}
	}
}

// sample is a report with every kind of outcome and hostile text.
func sample(t *testing.T) *conformance.Report {
	t.Helper()
	tests := []conformance.Test{
		body("pass", func(ct *conformance.T) { ct.Logf("a line") }),
		body("fail", func(ct *conformance.T) { ct.Errorf("first | line <b>\nsecond `line` \x1b[31m\x00\xff ]]>") }),
		body("left-out", func(*conformance.T) {}),
	}
	missing := body("missing", func(*conformance.T) {})
	missing.Needs = []backend.Capability{backend.NetEgress}
	report, _ := execute(t, newHarness(t), conformance.Config{
		Tests: append(tests, missing), Command: "berth conformance run", Match: func(id string) bool { return !strings.Contains(id, "left-out") },
	})
	return report
}

func TestReportIsStable(t *testing.T) {
	render := func() string {
		r := sample(t)
		r.Started, r.Duration = time.Time{}, 0
		for i := range r.Results {
			r.Results[i].Duration = 0
		}
		var b bytes.Buffer
		if err := r.WriteJSON(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if diff := cmp.Diff(render(), render()); diff != "" {
		t.Error(diff)
	}
}

func TestReportRoundTrip(t *testing.T) {
	var b bytes.Buffer
	if err := sample(t).WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	r, err := conformance.ReadReport(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := r.WriteJSON(&again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(text, again.String()); diff != "" {
		t.Error(diff)
	}
	for name, bad := range map[string]string{
		"other format": strings.Replace(text, `"format": 1`, `"format": 2`, 1),
		"unknown key":  strings.Replace(text, `"format": 1`, `"format": 1, "more": 1`, 1),
		"no JSON":      text[:len(text)/2],
	} {
		if _, err := conformance.ReadReport(strings.NewReader(bad)); err == nil {
			t.Errorf("%s is read", name)
		}
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &keys); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"command", "engine", "claims", "lacks", "counts", "profiles", "results", "started"} {
		if _, ok := keys[key]; !ok {
			t.Errorf("the report has no %s", key)
		}
	}
}

func TestJUnit(t *testing.T) {
	var b bytes.Buffer
	if err := sample(t).WriteJUnit(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Suites []struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
			Errors   int `xml:"errors,attr"`
			Skipped  int `xml:"skipped,attr"`
			Cases    []struct {
				Class   string `xml:"classname,attr"`
				Name    string `xml:"name,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
					Text    string `xml:",chardata"`
				} `xml:"failure"`
				Skipped *struct {
					Message string `xml:"message,attr"`
				} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	dec := xml.NewDecoder(&b)
	dec.Strict = true
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	s := got.Suites[0]
	if s.Tests != 4 || s.Failures != 1 || s.Errors != 0 || s.Skipped != 2 {
		t.Errorf("%d tests, %d failures, %d errors, %d skipped", s.Tests, s.Failures, s.Errors, s.Skipped)
	}
	for _, c := range s.Cases {
		switch c.Name {
		case "own.fail.works":
			if c.Failure == nil || c.Class != "own" || !strings.HasPrefix(c.Failure.Message, "first | line") || !strings.Contains(c.Failure.Text, "second") {
				t.Errorf("%+v", c)
			}
		case "own.missing.works":
			if c.Skipped == nil || !strings.Contains(c.Skipped.Message, "net.egress") {
				t.Errorf("%+v", c)
			}
		}
	}
	b.Reset()
	report, _ := execute(t, newHarness(t), conformance.Config{Tests: []conformance.Test{{}}})
	if err := report.WriteJUnit(&b); err != nil || !strings.Contains(b.String(), `errors="1"`) {
		t.Errorf("an invalid run is no error in it: %v\n%s", err, b.String())
	}
}

func TestMarkdown(t *testing.T) {
	var b bytes.Buffer
	r := sample(t)
	if err := r.WriteMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{
		"berth conformance run", "| own.fail.works | MUST | fail |", `first \| line &lt;b><br>second \` + "`line", "| own.missing.works | MUST | refused |", "| net.egress | unsupported |", "kernel model",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q", want)
		}
	}
	if strings.ContainsAny(text, "\x1b\x00") {
		t.Error("control characters of a message are in the text")
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "|") && strings.Count(strings.ReplaceAll(line, `\|`, ""), "|") < 3 {
			t.Errorf("a broken row: %q", line)
		}
	}
}

func TestCompare(t *testing.T) {
	before, after := sample(t), sample(t)
	if d := conformance.Compare(before, after); !d.Empty() || d.Worse() || len(d.Lines()) != 0 {
		t.Errorf("equal reports differ: %v", d.Lines())
	}
	result := func(r *conformance.Report, id string) *conformance.Result {
		i := slices.IndexFunc(r.Results, func(x conformance.Result) bool { return x.ID == id })
		return &r.Results[i]
	}
	result(after, "own.pass.works").Outcome = conformance.Refused
	result(after, "own.fail.works").Outcome = conformance.Pass
	after.Results = append(after.Results, conformance.Result{ID: "own.new.works", Outcome: conformance.Pass})
	after.Claims[backend.ResMemory] = backend.Claim{Support: backend.Missing, Reason: "gone"}
	before.Profiles = []conformance.Verdict{{Profile: "core", Conformant: true}}
	after.Profiles = []conformance.Verdict{{Profile: "core"}}
	d := conformance.Compare(before, after)
	want := []string{
		"! profile core: not conformant, was conformant",
		"! claim resources.memory: unsupported, was native",
		"  test own.fail.works: pass, was fail",
		"  test own.new.works: pass, was not-run",
		"! test own.pass.works: refused, was pass",
	}
	if diff := cmp.Diff(want, d.Lines()); diff != "" {
		t.Error(diff)
	}
	if d.Empty() || !d.Worse() {
		t.Errorf("empty %v, worse %v", d.Empty(), d.Worse())
	}
	if back := conformance.Compare(after, before); !back.Worse() {
		t.Error("a test that is gone is not worse")
	}
}

// TestVerdict: a profile is conformant or not, and there is no verdict about one
// of which not all was run.
func TestVerdict(t *testing.T) {
	h := newHarness(t)
	report, err := execute(t, h, conformance.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range conformance.Profiles() {
		if v, ok := report.Verdict(p.Name); !ok || len(h.Host().Lacks) == 0 && !v.Conformant {
			t.Errorf("profile %s: %+v, %v", p.Name, v, ok)
		}
	}
	report, _ = execute(t, newHarness(t, fake.WithBug(fake.BugShmIgnored)), conformance.Config{})
	if v, ok := report.Verdict("core"); !ok || v.Conformant || !slices.Contains(v.Against, "resources.shm.size") {
		t.Errorf("with a bug: %+v, %v", v, ok)
	}
	report, _ = execute(t, newHarness(t, fake.Without(backend.ResShm)), conformance.Config{})
	if v, ok := report.Verdict("core"); !ok || v.Conformant || !slices.Contains(v.Against, "resources.shm.size") {
		t.Errorf("without a capability: %+v, %v", v, ok)
	}
	report, _ = execute(t, newHarness(t), conformance.Config{Match: func(id string) bool { return id != "resources.shm.size" }})
	if v, ok := report.Verdict("core"); ok {
		t.Errorf("a verdict without one of the tests: %+v", v)
	}
}

func TestReadKnown(t *testing.T) {
	good := `[{"id": "a.b.c", "issue": "https://berth.example/1", "reason": "why"}]`
	if list, err := conformance.ReadKnown(strings.NewReader(good)); err != nil || len(list) != 1 || list[0].ID != "a.b.c" {
		t.Errorf("%v, %v", list, err)
	}
	for name, text := range map[string]string{
		"nothing":     "",
		"no list":     `{}`,
		"unknown key": `[{"id": "a.b.c", "issue": "x", "reason": "why", "until": "x"}]`,
		"no issue":    `[{"id": "a.b.c", "issue": " ", "reason": "why"}]`,
		"no reason":   `[{"id": "a.b.c", "issue": "x"}]`,
		"twice":       `[{"id": "a.b.c", "issue": "x", "reason": "y"}, {"id": "a.b.c", "issue": "x", "reason": "y"}]`,
		"more":        good + `[]`,
	} {
		if list, err := conformance.ReadKnown(strings.NewReader(text)); err == nil {
			t.Errorf("%s is read as %v", name, list)
		}
	}
}

func FuzzReadKnown(f *testing.F) {
	f.Add(`[{"id": "a.b.c", "issue": "https://berth.example/1", "reason": "why"}]`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, text string) {
		list, err := conformance.ReadKnown(strings.NewReader(text))
		for _, k := range list {
			if err == nil && (k.ID == "" || k.Issue == "" || k.Reason == "") {
				t.Errorf("an incomplete entry is taken: %+v", k)
			}
		}
	})
}

func FuzzReadReport(f *testing.F) {
	f.Add([]byte(`{"format": 1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := conformance.ReadReport(bytes.NewReader(data))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := errors.Join(r.WriteJSON(&b), r.WriteJUnit(&b), r.WriteMarkdown(&b)); err != nil {
			t.Error(err)
		}
		_ = conformance.Compare(r, r)
		_ = r.Err()
	})
}

// A harness has three methods; the facts that the machine does not give are
// declared with reasons.
func Example() {
	h, err := fake.NewHarness("")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer h.Close()
	report, err := conformance.Execute(context.Background(), h, &conformance.Config{
		Command: "go test", Match: func(id string) bool { return id == "life.exit.codes-pass" },
	})
	fmt.Println(report.Counts[conformance.Pass], err)
	// Output: 1 <nil>
}
