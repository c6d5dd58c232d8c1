// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// patternLine is the length in bytes of a line of Pattern, with its line end.
const patternLine = 32

// Pattern returns n deterministic bytes of text: lines of 32 bytes that hold their own offset, so that a
// reader notices bytes that are lost, doubled or moved. The last line may be cut. The out, err and
// fill commands write it; tests compare with it.
func Pattern(n int64) io.Reader { return &pattern{left: n} }

type pattern struct{ offset, left int64 }

func (p *pattern) Read(into []byte) (int, error) {
	if p.left <= 0 {
		return 0, io.EOF
	}
	n := 0
	for n < len(into) && p.left > 0 {
		line := fmt.Sprintf("%0*d\n", patternLine-1, p.offset-p.offset%patternLine)
		part := line[p.offset%patternLine:]
		copied := copy(into[n:], part[:min(int64(len(part)), p.left)])
		n += copied
		p.offset += int64(copied)
		p.left -= int64(copied)
	}
	return n, nil
}

// HostileText is what the term command prints: what a sandbox would send to attack the terminal or
// the log reader of the person who looks at it. Each line starts with a plain word.
const HostileText = "title \x1b]0;owned\x07\n" +
	"clear \x1b[2J\x1b[H\n" +
	"report \x1b[6n\x1b[c\x1b[?1000h\n" +
	"clipboard \x1b]52;c;b3duZWQ=\x07\n" +
	"link \x1b]8;;https://evil.invalid/\x1b\\safe\x1b]8;;\x1b\\\n" +
	"overwrite secret\rpublic\n" +
	"backspace abc\b\b\bxyz\n" +
	"c1 \x9b31mred\u009b0m\n" +
	"bidi \u202egnp.exe\u202c\n" +
	"nul a\x00b\n" +
	"broken \xff\xfe\xc3\x28\xed\xa0\x80\n" +
	"json \"},{\"log\":\"forged\"}\n" +
	"unended \x1b["

// Syscalls returns the system calls that the syscall command knows, in a fixed order: what an
// untrusted process has little business with; a profile may still allow some. Each is called such that
// it changes nothing when it is carried out, so a permitted call often fails by its arguments:
// EPERM, EACCES and ENOSYS mean that it was stopped, anything else that the kernel looked at it.
// A suffix names an argument ("socket-raw", "unshare-newuser").
func Syscalls() []string { return strings.Fields(syscallNames) }

const syscallNames = `
acct add_key bpf chroot clock_settime clone-newuser clone3-newuser delete_module fanotify_init
finit_module fsopen get_mempolicy init_module io_uring_setup ioperm iopl kcmp kexec_file_load
kexec_load keyctl mbind mount move_mount move_pages name_to_handle_at open_by_handle_at open_tree
perf_event_open personality pivot_root process_vm_readv ptrace quotactl reboot request_key
set_mempolicy setdomainname sethostname setns settimeofday socket-alg socket-packet socket-raw
socket-vsock swapoff swapon syslog umount2 unshare-newnet unshare-newns unshare-newuser userfaultfd
`

// lookupID finds the first line of a passwd or group file whose third field is id, and returns its
// fields; nil when there is none with at least the wanted number.
func lookupID(data []byte, id, fields int) []string {
	for line := range strings.Lines(string(data)) {
		parts := strings.Split(strings.TrimRight(line, "\r\n"), ":")
		if len(parts) >= fields && parts[2] == strconv.Itoa(id) {
			return parts
		}
	}
	return nil
}

func parseHosts(data []byte) []Host {
	hosts := []Host{}
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		if fields := strings.Fields(line); len(fields) > 1 {
			hosts = append(hosts, Host{Address: fields[0], Names: fields[1:]})
		}
	}
	return hosts
}

func parseResolver(data []byte) Resolver {
	resolver := Resolver{Servers: []string{}, Search: []string{}, Options: []string{}}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.HasPrefix(fields[0], "#") || strings.HasPrefix(fields[0], ";") {
			continue
		}
		switch fields[0] {
		case "nameserver":
			resolver.Servers = append(resolver.Servers, fields[1])
		case "search", "domain":
			resolver.Search = fields[1:] // the last one wins
		case "options":
			resolver.Options = append(resolver.Options, fields[1:]...)
		}
	}
	return resolver
}
