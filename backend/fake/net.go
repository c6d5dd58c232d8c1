// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"context"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/spec"
)

// network is a network of the engine.
type network struct {
	name     string
	internal bool
	managed  bool // made by CreateNetwork
	plumbing bool // made for the mode isolated
	foreign  bool // not berth's
	subnet   int
	members  map[backend.ID]*member
}

// member is a sandbox on a network.
type member struct {
	address string
	names   []string
}

// isolatedName is the one network of all isolated sandboxes.
const isolatedName = "berth-isolated"

// egress reports whether members reach the outside.
func (n *network) egress(e *Engine) bool {
	if n.managed && e.has(BugSharedNoEgress) {
		return false
	}
	return !n.internal || e.has(BugInternalEgress)
}

// meet reports whether members reach each other.
func (n *network) meet(e *Engine) bool { return !n.plumbing || e.has(BugIsolatedPeers) }

func (e *Engine) newNetwork(name string, internal bool) *network {
	n := &network{name: name, internal: internal, subnet: e.next(), members: map[backend.ID]*member{}}
	e.networks[name] = n
	return n
}

func (n *network) info() backend.NetworkInfo {
	return backend.NetworkInfo{Name: n.name, Internal: n.internal, Managed: n.managed, NativeID: fmt.Sprintf("net-%d", n.subnet), Members: len(n.members)}
}

// CreateNetwork implements backend.Networker.
func (d *Driver) CreateNetwork(ctx context.Context, name string, internal bool) (*backend.NetworkInfo, error) {
	e, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	n := e.networks[name]
	switch {
	case n == nil:
		n = e.newNetwork(name, internal)
		n.managed = true
	case e.has(BugNetworkCreateOnce):
		return nil, fail(backend.Exists, "network.create", "", "network %q exists", name)
	case !n.managed || n.internal != internal && !e.has(BugNetworkKindIgnored):
		return nil, fail(backend.Exists, "network.create", "", "network %q exists and is another kind: choose another name", name)
	}
	info := n.info()
	return &info, nil
}

// Networks implements backend.Networker.
func (d *Driver) Networks(ctx context.Context) iter.Seq2[backend.NetworkInfo, error] {
	return func(yield func(backend.NetworkInfo, error) bool) {
		e, err := d.enter(ctx)
		if err != nil {
			yield(backend.NetworkInfo{}, err)
			return
		}
		var all []backend.NetworkInfo
		for _, n := range e.networks {
			if !n.plumbing || e.has(BugPlumbingListed) {
				all = append(all, n.info())
			}
		}
		e.mu.Unlock()
		slices.SortFunc(all, func(a, b backend.NetworkInfo) int { return strings.Compare(a.Name, b.Name) })
		for _, n := range all {
			if !yield(n, nil) {
				return
			}
		}
	}
}

// RemoveNetwork implements backend.Networker.
func (d *Driver) RemoveNetwork(ctx context.Context, name string) error {
	e, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer e.mu.Unlock()
	n := e.networks[name]
	switch {
	case n == nil && e.has(BugNetworkRemoveAbsent):
		return nil
	case n == nil:
		return fail(backend.NotFound, "network.remove", "", "no network %q", name)
	case !n.managed && !e.has(BugForeignTouched):
		return fail(backend.Denied, "network.remove", "", "network %q is not berth's", name)
	case len(n.members) > 0 && !e.has(BugNetworkRemoveInUse):
		return fail(backend.Conflict, "network.remove", "", "network %q is in use: remove its sandboxes first", name)
	}
	delete(e.networks, name)
	return nil
}

