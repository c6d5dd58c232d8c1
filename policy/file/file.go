// SPDX-License-Identifier: Apache-2.0

// Package file reads policies from YAML and JSON documents, strictly: an
// unknown, doubled or wrongly cased key, an alias, an empty value or a value of
// the wrong kind is an error with its line. A program that cannot read a policy
// that it was given must refuse to go on.
//
//	apiVersion: berth/v1alpha1
//	kind: Policy
//	name: ci
//	extends: hardened            # a profile; optional
//	rules:                       # what is refused
//	  mounts:
//	    roots: [/srv/projects]
//	  images:
//	    allow: ["ghcr.io/acme/**"]
//	  resources:
//	    max: {memory: 4Gi, pids: 512}
//	warn:                        # what is only told, with the same keys
//	  binding:
//	    addresses: [loopback]
//	unsafe:                      # overrides, as a violation prints them
//	  - network.modes=host
//
// The keys of rules are those of [policy.Rules].
package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/berthrun/berth/policy"
	"github.com/berthrun/berth/spec"
	specyaml "github.com/berthrun/berth/spec/yaml"
)

// APIVersion and Kind identify a policy document.
const (
	APIVersion = "berth/v1alpha1"
	Kind       = "Policy"
)

// MaxSize is the most bytes that a document may have.
const MaxSize = 1 << 20

// File is what a policy document says.
type File struct {
	// Policy has the document's rules and the profile that they extend. It can
	// only restrict: a caller intersects it with the profile of the spec, as
	// [policy.For] does.
	Policy *policy.Policy
	// Unsafe are the overrides that the document names. They are not part of the
	// policy, so that adding a policy never permits more: the caller appends
	// them to [policy.Input].Unsafe, and to the arguments of
	// [policy.Policy.Tighten], when an operator gave the document by name. They
	// lift rules of profiles and built-in ones, never the rules of a document.
	Unsafe []string
}

// Decode reads one document. name stands in front of every message, as a file
// name does. The error is [specyaml.Problems]: every mistake, in the order of
// the document. It never panics, whatever data is.
func Decode(data []byte, name string) (*File, error) {
	d := &decoder{name: name, places: map[spec.Path]place{"": {1, 1}}}
	var doc document
	if root := d.root(data); root != nil {
		d.value(root, reflect.ValueOf(&doc).Elem(), "")
		d.require("apiVersion", doc.APIVersion, APIVersion)
		d.require("kind", doc.Kind, Kind)
	}
	for i, text := range doc.Unsafe {
		if err := policy.CheckOverride(text); err != nil {
			d.add(spec.Path("unsafe").Index(i), spec.CodeInvalid, "%v", err)
		}
	}
	p, err := policy.New(policy.Definition{Name: doc.Name, Extends: doc.Extends, Rules: doc.Rules, Warn: doc.Warn})
	var found spec.Problems
	switch {
	case errors.As(err, &found):
		for _, problem := range found {
			// What could not be decoded has been reported already.
			if !d.reported(problem.Path) {
				d.add(problem.Path, problem.Code, "%s", problem.Message)
			}
		}
	case err != nil:
		d.add("", spec.CodeInvalid, "%v", err)
	}
	if len(d.problems) > 0 {
		slices.SortStableFunc(d.problems, func(a, b specyaml.Problem) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return a.Column - b.Column
		})
		return nil, d.problems
	}
	return &File{Policy: p, Unsafe: doc.Unsafe}, nil
}

type document struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Name       string       `json:"name"`
	Extends    spec.Profile `json:"extends"`
	Rules      policy.Rules `json:"rules"`
	Warn       policy.Rules `json:"warn"`
	Unsafe     []string     `json:"unsafe"`
}

type place struct{ line, column int }

type decoder struct {
	name     string
	problems specyaml.Problems
	places   map[spec.Path]place
}

// add reports a problem at the place of p, or of the nearest thing around it.
func (d *decoder) add(p spec.Path, code spec.Code, format string, args ...any) {
	at, around := place{}, p
	for {
		var ok bool
		if at, ok = d.places[around]; ok {
			break
		}
		around = around[:max(0, strings.LastIndexAny(string(around), ".["))]
	}
	d.addAt(at, p, code, format, args...)
}

