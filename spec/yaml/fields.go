// SPDX-License-Identifier: Apache-2.0

package yaml

import (
	"reflect"
	"strings"

	"github.com/berthrun/berth/spec"
)

// fieldNames returns the keys of a type of package spec in document order.
func fieldNames(t reflect.Type) []string {
	names := make([]string, t.NumField())
	for i := range names {
		names[i], _, _ = strings.Cut(t.Field(i).Tag.Get("json"), ",")
	}
	return names
}

// fieldsOf maps a key to the index of its field.
func fieldsOf(t reflect.Type) map[string]int {
	fields := map[string]int{}
	for i, name := range fieldNames(t) {
		fields[name] = i
	}
	return fields
}

func list(names []string) string { return strings.Join(names, ", ") }

// suggest returns what stands behind "is not a field" in the object at p.
func suggest(key string, t reflect.Type, p spec.Path) string {
	names := fieldNames(t)
	best, distance := "", max(1, len(key)/3)+1
	for _, name := range names {
		if fold(name) == fold(key) {
			best = name
			break
		}
		if n := edits(fold(name), fold(key)); n < distance {
			best, distance = name, n
		}
	}
	if best != "" {
		return ": did you mean " + best + "?"
	}
	if at := elsewhere(key, reflect.TypeFor[spec.Sandbox](), "", p); at != "" {
		return ": did you mean " + string(at) + "?"
	}
	return ": want one of " + list(names)
}

// fold makes keys equal that differ in case and separators only.
func fold(s string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s))
}

// elsewhere returns the first path in the spec that ends in key, leaving out
// the object at not.
func elsewhere(key string, t reflect.Type, p, not spec.Path) spec.Path {
	switch t.Kind() {
	case reflect.Pointer:
		return elsewhere(key, t.Elem(), p, not)
	case reflect.Slice:
		return elsewhere(key, t.Elem(), p+"[]", not)
	case reflect.Struct:
		for i, name := range fieldNames(t) {
			at := p.Field(name)
			if p != not && fold(name) == fold(key) {
				return at
			}
			if found := elsewhere(key, t.Field(i).Type, at, not); found != "" {
				return found
			}
		}
	}
	return ""
}

// edits returns the Levenshtein distance of a and b, which are short.
func edits(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return len(a) + len(b) // no field is that long
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
