// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
)

// control lets tests in other processes stop and start the engine.
type control struct {
	l        net.Listener
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	shutdown chan struct{}
	once     sync.Once
}

func serveControl(d *Docker) (*control, error) {
	l, err := net.Listen("unix", d.endpoint.Control)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(d.endpoint.Control, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &control{l: l, cancel: cancel, shutdown: make(chan struct{})}
	c.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.wg.Go(func() { c.serve(ctx, d, conn) })
		}
	})
	return c, nil
}

func (c *control) close() {
	c.cancel()
	_ = c.l.Close()
	c.wg.Wait()
}

// serve answers the requests of one connection, one line each.
func (c *control) serve(ctx context.Context, d *Docker, conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	for sc := bufio.NewScanner(conn); sc.Scan(); {
		reply := "ok"
		out, err := c.handle(ctx, d, sc.Text())
		var b []byte
		if err != nil {
			reply = "error"
			b, _ = json.Marshal(err.Error())
		} else if out != nil {
			b, _ = json.Marshal(out)
		}
		if b != nil {
			reply += " " + string(b)
		}
		if _, err := fmt.Fprintln(conn, reply); err != nil {
			return
		}
		if sc.Text() == "shutdown docker" {
			// After the reply: what follows closes this connection.
			c.once.Do(func() { close(c.shutdown) })
		}
	}
}

func (c *control) handle(ctx context.Context, d *Docker, line string) (any, error) {
	verb, what, _ := strings.Cut(line, " ")
	if what != "docker" {
		return nil, fmt.Errorf("request %q: want VERB docker", line)
	}
	switch verb {
	case "ping", "shutdown":
		return nil, nil
	case "start":
		return nil, d.Resume(ctx)
	case "stop":
		return nil, d.Halt(ctx)
	case "kill":
		return nil, d.Kill()
	case "restart":
		return nil, d.Restart(ctx)
	case "snapshot":
		s, err := d.Snapshot(ctx)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	return nil, fmt.Errorf("request %q: the verbs are ping, start, stop, kill, restart, snapshot, shutdown", line)
}

// ShutdownRequested is closed when a client asked for the engine to be torn
// down. Whoever owns the engine then calls Stop.
func (d *Docker) ShutdownRequested() <-chan struct{} { return d.control.shutdown }
