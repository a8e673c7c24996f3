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
	// Came says whether the match is there, whoever has waited for it.
	Came() bool
	// Seen says in words how near the trigger has come, for a run that ends
	// before it does: "matched 3 of 5 times in incarnation 1".
	Seen() string
	// Disarm stops watching.
	Disarm()
}

// Spent is what earlier repetitions of one fault have used up: the number of
// matches in each incarnation that must not count again.
type Spent map[int]int

// Fault is what a trigger must know of the fault that it is for.
type Fault struct {
	Number  int // as in the history
	Service string
	// Spent is kept by the caller between the repetitions of one fault.
	Spent Spent
	// Over is the newest life of the watched service that has ended. What it
	// had logged may still be on its way, and comes too late.
	Over int
	// Points is the interposer of the service; nil where no crash point is
	// planned for it.
	Points Points
}

// Arm starts watching for the trigger of a fault.
func Arm(when scenario.When, of Fault, recorder *history.Recorder) (Armed, error) {
	switch {
	case when.Kind == scenario.After:
		return armAfter(when, of.Service, recorder), nil
	case when.Kind == scenario.Log:
		return armLog(when, of, recorder), nil
	case when.IsCrashPoint() && of.Points != nil:
		return armCrashPoint(of.Points, of.Number)
	}
	return nil, fmt.Errorf("arm trigger %q: no such kind", when.Kind)
}
