// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berthrun/berth/spec"
	"github.com/berthrun/berth/spec/schema"
)

// field is one field of the types that holds a value and no further fields.
type field struct {
	pattern string    // mounts[].size
	path    spec.Path // mounts[0].size
}

// fields lists every field in document order.
func fields() []field {
	var out []field
	var visit func(reflect.Type, field)
	visit = func(t reflect.Type, f field) {
		switch {
		case t == reflect.TypeFor[json.RawMessage]():
			out = append(out, f)
		case t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct:
			visit(t.Elem(), f)
		case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
			visit(t.Elem(), field{f.pattern + "[]", f.path.Index(0)})
		case t.Kind() == reflect.Struct:
			for structField := range t.Fields() {
				name, _, _ := strings.Cut(structField.Tag.Get("json"), ",")
				visit(structField.Type, field{string(spec.Path(f.pattern).Field(name)), f.path.Field(name)})
			}
		default:
			out = append(out, f)
		}
	}
	visit(reflect.TypeFor[spec.Sandbox](), field{})
	return out
}

// sample returns a spec in which only f is set.
func (f field) sample(t *testing.T) *spec.Sandbox {
	t.Helper()
	s := new(spec.Sandbox)
	v := reflect.ValueOf(s).Elem()
	for step := range strings.SplitSeq(f.pattern, ".") {
		name, list := strings.CutSuffix(step, "[]")
		if v.Kind() == reflect.Pointer {
			v.Set(reflect.New(v.Type().Elem()))
			v = v.Elem()
		}
		i := slices.IndexFunc(reflect.VisibleFields(v.Type()), func(f reflect.StructField) bool {
			tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			return tag == name
		})
		v = v.Field(i)
		if list {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			v = v.Index(0)
		}
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint64:
		v.SetUint(7)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		if v.Index(0).Kind() == reflect.String {
			v.Index(0).SetString("x")
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		item := reflect.ValueOf("x")
		if v.Type().Elem() != item.Type() {
			item = reflect.ValueOf(json.RawMessage(`{}`))
		}
		v.SetMapIndex(reflect.ValueOf("x"), item)
	default:
		t.Fatalf("%s has the kind %s", f.pattern, v.Kind())
	}
	return s
}

// units lists the fields that are no unit of their own in a ledger, with the
// unit that they are part of. Every other field is its own.
var units = map[string]spec.Path{
	"apiVersion":                    "", // of the document, not of the sandbox
	"kind":                          "",
	"mounts[].type":                 "mounts[0]",
	"mounts[].source":               "mounts[0]",
	"mounts[].target":               "mounts[0]",
	"binding.ports[].name":          "binding.ports[0]",
	"binding.ports[].protocol":      "binding.ports[0]",
	"binding.ports[].containerPort": "binding.ports[0]",
	"binding.ports[].hostPort":      "binding.ports[0]",
	"binding.ports[].address":       "binding.ports[0]",
	"network.additional[].name":     "network.additional[0]",
	"network.additional[].aliases":  "network.additional[0]",
	"network.egress[].cidr":         "network.egress[0]",
	"network.egress[].domain":       "network.egress[0]",
	"resources.nofile.soft":         "resources.nofile",
	"resources.nofile.hard":         "resources.nofile",
	"security.devices":              "security.devices[0]",
	"life.restart.policy":           "life.restart",
	"life.restart.maxRetries":       "life.restart",
	"life.health.command":           "life.health",
	"life.health.interval":          "life.health",
	"life.health.timeout":           "life.health",
	"life.health.startPeriod":       "life.health",
	"life.health.retries":           "life.health",
	"extensions":                    "extensions.x",
}

func TestSetFieldsKnowsEveryField(t *testing.T) {
	left := map[string]bool{}
	for pattern := range units {
		left[pattern] = true
	}
	for _, f := range fields() {
		want, part := units[f.pattern]
		delete(left, f.pattern)
		if !part {
			want = f.path
		}
		s := f.sample(t)
		if f.pattern == "life.restart.maxRetries" {
			s.Life.Restart.Policy = spec.RestartOnFailure // without it there is nothing to bound
		}
		got := spec.SetFields(s)
		switch {
		case want == "" && len(got) > 0:
			t.Errorf("%s is no unit and SetFields lists %v", f.pattern, got)
		case want != "" && !slices.Contains(got, want):
			t.Errorf("%s is set and SetFields lists %v, not %s", f.pattern, got, want)
		}
	}
	for pattern := range left {
		t.Errorf("%s is listed and is no field", pattern)
	}
}

func TestSetFieldsOfNothing(t *testing.T) {
	if got := spec.SetFields(new(spec.Sandbox)); len(got) != 0 {
		t.Errorf("an empty spec sets %v", got)
	}
	s := new(spec.Sandbox)
	spec.Default(s)
	want := []spec.Path{
		"image.pull", "user.as", "user.name", "binding.address", "network.mode", "security.profile",
		"security.seccomp", "security.noNewPrivileges", "agent", "life.stopGrace", "life.restart",
	}
	if diff := cmp.Diff(want, spec.SetFields(s)); diff != "" {
		t.Errorf("defaults set (-want +got):\n%s", diff)
	}
}

// The schema's descriptions are the comments of the fields, so that one look
// at it finds a field without either.
func TestEveryFieldHasCommentAndSchema(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(schema.JSON(), &root); err != nil {
		t.Fatal(err)
	}
	for _, f := range fields() {
		at := root
		for step := range strings.SplitSeq(f.pattern, ".") {
			name, list := strings.CutSuffix(step, "[]")
			properties, _ := at["properties"].(map[string]any)
			at, _ = properties[name].(map[string]any)
			if text, _ := at["description"].(string); text == "" {
				t.Errorf("%s: %s has no description", f.pattern, name)
			}
			if list {
				at, _ = at["items"].(map[string]any)
			}
		}
	}
}
