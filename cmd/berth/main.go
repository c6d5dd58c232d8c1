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
	ctx, cancel := context.WithCancel(context.Background())
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		if _, ok := <-interrupted; ok {
			cancel()
		}
	}()
	a := newApp(os.Stdin, os.Stdout, os.Stderr, os.LookupEnv)
	// Whoever takes the signals over wants them not to end the context any more.
	a.interrupts = func() { signal.Stop(interrupted) }
	code := a.main(ctx, os.Args[1:])
	cancel()
	os.Exit(code)
}
