package trigger

import (
	"context"
	"fmt"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// after comes a fixed time after it was armed, which is when the system was
// up or when the fault before it fired.
type after struct {
	delay    time.Duration
	armed    time.Duration
	target   string
	timer    *time.Timer
	recorder *history.Recorder
}

func armAfter(when scenario.When, target string, recorder *history.Recorder) *after {
	delay := time.Duration(*when.After)
	return &after{delay: delay, armed: recorder.Now(), target: target, timer: time.NewTimer(delay), recorder: recorder}
}

func (a *after) Wait(ctx context.Context) (Match, error) {
	select {
	case <-a.timer.C:
		return Match{At: a.recorder.Now(), Service: a.target, Text: fmt.Sprintf("%s had passed", a.delay)}, nil
	case <-ctx.Done():
		return Match{}, ctx.Err()
	}
}

func (a *after) Came() bool { return a.recorder.Now()-a.armed >= a.delay }

func (a *after) Seen() string {
	return fmt.Sprintf("%s of %s had passed", (a.recorder.Now() - a.armed).Round(time.Millisecond), a.delay)
}

func (a *after) Disarm() { a.timer.Stop() }
