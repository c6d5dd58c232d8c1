// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	goyaml "go.yaml.in/yaml/v3"

	"github.com/berthrun/berth/spec"
	"github.com/berthrun/berth/spec/schema"
	"github.com/berthrun/berth/spec/yaml"
)

// beyond lists the documents of the bad corpus whose mistake a schema cannot
// see, with the reason. The first line of each file names path and code.
var beyond = map[string]string{
	// Two fields, or two elements, have to be compared.
	"capability-both.yaml":            "two lists",
	"device-mode-twice.yaml":          "counts letters",
	"device-twice.yaml":               "uniqueness of what remains after defaulting",
	"egress-twice.yaml":               "uniqueness of what remains after defaulting",
	"group-twice.yaml":                "uniqueness of what remains after defaulting",
	"host-port-on-all-addresses.yaml": "two elements and the default address",
	"host-port-twice.yaml":            "two elements and the default address",
	"mount-bind-no-source.yaml":       "source depends on type",
	"mount-bind-relative.yaml":        "source depends on type",
	"mount-bind-dots.yaml":            "source depends on type",
	"mount-volume-path.yaml":          "source depends on type",
	"mount-volume-name.yaml":          "source depends on type",
	"mount-tmpfs-source.yaml":         "source depends on type",
	"mount-overlay-volume.yaml":       "mode depends on type",
	"mount-tmpfs-overlay.yaml":        "mode depends on type",
	"mount-tmpfs-ro.yaml":             "mode depends on type",
	"mount-selinux-tmpfs.yaml":        "selinux depends on type",
	"mount-size-bind.yaml":            "size depends on type",
	"mount-target-twice.yaml":         "two elements",
	"mount-upper-in-source.yaml":      "upper depends on source",
	"mount-upper-mode.yaml":           "upper depends on mode",
	"mount-upper-twice.yaml":          "two elements",
	"network-additional-none.yaml":    "additional depends on mode",
	"network-additional-same.yaml":    "two places",
	"network-additional-twice.yaml":   "two elements",
	"network-alias-isolated.yaml":     "aliases depend on mode",
	"network-alias-twice.yaml":        "uniqueness without case",
	"network-name-extra.yaml":         "name depends on mode",
	"network-name-missing.yaml":       "name depends on mode",
	"nofile-order.yaml":               "two numbers",
	"platform-of-host.yaml":           "platform depends on ref",
	"port-name-twice.yaml":            "two elements",
	"port-twice.yaml":                 "two elements and the default address",
	"ports-with-host-network.yaml":    "ports depend on network.mode",
	"restart-retries.yaml":            "maxRetries depends on policy",
	// The form has no regular grammar, or Default accepts several.
	"address-name.yaml":          "IP literals of both families",
	"address-zone.yaml":          "IP literals of both families",
	"address-multicast.yaml":     "IP literals of both families",
	"egress-no-length.yaml":      "IP networks of both families",
	"egress-host-bits.yaml":      "IP networks of both families",
	"egress-domain-address.yaml": "an address has the form of a domain",
	"network-alias-address.yaml": "an address has the form of a name",
	"capability.yaml":            "names in any case, with and without CAP_",
	"stop-signal.yaml":           "names in any case, with and without SIG, and numbers",
	// The size of a quantity in text.
	"cpus-decimals.yaml":         "multiples of 0.001 are not exact in binary",
	"health-interval.yaml":       "durations are text",
	"memory-too-small.yaml":      "sizes are text",
	"stop-grace-long.yaml":       "durations are text",
	"stop-grace-zero.yaml":       "durations are text",
	"user-too-large.yaml":        "ids are text",
	"user-group-too-large.yaml":  "ids are text",
	"command-nul.yaml":           "every text would need a pattern",
	"env-nul.yaml":               "every text would need a pattern",
	"command-empty-program.yaml": "only the first element may not be empty",
	"health-empty-program.yaml":  "only the first element may not be empty",
	// The parser has already decided.
	"alias.yaml":         "a parsed document has no aliases",
	"merge-key.yaml":     "a parsed document has no merge keys",
	"tag.yaml":           "a parsed document has no tags",
	"memory-hex.yaml":    "a parsed document has no notation of numbers",
	"pids-octal.yaml":    "a parsed document has no notation of numbers",
	"port-fraction.yaml": "80.0 and 80 are one number to JSON schema",
}

// unparsed lists the documents that a YAML parser refuses or that have no JSON
// form, so that no schema sees them.
var unparsed = []string{
	"duplicate-env.yaml", "duplicate-field.yaml", "duplicate-in-extension.yaml", "env-key-number.yaml",
	"extension-not-a-number.yaml", "not-yaml.yaml", "several.yaml", "two-documents.yaml",
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema.JSON()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("sandbox.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("sandbox.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// tree parses a document the way an editor does, without package spec.
func tree(data []byte) (any, error) {
	if json.Valid(data) {
		return jsonschema.UnmarshalJSON(bytes.NewReader(data))
	}
	dec := goyaml.NewDecoder(bytes.NewReader(data))
	var v, second any
	if err := dec.Decode(&v); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if dec.Decode(&second) == nil {
		return nil, errors.New("two documents")
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(text))
}

func files(t *testing.T, dir string, least int) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("..", "testdata", dir, "*.yaml"))
	if err != nil || len(names) < least {
		t.Fatalf("testdata/%s has %d documents, want %d: %v", dir, len(names), least, err)
	}
	return names
}

func TestSchemaAcceptsGoodCorpus(t *testing.T) {
	s := compile(t)
	for _, name := range files(t, "good", 25) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		v, err := tree(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := s.Validate(v); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What decoding, defaulting and encoding make of a good document is one too.
func TestSchemaAcceptsEncodedCorpus(t *testing.T) {
	s := compile(t)
	for _, name := range files(t, "good", 25) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sandbox, err := yaml.Decode(data, name)
		if err != nil {
			t.Fatal(err)
		}
		spec.Default(sandbox)
		encoded, err := yaml.Encode(sandbox)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range [][]byte{encoded, must(spec.Canonical(sandbox))} {
			v, err := tree(text)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := s.Validate(v); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func must(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}

func TestSchemaRefusesBadCorpus(t *testing.T) {
	s := compile(t)
	left, lost := maps.Clone(beyond), slices.Clone(unparsed)
	for _, name := range files(t, "bad", 60) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		base := filepath.Base(name)
		v, err := tree(data)
		if i := slices.Index(lost, base); i >= 0 {
			lost = slices.Delete(lost, i, i+1)
			if err == nil {
				t.Errorf("%s is listed as unparsed and has a JSON form", base)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", base, err)
			continue
		}
		err = s.Validate(v)
		reason, listed := left[base]
		delete(left, base)
		switch {
		case err == nil && !listed:
			t.Errorf("%s: the schema accepts what Validate refuses", base)
		case err != nil && listed:
			t.Errorf("%s: the schema sees it after all, so %q is not true: %v", base, reason, err)
		}
	}
	for name := range left {
		t.Errorf("%s is listed and not in the corpus", name)
	}
	for _, name := range lost {
		t.Errorf("%s is listed and not in the corpus", name)
	}
}

func TestJSONIsTheCallersOwn(t *testing.T) {
	schema.JSON()[0] = 'x'
	if schema.JSON()[0] != '{' {
		t.Error("a caller's change reached the embedded schema")
	}
}
