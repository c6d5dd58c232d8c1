// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/docker/docker/api/types"
)

// stream is a connection that the engine has handed over to raw input and
// output.
type stream struct {
	net.Conn
	r *bufio.Reader
}

func (s *stream) Read(p []byte) (int, error) { return s.r.Read(p) }

// closeWrite ends the input and leaves the output open.
func (s *stream) closeWrite() error {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// hijack posts body to path and takes the connection over. The client library's
// own version neither ends with the context nor keeps status and text of a
// refusal. The context bounds the call, not the stream.
func (d *driver) hijack(ctx context.Context, path string, query url.Values, body any) (*stream, error) {
	if err := d.negotiate(ctx); err != nil {
		return nil, err
	}
	conn, err := d.cli.Dialer()(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	s, err := handOver(conn, d.base+"/v"+d.cli.ClientVersion()+path, query, body)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

func handOver(conn net.Conn, target string, query url.Values, body any) (*stream, error) {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequest(http.MethodPost, target, bytes.NewReader(data)) //nolint:noctx // the connection ends with the context
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "tcp")
	req.Header.Set("Content-Type", "application/json")
	if t, ok := conn.(*net.TCPConn); ok {
		_ = t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second})
	}
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(conn, 32<<10)
	resp, err := http.ReadResponse(r, req)
	if err != nil {
		return nil, err
	}
	// A success without a switch is how the oldest engines and some proxies answer.
	if resp.StatusCode != http.StatusSwitchingProtocols && resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, readStatus(resp.StatusCode, resp.Body)
	}
	return &stream{Conn: conn, r: r}, nil
}

// negotiate makes sure that the version of the API is agreed on.
func (d *driver) negotiate(ctx context.Context) error {
	d.mu.Lock()
	done := d.info != nil
	d.mu.Unlock()
	if done {
		return nil
	}
	ping, err := d.cli.Ping(ctx)
	if err != nil {
		return err
	}
	d.cli.NegotiateAPIVersionPing(types.Ping{APIVersion: ping.APIVersion})
	return nil
}

// frameHeader is the length of the header of each piece of a multiplexed
// stream: the stream's number, three zeros and a big-endian length.
const frameHeader = 8

// Stream numbers.
const (
	frameStdin  = 0
	frameStdout = 1
	frameStderr = 2
	frameError  = 3
)

// demux copies a multiplexed stream to its writers until it ends. It holds no
// frame in memory, whatever length a header claims. It goes on reading when a
// writer fails, so that the process is not blocked, and returns that error at
// the end. The end between two frames is no error.
func demux(r io.Reader, stdout, stderr io.Writer) error {
	out, err := &sink{w: stdout}, &sink{w: stderr}
	var header [frameHeader]byte
	for {
		if _, rerr := io.ReadFull(r, header[:]); rerr != nil {
			if errors.Is(rerr, io.EOF) {
				return errors.Join(out.err, err.err)
			}
			return rerr
		}
		to := out
		switch header[0] {
		case frameStdin, frameStdout:
		case frameStderr:
			to = err
		case frameError:
			text, _ := io.ReadAll(io.LimitReader(r, min(int64(binary.BigEndian.Uint32(header[4:])), 4<<10)))
			return fmt.Errorf("the engine ended the stream: %s", bytes.TrimSpace(text))
		default:
			return fmt.Errorf("the engine's stream is garbled: unknown stream number %d", header[0])
		}
		if _, rerr := io.CopyN(to, r, int64(binary.BigEndian.Uint32(header[4:]))); rerr != nil {
			if errors.Is(rerr, io.EOF) {
				return io.ErrUnexpectedEOF
			}
			return rerr
		}
	}
}

// sink writes until a write fails and then swallows.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	if s.w != nil && s.err == nil {
		_, s.err = s.w.Write(p)
	}
	return len(p), nil
}

// process is an attached main process or an exec.
type process struct {
	copied chan struct{} // closed when all output was written
	err    error         // of the copy; read after copied

	wait   func(ctx context.Context) (*backend.Exit, error)
	resize func(ctx context.Context, cols, rows uint16) error
	// again connects once more; nil for an exec.
	again  func(ctx context.Context) (*stream, error)
	cancel context.CancelFunc
	once   sync.Once

	mu   sync.Mutex
	exit *backend.Exit
	conn *stream
	// starting counts the starts under way. A start that fails makes the engine
	// drop its streams, so that their end tells nothing until it is over.
	starting int
	settled  *sync.Cond
	renewed  bool // conn is another one than that which ended
	input    *pump
}

var _ backend.Process = (*process)(nil)

