// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"bytes"
	_ "embed" // the profile is data
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// defaultProfile is default.json of the module github.com/moby/profiles/seccomp,
// Apache-2.0, unchanged; a test compares it with what that module builds. It is
// embedded because the module builds it on Linux only, and a client of a remote
// engine may run anywhere.
//
//go:embed seccomp.json
var defaultProfile []byte

// Machine is what a profile's conditions are decided by. It is the engine's
// machine, which need not be the client's.
type Machine struct {
	// Arch is Go's name of the architecture, such as "amd64".
	Arch string
	// Kernel is the kernel's release, such as "6.1.0-28-amd64". When it cannot be
	// read, rules for newer kernels are left out.
	Kernel string
}

// native maps Go's names of architectures to libseccomp's, where they differ.
var native = map[string]string{
	"386":         "x86",
	"loong64":     "loongarch64",
	"mips64le":    "mipsel64",
	"mips64p32":   "mips64n32",
	"mips64p32le": "mips3l64n32",
	"mipsle":      "mipsel",
}

var arches = map[string]specs.Arch{
	"x86": specs.ArchX86, "amd64": specs.ArchX86_64, "arm": specs.ArchARM, "arm64": specs.ArchAARCH64,
	"loongarch64": specs.ArchLOONGARCH64, "mips64": specs.ArchMIPS64, "mips64n32": specs.ArchMIPS64N32,
	"mipsel64": specs.ArchMIPSEL64, "mips3l64n32": specs.ArchMIPSEL64N32, "mipsel": specs.ArchMIPSEL,
	"ppc": specs.ArchPPC, "ppc64": specs.ArchPPC64, "ppc64le": specs.ArchPPC64LE, "riscv64": specs.ArchRISCV64,
	"s390": specs.ArchS390, "s390x": specs.ArchS390X,
}

// DefaultSeccomp returns the profile that confines a sandbox with the given
// capabilities, in OCI form, with every condition decided. Drivers of engines
// that take an OCI spec call it.
func DefaultSeccomp(m Machine, capabilities []string) (*specs.LinuxSeccomp, error) {
	return Seccomp(defaultProfile, m, capabilities)
}

// Seccomp reads a profile in docker's JSON form and decides its conditions
// (capabilities, architecture, kernel), so that every engine gets the same
// rules. The capabilities are without CAP_. It returns an error for text that
// is no such profile, and for one that would confine nothing because it names
// no default action.
func Seccomp(text []byte, m Machine, capabilities []string) (*specs.LinuxSeccomp, error) {
	var p seccomp.Seccomp
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&p); err != nil {
		return nil, fmt.Errorf("seccomp profile: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("seccomp profile: more text after the end of the JSON value")
	}
	if p.DefaultAction == "" {
		return nil, errors.New("seccomp profile: no defaultAction, so it would confine nothing")
	}
	if len(p.Architectures) > 0 && len(p.ArchMap) > 0 {
		return nil, errors.New("seccomp profile: has both architectures and archMap: keep one")
	}
	arch := m.Arch
	if name, ok := native[arch]; ok {
		arch = name
	}
	out := p.LinuxSeccomp
	out.Syscalls = nil
	for _, a := range p.ArchMap {
		if a.Arch != "" && a.Arch == arches[arch] {
			out.Architectures = append([]specs.Arch{a.Arch}, a.SubArches...)
			break
		}
	}
	for i, call := range p.Syscalls {
		if call == nil {
			return nil, fmt.Errorf("seccomp profile: syscalls[%d] is null", i)
		}
		if call.Name != "" { //nolint:staticcheck // profiles of users still have the old key
			if len(call.Names) > 0 {
				return nil, fmt.Errorf("seccomp profile: syscalls[%d] has both name and names: keep one", i)
			}
			call.Names = []string{call.Name} //nolint:staticcheck // as above
		}
		if !excluded(call.Excludes, arch, m.Kernel, capabilities) && included(call.Includes, arch, m.Kernel, capabilities) {
			out.Syscalls = append(out.Syscalls, call.LinuxSyscall)
		}
	}
	return &out, nil
}

// JSON returns p in docker's JSON form, which docker and podman take. Equal
// profiles give equal text.
func JSON(p *specs.LinuxSeccomp) (json.RawMessage, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("seccomp profile: %w", err)
	}
	return data, nil
}

// excluded reports whether one condition of f holds.
func excluded(f *seccomp.Filter, arch, kernel string, capabilities []string) bool {
	if f == nil {
		return false
	}
	return slices.Contains(f.Arches, arch) ||
		slices.ContainsFunc(f.Caps, func(c string) bool { return granted(c, capabilities) }) ||
		f.MinKernel != nil && atLeast(kernel, *f.MinKernel)
}

// included reports whether all conditions of f hold.
func included(f *seccomp.Filter, arch, kernel string, capabilities []string) bool {
	if f == nil {
		return true
	}
	return (len(f.Arches) == 0 || slices.Contains(f.Arches, arch)) &&
		!slices.ContainsFunc(f.Caps, func(c string) bool { return !granted(c, capabilities) }) &&
		(f.MinKernel == nil || atLeast(kernel, *f.MinKernel))
}

func granted(name string, capabilities []string) bool {
	return len(name) > len("CAP_") && slices.Contains(capabilities, name[len("CAP_"):])
}

func atLeast(release string, want seccomp.KernelVersion) bool {
	var kernel, major uint64
	if _, err := fmt.Sscanf(release, "%d.%d", &kernel, &major); err != nil {
		return false
	}
	return kernel > want.Kernel || kernel == want.Kernel && major >= want.Major
}
