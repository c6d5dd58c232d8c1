// SPDX-License-Identifier: Apache-2.0

package imageref_test

import (
	"strings"
	"testing"

	"github.com/berthrun/berth/spec/imageref"
)

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestNormalize(t *testing.T) {
	for _, tt := range []struct{ ref, want, familiar, domain string }{
		{"debian", "docker.io/library/debian:latest", "debian:latest", "docker.io"},
		{"debian:12", "docker.io/library/debian:12", "debian:12", "docker.io"},
		{"docker.io/debian:12", "docker.io/library/debian:12", "debian:12", "docker.io"},
		{"index.docker.io/library/debian:12", "docker.io/library/debian:12", "debian:12", "docker.io"},
		{"owner/tool", "docker.io/owner/tool:latest", "owner/tool:latest", "docker.io"},
		{"ghcr.io/Owner", "", "ghcr.io/Owner", ""},
		{"ghcr.io/owner/tool:v1", "ghcr.io/owner/tool:v1", "ghcr.io/owner/tool:v1", "ghcr.io"},
		{"localhost:5000/tool", "localhost:5000/tool:latest", "localhost:5000/tool:latest", "localhost:5000"},
		{"localhost/tool", "localhost/tool:latest", "localhost/tool:latest", "localhost"},
		{"[::1]:5000/tool", "[::1]:5000/tool:latest", "[::1]:5000/tool:latest", "[::1]:5000"},
		{"debian@" + digest, "docker.io/library/debian@" + digest, "debian@" + digest, "docker.io"},
		{"debian:12@" + digest, "docker.io/library/debian@" + digest, "debian@" + digest, "docker.io"},
		{"host", "host", "host", ""},
		{"host:latest", "docker.io/library/host:latest", "host:latest", "docker.io"},
		{digest, digest, digest, ""},
		{strings.TrimPrefix(digest, "sha256:"), digest, strings.TrimPrefix(digest, "sha256:"), ""},
	} {
		got, err := imageref.Normalize(tt.ref)
		if (err != nil) != (tt.want == "") || got != tt.want {
			t.Errorf("Normalize(%q) = %q, %v; want %q", tt.ref, got, err, tt.want)
		}
		if got := imageref.Familiar(tt.ref); got != tt.familiar {
			t.Errorf("Familiar(%q) = %q, want %q", tt.ref, got, tt.familiar)
		}
		if got, err := imageref.Domain(tt.ref); got != tt.domain || (err != nil) != (tt.want == "") {
			t.Errorf("Domain(%q) = %q, %v; want %q", tt.ref, got, err, tt.domain)
		}
	}
}

func TestNormalizeRefuses(t *testing.T) {
	for _, tt := range []struct{ ref, want string }{
		{"", "is empty"},
		{"Debian", "lower case"},
		{"docker://debian", "scheme"},
		{"https://ghcr.io/owner/tool", "scheme"},
		{"debian:", "want [registry/]repository"},
		{"debian:a b", "want [registry/]repository"},
		{"debian\n", "want [registry/]repository"},
		{"../debian", "want [registry/]repository"},
		{"-v", "want [registry/]repository"},
		{"debian@sha256:12", "want [registry/]repository"},
		{"debian:" + strings.Repeat("a", 129), "want [registry/]repository"},
	} {
		got, err := imageref.Normalize(tt.ref)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Normalize(%q) = %q, %v; want an error with %q", tt.ref, got, err, tt.want)
		}
	}
}

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"debian", "a/b:c", "localhost:5000/x@" + digest, "host", digest, "[::1]/x", "", "A", "x\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		once, err := imageref.Normalize(ref)
		if err != nil {
			return
		}
		if twice, err := imageref.Normalize(once); err != nil || twice != once {
			t.Errorf("Normalize(%q) = %q, then %q, %v", ref, once, twice, err)
		}
		// The short form has to stand for the same image.
		if back, err := imageref.Normalize(imageref.Familiar(once)); err != nil || back != once {
			t.Errorf("Familiar(%q) = %q, which is %q, %v", once, imageref.Familiar(once), back, err)
		}
		if _, err := imageref.Domain(once); err != nil {
			t.Errorf("Domain(%q): %v", once, err)
		}
	})
}
