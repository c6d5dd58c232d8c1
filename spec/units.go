// SPDX-License-Identifier: Apache-2.0

package spec

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bytes is a size. Its text form is a decimal integer, alone or followed by
// Ki, Mi or Gi; "512m" is refused because it means mebibytes to docker and
// thousandths to Kubernetes.
type Bytes int64

// The binary units.
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
)

var byteUnits = []struct {
	suffix string
	factor Bytes
}{{"Gi", GiB}, {"Mi", MiB}, {"Ki", KiB}}

// ParseBytes reads the text form of a size. It returns an error for a sign, a
// fraction, another suffix or a value above 2^63-1.
func ParseBytes(s string) (Bytes, error) {
	digits, factor := s, Bytes(1)
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			digits, factor = rest, u.factor
			break
		}
	}
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, fmt.Errorf("size %q: want an integer, alone or with Ki, Mi or Gi", s)
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > math.MaxInt64/int64(factor) {
		return 0, fmt.Errorf("size %q: larger than 2^63-1 bytes", s)
	}
	return Bytes(n) * factor, nil
}

// String returns the shortest exact text form; [ParseBytes] reads it back.
func (b Bytes) String() string {
	for _, u := range byteUnits {
		if b != 0 && b%u.factor == 0 {
			return strconv.FormatInt(int64(b/u.factor), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// MarshalJSON writes the text form as a string.
func (b Bytes) MarshalJSON() ([]byte, error) { return json.Marshal(b.String()) }

// UnmarshalJSON reads a JSON integer or the text form.
func (b *Bytes) UnmarshalJSON(data []byte) error {
	v, err := parseScalar(data, ParseBytes)
	if err != nil {
		return err
	}
	*b = v
	return nil
}

// CPUs is an amount of processor time in thousandths of a processor. Its text
// form is a decimal number with at most three decimals.
type CPUs int64

// ParseCPUs reads the text form of an amount of processor time.
func ParseCPUs(s string) (CPUs, error) {
	whole, frac, dot := strings.Cut(s, ".")
	if whole == "" || strings.Trim(whole+frac, "0123456789") != "" || (dot && (frac == "" || len(frac) > 3)) {
		return 0, fmt.Errorf("cpus %q: want a number with at most three decimals, such as 0.5", s)
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n > 1<<20 {
		return 0, fmt.Errorf("cpus %q: too large", s)
	}
	m, _ := strconv.ParseInt((frac + "000")[:3], 10, 64)
	return CPUs(n*1000 + m), nil
}

// String returns the shortest text form; [ParseCPUs] reads it back.
func (c CPUs) String() string {
	if c < 0 { // no parser returns one, but Validate has to print it
		return strconv.FormatFloat(float64(c)/1000, 'f', -1, 64)
	}
	s := fmt.Sprintf("%d.%03d", int64(c)/1000, int64(c)%1000)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}

// MarshalJSON writes a JSON number.
func (c CPUs) MarshalJSON() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalJSON reads a JSON number or the text form.
func (c *CPUs) UnmarshalJSON(data []byte) error {
	v, err := parseScalar(data, ParseCPUs)
	if err != nil {
		return err
	}
	*c = v
	return nil
}

// Duration is a length of time. Its text form is Go's: 90s, 1h30m.
type Duration time.Duration

// ParseDuration reads the text form of a length of time.
func ParseDuration(s string) (Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("duration %q: want a value such as 90s or 1h30m", s)
	}
	return Duration(d), nil
}

// Std returns d as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String returns the text form.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON writes the text form as a string.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads the text form; a bare number is refused, because its
// unit would be a guess.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("duration %s: want a string such as \"90s\"", data)
	}
	v, err := ParseDuration(s)
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// parseScalar reads a JSON string or number with parse.
func parseScalar[T any](data []byte, parse func(string) (T, error)) (T, error) {
	text := string(data)
	if len(data) > 0 && data[0] == '"' {
		if err := json.Unmarshal(data, &text); err != nil {
			var zero T
			return zero, err
		}
	}
	return parse(text)
}
