// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"errors"
	"fmt"

	"github.com/berthrun/berth/spec"
)

func ExampleDefault() {
	s := &spec.Sandbox{
		Image:  spec.Image{Ref: "debian"},
		Mounts: []spec.Mount{{Source: "/home/me/project", Target: "/workspace"}},
	}
	spec.Default(s)
	fmt.Println(s.User.As, s.Network.Mode, s.Binding.Address, s.Security.Profile)
	fmt.Println(s.Mounts[0].Type, s.Mounts[0].Mode)
	// Output:
	// caller isolated 127.0.0.1 standard
	// bind rw
}

func ExampleValidate() {
	s := &spec.Sandbox{
		Image:     spec.Image{Ref: "debian"},
		Mounts:    []spec.Mount{{Type: spec.MountTmpfs, Target: "/proc"}},
		Resources: spec.Resources{Memory: 4 * spec.MiB},
	}
	err := spec.Validate(s)
	fmt.Println(err)

	if problems, ok := errors.AsType[spec.Problems](err); ok {
		fmt.Println(problems[0].Path, problems[0].Code)
	}
	// Output:
	// mounts[0].target: "/proc" is in /proc, which the engine fills: mount somewhere else
	// resources.memory: 4Mi is too small for any program: want at least 6Mi
	// mounts[0].target reserved
}

func ExampleDigest() {
	short := &spec.Sandbox{Image: spec.Image{Ref: "debian"}}
	long := &spec.Sandbox{
		APIVersion: spec.APIVersion,
		Kind:       spec.Kind,
		Image:      spec.Image{Ref: "debian", Pull: spec.PullMissing},
		User:       spec.User{As: spec.UserCaller},
	}
	fmt.Println(spec.Digest(short) == spec.Digest(long))
	// Output: true
}

func ExampleOverlay() {
	file := &spec.Sandbox{Image: spec.Image{Ref: "debian"}, Process: spec.Process{Env: map[string]string{"A": "1"}}}
	flags := &spec.Sandbox{Image: spec.Image{Ref: "alpine"}, Process: spec.Process{Env: map[string]string{"B": "2"}}}
	fmt.Println(spec.Overlay(file, flags))
	fmt.Println(file.Image.Ref, file.Process.Env)
	// Output:
	// [image.ref process.env.B]
	// alpine map[A:1 B:2]
}
