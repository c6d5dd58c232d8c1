// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"strings"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
)

// Input is everything that a decision depends on. [Policy.Evaluate] reads it
// and changes nothing in it.
type Input struct {
	// Spec is the spec that is going to be realised, image reference
	// normalised. Evaluate judges it as [spec.Default] completes it. Required:
	// without it everything is denied.
	Spec *spec.Sandbox
	// Paths says what is behind each of [HostPaths]. A path without an entry is
	// denied.
	Paths []ResolvedPath
	// Homes are the caller's home directory as the environment names it and,
	// when that differs, with symbolic links resolved. They are what "~" means
	// in rules.
	Homes []string
	// Protected are further host paths that no sandbox may see: berth's state
	// directory, the engine's data root, and what the paths of [ProtectedPaths]
	// resolve to where they are symbolic links. The engine's socket is taken
	// from Info.Host as it is written there; where that is a link, its end
	// belongs here too.
	Protected []string
	// Identity is the user of the main process. Nil while it is not decided.
	Identity *backend.Identity
	// Plan is the driver's ledger. Nil before planning.
	Plan *backend.Plan
	// Info is what Probe found. Nil before probing.
	Info *backend.Info
	// Unsafe are the overrides that the operator named, each exactly as
	// [Violation].Override prints it. A server never takes them from a client.
	Unsafe []string
}

// PathKind says what a host path is.
type PathKind string

// The kinds. The zero value is not known and is denied for a local path.
const (
	KindUnknown PathKind = ""
	KindDir     PathKind = "directory"
	KindFile    PathKind = "file"
	KindSocket  PathKind = "socket"
	KindDevice  PathKind = "device"
	KindFIFO    PathKind = "fifo"
	KindMissing PathKind = "missing"
)

// ResolvedPath is what the resolver found out about one host path.
type ResolvedPath struct {
	// Field is the field that names it, as [HostPaths] says.
	Field spec.Path
	// Asked is the path as the user gave it, made absolute.
	Asked string
	// Resolved is the path with every symbolic link followed, absolute and
	// without "..". For a path that does not exist: its parent resolved, and the
	// name. For a remote path: Asked.
	Resolved string
	// Kind is what Resolved is.
	Kind PathKind
	// Remote says that the path is on the engine's machine and could not be
	// looked at.
	Remote bool
}

// HostPath is a host path that a spec names.
type HostPath struct {
	// Field is the field that names it: "mounts[0]" for a source,
	// "mounts[0].upper", "security.seccomp", "security.devices[0]".
	Field spec.Path
	// Path is the path as the spec has it.
	Path string
}

// HostPaths lists the host paths in s, in document order: sources of binds,
// upper directories, the seccomp profile and device nodes. The resolver looks
// up each and reports it under the same field in [Input].Paths.
func HostPaths(s *spec.Sandbox) []HostPath {
	var out []HostPath
	if s == nil {
		return out
	}
	for i, m := range s.Mounts {
		// Default makes an untyped mount with an absolute source a bind.
		if m.Type == spec.MountBind || m.Type == "" && strings.HasPrefix(m.Source, "/") {
			out = append(out, HostPath{sourceField(i), m.Source})
		}
		if m.Upper != "" {
			out = append(out, HostPath{upperField(i), m.Upper})
		}
	}
	if strings.HasPrefix(s.Security.Seccomp, "/") {
		out = append(out, HostPath{seccompField, s.Security.Seccomp})
	}
	for i, d := range s.Security.Devices {
		if host, ok := devicePath(d); ok {
			out = append(out, HostPath{deviceField(i), host})
		}
	}
	return out
}

const seccompField spec.Path = "security.seccomp"

func sourceField(i int) spec.Path { return spec.Path("mounts").Index(i) }
func upperField(i int) spec.Path  { return sourceField(i).Field("upper") }
func deviceField(i int) spec.Path { return spec.Path("security.devices").Index(i) }

// devicePath returns the host's part of a device that is a path.
func devicePath(device string) (string, bool) {
	if !strings.HasPrefix(device, "/") {
		return "", false
	}
	host, _, _ := strings.Cut(device, ":")
	return host, true
}
