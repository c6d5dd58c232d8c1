// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"fmt"
	"strconv"
	"strings"
)

// signalNames has Linux's signals (signal(7), the numbers of x86 and ARM) at
// their numbers. The names, not the numbers, are what a spec keeps, because a
// client need not run on Linux.
var signalNames = [...]string{
	1: "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1",
	"SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP",
	"TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
}

var signalAliases = map[string]string{"IOT": "ABRT", "CLD": "CHLD", "POLL": "IO"}

// The first and last real-time signals as the C libraries number them; the
// kernel's own first two belong to the C library.
const (
	sigRTMin = 34
	sigRTMax = 64
)

// ParseSignal reads a signal as users write it, a name with or without SIG in
// any case, RTMIN+n, RTMAX-n or a Linux number, and returns its one canonical
// name (SIGTERM, SIGRTMIN+3) and its Linux number. [Default] writes the
// canonical name into Life.StopSignal, so that drivers and init can rely on it.
func ParseSignal(s string) (name string, number int, err error) {
	bare := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if alias, ok := signalAliases[bare]; ok {
		bare = alias
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		n = uint64(signalNumber(bare))
	}
	if name := signalName(int(n)); name != "" {
		return name, int(n), nil
	}
	return "", 0, fmt.Errorf("signal %q is not known: want a name such as SIGTERM or SIGRTMIN+3", s)
}

// signalNumber returns the number of a name without SIG, or 0.
func signalNumber(bare string) int {
	switch bare {
	case "":
		return 0
	case "RTMIN":
		return sigRTMin
	case "RTMAX":
		return sigRTMax
	}
	if rest, ok := strings.CutPrefix(bare, "RTMIN+"); ok {
		if n, err := strconv.ParseUint(rest, 10, 8); err == nil && sigRTMin+n <= sigRTMax {
			return sigRTMin + int(n)
		}
	}
	if rest, ok := strings.CutPrefix(bare, "RTMAX-"); ok {
		if n, err := strconv.ParseUint(rest, 10, 8); err == nil && n <= sigRTMax-sigRTMin {
			return sigRTMax - int(n)
		}
	}
	for n, name := range signalNames {
		if name == bare {
			return n
		}
	}
	return 0
}

// signalName returns the canonical name of a number, or "". Real-time signals
// are named from the nearer end, as kill -l does.
func signalName(n int) string {
	switch {
	case n > 0 && n < len(signalNames):
		return "SIG" + signalNames[n]
	case n == sigRTMin:
		return "SIGRTMIN"
	case n == sigRTMax:
		return "SIGRTMAX"
	case n > sigRTMin && n <= sigRTMin+15:
		return fmt.Sprintf("SIGRTMIN+%d", n-sigRTMin)
	case n > sigRTMin+15 && n < sigRTMax:
		return fmt.Sprintf("SIGRTMAX-%d", sigRTMax-n)
	}
	return ""
}
