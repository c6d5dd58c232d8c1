// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"os"
	"path/filepath"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/spec"
)

func mountTests() []Test {
	bind := []backend.Capability{backend.MountBind}
	ro := []backend.Capability{backend.MountBind, backend.MountReadOnly}
	volume := []backend.Capability{backend.MountVolume}
	tmpfs := []backend.Capability{backend.MountTmpfs}
	overlay := []backend.Capability{backend.MountOverlay}
	return []Test{
		{ID: "mount.bind.read-write", Clause: "mount.bind", Needs: bind, Fn: bindReadWrite},
		{ID: "mount.bind.file", Clause: "mount.bind-file", Needs: bind, Fn: bindFile},
		{ID: "mount.bind.same-on-host", Clause: "mount.bind-live", Needs: append(bind, backend.Exec), Fn: bindLive},
		{ID: "mount.bind.missing-source", Clause: "mount.bind-missing", Needs: bind, Fn: bindMissing},
		{ID: "mount.bind.writes-private", Clause: "mount.private", Needs: bind, Fn: bindPrivate},
		{ID: "mount.ro.writes-fail", Clause: "mount.ro", Needs: ro, Fn: readOnlyFails},
		{ID: "mount.ro.file", Clause: "mount.ro", Needs: ro, Fn: readOnlyFile},
		{ID: "mount.ro.recursive", Clause: "mount.ro.recursive", Needs: ro, Host: []Fact{FactSubmount}, Fn: readOnlyRecursive},
		{ID: "mount.ro.no-way-back", Clause: "mount.ro.fixed", Needs: ro, Fn: readOnlyFixed},
		{ID: "mount.rw.submount-writable", Clause: "mount.bind", Needs: bind, Host: []Fact{FactSubmount, FactRoot}, Fn: submountWritable},
		{ID: "mount.target.created", Clause: "mount.target", Needs: bind, Fn: targetCreated},
		{ID: "mount.target.nested", Clause: "mount.nested", Needs: bind, Fn: targetNested},
		{ID: "mount.volume.persists", Clause: "mount.volume", Needs: volume, Host: []Fact{FactVolumes}, Fn: volumePersists},
		{ID: "mount.volume.read-only", Clause: "mount.ro", Needs: []backend.Capability{backend.MountVolume, backend.MountReadOnly}, Host: []Fact{FactVolumes}, Fn: volumeReadOnly},
		{ID: "mount.volume.anonymous-removed", Clause: "mount.volume-anonymous", Needs: volume, Fn: volumeAnonymous},
		{ID: "mount.tmpfs.writable", Clause: "mount.tmpfs", Needs: tmpfs, Fn: tmpfsWritable},
		{ID: "mount.tmpfs.size", Clause: "mount.tmpfs-size", Needs: append(tmpfs, backend.MountSize), Fn: tmpfsSize},
		{ID: "mount.tmpfs.noexec", Clause: "mount.noexec", Needs: append(tmpfs, backend.MountNoExec), Fn: tmpfsNoExec},
		{ID: "mount.tmpfs.exec", Clause: "mount.exec", Needs: tmpfs, Fn: tmpfsExec},
		{ID: "mount.overlay.lower-untouched", Clause: "mount.overlay", Needs: overlay, Fn: overlayLower},
		{ID: "mount.overlay.upper-kept", Clause: "mount.overlay-upper", Needs: overlay, Fn: overlayUpper},
		{ID: "mount.selinux.accepted", Clause: "mount.selinux", Needs: []backend.Capability{backend.MountBind, backend.MountSELinux}, Fn: selinuxAccepted},
	}
}

func bindReadWrite(t *T) {
	dir := t.callerDir()
	t.hostFile(dir, "from-host", "host")
	results := t.RunProbe(t.NewSpec(mounts(bind(dir, "/work", spec.ModeRW))),
		cmd("read", "/work/from-host"), cmd("write", "/work/from-sandbox", "sandbox"), cmd("append", "/work/from-host", "+"),
		cmd("mkdir", "/work/sub"), cmd("rename", "/work/from-sandbox", "/work/sub/moved"), cmd("stat", "/work"))
	t.wantOK(results...)
	wantEqual(t, "what the host wrote", string(value[probe.Content](t, results[0]).Data), "host")
	t.wantHostFile(filepath.Join(dir, "from-host"), "host+")
	t.wantHostFile(filepath.Join(dir, "sub", "moved"), "sandbox")
}

