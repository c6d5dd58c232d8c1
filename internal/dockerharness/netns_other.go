// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package dockerharness

// otherNetwork: an engine with a local socket on such a machine runs in a
// virtual machine of its own.
func otherNetwork(string) string { return "the engine runs in a virtual machine" }
