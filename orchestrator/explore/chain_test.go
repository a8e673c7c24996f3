package explore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/run"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// chainSubject is a scripted service whose work is handed in one unit at a
// time, by a sender that is held in between.
type chainSubject struct {
	units int
	// state is what its files are at rest, behind the crashes so far.
	state func(unit int, crashes []string) string
	// fails says whether something is wrong at the rest behind a unit.
	fails func(unit int, crashes []string) bool
	// breaks says whether a chain ends in trouble of the tool's own.
	breaks func(number int) bool
	// restless says that chains never come to a rest.
	restless bool
	// stubborn says that putting files back does not make them what they were.
	stubborn bool

	mu     sync.Mutex
	chains int
	alone  []string // points that were run by themselves
	led    []string // crashes that came in chains
	lone   int      // units of chains without a crash
	back   int      // how often its files were put back
}

const chainTarget = "worker-2"

// handling is the operations of a life that handles a unit.
func (s *chainSubject) handling(unit int) []history.Point {
	return []history.Point{
		write("/data/rows.csv", int64(40*unit), 40, fmt.Sprint("sum", unit)),
		fsync("/data/rows.csv"),
		amqp("publish", "queue-2-3", 90),
	}
}

// opening is what a life does before it is at rest.
func opening() []history.Point { return []history.Point{write("/data/journal", 0, 8, "opened")} }

type chainPlay struct {
	*play
	*chainSubject
	crashes []string // as points of their unit
}

func (s *chainSubject) play(record bool) *chainPlay {
	return &chainPlay{play: &play{subject: &subject{name: chainTarget}, record: record}, chainSubject: s}
}

func (p *chainPlay) stateAt(unit int) string {
	if p.state != nil {
		if state := p.state(unit, p.crashes); state != "" {
			return state
		}
	}
	return fmt.Sprint("state ", unit)
}

// do goes through some operations and crashes where a fault says so.
func (p *chainPlay) do(life int, own map[string]int, operations []history.Point, number int, fault *scenario.Fault) bool {
	for _, operation := range operations {
		own[operation.Operation+operation.Path+operation.Queue]++
		operation.Occurrence = own[operation.Operation+operation.Path+operation.Queue]
		if p.record {
			recorded := operation
			p.add(history.Event{Kind: history.Operation, Service: chainTarget, Incarnation: life, Point: &recorded})
		}
		if fault != nil && fault.When.Incarnation == life && matches(fault.When, operation) && fault.When.Occurrence == operation.Occurrence {
			p.crash(number, life, *fault, operation, operation.Occurrence)
			return true
		}
	}
	return false
}

// end adds what a run is judged by.
func (p *chainPlay) end(unit int) {
	p.add(history.Event{Kind: history.AllDone, Unit: unit})
	code := 0
	if p.chainSubject.fails != nil && p.chainSubject.fails(unit, p.crashes) {
		code = 1
	}
	p.add(history.Event{Kind: history.CommandRan, Service: chainTarget, Text: "verify", Code: &code})
}

func (p *chainPlay) rest(life, unit int) {
	p.add(history.Event{Kind: history.AtRest, Service: chainTarget, Incarnation: life, Unit: unit, Text: p.stateAt(unit)})
}

// chainRunner runs items by themselves, ledRunner leads chains as well.
type (
	chainRunner struct{ *chainSubject }
	ledRunner   struct{ chainRunner }
)

func (chainRunner) Close(context.Context) error { return nil }

func (r chainRunner) Trial(_ context.Context, sc *scenario.Scenario, record bool) *history.History {
	p := r.play(record)
	var fault *scenario.Fault
	if len(sc.Faults) > 0 {
		fault = &sc.Faults[0]
		r.mu.Lock()
		r.alone = append(r.alone, fault.Point().String())
		r.mu.Unlock()
	}
	for unit := 1; unit <= r.units; unit++ {
		p.add(history.Event{Kind: history.Started, Service: chainTarget, Incarnation: unit})
		own := map[string]int{}
		p.do(unit, own, opening(), 0, nil)
		p.rest(unit, unit)
		p.add(history.Event{Kind: history.UnitBegan, Service: "sender", Unit: unit})
		if p.do(unit, own, r.handling(unit), 1, fault) {
			p.crashes = append(p.crashes, fault.Point().String())
		}
		if unit == sc.Chain.Units {
			break
		}
		p.add(history.Event{Kind: history.UnitDone, Service: "sender", Unit: unit})
	}
	p.end(0)
	return &p.history
}

