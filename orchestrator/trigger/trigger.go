// Package trigger waits for the moment at which a planned fault is due. One
// file per kind of trigger; each watches the history of the run, so that it
// sees exactly what is recorded, in the order in which it is recorded.
//
//	scenario.When ── Arm ──▶ Armed ── Wait ──▶ Match ──▶ the fault
//
// It only says when; what is done then is package fault's.
package trigger

import (
	"context"
	"fmt"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// Match is the event on which a trigger came.
type Match struct {
	At          time.Duration
	Service     string
	Incarnation int
	Text        string // what matched, in words
}

// Armed is a trigger that is watching.
type Armed interface {
	// Wait gives the match, or the context's error.
	Wait(ctx context.Context) (Match, error)
	// Seen says in words how near the trigger has come, for a run that ends
	// before it does: "matched 3 of 5 times in incarnation 1".
	Seen() string
	// Disarm stops watching.
	Disarm()
}

// Spent is what earlier repetitions of one fault have used up: the number of
// matches in each incarnation that must not count again.
type Spent map[int]int

// Arm starts watching for the trigger of a fault that is done to target.
// Spent belongs to that fault and is kept by the caller between its
// repetitions.
func Arm(when scenario.When, target string, spent Spent, recorder *history.Recorder) (Armed, error) {
	switch when.Kind {
	case scenario.After:
		return armAfter(when, target, recorder), nil
	case scenario.Log:
		return armLog(when, target, spent, recorder), nil
	}
	return nil, fmt.Errorf("arm trigger %q: no such kind", when.Kind)
}
