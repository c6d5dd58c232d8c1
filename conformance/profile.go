// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"slices"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
)

// Profile is a set of tests that a backend passes as a whole or not at all.
type Profile struct {
	Name string
	// Text says for whom it is.
	Text string
	// Has reports whether a test belongs to it. Only MUST tests do.
	Has func(Test) bool
}

// core are the capabilities that every profile builds on.
var core = []backend.Capability{
	backend.UserCaller, backend.UserNumber, backend.UserImage, backend.UserGroups,
	backend.MountBind, backend.MountReadOnly, backend.MountTmpfs, backend.MountSize, backend.MountNoExec,
	backend.BindTCP, backend.BindAddress, backend.NetIsolated, backend.NetNone,
	backend.ResMemory, backend.ResPids, backend.ResCPUs, backend.ResShm, backend.ResNoFile,
	backend.SecCapabilities, backend.SecSeccomp, backend.SecNoNewPrivs, backend.SecReadOnlyRoot,
	backend.LifeStopSignal, backend.Logs, backend.ImageLoad, backend.Exec,
}

// Profiles lists the profiles, core first.
func Profiles() []Profile {
	return []Profile{
		{
			Name: "core",
			Text: "one untrusted command on a project folder: what every backend has to give",
			Has: func(t Test) bool {
				return t.Level == spec.Must && t.Verb == nil && !slices.ContainsFunc(t.Needs, func(c backend.Capability) bool { return !slices.Contains(core, c) })
			},
		},
		{
			Name: "interactive",
			Text: "terminals, other users and files in a running sandbox",
			Has:  beyond(backend.ExecTTY, backend.ExecUser, backend.Copy, backend.LogsSplit),
		},
		{
			Name: "network",
			Text: "sandboxes that work together, and apart from others",
			Has:  beyond(backend.NetInternal, backend.NetShared, backend.NetNamed, backend.NetAdditional, backend.NetAliases, backend.NetHostAlias),
		},
		{
			Name: "storage",
			Text: "volumes, and overlays whose writes can be reviewed",
			Has:  beyond(backend.MountVolume, backend.MountOverlay),
		},
	}
}

// beyond has the MUST tests that need one of the capabilities, and besides them
// nothing that is not core.
func beyond(capabilities ...backend.Capability) func(Test) bool {
	return func(t Test) bool {
		one := func(c backend.Capability) bool { return slices.Contains(capabilities, c) }
		other := func(c backend.Capability) bool { return !one(c) && !slices.Contains(core, c) }
		return t.Level == spec.Must && t.Verb == nil && slices.ContainsFunc(t.Needs, one) && !slices.ContainsFunc(t.Needs, other)
	}
}

// Verdict is what a run says about a profile: conformant or not, never partial.
type Verdict struct {
	Profile    string `json:"profile"`
	Conformant bool   `json:"conformant"`
	// Against lists the tests that stand against it.
	Against []string `json:"against"`
}

// verdicts judges every profile all of whose tests were selected.
func verdicts(tests []Test, results []Result) []Verdict {
	outcomes := map[string]Outcome{}
	for _, r := range results {
		outcomes[r.ID] = r.Outcome
	}
	list := []Verdict{}
profiles:
	for _, p := range Profiles() {
		v := Verdict{Profile: p.Name, Against: []string{}}
		members := 0
		for _, t := range tests {
			if !p.Has(t) {
				continue
			}
			members++
			switch outcomes[t.ID] {
			case Pass:
			case NotRun, "":
				continue profiles
			default:
				v.Against = append(v.Against, t.ID)
			}
		}
		if members == 0 {
			continue
		}
		v.Conformant = len(v.Against) == 0
		list = append(list, v)
	}
	return list
}
