// SPDX-License-Identifier: Apache-2.0

//go:build linux

// The Go runtime must not look up cgroups and watch them: init uses one processor.
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command berth-agent runs inside every sandbox. It is bound read-only at
// /run/berth-agent and its init is process 1 there (DESIGN section 7).
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/berthrun/berth/internal/agent"
)

const usage = `Usage:
  berth-agent init [--connect PATH | --listen PATH] [--timeout 60s] -- CMD [ARG…]
        Be process 1 of a sandbox: report to berth, wait for its "go", run CMD.
        --connect PATH  berth's socket (default /run/berth/init.sock)
        --listen PATH   make a socket there and wait for berth instead
        --timeout D     give up and exit with 125 when "go" has not come by then
  berth-agent connect [--timeout 10s] PATH
        Join standard input and output to the socket of an init that listens.
  berth-agent version
        Print the version.
`

// version is set by the linker; see versionString.
var version string

// errUsage is an error about the command line: exit code 2.
var errUsage = errors.New("usage")

func main() {
	code, err := run(os.Args[1:], os.Stdin, os.Stdout)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Print(usage)
	} else if err != nil {
		fmt.Fprintf(os.Stderr, "berth-agent: %v\n", err)
		if errors.Is(err, errUsage) {
			fmt.Fprint(os.Stderr, usage)
		}
	}
	os.Exit(code)
}

func run(args []string, in io.Reader, out io.Writer) (int, error) {
	bad := func(format string, a ...any) (int, error) {
		return 2, fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, a...))
	}
	if len(args) == 0 {
		return bad("a subcommand is missing")
	}
	name, args := args[0], args[1:]
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	parse := func() (int, error) {
		err := flags.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			return 0, err
		}
		if err != nil {
			return bad("%s: %v", name, err)
		}
		return 0, nil
	}
	switch name {
	case "init":
		o := agent.InitOptions{Version: versionString()}
		flags.StringVar(&o.Connect, "connect", "/run/berth/init.sock", "")
		flags.StringVar(&o.Listen, "listen", "", "")
		flags.DurationVar(&o.Timeout, "timeout", time.Minute, "")
		if code, err := parse(); err != nil {
			return code, err
		}
		both := 0
		flags.Visit(func(f *flag.Flag) {
			if f.Name == "connect" || f.Name == "listen" {
				both++
			}
		})
		switch o.Args = flags.Args(); {
		case both == 2:
			return bad("init: --connect and --listen exclude each other")
		case o.Timeout <= 0:
			return bad("init: --timeout must be positive")
		case len(o.Args) == 0:
			return bad("init: a command is missing")
		}
		return agent.Init(o), nil
	case "connect":
		timeout := flags.Duration("timeout", 10*time.Second, "")
		if code, err := parse(); err != nil {
			return code, err
		}
		if flags.NArg() != 1 {
			return bad("connect: one path is needed")
		}
		if err := agent.Connect(flags.Arg(0), *timeout, in, out); err != nil {
			return 1, err
		}
		return 0, nil
	case "version":
		if len(args) != 0 {
			return bad("version takes no arguments")
		}
		_, err := fmt.Fprintln(out, versionString())
		if err != nil {
			return 1, err
		}
		return 0, nil
	case "help", "-h", "--help":
		return 0, flag.ErrHelp
	}
	return bad("unknown subcommand %q", name)
}

// versionString is the linker's version, else the module's, else "devel".
func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}
