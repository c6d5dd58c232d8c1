// SPDX-License-Identifier: Apache-2.0

// Package policy decides whether a sandbox may be made. A decision is a pure
// function of the spec, of the host paths that it names, of the driver's ledger
// and of what the engine claims; nothing is read, nothing is changed.
//
// A [Policy] is a stack of layers, each a set of typed [Rules]. A sandbox is
// allowed when no layer objects and no built-in rule does, so that adding a
// layer can only take away: [Intersect] never turns a deny into an allow. What
// a user may want in spite of a rule is named one by one in [Input].Unsafe.
//
// The order of work of a caller is: [For] the spec, [Policy.Tighten], resolve
// [HostPaths], [Policy.Evaluate], plan, and [Policy.Evaluate] again with the
// ledger. Only a decision for which [Decision.Final] holds permits Create.
//
// Package policy/file reads policies from YAML and JSON.
package policy
