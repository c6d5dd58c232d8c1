// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiff(t *testing.T) {
	a := &Snapshot{Containers: []string{"one", "two"}, Rules: []string{"r", "r"}, Mounts: []string{"m"}}
	b := &Snapshot{Containers: []string{"two", "three"}, Rules: []string{"r", "r", "r"}, Mounts: []string{"m"}}
	want := []string{"gone: container one", "left: container three", "left: rule r"}
	got := Diff(a, b)
	if d := cmp.Diff(len(want), len(got)); d != "" {
		t.Fatalf("%v: %s", got, d)
	}
	for _, w := range want {
		if !strings.Contains(strings.Join(got, "\n"), w) {
			t.Errorf("Diff = %q, want %q among it", got, w)
		}
	}
	if got := Diff(a, a); got != nil {
		t.Errorf("Diff of equal snapshots = %q, want nil", got)
	}
}

func TestParseReply(t *testing.T) {
	for in, want := range map[string]string{
		"ok\n":                   "",
		"ok {\"netns\":[]}\n":    "",
		"error \"it is gone\"\n": "it is gone",
		"error it\n":             "read the harness's answer",
		"what\n":                 "want ok or error",
		"\n":                     "want ok or error",
	} {
		err := parseReply(in, nil)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("parseReply(%q) = %v, want %q", in, err, want)
		}
	}
	if err := parseReply("ok {", new(Snapshot)); err == nil {
		t.Error("a snapshot that is no JSON was taken")
	}
}

func FuzzParseReply(f *testing.F) {
	f.Add("ok {}\n")
	f.Add("error \"x\"\n")
	f.Fuzz(func(t *testing.T, line string) {
		if err := parseReply(line, new(Snapshot)); err == nil && !strings.HasPrefix(line, "ok") {
			t.Errorf("parseReply(%q) = nil", line)
		}
	})
}

// recorder stands in for a test that must fail.
type recorder struct {
	testing.TB
	fatal string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatal(args ...any) {
	r.fatal = fmt.Sprint(args...)
	panic(r)
}

// A test that needs an engine must fail, not pass, where there is none.
func TestNeedDockerFailsWithoutEngine(t *testing.T) {
	t.Setenv(EnvDockerHost, "")
	t.Setenv(EnvControl, "")
	r := &recorder{TB: t}
	func() {
		defer func() { _ = recover() }()
		NeedDocker(r)
	}()
	if !strings.Contains(r.fatal, "make test") {
		t.Errorf("NeedDocker without an engine: Fatal %q, want one that says what to run", r.fatal)
	}
}

func TestEnvironRoundTrip(t *testing.T) {
	want := Endpoint{
		Dir: "/d", Host: "unix:///d/s", TLSHost: "tcp://127.0.0.1:1", CertPath: "/d/c", Netns: "/n",
		Outside: "1.2.3.4", OutsideNetns: "/o", OutsideBody: "b", Control: "/d/k",
	}
	for _, kv := range want.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		t.Setenv(k, v)
	}
	c, ok := FromEnv()
	if !ok {
		t.Fatal("FromEnv finds no engine")
	}
	if d := cmp.Diff(want, c.Endpoint); d != "" {
		t.Error(d)
	}
}
