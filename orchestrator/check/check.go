// Package check says what a run's history means. Each check is a pure
// function of a scenario and a history and yields findings; Judge runs them
// all and decides the outcome. It talks to no container and no broker, so
// that a saved history can be judged again, and it prints nothing: how a
// verdict is shown is left to package report.
//
// # Outcomes
//
// Broken comes first: with trouble of the tool's own, missing rows prove
// nothing. What was found up to then is listed all the same. Interrupted
// comes next (and before it, when the interruption was the earlier of the
// two: what fails during a clean-up is no trouble of its own).
//
// Then the findings. Those about data (rows, verdicts, queues that are not
// drained, files that a restart changes, a system that never gets done) fail
// a run whether or not the planned faults fired: a system that loses rows
// undisturbed is no better. Those about what a scenario merely expects to
// see (logs, exit codes, commands) fail it only when every planned fault
// fired in time; otherwise they may be due to the fault that never came, and
// the run is inconclusive. For the same reason a run that timed out while it
// waited for a fault, with all of its data in order, is inconclusive and not
// stalled.
//
// A run is inconclusive as well when a check could not be computed, and when
// there was nothing to check. A check that did not run is never passed.
package check

import (
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// Kind is what a finding is about.
type Kind string

// The kinds of finding.
const (
	Lost       Kind = "lost"
	Duplicated Kind = "duplicated"
	Misplaced  Kind = "misplaced"  // in the wrong partition
	Unexpected Kind = "unexpected" // never sent
	Torn       Kind = "torn"
	Reordered  Kind = "reordered"
	Stalled    Kind = "stalled"  // the system never finished
	Violated   Kind = "violated" // an expectation of the scenario
)

// Outcome is what a run comes to.
type Outcome string

// The outcomes of a run.
const (
	Passed       Outcome = "passed"
	Failed       Outcome = "failed"
	Inconclusive Outcome = "inconclusive"
	Broken       Outcome = "broken"
	Interrupted  Outcome = "interrupted"
)

// NoPartition stands for a partition where there is none: the system has no
// partitions, or the row or file belongs to none.
const NoPartition = -1

// maxNamed bounds how many rows a finding names; Count says how many there are.
const maxNamed = 20

// Row is one row that a finding names.
type Row struct {
	Chunk     string `json:"chunk,omitempty"`
	Partition int    `json:"partition"`      // where it stands; where it should, when it is lost; NoPartition
	Text      string `json:"text"`           // as it stands in the file; as it was sent, when it is lost
	File      string `json:"file,omitempty"` // path in the container
	Line      int    `json:"line,omitempty"` // from 1; 0 when it is in no file
	Expected  int    `json:"expected"`       // the partition where it belongs; NoPartition
}

// Finding is one thing that is wrong.
type Finding struct {
	Check string `json:"check"`
	Kind  Kind   `json:"kind"`
	Text  string `json:"text"`            // a sentence that a person can act on
	Rows  []Row  `json:"rows,omitempty"`  // the first 20 of them
	Count int    `json:"count,omitempty"` // how many rows in all

	Service  string            `json:"service,omitempty"`
	At       time.Duration     `json:"at,omitempty"`
	Position scenario.Position `json:"position"` // the scenario's own line, where one is to blame
}

// Status says what became of a check.
type Status string

// What becomes of a check.
const (
	StatusPassed     Status = "passed"
	StatusFailed     Status = "failed"
	StatusUncomputed Status = "uncomputed" // Reason says why
	StatusOff        Status = "off"
)

// Result is what one check came to.
type Result struct {
	Check    string    `json:"check"`
	Status   Status    `json:"status"`
	Reason   string    `json:"reason,omitempty"`
	Findings []Finding `json:"findings,omitempty"`
	Detail   string    `json:"detail,omitempty"` // what a passed check saw, such as "1,000 rows in 5 files"
}

// Verdict is what a whole run came to.
type Verdict struct {
	Outcome Outcome  `json:"outcome"`
	Reasons []string `json:"reasons,omitempty"` // why it is not passed, the weightiest first
	Results []Result `json:"results"`
}

// Findings gives those of every check, in the order of the results.
func (v Verdict) Findings() []Finding {
	var all []Finding
	for _, result := range v.Results {
		all = append(all, result.Findings...)
	}
	return all
}

// The names of the checks, as results and findings carry them.
const (
	CheckFaults   = "faults"
	CheckStalled  = "stalled"
	CheckRows     = "rows"
	CheckVerdicts = "verdicts"
	CheckDrained  = "drained"
	CheckLogs     = "logs"
	CheckRun      = "run"
	CheckStable   = "stable"
	CheckExits    = "exits"
)

// checks is every check, each once, in the order in which results are listed.
var checks = []struct {
	name string
	// aboutData: its findings fail a run even when a planned fault never fired.
	aboutData bool
	judge     func(*evidence) Result
}{
	{CheckFaults, false, checkFaults},
	{CheckStalled, true, checkStalled},
	{CheckRows, true, checkRows},
	{CheckVerdicts, true, checkVerdicts},
	{CheckDrained, true, checkDrained},
	{CheckLogs, false, checkLogs},
	{CheckRun, false, checkRun},
	{CheckStable, true, checkStable},
	{CheckExits, false, checkExits},
}

// Judge computes every check of a bound scenario over a history and decides
// the outcome. It reads the collected files; it changes nothing.
func Judge(sc *scenario.Scenario, h *history.History) Verdict {
	return judgeWithin(sc, h, usualLimits)
}

func judgeWithin(sc *scenario.Scenario, h *history.History, limits limits) Verdict {
	seen := newEvidence(sc, h)
	seen.limits = limits
	defer seen.close()
	var verdict Verdict
	for _, check := range checks {
		result := check.judge(seen)
		result.Check = check.name
		for i := range result.Findings {
			result.Findings[i].Check = check.name
		}
		if len(result.Findings) > 0 {
			result.Status = StatusFailed
		}
		verdict.Results = append(verdict.Results, result)
	}
	verdict.Outcome, verdict.Reasons = decide(seen, verdict.Results)
	return verdict
}

func off() Result { return Result{Status: StatusOff} }

func uncomputed(reason string) Result {
	return Result{Status: StatusUncomputed, Reason: reason}
}

// conclude makes a result of findings and of what could not be computed:
// findings outweigh, since one that is certain stays so.
func conclude(findings []Finding, missing []string, detail string) Result {
	result := Result{Status: StatusPassed, Findings: findings, Reason: joinReasons(missing)}
	switch {
	case len(findings) > 0:
		result.Status = StatusFailed
	case len(missing) > 0:
		result.Status = StatusUncomputed
	default:
		result.Detail = detail
	}
	return result
}
