// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
)

func bindingTests() []Test {
	tcp := needs(backend.NetIsolated, backend.BindTCP)
	here := []Fact{FactNetwork}
	other := []Fact{FactNetwork, FactAddress}
	return []Test{
		{ID: "binding.address.loopback-by-default", Clause: "binding.loopback", Needs: tcp, Host: other, Fn: bindLoopback},
		{ID: "binding.address.as-asked", Clause: "binding.address", Needs: append(tcp, backend.BindAddress), Host: other, Fn: bindAddress},
		{ID: "binding.address.any-when-asked", Clause: "binding.address", Needs: append(tcp, backend.BindAddress), Host: other, Fn: bindAny},
		{ID: "binding.address.of-one-port", Clause: "binding.port-address", Needs: append(tcp, backend.BindAddress), Host: other, Fn: bindPortAddress},
		{ID: "binding.address.ipv6", Clause: "binding.ipv6", Needs: append(tcp, backend.BindIPv6), Host: []Fact{FactNetwork, FactIPv6}, Fn: bindIPv6},
		{ID: "binding.port.read-back", Clause: "binding.read-back", Needs: tcp, Host: here, Fn: bindReadBack},
		{ID: "binding.port.fixed", Clause: "binding.fixed", Needs: tcp, Host: here, Fn: bindFixed},
		{ID: "binding.port.taken", Clause: "binding.taken", Needs: tcp, Host: here, Fn: bindTaken},
		{ID: "binding.port.several", Clause: "binding.several", Needs: tcp, Host: here, Fn: bindSeveral},
		{ID: "binding.port.freed", Clause: "binding.freed", Needs: tcp, Host: here, Fn: bindFreed},
		{ID: "binding.udp.answers", Clause: "binding.udp", Needs: needs(backend.NetIsolated, backend.BindUDP), Host: here, Fn: bindUDP},
		{ID: "binding.none.answers", Clause: "binding.on-none", Needs: needs(backend.NetNone, backend.BindNone), Host: here, Fn: bindOnNone},
		{ID: "binding.internal.answers", Clause: "binding.on-internal", Needs: needs(backend.NetInternal, backend.BindInternal), Host: here, Fn: bindOnInternal},
	}
}

// serving is a sandbox that publishes port 8080, on which it sends body.
func (t *T) serving(body string, change ...func(*spec.Sandbox)) *Live {
	base := []func(*spec.Sandbox){network(spec.NetIsolated, ""), runs(cmd("listen", "tcp", ":8080", body))}
	sb := t.Spawn(t.NewSpec(append(base, change...)...))
	t.wantOK(sb.Next())
	return sb
}

func ports(list ...spec.Port) func(*spec.Sandbox) {
	return func(s *spec.Sandbox) { s.Binding.Ports = list }
}

// port returns the i-th port that the status tells, with a real number.
func (s *Sandbox) port(i int) backend.PortStatus {
	status := s.Inspect()
	if i >= len(status.Ports) {
		s.t.Fatalf("the status tells of %d ports, want more than %d", len(status.Ports), i)
	}
	p := status.Ports[i]
	if p.HostPort < 1 || p.HostPort > 65535 {
		s.t.Fatalf("port %d of the status is not a real one: %s", i, show(p))
	}
	return p
}

// fetch dials the engine's machine and reads what is sent.
func (t *T) fetch(protocol, address string, port int) (string, error) {
	dial := t.Host().Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	ctx, cancel := context.WithTimeout(t.ctx, t.Scale(5*time.Second))
	defer cancel()
	c, err := dial(ctx, protocol, net.JoinHostPort(address, strconv.Itoa(port)))
	if err != nil {
		return "", err
	}
	defer c.Close()
	wait := 5 * time.Second
	if protocol == "udp" {
		wait = time.Second // a lost datagram is sent again by who polls
		if _, err := c.Write([]byte("?")); err != nil {
			return "", err
		}
	}
	if err := c.SetReadDeadline(time.Now().Add(t.Scale(wait))); err != nil {
		return "", err
	}
	if protocol == "udp" {
		buf := make([]byte, 2048)
		n, err := c.Read(buf)
		return string(buf[:n]), err
	}
	data, err := io.ReadAll(io.LimitReader(c, 1<<20))
	return string(data), err
}

