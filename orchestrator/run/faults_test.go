package run

import (
	"fmt"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// Every kind of fault, twice in a row, each time that a watcher has reached
// the worker. What a fault did is seen by the watcher and by the engine's
// events, not only by what the run says of it.
func TestFaults(t *testing.T) {
	tests := []struct {
		file         string
		done, healed string
		exits        *int // with what the worker's lives end; nil: it goes on living
		handled      bool // by the process, which may go on a while after it
		warnings     int  // of a worker that did not stop
	}{
		{file: "fault-kill.yaml", done: "killed with SIGKILL", healed: "started again", exits: code(137)},
		{file: "fault-kill-sigterm.yaml", done: "killed with SIGTERM", healed: "started again", exits: code(7), handled: true},
		{file: "fault-stop.yaml", done: "stopped", healed: "started again", exits: code(7)},
		{file: "fault-stop-ignored.yaml", done: "stopped", healed: "started again", exits: code(137), warnings: 2},
		{file: "fault-restart.yaml", done: "stopped", healed: "started again", exits: code(7)},
		{file: "fault-pause.yaml", done: "paused for 1.2s", healed: "unpaused"},
		{file: "fault-disconnect.yaml", done: "disconnected for 1.2s", healed: "connected again"},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			t.Parallel()
			s := play(t, test.file)
			s.well()
			s.must(history.Event{Kind: history.AllDone})
			s.count(history.Event{Kind: history.FaultMissed}, 0)
			s.count(history.Event{Kind: history.Log, Service: "watcher", Text: "lost worker"}, 2)
			s.count(history.Event{Kind: history.Warning, Text: "did not stop within its grace time"}, test.warnings)
			// Each is armed when the one before has fired, not sooner.
			s.order(history.Event{Kind: history.FaultFired, Fault: 1}, history.Event{Kind: history.FaultArmed, Fault: 2})
			for number := 1; number <= 2; number++ {
				before, after := 1, 1
				if test.exits != nil {
					before, after = number, number+1
				}
				s.order(
					history.Event{Kind: history.FaultArmed, Fault: number, Service: "worker"},
					history.Event{Kind: history.FaultFired, Fault: number, Service: "worker", Incarnation: before, Text: "reached worker"},
					history.Event{Kind: history.FaultDone, Fault: number, Service: "worker", Incarnation: before, Text: test.done},
					history.Event{Kind: history.FaultHealed, Fault: number, Service: "worker", Incarnation: after, Text: test.healed},
				)
				if test.exits != nil {
					s.order(
						history.Event{Kind: history.FaultFired, Fault: number},
						history.Event{Kind: history.Exited, Service: "worker", Incarnation: number, Code: test.exits},
						history.Event{Kind: history.Started, Service: "worker", Incarnation: number + 1},
						history.Event{Kind: history.FaultHealed, Fault: number},
					)
				}
				if test.exits != nil && !test.handled {
					// It is done when the process is dead.
					s.order(
						history.Event{Kind: history.Exited, Service: "worker", Incarnation: number},
						history.Event{Kind: history.FaultDone, Fault: number},
					)
				}
			}
			lives := 1
			if test.exits != nil {
				lives = 3
			}
			s.count(history.Event{Kind: history.Started, Service: "worker"}, lives)
			s.count(history.Event{Kind: history.Started, Service: "watcher"}, 1)
			if printed := s.lines("worker"); len(printed) != lives {
				t.Errorf("lines of %d lives were read, want %d", len(printed), lives)
			}
		})
	}
}

