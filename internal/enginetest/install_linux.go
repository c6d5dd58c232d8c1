// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// tools are the programs an engine needs. docker-proxy serves published ports
// on loopback addresses; docker, the command, is what berth is measured against.
var tools = []string{"dockerd", "docker", "containerd", "containerd-shim-runc-v2", "runc", "docker-proxy", "iptables", "iptables-save", "ip6tables-save", "ip"}

// packages bring them on Debian and Ubuntu. Where the docker command is not in
// docker.io, it is in docker-cli.
var packages = []string{"docker.io", "iptables", "iproute2", "ca-certificates"}

// toolDirs are searched after PATH: a user's PATH often lacks the sbin ones.
var toolDirs = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/libexec/docker"}

func toolPath() string {
	dirs := filepath.SplitList(os.Getenv("PATH"))
	for _, d := range toolDirs {
		if !slices.Contains(dirs, d) {
			dirs = append(dirs, d)
		}
	}
	return strings.Join(dirs, string(filepath.ListSeparator))
}

func lookTool(name string) (string, error) {
	for _, d := range filepath.SplitList(toolPath()) {
		p := filepath.Join(d, name)
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", fmt.Errorf("look for %s: %w", name, exec.ErrNotFound)
}

func missingTools() []string {
	var out []string
	for _, t := range tools {
		if _, err := lookTool(t); err != nil {
			out = append(out, t)
		}
	}
	return out
}

// ensureTools returns nil when every tool is there. With install it installs
// the packages that bring them on Debian and Ubuntu, and makes sure that no
// system-wide daemon is started by that. Everywhere else the error says what
// to install.
func ensureTools(ctx context.Context, install bool, log io.Writer) error {
	missing := missingTools()
	if len(missing) == 0 {
		return nil
	}
	apt, err := lookTool("apt-get")
	hint := "install Docker Engine (dockerd, containerd, runc, docker-proxy), iptables and iproute2"
	if err == nil {
		hint = "run: apt-get install --no-install-recommends " + strings.Join(packages, " ")
	}
	want := fmt.Errorf("start an engine: not found: %s: %s", strings.Join(missing, ", "), hint)
	if !install || err != nil || os.Geteuid() != 0 {
		return want
	}
	fmt.Fprintf(log, "engines: install %s (not found: %s)\n", strings.Join(packages, " "), strings.Join(missing, ", "))
	restore, err := forbidServices(policyFile)
	if err != nil {
		return err
	}
	err = aptInstall(ctx, apt)
	if err = errors.Join(err, restore()); err != nil {
		return err
	}
	if missing = missingTools(); len(missing) > 0 {
		return fmt.Errorf("start an engine: the packages are installed, but still not found: %s", strings.Join(missing, ", "))
	}
	return nil
}

func aptInstall(ctx context.Context, apt string) error {
	run := func(args ...string) error {
		cmd := exec.CommandContext(ctx, apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		// A killed dpkg leaves a broken package database: ask, then wait.
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		out, err := cmd.CombinedOutput()
		if err != nil {
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			return fmt.Errorf("apt-get %s: %w\n\t%s", strings.Join(args, " "), err, strings.Join(lines[max(0, len(lines)-15):], "\n\t"))
		}
		return nil
	}
	install := func(packages ...string) error {
		args := append([]string{"-o", "DPkg::Lock::Timeout=120", "install", "-y", "--no-install-recommends"}, packages...)
		if run(args...) == nil {
			return nil
		}
		// The package lists may be old or absent.
		if err := run("-o", "DPkg::Lock::Timeout=120", "update"); err != nil {
			return err
		}
		return run(args...)
	}
	if err := install(packages...); err != nil {
		return err
	}
	if _, err := lookTool("docker"); err != nil {
		return install("docker-cli")
	}
	return nil
}

// policyFile is the script that Debian's package scripts ask before they start
// a service. Exit status 101 forbids it.
const policyFile = "/usr/sbin/policy-rc.d"

const policyScript = "#!/bin/sh\n# Written by berth's test harness while it installs packages.\nexit 101\n"

// forbidServices puts a script in place that forbids every service start, and
// returns what puts the earlier one back. What a killed installation left is
// repaired first.
func forbidServices(path string) (restore func() error, err error) {
	saved := path + ".berth-saved"
	if b, err := os.ReadFile(path); err == nil && string(b) == policyScript {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	if _, err := os.Lstat(saved); err == nil {
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			if err := os.Rename(saved, path); err != nil {
				return nil, err
			}
		}
	}
	had := true
	if err := os.Rename(path, saved); errors.Is(err, os.ErrNotExist) {
		had = false
	} else if err != nil {
		return nil, fmt.Errorf("forbid service starts: %w", err)
	}
	restore = func() error {
		if had {
			return os.Rename(saved, path)
		}
		return os.Remove(path)
	}
	if err := os.WriteFile(path, []byte(policyScript), 0o755); err != nil {
		return nil, errors.Join(fmt.Errorf("forbid service starts: %w", err), restore())
	}
	return restore, nil
}
