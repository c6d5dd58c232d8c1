// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"
	"strings"

	"github.com/berthrun/berth/spec"
)

// context is an input prepared for the rules.
type context struct {
	in Input
	// spec is a defaulted copy; nil when there is none.
	spec *spec.Sandbox
	// binds are the sources and upper directories of mounts, files the other
	// host paths.
	binds, files []hostPath
	guarded      guarded
}

// hostPath is a host path of the spec with what the resolver said.
type hostPath struct {
	HostPath
	mount int
	// write says that the sandbox can write there.
	write bool
	// found are the resolver's entries for the field.
	found []ResolvedPath
}

func newContext(in Input) *context {
	c := &context{in: in, spec: spec.Clone(in.Spec), guarded: newGuarded(in)}
	if c.spec == nil {
		return c
	}
	spec.Default(c.spec)
	byField := map[spec.Path][]ResolvedPath{}
	for _, p := range in.Paths {
		byField[p.Field] = append(byField[p.Field], p)
	}
	mounts := map[spec.Path]int{}
	for i := range c.spec.Mounts {
		mounts[sourceField(i)], mounts[upperField(i)] = i, i
	}
	for _, p := range HostPaths(c.spec) {
		h := hostPath{HostPath: p, found: byField[p.Field]}
		i, isMount := mounts[p.Field]
		if !isMount {
			c.files = append(c.files, h)
			continue
		}
		h.mount = i
		mode := c.spec.Mounts[i].Mode
		h.write = mode != spec.ModeRO && mode != spec.ModeOverlay || p.Field == upperField(i)
		c.binds = append(c.binds, h)
	}
	return c
}

// real returns the clean real paths behind h: what the resolver found, or the
// path as it is written when there is nothing better to judge.
func (h hostPath) real() []string {
	var out []string
	for _, f := range h.found {
		if p, ok := cleanAbs(f.Resolved); ok && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	if p, ok := cleanAbs(h.Path); ok && len(out) == 0 {
		out = append(out, p)
	}
	return out
}

// spelled returns every clean path under which h is known besides real: denying
// by any of them costs nothing, and a link that is swapped after the look-up
// does not help.
func (h hostPath) spelled() []string {
	var out []string
	add := func(s string) {
		if p, ok := cleanAbs(s); ok && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	add(h.Path)
	for _, f := range h.found {
		add(f.Asked)
	}
	return out
}

// overridePath is the subject under which h can be overridden: its one real
// path. A path with several answers cannot be.
func (h hostPath) overridePath() string {
	if actual := h.real(); len(actual) == 1 {
		return actual[0]
	}
	return ""
}

// portAddress is the address on which port i is published.
func (c *context) portAddress(i int) string {
	if a := c.spec.Binding.Ports[i].Address; a != "" {
		return a
	}
	return c.spec.Binding.Address
}

// runtimeName is the runtime in the words of the rules.
func (c *context) runtimeName() string {
	if c.spec.Security.Runtime == "" {
		return RuntimeDefault
	}
	return c.spec.Security.Runtime
}

// roots expands "~" in a list of roots.
func (c *context) roots(list []string) []string {
	var out []string
	for _, root := range list {
		rest, home := strings.CutPrefix(root, "~")
		if !home {
			if p, ok := cleanAbs(root); ok {
				out = append(out, p)
			}
			continue
		}
		for _, h := range c.in.Homes {
			// Below the root directory as a home would be everywhere.
			if h, ok := cleanAbs(h); ok && h != "/" {
				p, _ := cleanAbs(h + rest)
				out = append(out, p)
			}
		}
	}
	return out
}

// below reports whether the clean path p is root or below it.
func below(p, root string) bool {
	return p == root || root == "/" || strings.HasPrefix(p, root+"/")
}
