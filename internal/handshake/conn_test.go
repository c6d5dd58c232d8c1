// SPDX-License-Identifier: Apache-2.0

package handshake_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berthrun/berth/internal/handshake"
	"github.com/berthrun/berth/internal/handshake/wire"
)

// pipe returns the host's Conn and init's end of one stream.
func pipe(t testing.TB) (*handshake.Conn, net.Conn) {
	t.Helper()
	host, peer := net.Pipe()
	c := handshake.NewConn(host)
	t.Cleanup(func() {
		c.Close()
		peer.Close()
	})
	return c, peer
}

var config = handshake.Config{Nonce: nonce, Mounts: []handshake.MountQuery{{Target: "/w", Probe: true}, {Target: "/r"}}}

// goodReport is a correct answer to config, as the text that init sends.
const goodReport = `{"report":{"version":1,"nonce":"` + nonce + `","agentVersion":"v1","pid":1,"uid":1000,"gid":1000,"groups":[],"noNewPrivs":true,"seccomp":2,` +
	`"capEff":0,"capPrm":0,"capInh":0,"capBnd":0,"capAmb":0,"mounts":[` +
	`{"target":"/w","dev":1,"ino":2,"mode":16895,"readOnly":false,"fsType":"ext4","probe":{"name":".berth-` + nonce + `-0","dev":1,"ino":3,"uid":1000,"gid":1000}},` +
	`{"target":"/r","dev":1,"ino":4,"mode":16895,"readOnly":true,"fsType":"ext4"}]}}` + "\n"

// answer plays an init that reads a line and sends text, for each text in turn,
// and then waits for the host to close.
func answer(peer net.Conn, texts ...string) {
	r := wire.NewReader(peer, wire.MaxConfigLine)
	for _, text := range texts {
		if _, err := r.ReadLine(); err != nil {
			return
		}
		if _, err := io.WriteString(peer, text); err != nil {
			return
		}
	}
	io.Copy(io.Discard, peer)
}

func TestConn(t *testing.T) {
	c, peer := pipe(t)
	go answer(peer, goodReport, `{"started":{"pid":7}}`+"\n")
	r, err := c.Negotiate(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	want := &handshake.Report{Version: 1, Nonce: nonce, AgentVersion: "v1", PID: 1, UID: 1000, GID: 1000, Groups: []int{}, NoNewPrivs: true, Seccomp: 2,
		Mounts: []handshake.MountReport{
			{Target: "/w", Dev: 1, Ino: 2, Mode: 0o40777, FSType: "ext4", Probe: &handshake.ProbeReport{Name: handshake.ProbeName(nonce, 0), Dev: 1, Ino: 3, UID: 1000, GID: 1000}},
			{Target: "/r", Dev: 1, Ino: 4, Mode: 0o40777, ReadOnly: true, FSType: "ext4"},
		}}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	s, err := c.Go(t.Context())
	if err != nil || s.PID != 7 {
		t.Errorf("go: %v, %v", s, err)
	}
	if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection is open after go: %v", err)
	}
}

