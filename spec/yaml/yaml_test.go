// SPDX-License-Identifier: Apache-2.0

package yaml_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/berthrun/berth/spec"
	"github.com/berthrun/berth/spec/yaml"
)

// TestMessages holds whole messages, because they are what people see.
func TestMessages(t *testing.T) {
	for _, tt := range []struct{ name, file, in, want string }{
		{
			"all at once, in order", "spec.yaml",
			"image: {ref: debian}\nsecurity:\n  readonlyRoot: true\n  runtime: [runc]\nresources:\n  memory: 512m\nname: 7\n",
			"spec.yaml:3:3: security.readonlyRoot: is not a field: did you mean readOnlyRoot?\n" +
				"spec.yaml:4:12: security.runtime: is a list: want text\n" +
				`spec.yaml:6:11: resources.memory: size "512m": want an integer, alone or with Ki, Mi or Gi` + "\n" +
				`spec.yaml:7:7: name: is a number: want text, write "7"`,
		},
		{"snake case", "f", "image: {ref: x}\nlife: {stop_grace: 1s}", "f:2:8: life.stop_grace: is not a field: did you mean stopGrace?"},
		{"far from every field", "f", "image: {ref: x}\nlife: {zzz: 1}", "f:2:8: life.zzz: is not a field: want one of stopSignal, stopGrace, idleTimeout, ttl, restart, health"},
		{"a field of another place", "f", "image: {ref: x}\nprocess: {memory: 1}", "f:2:11: process.memory: is not a field: did you mean resources.memory?"},
		{"a key that is hard to print", "f", "image: {ref: x}\n\"a\\e[31m\\nb\": 1", `f:2:1: ["a\x1b[31m\nb"]: is not a field: want one of apiVersion, kind, name, image, process, user, mounts, binding, network, resources, security, agent, life, labels, extensions`},
		{"a list as key", "f", "image: {ref: x}\n? [a]\n: b", "f:2:3: has a key that is a list: want text"},
		{"a value that is no number", "f", "image: {ref: x}\nresources: {cpus: .nan}", "f:2:19: resources.cpus: .nan is not a decimal number"},
		{"a quantity that is a list", "f", "image: {ref: x}\nresources: {cpus: [1]}", "f:2:19: resources.cpus: is a list: want one value"},
		{"tabs", "f", "image:\n\tref: x\n", "f:2:1: the document is not YAML: found character that cannot start any token"},
		{"not UTF-8", "f", "image:\n  ref: \xff\n", "f:2:8: the document is not UTF-8: save it as UTF-8"},
		{"UTF-16", "f", "\xff\xfei\x00", "f:1:1: the document is not UTF-8: save it as UTF-8"},
		{"a stray document end", "f", "image: {ref: x}\n...\n---\n", "f:3:1: a second document starts here: one file holds one spec"},
		{"only a comment", "f", "# nothing\n", "f:1:1: the document is empty: want at least image: {ref: …}"},
		{"a null document", "f", "~\n", "f:1:1: is empty: give it a value or remove it"},

		{"JSON: duplicate", "f.json", `{"image": {"ref": "a"},` + "\n" + ` "image": {"ref": "b"}}`, "f.json:2:2: image: is there already in line 1: remove one"},
		{"JSON: nested duplicate by escape", "f.json", `{"labels": {"a": "1", "\u0061": "2"}}`, "f.json:1:23: labels.a: is there already in line 1: remove one"},
		{"JSON: case", "f.json", `{"Image": {"ref": "a"}}`, "f.json:1:2: Image: is not a field: did you mean image?"},
		{"JSON: null", "f.json", `{"image": null}`, "f.json:1:11: image: is empty: give it a value or remove it"},
		{"JSON: columns are characters", "f.json", `{"name": "ü", "tty": 1}`, "f.json:1:15: tty: is not a field: did you mean process.tty?"},
		{"JSON: number", "f.json", `{"binding": {"ports": [{"containerPort": 8e1}]}}`, "f.json:1:42: binding.ports[0].containerPort: 8e1 is not a whole decimal number"},
		{"JSON: a text in place of a truth value", "f.json", `{"process": {"tty": "true"}}`, "f.json:1:21: process.tty: is text: want true or false"},
		{"JSON: two values", "f.json", "{}\n{}", "f.json:2:1: the document is not JSON: invalid character '{' after top-level value"},
		{"JSON: comma at the end", "f.json", "{\n  \"name\": \"a\",\n}", "f.json:3:1: the document is not JSON: invalid character '}' looking for beginning of object key string"},
		{"JSON: nothing", "f.json", "", "f.json:1:1: the document is not JSON: unexpected end of JSON input"},
		{"JSON: YAML in it", "f.json", "image: {ref: x}", "f.json:1:1: the document is not JSON: invalid character 'i' looking for beginning of value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := yaml.Decode([]byte(tt.in), tt.file)
			if err == nil {
				t.Fatalf("read as %+v", s)
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if _, ok := errors.AsType[yaml.Problems](err); !ok {
				t.Errorf("%T is not Problems", err)
			}
		})
	}
}

