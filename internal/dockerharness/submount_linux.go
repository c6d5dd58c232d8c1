// SPDX-License-Identifier: Apache-2.0

package dockerharness

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/berthrun/berth/conformance"
)

// submount mounts a small tmpfs below a folder, so that tests can see whether
// read-only reaches it.
func (h *Harness) submount() {
	dir := filepath.Join(h.host.TempDir, "submount")
	sub := filepath.Join(dir, "sub")
	err := os.MkdirAll(sub, 0o755)
	if err == nil {
		err = unix.Mount("tmpfs", sub, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=1m,mode=0777")
	}
	if err != nil {
		h.host.Lacks[conformance.FactSubmount] = "nothing can be mounted here: " + err.Error()
		return
	}
	h.host.Submount = dir
	h.close = append(h.close, func() { _ = unix.Unmount(sub, unix.MNT_DETACH) })
}
