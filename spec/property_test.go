// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/berthrun/berth/spec"
	"github.com/berthrun/berth/spec/yaml"
)

func TestDefaultIsIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		once := anySandbox(false).Draw(t, "spec")
		spec.Default(once)
		twice := spec.Clone(once)
		spec.Default(twice)
		if diff := cmp.Diff(once, twice); diff != "" {
			t.Errorf("the second Default changed (-once +twice):\n%s", diff)
		}
	})
}

func TestDefaultKeepsWhatIsSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySandbox(false).Draw(t, "spec")
		before := spec.SetFields(s)
		spec.Default(s)
		after := spec.SetFields(s)
		for _, p := range before {
			if !slices.Contains(after, p) {
				t.Errorf("%s was set and is not after Default", p)
			}
		}
	})
}

func TestValidateIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySandbox(false).Draw(t, "spec")
		before := spec.Clone(s)
		first := spec.Validate(s)
		if diff := cmp.Diff(before, s); diff != "" {
			t.Fatalf("Validate changed the spec (-before +after):\n%s", diff)
		}
		spec.Default(s)
		// Maps are walked in random order; the problems are not.
		for range 3 {
			if again := spec.Validate(s); message(first) != message(again) {
				t.Fatalf("problems differ:\n%s\n\n%s", message(first), message(again))
			}
		}
		var problems spec.Problems
		if first != nil && !errors.As(first, &problems) {
			t.Fatalf("%T is not Problems", first)
		}
		if first != nil && len(problems) == 0 {
			t.Fatal("an error without a problem")
		}
	})
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Encode writes fields in document order, so that the places of the problems in
// what it wrote have to go up.
func TestProblemsAreInDocumentOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySandbox(true).Draw(t, "spec")
		spec.Default(s)
		data, err := yaml.Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := yaml.Parse(data, "spec.yaml")
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		var problems spec.Problems
		errors.As(spec.Validate(s), &problems)
		last := 0
		for _, p := range problems {
			line, _, ok := doc.Position(p.Path)
			if !ok {
				continue // nothing of the part that has the problem was written
			}
			if line < last {
				t.Fatalf("%s is in line %d, after a problem in line %d:\n%s\n%s", p.Path, line, last, problems, data)
			}
			last = line
		}
	})
}

func TestDigestIgnoresDefaulting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySandbox(true).Draw(t, "spec")
		before := spec.Clone(s)
		bare := spec.Digest(s)
		if diff := cmp.Diff(before, s); diff != "" {
			t.Fatalf("Digest changed the spec (-before +after):\n%s", diff)
		}
		spec.Default(s)
		if set := spec.Digest(s); bare == "" || bare != set {
			t.Errorf("digest %s, with defaults %s", bare, set)
		}
	})
}

func TestDigestTellsSpecsApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anySandbox(true).Draw(t, "a"), anySandbox(true).Draw(t, "b")
		spec.Default(a)
		spec.Default(b)
		// Canonical numbers make 2.50 and 2.5 equal, which cmp does not.
		if equal := cmp.Equal(a, b, same); equal != (spec.Digest(a) == spec.Digest(b)) {
			t.Errorf("equal is %v and the digests say otherwise:\n%s", equal, cmp.Diff(a, b, same))
		}
	})
}

func TestYAMLRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySandbox(true).Draw(t, "spec")
		data, err := yaml.Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		back, err := yaml.Decode(data, "spec.yaml")
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		if diff := cmp.Diff(s, back, same); diff != "" {
			t.Errorf("(-spec +read back):\n%s\n%s", diff, data)
		}
	})
}

func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySandbox(true).Draw(t, "spec")
		spec.Default(s)
		data, err := spec.Canonical(s)
		if err != nil {
			t.Fatal(err)
		}
		back, err := yaml.Decode(data, "spec.json")
		if err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		if spec.Digest(back) != spec.Digest(s) {
			t.Errorf("(-spec +read back):\n%s\n%s", cmp.Diff(s, back, same), data)
		}
	})
}

func TestOverlayProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base, over := anySandbox(false).Draw(t, "base"), anySandbox(false).Draw(t, "over")

		nothing := spec.Clone(base)
		if paths := spec.Overlay(nothing, &spec.Sandbox{}); len(paths) != 0 {
			t.Errorf("an empty spec wrote %v", paths)
		}
		if diff := cmp.Diff(base, nothing); diff != "" {
			t.Errorf("an empty spec changed (-base +got):\n%s", diff)
		}

		var all spec.Sandbox
		spec.Overlay(&all, over)
		if diff := cmp.Diff(over, &all, same); diff != "" {
			t.Errorf("onto an empty spec (-over +got):\n%s", diff)
		}

		once := spec.Clone(base)
		paths := spec.Overlay(once, over)
		twice := spec.Clone(once)
		if again := spec.Overlay(twice, over); !slices.Equal(paths, again) {
			t.Errorf("paths %v, the second time %v", paths, again)
		}
		if diff := cmp.Diff(once, twice); diff != "" {
			t.Errorf("the second time changed (-once +twice):\n%s", diff)
		}
		for i, p := range paths {
			if slices.Contains(paths[:i], p) {
				t.Errorf("%s is there twice", p)
			}
		}
	})
}
