// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Known is a failure that is expected until its issue is done.
type Known struct {
	// ID is the test's.
	ID string `json:"id"`
	// Issue is the address of the issue, or its text.
	Issue string `json:"issue"`
	// Reason says in one sentence why it fails.
	Reason string `json:"reason"`
}

// maxKnown bounds a file of known failures.
const maxKnown = 1 << 20

// ReadKnown reads a JSON list of known failures. Unknown keys, missing fields
// and repeated ids are errors; whether the ids exist is checked by a run.
func ReadKnown(r io.Reader) ([]Known, error) {
	dec := json.NewDecoder(io.LimitReader(r, maxKnown))
	dec.DisallowUnknownFields()
	var list []Known
	if err := dec.Decode(&list); err != nil {
		return nil, fmt.Errorf("known failures: %w: want a list of {id, issue, reason}", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("known failures: text after the list: remove it")
	}
	seen := map[string]bool{}
	for i, k := range list {
		switch {
		case k.ID == "" || strings.TrimSpace(k.Issue) == "" || strings.TrimSpace(k.Reason) == "":
			return nil, fmt.Errorf("known failures: entry %d: id, issue and reason are required", i)
		case seen[k.ID]:
			return nil, fmt.Errorf("known failures: %s is listed twice: remove one", k.ID)
		}
		seen[k.ID] = true
	}
	return list, nil
}

// checkKnown returns an error for each known failure that is no test.
func checkKnown(known []Known, tests []Test) error {
	ids := map[string]bool{}
	for _, t := range tests {
		ids[t.ID] = true
	}
	var errs []error
	for _, k := range known {
		if !ids[k.ID] {
			errs = append(errs, fmt.Errorf("known failures: there is no test %q", k.ID))
		}
		if k.Issue == "" {
			errs = append(errs, fmt.Errorf("known failures: %s has no issue", k.ID))
		}
	}
	return errors.Join(errs...)
}
