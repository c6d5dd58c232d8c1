// SPDX-License-Identifier: Apache-2.0

// Package libexec finds the helper binaries that are built with berth.
package libexec

import (
	"fmt"
	"os"
	"path/filepath"
)

// Find returns the path of the helper with that name: in $BERTH_LIBEXEC when it
// is set, else beside the running executable, else in ../libexec/berth from
// there. The error says where it looked and what to do.
func Find(name string, getenv func(string) (string, bool)) (string, error) {
	var dirs []string
	if dir, ok := getenv("BERTH_LIBEXEC"); ok && dir != "" {
		dirs = []string{dir}
	} else {
		exe, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("%s: cannot tell where berth is: %w", name, err)
		}
		if exe, err = filepath.EvalSymlinks(exe); err != nil {
			return "", fmt.Errorf("%s: cannot tell where berth is: %w", name, err)
		}
		dir := filepath.Dir(exe)
		dirs = []string{dir, filepath.Join(filepath.Dir(dir), "libexec", "berth")}
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return filepath.Abs(path)
		}
	}
	return "", fmt.Errorf("%s is not in %q: build it with \"make build\", or set BERTH_LIBEXEC to its folder", name, dirs)
}
