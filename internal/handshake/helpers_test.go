// SPDX-License-Identifier: Apache-2.0

package handshake_test

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/berthrun/berth/internal/handshake/wire"
)

const nonce = "0123456789abcdef0123456789abcdef"

// exactly is for errors that must pass as they are, not wrapped.
func exactly(err, want error) bool { return err == want }

func itoa(n int) string { return strconv.Itoa(n) }

// TestMain lets the test binary be a stranger that connects to a socket.
func TestMain(m *testing.M) {
	if path := os.Getenv("BERTH_TEST_CONNECT"); path != "" {
		dir, err := os.Open(filepath.Dir(path))
		if err != nil {
			os.Exit(3)
		}
		c, err := net.Dial("unix", filepath.Join("/proc/self/fd", itoa(int(dir.Fd())), filepath.Base(path)))
		if err != nil {
			os.Exit(4)
		}
		os.Stdout.WriteString("connected\n")
		io.Copy(io.Discard, os.Stdin)
		c.Close()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// connectFromChild connects to a socket from another process, which keeps the
// connection until the test ends, and returns that process' id.
func connectFromChild(t *testing.T, path string) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "BERTH_TEST_CONNECT="+path)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

// fakeInit answers a config with a correct report and a go with last.
func fakeInit(t *testing.T, c io.ReadWriteCloser, last wire.Message) {
	defer c.Close()
	r := wire.NewReader(c, wire.MaxConfigLine)
	m, err := r.Read()
	if err != nil || m.Config == nil {
		t.Errorf("init wanted config, got %q, %v", m.Kind(), err)
		return
	}
	send(t, c, wire.Message{Report: reportFor(m.Config)})
	if m, err = r.Read(); err != nil || m.Go == nil {
		return
	}
	send(t, c, last)
}

func reportFor(cfg *wire.Config) *wire.Report {
	r := &wire.Report{Version: cfg.Version, Nonce: cfg.Nonce, AgentVersion: "test", PID: 1, Groups: []int{}}
	for _, q := range cfg.Mounts {
		r.Mounts = append(r.Mounts, wire.MountReport{Target: q.Target})
	}
	return r
}

func send(t *testing.T, w io.Writer, m wire.Message) {
	line, err := wire.Encode(m)
	if err != nil {
		t.Error(err)
		return
	}
	w.Write(line)
}
