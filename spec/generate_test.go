// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/berthrun/berth/spec"
)

// same compares specs; a list or map that is empty is one that is not set, and
// raw JSON is compared by what it says.
var same = cmp.Options{
	cmpopts.EquateEmpty(),
	cmp.FilterValues(func(a, b json.RawMessage) bool { return len(a)+len(b) > 0 }, cmp.Transformer("json", func(raw json.RawMessage) any {
		var v any
		dec := json.NewDecoder(strings.NewReader(string(raw)))
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			return string(raw)
		}
		return v
	})),
}

// texts are values that some field or other takes seriously, so that a random
// spec runs into its rules and not only into the first syntax check.
var texts = []string{
	"", "a", "b", "A", "web-1", "/a", "/a/b", "/a/../b", "/", "//", "rel/path", "~/x", "/proc/x", "/dev/shm", "/dev/kvm",
	"/dev/kvm:/dev/kvm:rw", "/run/berth/x", "vendor.com/gpu=0", "caller", "image", "0", "1000:1000", "4294967295", "host",
	"debian", "linux/arm64", "127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1", "fe80::1%x", "10.0.0.0/8", "10.1.2.3/8",
	"example.com", "*.example.com", "cap_chown", "CHOWN", "ALL", "NOPE", "SIGTERM", "15", "rtmin+3", "default", "unconfined",
	"berth.id", "=", "A=B", "x\x00y", "two\nlines", " spaces ", "yes", "null", "1", "<<", "#", "größe", "\u2028", "\ufeff", "\u0085", "'\"", "- x", "a: b",
	"berth/v1alpha1", "Sandbox", "a\n\tb\n", "\n", "a \nb", "x\n\n", "\ta\nb", "a\r\nb", "- a\n# b\n  c",
}

// fitting has values that fit fields which have a form of their own.
var fitting = map[string][]string{
	"name":                           {"a", "web-1"},
	"image.ref":                      {"debian", "host", "ghcr.io/owner/tool:v1"},
	"image.platform":                 {"linux/arm64"},
	"process.workdir":                {"/", "/work"},
	"user.as":                        {"caller", "image", "0", "1000:1000"},
	"user.name":                      {"dev"},
	"mounts[].source":                {"", "/a", "/b/c", "cache"},
	"mounts[].target":                {"/a", "/a/b", "/c", "/d"},
	"mounts[].upper":                 {"/u", "/u/2"},
	"binding.address":                {"127.0.0.1", "::1", "0.0.0.0", "::ffff:127.0.0.1"},
	"binding.ports[].address":        {"127.0.0.1", "::1"},
	"binding.ports[].name":           {"a", "b", "c"},
	"network.name":                   {"lab"},
	"network.aliases[]":              {"db", "cache"},
	"network.additional[].name":      {"one", "two"},
	"network.additional[].aliases[]": {"db", "cache"},
	"network.egress[].cidr":          {"10.0.0.0/8", "fd00::/8"},
	"network.egress[].domain":        {"example.com", "*.example.com"},
	"security.capabilities.add[]":    {"cap_chown", "KILL"},
	"security.capabilities.drop[]":   {"ALL", "net_raw"},
	"security.seccomp":               {"default", "/etc/seccomp.json"},
	"security.runtime":               {"runsc"},
	"security.devices[]":             {"/dev/kvm", "vendor.com/gpu=0"},
	"life.stopSignal":                {"INT", "15", "rtmin+3"},
	"labels key":                     {"a", "com.example/b"},
	"extensions key":                 {"docker", "other"},
}

// generator draws specs.
type generator struct {
	// encodable leaves out what no document can say: text that is not UTF-8 and
	// negative quantities.
	encodable bool
	// one field in sparse is set, one value in wild is arbitrary.
	sparse, wild int
}

// anySandbox draws a spec with nothing but types to hold it, from nearly empty
// to full and from mostly fitting to arbitrary.
func anySandbox(encodable bool) *rapid.Generator[*spec.Sandbox] {
	return rapid.Custom(func(t *rapid.T) *spec.Sandbox {
		g := generator{
			encodable: encodable,
			sparse:    rapid.SampledFrom([]int{1, 2, 4, 8}).Draw(t, "sparse"),
			wild:      rapid.SampledFrom([]int{2, 10, 1000}).Draw(t, "wild"),
		}
		s := new(spec.Sandbox)
		g.fill(t, reflect.ValueOf(s).Elem(), "")
		return s
	})
}

// oneIn is true once in n times; what shrinks is false.
func oneIn(t *rapid.T, n int, label string) bool { return rapid.IntRange(1, n).Draw(t, label) == n }

