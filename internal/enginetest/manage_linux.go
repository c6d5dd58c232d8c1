// SPDX-License-Identifier: Apache-2.0

package enginetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Find returns the client of the engine name below base, which another process
// owns. The error is os.ErrNotExist when no such engine was started.
func Find(base, name string) (*Client, error) {
	if err := checkBase(base); err != nil {
		return nil, err
	}
	s, err := readState(filepath.Join(base, name))
	if err != nil {
		return nil, err
	}
	return &Client{s.Endpoint}, nil
}

// Down tears down the engine name below base, whether its owner lives or was
// killed, and returns when nothing of it is left. An engine that does not
// exist is no error.
func Down(ctx context.Context, base, name string) error {
	if err := checkBase(base); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	dir := filepath.Join(base, name)
	asked, last := false, error(nil)
	for {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			return nil
		}
		lock, err := lockDir(dir)
		switch {
		case err == nil:
			defer lock.Close()
			return cleanDir(ctx, dir)
		case errors.Is(err, os.ErrNotExist):
			return nil
		case !errors.Is(err, errOwned):
			return err
		}
		if !asked {
			// It fails while the owner still starts, and while a killed one has
			// not quite ended.
			c, err := Find(base, name)
			if err == nil {
				err = c.shutdown(ctx)
			}
			asked, last = err == nil, err
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("take down engine %s: its owner did not end: %w", name, ctx.Err()), last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
