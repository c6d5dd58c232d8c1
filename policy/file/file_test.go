// SPDX-License-Identifier: Apache-2.0

package file_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/berthrun/berth/policy"
	"github.com/berthrun/berth/policy/file"
	"github.com/berthrun/berth/spec"
	specyaml "github.com/berthrun/berth/spec/yaml"
)

const head = "apiVersion: berth/v1alpha1\nkind: Policy\nname: own\n"

// explained is what a policy states, by policy and rule.
func explained(p *policy.Policy) map[string]string {
	out := map[string]string{}
	for _, e := range p.Explain() {
		for _, s := range e.Settings {
			if !e.BuiltIn {
				out[s.Policy+" "+string(s.Effect)+" "+e.ID] = s.Value
			}
		}
	}
	return out
}

func TestEveryRuleCanBeStated(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "full.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := file.Decode(data, "full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got := explained(f.Policy)
	for _, r := range policy.Catalogue() {
		if _, ok := got["everything deny "+r.ID]; !ok && !r.BuiltIn {
			t.Errorf("%s is not stated", r.ID)
		}
	}
	for at, want := range map[string]string{
		"everything deny resources.max":          "cpus 1.5, memory 4Gi, pids 512, shm 1Mi, nofile 4096, disk 10Gi",
		"everything deny network.additional":     "(none)",
		"everything deny fidelity":               "**: emulated, network.*: exact",
		"everything warn binding.addresses":      "loopback",
		"everything deny mounts.roots":           "~/src, /srv/projects",
		"standard deny security.noNewPrivileges": "required",
	} {
		if got[at] != want {
			t.Errorf("%s: %q, want %q", at, got[at], want)
		}
	}
	if want := []string{"network.modes=host", "mounts.protected=/etc/ssl/certs"}; !slices.Equal(f.Unsafe, want) {
		t.Errorf("overrides %q", f.Unsafe)
	}
	if got := f.Policy.Names(); !slices.Equal(got, []string{"standard", "everything"}) {
		t.Errorf("layers %q", got)
	}
}

// The same policy as JSON says the same.
func TestJSON(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "full.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := yaml.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(tree, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	a, err := file.Decode(data, "a.yaml")
	if err != nil {
		t.Fatal(err)
	}
	b, err := file.Decode(text, "b.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(explained(a.Policy), explained(b.Policy)); diff != "" {
		t.Error(diff)
	}
}

func TestMinimal(t *testing.T) {
	f, err := file.Decode([]byte(head), "p")
	if err != nil {
		t.Fatal(err)
	}
	if len(explained(f.Policy)) != 0 || len(f.Unsafe) != 0 {
		t.Errorf("%v %q", explained(f.Policy), f.Unsafe)
	}
}

// An empty list permits nothing, which is not the same as no list.
func TestEmptyList(t *testing.T) {
	f, err := file.Decode([]byte(head+"rules: {network: {modes: []}}\n"), "p")
	if err != nil {
		t.Fatal(err)
	}
	d := f.Policy.Evaluate(policy.Input{Spec: &spec.Sandbox{}})
	if d.Allow || len(d.Violations) != 1 || d.Violations[0].Rule != "network.modes" || d.Violations[0].Policy != "own" {
		t.Errorf("%v", d.Violations)
	}
}

