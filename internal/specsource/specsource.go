// SPDX-License-Identifier: Apache-2.0

// Package specsource puts a spec together from where its parts may stand:
// flags, environment, configuration file, spec file, defaults; and remembers
// where each value came from.
package specsource

import (
	"fmt"
	"slices"
	"strings"

	"github.com/berthrun/berth/spec"
)

// Layer is a part of a spec: only what its source sets.
type Layer struct {
	// Name says where the layer comes from when Sources has no better word.
	Name string
	Spec *spec.Sandbox
	// Sources says where single values come from: "--memory", "SANDBOX_VOLUMES".
	Sources map[spec.Path]string
}

// Default is the origin of values that no layer set.
const Default = "default"

// Merge lays the layers over each other, the weakest first, and completes the
// result with the defaults. The layers are not changed. Origins has an entry for
// every path of spec.SetFields of the result.
func Merge(layers ...Layer) (merged *spec.Sandbox, origins map[spec.Path]string) {
	merged, origins = &spec.Sandbox{}, map[spec.Path]string{}
	for _, l := range layers {
		if l.Spec == nil {
			continue
		}
		paths := spec.Overlay(merged, l.Spec)
		set := spec.SetFields(merged)
		for _, p := range paths {
			from, ok := l.Sources[own(p, merged, l.Spec)]
			if !ok {
				from = l.Name
			}
			origins[p] = from
			// The options of an element come with it.
			for _, q := range set {
				if strings.HasPrefix(string(q), string(p)+".") && strings.HasSuffix(string(p), "]") {
					origins[q] = from
				}
			}
		}
	}
	spec.Default(merged)
	for _, p := range spec.SetFields(merged) {
		if _, ok := origins[p]; !ok {
			origins[p] = Default
		}
	}
	return merged, origins
}

// own translates a path of the merged spec into the layer's: an element of a
// list that is merged by key has another index there.
func own(p spec.Path, merged, layer *spec.Sandbox) spec.Path {
	var i int
	rest := func(prefix string) string { return strings.TrimPrefix(string(p), fmt.Sprintf("%s[%d]", prefix, i)) }
	if n, _ := fmt.Sscanf(string(p), "mounts[%d]", &i); n == 1 && i < len(merged.Mounts) {
		j := slices.IndexFunc(layer.Mounts, func(m spec.Mount) bool { return m.Target == merged.Mounts[i].Target })
		return spec.Path(fmt.Sprintf("mounts[%d]%s", j, rest("mounts")))
	}
	if n, _ := fmt.Sscanf(string(p), "binding.ports[%d]", &i); n == 1 && i < len(merged.Binding.Ports) {
		want := merged.Binding.Ports[i]
		j := slices.IndexFunc(layer.Binding.Ports, func(q spec.Port) bool {
			return q.ContainerPort == want.ContainerPort && q.Protocol == want.Protocol
		})
		return spec.Path(fmt.Sprintf("binding.ports[%d]%s", j, rest("binding.ports")))
	}
	return p
}
