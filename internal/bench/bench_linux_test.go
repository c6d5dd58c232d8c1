// SPDX-License-Identifier: Apache-2.0

// Package bench measures berth's commands side by side with the engine's own,
// as whole processes, in turn, in one run. Times on shared machines say little;
// the ratios hold.
package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berthrun/berth/backend/profile"
	"github.com/berthrun/berth/conformance/fixture"
	"github.com/berthrun/berth/internal/enginetest"
	"github.com/berthrun/berth/spec"
)

// world is an engine, a built berth and an image that both use.
type world struct {
	b      *testing.B
	client *enginetest.Client
	image  string
	env    []string
}

func setUp(b *testing.B) *world {
	b.Helper()
	w := &world{b: b, client: enginetest.NeedDocker(b)}
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"berth", "berth-agent", "berth-probe"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			b.Fatalf("%v: run make build first", err)
		}
	}
	w.env = append(os.Environ(),
		"DOCKER_HOST="+w.client.Host, "BERTH_STATE_DIR="+filepath.Join(b.TempDir(), "state"),
		"PATH="+bin+":"+os.Getenv("PATH"))
	set, err := fixture.Load(filepath.Join(bin, "berth-probe"))
	if err != nil {
		b.Fatal(err)
	}
	if w.image, err = set.Reference(fixture.Tree); err != nil {
		b.Fatal(err)
	}
	var archive bytes.Buffer
	if err := set.SaveTar(&archive, fixture.Tree); err != nil {
		b.Fatal(err)
	}
	load := w.command("berth", "--backend", "docker", "image", "load")
	load.Stdin = &archive
	if out, err := load.CombinedOutput(); err != nil {
		b.Fatalf("image load: %v\n%s", err, out)
	}
	return w
}

func (w *world) command(argv ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	w.b.Cleanup(cancel)
	path := argv[0]
	for _, kv := range w.env { // the built berth comes first
		if dirs, ok := strings.CutPrefix(kv, "PATH="); ok {
			for dir := range strings.SplitSeq(dirs, ":") {
				if full := filepath.Join(dir, argv[0]); isProgram(full) {
					path = full
					break
				}
			}
		}
	}
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Env = w.env
	return cmd
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// run runs a command that must succeed, and returns how long it took.
func (w *world) run(argv ...string) time.Duration {
	w.b.Helper()
	cmd := w.command(argv...)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(start)
	if err != nil {
		w.b.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return took
}

// compare runs ours and theirs in turn and reports the medians and the median
// of the ratios pair by pair.
func (w *world) compare(ours, theirs func() time.Duration) {
	w.b.Helper()
	ours()
	theirs()
	var a, b []time.Duration
	var ratios []float64
	for w.b.Loop() {
		x, y := ours(), theirs()
		a, b, ratios = append(a, x), append(b, y), append(ratios, float64(x)/float64(y))
	}
	slices.Sort(a)
	slices.Sort(b)
	slices.Sort(ratios)
	ms := func(d []time.Duration) float64 { return float64(d[len(d)/2].Microseconds()) / 1000 }
	w.b.ReportMetric(0, "ns/op")
	w.b.ReportMetric(ms(a), "berth-ms")
	w.b.ReportMetric(ms(b), "docker-ms")
	w.b.ReportMetric(ratios[len(ratios)/2], "ratio")
}

// settings are the flags that give "docker run" the settings of a default
// sandbox.
func (w *world) settings(network string) []string {
	s := &spec.Sandbox{}
	spec.Default(s)
	args := []string{
		"--network", network, "--user", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()),
		"--security-opt", "no-new-privileges", "--stop-timeout", "10", "--cap-drop", "ALL",
		"-e", "HOME=/root", "-e", "USER=root", "-v", w.b.TempDir() + ":/workspace",
	}
	for _, c := range profile.Capabilities(s.Security.Capabilities) {
		args = append(args, "--cap-add", c)
	}
	return args
}

// BenchmarkRun is "run" with the shared network of isolated sandboxes there.
func BenchmarkRun(b *testing.B) {
	w := setUp(b)
	w.run("berth", "--backend", "docker", "network", "create", "isolated")
	b.Cleanup(func() { w.run("berth", "--backend", "docker", "network", "rm", "isolated") })
	work := b.TempDir()
	theirs := append([]string{"docker", "run", "--rm"}, append(w.settings("berth-isolated"), "--entrypoint", "/probe", w.image, "exit", "0")...)
	ours := []string{"berth", "run", "--backend", "docker", "--image", w.image, "-v", work + ":/workspace", "--entrypoint", "/probe", "--", "exit", "0"}
	w.compare(func() time.Duration { return w.run(ours...) }, func() time.Duration { return w.run(theirs...) })
}

// BenchmarkRunFirst is "run" on an engine without any sandbox: both make the
// network and take it away.
func BenchmarkRunFirst(b *testing.B) {
	w := setUp(b)
	work := b.TempDir()
	create := []string{"docker", "network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "berth-bench"}
	theirs := append([]string{"docker", "run", "--rm"}, append(w.settings("berth-bench"), "--entrypoint", "/probe", w.image, "exit", "0")...)
	ours := []string{"berth", "run", "--backend", "docker", "--image", w.image, "-v", work + ":/workspace", "--entrypoint", "/probe", "--", "exit", "0"}
	w.compare(
		func() time.Duration { return w.run(ours...) },
		func() time.Duration {
			return w.run(create...) + w.run(theirs...) + w.run("docker", "network", "rm", "berth-bench")
		})
}

// BenchmarkRunNone is "run" without a network.
func BenchmarkRunNone(b *testing.B) {
	w := setUp(b)
	work := b.TempDir()
	theirs := append([]string{"docker", "run", "--rm"}, append(w.settings("none"), "--entrypoint", "/probe", w.image, "exit", "0")...)
	ours := []string{"berth", "run", "--backend", "docker", "--network", "none", "--image", w.image, "-v", work + ":/workspace", "--entrypoint", "/probe", "--", "exit", "0"}
	w.compare(func() time.Duration { return w.run(ours...) }, func() time.Duration { return w.run(theirs...) })
}

// BenchmarkExec is one command in a running sandbox.
func BenchmarkExec(b *testing.B) {
	w := setUp(b)
	cmd := w.command("berth", "create", "--backend", "docker", "--image", w.image, "--entrypoint", "/probe", "--", "sleep", "1h")
	out, err := cmd.Output()
	if err != nil {
		b.Fatal(err)
	}
	id := strings.TrimSpace(string(out))
	b.Cleanup(func() { w.run("berth", "--backend", "docker", "rm", "-f", id) })
	w.compare(
		func() time.Duration {
			return w.run("berth", "exec", "--backend", "docker", id, "--", "/probe", "exit", "0")
		},
		func() time.Duration { return w.run("docker", "exec", "berth-"+id, "/probe", "exit", "0") })
}

// BenchmarkVersion is the start of the command line; the bar is 20 ms.
func BenchmarkVersion(b *testing.B) {
	w := setUp(b)
	var took []time.Duration
	for b.Loop() {
		took = append(took, w.run("berth", "version"))
	}
	slices.Sort(took)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "berth-ms")
}
