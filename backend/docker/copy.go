// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/berthrun/berth/backend"
	"github.com/docker/docker/api/types/container"
)

var _ backend.Copier = (*driver)(nil)

// CopyTo extracts a tar archive, through the engine, in a sandbox of any state.
func (d *driver) CopyTo(ctx context.Context, id backend.ID, dir string, archive io.Reader) error {
	native, err := d.native(ctx, "copy-to", id)
	if err != nil {
		return err
	}
	err = d.cli.CopyToContainer(ctx, native, dir, archive, container.CopyToContainerOptions{})
	return d.copyError(ctx, "copy-to", id, dir, err)
}

// CopyFrom returns a tar archive of a path.
func (d *driver) CopyFrom(ctx context.Context, id backend.ID, path string) (io.ReadCloser, error) {
	native, err := d.native(ctx, "copy-from", id)
	if err != nil {
		return nil, err
	}
	r, _, err := d.cli.CopyFromContainer(ctx, native, path)
	if err != nil {
		return nil, d.copyError(ctx, "copy-from", id, path, err)
	}
	return r, nil
}

// copyError tells a missing sandbox from a missing path, and a read-only place
// from a bad archive.
func (d *driver) copyError(ctx context.Context, op string, id backend.ID, path string, err error) error {
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*backend.Error](d.fail(ctx, op, id, err))
	if !ok {
		return ctx.Err()
	}
	text := err.Error()
	switch {
	case strings.Contains(text, "read-only") || strings.Contains(text, "marked read only"):
		e.Kind, e.Message = backend.Conflict, fmt.Sprintf("%s is read-only in the sandbox", path)
	case e.Kind == backend.NotFound:
		if _, ferr := d.find(ctx, op, id); ferr != nil {
			return ferr
		}
		e.Message = fmt.Sprintf("the sandbox has no %s", path)
	case strings.Contains(text, "not a directory"):
		e.Kind, e.Message = backend.Invalid, fmt.Sprintf("%s is not a directory", path)
	case e.Kind == backend.Internal && (strings.Contains(text, "archive/tar") || strings.Contains(text, "unexpected EOF") || strings.Contains(text, "breakout")):
		e.Kind, e.Message = backend.Invalid, "the archive is no tar, or points out of the sandbox"
	}
	return e
}
