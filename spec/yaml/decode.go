// SPDX-License-Identifier: Apache-2.0

package yaml

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

	"github.com/berthrun/berth/spec"
)

// MaxSize is the most bytes that a document may have.
const MaxSize = 1 << 20

// Problem is one mistake with its place in a document.
type Problem struct {
	// Name is the document's name as the caller gave it, often a file name.
	Name string
	// Line and Column count from 1, columns in characters.
	Line, Column int
	spec.Problem
}

// String returns the problem as one line, "name:line:column: path: message".
func (p Problem) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.Name, p.Line, p.Column, p.Problem)
}

// Problems is the error that [Parse], [Decode] and [Document.Locate] return:
// every mistake, in the order of the document. Reach it with errors.As.
type Problems []Problem

// Error returns one line for each problem, without a line break at the end.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// Document is a decoded document that remembers where each field was written.
// It must not be changed; Spec may be, after which positions speak of what was
// read.
type Document struct {
	// Spec is what the document says, without defaults.
	Spec *spec.Sandbox

	name      string
	positions map[spec.Path]position
}

type position struct{ line, column int }

// Position returns where the field at p was written, counting from 1. For a
// field that the document does not have it returns the place of the nearest
// object or list around it. ok is false when there is none but the document
// itself, whose beginning is then returned.
func (d *Document) Position(p spec.Path) (line, col int, ok bool) {
	for p != "" {
		if at, found := d.positions[p]; found {
			return at.line, at.column, true
		}
		p = p[:max(0, strings.LastIndexAny(string(p), ".["))]
	}
	at := d.positions[""]
	return at.line, at.column, false
}

// Locate gives each problem of a [spec.Validate] error its place in d and
// returns them as [Problems]. Any other error, nil too, comes back as it is.
func (d *Document) Locate(err error) error {
	var found spec.Problems
	if !errors.As(err, &found) {
		return err
	}
	out := make(Problems, len(found))
	for i, p := range found {
		line, column, _ := d.Position(p.Path)
		out[i] = Problem{d.name, line, column, p}
	}
	out.sort()
	return out
}

func (p Problems) sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
}

// Decode reads one document and returns its spec, without defaults. name stands
// in front of every message. The error is [Problems].
func Decode(data []byte, name string) (*spec.Sandbox, error) {
	d, err := Parse(data, name)
	if err != nil {
		return nil, err
	}
	return d.Spec, nil
}

// Parse is [Decode] for callers who want to point into the document later, for
// what [spec.Validate] or a policy has to say.
func Parse(data []byte, name string) (*Document, error) {
	d := &decoder{name: name, positions: map[spec.Path]position{"": {1, 1}}}
	s := new(spec.Sandbox)
	if root := d.root(data); root != nil {
		d.value(root, reflect.ValueOf(s).Elem(), "")
	}
	if len(d.problems) > 0 {
		d.problems.sort()
		return nil, d.problems
	}
	return &Document{Spec: s, name: name, positions: d.positions}, nil
}

type decoder struct {
	name      string
	problems  Problems
	positions map[spec.Path]position
}

func (d *decoder) add(at position, p spec.Path, code spec.Code, format string, args ...any) {
	problem := spec.Problem{Path: p, Code: code, Message: fmt.Sprintf(format, args...)}
	d.problems = append(d.problems, Problem{d.name, at.line, at.column, problem})
}

func (d *decoder) addAt(n *yaml.Node, p spec.Path, code spec.Code, format string, args ...any) {
	d.add(at(n), p, code, format, args...)
}

func at(n *yaml.Node) position { return position{max(1, n.Line), max(1, n.Column)} }

// root returns the top value of the only document in data, or nil after it has
// reported why there is none.
func (d *decoder) root(data []byte) *yaml.Node {
	first := position{1, 1}
	if len(data) > MaxSize {
		d.add(first, "", spec.CodeOutOfRange, "the document has %d bytes: a spec has at most %d", len(data), MaxSize)
		return nil
	}
	if i := invalidUTF8(data); i >= 0 {
		d.add(newLines(data).position(i), "", spec.CodeInvalid, "the document is not UTF-8: save it as UTF-8")
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	named := strings.HasSuffix(strings.ToLower(d.name), ".json")
	if named || bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		// JSON goes through its own parser, because a YAML parser misreads some
		// of its escapes.
		root, err := parseJSON(data)
		if err == nil {
			return root
		}
		if named {
			if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
				first = newLines(data).position(max(0, int(syntax.Offset)-1))
			}
			d.add(first, "", spec.CodeInvalid, "the document is not JSON: %v", err)
			return nil
		}
	}
	return d.parseYAML(data)
}

