// SPDX-License-Identifier: Apache-2.0

package openhands

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/berthrun/berth/spec"
)

// document is the part of a config.toml that this package reads.
type document struct {
	name string
	// tables holds the keys of [core] and [sandbox] as go-toml decodes them.
	tables map[string]map[string]any
	// lines has the line, from 1, on which each key path first appears.
	lines map[string]int
}

// keyPath makes a key of document.lines. NUL cannot be in a TOML key.
func keyPath(keys ...string) string { return strings.Join(keys, "\x00") }

func (d *document) line(keys ...string) int { return d.lines[keyPath(keys...)] }

// readTables are the tables that are read.
var readTables = []string{"core", "sandbox"}

// foreignTables belong to OpenHands' agent; nothing in them is about the
// sandbox.
var foreignTables = []string{
	"agent", "cli", "condenser", "eval", "extended", "kubernetes", "llm",
	"mcp", "mcp_client", "model_routing", "router_config", "security",
}

// readDocument decodes a config.toml. It checks the syntax of the whole file
// and the names of its tables; the keys of the two tables are left to the
// caller.
func readDocument(name string, data []byte, problem func(*Problem), warn func(Notice)) *document {
	d := &document{name: name, tables: map[string]map[string]any{}, lines: map[string]int{}}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // editors on Windows write one
	var root map[string]any
	if err := toml.Unmarshal(data, &root); err != nil {
		p := &Problem{File: name, Code: spec.CodeInvalid, Message: "not valid TOML: " + strings.TrimPrefix(err.Error(), "toml: ")}
		if at, ok := errors.AsType[*toml.DecodeError](err); ok {
			p.Line, _ = at.Position()
		}
		problem(p)
		return d
	}
	d.scanLines(data)

	for _, key := range d.inOrder(root) {
		line := d.line(key)
		if slices.Contains(readTables, key) {
			t, ok := root[key].(map[string]any)
			if !ok {
				problem(&Problem{Key: key, File: name, Line: line, Code: spec.CodeInvalid,
					Message: fmt.Sprintf("want one table, written [%s], and this is %s", key, typeName(root[key]))})
				continue
			}
			d.tables[key] = t
			continue
		}
		if slices.Contains(foreignTables, key) {
			continue
		}
		if lower := strings.ToLower(key); slices.Contains(readTables, lower) {
			problem(&Problem{Key: key, File: name, Line: line, Code: spec.CodeUnknownField,
				Message: fmt.Sprintf("names of tables are in lower case, and OpenHands would skip this one; write [%s]", lower)})
			continue
		}
		if _, isTable := root[key].(map[string]any); !isTable {
			if table := tableOf(key); table != "" {
				problem(&Problem{Key: key, File: name, Line: line, Code: spec.CodeUnknownField,
					Message: fmt.Sprintf("the key stands outside its table and would have no effect; move it below [%s]", table)})
				continue
			}
		}
		message := "OpenHands has no such table, and nothing in it was read"
		if near := nearest(key, slices.Concat(readTables, foreignTables)); near != "" {
			message += fmt.Sprintf("; did you mean [%s]?", near)
		}
		warn(Notice{Key: key, File: name, Line: line, Code: NoticeUnknown, Message: message})
	}
	return d
}

// inOrder returns the keys of t, which stands below the given path, in the
// order in which they first appear.
func (d *document) inOrder(t map[string]any, below ...string) []string {
	return slices.SortedFunc(maps.Keys(t), func(a, b string) int {
		return cmp.Or(
			d.line(slices.Concat(below, []string{a})...)-d.line(slices.Concat(below, []string{b})...),
			strings.Compare(a, b))
	})
}

// scanLines records where each key stands. The document has been decoded
// before, so that the parser meets no error here.
func (d *document) scanLines(data []byte) {
	var (
		p          unstable.Parser
		prefix     []string
		line, upto = 1, 0
	)
	p.Reset(data)
	for p.NextExpression() {
		e := p.Expression()
		if e.Kind != unstable.KeyValue {
			prefix = nil
		}
		keys := slices.Clone(prefix)
		for it := e.Key(); it.Next(); {
			n := it.Node()
			keys = append(keys, string(n.Data))
			line += bytes.Count(data[upto:n.Raw.Offset], []byte{'\n'})
			upto = int(n.Raw.Offset)
			if at := keyPath(keys...); d.lines[at] == 0 {
				d.lines[at] = line
			}
		}
		if e.Kind != unstable.KeyValue {
			prefix = keys
		}
	}
}

// typeName says in TOML's words what kind of value v is.
func typeName(v any) string {
	switch v.(type) {
	case string:
		return "a text"
	case bool:
		return "a boolean"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case []any:
		return "an array"
	case map[string]any:
		return "a table"
	}
	return "a date or time"
}