func TestBad(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"empty":         {"", []string{"p:1:1: the document is empty"}},
		"comment only":  {"# nothing\n", []string{"p:1:1: the document is empty"}},
		"null":          {"null\n", []string{"p:1:1: is empty"}},
		"list":          {"- a\n", []string{"p:1:1: is a list: want an object"}},
		"text":          {"standard\n", []string{"p:1:1: is a single value: want an object"}},
		"not YAML":      {head + "rules: {\n", []string{"p:4:1: the document is neither"}},
		"tab":           {head + "rules:\n\tmounts: 1\n", []string{"p:5:1: the document is neither"}},
		"not UTF-8":     {head + "extends: \xff\n", []string{"p:1:1: the document is not UTF-8"}},
		"two documents": {head + "---\n" + head, []string{"p:4:1: a second document"}},
		"nothing but an unknown field": {"kinds: Policy\n", []string{
			"p:1:1: kinds: is not a field", "p:1:1: apiVersion: is missing", "p:1:1: kind: is missing", "p:1:1: name: a policy needs a name"}},
		"another kind":      {strings.Replace(head, "Policy", "Sandbox", 1), []string{`p:2:7: kind: "Sandbox" is not known`}},
		"another version":   {strings.Replace(head, "v1alpha1", "v9", 1), []string{`p:1:13: apiVersion: "berth/v9" is not known`}},
		"unknown profile":   {head + "extends: lax\n", []string{`p:4:10: extends: profile "lax" is not known`}},
		"list of profiles":  {head + "extends: [standard]\n", []string{"p:4:10: extends: is a list: want a single value"}},
		"reserved name":     {strings.Replace(head, "own", "hardened", 1), []string{`p:3:7: name: "hardened" is a name of berth's own`}},
		"unknown rule":      {head + "rules:\n  network:\n    mode: [none]\n", []string{"p:6:5: rules.network.mode: is not a field: want one of modes, names"}},
		"unknown area":      {head + "rules:\n  net: {}\n", []string{"p:5:3: rules.net: is not a field"}},
		"wrong case":        {head + "rules:\n  mounts: {Roots: [/a]}\n", []string{"p:5:12: rules.mounts.Roots: is not a field"}},
		"doubled key":       {head + "rules:\n  claims: [exec.run]\n  claims: []\n", []string{"p:6:3: rules.claims: is there already in line 5"}},
		"doubled map key":   {head + "rules:\n  fidelity: {a: exact, a: exact}\n", []string{"p:5:24: rules.fidelity.a: is there already"}},
		"alias":             {head + "rules: &r {claims: [exec.run]}\nwarn: *r\n", []string{"p:4:8: rules: anchors are not supported", "p:5:7: warn: aliases are not supported"}},
		"merge key":         {head + "rules:\n  <<: {claims: []}\n", []string{"p:5:3: rules: has a key that is not text"}},
		"tag":               {head + "extends: !!str standard\n", []string{"p:4:10: extends: tags are not supported"}},
		"number as key":     {head + "rules: {fidelity: {1: exact}}\n", []string{"p:4:20: rules.fidelity: has a key that is not text"}},
		"nothing":           {head + "rules:\n  network:\n    modes:\n", []string{"p:6:11: rules.network.modes: is empty"}},
		"nothing in a list": {head + "rules: {claims: [~]}\n", []string{"p:4:18: rules.claims[0]: is empty"}},
		"home needs quotes": {head + "rules: {mounts: {roots: [~]}}\n", []string{"p:4:26: rules.mounts.roots[0]: is empty"}},
		"word for a list":   {head + "rules: {network: {modes: none}}\n", []string{"p:4:26: rules.network.modes: is a single value: want a list"}},
		"list for a word":   {head + "rules: {network: {modes: [[none]]}}\n", []string{"p:4:27: rules.network.modes[0]: is a list: want a single value"}},
		"unknown word":      {head + "rules: {network: {modes: [none, bridge]}}\n", []string{`p:4:33: rules.network.modes[1]: "bridge" is not known`}},
		"empty text":        {head + "rules: {mounts: {volumes: ['']}}\n", []string{"p:4:28: rules.mounts.volumes[0]: is empty"}},
		"number for text":   {head + "rules: {extensions: [1]}\n", []string{"p:4:22: rules.extensions[0]: is not text"}},
		"truth for text":    {head + "rules: {extensions: [true]}\n", []string{"p:4:22: rules.extensions[0]: is not text"}},
		"loosening":         {head + "rules: {security: {noNewPrivileges: false}}\n", []string{"p:4:37: rules.security.noNewPrivileges: is false: a policy only restricts"}},
		"yes":               {head + "rules: {security: {noNewPrivileges: yes}}\n", []string{`p:4:37: rules.security.noNewPrivileges: is "yes": want true`}},
		"quoted truth":      {head + "rules: {user: {nonRoot: 'true'}}\n", []string{`p:4:25: rules.user.nonRoot: is "true": want true`}},
		"zero":              {head + "rules: {binding: {minHostPort: 0}}\n", []string{"p:4:32: rules.binding.minHostPort: is 0: want more"}},
		"no memory":         {head + "rules: {resources: {max: {memory: 0}}}\n", []string{"p:4:35: rules.resources.max.memory: is 0: want more"}},
		"negative":          {head + "rules: {resources: {max: {pids: -1}}}\n", []string{`p:4:33: rules.resources.max.pids: is "-1": want a whole number`}},
		"fraction":          {head + "rules: {resources: {max: {pids: 1.5}}}\n", []string{`p:4:33: rules.resources.max.pids: is "1.5": want a whole number`}},
		"other base":        {head + "rules: {resources: {max: {pids: 0x10}}}\n", []string{`p:4:33: rules.resources.max.pids: is "0x10": want a whole number`}},
		"too large":         {head + "rules: {resources: {max: {pids: 99999999999999999999}}}\n", []string{"p:4:33: rules.resources.max.pids:"}},
		"port too large":    {head + "rules: {binding: {minHostPort: 65536}}\n", []string{"p:4:32: rules.binding.minHostPort: want 1 to 65535"}},
		"ambiguous size":    {head + "rules: {resources: {max: {memory: 512m}}}\n", []string{`p:4:35: rules.resources.max.memory: size "512m"`}},
		"unknown fidelity":  {head + "rules: {fidelity: {network.*: roughly}}\n", []string{`p:4:31: rules.fidelity["network.*"]: fidelity "roughly" is not known`}},
		"relative root":     {head + "rules: {mounts: {roots: [/a, b]}}\n", []string{`p:4:30: rules.mounts.roots[1]: "b": want an absolute path`}},
		"short image":       {head + "rules: {images: {allow: [debian]}}\n", []string{`p:4:26: rules.images.allow[0]: "debian": want a normalised reference`}},
		"unknown override":  {head + "unsafe: [network.mode=host]\n", []string{`p:4:10: unsafe[0]: "network.mode=host" is no override`}},
		"mistake in warn":   {head + "warn: {network: {modes: [x]}}\n", []string{`p:4:26: warn.network.modes[0]: "x" is not known`}},
		"two mistakes": {head + "rules:\n  claims: [a]\n  network:\n    modes: [b]\n    mode: c\n", []string{
			`p:5:12: rules.claims[0]: "a" is not known`, `p:7:13: rules.network.modes[0]: "b" is not known`, "p:8:5: rules.network.mode: is not a field"}},
		"JSON": {"{\"apiVersion\": \"berth/v1alpha1\",\n \"kind\": \"Policy\", \"name\": \"own\",\n \"rule\": {}}", []string{"p:3:2: rule: is not a field"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := file.Decode([]byte(c.text), "p")
			if f != nil {
				t.Error("a file came back")
			}
			var problems specyaml.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("%v", err)
			}
			if len(problems) != len(c.want) {
				t.Fatalf("got\n%v", err)
			}
			for i, p := range problems {
				if !strings.HasPrefix(p.String(), c.want[i]) {
					t.Errorf("got  %s\nwant %s", p, c.want[i])
				}
				if p.Code == "" {
					t.Errorf("%s: no code", p)
				}
			}
		})
	}
}

