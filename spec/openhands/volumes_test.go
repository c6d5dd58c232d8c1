// SPDX-License-Identifier: Apache-2.0

package openhands_test

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/berthrun/berth/spec"
	"github.com/berthrun/berth/spec/openhands"
)

const (
	home = "/home/ann"
	dir  = "/home/ann/project"
)

func bind(source, target string, mode spec.MountMode) spec.Mount {
	return spec.Mount{Type: spec.MountBind, Source: source, Target: target, Mode: mode}
}

func volume(name, target string, mode spec.MountMode) spec.Mount {
	return spec.Mount{Type: spec.MountVolume, Source: name, Target: target, Mode: mode}
}

func labelled(m spec.Mount, label spec.SELinuxLabel) spec.Mount {
	m.SELinux = label
	return m
}

func TestParseVolumes(t *testing.T) {
	tests := map[string]struct {
		in   string
		want []spec.Mount
	}{
		"empty":                  {"", nil},
		"blank":                  {"  ", nil},
		"default mode":           {"/a:/b", []spec.Mount{bind("/a", "/b", spec.ModeRW)}},
		"rw":                     {"/my/host/dir:/workspace:rw", []spec.Mount{bind("/my/host/dir", "/workspace", spec.ModeRW)}},
		"ro":                     {"/host/path:/container/path:ro", []spec.Mount{bind("/host/path", "/container/path", spec.ModeRO)}},
		"overlay":                {"/a:/b:overlay", []spec.Mount{bind("/a", "/b", spec.ModeOverlay)}},
		"two":                    {"/host/path1:/container/path1,/host/path2:/container/path2:ro", []spec.Mount{bind("/host/path1", "/container/path1", spec.ModeRW), bind("/host/path2", "/container/path2", spec.ModeRO)}},
		"white space at entries": {" /a:/b ,\t/c:/d:ro ", []spec.Mount{bind("/a", "/b", spec.ModeRW), bind("/c", "/d", spec.ModeRO)}},
		"space inside a path":    {"/my files:/the data", []spec.Mount{bind("/my files", "/the data", spec.ModeRW)}},
		"same host path twice":   {"/a:/b,/a:/c:ro", []spec.Mount{bind("/a", "/b", spec.ModeRW), bind("/a", "/c", spec.ModeRO)}},
		"shared label":           {"/a:/b:z", []spec.Mount{labelled(bind("/a", "/b", spec.ModeRW), spec.SELinuxShared)}},
		"private label":          {"/a:/b:Z", []spec.Mount{labelled(bind("/a", "/b", spec.ModeRW), spec.SELinuxPrivate)}},
		"mode and label":         {"/a:/b:ro:z", []spec.Mount{labelled(bind("/a", "/b", spec.ModeRO), spec.SELinuxShared)}},
		"label and mode":         {"/a:/b:Z:ro", []spec.Mount{labelled(bind("/a", "/b", spec.ModeRO), spec.SELinuxPrivate)}},
		"home":                   {"~:/h:ro", []spec.Mount{bind("/home/ann", "/h", spec.ModeRO)}},
		"below home":             {"~/x/:/h", []spec.Mount{bind("/home/ann/x", "/h", spec.ModeRW)}},
		"here":                   {".:/workspace", []spec.Mount{bind("/home/ann/project", "/workspace", spec.ModeRW)}},
		"below here":             {"./src:/workspace", []spec.Mount{bind("/home/ann/project/src", "/workspace", spec.ModeRW)}},
		"above":                  {"..:/up", []spec.Mount{bind("/home/ann", "/up", spec.ModeRW)}},
		"beside":                 {"../lib:/lib2", []spec.Mount{bind("/home/ann/lib", "/lib2", spec.ModeRW)}},
		"cleaned":                {"/a//b/../c/:/d//e/", []spec.Mount{bind("/a/c", "/d/e", spec.ModeRW)}},
		"root of the host":       {"/:/host:ro", []spec.Mount{bind("/", "/host", spec.ModeRO)}},
		"volume":                 {"cache:/cache", []spec.Mount{volume("cache", "/cache", spec.ModeRW)}},
		"volume ro":              {"my_cache-1.x:/cache:ro", []spec.Mount{volume("my_cache-1.x", "/cache", spec.ModeRO)}},
		"explicit volume":        {"volume:cache:/cache", []spec.Mount{volume("cache", "/cache", spec.ModeRW)}},
		"explicit volume mode":   {"volume:cache:/cache:ro", []spec.Mount{volume("cache", "/cache", spec.ModeRO)}},
		"volume called volume":   {"volume:/cache:ro", []spec.Mount{volume("volume", "/cache", spec.ModeRO)}},
		"volume volume":          {"volume:volume:/cache", []spec.Mount{volume("volume", "/cache", spec.ModeRW)}},
		"not ASCII":              {"/größe:/données", []spec.Mount{bind("/größe", "/données", spec.ModeRW)}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := openhands.ParseVolumes(tt.in, home, dir)
			if err != nil {
				t.Fatalf("ParseVolumes(%q): %v", tt.in, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("ParseVolumes(%q) (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

func TestParseVolumesRefuses(t *testing.T) {
	tests := map[string]struct {
		in     string
		code   spec.Code
		entry  string
		reason string
	}{
		"no colon":                {"/my/dir", spec.CodeRequired, "/my/dir", "container path is missing"},
		"bare word":               {"cache", spec.CodeRequired, "cache", "container path is missing"},
		"empty host":              {":/b", spec.CodeRequired, ":/b", "host part is empty"},
		"empty container":         {"/a:", spec.CodeRequired, "/a:", "container path is empty"},
		"empty middle":            {"/a::ro", spec.CodeRequired, "/a::ro", "container path is empty"},
		"empty mode":              {"/a:/b:", spec.CodeRequired, "/a:/b:", "mode is empty"},
		"empty second mode":       {"/a:/b:ro:", spec.CodeRequired, "/a:/b:ro:", "mode is empty"},
		"trailing comma":          {"/a:/b,", spec.CodeRequired, "", "the entry is empty"},
		"leading comma":           {",/a:/b", spec.CodeRequired, "", "the entry is empty"},
		"comma before the label":  {"/a:/b:ro,z", spec.CodeInvalid, "z", "joined by a colon"},
		"relative container":      {"/a:b", spec.CodeInvalid, "/a:b", `container path "b" is not absolute`},
		"dot container":           {"/a:./b", spec.CodeInvalid, "/a:./b", "is not absolute"},
		"container with ..":       {"/a:/b/../etc", spec.CodeInvalid, "/a:/b/../etc", "has .. in it"},
		"container ends with ..":  {"/a:/b/..", spec.CodeInvalid, "/a:/b/..", "has .. in it"},
		"container root":          {"/a:/", spec.CodeInvalid, "/a:/", "whole root file system"},
		"container root disguise": {"/a://./", spec.CodeInvalid, "/a://./", "whole root file system"},
		"unknown mode":            {"/a:/b:rx", spec.CodeUnknownValue, "/a:/b:rx", `unknown mode "rx"`},
		"upper case mode":         {"/a:/b:RO", spec.CodeUnknownValue, "/a:/b:RO", "lower case"},
		"mode of podman":          {"/a:/b:O", spec.CodeUnknownValue, "/a:/b:O", "written overlay"},
		"mode of docker":          {"/a:/b:cached", spec.CodeUnknownValue, "/a:/b:cached", `unknown mode "cached"`},
		"path after path":         {"/a:/b:/c", spec.CodeUnknownValue, "/a:/b:/c", "spec file"},
		"two modes":               {"/a:/b:ro:rw", spec.CodeConflict, "/a:/b:ro:rw", `"rw" contradicts`},
		"two labels":              {"/a:/b:z:Z", spec.CodeConflict, "/a:/b:z:Z", `"Z" contradicts`},
		"same mode twice":         {"/a:/b:ro:ro", spec.CodeConflict, "/a:/b:ro:ro", "contradicts"},
		"duplicate target":        {"/a:/b,/c:/b:ro", spec.CodeDuplicate, "/c:/b:ro", `already the target of "/a:/b"`},
		"duplicate after clean":   {"/a:/b,/c:/b/", spec.CodeDuplicate, "/c:/b/", "already the target"},
		"drive letter":            {`C:\Users\ann:/x`, spec.CodeUnsupported, `C:\Users\ann:/x`, "Windows"},
		"drive letter, slash":     {"c:/Users/ann:/x:ro", spec.CodeUnsupported, "c:/Users/ann:/x:ro", "Windows"},
		"UNC":                     {`\\server\share:/x`, spec.CodeUnsupported, `\\server\share:/x`, "Windows"},
		"relative without dot":    {"src/lib:/x", spec.CodeInvalid, "src/lib:/x", "write ./src/lib"},
		"hidden without dot":      {".venv:/x", spec.CodeInvalid, ".venv:/x", "write ./.venv"},
		"bad volume name":         {"-cache:/x", spec.CodeInvalid, "-cache:/x", "not the name of a volume"},
		"explicit bad name":       {"volume:./x:/y", spec.CodeInvalid, "volume:./x:/y", "not the name of a volume"},
		"explicit without path":   {"volume:cache:ro", spec.CodeInvalid, "volume:cache:ro", `container path "ro" is not absolute`},
		"overlay volume":          {"cache:/x:overlay", spec.CodeConflict, "cache:/x:overlay", "overlay needs a host folder"},
		"other home":              {"~bob/x:/y", spec.CodeInvalid, "~bob/x:/y", "another user's home"},
		"space around a part":     {"/a : /b", spec.CodeInvalid, "/a : /b", `white space around "/a "`},
		"space around the mode":   {"/a:/b: ro", spec.CodeInvalid, "/a:/b: ro", `white space around " ro"`},
		"space before a slash":    {"/a:/b /", spec.CodeInvalid, "/a:/b /", `white space at the end of "/b "`},
		"space, slash, host":      {"/a /:/b", spec.CodeInvalid, "/a /:/b", `white space at the end of "/a "`},
		"control character":       {"/a\n:/b", spec.CodeInvalid, "/a\n:/b", "control character"},
		"NUL":                     {"/a:/b\x00", spec.CodeInvalid, "/a:/b\x00", "control character"},
		"not UTF-8":               {"/a\xff:/b", spec.CodeInvalid, "/a\xff:/b", "not valid UTF-8"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := openhands.ParseVolumes(tt.in, home, dir)
			bad, ok := errors.AsType[*openhands.VolumeError](err)
			if !ok || got != nil {
				t.Fatalf("ParseVolumes(%q) = %v, %v; want no mounts and a *VolumeError", tt.in, got, err)
			}
			if bad.Code != tt.code || bad.Entry != tt.entry || !strings.Contains(bad.Reason, tt.reason) {
				t.Errorf("ParseVolumes(%q): code %q, entry %q, reason %q; want %q, %q, …%q…", tt.in, bad.Code, bad.Entry, bad.Reason, tt.code, tt.entry, tt.reason)
			}
			for _, part := range []string{fmt.Sprintf("%q", tt.entry), "HOST:CONTAINER[:MODE]"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("ParseVolumes(%q): %v: does not print %s", tt.in, err, part)
				}
			}
		})
	}
}

func TestParseVolumesReportsEveryEntry(t *testing.T) {
	_, err := openhands.ParseVolumes("/a:/b,nothing,/c:d,/e:/f:xx", home, dir)
	want := []string{`entry 2 "nothing"`, `entry 3 "/c:d"`, `entry 4 "/e:/f:xx"`}
	lines := strings.Split(fmt.Sprint(err), "\n")
	if len(lines) != len(want) {
		t.Fatalf("got %d lines, want %d:\n%v", len(lines), len(want), err)
	}
	for i, w := range want {
		if !strings.HasPrefix(lines[i], w) {
			t.Errorf("line %d is %q, want prefix %q", i, lines[i], w)
		}
	}
}

func TestParseVolumesWithoutDirectories(t *testing.T) {
	for in, want := range map[string]string{
		"~/x:/y":  "HOME is not set",
		"./x:/y":  "working directory is not known",
		"..:/y":   "working directory is not known",
		"~:/y:ro": "HOME is not set",
	} {
		if got, err := openhands.ParseVolumes(in, "", "relative"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseVolumes(%q) = %v, %v; want an error with %q", in, got, err, want)
		}
	}
	if got, err := openhands.ParseVolumes("/x:/y,cache:/z", "", ""); err != nil || len(got) != 2 {
		t.Errorf("absolute paths and volumes need no directories, got %v, %v", got, err)
	}
}

// checkMounts is what holds for every list that ParseVolumes accepts.
func checkMounts(t interface{ Errorf(string, ...any) }, in string, mounts []spec.Mount) {
	seen := map[string]bool{}
	for _, m := range mounts {
		if seen[m.Target] {
			t.Errorf("%q: target %q twice", in, m.Target)
		}
		seen[m.Target] = true
		if !path.IsAbs(m.Target) || path.Clean(m.Target) != m.Target || m.Target == "/" {
			t.Errorf("%q: target %q is not an absolute clean path", in, m.Target)
		}
		switch m.Type {
		case spec.MountBind:
			if !filepath.IsAbs(m.Source) || filepath.Clean(m.Source) != m.Source {
				t.Errorf("%q: source %q is not an absolute clean path", in, m.Source)
			}
		case spec.MountVolume:
			if strings.ContainsAny(m.Source, "/:, ") || m.Mode == spec.ModeOverlay {
				t.Errorf("%q: bad volume %+v", in, m)
			}
		default:
			t.Errorf("%q: type %q", in, m.Type)
		}
		if m.Mode != spec.ModeRW && m.Mode != spec.ModeRO && m.Mode != spec.ModeOverlay {
			t.Errorf("%q: mode %q", in, m.Mode)
		}
	}
}

// formatVolumes is the inverse of ParseVolumes.
func formatVolumes(mounts []spec.Mount) string {
	entries := make([]string, len(mounts))
	for i, m := range mounts {
		entries[i] = m.Source + ":" + m.Target + ":" + string(m.Mode)
		switch m.SELinux {
		case spec.SELinuxShared:
			entries[i] += ":z"
		case spec.SELinuxPrivate:
			entries[i] += ":Z"
		}
	}
	return strings.Join(entries, ",")
}

// TestVolumesRoundTrip writes random mounts and reads them back.
func TestVolumesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.StringMatching(`[a-zA-Z0-9_ äß@+-]{0,6}[a-z]`)
		count := rapid.IntRange(1, 5).Draw(t, "count")
		var want []spec.Mount
		for i := range count {
			m := spec.Mount{
				Target:  fmt.Sprintf("/t%d/%s", i, part.Draw(t, "target")),
				Mode:    rapid.SampledFrom([]spec.MountMode{spec.ModeRW, spec.ModeRO}).Draw(t, "mode"),
				SELinux: rapid.SampledFrom([]spec.SELinuxLabel{"", spec.SELinuxShared, spec.SELinuxPrivate}).Draw(t, "label"),
			}
			if rapid.Bool().Draw(t, "bind") {
				m.Type, m.Source = spec.MountBind, "/"+part.Draw(t, "source")
				if rapid.Bool().Draw(t, "overlay") {
					m.Mode = spec.ModeOverlay
				}
			} else {
				m.Type, m.Source = spec.MountVolume, rapid.StringMatching(`[a-zA-Z0-9][a-zA-Z0-9_.-]{1,8}`).Draw(t, "volume")
			}
			want = append(want, m)
		}
		text := formatVolumes(want)
		got, err := openhands.ParseVolumes(text, "", "")
		if err != nil {
			t.Fatalf("ParseVolumes(%q): %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("ParseVolumes(%q) (-want +got):\n%s", text, diff)
		}
	})
}

func FuzzParseVolumes(f *testing.F) {
	for _, seed := range []string{
		"/a:/b", "/a:/b:ro,cache:/c:z", "volume:x1:/y:ro", "~/x:/y,./z:/w:overlay", `C:\x:/y`, ",", "::", "/a:/b:ro,z",
		"~:/..", "..:/a/./b//", "/a\x00:/b", "/\xff:/b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		mounts, err := openhands.ParseVolumes(in, home, dir)
		if err != nil {
			if mounts != nil {
				t.Errorf("%q: mounts %v besides the error %v", in, mounts, err)
			}
			return
		}
		checkMounts(t, in, mounts)
		again, err := openhands.ParseVolumes(formatVolumes(mounts), "", "")
		if err != nil {
			t.Fatalf("%q was read as %q, which is refused: %v", in, formatVolumes(mounts), err)
		}
		if diff := cmp.Diff(mounts, again); diff != "" {
			t.Errorf("%q changes when it is read again:\n%s", in, diff)
		}
	})
}

func ExampleParseVolumes() {
	mounts, err := openhands.ParseVolumes("~/project:/workspace, cache:/cache:ro", "/home/ann", "/tmp")
	fmt.Println(err)
	for _, m := range mounts {
		fmt.Println(m.Type, m.Source, m.Target, m.Mode)
	}
	_, err = openhands.ParseVolumes("/data:models", "", "")
	fmt.Println(err)
	// Output:
	// <nil>
	// bind /home/ann/project /workspace rw
	// volume cache /cache ro
	// entry 1 "/data:models": container path "models" is not absolute; want HOST:CONTAINER[:MODE], such as /my/dir:/workspace:rw
}