func TestDecode(t *testing.T) {
	want := &spec.Sandbox{
		Image:      spec.Image{Ref: "debian"},
		Process:    spec.Process{Args: []string{"a/b", "😀", "2001-01-01"}, Env: map[string]string{"A": "1", "on": "off"}},
		Resources:  spec.Resources{CPUs: 1250, Memory: spec.GiB, Pids: 5},
		Security:   spec.Security{NoNewPrivileges: new(false)},
		Life:       spec.Life{Health: &spec.Health{Command: []string{"x"}}},
		Extensions: map[string]json.RawMessage{"docker": json.RawMessage(`{"a":[1.50,null,true,"x"],"b":{}}`)},
	}
	for name, in := range map[string]string{
		"a.json": `{"image": {"ref": "debian"}, "process": {"args": ["a\/b", "\ud83d\ude00", "2001-01-01"], "env": {"A": "1", "on": "off"}},
			"resources": {"cpus": 1.25, "memory": 1073741824, "pids": 5}, "security": {"noNewPrivileges": false},
			"life": {"health": {"command": ["x"]}}, "extensions": {"docker": {"a": [1.50, null, true, "x"], "b": {}}}}`,
		"a.yaml": `
image: {ref: debian}
process:
  args: [a/b, "\U0001F600", 2001-01-01]
  env:
    A: '1'
    on: off
resources: {cpus: "1.25", memory: 1Gi, pids: 5}
security: {noNewPrivileges: false}
life: {health: {command: [x]}}
extensions:
  docker:
    a: [1.50, ~, True, x]
    b: {}
`,
	} {
		for _, bom := range []string{"", "\ufeff"} {
			got, err := yaml.Decode([]byte(bom+in), name)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
	// What starts like JSON is JSON without the name saying so.
	if _, err := yaml.Decode([]byte(` {"image": {"ref": "a\/b"}}`), "<stdin>"); err != nil {
		t.Error(err)
	}
	// And what starts like JSON and is not may be YAML.
	if _, err := yaml.Decode([]byte(`{image: {ref: debian}}`), "<stdin>"); err != nil {
		t.Error(err)
	}
}

func TestLimits(t *testing.T) {
	pad := func(size int) []byte {
		const head = "image: {ref: debian}\n#"
		return []byte(head + strings.Repeat("x", size-len(head)))
	}
	if _, err := yaml.Decode(pad(yaml.MaxSize), "f"); err != nil {
		t.Error(err)
	}
	want := "f:1:1: the document has 1048577 bytes: a spec has at most 1048576"
	if _, err := yaml.Decode(pad(yaml.MaxSize+1), "f"); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	// Nine levels of nine aliases each would be 400 million elements.
	bomb := "image: {ref: debian}\nextensions:\n  a0: &a0 {x: 1}\n"
	for i := range 9 {
		alias := "*a" + string(rune('0'+i))
		bomb += "  a" + string(rune('1'+i)) + ": &a" + string(rune('1'+i)) + " [" + strings.TrimSuffix(strings.Repeat(alias+",", 9), ",") + "]\n"
	}
	if _, err := yaml.Decode([]byte(bomb), "f"); err == nil || !strings.Contains(err.Error(), "anchors are not supported") {
		t.Errorf("%.200v", err)
	}
	for _, deep := range []string{strings.Repeat("[", 200_000), strings.Repeat("{a: ", 200_000), `{"extensions":{"x":` + strings.Repeat("[", 200_000)} {
		if _, err := yaml.Decode([]byte(deep), "f"); err == nil {
			t.Error("an endless document was read")
		}
	}
}

func TestPosition(t *testing.T) {
	in := `image:
  ref: debian
process:
  env:
    A: x
    "B=C": y
    "two words": >
      folded
mounts:
  - type: bind
    source: /a
  - {type: tmpfs, target: /b}
life:
  health:
    interval: 1s
`
	doc, err := yaml.Parse([]byte(in), "f")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path      spec.Path
		line, col int
		ok        bool
	}{
		{"image", 1, 1, true},
		{"image.ref", 2, 8, true},
		{"image.pull", 1, 1, true},
		{"process.env", 4, 3, true},
		{"process.env.A", 5, 8, true},
		{spec.Path("process.env").Key("B=C"), 6, 12, true},
		{spec.Path("process.env").Key("two words"), 7, 18, true},
		{spec.Path("process.env").Key("a.b[c]"), 4, 3, true},
		{"mounts", 9, 1, true},
		{"mounts[0]", 10, 5, true},
		{"mounts[0].target", 10, 5, true},
		{"mounts[1].target", 12, 27, true},
		{"mounts[2]", 9, 1, true},
		{"life.health.command", 14, 3, true},
		{"life.health.command[0]", 14, 3, true},
		{"binding.ports[3].name", 1, 1, false},
		{"", 1, 1, false},
	} {
		if line, col, ok := doc.Position(tt.path); line != tt.line || col != tt.col || ok != tt.ok {
			t.Errorf("%s is at %d:%d, %v; want %d:%d, %v", tt.path, line, col, ok, tt.line, tt.col, tt.ok)
		}
	}

	err = doc.Locate(spec.Validate(doc.Spec))
	want := `f:6:12: process.env["B=C"]: the key "B=C" is not valid: want a name that is not empty and has no =
f:10:5: mounts[0].target: is required: want an absolute path without empty, . or .. elements, such as /work/data
f:14:3: life.health.command: is required: want the program and arguments that find out`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if doc.Locate(nil) != nil {
		t.Error("no error became one")
	}
	if other := errors.New("x"); !errors.Is(doc.Locate(other), other) {
		t.Error("an error that is not about the spec was changed")
	}
}

func TestEncode(t *testing.T) {
	s := &spec.Sandbox{
		APIVersion: spec.APIVersion,
		Kind:       spec.Kind,
		Image:      spec.Image{Ref: "debian:12"},
		Process: spec.Process{
			Command: []string{"sh", "-c"},
			Args:    []string{"set -e\nmake\n", "yes", "1", "", "null", "- x", "a: b", "\ttab\nline", "1:30", "2001-01-01", "~", "größe"},
			Env:     map[string]string{"Z": "true", "A": "0x10", "n": "<<"},
		},
		User:       spec.User{As: "1000"},
		Mounts:     []spec.Mount{{Type: spec.MountTmpfs, Target: "/tmp", Size: 64 * spec.MiB}},
		Resources:  spec.Resources{CPUs: 500},
		Security:   spec.Security{NoNewPrivileges: new(false)},
		Life:       spec.Life{StopGrace: 90e9},
		Extensions: map[string]json.RawMessage{"docker": json.RawMessage(`{"b": 1.50, "a": [null, true]}`)},
	}
	got, err := yaml.Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	want := `apiVersion: berth/v1alpha1
kind: Sandbox
image:
  ref: debian:12
process:
  command:
    - sh
    - -c
  args:
    - |
      set -e
      make
    - "yes"
    - "1"
    - ""
    - "null"
    - '- x'
    - 'a: b'
    - "\ttab\nline"
    - "1:30"
    - "2001-01-01"
    - "~"
    - größe
  env:
    A: "0x10"
    Z: "true"
    "n": "<<"
user:
  as: "1000"
mounts:
  - type: tmpfs
    target: /tmp
    size: 64Mi
resources:
  cpus: 0.5
security:
  noNewPrivileges: false
life:
  stopGrace: 1m30s
extensions:
  docker:
    b: 1.50
    a:
      - null
      - true
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := yaml.Encode(&spec.Sandbox{Extensions: map[string]json.RawMessage{"x": json.RawMessage(`{`)}}); err == nil {
		t.Error("an extension that is not JSON was written")
	}
}

func FuzzDecode(f *testing.F) {
	for _, dir := range []string{"good", "bad"} {
		files, err := filepath.Glob(filepath.Join("..", "testdata", dir, "*.yaml"))
		if err != nil || len(files) == 0 {
			f.Fatalf("no corpus: %v", err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
			if s, err := yaml.Decode(data, file); err == nil {
				text, err := spec.Canonical(s)
				if err != nil {
					f.Fatal(err)
				}
				f.Add(text)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := yaml.Parse(data, "f")
		var problems yaml.Problems
		if err != nil {
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			lines := strings.Count(string(data), "\n") + 1
			for _, p := range problems {
				// The library's own line for a syntax error may be the one after.
				if p.Line < 1 || p.Column < 1 || p.Line > lines+1 {
					t.Errorf("%v is outside a document of %d lines", p, lines)
				}
			}
			return
		}
		encoded, err := yaml.Encode(doc.Spec)
		if err != nil {
			t.Fatal(err)
		}
		back, err := yaml.Decode(encoded, "f")
		if err != nil {
			t.Fatalf("%v\n%s", err, encoded)
		}
		if diff := cmp.Diff(doc.Spec, back, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-read +read back):\n%s\n%s", diff, encoded)
		}
		invalid := spec.Validate(doc.Spec)
		if located := doc.Locate(invalid); (located == nil) != (invalid == nil) {
			t.Errorf("%v became %v", invalid, located)
		}
	})
}
