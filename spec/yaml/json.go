// SPDX-License-Identifier: Apache-2.0

package yaml

import (
	"bytes"
	"encoding/json"
	"errors"
	"sort"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// parseJSON returns one JSON value as the tree that a YAML parser would make of
// it, with duplicate keys and places kept.
func parseJSON(data []byte) (*yaml.Node, error) {
	// The whole text is checked first: the token reader below would stop at the
	// end of the first value.
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		return nil, err
	}
	p := jsonParser{data: data, lines: newLines(data), dec: json.NewDecoder(bytes.NewReader(data))}
	p.dec.UseNumber()
	return p.next()
}

type jsonParser struct {
	data  []byte
	lines lines
	dec   *json.Decoder
}

// next reads one value.
func (p *jsonParser) next() (*yaml.Node, error) {
	start := int(p.dec.InputOffset())
	for start < len(p.data) && strings.IndexByte(" \t\r\n,:", p.data[start]) >= 0 {
		start++
	}
	token, err := p.dec.Token()
	if err != nil {
		return nil, err
	}
	where := p.lines.position(start)
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: where.line, Column: where.column}
	switch token := token.(type) {
	case json.Delim:
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
		if token == '[' {
			n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		}
		for p.dec.More() {
			child, err := p.next()
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		_, err := p.dec.Token()
		return n, err
	case string:
		n.Tag, n.Value, n.Style = "!!str", token, yaml.DoubleQuotedStyle
	case json.Number:
		n.Tag, n.Value = "!!int", token.String()
		if strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
	case bool:
		n.Tag, n.Value = "!!bool", "false"
		if token {
			n.Value = "true"
		}
	case nil:
		n.Tag, n.Value = "!!null", "null"
	default:
		return nil, errors.New("unknown token")
	}
	return n, nil
}

// lines finds places by offset.
type lines struct {
	data   []byte
	starts []int
}

func newLines(data []byte) lines {
	l := lines{data: data, starts: []int{0}}
	for i, c := range data {
		if c == '\n' {
			l.starts = append(l.starts, i+1)
		}
	}
	return l
}

func (l lines) position(offset int) position {
	offset = min(offset, len(l.data))
	line := sort.SearchInts(l.starts, offset+1)
	return position{line, utf8.RuneCount(l.data[l.starts[line-1]:offset]) + 1}
}
