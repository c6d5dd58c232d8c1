// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/spec"
)

func networkTests() []Test {
	isolated := needs(backend.NetIsolated)
	internal := needs(backend.NetInternal)
	shared := needs(backend.NetShared)
	peer := []Fact{FactPeer}
	exec := backend.Exec
	return []Test{
		{ID: "network.isolated.reaches-outside", Clause: "network.isolated.outside", Needs: isolated, Host: peer, Fn: isolatedOutside},
		{ID: "network.isolated.peers-apart", Clause: "network.isolated.apart", Needs: append(isolated, exec), Fn: isolatedApart},
		{ID: "network.isolated.raw-sockets-refused", Clause: "network.raw", Needs: isolated, Fn: rawRefused},
		{ID: "network.none.only-loopback", Clause: "network.none", Needs: needs(backend.NetNone), Fn: noneLoopback},
		{ID: "network.none.reaches-nothing", Clause: "network.none.outside", Needs: needs(backend.NetNone), Host: peer, Fn: noneOutside},
		{ID: "network.internal.members-by-name", Clause: "network.internal.members", Needs: append(internal, exec), Fn: membersByName(spec.NetInternal)},
		{ID: "network.internal.no-outside", Clause: "network.internal.closed", Needs: internal, Host: peer, Fn: internalClosed},
		{ID: "network.shared.members-by-name", Clause: "network.shared.members", Needs: append(shared, exec), Fn: membersByName(spec.NetShared)},
		{ID: "network.shared.reaches-outside", Clause: "network.shared.outside", Needs: shared, Host: peer, Fn: sharedOutside},
		{ID: "network.shared.other-networks-apart", Clause: "network.apart", Needs: append(shared, exec), Fn: networksApart},
		{ID: "network.named.joins", Clause: "network.named", Needs: append(shared, backend.NetNamed, exec), Fn: namedJoins},
		{ID: "network.named.absent", Clause: "network.absent", Needs: needs(backend.NetNamed), Fn: namedAbsent},
		{ID: "network.aliases.resolve", Clause: "network.aliases", Needs: append(shared, backend.NetAliases, exec), Fn: aliasesResolve},
		{ID: "network.additional.joined", Clause: "network.additional", Needs: append(shared, backend.NetAdditional, exec), Fn: additionalJoined},
		{ID: "network.host-alias.resolves", Clause: "network.host-alias", Needs: append(isolated, backend.NetHostAlias), Fn: hostAlias},
		{ID: "network.host-alias.off-by-default", Clause: "network.host-alias.off", Needs: isolated, Fn: hostAliasOff},
		{ID: "network.host.same-stack", Clause: "network.host", Needs: needs(backend.NetHost), Host: []Fact{FactNetwork}, Fn: hostStack},
		{ID: "network.host-services.out-of-reach", Clause: "network.host-access", Needs: append(isolated, backend.NetHostAccess), Host: []Fact{FactService}, Fn: hostServices},
		{ID: "network.egress.planned", Clause: "network.egress", Needs: needs(backend.NetEgress), Fn: planned(backend.NetEgress)},
		{ID: "network.status.addresses", Clause: "network.status", Needs: append(isolated, exec), Fn: addressesTold},
		{ID: "network.create.twice", Clause: "network.create", Needs: shared, Fn: networkTwice},
		{ID: "network.create.listed", Clause: "network.list", Needs: shared, Serial: true, Fn: networkListed},
		{ID: "network.remove.in-use", Clause: "network.remove-used", Needs: shared, Fn: networkInUse},
		{ID: "network.remove.absent", Clause: "network.remove-absent", Needs: shared, Fn: networkRemoveAbsent},
	}
}

// dialWait bounds a dial that has to fail: nothing may answer, ever, but a test
// cannot wait for ever.
const dialWait = "1s"

// networker is the driver's.
func (t *T) networker() backend.Networker {
	n, ok := backend.As[backend.Networker](t.Driver())
	if !ok {
		t.Fatalf("the driver is no backend.Networker")
	}
	return n
}

// network makes a network that is removed after the test.
func (t *T) network(internal bool) string {
	name := t.Name("net")
	t.Cleanup(func(ctx context.Context) error {
		err := t.networker().RemoveNetwork(ctx, name)
		if errors.Is(err, backend.NotFound) {
			return nil
		}
		return err
	})
	info, err := t.networker().CreateNetwork(t.ctx, name, internal)
	t.must(err, "create a network")
	if info.Name != name || info.Internal != internal || !info.Managed {
		t.Errorf("the network made is %s", show(info))
	}
	return name
}

