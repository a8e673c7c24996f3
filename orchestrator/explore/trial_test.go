package explore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// trialsOf makes the trials of a subject from its own recording, and its plan.
func trialsOf(t *testing.T, s *subject, rules Rules) (*Trials, *Plan) {
	t.Helper()
	rules.Service = s.name
	recording := s.recording(t)
	plan, err := NewPlan(rules, nil, recording, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &Trials{Scenario: Settings{Target: s.name}.Undisturbed(scenarioOf(nil)), Target: s.name, Recording: &recording}, plan
}

func runOne(t *testing.T, trials *Trials, s *subject, item Item) Outcome {
	t.Helper()
	outcome, err := trials.Run(t.Context(), s.runner(), item)
	if err != nil {
		t.Fatal(err)
	}
	outcome.Seconds = 0
	return outcome
}

func TestEveryPointOfAGoodWorkerSurvives(t *testing.T) {
	for _, model := range []Model{ProcessCrash, PowerLoss} {
		s := worker(3)
		trials, plan := trialsOf(t, s, Rules{Model: model, Variants: EveryVariant})
		for number := range plan.Len() {
			outcome := runOne(t, trials, s, plan.Item(number))
			if outcome.Status != Survived || outcome.Attempts != 1 || outcome.Point != plan.Text(number) || outcome.Reason != "" {
				t.Errorf("%+v", outcome)
			}
		}
		if tried := s.allTried(); len(tried) != plan.Len()+1 { // and the recording
			t.Errorf("%d different trials of %d points", len(tried), plan.Len())
		}
	}
}

// TestFailuresAreCounted holds how often an item is run, by what its trials
// come to: p passes, f fails, b is broken.
func TestFailuresAreCounted(t *testing.T) {
	for script, want := range map[string]struct {
		status             Status
		failures, attempts int
	}{
		"p": {Survived, 0, 1}, "fff": {Failed, 3, 3}, "fpf": {Failed, 2, 3}, "fpp": {Failed, 1, 3},
		"bp": {Survived, 0, 1}, "bbp": {Survived, 0, 1}, "bbb": {Broken, 0, 3}, "bfpp": {Failed, 1, 3}, "fbbb": {Failed, 1, 1},
	} {
		t.Run(script, func(t *testing.T) {
			s := worker(1)
			trials, plan := trialsOf(t, s, Rules{Model: ProcessCrash})
			first := s.count()
			s.breaks = func(number int) bool { return script[number-first] == 'b' }
			s.fails = func(_ []string, number int) bool { return script[number-first] == 'f' }
			outcome := runOne(t, trials, s, plan.Item(3))
			if outcome.Status != want.status || outcome.Failures != want.failures || outcome.Attempts != want.attempts {
				t.Errorf("%+v, want %+v", outcome, want)
			}
			if got := s.count() - first; got != len(script) {
				t.Errorf("%d trials, want %d", got, len(script))
			}
			if want.failures > 0 && (len(outcome.Findings) != 1 || outcome.Kinds() != "run:violated" || outcome.Reason != "") {
				t.Errorf("findings %+v, reason %q", outcome.Findings, outcome.Reason)
			}
			if want.status == Broken && outcome.Reason != "the engine went away" {
				t.Errorf("broken because %q", outcome.Reason)
			}
		})
	}
}

// shifting is a worker whose second write is longer in the trials for which
// elsewhere says so.
func shifting(elsewhere func(number int) bool) *subject {
	s := worker(2)
	steady := s.life
	s.life = func(life int, before []string, number int) []history.Point {
		operations := steady(life, before, number)
		if elsewhere(number) && life == 1 {
			operations[7].Size++
		}
		return operations
	}
	return s
}

func TestWhatCameElsewhereIsRunAgain(t *testing.T) {
	s := shifting(func(number int) bool { return number == 1 || number == 2 })
	trials, plan := trialsOf(t, s, Rules{Model: ProcessCrash})
	if outcome := runOne(t, trials, s, itemAt(t, plan, "write:/data/rows.csv:2:+20")); outcome.Status != Survived || s.count() != 4 {
		t.Errorf("%+v after %d trials", outcome, s.count())
	}
}

func itemAt(t *testing.T, plan *Plan, text string) Item {
	t.Helper()
	for number := range plan.Len() {
		if plan.Text(number) == plan.Service+":"+text {
			return plan.Item(number)
		}
	}
	t.Fatalf("no point %s", text)
	return Item{}
}

func TestWhatNeverComesAsPlannedIsInconclusive(t *testing.T) {
	s := shifting(func(number int) bool { return number > 0 })
	trials, plan := trialsOf(t, s, Rules{Model: ProcessCrash})
	item := itemAt(t, plan, "write:/data/rows.csv:2:+20")
	outcome := runOne(t, trials, s, item)
	want := "it came at write 2 of /data/rows.csv (41 bytes at byte 40), recorded was write 2 of /data/rows.csv (40 bytes at byte 40)" +
		"; the run leaves the recording at operation 8, which was write 2 of /data/rows.csv (41 bytes at byte 40), recorded was write 2 of /data/rows.csv (40 bytes at byte 40)"
	if outcome.Status != Inconclusive || outcome.Attempts != 3 || outcome.Reason != want || s.recorded != 2 {
		t.Errorf("%+v, recorded %d times\nwant %s", outcome, s.recorded, want)
	}
	item.Steps[0].Operation.Divergent = true
	if outcome := runOne(t, trials, s, item); outcome.Status != Diverged {
		t.Errorf("%+v", outcome)
	}
}

// What came as planned and could not be judged is inconclusive also where it
// might have come elsewhere.
func TestWhatCannotBeJudgedHasNotDiverged(t *testing.T) {
	s := worker(2)
	trials, plan := trialsOf(t, s, Rules{Model: ProcessCrash})
	trials.Recording.Varies = true
	trials.Judge = func(*scenario.Scenario, *history.History) check.Verdict {
		return check.Verdict{Outcome: check.Inconclusive, Reasons: []string{"the files could not be read"}}
	}
	outcome := runOne(t, trials, s, itemAt(t, plan, "write:/data/rows.csv:2:+20"))
	if outcome.Status != Inconclusive || outcome.Reason != "the files could not be read" {
		t.Errorf("%+v", outcome)
	}
}

// A power cut finds other changes to lose where the runs of a system vary: the
// check of the faults says so.
func TestLossThatCannotBeMadeHasDiverged(t *testing.T) {
	s := worker(2)
	trials, plan := trialsOf(t, s, Rules{Model: ProcessCrash})
	trials.Judge = func(*scenario.Scenario, *history.History) check.Verdict {
		return check.Verdict{Outcome: check.Inconclusive, Results: []check.Result{
			{Check: check.CheckFaults, Status: check.StatusUncomputed, Reason: "there is no un-synced change 10: there are 9"},
		}}
	}
	for varies, want := range map[bool]Status{true: Diverged, false: Inconclusive} {
		trials.Recording.Varies = varies
		outcome := runOne(t, trials, s, itemAt(t, plan, "write:/data/rows.csv:2:+20"))
		if outcome.Status != want || outcome.Reason != "there is no un-synced change 10: there are 9" {
			t.Errorf("varies %t: %+v", varies, outcome)
		}
	}
}

func TestWhatIsNotComeToIsInconclusive(t *testing.T) {
	s := worker(2)
	trials, plan := trialsOf(t, s, Rules{Model: ProcessCrash})
	s.life = worker(1).life
	outcome := runOne(t, trials, s, itemAt(t, plan, "amqp-ack:queue-1-2:2:before"))
	want := "ack 2 of queue queue-1-2 (21 bytes) was not come to again: its crash point was not reached"
	if outcome.Status != Inconclusive || outcome.Reason != want {
		t.Errorf("%+v, want %s", outcome, want)
	}
}

// TestAStrayFailureIsKept holds that a finding is reported also where its
// crash did not come as planned.
func TestAStrayFailureIsKept(t *testing.T) {
	s := shifting(func(number int) bool { return number == 1 })
	s.fails = func(_ []string, number int) bool { return number == 1 }
	trials, plan := trialsOf(t, s, Rules{Model: ProcessCrash})
	outcome := runOne(t, trials, s, itemAt(t, plan, "write:/data/rows.csv:2:+20"))
	if outcome.Status != Failed || outcome.Failures != 1 || outcome.Attempts != 4 || !strings.HasPrefix(outcome.Reason, "it came at write 2") {
		t.Errorf("%+v", outcome)
	}
}

func TestAnUncomputedCheckIsInconclusive(t *testing.T) {
	s := worker(1)
	trials, plan := trialsOf(t, s, Rules{Model: ProcessCrash})
	trials.Judge = func(sc *scenario.Scenario, h *history.History) check.Verdict {
		h.Events = slices.DeleteFunc(h.Events, func(event history.Event) bool { return event.Kind == history.CommandRan })
		return check.Judge(sc, h)
	}
	outcome := runOne(t, trials, s, plan.Item(0))
	if outcome.Status != Inconclusive || !strings.Contains(outcome.Reason, "check run could not be computed") {
		t.Errorf("%+v", outcome)
	}
	trials.Judge = func(*scenario.Scenario, *history.History) check.Verdict { panic("oh") }
	if outcome := runOne(t, trials, s, plan.Item(0)); outcome.Status != Broken || !strings.Contains(outcome.Reason, "panic: oh") {
		t.Errorf("%+v", outcome)
	}
}

// panicking is a runner that fails itself.
type panicking struct{ fakeRunner }

func (panicking) Trial(context.Context, *scenario.Scenario, bool) *history.History { panic("oh") }

func TestAPanicOfARunnerIsBroken(t *testing.T) {
	s := worker(1)
	trials, plan := trialsOf(t, s, Rules{Model: ProcessCrash})
	outcome, err := trials.Run(t.Context(), panicking{}, plan.Item(0))
	if err != nil || outcome.Status != Broken || !strings.Contains(outcome.Reason, "panic: oh") {
		t.Errorf("%+v, %v", outcome, err)
	}
}

func TestAnInterruptedItemHasNoOutcome(t *testing.T) {
	s := worker(1)
	trials, plan := trialsOf(t, s, Rules{Model: ProcessCrash})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if outcome, err := trials.Run(ctx, s.runner(), plan.Item(0)); !errors.Is(err, context.Canceled) || outcome.Status != "" {
		t.Errorf("%+v, %v", outcome, err)
	}
}

// TestOwnFaultsStay holds that the scenario's faults are done first, and that
// crashes are numbered behind them.
func TestOwnFaultsStay(t *testing.T) {
	own := scenario.Point{Service: "worker-2", Kind: scenario.Fsync, Path: "/data/rows.csv", Occurrence: 1, Timing: "after", Incarnation: 1}.Kill()
	s := worker(2)
	trials := &Trials{Scenario: Settings{Target: s.name}.Undisturbed(scenarioOf([]scenario.Fault{own})), Target: s.name}
	outcome := runOne(t, trials, s, Item{Record: true})
	if outcome.Status != Survived || outcome.Recording == nil || outcome.Recording.From != 2 {
		t.Fatalf("%+v", outcome)
	}
	plan, err := NewPlan(Rules{Service: s.name, Model: ProcessCrash, Changed: changedFiles(outcome.Recording.Operations)}, nil, *outcome.Recording, 0)
	if err != nil {
		t.Fatal(err)
	}
	if first := plan.Text(0); first != "worker-2:read:/data/state:1:before:i2" {
		t.Errorf("the first point is %s", first)
	}
	for number := range plan.Len() {
		if outcome := runOne(t, trials, s, plan.Item(number)); outcome.Status != Survived {
			t.Errorf("%+v", outcome)
		}
	}
	if len(trials.Scenario.Faults) != 1 {
		t.Error("the scenario itself was changed")
	}
}

func TestUndisturbed(t *testing.T) {
	sc := scenarioOf(nil)
	sc.Expect.Logs = []scenario.LogExpect{{Service: "worker-2", Contains: "x"}, {Service: "worker-3", Contains: "x"}}
	sc.Expect.Exits = map[string]int{"worker-2": 0, "test-runner": 0}
	undisturbed := Settings{Target: "worker-2"}.Undisturbed(sc)
	if len(undisturbed.Expect.Logs) != 0 || fmt.Sprint(undisturbed.Expect.Exits) != "map[test-runner:0]" || len(undisturbed.Expect.Run) != 1 || !undisturbed.Idle {
		t.Errorf("expects %+v", undisturbed.Expect)
	}
	if got := LeftOut(sc, "worker-2"); got != "2 expectations on log lines and the exit code of worker-2" {
		t.Errorf("left out: %s", got)
	}
	if LeftOut(undisturbed, "worker-2") != "" {
		t.Error("something is left to leave out")
	}
	if kept := (Settings{Target: "worker-2", KeepLogs: true}).Undisturbed(sc); len(kept.Expect.Logs) != 2 || len(kept.Expect.Exits) != 2 {
		t.Errorf("kept %+v", kept.Expect)
	}
	if len(sc.Expect.Exits) != 2 || sc.Idle {
		t.Error("the scenario itself was changed")
	}
}

func TestLanesShareTheWork(t *testing.T) {
	s := worker(2)
	trials, plan := trialsOf(t, s, Rules{Model: ProcessCrash})
	items := make(chan Item)
	go func() {
		defer close(items)
		for number := range plan.Len() {
			items <- plan.Item(number)
		}
	}()
	told := map[string]int{}
	lanes := &Lanes{Runners: s.runners(3), Trials: trials}
	if err := lanes.Work(t.Context(), items, func(item Item, outcome Outcome) {
		if item.Text(s.name) != outcome.Point {
			t.Errorf("the outcome of %s is that of %s", outcome.Point, item.Text(s.name))
		}
		told[outcome.Point]++
	}); err != nil {
		t.Fatal(err)
	}
	for number := range plan.Len() {
		if told[plan.Text(number)] != 1 {
			t.Errorf("%s was told %d times", plan.Text(number), told[plan.Text(number)])
		}
	}
}

func TestLanesGiveUpWhenAllIsBroken(t *testing.T) {
	s := worker(9)
	trials, plan := trialsOf(t, s, Rules{Model: ProcessCrash})
	s.breaks = func(int) bool { return true }
	items := make(chan Item, plan.Len())
	for number := range plan.Len() {
		items <- plan.Item(number)
	}
	told := 0
	err := (&Lanes{Runners: s.runners(2), Trials: trials}).Work(t.Context(), items, func(Item, Outcome) { told++ })
	if !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "the engine went away") || told < maxBroken || told > maxBroken+2 {
		t.Errorf("%v after %d items", err, told)
	}
}

func TestShortened(t *testing.T) {
	long := check.Finding{Text: strings.Repeat("é", 2000), Rows: make([]check.Row, 20)}
	findings := slices.Repeat([]check.Finding{long}, 20)
	kept := shortened(findings)
	if len(kept) != maxFindings || len(kept[0].Rows) != maxRows || len([]rune(kept[0].Text)) != maxText+1 || len(findings[0].Rows) != 20 {
		t.Errorf("kept %d findings of %d rows", len(kept), len(kept[0].Rows))
	}
}
