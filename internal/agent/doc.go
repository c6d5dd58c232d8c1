// SPDX-License-Identifier: Apache-2.0

// Package agent is what berth-agent does inside a sandbox. Today that is init:
// process 1 of every sandbox (DESIGN sections 4 and 7).
//
// Init examines the sandbox, reports to berth over the hand-shake of package
// handshake/wire, waits for "go", runs the command with init's own streams,
// environment and working directory, forwards signals to it, reaps every orphan
// and gives the command's exit code.
//
// It runs in images that it knows nothing about: as any uid, on a read-only root
// file system, with parts of /proc masked, with no shell, libc or passwd file. So
// it needs only system calls; the few files that the Go runtime looks at may be
// missing. It never reads from or writes to the command's streams, not even when
// it fails: whoever started it learns of a failure by its exit code, and berth by
// the hand-shake. (A crash of the Go runtime, which a process limit below
// wire.InitTasks can cause, is beyond it and prints to stderr.)
package agent
