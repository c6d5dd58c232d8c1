// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/berthrun/berth/backend"
	"github.com/distribution/reference"
	"github.com/docker/docker/api/types/image"
)

var _ backend.Committer = (*driver)(nil)

// Commit exports the file system and imports it under ref with the
// configuration that the sandbox's image has. Docker's own commit would put the
// sandbox's configuration into the image: berth's labels and init, and the
// values of its environment, which may be secret. The price is that layers are
// not shared.
func (d *driver) Commit(ctx context.Context, id backend.ID, ref string) (*backend.Image, error) {
	const op = "commit"
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, &backend.Error{Kind: backend.Invalid, Op: "docker." + op, ID: id, Message: fmt.Sprintf("image reference %q", ref), Err: err}
	}
	name := reference.TagNameOnly(named).String()
	c, err := d.find(ctx, op, id)
	if err != nil {
		return nil, err
	}
	base, err := d.cli.ImageInspect(ctx, c.Image)
	if err != nil {
		return nil, d.fail(ctx, op, id, err)
	}
	changes, err := dockerfile(&base)
	if err != nil {
		return nil, &backend.Error{Kind: backend.Invalid, Op: "docker." + op, ID: id, Err: err}
	}
	if c.State.Running && !c.State.Paused {
		// Nothing moves while the files are read.
		if err := d.cli.ContainerPause(ctx, c.ID); err == nil {
			defer d.cleanup(ctx, func(ctx context.Context) { _ = d.cli.ContainerUnpause(ctx, c.ID) })
		} else {
			d.cfg.Log.Debug("commit without a pause", "sandbox", id, "error", err)
		}
	}
	files, err := d.cli.ContainerExport(ctx, c.ID)
	if err != nil {
		return nil, d.fail(ctx, op, id, err)
	}
	defer files.Close()
	r, err := d.cli.ImageImport(ctx, image.ImportSource{Source: files, SourceName: "-"}, name, image.ImportOptions{Changes: changes, Message: "berth commit"})
	if err != nil {
		return nil, d.fail(ctx, op, id, err)
	}
	defer r.Close()
	for _, err := range progress(r) {
		if err != nil {
			return nil, d.fail(ctx, op, id, err)
		}
	}
	return d.Image(ctx, name, "")
}

// dockerfile writes an image's configuration as the instructions that an import
// takes. It returns an error for text that they cannot carry.
func dockerfile(in *image.InspectResponse) ([]string, error) {
	c := in.Config
	if c == nil {
		return nil, nil
	}
	var out []string
	var bad error
	quote := func(s string) string {
		if strings.ContainsAny(s, "\r\n\x00") {
			bad = fmt.Errorf("the image's configuration has a line break in %q, which docker cannot import", s)
		}
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`).Replace(s) + `"`
	}
	list := func(word string, args []string) {
		if len(args) > 0 {
			text, _ := json.Marshal(args) // strings always marshal
			out = append(out, word+" "+string(text))
		}
	}
	for _, e := range c.Env {
		k, v, _ := strings.Cut(e, "=")
		out = append(out, "ENV "+quote(k)+"="+quote(v))
	}
	for _, k := range slices.Sorted(maps.Keys(c.Labels)) {
		if !strings.HasPrefix(k, "berth.") {
			out = append(out, "LABEL "+quote(k)+"="+quote(c.Labels[k]))
		}
	}
	list("ENTRYPOINT", c.Entrypoint)
	list("CMD", c.Cmd)
	for word, value := range map[string]string{"USER": c.User, "WORKDIR": c.WorkingDir, "STOPSIGNAL": c.StopSignal} {
		if value != "" {
			quote(value)
			out = append(out, word+" "+strings.NewReplacer(`\`, `\\`, `$`, `\$`).Replace(value))
		}
	}
	for _, p := range slices.Sorted(maps.Keys(c.ExposedPorts)) {
		out = append(out, "EXPOSE "+p)
	}
	if len(c.Volumes) > 0 {
		list("VOLUME", slices.Sorted(maps.Keys(c.Volumes)))
	}
	return out, bad
}
