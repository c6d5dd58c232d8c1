// SPDX-License-Identifier: Apache-2.0

package sandboxtest_test

import (
	"bytes"
	"context"
	"log/slog"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/backend/docker"
	"github.com/berthrun/berth/conformance/fixture"
	"github.com/berthrun/berth/internal/enginetest"
	"github.com/berthrun/berth/internal/sandbox/sandboxtest"
)

// agent builds berth-agent as make build does.
func agent(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "berth-agent")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "github.com/berthrun/berth/cmd/berth-agent")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

func config(t *testing.T, env map[string]string) sandboxtest.Config {
	t.Helper()
	open := func(ctx context.Context) (backend.Driver, error) {
		return docker.Open(ctx, backend.Config{
			Getenv:   func(k string) (string, bool) { v, ok := env[k]; return v, ok },
			StateDir: t.TempDir(), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		})
	}
	d, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	probe, err := fixture.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	set, err := fixture.Load(probe)
	if err != nil {
		t.Fatal(err)
	}
	kinds := []fixture.Kind{fixture.Tree, fixture.User, fixture.Scratch}
	var archive bytes.Buffer
	if err := set.SaveTar(&archive, kinds...); err != nil {
		t.Fatal(err)
	}
	images, ok := backend.As[backend.Imager](d)
	if !ok {
		t.Fatal("docker has no images")
	}
	if _, err := images.LoadImage(t.Context(), &archive); err != nil {
		t.Fatal(err)
	}
	ref := func(k fixture.Kind) string {
		r, err := set.Reference(k)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	cli, ok := docker.Client(d)
	if !ok {
		t.Fatal("no docker client")
	}
	return sandboxtest.Config{
		Open: open, Agent: agent(t), Tree: ref(fixture.Tree), User: ref(fixture.User), Scratch: ref(fixture.Scratch),
		Objects: func(ctx context.Context) ([]string, error) { return objects(ctx, cli) },
	}
}

// objects lists everything in the engine by docker's own lists; volumes of
// agents are shared by later sandboxes and stay.
func objects(ctx context.Context, cli *client.Client) ([]string, error) {
	var out []string
	containers, err := cli.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		return nil, err
	}
	for _, c := range containers {
		out = append(out, "container "+c.Names[0])
	}
	networks, err := cli.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, n := range networks {
		out = append(out, "network "+n.Name)
	}
	volumes, err := cli.VolumeList(ctx, volume.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, v := range volumes.Volumes {
		if !strings.HasPrefix(v.Name, "berth-agent-") {
			out = append(out, "volume "+v.Name)
		}
	}
	slices.Sort(out)
	return out, nil
}

func TestDocker(t *testing.T) {
	c := enginetest.NeedDocker(t)
	sandboxtest.Run(t, config(t, map[string]string{"DOCKER_HOST": c.Host}))
}

// TestDockerRemote reaches the same engine as if it were another machine: over
// TCP with TLS, without a path in common.
func TestDockerRemote(t *testing.T) {
	c := enginetest.NeedDocker(t)
	cfg := config(t, map[string]string{"DOCKER_HOST": c.TLSHost, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": c.CertPath})
	cfg.Remote = true
	sandboxtest.Run(t, cfg)
}

// TestDockerHundred has as many sandboxes alive as a busy host does: more than
// docker has address pools for networks of their own.
func TestDockerHundred(t *testing.T) {
	c := enginetest.NeedDocker(t)
	sandboxtest.Many(t, config(t, map[string]string{"DOCKER_HOST": c.Host}), 100)
}
