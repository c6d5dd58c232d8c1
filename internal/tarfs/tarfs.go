// SPDX-License-Identifier: Apache-2.0

// Package tarfs packs local files into a tar stream and extracts hostile tar
// streams below one local directory.
package tarfs

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Extract writes the entries of a tar stream into dir, which exists. Entries
// are named base or base/…, as an engine names what it copies out; rename, when
// it is not empty, replaces base. Every path is opened below dir without leaving
// it through a symbolic link, whatever the stream says. Regular files, folders
// and symbolic links are written, with the permission bits of the entry and
// without setuid, setgid and owners; a link is kept as text, even one that
// points elsewhere, and is never followed. Hard links become copies. Devices,
// sockets and pipes are an error, and so are names that leave base.
//
// After an error what was written before stays.
func Extract(r io.Reader, dir, base, rename string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if rename == "" {
		rename = base
	}
	if !filepath.IsLocal(rename) || strings.ContainsRune(rename, filepath.Separator) {
		return fmt.Errorf("local name %q: cannot be written", rename)
	}
	local := func(name string) (string, error) {
		name = path.Clean(name)
		rest, ok := strings.CutPrefix(name, base)
		if !ok || rest != "" && rest[0] != '/' || !filepath.IsLocal(filepath.FromSlash(name)) {
			return "", fmt.Errorf("entry %q is not below %q", name, base)
		}
		return filepath.FromSlash(rename + rest), nil
	}
	type folder struct {
		name string
		mode fs.FileMode
	}
	var folders []folder
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("archive: %w", err)
		}
		name, err := local(h.Name)
		if err != nil {
			return err
		}
		mode := fs.FileMode(h.Mode).Perm()
		switch h.Typeflag {
		case tar.TypeDir:
			if err := root.MkdirAll(name, 0o700); err != nil {
				return err
			}
			// A folder that may not be written is closed after its content came.
			folders = append(folders, folder{name, mode})
		case tar.TypeReg:
			err = writeFile(root, name, mode, in)
		case tar.TypeSymlink:
			if err = root.Remove(name); err == nil || errors.Is(err, fs.ErrNotExist) {
				err = root.Symlink(h.Linkname, name)
			}
		case tar.TypeLink:
			err = copyFile(root, name, mode, h.Linkname, local)
		case tar.TypeXGlobalHeader:
		default:
			return fmt.Errorf("entry %q: a file of type %q cannot be copied", h.Name, h.Typeflag)
		}
		if err != nil {
			return err
		}
	}
	for _, f := range slices.Backward(folders) {
		if err := root.Chmod(f.name, f.mode); err != nil {
			return err
		}
	}
	return nil
}

// writeFile replaces name: what stands there is removed first, so that an
// existing link is not written through.
func writeFile(root *os.Root, name string, mode fs.FileMode, r io.Reader) error {
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Chmod(mode)
	}
	return errors.Join(err, f.Close())
}

func copyFile(root *os.Root, name string, mode fs.FileMode, link string, local func(string) (string, error)) error {
	from, err := local(link)
	if err != nil {
		return err
	}
	info, err := root.Lstat(from)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("entry %q: hard link to something that is no file", name)
	}
	f, err := root.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return writeFile(root, name, mode, f)
}

// Pack writes the file or folder at from as a tar stream whose entries are named
// name or name/…, owned by uid and gid. Symbolic links below from are packed as
// links; from itself may be one and is followed. Sockets, pipes and devices are
// an error.
func Pack(w io.Writer, from, name string, uid, gid int) error {
	out := tar.NewWriter(w)
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	add := func(file string, info fs.FileInfo, as, link string) error {
		h, err := tar.FileInfoHeader(info, link)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		h.Name, h.Uid, h.Gid, h.Uname, h.Gname = as, uid, gid, "", ""
		if info.IsDir() {
			h.Name += "/"
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.CopyN(out, f, info.Size())
		return err
	}
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s: neither a file nor a folder", from)
		}
		if err := add(from, info, name, ""); err != nil {
			return err
		}
		return out.Close()
	}
	// WalkDir does not follow a link at its root.
	top, err := filepath.EvalSymlinks(from)
	if err != nil {
		return err
	}
	err = filepath.WalkDir(top, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, file)
		if err != nil {
			return err
		}
		as, link := path.Join(name, filepath.ToSlash(rel)), ""
		switch mode := info.Mode(); {
		case mode.IsDir(), mode.IsRegular():
		case mode&fs.ModeSymlink != 0:
			if link, err = os.Readlink(file); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s: a %s cannot be copied", file, mode.Type())
		}
		return add(file, info, as, link)
	})
	if err != nil {
		return err
	}
	return out.Close()
}
