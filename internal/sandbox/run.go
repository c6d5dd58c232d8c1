// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"time"

	"github.com/berthrun/berth/backend"
)

// RunHooks are what a caller of Run does while the sandbox lives. All may be
// nil; they are called in this order, from Run's goroutine.
type RunHooks struct {
	// Created is told the decision and the patches before the first start.
	Created func(*Prepared, *backend.Status)
	// Started is told when the command runs.
	Started func(*Started)
}

// Run makes a sandbox, runs it with streams attached, waits and removes it, as
// "docker run --rm" does. Whatever happens, nothing of it is left; when the
// context ends the sandbox is killed first and the context's error returned.
func (m *Manager) Run(ctx context.Context, req Request, streams backend.Streams, hooks RunHooks) (_ *backend.Exit, err error) {
	req.AutoRemove = true
	st, p, err := m.Create(ctx, req)
	if err != nil {
		return nil, err
	}
	defer func() {
		// Not ctx: removal happens when the caller has given up, too.
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if rerr := m.Remove(clean, st.ID, &backend.RemoveOptions{Force: true}); rerr != nil {
			err = errors.Join(err, rerr)
		}
	}()
	if hooks.Created != nil {
		hooks.Created(p, st)
	}
	started, err := m.startNew(ctx, st, &backend.AttachRequest{Streams: streams})
	if err != nil {
		return nil, err
	}
	defer started.Process.Close()
	if hooks.Started != nil {
		hooks.Started(started)
	}
	exit, err := started.Process.Wait(ctx)
	if err != nil {
		return nil, err
	}
	return exit, nil
}
