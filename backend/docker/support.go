// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/berthrun/berth/backend"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/api/types/volume"
)

// apiSubpath is the version of the API from which on a mount can show a part of
// a volume (docker 26).
const apiSubpath = "1.45"

// helper makes a container that never runs, with volumes mounted, hands it to fn
// and removes it. Through one the engine's archive calls reach into volumes; it
// extracts neither onto a mount's own root nor past a read-only root file
// system, as the sandbox's container may have one.
func (d *driver) helper(ctx context.Context, req *backend.CreateRequest, volumes []string, fn func(native string) error) (err error) {
	host := &container.HostConfig{NetworkMode: "none"}
	for _, v := range volumes {
		host.Mounts = append(host.Mounts, mount.Mount{Type: mount.TypeVolume, Source: v, Target: "/" + v, VolumeOptions: &mount.VolumeOptions{NoCopy: true}})
	}
	made, err := finish(ctx, func(ctx context.Context) (container.CreateResponse, error) {
		return d.cli.ContainerCreate(ctx, &container.Config{
			// The command is never run; without one docker refuses.
			Image: req.Image.ID, Entrypoint: []string{"/never-run"}, NetworkDisabled: true,
			Labels: map[string]string{labelID: "", labelHelper: string(req.ID)},
		}, host, nil, nil, "")
	})
	if err != nil {
		return d.createError(ctx, req, err)
	}
	defer d.cleanup(ctx, func(ctx context.Context) {
		if rerr := d.removeContainer(ctx, made.ID, true); rerr != nil {
			err = errors.Join(err, &backend.LeakError{Left: []string{"container " + made.ID}, Err: rerr})
		}
	})
	return fn(made.ID)
}

// ownVolumes gives the root directories of new volumes to the user of the
// process. Docker makes them root's, and cannot be told otherwise.
func (d *driver) ownVolumes(ctx context.Context, req *backend.CreateRequest, out *request, mounts []container.MountPoint, fresh []string) error {
	var names []string
	for _, v := range out.Own {
		if v.Name != "" && !slices.Contains(fresh, v.Name) {
			continue
		}
		for _, m := range mounts {
			if m.Destination == v.Target && m.Type == mount.TypeVolume {
				names = append(names, m.Name)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	uid, gid, _ := owner(req.Identity)
	return d.helper(ctx, req, names, func(native string) error {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, name := range names {
			if err := w.WriteHeader(directory(name+"/", uid, gid, 0o755)); err != nil {
				return d.fail(ctx, "create", req.ID, err)
			}
		}
		if err := w.Close(); err != nil {
			return d.fail(ctx, "create", req.ID, err)
		}
		return d.fail(ctx, "create", req.ID, d.cli.CopyToContainer(ctx, native, "/", &b, container.CopyToContainerOptions{}))
	})
}

func directory(name string, uid, gid uint32, mode int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode, Uid: int(uid), Gid: int(gid), ModTime: time.Now()}
}

// remoteMount is the part of a volume that stands for a support mount on a
// remote engine. Read-only files with a digest are shared by all sandboxes.
func remoteMount(id backend.ID, s backend.SupportMount) mount.Mount {
	m := mount.Mount{
		Type: mount.TypeVolume, Source: volumeName(id, string(s.Role)), Target: s.Target, ReadOnly: s.ReadOnly,
		VolumeOptions: &mount.VolumeOptions{NoCopy: true, Labels: map[string]string{labelVolume: "support", labelID: string(id)}},
	}
	if s.ReadOnly && len(s.Digest) >= 12 {
		m.Source = prefix + string(s.Role) + "-" + s.Digest[:12]
		m.VolumeOptions.Labels = map[string]string{labelVolume: sharedVolume}
	}
	if !s.Dir {
		m.VolumeOptions.Subpath = supportFile
	}
	return m
}

const (
	// sharedVolume is the label of support volumes that several sandboxes use.
	sharedVolume = "shared"
	// supportFile is the name of the only file in the volume of a support file.
	supportFile = "file"
	// supportDone is written after it, so that a copy that was cut off shows.
	supportDone = "complete"
)

// prepareSupport fills the volumes that stand for support mounts on a remote
// engine, through a container that never runs. It returns at once on a local
// one.
func (d *driver) prepareSupport(ctx context.Context, req *backend.CreateRequest, out *request) error {
	if len(out.copies) == 0 {
		return nil
	}
	points := map[string]string{} // where the engine keeps each volume
	var names []string
	for _, c := range out.copies {
		v, err := finish(ctx, func(ctx context.Context) (volume.Volume, error) {
			return d.cli.VolumeCreate(ctx, volume.CreateOptions{Name: c.mount.Source, Driver: "local", Labels: c.mount.VolumeOptions.Labels})
		})
		if err != nil {
			return d.fail(ctx, "create", req.ID, err)
		}
		points[v.Name] = v.Mountpoint
		names = append(names, v.Name)
	}
	if err := d.helper(ctx, req, names, func(native string) error { return d.fill(ctx, req, out, native) }); err != nil {
		return err
	}
	if versions.GreaterThanOrEqualTo(d.cli.ClientVersion(), apiSubpath) {
		return nil
	}
	// Older engines mount whole volumes only, but they bind any path of their
	// own machine, and the file is at one now. Below its own root docker takes
	// no private propagation; of a file there is nothing to propagate.
	for i, m := range out.Host.Mounts {
		if m.VolumeOptions == nil || m.VolumeOptions.Subpath == "" {
			continue
		}
		out.Host.Mounts[i] = mount.Mount{
			Type: mount.TypeBind, Source: path.Join(points[m.Source], m.VolumeOptions.Subpath), Target: m.Target, ReadOnly: m.ReadOnly,
			BindOptions: &mount.BindOptions{Propagation: mount.PropagationRSlave, NonRecursive: true},
		}
	}
	return nil
}

// fill copies the content of the support mounts into their volumes.
func (d *driver) fill(ctx context.Context, req *backend.CreateRequest, out *request, native string) error {
	var missing []supportCopy
	for _, c := range out.copies {
		if c.mount.VolumeOptions.Labels[labelVolume] == sharedVolume {
			_, err := d.cli.ContainerStatPath(ctx, native, path.Join("/", c.mount.Source, supportDone))
			if err == nil {
				continue
			}
			if !cerrdefs.IsNotFound(err) {
				return d.fail(ctx, "create", req.ID, err)
			}
		}
		missing = append(missing, c)
	}
	if len(missing) == 0 {
		return nil
	}
	r, w := io.Pipe()
	defer r.Close()
	go func() { w.CloseWithError(writeSupport(w, missing)) }()
	return d.fail(ctx, "create", req.ID, d.cli.CopyToContainer(ctx, native, "/", r, container.CopyToContainerOptions{}))
}

// writeSupport writes the support mounts' content as one archive, each below
// the name of its volume.
func writeSupport(w io.Writer, copies []supportCopy) error {
	t := tar.NewWriter(w)
	for _, c := range copies {
		s, at := c.support, c.mount.Source
		if s.Dir {
			mode := int64(s.Mode & 0o7777)
			if mode == 0 {
				mode = 0o755
			}
			if err := t.WriteHeader(directory(at+"/", s.UID, s.GID, mode)); err != nil {
				return err
			}
			if err := writeTree(t, at, s); err != nil {
				return err
			}
			continue
		}
		if err := writeFile(t, path.Join(at, supportFile), s.Source, int64(s.Mode&0o7777), s); err != nil {
			return err
		}
		if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path.Join(at, supportDone), Mode: 0o444}); err != nil {
			return err
		}
	}
	return t.Close()
}