// wantAnswer polls, for engines open ports a moment after the start.
func (t *T) wantAnswer(protocol, address string, port int, body string) {
	t.Eventually(fmt.Sprintf("%s port %d of %s", protocol, port, address), func() error {
		got, err := t.fetch(protocol, address, port)
		if err == nil && got != body {
			err = fmt.Errorf("answers %q, want %q", got, body)
		}
		return err
	})
}

// wantNoAnswer is for a port that answers elsewhere already. Something else may
// listen here, so only the body counts.
func (t *T) wantNoAnswer(protocol, address string, port int, body string) {
	if got, err := t.fetch(protocol, address, port); err == nil && got == body {
		t.Errorf("%s port %d answers on %s too", protocol, port, address)
	}
}

// freePort returns a port that is free on the address for the moment.
func (t *T) freePort(address string) int {
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.harnessf("find a free port: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func bindLoopback(t *T) {
	sb := t.serving("loopback only", ports(spec.Port{ContainerPort: 8080}))
	p := sb.port(0)
	wantEqual(t, "the address told", p.Address, spec.DefaultBindAddress)
	t.wantAnswer("tcp", "127.0.0.1", p.HostPort, "loopback only")
	t.wantNoAnswer("tcp", t.Host().Address, p.HostPort, "loopback only")
}

func bindAddress(t *T) {
	sb := t.serving("as asked", ports(spec.Port{ContainerPort: 8080}), func(s *spec.Sandbox) { s.Binding.Address = t.Host().Address })
	p := sb.port(0)
	wantEqual(t, "the address told", p.Address, t.Host().Address)
	t.wantAnswer("tcp", t.Host().Address, p.HostPort, "as asked")
	t.wantNoAnswer("tcp", "127.0.0.1", p.HostPort, "as asked")
}

func bindAny(t *T) {
	sb := t.serving("everywhere", ports(spec.Port{ContainerPort: 8080}), func(s *spec.Sandbox) { s.Binding.Address = "0.0.0.0" })
	p := sb.port(0)
	t.wantAnswer("tcp", "127.0.0.1", p.HostPort, "everywhere")
	t.wantAnswer("tcp", t.Host().Address, p.HostPort, "everywhere")
}

func bindPortAddress(t *T) {
	sb := t.serving("two places", ports(
		spec.Port{Name: "here", ContainerPort: 8080}, spec.Port{Name: "there", ContainerPort: 8080, Address: t.Host().Address}))
	here, there := sb.portNamed("here"), sb.portNamed("there")
	t.wantAnswer("tcp", "127.0.0.1", here.HostPort, "two places")
	t.wantAnswer("tcp", t.Host().Address, there.HostPort, "two places")
	if here.HostPort != there.HostPort {
		t.wantNoAnswer("tcp", "127.0.0.1", there.HostPort, "two places")
	}
}

// portNamed returns the port of the status with that name.
func (s *Sandbox) portNamed(name string) backend.PortStatus {
	status := s.Inspect()
	i := slices.IndexFunc(status.Ports, func(p backend.PortStatus) bool { return p.Name == name })
	if i < 0 {
		s.t.Fatalf("the status tells of no port %q: %s", name, show(status.Ports))
	}
	return s.port(i)
}

func bindIPv6(t *T) {
	sb := t.serving("over six", ports(spec.Port{ContainerPort: 8080, Address: "::1"}))
	t.wantAnswer("tcp", "::1", sb.port(0).HostPort, "over six")
}

func bindReadBack(t *T) {
	sb := t.Create(t.NewSpec(network(spec.NetIsolated, ""), runs(cmd("listen", "tcp", ":8080", "read back")), ports(spec.Port{Name: "web", ContainerPort: 8080})))
	wantEqual(t, "ports of a sandbox that does not run", sb.Inspect().Ports, []backend.PortStatus{})
	sb.Start()
	p := sb.port(0)
	wantEqual(t, "the port told", backend.PortStatus{Name: p.Name, Protocol: p.Protocol, ContainerPort: p.ContainerPort, Address: p.Address},
		backend.PortStatus{Name: "web", Protocol: spec.TCP, ContainerPort: 8080, Address: "127.0.0.1"})
	t.wantAnswer("tcp", p.Address, p.HostPort, "read back")
}

func bindFixed(t *T) {
	// Somebody may take the port between the look and the start.
	var err error
	for range 5 {
		port := t.freePort("127.0.0.1")
		sb := t.Create(t.NewSpec(network(spec.NetIsolated, ""), runs(cmd("listen", "tcp", ":8080", "fixed")), ports(spec.Port{ContainerPort: 8080, HostPort: port})))
		if err = t.Driver().Start(t.ctx, sb.ID); errors.Is(err, backend.Exhausted) {
			continue
		}
		t.must(err, "start")
		wantEqual(t, "the port told", sb.port(0).HostPort, port)
		t.wantAnswer("tcp", "127.0.0.1", port, "fixed")
		return
	}
	t.Fatalf("start: %v", err)
}

func bindTaken(t *T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.harnessf("take a port: %v", err)
	}
	t.Cleanup(func(context.Context) error { _ = l.Close(); return nil })
	taken := l.Addr().(*net.TCPAddr).Port
	sb := t.Create(t.NewSpec(network(spec.NetIsolated, ""), ports(spec.Port{ContainerPort: 8081}, spec.Port{ContainerPort: 8080, HostPort: taken})))
	t.wantField("start with a port that is taken", t.Driver().Start(t.ctx, sb.ID), "binding.ports[1]", backend.Exhausted)
	sb.wantPhase(backend.PhaseCreated)
	wantEqual(t, "ports after that", sb.Inspect().Ports, []backend.PortStatus{})
	t.must(l.Close(), "free the port")
	t.Eventually("start when the port is free", func() error { return t.Driver().Start(t.ctx, sb.ID) })
	wantEqual(t, "the port then", sb.port(1).HostPort, taken)
}

