// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
)

// Caller is the user who asks for sandboxes.
type Caller struct {
	UID, GID uint32
	// Home is the caller's home directory on the host.
	Home string
}

// accounts is what an image says about its users. It is cached by image id,
// which never names other content.
type accounts struct {
	Passwd []byte `json:"passwd"`
	Group  []byte `json:"group"`
}

// maxAccounts bounds each of the image's two files; they are hostile.
const maxAccounts = 1 << 20

// accounts returns the account files of an image.
func (m *Manager) accounts(ctx context.Context, images backend.Imager, img *backend.Image) (*accounts, error) {
	sum := sha256.Sum256([]byte(m.driver.Name() + "\x00" + img.ID))
	cache := filepath.Join(m.state.dir, "images", hex.EncodeToString(sum[:])+".json")
	var acc accounts
	if data, err := os.ReadFile(cache); err == nil && json.Unmarshal(data, &acc) == nil {
		return &acc, nil
	}
	files, err := images.ImageFiles(ctx, img, []string{"/etc/passwd", "/etc/group"}, maxAccounts)
	if err != nil {
		return nil, err
	}
	acc = accounts{Passwd: files["/etc/passwd"], Group: files["/etc/group"]}
	if err := writeJSON(cache, acc); err != nil {
		m.log.Warn("the image's accounts could not be cached", "image", img.ID, "error", err)
	}
	return &acc, nil
}

// account is a line of passwd(5).
type account struct {
	name, home string
	uid, gid   uint32
}

func (a *accounts) users() []account {
	var out []account
	for line := range bytes.Lines(a.Passwd) {
		f := strings.Split(strings.TrimRight(string(line), "\r\n"), ":")
		// Names and homes become environment variables; the file is hostile.
		if len(f) < 6 || f[0] == "" || !plain(f[0]) || !plain(f[5]) {
			continue
		}
		uid, err1 := strconv.ParseUint(f[2], 10, 32)
		gid, err2 := strconv.ParseUint(f[3], 10, 32)
		if err1 != nil || err2 != nil {
			continue
		}
		out = append(out, account{name: f[0], home: f[5], uid: uint32(uid), gid: uint32(gid)})
	}
	return out
}

// plain reports whether s has only printable ASCII without spaces.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func (a *accounts) hasGroup(gid uint32) bool {
	for line := range bytes.Lines(a.Group) {
		f := strings.Split(strings.TrimRight(string(line), "\r\n"), ":")
		if len(f) >= 3 && f[2] == strconv.FormatUint(uint64(gid), 10) {
			return true
		}
	}
	return false
}

// identify decides who the process is, before anything of the image is known.
// A spec's "UID" without a group has the caller's group when it is the caller's
// uid, and otherwise the group of the same number: never group 0 by accident.
func identify(s *spec.Sandbox, caller Caller, info *backend.Info) (backend.Identity, error) {
	id := backend.Identity{Groups: s.User.Groups}
	switch as := s.User.As; as {
	case spec.UserImage:
		id.Mode = spec.UserImage
	case spec.UserCaller:
		id.Mode, id.UID, id.GID = spec.UserCaller, caller.UID, caller.GID
		id.HostUID, id.HostGID = caller.UID, caller.GID
		if info.CallerAsRoot {
			id.UID, id.GID = 0, 0
		}
	default:
		u, g, hasGroup := strings.Cut(as, ":")
		uid, err := strconv.ParseUint(u, 10, 32)
		if err != nil {
			return id, &backend.Error{Kind: backend.Invalid, Op: "sandbox.identify", Field: "user.as", Message: fmt.Sprintf("%q: want caller, image, UID or UID:GID", as)}
		}
		gid := uid
		if uint32(uid) == caller.UID {
			gid = uint64(caller.GID)
		}
		if hasGroup {
			if gid, err = strconv.ParseUint(g, 10, 32); err != nil {
				return id, &backend.Error{Kind: backend.Invalid, Op: "sandbox.identify", Field: "user.as", Message: fmt.Sprintf("%q: want caller, image, UID or UID:GID", as)}
			}
		}
		id.Mode, id.UID, id.GID = "number", uint32(uid), uint32(gid)
		id.HostUID, id.HostGID = id.UID, id.GID
	}
	return id, nil
}

// settle completes an identity with a name and a home, and says which account
// files have to be bound for that: none, when the image knows the uid, because
// a bound file makes the image's own useradd and apt fail.
func (a *accounts) settle(id *backend.Identity, name string) (user string, needHome bool, passwd, group []byte) {
	if id.Mode == spec.UserImage {
		return "", false, nil, nil
	}
	users := a.users()
	taken := map[string]bool{}
	for _, u := range users {
		taken[u.name] = true
		if u.uid == id.UID && user == "" && filepath.IsLocal(u.name) && filepath.Base(u.name) == u.name && u.name != "." {
			user, id.Home = u.name, u.home
		}
	}
	if user != "" {
		// A home that the image made for a person is used; a system account's
		// (/nonexistent, /usr/sbin) cannot be written.
		if strings.HasPrefix(id.Home, "/home/") && filepath.Clean(id.Home) == id.Home || id.UID == 0 && id.Home == "/root" {
			return user, false, nil, nil
		}
		id.Home = "/home/" + user
		return user, true, nil, nil
	}
	user = name
	for i := 1; taken[user]; i++ {
		user = fmt.Sprintf("%s-%d", name, i)
	}
	id.Home = "/home/" + user
	if id.UID == 0 {
		id.Home = "/root"
	}
	passwd = withLine(a.Passwd, fmt.Sprintf("%s:x:%d:%d::%s:/bin/sh", user, id.UID, id.GID, id.Home))
	if !a.hasGroup(id.GID) {
		group = withLine(a.Group, fmt.Sprintf("%s:x:%d:", user, id.GID))
	}
	return user, true, passwd, group
}

// withLine appends a line to a copy of an account file.
func withLine(file []byte, line string) []byte {
	out := bytes.Clone(file)
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, '\n')
	}
	return append(out, line+"\n"...)
}
