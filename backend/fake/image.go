// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/probe"
)

// program is the content of every file that the model can run: the probe.
const program = "\x7fFAKE the probe of berth's conformance suite\n"

// image is an image of the engine.
type image struct {
	backend.Image
	root    *memory
	volumes []string
}

// imageConfig is the configuration in an archive, as OCI names it.
type imageConfig struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Config       struct {
		User       string
		Env        []string
		Entrypoint []string
		Cmd        []string
		WorkingDir string
		StopSignal string
		Volumes    map[string]struct{} `json:",omitempty"`
		Labels     map[string]string   `json:",omitempty"`
	} `json:"config"`
	RootFS struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

// manifest is one entry of manifest.json.
type manifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// file is an entry of a layer.
type file struct {
	path     string
	mode     int64
	uid, gid int
	dir      bool
	link     string
	data     string
}

// archive builds what "docker save" would write of an image. The name is in its
// configuration too, so that images with different names have different ids.
func archive(ref string, config backend.Image, volumes []string, files []file) []byte {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.path, Mode: f.mode, Uid: f.uid, Gid: f.gid, Size: int64(len(f.data))}
		switch {
		case f.dir:
			h.Typeflag = tar.TypeDir
		case f.link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.link
		}
		_ = w.WriteHeader(h) // a buffer takes everything
		_, _ = io.WriteString(w, f.data)
	}
	_ = w.Close()
	c := imageConfig{Architecture: "amd64", OS: "linux"}
	c.Config.User, c.Config.Env, c.Config.WorkingDir = config.User, config.Env, config.Workdir
	c.Config.Entrypoint, c.Config.Cmd, c.Config.StopSignal = config.Entrypoint, config.Cmd, config.StopSignal
	c.Config.Labels = map[string]string{"name": ref}
	for _, v := range volumes {
		c.Config.Volumes = map[string]struct{}{v: {}}
	}
	c.RootFS.Type = "layers"
	c.RootFS.DiffIDs = []string{"sha256:" + digest(layer.Bytes())}
	configText, _ := json.Marshal(c)
	name := digest(configText) + ".json"
	manifestText, _ := json.Marshal([]manifest{{Config: name, RepoTags: []string{ref}, Layers: []string{"layer.tar"}}})
	var out bytes.Buffer
	w = tar.NewWriter(&out)
	for _, f := range []file{{path: name, data: string(configText)}, {path: "layer.tar", data: layer.String()}, {path: "manifest.json", data: string(manifestText)}} {
		_ = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.path, Mode: 0o644, Size: int64(len(f.data))})
		_, _ = io.WriteString(w, f.data)
	}
	_ = w.Close()
	return out.Bytes()
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// maxArchive bounds an archive: the model keeps images in memory.
const maxArchive = 64 << 20

// unpack reads an archive.
func unpack(r io.Reader) ([]*image, error) {
	files := map[string][]byte{}
	for t := tar.NewReader(io.LimitReader(r, maxArchive)); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if files[path.Clean(h.Name)], err = io.ReadAll(t); err != nil {
			return nil, err
		}
	}
	var manifests []manifest
	if err := json.Unmarshal(files["manifest.json"], &manifests); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	var images []*image
	for _, m := range manifests {
		i, err := build(m, files)
		if err != nil {
			return nil, err
		}
		images = append(images, i)
	}
	if len(images) == 0 {
		return nil, errors.New("no image in it")
	}
	return images, nil
}

