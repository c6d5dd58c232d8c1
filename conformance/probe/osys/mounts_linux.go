// SPDX-License-Identifier: Apache-2.0

package osys

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berthrun/berth/conformance/probe"
)

// fileSystems are the magic numbers of what sandboxes sit on.
var fileSystems = map[int64]string{
	unix.OVERLAYFS_SUPER_MAGIC: "overlay", unix.TMPFS_MAGIC: "tmpfs", unix.RAMFS_MAGIC: "ramfs",
	unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs", unix.BTRFS_SUPER_MAGIC: "btrfs",
	unix.PROC_SUPER_MAGIC: "proc", unix.SYSFS_MAGIC: "sysfs", unix.DEVPTS_SUPER_MAGIC: "devpts",
	unix.CGROUP_SUPER_MAGIC: "cgroup", unix.CGROUP2_SUPER_MAGIC: "cgroup2", unix.NFS_SUPER_MAGIC: "nfs",
	unix.V9FS_MAGIC: "9p", unix.FUSE_SUPER_MAGIC: "fuse", unix.SQUASHFS_MAGIC: "squashfs",
	unix.EROFS_SUPER_MAGIC_V1: "erofs", 0x19800202: "mqueue", 0x2fc12fc1: "zfs",
}

// Statfs implements [probe.MountSystem].
func (System) Statfs(path string) (probe.Statfs, error) {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Statfs(path, &st) }); err != nil {
		return probe.Statfs{}, refused(err)
	}
	name, ok := fileSystems[int64(st.Type)]
	if !ok {
		name = fmt.Sprintf("%#x", uint32(st.Type))
	}
	flag := func(bit int64) bool { return int64(st.Flags)&bit != 0 }
	return probe.Statfs{
		Type: name, Size: int64(st.Blocks) * int64(st.Bsize), Free: int64(st.Bavail) * int64(st.Bsize),
		ReadOnly: flag(unix.ST_RDONLY), NoSUID: flag(unix.ST_NOSUID), NoDev: flag(unix.ST_NODEV), NoExec: flag(unix.ST_NOEXEC),
	}, nil
}

// Mounts implements [probe.MountSystem].
func (System) Mounts() ([]probe.Mount, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, refused(err)
	}
	return parseMountinfo(data)
}

// parseMountinfo reads the format of proc(5).
func parseMountinfo(data []byte) ([]probe.Mount, error) {
	mounts := []probe.Mount{}
	for line := range strings.Lines(string(data)) {
		// id parent device root target options tags… - type source superoptions
		fields := strings.Split(strings.TrimRight(line, "\n"), " ")
		dash := slices.Index(fields, "-")
		if dash < 6 || len(fields) < dash+4 {
			return nil, fmt.Errorf("mountinfo: unexpected line %q", line)
		}
		m := probe.Mount{
			Device: fields[2], Root: unescape(fields[3]), Target: unescape(fields[4]),
			Options: strings.Split(fields[5], ","), SuperOptions: strings.Split(fields[dash+3], ","),
			Type: fields[dash+1], Source: unescape(fields[dash+2]), Propagation: append([]string{}, fields[6:dash]...),
		}
		m.ReadOnly = slices.Contains(m.Options, "ro") || slices.Contains(m.SuperOptions, "ro")
		mounts = append(mounts, m)
	}
	return mounts, nil
}

// unescape undoes the kernel's \ooo for white space and backslashes.
func unescape(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+4 <= len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				out.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		out.WriteByte(text[i])
	}
	return out.String()
}

// TryMount implements [probe.MountSystem].
func (System) TryMount(target string) error {
	if err := retry(func() error { return unix.Mount("berth-probe", target, "tmpfs", 0, "size=4k") }); err != nil {
		return refused(err)
	}
	return refused(unix.Unmount(target, unix.MNT_DETACH))
}

// TryRemount implements [probe.MountSystem]. It changes the mount only (MS_BIND), never the file
// system under it, which the host may share.
func (System) TryRemount(target string) error {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Statfs(target, &st) }); err != nil {
		return refused(err)
	}
	// In a user namespace the other flags are locked, and leaving one out is refused for that reason alone.
	flags := uintptr(unix.MS_REMOUNT | unix.MS_BIND)
	for has, ms := range map[int64]uintptr{
		unix.ST_NOSUID: unix.MS_NOSUID, unix.ST_NODEV: unix.MS_NODEV, unix.ST_NOEXEC: unix.MS_NOEXEC,
		unix.ST_NOATIME: unix.MS_NOATIME, unix.ST_NODIRATIME: unix.MS_NODIRATIME, unix.ST_RELATIME: unix.MS_RELATIME,
	} {
		if int64(st.Flags)&has != 0 {
			flags |= ms
		}
	}
	if err := retry(func() error { return unix.Mount("", target, "", flags, "") }); err != nil {
		return refused(err)
	}
	if int64(st.Flags)&unix.ST_RDONLY != 0 {
		return refused(unix.Mount("", target, "", flags|unix.MS_RDONLY, ""))
	}
	return nil
}
