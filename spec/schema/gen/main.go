// SPDX-License-Identifier: Apache-2.0

// Command gen writes the JSON schema of a sandbox spec from the Go types of
// package spec: their structure by reflection, their comments and constants by
// parsing the source, their constraints and defaults by asking the package.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/berthrun/berth/spec"
)

// schemaID is where the schema is found by people; nothing fetches it.
const schemaID = "https://github.com/berthrun/berth/blob/main/spec/schema/sandbox.schema.json"

func main() {
	source := flag.String("source", "..", "`folder` of package spec")
	out := flag.String("out", "sandbox.schema.json", "`file` to write")
	flag.Parse()
	data, err := generate(*source)
	if err == nil {
		err = os.WriteFile(*out, data, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1) //nolint:forbidigo // this is package main
	}
}

// generate returns the schema as indented JSON, the same bytes for the same
// source.
func generate(source string) ([]byte, error) {
	docs, err := readDocs(filepath.Join(source, "sandbox.go"))
	if err != nil {
		return nil, err
	}
	root, err := jsonschema.For[spec.Sandbox](&jsonschema.ForOptions{TypeSchemas: map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[spec.Bytes]():      either("integer", `^[0-9]+(?:Ki|Mi|Gi)?$`),
		reflect.TypeFor[spec.CPUs]():       either("number", `^[0-9]+(?:\.[0-9]{1,3})?$`),
		reflect.TypeFor[spec.Duration]():   {Type: "string", Pattern: `^\+?(?:0|(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)$`},
		reflect.TypeFor[json.RawMessage](): {Type: "object"},
	}})
	if err != nil {
		return nil, err
	}
	g := generator{docs: docs, constraints: spec.Constraints()}
	if g.defaults, err = defaults(); err != nil {
		return nil, err
	}
	if err := g.decorate(root, reflect.TypeFor[spec.Sandbox](), ""); err != nil {
		return nil, err
	}
	for pattern := range g.constraints {
		return nil, fmt.Errorf("the constraint of %q belongs to no field", pattern)
	}
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.ID = schemaID
	root.Title = "berth sandbox, " + spec.APIVersion
	root.Description = docs.text("Sandbox", "")
	// What one constraint cannot say.
	root.Required = []string{"image"}
	root.Properties["mounts"].Items.AnyOf = []*jsonschema.Schema{{Required: []string{"type"}}, {Required: []string{"source"}}}
	one := root.Properties["network"].Properties["egress"].Items
	one.MinProperties, one.MaxProperties = new(1), new(1)

	data, err := json.Marshal(root)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, data, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// either is a number that may be written as text, as quantities are.
func either(number, pattern string) *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
		{Type: number, Minimum: new(0.0)},
		{Type: "string", Pattern: pattern},
	}}
}

// defaults returns the JSON tree of what [spec.Default] makes of an empty spec
// with one mount and one port.
func defaults() (map[string]any, error) {
	s := spec.Sandbox{Mounts: []spec.Mount{{}}, Binding: spec.Binding{Ports: []spec.Port{{}}}}
	spec.Default(&s)
	data, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	return tree, json.Unmarshal(data, &tree)
}

type generator struct {
	docs        docs
	constraints map[string]spec.Constraint // those that are not yet used
	defaults    map[string]any
}

// decorate adds to the schema s of a value of type t at a path everything that
// the type alone does not say.
func (g *generator) decorate(s *jsonschema.Schema, t reflect.Type, path string) error {
	// A null is neither a list nor a truth value: decoding refuses it.
	if i := slices.Index(s.Types, "null"); i >= 0 && len(s.Types) == 2 {
		s.Type, s.Types = s.Types[1-i], nil
	}
	g.constrain(s, t, path)
	switch {
	case t.Kind() == reflect.Pointer:
		return g.decorate(s, t.Elem(), path)
	case t.Kind() == reflect.Slice && s.Items != nil:
		return g.decorate(s.Items, t.Elem(), path+"[]")
	case t.Kind() == reflect.Map:
		return g.decorate(s.AdditionalProperties, t.Elem(), path+".*")
	case t.Kind() != reflect.Struct:
		return nil
	}
	if t != reflect.TypeFor[spec.NoFile]() {
		s.Required = nil // the tags say when a field is written, not when it is needed
	}
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		child := string(spec.Path(path).Field(name))
		property := s.Properties[name]
		if g.constraints[child].Required && child != "mounts[].type" {
			s.Required = append(s.Required, name)
		}
		if err := g.decorate(property, field.Type, child); err != nil {
			return err
		}
		property.Description = g.docs.text(t.Name(), field.Name)
		if rest, ok := strings.CutPrefix(property.Description, field.Name); ok {
			property.Description = name + rest // a comment starts with the Go name
		}
		if property.Description == "" {
			return fmt.Errorf("%s.%s has no comment", t.Name(), field.Name)
		}
		if values := g.docs.values[field.Type.Name()]; values != "" {
			property.Description += "\n\n" + values
		}
		if value, ok := lookup(g.defaults, child); ok {
			data, err := json.Marshal(value)
			if err != nil {
				return err
			}
			property.Default = data
		}
	}
	return nil
}

