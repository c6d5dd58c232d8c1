// SPDX-License-Identifier: Apache-2.0

//go:build !amd64

package osys

// Calls that only this architecture has: none.
var (
	archSyscalls map[string]uintptr
	archArgs     map[string][]uintptr
)
