// SPDX-License-Identifier: Apache-2.0

package handshake

import (
	"fmt"
	"strings"
)

// Expect is what the host knows and the report has to match.
type Expect struct {
	// UID and GID own, on the host, what the sandbox writes into a bind mount.
	UID, GID int
	// Mounts are the mounts of Config.Mounts, in any order.
	Mounts []MountExpect
}

// MountExpect is what one mount must look like from inside.
type MountExpect struct {
	// Target is the path inside the sandbox, as in Config.Mounts.
	Target string
	// Compare asks that device and inode of the target, and of its probe file, are
	// the host's. It holds for bind mounts on the same kernel; not for overlay
	// mounts, which have a device of their own, nor for remote engines.
	Compare bool
	// Dev and Ino are st_dev and st_ino of the source, recorded when its path was
	// resolved. They are used with Compare.
	Dev, Ino uint64
	// ReadOnly is whether the mount must refuse writes. When it is false a
	// read-only mount is a mismatch.
	ReadOnly bool
	// MustWrite makes a probe that failed, or is missing, a mismatch. Leave it
	// false for a folder in which the caller may not write on the host either, and
	// for a single file, which gets no probe.
	MustWrite bool
	// Stat says that the host can see the probe file: statProbe is then called for
	// a probe that succeeded, and its owner compared.
	Stat bool
	// AnyGID leaves out the group of the probe file. A folder with the setgid bit
	// gives its own group to new files.
	AnyGID bool
}

// StatProbe looks at a probe file on the host, without following a link. The
// caller opens the mount's source by what it recorded, not by path again.
type StatProbe func(target, name string) (uid, gid int, dev, ino uint64, err error)

// Mismatch is one difference between the report and the host.
type Mismatch struct {
	// Target is the mount's path inside the sandbox.
	Target string
	// What differs: "mount", "device", "inode", "readOnly", "write", "owner",
	// "probe".
	What string
	// Text says it in words, without the target.
	Text string
}

// MismatchError is every difference that Verify found, in the order of
// Expect.Mounts.
type MismatchError struct {
	Mismatches []Mismatch
}

// Error names every target and what differs there.
func (e *MismatchError) Error() string {
	parts := make([]string, len(e.Mismatches))
	for i, m := range e.Mismatches {
		parts[i] = fmt.Sprintf("mount %s: %s", m.Target, m.Text)
	}
	return strings.Join(parts, "; ")
}

// Verify compares a report with what the host knows and sees. It is called between
// Negotiate and Go, while the probe files exist. It changes nothing and calls
// statProbe at most once for each mount; statProbe may be nil when no mount has
// Stat. It returns nil or a *MismatchError with all differences.
func Verify(r *Report, want Expect, statProbe StatProbe) error {
	var bad []Mismatch
	seen := map[string]*MountReport{}
	for i := range r.Mounts {
		m := &r.Mounts[i]
		if _, twice := seen[m.Target]; twice {
			bad = append(bad, Mismatch{m.Target, "mount", "it is reported twice"})
		}
		seen[m.Target] = m
	}
	for _, w := range want.Mounts {
		m, ok := seen[w.Target]
		if !ok {
			bad = append(bad, Mismatch{w.Target, "mount", "init did not report it"})
			continue
		}
		bad = append(bad, verifyMount(m, w, want, statProbe)...)
	}
	if len(bad) == 0 {
		return nil
	}
	return &MismatchError{Mismatches: bad}
}

func verifyMount(m *MountReport, w MountExpect, want Expect, statProbe StatProbe) (bad []Mismatch) {
	add := func(what, format string, args ...any) {
		bad = append(bad, Mismatch{w.Target, what, fmt.Sprintf(format, args...)})
	}
	if m.Error != "" {
		add("mount", "init cannot examine it: %s", m.Error)
		return bad
	}
	if w.Compare && m.Dev != w.Dev {
		add("device", "device %s inside, %s on the host: the engine mounted something else", devString(m.Dev), devString(w.Dev))
	}
	if w.Compare && m.Ino != w.Ino {
		add("inode", "inode %d inside, %d on the host: the engine mounted something else", m.Ino, w.Ino)
	}
	switch {
	case w.ReadOnly && !m.ReadOnly:
		add("readOnly", "it must be read-only and is writable")
	case !w.ReadOnly && m.ReadOnly:
		add("readOnly", "it must be writable and is read-only")
	}
	p := m.Probe
	switch {
	case p == nil:
		if w.MustWrite {
			add("probe", "init made no probe file in it")
		}
		return bad
	case p.Error != "":
		if w.MustWrite {
			add("write", "the sandbox's user cannot write in it: %s", p.Error)
		}
		return bad
	case w.ReadOnly:
		add("write", "it must be read-only and a file could be created in it")
	}
	if !w.Stat {
		return bad
	}
	uid, gid, dev, ino, err := statProbe(w.Target, p.Name)
	if err != nil {
		add("probe", "the probe file %s is not in the host's folder: %v", p.Name, err)
		return bad
	}
	if uid != want.UID || (!w.AnyGID && gid != want.GID) {
		add("owner", "files that the sandbox writes belong to %d:%d on the host instead of %d:%d", uid, gid, want.UID, want.GID)
	}
	if w.Compare && (dev != p.Dev || ino != p.Ino) {
		add("probe", "the probe file %s on the host is not the one that init made (device %s inode %d inside, device %s inode %d on the host)",
			p.Name, devString(p.Dev), p.Ino, devString(dev), ino)
	}
	return bad
}

// devString writes a device number as the kernel's tools do, major:minor.
func devString(dev uint64) string {
	major := (dev>>8)&0xfff | (dev>>32)&^0xfff
	minor := dev&0xff | (dev>>12)&^0xff
	return fmt.Sprintf("%d:%d", major, uint32(minor))
}
