// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/berthrun/berth/backend"
)

// table collects rows of the human form of a result.
type table struct{ w *tabwriter.Writer }

// row prints cells. What came out of an engine or a sandbox is made fit for a
// terminal.
func (t *table) row(cells ...string) {
	for i, c := range cells {
		cells[i] = printable(c)
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

// printable replaces what could steer a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// print writes a result: v as JSON with -o json, else what human prints.
func (a *app) print(v any, human func(*table)) error {
	if a.json() {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	t := &table{w: tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)}
	human(t)
	return t.w.Flush()
}

// progress returns a printer for image pulls, or nil when nobody watches.
func (a *app) progress() func(backend.PullProgress) {
	if _, watching := terminal(a.stderr); !watching || a.quiet {
		return nil
	}
	last := map[string]string{}
	return func(p backend.PullProgress) {
		line := printable(p.Status)
		if p.Layer != "" {
			line = printable(p.Layer) + ": " + line
		}
		// One line for each change of state: a log of a pull stays readable.
		if last[p.Layer] == line {
			return
		}
		last[p.Layer] = line
		fmt.Fprintln(a.stderr, line)
	}
}

// stream copies what a sandbox wrote. A terminal gets no escapes unless the
// sandbox owns it.
type escaper struct{ w io.Writer }

// Write replaces control characters except newline, carriage return and tab.
func (e escaper) Write(p []byte) (int, error) {
	clean := make([]byte, len(p))
	for i, b := range p {
		if b < 0x20 && b != '\n' && b != '\r' && b != '\t' || b == 0x7f {
			b = '?'
		}
		clean[i] = b
	}
	if _, err := e.w.Write(clean); err != nil {
		return 0, err
	}
	return len(p), nil
}

// shown returns where a sandbox's stored output goes: as it is into a file or
// pipe, harmless onto a terminal.
func shown(w io.Writer) io.Writer {
	if _, ok := terminal(w); ok {
		return escaper{w}
	}
	return w
}
