package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func bytesKept(count int64) *int64 { return &count }

// smallCampaign has a point of every outcome, a point in a recovery, and a
// finding that did not repeat.
func smallCampaign() *Campaign {
	file := "/app/worker-data/partitions/TEST-users-partition-003.csv"
	point := func(text, operation, path, timing string, index int, outcome Outcome) CrashPoint {
		return CrashPoint{
			Point: text, Operation: operation, Path: path, Occurrence: 1, Timing: timing, Incarnation: 1,
			Index: index, Outcome: outcome, Attempts: 1, Seconds: 0.052,
		}
	}
	torn := point("worker-2:write:"+file+":1:+29", "write", file, "during", 1, Failed)
	torn.Kept, torn.Size, torn.Offset = bytesKept(29), 58, bytesKept(0)
	torn.Failures, torn.Attempts, torn.Confirmed = 2, 2, true
	torn.Replay = "killpoint replay " + torn.Point
	torn.Findings = []Finding{{
		Kind: "torn", Text: "1 line is torn, first at " + file + ":1", Count: 1, Service: "worker-2",
		Rows: []Row{{Text: "user_id,name<&>", File: file, Line: 1}},
	}}
	flaky := point("worker-2:amqp-ack:queue-1-2:1:before", "ack", "", "before", 3, Failed)
	flaky.Queue, flaky.Failures, flaky.Attempts = "queue-1-2", 1, 4
	flaky.Findings = []Finding{{Kind: "duplicated", Text: "3 rows stand twice", Count: 3}}
	diverged := point("worker-2:rename:/app/worker-data/state/processed-chunks.txt:1:after", "rename", "/app/worker-data/state/processed-chunks.txt", "after", 2, Inconclusive)
	diverged.Other, diverged.Attempts = "/app/worker-data/state/processed-chunks.tmp", 3
	diverged.Reason = "operation 2 was a write, recorded was a rename"
	recovery := point(torn.Point+":then:worker-2:read:"+file+":1:before:i2", "read", file, "before", 1, Passed)
	recovery.Incarnation, recovery.After = 2, []string{torn.Point}
	c := &Campaign{
		Killpoint: "v0.1.0", Scenario: "normal", File: "scenarios/normal.yaml", Target: "worker-2", Model: "process-crash",
		Seed: "7", Depth: 2, Started: time.Date(2025, 3, 4, 5, 6, 7, 0, time.UTC), Seconds: 12, Recorded: 3,
		Replay:   "killpoint explore scenarios/normal.yaml --target worker-2 --seed 7",
		Smallest: &SmallestCase{Point: torn.Point, Text: "1 chunk of 20, 1 fault", Replay: torn.Replay},
		Points: []CrashPoint{
			point("worker-2:write:"+file+":1:before", "write", file, "before", 1, Passed), torn, diverged, flaky,
			point("worker-2:fsync:"+file+":1:before", "fsync", file, "before", 4, NotRun), recovery,
		},
	}
	c.Tally()
	return c
}

func TestCampaignJSON(t *testing.T) {
	campaign := smallCampaign()
	var out bytes.Buffer
	if err := WriteCampaignJSON(&out, campaign); err != nil {
		t.Fatal(err)
	}
	golden(t, "campaign.json", out.String())
	back, err := ReadCampaign(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, campaign) {
		t.Errorf("what was read back is another campaign: %+v", back)
	}
	decoder := json.NewDecoder(bytes.NewReader(out.Bytes()))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&Campaign{}); err != nil {
		t.Error(err)
	}
	empty := &Campaign{}
	empty.Tally()
	out.Reset()
	if err := WriteCampaignJSON(&out, empty); err != nil || !json.Valid(out.Bytes()) {
		t.Errorf("a campaign without points is no JSON (%v): %s", err, out.String())
	}
}

func TestReadCampaignRefusesOtherDocuments(t *testing.T) {
	var out bytes.Buffer
	if err := WriteJSON(&out, document()); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadCampaign(&out); !errors.Is(err, ErrNoCampaign) {
		t.Errorf("the document of scenarios was read as a campaign: %v", err)
	}
	newer := `{"document":"campaign","version":2}`
	if _, err := ReadCampaign(strings.NewReader(newer)); err == nil || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("a newer document was read: %v", err)
	}
	if _, err := ReadCampaign(strings.NewReader("{")); err == nil {
		t.Error("half a document was read")
	}
}

