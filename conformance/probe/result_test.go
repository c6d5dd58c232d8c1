// SPDX-License-Identifier: Apache-2.0

package probe_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/berthrun/berth/conformance/probe"
)

const goodLine = `[{"command":"sleep","args":["1s"],"errno":"","value":{"duration":5}}]` + "\n"

func TestDecodeIsStrict(t *testing.T) {
	if got, err := probe.Decode(nil); len(got) != 0 || err != nil {
		t.Errorf("nothing: %v, %v", got, err)
	}
	crlf := strings.ReplaceAll(goodLine, "\n", "\r\n")
	if got, err := probe.Decode([]byte(goodLine + crlf)); len(got) != 2 || err != nil {
		t.Errorf("two lines: %v, %v", got, err)
	}
	for name, output := range map[string]string{
		"text before":      "warning: x\n" + goodLine,
		"text after":       goodLine + "done\n",
		"no line end":      strings.TrimSuffix(goodLine, "\n"),
		"empty line":       goodLine + "\n",
		"object":           `{"command":"hold","args":[],"errno":""}` + "\n",
		"unknown command":  `[{"command":"fly","args":[],"errno":""}]` + "\n",
		"unknown key":      `[{"command":"hold","args":[],"errno":"","extra":1}]` + "\n",
		"unknown in value": `[{"command":"sleep","args":["1s"],"errno":"","value":{"duration":5,"x":1}}]` + "\n",
		"missing in value": `[{"command":"sha","args":[],"errno":"","value":{"bytes":5}}]` + "\n",
		"wrong case":       `[{"Command":"hold","args":[],"errno":""}]` + "\n",
		"duplicate":        `[{"command":"hold","args":[],"errno":"EPERM","errno":""}]` + "\n",
		"spaces":           `[{"command": "hold","args":[],"errno":""}]` + "\n",
		"value of another": `[{"command":"hold","args":[],"errno":"","value":{"duration":5}}]` + "\n",
		"value type":       `[{"command":"sleep","args":["1s"],"errno":"","value":5}]` + "\n",
		"two on a line":    strings.TrimSuffix(goodLine, "\n") + goodLine,
		"order":            `[{"args":[],"command":"hold","errno":""}]` + "\n",
		"null":             "null\n",
		"no results":       "[]\n",
		"escape":           `[{"command":"\u0068old","args":[],"errno":""}]` + "\n",
	} {
		if got, err := probe.Decode([]byte(output)); err == nil {
			t.Errorf("%s: no error, results %+v", name, got)
		}
	}
}

func TestReaderBounds(t *testing.T) {
	endless := readerFunc(func(p []byte) (int, error) {
		for i := range p {
			p[i] = '['
		}
		return len(p), nil
	})
	r := probe.NewReader(endless)
	_, err := r.Next()
	if err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("endless output: %v", err)
	}
	if _, again := r.Next(); again == nil || again.Error() != err.Error() {
		t.Errorf("second call: %v, want the same error", again)
	}
	failure := errors.New("broken pipe")
	r = probe.NewReader(io.MultiReader(strings.NewReader(goodLine), iotest.ErrReader(failure)))
	if got, err := r.Next(); len(got) != 1 || err != nil {
		t.Errorf("first line: %v, %v", got, err)
	}
	if _, err := r.Next(); !errors.Is(err, failure) {
		t.Errorf("error %v, want %v", err, failure)
	}
	// However the bytes arrive.
	r = probe.NewReader(iotest.OneByteReader(strings.NewReader(goodLine + goodLine)))
	for range 2 {
		if got, err := r.Next(); len(got) != 1 || err != nil {
			t.Errorf("byte by byte: %v, %v", got, err)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestValue(t *testing.T) {
	good := probe.Result{Command: "stat", Args: []string{"/a"}, Value: &probe.Stat{Size: 3}}
	if stat, err := probe.Value[probe.Stat](good); err != nil || stat.Size != 3 {
		t.Errorf("%+v, %v", stat, err)
	}
	if _, err := probe.Value[probe.ID](good); err == nil || !strings.Contains(err.Error(), "probe.Stat") {
		t.Errorf("wrong type: %v", err)
	}
	refused := probe.Result{Command: "stat", Args: []string{"/a"}, Errno: "EACCES"}
	if _, err := probe.Value[probe.Stat](refused); !errors.Is(err, probe.Errno("EACCES")) {
		t.Errorf("refused: %v", err)
	}
	if _, err := probe.Value[probe.Stat](probe.Result{Command: "stat"}); err == nil {
		t.Error("no value: no error")
	}
}

func TestLine(t *testing.T) {
	for _, test := range []struct {
		commands [][]string
		want     []string
	}{
		{[][]string{{"id"}}, []string{"id"}},
		{[][]string{{"id"}, {"stat", "/w"}}, []string{"id", "+", "stat", "/w"}},
		{[][]string{{"args", "+", "++", "a+", ""}}, []string{"args", "++", "+++", "a+", ""}},
	} {
		if diff := cmp.Diff(test.want, probe.Line(test.commands...)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.commands, diff)
		}
	}
}

func TestSignalNames(t *testing.T) {
	for n := 1; n <= 64; n++ {
		name := probe.SignalName(n)
		if got, ok := probe.SignalNumber(name); !ok || got != n {
			t.Errorf("%d is %q is %d (%t)", n, name, got, ok)
		}
	}
	for name, want := range map[string]int{"SIGTERM": 15, "RTMIN": 34, "SIGRTMIN+3": 37, "RTMAX-1": 63, "RTMAX": 64} {
		if got, ok := probe.SignalNumber(name); !ok || got != want {
			t.Errorf("%s is %d (%t), want %d", name, got, ok, want)
		}
	}
	for _, name := range []string{"", "SIG", "term", "0", "65", "-1", "RTMIN3", "RTMIN-1", "RTMAX+1", "RTMIN+99999999999999999999"} {
		if got, ok := probe.SignalNumber(name); ok {
			t.Errorf("%q is %d, want none", name, got)
		}
	}
}

func TestPattern(t *testing.T) {
	whole, err := io.ReadAll(probe.Pattern(100_000))
	if err != nil || len(whole) != 100_000 {
		t.Fatalf("%d bytes, %v", len(whole), err)
	}
	if err := iotest.TestReader(probe.Pattern(1000), whole[:1000]); err != nil {
		t.Error(err)
	}
	for offset := 0; offset+32 <= len(whole); offset += 32 {
		if got, want := string(whole[offset:offset+32]), fmt.Sprintf("%031d\n", offset); got != want {
			t.Fatalf("line at %d is %q, want %q", offset, got, want)
		}
	}
}

func TestSyscallsAreSorted(t *testing.T) {
	names := probe.Syscalls()
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("names are not sorted and unique: %q", names)
	}
}

