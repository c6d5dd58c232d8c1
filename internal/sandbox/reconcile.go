// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/berthrun/berth/backend"
)

// settled is how long something has to be left alone before Reconcile takes it
// for abandoned: longer than any step of a create.
const settled = 2 * time.Minute

// Reconcile removes what clients that were killed left behind: sandboxes of
// "run" of this caller that have ended, and directories in the state whose
// sandbox this engine does not have any more. It returns the ids. What somebody
// works on is left alone.
func (m *Manager) Reconcile(ctx context.Context) ([]backend.ID, error) {
	info, err := m.driver.Probe(ctx, false)
	if err != nil {
		return nil, err
	}
	var removed []backend.ID
	var errs []error
	alive := map[backend.ID]bool{}
	for st, err := range m.driver.List(ctx, nil) {
		if err != nil {
			return nil, err
		}
		alive[st.ID] = true
		ended := st.Phase == backend.PhaseExited || st.Phase == backend.PhaseFailed
		if !st.Record.AutoRemove || !ended || st.Record.Owner != m.caller.UID || time.Since(st.FinishedAt) < settled {
			continue
		}
		ok, err := m.abandoned(ctx, st.ID, func() error { return m.driver.Remove(ctx, st.ID, nil) })
		if errs = append(errs, err); ok {
			removed = append(removed, st.ID)
		}
	}
	entries, err := os.ReadDir(filepath.Join(m.state.dir, "sandboxes"))
	if err != nil {
		return removed, local("sandbox.reconcile", "", err)
	}
	for _, e := range entries {
		id := backend.ID(e.Name())
		if !validID(id) || alive[id] || m.state.engine(id) != engineOf(info) {
			continue
		}
		if fi, err := e.Info(); err != nil || time.Since(fi.ModTime()) < settled {
			continue
		}
		ok, err := m.abandoned(ctx, id, func() error {
			// Asked again under the lock: it may have been made a moment ago.
			if _, err := m.driver.Inspect(ctx, id); !errors.Is(err, backend.NotFound) {
				return errors.Join(err, errBusy)
			}
			return nil
		})
		if errs = append(errs, err); ok {
			removed = append(removed, id)
		}
	}
	return removed, errors.Join(errs...)
}

// errBusy says that something is not abandoned after all.
var errBusy = errors.New("in use")

// abandoned removes a sandbox's state after remove, unless somebody holds its
// lock.
func (m *Manager) abandoned(_ context.Context, id backend.ID, remove func() error) (bool, error) {
	l := m.state.lock(id)
	if ok, err := l.TryLock(); err != nil || !ok {
		return false, err
	}
	defer func() { _ = l.Unlock() }()
	if err := remove(); err != nil {
		if errors.Is(err, errBusy) {
			err = nil
		}
		return false, err
	}
	return true, m.dropState(id)
}

// engineOf identifies the engine that has a sandbox.
func engineOf(info *backend.Info) string { return info.Driver + " " + info.EngineID }
