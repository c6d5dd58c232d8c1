// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
)

// Exit codes of the probe itself. They are of sysexits.h, far from what tests use.
const (
	ExitUsage   = 64 // the command line is wrong; nothing was done
	ExitFailure = 70 // the probe could not do its own work
)

// MaxOutput is the size in bytes of the longest output that [Decode] and [Reader] take. Output of a
// sandbox is hostile: without a bound it would fill the memory of the test.
const MaxOutput = 16 << 20

// Result is the outcome of one command of a chain.
type Result struct {
	// Command is the command's name.
	Command string `json:"command"`
	// Args are its arguments, so that a failing test shows what was asked.
	Args []string `json:"args"`
	// Errno is what the observed operation came to; [OK] when it was carried out.
	Errno Errno `json:"errno"`
	// Detail is the error for people. Tests must not depend on it.
	Detail string `json:"detail,omitempty"`
	// Value points to the command's value type (see the package's table). It is nil for commands
	// without one, and may be nil when Errno is set.
	Value any `json:"value,omitempty"`
}

// Err returns nil when the operation was carried out, else its [Errno] with command, arguments and detail.
func (r Result) Err() error {
	if r.Errno == OK {
		return nil
	}
	if r.Detail == "" || r.Detail == string(r.Errno) {
		return fmt.Errorf("probe %s %q: %w", r.Command, r.Args, r.Errno)
	}
	return fmt.Errorf("probe %s %q: %w (%s)", r.Command, r.Args, r.Errno, r.Detail)
}

// Value returns the value of a result as T, for example Value[ID](results[0]).
// The error names the command when it has another type or no value; a refused operation without a
// value returns that refusal.
func Value[T any](r Result) (T, error) {
	if v, ok := r.Value.(*T); ok && v != nil {
		return *v, nil
	}
	var zero T
	if r.Value == nil {
		if err := r.Err(); err != nil {
			return zero, err
		}
		return zero, fmt.Errorf("probe %s %q: result has no value", r.Command, r.Args)
	}
	return zero, fmt.Errorf("probe %s %q: result has a %T, not a %T", r.Command, r.Args, r.Value, &zero)
}

// UnmarshalJSON implements json.Unmarshaler. The command's name decides the type of the value;
// unknown names and fields are errors.
func (r *Result) UnmarshalJSON(data []byte) error {
	var raw struct {
		Command string          `json:"command"`
		Args    []string        `json:"args"`
		Errno   Errno           `json:"errno"`
		Detail  string          `json:"detail"`
		Value   json.RawMessage `json:"value"`
	}
	if err := decodeStrict(data, &raw); err != nil {
		return err
	}
	command, ok := commands[raw.Command]
	if !ok {
		return fmt.Errorf("probe output: no command %q; is the probe of this version?", raw.Command)
	}
	result := Result{Command: raw.Command, Args: raw.Args, Errno: raw.Errno, Detail: raw.Detail}
	if raw.Value != nil {
		if command.value == nil {
			return fmt.Errorf("probe output: command %s has no value", raw.Command)
		}
		value := reflect.New(command.value).Interface()
		if err := decodeStrict(raw.Value, value); err != nil {
			return fmt.Errorf("probe output: value of %s: %w", raw.Command, err)
		}
		result.Value = value
	}
	*r = result
	return nil
}

func decodeStrict(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// Decode reads everything that a probe printed and returns its results in order, those of several
// output lines one after the other. It is strict: anything that Run would not print byte for byte
// (unknown, duplicate or wrongly-cased keys, other spacing, text between the lines) is an error.
// Carriage returns before line ends, which terminals add, are taken. No output is no result, not an error.
func Decode(output []byte) ([]Result, error) {
	var all []Result
	reader := NewReader(bytes.NewReader(output))
	for {
		results, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, results...)
	}
}

// decodeLine decodes one output line without its line end.
func decodeLine(line []byte) ([]Result, error) {
	var results []Result
	// An empty line is io.EOF to the decoder, which to callers means the end of the output.
	if err := decodeStrict(line, &results); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("probe output %s: %w", quote(line), err)
	}
	if len(results) == 0 {
		return nil, fmt.Errorf("probe output %s: no results", quote(line))
	}
	// encoding/json takes duplicate and wrongly-cased keys. Writing the same again cannot.
	again, err := json.Marshal(results)
	if err != nil {
		return nil, fmt.Errorf("probe output %s: %w", quote(line), err)
	}
	if !bytes.Equal(again, line) {
		return nil, fmt.Errorf("probe output %s: not written by a probe of this version: it would be %s", quote(line), quote(again))
	}
	return results, nil
}

// quote shortens hostile text for an error message.
func quote(text []byte) string {
	const limit = 300
	if len(text) > limit {
		return fmt.Sprintf("%q…", text[:limit])
	}
	return fmt.Sprintf("%q", text)
}

// Reader reads the output lines of a probe that is still running, one at a time. It is not safe for
// concurrent use.
type Reader struct {
	source io.Reader
	buffer []byte
	read   int
	err    error
}

// NewReader returns a Reader of a probe's standard output.
func NewReader(r io.Reader) *Reader { return &Reader{source: r} }

// Next blocks until the probe has printed its next line and returns the results in it. It returns io.EOF
// at the end of the output and an error, as [Decode] does, for what no probe prints; after an error it
// returns the same error again.
func (r *Reader) Next() ([]Result, error) {
	if r.err != nil {
		return nil, r.err
	}
	results, err := r.next()
	if err != nil {
		r.err = err
	}
	return results, err
}

func (r *Reader) next() ([]Result, error) {
	for start := 0; ; {
		if i := bytes.IndexByte(r.buffer[start:], '\n'); i >= 0 {
			line := r.buffer[:start+i]
			r.buffer = r.buffer[start+i+1:]
			return decodeLine(bytes.TrimSuffix(line, []byte("\r")))
		}
		start = len(r.buffer)
		if r.read >= MaxOutput {
			return nil, fmt.Errorf("probe output: longer than %d bytes", MaxOutput)
		}
		chunk := make([]byte, min(32<<10, MaxOutput-r.read))
		n, err := r.source.Read(chunk)
		r.read += n
		r.buffer = append(r.buffer, chunk[:n]...)
		switch {
		case n > 0:
			// An error comes again with the next call, after the data.
		case errors.Is(err, io.EOF) && len(r.buffer) > 0:
			return nil, fmt.Errorf("probe output %s: ends inside a line: %w", quote(r.buffer), io.ErrUnexpectedEOF)
		case err != nil:
			return nil, err
		}
	}
}
