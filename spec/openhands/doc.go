// SPDX-License-Identifier: Apache-2.0

// Package openhands reads the configuration of OpenHands, its environment
// variables and its config.toml, as an input format for a sandbox spec.
//
// Every name that OpenHands documents is in [Keys]: it is honoured, or a
// warning says by name that it is not, or [Read] fails and says by name why
// and what to do. Nothing is dropped in silence. A bad value is an error here
// even where OpenHands logs it and goes on with its default, because the
// sandbox would then be another one than its user asked for.
//
// The package is pure: it reads no variable, no file and no clock, so that the
// caller decides what it sees. All functions may be called concurrently.
package openhands

//go:generate go test -run ^TestDocs$ -count=1 . -update
