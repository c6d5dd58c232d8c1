// SPDX-License-Identifier: Apache-2.0

package fake_test

import (
	"testing"

	"github.com/berthrun/berth/backend/fake"
	"github.com/berthrun/berth/conformance"
)

func TestConformance(t *testing.T) {
	h, err := fake.NewHarness(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	conformance.Run(t, h, &conformance.Config{Command: "go test ./backend/fake"})
}
