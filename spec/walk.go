// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Field returns the path of a field of the object at p.
func (p Path) Field(name string) Path {
	if p == "" {
		return Path(name)
	}
	return p + "." + Path(name)
}

// Index returns the path of an element of the list at p.
func (p Path) Index(i int) Path { return p + Path("["+strconv.Itoa(i)+"]") }

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./-]*$`)

// Key returns the path of a value of the map at p: "process.env.HOME", or
// process.env["A B"] for a key that would be hard to read or to print safely.
func (p Path) Key(key string) Path {
	if plainKey.MatchString(key) {
		return p.Field(key)
	}
	return p + Path("["+strconv.Quote(key)+"]")
}

// node is one value of a spec on a walk.
type node struct {
	path    Path
	pattern string // path with [] and .* for what varies
	value   reflect.Value
	element bool // of a list or map, so that the zero value counts
}

// walk visits every value of s in document order, parents before children,
// fields that are not set included.
func walk(s *Sandbox, visit func(node)) {
	visitNode(node{value: reflect.ValueOf(s).Elem()}, visit)
}

func visitNode(n node, visit func(node)) {
	visit(n)
	v := n.value
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return
		}
		visitNode(node{n.path, n.pattern, v.Elem(), false}, func(child node) {
			if child.path != n.path { // the pointer and its target are one field
				visit(child)
			}
		})
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			pattern := string(Path(n.pattern).Field(name))
			visitNode(node{n.path.Field(name), pattern, v.Field(i), false}, visit)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return // raw JSON is a leaf
		}
		for i := range v.Len() {
			visitNode(node{n.path.Index(i), n.pattern + "[]", v.Index(i), true}, visit)
		}
	case reflect.Map:
		keys := slices.SortedFunc(maps.Keys(mapOf(v)), strings.Compare)
		for _, k := range keys {
			visitNode(node{n.path.Key(k), n.pattern + ".*", v.MapIndex(reflect.ValueOf(k)), true}, visit)
		}
	case reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint32, reflect.Uint64, reflect.String:
	default:
		panic(fmt.Sprintf("spec: %s has the kind %s, which walk does not know", n.path, v.Kind()))
	}
}

// mapOf returns the keys of a map with text keys.
func mapOf(v reflect.Value) map[string]struct{} {
	out := make(map[string]struct{}, v.Len())
	for _, k := range v.MapKeys() {
		out[k.String()] = struct{}{}
	}
	return out
}
