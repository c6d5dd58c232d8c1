// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"slices"
	"testing"

	"github.com/berthrun/berth/spec"
	"github.com/google/go-cmp/cmp"
)

func TestCapabilities(t *testing.T) {
	all := spec.CapabilityNames()
	without := func(names []string, drop ...string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(drop, n) })
	}
	tests := map[string]struct {
		in   spec.Capabilities
		want []string
	}{
		"nothing":                  {spec.Capabilities{}, Standard()},
		"drop one":                 {spec.Capabilities{Drop: []string{"CHOWN"}}, without(Standard(), "CHOWN")},
		"drop all":                 {spec.Capabilities{Drop: []string{"ALL"}}, []string{}},
		"drop all keeps added":     {spec.Capabilities{Drop: []string{"ALL"}, Add: []string{"NET_RAW", "CHOWN"}}, []string{"CHOWN", "NET_RAW"}},
		"add one":                  {spec.Capabilities{Add: []string{"SYS_PTRACE"}}, slices.Concat(Standard()[:10], []string{"SYS_PTRACE"}, Standard()[10:])},
		"add all":                  {spec.Capabilities{Add: []string{"ALL"}}, all},
		"add all but one":          {spec.Capabilities{Add: []string{"ALL"}, Drop: []string{"SYS_ADMIN"}}, without(all, "SYS_ADMIN")},
		"added and dropped":        {spec.Capabilities{Add: []string{"NET_RAW"}, Drop: []string{"NET_RAW"}}, Standard()},
		"drop all, one also named": {spec.Capabilities{Add: []string{"NET_RAW", "KILL"}, Drop: []string{"ALL", "KILL"}}, []string{"NET_RAW"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(Capabilities(tt.in), tt.want); diff != "" {
				t.Errorf("got, want:\n%s", diff)
			}
		})
	}
}

func TestStandardIsSmall(t *testing.T) {
	for _, name := range []string{"NET_RAW", "MKNOD", "SETFCAP", "SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN", "DAC_READ_SEARCH"} {
		if slices.Contains(Standard(), name) {
			t.Errorf("%s is in the standard set", name)
		}
	}
	if len(Standard()) != len(standard) {
		t.Errorf("a name in %q is not known to package spec", standard)
	}
}

func TestListsAreTheCallers(t *testing.T) {
	MaskedPaths()[0], ReadonlyPaths()[0], Standard()[0] = "", "", ""
	if MaskedPaths()[0] == "" || ReadonlyPaths()[0] == "" || Standard()[0] == "" {
		t.Error("a caller changed the package's list")
	}
}
