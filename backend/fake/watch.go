// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"context"
	"iter"
	"time"

	"github.com/berthrun/berth/backend"
)

var (
	_ backend.Watcher   = (*Driver)(nil)
	_ backend.Committer = (*Driver)(nil)
)

// happened notes a change in a sandbox's life; the lock is held.
func (e *Engine) happened(sb *sandbox, removed bool) {
	if e.has(BugRemovalUnwatched) && removed {
		return
	}
	e.events = append(e.events, backend.Event{Time: time.Now().UTC(), ID: sb.id, Phase: sb.phase, Removed: removed})
	e.changed.Broadcast()
}

// Watch implements backend.Watcher.
func (d *Driver) Watch(ctx context.Context) iter.Seq2[backend.Event, error] {
	return func(yield func(backend.Event, error) bool) {
		e, err := d.enter(ctx)
		if err != nil {
			yield(backend.Event{}, err)
			return
		}
		defer e.mu.Unlock()
		at := len(e.events)
		for {
			if err := e.wait(ctx, func() bool { return len(e.events) > at }); err != nil {
				return
			}
			event := e.events[at]
			at++
			e.mu.Unlock()
			more := yield(event, nil)
			e.mu.Lock()
			if !more {
				return
			}
		}
	}
}

// Commit implements backend.Committer.
func (d *Driver) Commit(ctx context.Context, id backend.ID, ref string) (*backend.Image, error) {
	e, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	sb, err := e.sandbox("commit", id)
	if err != nil {
		return nil, err
	}
	i := &image{Image: *sb.image.told(), root: sb.root.clone(0), volumes: sb.image.volumes}
	if e.has(BugCommitEmpty) {
		i.root = sb.image.root.clone(0)
	}
	i.ID, i.Refs = "sha256:"+digest([]byte(ref)), []string{ref}
	e.add(i)
	return i.told(), nil
}
