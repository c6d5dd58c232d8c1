// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"
	"strings"

	"github.com/berthrun/berth/spec"
)

// Patch is one change that [Policy.Tighten] made.
type Patch struct {
	// Path is the field.
	Path spec.Path `json:"path"`
	// From and To are its value before and after; "" is not set.
	From string `json:"from"`
	To   string `json:"to"`
	// Rule is the id of the rule that asks for it.
	Rule string `json:"rule"`
}

// String returns the patch as one line.
func (p Patch) String() string {
	from := p.From
	if from == "" {
		from = "not set"
	}
	return string(p.Path) + ": " + from + " -> " + p.To + " (rule " + p.Rule + ")"
}

// Tighten returns a defaulted copy of s with those protections turned on that
// the policy demands and that take nothing away which s names: no new
// privileges, a read-only root file system, capabilities to drop, and a bound
// where there is none and the policy has a largest one. It never changes a
// number, mount, network or capability that s asks for; those are left to
// [Policy.Evaluate]. Protections that an override in unsafe names stay off.
// Warn rules change nothing.
//
// The patches are complete: applied to the defaulted s they give the copy.
// Tightening a tightened spec changes nothing.
func (p *Policy) Tighten(s *spec.Sandbox, unsafe ...string) (*spec.Sandbox, []Patch) {
	out := spec.Clone(s)
	patches := []Patch{}
	if out == nil {
		return nil, patches
	}
	spec.Default(out)
	t := tightening{spec: out, unsafe: map[string]bool{}, patches: &patches}
	for _, text := range unsafe {
		if rule, subject, ok := parseOverride(text); ok {
			t.unsafe[rule+"="+subject] = true
		}
	}
	for _, l := range p.stack() {
		t.apply(l)
	}
	return out, patches
}

type tightening struct {
	spec    *spec.Sandbox
	unsafe  map[string]bool
	patches *[]Patch
}

func (t *tightening) patch(at spec.Path, from, to, rule string) {
	*t.patches = append(*t.patches, Patch{Path: at, From: from, To: to, Rule: rule})
}

// lifted reports whether an override keeps a rule of l from being enforced.
func (t *tightening) lifted(l *layer, rule, subject string) bool {
	return !l.fixed && t.unsafe[rule+"="+subject]
}

func (t *tightening) apply(l *layer) {
	sec := &t.spec.Security
	var missing []string
	for _, name := range l.deny.Capabilities.Drop {
		if !slices.Contains(sec.Capabilities.Drop, name) && !slices.Contains(sec.Capabilities.Drop, spec.CapabilityAll) &&
			!t.lifted(l, "capabilities.drop", name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		from := strings.Join(sec.Capabilities.Drop, ", ")
		sec.Capabilities.Drop = append(sec.Capabilities.Drop, missing...)
		slices.Sort(sec.Capabilities.Drop)
		sec.Capabilities.Drop = slices.Compact(sec.Capabilities.Drop)
		t.patch("security.capabilities.drop", from, strings.Join(sec.Capabilities.Drop, ", "), "capabilities.drop")
	}
	for _, name := range knownResources {
		most, text := limit(l.deny.Resources.Max, name)
		if have := amount(t.spec.Resources, name); have == 0 && most > 0 && boundless(name) {
			setAmount(&t.spec.Resources, name, l.deny.Resources.Max)
			t.patch(resourceField(name), "", text, "resources.max")
		} else if patched := t.patchedMax(name); have > most && most > 0 && patched >= 0 {
			// An earlier layer filled it in with a larger bound; nobody asked
			// for that number.
			setAmount(&t.spec.Resources, name, l.deny.Resources.Max)
			(*t.patches)[patched].To = text
		}
	}
	if l.deny.Security.NoNewPrivileges && (sec.NoNewPrivileges == nil || !*sec.NoNewPrivileges) && !t.lifted(l, "security.noNewPrivileges", off) {
		sec.NoNewPrivileges = new(true)
		t.patch("security.noNewPrivileges", "false", "true", "security.noNewPrivileges")
	}
	if l.deny.Security.ReadOnlyRoot && !sec.ReadOnlyRoot && !t.lifted(l, "security.readOnlyRoot", off) {
		sec.ReadOnlyRoot = true
		t.patch("security.readOnlyRoot", "false", "true", "security.readOnlyRoot")
	}
}

// patchedMax returns the index of the patch that filled in a bound, or -1.
func (t *tightening) patchedMax(name Resource) int {
	return slices.IndexFunc(*t.patches, func(p Patch) bool {
		return p.Rule == "resources.max" && p.Path == resourceField(name)
	})
}

func setAmount(r *spec.Resources, name Resource, l Limits) {
	switch name {
	case ResourceCPUs:
		r.CPUs = l.CPUs
	case ResourceMemory:
		r.Memory = l.Memory
	case ResourcePids:
		r.Pids = l.Pids
	case ResourceDisk:
		r.Disk = l.Disk
	}
}
