// SPDX-License-Identifier: Apache-2.0

package probe_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berthrun/berth/conformance/probe"
)

// run runs a command line on a model and decodes what it prints.
func run(t *testing.T, sys probe.System, commands ...[]string) ([]probe.Result, int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := probe.Run(t.Context(), sys, probe.Line(commands...), nil, &stdout, &stderr)
	if stderr.Len() > 0 {
		t.Logf("stderr: %s", &stderr)
	}
	results, err := probe.Decode(stdout.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return results, code
}

func TestChain(t *testing.T) {
	m := newModel()
	got, code := run(t, m,
		[]string{"id"},
		[]string{"write", "/workspace/a", "+"},
		[]string{"write", "/ro/x", "hello"},
		[]string{"read", "/workspace/a"},
		[]string{"stat", "/x"},
		[]string{"env", "HOME", "ODD", "GONE"},
	)
	if code != 0 {
		t.Errorf("exit code %d, want 0: a refusal is data", code)
	}
	want := []probe.Result{
		{Command: "id", Args: []string{}, Value: &probe.ID{
			UID: 7, EUID: 7, GID: 8, EGID: 8, Groups: []int{8, 9}, User: "app", PasswdHome: "/home/app", Group: "grp",
			HomeEnv: "/last", UserEnv: "app", Cwd: "/work", Hostname: "box", PID: 1, Umask: 0o22,
			Stdin: probe.Terminal{TTY: true, Rows: 24, Cols: 80},
		}},
		{Command: "write", Args: []string{"/workspace/a", "+"}, Value: &probe.Written{Bytes: 1}},
		{Command: "write", Args: []string{"/ro/x", "hello"}, Errno: "EROFS", Detail: "EROFS", Value: &probe.Written{}},
		{Command: "read", Args: []string{"/workspace/a"}, Value: &probe.Content{Data: []byte("+")}},
		{Command: "stat", Args: []string{"/x"}, Errno: "ENOSYS", Detail: "ENOSYS"},
		{Command: "env", Args: []string{"HOME", "ODD", "GONE"}, Value: &probe.Env{
			Vars: []string{"HOME=/home/app", "ODD=\ufffd", "HOME=/last"}, Missing: []string{"GONE"},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results differ (-want +got):\n%s", diff)
	}
}

func TestUsageErrorsDoNothing(t *testing.T) {
	for name, args := range map[string][]string{
		"empty":            {},
		"empty command":    {"id", "+", "+", "id"},
		"unknown":          {"write", "/a", "b", "+", "nonsense"},
		"missing":          {"write", "/a", "b", "+", "stat"},
		"too many":         {"write", "/a", "b", "+", "stat", "/a", "/b"},
		"empty path":       {"write", "/a", "b", "+", "stat", ""},
		"size":             {"write", "/a", "b", "+", "memory", "1M"},
		"size overflow":    {"write", "/a", "b", "+", "memory", "9223372036854775807Gi"},
		"mode":             {"write", "/a", "b", "+", "chmod", "/a", "8"},
		"duration":         {"write", "/a", "b", "+", "sleep", "-1s"},
		"signal":           {"write", "/a", "b", "+", "kill-self", "NONE"},
		"uncatchable":      {"write", "/a", "b", "+", "trap", "KILL", "3"},
		"exit code":        {"write", "/a", "b", "+", "exit", "256"},
		"network":          {"write", "/a", "b", "+", "dial", "tpc", "x:1"},
		"unlisted syscall": {"write", "/a", "b", "+", "syscall", "read"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel()
			var stdout, stderr bytes.Buffer
			code := probe.Run(context.Background(), m, args, nil, &stdout, &stderr)
			if code != probe.ExitUsage || stdout.Len() > 0 || stderr.Len() == 0 {
				t.Errorf("code %d, stdout %q, stderr %q; want %d, nothing, a message", code, &stdout, &stderr, probe.ExitUsage)
			}
			if _, ok := m.files["/a"]; ok {
				t.Error("the first command ran although the line is wrong")
			}
		})
	}
}