func (g generator) fill(t *rapid.T, v reflect.Value, pattern string) {
	label := pattern
	if raw, ok := reflect.TypeAssert[*json.RawMessage](v.Addr()); ok {
		choices := []string{`{}`, `{"a":[1,2.50,null,true,"x<y"],"b":{"c":-0e3}}`, `{"n":9007199254740993}`}
		if oneIn(t, g.wild, label+" wild") {
			choices = []string{`[1]`, `"x"`}
			if !g.encodable {
				choices = []string{``, `{`, `{"a":1,"a":2}`, `{"a":{"b":1,"b":1}}`}
			}
		}
		*raw = json.RawMessage(rapid.SampledFrom(choices).Draw(t, label))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			child := string(spec.Path(pattern).Field(name))
			needed := spec.Constraints()[child].Required && !oneIn(t, g.wild, child+" wild")
			// A part of the document has fields of its own that may be left out.
			if needed || pattern == "" && v.Field(i).Kind() == reflect.Struct || oneIn(t, g.sparse, child+" set") {
				g.fill(t, v.Field(i), child)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		g.fill(t, v.Elem(), pattern)
	case reflect.Slice:
		n := rapid.IntRange(0, 3).Draw(t, label+" length")
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			g.fill(t, v.Index(i), pattern+"[]")
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range rapid.IntRange(0, 3).Draw(t, label+" length") {
			item := reflect.New(v.Type().Elem()).Elem()
			g.fill(t, item, pattern+".*")
			v.SetMapIndex(reflect.ValueOf(g.text(t, label+" key", fitting[pattern+" key"])), item)
		}
	case reflect.String:
		fit := fitting[pattern]
		if enum := spec.Constraints()[pattern].Enum; enum != nil {
			fit = enum
		}
		v.SetString(g.text(t, label, fit))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, label))
	case reflect.Int, reflect.Int64:
		choices := []int64{1, 2, 80, 8080}
		if v.Type() == reflect.TypeFor[spec.Bytes]() || v.Type() == reflect.TypeFor[spec.Duration]() {
			choices = []int64{6 << 20, 1e9, 90e9}
		}
		if oneIn(t, g.wild, label+" wild") {
			choices = []int64{0, 1, 65535, 65536, 1e9}
			if v.Type() != reflect.TypeFor[spec.CPUs]() || !g.encodable { // the text of CPUs ends at 2^20
				choices = append(choices, 3600e9, math.MaxInt64)
			}
			if !g.encodable {
				choices = append(choices, -1, math.MinInt64)
			}
		}
		v.SetInt(rapid.SampledFrom(choices).Draw(t, label))
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(rapid.SampledFrom([]uint32{0, 1, 5, 1000, math.MaxUint32 - 1, math.MaxUint32}).Draw(t, label)))
	default:
		t.Fatalf("%s has the kind %s", pattern, v.Kind())
	}
}

func (g generator) text(t *rapid.T, label string, fit []string) string {
	if fit != nil && !oneIn(t, g.wild, label+" wild") {
		return rapid.SampledFrom(fit).Draw(t, label)
	}
	switch kind := rapid.IntRange(0, 5).Draw(t, label+" kind"); {
	case kind == 4:
		return rapid.String().Draw(t, label)
	case kind == 5 && !g.encodable:
		return rapid.SampledFrom([]string{"\xff", "a\x80", "/\xc3"}).Draw(t, label)
	}
	return rapid.SampledFrom(texts).Draw(t, label)
}

// Without valid and invalid specs among what is drawn, the properties would say
// little.
func TestGeneratorDrawsBothKinds(t *testing.T) {
	valid, invalid := 0, 0
	codes := map[spec.Code]bool{}
	specs := anySandbox(false)
	for seed := range 500 { // fixed seeds, so that the counts are fixed too
		var problems spec.Problems
		if errors.As(spec.Validate(specs.Example(seed)), &problems) {
			invalid++
		} else {
			valid++
		}
		for _, p := range problems {
			codes[p.Code] = true
		}
	}
	if valid < 25 || invalid < 100 {
		t.Errorf("%d valid specs and %d others", valid, invalid)
	}
	for _, code := range []spec.Code{
		spec.CodeRequired, spec.CodeInvalid, spec.CodeOutOfRange, spec.CodeDuplicate,
		spec.CodeConflict, spec.CodeUnknownValue, spec.CodeReserved,
	} {
		if !codes[code] {
			t.Errorf("no spec with the code %s", code)
		}
	}
}
