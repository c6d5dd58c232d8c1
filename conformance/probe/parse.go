// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// separator divides the commands of a chain.
const separator = "+"

// Line joins commands to the arguments of one probe call, with "+" between them and escaped inside
// them: Line([]string{"id"}, []string{"stat", "/w"}) is id + stat /w.
func Line(commands ...[]string) []string {
	line := []string{}
	for i, command := range commands {
		if i > 0 {
			line = append(line, separator)
		}
		for _, arg := range command {
			if arg != "" && strings.Trim(arg, separator) == "" {
				arg += separator
			}
			line = append(line, arg)
		}
	}
	return line
}

// split is the inverse of Line.
func split(args []string) [][]string {
	chain := [][]string{{}}
	for _, arg := range args {
		if arg == separator {
			chain = append(chain, []string{})
			continue
		}
		if arg != "" && strings.Trim(arg, separator) == "" {
			arg = arg[1:]
		}
		last := len(chain) - 1
		chain[last] = append(chain[last], arg)
	}
	return chain
}

// step is one parsed command of a chain.
type step struct {
	command *command
	args    []string
	run     action
}

// parse turns a command line into steps. Nothing runs unless all of it is right.
func parse(args []string) ([]step, error) {
	var steps []step
	for _, words := range split(args) {
		if len(words) == 0 {
			return nil, fmt.Errorf("empty command; write COMMAND [ARG…] [+ COMMAND…], a literal + as ++")
		}
		name, rest := words[0], words[1:]
		command, ok := commands[name]
		if !ok {
			return nil, fmt.Errorf("no command %q; help lists them", name)
		}
		a := &arguments{words: rest}
		run := command.parse(a)
		if a.err == nil && len(a.words) > 0 {
			a.err = fmt.Errorf("unexpected argument %q", a.words[0])
		}
		if a.err != nil {
			return nil, fmt.Errorf("%s: %w; usage: %s", name, a.err, command.usage)
		}
		steps = append(steps, step{command: command, args: rest, run: run})
	}
	return steps, nil
}

// arguments hands out the arguments of one command. The first problem stays in err and later calls
// return zero values, so that a command's parse function reads straight through.
type arguments struct {
	words []string
	err   error
}

func (a *arguments) more() bool { return a.err == nil && len(a.words) > 0 }

func (a *arguments) fail(format string, args ...any) {
	if a.err == nil {
		a.err = fmt.Errorf(format, args...)
	}
}

func (a *arguments) text(what string) string {
	if a.err != nil {
		return ""
	}
	if len(a.words) == 0 {
		a.fail("%s is missing", what)
		return ""
	}
	word := a.words[0]
	a.words = a.words[1:]
	return word
}

func (a *arguments) rest() []string {
	words := a.words
	a.words = nil
	return words
}

func (a *arguments) path(what string) string {
	word := a.text(what)
	if a.err == nil && (word == "" || strings.ContainsRune(word, 0)) {
		a.fail("%s %q is empty or has a NUL byte", what, word)
	}
	return word
}

func (a *arguments) number(what string, low, high int64) int64 {
	word := a.text(what)
	if a.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil || n < low || n > high {
		a.fail("%s %q is no integer from %d to %d", what, word, low, high)
		return 0
	}
	return n
}

func (a *arguments) count(what string) int { return int(a.number(what, 1, 1<<20)) }

var suffixes = []struct {
	name  string
	shift uint
}{{"Ki", 10}, {"Mi", 20}, {"Gi", 30}}

func (a *arguments) size(what string) int64 {
	word := a.text(what)
	if a.err != nil {
		return 0
	}
	digits, shift := word, uint(0)
	for _, s := range suffixes {
		if rest, ok := strings.CutSuffix(word, s.name); ok {
			digits, shift = rest, s.shift
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		a.fail("%s %q is no size; write an integer, alone or with Ki, Mi, Gi", what, word)
		return 0
	}
	return n << shift
}

func (a *arguments) mode(what string) uint32 {
	word := a.text(what)
	if a.err != nil {
		return 0
	}
	n, err := strconv.ParseUint(word, 8, 32)
	if err != nil || n > 0o7777 {
		a.fail("%s %q is no octal mode from 0 to 7777", what, word)
		return 0
	}
	return uint32(n)
}

func (a *arguments) duration(what string) time.Duration {
	word := a.text(what)
	if a.err != nil {
		return 0
	}
	d, err := time.ParseDuration(word)
	if err != nil || d < 0 {
		a.fail("%s %q is no duration such as 250ms", what, word)
		return 0
	}
	return d
}

func (a *arguments) signal() string {
	word := a.text("SIG")
	if a.err != nil {
		return ""
	}
	n, ok := SignalNumber(word)
	if !ok {
		a.fail("signal %q is unknown; write TERM, RTMIN+3 or a number from 1 to 64", word)
		return ""
	}
	return SignalName(n)
}

func (a *arguments) oneOf(what string, allowed ...string) string {
	word := a.text(what)
	if a.err != nil {
		return ""
	}
	if !slices.Contains(allowed, word) {
		a.fail("%s %q is none of %s", what, word, strings.Join(allowed, ", "))
	}
	return word
}

// endpoint takes a network and an address in it: a path for unix, else host:port with the port as a number.
func (a *arguments) endpoint() (network, address string) {
	network = a.oneOf("NET", "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6", "unix")
	address = a.path("ADDR")
	if a.err != nil || network == "unix" {
		return network, address
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		a.fail("ADDR %q is no host:port", address)
		return network, address
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		a.fail("ADDR %q has no port from 0 to 65535", address)
	}
	return network, address
}
