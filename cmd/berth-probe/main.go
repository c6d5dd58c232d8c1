// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command berth-probe is the program that conformance tests run inside sandboxes. See package probe
// for its commands; "berth-probe help" lists them.
package main

import (
	"context"
	"os"

	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/conformance/probe/osys"
)

func main() {
	os.Exit(probe.Run(context.Background(), osys.New(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
