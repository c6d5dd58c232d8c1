// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/berthrun/berth/conformance/fixture"
	"github.com/berthrun/berth/internal/enginetest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"berth": main})
}

// TestScripts are the parts of the command line that need no engine.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("BERTH_STATE_DIR", filepath.Join(e.WorkDir, "state"))
			// No engine is near, whatever the machine has.
			e.Setenv("DOCKER_HOST", "unix://"+filepath.Join(e.WorkDir, "no.sock"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": code3},
	})
}

// TestEngineScripts work with a real engine, several at once.
func TestEngineScripts(t *testing.T) { engineScripts(t, "testdata/engine") }

// TestLoneScripts need an engine on which no other sandbox is.
func TestLoneScripts(t *testing.T) { engineScripts(t, "testdata/serial") }

func engineScripts(t *testing.T, dir string) {
	t.Helper()
	c := enginetest.NeedDocker(t)
	libexec := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", libexec, "../berth-agent")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	probe, err := fixture.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	set, err := fixture.Load(probe)
	if err != nil {
		t.Fatal(err)
	}
	image, err := set.Reference(fixture.Tree)
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := set.SaveTar(&archive, fixture.Tree); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: dir, RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("DOCKER_HOST", c.Host)
			e.Setenv("BERTH_BACKEND", "docker")
			e.Setenv("BERTH_STATE_DIR", filepath.Join(e.WorkDir, "state"))
			e.Setenv("BERTH_LIBEXEC", libexec)
			e.Setenv("IMAGE", image)
			e.Setenv("UID", strconv.Itoa(os.Getuid()))
			// Engines bind folders that every user may pass through.
			if err := os.Chmod(e.WorkDir, 0o755); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(e.WorkDir, "image.tar"), archive.Bytes(), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": code3, "interrupt": interrupt},
	})
}

// code3 runs "code N PROGRAM ARGS…" and wants exit code N.
func code3(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N PROGRAM ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// interrupt runs "interrupt READY N PROGRAM ARGS…", sends SIGINT when the file
// READY has appeared, and wants exit code N.
func interrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: interrupt READY N PROGRAM ARGS…")
	}
	ready := ts.MkAbs(args[0])
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	path, err := exec.LookPath(args[2])
	if err != nil {
		path = filepath.Join(filepath.Dir(os.Args[0]), args[2])
	}
	for dir := range filepathList(ts.Getenv("PATH")) {
		if p := filepath.Join(dir, args[2]); exists(p) {
			path = p
			break
		}
	}
	cmd := exec.CommandContext(ctx, path, args[3:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{}
	for _, k := range []string{"DOCKER_HOST", "BERTH_BACKEND", "BERTH_STATE_DIR", "BERTH_LIBEXEC", "PATH", "HOME"} {
		cmd.Env = append(cmd.Env, k+"="+ts.Getenv(k))
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	ts.Check(cmd.Start())
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !exists(ready) {
		select {
		case <-ctx.Done():
			ts.Fatalf("%s did not appear: %s", ready, out.String())
		case <-tick.C:
		}
	}
	ts.Check(cmd.Process.Signal(syscall.SIGINT))
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("exit code %d, want %d: %s", got, want, out.String())
	}
}

func filepathList(path string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, dir := range filepath.SplitList(path) {
			if !yield(dir) {
				return
			}
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