// host runs a sandbox that serves body on port 8080 of every address it has.
func (t *T) host(body string, change ...func(*spec.Sandbox)) *Live {
	sb := t.Spawn(t.NewSpec(append([]func(*spec.Sandbox){runs(cmd("listen", "tcp", ":8080", body))}, change...)...))
	t.wantOK(sb.Next())
	return sb
}

// addresses lists the addresses that the sandbox finds on itself, without the
// loopback.
func (s *Sandbox) addresses() []string {
	list := value[probe.Interfaces](s.t, s.Probe(cmd("interfaces"))[0])
	var found []string
	for _, i := range list.Interfaces {
		for _, cidr := range i.Addresses {
			p, err := netip.ParsePrefix(cidr)
			if err != nil || i.Loopback || p.Addr().IsLinkLocalUnicast() {
				continue
			}
			found = append(found, p.Addr().String())
		}
	}
	if len(found) == 0 {
		s.t.Fatalf("the sandbox has no address: %s", show(list))
	}
	return found
}

// dialEndpoint dials a service of the harness.
func dialEndpoint(e Endpoint, wait string) []string {
	command := cmd("dial", "tcp", e.Address, wait)
	if e.Send != "" {
		command = append(command, e.Send)
	}
	return command
}

func dialTo(host string, port string) []string {
	return cmd("dial", "tcp", net.JoinHostPort(host, port), dialWait)
}

// wantReply fails the test unless a dial brought body.
func (t *T) wantReply(what string, r probe.Result, body string) {
	if err := r.Err(); err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if got := value[probe.Dial](t, r); !bytes.Contains(got.Body, []byte(body)) {
		t.Errorf("%s: the answer is %q, want %q", what, got.Body, body)
	}
}

// wantNoReply fails the test when a dial brought body. That something else
// answers is the business of the machine's network: some answer for everybody.
func (t *T) wantNoReply(what string, r probe.Result, body string) {
	if d, err := probe.Value[probe.Dial](r); err == nil && bytes.Contains(d.Body, []byte(body)) {
		t.Errorf("%s: it is reached", what)
	}
}

func isolatedOutside(t *T) {
	p := t.Host().Peer
	r := t.RunProbe(t.NewSpec(network(spec.NetIsolated, "")), dialEndpoint(p, "10s"))[0]
	t.wantReply("the peer outside", r, p.Body)
}

func isolatedApart(t *T) {
	a := t.host("body of a", network(spec.NetIsolated, ""))
	b := t.host("body of b", network(spec.NetIsolated, ""))
	t.wantApart(map[string]*Live{"body of a": a, "body of b": b})
}

// wantApart fails the test when one of the sandboxes reaches another one. Each
// serves the body that is its key. Each must reach itself, or the rest would
// prove nothing.
func (t *T) wantApart(all map[string]*Live) {
	bodies := slices.Sorted(keys(all))
	var targets []string // a body for each command
	var commands [][]string
	for _, body := range bodies {
		for _, address := range all[body].addresses() {
			targets = append(targets, body)
			commands = append(commands, dialTo(address, "8080"))
		}
	}
	results := make([][]probe.Result, len(bodies))
	err := together(len(bodies), func(i int) error {
		var err error
		results[i], err = all[bodies[i]].TryProbe(commands...)
		return err
	})
	t.must(err, "dial")
	for i, from := range bodies {
		for j, to := range targets {
			if from == to {
				t.wantReply(to+" by itself", results[i][j], to)
			} else {
				t.wantNoReply(to+" from the one with the "+from, results[i][j], to)
			}
		}
	}
}

func rawRefused(t *T) {
	results := t.RunProbe(t.NewSpec(user("0:0"), network(spec.NetIsolated, "")), cmd("syscall", "socket-raw"), cmd("syscall", "socket-packet"))
	t.wantForbidden(results...)
}

func noneLoopback(t *T) {
	sb := t.Spawn(t.NewSpec(network(spec.NetNone, ""), runs(cmd("interfaces"), cmd("routes"),
		cmd("listen", "tcp", "127.0.0.1:8080", "own"), dialTo("127.0.0.1", "8080"), cmd("hold"))))
	for _, i := range value[probe.Interfaces](t, sb.Next()).Interfaces {
		// Kernels make tunnel devices in every namespace; they are down.
		if !i.Loopback && (i.Up || len(i.Addresses) > 0) {
			t.Errorf("besides the loopback there is %s", show(i))
		}
	}
	wantEqual(t, "how many routes there are", len(value[probe.Routes](t, sb.Next()).Routes), 0)
	t.wantOK(sb.Next())
	t.wantReply("its own loopback", sb.Next(), "own")
	for _, n := range sb.Inspect().Networks {
		wantEqual(t, "addresses on "+n.Name, len(n.Addresses), 0)
	}
}

