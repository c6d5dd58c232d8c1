// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
)

// Snapshot lists what exists in the engine and around it. dockerd must run.
func (d *Docker) Snapshot(ctx context.Context) (*Snapshot, error) {
	s := new(Snapshot)
	for _, step := range []func(context.Context, *Snapshot) error{d.snapEngine, d.snapMounts, d.snapNetns, d.snapProcesses} {
		if err := step(ctx, s); err != nil {
			return nil, fmt.Errorf("take a snapshot of the engine: %w", err)
		}
	}
	for _, l := range s.lists() {
		slices.Sort(l)
	}
	// dockerd puts its own jumps to the top of their chains again when it
	// starts and with each network, and at times twice.
	s.Rules = slices.Compact(s.Rules)
	return s, nil
}

func (d *Docker) snapEngine(ctx context.Context, s *Snapshot) error {
	api, err := d.Client()
	if err != nil {
		return err
	}
	defer api.Close()
	containers, err := api.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		return err
	}
	for _, c := range containers {
		s.Containers = append(s.Containers, fmt.Sprintf("%s %.12s %s", strings.Join(c.Names, ","), c.ID, c.State))
	}
	networks, err := api.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return err
	}
	for _, n := range networks {
		if container.NetworkMode(n.Name).IsUserDefined() && n.Name != "bridge" {
			s.Networks = append(s.Networks, fmt.Sprintf("%s %.12s", n.Name, n.ID))
		} else {
			// The engine's own three get new ids when it starts again.
			s.Networks = append(s.Networks, n.Name)
		}
	}
	volumes, err := api.VolumeList(ctx, volume.ListOptions{})
	if err != nil {
		return err
	}
	for _, v := range volumes.Volumes {
		s.Volumes = append(s.Volumes, v.Name)
	}
	return nil
}

func (d *Docker) snapMounts(_ context.Context, s *Snapshot) error {
	points, err := mountsBelow(d.dir)
	if err != nil {
		return err
	}
	for _, p := range points {
		rel := strings.TrimPrefix(p, d.dir+"/")
		if ns, ok := strings.CutPrefix(rel, "exec/netns/"); ok {
			// The first container on the host's network makes docker mount the
			// engine's own namespace as "default", for good.
			if ns != "default" {
				s.Netns = append(s.Netns, ns)
			}
		} else {
			s.Mounts = append(s.Mounts, rel)
		}
	}
	return nil
}

func (d *Docker) snapNetns(ctx context.Context, s *Snapshot) error {
	return InNetns(d.endpoint.Netns, func() error {
		links, err := net.Interfaces()
		if err != nil {
			return err
		}
		for _, l := range links {
			s.Links = append(s.Links, l.Name)
		}
		for _, tool := range []string{"iptables-save", "ip6tables-save"} {
			path, err := lookTool(tool)
			if err != nil {
				return err
			}
			out, err := exec.CommandContext(ctx, path).Output()
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
				return fmt.Errorf("%s: %w: %s", tool, err, bytes.TrimSpace(exit.Stderr))
			} else if err != nil {
				return err
			}
			s.Rules = append(s.Rules, parseRules(strings.TrimSuffix(tool, "-save"), out)...)
		}
		return nil
	})
}

var counters = regexp.MustCompile(` \[\d+:\d+\]$`)

// parseRules turns the output of iptables-save into one line for each chain
// and rule, with its table in front.
func parseRules(tool string, out []byte) []string {
	var rules []string
	table := ""
	for sc := bufio.NewScanner(bytes.NewReader(out)); sc.Scan(); {
		line := sc.Text()
		switch {
		case strings.HasPrefix(line, "*"):
			table = line[1:]
		case strings.HasPrefix(line, ":"), strings.HasPrefix(line, "-"):
			rules = append(rules, tool+" "+table+" "+counters.ReplaceAllString(line, ""))
		}
	}
	return rules
}

func (d *Docker) snapProcesses(_ context.Context, s *Snapshot) error {
	for _, dir := range cgroupDirs(d.state.Cgroup) {
		for _, root := range cgroupRoots() {
			rel, err := filepath.Rel(filepath.Join(root, d.state.Cgroup), dir)
			if err == nil && rel != "." && !strings.HasPrefix(rel, "..") {
				s.Cgroups = append(s.Cgroups, rel)
			}
		}
	}
	slices.Sort(s.Cgroups)
	s.Cgroups = slices.Compact(s.Cgroups) // the same in every hierarchy

	seen := map[int]process{}
	for _, p := range cgroupProcs(d.state.Cgroup) {
		seen[p.PID] = p
	}
	for _, p := range marked(d.dir) {
		// What the harness started itself is no trace of a sandbox.
		if p.Name == "containerd-shim" || p.Name == "docker-proxy" {
			seen[p.PID] = p
		}
	}
	for _, p := range seen {
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID))
		if err != nil {
			continue // it ended meanwhile
		}
		s.Processes = append(s.Processes, fmt.Sprintf("%d %s %s", p.PID, p.Name, bytes.TrimSpace(bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '}))))
	}
	return nil
}
