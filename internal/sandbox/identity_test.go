// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
)

const passwd = "root:x:0:0:root:/root:/bin/bash\n" +
	"daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n" +
	"node:x:1000:1000::/home/node:/bin/bash\n" +
	"berth:x:7:7::/home/berth:/bin/sh\n" +
	"broken line\nshort:x:5\nbad:x:minus:1::/:/\nhuge:x:99999999999:1::/:/\n" +
	"escape:x:8:8::/home/../etc:/bin/sh"

func TestIdentify(t *testing.T) {
	caller := Caller{UID: 1001, GID: 100}
	for name, tt := range map[string]struct {
		as   string
		info backend.Info
		want backend.Identity
	}{
		"caller":             {"caller", backend.Info{}, backend.Identity{Mode: "caller", UID: 1001, GID: 100, HostUID: 1001, HostGID: 100}},
		"caller as root":     {"caller", backend.Info{CallerAsRoot: true}, backend.Identity{Mode: "caller", HostUID: 1001, HostGID: 100}},
		"image":              {"image", backend.Info{}, backend.Identity{Mode: "image"}},
		"own number":         {"1001", backend.Info{}, backend.Identity{Mode: "number", UID: 1001, GID: 100, HostUID: 1001, HostGID: 100}},
		"other number":       {"600000000", backend.Info{}, backend.Identity{Mode: "number", UID: 600000000, GID: 600000000, HostUID: 600000000, HostGID: 600000000}},
		"number and group":   {"501:20", backend.Info{}, backend.Identity{Mode: "number", UID: 501, GID: 20, HostUID: 501, HostGID: 20}},
		"zero is not absent": {"0", backend.Info{}, backend.Identity{Mode: "number"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := identify(&spec.Sandbox{User: spec.User{As: tt.as}}, caller, &tt.info)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	for _, as := range []string{"me", "-1", "4294967296", "1:x", ""} {
		if _, err := identify(&spec.Sandbox{User: spec.User{As: as}}, caller, &backend.Info{}); !errors.Is(err, backend.Invalid) {
			t.Errorf("%q: error %v, want Invalid", as, err)
		}
	}
}

func TestSettle(t *testing.T) {
	acc := accounts{Passwd: []byte(passwd), Group: []byte("root:x:0:\nusers:x:100:\n")}
	for name, tt := range map[string]struct {
		uid, gid     uint32
		user, home   string
		needHome     bool
		passwd, grup string // the added line; empty: nothing is bound
	}{
		"root":              {0, 0, "root", "/root", false, "", ""},
		"person":            {1000, 1000, "node", "/home/node", false, "", ""},
		"system account":    {1, 1, "daemon", "/home/daemon", true, "", ""},
		"home that escapes": {8, 8, "escape", "/home/escape", true, "", ""},
		"unknown":           {600000000, 600000000, "berth-1", "/home/berth-1", true, "berth-1:x:600000000:600000000::/home/berth-1:/bin/sh", "berth-1:x:600000000:"},
		"unknown, group is": {1001, 100, "berth-1", "/home/berth-1", true, "berth-1:x:1001:100::/home/berth-1:/bin/sh", ""},
	} {
		t.Run(name, func(t *testing.T) {
			id := backend.Identity{Mode: "number", UID: tt.uid, GID: tt.gid}
			user, needHome, pw, gr := acc.settle(&id, "berth")
			if user != tt.user || id.Home != tt.home || needHome != tt.needHome {
				t.Errorf("user %q, home %q, bound %v; want %q, %q, %v", user, id.Home, needHome, tt.user, tt.home, tt.needHome)
			}
			for _, f := range []struct{ file, got, line string }{{"passwd", string(pw), tt.passwd}, {"group", string(gr), tt.grup}} {
				if f.line == "" {
					if f.got != "" {
						t.Errorf("%s is bound: %q", f.file, f.got)
					}
				} else if !strings.HasSuffix(f.got, "\n"+f.line+"\n") {
					t.Errorf("%s ends %q, want the line %q", f.file, f.got[max(0, len(f.got)-80):], f.line)
				}
			}
			if tt.passwd != "" && !strings.HasPrefix(string(pw), passwd) {
				t.Error("the image's own accounts are gone")
			}
		})
	}
}

func TestSettleOnAnEmptyImage(t *testing.T) {
	id := backend.Identity{Mode: "caller", UID: 0}
	user, needHome, pw, gr := (&accounts{}).settle(&id, "me")
	if user != "me" || id.Home != "/root" || !needHome || string(pw) != "me:x:0:0::/root:/bin/sh\n" || string(gr) != "me:x:0:\n" {
		t.Errorf("user %q, home %q, bound %v, passwd %q, group %q", user, id.Home, needHome, pw, gr)
	}
}

func FuzzSettle(f *testing.F) {
	f.Add([]byte(passwd), uint32(5))
	f.Add([]byte("a:b:c:d:e:f:g\n"), uint32(0))
	f.Fuzz(func(t *testing.T, file []byte, uid uint32) {
		acc := accounts{Passwd: file}
		id := backend.Identity{Mode: "number", UID: uid, GID: uid}
		user, _, pw, _ := acc.settle(&id, "berth")
		if user == "" || !strings.HasPrefix(id.Home, "/") || filepath.Clean(id.Home) != id.Home {
			t.Errorf("user %q, home %q", user, id.Home)
		}
		if pw == nil {
			return
		}
		// The added line is what a reader of the file finds for the uid.
		again := accounts{Passwd: pw}
		for _, u := range again.users() {
			if u.uid == uid && u.name == user && u.home == id.Home {
				return
			}
		}
		t.Errorf("uid %d is not in %q", uid, pw)
	})
}
