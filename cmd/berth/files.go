// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/internal/image"
	"github.com/berthrun/berth/internal/tarfs"
	"github.com/berthrun/berth/spec/imageref"
	"github.com/berthrun/berth/spec/schema"
)

// printLine writes one JSON object on a line of its own.
func (a *app) printLine(v any) error { return json.NewEncoder(a.stdout).Encode(v) }

func (a *app) printSchema() error {
	_, err := a.stdout.Write(schema.JSON())
	return err
}

// place is one side of a cp.
type place struct {
	sandbox string // empty: this machine
	path    string
}

// parsePlace reads SANDBOX:PATH or a local path; as in docker, a local path
// with a colon is written ./a:b.
func parsePlace(s string) place {
	box, p, ok := strings.Cut(s, ":")
	if !ok || box == "" || strings.ContainsAny(box, "/.") {
		return place{path: s}
	}
	return place{sandbox: box, path: p}
}

func (a *app) cpCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "cp SANDBOX:PATH LOCAL | LOCAL SANDBOX:PATH",
		Short: "Copy files out of or into a sandbox; - is a tar stream", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, to := parsePlace(args[0]), parsePlace(args[1])
			if (from.sandbox == "") == (to.sandbox == "") {
				return usagef("cp: want SANDBOX:PATH on one side and a local path on the other")
			}
			box := from.sandbox + to.sandbox
			m, st, err := a.find(cmd.Context(), box)
			if err != nil {
				return err
			}
			c, err := optional[backend.Copier](m.Driver(), "cp", backend.Copy)
			if err != nil {
				return err
			}
			if from.sandbox != "" {
				return a.copyOut(cmd.Context(), c, st.ID, from.path, to.path)
			}
			return a.copyIn(cmd.Context(), c, st, from.path, to.path)
		},
	}
}

// copyOut brings path to a local place. The archive is hostile: it is extracted
// through a directory handle that it cannot leave.
func (a *app) copyOut(ctx context.Context, c backend.Copier, id backend.ID, from, to string) error {
	r, err := c.CopyFrom(ctx, id, from)
	if err != nil {
		return err
	}
	defer r.Close()
	if to == "-" {
		_, err := io.Copy(a.stdout, r)
		return err
	}
	dir, rename := to, ""
	if info, err := os.Stat(to); err != nil || !info.IsDir() {
		dir, rename = filepath.Dir(to), filepath.Base(to)
		if strings.HasSuffix(to, "/") {
			return &backend.Error{Kind: backend.NotFound, Op: "berth.cp", Message: "local folder " + to + " does not exist"}
		}
	}
	if err := tarfs.Extract(r, dir, path.Base(path.Clean("/"+from)), rename); err != nil {
		return &backend.Error{Kind: backend.Invalid, Op: "berth.cp", ID: id, Err: err}
	}
	return nil
}

// copyIn sends a local place into a sandbox. What arrives belongs to the
// sandbox's user.
func (a *app) copyIn(ctx context.Context, c backend.Copier, st *backend.Status, from, to string) error {
	if !path.IsAbs(to) {
		return usagef("cp: the path %q in the sandbox is not absolute", to)
	}
	if from == "-" {
		return c.CopyTo(ctx, st.ID, to, a.stdin)
	}
	if _, err := os.Lstat(from); err != nil {
		return &backend.Error{Kind: backend.NotFound, Op: "berth.cp", Err: err}
	}
	dir, name := path.Split(path.Clean(to))
	if isDir, err := a.isDirInside(ctx, c, st.ID, to); err != nil {
		return err
	} else if isDir {
		dir, name = to, filepath.Base(filepath.Clean(from))
	} else if strings.HasSuffix(to, "/") {
		return &backend.Error{Kind: backend.NotFound, Op: "berth.cp", ID: st.ID, Message: "folder " + to + " does not exist in the sandbox"}
	}
	pr, pw := io.Pipe()
	go func() {
		ident := st.Record.Identity
		_ = pw.CloseWithError(tarfs.Pack(pw, from, name, int(ident.UID), int(ident.GID)))
	}()
	err := c.CopyTo(ctx, st.ID, dir, pr)
	_ = pr.CloseWithError(errors.Join(err, io.ErrClosedPipe))
	return err
}