func bindFile(t *T) {
	dir := t.callerDir()
	path := t.hostFile(dir, "file", "before")
	results := t.RunProbe(t.NewSpec(mounts(bind(path, "/etc/deep/file", spec.ModeRW))),
		cmd("read", "/etc/deep/file"), cmd("write", "/etc/deep/file", "after"), cmd("stat", "/etc/deep/file"))
	t.wantOK(results...)
	wantEqual(t, "the file's content", string(value[probe.Content](t, results[0]).Data), "before")
	wantEqual(t, "the file's type", value[probe.Stat](t, results[2]).Type, probe.TypeFile)
	t.wantHostFile(path, "after")
}

// bindLive changes the folder on the host while the sandbox runs, and waits for
// the sandbox to answer there.
func bindLive(t *T) {
	dir := t.callerDir()
	sb := t.Start(t.NewSpec(mounts(bind(dir, "/work", spec.ModeRW))))
	t.hostFile(dir, "late", "seen")
	results := sb.Probe(cmd("read", "/work/late"), cmd("write", "/work/answer", "yes"))
	wantEqual(t, "a file made later on the host", string(value[probe.Content](t, results[0]).Data), "seen")
	t.wantHostFile(filepath.Join(dir, "answer"), "yes")
}

func bindMissing(t *T) {
	missing := filepath.Join(t.callerDir(), "not", "there")
	req := t.Request(t.NewSpec(mounts(bind(missing, "/work", spec.ModeRW))))
	sb, err := t.TryCreate(req)
	if err == nil {
		err = t.Driver().Start(t.ctx, sb.ID)
		sb.Remove()
	}
	t.wantField("a bind whose source is missing", err, "mounts[0]", backend.Invalid, backend.NotFound)
	t.wantNothingLeft(req.ID)
	if _, err := os.Lstat(filepath.Dir(missing)); err == nil {
		t.Errorf("the missing source was made on the host")
	}
}

// bindPrivate looks at the propagation: a mount that is shared with the host
// would carry mounts to and fro.
func bindPrivate(t *T) {
	results := t.RunProbe(t.NewSpec(user("0:0"), mounts(bind(t.callerDir(), "/work", spec.ModeRW))), cmd("mountinfo", "/work"), cmd("mount", "/work"))
	list := value[probe.Mounts](t, results[0]).Mounts
	if len(list) != 1 {
		t.Fatalf("%d mounts at /work, want 1", len(list))
	}
	for _, p := range list[0].Propagation {
		if len(p) >= 6 && p[:6] == "shared" {
			t.Errorf("the mount is %s with the host", p)
		}
	}
	t.wantErrno(results[1:], "EPERM", "EACCES", "ENOSYS")
}

// changes are all the ways to change something at path/file.
func changes(path string) [][]string {
	return [][]string{
		cmd("write", path+"/file", "changed"), cmd("append", path+"/file", "changed"), cmd("write", path+"/new", "x"), cmd("touch", path+"/file"),
		cmd("mkdir", path+"/dir"), cmd("remove", path+"/file"), cmd("rename", path+"/file", path+"/other"), cmd("link", path+"/file", path+"/hard"),
		cmd("symlink", "file", path+"/soft"), cmd("chmod", path+"/file", "0777"), cmd("chown", path+"/file", "1", "1"),
	}
}

func readOnlyFails(t *T) {
	dir := t.callerDir()
	t.hostFile(dir, "file", "kept")
	results := t.RunProbe(t.NewSpec(mounts(bind(dir, "/data", spec.ModeRO))), append(changes("/data"), cmd("read", "/data/file"), cmd("statfs", "/data"))...)
	n := len(changes(""))
	t.wantErrno(results[:n], "EROFS")
	wantEqual(t, "the content", string(value[probe.Content](t, results[n]).Data), "kept")
	if !value[probe.Statfs](t, results[n+1]).ReadOnly {
		t.Errorf("the mount is not read-only")
	}
	t.wantHostFile(filepath.Join(dir, "file"), "kept")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the folder on the host has now %d entries (%v), want 1", len(entries), err)
	}
}

func readOnlyFile(t *T) {
	path := t.hostFile(t.callerDir(), "file", "kept")
	results := t.RunProbe(t.NewSpec(mounts(bind(path, "/file", spec.ModeRO))), cmd("write", "/file", "changed"), cmd("chmod", "/file", "0777"))
	t.wantErrno(results, "EROFS")
	t.wantHostFile(path, "kept")
}