// run starts the copying of the streams.
func (p *process) run(streams backend.Streams, tty bool) {
	p.copied = make(chan struct{})
	p.settled = sync.NewCond(&p.mu)
	if streams.Stdin != nil {
		p.input = newPump(p.conn, streams.Stdin)
	}
	go func() {
		defer close(p.copied)
		defer p.input.stop()
		for conn := p.conn; conn != nil && p.err == nil; conn = p.next() {
			if tty {
				out := &sink{w: streams.Stdout}
				if _, p.err = io.Copy(out, conn); p.err == nil {
					p.err = out.err
				}
			} else {
				p.err = demux(conn, streams.Stdout, streams.Stderr)
			}
			if errors.Is(p.err, net.ErrClosed) {
				p.err = nil // by Close, or for a new connection
			}
		}
	}()
}

// next returns the connection that took the place of the one that ended; nil
// when none did, and no start is under way that could bring one.
func (p *process) next() *stream {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.starting > 0 && !p.renewed {
		p.settled.Wait()
	}
	if !p.renewed {
		return nil
	}
	p.renewed = false
	return p.conn
}

// hold says that a start begins, release that it is over, and how.
func (p *process) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starting++
}

func (p *process) release(started bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starting--
	p.settled.Broadcast()
	if p.input != nil && started {
		p.input.settle()
	}
}

// renew connects again after a start that failed and before the next try.
func (p *process) renew(ctx context.Context) error {
	conn, err := p.again(ctx)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn.Close()
	p.conn, p.renewed = conn, true
	p.settled.Broadcast()
	if p.input != nil {
		p.input.redirect(conn)
	}
	return nil
}

// Wait returns when process and output have ended.
func (p *process) Wait(ctx context.Context) (*backend.Exit, error) {
	exit, err := p.wait(ctx)
	if err != nil {
		return nil, err
	}
	select {
	case <-p.copied:
		return exit, p.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Resize sets the terminal's size.
func (p *process) Resize(ctx context.Context, cols, rows uint16) error {
	return p.resize(ctx, cols, rows)
}

// Close drops the connection.
func (p *process) Close() error {
	p.once.Do(func() {
		if p.cancel != nil {
			p.cancel()
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.conn.Close()
	})
	return nil
}

// pumpLimit bounds the input that is kept until the first start has succeeded.
// The engine takes none before, so that it is what the connection's buffers
// hold.
const pumpLimit = 8 << 20

// pump copies the caller's input to the connection, and keeps what it sent until
// it is told that the process runs, to send it again on a new connection.
type pump struct {
	mu   sync.Mutex
	conn *stream
	sent []byte
	keep bool
	over bool // the input has ended

	renewed chan *stream
	done    chan struct{}
}

func newPump(conn *stream, from io.Reader) *pump {
	p := &pump{conn: conn, keep: true, renewed: make(chan *stream, 1), done: make(chan struct{})}
	chunks := make(chan []byte)
	go func() {
		defer close(chunks)
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				select {
				case chunks <- bytes.Clone(buf[:n]):
				case <-p.done:
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	go p.loop(chunks)
	return p
}

// loop is the only writer to the connections. Failures to write are not its
// business: that the process has ended is told elsewhere.
func (p *pump) loop(chunks <-chan []byte) {
	for {
		select {
		case <-p.done:
			return
		case conn := <-p.renewed:
			p.mu.Lock()
			p.conn = conn
			again, over := p.sent, p.over
			p.mu.Unlock()
			_, _ = conn.Write(again)
			if over {
				_ = conn.closeWrite()
			}
		case data, ok := <-chunks:
			p.mu.Lock()
			conn := p.conn
			if p.keep && len(p.sent)+len(data) <= pumpLimit {
				p.sent = append(p.sent, data...)
			}
			p.over = !ok
			p.mu.Unlock()
			if ok {
				_, _ = conn.Write(data)
				continue
			}
			_ = conn.closeWrite()
			chunks = nil
		}
	}
}

// redirect sends what was sent, and what follows, to conn.
func (p *pump) redirect(conn *stream) {
	select {
	case <-p.renewed: // a newer one takes its place
	default:
	}
	p.renewed <- conn
}

// settle forgets what was sent: the process runs, no new connection will come.
func (p *pump) settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keep, p.sent = false, nil
}

// stop ends the pump. A nil pump has nothing to end.
func (p *pump) stop() {
	if p != nil {
		close(p.done)
	}
}

// notStarted is how the engine's text about an exec begins that runc could not
// start. It arrives in place of the command's output.
const notStarted = "OCI runtime exec failed"

// startExit is the exit code of a command that could not be started.
func startExit(text string) int {
	if strings.Contains(text, "executable file not found") || strings.Contains(text, "no such file or directory") && !strings.Contains(text, "chdir") {
		return 127
	}
	return 126
}
