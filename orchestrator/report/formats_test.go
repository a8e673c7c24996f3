package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/scenario"
)

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	if err := WriteJSON(&out, document()); err != nil {
		t.Fatal(err)
	}
	golden(t, "results.json", out.String())
	var back Document
	decoder := json.NewDecoder(bytes.NewReader(out.Bytes()))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, document()) {
		t.Error("the document that was read back is another")
	}
}

// The page is the contract: every field that is written is in one of its
// tables, under the heading of its object, and nothing else is.
func TestJSONFieldsAreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "json.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := documentedFields(string(page))
	for heading, kind := range map[string]reflect.Type{
		"Document": reflect.TypeFor[Document](), "Totals": reflect.TypeFor[Totals](), "Scenario": reflect.TypeFor[Result](),
		"Fault": reflect.TypeFor[Fault](), "Check": reflect.TypeFor[Check](), "Finding": reflect.TypeFor[Finding](),
		"Row": reflect.TypeFor[Row](), "Times": reflect.TypeFor[Times](), "Phase": reflect.TypeFor[PhaseTime](),
		"Point": reflect.TypeFor[Point](), "Unsynced": reflect.TypeFor[Unsynced](),
		"CutFile": reflect.TypeFor[CutFile](), "Bytes": reflect.TypeFor[Bytes](),
		"Campaign": reflect.TypeFor[Campaign](), "PointTotals": reflect.TypeFor[PointTotals](),
		"OperationTotals": reflect.TypeFor[OperationTotals](), "SmallestCase": reflect.TypeFor[SmallestCase](),
		"CrashPoint": reflect.TypeFor[CrashPoint](),
	} {
		var written []string
		for index := range kind.NumField() {
			if kind.Field(index).Anonymous {
				continue // documented under its own heading
			}
			name, options, _ := strings.Cut(kind.Field(index).Tag.Get("json"), ",")
			if options == "omitempty" {
				name += "?"
			}
			written = append(written, name)
		}
		if !slices.Equal(written, documented[heading]) {
			t.Errorf("%s: docs/json.md has %v, written are %v", heading, documented[heading], written)
		}
		delete(documented, heading)
	}
	for heading, fields := range documented {
		t.Errorf("docs/json.md documents %s with %v, which is written nowhere", heading, fields)
	}
	for _, outcome := range []Outcome{Passed, Failed, Inconclusive, Broken, Interrupted, NotRun} {
		if !strings.Contains(string(page), "`"+string(outcome)+"`") {
			t.Errorf("docs/json.md does not name the outcome %s", outcome)
		}
	}
	if !strings.Contains(string(page), "This page describes version 1.") || SchemaVersion != 1 {
		t.Errorf("docs/json.md does not describe version %d", SchemaVersion)
	}
	if !strings.Contains(string(page), "version 1 of the campaign\ndocument") || CampaignVersion != 1 {
		t.Errorf("docs/json.md does not describe version %d of the campaign document", CampaignVersion)
	}
}

// documentedFields reads the first column of each table by its heading; a
// question mark stands for a field that may be missing.
func documentedFields(page string) map[string][]string {
	fields := map[string][]string{}
	heading := ""
	row := regexp.MustCompile("^\\| `(\\w+)`(\\?)? \\|")
	for _, line := range strings.Split(page, "\n") {
		if title, found := strings.CutPrefix(line, "## "); found {
			heading = title
		}
		if match := row.FindStringSubmatch(line); match != nil {
			fields[heading] = append(fields[heading], match[1]+match[2])
		}
	}
	return fields
}

func TestJUnit(t *testing.T) {
	var out bytes.Buffer
	if err := WriteJUnit(&out, document()); err != nil {
		t.Fatal(err)
	}
	golden(t, "results.xml", out.String())

	var suites junitSuites
	if err := xml.Unmarshal(out.Bytes(), &suites); err != nil {
		t.Fatal(err)
	}
	var all junitTotals
	for _, suite := range suites.Suites {
		var own junitTotals
		names := map[string]bool{}
		for _, test := range suite.Cases {
			own.add(test)
			if names[test.Class+"/"+test.Name] {
				t.Errorf("%s: two cases are called %s %s", suite.Name, test.Class, test.Name)
			}
			names[test.Class+"/"+test.Name] = true
		}
		if !sameCounts(own, suite.junitTotals) {
			t.Errorf("%s: totals %+v, its cases come to %+v", suite.Name, suite.junitTotals, own)
		}
		if green := own.Failures+own.Errors+own.Skipped == 0; green != strings.HasSuffix(suite.Name, "/restart.yaml") {
			t.Errorf("%s: all cases passed: %v", suite.Name, green)
		}
		all.Tests += own.Tests
		all.Failures += own.Failures
		all.Errors += own.Errors
		all.Skipped += own.Skipped
	}
	if !sameCounts(all, suites.junitTotals) {
		t.Errorf("totals %+v, the suites come to %+v", suites.junitTotals, all)
	}
}

func sameCounts(a, b junitTotals) bool {
	return a.Tests == b.Tests && a.Failures == b.Failures && a.Errors == b.Errors && a.Skipped == b.Skipped
}

// A run that did not pass is never all green, whatever its checks say.
func TestJUnitOfRunsThatNoCheckExplains(t *testing.T) {
	for _, outcome := range []Outcome{Failed, Inconclusive, Broken, Interrupted, NotRun} {
		cases := junitCases(Result{Name: "x", Outcome: outcome})
		var totals junitTotals
		for _, test := range cases {
			totals.add(test)
		}
		if totals.Failures+totals.Errors+totals.Skipped != 1 {
			t.Errorf("%s: %+v", outcome, totals)
		}
		if (outcome == Failed) != (totals.Failures == 1) {
			t.Errorf("%s: %d failures", outcome, totals.Failures)
		}
	}
}

func TestAnnotations(t *testing.T) {
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	WriteAnnotations(&out, document(), here)
	golden(t, "annotations.txt", out.String())

	out.Reset()
	AnnotateProblems(&out, scenario.Problems{{
		Position: scenario.Position{File: filepath.Join(here, "a,b:c.yaml"), Line: 3, Column: 5}, Text: "unknown key 100%", Hint: "did you mean kill?",
	}}, here)
	want := "::error file=a%2Cb%3Ac.yaml,line=3,col=5,title=bad scenario::unknown key 100%25%0Ahint: did you mean kill?\n"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}

func TestStepSummary(t *testing.T) {
	var out bytes.Buffer
	if err := WriteStepSummary(&out, document()); err != nil {
		t.Fatal(err)
	}
	golden(t, "summary.md", out.String())
}
