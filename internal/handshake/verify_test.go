// SPDX-License-Identifier: Apache-2.0

package handshake_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berthrun/berth/internal/handshake"
)

func TestVerify(t *testing.T) {
	probe := func(change func(*handshake.ProbeReport)) *handshake.ProbeReport {
		p := &handshake.ProbeReport{Name: ".berth-x-0", Dev: 5, Ino: 100, UID: 0, GID: 0}
		if change != nil {
			change(p)
		}
		return p
	}
	type host struct {
		uid, gid int
		dev, ino uint64
		err      error
	}
	good := host{1000, 1001, 5, 100, nil}
	writable := handshake.MountExpect{Target: "/w", Compare: true, Dev: 5, Ino: 10, MustWrite: true, Stat: true}
	with := func(change func(*handshake.MountExpect)) handshake.MountExpect {
		w := writable
		change(&w)
		return w
	}
	mount := handshake.MountReport{Target: "/w", Dev: 5, Ino: 10, Mode: 0o40755, Probe: probe(nil)}
	seen := func(change func(*handshake.MountReport)) handshake.MountReport {
		m := mount
		change(&m)
		return m
	}
	for name, c := range map[string]struct {
		report []handshake.MountReport
		want   handshake.MountExpect
		host   host
		diff   []string // What, in order
	}{
		"good":         {[]handshake.MountReport{mount}, writable, good, nil},
		"goodReadOnly": {[]handshake.MountReport{seen(func(m *handshake.MountReport) { m.ReadOnly, m.Probe = true, nil })}, handshake.MountExpect{Target: "/w", Compare: true, Dev: 5, Ino: 10, ReadOnly: true}, host{}, nil},
		"goodReadOnlyProbed": {[]handshake.MountReport{seen(func(m *handshake.MountReport) {
			m.ReadOnly, m.Probe = true, probe(func(p *handshake.ProbeReport) { p.Error = "read-only file system" })
		})}, handshake.MountExpect{Target: "/w", ReadOnly: true, Stat: true}, host{err: fs.ErrNotExist}, nil},
		"missing":     {nil, writable, good, []string{"mount"}},
		"twice":       {[]handshake.MountReport{mount, mount}, writable, good, []string{"mount"}},
		"unreadable":  {[]handshake.MountReport{{Target: "/w", Error: "permission denied"}}, writable, good, []string{"mount"}},
		"device":      {[]handshake.MountReport{seen(func(m *handshake.MountReport) { m.Dev = 6 })}, writable, good, []string{"device"}},
		"inode":       {[]handshake.MountReport{seen(func(m *handshake.MountReport) { m.Ino = 11 })}, writable, good, []string{"inode"}},
		"notCompared": {[]handshake.MountReport{seen(func(m *handshake.MountReport) { m.Dev, m.Ino = 6, 11 })}, with(func(w *handshake.MountExpect) { w.Compare = false }), host{1000, 1001, 77, 78, nil}, nil},
		"becameReadOnly": {[]handshake.MountReport{seen(func(m *handshake.MountReport) {
			m.ReadOnly, m.Probe = true, probe(func(p *handshake.ProbeReport) { p.Error = "read-only file system" })
		})}, writable, good, []string{"readOnly", "write"}},
		"becameWritable": {[]handshake.MountReport{mount}, with(func(w *handshake.MountExpect) { w.ReadOnly, w.MustWrite = true, false }), good, []string{"readOnly", "write"}},
		"liesAboutFlag":  {[]handshake.MountReport{seen(func(m *handshake.MountReport) { m.ReadOnly = true })}, with(func(w *handshake.MountExpect) { w.ReadOnly, w.MustWrite = true, false }), good, []string{"write"}},
		"cannotWrite": {[]handshake.MountReport{seen(func(m *handshake.MountReport) {
			m.Probe = probe(func(p *handshake.ProbeReport) { p.Error = "permission denied" })
		})}, writable, good, []string{"write"}},
		"mayNotWrite": {[]handshake.MountReport{seen(func(m *handshake.MountReport) {
			m.Probe = probe(func(p *handshake.ProbeReport) { p.Error = "permission denied" })
		})}, with(func(w *handshake.MountExpect) { w.MustWrite = false }), host{err: fs.ErrNotExist}, nil},
		"noProbe":          {[]handshake.MountReport{seen(func(m *handshake.MountReport) { m.Probe = nil })}, writable, good, []string{"probe"}},
		"owner":            {[]handshake.MountReport{mount}, writable, host{100999, 1001, 5, 100, nil}, []string{"owner"}},
		"group":            {[]handshake.MountReport{mount}, writable, host{1000, 100, 5, 100, nil}, []string{"owner"}},
		"anyGroup":         {[]handshake.MountReport{mount}, with(func(w *handshake.MountExpect) { w.AnyGID = true }), host{1000, 100, 5, 100, nil}, nil},
		"anyGroupNotOwner": {[]handshake.MountReport{mount}, with(func(w *handshake.MountExpect) { w.AnyGID = true }), host{0, 100, 5, 100, nil}, []string{"owner"}},
		// Init says that it made a file, and the host's folder has none, or another.
		"probeElsewhere": {[]handshake.MountReport{mount}, writable, host{err: fs.ErrNotExist}, []string{"probe"}},
		"otherProbe":     {[]handshake.MountReport{mount}, writable, host{1000, 1001, 5, 101, nil}, []string{"probe"}},
		"otherProbeDev":  {[]handshake.MountReport{mount}, writable, host{1000, 1001, 6, 100, nil}, []string{"probe"}},
		"everything":     {[]handshake.MountReport{seen(func(m *handshake.MountReport) { m.Dev, m.Ino, m.ReadOnly = 6, 11, true })}, writable, host{0, 0, 6, 1, nil}, []string{"device", "inode", "readOnly", "owner", "probe"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := handshake.Verify(&handshake.Report{Mounts: c.report}, handshake.Expect{UID: 1000, GID: 1001, Mounts: []handshake.MountExpect{c.want}},
				func(target, file string) (int, int, uint64, uint64, error) {
					if target != "/w" || file != ".berth-x-0" {
						t.Errorf("asked for %s in %s", file, target)
					}
					return c.host.uid, c.host.gid, c.host.dev, c.host.ino, c.host.err
				})
			var got []string
			if bad, ok := errors.AsType[*handshake.MismatchError](err); ok {
				for _, m := range bad.Mismatches {
					if m.Target != "/w" {
						t.Errorf("mismatch names %q", m.Target)
					}
					got = append(got, m.What)
				}
			} else if err != nil {
				t.Fatalf("not a MismatchError: %v", err)
			}
			if diff := cmp.Diff(c.diff, got); diff != "" {
				t.Errorf("mismatches (-want +got):\n%s\n%v", diff, err)
			}
		})
	}
}

func TestVerifyReportsEveryMount(t *testing.T) {
	r := &handshake.Report{Mounts: []handshake.MountReport{{Target: "/b", Dev: 2, Ino: 2}, {Target: "/a", Dev: 259<<8 | 2, Ino: 1}}}
	err := handshake.Verify(r, handshake.Expect{Mounts: []handshake.MountExpect{
		{Target: "/a", Compare: true, Dev: 0x801, Ino: 1}, {Target: "/c"}, {Target: "/b", Compare: true, Dev: 2, Ino: 3},
	}}, nil)
	const want = "mount /a: device 259:2 inside, 8:1 on the host: the engine mounted something else; " +
		"mount /c: init did not report it; mount /b: inode 2 inside, 3 on the host: the engine mounted something else"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
