package run

import (
	"strings"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// Settle times of half a minute, in the scenarios that must end at once, are
// longer than what a run takes even on a busy machine.
const atOnce = 15 * time.Second

// The events between which a run that ends at once must not wait.
func (s *seen) endsSoonAfter(last history.Event) {
	s.Helper()
	end := s.event(history.Event{Kind: history.AllDone})
	if waited := end.At - s.event(last).At; waited > atOnce {
		s.Errorf("the run ended %s after %s, want it at once", waited, words(last))
	}
}

func TestRunEndsAtOnceWhenAllIsThere(t *testing.T) {
	t.Parallel()
	s := play(t, "done.yaml")
	s.well()
	s.order(history.Event{Kind: history.Log, Service: "worker", Text: "line 5."}, history.Event{Kind: history.AllDone})
	s.order(history.Event{Kind: history.Exited, Service: "sender", Code: code(0)}, history.Event{Kind: history.AllDone})
	s.order(history.Event{Kind: history.Exited, Service: "closer", Code: code(4)}, history.Event{Kind: history.AllDone})
	s.endsSoonAfter(history.Event{Kind: history.Log, Service: "worker", Text: "line 5."})
	s.count(history.Event{Kind: history.Settled}, 0)
}

func TestRunSettlesWithoutWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := play(t, "settled.yaml")
	s.well()
	settled := s.event(history.Event{Kind: history.Settled})
	for _, missing := range []string{`2 of 2 lines of worker that say " line 6."`, `1 of 4 lines of sender that say "line [123]\\."`} {
		if !strings.Contains(settled.Text, missing) {
			t.Errorf("%q does not say that %s are missing", settled.Text, missing)
		}
	}
	last := s.event(history.Event{Kind: history.Log, Service: "worker", Text: "line 5."})
	if quiet := settled.At - last.At; quiet < 400*time.Millisecond {
		t.Errorf("the run settled after %s without an event, want the settle time of 400ms", quiet)
	}
	s.count(history.Event{Kind: history.AllDone}, 0)
	s.count(history.Event{Kind: history.TimedOut}, 0)
}

// A sender that says nothing for longer than the settle time still runs, and
// so the work is not all handed in.
func TestRunDoesNotSettleWhileASenderRuns(t *testing.T) {
	t.Parallel()
	s := play(t, "silent-sender.yaml")
	s.well()
	s.count(history.Event{Kind: history.Settled}, 0)
	s.order(history.Event{Kind: history.Log, Service: "sender", Text: "line 3."}, history.Event{Kind: history.AllDone})
}

func TestRunThatTimesOutSaysWhatItAwaited(t *testing.T) {
	t.Parallel()
	s := play(t, "timed-out.yaml")
	s.well()
	text := s.event(history.Event{Kind: history.TimedOut}).Text
	for _, missing := range []string{"sender to exit", `1 of 1 lines of worker that say " line 6."`, "fault 1 (pause worker"} {
		if !strings.Contains(text, missing) {
			t.Errorf("%q does not say that it awaited %q", text, missing)
		}
	}
	// A service that the end of the run found frozen is no trouble: that the
	// system hung is for the checks. It can be restarted once more.
	s.order(
		history.Event{Kind: history.TimedOut},
		history.Event{Kind: history.Phase, Text: "collecting"},
		history.Event{Kind: history.Started, Service: "worker", Incarnation: 2},
	)
}

func TestFaultThatNeverCameIsMissed(t *testing.T) {
	t.Parallel()
	s := play(t, "never.yaml")
	s.well()
	s.count(history.Event{Kind: history.FaultFired}, 0)
	missed := s.event(history.Event{Kind: history.FaultMissed, Fault: 1, Service: "worker"})
	if want := `1 of 2 lines of worker that say " line 4."`; !strings.Contains(missed.Text, want) {
		t.Errorf("the missed fault says %q, want what was seen: %q", missed.Text, want)
	}
	s.must(history.Event{Kind: history.FaultMissed, Fault: 2, Service: "worker", Text: "the fault before it had not fired"})
	s.must(history.Event{Kind: history.FaultMissed, Fault: 3, Service: "sender", Text: "the fault before it had not fired"})
	last, line := history.Event{Kind: history.Exited, Service: "sender"}, history.Event{Kind: history.Log, Service: "worker", Text: " line 4."}
	if s.event(line).At > s.event(last).At {
		last = line
	}
	s.endsSoonAfter(last)
}

