package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/report"
)

// What was saved renders again to what was shown at first, without an engine.
func TestReportRendersAgain(t *testing.T) {
	u := newUser(t, "late", "normal", "restart")
	u.outcomes["restart"], u.outcomes["late"] = check.Failed, check.Inconclusive
	u.wants(exitFailed, "run", "scenarios", "--report", "reports", "--env", "SEED=42", "--html", "page.html")
	shown := u.out.String()
	opened := u.opened
	for _, file := range []string{"page.html", "reports/report.html", "reports/restart/report.html"} {
		page, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(page, []byte("restart <span class=\"failed\">failed</span>")) || !bytes.Contains(page, []byte("13,Ada")) {
			t.Errorf("%s does not show the failure", file)
		}
	}

	u.out.text.Reset()
	u.wants(exitPassed, "report", "reports", "--json", "again.json", "--junit", "again.xml", "--html", "again.html")
	if u.out.String() != shown && !strings.HasPrefix(u.out.String(), shown[:strings.LastIndex(shown, "3 scenarios")]) {
		t.Errorf("shown again:\n%s\nshown at first:\n%s", u.out, shown)
	}
	if u.opened != opened {
		t.Error("an engine was opened to render what is saved")
	}
	first, again := document(t, "reports/report.json"), document(t, "again.json")
	if !reflect.DeepEqual(first.Scenarios, again.Scenarios) || first.Totals != again.Totals || first.ExitCode != again.ExitCode || again.Seconds != 1.2 {
		t.Errorf("rendered again it is %+v,\nat first it was %+v", again, first)
	}
	one, _ := os.ReadFile("reports/junit.xml")
	if other, _ := os.ReadFile("again.xml"); len(one) == 0 || !bytes.Equal(one, other) {
		t.Error("the JUnit files differ")
	}

	// A folder twice is runs of one name.
	u.wants(exitPassed, "report", "reports", "reports/restart", "--json", "twice.json")
	if twice := document(t, "twice.json"); len(twice.Scenarios) != 4 || twice.Scenarios[3].Name != "restart.2" || twice.Seconds != 2.4 {
		t.Errorf("with a run given twice it is %+v", twice)
	}

	// One run alone, with its page on stdout and the words elsewhere.
	u.out.text.Reset()
	u.err.text.Reset()
	u.wants(exitPassed, "report", "reports/restart", "--html", "-")
	if page := u.out.String(); !strings.HasPrefix(page, "<!doctype html>") || strings.Contains(page, "normal") {
		t.Errorf("stdout is not the page of one run: %.200s", page)
	}
	if !strings.Contains(u.err.String(), "restart failed") {
		t.Errorf("stderr does not tell of the run: %s", u.err)
	}
}

func document(t *testing.T, file string) (d report.Document) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestReportOfACampaign(t *testing.T) {
	u := newUser(t)
	campaign := &report.Campaign{
		Scenario: "normal", File: "scenarios/normal.yaml", Target: "worker-2", Model: "process-crash", Started: noon, Seconds: 6,
		Points: []report.CrashPoint{
			{Point: "worker-2:write:/a:1:before", Operation: "write", Path: "/a", Occurrence: 1, Timing: "before", Index: 1, Outcome: report.Passed, Attempts: 1},
			{Point: "worker-2:write:/a:1:after", Operation: "write", Path: "/a", Occurrence: 1, Timing: "after", Index: 1, Outcome: report.Failed, Attempts: 2, Failures: 2},
		},
	}
	campaign.Tally()
	if err := report.SaveCampaign("campaign", campaign); err != nil {
		t.Fatal(err)
	}
	u.wants(exitPassed, "report", "campaign", "--json", "again.json", "--junit", "again.xml", "--html", "again.html")
	if want := "2 crash points, 1 survived, 1 failed, 0 inconclusive in 6.0s (20 a minute)\n"; !strings.HasSuffix(u.out.String(), want) {
		t.Errorf("stdout is %q, want it to end with %q", u.out, want)
	}
	for saved, again := range map[string]string{"campaign/campaign.json": "again.json", "campaign/junit.xml": "again.xml", "campaign/report.html": "again.html"} {
		one, _ := os.ReadFile(saved)
		other, _ := os.ReadFile(again)
		if len(one) == 0 || !bytes.Equal(one, other) {
			t.Errorf("%s and %s differ", saved, again)
		}
	}
	u.wants(exitPassed, "report", "again.json") // the file alone
	u.wants(exitUsage, "report", "campaign", "again.json")
	u.write("other.json", `{"version":1}`)
	u.wants(exitUsage, "report", "other.json")
	if !strings.Contains(u.err.String(), "not the document of a campaign") {
		t.Errorf("stderr: %s", u.err)
	}
}
