package explore

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// Smallest is the least that still fails, as far as it was looked for.
type Smallest struct {
	Point string `json:"point"`
	// Index is the place of its operation in the recording.
	Index int `json:"index"`
	// Env is what is set besides the campaign's own variables.
	Env []string `json:"env,omitempty"`
	// Text says what was left out and what remained.
	Text string `json:"text"`
	// Confirmed says that it failed in fresh containers, and Report where that
	// run is, below the campaign's folder.
	Confirmed bool   `json:"confirmed"`
	Report    string `json:"report,omitempty"`
	// Trials is how many it took to find it.
	Trials int `json:"trials"`
}

// Bounds on the search for the smallest failure. Each step tries a few things,
// from the least on, and takes the first that fails.
const (
	earlierLimit = 12 // earlier calls of the same kind
	tearLimit    = 12
	shrinkLimit  = 6
)

// minimise looks for the least that still fails: an earlier call of the same
// kind, a smaller tear, and less work. Fewer crashes are looked for first of
// all: a failure of one crash is always shown before one of two.
func (c *Campaign) minimise(ctx context.Context, f *failure) error {
	m := &minimiser{campaign: c, best: f.item}
	if err := m.earlier(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	if err := m.tear(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	if err := m.shrink(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	if _, known := c.confirmations[m.best.Text(c.Target)]; !known && !m.confirmed {
		if _, err := m.failsAfresh(ctx, nil); err != nil || ctx.Err() != nil {
			return err
		}
	}
	found := m.result()
	c.smallest = &found
	_, err := c.journal.Add(Entry{Smallest: &found})
	return err
}

// minimiser is one search.
type minimiser struct {
	campaign *Campaign
	best     Item
	trials   int
	notes    []string // what was made smaller

	env       map[string]string // with which it still fails
	confirmed bool
	report    string
}

// firstFailing runs items on the campaign's worker, all of them, and gives the
// first that fails each time; -1 when none does.
func (m *minimiser) firstFailing(ctx context.Context, items []Item) (int, error) {
	c := m.campaign
	failed := map[string]bool{}
	err := c.work(ctx, items, func(_ Item, outcome Outcome) {
		m.trials += outcome.Attempts
		failed[outcome.Point] = outcome.Status == Failed && outcome.Failures == outcome.Attempts && outcome.Reason == ""
	})
	if err != nil {
		return -1, fmt.Errorf("make a failure smaller: %w", err)
	}
	return slices.IndexFunc(items, func(item Item) bool { return failed[item.Text(c.Target)] }), nil
}

func (m *minimiser) last() *Step { return &m.best.Steps[len(m.best.Steps)-1] }

// with is the best item with another last crash.
func (m *minimiser) with(last Step) Item {
	steps := slices.Clone(m.best.Steps)
	steps[len(steps)-1] = last
	return Item{Steps: steps}
}

// earlier tries earlier calls of the same kind on the same file or queue that
// the campaign did not run: it may have run only some.
func (m *minimiser) earlier(ctx context.Context) error {
	leg := m.leg()
	if leg == nil {
		return nil
	}
	last := m.last()
	ran := map[int]bool{}
	for i, number := range leg.chosen {
		ran[number] = leg.results[i].status != 0
	}
	var items []Item
	for number := range leg.plan.Len() {
		step := leg.plan.step(number)
		same := step.Operation.Operation == last.Operation.Operation && step.Operation.Object() == last.Operation.Object() &&
			step.Timing == last.Timing && step.Lose == last.Lose && isTornAlike(&step, last)
		if same && !ran[number] && step.Operation.isBefore(&last.Operation) {
			items = append(items, m.with(step))
		}
	}
	items = items[:min(len(items), earlierLimit)]
	found, err := m.firstFailing(ctx, items)
	if found >= 0 {
		was := last.Operation.Occurrence
		m.best = items[found]
		m.notes = append(m.notes, fmt.Sprintf("%s %d instead of %d", m.last().Operation.Operation, m.last().Operation.Occurrence, was))
	}
	return err
}

// isTornAlike says whether two tears keep the same part of their writes.
func isTornAlike(one, two *Step) bool {
	if one.Timing != during {
		return true
	}
	part := func(s *Step) int {
		switch s.Kept {
		case 1:
			return 0
		case s.Operation.Size - 1:
			return 2
		}
		return 1
	}
	return part(one) == part(two)
}

// leg is the leg that the best item is of.
func (m *minimiser) leg() *leg {
	where, known := m.campaign.places[lot(0, m.best.Text(m.campaign.Target))]
	if !known {
		return nil
	}
	return m.campaign.legs[where.leg]
}

// tear tries to keep fewer bytes of a torn write.
func (m *minimiser) tear(ctx context.Context) error {
	last := *m.last()
	if last.Timing != during {
		return nil
	}
	var items []Item
	for kept, step := int64(1), int64(1); kept < last.Kept && len(items) < tearLimit; kept += step {
		torn := last
		torn.Kept = kept
		items = append(items, m.with(torn))
		if kept >= 4 {
			step = kept // 1, 2, 3, 4, 8, 16, …
		}
	}
	found, err := m.firstFailing(ctx, items)
	if found >= 0 {
		m.best = items[found]
		m.notes = append(m.notes, fmt.Sprintf("%s kept instead of %s", plural(int(m.last().Kept), "byte"), plural(int(last.Kept), "byte")))
	}
	return err
}

// shrink tries the same crash with less work, in fresh containers: from the
// least on, until it fails.
func (m *minimiser) shrink(ctx context.Context) error {
	c := m.campaign
	facts := c.Scenario.Facts
	if facts == nil || facts.Explore == nil || facts.Explore.Shrink == "" {
		return nil
	}
	name := facts.Explore.Shrink
	most, known := c.Work[name]
	for _, amount := range amounts(most, known) {
		env := map[string]string{name: strconv.Itoa(amount)}
		fails, err := m.failsAfresh(ctx, env)
		if err != nil || ctx.Err() != nil {
			return err
		}
		if fails {
			m.env = env
			note := fmt.Sprintf("%s=%d", name, amount)
			if known {
				note += fmt.Sprintf(" instead of %d", most)
			}
			m.notes = append(m.notes, note)
			return nil
		}
	}
	return nil
}

// amounts are those that are tried instead of most, the least first.
func amounts(most int, known bool) []int {
	var all []int
	for one, next := 1, 2; len(all) < shrinkLimit && (!known || one < most); one, next = next, one+next {
		all = append(all, one)
	}
	return all
}

// failsAfresh runs the best item once in fresh containers with other
// variables. That its bytes are not those that were recorded is not looked at:
// with less work they may be others.
func (m *minimiser) failsAfresh(ctx context.Context, env map[string]string) (fails bool, err error) {
	c := m.campaign
	runner, sc, err := c.Afresh(ctx, env)
	if err != nil {
		return false, fmt.Errorf("make a failure smaller: %w", err)
	}
	defer c.closeRunner(ctx, runner)
	trials := &Trials{Scenario: sc, Target: c.Target, Judge: c.Judge, Repeat: 1, Tries: 1, Loose: true}
	trials.Keep = func(sc *scenario.Scenario, h *history.History, verdict check.Verdict) {
		if verdict.Outcome != check.Failed || c.Keep == nil {
			return
		}
		folder := filepath.Join(runsFolder, "smallest")
		if err := c.Keep(filepath.Join(c.Folder, folder), c.Replay(m.best.Text(c.Target), assigned(env)...), sc, h, verdict); err != nil {
			c.warn("%v", err)
			return
		}
		m.report = folder
	}
	outcome, err := trials.Run(ctx, runner, m.best)
	m.trials++
	if err != nil {
		return false, nil // the context's
	}
	fails = outcome.Status == Failed && outcome.Reason == ""
	m.confirmed = m.confirmed || fails
	return fails, nil
}

// assigned gives variables as NAME=VALUE.
func assigned(env map[string]string) []string {
	var entries []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		entries = append(entries, name+"="+env[name])
	}
	return entries
}

// result says what was found.
func (m *minimiser) result() Smallest {
	c := m.campaign
	text := m.best.Text(c.Target)
	found := Smallest{
		Point: text, Index: m.last().Operation.Index, Env: assigned(m.env), Confirmed: m.confirmed, Report: m.report, Trials: m.trials,
	}
	if known := c.confirmations[text]; known.Failures > 0 && m.report == "" {
		found.Confirmed, found.Report = known.Failures == known.Attempts, known.Report
	}
	found.Text = plural(len(m.best.Steps), "crash")
	if len(m.notes) > 0 {
		found.Text += ", " + strings.Join(m.notes, ", ")
	}
	return found
}