func TestTimeThatNeverCameIsMissed(t *testing.T) {
	t.Parallel()
	s := play(t, "never-after.yaml")
	s.well()
	s.must(history.Event{Kind: history.FaultMissed, Fault: 1, Service: "worker", Text: "of 50s had passed"})
	s.endsSoonAfter(history.Event{Kind: history.Exited, Service: "sender"})
}

func TestFaultOnADeadServiceIsMissed(t *testing.T) {
	t.Parallel()
	s := play(t, "dead.yaml")
	s.well()
	s.order(
		history.Event{Kind: history.Exited, Service: "worker"},
		history.Event{Kind: history.FaultFired, Service: "worker", Fault: 1},
		history.Event{Kind: history.FaultMissed, Service: "worker", Fault: 1, Text: "not running"},
		history.Event{Kind: history.AllDone},
	)
	s.count(history.Event{Kind: history.FaultDone}, 0)
	s.count(history.Event{Kind: history.Started, Service: "worker"}, 1)
}

func TestIdleRunWaitsForItsFault(t *testing.T) {
	t.Parallel()
	s := play(t, "idle.yaml")
	s.well()
	s.order(
		history.Event{Kind: history.Exited, Service: "sender"},
		history.Event{Kind: history.FaultFired, Fault: 1},
		history.Event{Kind: history.FaultHealed, Fault: 1},
		history.Event{Kind: history.AllDone},
	)
	s.count(history.Event{Kind: history.FaultMissed}, 0)
}

// A system that does not say when its work is done is done when its faults
// are over and it has been quiet.
func TestSystemWithoutAnEndIsDoneWhenItIsQuiet(t *testing.T) {
	t.Parallel()
	s := play(t, "endless.yaml")
	s.well()
	s.order(
		history.Event{Kind: history.Log, Service: "worker", Incarnation: 1, Text: "line 20."},
		history.Event{Kind: history.FaultFired, Fault: 1},
		history.Event{Kind: history.FaultHealed, Fault: 1},
		history.Event{Kind: history.Log, Service: "worker", Incarnation: 2, Text: "line 20."},
		history.Event{Kind: history.AllDone},
	)
}

func TestRunSaysWhichVerdictsAreMissing(t *testing.T) {
	t.Parallel()
	s := play(t, "verdicts.yaml")
	s.well()
	s.must(history.Event{Kind: history.Settled, Text: "a verdict of judge on 1 of 3 chunks (such as 8)"})
}

// A service that the work needs, and that has failed for good, leaves nothing
// to wait for.
func TestRunEndsWhenWhatTheWorkNeedsIsDown(t *testing.T) {
	t.Run("for good", func(t *testing.T) {
		t.Parallel()
		s := play(t, "stuck.yaml")
		s.well()
		end := s.event(history.Event{Kind: history.TimedOut, Text: "worker to be started again, which nothing does (it exited with code 3); sender to exit"})
		last := s.event(history.Event{Kind: history.Log, Service: "sender", Text: "line 3."})
		if waited := end.At - last.At; waited < 300*time.Millisecond || waited > atOnce {
			t.Errorf("the run ended %s after the last event, want the settle time of 300ms", waited)
		}
	})
	for _, file := range []string{"stuck-later-fault.yaml", "stuck-ended-well.yaml"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			s := play(t, file)
			s.well()
			s.order(
				history.Event{Kind: history.Exited, Service: "worker"},
				history.Event{Kind: history.Log, Service: "sender", Text: "line 3."},
				history.Event{Kind: history.AllDone},
			)
		})
	}
}
