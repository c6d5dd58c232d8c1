// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/spec"
)

func copyTests() []Test {
	files := needs(backend.Copy)
	exec := needs(backend.Copy, backend.Exec)
	return []Test{
		{ID: "copy.to.arrives", Clause: "copy.to", Needs: exec, Fn: copyArrives},
		{ID: "copy.to.owner-kept", Clause: "copy.owner", Needs: exec, Fn: copyOwner},
		{ID: "copy.to.dir-absent", Clause: "copy.to-absent", Needs: files, Fn: copyNoDir},
		{ID: "copy.to.read-only-conflict", Clause: "copy.read-only", Needs: needs(backend.Copy, backend.MountReadOnly), Fn: copyReadOnly},
		{ID: "copy.to.hostile-names-contained", Clause: "copy.contained", Needs: exec, Fn: copyContained},
		{ID: "copy.to.before-start", Clause: "copy.created", Needs: files, Fn: copyBeforeStart},
		{ID: "copy.from.whole-tree", Clause: "copy.from", Needs: exec, Fn: copyTree},
		{ID: "copy.from.absent-not-found", Clause: "copy.absent", Needs: files, Fn: copyAbsent},
		{ID: "copy.from.link-not-followed", Clause: "copy.links", Needs: exec, Fn: copyLink},
		{ID: "copy.from.after-exit", Clause: "copy.ended", Needs: files, Fn: copyAfterExit},
	}
}

func (t *T) copier() backend.Copier {
	c, ok := backend.As[backend.Copier](t.Driver())
	if !ok {
		t.Fatalf("the driver is no backend.Copier")
	}
	return c
}

// pack makes an archive.
func (t *T) pack(headers ...*tar.Header) io.Reader {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		content := h.PAXRecords["content"]
		delete(h.PAXRecords, "content")
		h.Size = int64(len(content))
		t.must(w.WriteHeader(h), "write an archive")
		_, err := io.WriteString(w, content)
		t.must(err, "write an archive")
	}
	t.must(w.Close(), "write an archive")
	return &out
}

// entry is a regular file of an archive.
func entry(name, content string, uid, gid int) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o640, Uid: uid, Gid: gid, PAXRecords: map[string]string{"content": content}}
}

// unpacked is an entry of an archive that came out of a sandbox.
type unpacked struct {
	header  *tar.Header
	content string
}

// copyOut copies a path out and returns what is in the archive, by name without
// a slash at the end.
func (t *T) copyOut(id backend.ID, path string) map[string]unpacked {
	r, err := t.copier().CopyFrom(t.ctx, id, path)
	t.must(err, "copy from "+path)
	defer r.Close()
	found := map[string]unpacked{}
	for archive := tar.NewReader(io.LimitReader(r, probe.MaxOutput)); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		t.must(err, "read the archive of "+path)
		content, err := io.ReadAll(archive)
		t.must(err, "read the archive of "+path)
		found[strings.TrimSuffix(h.Name, "/")] = unpacked{h, string(content)}
	}
}

func copyArrives(t *T) {
	sb := t.Start(t.NewSpec(user("0:0")))
	t.wantOK(sb.Probe(cmd("mkdir", "/in"))...)
	archive := t.pack(entry("a", "content of a", 0, 0), &tar.Header{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o750}, entry("d/b", "content of b", 0, 0))
	t.must(t.copier().CopyTo(t.ctx, sb.ID, "/in", archive), "copy to")
	results := sb.Probe(cmd("read", "/in/a"), cmd("read", "/in/d/b"), cmd("stat", "/in/a"), cmd("stat", "/in/d"))
	wantEqual(t, "the first file", string(value[probe.Content](t, results[0]).Data), "content of a")
	wantEqual(t, "the second file", string(value[probe.Content](t, results[1]).Data), "content of b")
	wantEqual(t, "the mode of the first file", value[probe.Stat](t, results[2]).Mode, 0o640)
	wantEqual(t, "the mode of the directory", value[probe.Stat](t, results[3]).Mode, 0o750)
}

func copyOwner(t *T) {
	sb := t.Start(t.NewSpec(user("0:0")))
	t.must(t.copier().CopyTo(t.ctx, sb.ID, "/", t.pack(entry("owned", "x", 4321, 8765))), "copy to")
	st := value[probe.Stat](t, sb.Probe(cmd("stat", "/owned"))[0])
	wantEqual(t, "uid and gid inside", []int{st.UID, st.GID}, []int{4321, 8765})
	h := t.copyOut(sb.ID, "/owned")["owned"].header
	if h == nil {
		t.Fatalf("the archive lacks the file")
	}
	wantEqual(t, "uid and gid in the archive", []int{h.Uid, h.Gid}, []int{4321, 8765})
}

func copyNoDir(t *T) {
	sb := t.Start(t.NewSpec())
	err := t.copier().CopyTo(t.ctx, sb.ID, "/no/such/dir", t.pack(entry("a", "x", 0, 0)))
	t.wantKind("copy to a directory that does not exist", err, backend.NotFound)
}