func readOnlyRecursive(t *T) {
	inner := filepath.Join(t.Host().Submount, "sub", t.Name("file"))
	results := t.RunProbe(t.NewSpec(user("0:0"), mounts(bind(t.Host().Submount, "/data", spec.ModeRO))),
		cmd("write", "/data/file", "x"), cmd("write", "/data/sub/"+filepath.Base(inner), "x"), cmd("mountinfo", "/data"))
	t.wantErrno(results[:2], "EROFS")
	if _, err := os.Lstat(inner); err == nil {
		t.Errorf("a write reached the file system that is mounted below the read-only mount")
		_ = os.Remove(inner)
	}
	for _, m := range value[probe.Mounts](t, results[2]).Mounts {
		if !m.ReadOnly {
			t.Errorf("%s is writable", m.Target)
		}
	}
}

func readOnlyFixed(t *T) {
	results := t.RunProbe(t.NewSpec(user("0:0"), mounts(bind(t.callerDir(), "/data", spec.ModeRO))), cmd("remount", "/data"), cmd("write", "/data/x", "x"))
	t.wantErrno(results[:1], "EPERM", "EACCES", "ENOSYS")
	t.wantErrno(results[1:], "EROFS")
}

// submountWritable shows that the file system below is there at all.
func submountWritable(t *T) {
	name := t.Name("file")
	t.Cleanup(func(context.Context) error {
		err := os.Remove(filepath.Join(t.Host().Submount, "sub", name))
		if os.IsNotExist(err) {
			return nil
		}
		return err
	})
	results := t.RunProbe(t.NewSpec(user("0:0"), mounts(bind(t.Host().Submount, "/data", spec.ModeRW))), cmd("write", "/data/sub/"+name, "x"))
	t.wantOK(results...)
	t.wantHostFile(filepath.Join(t.Host().Submount, "sub", name), "x")
}

func targetCreated(t *T) {
	dir := t.callerDir()
	t.hostFile(dir, "file", "x")
	results := t.RunProbe(t.NewSpec(mounts(bind(dir, "/not/in/the/image", spec.ModeRW))), cmd("stat", "/not/in/the/image/file"))
	t.wantOK(results...)
}

// targetNested gives the inner mount first.
func targetNested(t *T) {
	outer, inner := t.callerDir(), t.callerDir()
	t.hostFile(outer, "outer", "x")
	t.hostFile(inner, "inner", "x")
	results := t.RunProbe(t.NewSpec(mounts(bind(inner, "/work/a/inner", spec.ModeRW), bind(outer, "/work", spec.ModeRW))),
		cmd("stat", "/work/outer"), cmd("stat", "/work/a/inner/inner"), cmd("write", "/work/a/inner/new", "y"))
	t.wantOK(results...)
	t.wantHostFile(filepath.Join(inner, "new"), "y")
}

// volume returns the name of a volume that is removed after the test.
func (t *T) volume() string {
	name := t.Name("volume")
	t.Cleanup(func(ctx context.Context) error { return t.run.harness.(VolumeRemover).RemoveVolume(ctx, name) })
	return name
}

func volumePersists(t *T) {
	m := spec.Mount{Type: spec.MountVolume, Source: t.volume(), Target: "/data"}
	t.wantOK(t.RunProbe(t.NewSpec(user("0:0"), mounts(m)), cmd("write", "/data/x", "kept"))...)
	m.Target = "/elsewhere"
	results := t.RunProbe(t.NewSpec(user("0:0"), mounts(m)), cmd("read", "/elsewhere/x"))
	wantEqual(t, "what another sandbox wrote to the volume", string(value[probe.Content](t, results[0]).Data), "kept")
}

func volumeReadOnly(t *T) {
	name := t.volume()
	m := spec.Mount{Type: spec.MountVolume, Source: name, Target: "/data"}
	t.wantOK(t.RunProbe(t.NewSpec(user("0:0"), mounts(m)), cmd("write", "/data/file", "kept"))...)
	m.Mode = spec.ModeRO
	t.wantErrno(t.RunProbe(t.NewSpec(user("0:0"), mounts(m)), changes("/data")...), "EROFS")
}

func volumeAnonymous(t *T) {
	sb := t.Spawn(t.NewSpec(user("0:0"), mounts(spec.Mount{Type: spec.MountVolume, Target: "/data"}), runs(cmd("write", "/data/x", "1"), cmd("hold"))))
	t.wantOK(sb.Next())
	sb.Remove()
	t.wantNothingLeft(sb.ID)
}

