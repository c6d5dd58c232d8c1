// SPDX-License-Identifier: Apache-2.0

// Package specsource puts a spec together from where its parts may stand:
// flags, environment, configuration file, spec file, defaults; and remembers
// where each value came from.
package specsource

import (
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
		for _, p := range spec.Overlay(merged, l.Spec) {
			origins[p] = l.Name
			if from, ok := l.Sources[p]; ok {
				origins[p] = from
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
