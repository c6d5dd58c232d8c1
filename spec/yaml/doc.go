// SPDX-License-Identifier: Apache-2.0

// Package yaml reads and writes spec documents, in YAML and in JSON. Reading is
// strict: a key that the spec does not know, a key that is there twice or in the
// wrong case, a value of the wrong type, an anchor, an alias, a tag or a second
// document is an error with its place, and all of them are reported at once.
// What a document says is therefore exactly what a reader of it sees. All
// functions are pure and may be called concurrently.
package yaml
