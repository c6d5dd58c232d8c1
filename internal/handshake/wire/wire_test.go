// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berthrun/berth/internal/handshake/wire"
)

const nonce = "0123456789abcdef0123456789abcdef"

var messages = []wire.Message{
	{Config: &wire.Config{Version: 1, Nonce: nonce, Mounts: []wire.MountQuery{{Target: "/a b\n<ü>", Probe: true}}, TTL: time.Hour, StopSignal: 15, StopGrace: time.Second, ExitGrace: 1}},
	{Report: &wire.Report{Version: 1, Nonce: nonce, Groups: []int{1, 600000000}, CapBnd: 1<<63 | 1, Mounts: []wire.MountReport{
		{Target: "/x", Dev: 1<<64 - 1, Ino: 1<<64 - 1, Mode: 0o40777, Probe: &wire.ProbeReport{Name: "n", UID: 1}}, {Target: "/y", Error: "no"}}}},
	{Go: &wire.Go{}},
	{Abort: &wire.Abort{Reason: "why"}},
	{Started: &wire.Started{PID: 2}},
	{Failed: &wire.Failed{Code: 127, Message: "not found"}},
}

func TestRoundTrip(t *testing.T) {
	var stream strings.Builder
	for _, m := range messages {
		line, err := wire.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		stream.Write(line)
	}
	for name, r := range map[string]io.Reader{
		"whole": strings.NewReader(stream.String()),
		"bytes": iotest.OneByteReader(strings.NewReader(stream.String())),
	} {
		in := wire.NewReader(r, wire.MaxLine)
		for _, want := range messages {
			got, err := in.Read()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		if _, err := in.Read(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: at the end: got %v, want io.EOF", name, err)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, m := range map[string]wire.Message{"none": {}, "two": {Go: &wire.Go{}, Abort: &wire.Abort{}}} {
		if line, err := wire.Encode(m); !errors.Is(err, wire.ErrSyntax) {
			t.Errorf("%s: got %q, %v", name, line, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, line := range map[string]string{
		"empty":          ``,
		"space":          ` `,
		"null":           `null`,
		"number":         `1`,
		"string":         `"go"`,
		"array":          `[{"go":{}}]`,
		"nothing":        `{}`,
		"nullGo":         `{"go":null}`,
		"two":            `{"go":{},"abort":{"reason":""}}`,
		"unknown":        `{"stop":{}}`,
		"unknownInside":  `{"go":{"now":true}}`,
		"elsewhere":      `{"go":{"pid":1}}`,
		"case":           `{"GO":{}}`,
		"caseInside":     `{"started":{"Pid":1}}`,
		"kelvin":         `{"config":{"nonce":"x","mounts":[{"target":"/","probe":true,"\u212aind":1}]}}`,
		"longS":          `{"\u017ftarted":{"pid":1}}`,
		"twice":          `{"go":{},"go":{}}`,
		"twiceInside":    `{"started":{"pid":1,"pid":2}}`,
		"twiceInArray":   `{"config":{"mounts":[{"target":"/","target":"/etc"}]}}`,
		"trailing":       `{"go":{}}x`,
		"trailingObject": `{"go":{}}{"go":{}}`,
		"cut":            `{"started":{"pid":1}`,
		"comment":        `{"go":{}}//`,
		"type":           `{"started":{"pid":"1"}}`,
		"range":          `{"started":{"pid":1e99}}`,
		"negativeIno":    `{"report":{"mounts":[{"ino":-1}]}}`,
		"NUL":            "{\"go\":{}}\x00",
	} {
		t.Run(name, func(t *testing.T) {
			m, err := wire.Decode([]byte(line))
			if !errors.Is(err, wire.ErrSyntax) {
				t.Errorf("got %+v, %v; want ErrSyntax", m, err)
			}
		})
	}
}

func TestReaderBounds(t *testing.T) {
	line := `{"abort":{"reason":"` + strings.Repeat("x", 5000) + `"}}` + "\n"
	if _, err := wire.NewReader(strings.NewReader(line), len(line)).Read(); err != nil {
		t.Errorf("a line of the largest length: %v", err)
	}
	if _, err := wire.NewReader(strings.NewReader(line), len(line)-1).Read(); !errors.Is(err, wire.ErrTooLong) {
		t.Errorf("a line that is one byte too long: got %v", err)
	}
	if _, err := wire.NewReader(strings.NewReader(line[:100]), 4096).Read(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a line: got %v", err)
	}
	broken := errors.New("broken")
	if _, err := wire.NewReader(iotest.ErrReader(broken), 4096).Read(); !errors.Is(err, broken) {
		t.Errorf("a broken stream: got %v", err)
	}
}

// A report on as many mounts as a config may have fits in a line, with targets of
// ordinary length.
func TestMaxMountsFit(t *testing.T) {
	m := wire.MountReport{Target: "/" + strings.Repeat("x", 99), Dev: 1<<64 - 1, Ino: 1<<64 - 1, Mode: 1<<32 - 1, FSType: "overlay",
		Probe: &wire.ProbeReport{Name: wire.ProbeName(nonce, 999), Dev: 1<<64 - 1, Ino: 1<<64 - 1, UID: 1 << 32, GID: 1 << 32}}
	r := &wire.Report{Version: 1, Nonce: nonce, Groups: make([]int, 64)}
	for range wire.MaxMounts {
		r.Mounts = append(r.Mounts, m)
	}
	line, err := wire.Encode(wire.Message{Report: r})
	if err != nil || len(line) > wire.MaxLine {
		t.Errorf("%d bytes, %v", len(line), err)
	}
}

func TestPeekVersion(t *testing.T) {
	for line, want := range map[string]struct {
		version int
		ok      bool
	}{
		`{"config":{"version":2,"new":{"a":[]}},"more":1}`: {2, true},
		`{"config":{}}`:              {0, true},
		`{"go":{}}`:                  {0, false},
		`{"config":{"version":"2"}}`: {0, false},
		`nonsense`:                   {0, false},
	} {
		if v, ok := wire.PeekVersion([]byte(line)); v != want.version || ok != want.ok {
			t.Errorf("%s: got %d, %v", line, v, ok)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range messages {
		line, err := wire.Encode(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line[:len(line)-1])
	}
	f.Add([]byte(`{"go":{},"go":{}}`))
	f.Add([]byte(`{"\u0067o":{}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := wire.Decode(line)
		if err != nil {
			if !errors.Is(err, wire.ErrSyntax) || len(err.Error()) > 200 {
				t.Errorf("error %q", err)
			}
			return
		}
		if m.Kind() == "" {
			t.Fatal("accepted a message without a kind")
		}
		// What was accepted has one reading: it survives another round.
		again, err := wire.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		back, err := wire.Decode(again[:len(again)-1])
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		if diff := cmp.Diff(m, back); diff != "" {
			t.Errorf("(-first +second):\n%s", diff)
		}
	})
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("{\"go\":{}}\n{\"go\":{}}\n"), 64)
	f.Add([]byte(strings.Repeat("x", 10000)), 5000)
	f.Fuzz(func(t *testing.T, stream []byte, limit int) {
		if limit < 1 || limit > wire.MaxConfigLine {
			return
		}
		r := wire.NewReader(strings.NewReader(string(stream)), limit)
		for {
			line, err := r.ReadLine()
			if err != nil {
				return
			}
			if len(line) >= limit {
				t.Fatalf("a line of %d bytes with a limit of %d", len(line), limit)
			}
			if m, err := wire.Decode(line); err == nil && m.Config != nil {
				_ = m.Config.Check()
			}
		}
	})
}

func FuzzCleanText(f *testing.F) {
	f.Add("plain")
	f.Add("\x1b[31m\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := wire.CleanText(s)
		if len(got) > wire.MaxText || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q", got)
		}
	})
}
