// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"fmt"
	"strings"

	"github.com/berthrun/berth/backend"
)

// Find returns the one sandbox that a user means by text: its id, its name, or
// the beginning of its id. NotFound when there is none, Conflict when the
// beginning fits several. Only berth's own labels decide, never the engine's
// names.
func (m *Manager) Find(ctx context.Context, text string) (*backend.Status, error) {
	if validID(backend.ID(text)) {
		if st, err := m.driver.Inspect(ctx, backend.ID(text)); backend.KindOf(err) != backend.NotFound {
			return st, err
		}
	}
	var named, begun []*backend.Status
	for st, err := range m.driver.List(ctx, nil) {
		if err != nil {
			return nil, err
		}
		switch {
		case st.Name == text:
			named = append(named, st)
		case text != "" && strings.HasPrefix(string(st.ID), text):
			begun = append(begun, st)
		}
	}
	if len(named) == 1 {
		return named[0], nil
	}
	if len(named) == 0 && len(begun) == 1 {
		return begun[0], nil
	}
	if len(named)+len(begun) > 1 {
		return nil, &backend.Error{Kind: backend.Conflict, Op: "sandbox.find", Message: fmt.Sprintf("%q fits %d sandboxes: give more of the id", text, len(named)+len(begun))}
	}
	return nil, &backend.Error{Kind: backend.NotFound, Op: "sandbox.find", Message: fmt.Sprintf("no sandbox %q on this engine: \"berth ls\" lists them", text)}
}

// List returns all sandboxes of the engine, oldest first.
func (m *Manager) List(ctx context.Context, opts *backend.ListOptions) ([]*backend.Status, error) {
	out := []*backend.Status{}
	for st, err := range m.driver.List(ctx, opts) {
		if err != nil {
			return nil, err
		}
		out = append(out, st)
	}
	sortByCreation(out)
	return out, nil
}
