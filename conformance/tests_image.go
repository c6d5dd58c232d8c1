// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/conformance/probe"
	"github.com/berthrun/berth/spec"
)

func imageTests() []Test {
	load := []backend.Capability{backend.ImageLoad}
	pull := []backend.Capability{backend.ImagePull}
	return []Test{
		{ID: "image.ref.absent-not-found", Clause: "image.absent", Fn: imageAbsent},
		{ID: "image.create.absent-not-found", Clause: "image.create-absent", Fn: createImageAbsent},
		{ID: "image.config.read", Clause: "image.config", Fn: imageConfig},
		{ID: "image.config.entrypoint-runs", Clause: "process.args", Fn: imageEntrypoint},
		{ID: "image.platform.other-not-found", Clause: "image.platform", Needs: []backend.Capability{backend.ImagePlatform}, Fn: imagePlatform},
		{ID: "image.host.planned", Clause: "image.host", Needs: []backend.Capability{backend.ImageHost}, Fn: planned(backend.ImageHost)},
		{ID: "image.files.read", Clause: "image.files", Fn: imageFiles},
		{ID: "image.load.archive", Clause: "image.load", Needs: load, Host: []Fact{FactArchives}, Fn: imageLoad},
		{ID: "image.load.garbage-invalid", Clause: "image.load-invalid", Needs: load, Fn: imageLoadGarbage},
		{ID: "image.remove.absent-not-found", Clause: "image.remove", Fn: imageRemoveAbsent},
		{ID: "image.remove.in-use-conflict", Clause: "image.remove-used", Needs: load, Host: []Fact{FactArchives}, Fn: imageInUse},
		{ID: "image.pull.fetches", Clause: "image.pull", Needs: pull, Host: []Fact{FactRegistry}, Fn: imagePull},
		{ID: "image.pull.denied", Clause: "image.pull-errors", Needs: pull, Host: []Fact{FactRegistry}, Fn: pullFails(func(r Registry) string { return r.Denied }, backend.Denied)},
		{ID: "image.pull.absent", Clause: "image.pull-errors", Needs: pull, Host: []Fact{FactRegistry}, Fn: pullFails(func(r Registry) string { return r.Absent }, backend.NotFound)},
		{ID: "image.pull.unreachable", Clause: "image.pull-errors", Needs: pull, Host: []Fact{FactRegistry}, Fn: pullFails(func(r Registry) string { return r.Unreachable }, backend.Unavailable)},
		{ID: "image.commit.root-file-system", Clause: "image.commit", Verb: verb[backend.Committer]("Committer"), Fn: imageCommit},
		{ID: "image.volume.removed-with-sandbox", Clause: "image.volume", Needs: []backend.Capability{backend.MountVolume}, Fn: imageVolume},
	}
}

// imager is the driver's, which every driver of an engine with images has.
func (t *T) imager() backend.Imager {
	i, ok := backend.As[backend.Imager](t.Driver())
	if !ok {
		t.Fatalf("the driver is no backend.Imager")
	}
	return i
}

const absentRef = "berth.test/conformance/no-such-image:none"

func imageAbsent(t *T) {
	_, err := t.imager().Image(t.ctx, absentRef, "")
	t.wantKind("look an absent image up", err, backend.NotFound)
	_, err = t.imager().ImageFiles(t.ctx, &backend.Image{ID: "sha256:" + strings.Repeat("0", 64), Refs: []string{absentRef}}, []string{"/etc/passwd"}, 1<<20)
	t.wantKind("read files of an absent image", err, backend.NotFound)
}

func createImageAbsent(t *T) {
	req := t.Request(t.NewSpec(func(s *spec.Sandbox) { s.Image.Ref = absentRef }))
	_, err := t.TryCreate(req)
	t.wantField("create from an absent image", err, "image.ref", backend.NotFound)
	t.wantNothingLeft(req.ID)
}

