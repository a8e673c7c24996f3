package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// runCase is the name of the test case that stands for the run as a whole:
// it carries the trouble that is nobody's check.
const runCase = "run"

type junitSuites struct {
	XMLName xml.Name `xml:"testsuites"`
	Name    string   `xml:"name,attr"`
	junitTotals
	Suites []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name string `xml:"name,attr"`
	junitTotals
	Timestamp string      `xml:"timestamp,attr,omitempty"`
	Cases     []junitCase `xml:"testcase"`
}

type junitTotals struct {
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Errors   int      `xml:"errors,attr"`
	Skipped  int      `xml:"skipped,attr"`
	Time     seconds3 `xml:"time,attr"`
}

// seconds3 is seconds with the three digits that JUnit readers expect.
type seconds3 float64

// MarshalText writes 1.5 as 1.500.
func (s seconds3) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%.3f", float64(s)), nil }

type junitCase struct {
	Name      string        `xml:"name,attr"`
	Class     string        `xml:"classname,attr"`
	File      string        `xml:"file,attr,omitempty"`
	Line      int           `xml:"line,attr,omitempty"`
	Time      seconds3      `xml:"time,attr"`
	Failure   *junitMessage `xml:"failure"`
	Error     *junitMessage `xml:"error"`
	Skipped   *junitMessage `xml:"skipped"`
	SystemOut string        `xml:"system-out,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// WriteJUnit writes the runs as JUnit XML: a suite for each scenario file, in
// it a case for each run and one for each of its checks. A check that found
// something is a <failure>; a run that is broken is an <error>, and so is what
// could not be checked, because a CI system must not show it as passed. A
// scenario that was not run is <skipped>.
func WriteJUnit(to io.Writer, document Document) error {
	all := junitSuites{Name: "killpoint"}
	byFile := map[string]int{}
	for _, result := range document.Scenarios {
		file := filepath.ToSlash(result.File)
		index, known := byFile[file]
		if !known {
			index = len(all.Suites)
			byFile[file] = index
			suite := junitSuite{Name: file}
			if result.Started != nil {
				suite.Timestamp = result.Started.UTC().Format("2006-01-02T15:04:05")
			}
			all.Suites = append(all.Suites, suite)
		}
		for _, test := range junitCases(result) {
			all.Suites[index].add(test)
			all.Suites[index].Cases = append(all.Suites[index].Cases, test)
			all.add(test)
		}
	}
	return writeXML(to, all)
}

func writeXML(to io.Writer, all junitSuites) error {
	if _, err := io.WriteString(to, xml.Header); err != nil {
		return fmt.Errorf("write JUnit: %w", err)
	}
	encoder := xml.NewEncoder(to)
	encoder.Indent("", "  ")
	if err := encoder.Encode(all); err != nil {
		return fmt.Errorf("write JUnit: %w", err)
	}
	if _, err := io.WriteString(to, "\n"); err != nil {
		return fmt.Errorf("write JUnit: %w", err)
	}
	return nil
}

func (t *junitTotals) add(test junitCase) {
	t.Tests++
	t.Time += test.Time
	switch {
	case test.Failure != nil:
		t.Failures++
	case test.Error != nil:
		t.Errors++
	case test.Skipped != nil:
		t.Skipped++
	}
}

func junitCases(result Result) []junitCase {
	file := filepath.ToSlash(result.File)
	cases := []junitCase{{
		Name: runCase, Class: result.Name, File: file, Line: result.Line,
		Time: seconds3(result.Seconds), SystemOut: systemOut(result),
	}}
	for _, check := range result.Checks {
		if check.Status == CheckOff {
			continue // nobody asked for it: it is no test
		}
		test := junitCase{Name: check.Name, Class: result.Name, File: file, Line: result.Line}
		switch {
		case result.Outcome == Broken || result.Outcome == Interrupted:
			// Its case stays, so that names are stable, but it proves nothing.
			test.Skipped = &junitMessage{Message: "the run is " + outcomeWords(result.Outcome), Type: string(result.Outcome)}
		case check.Status == CheckPassed:
		case check.Status == CheckFailed:
			test.Failure = failureOf(check)
		default:
			test.Error = &junitMessage{Message: printable(check.Reason), Type: string(check.Status)}
		}
		cases = append(cases, test)
	}
	tellOutcome(&cases[0], result)
	return cases
}

// failureOf has the first finding as its message and all of them as its text.
func failureOf(check Check) *junitMessage {
	failure := &junitMessage{Type: string(CheckFailed)}
	var lines []string
	for index, finding := range check.Findings {
		if index == 0 {
			failure.Message, failure.Type = printable(finding.Text), finding.Kind
		}
		lines = append(lines, strings.Join(Style{}.findingLines(finding), "\n  "))
	}
	failure.Text = strings.Join(lines, "\n")
	return failure
}

// tellOutcome marks the case of the whole run when no check does: a run that
// did not pass has at least one case that did not pass either.
func tellOutcome(whole *junitCase, result Result) {
	message := &junitMessage{Type: string(result.Outcome), Message: outcomeWords(result.Outcome)}
	if len(result.Reasons) > 0 {
		message.Message, _, _ = strings.Cut(printable(result.Reasons[0]), "\n")
	}
	message.Text = printable(strings.Join(result.Trouble, "\n"))
	switch {
	case result.Outcome == Passed:
	case result.Outcome == NotRun:
		whole.Skipped = message
	case result.Outcome == Broken || result.Outcome == Interrupted:
		whole.Error = message
	case result.explainedByChecks():
	case result.Outcome == Failed:
		whole.Failure = message
	default:
		whole.Error = message
	}
}

func systemOut(result Result) string {
	var lines []string
	if result.Replay != "" {
		lines = append(lines, "replay: "+result.Replay)
	}
	if result.Report != "" {
		lines = append(lines, "report: "+result.Report)
	}
	return strings.Join(lines, "\n")
}
