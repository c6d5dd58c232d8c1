// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/docker/docker/api/types/container"
)

var _ backend.StatsReader = (*driver)(nil)

// Stats reads the counters once. Docker's own percentages need two readings a
// second apart; counters do not.
func (d *driver) Stats(ctx context.Context, id backend.ID) (*backend.Usage, error) {
	c, err := d.find(ctx, "stats", id)
	if err != nil {
		return nil, err
	}
	if !c.State.Running {
		return nil, newError(backend.Conflict, "stats", id, "", "the sandbox is not running")
	}
	r, err := d.cli.ContainerStatsOneShot(ctx, c.ID)
	if err != nil {
		return nil, d.fail(ctx, "stats", id, err)
	}
	defer r.Body.Close()
	var s container.StatsResponse
	if err := json.NewDecoder(io.LimitReader(r.Body, answerLimit)).Decode(&s); err != nil {
		return nil, d.fail(ctx, "stats", id, err)
	}
	if s.Read.IsZero() {
		// What an engine answers about a container that has just ended.
		return nil, newError(backend.Conflict, "stats", id, "", "the sandbox is not running")
	}
	u := usage(&s)
	if c.HostConfig.Memory == 0 {
		u.MemoryLimit = 0 // the engine gives the machine's memory then
	}
	return u, nil
}

func usage(s *container.StatsResponse) *backend.Usage {
	u := &backend.Usage{
		Time: s.Read.UTC(), CPU: time.Duration(s.CPUStats.CPUUsage.TotalUsage),
		Memory: s.MemoryStats.Usage, MemoryLimit: s.MemoryStats.Limit, Pids: s.PidsStats.Current,
	}
	// Page cache that can be dropped: cgroup v1 and v2 have different names.
	for _, key := range []string{"total_inactive_file", "inactive_file"} {
		if cache, ok := s.MemoryStats.Stats[key]; ok {
			u.Memory -= min(cache, u.Memory)
			break
		}
	}
	for _, n := range s.Networks {
		u.NetRx += n.RxBytes
		u.NetTx += n.TxBytes
	}
	for _, b := range s.BlkioStats.IoServiceBytesRecursive {
		switch strings.ToLower(b.Op) {
		case "read":
			u.BlockRead += b.Value
		case "write":
			u.BlockWrite += b.Value
		}
	}
	return u
}
