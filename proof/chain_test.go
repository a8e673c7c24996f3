package proof_test

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/explore"
	"github.com/killpoint/killpoint/orchestrator/history"
	runs "github.com/killpoint/killpoint/orchestrator/run"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/suite"
	"github.com/killpoint/killpoint/orchestrator/system"
)

const chained = 6 // units of work

// script leads a chain by a list of kills, by unit.
type script struct {
	t       *testing.T
	kills   map[int]*scenario.Fault
	states  []string // of the recording; asked for where putBack says so
	putBack map[int]bool

	met     []string // states
	judged  []*history.History
	stopped bool // it was told that there is no unit to come
	last    int  // unit
}

func (s *script) Plan(unit int) runs.Planned {
	return runs.Planned{Kill: s.kills[unit], State: s.states[unit-1], PutBack: s.putBack[unit]}
}

func (s *script) Rest(rest runs.Rest) (kill, goOn bool) {
	s.last = rest.Unit
	if rest.History != nil {
		s.judged = append(s.judged, rest.History)
	}
	if s.stopped = rest.Over; rest.Over {
		return false, false
	}
	s.met = append(s.met, rest.State)
	return s.kills[rest.Unit] != nil, true
}

// A chain of the shipped pipeline: its rests are the same in each recording;
// behind a crash that leaves something else behind they are not, until the
// files are put back; each rest proves what a run would up to there; and a unit
// that never ends is told of.
func TestRestsOfAChain(t *testing.T) {
	if testing.Short() {
		t.Skip("builds images and runs containers")
	}
	newBench(t) // for the interposer
	correct := []string{"MAX_GROUP=1", "FEED=one", "JOURNAL_BYTES=65536", "NUM_CHUNKS=6"}
	loaded := loadWith(t, filepath.Join(root, "scenarios", "normal.yaml"), correct)
	machine, err := explore.OpenMachine(t.Context(), runs.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	runner, err := machine.Open(t.Context(), explore.Lane{Loaded: loaded, Target: "worker-2", Model: explore.ProcessCrash, Way: explore.KillProcess})
	t.Cleanup(func() {
		if runner != nil {
			err = runner.Close(context.Background())
		}
		if err := cmp.Or(err, machine.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	settings := explore.Settings{Target: "worker-2", Chain: true}
	sc := settings.Undisturbed(loaded.Scenario)

	recording := explore.Recorded(runner.Trial(t.Context(), sc, true), "worker-2", 0)
	again := explore.Recorded(runner.Trial(t.Context(), sc, true), "worker-2", 0)
	if len(recording.States) != chained || !slices.Equal(recording.States, again.States) || len(slices.Compact(slices.Sorted(slices.Values(recording.States)))) != chained {
		t.Fatalf("states %q, and %q", recording.States, again.States)
	}

	chain := func(s *script) *script {
		t.Helper()
		s.t, s.states = t, recording.States
		h := runner.(explore.ChainRunner).Chain(t.Context(), sc, s)
		for _, event := range h.Events {
			if event.Kind == history.Trouble {
				t.Fatal(event.Text)
			}
		}
		for number, h := range s.judged {
			if !s.stopped || number < len(s.judged)-1 || s.last > chained {
				s.passes(sc, number, h)
			}
		}
		return s
	}
	kill := func(unit int, of func(*explore.Operation) bool, timing string) *scenario.Fault {
		t.Helper()
		i := slices.IndexFunc(recording.Operations, func(o explore.Operation) bool { return o.Incarnation == unit && !o.Resting && of(&o) })
		if i < 0 {
			t.Fatalf("unit %d has no such operation", unit)
		}
		step := explore.Step{Operation: recording.Operations[i], Timing: timing}
		fault := step.Point("worker-2").Kill()
		return &fault
	}
	isPublish := func(o *explore.Operation) bool { return o.Operation == "publish" }
	isJournal := func(o *explore.Operation) bool {
		return o.Operation == "write" && strings.Contains(o.Path, "/journal-")
	}

	// First a chain with nothing in it, which the bed keeps the rests of.
	if s := chain(&script{}); !slices.Equal(s.met, recording.States) || len(s.judged) != chained || !s.stopped {
		t.Errorf("states %q, judged %d times", s.met, len(s.judged))
	}
	// Crashes behind which nothing is different.
	s := chain(&script{kills: map[int]*scenario.Fault{1: kill(1, isPublish, "before"), 3: kill(3, isPublish, "after"), 6: kill(6, isPublish, "before")}})
	if !slices.Equal(s.met, recording.States) || len(s.judged) != chained {
		t.Errorf("states %q, judged %d times", s.met, len(s.judged))
	}
	// A crash before the chunk is in the journal has it begin a generation
	// earlier from then on.
	s = chain(&script{kills: map[int]*scenario.Fault{2: kill(2, isJournal, "before")}, putBack: map[int]bool{5: true}})
	var same []bool
	for i, state := range s.met {
		same = append(same, state == recording.States[i])
	}
	if want := []bool{true, true, false, false, true, true}; !slices.Equal(same, want) {
		t.Errorf("rests as recorded: %v, want %v", same, want)
	}
	// Nobody starts the worker again.
	dead := kill(2, isPublish, "before")
	dead.Restart = nil
	if s := chain(&script{kills: map[int]*scenario.Fault{2: dead}}); !s.stopped || s.last != 3 || len(s.judged) != 2 {
		t.Errorf("the last rest was before unit %d, judged %d times", s.last, len(s.judged))
	} else if verdict := check.Judge(s.scenarioOf(sc, 2), s.judged[1]); verdict.Outcome != check.Failed {
		t.Errorf("%s: %q", verdict.Outcome, verdict.Reasons)
	}
}

// scenarioOf is a scenario with the kills up to a unit.
func (s *script) scenarioOf(sc *scenario.Scenario, unit int) *scenario.Scenario {
	up := *sc
	up.Chain, up.Expect.Exits, up.Faults = nil, nil, nil
	for number := 1; number <= unit; number++ {
		if s.kills[number] != nil {
			up.Faults = append(up.Faults, *s.kills[number])
		}
	}
	return &up
}

// passes asks that a rest proves that all is well behind a unit, with every
// kind of check.
func (s *script) passes(sc *scenario.Scenario, number int, h *history.History) {
	s.t.Helper()
	verdict := check.Judge(s.scenarioOf(sc, number+1), h)
	if verdict.Outcome != check.Passed {
		s.t.Errorf("behind unit %d: %s: %q", number+1, verdict.Outcome, verdict.Reasons)
	}
	for _, result := range verdict.Results {
		off := result.Status != check.StatusPassed
		if slices.Contains([]string{check.CheckRows, check.CheckVerdicts, check.CheckDrained, check.CheckStable, check.CheckRun}, result.Check) && off {
			s.t.Errorf("behind unit %d, %s is %s", number+1, result.Check, result.Status)
		}
	}
}

// loadWith loads a scenario with some variables set.
func loadWith(t *testing.T, file string, env []string) suite.Loaded {
	t.Helper()
	all, problems := suite.Load(t.Context(), []string{file}, os.Environ(), system.Load, func(sc *scenario.Scenario) {
		for _, entry := range env {
			name, value, _ := strings.Cut(entry, "=")
			sc.Env[name] = value
		}
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return all[0]
}
