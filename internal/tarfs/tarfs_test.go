// SPDX-License-Identifier: Apache-2.0

package tarfs_test

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berthrun/berth/internal/tarfs"
)

type entry struct {
	tar.Header
	body string
}

func archive(t testing.TB, entries ...entry) *bytes.Buffer {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		e.Size = int64(len(e.body))
		if e.Mode == 0 {
			e.Mode = 0o644
		}
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &buf
}

func file(name, body string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeReg}, body}
}

func link(name, to string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to}, ""}
}

func dir(name string, mode int64) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: mode}, ""}
}

func TestExtractStaysBelow(t *testing.T) {
	for name, tt := range map[string]struct {
		entries []entry
		want    string // part of the error
	}{
		"parent":            {[]entry{file("../escaped", "x")}, "not below"},
		"parent in middle":  {[]entry{file("base/../../escaped", "x")}, "not below"},
		"absolute":          {[]entry{file("/escaped", "x")}, "not below"},
		"other base":        {[]entry{file("baseball", "x")}, "not below"},
		"through a link":    {[]entry{dir("base", 0o755), link("base/out", "../.."), file("base/out/escaped", "x")}, "escapes"},
		"hard link outside": {[]entry{{tar.Header{Name: "base", Typeflag: tar.TypeLink, Linkname: "../secret"}, ""}}, "not below"},
		"device":            {[]entry{{tar.Header{Name: "base", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}, ""}}, "cannot be copied"},
		"fifo":              {[]entry{{tar.Header{Name: "base", Typeflag: tar.TypeFifo}, ""}}, "cannot be copied"},
	} {
		t.Run(name, func(t *testing.T) {
			outer := t.TempDir()
			if err := os.WriteFile(filepath.Join(outer, "secret"), []byte("s"), 0o600); err != nil {
				t.Fatal(err)
			}
			inner := filepath.Join(outer, "a", "b")
			if err := os.MkdirAll(inner, 0o755); err != nil {
				t.Fatal(err)
			}
			err := tarfs.Extract(archive(t, tt.entries...), inner, "base", "")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			for _, escaped := range []string{filepath.Join(outer, "escaped"), filepath.Join(outer, "a", "escaped"), "/escaped"} {
				if _, err := os.Lstat(escaped); err == nil {
					t.Errorf("%s was written", escaped)
				}
			}
		})
	}
}

func TestExtractDoesNotWriteThroughALinkThatStands(t *testing.T) {
	outer := t.TempDir()
	victim := filepath.Join(outer, "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(outer, "in")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(inner, "base")); err != nil {
		t.Fatal(err)
	}
	if err := tarfs.Extract(archive(t, file("base", "theirs")), inner, "base", ""); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(victim); string(got) != "mine" {
		t.Errorf("the link's target now has %q", got)
	}
	if got, _ := os.ReadFile(filepath.Join(inner, "base")); string(got) != "theirs" {
		t.Errorf("the file has %q", got)
	}
}

func TestExtractDropsSetuidAndClosesFoldersLast(t *testing.T) {
	d := t.TempDir()
	suid := file("base/suid", "x")
	suid.Mode = 0o4755
	if err := tarfs.Extract(archive(t, dir("base", 0o555), suid), d, "base", "renamed"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(d, "renamed", "suid"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o755 {
		t.Errorf("mode %v, want 0755 without setuid", info.Mode())
	}
	info, err = os.Stat(filepath.Join(d, "renamed"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o555 {
		t.Errorf("folder mode %v, want 0555", info.Mode())
	}
}

func TestRoundTrip(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	for name, body := range map[string]string{"a": "1", "sub/b": "2", "sub/deep/c": strings.Repeat("3", 100_000)} {
		p := filepath.Join(src, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(body), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../../outside", filepath.Join(src, "sub", "link")); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := tarfs.Pack(&buf, src, "tree", 1234, 5678); err != nil {
		t.Fatal(err)
	}
	in := tar.NewReader(bytes.NewReader(buf.Bytes()))
	for {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 1234 || h.Gid != 5678 || h.Uname != "" {
			t.Errorf("%s is owned by %d:%d %q", h.Name, h.Uid, h.Gid, h.Uname)
		}
	}
	if err := tarfs.Extract(&buf, dst, "tree", "copy"); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(t.TempDir(), "x"), os.DirFS(filepath.Join(dst, "copy", "sub", "deep"))); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dst, "copy", "sub", "deep", "c"))
	if err != nil || len(got) != 100_000 {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	if to, err := os.Readlink(filepath.Join(dst, "copy", "sub", "link")); err != nil || to != "../../outside" {
		t.Errorf("link to %q, %v", to, err)
	}
}

func FuzzExtract(f *testing.F) {
	f.Add(archive(f, dir("base", 0o755), file("base/x", "1"), link("base/l", "..")).Bytes())
	f.Add(archive(f, file("../x", "1")).Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		outer := t.TempDir()
		inner := filepath.Join(outer, "in")
		if err := os.Mkdir(inner, 0o755); err != nil {
			t.Fatal(err)
		}
		_ = tarfs.Extract(bytes.NewReader(data), inner, "base", "")
		left, err := os.ReadDir(outer)
		if err != nil || len(left) != 1 {
			t.Errorf("%d entries beside the folder, %v", len(left), err)
		}
		_ = os.Chmod(filepath.Join(inner, "base"), 0o700)
	})
}
