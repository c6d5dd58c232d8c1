// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestHit(t *testing.T) {
	var patterns []pattern
	for _, p := range []string{"/", "/etc", "/var/lib/docker", "/home/*/.ssh", "/run"} {
		patterns = append(patterns, newPattern(p))
	}
	for _, c := range []struct {
		path  string
		which string
		above bool
	}{
		{"/", "/", false},
		{"/etc", "/etc", false},
		{"/etc/a/b", "/etc", false},
		{"/etcx", "", true},
		{"/var", "/var/lib/docker", true},
		{"/var/lib", "/var/lib/docker", true},
		{"/var/lib/docker", "/var/lib/docker", false},
		{"/var/lib/dockerx", "", true},
		{"/var/log", "", true},
		{"/home", "/home/*/.ssh", true},
		{"/home/a", "/home/*/.ssh", true},
		{"/home/a/.ssh", "/home/*/.ssh", false},
		{"/home/a/.ssh/id", "/home/*/.ssh", false},
		{"/home/a/b/.ssh", "", true},
		{"/home/a/.SSH", "", true},
		{"/run/x", "/run", false},
		{"/run/media", "/run", false},
		{"/run/media/ann", "", true},
		{"/run/mediax", "/run", false},
	} {
		which, above := hit(c.path, patterns)
		if got := strings.Join(which, " "); got != c.which || c.which != "" && above != c.above {
			t.Errorf("%s: %q %v, want %q %v", c.path, got, above, c.which, c.above)
		}
	}
}

// Whatever is below something protected is protected, and so is whatever
// contains it, however the path is written.
func TestProtectionIsClosed(t *testing.T) {
	g := newGuarded(Input{Homes: []string{"/home/ann", "/srv/ann/"}, Protected: []string{"/opt/x"}})
	name := rapid.StringMatching(`[a-zA-Z.*][a-z .*]{0,5}`).Filter(func(s string) bool { return s != "." && s != ".." })
	rapid.Check(t, func(t *rapid.T) {
		p := strings.ReplaceAll(rapid.SampledFrom(g.protected).Draw(t, "protected").text, "*", name.Draw(t, "user"))
		for range rapid.IntRange(0, 3).Draw(t, "deeper") {
			p += rapid.SampledFrom([]string{"/", "//", "/./"}).Draw(t, "slash") + name.Draw(t, "name")
		}
		up := rapid.IntRange(0, strings.Count(p, "/")).Draw(t, "up")
		for range up {
			p = p[:strings.LastIndexByte(p, '/')]
		}
		p += rapid.SampledFrom([]string{"", "/", "//", "/."}).Draw(t, "end")
		clean, ok := cleanAbs(p)
		if !ok {
			return // nothing is left of it
		}
		if strings.HasPrefix(clean, "/run/media/") {
			return
		}
		if which, _ := hit(clean, g.protected); len(which) == 0 {
			t.Fatalf("%q is not protected", p)
		}
	})
}

func TestProtectedPathsAreCleanAndAbsolute(t *testing.T) {
	list := ProtectedPaths([]string{"/home/ann/", "rel", ""})
	for _, want := range []string{"/etc", "/var/lib/docker", "/home/ann/.ssh"} {
		if !slices.Contains(list, want) {
			t.Errorf("%s is missing", want)
		}
	}
	for _, p := range slices.Concat(list, hostWriteProtected, hostExcepted) {
		if clean, ok := cleanAbs(p); !ok || clean != p || strings.Contains(p, "*") {
			t.Errorf("%q is not a clean path", p)
		}
	}
	for _, name := range slices.Concat(homeProtected, homeWriteProtected) {
		if clean, ok := cleanAbs("/" + name); !ok || clean != "/"+name {
			t.Errorf("%q is not a clean name", name)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"a", "", false},
		{"a", "a", true},
		{"a", "ab", false},
		{"*", "", true},
		{"*", "ab", true},
		{"*", "a/b", false},
		{"**", "a/b", true},
		{"a/*", "a/b", true},
		{"a/*", "a/b/c", false},
		{"a/**", "a/b/c", true},
		{"a/**", "a", false},
		{"*-x", "a-b-x", true},
		{"*a*", "bab", true},
		{"***", "a/b", true},
		{"a.c", "abc", false},
		{"[a]", "a", false},
		{"a*", "ä", false},
	} {
		if got := glob(c.pattern, c.text, '/'); got != c.want {
			t.Errorf("%q %q: %v", c.pattern, c.text, got)
		}
	}
}

// Regular expressions say the same in another way.
func FuzzGlob(f *testing.F) {
	f.Add("a/**/c*", "a/b/c/cd")
	f.Add("***", "/")
	f.Add("*a*a*a*", "aaaaaaaaaaab")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 200 || len(text) > 1000 || strings.ContainsRune(text, '\n') {
			return
		}
		var expr strings.Builder
		for rest := pattern; rest != ""; {
			switch {
			case strings.HasPrefix(rest, "**"):
				expr.WriteString(`(?s:.*)`)
				rest = rest[2:]
			case rest[0] == '*':
				expr.WriteString(`[^/]*`)
				rest = rest[1:]
			default:
				expr.WriteString(regexp.QuoteMeta(rest[:1]))
				rest = rest[1:]
			}
		}
		re, err := regexp.Compile(`\A(?:` + expr.String() + `)\z`)
		if err != nil {
			return // bytes that are no text
		}
		if got := glob(pattern, text, '/'); got != re.MatchString(text) {
			t.Errorf("%q %q: %v", pattern, text, got)
		}
	})
}
