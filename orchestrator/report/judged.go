package report

import (
	"slices"
	"time"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// NewDocument puts the results of one command together. The exit code is for
// the caller to set.
func NewDocument(version string, started time.Time, took time.Duration, results []Result) Document {
	document := Document{
		Version: SchemaVersion, Killpoint: version, Started: started.UTC().Truncate(time.Millisecond),
		Seconds: seconds(took), Outcome: Passed, Totals: Count(results), Scenarios: results,
	}
	if document.Scenarios == nil {
		document.Scenarios = []Result{}
	}
	// The gravest outcome of any run is that of the whole.
	for _, outcome := range []Outcome{Interrupted, Broken, Failed, Inconclusive} {
		if slices.ContainsFunc(results, func(result Result) bool { return result.Outcome == outcome }) {
			document.Outcome = outcome
			break
		}
	}
	return document
}

// NewResult makes a run and the verdict on it into what is shown.
func NewResult(sc *scenario.Scenario, h *history.History, verdict check.Verdict) Result {
	result := planned(sc)
	result.Outcome = Outcome(verdict.Outcome)
	result.Reasons = verdict.Reasons
	result.Model, result.Seed, result.RunID = h.Meta.Model, h.Meta.Seed, h.Meta.RunID
	result.Replay, result.Engine, result.Images = h.Meta.Replay, h.Meta.Engine, h.Meta.Images
	if !h.Meta.Started.IsZero() {
		started := h.Meta.Started.UTC().Truncate(time.Millisecond)
		result.Started = &started
	}
	result.Faults = faultsOf(h)
	pointsOf(sc, h, result.Faults)
	for _, one := range verdict.Results {
		result.Checks = append(result.Checks, checkOf(one))
	}
	times := Breakdown(h)
	result.Times, result.Seconds = &times, times.Total
	for _, event := range h.Events {
		switch event.Kind {
		case history.Trouble:
			result.Trouble = append(result.Trouble, event.Text)
		case history.Warning:
			result.Warnings = append(result.Warnings, event.Text)
		case history.Unremoved:
			result.Unremoved = append(result.Unremoved, event.Text)
		}
	}
	if result.Outcome != Passed {
		result.Warnings = append(result.Warnings, ownExits(h)...)
	}
	return result
}

// NotRunResult stands for a scenario whose turn never came.
func NotRunResult(sc *scenario.Scenario) Result {
	result := planned(sc)
	result.Outcome = NotRun
	return result
}

// planned is what is known of a run before it begins.
func planned(sc *scenario.Scenario) Result {
	place := sc.Positions["name"]
	if place.Line == 0 {
		place = sc.Positions[""]
	}
	return Result{Name: sc.Name, Description: sc.Description, File: sc.File, Line: place.Line, Column: place.Column}
}

// faultsOf follows each planned fault through the history.
func faultsOf(h *history.History) []Fault {
	var faults []Fault
	find := func(event history.Event) *Fault {
		for index := range faults {
			if faults[index].Number == event.Fault {
				return &faults[index]
			}
		}
		faults = append(faults, Fault{Number: event.Fault, Service: event.Service})
		return &faults[len(faults)-1]
	}
	for _, event := range h.Events {
		if event.Fault == 0 {
			continue
		}
		fault, at := find(event), seconds(event.At)
		switch event.Kind {
		case history.FaultArmed:
			fault.Planned = event.Text
		case history.FaultFired:
			fault.Matched, fault.FiredAt, fault.Incarnation = event.Text, &at, event.Incarnation
		case history.FaultDone:
			fault.Done, fault.DoneAt = event.Text, &at
		case history.FaultHealed:
			fault.Healed, fault.HealedAt = event.Text, &at
		case history.FaultMissed:
			fault.Missed = event.Text
		}
	}
	return faults
}

func checkOf(from check.Result) Check {
	return Check{
		Name: from.Check, Status: CheckStatus(from.Status), Detail: from.Detail, Reason: from.Reason,
		Findings: NewFindings(from.Findings),
	}
}

// NewFindings makes findings into what is shown.
func NewFindings(from []check.Finding) []Finding {
	var to []Finding
	for _, finding := range from {
		one := Finding{
			Kind: string(finding.Kind), Text: finding.Text, Count: finding.Count, Service: finding.Service,
			File: finding.Position.File, Line: finding.Position.Line, Column: finding.Position.Column,
		}
		if finding.At > 0 {
			at := seconds(finding.At)
			one.At = &at
		}
		for _, row := range finding.Rows {
			one.Rows = append(one.Rows, Row{
				Text: row.Text, Chunk: row.Chunk, File: row.File, Line: row.Line,
				Partition: partition(row.Partition), Expected: partition(row.Expected),
			})
		}
		to = append(to, one)
	}
	return to
}

// partition is nil where there is none.
func partition(number int) *int {
	if number == check.NoPartition {
		return nil
	}
	return &number
}

// AddChecking records in a history for how long it was judged, which comes
// after everything that the run itself recorded.
func AddChecking(h *history.History, took time.Duration) {
	start := end(h)
	h.Spans = append(h.Spans, history.Span{Name: history.SpanChecks, Note: "judge", Start: start, End: start + took})
}
