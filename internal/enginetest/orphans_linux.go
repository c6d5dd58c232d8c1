// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// AdoptOrphans makes this process the parent of every process that is orphaned
// below it, such as the shims of an engine, and reaps them until ctx ends.
// Without that they would go to PID 1, which in a container often reaps
// nothing: a test that waits for a process to vanish would then wait forever.
//
// It is for a main function: it must not be used where other code starts
// processes and takes longer than a second to wait for one that has ended.
func AdoptOrphans(ctx context.Context) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("adopt orphans: %w", err)
	}
	go func() {
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		seen := map[process]int{}
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				seen = reap(seen)
			}
		}
	}()
	return nil
}

// reap waits for the zombie children that it has seen in earlier rounds and
// that nobody else waits for. It returns the zombies that it saw now and how
// often.
func reap(seen map[process]int) map[process]int {
	now := map[process]int{}
	for _, p := range childrenOf(os.Getpid(), true) {
		if _, ours := children.Load(p.PID); ours {
			continue
		}
		// Four rounds: os/exec waits for its own children long before that.
		if now[p] = seen[p] + 1; now[p] > 4 {
			_, _ = unix.Wait4(p.PID, nil, unix.WNOHANG, nil)
		}
	}
	return now
}

// childrenOf returns the child processes of pid, zombies or the others.
func childrenOf(pid int, zombies bool) []process {
	var out []process
	for _, c := range pids() {
		if s, err := readStat(c); err == nil && s.ppid == pid && (s.state == 'Z') == zombies {
			out = append(out, process{Name: s.comm, PID: c, Start: s.start})
		}
	}
	return out
}
