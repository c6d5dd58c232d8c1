// SPDX-License-Identifier: Apache-2.0

package yaml

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/berthrun/berth/spec"
)

// Encode writes s as a YAML document with the fields in the order of the types.
// [Decode] reads it back to an equal spec. It returns an error when an extension
// is not JSON or a text is not UTF-8. It prints what s holds: pass s through
// [spec.Redact] first when somebody else will read it.
func Encode(s *spec.Sandbox) ([]byte, error) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return nil, fmt.Errorf("encode spec: %w", err)
	}
	root, err := parseJSON(text.Bytes())
	if err != nil {
		return nil, fmt.Errorf("encode spec: %w", err)
	}
	restyle(root)
	var out bytes.Buffer
	w := yaml.NewEncoder(&out)
	w.SetIndent(2)
	if err := w.Encode(root); err != nil {
		return nil, fmt.Errorf("encode spec: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encode spec: %w", err)
	}
	return out.Bytes(), nil
}

// otherReaders matches text that is a truth value or a number in base 60 to
// readers of YAML 1.1.
var otherReaders = regexp.MustCompile(`^(?i:y|n|yes|no|on|off|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?)$`)

// restyle chooses how each text is written: quotes where it could be taken for
// something else, a block where it has lines that a person wants to read. The
// library adds the quotes that the grammar needs.
func restyle(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		switch {
		case otherReaders.MatchString(n.Value):
			n.Style = yaml.DoubleQuotedStyle
		case !strings.Contains(n.Value, "\n"):
			n.Style = 0
		case readsAsBlock(n.Value):
			n.Style = yaml.LiteralStyle
		default:
			n.Style = yaml.DoubleQuotedStyle
		}
	}
	for i, child := range n.Content {
		restyle(child)
		if n.Kind == yaml.MappingNode && i%2 == 0 && child.Style == yaml.LiteralStyle {
			child.Style = yaml.DoubleQuotedStyle // a key stands in one line
		}
	}
}

// readsAsBlock reports whether text of several lines survives being written as
// a block: the library writes blocks that start with white space, or have other
// line breaks in them, so that it cannot read them back.
func readsAsBlock(s string) bool {
	if strings.HasSuffix(s, "\n\n") {
		return false
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(s, "\n"), "\n") {
		if line != strings.TrimRight(line, " ") || strings.IndexFunc(line, func(r rune) bool { return r != '\t' && !unicode.IsPrint(r) }) >= 0 {
			return false
		}
	}
	return strings.IndexByte(" \t\n", s[0]) < 0
}
