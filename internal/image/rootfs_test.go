// SPDX-License-Identifier: Apache-2.0

package image_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/berthrun/berth/internal/image"
)

func archive(t testing.TB, names ...string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, n := range names {
		if err := w.WriteHeader(&tar.Header{Name: n, Mode: 0o644, Size: int64(len(n))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func zipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestDetect(t *testing.T) {
	for name, tt := range map[string]struct {
		data []byte
		want image.Format // empty: ErrNotArchive
	}{
		"saved":           {archive(t, "abc.tar.gz", "manifest.json"), image.Saved},
		"oci layout":      {archive(t, "blobs/sha256/x", "index.json"), image.Saved},
		"rootfs":          {archive(t, "./bin/sh", "./etc/passwd"), image.RootFS},
		"zipped rootfs":   {zipped(t, archive(t, "bin/sh")), image.RootFS},
		"other tar":       {archive(t, "README", "src/main.go"), ""},
		"empty":           {nil, ""},
		"no tar":          {bytes.Repeat([]byte("x"), 4096), ""},
		"truncated gzip":  {zipped(t, archive(t, "bin/sh"))[:20], ""},
		"zstd":            {[]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0}, ""},
		"nested manifest": {archive(t, "etc/manifest.json", "bin/sh"), image.RootFS},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := image.Detect(bytes.NewReader(tt.data))
			if tt.want == "" {
				if !errors.Is(err, image.ErrNotArchive) {
					t.Errorf("got %q, %v; want ErrNotArchive", got, err)
				}
			} else if err != nil || got != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestWrapRootFS(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "rootfs.tar")
	if err := os.WriteFile(file, archive(t, "bin/sh", "etc/passwd"), 0o600); err != nil {
		t.Fatal(err)
	}
	const ref = "docker.io/library/debian-dev:latest"
	var digests []string
	for range 2 {
		out := filepath.Join(dir, "out.tar")
		f, err := os.Create(out)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(image.WrapRootFS(f, file, ref), f.Close()); err != nil {
			t.Fatal(err)
		}
		if format, err := image.Detect(must(os.Open(out))); err != nil || format != image.Saved {
			t.Errorf("the result is %q, %v", format, err)
		}
		tag := must(name.NewTag(ref))
		img, err := tarball.ImageFromPath(out, &tag)
		if err != nil {
			t.Fatal(err)
		}
		cfg := must(img.ConfigFile())
		if cfg.OS != "linux" || len(cfg.Config.Cmd) != 1 || len(cfg.RootFS.DiffIDs) != 1 {
			t.Errorf("configuration %+v", cfg)
		}
		digests = append(digests, must(img.ConfigName()).String())
	}
	if digests[0] != digests[1] {
		t.Errorf("two images of one file differ: %v", digests)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func FuzzDetect(f *testing.F) {
	f.Add(archive(f, "manifest.json"))
	f.Add(zipped(f, archive(f, "bin/sh")))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = image.Detect(bytes.NewReader(data)) })
}
