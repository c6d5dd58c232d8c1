// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec/imageref"
)

// Load loads an archive into an engine, whatever its format: a saved image as
// it is, a root file system as an image named ref. Invalid when the archive is
// neither, when it is a root file system and ref is empty, or when a saved
// image, which brings its own names, comes with one.
//
// A stream is kept in a temporary file while it is loaded.
func Load(ctx context.Context, images backend.Imager, archive io.Reader, ref string) ([]*backend.Image, error) {
	file, ok := archive.(*os.File)
	if ok {
		info, err := file.Stat()
		ok = err == nil && info.Mode().IsRegular()
	}
	if !ok {
		spool, err := os.CreateTemp("", "berth-load-")
		if err != nil {
			return nil, internal(err)
		}
		defer func() { _ = os.Remove(spool.Name()) }()
		defer spool.Close()
		if _, err := io.Copy(spool, contextReader{ctx, archive}); err != nil {
			return nil, internal(err)
		}
		if _, err := spool.Seek(0, io.SeekStart); err != nil {
			return nil, internal(err)
		}
		file = spool
	}
	format, err := Detect(file)
	if err != nil {
		return nil, &backend.Error{Kind: backend.Invalid, Op: "image.load", Err: err}
	}
	if format == Saved {
		if ref != "" {
			return nil, &backend.Error{Kind: backend.Invalid, Op: "image.load", Message: "a saved image brings its own names: leave the name out"}
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return nil, internal(err)
		}
		return images.LoadImage(ctx, file)
	}
	if ref == "" {
		return nil, &backend.Error{Kind: backend.Invalid, Op: "image.load", Message: "the archive is a root file system: give the image a name, as in berth image load -i FILE NAME"}
	}
	if ref, err = imageref.Normalize(ref); err != nil {
		return nil, &backend.Error{Kind: backend.Invalid, Op: "image.load", Field: "image.ref", Err: err}
	}
	pr, pw := io.Pipe()
	wrapped := make(chan error, 1)
	go func() {
		err := WrapRootFS(pw, file.Name(), ref)
		wrapped <- err
		_ = pw.CloseWithError(err)
	}()
	loaded, err := images.LoadImage(ctx, pr)
	_ = pr.CloseWithError(io.ErrClosedPipe)
	if werr := <-wrapped; werr != nil && !errors.Is(werr, io.ErrClosedPipe) {
		return nil, &backend.Error{Kind: backend.Invalid, Op: "image.load", Message: fmt.Sprintf("root file system as %s", ref), Err: werr}
	}
	return loaded, err
}

func internal(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &backend.Error{Kind: backend.Internal, Op: "image.load", Err: err}
}

// contextReader ends a copy when ctx does.
type contextReader struct {
	ctx context.Context //nolint:containedctx // io.Reader has no parameter for it.
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
