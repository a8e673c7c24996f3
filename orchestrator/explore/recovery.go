package explore

import (
	"context"
	"errors"
	"fmt"
)

// Bounds on crashes during recovery.
const (
	// recoveryLimit is how many operations of a recovery are looked at, at
	// most.
	recoveryLimit = 100
	// pairsEach is how many points are taken in each recovery.
	pairsEach = 4
)

// Recovery is what a service did after the crash at a first point, until it
// had recovered: see recoveryOf.
type Recovery struct {
	First      string     `json:"first"`
	Steps      []Step     `json:"steps"`
	Recording  Recording  `json:"recording"`
	Divergence Divergence `json:"divergence"`
}

// recoveryOf cuts the recovery out of a recording: the operations from the
// crash to the first message that is handed on or acknowledged, with which the
// service is at work again. Where none comes, it is the first hundred.
func recoveryOf(recording *Recording) Recording {
	operations := recording.Operations[min(recording.From, len(recording.Operations)):]
	for i := range operations {
		if i+1 == recoveryLimit || operations[i].isAMQP() {
			// One more says how much is not synced behind the last.
			return Recording{Operations: operations[:min(i+2, len(operations))]}
		}
	}
	return Recording{Operations: operations}
}

// length is how many of a recovery's operations are points.
func (r *Recovery) length() int {
	for i := range r.Recording.Operations {
		if r.Recording.Operations[i].isAMQP() {
			return i + 1
		}
	}
	return min(len(r.Recording.Operations), recoveryLimit)
}

// pairs is how many points in recoveries the campaign takes, at most.
func (c *Campaign) pairs() int {
	pairs := c.Pairs
	if pairs == 0 {
		pairs = DefaultPairs
	}
	if c.Most > 0 {
		pairs = min(pairs, c.Most)
	}
	return pairs
}

// firsts draws the first points of which the recoveries are explored: the same
// in each shard, of which each takes its own.
func (c *Campaign) firsts() []int {
	plan := c.legs[0].plan
	order := spread(c.Seed+1, plan.Len(), plan.kinds, plan.Text)
	order = order[:min(len(order), (c.pairs()+pairsEach-1)/pairsEach)]
	var own []int
	for _, number := range order {
		if c.Shard.Has(plan.Text(number)) {
			own = append(own, number)
		}
	}
	return own
}

// exploreRecoveries crashes the target again while it recovers from some of
// the first points. Each recovery is recorded before its points are planned.
func (c *Campaign) exploreRecoveries(ctx context.Context) error {
	c.Watcher.Phase("recording recoveries of " + c.Target)
	var items []Item
	for _, number := range c.firsts() {
		plan := c.legs[0].plan
		if c.recoveries[plan.Text(number)] != nil || c.failedFirst(plan.Text(number)) {
			continue
		}
		for again := range c.Recordings {
			item := plan.Item(number)
			item.Record, item.Number = true, again
			items = append(items, item)
		}
	}
	if err := c.recordRecoveries(ctx, items); err != nil || ctx.Err() != nil {
		return err
	}
	if len(c.legs) == 1 {
		c.warn("no recovery could be explored: none of its recordings came as planned, or the service does nothing in it")
	}
	c.progress.Total = len(c.legs[0].chosen)
	for _, one := range c.legs[1:] {
		c.progress.Total += len(one.chosen)
	}
	c.Watcher.Phase("crashing " + c.Target + " again while it recovers")
	return c.runLegs(ctx, c.legs[1:], c.deadline)
}

// failedFirst says whether a first point failed already: with another crash
// behind it, it proves nothing new.
func (c *Campaign) failedFirst(text string) bool {
	where, known := c.places[lot(0, text)]
	return known && c.legs[where.leg].results[where.number].Status() == Failed
}

// recordRecoveries records what comes after first points, and plans the points
// in it. A first point that fails, or does not come as planned, is left out.
func (c *Campaign) recordRecoveries(ctx context.Context, items []Item) error {
	if len(items) == 0 || c.isOver(c.deadline) {
		return nil
	}
	recordings := map[string][]Recording{}
	lost := 0
	err := c.work(ctx, items, func(item Item, outcome Outcome) {
		if outcome.Status == Survived && outcome.Recording != nil {
			recordings[outcome.Point] = append(recordings[outcome.Point], recoveryOf(outcome.Recording))
		} else {
			lost++
		}
	})
	if err != nil || ctx.Err() != nil {
		return err
	}
	if lost > 0 {
		c.warn("%s of recoveries did not come to what was planned", plural(lost, "recording"))
	}
	// In the order of the items, so that the journal is the same each time.
	for _, item := range items {
		text := item.Text(c.Target)
		if item.Number > 0 || len(recordings[text]) < c.Recordings {
			continue
		}
		merged, divergence := Merge(recordings[text], c.matters(recordings[text]))
		recovery := &Recovery{First: text, Steps: item.Steps, Recording: merged, Divergence: divergence}
		if _, err := c.journal.Add(Entry{Recovery: recovery}); err != nil {
			return err
		}
		c.recoveries[text] = recovery
		c.planRecovery(recovery)
	}
	return nil
}

// planRecovery plans the points of a recovery. One without any is left out: a
// service may have nothing to do until it is at work again.
func (c *Campaign) planRecovery(recovery *Recovery) {
	plan, err := NewPlan(c.rules(), recovery.Steps, recovery.Recording, recovery.length())
	if errors.Is(err, ErrNoPoints) {
		return
	}
	c.addLeg(plan, plan.Chosen(pairsEach, Shard{}))
}

func (c *Campaign) warn(format string, values ...any) {
	text := fmt.Sprintf(format, values...)
	c.warnings = append(c.warnings, text)
	c.Watcher.Note(text)
}
