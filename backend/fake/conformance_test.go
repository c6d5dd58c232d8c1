// SPDX-License-Identifier: Apache-2.0

package fake_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/berthrun/berth/backend/fake"
	"github.com/berthrun/berth/conformance"
)

// TestConformance: the correct engine passes everything, and none of its
// processes goes on.
func TestConformance(t *testing.T) {
	h, err := fake.NewHarness(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	report := conformance.Run(t, h, &conformance.Config{Command: "go test ./backend/fake"})
	for _, v := range report.Profiles {
		if len(report.Lacks) == 0 && !v.Conformant {
			t.Errorf("profile %s is not met: %q", v.Profile, v.Against)
		}
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	// Goroutines end a moment after what they did.
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines are left, %d were there before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