func (d *decoder) addAt(at place, p spec.Path, code spec.Code, format string, args ...any) {
	problem := spec.Problem{Path: p, Code: code, Message: fmt.Sprintf(format, args...)}
	d.problems = append(d.problems, specyaml.Problem{Name: d.name, Line: at.line, Column: at.column, Problem: problem})
}

func (d *decoder) reported(p spec.Path) bool {
	return slices.ContainsFunc(d.problems, func(o specyaml.Problem) bool { return o.Path == p || o.Path == "" })
}

func (d *decoder) require(p spec.Path, have, want string) {
	switch {
	case have == want || d.reported(p):
	case have == "":
		d.add(p, spec.CodeRequired, "is missing: want %s", want)
	default:
		d.add(p, spec.CodeUnknownValue, "%q is not known: want %s", have, want)
	}
}

// yamlLine takes the line out of the only form that the library's errors have.
var yamlLine = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?`)

// root returns the top value of the only document in data, or nil after it has
// reported why there is none.
func (d *decoder) root(data []byte) *yaml.Node {
	switch {
	case len(data) > MaxSize:
		d.add("", spec.CodeOutOfRange, "the document has %d bytes: a policy has at most %d", len(data), MaxSize)
		return nil
	case !utf8.Valid(data):
		d.add("", spec.CodeInvalid, "the document is not UTF-8: save it as UTF-8")
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var documents [2]yaml.Node
	for i := range documents {
		err := dec.Decode(&documents[i])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			text, at := err.Error(), place{1, 1}
			if m := yamlLine.FindStringSubmatch(text); m != nil {
				text = text[len(m[0]):]
				if line, err := strconv.Atoi(m[1]); err == nil {
					at.line = max(1, line)
				}
			}
			d.addAt(at, "", spec.CodeInvalid, "the document is neither YAML nor JSON: %s", text)
			return nil
		}
	}
	if second := documents[1]; second.Kind != 0 {
		d.addAt(where(&second), "", spec.CodeUnsupported, "a second document starts here: one file holds one policy")
		return nil
	}
	if len(documents[0].Content) == 0 {
		d.add("", spec.CodeRequired, "the document is empty: want apiVersion, kind, name and rules")
		return nil
	}
	return documents[0].Content[0]
}

func where(n *yaml.Node) place { return place{max(1, n.Line), max(1, n.Column)} }

// plain refuses what lets one place of a document speak for another.
func (d *decoder) plain(n *yaml.Node, p spec.Path) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		d.addAt(where(n), p, spec.CodeUnsupported, "aliases are not supported: write the value out")
	case n.Anchor != "":
		d.addAt(where(n), p, spec.CodeUnsupported, "anchors are not supported: remove &%s", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0:
		d.addAt(where(n), p, spec.CodeUnsupported, "tags are not supported: remove %s", n.Tag)
	default:
		return true
	}
	return false
}

// value decodes n into v and reports what does not fit.
func (d *decoder) value(n *yaml.Node, v reflect.Value, p spec.Path) {
	d.places[p] = where(n)
	if !d.plain(n, p) {
		return
	}
	if n.ShortTag() == "!!null" {
		d.add(p, spec.CodeInvalid, "is empty: give it a value or remove it")
		return
	}
	want := map[reflect.Kind]yaml.Kind{reflect.Struct: yaml.MappingNode, reflect.Map: yaml.MappingNode, reflect.Slice: yaml.SequenceNode}[v.Kind()]
	if want == 0 {
		want = yaml.ScalarNode
	}
	if n.Kind != want {
		d.add(p, spec.CodeInvalid, "is %s: want %s", kindNames[n.Kind], kindNames[want])
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		fields := fieldsOf(v.Type())
		d.entries(n, p, func(key, value *yaml.Node) {
			i := slices.Index(fields, key.Value)
			if i < 0 {
				d.addAt(where(key), p.Key(key.Value), spec.CodeUnknownField, "is not a field: want one of %s", strings.Join(fields, ", "))
				return
			}
			d.value(value, v.Field(i), p.Field(key.Value))
		})
	case reflect.Map:
		v.Set(reflect.MakeMapWithSize(v.Type(), len(n.Content)/2))
		d.entries(n, p, func(key, value *yaml.Node) {
			item := reflect.New(v.Type().Elem()).Elem()
			d.value(value, item, p.Key(key.Value))
			v.SetMapIndex(reflect.ValueOf(key.Value), item)
		})
	case reflect.Slice:
		// An empty list permits nothing, a missing one states nothing.
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
		for i, item := range n.Content {
			d.value(item, v.Index(i), p.Index(i))
		}
	default:
		d.scalar(n, v, p)
	}
}

var kindNames = map[yaml.Kind]string{yaml.MappingNode: "an object", yaml.SequenceNode: "a list", yaml.ScalarNode: "a single value"}

// entries calls fn for each key of a mapping that is text and there once.
func (d *decoder) entries(n *yaml.Node, p spec.Path, fn func(key, value *yaml.Node)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !d.plain(key, p) {
			continue
		}
		if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" {
			d.addAt(where(key), p, spec.CodeInvalid, "has a key that is not text: write it in quotes")
			continue
		}
		if line, ok := seen[key.Value]; ok {
			d.addAt(where(key), p.Key(key.Value), spec.CodeDuplicate, "is there already in line %d: remove one", line)
			continue
		}
		seen[key.Value] = key.Line
		fn(key, value)
	}
}

// fieldsOf returns the keys of a struct by index.
func fieldsOf(t reflect.Type) []string {
	names := make([]string, t.NumField())
	for i := range names {
		names[i], _, _ = strings.Cut(t.Field(i).Tag.Get("json"), ",")
	}
	return names
}

var integer = regexp.MustCompile(`^(?:0|[1-9][0-9]*)$`)

// scalar decodes one value. The zero value of each kind is how package policy
// says "nothing is stated", so that a document may not write it.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, p spec.Path) {
	tag := n.ShortTag()
	quantity, isQuantity := reflect.TypeAssert[json.Unmarshaler](v.Addr())
	var err error
	switch {
	case isQuantity:
		text := []byte(n.Value)
		if tag == "!!str" {
			text, _ = json.Marshal(n.Value) // a string is always JSON
		}
		err = quantity.UnmarshalJSON(text)
	case v.Kind() == reflect.String:
		if tag != "!!str" {
			err = fmt.Errorf("is not text: write %q in quotes", n.Value)
		}
		v.SetString(n.Value)
	case v.Kind() == reflect.Bool:
		if tag != "!!bool" || n.Value != "true" && n.Value != "false" {
			err = fmt.Errorf("is %q: want true", n.Value)
		} else if n.Value == "false" {
			err = errors.New("is false: a policy only restricts, leave it out")
		}
		v.SetBool(true)
	case tag != "!!int" || !integer.MatchString(n.Value):
		err = fmt.Errorf("is %q: want a whole number above 0", n.Value)
	case v.CanInt():
		var i int64
		if i, err = strconv.ParseInt(n.Value, 10, v.Type().Bits()); err == nil {
			v.SetInt(i)
		}
	case v.CanUint():
		var u uint64
		if u, err = strconv.ParseUint(n.Value, 10, v.Type().Bits()); err == nil {
			v.SetUint(u)
		}
	default:
		err = errors.New("cannot be written in a document") // no rule has such a type
	}
	switch {
	case errors.Is(err, strconv.ErrRange):
		d.add(p, spec.CodeOutOfRange, "%s is too large", n.Value)
	case err != nil:
		d.add(p, spec.CodeInvalid, "%v", err)
	case v.IsZero() && v.Kind() == reflect.String:
		d.add(p, spec.CodeInvalid, "is empty: give it a value or remove it")
	case v.IsZero():
		d.add(p, spec.CodeOutOfRange, "is 0: want more, or leave it out")
	}
}
