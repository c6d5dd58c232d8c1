// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berthrun/berth/backend"
	"github.com/berthrun/berth/spec"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/go-connections/nat"
	"github.com/google/go-cmp/cmp"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestOpen(t *testing.T) {
	home := t.TempDir()
	writeContext := func(name, host string) {
		t.Helper()
		dir := filepath.Join(home, ".docker", "contexts", "meta", digest.FromString(name).Encoded())
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		meta, _ := json.Marshal(map[string]any{"Name": name, "Metadata": map[string]any{}, "Endpoints": map[string]any{"docker": map[string]any{"Host": host}}})
		if err := os.WriteFile(filepath.Join(dir, "meta.json"), meta, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	writeContext("far", "ssh://me@far.example")
	writeContext("near", "unix:///run/near.sock")
	config := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(home, ".docker", "config.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	type env map[string]string
	for name, tt := range map[string]struct {
		host   string
		env    env
		config string
		want   string
		remote bool
		fails  bool
	}{
		"default":                  {want: "unix:///var/run/docker.sock"},
		"the flag wins":            {host: "unix:///a", env: env{"DOCKER_HOST": "unix:///b", "DOCKER_CONTEXT": "near"}, want: "unix:///a"},
		"the variable next":        {env: env{"DOCKER_HOST": "tcp://192.0.2.1:2375", "DOCKER_CONTEXT": "near"}, want: "tcp://192.0.2.1:2375", remote: true},
		"then the named context":   {env: env{"DOCKER_CONTEXT": "far"}, config: `{"currentContext":"near"}`, want: "ssh://me@far.example", remote: true},
		"then the current context": {config: `{"currentContext":"near"}`, want: "unix:///run/near.sock"},
		"the context default":      {env: env{"DOCKER_CONTEXT": "default"}, config: `{"currentContext":"near"}`, want: "unix:///var/run/docker.sock"},
		"ssh":                      {host: "ssh://me@host:22", want: "ssh://me@host:22", remote: true},
		"no such context":          {env: env{"DOCKER_CONTEXT": "none"}, fails: true},
		"broken configuration":     {config: `{`, fails: true},
		"no address":               {host: "not-an-address", fails: true},
		"unknown scheme":           {host: "gopher://x", fails: true},
		"empty path":               {host: "unix://", fails: true},
		"certificates missing":     {env: env{"DOCKER_HOST": "tcp://192.0.2.1:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/nowhere"}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			config(cmpOr(tt.config, "{}"))
			d, err := Open(t.Context(), backend.Config{
				Host: tt.host, Home: home, Log: slog.New(slog.DiscardHandler),
				Getenv: func(k string) (string, bool) { v, ok := tt.env[k]; return v, ok },
			})
			if tt.fails {
				if backend.KindOf(err) != backend.Invalid {
					t.Fatalf("opened, or %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			own := d.(*driver)
			if own.host != tt.want || own.remote != tt.remote {
				t.Errorf("host %q, remote %t; want %q, %t", own.host, own.remote, tt.want, tt.remote)
			}
			if c, ok := Client(d); !ok || c == nil {
				t.Error("no client")
			}
		})
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func frame(stream byte, data string) []byte {
	out := []byte{stream, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(out[4:], uint32(len(data)))
	return append(out, data...)
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken") }

func TestDemux(t *testing.T) {
	whole := slices.Concat(frame(1, "out"), frame(2, "err"), frame(0, "!"), frame(1, ""))
	for name, tt := range map[string]struct {
		in       []byte
		out, err string
		fails    string
	}{
		"all streams":  {in: whole, out: "out!", err: "err"},
		"nothing":      {},
		"cut header":   {in: whole[:4], fails: "unexpected EOF"},
		"cut data":     {in: whole[:10], out: "ou", fails: "unexpected EOF"},
		"huge length":  {in: []byte{1, 0, 0, 0, 255, 255, 255, 255, 'x'}, out: "x", fails: "unexpected EOF"},
		"unknown":      {in: frame(9, "x"), fails: "garbled"},
		"engine error": {in: slices.Concat(frame(1, "a"), frame(3, "it broke\n")), out: "a", fails: "it broke"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			err := demux(bytes.NewReader(tt.in), &out, &errs)
			if tt.fails == "" && err != nil || tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails)) {
				t.Errorf("error %v, want %q", err, tt.fails)
			}
			if out.String() != tt.out || errs.String() != tt.err {
				t.Errorf("out %q, err %q", out.String(), errs.String())
			}
		})
	}
	var errs bytes.Buffer
	if err := demux(bytes.NewReader(whole), brokenWriter{}, &errs); err == nil || errs.String() != "err" {
		t.Errorf("a broken writer: error %v, the other stream has %q", err, errs.String())
	}
	if err := demux(bytes.NewReader(whole), nil, nil); err != nil {
		t.Errorf("no writers: %v", err)
	}
}

func FuzzDemux(f *testing.F) {
	f.Add(slices.Concat(frame(1, "out"), frame(2, "err")))
	f.Add([]byte{3, 0, 0, 0, 0xff, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var out, errs bytes.Buffer
		_ = demux(bytes.NewReader(data), &out, &errs)
		if out.Len()+errs.Len() > len(data) {
			t.Error("more came out than went in")
		}
	})
}

const stamp = "2026-11-21T22:30:08.123456789Z"

func TestLogFrames(t *testing.T) {
	long := strings.Repeat("x", entryLimit+100)
	in := slices.Concat(frame(1, stamp+" one\n"), frame(2, stamp+" two"), frame(1, "no time\n"), frame(1, stamp+" "), frame(1, stamp+" "+long))
	var got []string
	for e, err := range frames(bytes.NewReader(in)) {
		if err != nil {
			t.Fatal(err)
		}
		data := string(e.Data)
		if len(data) > 20 {
			data = "long"
		}
		got = append(got, string(e.Stream)+" "+data)
		if e.Time.IsZero() != (data == "no time\n") {
			t.Errorf("time %v of %q", e.Time, data)
		}
	}
	want := []string{"stdout one\n", "stderr two", "stdout no time\n", "stdout long", "stdout long"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, bad := range [][]byte{in[:5], in[:12], {9, 0, 0, 0, 0, 0, 0, 1, 'x'}, {1, 0, 0, 0, 255, 255, 255, 255}} {
		var last error
		for _, err := range frames(bytes.NewReader(bad)) {
			last = err
		}
		if last == nil {
			t.Errorf("%q is no error", bad)
		}
	}
}

func TestLogLines(t *testing.T) {
	in := stamp + " one\r\n" + stamp + " " + strings.Repeat("x", 3*entryLimit) + "\nno time\n" + stamp + " end"
	var got []int
	total := 0
	for e, err := range lines(strings.NewReader(in)) {
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Data) > entryLimit {
			t.Errorf("an entry of %d bytes", len(e.Data))
		}
		total += len(e.Data)
		got = append(got, len(e.Data))
	}
	if want := len("one\r\n") + 3*entryLimit + 1 + len("no time\n") + len("end"); total != want {
		t.Errorf("%d bytes in %v, want %d", total, got, want)
	}
}

func FuzzLogs(f *testing.F) {
	f.Add(frame(1, stamp+" one\n"))
	f.Add([]byte(stamp + " one\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, of := range []int{0, 1} {
			n := 0
			seq := frames(bytes.NewReader(data))
			if of == 1 {
				seq = lines(bytes.NewReader(data))
			}
			for e, err := range seq {
				n += len(e.Data)
				if err == nil && len(e.Data) == 0 {
					t.Error("an empty entry")
				}
			}
			if n > len(data) {
				t.Error("more came out than went in")
			}
		}
	})
}

func FuzzMountTable(f *testing.F) {
	f.Add("22 1 254:0 / /mnt/a\\040b rw - xfs /dev/vda rw,prjquota\n")
	f.Fuzz(func(t *testing.T, text string) {
		for m := range mountTable(strings.NewReader(text)) {
			if m.point == "" {
				t.Error("a mount without a place")
			}
		}
	})
}

func FuzzProgress(f *testing.F) {
	f.Add([]byte(`{"status":"Downloading","id":"a","progressDetail":{"current":1,"total":2}}` + "\n" + `{"error":"x"}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		for range progress(bytes.NewReader(data)) {
		}
	})
}

func TestStatusPorts(t *testing.T) {
	s := &spec.Sandbox{Binding: spec.Binding{Ports: []spec.Port{
		{Name: "any", ContainerPort: 80}, {Name: "fixed", ContainerPort: 80, HostPort: 9000}, {Name: "v6", ContainerPort: 80, Address: "::1"},
		{Name: "udp", ContainerPort: 80, Protocol: spec.UDP}, {Name: "unbound", ContainerPort: 81},
	}}}
	spec.Default(s)
	bound := nat.PortMap{
		"80/tcp": {{HostIP: "127.0.0.1", HostPort: "9000"}, {HostIP: "127.0.0.1", HostPort: "32768"}, {HostIP: "::1", HostPort: "32769"}},
		"80/udp": {{HostIP: "127.0.0.1", HostPort: "5000"}},
	}
	var got []string
	for _, p := range ports(s, bound) {
		got = append(got, p.Name+" "+p.Address)
		if p.HostPort == 0 {
			t.Errorf("%+v", p)
		}
		if p.Name == "fixed" && p.HostPort != 9000 || p.Name == "any" && p.HostPort != 32768 {
			t.Errorf("%+v", p)
		}
	}
	if want := []string{"any 127.0.0.1", "fixed 127.0.0.1", "v6 ::1", "udp 127.0.0.1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPortField(t *testing.T) {
	s := &spec.Sandbox{Binding: spec.Binding{Ports: []spec.Port{
		{ContainerPort: 1}, {ContainerPort: 2, HostPort: 9000}, {ContainerPort: 3, HostPort: 90}, {ContainerPort: 4, HostPort: 9000, Protocol: spec.UDP}, {ContainerPort: 5, HostPort: 9001, Address: "::1"},
	}}}
	spec.Default(s)
	for name, tt := range map[string]struct {
		text  string
		taken int
		want  spec.Path
	}{
		"docker 20":    {"driver failed: Bind for 127.0.0.1:90 failed: port is already allocated", 0, "binding.ports[2]"},
		"the proxy":    {"Error starting userland proxy: listen tcp4 127.0.0.1:9000: bind: address already in use", 0, "binding.ports[1]"},
		"IPv6":         {"listen tcp6 [::1]:9001: bind: address already in use", 0, "binding.ports[4]"},
		"not said":     {"failed to listen on TCP socket: address already in use", 90, "binding.ports[2]"},
		"not said udp": {"failed to listen on UDP socket: address already in use", 0, "binding.ports[3]"},
	} {
		if got := portField(s, tt.text, func(_ string, p spec.Port) bool { return p.HostPort == tt.taken }); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	one := &spec.Sandbox{Binding: spec.Binding{Ports: []spec.Port{{ContainerPort: 1}}}}
	if got := portField(one, "?", func(string, spec.Port) bool { return false }); got != "binding.ports[0]" {
		t.Errorf("the only port: %s", got)
	}
}

func TestSubmounts(t *testing.T) {
	s := &spec.Sandbox{Mounts: []spec.Mount{{Target: "/data"}, {Target: "/data/covered"}, {Target: "/datax"}}}
	out := &request{Host: &container.HostConfig{Mounts: []mount.Mount{{Source: "/srv", Target: "/data"}}}, submounts: []int{0}}
	var got []string
	for _, m := range submounts(s, out, []string{"/", "/srv", "/srv/a", "/srv/a", "/srv/a/b", "/srv/covered", "/srv/covered/x", "/srvx", "/other"}) {
		if !m.ReadOnly || !m.BindOptions.NonRecursive {
			t.Errorf("%+v is writable or has more below it", m)
		}
		got = append(got, m.Source+" "+m.Target)
	}
	if want := []string{"/srv/a /data/a", "/srv/a/b /data/a/b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOwner(t *testing.T) {
	for name, tt := range map[string]struct {
		id       backend.Identity
		uid, gid uint32
		ok       bool
	}{
		"a number":      {backend.Identity{Mode: "number", UID: 5, GID: 6}, 5, 6, true},
		"image's root":  {backend.Identity{Mode: spec.UserImage}, 0, 0, true},
		"image's name":  {backend.Identity{Mode: spec.UserImage, User: "app"}, 0, 0, false},
		"known by name": {backend.Identity{Mode: spec.UserImage, User: "app", UID: 7, GID: 8}, 7, 8, true},
		"image's id":    {backend.Identity{Mode: spec.UserImage, User: "9:10"}, 9, 10, true},
		"named root":    {backend.Identity{Mode: spec.UserImage, User: "root"}, 0, 0, true},
	} {
		if uid, gid, ok := owner(tt.id); uid != tt.uid || gid != tt.gid || ok != tt.ok {
			t.Errorf("%s: %d:%d %t", name, uid, gid, ok)
		}
	}
}

func TestExecFailed(t *testing.T) {
	for _, tt := range []struct {
		code            int
		command, stderr string
		want            int
	}{
		{1, "/usr/bin/broken", "exec /usr/bin/broken: exec format error\n", 126},
		{1, "broken", "exec /usr/bin/broken: exec format error\r\n", 126},
		{255, "/x", "exec /x: no such file or directory\n", 127},
		{1, "/y", "exec /x: exec format error\n", 1},
		{0, "/x", "exec /x: exec format error\n", 0},
		{1, "/x", "exec /x: exec format error\nand more\n", 1},
		{3, "/x", "", 3},
	} {
		if got := execFailed(tt.code, tt.command, tt.stderr); got != tt.want {
			t.Errorf("execFailed(%d, %q, %q) = %d, want %d", tt.code, tt.command, tt.stderr, got, tt.want)
		}
	}
}

func TestDockerfile(t *testing.T) {
	c := &dockerspec.DockerOCIImageConfig{}
	c.Env, c.Entrypoint, c.Cmd, c.WorkingDir, c.User = []string{`A=b "c" $d \e`, "B="}, []string{"/a", "b c"}, []string{`"`}, "/w$x", "app"
	c.Labels = map[string]string{"x": "y z", "berth.id": "forged"}
	got, err := dockerfile(&image.InspectResponse{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	want := []string{`CMD ["\""]`, `ENTRYPOINT ["/a","b c"]`, `ENV "A"="b \"c\" \$d \\e"`, `ENV "B"=""`, `LABEL "x"="y z"`, "USER app", `WORKDIR /w\$x`}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error(diff)
	}
	c.Env = []string{"A=x\nRUN evil"}
	if _, err := dockerfile(&image.InspectResponse{Config: c}); err == nil {
		t.Error("a line break is accepted")
	}
}

// layout writes an OCI layout with one image as a tar.
func layout(t *testing.T, withManifestJSON bool) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	put := func(name string, data []byte) {
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(data))})
		w.Write(data)
	}
	blob := func(media string, v any) ocispec.Descriptor {
		data, ok := v.([]byte)
		if !ok {
			data, _ = json.Marshal(v)
		}
		d := ocispec.Descriptor{MediaType: media, Digest: digest.FromBytes(data), Size: int64(len(data))}
		put("blobs/sha256/"+d.Digest.Encoded(), data)
		return d
	}
	layer := blob(ocispec.MediaTypeImageLayer, []byte("layer"))
	config := blob(ocispec.MediaTypeImageConfig, ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}})
	foreign := blob(ocispec.MediaTypeImageConfig, ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "s390x"}})
	one := blob(ocispec.MediaTypeImageManifest, ocispec.Manifest{Config: config, Layers: []ocispec.Descriptor{layer}})
	two := blob(ocispec.MediaTypeImageManifest, ocispec.Manifest{Config: foreign, Layers: []ocispec.Descriptor{layer}})
	index := blob(ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: []ocispec.Descriptor{two, one}})
	index.Annotations = map[string]string{"io.containerd.image.name": "docker.io/library/x:1"}
	top, _ := json.Marshal(ocispec.Index{Manifests: []ocispec.Descriptor{index}})
	put("index.json", top)
	if withManifestJSON {
		put("manifest.json", []byte("[]"))
	}
	w.Close()
	return b.Bytes()
}

