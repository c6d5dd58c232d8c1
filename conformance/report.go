// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
)

// Outcome is what became of a test in a run.
type Outcome string

// The outcomes.
const (
	// Pass and Fail: the body ran.
	Pass Outcome = "pass"
	Fail Outcome = "fail"
	// Refused: the capability is missing and its refusal twin passed. An honest
	// gap: no failure, and no profile.
	Refused Outcome = "refused"
	// KnownFailure: listed with its issue, and failed.
	KnownFailure Outcome = "known-failure"
	// Stale: listed as a known failure, and passed. A failure.
	Stale Outcome = "stale"
	// NotApplicable: the host lacks what the test needs, as declared beforehand.
	NotApplicable Outcome = "not-applicable"
	// Flaky: passed at a later attempt.
	Flaky Outcome = "flaky"
	// Errored: the harness is in trouble. The run is invalid.
	Errored Outcome = "error"
	// NotRun: not selected.
	NotRun Outcome = "not-run"
)

// Outcomes lists every outcome.
func Outcomes() []Outcome {
	return []Outcome{Pass, Fail, Refused, KnownFailure, Stale, NotApplicable, Flaky, Errored, NotRun}
}

// Bad reports whether the outcome keeps a run from being green.
func (o Outcome) Bad() bool { return o == Fail || o == Stale || o == Flaky || o == Errored }

// executed reports whether something was tried.
func (o Outcome) executed() bool { return o != NotApplicable && o != NotRun && o != "" }

// Result is one test of a report.
type Result struct {
	ID      string     `json:"id"`
	Clause  string     `json:"clause"`
	Level   spec.Level `json:"level"`
	Outcome Outcome    `json:"outcome"`
	// Message says why, for every outcome but pass.
	Message  string        `json:"message,omitempty"`
	Attempts int           `json:"attempts,omitempty"`
	Duration time.Duration `json:"durationNanoseconds"`
	// Log is what the test noted.
	Log []string `json:"log,omitempty"`
}

// Versions in reports.
const (
	// ReportFormat is the version of the report's JSON form.
	ReportFormat = 1
	// SuiteVersion grows when tests are added or their meaning changes.
	SuiteVersion = "0.1"
)

// Engine is the engine of a report, as the driver's Probe told.
type Engine struct {
	Driver         string   `json:"driver"`
	Engine         string   `json:"engine"`
	EngineVersion  string   `json:"engineVersion"`
	APIVersion     string   `json:"apiVersion,omitempty"`
	Remote         bool     `json:"remote"`
	Rootless       bool     `json:"rootless"`
	CallerAsRoot   bool     `json:"callerAsRoot"`
	OS             string   `json:"os"`
	Arch           string   `json:"arch"`
	Kernel         string   `json:"kernel"`
	CgroupVersion  int      `json:"cgroupVersion"`
	CgroupDriver   string   `json:"cgroupDriver,omitempty"`
	StorageDriver  string   `json:"storageDriver,omitempty"`
	Runtimes       []string `json:"runtimes"`
	DefaultRuntime string   `json:"defaultRuntime,omitempty"`
	Warnings       []string `json:"warnings"`
}

// Report is the record of a run. Its lists are sorted, so that two runs with
// the same outcomes differ in times only.
type Report struct {
	Format   int           `json:"format"`
	Suite    string        `json:"suite"`
	Spec     string        `json:"spec"`
	Command  string        `json:"command"`
	Started  time.Time     `json:"started"`
	Duration time.Duration `json:"durationNanoseconds"`
	Engine   Engine        `json:"engine"`
	// Lacks are the facts that the host does not give, with their reasons.
	Lacks map[Fact]string `json:"lacks"`
	// Claims are the driver's.
	Claims map[backend.Capability]backend.Claim `json:"claims"`
	// Counts has each outcome that occurred.
	Counts   map[Outcome]int `json:"counts"`
	Profiles []Verdict       `json:"profiles"`
	Results  []Result        `json:"results"`
	// Error says why the run as a whole came to nothing.
	Error string `json:"error,omitempty"`

	tests []Test
}

// RunError says that a run was not green.
type RunError struct {
	// Invalid: the harness or the engine was in trouble, or nothing was
	// executed; the outcomes say nothing. Otherwise tests failed.
	Invalid bool
	// IDs are the tests that made it so.
	IDs []string
	Err error
}

