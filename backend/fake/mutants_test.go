// SPDX-License-Identifier: Apache-2.0

package fake_test

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/backend/fake"
	"github.com/berthrun/berth/conformance"
	"github.com/berthrun/berth/spec"
)

// quick is the factor for waits: the model needs no time of an engine's.
const quick = 0.04

// killsFile, when it is set, has the whole suite run against every mutant, and
// takes the tests that failed. It is how the lists in bugs.go are made.
var killsFile = flag.String("kills", "", "write what every mutant is killed by to this `file`")

// suite runs the suite against an engine made with opts and returns its report.
func suite(t *testing.T, cfg conformance.Config, opts ...fake.Option) *conformance.Report {
	t.Helper()
	h, err := fake.NewHarness(t.TempDir(), opts...)
	if err != nil {
		return &conformance.Report{Error: err.Error()} // not every caller may end the test
	}
	report, _ := conformance.Execute(t.Context(), h, &cfg)
	return report
}

// withOutcome lists the tests of a report that have one of the outcomes.
func withOutcome(r *conformance.Report, outcomes ...conformance.Outcome) []string {
	var ids []string
	for _, result := range r.Results {
		if slices.Contains(outcomes, result.Outcome) {
			ids = append(ids, result.ID)
		}
	}
	return ids
}

// applicable are the tests that the correct engine is put through on this
// machine.
var applicable = sync.OnceValue(func() []string {
	dir, err := os.MkdirTemp("", "berth-fake-test-")
	if err != nil {
		return nil
	}
	defer os.RemoveAll(dir)
	h, err := fake.NewHarness(dir)
	if err != nil {
		return nil
	}
	var ids []string
	for _, test := range conformance.Catalogue() {
		lacks := func(f conformance.Fact) bool { return h.Host().Lacks[f] != "" }
		if !slices.ContainsFunc(test.Host, lacks) {
			ids = append(ids, test.ID)
		}
	}
	return ids
})

// TestMutants: each mutant is killed by all the tests that claim it.
func TestMutants(t *testing.T) {
	if *killsFile != "" {
		recordKills(t)
		return
	}
	// Most of the time is spent in waiting for what a mutant never does, so many
	// of them can wait at once.
	mutants := fake.Mutants()
	problems := make([][]string, len(mutants))
	slots := make(chan struct{}, 32)
	var wg sync.WaitGroup
	for i, m := range mutants {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			problems[i] = tryMutant(t, m)
		})
	}
	wg.Wait()
	for i, m := range mutants {
		t.Run(string(m.Bug), func(t *testing.T) {
			for _, p := range problems[i] {
				t.Error(p)
			}
		})
	}
}

// tryMutant says what is wrong with a mutant's entry.
func tryMutant(t *testing.T, m fake.Mutant) (problems []string) {
	if m.Text == "" {
		problems = append(problems, "nobody says what it does wrong")
	}
	if len(m.Kills) == 0 {
		return append(problems, "no test claims it")
	}
	want := slices.DeleteFunc(slices.Clone(m.Kills), func(id string) bool { return !slices.Contains(applicable(), id) })
	if len(want) == 0 {
		return problems // this machine lacks what its tests need
	}
	// On a machine that is busy a wait can be over before the mutant has shown
	// itself; then it gets a longer one.
	for _, scale := range []float64{quick, 5 * quick, 10 * quick} {
		report := suite(t, conformance.Config{Scale: scale, Match: func(id string) bool { return slices.Contains(want, id) }}, fake.WithBug(m.Bug))
		if report.Error != "" {
			return append(problems, report.Error)
		}
		killers := withOutcome(report, conformance.Fail)
		want = slices.DeleteFunc(want, func(id string) bool { return slices.Contains(killers, id) })
		if len(want) == 0 {
			break
		}
	}
	for _, id := range want {
		problems = append(problems, "it lives through "+id)
	}
	return problems
}

// TestEveryTestKills: a test that never fails tests nothing.
func TestEveryTestKills(t *testing.T) {
	killers := map[string]bool{}
	for _, m := range fake.Mutants() {
		for _, id := range m.Kills {
			killers[id] = true
		}
	}
	for _, test := range conformance.Catalogue() {
		if !killers[test.ID] && test.Level == spec.Must {
			t.Errorf("%s kills no mutant", test.ID)
		}
		delete(killers, test.ID)
	}
	for id := range killers {
		t.Errorf("%s is claimed to kill a mutant, and there is no such test", id)
	}
}

// TestWithoutCapability: a correct engine that lacks something is conformant
// too, in its way: it refuses.
func TestWithoutCapability(t *testing.T) {
	needed := map[backend.Capability][]string{}
	for _, test := range conformance.Catalogue() {
		for _, c := range test.Needs {
			needed[c] = append(needed[c], test.ID)
		}
	}
	for c, ids := range needed {
		t.Run(string(c), func(t *testing.T) {
			t.Parallel()
			report := suite(t, conformance.Config{Scale: quick, Match: func(id string) bool { return slices.Contains(ids, id) }}, fake.Without(c))
			if err := report.Err(); err != nil {
				for _, r := range report.Results {
					if r.Outcome.Bad() {
						t.Errorf("%s: %s: %s", r.ID, r.Outcome, r.Message)
					}
				}
				t.Fatal(err)
			}
			if len(withOutcome(report, conformance.Refused)) == 0 {
				t.Error("nothing was refused")
			}
		})
	}
}

// TestClaimsFollowFacts: every claim flips with the fact that it names.
func TestClaimsFollowFacts(t *testing.T) {
	for _, c := range backend.Capabilities() {
		probe := func(opts ...fake.Option) *backend.Info {
			info, err := fake.New(opts...).Probe(t.Context(), false)
			if err != nil {
				t.Fatal(err)
			}
			if err := backend.CheckInfo(info); err != nil {
				t.Error(err)
			}
			return info
		}
		fact := probe().Claim(c).Fact
		if !probe(fake.WithFact(fact, "yes")).Claim(c).Has() || probe(fake.WithFact(fact, "no")).Claim(c).Has() {
			t.Errorf("%s does not follow %s", c, fact)
		}
	}
}

// recordKills runs the whole suite against every mutant.
func recordKills(t *testing.T) {
	var mu sync.Mutex
	kills := map[fake.Bug][]string{}
	t.Cleanup(func() {
		data, err := json.MarshalIndent(kills, "", "  ")
		if err == nil {
			err = os.WriteFile(filepath.Clean(*killsFile), data, 0o644)
		}
		if err != nil {
			t.Error(err)
		}
		t.Logf("%d mutants", len(slices.Collect(maps.Keys(kills))))
	})
	for _, m := range fake.Mutants() {
		t.Run(string(m.Bug), func(t *testing.T) {
			report := suite(t, conformance.Config{Scale: quick}, fake.WithBug(m.Bug))
			mu.Lock()
			defer mu.Unlock()
			kills[m.Bug] = withOutcome(report, conformance.Fail)
			for _, r := range report.Results {
				if r.Outcome == conformance.Errored {
					t.Errorf("%s: %s", r.ID, r.Message)
				}
			}
		})
	}
}
