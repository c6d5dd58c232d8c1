// SPDX-License-Identifier: Apache-2.0

package spec_test

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/berthrun/berth/spec"
)

func TestParseBytes(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want spec.Bytes
	}{
		{"0", 0}, {"1", 1}, {"1023", 1023}, {"1Ki", 1024}, {"512Mi", 512 << 20}, {"2Gi", 2 << 30}, {"0Gi", 0},
		{"9223372036854775807", math.MaxInt64}, {"8589934591Gi", 8589934591 << 30},
	} {
		if got, err := spec.ParseBytes(tt.in); err != nil || got != tt.want {
			t.Errorf("ParseBytes(%q) = %d, %v; want %d", tt.in, got, err, tt.want)
		}
	}
	for _, in := range []string{"", "Ki", "-1", "+1", "1.5Gi", "512m", "1K", "1KiB", "1kb", " 1", "1 Ki", "0x10", "1e3", "1_000", "9223372036854775808", "8589934592Gi", "١"} {
		if got, err := spec.ParseBytes(in); err == nil {
			t.Errorf("ParseBytes(%q) = %d, want an error", in, got)
		}
	}
}

func TestParseCPUs(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want spec.CPUs
	}{{"0", 0}, {"1", 1000}, {"0.5", 500}, {"1.25", 1250}, {"0.001", 1}, {"1048576.999", 1048576999}} {
		if got, err := spec.ParseCPUs(tt.in); err != nil || got != tt.want {
			t.Errorf("ParseCPUs(%q) = %d, %v; want %d", tt.in, got, err, tt.want)
		}
	}
	for _, in := range []string{"", ".", ".5", "1.", "-1", "+1", "0.0001", "1e3", "1048577", "500m", "1.2.3", "99999999999999999999"} {
		if got, err := spec.ParseCPUs(in); err == nil {
			t.Errorf("ParseCPUs(%q) = %d, want an error", in, got)
		}
	}
}

func TestParseDuration(t *testing.T) {
	if got, err := spec.ParseDuration("1h30m"); err != nil || got.Std() != 90*time.Minute {
		t.Errorf("1h30m is %v, %v", got, err)
	}
	for _, in := range []string{"", "10", "-1s", "1d", "1h 30m", "9999999999h"} {
		if got, err := spec.ParseDuration(in); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", in, got)
		}
	}
}

func TestQuantitiesInJSON(t *testing.T) {
	var v struct {
		B spec.Bytes
		C spec.CPUs
		D spec.Duration
	}
	for _, in := range []string{`{"B":1024,"C":0.5,"D":"1m"}`, `{"B":"1Ki","C":"0.5","D":"60s"}`} {
		if err := json.Unmarshal([]byte(in), &v); err != nil || v.B != 1024 || v.C != 500 || v.D != spec.Duration(time.Minute) {
			t.Errorf("%s is %+v, %v", in, v, err)
		}
	}
	if out, err := json.Marshal(v); err != nil || string(out) != `{"B":"1Ki","C":0.5,"D":"1m0s"}` {
		t.Errorf("%s, %v", out, err)
	}
	for _, in := range []string{`{"B":1.5}`, `{"B":-1}`, `{"B":true}`, `{"B":1e3}`, `{"B":null}`, `{"C":0.0001}`, `{"C":"x"}`, `{"D":10}`, `{"D":"x"}`} {
		if err := json.Unmarshal([]byte(in), &v); err == nil {
			t.Errorf("%s was read", in)
		}
	}
}

func fuzzText[T fmt.Stringer](f *testing.F, parse func(string) (T, error), seeds ...string) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := parse(s)
		if err != nil {
			return
		}
		if back, err := parse(v.String()); err != nil || fmt.Sprintf("%d", any(back)) != fmt.Sprintf("%d", any(v)) {
			t.Errorf("%q is %d, written %q, which is %d, %v", s, any(v), v, any(back), err)
		}
		if data, err := json.Marshal(v); err != nil || !json.Valid(data) {
			t.Errorf("%q as JSON: %s, %v", s, data, err)
		}
	})
}

func FuzzParseBytes(f *testing.F) {
	fuzzText(f, spec.ParseBytes, "0", "1Ki", "512Mi", "9223372036854775807", "1.5", "-1")
}

func FuzzParseCPUs(f *testing.F) {
	fuzzText(f, spec.ParseCPUs, "0", "0.5", "1.250", "1048576.999", ".5")
}

func FuzzParseDuration(f *testing.F) {
	fuzzText(f, spec.ParseDuration, "0", "90s", "1h30m", "1.5h", "1us", "-1s")
}