func TestTooLarge(t *testing.T) {
	text := head + "#" + strings.Repeat("x", file.MaxSize)
	if _, err := file.Decode([]byte(text), "p"); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Error(err)
	}
}

// Decoding goes by the types of package policy: a rule of a kind that it does
// not know must not pass unnoticed.
func TestEveryTypeIsDecoded(t *testing.T) {
	var walk func(at string, rt reflect.Type)
	walk = func(at string, rt reflect.Type) {
		switch rt.Kind() {
		case reflect.Struct:
			for f := range rt.Fields() {
				walk(at+"."+f.Name, f.Type)
			}
		case reflect.Slice, reflect.Map:
			walk(at+"[]", rt.Elem())
		case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint64:
		default:
			t.Errorf("%s is a %s", at, rt)
		}
	}
	walk("Rules", reflect.TypeFor[policy.Rules]())
}

func FuzzDecode(f *testing.F) {
	data, err := os.ReadFile(filepath.Join("testdata", "full.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(head + "rules: &a {fidelity: {\"\": exact}}\nwarn: *a\n"))
	f.Add([]byte(head + "unsafe: [\"mounts.protected=//x/..\"]\nrules: {mounts: {roots: [\"~\"]}}\n"))
	f.Add([]byte(`{"apiVersion":"berth/v1alpha1","kind":"Policy","name":"\ud83d\ude00","rules":{"claims":[]}}`))
	f.Add([]byte("? {a: b}\n: - c\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := file.Decode(data, "p")
		if (got == nil) == (err == nil) {
			t.Fatalf("%v %v", got, err)
		}
		if err != nil {
			var problems specyaml.Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("%T %v", err, err)
			}
			for _, p := range problems {
				if p.Line < 1 || p.Column < 1 || p.Message == "" {
					t.Fatalf("%+v", p)
				}
			}
			return
		}
		// A file only restricts: what it permits, its profile permits.
		in := policy.Input{Spec: &spec.Sandbox{Network: spec.Network{Mode: spec.NetHost}}, Unsafe: got.Unsafe}
		both := policy.Intersect(got.Policy, got.Policy)
		if both.Evaluate(in).Allow != got.Policy.Evaluate(in).Allow {
			t.Fatal("twice is not the same as once")
		}
		tight, _ := got.Policy.Tighten(in.Spec)
		if _, more := got.Policy.Tighten(tight); len(more) != 0 {
			t.Fatal("tightening is not idempotent")
		}
	})
}