func imageConfig(t *T) {
	ref, image := t.image(ImageConfig)
	want := ConfigImage()
	wantEqual(t, "entrypoint", image.Entrypoint, want.Entrypoint)
	wantEqual(t, "command", image.Cmd, want.Cmd)
	for _, v := range want.Env {
		if !slices.Contains(image.Env, v) {
			t.Errorf("the environment of the image lacks %s: %q", v, image.Env)
		}
	}
	wantEqual(t, "working directory", image.Workdir, want.Workdir)
	wantEqual(t, "stop signal", image.StopSignal, want.StopSignal)
	if !slices.Contains(image.Refs, ref) {
		t.Errorf("the image's names %q lack %s", image.Refs, ref)
	}
	if !strings.HasPrefix(image.ID, "sha256:") || image.Size <= 0 || !strings.HasPrefix(image.Platform, "linux/") {
		t.Errorf("id %q, size %d or platform %q is not that of an image", image.ID, image.Size, image.Platform)
	}
	_, named := t.image(ImageUser)
	wantEqual(t, "user of the image with one", named.User, "app")
}

// imageEntrypoint runs what the image itself asks for.
func imageEntrypoint(t *T) {
	s := t.NewSpec(fromImage(t, ImageConfig), func(s *spec.Sandbox) { s.Process = spec.Process{} })
	wantEqual(t, "exit code of the image's own command", t.RunCommand(s).Exit.Code, 9)
	s.Process.Args = []string{"exit", "4"}
	wantEqual(t, "exit code of the image's entrypoint with other arguments", t.RunCommand(s).Exit.Code, 4)
}

func imagePlatform(t *T) {
	ref, image := t.image(ImageBase)
	_, err := t.imager().Image(t.ctx, ref, "linux/s390x")
	t.wantKind("look the image up for another platform", err, backend.NotFound)
	same, err := t.imager().Image(t.ctx, ref, image.Platform)
	t.must(err, "look the image up for its own platform")
	wantEqual(t, "its id", same.ID, image.ID)
}

func imageFiles(t *T) {
	_, image := t.image(ImageConfig)
	files, err := t.imager().ImageFiles(t.ctx, image, []string{"/srv/data", "/srv/link", "/srv/absent", "/srv"}, 1<<20)
	t.must(err, "read files of an image")
	got := map[string]string{}
	for path, data := range files {
		got[path] = string(data)
	}
	wantEqual(t, "the regular files among them", got, map[string]string{"/srv/data": ConfigData})
	_, err = t.imager().ImageFiles(t.ctx, image, []string{"/srv/data"}, 4)
	t.wantKind("read a file above the limit", err, backend.Invalid)
}

// loaded loads an image of the test's own.
func (t *T) loaded() (string, *backend.Image) {
	ref := "berth.test/" + t.Name("load") + ":one"
	archive, err := t.run.harness.(Archiver).Archive(t.ctx, ref)
	if err != nil {
		t.harnessf("make an archive: %v", err)
	}
	defer archive.Close()
	images, err := t.imager().LoadImage(t.ctx, archive)
	t.must(err, "load")
	if len(images) != 1 || !slices.Contains(images[0].Refs, ref) {
		t.Fatalf("load tells of %s, want one image named %s", show(images), ref)
	}
	return ref, images[0]
}

func imageLoad(t *T) {
	ref, image := t.loaded()
	found, err := t.imager().Image(t.ctx, ref, "")
	t.must(err, "look the loaded image up")
	wantEqual(t, "its id", found.ID, image.ID)
	listed := false
	for i, err := range t.imager().Images(t.ctx) {
		t.must(err, "list images")
		listed = listed || i.ID == image.ID && slices.Contains(i.Refs, ref)
	}
	if !listed {
		t.Errorf("the list of images lacks the loaded one")
	}
	t.must(t.imager().RemoveImage(t.ctx, ref, false), "remove the image")
	_, err = t.imager().Image(t.ctx, ref, "")
	t.wantKind("look it up after removal", err, backend.NotFound)
}

