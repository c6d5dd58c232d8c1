// SPDX-License-Identifier: Apache-2.0

// Command probe is what the harness's own tests run in a container: it is
// static, so that an image needs nothing else.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "get":
		c := http.Client{Timeout: 5 * time.Second}
		r, err := c.Get(args[1])
		if err != nil {
			return err
		}
		defer r.Body.Close()
		_, err = io.Copy(os.Stdout, r.Body)
		return err
	case len(args) == 2 && args[0] == "lookup":
		addrs, err := net.LookupHost(args[1])
		fmt.Println(addrs)
		return err
	case len(args) == 3 && args[0] == "serve":
		return http.ListenAndServe(args[1], http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, args[2])
		}))
	}
	return fmt.Errorf("usage: probe get URL | lookup NAME | serve ADDRESS BODY, not %q", args)
}
