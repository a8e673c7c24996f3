// Package explore crashes a service at every point that there is: it records
// what the service does in an undisturbed run, makes crash points of it, runs
// each, judges, tries again what did not come as planned, and keeps what came
// of it. What a run does is left to a Runner, and what a campaign looks like
// to package report.
//
// # What counts
//
// An outcome counts only when the program was held exactly where the
// recording says: at the same call, on the same file, at the same occurrence,
// with the same bytes at the same offset; and when the checks that ran were
// those of that very run. What came elsewhere is run again, and is then
// inconclusive, with the place where the run left the recording. Operations
// that differ from one undisturbed recording to the next are divergent: they
// are explored too, and what did not come again at them is counted apart.
package explore

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// Runner runs one scenario after the other from a fresh start. It is used by
// one goroutine at a time; runners of one campaign go side by side.
type Runner interface {
	// Trial runs the scenario once. It never gives nil: trouble is an event of
	// the history. With record, every operation of the target is in it, as
	// events of the kind history.Operation.
	Trial(ctx context.Context, sc *scenario.Scenario, record bool) *history.History
	// Close removes what trials shared.
	Close(ctx context.Context) error
}

// try is a trial of which nothing but a history comes, even when the runner
// panics.
func try(ctx context.Context, runner Runner, sc *scenario.Scenario, record bool) *history.History {
	return guarded(func() *history.History { return runner.Trial(ctx, sc, record) })
}

func guarded(trial func() *history.History) (h *history.History) {
	defer func() {
		if reason := recover(); reason != nil {
			err := fmt.Errorf("killpoint itself failed, please report it: panic: %v\n%s", reason, debug.Stack())
			h = &history.History{Events: []history.Event{{Kind: history.Trouble, Text: err.Error()}}}
		}
	}()
	h = trial()
	if h == nil {
		panic(errors.New("a trial gave no history"))
	}
	return h
}