// FuzzLine: whatever the arguments are, the parser splits a line back into its commands.
func FuzzLine(f *testing.F) {
	f.Add("a\x00b\x01c")
	f.Add("+\x00++\x01\x01+a+\x00")
	f.Fuzz(func(t *testing.T, text string) {
		var commands [][]string
		var want []probe.Result
		for part := range strings.SplitSeq(text, "\x01") {
			args := strings.Split(strings.ToValidUTF8(part, "?"), "\x00")
			commands = append(commands, append([]string{"args"}, args...))
			want = append(want, probe.Result{Command: "args", Args: args, Value: &probe.Args{Args: args}})
		}
		got, code := run(t, refuses{}, commands...)
		if diff := cmp.Diff(want, got); diff != "" || code != 0 {
			t.Errorf("code %d (-want +got):\n%s", code, diff)
		}
	})
}

// FuzzRun: no command line makes the parser or an encoder fail, on a system without an operating system.
func FuzzRun(f *testing.F) {
	for name, args := range commandLines {
		f.Add(strings.Join(append([]string{name}, args...), "\x00"))
	}
	f.Add("id\x00+\x00stat\x00/\xff\x00+")
	f.Fuzz(func(t *testing.T, text string) {
		args := strings.Split(text, "\x00")
		// Commands that wait for a signal, print raw bytes or a great many are for other tests.
		for _, word := range []string{"hold", "trap", "ignore", "listen", "out", "err", "lines", "term", "cat", "help"} {
			if slices.Contains(args, word) {
				return
			}
		}
		var stdout, stderr bytes.Buffer
		code := probe.Run(t.Context(), refuses{}, args, nil, &stdout, &stderr)
		if code == probe.ExitFailure {
			t.Errorf("%q: %s", args, &stderr)
		}
		if _, err := probe.Decode(stdout.Bytes()); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	})
}

// FuzzDecode: what is decoded is written again byte for byte, and nothing else is taken.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(goodLine))
	for name, args := range commandLines {
		var stdout bytes.Buffer
		ctx := f.Context()
		if name == "hold" || name == "trap" || name == "ignore" || name == "listen" {
			continue
		}
		probe.Run(ctx, newModel(), append([]string{name}, args...), nil, &stdout, io.Discard)
		f.Add(stdout.Bytes())
	}
	f.Fuzz(func(t *testing.T, output []byte) {
		results, err := probe.Decode(output)
		if err != nil || len(results) == 0 {
			return
		}
		var again []byte
		r := probe.NewReader(bytes.NewReader(output))
		for {
			line, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			data, err := json.Marshal(line)
			if err != nil {
				t.Fatal(err)
			}
			again = append(append(again, data...), '\n')
		}
		if want := bytes.ReplaceAll(output, []byte("\r\n"), []byte("\n")); !bytes.Equal(again, want) {
			t.Errorf("%q was read as %q", want, again)
		}
	})
}