// Error names the tests.
func (e *RunError) Error() string {
	text := "conformance: " + e.Err.Error()
	if len(e.IDs) > 0 {
		text += ": " + strings.Join(e.IDs, ", ")
	}
	return text
}

// Unwrap returns the cause.
func (e *RunError) Unwrap() error { return e.Err }

func newReport(cfg *Config) *Report {
	return &Report{
		Format: ReportFormat, Suite: SuiteVersion, Spec: spec.APIVersion, Command: cfg.Command,
		Lacks: map[Fact]string{}, Claims: map[backend.Capability]backend.Claim{},
		Counts: map[Outcome]int{}, Profiles: []Verdict{}, Results: []Result{},
	}
}

func (r *Report) describe(run *run) {
	i := run.info
	r.tests = run.tests
	r.Engine = Engine{
		Driver: i.Driver, Engine: i.Engine, EngineVersion: i.EngineVersion, APIVersion: i.APIVersion,
		Remote: i.Remote, Rootless: i.Rootless, CallerAsRoot: i.CallerAsRoot, OS: i.OS, Arch: i.Arch,
		Kernel: i.Kernel, CgroupVersion: i.CgroupVersion, CgroupDriver: i.CgroupDriver,
		StorageDriver: i.StorageDriver, Runtimes: slices.Sorted(slices.Values(i.Runtimes)),
		DefaultRuntime: i.DefaultRuntime, Warnings: slices.Clone(i.Warnings),
	}
	if r.Engine.Runtimes == nil {
		r.Engine.Runtimes = []string{}
	}
	if r.Engine.Warnings == nil {
		r.Engine.Warnings = []string{}
	}
	maps.Copy(r.Lacks, run.host.Lacks)
	maps.Copy(r.Claims, i.Claims)
}

// finish fills in what follows from the results.
func (r *Report) finish(started time.Time) {
	r.Started = started.UTC()
	r.Duration = time.Since(started)
	clear(r.Counts)
	for _, result := range r.Results {
		r.Counts[result.Outcome]++
	}
	r.Profiles = verdicts(r.tests, r.Results)
}

// Err is nil when nothing unexpected happened, else a [*RunError].
func (r *Report) Err() error {
	if r.Error != "" {
		return &RunError{Invalid: true, Err: errors.New(r.Error)}
	}
	var invalid, bad []string
	executed := 0
	for _, result := range r.Results {
		if result.Outcome.executed() {
			executed++
		}
		switch {
		case result.Outcome == Errored:
			invalid = append(invalid, result.ID)
		case result.Outcome.Bad():
			bad = append(bad, result.ID)
		}
	}
	switch {
	case len(invalid) > 0:
		return &RunError{Invalid: true, IDs: invalid, Err: fmt.Errorf("%d tests could not be carried out", len(invalid))}
	case executed == 0:
		return &RunError{Invalid: true, Err: errors.New("no test was executed: that proves nothing")}
	case len(bad) > 0:
		return &RunError{IDs: bad, Err: fmt.Errorf("%d of %d tests did not pass", len(bad), executed)}
	}
	return nil
}

// Verdict returns the verdict about a profile; ok is false when there is none,
// because a test of it was not selected or no such profile exists.
func (r *Report) Verdict(profile string) (v Verdict, ok bool) {
	for _, v := range r.Profiles {
		if v.Profile == profile {
			return v, true
		}
	}
	return Verdict{}, false
}

// WriteJSON writes the report in its JSON form, indented, keys sorted.
func (r *Report) WriteJSON(w io.Writer) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	_, err := w.Write(text.Bytes())
	return err
}

// maxReport bounds what ReadReport takes.
const maxReport = 64 << 20

// ReadReport reads what WriteJSON wrote. Unknown keys and other formats are
// errors.
func ReadReport(r io.Reader) (*Report, error) {
	dec := json.NewDecoder(io.LimitReader(r, maxReport))
	dec.DisallowUnknownFields()
	var report Report
	if err := dec.Decode(&report); err != nil {
		return nil, fmt.Errorf("read the report: %w", err)
	}
	if report.Format != ReportFormat {
		return nil, fmt.Errorf("read the report: format %d: want %d", report.Format, ReportFormat)
	}
	return &report, nil
}
