// SPDX-License-Identifier: Apache-2.0

// Package startlimit keeps the limit on open files with which the process was started.
//
// Package syscall raises the soft limit to the hard one when it is initialised, so any later look shows
// the wrong value, and a probe could not tell whether an engine set the limit. This package imports
// nothing: the language initialises packages without open dependencies in the order of their import
// paths, so it is ready before syscall. A test of package osys holds that.
package startlimit

// Nofile returns the soft and hard limit that the process was started with; ok is false where
// they could not be read.
func Nofile() (soft, hard uint64, ok bool) { return start.limit[0], start.limit[1], start.ok }

type state struct {
	limit [2]uint64
	ok    bool
}

var start = read()