func imageLoadGarbage(t *T) {
	for name, archive := range map[string]io.Reader{"text": strings.NewReader("not an archive at all\n"), "nothing": strings.NewReader("")} {
		_, err := t.imager().LoadImage(t.ctx, archive)
		t.wantKind("load "+name, err, backend.Invalid)
	}
}

func imageRemoveAbsent(t *T) {
	t.wantKind("remove an absent image", t.imager().RemoveImage(t.ctx, absentRef, false), backend.NotFound)
}

func imageInUse(t *T) {
	ref, image := t.loaded()
	req := t.Request(t.NewSpec(func(s *spec.Sandbox) { s.Image.Ref = ref }))
	req.Image = image
	sb := t.CreateRequest(req)
	t.wantKind("remove an image in use", t.imager().RemoveImage(t.ctx, ref, false), backend.Conflict)
	_, err := t.imager().Image(t.ctx, ref, "")
	t.must(err, "look it up after that")
	sb.Remove()
	t.must(t.imager().RemoveImage(t.ctx, ref, false), "remove it when it is not in use")
}

func imagePull(t *T) {
	ref := t.Host().Registry.Image
	if err := t.imager().RemoveImage(t.ctx, ref, true); err != nil && !errors.Is(err, backend.NotFound) {
		t.Fatalf("remove the image before the pull: %v", err)
	}
	var mu sync.Mutex
	steps := 0
	image, err := t.imager().PullImage(t.ctx, ref, &backend.PullOptions{Progress: func(backend.PullProgress) {
		mu.Lock()
		defer mu.Unlock()
		steps++
	}})
	t.must(err, "pull")
	found, err := t.imager().Image(t.ctx, ref, "")
	t.must(err, "look the pulled image up")
	wantEqual(t, "its id", found.ID, image.ID)
	mu.Lock()
	defer mu.Unlock()
	if steps == 0 {
		t.Errorf("the pull told nothing of its progress")
	}
	t.must(t.imager().RemoveImage(t.ctx, ref, true), "remove the pulled image")
}

func pullFails(ref func(Registry) string, kind backend.Kind) func(*T) {
	return func(t *T) {
		name := ref(t.Host().Registry)
		_, err := t.imager().PullImage(t.ctx, name, nil)
		t.wantKind("pull "+name, err, kind)
		_, err = t.imager().Image(t.ctx, name, "")
		t.wantKind("look it up after that", err, backend.NotFound)
	}
}

func imageVolume(t *T) {
	sb := t.Spawn(t.NewSpec(fromImage(t, ImageVolume), user("0:0"), runs(cmd("write", "/data/x", "1"), cmd("mountinfo", "/data"), cmd("hold"))))
	t.wantOK(sb.Next())
	sb.Remove()
	t.wantNothingLeft(sb.ID)
}

// imageCommit looks for a file of the root file system in an image made of it,
// and for one of a mount, which is left out.
func imageCommit(t *T) {
	c, _ := backend.As[backend.Committer](t.Driver())
	sb := t.Start(t.NewSpec(user("0:0"), mounts(spec.Mount{Type: spec.MountTmpfs, Target: "/scratch"}),
		runs(cmd("write", "/kept", "committed"), cmd("write", "/scratch/left", "x"))))
	sb.Wait()
	ref := "berth.test/" + t.Name("commit") + ":one"
	image, err := c.Commit(t.ctx, sb.ID, ref)
	t.must(err, "commit")
	t.Cleanup(func(ctx context.Context) error { return t.imager().RemoveImage(ctx, ref, true) })
	req := t.Request(t.NewSpec(func(s *spec.Sandbox) { s.Image.Ref = ref }, runs(cmd("read", "/kept"), cmd("stat", "/scratch/left"))))
	req.Image = image
	results := t.results(t.runRequest(req), 2)
	wantEqual(t, "the file in the new image", string(value[probe.Content](t, results[0]).Data), "committed")
	t.wantErrno(results[1:], "ENOENT")
}
