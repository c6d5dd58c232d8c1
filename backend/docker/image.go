// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/versions"
	"github.com/docker/docker/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var _ backend.Imager = (*driver)(nil)

// Image looks an image up by name or id.
func (d *driver) Image(ctx context.Context, ref, platform string) (*backend.Image, error) {
	const op = "image"
	var opts []client.ImageInspectOption
	want, err := parsePlatform(platform)
	if err != nil {
		return nil, &backend.Error{Kind: backend.Invalid, Op: "docker." + op, Field: "image.platform", Err: err}
	}
	if want != nil {
		if err := d.negotiate(ctx); err != nil {
			return nil, d.fail(ctx, op, "", err)
		}
		// An engine with containerd's image store has one name for many platforms.
		if versions.GreaterThanOrEqualTo(d.cli.ClientVersion(), "1.49") {
			opts = append(opts, client.ImageInspectWithPlatform(want))
		}
	}
	in, err := d.cli.ImageInspect(ctx, ref, opts...)
	if err != nil {
		if cerrdefs.IsNotFound(err) && want != nil && strings.Contains(err.Error(), "platform") {
			return nil, &backend.Error{Kind: backend.NotFound, Op: "docker." + op, Field: "image.platform", Message: fmt.Sprintf("the engine does not have image %q for %s", ref, platform), Err: err}
		}
		if cerrdefs.IsNotFound(err) {
			return nil, &backend.Error{Kind: backend.NotFound, Op: "docker." + op, Field: "image.ref", Message: fmt.Sprintf("the engine has no image %q", ref), Err: err}
		}
		e := d.fail(ctx, op, "", err)
		var own *backend.Error
		if errors.As(e, &own) && own.Kind == backend.Invalid {
			own.Field = "image.ref"
		}
		return nil, e
	}
	img := imageOf(&in)
	if want != nil && !samePlatform(want, &in) {
		return nil, newError(backend.NotFound, op, "", "image.platform", "the engine has image %q for %s only, not for %s", ref, img.Platform, platform)
	}
	return img, nil
}

// parsePlatform reads os/arch[/variant].
func parsePlatform(s string) (*ocispec.Platform, error) {
	if s == "" {
		return nil, nil
	}
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		return nil, fmt.Errorf("platform %q: want os/arch or os/arch/variant, such as linux/arm64", s)
	}
	p := &ocispec.Platform{OS: parts[0], Architecture: parts[1]}
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	return p, nil
}

func samePlatform(want *ocispec.Platform, in *image.InspectResponse) bool {
	if want.OS != in.Os || want.Architecture != in.Architecture {
		return false
	}
	// arm64 has one variant, which images may leave out.
	return want.Variant == "" || want.Variant == in.Variant || in.Variant == "" && want.Architecture == "arm64" && want.Variant == "v8"
}

func imageOf(in *image.InspectResponse) *backend.Image {
	img := &backend.Image{
		ID: in.ID, Refs: slices.Clone(in.RepoTags), Digests: slices.Clone(in.RepoDigests), Size: in.Size,
		Created: moment(in.Created), Platform: path.Join(in.Os, in.Architecture, in.Variant), Entrypoint: []string{}, Cmd: []string{},
	}
	if img.Refs == nil {
		img.Refs = []string{}
	}
	if img.Digests == nil {
		img.Digests = []string{}
	}
	if c := in.Config; c != nil {
		img.Env, img.User, img.Workdir, img.StopSignal = c.Env, c.User, c.WorkingDir, c.StopSignal
		img.Entrypoint, img.Cmd = append(img.Entrypoint, c.Entrypoint...), append(img.Cmd, c.Cmd...)
	}
	return img
}

