// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/spec"
)

func userTests() []Test {
	caller := needs(backend.UserCaller, backend.MountBind)
	number := needs(backend.UserNumber)
	root := []Fact{FactRoot}
	return []Test{
		{ID: "user.caller.owns-own-files", Clause: "user.caller.owner", Needs: caller, Fn: callerSelf},
		{ID: "user.caller.uid-0-owns-files", Clause: "user.caller.owner", Needs: caller, Host: root, Fn: callerOwns(0)},
		{ID: "user.caller.uid-1000-owns-files", Clause: "user.caller.owner", Needs: caller, Host: root, Fn: callerOwns(1000)},
		{ID: "user.caller.uid-1001-owns-files", Clause: "user.caller.owner", Needs: caller, Host: root, Fn: callerOwns(1001)},
		{ID: "user.caller.uid-501-owns-files", Clause: "user.caller.owner", Needs: caller, Host: root, Fn: callerOwns(501)},
		{ID: "user.caller.uid-600000000-owns-files", Clause: "user.caller.owner", Needs: caller, Host: root, Fn: callerOwns(600000000)},
		{ID: "user.caller.folder-unchanged", Clause: "user.caller.no-chown", Needs: caller, Host: root, Fn: callerFolderUnchanged},
		{ID: "user.caller.clash-with-image", Clause: "user.caller.any-uid", Needs: caller, Host: root, Fn: callerClash},
		{ID: "user.image.used", Clause: "user.image", Needs: needs(backend.UserImage), Fn: imageUserUsed},
		{ID: "user.image.without-one-is-root", Clause: "user.image", Needs: needs(backend.UserImage), Fn: imageUserNone},
		{ID: "user.number.used", Clause: "user.number", Needs: number, Fn: numberUsed},
		{ID: "user.number.cannot-read-others", Clause: "user.number.rights", Needs: needs(backend.UserNumber, backend.MountBind), Fn: numberRights},
		{ID: "user.groups.supplementary", Clause: "user.groups", Needs: needs(backend.UserNumber, backend.UserGroups), Fn: groupsSet},
		{ID: "user.groups.give-access", Clause: "user.groups.access", Needs: needs(backend.UserNumber, backend.UserGroups, backend.MountBind), Host: root, Fn: groupsAccess},
		{ID: "user.groups.none-extra", Clause: "user.groups.only", Needs: number, Fn: groupsNoExtra},
	}
}

// needs lists capabilities.
func needs(list ...backend.Capability) []backend.Capability { return list }

func callerSelf(t *T) {
	dir := t.HostDir(t.Host().UID, t.Host().GID, 0o700)
	t.wantOK(t.RunProbe(t.NewSpec(mounts(bind(dir, "/work", spec.ModeRW))), cmd("write", "/work/x", "1"), cmd("mkdir", "/work/d"))...)
	for _, name := range []string{"x", "d"} {
		t.wantOwner(filepath.Join(dir, name), t.Host().UID, t.Host().GID)
	}
}

func (t *T) wantOwner(path string, uid, gid uint32) {
	gotUID, gotGID, ok := owner(path)
	if !ok {
		t.Errorf("on the host, there is no %s, or this system has no owners", filepath.Base(path))
		return
	}
	if gotUID != uid || gotGID != gid {
		t.Errorf("on the host, %s belongs to %d:%d, want %d:%d", filepath.Base(path), gotUID, gotGID, uid, gid)
	}
}

// callerOwns takes a folder that others may read and one that they may not.
func callerOwns(uid uint32) func(*T) {
	return func(t *T) {
		gid := uid
		open, closed := t.HostDir(uid, gid, 0o755), t.HostDir(uid, gid, 0o700)
		req := t.Request(t.NewSpec(
			mounts(bind(open, "/open", spec.ModeRW), bind(closed, "/closed", spec.ModeRW)),
			runs(cmd("id"), cmd("write", "/open/x", "1"), cmd("mkdir", "/open/d"), cmd("write", "/closed/x", "1"), cmd("read", "/closed/x"), cmd("symlink", "x", "/open/l"))))
		t.as(req, uid, gid)
		out := t.runRequest(req)
		results := t.results(out, 6)
		t.wantOK(results...)
		id := value[probe.ID](t, results[0])
		wantEqual(t, "uid:gid inside", fmt.Sprint(id.UID, ":", id.GID), fmt.Sprint(req.Identity.UID, ":", req.Identity.GID))
		for _, path := range []string{filepath.Join(open, "x"), filepath.Join(open, "d"), filepath.Join(open, "l"), filepath.Join(closed, "x")} {
			t.wantOwner(path, uid, gid)
		}
	}
}

