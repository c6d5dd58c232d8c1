// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"errors"
	"fmt"
	"slices"

	"github.com/berthrun/berth/backend"
)

// mode is what a run does with a test. It is decided before anything runs.
type mode int

const (
	runTest mode = iota
	runTwin
	runUnknown // a needed capability has no claim
	runNothing // not applicable or filtered out
)

// item is a test and what becomes of it.
type item struct {
	test    Test
	mode    mode
	outcome Outcome // of mode runNothing
	reason  string
	missing backend.Capability // of mode runTwin
	known   *Known
}

// plan decides for every test of the run.
func (r *run) plan(cfg *Config) []item {
	known := map[string]*Known{}
	for i, k := range cfg.Known {
		known[k.ID] = &cfg.Known[i]
	}
	items := make([]item, len(r.tests))
	for i, test := range r.tests {
		p := item{test: test, known: known[test.ID]}
		r.decide(&p, cfg)
		items[i] = p
	}
	return items
}

func (r *run) decide(p *item, cfg *Config) {
	if cfg.Match != nil && !cfg.Match(p.test.ID) {
		p.mode, p.outcome, p.reason = runNothing, NotRun, "not selected"
		return
	}
	for _, c := range p.test.Needs {
		switch claim := r.info.Claim(c); {
		case claim.Support == backend.Missing:
			p.mode, p.missing, p.reason = runTwin, c, fmt.Sprintf("%s: %s", c, claim.Reason)
			return
		case !claim.Has():
			p.mode, p.reason = runUnknown, fmt.Sprintf("the driver does not say whether it has %s: see probe.claims.complete", c)
			return
		}
	}
	if v := p.test.Verb; v != nil && !v.Has(r.driver) {
		p.mode, p.outcome, p.reason = runNothing, Refused, fmt.Sprintf("the driver is no backend.%s", v.Name)
		return
	}
	for _, f := range p.test.Host {
		if reason, lacks := r.host.Lacks[f]; lacks {
			p.mode, p.outcome, p.reason = runNothing, NotApplicable, fmt.Sprintf("the host lacks %s: %s", f, reason)
			return
		}
	}
}

// checkHost returns an error for each fact that a harness neither provides nor
// declares as lacking, and for each that it does both with.
func checkHost(h Harness, host Host) error {
	has := map[Fact]bool{
		FactAddress:  host.Address != "",
		FactPeer:     host.Peer != Endpoint{},
		FactService:  host.Service != Endpoint{},
		FactSubmount: host.Submount != "",
		FactRegistry: host.Registry != Registry{},
	}
	_, has[FactVolumes] = h.(VolumeRemover)
	_, has[FactArchives] = h.(Archiver)
	_, has[FactLeaks] = h.(LeakChecker)
	_, has[FactRestart] = h.(Restarter)
	_, has[FactFaults] = h.(Faulter)
	_, has[FactBystander] = h.(Bystander)
	var errs []error
	for _, f := range Facts() {
		reason, lacks := host.Lacks[f]
		given, known := has[f]
		switch {
		case lacks && reason == "":
			errs = append(errs, fmt.Errorf("harness: lacks %s without a reason", f))
		case known && !given && !lacks:
			errs = append(errs, fmt.Errorf("harness: provides no %s and does not declare that it lacks it", f))
		}
	}
	for f := range host.Lacks {
		if !slices.Contains(Facts(), f) {
			errs = append(errs, fmt.Errorf("harness: there is no fact %q to lack", f))
		}
	}
	if host.TempDir == "" {
		errs = append(errs, errors.New("harness: has no TempDir"))
	}
	return errors.Join(errs...)
}
