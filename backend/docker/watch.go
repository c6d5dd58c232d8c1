// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
)

var _ backend.Watcher = (*driver)(nil)

// Watch reads the engine's events. It yields an error and ends when the engine
// goes away.
func (d *driver) Watch(ctx context.Context) iter.Seq2[backend.Event, error] {
	return func(yield func(backend.Event, error) bool) {
		inner, cancel := context.WithCancel(ctx)
		defer cancel()
		messages, errs := d.cli.Events(inner, events.ListOptions{Filters: filters.NewArgs(
			filters.Arg("type", string(events.ContainerEventType)), filters.Arg("label", labelID),
		)})
		for {
			select {
			case m := <-messages:
				if e, ok := event(&m); ok && !yield(e, nil) {
					return
				}
			case err := <-errs:
				if ctx.Err() == nil {
					if errors.Is(err, io.EOF) || err == nil {
						err = io.ErrUnexpectedEOF // the engine stopped
					}
					yield(backend.Event{}, d.fail(ctx, "watch", "", err))
				}
				return
			}
		}
	}
}

// event translates a change of a sandbox's phase; false for anything else.
func event(m *events.Message) (backend.Event, bool) {
	if !ours(m.Actor.Attributes["name"], m.Actor.Attributes) {
		return backend.Event{}, false
	}
	e := backend.Event{Time: time.Unix(0, m.TimeNano).UTC(), ID: backend.ID(m.Actor.Attributes[labelID])}
	switch m.Action {
	case events.ActionCreate:
		e.Phase = backend.PhaseCreated
	case events.ActionStart, events.ActionUnPause:
		e.Phase = backend.PhaseRunning
	case events.ActionPause:
		e.Phase = backend.PhasePaused
	case events.ActionDie:
		e.Phase = backend.PhaseExited
	case events.ActionDestroy:
		e.Phase, e.Removed = backend.PhaseExited, true
	default:
		return backend.Event{}, false
	}
	return e, true
}
