package policytest

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// Failed counts the results that did not pass.
func Failed(results []Result) int {
	n := 0
	for i := range results {
		if !results[i].Passed {
			n++
		}
	}
	return n
}

// title names a result.
func (r *Result) title() string {
	s := r.Test
	if r.Name != "" {
		s += ": " + r.Name
	}
	if s == "" {
		s = "the file"
	}
	return s
}

// position is where the case stands.
func (r *Result) position() string {
	if r.Line == 0 {
		return r.File
	}
	return fmt.Sprintf("%s:%d", r.File, r.Line)
}

// Text writes what failed, for people.
func Text(w io.Writer, results []Result) error {
	var b strings.Builder
	for i := range results {
		if r := &results[i]; !r.Passed {
			fmt.Fprintf(&b, "FAIL %s: %s\n%s\n", r.position(), r.title(), indent(r.why()))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// why says in lines what is wrong, and explains it.
func (r *Result) why() string {
	var b strings.Builder
	for _, d := range r.Differs {
		fmt.Fprintln(&b, d)
	}
	if r.Explanation != nil {
		b.WriteByte('\n')
		_ = r.Explanation.Text(&b) // a Builder takes everything
	}
	if len(r.Problems) > 0 && r.Explanation != nil {
		b.WriteString("\nproblems of what is tested:\n")
	}
	for _, p := range r.Problems {
		fmt.Fprintln(&b, p)
	}
	return b.String()
}

func indent(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if strings.TrimSpace(line) != "" {
			b.WriteString("     ")
		}
		b.WriteString(line)
	}
	return b.String()
}

// JSON writes one object for each result, each on a line.
func JSON(w io.Writer, results []Result) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for i := range results {
		if err := enc.Encode(&results[i]); err != nil {
			return err
		}
	}
	return nil
}

// The elements of a JUnit report, as CI servers read it.
type (
	junitReport struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		File     string      `xml:"file,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		File    string        `xml:"file,attr"`
		Line    int           `xml:"line,attr,omitempty"`
		Failure *junitFailure `xml:"failure"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes a JUnit report, with a suite for each test.
func JUnit(w io.Writer, results []Result) error {
	report := junitReport{Tests: len(results), Failures: Failed(results)}
	for i := range results {
		r := &results[i]
		n := len(report.Suites)
		if n == 0 || report.Suites[n-1].File != r.File || report.Suites[n-1].Name != r.Test {
			report.Suites = append(report.Suites, junitSuite{Name: r.Test, File: r.File})
			n++
		}
		s := &report.Suites[n-1]
		c := junitCase{Name: r.Name, Class: r.Test, File: r.File, Line: r.Line}
		if r.Name == "" {
			c.Name = r.title()
		}
		if !r.Passed {
			c.Failure = &junitFailure{Message: strings.Join(append(r.Differs, r.Problems...), "; "), Text: r.why()}
			s.Failures++
		}
		s.Tests++
		s.Cases = append(s.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(report); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
