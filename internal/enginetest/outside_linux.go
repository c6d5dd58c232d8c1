// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// outside is the peer that stands for the internet: an HTTP server that
// answers every request with a body nobody else knows, and a DNS server that
// knows one name.
type outside struct {
	body string
	web  *http.Server
	dns  net.PacketConn
	done chan struct{}
}

func startOutside(netns string) (*outside, error) {
	ctx := context.Background()
	l, err := Listen(ctx, netns, "tcp", ":80")
	if err != nil {
		return nil, err
	}
	dns, err := ListenPacket(ctx, netns, "udp4", outsideAddr+":53")
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	b := make([]byte, 8)
	rand.Read(b)
	o := &outside{body: "outside-" + hex.EncodeToString(b), dns: dns, done: make(chan struct{})}
	o.web = &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, o.body)
		}),
	}
	go func() {
		defer close(o.done)
		_ = o.web.Serve(l)
	}()
	go serveDNS(dns)
	return o, nil
}

func (o *outside) close() {
	_ = o.web.Close()
	_ = o.dns.Close()
	<-o.done
}

func serveDNS(c net.PacketConn) {
	buf := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		if reply := answerDNS(buf[:n]); reply != nil {
			_, _ = c.WriteTo(reply, from)
		}
	}
}

// answerDNS answers one query: OutsideName has the peer's address, every other
// name does not exist. It returns nil for what is not a plain query.
func answerDNS(q []byte) []byte {
	const header = 12
	if len(q) < header || q[2]&0x80 != 0 || binary.BigEndian.Uint16(q[4:]) != 1 {
		return nil
	}
	var labels []string
	i := header
	for {
		if i >= len(q) {
			return nil
		}
		n := int(q[i])
		i++
		if n == 0 {
			break
		}
		if n > 63 || i+n > len(q) {
			return nil
		}
		labels = append(labels, string(q[i:i+n]))
		i += n
	}
	if i+4 > len(q) {
		return nil
	}
	qtype := binary.BigEndian.Uint16(q[i:])
	question := q[header : i+4]

	known := strings.EqualFold(strings.Join(labels, "."), OutsideName)
	r := make([]byte, header, 512)
	copy(r, q[:2])
	r[2] = 0x84 | q[2]&0x01 // an authoritative answer; recursion as asked
	r[3] = 0x80
	if !known {
		r[3] |= 3 // the name does not exist
	}
	r[5] = 1
	r = append(r, question...)
	if known && qtype == 1 {
		r[7] = 1
		addr := netip.MustParseAddr(outsideAddr).As4()
		// A pointer to the name in the question, type A, class IN, no caching.
		r = append(r, 0xc0, header, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		r = append(r, addr[:]...)
	}
	return r
}