// writeTree writes the regular files and directories in a support directory.
func writeTree(t *tar.Writer, at string, s backend.SupportMount) error {
	return filepath.WalkDir(s.Source, func(name string, e fs.DirEntry, err error) error {
		if err != nil || name == s.Source {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(s.Source, name)
		if err != nil {
			return err
		}
		to := path.Join(at, filepath.ToSlash(rel))
		switch {
		case info.IsDir():
			return t.WriteHeader(directory(to+"/", s.UID, s.GID, int64(info.Mode().Perm())))
		case info.Mode().IsRegular():
			return writeFile(t, to, name, int64(info.Mode().Perm()), s)
		}
		return nil // sockets stay where they are
	})
}

func writeFile(t *tar.Writer, to, from string, mode int64, s backend.SupportMount) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if mode == 0 {
		mode = int64(info.Mode().Perm())
	}
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: to, Size: info.Size(), Mode: mode, Uid: int(s.UID), Gid: int(s.GID), ModTime: info.ModTime()}); err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	return err
}

// supportVolumes are the names of berth's own volumes that a container uses, as
// volumes or by the engine's path of them: those of the sandbox alone, and those
// that others may share.
func supportVolumes(id backend.ID, mounts []container.MountPoint) (own, shared []string) {
	for _, m := range mounts {
		names := []string{m.Name}
		if m.Type == mount.TypeBind {
			names = strings.Split(m.Source, "/")
		}
		for _, name := range names {
			switch {
			case strings.HasPrefix(name, volumeName(id, "")):
				own = append(own, name)
			case isShared(name):
				shared = append(shared, name)
			}
		}
	}
	return own, shared
}

// isShared reports whether name is that of a shared support volume.
func isShared(name string) bool {
	role, digest, ok := strings.Cut(strings.TrimPrefix(name, prefix), "-")
	return ok && strings.HasPrefix(name, prefix) && role == string(backend.RoleAgent) && len(digest) == 12 && strings.Trim(digest, "0123456789abcdef") == ""
}

// dropShared removes shared support volumes that no other sandbox uses.
func (d *driver) dropShared(ctx context.Context, id backend.ID, shared []string, all []container.Summary) {
	for _, c := range all {
		if c.Labels[labelID] == string(id) {
			continue
		}
		_, used := supportVolumes(backend.ID(c.Labels[labelID]), c.Mounts)
		shared = slices.DeleteFunc(shared, func(name string) bool { return slices.Contains(used, name) })
	}
	for _, name := range shared {
		if err := d.cli.VolumeRemove(ctx, name, false); err != nil && !cerrdefs.IsNotFound(err) {
			d.cfg.Log.Debug("volume kept", "volume", name, "reason", err)
		}
	}
}

// supportCopy is a support mount and the mount that stands for it.
type supportCopy struct {
	support backend.SupportMount
	mount   mount.Mount
}
