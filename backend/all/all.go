// SPDX-License-Identifier: Apache-2.0

// Package all lists the backends that berth ships. Programs import it; drivers
// and neutral packages never do.
package all

import (
	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/backend/docker"
)

// Registry returns a new registry of every backend, in the order in which they
// are preferred.
func Registry() *backend.Registry {
	r := &backend.Registry{}
	r.Register(docker.Name, docker.Open)
	return r
}
