// SPDX-License-Identifier: Apache-2.0

package backend

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Info is what Probe found. It holds facts, and claims that each name the fact
// they read.
type Info struct {
	// Driver is Driver.Name.
	Driver string `json:"driver"`
	// Engine is what answers, which may differ from the driver's expectation:
	// "docker", "podman", "containerd".
	Engine        string `json:"engine"`
	EngineVersion string `json:"engineVersion"`
	APIVersion    string `json:"apiVersion,omitempty"`
	// EngineID tells two engines apart. Stable over restarts.
	EngineID string `json:"engineId,omitempty"`
	// Host is the address in use.
	Host string `json:"host"`
	// Remote says that host paths here and there are not the same.
	Remote bool `json:"remote"`
	// Rootless says that the engine runs without root.
	Rootless bool `json:"rootless"`
	// CallerAsRoot says that the caller's files are those of uid 0 inside, as in
	// a rootless engine without keep-id; otherwise inner and outer ids of the
	// mode caller are equal.
	CallerAsRoot bool   `json:"callerAsRoot"`
	OS           string `json:"os"`
	Arch         string `json:"arch"`
	Kernel       string `json:"kernel"`
	// CgroupVersion is 1 or 2; 0 is unknown.
	CgroupVersion  int      `json:"cgroupVersion"`
	CgroupDriver   string   `json:"cgroupDriver,omitempty"`
	StorageDriver  string   `json:"storageDriver,omitempty"`
	Runtimes       []string `json:"runtimes"`
	DefaultRuntime string   `json:"defaultRuntime,omitempty"`
	// Facts are everything that claims read, by name.
	Facts map[string]string `json:"facts"`
	// Claims has an entry for every capability.
	Claims map[Capability]Claim `json:"claims"`
	// Warnings are what a user of this engine should know, in sentences.
	Warnings []string `json:"warnings"`
}

// Claim returns the claim about c; the zero Claim, which is Unknown, when the
// driver made none.
func (i *Info) Claim(c Capability) Claim { return i.Claims[c] }

// CheckInfo returns an error for each way in which i breaks the contract of
// Probe: a capability without a claim, an unknown capability, a claim without
// a known fact, a missing one without a reason.
func CheckInfo(i *Info) error {
	var errs []error
	for _, c := range capabilities {
		if _, ok := i.Claims[c]; !ok {
			errs = append(errs, fmt.Errorf("capability %s: no claim", c))
		}
	}
	for _, c := range slices.Sorted(maps.Keys(i.Claims)) {
		claim := i.Claims[c]
		if !slices.Contains(capabilities, c) && !strings.HasPrefix(string(c), "x-"+i.Driver+".") {
			errs = append(errs, fmt.Errorf("capability %s: unknown", c))
		}
		if _, ok := i.Facts[claim.Fact]; !ok {
			errs = append(errs, fmt.Errorf("capability %s: fact %q is not in the facts", c, claim.Fact))
		}
		switch claim.Support {
		case Native, Emulated:
			if claim.Mechanism == "" {
				errs = append(errs, fmt.Errorf("capability %s: no mechanism", c))
			}
		case Missing, Unknown:
			if claim.Reason == "" {
				errs = append(errs, fmt.Errorf("capability %s: no reason", c))
			}
		default:
			errs = append(errs, fmt.Errorf("capability %s: support %q is unknown", c, claim.Support))
		}
	}
	return errors.Join(errs...)
}