func build(m manifest, files map[string][]byte) (*image, error) {
	var c imageConfig
	if err := json.Unmarshal(files[m.Config], &c); err != nil {
		return nil, fmt.Errorf("config %q: %w", m.Config, err)
	}
	i := &image{root: newMemory(0, 0o755), Image: backend.Image{
		ID: "sha256:" + digest(files[m.Config]), Refs: m.RepoTags, Digests: []string{}, Platform: c.OS + "/" + c.Architecture,
		Entrypoint: c.Config.Entrypoint, Cmd: c.Config.Cmd, Env: c.Config.Env, User: c.Config.User, Workdir: c.Config.WorkingDir,
		StopSignal: c.Config.StopSignal, Created: time.Unix(0, 0).UTC(),
	}}
	for v := range c.Config.Volumes {
		i.volumes = append(i.volumes, v)
	}
	slices.Sort(i.volumes)
	for _, layer := range m.Layers {
		for t := tar.NewReader(bytes.NewReader(files[layer])); ; {
			h, err := t.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("layer %q: %w", layer, err)
			}
			data, err := io.ReadAll(t)
			if err != nil {
				return nil, fmt.Errorf("layer %q: %w", layer, err)
			}
			n := node{kind: probe.TypeFile, mode: uint32(h.Mode & 0o7777), uid: h.Uid, gid: h.Gid, target: h.Linkname}
			switch h.Typeflag {
			case tar.TypeDir:
				n.kind = probe.TypeDir
			case tar.TypeSymlink:
				n.kind = probe.TypeSymlink
			}
			// Clean keeps an entry below the root, whatever its name.
			i.root.put(path.Clean("/"+h.Name), n, string(data))
			i.Size += int64(len(data))
		}
	}
	return i, nil
}

// find returns the image that ref names; the lock is held.
func (e *Engine) find(ref, wanted string) *image {
	for _, i := range e.images {
		if (i.ID == ref || slices.Contains(i.Refs, ref)) && (wanted == "" || wanted == i.Platform) {
			return i
		}
	}
	return nil
}

// add stores an image under its names; the lock is held.
func (e *Engine) add(i *image) {
	for _, other := range e.images {
		other.Refs = slices.DeleteFunc(other.Refs, func(r string) bool { return slices.Contains(i.Refs, r) })
	}
	if old := e.images[i.ID]; old != nil {
		old.Refs = append(old.Refs, i.Refs...)
		return
	}
	e.images[i.ID] = i
}

// told is a copy for the caller.
func (i *image) told() *backend.Image {
	c := i.Image
	c.Refs, c.Digests = slices.Clone(i.Refs), slices.Clone(i.Digests)
	c.Entrypoint, c.Cmd, c.Env = slices.Clone(i.Entrypoint), slices.Clone(i.Cmd), slices.Clone(i.Env)
	return &c
}

// Image implements backend.Imager.
func (d *Driver) Image(ctx context.Context, ref, platform string) (*backend.Image, error) {
	e, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	if e.has(BugPlatformIgnored) {
		platform = ""
	}
	i := e.find(ref, platform)
	if i == nil && e.has(BugImageGuessed) {
		i = &image{Image: backend.Image{ID: "sha256:guessed", Refs: []string{ref}}}
	}
	if i == nil {
		return nil, fail(backend.NotFound, "image", "", "no image %q for %q: pull or load it", ref, platform)
	}
	told := i.told()
	if e.has(BugImageConfigLost) {
		told.Entrypoint, told.StopSignal = nil, ""
	}
	return told, nil
}

// Answers of the model's registry.
type answer int

const (
	gives answer = iota
	denies
	lacks
	unreachable
)

// PullImage implements backend.Imager.
func (d *Driver) PullImage(ctx context.Context, ref string, opts *backend.PullOptions) (*backend.Image, error) {
	e, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	if err := e.missing("image.pull", "", "", backend.ImagePull); err != nil {
		return nil, err
	}
	a, known := e.registry[ref]
	if !known {
		a = lacks
	}
	if e.has(BugPullDenied) && a == denies {
		a = lacks
	}
	if e.has(BugPullAbsent) && a == lacks {
		return nil, fail(backend.Internal, "image.pull", "", "the registry said 404")
	}
	if e.has(BugPullUnreachable) && a == unreachable {
		return nil, fail(backend.NotFound, "image.pull", "", "no such image %q", ref)
	}
	switch a {
	case denies:
		return nil, fail(backend.Denied, "image.pull", "", "the registry refuses %q: log in", ref)
	case lacks:
		return nil, fail(backend.NotFound, "image.pull", "", "the registry has no %q", ref)
	case unreachable:
		return nil, fail(backend.Unavailable, "image.pull", "", "no registry answers for %q", ref)
	}
	images, err := unpack(bytes.NewReader(baseArchive(ref)))
	if err != nil {
		return nil, &backend.Error{Kind: backend.Internal, Op: "fake.image.pull", Err: err}
	}
	if !e.has(BugPullNothing) {
		e.add(images[0])
	}
	if opts != nil && opts.Progress != nil && !e.has(BugPullSilent) {
		opts.Progress(backend.PullProgress{Status: "done", Current: images[0].Size, Total: images[0].Size})
	}
	return images[0].told(), nil
}

