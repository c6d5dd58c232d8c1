// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"testing"

	"github.com/berthrun/berth/spec"
)

func TestSmoke(t *testing.T) {
	for _, name := range Profiles() {
		p, err := Profile(name)
		if err != nil {
			t.Fatal(err)
		}
		s := &spec.Sandbox{Security: spec.Security{Profile: name}, Image: spec.Image{Ref: "docker.io/library/debian:12"},
			Mounts:  []spec.Mount{{Source: "/home/u", Target: "/workspace"}, {Source: "/var/run/docker.sock", Target: "/s"}},
			Network: spec.Network{Mode: "host"}}
		d := p.Evaluate(Input{Spec: s, Homes: []string{"/home/u"}, Paths: []ResolvedPath{
			{Field: "mounts[0]", Asked: "/home/u", Resolved: "/home/u", Kind: KindDir},
			{Field: "mounts[1]", Asked: "/var/run/docker.sock", Resolved: "/run/docker.sock", Kind: KindSocket},
		}})
		for _, v := range d.Violations {
			t.Log("DENY", v)
		}
		for _, w := range d.Warnings {
			t.Log("WARN", w)
		}
		t.Log(d.Pending, d.Policies)
	}
}