// networksOf lists the networks that a spec asks for, with the fields. The first
// one that is absent is an error.
func (e *Engine) networksOf(id backend.ID, s *spec.Sandbox) ([]*network, error) {
	var list []*network
	find := func(name string, field spec.Path) error {
		n := e.networks[name]
		if n == nil || n.plumbing {
			if e.has(BugAbsentNetworkMade) {
				list = append(list, e.newNetwork(name, false))
				return nil
			}
			return failField(backend.NotFound, "create", id, field, "no network %q: make it first", name)
		}
		list = append(list, n)
		return nil
	}
	switch s.Network.Mode {
	case spec.NetShared, spec.NetInternal, spec.NetNamed:
		if err := find(s.Network.Name, "network.name"); err != nil {
			return nil, err
		}
	}
	for i, a := range s.Network.Additional {
		if e.has(BugAdditionalDropped) {
			break
		}
		if err := find(a.Name, spec.Path("network.additional").Index(i)); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// join makes the sandbox a member of its networks; the lock is held.
func (e *Engine) join(sb *sandbox, list []*network) {
	s := sb.req.Spec
	if s.Network.Mode == spec.NetIsolated || s.Network.Mode == spec.NetNone && e.has(BugNoneHasNetwork) {
		n := e.networks[isolatedName]
		if n == nil {
			n = e.newNetwork(isolatedName, false)
			n.plumbing = true
		}
		list = append([]*network{n}, list...)
	}
	for _, n := range list {
		m := &member{address: fmt.Sprintf("10.%d.%d.%d", 64+n.subnet>>8, n.subnet&0xff, 2+len(n.members)), names: []string{sb.hostname()}}
		for used := true; used; {
			used = false
			for _, other := range n.members {
				if other.address == m.address {
					m.address, used = fmt.Sprintf("10.%d.%d.%d", 64+n.subnet>>8, n.subnet&0xff, e.next()%250+2), true
				}
			}
		}
		if s.Name != "" {
			m.names = append(m.names, s.Name)
		}
		if n.name == s.Network.Name && !e.has(BugAliasesDropped) {
			m.names = append(m.names, s.Network.Aliases...)
		}
		for _, a := range s.Network.Additional {
			if a.Name == n.name && !e.has(BugAliasesDropped) {
				m.names = append(m.names, a.Aliases...)
			}
		}
		n.members[sb.id] = m
		sb.networks = append(sb.networks, n)
	}
}

// leave undoes join; the lock is held.
func (e *Engine) leave(sb *sandbox) {
	for _, n := range sb.networks {
		delete(n.members, sb.id)
		if n.plumbing && len(n.members) == 0 && !e.has(BugNetworkLeaked) {
			delete(e.networks, n.name)
		}
	}
	sb.networks = nil
}

// listener is a service of a process in the model.
type listener struct {
	ip   string // as it was asked for; empty is any
	body []byte
}

// hears reports whether a listener takes connections to ip.
func (l *listener) hears(ip string) bool {
	return l.ip == "" || l.ip == "0.0.0.0" || l.ip == "::" || l.ip == ip || l.ip == "127.0.0.1" && strings.HasPrefix(ip, "127.")
}

func portKey(network string, port int) string { return network[:3] + "/" + strconv.Itoa(port) }

// address is the sandbox's own address on n.
func (sb *sandbox) address(n *network) string {
	if m := n.members[sb.id]; m != nil {
		return m.address
	}
	return ""
}

// online reports whether the sandbox reaches the outside.
func (sb *sandbox) online() bool {
	if sb.req.Spec.Network.Mode == spec.NetHost {
		return true
	}
	return slices.ContainsFunc(sb.networks, func(n *network) bool { return n.egress(sb.engine) && !(sb.engine.has(BugNoEgress) && n.plumbing) })
}

// reach returns the body that the sandbox gets from ip:port, or why not; the
// lock is held.
func (sb *sandbox) reach(network, ip string, port int) ([]byte, error) {
	e := sb.engine
	key := portKey(network, port)
	answer := func(target *sandbox, ip string) ([]byte, error) {
		if l := target.listeners[key]; l != nil && l.hears(ip) {
			return l.body, nil
		}
		return nil, eREFUSED
	}
	if a, err := netip.ParseAddr(ip); err == nil && a.IsLoopback() {
		return answer(sb, ip)
	}
	for _, n := range sb.networks {
		if sb.address(n) == ip {
			return answer(sb, ip)
		}
	}
	for _, other := range e.sandboxes {
		for _, n := range other.networks {
			if other.address(n) != ip || other.phase != backend.PhaseRunning {
				continue
			}
			if n.members[sb.id] != nil && n.meet(e) || e.has(BugNetworksTouch) && !n.plumbing && len(sb.networks) > 0 {
				return answer(other, ip)
			}
			return nil, eUNREACH
		}
	}
	at := net.JoinHostPort(ip, strconv.Itoa(port))
	if body, ok := e.outside[at]; ok && sb.online() {
		return []byte(body), nil
	}
	if body, ok := e.services[at]; ok && len(sb.networks) > 0 && (e.has(BugHostReachable) || !e.supports(backend.NetHostAccess)) {
		return []byte(body), nil
	}
	if len(sb.networks) == 0 {
		return nil, eNETDOWN
	}
	return nil, eUNREACH
}

// resolve looks a name up as the sandbox would; the lock is held.
func (sb *sandbox) resolve(name string) []string {
	var found []string
	e := sb.engine
	for _, n := range sb.networks {
		if !n.meet(e) || e.has(BugNamesUnknown) {
			continue
		}
		for _, m := range n.members {
			if slices.Contains(m.names, name) {
				found = append(found, m.address)
			}
		}
	}
	if data, err := sb.view.readFile(user{effective: []string{"DAC_OVERRIDE"}}, "/", "/etc/hosts", 1<<20); err == nil {
		for line := range strings.Lines(string(data)) {
			if words := strings.Fields(line); len(words) > 1 && slices.Contains(words[1:], name) {
				found = append(found, words[0])
			}
		}
	}
	if sb.online() || e.has(BugInternalResolves) && len(sb.networks) > 0 {
		if name == outsideName {
			found = append(found, "203.0.113.1")
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// outsideName is a name of the outside that the model's world knows.
const outsideName = "peer.outside.test"

// published is a real port of the machine.
type published struct {
	status backend.PortStatus
	close  func()
}

// publish opens the real ports of a sandbox that is about to start; the lock is
// held. After an error none is open.
func (e *Engine) publish(sb *sandbox) error {
	if e.has(BugPortsDropped) {
		return nil
	}
	b := sb.req.Spec.Binding
	for i, p := range b.Ports {
		address := p.Address
		if address == "" || e.has(BugPortAddressIgnored) {
			address = b.Address
		}
		if e.has(BugBindsEverywhere) && address == spec.DefaultBindAddress {
			address = "0.0.0.0"
		}
		hostPort := p.HostPort
		if e.has(BugFixedPortIgnored) {
			hostPort = 0
		}
		if e.has(BugOnePort) && i > 0 {
			continue
		}
		at := net.JoinHostPort(address, strconv.Itoa(hostPort))
		opened, err := e.open(sb, p, at)
		if err != nil {
			if e.has(BugTakenPortIgnored) {
				continue
			}
			if !e.has(BugPortsLeaked) {
				sb.unpublish()
			}
			kind := backend.Exhausted
			if e.has(BugTakenPortInternal) {
				kind = backend.Internal
			}
			failed := failField(kind, "start", sb.id, spec.Path("binding.ports").Index(i), "port %s cannot be had: choose another, or 0 for any", at)
			failed.Err = err
			return failed
		}
		opened.status.Name, opened.status.Protocol, opened.status.ContainerPort = p.Name, p.Protocol, p.ContainerPort
		opened.status.Address = address
		if e.has(BugBindsEverywhere) && p.Address == "" {
			opened.status.Address = b.Address
		}
		if e.has(BugWrongReadBack) {
			opened.status.HostPort = p.HostPort
		}
		sb.ports = append(sb.ports, opened)
	}
	return nil
}

// open opens one real port. Its traffic ends in the sandbox's model.
func (e *Engine) open(sb *sandbox, p spec.Port, at string) (published, error) {
	body := func() []byte {
		e.mu.Lock()
		defer e.mu.Unlock()
		l := sb.listeners[portKey(string(p.Protocol), p.ContainerPort)]
		if l == nil || l.ip != "" && l.ip != "0.0.0.0" && l.ip != "::" {
			return nil
		}
		return slices.Clone(l.body)
	}
	if p.Protocol == spec.UDP && !e.has(BugUDPAsTCP) {
		c, err := net.ListenPacket("udp", at)
		if err != nil {
			return published{}, err
		}
		go func() {
			buf := make([]byte, 1)
			for {
				_, from, err := c.ReadFrom(buf)
				if err != nil {
					return
				}
				if data := body(); data != nil {
					_, _ = c.WriteTo(data, from)
				}
			}
		}()
		return published{close: func() { _ = c.Close() }, status: backend.PortStatus{HostPort: c.LocalAddr().(*net.UDPAddr).Port}}, nil
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		return published{}, err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write(body())
			_ = c.Close()
		}
	}()
	return published{close: func() { _ = l.Close() }, status: backend.PortStatus{HostPort: l.Addr().(*net.TCPAddr).Port}}, nil
}

// unpublish closes the real ports; the lock is held.
func (sb *sandbox) unpublish() {
	for _, p := range sb.ports {
		p.close()
	}
	sb.ports = nil
}

// Dial implements probe.NetworkSystem.
func (s *system) Dial(ctx context.Context, r probe.DialRequest) (probe.Dial, error) {
	if err := s.enter(ctx); err != nil {
		return probe.Dial{}, err
	}
	name, portText, err := net.SplitHostPort(r.Address)
	port, _ := strconv.Atoi(portText)
	if err != nil || r.Network == "unix" {
		s.leave()
		return probe.Dial{}, eINVAL
	}
	ips := []string{name}
	if _, err := netip.ParseAddr(name); err != nil {
		ips = s.sb().resolve(name)
	}
	if len(ips) == 0 {
		s.leave()
		return probe.Dial{}, probe.NoHost
	}
	body, err := s.sb().reach(r.Network, ips[0], port)
	onHost := s.sb().req.Spec.Network.Mode == spec.NetHost && err != nil
	s.leave()
	if onHost {
		return dialReal(ctx, r)
	}
	reply := probe.Dial{Connected: err == nil, Remote: net.JoinHostPort(ips[0], portText)}
	if err == nil {
		reply.Body, reply.Truncated = body[:min(len(body), r.Limit)], len(body) > r.Limit
	}
	return reply, err
}

// dialReal is Dial of a sandbox that has the machine's own network.
func dialReal(ctx context.Context, r probe.DialRequest) (probe.Dial, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, r.Network, r.Address)
	if err != nil {
		return probe.Dial{}, errnoOf(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(r.Timeout))
	_, _ = c.Write(r.Send)
	buf := make([]byte, r.Limit)
	n, _ := c.Read(buf)
	return probe.Dial{Connected: true, Body: buf[:n], Local: c.LocalAddr().String(), Remote: c.RemoteAddr().String()}, nil
}

// Listen implements probe.NetworkSystem.
func (s *system) Listen(ctx context.Context, network, address string, body []byte) (string, error) {
	if err := s.enter(ctx); err != nil {
		return "", err
	}
	defer s.leave()
	ip, portText, err := net.SplitHostPort(address)
	port, _ := strconv.Atoi(portText)
	if err != nil {
		return "", eINVAL
	}
	sb := s.sb()
	if sb.req.Spec.Network.Mode == spec.NetHost && !sb.engine.has(BugHostModeApart) {
		l, err := net.Listen(network, address)
		if err != nil {
			return "", errnoOf(err)
		}
		context.AfterFunc(ctx, func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write(body)
				_ = c.Close()
			}
		}()
		return l.Addr().String(), nil
	}
	if port == 0 {
		port = 40000 + sb.engine.next()%20000
	}
	key := portKey(network, port)
	if sb.listeners[key] != nil {
		return "", eINUSE
	}
	l := &listener{ip: ip, body: body}
	sb.listeners[key] = l
	context.AfterFunc(ctx, func() {
		sb.engine.mu.Lock()
		defer sb.engine.mu.Unlock()
		if sb.listeners[key] == l {
			delete(sb.listeners, key)
		}
	})
	return net.JoinHostPort(ip, strconv.Itoa(port)), nil
}

// Resolve implements probe.NetworkSystem.
func (s *system) Resolve(ctx context.Context, name string) ([]string, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if found := s.sb().resolve(name); len(found) > 0 {
		return found, nil
	}
	return nil, probe.NoHost
}

// Interfaces implements probe.NetworkSystem.
func (s *system) Interfaces() ([]probe.Interface, error) {
	if err := s.enter(context.Background()); err != nil {
		return nil, err
	}
	defer s.leave()
	list := []probe.Interface{{Name: "lo", Index: 1, MTU: 65536, Up: true, Loopback: true, Addresses: []string{"127.0.0.1/8"}}}
	for i, n := range s.sb().networks {
		list = append(list, probe.Interface{
			Name: fmt.Sprintf("eth%d", i), Index: i + 2, MTU: 1500, Hardware: "02:00:00:00:00:01", Up: true,
			Addresses: []string{s.sb().address(n) + "/24"},
		})
	}
	return list, nil
}

// Routes implements probe.NetworkSystem.
func (s *system) Routes() ([]probe.Route, error) {
	if err := s.enter(context.Background()); err != nil {
		return nil, err
	}
	defer s.leave()
	list := []probe.Route{}
	for i, n := range s.sb().networks {
		net := s.sb().address(n)
		net = net[:strings.LastIndex(net, ".")]
		list = append(list, probe.Route{Interface: fmt.Sprintf("eth%d", i), Destination: net + ".0/24"})
		if n.egress(s.sb().engine) {
			list = append(list, probe.Route{Interface: fmt.Sprintf("eth%d", i), Destination: "0.0.0.0/0", Gateway: net + ".1"})
		}
	}
	return list, nil
}
