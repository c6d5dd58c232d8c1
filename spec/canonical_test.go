// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/berthrun/berth/spec"
)

func TestCloneSharesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySandbox(false).Draw(t, "spec")
		c := spec.Clone(s)
		if diff := cmp.Diff(s, c); diff != "" {
			t.Fatalf("(-spec +clone):\n%s", diff)
		}
		shared(t, "", reflect.ValueOf(s).Elem(), reflect.ValueOf(c).Elem())
	})
	if spec.Clone(nil) != nil || spec.Redact(nil) != nil {
		t.Error("the copy of nil is not nil")
	}
}

// shared reports memory that both values reach.
func shared(t *rapid.T, path spec.Path, a, b reflect.Value) {
	switch a.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		if a.Kind() != reflect.Pointer && a.Len() == 0 || a.IsNil() {
			return
		}
		if a.Pointer() == b.Pointer() {
			t.Errorf("%s is shared", path)
		}
	}
	switch a.Kind() {
	case reflect.Pointer:
		shared(t, path, a.Elem(), b.Elem())
	case reflect.Struct:
		for i := range a.NumField() {
			shared(t, path.Field(a.Type().Field(i).Name), a.Field(i), b.Field(i))
		}
	case reflect.Slice:
		for i := range a.Len() {
			shared(t, path.Index(i), a.Index(i), b.Index(i))
		}
	case reflect.Map:
		for _, k := range a.MapKeys() {
			shared(t, path.Key(k.String()), a.MapIndex(k), b.MapIndex(k))
		}
	}
}

func TestRedact(t *testing.T) {
	s := &spec.Sandbox{Name: "a", Process: spec.Process{Env: map[string]string{"TOKEN": "hunter2", "EMPTY": ""}}}
	want := spec.Clone(s)
	want.Process.Env = map[string]string{"TOKEN": spec.Redacted, "EMPTY": spec.Redacted}
	got := spec.Redact(s)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s.Process.Env["TOKEN"] != "hunter2" {
		t.Error("the original was changed")
	}
}

func TestCanonical(t *testing.T) {
	s := &spec.Sandbox{
		Image:      spec.Image{Ref: "debian"},
		Process:    spec.Process{Env: map[string]string{"B": "<&>", "A": "\u2028"}},
		Resources:  spec.Resources{CPUs: 1500, Memory: spec.GiB},
		Extensions: map[string]json.RawMessage{"docker": json.RawMessage(` { "b" : 1.0 , "a":[ 1e2, true ] } `)},
	}
	got, err := spec.Canonical(s)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"agent":"auto","apiVersion":"berth/v1alpha1","binding":{"address":"127.0.0.1"},` +
		`"extensions":{"docker":{"a":[100,true],"b":1}},"image":{"pull":"missing","ref":"debian"},"kind":"Sandbox",` +
		`"life":{"restart":{"policy":"no"},"stopGrace":"10s"},"network":{"mode":"isolated"},` +
		`"process":{"env":{"A":"\u2028","B":"<&>"}},"resources":{"cpus":1.5,"memory":"1Gi"},` +
		`"security":{"noNewPrivileges":true,"profile":"standard","seccomp":"default"},"user":{"as":"caller","name":"berth"}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// A digest that changes would make every running sandbox a stranger.
	const digest = "sha256:24807533c6536f7660d65e0dcd1c4c019c69764056ad20306827331aaf66d8b2"
	if got := spec.Digest(s); got != digest {
		t.Errorf("digest %s, want %s", got, digest)
	}
}

func TestDigestOfNumbers(t *testing.T) {
	digest := func(number string) string {
		return spec.Digest(&spec.Sandbox{Extensions: map[string]json.RawMessage{"x": json.RawMessage(`{"n":` + number + `}`)}})
	}
	for _, equal := range [][]string{
		{"0", "-0", "0.0", "0e5", "0E-99999999999999999999"},
		{"1", "1.0", "1e0", "10e-1", "0.1E+1"},
		{"-1.5", "-15e-1", "-0.15e1"},
		{"100", "1e2", "100.00"},
		{"0.001", "1e-3", "10e-4"},
		{"123.456", "123456e-3", "123.4560"},
		{"1e30", "10e29", "1000000000000000000000000000000"},
		{"1e-30", "0.1e-29"},
		{"9007199254740993"},
		{"9007199254740992"},
		{"1e99999999999999999999", "10e99999999999999999998"},
		{"1e400", "10e399"},
	} {
		for _, n := range equal {
			if digest(n) == "" || digest(n) != digest(equal[0]) {
				t.Errorf("%s and %s are one number and have two digests", n, equal[0])
			}
		}
	}
	if digest("9007199254740993") == digest("9007199254740992") {
		t.Error("two integers have one digest")
	}
	if digest("1") == digest(`"1"`) {
		t.Error("a number and a text have one digest")
	}
}

func TestDigestWithoutCanonicalForm(t *testing.T) {
	s := &spec.Sandbox{Extensions: map[string]json.RawMessage{"x": json.RawMessage(`{`)}}
	if _, err := spec.Canonical(s); err == nil || spec.Digest(s) != "" {
		t.Errorf("digest %q, error %v", spec.Digest(s), err)
	}
}

func FuzzCanonicalNumber(f *testing.F) {
	for _, s := range []string{"0", "-1.50e10", "1e-7", "123456789012345678901234567890", "0.000000000000000000001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, number string) {
		if !json.Valid([]byte(number)) || strings.Trim(number, "+-.0123456789eE") != "" {
			return
		}
		s := &spec.Sandbox{Extensions: map[string]json.RawMessage{"x": json.RawMessage(`{"n":` + number + `}`)}}
		data, err := spec.Canonical(s)
		if err != nil {
			t.Fatal(err)
		}
		var out struct {
			Extensions struct{ X struct{ N json.Number } }
		}
		if err := json.Unmarshal(data, &out); err != nil {
			t.Fatalf("%v: %s", err, data)
		}
		canonical := string(out.Extensions.X.N)
		s.Extensions["x"] = json.RawMessage(`{"n":` + canonical + `}`)
		if again, _ := spec.Canonical(s); string(again) != string(data) {
			t.Errorf("%s is %s, which is %s", number, data, again)
		}
		a, errA := json.Number(number).Float64()
		b, errB := out.Extensions.X.N.Float64()
		if a != b || (errA == nil) != (errB == nil) {
			t.Errorf("%s is %v, %s is %v", number, a, canonical, b)
		}
	})
}
