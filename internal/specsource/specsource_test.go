// SPDX-License-Identifier: Apache-2.0

package specsource_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berthrun/berth/internal/specsource"
	"github.com/berthrun/berth/spec"
)

func TestMerge(t *testing.T) {
	mount := func(source, target string) spec.Mount {
		return spec.Mount{Type: spec.MountBind, Source: source, Target: target}
	}
	file := specsource.Layer{Name: "file.yaml", Spec: &spec.Sandbox{
		Image:     spec.Image{Ref: "debian"},
		Mounts:    []spec.Mount{mount("/f1", "/one"), mount("/f2", "/two")},
		Resources: spec.Resources{Memory: spec.GiB, Pids: 7},
	}}
	env := specsource.Layer{Name: "environment", Spec: &spec.Sandbox{
		Mounts: []spec.Mount{mount("/e3", "/three"), {Type: spec.MountBind, Source: "/e2", Target: "/two", Mode: spec.ModeRO}},
		User:   spec.User{As: "1000"},
	}, Sources: map[spec.Path]string{"mounts[0]": "SANDBOX_VOLUMES", "mounts[1]": "WORKSPACE_BASE", "user.as": "SANDBOX_USER_ID"}}
	flags := specsource.Layer{Name: "flags", Spec: &spec.Sandbox{
		Resources: spec.Resources{Memory: 2 * spec.GiB},
		Binding:   spec.Binding{Ports: []spec.Port{{ContainerPort: 80}}},
	}, Sources: map[spec.Path]string{"resources.memory": "--memory", "binding.ports[0]": "--publish"}}

	got, origins := specsource.Merge(file, env, flags)
	if got.Resources.Memory != 2*spec.GiB || got.Resources.Pids != 7 || got.User.As != "1000" {
		t.Errorf("merged %+v %+v", got.Resources, got.User)
	}
	var sources []string
	for _, m := range got.Mounts {
		sources = append(sources, m.Source)
	}
	if diff := cmp.Diff([]string{"/f1", "/e2", "/e3"}, sources); diff != "" {
		t.Errorf("mounts (-want +got)\n%s", diff)
	}
	for path, want := range map[spec.Path]string{
		"image.ref": "file.yaml", "mounts[0]": "file.yaml", "mounts[1]": "WORKSPACE_BASE", "mounts[2]": "SANDBOX_VOLUMES", "mounts[1].mode": "WORKSPACE_BASE", "mounts[0].mode": specsource.Default,
		"resources.memory": "--memory", "resources.pids": "file.yaml", "user.as": "SANDBOX_USER_ID",
		"binding.ports[0]": "--publish", "binding.address": specsource.Default, "network.mode": specsource.Default,
	} {
		if origins[path] != want {
			t.Errorf("%s comes from %q, want %q", path, origins[path], want)
		}
	}
	for _, path := range spec.SetFields(got) {
		if origins[path] == "" {
			t.Errorf("%s has no origin", path)
		}
	}
	if len(file.Spec.Mounts) != 2 || file.Spec.Mounts[1].Source != "/f2" {
		t.Error("a layer was changed")
	}
}
