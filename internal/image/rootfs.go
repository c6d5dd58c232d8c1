// SPDX-License-Identifier: Apache-2.0

// Package image turns what users have into what engines load.
package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Format is what a tar archive holds.
type Format string

// The formats.
const (
	// Saved is what "docker save" writes, or an OCI layout: engines load it.
	Saved Format = "saved"
	// RootFS is the files of a root file system, as debootstrap, mmdebstrap or
	// "docker export" make it.
	RootFS Format = "rootfs"
)

// ErrNotArchive is in the chain of an error about input that is no tar archive,
// compressed or not, or is neither of the formats.
var ErrNotArchive = errors.New("not a tar archive of an image or a root file system")

// Detect reads file to its end, or until it knows, and says what it holds.
func Detect(file io.Reader) (Format, error) {
	r, err := uncompressed(file)
	if err != nil {
		return "", err
	}
	in := tar.NewReader(r)
	root := false
	for entries := 0; ; entries++ {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrNotArchive, err)
		}
		switch name := path.Clean("/" + h.Name); name {
		case "/manifest.json", "/oci-layout", "/index.json":
			return Saved, nil
		case "/usr", "/bin", "/etc", "/usr/bin", "/bin/sh", "/lib":
			root = true
		}
		// The files of a system come in no order; a saved image has its index
		// among few entries.
		if root && entries > 4096 {
			break
		}
	}
	if !root {
		return "", fmt.Errorf("%w: it has neither manifest.json nor /usr, /bin or /etc", ErrNotArchive)
	}
	return RootFS, nil
}

// uncompressed undoes gzip, which is told by its first bytes.
func uncompressed(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	magic, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotArchive, err)
		}
		return z, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}), bytes.HasPrefix(magic, []byte{0xfd, '7', 'z', 'X'}):
		return nil, fmt.Errorf("%w: zstd and xz are not read: decompress it first", ErrNotArchive)
	}
	return b, nil
}

// WrapRootFS writes the root file system in file as an archive that engines
// load, as an image named ref for this machine's platform with a shell as its
// command. The same file gives the same image.
func WrapRootFS(w io.Writer, file, ref string) error {
	tag, err := name.NewTag(ref)
	if err != nil {
		return err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		r, err := uncompressed(f)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return struct {
			io.Reader
			io.Closer
		}{r, f}, nil
		// The engine stores it uncompressed; time is worth more than the size of
		// a stream that never leaves the machine.
	}, tarball.WithCompressionLevel(gzip.BestSpeed))
	if err != nil {
		return err
	}
	img, err := mutate.Append(empty.Image, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: "berth image load", Created: v1.Time{Time: time.Unix(0, 0).UTC()}}})
	if err != nil {
		return err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return err
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", runtime.GOARCH
	cfg.Config = v1.Config{
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		Cmd: []string{"/bin/sh"},
	}
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		return err
	}
	return tarball.Write(tag, img, w)
}