func manifestOf(t *testing.T, r io.Reader) (out []dockerManifest, found int) {
	t.Helper()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out, found
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Name == "manifest.json" {
			found++
			if err := json.NewDecoder(tr).Decode(&out); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestLoadable(t *testing.T) {
	platform := ocispec.Platform{OS: "linux", Architecture: "amd64"}
	plain := layout(t, false)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(plain)
	z.Close()
	for name, in := range map[string][]byte{"plain": plain, "gzip": packed.Bytes()} {
		got, n := manifestOf(t, loadable(bytes.NewReader(in), platform))
		if n != 1 || len(got) != 1 || !slices.Equal(got[0].RepoTags, []string{"x:1"}) || len(got[0].Layers) != 1 || !strings.HasPrefix(got[0].Config, "blobs/sha256/") {
			t.Errorf("%s: %d manifests, %+v", name, n, got)
		}
	}
	if got, n := manifestOf(t, loadable(bytes.NewReader(layout(t, true)), platform)); n != 1 || len(got) != 0 {
		t.Errorf("an archive that has a manifest: %d, %+v", n, got)
	}
	if got, n := manifestOf(t, loadable(bytes.NewReader(plain), ocispec.Platform{OS: "linux", Architecture: "riscv64"})); n != 0 {
		t.Errorf("no image for the platform: %+v", got)
	}
	rest, err := io.ReadAll(loadable(strings.NewReader("no tar"), platform))
	if err != nil || string(rest) != "no tar" {
		t.Errorf("%q, %v", rest, err)
	}
	l := loadable(bytes.NewReader(plain[:514]), platform)
	if _, err := io.ReadAll(l); err == nil || l.failure() == nil {
		t.Errorf("an archive that was cut off: %v, %v", err, l.failure())
	}
}

func FuzzLoadable(f *testing.F) {
	f.Add([]byte("no tar"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		l := loadable(bytes.NewReader(data), ocispec.Platform{OS: "linux", Architecture: "amd64"})
		_, _ = io.Copy(io.Discard, l)
		_ = l.Close()
	})
}

func FuzzReadEntry(f *testing.F) {
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if content, _, _ := readEntry(bytes.NewReader(data), 10); len(content) > 10 {
			t.Error("above the limit")
		}
	})
}

