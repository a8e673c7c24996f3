package explore

import (
	"context"
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// Undisturbed makes a bound scenario into the one that a campaign crashes a
// service of. Its own faults stay, and so does what it expects of the data.
// What it expects of logs, and of how the target exits, describes the run
// without crashes and is left out, unless it is kept. A crash may come after
// the last unit of work: that is a point like any other.
func (s Settings) Undisturbed(sc *scenario.Scenario) *scenario.Scenario {
	undisturbed := *sc
	undisturbed.Idle = true
	if !s.KeepLogs {
		undisturbed.Expect.Logs = nil
		undisturbed.Expect.Exits = maps.Clone(sc.Expect.Exits)
		delete(undisturbed.Expect.Exits, s.Target)
	}
	if s.Chain {
		undisturbed.Chain = &scenario.Chain{Service: s.Target}
	}
	return &undisturbed
}

// LeftOut says what Undisturbed leaves out; empty when nothing.
func LeftOut(sc *scenario.Scenario, target string) string {
	var parts []string
	if count := len(sc.Expect.Logs); count > 0 {
		parts = append(parts, plural(count, "expectation")+" on log lines")
	}
	if _, there := sc.Expect.Exits[target]; there {
		parts = append(parts, "the exit code of "+target)
	}
	return strings.Join(parts, " and ")
}

// Bounds on how often an item is run.
const (
	// DefaultRepeat is how many attempts an item gets once it has failed.
	DefaultRepeat = 3
	// DefaultTries is how often an item is run without coming to a verdict.
	DefaultTries = 3
)

// Trials runs items and judges them. Its fields are not changed while it does;
// it may be used by several goroutines, each with a Runner of its own.
type Trials struct {
	// Scenario is the undisturbed one.
	Scenario *scenario.Scenario
	Target   string
	Judge    func(*scenario.Scenario, *history.History) check.Verdict // nil: check.Judge
	Repeat   int                                                      // 0: DefaultRepeat
	Tries    int                                                      // 0: DefaultTries
	// Recording is the undisturbed one; with it, the place is found at which
	// a run leaves it.
	Recording *Recording
	// Loose lets a crash count that came at the right call, whatever bytes it
	// carried.
	Loose bool
	// enough says that no item is to begin any more that was taken and not begun;
	// nil: all that were taken are to be run.
	enough func() bool
	// Keep is given each run before its files are removed, where it is not nil.
	Keep func(*scenario.Scenario, *history.History, check.Verdict)
}

// with is the scenario with the crashes of an item behind its own faults.
func (t *Trials) with(item *Item) *scenario.Scenario {
	sc := *t.Scenario
	sc.Faults = append(slices.Clip(slices.Clone(sc.Faults)), item.Sequence(t.Target).Kills()...)
	if sc.Chain != nil && !item.Record {
		sc.Chain = &scenario.Chain{Service: sc.Chain.Service, Units: item.unit()}
	}
	return &sc
}

// faults is how many faults the scenario has of its own, every repetition by
// itself, as histories number them.
func (t *Trials) faults() int {
	number := 0
	for _, fault := range t.Scenario.Faults {
		number += max(fault.Times, 1)
	}
	return number
}

// attempt is what one trial came to.
type attempt struct {
	verdict check.Outcome
	// placed says that every crash came where it was planned, and was done.
	placed    bool
	elsewhere bool // a crash came at another place, with other changes to lose, or not at all
	reason    string
	findings  []check.Finding
	recording Recording
	meta      history.Meta
}

// Run runs an item until there is a verdict that counts: once when it passes,
// several times when it fails, to see how often. What comes elsewhere than
// planned, or to no verdict, is run again a few times. The error is that of
// the context, and there is no outcome then.
func (t *Trials) Run(ctx context.Context, runner Runner, item Item) (Outcome, error) {
	return t.runAfter(ctx, runner, item, nil)
}

// runAfter is Run of an item that was tried once already, where earlier is not
// nil.
func (t *Trials) runAfter(ctx context.Context, runner Runner, item Item, earlier *attempt) (Outcome, error) {
	began := time.Now()
	repeat, tries := t.Repeat, t.Tries
	if repeat == 0 {
		repeat = DefaultRepeat
	}
	if tries == 0 {
		tries = DefaultTries
	}
	outcome := Outcome{Point: item.Text(t.Target), Number: item.Number}
	var all tally
	if earlier != nil {
		all.add(&outcome, *earlier)
	}
	for all.uncounted < tries && (all.counted == 0 || outcome.Failures > 0 && all.counted < repeat) {
		// The last try says where the run leaves the recording.
		explain := !item.Record && t.Recording != nil && all.uncounted == tries-1
		one := t.attempt(ctx, runner, &item, item.Record || explain)
		if ctx.Err() != nil {
			return Outcome{}, ctx.Err()
		}
		if explain && !one.placed && one.verdict != check.Broken {
			one.reason += t.parting(one.recording)
		}
		all.add(&outcome, one)
		if item.Record && one.placed {
			outcome.Recording, outcome.Meta = &one.recording, &one.meta
		}
	}
	outcome.Status = all.status(&outcome, item.divergent() || t.Recording != nil && t.Recording.Varies)
	outcome.Seconds = time.Since(began).Seconds()
	return outcome, nil
}

// tally is what the trials of one item came to.
type tally struct {
	counted   int // came as planned, to a verdict
	uncounted int
	broken    int  // of uncounted
	elsewhere int  // of uncounted: did not come as planned
	stray     int  // of elsewhere: failed
	placed    bool // the findings kept are of a failure that came as planned
}

func (a *tally) add(outcome *Outcome, one attempt) {
	failed := one.verdict == check.Failed
	if failed {
		outcome.Failures++
		if outcome.Findings == nil || one.placed && !a.placed {
			outcome.Findings, a.placed = shortened(one.findings), one.placed
		}
	}
	if one.placed && (failed || one.verdict == check.Passed) {
		a.counted++
		return
	}
	a.uncounted++
	if one.verdict == check.Broken {
		a.broken++
	}
	if one.elsewhere {
		a.elsewhere++
	}
	if failed {
		a.stray++
	}
	if failed || a.stray == 0 {
		outcome.Reason = one.reason
	}
}

// status sets what the outcome says of the trials as a whole.
// divergent says that it was known that the item might not come as planned.
func (a *tally) status(outcome *Outcome, divergent bool) Status {
	outcome.Attempts = a.counted + a.stray
	if a.stray == 0 && a.counted > 0 {
		outcome.Reason = "" // what was tried in vain before does not matter
	}
	switch {
	case outcome.Failures > 0:
		return Failed // a finding is never dropped, wherever it came
	case a.counted > 0:
		return Survived
	}
	outcome.Attempts = a.uncounted
	switch {
	case a.broken == a.uncounted:
		return Broken
	case divergent && a.elsewhere > 0 && a.elsewhere+a.broken == a.uncounted:
		return Diverged
	}
	return Inconclusive
}

// attempt runs and judges an item once.
func (t *Trials) attempt(ctx context.Context, runner Runner, item *Item, record bool) attempt {
	sc := t.with(item)
	h := try(ctx, runner, sc, record)
	if h.Dir != "" {
		defer os.RemoveAll(h.Dir)
	}
	return t.judged(sc, item, h, record, t.faults())
}

// judged is what a history comes to, in which so many faults come before those
// of the item.
func (t *Trials) judged(sc *scenario.Scenario, item *Item, h *history.History, record bool, before int) attempt {
	verdict := t.judge(sc, h)
	one := attempt{verdict: verdict.Outcome, findings: verdict.Findings(), meta: h.Meta}
	if t.Keep != nil {
		t.Keep(sc, h, verdict)
	}
	if record {
		one.recording = Recorded(h, t.Target, before+len(item.Steps))
	}
	if verdict.Outcome == check.Broken || verdict.Outcome == check.Interrupted {
		one.reason = strings.Join(verdict.Reasons, "; ")
		return one
	}
	one.reason = t.elsewhere(item, h, before)
	if one.reason == "" {
		one.reason = doubt(verdict)
	}
	one.placed = one.reason == ""
	one.elsewhere = !one.placed
	if verdict.Outcome == check.Inconclusive && one.reason == "" {
		one.reason = strings.Join(verdict.Reasons, "; ")
		one.placed = false
	}
	one.reason = clipped(one.reason)
	return one
}

func (t *Trials) judge(sc *scenario.Scenario, h *history.History) (verdict check.Verdict) {
	defer func() {
		if reason := recover(); reason != nil {
			verdict = check.Verdict{Outcome: check.Broken, Reasons: []string{
				fmt.Sprintf("killpoint itself failed, please report it: panic: %v\n%s", reason, debug.Stack()),
			}}
		}
	}()
	if t.Judge != nil {
		return t.Judge(sc, h)
	}
	return check.Judge(sc, h)
}

// doubt is what the check of the faults says against a run; "" when each came
// and was done as planned.
func doubt(verdict check.Verdict) string {
	for _, result := range verdict.Results {
		if result.Check == check.CheckFaults && result.Status != check.StatusPassed {
			return result.Reason
		}
	}
	return ""
}

// elsewhere compares where each crash of an item came with where the recording
// has it; "" when that is the same.
func (t *Trials) elsewhere(item *Item, h *history.History, own int) string {
	for i := range item.Steps {
		step := &item.Steps[i]
		met := pointOf(h, own+i+1)
		if met == nil {
			return fmt.Sprintf("%s was not come to again%s", &step.Operation, missed(h, own+i+1))
		}
		if t.Loose {
			continue
		}
		if difference := step.Operation.meets(met); difference != "" {
			return difference
		}
	}
	return ""
}

func pointOf(h *history.History, fault int) *history.Point {
	for _, event := range h.Events {
		if event.Kind == history.PointReached && event.Fault == fault {
			return event.Point
		}
	}
	return nil
}

// missed is what the run said of a fault that did not come.
func missed(h *history.History, fault int) string {
	for _, event := range h.Events {
		if event.Kind == history.FaultMissed && event.Fault == fault && event.Text != "" {
			return ": " + event.Text
		}
	}
	return ""
}

// parting says at which operation a run leaves the recording; "" when it does
// not, as far as it goes.
func (t *Trials) parting(recording Recording) string {
	recorded, now := ofFiles(t.Recording.Operations), ofFiles(recording.Operations)
	for i := range now {
		is := &now[i]
		if i == len(recorded) {
			return fmt.Sprintf("; the run leaves the recording at operation %d, which was %s: recorded were %d", is.Index, is, i)
		}
		was := &recorded[i]
		if is.Incarnation != was.Incarnation {
			return "" // a crash came, and its recovery is not in this recording
		}
		if is.key() != was.key() || !is.alike(was) {
			return fmt.Sprintf("; the run leaves the recording at operation %d, which was %s, recorded was %s", is.Index, is, was)
		}
	}
	return ""
}

// ofFiles leaves out what a program asks the kernel, whose names and times are
// other ones in each life.
func ofFiles(operations []Operation) []Operation {
	return slices.DeleteFunc(slices.Clone(operations), func(o Operation) bool { return !o.isAMQP() && isDevice(o.Path) })
}

// alike is agree for two operations of which nothing is changed.
func (o *Operation) alike(other *Operation) bool {
	one := *o
	return one.agree(other)
}
