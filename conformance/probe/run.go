// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Run carries out a command line (without the program's name) on sys and returns the exit code. See
// the package's comment for commands, output and codes. cmd/berth-probe calls it once in a process;
// a modelling driver calls it for every process of its model, in parallel.
//
// A signal from sys that is neither trapped nor ignored ends it with 128+n. The end of ctx stands for
// SIGKILL: it returns 137. In both cases Run does not wait for a command that is stuck in a read or
// write; from then on nothing more is written. A nil stdin is empty.
func Run(ctx context.Context, sys System, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 1 && args[0] == "help" {
		_, _ = io.WriteString(stdout, Usage())
		return 0
	}
	steps, err := parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "berth-probe: %v\n", err)
		return ExitUsage
	}
	if stdin == nil {
		stdin = strings.NewReader("")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	r := &runner{
		ctx:      ctx,
		sys:      sys,
		stdin:    stdin,
		streams:  newGate(),
		signals:  map[string]disposition{},
		resized:  make(chan struct{}, 1),
		standing: steps[len(steps)-1].command.standing,
	}
	r.stdout, r.stderr = r.streams.writer(stdout), r.streams.writer(stderr)

	signals, stop := sys.Notify(wanted(steps))
	defer stop()
	done := make(chan int, 1)
	go func() { done <- r.chain(steps) }()
	for {
		select {
		case code := <-done:
			return code
		case <-ctx.Done():
			r.streams.close()
			return 128 + 9
		case name := <-signals:
			if code, end := r.signal(name); end {
				cancel()
				r.streams.close()
				return code
			}
		}
	}
}

// Usage returns the list of commands for people.
func Usage() string {
	var text strings.Builder
	text.WriteString("usage: berth-probe COMMAND [ARG…] [+ COMMAND [ARG…]]…\n\n")
	for _, command := range commandList {
		fmt.Fprintf(&text, "  %s\n", command.usage)
	}
	return text.String()
}

// wanted returns the signals that a chain handles: those with a default that must also hold for
// PID 1, to which the kernel gives no defaults, and those that the chain names.
func wanted(steps []step) []string {
	names := []string{"HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "WINCH"}
	for _, s := range steps {
		if s.command.handles && !slices.Contains(names, s.args[0]) {
			n, _ := SignalNumber(s.args[0])
			names = append(names, SignalName(n))
		}
	}
	return names
}

// disposition is what trap and ignore set for a signal.
type disposition struct {
	command string
	args    []string
	ends    bool
	code    int
}

// runner is the state of one Run. The chain runs in one goroutine and signals in another.
type runner struct {
	ctx            context.Context
	sys            System
	stdin          io.Reader
	stdout, stderr io.Writer
	streams        *gate
	standing       bool
	resized        chan struct{}

	mu      sync.Mutex
	pending []Result
	signals map[string]disposition
}

// action carries out one parsed command. The value is a pointer to the command's value type or nil.
type action func(r *runner) (value any, err error)

// exitRequest is the error by which a command ends the chain with an exit code.
type exitRequest int

func (e exitRequest) Error() string { return fmt.Sprintf("exit %d", int(e)) }

func (r *runner) chain(steps []step) int {
	for i, s := range steps {
		value, err := s.run(r)
		var exit exitRequest
		var errno Errno
		switch {
		case errors.As(err, &exit):
			_ = r.flush() // the code that was asked for counts
			return int(exit)
		case r.ctx.Err() != nil:
			// Run has an exit code of its own and may have returned.
			return ExitFailure
		case err != nil && !errors.As(err, &errno):
			_ = r.flush() // it fails anyway
			fmt.Fprintf(r.stderr, "berth-probe: %s: %v\n", s.command.name, err)
			return ExitFailure
		case s.command.raw && err == nil:
			continue
		}
		result := Result{Command: s.command.name, Args: append([]string{}, s.args...), Errno: errno, Value: value}
		if err != nil {
			result.Detail = err.Error()
		}
		r.emit(result)
		if s.command.standing || i == len(steps)-1 {
			if err := r.flush(); err != nil {
				fmt.Fprintf(r.stderr, "berth-probe: cannot write results: %v\n", err)
				return ExitFailure
			}
		}
	}
	if r.standing {
		<-r.ctx.Done()
	}
	return 0
}

// signal applies a signal's disposition. end is true when the probe is to exit with code.
func (r *runner) signal(name string) (code int, end bool) {
	r.mu.Lock()
	disposition, set := r.signals[name]
	r.mu.Unlock()
	if !set {
		if name == "WINCH" {
			select {
			case r.resized <- struct{}{}:
			default:
			}
			return 0, false
		}
		n, _ := SignalNumber(name)
		return 128 + n, true
	}
	r.emit(Result{Command: disposition.command, Args: disposition.args, Value: &Signal{Signal: name, Received: true}})
	_ = r.flush()
	return disposition.code, disposition.ends
}

// emit queues a result for the next output line.
func (r *runner) emit(result Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = append(r.pending, result)
}

// flush prints the queued results, if there are any, as one line.
func (r *runner) flush() error {
	r.mu.Lock()
	results := r.pending
	r.pending = nil
	r.mu.Unlock()
	if len(results) == 0 {
		return nil
	}
	line, err := encode(results)
	if err != nil {
		return err
	}
	_, err = r.stdout.Write(append(line, '\n'))
	return err
}

// encode writes results as Decode wants them.
func encode(results []Result) ([]byte, error) {
	line, err := json.Marshal(results)
	if err != nil || !bytes.Contains(line, []byte(`\ufffd`)) {
		return line, err
	}
	// Bytes that are not UTF-8 (in a file name, a variable) become the escape \ufffd, but the character
	// that it stands for is written as itself. One more round gives what Decode compares with.
	var again []Result
	if err := json.Unmarshal(line, &again); err != nil {
		return nil, err
	}
	return json.Marshal(again)
}

// gate keeps writers apart from each other and from the end of Run. A write can block for ever in a
// full pipe, so nothing waits for the gate without a bound.
type gate struct {
	open chan bool // holds one token; false when closed
}

// gateWait bounds how long the end of Run waits for a write that is under way.
const gateWait = 100 * time.Millisecond

func newGate() *gate {
	g := &gate{open: make(chan bool, 1)}
	g.open <- true
	return g
}

func (g *gate) close() {
	timer := time.NewTimer(gateWait)
	defer timer.Stop()
	select {
	case <-g.open:
		g.open <- false
	case <-timer.C:
	}
}

func (g *gate) writer(w io.Writer) io.Writer { return gateWriter{gate: g, writer: w} }

type gateWriter struct {
	gate   *gate
	writer io.Writer
}

func (w gateWriter) Write(p []byte) (int, error) {
	open := <-w.gate.open
	defer func() { w.gate.open <- open }()
	if !open {
		return 0, io.ErrClosedPipe
	}
	return w.writer.Write(p)
}
