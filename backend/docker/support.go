// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
)

// ownVolumes gives the root directories of new volumes to the user of the
// process. Docker makes them root's, and cannot be told otherwise; it does
// extract an archive into a volume of a container that never ran.
func (d *driver) ownVolumes(ctx context.Context, req *backend.CreateRequest, out *request, native string, fresh []string) error {
	uid, gid, _ := owner(req.Identity)
	for _, v := range out.Own {
		if v.Name != "" && !slices.Contains(fresh, v.Name) {
			continue
		}
		if err := d.ownDirectory(ctx, req.ID, native, v.Target, uid, gid, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// ownDirectory sets owner and mode of a directory that exists in a container.
func (d *driver) ownDirectory(ctx context.Context, id backend.ID, native, dir string, uid, gid uint32, mode int64) error {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	header := &tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: mode, Uid: int(uid), Gid: int(gid), ModTime: time.Now()}
	if err := w.WriteHeader(header); err != nil {
		return d.fail(ctx, "create", id, err)
	}
	if err := w.Close(); err != nil {
		return d.fail(ctx, "create", id, err)
	}
	return d.fail(ctx, "create", id, d.cli.CopyToContainer(ctx, native, dir, &b, container.CopyToContainerOptions{}))
}

// remoteMount is the volume that stands for a support mount on a remote engine;
// false when its content is copied into the container itself.
func remoteMount(id backend.ID, s backend.SupportMount) (mount.Mount, bool) {
	return mount.Mount{}, false
}

func (d *driver) prepareSupport(ctx context.Context, req *backend.CreateRequest, out *request) error {
	return nil
}

func (d *driver) copySupport(ctx context.Context, req *backend.CreateRequest, out *request, native string) error {
	return nil
}