func noneOutside(t *T) {
	p := t.Host().Peer
	r := t.RunProbe(t.NewSpec(network(spec.NetNone, "")), dialEndpoint(p, dialWait))[0]
	t.wantNoReply("the peer outside", r, p.Body)
}

// membersByName checks both directions.
func membersByName(mode spec.NetworkMode) func(*T) {
	return func(t *T) {
		net := network(mode, t.network(mode == spec.NetInternal))
		nameA, nameB := t.Name("a"), t.Name("b")
		a := t.host("body of a", net, func(s *spec.Sandbox) { s.Name = nameA })
		b := t.host("body of b", net, func(s *spec.Sandbox) { s.Name = nameB })
		t.wantReply("b from a", a.eventually(dialTo(nameB, "8080")), "body of b")
		t.wantReply("a from b", b.eventually(dialTo(nameA, "8080")), "body of a")
	}
}

// eventually repeats a command until it is carried out: names may be known a
// moment after the start.
func (s *Sandbox) eventually(command []string) probe.Result {
	var r probe.Result
	_ = s.t.poll(func() error {
		r = s.Probe(command)[0]
		return r.Err()
	})
	return r
}

func internalClosed(t *T) {
	p := t.Host().Peer
	commands := [][]string{dialEndpoint(p, dialWait)}
	if p.Name != "" {
		commands = append(commands, cmd("resolve", p.Name))
	}
	results := t.RunProbe(t.NewSpec(network(spec.NetInternal, t.network(true))), commands...)
	t.wantNoReply("the peer outside", results[0], p.Body)
	for _, r := range results[1:] {
		if r.Errno == probe.OK {
			t.Errorf("a name of the outside resolves to %s", show(r.Value))
		}
	}
}

func sharedOutside(t *T) {
	p := t.Host().Peer
	r := t.RunProbe(t.NewSpec(network(spec.NetShared, t.network(false))), dialEndpoint(p, "10s"))[0]
	t.wantReply("the peer outside", r, p.Body)
}

func networksApart(t *T) {
	t.wantApart(map[string]*Live{
		"body of a": t.host("body of a", network(spec.NetShared, t.network(false))),
		"body of b": t.host("body of b", network(spec.NetShared, t.network(false))),
		"body of c": t.host("body of c", network(spec.NetIsolated, "")),
	})
}

func namedJoins(t *T) {
	name := t.network(false)
	nameA := t.Name("a")
	t.host("body of a", network(spec.NetShared, name), func(s *spec.Sandbox) { s.Name = nameA })
	b := t.Start(t.NewSpec(network(spec.NetNamed, name)))
	t.wantReply("a member of the same network", b.eventually(dialTo(nameA, "8080")), "body of a")
}

func namedAbsent(t *T) {
	req := t.Request(t.NewSpec(network(spec.NetNamed, t.Name("absent"))))
	_, err := t.TryCreate(req)
	t.wantField("create on a network that does not exist", err, "network.name", backend.NotFound)
	t.wantNothingLeft(req.ID)
}

func aliasesResolve(t *T) {
	net := network(spec.NetShared, t.network(false))
	t.host("body of a", net, func(s *spec.Sandbox) { s.Network.Aliases = []string{"database", "db.example"} })
	b := t.Start(t.NewSpec(net))
	t.wantReply("the first alias", b.eventually(dialTo("database", "8080")), "body of a")
	t.wantReply("the second alias", b.eventually(dialTo("db.example", "8080")), "body of a")
}

func additionalJoined(t *T) {
	first, second := t.network(false), t.network(false)
	a := t.host("body of a", network(spec.NetShared, first), func(s *spec.Sandbox) {
		s.Network.Aliases = []string{"one"}
		s.Network.Additional = []spec.Attachment{{Name: second, Aliases: []string{"two"}}}
	})
	onFirst := t.Start(t.NewSpec(network(spec.NetShared, first)))
	onSecond := t.Start(t.NewSpec(network(spec.NetShared, second)))
	t.wantReply("by the first network", onFirst.eventually(dialTo("one", "8080")), "body of a")
	t.wantReply("by the second network", onSecond.eventually(dialTo("two", "8080")), "body of a")
	var names []string
	for _, n := range a.Inspect().Networks {
		names = append(names, n.Name)
	}
	for _, n := range []string{first, second} {
		if !slices.Contains(names, n) {
			t.Errorf("the status does not tell of network %s: %q", n, names)
		}
	}
}

