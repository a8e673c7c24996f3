package check

import (
	"fmt"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// decide weighs the results; the package comment says by which rules.
func decide(seen *evidence, results []Result) (Outcome, []string) {
	found := foundReasons(results)
	doubts := doubtReasons(results)

	trouble, interrupted := seen.first(history.Trouble), seen.first(history.Interrupted)
	if interrupted >= 0 && (trouble < 0 || interrupted < trouble) {
		return Interrupted, []string{"the run was interrupted"}
	}
	if trouble >= 0 {
		return Broken, seen.troubles()
	}
	if fails(results) {
		return Failed, append(found, doubts...)
	}
	if len(doubts) > 0 {
		return Inconclusive, append(doubts, found...)
	}
	if !anythingChecked(seen, results) {
		return Inconclusive, []string{"nothing was checked: say under expect what must hold, or under x-killpoint what is true of the system"}
	}
	return Passed, nil
}

// fails says whether the findings are such that they cannot be due to a
// planned fault that never fired.
func fails(results []Result) bool {
	byName := map[string]Result{}
	for _, result := range results {
		byName[result.Check] = result
	}
	faultsFired := byName[CheckFaults].Status == StatusPassed
	for _, check := range checks {
		if byName[check.name].Status != StatusFailed {
			continue
		}
		if faultsFired || check.aboutData && !(check.name == CheckStalled && dataInOrder(byName)) {
			return true
		}
	}
	return false
}

// dataInOrder says whether some check of the data passed and none failed: a
// run that timed out then was waiting for its fault and not for the system.
func dataInOrder(results map[string]Result) bool {
	passed := false
	for _, name := range []string{CheckRows, CheckVerdicts, CheckDrained} {
		switch results[name].Status {
		case StatusFailed, StatusUncomputed:
			return false
		case StatusPassed:
			passed = true
		}
	}
	return passed
}

func anythingChecked(seen *evidence, results []Result) bool {
	for _, result := range results {
		switch {
		case result.Check == CheckFaults || result.Status == StatusOff:
		case result.Check == CheckStalled && seen.facts.Done == nil:
			// Without a word on what done means, the end of the run says nothing.
		default:
			return true
		}
	}
	return false
}

// troubles are the texts of all trouble, in the order in which it came.
func (e *evidence) troubles() []string {
	var texts []string
	for _, event := range e.history.Events {
		if event.Kind == history.Trouble {
			texts = append(texts, event.Text)
		}
	}
	return texts
}

func foundReasons(results []Result) []string {
	var reasons []string
	for _, result := range results {
		for _, finding := range result.Findings {
			reasons = append(reasons, fmt.Sprintf("%s: %s", finding.Kind, finding.Text))
		}
	}
	return reasons
}

func doubtReasons(results []Result) []string {
	var reasons []string
	for _, result := range results {
		if result.Reason == "" || result.Status == StatusOff || result.Status == StatusPassed {
			continue
		}
		if result.Check == CheckFaults {
			reasons = append(reasons, result.Reason)
		} else {
			reasons = append(reasons, fmt.Sprintf("check %s could not be computed: %s", result.Check, result.Reason))
		}
	}
	return reasons
}
