// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// Names of the environment variables that tell a test where its engine is.
// `engines run` sets all of them, and DOCKER_HOST as well.
const (
	EnvDockerHost    = "BERTH_TEST_DOCKER_HOST"      // unix:// URL, reachable from every network namespace
	EnvDockerTLSHost = "BERTH_TEST_DOCKER_TLS_HOST"  // tcp:// URL, reachable inside the engine's namespace only
	EnvDockerCert    = "BERTH_TEST_DOCKER_CERT_PATH" // directory with ca.pem, cert.pem and key.pem for the TLS URL
	EnvNetns         = "BERTH_TEST_NETNS"            // path of the engine's network namespace
	EnvOutside       = "BERTH_TEST_OUTSIDE"          // IPv4 address of the peer that stands for the internet
	EnvOutsideNetns  = "BERTH_TEST_OUTSIDE_NETNS"    // path of that peer's network namespace
	EnvOutsideBody   = "BERTH_TEST_OUTSIDE_BODY"     // what the peer answers to GET / on port 80
	EnvControl       = "BERTH_TEST_CONTROL"          // unix socket that stops and starts the engine
	EnvDir           = "BERTH_TEST_ENGINE_DIR"       // the engine's directory: logs, sockets, roots
	EnvRequire       = "BERTH_TEST_REQUIRE"          // "1": an engine was promised, so a test that finds none must fail
)

// OutsideName is the host name that the engine's default DNS server, which is
// the outside peer, resolves to the peer's address. It answers NXDOMAIN to
// every other name.
const OutsideName = "outside.berth.test"

// MetadataAddress is the address of the cloud metadata service. The outside
// peer listens on it too, so that a test of "must not be reachable" can fail.
const MetadataAddress = "169.254.169.254"

// Endpoint says how to reach one engine and its surroundings. The zero value
// reaches nothing.
type Endpoint struct {
	Dir          string `json:"dir"`
	Host         string `json:"host"`
	TLSHost      string `json:"tlsHost"`
	CertPath     string `json:"certPath"`
	Netns        string `json:"netns"`
	Outside      string `json:"outside"`
	OutsideNetns string `json:"outsideNetns"`
	OutsideBody  string `json:"outsideBody"`
	Control      string `json:"control"`
}

// Environ returns the variables that hand the endpoint to another process, as
// KEY=VALUE. DOCKER_HOST is among them, so that docker's own command line
// finds the engine too.
func (e Endpoint) Environ() []string {
	return []string{
		"DOCKER_HOST=" + e.Host,
		EnvDockerHost + "=" + e.Host,
		EnvDockerTLSHost + "=" + e.TLSHost,
		EnvDockerCert + "=" + e.CertPath,
		EnvNetns + "=" + e.Netns,
		EnvOutside + "=" + e.Outside,
		EnvOutsideNetns + "=" + e.OutsideNetns,
		EnvOutsideBody + "=" + e.OutsideBody,
		EnvControl + "=" + e.Control,
		EnvDir + "=" + e.Dir,
		EnvRequire + "=1",
	}
}

// Client asks the process that owns an engine to do something to it. It is
// safe for concurrent use, but the engine is shared: whoever stops it stops it
// for every test that uses it.
type Client struct {
	Endpoint
}

// FromEnv returns a client for the engine that `engines run` or `engines env`
// described in the environment, and false when there is none.
func FromEnv() (*Client, bool) {
	c := &Client{Endpoint{
		Dir:          os.Getenv(EnvDir),
		Host:         os.Getenv(EnvDockerHost),
		TLSHost:      os.Getenv(EnvDockerTLSHost),
		CertPath:     os.Getenv(EnvDockerCert),
		Netns:        os.Getenv(EnvNetns),
		Outside:      os.Getenv(EnvOutside),
		OutsideNetns: os.Getenv(EnvOutsideNetns),
		OutsideBody:  os.Getenv(EnvOutsideBody),
		Control:      os.Getenv(EnvControl),
	}}
	return c, c.Host != "" && c.Control != ""
}

// NeedDocker returns the client of the docker engine that was started for this
// test run and fails the test when there is none: a test that needs an engine
// must never pass without one. When the test ends it starts the engine again
// if the test left it stopped.
func NeedDocker(t testing.TB) *Client {
	t.Helper()
	c, ok := FromEnv()
	if !ok {
		t.Fatal("no engine: run `make test`, or `make engines` and `eval \"$(bin/engines env)\"`")
	}
	t.Cleanup(func() {
		// t.Context() is already cancelled in a cleanup function.
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if err := c.Start(ctx); err != nil {
			t.Errorf("start the engine again after the test: %v", err)
		}
	})
	return c
}

// Start starts dockerd if it does not run and returns when it answers.
func (c *Client) Start(ctx context.Context) error { return c.do(ctx, "start", nil) }

// Stop ends dockerd the way an init system does, with SIGTERM, and returns
// when it is gone. Its containerd keeps running, as on a real host. Stopping a
// stopped engine does nothing.
func (c *Client) Stop(ctx context.Context) error { return c.do(ctx, "stop", nil) }

// Kill ends dockerd with SIGKILL. Running containers survive it.
func (c *Client) Kill(ctx context.Context) error { return c.do(ctx, "kill", nil) }

// Restart is Stop and then Start.
func (c *Client) Restart(ctx context.Context) error { return c.do(ctx, "restart", nil) }

// Snapshot returns what exists in the engine and around it right now.
func (c *Client) Snapshot(ctx context.Context) (*Snapshot, error) {
	s := new(Snapshot)
	if err := c.do(ctx, "snapshot", s); err != nil {
		return nil, err
	}
	return s, nil
}

// shutdown asks the owner to tear the engine down and end. It returns when
// the request was taken, which is before the engine is gone.
func (c *Client) shutdown(ctx context.Context) error { return c.do(ctx, "shutdown", nil) }

// Ready returns nil when the process that owns the engine answers.
func (c *Client) Ready(ctx context.Context) error { return c.do(ctx, "ping", nil) }

// do sends one line "VERB docker" and reads one line back: "ok", "ok JSON" or
// "error JSON-STRING".
func (c *Client) do(ctx context.Context, verb string, out any) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.Control)
	if err != nil {
		return fmt.Errorf("ask the harness to %s docker: %w", verb, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if _, err = fmt.Fprintf(conn, "%s docker\n", verb); err == nil {
		var line string
		if line, err = bufio.NewReader(conn).ReadString('\n'); err == nil {
			return parseReply(line, out)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("ask the harness to %s docker: %w", verb, err)
}

func parseReply(line string, out any) error {
	word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
	switch word {
	case "ok":
		if out == nil {
			return nil
		}
		if err := json.Unmarshal([]byte(rest), out); err != nil {
			return fmt.Errorf("read the harness's answer: %w", err)
		}
		return nil
	case "error":
		var msg string
		if err := json.Unmarshal([]byte(rest), &msg); err != nil {
			return fmt.Errorf("read the harness's answer %q: %w", line, err)
		}
		return errors.New(msg)
	}
	return fmt.Errorf("the harness answered %q: want ok or error", line)
}
