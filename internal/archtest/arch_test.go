// SPDX-License-Identifier: Apache-2.0

// Package archtest holds the house to its plan: which room may know which.
package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/berthrun/berth"

type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
}

func load(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps", "./...")
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	pkgs := map[string]pkg{}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs[p.ImportPath] = p
	}
	if len(pkgs) < 50 {
		t.Fatalf("go list told of %d packages only", len(pkgs))
	}
	return pkgs
}

// room is the part of a path after the module's.
func room(path string) (string, bool) { return strings.CutPrefix(path, module+"/") }

// TestNeutralRoomsKnowOnlyEachOther: the contract is free of engines and of
// libraries, all the way down.
func TestNeutralRoomsKnowOnlyEachOther(t *testing.T) {
	pkgs := load(t)
	for name, allowed := range map[string][]string{
		"spec":              {},
		"backend":           {"spec"},
		"policy":            {"spec", "backend"},
		"conformance/probe": {},
		"conformance":       {"spec", "backend", "policy", "conformance/probe"},
	} {
		p, ok := pkgs[module+"/"+name]
		if !ok {
			t.Errorf("%s is gone", name)
			continue
		}
		for _, dep := range p.Deps {
			if r, ours := room(dep); ours {
				if !slices.Contains(allowed, r) {
					t.Errorf("%s knows %s", name, r)
				}
			} else if d := pkgs[dep]; !d.Standard {
				t.Errorf("%s depends on %s, which is not in the standard library", name, dep)
			}
		}
	}
}

// TestFormatsUseOneLibrary: a package below a neutral one may have one library
// of its own, and nothing else from outside.
func TestFormatsUseOneLibrary(t *testing.T) {
	for path, p := range load(t) {
		r, ours := room(path)
		if !ours || !strings.HasPrefix(r, "spec/") && !strings.HasPrefix(r, "policy/") {
			continue
		}
		libraries := map[string]bool{}
		for _, imp := range p.Imports {
			if d := pkgOf(p, imp); d != "" {
				libraries[d] = true
			}
		}
		if len(libraries) > 1 {
			t.Errorf("%s imports %d libraries: %v", r, len(libraries), libraries)
		}
	}
}

// pkgOf is the library that an import belongs to; empty for the standard
// library and for ours.
func pkgOf(_ pkg, imp string) string {
	if _, ours := room(imp); ours || !strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") {
		return ""
	}
	parts := strings.SplitN(imp, "/", 4)
	return strings.Join(parts[:min(3, len(parts))], "/")
}

// drivers are the rooms below backend that talk to an engine.
func isDriver(r string) bool {
	rest, ok := strings.CutPrefix(r, "backend/")
	return ok && rest != "all" && rest != "profile"
}

// TestDriversAreLeaves: no driver knows another one, the policy or anything
// above; and only the registry, harnesses and the command know a driver.
func TestDriversAreLeaves(t *testing.T) {
	mayKnowDrivers := []string{"backend/all", "internal/dockerharness", "cmd/berth"}
	for path, p := range load(t) {
		r, ours := room(path)
		if !ours {
			continue
		}
		for _, imp := range p.Imports {
			dep, ours := room(imp)
			if !ours {
				continue
			}
			if isDriver(r) && !strings.HasPrefix(dep, r+"/") {
				fake := r == "backend/fake" && (dep == "conformance" || strings.HasPrefix(dep, "conformance/"))
				if !fake && dep != "backend" && dep != "spec" && dep != "backend/profile" && !strings.HasPrefix(dep, "spec/") {
					t.Errorf("driver %s imports %s", r, dep)
				}
			}
			if isDriver(dep) && !isDriver(r) && !slices.Contains(mayKnowDrivers, r) {
				t.Errorf("%s imports driver %s", r, dep)
			}
		}
	}
}

// TestArrowsPointDown: what is no contract is not imported by what is.
func TestArrowsPointDown(t *testing.T) {
	for path, p := range load(t) {
		r, ours := room(path)
		if !ours || strings.HasPrefix(r, "internal/") || strings.HasPrefix(r, "cmd/") {
			continue
		}
		for _, imp := range p.Imports {
			if dep, ours := room(imp); ours && (strings.HasPrefix(dep, "internal/") || strings.HasPrefix(dep, "cmd/")) {
				t.Errorf("%s imports %s", r, dep)
			}
		}
	}
}

// TestSandboxIsNeutral: the life cycle works on any driver.
func TestSandboxIsNeutral(t *testing.T) {
	pkgs := load(t)
	for _, dep := range pkgs[module+"/internal/sandbox"].Deps {
		if r, ours := room(dep); ours && isDriver(r) {
			t.Errorf("internal/sandbox depends on driver %s", r)
		}
	}
}