func tmpfsWritable(t *T) {
	results := t.RunProbe(t.NewSpec(user("1234:1234"), mounts(spec.Mount{Type: spec.MountTmpfs, Target: "/scratch"})),
		cmd("list", "/scratch"), cmd("write", "/scratch/x", "1"), cmd("statfs", "/scratch"))
	t.wantOK(results...)
	wantEqual(t, "entries of a fresh tmpfs", len(value[probe.Names](t, results[0]).Names), 0)
	wantEqual(t, "its type", value[probe.Statfs](t, results[2]).Type, "tmpfs")
}

func tmpfsSize(t *T) {
	const size = 2 * spec.MiB
	results := t.RunProbe(t.NewSpec(mounts(spec.Mount{Type: spec.MountTmpfs, Target: "/scratch", Size: size})),
		cmd("statfs", "/scratch"), cmd("fill", "/scratch/x", "4Mi"))
	wantEqual(t, "its size", value[probe.Statfs](t, results[0]).Size, int64(size))
	t.wantErrno(results[1:], "ENOSPC")
}

var runFromScratch = [][]string{cmd("mkexec", "/scratch/probe"), cmd("exec", "/scratch/probe", "exit", "7")}

func tmpfsNoExec(t *T) {
	results := t.RunProbe(t.NewSpec(user("0:0"), mounts(spec.Mount{Type: spec.MountTmpfs, Target: "/scratch", NoExec: true})), runFromScratch...)
	t.wantOK(results[0])
	t.wantErrno(results[1:], "EACCES")
}

func tmpfsExec(t *T) {
	results := t.RunProbe(t.NewSpec(user("0:0"), mounts(spec.Mount{Type: spec.MountTmpfs, Target: "/scratch"})), runFromScratch...)
	t.wantOK(results...)
	wantEqual(t, "exit code of a program in it", value[probe.Exec](t, results[1]).Code, 7)
}

// layers makes the lower folder of an overlay.
func (t *T) layers() (lower, upper string) {
	lower, upper = t.callerDir(), t.callerDir()
	t.hostFile(lower, "kept", "kept")
	t.hostFile(lower, "changed", "before")
	t.hostFile(lower, "removed", "x")
	return lower, filepath.Join(upper, "upper")
}

var overlayWork = [][]string{
	cmd("read", "/work/kept"), cmd("write", "/work/changed", "after"), cmd("remove", "/work/removed"), cmd("write", "/work/new", "new"),
	cmd("mkdir", "/work/dir"), cmd("write", "/work/dir/inner", "inner"), cmd("list", "/work"),
}

func overlayLower(t *T) {
	lower, _ := t.layers()
	results := t.RunProbe(t.NewSpec(mounts(bind(lower, "/work", spec.ModeOverlay))), overlayWork...)
	t.wantOK(results...)
	wantEqual(t, "what the sandbox sees", value[probe.Names](t, results[len(results)-1]).Names, []string{"changed", "dir", "kept", "new"})
	t.wantHostFile(filepath.Join(lower, "kept"), "kept")
	t.wantHostFile(filepath.Join(lower, "changed"), "before")
	t.wantHostFile(filepath.Join(lower, "removed"), "x")
	if entries, err := os.ReadDir(lower); err != nil || len(entries) != 3 {
		t.Errorf("the lower folder has now %d entries (%v), want 3", len(entries), err)
	}
}

func overlayUpper(t *T) {
	lower, upper := t.layers()
	m := bind(lower, "/work", spec.ModeOverlay)
	m.Upper = upper
	sb := t.Spawn(t.NewSpec(mounts(m), runs(append(overlayWork, cmd("hold"))...)))
	t.wantOK(sb.Next())
	sb.Remove()
	t.wantHostFile(filepath.Join(upper, "changed"), "after")
	t.wantHostFile(filepath.Join(upper, "new"), "new")
	t.wantHostFile(filepath.Join(upper, "dir", "inner"), "inner")
	if _, err := os.Lstat(filepath.Join(upper, "kept")); err == nil {
		t.Errorf("the upper folder has a file that nobody wrote")
	}
}

func selinuxAccepted(t *T) {
	m := bind(t.callerDir(), "/work", spec.ModeRW)
	m.SELinux = spec.SELinuxPrivate
	t.wantOK(t.RunProbe(t.NewSpec(mounts(m)), cmd("write", "/work/x", "1"))...)
}