// progressLine is a line of what the engine says during a pull or a load.
type progressLine struct {
	Stream   string `json:"stream"`
	Status   string `json:"status"`
	ID       string `json:"id"`
	Error    string `json:"error"`
	Progress struct {
		Current int64 `json:"current"`
		Total   int64 `json:"total"`
	} `json:"progressDetail"`
	ErrorDetail *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"errorDetail"`
}

// progressLimit bounds the text of a whole pull or load.
const progressLimit = 256 << 20

// progress yields the lines of r until its end; an error that the engine
// reports is the last.
func progress(r io.Reader) iter.Seq2[progressLine, error] {
	return func(yield func(progressLine, error) bool) {
		dec := json.NewDecoder(io.LimitReader(r, progressLimit))
		for {
			var line progressLine
			err := dec.Decode(&line)
			if errors.Is(err, io.EOF) {
				return
			}
			if err == nil && (line.Error != "" || line.ErrorDetail != nil) {
				text, code := line.Error, 0
				if line.ErrorDetail != nil {
					code = line.ErrorDetail.Code
					if line.ErrorDetail.Message != "" {
						text = line.ErrorDetail.Message
					}
				}
				err = &statusError{code: code, message: text}
			}
			if err != nil {
				yield(progressLine{}, err)
				return
			}
			if !yield(line, nil) {
				return
			}
		}
	}
}

// LoadImage hands the archive to the engine.
func (d *driver) LoadImage(ctx context.Context, archive io.Reader) ([]*backend.Image, error) {
	const op = "image-load"
	info, err := d.probe(ctx)
	if err != nil {
		return nil, err
	}
	l := loadable(archive, ocispec.Platform{OS: info.OS, Architecture: info.Arch})
	defer l.Close()
	resp, err := d.cli.ImageLoad(ctx, l, client.ImageLoadWithQuiet(true))
	if err != nil {
		return nil, d.loadError(ctx, l, err)
	}
	defer resp.Body.Close()
	var refs []string
	for line, err := range progress(resp.Body) {
		if err != nil {
			return nil, d.loadError(ctx, l, err)
		}
		text := strings.TrimSpace(line.Stream)
		for _, mark := range []string{"Loaded image ID: ", "Loaded image: "} {
			if ref, ok := strings.CutPrefix(text, mark); ok {
				refs = append(refs, ref)
				break
			}
		}
	}
	if len(refs) == 0 {
		return nil, newError(backend.Invalid, op, "", "", "the archive has no image: want what \"docker save\" writes")
	}
	var out []*backend.Image
	for _, ref := range refs {
		img, err := d.Image(ctx, ref, "")
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(out, func(o *backend.Image) bool { return o.ID == img.ID }); i < 0 {
			out = append(out, img)
		}
	}
	return out, nil
}

// loadError tells an archive that is none from a full disk and the like. The
// engine answers 500 for both.
func (d *driver) loadError(ctx context.Context, l *loader, err error) error {
	if bad := l.failure(); bad != nil && ctx.Err() == nil {
		return &backend.Error{Kind: backend.Invalid, Op: "docker.image-load", Message: "the archive cannot be read", Err: bad}
	}
	e, ok := errors.AsType[*backend.Error](d.fail(ctx, "image-load", "", err))
	if !ok {
		return ctx.Err()
	}
	if e.Kind == backend.Internal || e.Kind == backend.NotFound || e.Kind == backend.Conflict {
		e.Kind, e.Message = backend.Invalid, "the archive is not what \"docker save\" writes"
	}
	return e
}

// Images yields what the engine has, one look at each.
func (d *driver) Images(ctx context.Context) iter.Seq2[*backend.Image, error] {
	return func(yield func(*backend.Image, error) bool) {
		list, err := d.cli.ImageList(ctx, image.ListOptions{})
		if err != nil {
			yield(nil, d.fail(ctx, "images", "", err))
			return
		}
		for _, s := range list {
			img, err := d.Image(ctx, s.ID, "")
			if backend.KindOf(err) == backend.NotFound {
				continue // removed meanwhile
			}
			if !yield(img, err) || err != nil {
				return
			}
		}
	}
}

// RemoveImage removes a name or an id.
func (d *driver) RemoveImage(ctx context.Context, ref string, force bool) error {
	_, err := d.cli.ImageRemove(ctx, ref, image.RemoveOptions{Force: force, PruneChildren: true})
	if err != nil {
		e, ok := errors.AsType[*backend.Error](d.fail(ctx, "image-remove", "", err))
		if !ok {
			return ctx.Err()
		}
		switch e.Kind {
		case backend.NotFound:
			e.Message = fmt.Sprintf("the engine has no image %q", ref)
		case backend.Conflict:
			e.Message = fmt.Sprintf("image %q is in use", ref)
		}
		return e
	}
	return nil
}

// linkLimit bounds how many symbolic links are followed to one file.
const linkLimit = 16

// errTooLarge says that a file of the image is above the caller's limit.
var errTooLarge = errors.New("file is too large")

// ImageFiles reads files through a container that never runs.
func (d *driver) ImageFiles(ctx context.Context, img *backend.Image, paths []string, limit int64) (map[string][]byte, error) {
	const op = "image-files"
	out := map[string][]byte{}
	var mu sync.Mutex
	err := d.helper(ctx, &backend.CreateRequest{Image: img, Spec: &spec.Sandbox{Image: spec.Image{Ref: img.ID}}}, nil, func(native string) error {
		var reads []func() error
		for _, p := range paths {
			reads = append(reads, func() error {
				data, ok, err := d.readFile(ctx, native, p, limit)
				if ok {
					mu.Lock()
					out[p] = data
					mu.Unlock()
				}
				return err
			})
		}
		return together(reads...)
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if errors.Is(err, errTooLarge) {
		return nil, &backend.Error{Kind: backend.Invalid, Op: "docker." + op, Err: err}
	}
	if err != nil {
		return nil, d.fail(ctx, op, "", err)
	}
	return out, nil
}

// readFile reads one regular file of a container; false when there is none. A
// symbolic link is followed within the container's root, which the engine does
// for the directories on the way.
func (d *driver) readFile(ctx context.Context, native, name string, limit int64) ([]byte, bool, error) {
	at := path.Join("/", name)
	for range linkLimit {
		r, stat, err := d.cli.CopyFromContainer(ctx, native, at)
		if cerrdefs.IsNotFound(err) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		data, target, err := readEntry(r, limit)
		r.Close()
		if err != nil {
			return nil, false, fmt.Errorf("%s: %w", name, err)
		}
		if target == "" {
			return data, data != nil, nil
		}
		_ = stat
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(at), target)
		}
		at = path.Join("/", target)
	}
	return nil, false, nil
}

// readEntry reads the first entry of an archive: the content of a regular file,
// or the target of a symbolic link; neither for anything else.
func readEntry(r io.Reader, limit int64) (data []byte, target string, err error) {
	// A header may be followed by any number of others that extend it.
	t := tar.NewReader(r)
	h, err := t.Next()
	if errors.Is(err, io.EOF) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	switch h.Typeflag {
	case tar.TypeSymlink:
		return nil, h.Linkname, nil
	case tar.TypeReg:
		if h.Size > limit {
			return nil, "", fmt.Errorf("%w: %d bytes, at most %d", errTooLarge, h.Size, limit)
		}
		data, err := io.ReadAll(io.LimitReader(t, limit+1))
		if err != nil {
			return nil, "", err
		}
		if int64(len(data)) > limit {
			return nil, "", fmt.Errorf("%w: at most %d bytes", errTooLarge, limit)
		}
		return data, "", nil
	}
	return nil, "", nil
}
