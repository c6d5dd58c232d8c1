// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestClauses(t *testing.T) {
	form := regexp.MustCompile(`^[a-z]+(\.[a-z0-9]+(-[a-z0-9]+)*)+$`)
	seen, texts := map[string]bool{}, map[string]bool{}
	for _, c := range Clauses() {
		if !form.MatchString(c.ID) {
			t.Errorf("%q is no clause id", c.ID)
		}
		if seen[c.ID] {
			t.Errorf("%s is there twice", c.ID)
		}
		if texts[c.Text] {
			t.Errorf("%s: another clause says the same", c.ID)
		}
		seen[c.ID], texts[c.Text] = true, true
		if !slices.Contains([]Level{Must, Should, May}, c.Level) {
			t.Errorf("%s: level %q", c.ID, c.Level)
		}
		if !strings.HasSuffix(c.Text, ".") {
			t.Errorf("%s: %q is no sentence", c.ID, c.Text)
		}
		if c.Field != "" && !isField(reflect.TypeFor[Sandbox](), strings.Split(string(c.Field), ".")) {
			t.Errorf("%s: a spec has no field %s", c.ID, c.Field)
		}
	}
}

// isField follows the JSON names, through lists.
func isField(typ reflect.Type, names []string) bool {
	for typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if len(names) == 0 {
		return true
	}
	if typ.Kind() != reflect.Struct {
		return false
	}
	for f := range typ.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name == names[0] {
			return isField(f.Type, names[1:])
		}
	}
	return false
}

// TestEveryFieldHasAClause: a field that no sentence is about is a field that no
// backend has to honour.
func TestEveryFieldHasAClause(t *testing.T) {
	elsewhere := map[Path]string{
		"apiVersion": "the decoder's business", "kind": "the decoder's business",
		"user.name":        "what berth adds to the image's user database, above the driver",
		"security.profile": "a policy's name; what it decides are other fields",
	}
	fields := map[Path]bool{}
	for _, c := range Clauses() {
		fields[c.Field] = true
	}
	var visit func(typ reflect.Type, at Path)
	visit = func(typ reflect.Type, at Path) {
		for f := range typ.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			p := at.Field(name)
			_, exempt := elsewhere[p]
			below := func(field Path) bool { return strings.HasPrefix(string(field), string(p)+".") }
			switch {
			case exempt == fields[p]:
				if exempt {
					t.Errorf("%s has a clause and is listed as one without", p)
				} else if f.Type.Kind() == reflect.Struct {
					visit(f.Type, p)
				} else if !slices.ContainsFunc(slices.Collect(maps.Keys(fields)), below) {
					t.Errorf("no clause is about %s", p)
				}
			}
		}
	}
	visit(reflect.TypeFor[Sandbox](), "")
}

func TestClausesIsACopy(t *testing.T) {
	Clauses()[0].ID = "changed"
	if Clauses()[0].ID == "changed" {
		t.Error("the caller changed the list")
	}
}
