// SPDX-License-Identifier: Apache-2.0

// Package conformance is the suite that every backend of berth has to pass. It
// works on a [backend.Driver] alone, without the layers above it, and imports
// only the standard library and berth's neutral packages.
//
// # Adopting it
//
// A driver author implements [Harness] and calls [Run]:
//
//	func TestConformance(t *testing.T) {
//		h := &harness{address: startEngine(t)} // Open, Image, Host
//		conformance.Run(t, h, &conformance.Config{Command: "go test ./..."})
//	}
//
// Subtest names are test ids, so "go test -run TestConformance/mount" runs one
// area. [Execute] runs the same without package testing's help, for a command.
//
// # What decides
//
// Whether a test runs is decided before anything runs, from the driver's claims
// and from the facts that the harness declares; nothing is skipped while it
// runs. A test whose capability is claimed must pass. When it is not, the test's
// refusal twin must pass instead: the driver refuses, names field and
// capability, and the engine is as it was. A claim left Unknown fails. What the
// host cannot do is declared in [Host.Lacks] with a reason. A known failure has
// an issue and must fail; one that passes is stale, which fails. A run in which
// no test was executed is an error.
//
// # How tests look
//
// Ids are area.subject.expectation and are never renamed. Each test carries one
// clause of package spec's list. Sandboxes run the fixture images' /probe, whose
// output is decoded strictly; argv is PID 1, there is no init of berth's and no
// support mount. Every object bears the run's id, and only the run's own objects
// are counted as leaks, so that the suite passes on an engine that is in use.
package conformance
