// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"strconv"
	"strings"
)

// Linux numbers, which are the same on every architecture that berth builds for. They are here
// because the host of a test may be another system than the sandbox.
var signalNames = [...]string{
	1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 5: "TRAP", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL",
	10: "USR1", 11: "SEGV", 12: "USR2", 13: "PIPE", 14: "ALRM", 15: "TERM", 16: "STKFLT", 17: "CHLD",
	18: "CONT", 19: "STOP", 20: "TSTP", 21: "TTIN", 22: "TTOU", 23: "URG", 24: "XCPU", 25: "XFSZ",
	26: "VTALRM", 27: "PROF", 28: "WINCH", 29: "IO", 30: "PWR", 31: "SYS",
}

const (
	rtmin = 34 // as libc counts: 32 and 33 are its own
	rtmax = 64
)

// SignalNumber returns the Linux number of a signal: "TERM", "SIGTERM", "RTMIN+3", "RTMAX-1" or a
// number from 1 to 64. ok is false for anything else.
func SignalNumber(name string) (n int, ok bool) {
	if n, err := strconv.Atoi(name); err == nil {
		return n, n >= 1 && n <= rtmax
	}
	name = strings.TrimPrefix(name, "SIG")
	for n, known := range signalNames {
		if known != "" && known == name {
			return n, true
		}
	}
	for base, number := range map[string]int{"RTMIN": rtmin, "RTMAX": rtmax} {
		offset, found := strings.CutPrefix(name, base)
		if !found {
			continue
		}
		if offset == "" {
			return number, true
		}
		if d, err := strconv.Atoi(offset); err == nil && (offset[0] == '+' || offset[0] == '-') {
			return number + d, number+d >= rtmin && number+d <= rtmax
		}
	}
	return 0, false
}

// SignalName returns the name of a signal without SIG, the inverse of [SignalNumber]: "TERM",
// "RTMIN+3", and the decimal number for the rest.
func SignalName(n int) string {
	switch {
	case n > 0 && n < len(signalNames):
		return signalNames[n]
	case n == rtmin:
		return "RTMIN"
	case n > rtmin && n <= rtmax:
		return "RTMIN+" + strconv.Itoa(n-rtmin)
	default:
		return strconv.Itoa(n)
	}
}
