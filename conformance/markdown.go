// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/berthrun/berth/backend"
)

// WriteMarkdown writes the report for people.
func (r *Report) WriteMarkdown(w io.Writer) error {
	var b bytes.Buffer
	e := r.Engine
	fmt.Fprintf(&b, "# Conformance of %s\n\n", cell(e.Driver))
	fmt.Fprintf(&b, "| | |\n|---|---|\n")
	row := func(name, value string) { fmt.Fprintf(&b, "| %s | %s |\n", name, cell(value)) }
	row("command", r.Command)
	row("engine", strings.TrimSpace(e.Engine+" "+e.EngineVersion+" (API "+e.APIVersion+")"))
	row("system", fmt.Sprintf("%s/%s, kernel %s", e.OS, e.Arch, e.Kernel))
	row("cgroup", strings.TrimSpace(fmt.Sprintf("version %d %s", e.CgroupVersion, e.CgroupDriver)))
	row("storage", e.StorageDriver)
	row("runtimes", strings.Join(e.Runtimes, ", "))
	row("rootless", fmt.Sprint(e.Rootless))
	row("suite and spec", r.Suite+", "+r.Spec)
	row("started", r.Started.Format(time.RFC3339))
	row("took", r.Duration.Round(time.Millisecond).String())
	if r.Error != "" {
		row("error", r.Error)
	}

	fmt.Fprintf(&b, "\n## Profiles\n\n| profile | verdict | against it |\n|---|---|---|\n")
	for _, v := range r.Profiles {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", v.Profile, verdictWord(v), cell(strings.Join(v.Against, ", ")))
	}
	fmt.Fprintf(&b, "\n## Outcomes\n\n| outcome | tests |\n|---|---|\n")
	for _, o := range Outcomes() {
		if n := r.Counts[o]; n > 0 {
			fmt.Fprintf(&b, "| %s | %d |\n", o, n)
		}
	}
	if len(r.Lacks) > 0 {
		fmt.Fprintf(&b, "\n## What the host lacks\n\n| fact | reason |\n|---|---|\n")
		for _, f := range slices.Sorted(maps.Keys(r.Lacks)) {
			fmt.Fprintf(&b, "| %s | %s |\n", f, cell(r.Lacks[f]))
		}
	}
	fmt.Fprintf(&b, "\n## Claims\n\n| capability | support | by what, or why not | fact |\n|---|---|---|---|\n")
	for _, c := range slices.Sorted(maps.Keys(r.Claims)) {
		claim := r.Claims[c]
		support := string(claim.Support)
		if claim.Support == backend.Unknown {
			support = "unknown"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", c, support, cell(strings.Trim(claim.Mechanism+"; "+claim.Reason, "; ")), cell(claim.Fact))
	}
	fmt.Fprintf(&b, "\n## Tests\n\n| test | level | outcome | took | clause | message |\n|---|---|---|---|---|---|\n")
	for _, t := range r.Results {
		fmt.Fprintf(&b, "| %s | %s | %s | %v | %s | %s |\n",
			t.ID, t.Level, t.Outcome, t.Duration.Round(time.Millisecond), t.Clause, cell(t.Message))
	}
	_, err := w.Write(b.Bytes())
	return err
}

func verdictWord(v Verdict) string {
	if v.Conformant {
		return "conformant"
	}
	return "not conformant"
}

// cell makes text safe in a table: it may have come out of a sandbox.
func cell(s string) string {
	s = plainText(s)
	for _, r := range []struct{ from, to string }{{"\\", "\\\\"}, {"|", "\\|"}, {"<", "&lt;"}, {"`", "\\`"}, {"\n", "<br>"}, {"\t", " "}} {
		s = strings.ReplaceAll(s, r.from, r.to)
	}
	return s
}
