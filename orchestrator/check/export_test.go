package check

import (
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// Limits is limits for tests.
type Limits struct{ Held, Explained, Fragments, Searched int }

// JudgeWithin is Judge under limits that a small history comes to; a limit of
// zero is the usual one.
func JudgeWithin(sc *scenario.Scenario, h *history.History, want Limits) Verdict {
	within := usualLimits
	for _, limit := range []struct {
		want int
		of   *int
	}{{want.Held, &within.held}, {want.Explained, &within.explained}, {want.Fragments, &within.fragments}, {want.Searched, &within.searched}} {
		if limit.want > 0 {
			*limit.of = limit.want
		}
	}
	return judgeWithin(sc, h, within)
}