// Five restarts in a row, each at the first line of a life, of a worker that
// prints on both streams as fast as it can.
func TestLogsOfFastRestarts(t *testing.T) {
	t.Run("restart", func(t *testing.T) {
		t.Parallel()
		s := play(t, "fast-restarts.yaml")
		s.well()
		counts := s.lines("worker")
		for life := 1; life <= 5; life++ {
			// The last words of a life say how many lines there must be.
			s.must(history.Event{Kind: history.Log, Service: "worker", Incarnation: life, Text: fmt.Sprintf("life %d ended after %d lines", life, counts[life])})
		}
		if len(counts) != 6 {
			t.Errorf("lines of %d lives were read, want 6", len(counts))
		}
	})
	t.Run("kill", func(t *testing.T) {
		t.Parallel()
		s := play(t, "fast-kills.yaml")
		s.well()
		counts := s.lines("worker")
		// A killed process has no last words, but has kept count in a file.
		counted := s.event(history.Event{Kind: history.CommandRan, Service: "worker"}).Stdout
		for life := 1; life <= 6; life++ {
			var kept int
			if _, err := fmt.Sscan(counted[10*(life-1):10*life], &kept); err != nil {
				t.Fatalf("what the worker has counted is %q: %v", counted, err)
			}
			// It counts a line after it has printed it. Life 6 goes on while
			// the file is read.
			if life < 6 && (counts[life] < kept || counts[life] > kept+1) {
				t.Errorf("life %d printed %d lines, and %d were read", life, kept, counts[life])
			}
		}
		if len(counts) != 6 {
			t.Errorf("lines of %d lives were read, want 6", len(counts))
		}
	})
}

func TestFaultsComeInOrder(t *testing.T) {
	t.Parallel()
	s := play(t, "two-faults.yaml")
	s.well()
	// The second fault's line comes long before the first fault's, and again
	// after: it counts only once the first has fired.
	s.order(
		history.Event{Kind: history.FaultArmed, Fault: 1, Service: "worker"},
		history.Event{Kind: history.Log, Service: "worker", Incarnation: 1, Text: "line 5."},
		history.Event{Kind: history.Log, Service: "worker", Incarnation: 1, Text: "line 20."},
		history.Event{Kind: history.FaultFired, Fault: 1, Service: "worker"},
		history.Event{Kind: history.FaultArmed, Fault: 2, Service: "worker"},
		history.Event{Kind: history.Log, Service: "worker", Incarnation: 2, Text: "line 5."},
		history.Event{Kind: history.FaultFired, Fault: 2, Incarnation: 2},
		history.Event{Kind: history.FaultArmed, Fault: 3, Service: "watcher"},
		history.Event{Kind: history.FaultFired, Fault: 3, Service: "watcher", Text: "100ms had passed"},
		history.Event{Kind: history.FaultDone, Fault: 3, Service: "watcher"},
		history.Event{Kind: history.AllDone},
	)
	// The third is for good.
	s.count(history.Event{Kind: history.FaultHealed, Fault: 3}, 0)
	s.count(history.Event{Kind: history.Started, Service: "watcher"}, 1)
}

// A crash point that waits for another fault counts from the start of the
// life all the same.
func TestPointsThatAreArmedLater(t *testing.T) {
	t.Run("reached", func(t *testing.T) {
		t.Parallel()
		s := play(t, "later.yaml")
		s.well()
		s.order(
			history.Event{Kind: history.Log, Service: "worker", Text: "life 1 line 10."},
			history.Event{Kind: history.FaultArmed, Fault: 2},
			history.Event{Kind: history.PointReached, Fault: 2, Incarnation: 1},
			history.Event{Kind: history.AllDone},
		)
		if point := s.event(history.Event{Kind: history.PointReached, Fault: 2}).Point; point.Occurrence != 12 {
			t.Errorf("the point was met as %+v", point)
		}
		// It prints a line before it counts it.
		if lines := s.lines("worker"); lines[1] != 12 || lines[2] != 20 {
			t.Errorf("the lives have printed %v lines, want 12 and 20", lines)
		}
	})
	t.Run("passed", func(t *testing.T) {
		t.Parallel()
		s := play(t, "too-late.yaml")
		s.well()
		s.must(history.Event{Kind: history.FaultMissed, Fault: 2, Text: "matching call 10 of incarnation 1 had come before the fault was armed"})
		s.count(history.Event{Kind: history.Started, Service: "worker"}, 1)
	})
}