func (r ledRunner) Chain(_ context.Context, sc *scenario.Scenario, lead run.Lead) *history.History {
	r.mu.Lock()
	r.chains++
	broken := r.breaks != nil && r.breaks(r.chains)
	r.mu.Unlock()
	p := r.play(false)
	if r.restless {
		lead.Plan(1)
		p.add(history.Event{Kind: history.TimedOut})
		return &p.history
	}
	life, number := 1, 0
	var next run.Planned
	putBack := false
	for unit := 1; ; unit++ {
		if unit <= r.units {
			next = lead.Plan(unit)
		}
		if unit > 1 && next.PutBack {
			putBack = !r.stubborn
			r.mu.Lock()
			r.back++
			r.mu.Unlock()
		}
		state := p.stateAt(unit)
		if putBack {
			state = fmt.Sprint("state ", unit)
		}
		rest := run.Rest{Unit: unit, State: state, Over: unit > r.units}
		if unit > 1 {
			judged := p.play.history
			judged.Events = slices.Clone(judged.Events)
			rest.History = &judged
		}
		kill, goOn := lead.Rest(rest)
		if !goOn || rest.Over {
			return &p.history
		}
		p.history.Events = slices.DeleteFunc(p.history.Events, func(e history.Event) bool {
			return e.Kind == history.AllDone || e.Kind == history.CommandRan
		})
		if broken && unit == 2 {
			p.add(history.Event{Kind: history.Trouble, Text: "the engine went away"})
			return &p.history
		}
		own := map[string]int{}
		p.do(life, own, opening(), 0, nil)
		var fault *scenario.Fault
		if kill {
			number++
			their := *next.Kill
			their.When.Incarnation = life
			fault = &their
		}
		r.mu.Lock()
		if kill {
			r.led = append(r.led, next.Kill.Point().String())
		} else {
			r.lone++
		}
		r.mu.Unlock()
		if p.do(life, own, r.handling(unit), number, fault) {
			p.crashes = append(p.crashes, next.Kill.Point().String())
			putBack = false
			life++
		}
		life++
		p.end(unit)
	}
}

