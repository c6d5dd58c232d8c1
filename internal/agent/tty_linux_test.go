// SPDX-License-Identifier: Apache-2.0

package agent_test

import (
	"bufio"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/berthrun/berth/internal/handshake"
)

// terminal is a sandbox on a pseudo terminal, with what it printed.
type terminal struct {
	*box
	keys interface{ WriteString(string) (int, error) }
	out  *safeBuffer
}

func runOnTTY(t *testing.T, o boxOptions, command ...string) *terminal {
	t.Helper()
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ptmx.Close() })
	out := &safeBuffer{}
	b := newBox(t)
	o.tty = tty
	b.listen()
	b.start(o, command...)
	tty.Close()
	go bufio.NewReader(ptmx).WriteTo(out)
	b.accept()
	b.negotiate(handshake.Config{})
	if _, err := b.conn.Go(t.Context()); err != nil {
		t.Fatalf("go: %v; %s", err, out)
	}
	return &terminal{b, ptmx, out}
}

func (x *terminal) waitOutput(want string) {
	x.t.Helper()
	end := time.Now().Add(10 * time.Second)
	for !strings.Contains(x.out.String(), want) {
		if time.Now().After(end) {
			x.t.Fatalf("output: want %q, got %q", want, x.out.String())
		}
		<-time.After(2 * time.Millisecond)
	}
}

func TestInterruptArrivesOnce(t *testing.T) {
	x := runOnTTY(t, boxOptions{role: "signals"}, roles)
	x.waitOutput("ready")
	// Many, because two that come close together can count as one.
	const n = 30
	for i := 1; i <= n; i++ {
		x.keys.WriteString("\x03")
		eventually(t, "the interrupt arrives", func() bool { return strings.Count(x.out.String(), "signal 2\r\n") >= i })
	}
	// Init would have forwarded its own before this.
	x.signal(unix.SIGUSR2)
	x.waitOutput("interrupts " + itoa(n) + "\r\n")
	if got := x.wait(); got != 0 {
		t.Errorf("exit code: got %d, want 0", got)
	}
}

func TestCommandReadsFromTheTerminal(t *testing.T) {
	x := runOnTTY(t, boxOptions{role: "line"}, roles)
	x.keys.WriteString("hello\n")
	x.waitOutput(`got "hello"`)
	if got := x.wait(); got != 0 {
		t.Errorf("exit code: got %d, want 0", got)
	}
}

func TestCtrlZDoesNotStrandTheTerminal(t *testing.T) {
	x := runOnTTY(t, boxOptions{}, "sh", "-c", "echo ready; read x; echo got $x")
	x.waitOutput("ready")
	x.keys.WriteString("\x1a")
	eventually(t, "the command runs", func() bool {
		for _, state := range x.children() {
			return state == "S"
		}
		return false
	})
	x.keys.WriteString("hello\n")
	x.waitOutput("got hello")
	if got := x.wait(); got != 0 {
		t.Errorf("exit code: got %d, want 0", got)
	}
}

func TestHangUpEndsTheCommand(t *testing.T) {
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	b := newBox(t)
	b.listen()
	b.start(boxOptions{tty: tty}, "sleep", "100")
	tty.Close()
	b.accept()
	b.negotiate(handshake.Config{})
	if _, err := b.conn.Go(t.Context()); err != nil {
		t.Fatal(err)
	}
	ptmx.Close()
	if got := b.wait(); got != 128+1 {
		t.Errorf("exit code: got %d, want 129", got)
	}
}

// The terminal can be gone before "go"; the command still runs and sees that.
func TestHangUpBeforeGo(t *testing.T) {
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	b := newBox(t)
	b.listen()
	b.start(boxOptions{tty: tty}, "true")
	tty.Close()
	b.accept()
	b.negotiate(handshake.Config{})
	ptmx.Close()
	if got := b.wait(); got != 128+1 {
		t.Errorf("exit code: got %d, want 129", got)
	}
}