func copyReadOnly(t *T) {
	dir := t.callerDir()
	sb := t.Start(t.NewSpec(mounts(bind(dir, "/data", spec.ModeRO))))
	err := t.copier().CopyTo(t.ctx, sb.ID, "/data", t.pack(entry("a", "x", 0, 0)))
	t.wantKind("copy to a read-only mount", err, backend.Conflict)
	if _, err := os.Lstat(filepath.Join(dir, "a")); err == nil {
		t.Errorf("the copy reached the read-only source on the host")
	}
}

// copyContained sends names that point out of the directory, and out of the
// sandbox. The driver may refuse them or take them as names below it.
func copyContained(t *T) {
	outside := t.callerDir()
	sb := t.Start(t.NewSpec(user("0:0")))
	t.wantOK(sb.Probe(cmd("mkdir", "/in"))...)
	climb := strings.Repeat("../", 20) + strings.TrimPrefix(outside, "/") + "/escaped"
	for name, archive := range map[string]io.Reader{
		"dots": t.pack(entry("../escaped", "x", 0, 0)),
		"deep": t.pack(entry(climb, "x", 0, 0)),
		"link": t.pack(&tar.Header{Typeflag: tar.TypeSymlink, Name: "out", Linkname: outside, Mode: 0o777}, entry("out/escaped", "x", 0, 0)),
	} {
		if err := t.copier().CopyTo(t.ctx, sb.ID, "/in", archive); err != nil {
			t.Logf("%s: %v", name, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(outside, "escaped")); err == nil {
		t.Errorf("a file of the archive is on the host")
	}
	results := sb.Probe(cmd("stat", "/escaped"), cmd("id"))
	t.wantErrno(results[:1], "ENOENT")
}

func copyBeforeStart(t *T) {
	sb := t.Create(t.NewSpec(user("0:0"), runs(cmd("read", "/early"))))
	t.must(t.copier().CopyTo(t.ctx, sb.ID, "/", t.pack(entry("early", "before the start", 0, 0))), "copy to")
	l := t.spawn(sb)
	wantEqual(t, "the file", string(value[probe.Content](t, l.Next()).Data), "before the start")
}

func copyTree(t *T) {
	sb := t.Start(t.NewSpec(user("0:0")))
	t.wantOK(sb.Probe(cmd("mkdir", "/tree", "0750"), cmd("mkdir", "/tree/sub"), cmd("write", "/tree/a", "content of a", "0600"), cmd("write", "/tree/sub/b", "b"), cmd("symlink", "a", "/tree/link"))...)
	found := t.copyOut(sb.ID, "/tree")
	for name, want := range map[string]string{"tree/a": "content of a", "tree/sub/b": "b"} {
		if found[name].header == nil || found[name].content != want {
			t.Errorf("%s in the archive is %q, want %q", name, found[name].content, want)
		}
	}
	if h := found["tree"].header; h == nil || h.Typeflag != tar.TypeDir || h.Mode&0o777 != 0o750 {
		t.Errorf("the directory itself is not in the archive as it was: %s", show(h))
	}
	if h := found["tree/a"].header; h != nil && h.Mode&0o777 != 0o600 {
		t.Errorf("the mode of a file is %o in the archive, want 600", h.Mode)
	}
	if h := found["tree/link"].header; h == nil || h.Typeflag != tar.TypeSymlink || h.Linkname != "a" {
		t.Errorf("the link is not in the archive as it was: %s", show(h))
	}
}

func copyAbsent(t *T) {
	sb := t.Start(t.NewSpec())
	r, err := t.copier().CopyFrom(t.ctx, sb.ID, "/no/such/file")
	if err == nil {
		_ = r.Close()
	}
	t.wantKind("copy from a path that does not exist", err, backend.NotFound)
}

// copyLink has links to files that are on the host and not in the sandbox.
func copyLink(t *T) {
	secret := t.hostFile(t.callerDir(), "secret", "of the host")
	sb := t.Start(t.NewSpec(user("0:0")))
	t.wantOK(sb.Probe(cmd("symlink", secret, "/link"), cmd("write", "/inside", "x"), cmd("symlink", "/inside", "/near"))...)
	for name, target := range map[string]string{"link": secret, "near": "/inside"} {
		got := t.copyOut(sb.ID, "/"+name)[name]
		if got.header == nil || got.header.Typeflag != tar.TypeSymlink || got.header.Linkname != target || got.content != "" {
			t.Errorf("a symbolic link came out as %s with %q", show(got.header), got.content)
		}
	}
}

func copyAfterExit(t *T) {
	sb := t.Start(t.NewSpec(user("0:0"), runs(cmd("write", "/result", "of the run"))))
	sb.Wait()
	wantEqual(t, "the file", t.copyOut(sb.ID, "/result")["result"].content, "of the run")
}
