// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package dockerharness

import "github.com/berthrun/berth/conformance"

func (h *Harness) submount() {
	h.host.Lacks[conformance.FactSubmount] = "mounts are made on Linux only"
}