func callerFolderUnchanged(t *T) {
	const uid, other = 1000, 4242
	dir := t.HostDir(other, other, 0o755)
	req := t.Request(t.NewSpec(mounts(bind(dir, "/work", spec.ModeRW)), runs(cmd("write", "/work/x", "1"), cmd("list", "/work"))))
	t.as(req, uid, uid)
	results := t.results(t.runRequest(req), 2)
	if !t.Info().CallerAsRoot {
		t.wantErrno(results[:1], "EACCES", "EPERM")
	}
	t.wantOK(results[1])
	t.wantOwner(dir, other, other)
}

// callerClash uses an image that has another name for the caller's uid.
func callerClash(t *T) {
	const uid = 1000
	dir := t.HostDir(uid, uid, 0o700)
	req := t.Request(t.NewSpec(fromImage(t, ImageUser), mounts(bind(dir, "/work", spec.ModeRW)), runs(cmd("id"), cmd("write", "/work/x", "1"))))
	t.as(req, uid, uid)
	results := t.results(t.runRequest(req), 2)
	t.wantOK(results...)
	wantEqual(t, "uid inside", value[probe.ID](t, results[0]).UID, int(req.Identity.UID))
	t.wantOwner(filepath.Join(dir, "x"), uid, uid)
}

func imageUserUsed(t *T) {
	id := value[probe.ID](t, t.RunProbe(t.NewSpec(fromImage(t, ImageUser), user(spec.UserImage)), cmd("id"))[0])
	wantEqual(t, "uid, gid and name", fmt.Sprint(id.UID, " ", id.GID, " ", id.User), "1000 1000 app")
}

func imageUserNone(t *T) {
	id := value[probe.ID](t, t.RunProbe(t.NewSpec(user(spec.UserImage)), cmd("id"))[0])
	wantEqual(t, "uid and gid", fmt.Sprint(id.UID, " ", id.GID), "0 0")
}

func numberUsed(t *T) {
	id := value[probe.ID](t, t.RunProbe(t.NewSpec(user("4321:8765")), cmd("id"))[0])
	wantEqual(t, "uid, euid, gid, egid", fmt.Sprint(id.UID, id.EUID, id.GID, id.EGID), fmt.Sprint(4321, 4321, 8765, 8765))
}

func numberRights(t *T) {
	dir := t.HostDir(t.Host().UID, t.Host().GID, 0o700)
	t.hostFile(dir, "x", "secret")
	results := t.RunProbe(t.NewSpec(user("4321:8765"), mounts(bind(dir, "/work", spec.ModeRW))), cmd("read", "/work/x"), cmd("write", "/work/y", "1"), cmd("write", "/y", "1"))
	t.wantErrno(results, "EACCES")
}

func groupsSet(t *T) {
	s := t.NewSpec(user("1234:1234"), func(s *spec.Sandbox) { s.User.Groups = []uint32{600000000, 4242, 4343} })
	got := value[probe.ID](t, t.RunProbe(s, cmd("id"))[0]).Groups
	for _, g := range []int{4242, 4343, 600000000} {
		if !slices.Contains(got, g) {
			t.Errorf("the process lacks group %d: %v", g, got)
		}
	}
}

func groupsAccess(t *T) {
	dir := t.HostDir(4141, 4242, 0o770)
	s := t.NewSpec(user("1234:1234"), mounts(bind(dir, "/work", spec.ModeRW)), func(s *spec.Sandbox) { s.User.Groups = []uint32{4242} })
	t.wantOK(t.RunProbe(s, cmd("write", "/work/x", "1"))...)
	s = t.NewSpec(user("1234:1234"), mounts(bind(dir, "/work", spec.ModeRW)))
	t.wantErrno(t.RunProbe(s, cmd("write", "/work/y", "1")), "EACCES")
}

// groupsNoExtra allows the kernel's view that the own group is one of them.
func groupsNoExtra(t *T) {
	id := value[probe.ID](t, t.RunProbe(t.NewSpec(user("1234:5678")), cmd("id"))[0])
	for _, g := range id.Groups {
		if g != 5678 {
			t.Errorf("the process has group %d, which nobody asked for: %v", g, id.Groups)
		}
	}
}
