// SPDX-License-Identifier: Apache-2.0

// Package schema holds the JSON schema (draft 2020-12) of a sandbox spec, for
// editors and for programs that write specs. It is generated from the types,
// comments and constraints of package spec; go generate writes it again.
//
// A schema cannot say everything: whether two fields go together, whether
// something is there twice and how large a size in text is, only spec.Validate
// knows. It is stricter in one thing: a field that is present and empty is the
// same as a field that is not set to Validate, while the schema wants it
// removed.
package schema

import (
	"bytes"
	_ "embed"
)

//go:generate go run ./gen -source .. -out sandbox.schema.json

//go:embed sandbox.schema.json
var document []byte

// JSON returns the schema of a spec document as JSON text that ends in a line
// break. "berth spec schema" prints it. The slice is the caller's.
func JSON() []byte { return bytes.Clone(document) }
