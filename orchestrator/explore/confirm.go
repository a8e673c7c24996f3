package explore

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// Confirmation is what came of a failing point when it was run alone, with a
// kill of the container, in fresh containers.
type Confirmation struct {
	Point    string `json:"point"`
	Failures int    `json:"failures"`
	Attempts int    `json:"attempts"`
	// Report is the folder in which a failing run is, below the campaign's.
	Report string `json:"report,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// failure is a failing point.
type failure struct {
	item    Item
	text    string
	outcome Outcome
}

// before puts failures into the order in which a person wants to see them:
// fewest crashes, earliest operation, smallest tear.
func (f *failure) before(other *failure) int {
	one, two := f.item.Steps, other.item.Steps
	last, otherLast := &one[len(one)-1], &two[len(two)-1]
	return cmp.Or(
		cmp.Compare(len(one), len(two)),
		cmp.Compare(one[0].Operation.Incarnation, two[0].Operation.Incarnation),
		cmp.Compare(one[0].Operation.Index, two[0].Operation.Index),
		cmp.Compare(last.Operation.Index, otherLast.Operation.Index),
		cmp.Compare(slices.Index(timings[:], last.Timing), slices.Index(timings[:], otherLast.Timing)),
		cmp.Compare(last.Kept, otherLast.Kept),
		strings.Compare(f.text, other.text),
	)
}

// kind tells failures apart that are likely to have different causes.
func (f *failure) kind() string {
	last := &f.item.Steps[len(f.item.Steps)-1]
	return fmt.Sprint(f.outcome.Kinds(), len(f.item.Steps), last.Operation.Operation, last.Timing)
}

// failures gives one failure of each kind, that which is to be shown first at
// the beginning. Those that came each time come before the others.
func (c *Campaign) failures() ([]failure, error) {
	first := map[string]failure{}
	for _, one := range c.legs {
		for i, number := range one.chosen {
			if one.results[i].Status() != Failed {
				continue
			}
			entry, err := c.journal.At(one.results[i].at)
			if err != nil {
				return nil, err
			}
			found := failure{item: one.plan.Item(number), text: one.plan.Text(number), outcome: *entry.Outcome}
			known, there := first[found.kind()]
			if !there || found.compare(&known) < 0 {
				first[found.kind()] = found
			}
		}
	}
	all := make([]failure, 0, len(first))
	for _, one := range first {
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b failure) int { return a.compare(&b) })
	return all, nil
}

func (f *failure) compare(other *failure) int {
	flaky := func(f *failure) int { return f.outcome.Attempts - f.outcome.Failures }
	return cmp.Or(cmp.Compare(min(flaky(f), 1), min(flaky(other), 1)), f.before(other))
}

// settle confirms failures and makes the first one smaller.
func (c *Campaign) settle(ctx context.Context) error {
	failures, err := c.failures()
	if err != nil || len(failures) == 0 || c.Afresh == nil {
		return err
	}
	c.Watcher.Phase("confirming what failed, in fresh containers")
	if err := c.confirm(ctx, failures[:min(len(failures), c.Confirm)]); err != nil || ctx.Err() != nil {
		return err
	}
	if c.smallest != nil || c.AsFound {
		return nil
	}
	c.Watcher.Phase("looking for the least that still fails")
	return c.minimise(ctx, &failures[0])
}

// confirm runs failures alone in fresh containers.
func (c *Campaign) confirm(ctx context.Context, failures []failure) error {
	var runner Runner
	var trials *Trials
	for i := range failures {
		if _, known := c.confirmations[failures[i].text]; known {
			continue
		}
		if runner == nil {
			opened, sc, err := c.Afresh(ctx, nil)
			if err != nil {
				return fmt.Errorf("confirm %s: %w", failures[i].text, err)
			}
			defer c.closeRunner(ctx, opened)
			runner, trials = opened, &Trials{Scenario: sc, Target: c.Target, Judge: c.Judge}
		}
		confirmed := c.confirmOne(ctx, runner, trials, &failures[i])
		if ctx.Err() != nil {
			return nil
		}
		if _, err := c.journal.Add(Entry{Confirmation: &confirmed}); err != nil {
			return err
		}
		c.confirmations[confirmed.Point] = confirmed
	}
	return nil
}

func (c *Campaign) closeRunner(ctx context.Context, runner Runner) {
	if err := runner.Close(context.WithoutCancel(ctx)); err != nil {
		c.warn("%v", err)
	}
}

// confirmOne runs a failing item in fresh containers, and again where it does
// not fail there: what fails now and then is told by how often.
func (c *Campaign) confirmOne(ctx context.Context, runner Runner, trials *Trials, f *failure) Confirmation {
	confirmed := Confirmation{Point: f.text}
	folder := filepath.Join(runsFolder, fmt.Sprintf("%016x", lot(0, f.text)))
	keeping := *trials
	keeping.Repeat, keeping.Tries = 1, 2
	keeping.Keep = func(sc *scenario.Scenario, h *history.History, verdict check.Verdict) {
		if verdict.Outcome == check.Failed && confirmed.Report == "" && c.Keep != nil {
			if err := c.Keep(filepath.Join(c.Folder, folder), c.Replay(f.text), sc, h, verdict); err != nil {
				c.warn("%v", err)
				return
			}
			confirmed.Report = folder
		}
	}
	for range DefaultRepeat {
		outcome, err := keeping.Run(ctx, runner, f.item)
		if err != nil {
			break
		}
		confirmed.Failures += outcome.Failures
		confirmed.Reason = outcome.Reason
		if outcome.Status == Failed || outcome.Status == Survived {
			confirmed.Attempts += outcome.Attempts
		}
		if outcome.Status == Failed && outcome.Reason == "" {
			break // as planned
		}
	}
	return confirmed
}
