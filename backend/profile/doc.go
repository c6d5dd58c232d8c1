// SPDX-License-Identifier: Apache-2.0

// Package profile holds the lists that berth sends to every engine, so that a
// sandbox is confined alike on each of them: the capabilities, the seccomp
// filter and the paths of /proc and /sys that are hidden or read-only. Drivers
// call it; nothing of an engine is in it.
package profile