// LoadImage implements backend.Imager.
func (d *Driver) LoadImage(ctx context.Context, archive io.Reader) ([]*backend.Image, error) {
	e, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	if err := e.missing("image.load", "", "", backend.ImageLoad); err != nil {
		return nil, err
	}
	images, err := unpack(archive)
	if err != nil && e.has(BugLoadGarbage) {
		return nil, nil
	}
	if err != nil {
		return nil, &backend.Error{Kind: backend.Invalid, Op: "fake.image.load", Message: "no image archive", Err: err}
	}
	var told []*backend.Image
	for _, i := range images {
		if !e.has(BugLoadNothing) {
			e.add(i)
		}
		told = append(told, i.told())
	}
	return told, nil
}

// Images implements backend.Imager.
func (d *Driver) Images(ctx context.Context) iter.Seq2[*backend.Image, error] {
	return func(yield func(*backend.Image, error) bool) {
		e, err := d.enter(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		var all []*backend.Image
		for _, i := range e.images {
			all = append(all, i.told())
		}
		e.mu.Unlock()
		slices.SortFunc(all, func(a, b *backend.Image) int { return strings.Compare(a.ID, b.ID) })
		for _, i := range all {
			if !yield(i, nil) {
				return
			}
		}
	}
}

// RemoveImage implements backend.Imager.
func (d *Driver) RemoveImage(ctx context.Context, ref string, force bool) error {
	e, err := d.enter(ctx)
	if err != nil {
		return err
	}
	defer e.mu.Unlock()
	i := e.find(ref, "")
	if i == nil {
		if e.has(BugRemoveImageAbsent) {
			return nil
		}
		return fail(backend.NotFound, "image.remove", "", "no image %q", ref)
	}
	inUse := func() bool {
		for _, sb := range e.sandboxes {
			if sb.image == i {
				return true
			}
		}
		return false
	}
	last := len(i.Refs) <= 1 || i.ID == ref
	if last && inUse() && !force && !e.has(BugRemoveImageInUse) {
		return fail(backend.Conflict, "image.remove", "", "image %q is in use: remove its sandboxes first", ref)
	}
	i.Refs = slices.DeleteFunc(i.Refs, func(r string) bool { return r == ref })
	if last {
		delete(e.images, i.ID)
	}
	return nil
}

// ImageFiles implements backend.Imager.
func (d *Driver) ImageFiles(ctx context.Context, img *backend.Image, paths []string, limit int64) (map[string][]byte, error) {
	e, err := d.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	i := e.find(img.ID, "")
	if i == nil {
		return nil, fail(backend.NotFound, "image.files", "", "no image %q", img.ID)
	}
	files := map[string][]byte{}
	v := view{mounts: []*mounted{{target: "/", tree: i.root}}}
	root := user{effective: []string{"DAC_OVERRIDE"}}
	for _, p := range paths {
		f, err := v.existing(root, "/", p, true)
		if err != nil || f.st.Type != probe.TypeFile {
			if e.has(BugImageFilesInvented) {
				files[p] = nil
			}
			continue
		}
		if f.st.Size > limit && !e.has(BugImageFilesUnbounded) {
			return nil, fail(backend.Invalid, "image.files", "", "%s is larger than %d bytes", p, limit)
		}
		data, err := f.mount.tree.readFile(f.rel, int(f.st.Size))
		if err != nil {
			return nil, &backend.Error{Kind: backend.Internal, Op: "fake.image.files", Err: err}
		}
		files[p] = data
	}
	return files, nil
}
