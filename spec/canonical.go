// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
)

// Redacted stands where [Redact] took a value away.
const Redacted = "[redacted]"

// Clone returns a deep copy of s: nothing reachable from the copy is shared
// with s. The clone of nil is nil.
func Clone(s *Sandbox) *Sandbox {
	if s == nil {
		return nil
	}
	c := *s
	c.Process.Command = slices.Clone(s.Process.Command)
	c.Process.Args = slices.Clone(s.Process.Args)
	c.Process.Env = maps.Clone(s.Process.Env)
	c.User.Groups = slices.Clone(s.User.Groups)
	c.Mounts = slices.Clone(s.Mounts)
	c.Binding.Ports = slices.Clone(s.Binding.Ports)
	c.Network.Aliases = slices.Clone(s.Network.Aliases)
	c.Network.Additional = slices.Clone(s.Network.Additional)
	for i := range c.Network.Additional {
		c.Network.Additional[i].Aliases = slices.Clone(c.Network.Additional[i].Aliases)
	}
	c.Network.Egress = slices.Clone(s.Network.Egress)
	c.Security.Capabilities.Add = slices.Clone(s.Security.Capabilities.Add)
	c.Security.Capabilities.Drop = slices.Clone(s.Security.Capabilities.Drop)
	if s.Security.NoNewPrivileges != nil {
		c.Security.NoNewPrivileges = new(*s.Security.NoNewPrivileges)
	}
	c.Security.Devices = slices.Clone(s.Security.Devices)
	if s.Life.Health != nil {
		c.Life.Health = new(*s.Life.Health)
		c.Life.Health.Command = slices.Clone(s.Life.Health.Command)
	}
	c.Labels = maps.Clone(s.Labels)
	c.Extensions = maps.Clone(s.Extensions)
	for k, v := range c.Extensions {
		c.Extensions[k] = bytes.Clone(v)
	}
	return &c
}

// Redact returns a deep copy of s in which every value of Process.Env is
// [Redacted]. Whoever prints a spec or writes one into an engine's records
// passes it through here first, because environment values are where secrets
// are. The names stay. The digest of the copy is not the digest of s.
func Redact(s *Sandbox) *Sandbox {
	c := Clone(s)
	if c == nil {
		return nil
	}
	for k := range c.Process.Env {
		c.Process.Env[k] = Redacted
	}
	return c
}

// Digest returns "sha256:" and 64 hexadecimal digits over [Canonical]. Two
// specs that [Default] makes equal have the same digest, however they were
// written. It returns "" for a spec that has no canonical form; [Validate]
// refuses such a spec.
func Digest(s *Sandbox) string {
	data, err := Canonical(s)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Canonical returns the one JSON text of s that digests are made of: defaults
// applied (to a copy), keys sorted, no white space, every number in its
// shortest decimal form. It returns an error when an extension is not JSON. Text
// that is not UTF-8 is replaced, as JSON demands; [Validate] refuses it.
func Canonical(s *Sandbox) ([]byte, error) {
	c := Clone(s)
	Default(c)
	data, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("canonical form: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, fmt.Errorf("canonical form: %w", err)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(canonicalNumbers(tree)); err != nil {
		return nil, fmt.Errorf("canonical form: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// canonicalNumbers rewrites the numbers of a decoded JSON value in place and
// returns it. Sorting keys is left to encoding/json, which sorts maps.
func canonicalNumbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = canonicalNumbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = canonicalNumbers(v[i])
		}
	case json.Number:
		return json.Number(canonicalNumber(string(v)))
	}
	return v
}

// canonicalNumber writes a JSON number in its shortest decimal form. It works
// on the text: going through float64 would give different integers one digest,
// and going through big.Rat would let a large exponent eat all memory.
func canonicalNumber(text string) string {
	sign := ""
	if rest, ok := strings.CutPrefix(text, "-"); ok {
		sign, text = "-", rest
	}
	exp := new(big.Int)
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		exp.SetString(strings.TrimPrefix(text[i+1:], "+"), 10)
		text = text[:i]
	}
	whole, frac, _ := strings.Cut(text, ".")
	digits := strings.TrimLeft(whole+frac, "0")
	if digits == "" {
		return "0"
	}
	exp.Sub(exp, big.NewInt(int64(len(frac))))
	trimmed := strings.TrimRight(digits, "0")
	exp.Add(exp, big.NewInt(int64(len(digits)-len(trimmed))))
	const most = 20 // digits before an exponent is shorter to read
	switch e := exp.Int64(); {
	case !exp.IsInt64() || e > most || e < -most:
		return sign + trimmed + "e" + exp.String()
	case e >= 0:
		return sign + trimmed + strings.Repeat("0", int(e))
	case int(-e) < len(trimmed):
		return sign + trimmed[:len(trimmed)+int(e)] + "." + trimmed[len(trimmed)+int(e):]
	default:
		return sign + "0." + strings.Repeat("0", int(-e)-len(trimmed)) + trimmed
	}
}