// chained explores a chain of the subject and gives the outcomes by point.
func (s *chainSubject) chained(t *testing.T, led bool, lanes int) (map[string]Outcome, *Plan) {
	t.Helper()
	settings := Settings{Target: chainTarget, Chain: true}
	trials := &Trials{Scenario: settings.Undisturbed(scenarioOf(nil)), Target: chainTarget}
	h := chainRunner{s}.Trial(t.Context(), trials.Scenario, true)
	recording := Recorded(h, chainTarget, 0)
	plan, err := NewPlan(Rules{Service: chainTarget, Model: ProcessCrash}, nil, recording, 0)
	if err != nil {
		t.Fatal(err)
	}
	items := make(chan Item)
	go func() {
		defer close(items)
		for _, number := range plan.Chosen(0, Shard{}) {
			select {
			case items <- plan.Item(number):
			case <-t.Context().Done():
				return
			}
		}
	}()
	var runners []Runner
	for range lanes {
		if led {
			runners = append(runners, ledRunner{chainRunner{s}})
		} else {
			runners = append(runners, chainRunner{s})
		}
	}
	told := map[string]Outcome{}
	err = (&Lanes{Runners: runners, Trials: trials}).Work(t.Context(), items, func(item Item, outcome Outcome) {
		if _, twice := told[outcome.Point]; twice || item.Text(chainTarget) != outcome.Point {
			t.Errorf("%s was told twice, or is another item's: %s", outcome.Point, item.Text(chainTarget))
		}
		told[outcome.Point] = outcome
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(told) != plan.Len() {
		t.Errorf("%d of %d points have an outcome", len(told), plan.Len())
	}
	return told, plan
}

func statusesOf(outcomes map[string]Outcome) map[string]Status {
	all := map[string]Status{}
	for point, outcome := range outcomes {
		all[point] = outcome.Status
	}
	return all
}

// What is done at rest is no point, each unit's points are of the life that
// handles it, and each begins with what was there at its rest.
func TestPointsOfAChain(t *testing.T) {
	_, plan := (&chainSubject{units: 3}).chained(t, false, 1)
	for number := range plan.Len() {
		item := plan.Item(number)
		if text := item.Text(chainTarget); strings.Contains(text, "journal") {
			t.Errorf("%s is a point", text)
		}
		if want := fmt.Sprint("state ", item.unit()); item.State != want {
			t.Errorf("%s begins at %q, want %q", item.Text(chainTarget), item.State, want)
		}
	}
	// Before, three times during, and after a write; before and after the others.
	if plan.Len() != 3*(5+2+2) || plan.Skipped[skipResting] != 3 {
		t.Errorf("%d points, skipped %v", plan.Len(), plan.Skipped)
	}
	units := []int{}
	for _, number := range plan.Chosen(0, Shard{})[:6] {
		item := plan.Item(number)
		units = append(units, item.unit())
	}
	if !slices.Equal(units, []int{1, 2, 3, 1, 2, 3}) {
		t.Errorf("the first points are of the units %v", units)
	}
}

// A service whose crashes leave nothing behind is crashed in every unit of each
// chain, and comes to what it comes to alone.
func TestAChainOfAGoodWorker(t *testing.T) {
	led := &chainSubject{units: 5}
	outcomes, plan := led.chained(t, true, 1)
	alone, _ := (&chainSubject{units: 5}).chained(t, false, 1)
	if difference := cmp.Diff(statusesOf(alone), statusesOf(outcomes)); difference != "" {
		t.Errorf("alone and led (-alone +led):\n%s", difference)
	}
	for point, outcome := range outcomes {
		if outcome.Status != Survived || outcome.Attempts != 1 {
			t.Errorf("%s: %+v", point, outcome)
		}
	}
	if len(led.alone) != 0 || len(led.led) != plan.Len() || led.lone != 0 || led.chains != plan.Len()/5 {
		t.Errorf("%d alone, %d led, %d units without a crash, %d chains", len(led.alone), len(led.led), led.lone, led.chains)
	}
	if several, _ := (&chainSubject{units: 5}).chained(t, true, 3); len(several) != len(outcomes) {
		t.Errorf("three lanes told %d", len(several))
	}
}

// A crash that is no survivor's is found, at its point and no other, and is run
// by itself to see how often.
func TestAChainOfABadWorker(t *testing.T) {
	bad := func() *chainSubject {
		return &chainSubject{units: 4, fails: func(_ int, crashes []string) bool {
			return slices.ContainsFunc(crashes, func(point string) bool { return strings.Contains(point, "fsync:/data/rows.csv:1:before:i3") })
		}}
	}
	led := bad()
	outcomes, _ := led.chained(t, true, 1)
	alone, _ := bad().chained(t, false, 1)
	if difference := cmp.Diff(statusesOf(alone), statusesOf(outcomes)); difference != "" {
		t.Errorf("alone and led (-alone +led):\n%s", difference)
	}
	const point = chainTarget + ":fsync:/data/rows.csv:1:before:i3"
	if found := outcomes[point]; found.Status != Failed || found.Failures != DefaultRepeat || found.Attempts != DefaultRepeat || found.Reason != "" {
		t.Errorf("%+v", found)
	}
	if !slices.Equal(led.alone, slices.Repeat([]string{point}, DefaultRepeat-1)) {
		t.Errorf("run by themselves: %q", led.alone)
	}
}

// A failure that comes only behind other crashes is never dropped: it says how
// often it came, and behind which.
func TestAFailureOfSeveralCrashes(t *testing.T) {
	s := &chainSubject{units: 4, fails: func(_ int, crashes []string) bool { return len(crashes) == 3 }}
	outcomes, _ := s.chained(t, true, 1)
	failed := 0
	for point, outcome := range outcomes {
		switch outcome.Status {
		case Survived:
		case Failed:
			failed++
			if outcome.Failures != 1 || outcome.Attempts != DefaultRepeat || !strings.Contains(outcome.Reason, "it failed behind 2 crashes in one run (worker-2:") || !strings.Contains(point, ":i3") ||
				!strings.Contains(outcome.Reason, ":i3) and not by itself") { // the second unit's, behind a crash

				t.Errorf("%s: %+v", point, outcome)
			}
		default:
			t.Errorf("%s: %+v", point, outcome)
		}
	}
	if failed == 0 {
		t.Error("nothing failed")
	}
}

// What is wrong only after one more unit is the doing of the crash before.
func TestAFailureThatIsSeenLate(t *testing.T) {
	const point = chainTarget + ":publish:queue-2-3:1:after"
	s := &chainSubject{units: 2, fails: func(unit int, crashes []string) bool {
		// By itself, a run is judged at its end.
		return unit != 1 && slices.Contains(crashes, point)
	}, state: func(unit int, crashes []string) string {
		if unit == 2 && slices.Contains(crashes, point) {
			return "another" // or the unit behind it had a crash of its own
		}
		return ""
	}}
	outcomes, _ := s.chained(t, true, 1)
	for text, outcome := range outcomes {
		if want := map[bool]Status{true: Failed, false: Survived}[text == point]; outcome.Status != want {
			t.Errorf("%s: %+v", text, outcome)
		}
	}
}

// Where the files are not those of the recording, nothing is crashed that was
// to begin with them. They are put back once the service has had a unit of work
// to forget the crash.
func TestAStateThatIsNotTheRecordings(t *testing.T) {
	s := &chainSubject{units: 6}
	s.state = func(unit int, crashes []string) string {
		if slices.ContainsFunc(crashes, func(point string) bool { return strings.Contains(point, "fsync") }) {
			return "generation 2"
		}
		return ""
	}
	outcomes, plan := s.chained(t, true, 1)
	for point, outcome := range outcomes {
		if outcome.Status != Survived {
			t.Errorf("%s: %+v", point, outcome)
		}
	}
	if s.back == 0 || s.lone == 0 || len(s.alone) != 0 || len(s.led) != plan.Len() {
		t.Errorf("put back %d times, %d units without a crash, %d alone, %d of %d led", s.back, s.lone, len(s.alone), len(s.led), plan.Len())
	}
}

// A system whose rests are never those of the recording is explored all the
// same, each point by itself.
func TestNoStateIsTheRecordings(t *testing.T) {
	s := &chainSubject{units: 3, stubborn: true}
	number := 0
	s.state = func(unit int, _ []string) string {
		number++
		if number <= 3 {
			return "" // the recording
		}
		return fmt.Sprint("state ", unit, " of ", number)
	}
	outcomes, plan := s.chained(t, true, 1)
	if len(s.led) != 0 || len(s.alone) != plan.Len() {
		t.Errorf("%d led, %d of %d alone", len(s.led), len(s.alone), plan.Len())
	}
	for point, outcome := range outcomes {
		if outcome.Status != Survived {
			t.Errorf("%s: %+v", point, outcome)
		}
	}
}

// Nor does one that never comes to rest keep anything from being explored.
func TestNoRest(t *testing.T) {
	s := &chainSubject{units: 3, restless: true}
	if outcomes, plan := s.chained(t, true, 2); len(s.alone) != plan.Len() || len(outcomes) != plan.Len() {
		t.Errorf("%d of %d alone", len(s.alone), plan.Len())
	}
}

// What a chain had in hand when its engine went away is run by itself.
func TestAChainThatBreaks(t *testing.T) {
	s := &chainSubject{units: 3, breaks: func(number int) bool { return number == 1 }}
	outcomes, _ := s.chained(t, true, 1)
	if got := slices.Sorted(maps.Values(statusesOf(outcomes))); len(slices.Compact(got)) != 1 || got[0] != Survived {
		t.Errorf("%v", got)
	}
	if len(s.alone) != 1 {
		t.Errorf("run by themselves: %q", s.alone)
	}
}
