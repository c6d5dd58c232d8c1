// SPDX-License-Identifier: Apache-2.0

package dockerharness_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/backend/docker"
	"github.com/berthrun/berth/conformance"
	"github.com/berthrun/berth/conformance/fixture"
	"github.com/berthrun/berth/internal/dockerharness"
	"github.com/berthrun/berth/internal/enginetest"
)

// TestConformance runs the whole suite against a real dockerd.
func TestConformance(t *testing.T) {
	c := enginetest.NeedDocker(t)
	probe, err := fixture.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	h, err := dockerharness.ForEngine(t.Context(), dockerharness.EngineOptions{
		Open: func(ctx context.Context, host string) (backend.Driver, error) {
			if host == "" {
				host = c.Host
			}
			none := func(string) (string, bool) { return "", false }
			return docker.Open(ctx, backend.Config{Host: host, Getenv: none, Home: t.TempDir(), StateDir: t.TempDir(), Log: log})
		},
		Probe: probe, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	report := conformance.Run(t, h, nil)
	for fact, why := range h.Host().Lacks {
		t.Errorf("the test machine lacks %s: %s", fact, why)
	}
	if v, ok := report.Verdict("core"); ok && !v.Conformant {
		t.Error("profile core is not met")
	}
}
