// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"flag"
	"io"
	"os/exec"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	for line, want := range map[string]string{
		"":                                      "a subcommand is missing",
		"serve":                                 `unknown subcommand "serve"`,
		"init":                                  "init: a command is missing",
		"init --":                               "init: a command is missing",
		"init --connect /s":                     "init: a command is missing",
		"init --connect":                        "init: flag needs an argument: -connect",
		"init --bad -- true":                    "init: flag provided but not defined: -bad",
		"init --timeout 0s -- true":             "init: --timeout must be positive",
		"init --timeout soon - true":            `init: invalid value "soon" for flag -timeout: parse error`,
		"init --connect /a --listen /b -- true": "init: --connect and --listen exclude each other",
		"connect":                               "connect: one path is needed",
		"connect /a /b":                         "connect: one path is needed",
		"version now":                           "version takes no arguments",
	} {
		var out strings.Builder
		code, err := run(strings.Fields(line), strings.NewReader(""), &out)
		if code != 2 || !errors.Is(err, errUsage) || err.Error() != "usage: "+want {
			t.Errorf("%q: got %d, %v; want 2, %s", line, code, err, want)
		}
		if out.Len() > 0 {
			t.Errorf("%q: wrote %q to stdout", line, out.String())
		}
	}
}

func TestHelp(t *testing.T) {
	for _, line := range []string{"help", "-h", "--help", "init -h", "connect --help"} {
		if code, err := run(strings.Fields(line), nil, io.Discard); code != 0 || !errors.Is(err, flag.ErrHelp) {
			t.Errorf("%q: got %d, %v", line, code, err)
		}
	}
}

func TestVersion(t *testing.T) {
	defer func(v string) { version = v }(version)
	version = "v9.9.9"
	var out strings.Builder
	if code, err := run([]string{"version"}, nil, &out); code != 0 || err != nil || out.String() != "v9.9.9\n" {
		t.Errorf("got %d, %v, %q", code, err, out.String())
	}
	version = ""
	if versionString() == "" {
		t.Error("no version without the linker's")
	}
}

func TestConnectFails(t *testing.T) {
	code, err := run([]string{"connect", "--timeout", "10ms", t.TempDir() + "/none"}, strings.NewReader(""), io.Discard)
	if code != 1 || err == nil || errors.Is(err, errUsage) {
		t.Errorf("got %d, %v", code, err)
	}
}

// The agent is in every sandbox: what it links is memory and attack surface there.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{.ImportPath}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range strings.FieldsSeq(string(out)) {
		switch {
		case pkg == "net" || strings.HasPrefix(pkg, "net/") || pkg == "os/exec" || pkg == "os/user" || pkg == "plugin" ||
			strings.HasPrefix(pkg, "crypto") || pkg == "log/slog" || pkg == "runtime/cgo":
			t.Errorf("the agent links %s", pkg)
		case strings.Contains(pkg, ".") && pkg != "golang.org/x/sys/unix" && !strings.HasPrefix(pkg, "github.com/berthrun/berth/"):
			t.Errorf("the agent links %s, which is not the standard library", pkg)
		}
	}
}
