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
	conn   *stream
	copied chan struct{} // closed when all output was written
	err    error         // of the copy; read after copied

	wait   func(ctx context.Context) (*backend.Exit, error)
	resize func(ctx context.Context, cols, rows uint16) error
	cancel context.CancelFunc
	once   sync.Once

	mu   sync.Mutex
	exit *backend.Exit
}

var _ backend.Process = (*process)(nil)

// run starts the copying of the streams.
func (p *process) run(streams backend.Streams, tty bool) {
	p.copied = make(chan struct{})
	go func() {
		defer close(p.copied)
		if tty {
			out := &sink{w: streams.Stdout}
			if _, p.err = io.Copy(out, p.conn); p.err == nil {
				p.err = out.err
			}
		} else {
			p.err = demux(p.conn, streams.Stdout, streams.Stderr)
		}
		if errors.Is(p.err, net.ErrClosed) {
			p.err = nil // Close was called
		}
	}()
	if streams.Stdin != nil {
		go func() {
			_, _ = io.Copy(p.conn, streams.Stdin)
			_ = p.conn.closeWrite()
		}()
	}
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
		p.conn.Close()
	})
	return nil
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