func TestRegistryAuth(t *testing.T) {
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, ".docker"), 0o700); err != nil {
		t.Fatal(err)
	}
	d := open(t, "unix:///nowhere")
	d.cfg.Home = home
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(home, ".docker", "config.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	decode := func(domain string) string {
		t.Helper()
		header, err := d.registryAuth(domain)
		if err != nil {
			t.Fatal(err)
		}
		return header
	}
	write(`{"auths":{"registry.example:5000":{"auth":"dTpw"},"https://index.docker.io/v1/":{"auth":"aHViOnA="},"token.example":{"identitytoken":"abc"}}}`)
	for domain, part := range map[string]string{"registry.example:5000": `"username":"u","password":"p"`, "docker.io": `"username":"hub"`, "token.example": `"identitytoken":"abc"`, "other.example": `{`} {
		text, err := decodeAuth(decode(domain))
		if err != nil || !strings.Contains(text, part) {
			t.Errorf("%s: %q, %v", domain, text, err)
		}
	}
	write(`{"credHelpers":{"registry.example":"does-not-exist"}}`)
	if _, err := d.registryAuth("registry.example"); err == nil {
		t.Error("a helper that is not there is no error")
	}
	_, err := d.PullImage(context.Background(), "registry.example/x", nil)
	wantKind(t, err, backend.Denied, "image.ref")
}

func decodeAuth(header string) (string, error) {
	data, err := base64.URLEncoding.DecodeString(header)
	return string(data), err
}
