// SPDX-License-Identifier: Apache-2.0

package osys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berthrun/berth/conformance/probe"
)

const (
	resolveTimeout = 5 * time.Second
	// serveTimeout bounds one connection of Listen, so that a peer that never reads does not stay.
	serveTimeout = 10 * time.Second
)

// Dial implements [probe.NetworkSystem].
func (System) Dial(ctx context.Context, request probe.DialRequest) (probe.Dial, error) {
	deadline := time.Now().Add(request.Timeout)
	dialer := net.Dialer{Deadline: deadline}
	reply := probe.Dial{Body: []byte{}}
	conn, err := dialer.DialContext(ctx, request.Network, request.Address)
	if err != nil {
		return reply, netRefused(ctx, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	reply.Connected = true
	reply.Local, reply.Remote = conn.LocalAddr().String(), conn.RemoteAddr().String()
	if err := conn.SetDeadline(deadline); err != nil {
		return reply, err
	}
	datagram := strings.HasPrefix(request.Network, "udp")
	// A datagram server answers nobody who does not speak first.
	if len(request.Send) > 0 || datagram {
		if _, err := conn.Write(request.Send); err != nil {
			return reply, netRefused(ctx, err)
		}
	}
	if datagram {
		buffer := make([]byte, request.Limit+1)
		n, err := conn.Read(buffer)
		reply.Body, reply.Truncated = buffer[:min(n, request.Limit)], n > request.Limit
		return reply, netRefused(ctx, err)
	}
	body, err := io.ReadAll(io.LimitReader(conn, int64(request.Limit)+1))
	reply.Body, reply.Truncated = body[:min(len(body), request.Limit)], len(body) > request.Limit
	return reply, netRefused(ctx, err)
}

// netRefused prefers the end of the context to what closing the connection looks like.
func netRefused(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	var timeout net.Error
	if refusal := refused(err); errors.As(refusal, new(probe.Errno)) || !errors.As(err, &timeout) || !timeout.Timeout() {
		return refusal
	}
	return fmt.Errorf("%w: %w", probe.Timeout, err)
}

// Listen implements [probe.NetworkSystem].
func (System) Listen(ctx context.Context, network, address string, body []byte) (string, error) {
	var config net.ListenConfig
	if strings.HasPrefix(network, "udp") {
		conn, err := config.ListenPacket(ctx, network, address)
		if err != nil {
			return "", netRefused(ctx, err)
		}
		context.AfterFunc(ctx, func() { conn.Close() })
		go servePackets(conn, body)
		return conn.LocalAddr().String(), nil
	}
	listener, err := config.Listen(ctx, network, address)
	if err != nil {
		return "", netRefused(ctx, err)
	}
	context.AfterFunc(ctx, func() { listener.Close() })
	go serveStream(listener, body)
	return listener.Addr().String(), nil
}

func servePackets(conn net.PacketConn, body []byte) {
	buffer := make([]byte, 64<<10)
	for {
		_, peer, err := conn.ReadFrom(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_, _ = conn.WriteTo(body, peer) // the peer may be gone; the next one is served
		}
	}
}

func serveStream(listener net.Listener, body []byte) {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // no descriptors left, for example: not a busy loop
			continue
		}
		go serve(conn, body)
	}
}

// serve sends body. Then it reads what the peer may still send: closing with unread data would reset
// the connection and could cost the peer the body.
func serve(conn net.Conn, body []byte) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(serveTimeout))
	if _, err := conn.Write(body); err != nil {
		return
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, conn)
}

// Resolve implements [probe.NetworkSystem].
func (System) Resolve(ctx context.Context, name string) ([]string, error) {
	// The Go resolver reads the sandbox's files; no C library is involved.
	bounded, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	resolver := net.Resolver{PreferGo: true}
	addresses, err := resolver.LookupHost(bounded, name)
	if err != nil {
		return nil, netRefused(ctx, err)
	}
	slices.Sort(addresses)
	return slices.Compact(addresses), nil
}

// Interfaces implements [probe.NetworkSystem].
func (System) Interfaces() ([]probe.Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, refused(err)
	}
	interfaces := []probe.Interface{}
	for _, i := range all {
		entry := probe.Interface{
			Name: i.Name, Index: i.Index, MTU: i.MTU, Hardware: i.HardwareAddr.String(),
			Up: i.Flags&net.FlagUp != 0, Loopback: i.Flags&net.FlagLoopback != 0, Addresses: []string{},
		}
		addresses, err := i.Addrs()
		if err != nil {
			return nil, refused(err)
		}
		for _, address := range addresses {
			entry.Addresses = append(entry.Addresses, address.String())
		}
		interfaces = append(interfaces, entry)
	}
	slices.SortFunc(interfaces, func(a, b probe.Interface) int { return a.Index - b.Index })
	return interfaces, nil
}

// Routes implements [probe.NetworkSystem].
func (System) Routes() ([]probe.Route, error) {
	data, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return nil, refused(err)
	}
	return parseRoutes(data)
}

// parseRoutes reads /proc/net/route: a heading, then lines with addresses as hexadecimal numbers in the
// byte order of the machine, little-endian on everything that berth builds for.
func parseRoutes(data []byte) ([]probe.Route, error) {
	routes := []probe.Route{}
	first := true
	for line := range strings.Lines(string(data)) {
		if first {
			first = false
			continue
		}
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) < 8 {
			return nil, fmt.Errorf("routes: unexpected line %q", line)
		}
		destination, err1 := routeAddress(fields[1])
		gateway, err2 := routeAddress(fields[2])
		metric, err3 := strconv.Atoi(fields[6])
		mask, err4 := routeAddress(fields[7])
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			return nil, fmt.Errorf("routes: line %q: %w", line, err)
		}
		ones, _ := net.IPMask(mask.AsSlice()).Size()
		route := probe.Route{Interface: fields[0], Destination: netip.PrefixFrom(destination, ones).String(), Metric: metric}
		if !gateway.IsUnspecified() {
			route.Gateway = gateway.String()
		}
		routes = append(routes, route)
	}
	return routes, nil
}

func routeAddress(hex string) (netip.Addr, error) {
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%q is no address", hex)
	}
	return netip.AddrFrom4([4]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}), nil
}