// isDirInside reports whether p is a folder in the sandbox.
func (a *app) isDirInside(ctx context.Context, c backend.Copier, id backend.ID, p string) (bool, error) {
	r, err := c.CopyFrom(ctx, id, p)
	if errors.Is(err, backend.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer r.Close()
	h, err := tar.NewReader(r).Next()
	if err != nil {
		return false, &backend.Error{Kind: backend.Internal, Op: "berth.cp", ID: id, Err: err}
	}
	return h.Typeflag == tar.TypeDir, nil
}

func (a *app) imager(ctx context.Context) (backend.Imager, error) {
	d, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	return optional[backend.Imager](d, "image", backend.ImageLoad)
}

func (a *app) imageCmd() *cobra.Command {
	c := &cobra.Command{Use: "image", Short: "Pull, load, list and remove images"}
	var platform string
	pull := &cobra.Command{
		Use: "pull REF", Short: "Fetch an image", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			im, err := a.imager(cmd.Context())
			if err != nil {
				return err
			}
			ref, err := imageref.Normalize(args[0])
			if err != nil {
				return &backend.Error{Kind: backend.Invalid, Op: "berth.image.pull", Field: "image.ref", Err: err}
			}
			img, err := im.PullImage(cmd.Context(), ref, &backend.PullOptions{Platform: platform, Progress: a.progress()})
			if err != nil {
				return err
			}
			return a.print(img, func(t *table) { t.row(img.ID) })
		},
	}
	pull.Flags().StringVar(&platform, "platform", "", "image platform, such as linux/arm64")
	var input string
	load := &cobra.Command{
		Use: "load [-i FILE] [NAME]", Short: "Load an image archive, or a root file system as image NAME", Args: cobra.MaximumNArgs(1),
		Long: `load takes an archive as "docker save" writes it or an OCI layout in a tar, or
the tar of a root file system as mmdebstrap or "docker export" make it, which
becomes an image named NAME (default: the file's name without its extension).`,
		RunE: func(cmd *cobra.Command, args []string) error {
			im, err := a.imager(cmd.Context())
			if err != nil {
				return err
			}
			in := a.stdin
			if input != "" {
				f, err := os.Open(input)
				if err != nil {
					return &backend.Error{Kind: backend.NotFound, Op: "berth.image.load", Err: err}
				}
				defer f.Close()
				in = f
			} else if _, isTerminal := terminal(a.stdin); isTerminal {
				return usagef("image load: the input is a terminal: give a file with -i, or redirect one")
			}
			images, err := a.load(cmd.Context(), im, in, input, args)
			if err != nil {
				return err
			}
			return a.print(images, func(t *table) {
				for _, img := range images {
					name := img.ID
					if len(img.Refs) > 0 {
						name = strings.Join(img.Refs, ", ")
					}
					t.row(name)
				}
			})
		},
	}
	load.Flags().StringVarP(&input, "input", "i", "", "archive `file` (default: standard input)")
	ls := &cobra.Command{
		Use: "ls", Short: "List images", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			im, err := a.imager(cmd.Context())
			if err != nil {
				return err
			}
			images := []*backend.Image{}
			for img, err := range im.Images(cmd.Context()) {
				if err != nil {
					return err
				}
				images = append(images, img)
			}
			return a.print(images, func(t *table) {
				if !a.quiet {
					t.row("REFERENCE", "ID", "PLATFORM", "SIZE")
				}
				for _, img := range images {
					if a.quiet {
						t.row(img.ID)
						continue
					}
					refs := img.Refs
					if len(refs) == 0 {
						refs = []string{"<none>"}
					}
					for _, ref := range refs {
						t.row(ref, shortID(img.ID), img.Platform, units.HumanSize(float64(img.Size)))
					}
				}
			})
		},
	}
	var force bool
	rm := &cobra.Command{
		Use: "rm REF…", Short: "Remove images", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			im, err := a.imager(cmd.Context())
			if err != nil {
				return err
			}
			var errs []error
			done := []string{}
			for _, ref := range args {
				if err := im.RemoveImage(cmd.Context(), ref, force); err != nil {
					errs = append(errs, err)
					continue
				}
				done = append(done, ref)
			}
			return errors.Join(a.print(map[string]any{"removed": done}, func(t *table) {
				for _, ref := range done {
					t.row(ref)
				}
			}), errors.Join(errs...))
		},
	}
	rm.Flags().BoolVarP(&force, "force", "f", false, "remove an image that stopped sandboxes use")
	c.AddCommand(pull, load, ls, rm)
	return c
}

func shortID(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(12, len(id))]
}

func (a *app) doctorCmd() *cobra.Command {
	var deep bool
	c := &cobra.Command{
		Use: "doctor", Short: "Say which backend is chosen and why, and what it can do", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, choices, err := a.choose(cmd.Context(), true)
			if d != nil {
				a.driver = d
			}
			if deep && d != nil {
				info, perr := d.Probe(cmd.Context(), true)
				if perr != nil {
					return perr
				}
				for i := range choices {
					if choices[i].Chosen {
						choices[i].Info = info
					}
				}
			}
			if choices == nil {
				choices = []choice{}
			}
			return errors.Join(a.print(choices, func(t *table) {
				for _, c := range choices {
					t.row("backend "+c.Backend, map[bool]string{true: "chosen", false: "not chosen"}[c.Chosen], c.Reason)
					if c.Info == nil {
						continue
					}
					i := c.Info
					t.row("  engine", i.Engine+" "+i.EngineVersion, i.Host)
					t.row("  machine", i.OS+"/"+i.Arch+", kernel "+i.Kernel, "cgroup v"+strconv.Itoa(i.CgroupVersion)+", rootless "+strconv.FormatBool(i.Rootless)+", remote "+strconv.FormatBool(i.Remote))
					for _, w := range i.Warnings {
						t.row("  warning", w, "")
					}
					for _, name := range backend.Capabilities() {
						claim := i.Claim(name)
						support, why := string(claim.Support), claim.Mechanism
						if support == "" {
							support = "unknown"
						}
						if !claim.Has() {
							why = claim.Reason
						}
						t.row("  "+string(name), support, why)
					}
				}
			}), err)
		},
	}
	c.Flags().BoolVar(&deep, "deep", false, "run a throw-away container where a fact cannot be read otherwise")
	return c
}

// load names a root file system after its file when the user gives no name.
func (a *app) load(ctx context.Context, im backend.Imager, in io.Reader, file string, args []string) ([]*backend.Image, error) {
	if len(args) == 1 {
		return image.Load(ctx, im, in, args[0])
	}
	name := ""
	if f, ok := in.(*os.File); ok && file != "" {
		format, err := image.Detect(f)
		if err != nil {
			return nil, &backend.Error{Kind: backend.Invalid, Op: "image.load", Message: file, Err: err}
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		if format == image.RootFS {
			name, _, _ = strings.Cut(filepath.Base(file), ".")
		}
	}
	return image.Load(ctx, im, in, name)
}