func (g *generator) constrain(s *jsonschema.Schema, t reflect.Type, path string) {
	c, ok := g.constraints[path]
	if !ok {
		return
	}
	delete(g.constraints, path)
	for _, e := range c.Enum {
		s.Enum = append(s.Enum, e)
	}
	if c.Keys != "" {
		s.PropertyNames = &jsonschema.Schema{Pattern: c.Keys}
		if c.Not != "" {
			s.PropertyNames.Not = &jsonschema.Schema{Pattern: c.Not}
		}
		return
	}
	s.Pattern = cmp.Or(c.Pattern, s.Pattern)
	if c.Not != "" {
		s.Not = &jsonschema.Schema{Pattern: c.Not}
	}
	if c.Bounded && s.Type == "integer" {
		s.Minimum = new(float64(c.Min))
		if c.Max <= math.MaxUint32 { // larger ones are the type's own and not exact in JSON
			s.Maximum = new(float64(c.Max))
		}
	}
	if c.Required && t.Kind() == reflect.Slice {
		s.MinItems = new(1)
	}
}

// lookup finds a scalar by its path; "[]" is the first element of a list.
func lookup(tree any, path string) (any, bool) {
	for step := range strings.SplitSeq(path, ".") {
		name, list := strings.CutSuffix(step, "[]")
		object, ok := tree.(map[string]any)
		if !ok {
			return nil, false
		}
		tree = object[name]
		if items, ok := tree.([]any); ok && list {
			tree = items[0]
		}
	}
	switch v := tree.(type) {
	case string:
		return v, v != ""
	case bool:
		return v, true
	}
	return nil, false
}

// docs has the comments of package spec.
type docs struct {
	comments map[string]string // by "Type" and "Type.Field"
	values   map[string]string // by type: one line for each documented constant
	names    map[string]string // the text of each constant
}

func (d docs) text(typ, field string) string {
	if field == "" {
		return d.comments[typ]
	}
	return d.comments[typ+"."+field]
}

func readDocs(file string) (docs, error) {
	d := docs{map[string]string{}, map[string]string{}, map[string]string{}}
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		return d, err
	}
	var constants []*ast.ValueSpec
	for _, decl := range f.Decls {
		decl, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, item := range decl.Specs {
			switch item := item.(type) {
			case *ast.TypeSpec:
				comment := item.Doc.Text()
				if comment == "" {
					comment = decl.Doc.Text()
				}
				d.comments[item.Name.Name] = comment
				if fields, ok := item.Type.(*ast.StructType); ok {
					for _, field := range fields.Fields.List {
						for _, name := range field.Names {
							d.comments[item.Name.Name+"."+name.Name] = field.Doc.Text()
						}
					}
				}
			case *ast.ValueSpec:
				for i, name := range item.Names {
					if i < len(item.Values) {
						if lit, ok := item.Values[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
							if d.names[name.Name], err = strconv.Unquote(lit.Value); err != nil {
								return d, err
							}
							constants = append(constants, item)
						}
					}
				}
			}
		}
	}
	for key, comment := range d.comments {
		d.comments[key] = d.plain(comment)
	}
	for _, c := range constants {
		typ, ok := c.Type.(*ast.Ident)
		if comment := c.Doc.Text(); ok && comment != "" {
			name := c.Names[0].Name
			line := d.names[name] + strings.TrimPrefix(d.plain(comment), name)
			d.values[typ.Name] = strings.TrimPrefix(d.values[typ.Name]+"\n"+line, "\n")
		}
	}
	return d, nil
}

var (
	docLink = regexp.MustCompile(`\[([A-Za-z.]+)\]`)
	// goName finds the Go name of a field or a type in running text.
	goName = regexp.MustCompile(`\b(?:[A-Z][a-z]+)(?:\.[A-Z][A-Za-z]+)+\b`)
)

// plain turns a Go comment into text for readers of the schema: one paragraph,
// constants as their values, fields as their paths.
func (d docs) plain(comment string) string {
	comment = strings.Join(strings.Fields(comment), " ")
	comment = docLink.ReplaceAllStringFunc(comment, func(link string) string {
		name := strings.Trim(link, "[]")
		if text, ok := d.names[name]; ok {
			return text
		}
		return name
	})
	return goName.ReplaceAllStringFunc(comment, func(name string) string {
		parts := strings.Split(name, ".")
		for i, p := range parts {
			parts[i] = strings.ToLower(p[:1]) + p[1:]
		}
		return strings.Join(parts, ".")
	})
}
