// SPDX-License-Identifier: Apache-2.0

package yaml

import (
	"bytes"
	"encoding/json"
	"fmt"

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
	if err := restyle(root); err != nil {
		return nil, fmt.Errorf("encode spec: %w", err)
	}
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

// restyle lets the library choose the quotes of each text, so that text which
// some YAML reader takes for something else keeps them.
func restyle(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		return n.Encode(n.Value)
	}
	for _, child := range n.Content {
		if err := restyle(child); err != nil {
			return err
		}
	}
	return nil
}
