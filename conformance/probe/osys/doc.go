// SPDX-License-Identifier: Apache-2.0

// Package osys is the real operating system for the commands of package probe: Linux through its system
// calls, with no help from a shell, a C library or anything else in the image. It needs /proc, which every
// engine mounts.
//
// It is empty on other systems, for only what runs inside a sandbox needs it.
package osys