func TestCampaignTally(t *testing.T) {
	campaign := smallCampaign()
	want := PointTotals{Points: 6, Passed: 2, Failed: 2, Inconclusive: 1, NotRun: 1, Unconfirmed: 1}
	if campaign.Totals != want || campaign.Rate != 25 {
		t.Errorf("totals %+v at %v a minute", campaign.Totals, campaign.Rate)
	}
	sum := PointTotals{}
	for _, kind := range campaign.Operations {
		sum.Points += kind.Points
		sum.Passed += kind.Passed
		sum.Failed += kind.Failed
		sum.Inconclusive += kind.Inconclusive
		sum.Broken += kind.Broken
		sum.NotRun += kind.NotRun
		sum.Diverged += kind.Diverged
		sum.Unconfirmed += kind.Unconfirmed
	}
	if sum != campaign.Totals {
		t.Errorf("the kinds of operation come to %+v, all points to %+v", sum, campaign.Totals)
	}
	campaign.Tally()
	if campaign.Totals != want {
		t.Errorf("counted twice: %+v", campaign.Totals)
	}
	for name, one := range map[string]struct {
		campaign Campaign
		want     Outcome
	}{
		"all survived":         {Campaign{Points: []CrashPoint{{Outcome: Passed}}}, Passed},
		"no points":            {Campaign{}, Inconclusive},
		"none was run":         {Campaign{Points: []CrashPoint{{Outcome: NotRun}}}, Inconclusive},
		"one diverged":         {Campaign{Points: []CrashPoint{{Outcome: Passed}, {Outcome: Inconclusive}}}, Inconclusive},
		"known to differ":      {Campaign{Points: []CrashPoint{{Outcome: Passed}, {Outcome: Inconclusive, Divergent: true}}}, Passed},
		"all known to differ":  {Campaign{Points: []CrashPoint{{Outcome: NotRun}, {Outcome: Inconclusive, Divergent: true}}}, Inconclusive},
		"failed and diverged":  {Campaign{Points: []CrashPoint{{Outcome: Failed}, {Outcome: Inconclusive}}}, Failed},
		"failed and broken":    {Campaign{Points: []CrashPoint{{Outcome: Failed}, {Outcome: Broken}}}, Broken},
		"trouble":              {Campaign{Trouble: []string{"no disk"}, Points: []CrashPoint{{Outcome: Passed}}}, Broken},
		"ended by a person":    {Campaign{Outcome: Interrupted, Points: []CrashPoint{{Outcome: Failed}}}, Interrupted},
		"an outcome of before": {Campaign{Outcome: Failed, Points: []CrashPoint{{Outcome: Passed}}}, Passed},
	} {
		if one.campaign.Tally(); one.campaign.Outcome != one.want {
			t.Errorf("%s: %s, want %s", name, one.campaign.Outcome, one.want)
		}
	}
}

func TestCampaignOnTheConsole(t *testing.T) {
	golden(t, "campaign.txt", Style{Unicode: true}.campaignBlock(smallCampaign()))
	block := Style{}.campaignBlock(bigCampaign(20_000))
	if lines := strings.Count(block, "\n"); lines > 90 || !strings.Contains(block, "more failed") {
		t.Errorf("a large campaign has %d lines:\n%s", lines, block)
	}
}

func TestCampaignJUnit(t *testing.T) {
	var out bytes.Buffer
	if err := WriteCampaignJUnit(&out, smallCampaign()); err != nil {
		t.Fatal(err)
	}
	golden(t, "campaign.xml", out.String())
	large := bigCampaign(20_000)
	out.Reset()
	if err := WriteCampaignJUnit(&out, large); err != nil {
		t.Fatal(err)
	}
	var suites junitSuites
	if err := xml.Unmarshal(out.Bytes(), &suites); err != nil {
		t.Fatal(err)
	}
	var all junitTotals
	names := map[string]bool{}
	for _, suite := range suites.Suites {
		if names[suite.Name] {
			t.Errorf("two suites are called %s", suite.Name)
		}
		names[suite.Name] = true
		cases := map[string]bool{}
		for _, test := range suite.Cases {
			if cases[test.Name] {
				t.Errorf("%s: two cases are called %s", suite.Name, test.Name)
			}
			cases[test.Name] = true
			all.add(test)
		}
	}
	if !sameCounts(all, suites.junitTotals) || all.Failures != 2 || all.Errors != 1 || out.Len() > 200_000 {
		t.Errorf("%d bytes; totals %+v, the cases come to %+v", out.Len(), suites.junitTotals, all)
	}
	// What did not pass is never all green, also where no point says why.
	for _, one := range []Campaign{{Trouble: []string{"no disk"}}, {}, {Outcome: Interrupted, Points: []CrashPoint{{Outcome: Passed}}}} {
		one.Tally()
		out.Reset()
		if err := WriteCampaignJUnit(&out, &one); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "<error ") {
			t.Errorf("%s is all green:\n%s", one.Outcome, out.String())
		}
	}
}