func bindSeveral(t *T) {
	sb := t.Spawn(t.NewSpec(network(spec.NetIsolated, ""),
		runs(cmd("listen", "tcp", ":8080", "eighty"), cmd("listen", "tcp", ":9090", "ninety")),
		ports(spec.Port{Name: "a", ContainerPort: 8080}, spec.Port{Name: "b", ContainerPort: 9090})))
	t.wantOK(sb.Next(), sb.Next())
	wantEqual(t, "how many ports are told", len(sb.Inspect().Ports), 2)
	t.wantAnswer("tcp", "127.0.0.1", sb.portNamed("a").HostPort, "eighty")
	t.wantAnswer("tcp", "127.0.0.1", sb.portNamed("b").HostPort, "ninety")
}

func bindFreed(t *T) {
	sb := t.serving("freed", ports(spec.Port{ContainerPort: 8080}))
	p := sb.port(0)
	t.wantAnswer("tcp", "127.0.0.1", p.HostPort, "freed")
	sb.Kill()
	wantEqual(t, "ports after the stop", sb.Inspect().Ports, []backend.PortStatus{})
	t.Eventually("take the port that was published", func() error {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.HostPort)))
		if err != nil {
			return err
		}
		return l.Close()
	})
}

func bindUDP(t *T) {
	sb := t.Spawn(t.NewSpec(network(spec.NetIsolated, ""), runs(cmd("listen", "udp", ":8080", "datagram")),
		ports(spec.Port{ContainerPort: 8080, Protocol: spec.UDP})))
	t.wantOK(sb.Next())
	p := sb.port(0)
	wantEqual(t, "the protocol told", p.Protocol, spec.UDP)
	t.wantAnswer("udp", "127.0.0.1", p.HostPort, "datagram")
}

func bindOnNone(t *T) {
	sb := t.serving("on none", network(spec.NetNone, ""), ports(spec.Port{ContainerPort: 8080}))
	t.wantAnswer("tcp", "127.0.0.1", sb.port(0).HostPort, "on none")
}

func bindOnInternal(t *T) {
	sb := t.serving("on internal", network(spec.NetInternal, t.network(true)), ports(spec.Port{ContainerPort: 8080}))
	t.wantAnswer("tcp", "127.0.0.1", sb.port(0).HostPort, "on internal")
}
