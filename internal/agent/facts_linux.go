// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/berthrun/berth/internal/handshake/wire"
)

// facts fills in what init is. It asks the kernel by system call and not /proc,
// which an image or a profile may hide.
func facts(r *wire.Report) {
	r.PID, r.UID, r.GID = os.Getpid(), os.Getuid(), os.Getgid()
	r.Groups = []int{}
	if g, err := os.Getgroups(); err == nil && g != nil {
		r.Groups = g
	}
	if n, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err == nil {
		r.NoNewPrivs = n == 1
	}
	r.Seccomp = -1
	if n, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0); err == nil {
		r.Seccomp = n
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err == nil {
		r.CapEff = uint64(data[1].Effective)<<32 | uint64(data[0].Effective)
		r.CapPrm = uint64(data[1].Permitted)<<32 | uint64(data[0].Permitted)
		r.CapInh = uint64(data[1].Inheritable)<<32 | uint64(data[0].Inheritable)
	}
	for c := range uintptr(64) {
		n, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		if err != nil {
			break // past the last capability that this kernel knows
		}
		r.CapBnd |= uint64(n) << c
		if n, err = unix.PrctlRetInt(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_IS_SET, c, 0, 0); err == nil {
			r.CapAmb |= uint64(n) << c
		}
	}
}

// probes are the probe files that exist. They are held by directory descriptor,
// so that removal hits the directory of creation whatever happens to its path.
type probes struct {
	dirs  []int
	names []string
}

// remove deletes every probe file. It may be called again.
func (p *probes) remove() {
	for i, dir := range p.dirs {
		_ = unix.Unlinkat(dir, p.names[i], 0)
		closeFD(dir)
	}
	p.dirs, p.names = nil, nil
}

// examine looks at every mount of cfg and makes the probe files it asks for. What
// goes wrong is part of the reports.
func examine(cfg *wire.Config, p *probes) []wire.MountReport {
	reports := make([]wire.MountReport, len(cfg.Mounts))
	for i, q := range cfg.Mounts {
		reports[i] = examineMount(q, wire.ProbeName(cfg.Nonce, i), p)
	}
	return reports
}

func examineMount(q wire.MountQuery, name string, p *probes) wire.MountReport {
	m := wire.MountReport{Target: q.Target}
	fd, err := unix.Open(q.Target, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		m.Error = err.Error()
		return m
	}
	keep := false
	defer func() {
		if !keep {
			closeFD(fd)
		}
	}()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		m.Error = err.Error()
		return m
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		m.Error = err.Error()
		return m
	}
	m.Dev, m.Ino, m.Mode = uint64(st.Dev), st.Ino, st.Mode
	m.ReadOnly = fs.Flags&unix.ST_RDONLY != 0
	m.FSType = fsType(int64(fs.Type))
	if !q.Probe || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return m
	}
	m.Probe = &wire.ProbeReport{Name: name}
	f, err := unix.Openat(fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		m.Probe.Error = err.Error()
		return m
	}
	p.dirs, p.names, keep = append(p.dirs, fd), append(p.names, name), true
	defer closeFD(f)
	if err := unix.Fstat(f, &st); err != nil {
		m.Probe.Error = err.Error()
		return m
	}
	m.Probe.Dev, m.Probe.Ino, m.Probe.UID, m.Probe.GID = uint64(st.Dev), st.Ino, int(st.Uid), int(st.Gid)
	return m
}

// fsType names a file system by its magic number, for people to read.
func fsType(magic int64) string {
	switch magic {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.F2FS_SUPER_MAGIC:
		return "f2fs"
	case 0x2fc12fc1:
		return "zfs"
	case unix.TMPFS_MAGIC:
		return "tmpfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlay"
	case unix.NFS_SUPER_MAGIC:
		return "nfs"
	case unix.FUSE_SUPER_MAGIC:
		return "fuse"
	case unix.V9FS_MAGIC:
		return "9p"
	case unix.CIFS_SUPER_MAGIC:
		return "cifs"
	case 0x6a656a63:
		return "virtiofs"
	case unix.MSDOS_SUPER_MAGIC:
		return "vfat"
	case unix.SQUASHFS_MAGIC:
		return "squashfs"
	case unix.EROFS_SUPER_MAGIC_V1:
		return "erofs"
	}
	return "0x" + strconv.FormatUint(uint64(uint32(magic)), 16)
}
