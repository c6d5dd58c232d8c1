// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// The elements of JUnit's XML that common readers know.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Timestamp  string          `xml:"timestamp,attr"`
		Time       string          `xml:"time,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitMessage `xml:"failure,omitempty"`
		Error   *junitMessage `xml:"error,omitempty"`
		Skipped *junitMessage `xml:"skipped,omitempty"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitMessage struct {
		Type    string `xml:"type,attr,omitempty"`
		Message string `xml:"message,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes the report for readers of JUnit's XML. Bad outcomes are
// failures, trouble of the harness is an error, and every other outcome that is
// not pass is skipped, with its name and reason; a run that came to nothing is an
// error of its own.
func (r *Report) WriteJUnit(w io.Writer) error {
	suite := junitSuite{
		Name: "berth conformance " + r.Engine.Driver, Timestamp: r.Started.Format(time.RFC3339), Time: seconds(r.Duration),
		Properties: []junitProperty{
			{"command", plainText(r.Command)}, {"suite", r.Suite}, {"spec", r.Spec},
			{"engine", plainText(r.Engine.Engine + " " + r.Engine.EngineVersion)}, {"kernel", plainText(r.Engine.Kernel)},
			{"cgroup", strconv.Itoa(r.Engine.CgroupVersion)}, {"rootless", strconv.FormatBool(r.Engine.Rootless)},
		},
	}
	for _, v := range r.Profiles {
		suite.Properties = append(suite.Properties, junitProperty{"profile " + v.Profile, verdictWord(v)})
	}
	for _, result := range r.Results {
		c := junitCase{Class: area(result.ID), Name: result.ID, Time: seconds(result.Duration), Out: plainText(strings.Join(result.Log, "\n"))}
		first, _, _ := strings.Cut(result.Message, "\n")
		m := &junitMessage{Type: string(result.Outcome), Message: plainText(first), Text: plainText(result.Message)}
		switch {
		case result.Outcome == Errored:
			c.Error = m
			suite.Errors++
		case result.Outcome.Bad():
			c.Failure = m
			suite.Failures++
		case result.Outcome != Pass:
			c.Skipped = m
			suite.Skipped++
		}
		suite.Cases = append(suite.Cases, c)
	}
	if r.Error != "" {
		suite.Cases = append(suite.Cases, junitCase{Class: "run", Name: "run", Time: "0.000", Error: &junitMessage{Message: plainText(r.Error), Text: plainText(r.Error)}})
		suite.Errors++
	}
	suite.Tests = len(suite.Cases)
	text, err := xml.MarshalIndent(junitSuites{Suites: []junitSuite{suite}}, "", "  ")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, text)
	return err
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }

// plainText replaces what XML cannot carry, however it is escaped: messages
// quote what came out of a sandbox.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r >= 0x20 && r != 0xFFFE && r != 0xFFFF {
			return r
		}
		return '\uFFFD'
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