// Everything that a sandbox may send in place of a report. The connection must be
// closed and the error of the right kind, and it must be short and printable.
func TestHostileReport(t *testing.T) {
	swap := func(old, with string) string {
		s := strings.Replace(goodReport, old, with, 1)
		if s == goodReport {
			t.Fatalf("%q is not in the report", old)
		}
		return s
	}
	name := handshake.ProbeName(nonce, 0)
	for test, text := range map[string]string{
		"otherNonce":       swap(nonce, strings.Repeat("f", 32)),
		"otherVersion":     swap(`"version":1`, `"version":2`),
		"noVersion":        swap(`"version":1,`, ``),
		"extraField":       swap(`"uid":1000`, `"uid":1000,"trusted":true`),
		"extraInMount":     swap(`"fsType":"ext4"`, `"fsType":"ext4","owner":0`),
		"extraMessage":     swap(`{"report"`, `{"started":{"pid":1},"report"`),
		"fieldElsewhere":   swap(`"uid":1000`, `"uid":1000,"target":"/w"`),
		"wrongCase":        swap(`"uid":1000`, `"UID":1000`),
		"duplicate":        swap(`"uid":1000`, `"uid":0,"uid":1000`),
		"duplicateReport":  strings.Replace(goodReport, "}}\n", `},"report":{"uid":0}}`+"\n", 1),
		"twoValues":        swap("}}\n", "}}{}\n"),
		"notJSON":          "\x1b[2J\x1b]0;owned\x07\n",
		"badJSON":          goodReport[:len(goodReport)-3] + "\n",
		"array":            "[" + strings.TrimSpace(goodReport) + "]\n",
		"null":             "null\n",
		"empty":            "\n",
		"emptyObject":      "{}\n",
		"nullReport":       `{"report":null}` + "\n",
		"unknownType":      `{"exec":{"cmd":"id"}}` + "\n",
		"started":          `{"started":{"pid":7}}` + "\n",
		"config":           `{"config":{"version":1,"nonce":""}}` + "\n",
		"uidString":        swap(`"uid":1000`, `"uid":"1000"`),
		"uidNegative":      swap(`"uid":1000`, `"uid":-1`),
		"uidHuge":          swap(`"uid":1000`, `"uid":99999999999999999999`),
		"uidFraction":      swap(`"uid":1000`, `"uid":0.5`),
		"pidZero":          swap(`"pid":1`, `"pid":0`),
		"seccomp":          swap(`"seccomp":2`, `"seccomp":7`),
		"otherTarget":      swap(`"/w"`, `"/etc"`),
		"mountsSwapped":    swap(`"/w"`, `"/r"`),
		"missingMount":     swap(`,{"target":"/r","dev":1,"ino":4,"mode":16895,"readOnly":true,"fsType":"ext4"}`, ``),
		"moreMounts":       swap(`"mounts":[`, `"mounts":[{"target":"/w","dev":1,"ino":2,"mode":1,"readOnly":false,"fsType":""},`),
		"probeTraversal":   swap(name, "../../../etc/shadow"),
		"probeSlash":       swap(name, name+"/x"),
		"probeOfOther":     swap(name, handshake.ProbeName(nonce, 1)),
		"probeUnasked":     swap(`"ino":4,"mode":16895,"readOnly":true,"fsType":"ext4"`, `"ino":4,"mode":16895,"readOnly":true,"fsType":"ext4","probe":{"name":"`+handshake.ProbeName(nonce, 1)+`","dev":1,"ino":3,"uid":0,"gid":0}`),
		"failedCode":       `{"failed":{"code":0,"message":"fine"}}` + "\n",
		"failedCode2":      `{"failed":{"code":-126,"message":"fine"}}` + "\n",
		"tooLong":          swap(`"v1"`, `"`+strings.Repeat("v", wire.MaxLine)+`"`),
		"deep":             strings.Repeat("[", 30000) + "\n",
		"deepInside":       swap(`"groups":[]`, `"groups":`+strings.Repeat("[", 30000)),
		"manyGroupsBroken": swap(`"groups":[]`, `"groups":[`+strings.Repeat("0,", 20000)+`"x"]`),
	} {
		t.Run(test, func(t *testing.T) {
			c, peer := pipe(t)
			go answer(peer, text)
			r, err := c.Negotiate(t.Context(), config)
			if !errors.Is(err, handshake.ErrProtocol) {
				t.Errorf("got %+v, %v; want ErrProtocol", r, err)
			}
			if err != nil && (len(err.Error()) > 300 || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' })) {
				t.Errorf("the error repeats what the sandbox sent: %q", err)
			}
			if _, err := c.Go(t.Context()); !errors.Is(err, handshake.ErrOrder) {
				t.Errorf("go after a refused report: got %v, want ErrOrder", err)
			}
			if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("the connection is still open: %v", err)
			}
		})
	}
}

