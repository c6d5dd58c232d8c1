// SPDX-License-Identifier: Apache-2.0

package openhands

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// plainLiteral turns a literal into what encoding/json makes of the same text.
func plainLiteral(v literal) any {
	switch v := v.(type) {
	case []literal:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = plainLiteral(item)
		}
		return out
	case *table:
		out := map[string]any{}
		for key, item := range v.values {
			out[key] = plainLiteral(item)
		}
		return out
	case number:
		return json.Number(v)
	}
	return v
}

func TestParseLiteral(t *testing.T) {
	tests := map[string]struct {
		in   string
		want any
	}{
		"json list":        {`["a", "b"]`, []any{"a", "b"}},
		"python list":      {`['a', "b",]`, []any{"a", "b"}},
		"tuple":            {`('a', 'b')`, []any{"a", "b"}},
		"empty list":       {` [ ] `, []any{}},
		"upstream example": {`[  "--add-host=host.docker.internal:host-gateway",  "--build-arg=https_proxy=https://my-proxy:912",]`, []any{"--add-host=host.docker.internal:host-gateway", "--build-arg=https_proxy=https://my-proxy:912"}},
		"upstream table":   {`{  "mem_limit": "2g",  "cpu_count": 2,  "environment": {"TEST_VAR": "test_value"}}`, map[string]any{"mem_limit": "2g", "cpu_count": json.Number("2"), "environment": map[string]any{"TEST_VAR": "test_value"}}},
		"python table":     {`{'a': 'it"s', 'b': None, 'c': True,}`, map[string]any{"a": `it"s`, "b": nil, "c": true}},
		"json constants":   {`[true, false, null, -1.5e3]`, []any{true, false, nil, json.Number("-1.5e3")}},
		"escapes":          {`'\n\t\\\'\"\/\x41\u00e4\U0001F600'`, "\n\t\\'\"/Aä😀"},
		"surrogates":       {`"\ud83d\ude00"`, "😀"},
		"null":             {`None`, nil},
		"underscore":       {`[1_000]`, []any{json.Number("1_000")}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseLiteral(tt.in)
			if err != nil {
				t.Fatalf("parseLiteral(%q): %v", tt.in, err)
			}
			if diff := cmp.Diff(tt.want, plainLiteral(got)); diff != "" {
				t.Errorf("parseLiteral(%q) (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

func TestParseLiteralRefuses(t *testing.T) {
	for in, want := range map[string]string{
		``:                             "character 1: a value is missing",
		`a, b`:                         "character 1: want a text in quotes",
		`[a]`:                          "character 2: want a text in quotes",
		`['a' 'b']`:                    `character 6: want a comma or ']'`,
		`['a'`:                         `character 5: want a comma`,
		`['a`:                          "closing quote is missing",
		`['a\`:                         "closing quote is missing",
		"['a\nb']":                     "line ends inside",
		`{'a'}`:                        "want a colon",
		`{a: 1}`:                       "want a key in quotes",
		`{'a': 1, 'a': 2}`:             "character 10: the key appears twice",
		`{'a', 'b'}`:                   "want a colon",
		`["ä"] x`:                      "character 7: text after the value",
		`'\q'`:                         "unknown escape",
		`'\u12zz'`:                     "hexadecimal",
		`'\u1'`:                        "too short",
		`"\ud83d"`:                     "half of a surrogate pair",
		`"\ude00\ud83d"`:               "half of a surrogate pair",
		`"\U00110000"`:                 "hexadecimal digits of a character",
		`"\U0000d800"`:                 "no character",
		`[Infinity]`:                   "want a text in quotes",
		`[nan]`:                        "want a text in quotes",
		`[1,,2]`:                       "want a text in quotes",
		strings.Repeat("[", 100):       "nested too deeply",
		strings.Repeat("{'a':", 100):   "nested too deeply",
		"[" + strings.Repeat("(", 100): "nested too deeply",
	} {
		got, err := parseLiteral(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parseLiteral(%q) = %v, %v; want an error with %q", in, got, err, want)
		}
	}
}

// FuzzLiteral: what is JSON has the meaning that encoding/json gives it.
func FuzzLiteral(f *testing.F) {
	for _, seed := range []string{`["a", 'b',]`, `{"a": {"b": [1, null, true]}}`, `("x",)`, `"\ud83d\ude00\/"`, `{'a': None}`, `-0.1e+9`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := parseLiteral(in)
		if err != nil {
			if strings.Contains(err.Error(), "character 0") {
				t.Errorf("%q: %v", in, err)
			}
			return
		}
		dec := json.NewDecoder(strings.NewReader(in))
		dec.UseNumber()
		var want any
		if !utf8.ValidString(in) || !json.Valid([]byte(in)) || dec.Decode(&want) != nil {
			return
		}
		if diff := cmp.Diff(want, plainLiteral(got)); diff != "" {
			t.Errorf("%q (-encoding/json +parseLiteral):\n%s", in, diff)
		}
	})
}

func TestNearest(t *testing.T) {
	var names []string
	for _, k := range Keys() {
		names = append(names, k.Env)
	}
	for word, want := range map[string]string{
		"SANDBOX_VOLUME":         "SANDBOX_VOLUMES",
		"SANDBOX_VOLUMSE":        "SANDBOX_VOLUMES",
		"SANDBOX_USERID":         "SANDBOX_USER_ID",
		"WORKSPACE_MOUNTPATH":    "WORKSPACE_MOUNT_PATH",
		"SANDBOX_SOMETHING_ELSE": "",
		"X":                      "",
	} {
		if got := nearest(word, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "ab", 2}, {"abc", "acb", 1}, {"kitten", "sitting", 3}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
