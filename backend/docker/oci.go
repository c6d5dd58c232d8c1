// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"path"
	"strings"
	"sync"

	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Bounds of what is kept of an archive on the way through: documents, not
// layers.
const (
	blobLimit  = 4 << 20
	blobsLimit = 64 << 20
)

// loader is an archive on its way to the engine. It remembers what was wrong
// with the archive, which the client library reports as a lost connection.
type loader struct {
	io.Reader
	mu  sync.Mutex
	err error
}

// failed keeps the first failure of the archive itself.
func (l *loader) failed(err error) error {
	// The engine may refuse the rest, which is no failure of the archive.
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.err == nil {
			l.err = err
		}
	}
	return err
}

// failure returns what was wrong with the archive, if anything.
func (l *loader) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close is called when the request ends, whatever the engine has read.
func (l *loader) Close() error {
	if c, ok := l.Reader.(*io.PipeReader); ok {
		return c.Close()
	}
	return nil
}

// watched remembers the errors of a reader.
type watched struct {
	r io.Reader
	l *loader
}

func (w watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	return n, w.l.failed(err)
}

// loadable returns archive such that every docker engine can load it. An OCI
// layout, which engines before 25 do not know, gets the manifest.json that they
// look for; it names the same blobs. Anything else passes as it is.
func loadable(archive io.Reader, platform ocispec.Platform) *loader {
	l := &loader{}
	in := bufio.NewReaderSize(watched{archive, l}, 64<<10)
	l.Reader = in
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return l
		}
		in = bufio.NewReaderSize(watched{z, l}, 64<<10)
		l.Reader = in
	}
	if head, _ := in.Peek(262); len(head) < 262 || string(head[257:262]) != "ustar" {
		return l
	}
	r, w := io.Pipe()
	l.Reader = r
	go func() { w.CloseWithError(l.failed(withManifest(in, w, platform))) }()
	return l
}

// withManifest copies a tar and adds a manifest.json when it is an OCI layout
// without one.
func withManifest(in io.Reader, out io.Writer, platform ocispec.Platform) error {
	src, dst := tar.NewReader(in), tar.NewWriter(out)
	blobs := map[string][]byte{}
	kept, done := 0, false
	for {
		h, err := src.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name := path.Clean(h.Name)
		done = done || name == "manifest.json"
		h.Format = tar.FormatUnknown // let the writer choose
		if err := dst.WriteHeader(h); err != nil {
			return err
		}
		var body io.Reader = src
		if h.Typeflag == tar.TypeReg && h.Size <= blobLimit && (name == ocispec.ImageIndexFile || strings.HasPrefix(name, "blobs/sha256/")) {
			peek := bufio.NewReader(src)
			if first, _ := peek.Peek(1); string(first) == "{" && kept+int(h.Size) <= blobsLimit {
				data, err := io.ReadAll(io.LimitReader(peek, h.Size))
				if err != nil {
					return err
				}
				kept += len(data)
				blobs[name] = data
				body = bytes.NewReader(data)
			} else {
				body = peek
			}
		}
		if _, err := io.Copy(dst, body); err != nil {
			return err
		}
	}
	if !done {
		if data := manifest(blobs, platform); data != nil {
			if err := dst.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "manifest.json", Mode: 0o644, Size: int64(len(data))}); err != nil {
				return err
			}
			if _, err := dst.Write(data); err != nil {
				return err
			}
		}
	}
	return dst.Close()
}

// dockerManifest is an entry of the manifest.json that docker reads.
type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// manifest writes a manifest.json for the images of an OCI layout; nil when
// there is none for the platform.
func manifest(blobs map[string][]byte, platform ocispec.Platform) []byte {
	var index ocispec.Index
	if json.Unmarshal(blobs[ocispec.ImageIndexFile], &index) != nil {
		return nil
	}
	var out []dockerManifest
	add := func(d ocispec.Descriptor, tags []string) {
		var m ocispec.Manifest
		if json.Unmarshal(blobs[blobPath(d)], &m) != nil || len(m.Layers) == 0 && m.Config.Digest == "" {
			return
		}
		var c ocispec.Image
		if json.Unmarshal(blobs[blobPath(m.Config)], &c) != nil || c.OS != platform.OS || c.Architecture != platform.Architecture {
			return
		}
		e := dockerManifest{Config: blobPath(m.Config), RepoTags: tags}
		for _, l := range m.Layers {
			e.Layers = append(e.Layers, blobPath(l))
		}
		out = append(out, e)
	}
	for _, d := range index.Manifests {
		tags := nameOf(d)
		var nested ocispec.Index
		if json.Unmarshal(blobs[blobPath(d)], &nested) == nil && len(nested.Manifests) > 0 {
			for _, n := range nested.Manifests {
				add(n, tags)
			}
			continue
		}
		add(d, tags)
	}
	if len(out) == 0 {
		return nil
	}
	data, err := json.Marshal(out)
	if err != nil {
		return nil
	}
	return data
}

// blobPath is where an OCI layout keeps a blob; "" for a digest that is none.
func blobPath(d ocispec.Descriptor) string {
	if d.Digest.Validate() != nil {
		return ""
	}
	return path.Join(ocispec.ImageBlobsDir, d.Digest.Algorithm().String(), d.Digest.Encoded())
}

// nameOf is the full name that the layout gives an image, if it gives one.
func nameOf(d ocispec.Descriptor) []string {
	for _, key := range []string{"io.containerd.image.name", ocispec.AnnotationRefName} {
		name, err := reference.ParseNormalizedNamed(d.Annotations[key])
		if err != nil || !strings.ContainsAny(d.Annotations[key], ":/") {
			continue // a bare tag says nothing about the name
		}
		if tagged, ok := reference.TagNameOnly(name).(reference.NamedTagged); ok {
			return []string{reference.FamiliarString(tagged)}
		}
	}
	return nil
}
