// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/berthrun/berth/spec"
)

func TestOverlay(t *testing.T) {
	for _, tt := range []struct {
		name             string
		base, over, want *spec.Sandbox
		paths            []spec.Path
	}{
		{
			"scalars and lists replace",
			&spec.Sandbox{Name: "a", Image: spec.Image{Ref: "x", Pull: "never"}, Process: spec.Process{Args: []string{"1", "2"}, TTY: true}},
			&spec.Sandbox{Image: spec.Image{Ref: "y"}, Process: spec.Process{Args: []string{"3"}}, Security: spec.Security{NoNewPrivileges: new(false)}},
			&spec.Sandbox{
				Name: "a", Image: spec.Image{Ref: "y", Pull: "never"}, Process: spec.Process{Args: []string{"3"}, TTY: true},
				Security: spec.Security{NoNewPrivileges: new(false)},
			},
			[]spec.Path{"image.ref", "process.args", "security.noNewPrivileges"},
		},
		{
			"maps merge by key",
			&spec.Sandbox{
				Process: spec.Process{Env: map[string]string{"A": "1", "B": "1"}}, Labels: map[string]string{"a": "1"},
				Extensions: map[string]json.RawMessage{"x": json.RawMessage(`{"a":1}`)},
			},
			&spec.Sandbox{
				Process: spec.Process{Env: map[string]string{"B": "2", "C D": "2"}}, Labels: map[string]string{"b": "2"},
				Extensions: map[string]json.RawMessage{"x": json.RawMessage(`{"b":2}`), "y": json.RawMessage(`{}`)},
			},
			&spec.Sandbox{
				Process: spec.Process{Env: map[string]string{"A": "1", "B": "2", "C D": "2"}}, Labels: map[string]string{"a": "1", "b": "2"},
				Extensions: map[string]json.RawMessage{"x": json.RawMessage(`{"b":2}`), "y": json.RawMessage(`{}`)},
			},
			[]spec.Path{"process.env.B", `process.env["C D"]`, "labels.b", "extensions.x", "extensions.y"},
		},
		{
			"mounts merge by target",
			&spec.Sandbox{Mounts: []spec.Mount{{Source: "/a", Target: "/a", Mode: "ro"}, {Source: "/b", Target: "/b"}}},
			&spec.Sandbox{Mounts: []spec.Mount{{Source: "/c", Target: "/c"}, {Source: "/new", Target: "/a"}}},
			&spec.Sandbox{Mounts: []spec.Mount{{Source: "/new", Target: "/a"}, {Source: "/b", Target: "/b"}, {Source: "/c", Target: "/c"}}},
			[]spec.Path{"mounts[0]", "mounts[2]"},
		},
		{
			"two mounts of one target stay two",
			&spec.Sandbox{Mounts: []spec.Mount{{Source: "/a", Target: "/a"}}},
			&spec.Sandbox{Mounts: []spec.Mount{{Source: "/1", Target: "/a"}, {Source: "/2", Target: "/a"}}},
			&spec.Sandbox{Mounts: []spec.Mount{{Source: "/1", Target: "/a"}, {Source: "/2", Target: "/a"}}},
			[]spec.Path{"mounts[0]", "mounts[1]"},
		},
		{
			"ports merge by number and protocol",
			&spec.Sandbox{Binding: spec.Binding{Ports: []spec.Port{{ContainerPort: 53, Protocol: "udp"}, {ContainerPort: 53, Name: "dns"}}}},
			&spec.Sandbox{Binding: spec.Binding{Ports: []spec.Port{{ContainerPort: 53, Protocol: "tcp", HostPort: 5353}, {ContainerPort: 80}}}},
			&spec.Sandbox{Binding: spec.Binding{Ports: []spec.Port{
				{ContainerPort: 53, Protocol: "udp"}, {ContainerPort: 53, Protocol: "tcp", HostPort: 5353}, {ContainerPort: 80},
			}}},
			[]spec.Path{"binding.ports[1]", "binding.ports[2]"},
		},
		{
			"another mode drops the name of the network",
			&spec.Sandbox{Network: spec.Network{Mode: "shared", Name: "lab", HostAlias: true}},
			&spec.Sandbox{Network: spec.Network{Mode: "none"}},
			&spec.Sandbox{Network: spec.Network{Mode: "none", HostAlias: true}},
			[]spec.Path{"network.mode"},
		},
		{
			"a name drops the mode",
			&spec.Sandbox{Network: spec.Network{Mode: "none"}},
			&spec.Sandbox{Network: spec.Network{Name: "lab"}},
			&spec.Sandbox{Network: spec.Network{Name: "lab"}},
			[]spec.Path{"network.name"},
		},
		{
			"restart, nofile and health are one value each",
			&spec.Sandbox{
				Resources: spec.Resources{NoFile: spec.NoFile{Soft: 1, Hard: 2}},
				Life:      spec.Life{Restart: spec.Restart{Policy: "on-failure", MaxRetries: 3}, Health: &spec.Health{Command: []string{"a"}, Retries: 2}},
			},
			&spec.Sandbox{
				Resources: spec.Resources{NoFile: spec.NoFile{Soft: 9}},
				Life:      spec.Life{Restart: spec.Restart{Policy: "always"}, Health: &spec.Health{Command: []string{"b"}}},
			},
			&spec.Sandbox{
				Resources: spec.Resources{NoFile: spec.NoFile{Soft: 9}},
				Life:      spec.Life{Restart: spec.Restart{Policy: "always"}, Health: &spec.Health{Command: []string{"b"}}},
			},
			[]spec.Path{"resources.nofile", "life.restart", "life.health"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			over := spec.Clone(tt.over)
			paths := spec.Overlay(tt.base, tt.over)
			if diff := cmp.Diff(tt.want, tt.base); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.paths, paths); diff != "" {
				t.Errorf("paths (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(over, tt.over); diff != "" {
				t.Errorf("over was changed (-before +after):\n%s", diff)
			}
		})
	}
}

// Every field has to be in Overlay, or a flag is lost on its way.
func TestOverlayKnowsEveryField(t *testing.T) {
	for _, f := range fields() {
		t.Run(f.pattern, func(t *testing.T) {
			over, want := f.sample(t), f.sample(t)
			var base spec.Sandbox
			paths := spec.Overlay(&base, over)
			if diff := cmp.Diff(want, &base); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			covered := slices.ContainsFunc(paths, func(p spec.Path) bool { return within(f.path, p) || within(p, f.path) })
			if !covered {
				t.Errorf("%s was written and the paths are %v", f.path, paths)
			}
		})
	}
}

func TestOverlaySharesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var base spec.Sandbox
		over := anySandbox(false).Draw(t, "over")
		spec.Overlay(&base, over)
		shared(t, "", reflect.ValueOf(over).Elem(), reflect.ValueOf(&base).Elem())
	})
}

// within reports whether p is unit or a part of it.
func within(p, unit spec.Path) bool {
	rest, ok := strings.CutPrefix(string(p), string(unit))
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
