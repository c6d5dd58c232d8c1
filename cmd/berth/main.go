// SPDX-License-Identifier: Apache-2.0

// Command berth runs untrusted work in a sandbox on whatever container engine
// the machine has. It turns flags into a spec, asks internal/sandbox, prints,
// and gives exit codes; everything else is in the packages below.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := newApp(os.Stdin, os.Stdout, os.Stderr, os.LookupEnv)
	a.interrupts = stop
	code := a.main(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
