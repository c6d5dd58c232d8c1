// SPDX-License-Identifier: Apache-2.0

package dockerharness

import (
	"context"
	"net"

	"github.com/berthrun/berth/conformance"
	"github.com/berthrun/berth/internal/enginetest"
)

// outside serves beyond the engine's machine, in the namespace that plays the
// rest of the world.
func outside(ctx context.Context, c *enginetest.Client) (conformance.Endpoint, func(), error) {
	l, err := enginetest.Listen(ctx, c.OutsideNetns, "tcp", net.JoinHostPort(c.Outside, "0"))
	if err != nil {
		return conformance.Endpoint{}, nil, err
	}
	const body = "a service beyond the engine's machine"
	go serve(l, body)
	return conformance.Endpoint{Address: l.Addr().String(), Body: body}, func() { _ = l.Close() }, nil
}