var hostNames = []string{"host.berth.internal", "host.docker.internal"}

func hostAlias(t *T) {
	s := t.NewSpec(network(spec.NetIsolated, ""), func(s *spec.Sandbox) { s.Network.HostAlias = true })
	results := t.RunProbe(s, cmd("resolve", hostNames[0]), cmd("resolve", hostNames[1]))
	t.wantOK(results...)
	for _, r := range results {
		for _, a := range value[probe.Addresses](t, r).Addresses {
			if ip, err := netip.ParseAddr(a); err != nil || ip.IsLoopback() {
				t.Errorf("%q resolves to %s, which is not the host", r.Args, a)
			}
		}
	}
}

func hostAliasOff(t *T) {
	hosts := value[probe.Hosts](t, t.RunProbe(t.NewSpec(network(spec.NetIsolated, "")), cmd("hosts"))[0])
	for _, h := range hosts.Hosts {
		for _, name := range hostNames {
			if slices.Contains(h.Names, name) {
				t.Errorf("%s is in the hosts file, and nobody asked for it", name)
			}
		}
	}
}

func hostStack(t *T) {
	sb := t.Spawn(t.NewSpec(network(spec.NetHost, ""), runs(cmd("listen", "tcp", "127.0.0.1:0", "on the host"))))
	at := value[probe.Listen](t, sb.Next()).Address
	ip, port, err := net.SplitHostPort(at)
	t.must(err, "the listener's address")
	var n int
	_, err = fmt.Sscan(port, &n)
	t.must(err, "the listener's port")
	t.wantAnswer("tcp", ip, n, "on the host")
}

func hostServices(t *T) {
	service := t.Host().Service
	r := t.RunProbe(t.NewSpec(network(spec.NetIsolated, "")), dialEndpoint(service, dialWait))[0]
	t.wantNoReply("a service of the host", r, service.Body)
}

func addressesTold(t *T) {
	sb := t.Start(t.NewSpec(network(spec.NetIsolated, "")))
	var told []string
	for _, n := range sb.Inspect().Networks {
		told = append(told, n.Addresses...)
	}
	for _, a := range sb.addresses() {
		if !slices.Contains(told, a) {
			t.Errorf("the sandbox has address %s, and the status tells of %q", a, told)
		}
	}
}

func networkTwice(t *T) {
	name := t.network(false)
	_, err := t.networker().CreateNetwork(t.ctx, name, false)
	t.must(err, "create the same network again")
	_, err = t.networker().CreateNetwork(t.ctx, name, true)
	t.wantKind("create it as another kind", err, backend.Exists)
}

// networkListed runs alone, so that what it lists does not change meanwhile.
func networkListed(t *T) {
	name := t.network(true)
	sb := t.Start(t.NewSpec(network(spec.NetIsolated, "")))
	var infos []backend.NetworkInfo
	for n, err := range t.networker().Networks(t.ctx) {
		t.must(err, "list networks")
		infos = append(infos, n)
	}
	i := slices.IndexFunc(infos, func(n backend.NetworkInfo) bool { return n.Name == name })
	if i < 0 || !infos[i].Internal || !infos[i].Managed {
		t.Errorf("the network is not listed as it was made: %s", show(infos))
	}
	for _, n := range sb.Inspect().Networks {
		if slices.ContainsFunc(infos, func(x backend.NetworkInfo) bool { return x.Name == n.Name }) {
			t.Errorf("%s is listed, which is berth's own plumbing for isolated sandboxes", n.Name)
		}
	}
}

func networkInUse(t *T) {
	name := t.network(false)
	sb := t.Start(t.NewSpec(network(spec.NetShared, name)))
	t.wantKind("remove a network in use", t.networker().RemoveNetwork(t.ctx, name), backend.Conflict)
	sb.wantPhase(backend.PhaseRunning)
	sb.Remove()
	t.must(t.networker().RemoveNetwork(t.ctx, name), "remove it when it is not in use")
}

func networkRemoveAbsent(t *T) {
	t.wantKind("remove an absent network", t.networker().RemoveNetwork(t.ctx, t.Name("absent")), backend.NotFound)
}
