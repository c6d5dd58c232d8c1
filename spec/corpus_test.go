// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berthrun/berth/spec"
	"github.com/berthrun/berth/spec/yaml"
)

// corpus returns the documents in testdata/dir by name. It fails when there are
// fewer than least, so that a moved folder cannot pass.
func corpus(t testing.TB, dir string, least int) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < least {
		t.Fatalf("testdata/%s has %d documents, want at least %d", dir, len(files), least)
	}
	out := map[string][]byte{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(file)] = data
	}
	return out
}

// read takes a document all the way: decode, default, validate.
func read(data []byte, name string) (*spec.Sandbox, yaml.Problems, error) {
	doc, err := yaml.Parse(data, name)
	if err == nil {
		spec.Default(doc.Spec)
		err = doc.Locate(spec.Validate(doc.Spec))
	}
	var problems yaml.Problems
	if err != nil && !errors.As(err, &problems) {
		return nil, nil, err
	}
	if problems != nil {
		return nil, problems, nil
	}
	return doc.Spec, nil, nil
}

func TestGoodCorpus(t *testing.T) {
	for name, data := range corpus(t, "good", 25) {
		t.Run(name, func(t *testing.T) {
			if _, problems, err := read(data, name); err != nil || problems != nil {
				t.Errorf("refused: %v%v", problems, err)
			}
		})
	}
}

func TestBadCorpus(t *testing.T) {
	for name, data := range corpus(t, "bad", 60) {
		t.Run(name, func(t *testing.T) {
			first, _, _ := strings.Cut(string(data), "\n")
			want := strings.Split(strings.TrimPrefix(first, "# "), ", ")
			_, problems, err := read(data, name)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range problems {
				got = append(got, string(p.Path)+": "+string(p.Code))
				checkMessage(t, p)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s%v", diff, problems)
			}
		})
	}
}

// checkMessage holds messages to the form that the command line prints.
func checkMessage(t *testing.T, p yaml.Problem) {
	t.Helper()
	if p.Message == "" || strings.ContainsAny(p.Message, "\n\x00\x1b") || strings.HasSuffix(p.Message, ".") {
		t.Errorf("message %q: want one printable line without a full stop", p.Message)
	}
	if p.Line < 1 || p.Column < 1 {
		t.Errorf("%s is at %d:%d", p.Path, p.Line, p.Column)
	}
	// Line 1 is the comment with the expectation; a mistake is below it, unless
	// it is that something is missing.
	if p.Line == 1 && p.Code != spec.CodeRequired && p.Path != "" {
		t.Errorf("%s (%s) has no place in the document", p.Path, p.Code)
	}
}
