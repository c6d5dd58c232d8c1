// SPDX-License-Identifier: Apache-2.0

// Package version knows what this build is.
package version

import "runtime/debug"

// number is set by the linker for releases.
var number string

// String returns the release number, else the module version or revision that
// the Go toolchain recorded, else "devel".
func String() string {
	if number != "" {
		return number
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