// yamlLine takes the line out of the only form that the library's errors have.
var yamlLine = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?`)

func (d *decoder) parseYAML(data []byte) *yaml.Node {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var documents [2]yaml.Node
	for i := range documents {
		err := dec.Decode(&documents[i])
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			where := position{1, 1}
			text := err.Error()
			if m := yamlLine.FindStringSubmatch(text); m != nil {
				text = text[len(m[0]):]
				if line, err := strconv.Atoi(m[1]); err == nil {
					where.line = max(1, line)
				}
			}
			d.add(where, "", spec.CodeInvalid, "the document is not YAML: %s", text)
			return nil
		}
	}
	if second := documents[1]; second.Kind != 0 {
		d.addAt(&second, "", spec.CodeUnsupported, "a second document starts here: one file holds one spec")
		return nil
	}
	if len(documents[0].Content) == 0 {
		d.add(position{1, 1}, "", spec.CodeRequired, "the document is empty: want at least image: {ref: …}")
		return nil
	}
	return documents[0].Content[0]
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// plain refuses what lets one place of a document speak for another.
func (d *decoder) plain(n *yaml.Node, p spec.Path) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		d.addAt(n, p, spec.CodeUnsupported, "aliases are not supported: write the value out")
	case n.Anchor != "":
		d.addAt(n, p, spec.CodeUnsupported, "anchors are not supported: remove &%s", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0:
		d.addAt(n, p, spec.CodeUnsupported, "tags are not supported: remove %s", n.Tag)
	default:
		return true
	}
	return false
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// value decodes n into v and reports what does not fit.
func (d *decoder) value(n *yaml.Node, v reflect.Value, p spec.Path) {
	if _, ok := d.positions[p]; !ok {
		d.positions[p] = at(n)
	}
	if !d.plain(n, p) {
		return
	}
	if raw, ok := reflect.TypeAssert[*json.RawMessage](v.Addr()); ok {
		*raw = d.raw(n, p)
		return
	}
	if n.ShortTag() == "!!null" {
		d.addAt(n, p, spec.CodeInvalid, "is empty: give it a value or remove it")
		return
	}
	if reflect.PointerTo(v.Type()).Implements(unmarshaler) {
		d.unit(n, v, p)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem(), p)
	case reflect.Struct:
		d.object(n, v, p)
	case reflect.Map:
		d.table(n, v, p)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			d.addAt(n, p, spec.CodeInvalid, "is %s: want a list, one item after each -", describe(n))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
		for i, item := range n.Content {
			d.value(item, v.Index(i), p.Index(i))
		}
	default:
		d.scalar(n, v, p)
	}
}

// entries calls fn for each key of a mapping that is text and there once.
func (d *decoder) entries(n *yaml.Node, p spec.Path, fn func(key, value *yaml.Node)) {
	seen := map[string]position{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			if d.plain(key, p) {
				d.addAt(key, p, spec.CodeInvalid, "has a key that is %s: want text", describe(key))
			}
			continue
		}
		if key.ShortTag() == "!!merge" {
			d.addAt(key, p, spec.CodeUnsupported, "merge keys are not supported: write the fields out")
			continue
		}
		at := p.Key(key.Value)
		if !d.plain(key, at) {
			continue
		}
		if !isText(key) {
			d.addAt(key, at, spec.CodeInvalid, "the key %s is %s: write it in quotes", key.Value, describe(key))
			continue
		}
		if first, ok := seen[key.Value]; ok {
			d.addAt(key, at, spec.CodeDuplicate, "is there already in line %d: remove one", first.line)
			continue
		}
		seen[key.Value] = position{key.Line, key.Column}
		fn(key, value)
	}
}

// place records where a field is: at its value when that is on the line of the
// key, else at the key, because the value of a collection starts below it.
func (d *decoder) place(p spec.Path, key, value *yaml.Node) {
	if value.Kind == yaml.ScalarNode && value.Line == key.Line {
		key = value
	}
	d.positions[p] = at(key)
}

func (d *decoder) object(n *yaml.Node, v reflect.Value, p spec.Path) {
	if n.Kind != yaml.MappingNode {
		d.addAt(n, p, spec.CodeInvalid, "is %s: want an object with %s", describe(n), list(fieldNames(v.Type())))
		return
	}
	fields := fieldsOf(v.Type())
	d.entries(n, p, func(key, value *yaml.Node) {
		index, ok := fields[key.Value]
		if !ok {
			d.addAt(key, p.Key(key.Value), spec.CodeUnknownField, "is not a field%s", suggest(key.Value, v.Type(), p))
			return
		}
		at := p.Field(key.Value)
		d.place(at, key, value)
		d.value(value, v.Field(index), at)
	})
}

func (d *decoder) table(n *yaml.Node, v reflect.Value, p spec.Path) {
	if n.Kind != yaml.MappingNode {
		d.addAt(n, p, spec.CodeInvalid, "is %s: want an object, one key: value after each other", describe(n))
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.Content)/2))
	d.entries(n, p, func(key, value *yaml.Node) {
		at := p.Key(key.Value)
		d.place(at, key, value)
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(value, item, at)
		v.SetMapIndex(reflect.ValueOf(key.Value), item)
	})
}

var (
	jsonInteger = regexp.MustCompile(`^-?(?:0|[1-9][0-9]*)$`)
	jsonNumber  = regexp.MustCompile(`^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$`)
)

// unit decodes a quantity through its own text form.
func (d *decoder) unit(n *yaml.Node, v reflect.Value, p spec.Path) {
	var data []byte
	switch {
	case n.Kind != yaml.ScalarNode:
		d.addAt(n, p, spec.CodeInvalid, "is %s: want one value", describe(n))
		return
	case isText(n):
		data, _ = json.Marshal(n.Value)
	case jsonNumber.MatchString(n.Value):
		data = []byte(n.Value)
	default:
		d.addAt(n, p, spec.CodeInvalid, "%s is not a decimal number", n.Value)
		return
	}
	if err := v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(data); err != nil {
		d.addAt(n, p, spec.CodeInvalid, "%v", err)
		return
	}
	if p == "life.stopGrace" && v.IsZero() {
		// Zero is how the type says "not set", and not set means 10s.
		d.addAt(n, p, spec.CodeOutOfRange, "%s is too short: want at least 1ns, or life.stopSignal: SIGKILL", n.Value)
	}
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, p spec.Path) {
	wrong := func(want string) {
		d.addAt(n, p, spec.CodeInvalid, "is %s: want %s", describe(n), want)
	}
	switch v.Kind() {
	case reflect.String:
		switch {
		case n.Kind != yaml.ScalarNode:
			wrong("text")
		case !isText(n):
			wrong("text, write " + strconv.Quote(n.Value))
		default:
			v.SetString(n.Value)
		}
	case reflect.Bool:
		if n.Kind != yaml.ScalarNode || isQuoted(n) || n.Value != "true" && n.Value != "false" {
			wrong("true or false")
			return
		}
		v.SetBool(n.Value == "true")
	case reflect.Int, reflect.Int64, reflect.Uint32, reflect.Uint64:
		if n.Kind != yaml.ScalarNode || isQuoted(n) || !jsonInteger.MatchString(n.Value) {
			if n.ShortTag() == "!!int" || n.ShortTag() == "!!float" {
				d.addAt(n, p, spec.CodeInvalid, "%s is not a whole decimal number", n.Value)
				return
			}
			wrong("a whole number")
			return
		}
		if v.CanInt() {
			i, err := strconv.ParseInt(n.Value, 10, v.Type().Bits())
			if err != nil {
				d.addAt(n, p, spec.CodeOutOfRange, "%s is out of range: want a smaller number", n.Value)
				return
			}
			v.SetInt(i)
			return
		}
		u, err := strconv.ParseUint(n.Value, 10, v.Type().Bits())
		if err != nil {
			d.addAt(n, p, spec.CodeOutOfRange, "%s is out of range: want 0 to %d", n.Value, ^uint64(0)>>(64-v.Type().Bits()))
			return
		}
		v.SetUint(u)
	default:
		panic(fmt.Sprintf("spec/yaml: %s has the kind %s, which decoding does not know", p, v.Kind()))
	}
}

// raw turns n into JSON, for the settings of one backend. A number that JSON can
// write keeps its text.
func (d *decoder) raw(n *yaml.Node, p spec.Path) json.RawMessage {
	var out bytes.Buffer
	d.writeRaw(&out, n, p)
	return out.Bytes()
}

func (d *decoder) writeRaw(out *bytes.Buffer, n *yaml.Node, p spec.Path) {
	if !d.plain(n, p) {
		return
	}
	switch n.Kind {
	case yaml.MappingNode:
		out.WriteByte('{')
		sep := ""
		d.entries(n, p, func(key, value *yaml.Node) {
			out.WriteString(sep)
			out.Write(quote(key.Value))
			out.WriteByte(':')
			d.writeRaw(out, value, p.Key(key.Value))
			sep = ","
		})
		out.WriteByte('}')
	case yaml.SequenceNode:
		out.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				out.WriteByte(',')
			}
			d.writeRaw(out, item, p.Index(i))
		}
		out.WriteByte(']')
	default:
		switch {
		case isText(n):
			out.Write(quote(n.Value))
		case n.ShortTag() == "!!null":
			out.WriteString("null")
		case n.ShortTag() == "!!bool":
			out.WriteString(strings.ToLower(n.Value))
		case jsonNumber.MatchString(n.Value):
			out.WriteString(n.Value)
		default:
			d.addAt(n, p, spec.CodeInvalid, "%s is not a decimal number: JSON has no other", n.Value)
		}
	}
}

// quote writes s as a JSON string without the escapes that only HTML needs.
func quote(s string) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a buffer takes every string
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// isText reports whether a scalar is text. What YAML reads as a date is the
// text that it was written as, because a spec has no dates.
func isText(n *yaml.Node) bool {
	tag := n.ShortTag()
	return n.Kind == yaml.ScalarNode && (tag == "!!str" || tag == "!!timestamp")
}

func isQuoted(n *yaml.Node) bool {
	return n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "an object"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!str", "!!timestamp":
		return "text"
	case "!!bool":
		return "a truth value"
	case "!!null":
		return "empty"
	}
	return "a number"
}