// A line without end must not fill the memory or hold the caller.
func TestEndlessLine(t *testing.T) {
	c, peer := pipe(t)
	sent := make(chan int64, 1)
	go func() {
		wire.NewReader(peer, wire.MaxConfigLine).ReadLine()
		n, _ := io.Copy(peer, forever{})
		sent <- n
	}()
	if _, err := c.Negotiate(t.Context(), config); !errors.Is(err, handshake.ErrProtocol) || !errors.Is(err, wire.ErrTooLong) {
		t.Errorf("got %v, want ErrProtocol for a line that is too long", err)
	}
	if n := <-sent; n > 2*wire.MaxLine {
		t.Errorf("read %d bytes", n)
	}
}

type forever struct{}

func (forever) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// drip sends one byte at a time: a deadline for each read would never be reached.
func TestSlowPeer(t *testing.T) {
	c, peer := pipe(t)
	c.Timeout = 100 * time.Millisecond
	go func() {
		wire.NewReader(peer, wire.MaxConfigLine).ReadLine()
		for {
			if _, err := io.WriteString(peer, " "); err != nil {
				return
			}
			<-time.After(time.Millisecond)
		}
	}()
	start := time.Now()
	if _, err := c.Negotiate(t.Context(), config); !errors.Is(err, handshake.ErrTimeout) {
		t.Errorf("got %v, want ErrTimeout", err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestTextsAreCleaned(t *testing.T) {
	evil := "\x1b[31mred\x07 \u202egnp.exe\xff " + strings.Repeat("a", 5000)
	t.Run("failed", func(t *testing.T) {
		c, peer := pipe(t)
		line, err := wire.Encode(wire.Message{Failed: &wire.Failed{Code: 126, Message: evil}})
		if err != nil {
			t.Fatal(err)
		}
		go answer(peer, goodReport, string(line))
		if _, err := c.Negotiate(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		_, err = c.Go(t.Context())
		var failed *handshake.FailedError
		if !errors.As(err, &failed) || failed.Code != 126 {
			t.Fatalf("got %v, want a failure with 126", err)
		}
		checkClean(t, failed.Message)
	})
	t.Run("report", func(t *testing.T) {
		c, peer := pipe(t)
		m, err := wire.Decode([]byte(strings.TrimSpace(goodReport)))
		if err != nil {
			t.Fatal(err)
		}
		m.Report.AgentVersion = evil
		m.Report.Mounts[0].Error, m.Report.Mounts[0].FSType, m.Report.Mounts[0].Probe.Error = evil, evil, evil
		line, err := wire.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		go answer(peer, string(line))
		r, err := c.Negotiate(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{r.AgentVersion, r.Mounts[0].Error, r.Mounts[0].FSType, r.Mounts[0].Probe.Error} {
			checkClean(t, s)
		}
	})
}

func checkClean(t *testing.T, s string) {
	t.Helper()
	if len(s) > wire.MaxText || !strings.HasPrefix(s, "?[31mred? ") || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("not cleaned: %d bytes, %.60q", len(s), s)
	}
}

func TestGoAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"report again": {goodReport, handshake.ErrProtocol},
		"pid":          {`{"started":{"pid":0}}` + "\n", handshake.ErrProtocol},
		"noPid":        {`{"started":{}}` + "\n", handshake.ErrProtocol},
		"half":         {`{"started":{"pid":`, handshake.ErrTimeout},
		"silence":      {``, handshake.ErrTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			conn, peer := pipe(t)
			conn.Timeout = 100 * time.Millisecond
			go answer(peer, goodReport, c.text)
			if _, err := conn.Negotiate(t.Context(), config); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Go(t.Context()); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	t.Run("gone", func(t *testing.T) {
		conn, peer := pipe(t)
		go func() {
			r := wire.NewReader(peer, wire.MaxConfigLine)
			r.ReadLine()
			io.WriteString(peer, goodReport)
			r.ReadLine()
			peer.Close()
		}()
		if _, err := conn.Negotiate(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Go(t.Context()); !errors.Is(err, handshake.ErrGone) {
			t.Errorf("got %v, want ErrGone", err)
		}
	})
	t.Run("half then gone", func(t *testing.T) {
		conn, peer := pipe(t)
		go func() {
			r := wire.NewReader(peer, wire.MaxConfigLine)
			r.ReadLine()
			io.WriteString(peer, goodReport[:40])
			peer.Close()
		}()
		if _, err := conn.Negotiate(t.Context(), config); !errors.Is(err, handshake.ErrProtocol) {
			t.Errorf("got %v, want ErrProtocol", err)
		}
	})
}

func TestAbort(t *testing.T) {
	t.Run("waits for the end", func(t *testing.T) {
		c, peer := pipe(t)
		removed := false
		go func() {
			r := wire.NewReader(peer, wire.MaxConfigLine)
			r.ReadLine()
			io.WriteString(peer, goodReport)
			if m, err := r.Read(); err != nil || m.Abort == nil || m.Abort.Reason != "wrong owner" {
				t.Errorf("init got %q, %v", m.Kind(), err)
			}
			<-time.After(20 * time.Millisecond)
			removed = true
			peer.Close()
		}()
		if _, err := c.Negotiate(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		if err := c.Abort(t.Context(), "wrong owner"); err != nil {
			t.Error(err)
		}
		if !removed {
			t.Error("abort returned before init had removed its probe files")
		}
		if err := c.Abort(t.Context(), "again"); err != nil {
			t.Errorf("second abort: %v", err)
		}
	})
	t.Run("init stays", func(t *testing.T) {
		c, peer := pipe(t)
		c.Timeout = 50 * time.Millisecond
		go answer(peer, goodReport)
		if _, err := c.Negotiate(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		if err := c.Abort(t.Context(), "no"); !errors.Is(err, handshake.ErrTimeout) {
			t.Errorf("got %v, want ErrTimeout", err)
		}
	})
	t.Run("init answers", func(t *testing.T) {
		c, peer := pipe(t)
		go answer(peer, goodReport, `{"started":{"pid":3}}`+"\n")
		if _, err := c.Negotiate(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		if err := c.Abort(t.Context(), "no"); !errors.Is(err, handshake.ErrProtocol) {
			t.Errorf("got %v, want ErrProtocol", err)
		}
	})
}

func TestContextPassesAsItIs(t *testing.T) {
	for name, step := range map[string]func(context.Context, *handshake.Conn) error{
		"negotiate": func(ctx context.Context, c *handshake.Conn) error { _, err := c.Negotiate(ctx, config); return err },
		"abort":     func(ctx context.Context, c *handshake.Conn) error { return c.Abort(ctx, "no") },
	} {
		t.Run(name, func(t *testing.T) {
			c, peer := pipe(t)
			go io.Copy(io.Discard, peer)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(20*time.Millisecond, cancel)
			if err := step(ctx, c); !exactly(err, context.Canceled) {
				t.Errorf("got %v, want %v as it is", err, context.Canceled)
			}
			if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("the connection is still open: %v", err)
			}
		})
	}
	t.Run("ended before", func(t *testing.T) {
		c, _ := pipe(t) // nobody reads
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Negotiate(ctx, config); !exactly(err, context.Canceled) {
			t.Errorf("got %v, want %v as it is", err, context.Canceled)
		}
	})
}

// endsWithAnswer is a stream on which the context ends just before each answer is
// read: a command that is over at once ends its sandbox so.
type endsWithAnswer struct {
	net.Conn
	end func()
}

func (e endsWithAnswer) Read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	e.end()
	return n, err
}

func TestAnswerCountsWhenTheContextEndsWithIt(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		check func(*handshake.Started, error) bool
	}{
		"started": {`{"started":{"pid":7}}` + "\n", func(s *handshake.Started, err error) bool { return err == nil && s.PID == 7 }},
		"failed": {`{"failed":{"code":127,"message":"no"}}` + "\n", func(_ *handshake.Started, err error) bool {
			failed, ok := errors.AsType[*handshake.FailedError](err)
			return ok && failed.Code == 127
		}},
	} {
		t.Run(name, func(t *testing.T) {
			host, peer := net.Pipe()
			defer peer.Close()
			end := func() {}
			conn := handshake.NewConn(endsWithAnswer{host, func() { end() }})
			go answer(peer, goodReport, c.text)
			if _, err := conn.Negotiate(t.Context(), config); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			end = cancel
			if s, err := conn.Go(ctx); !c.check(s, err) {
				t.Errorf("got %+v, %v", s, err)
			}
		})
	}
}

func TestOrder(t *testing.T) {
	c, peer := pipe(t)
	if _, err := c.Go(t.Context()); !errors.Is(err, handshake.ErrOrder) {
		t.Errorf("go first: got %v", err)
	}
	for _, bad := range []handshake.Config{
		{},
		{Nonce: strings.Repeat("G", 32)},
		{Nonce: nonce, Mounts: []handshake.MountQuery{{Target: "w"}}},
		{Nonce: nonce, TTL: -1},
		{Nonce: nonce, Mounts: make([]handshake.MountQuery, wire.MaxMounts+1)},
	} {
		if _, err := c.Negotiate(t.Context(), bad); err == nil {
			t.Errorf("config %+v was sent", bad)
		}
	}
	// None of these closed the connection or sent anything.
	go answer(peer, goodReport)
	if _, err := c.Negotiate(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Negotiate(t.Context(), config); !errors.Is(err, handshake.ErrOrder) {
		t.Errorf("second negotiate: got %v", err)
	}
}

func TestNewNonce(t *testing.T) {
	a, b := handshake.NewNonce(), handshake.NewNonce()
	if !wire.ValidNonce(a) || a == b {
		t.Errorf("nonces %q and %q", a, b)
	}
}

func FuzzNegotiate(f *testing.F) {
	f.Add([]byte(goodReport))
	f.Add([]byte(`{"failed":{"code":127,"message":"no"}}` + "\n"))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, peer := pipe(t)
		go func() {
			wire.NewReader(peer, wire.MaxConfigLine).ReadLine()
			peer.Write(data)
			peer.Close()
		}()
		r, err := c.Negotiate(t.Context(), config)
		if err != nil {
			return
		}
		// What gets through is for this hand-shake and names only our own files.
		if r.Nonce != nonce || r.Version != handshake.Version || len(r.Mounts) != len(config.Mounts) {
			t.Errorf("accepted %+v", r)
		}
		for i, m := range r.Mounts {
			if m.Target != config.Mounts[i].Target || m.Probe != nil && m.Probe.Name != handshake.ProbeName(nonce, i) {
				t.Errorf("accepted mount %+v", m)
			}
		}
	})
}

func ExampleVerify() {
	r := &handshake.Report{Mounts: []handshake.MountReport{{Target: "/workspace", Dev: 0x801, Ino: 12, ReadOnly: true}}}
	err := handshake.Verify(r, handshake.Expect{UID: 1000, GID: 1000, Mounts: []handshake.MountExpect{
		{Target: "/workspace", Compare: true, Dev: 0x801, Ino: 11},
		{Target: "/data", ReadOnly: true},
	}}, nil)
	fmt.Println(strings.ReplaceAll(err.Error(), "; ", "\n"))
	// Output:
	// mount /workspace: inode 12 inside, 11 on the host: the engine mounted something else
	// mount /workspace: it must be writable and is read-only
	// mount /data: init did not report it
}
