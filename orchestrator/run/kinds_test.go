package run

import (
	"strings"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// A crash point is met in containers of every kind, and the life after it goes
// its own way to the end.
func TestCrashPointsInContainersOfManyKinds(t *testing.T) {
	for _, kind := range []string{"bare", "init", "cramped"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := play(t, "kinds-"+kind+".yaml")
			s.well()
			point := s.event(history.Event{Kind: history.PointReached, Service: kind, Incarnation: 1}).Point
			if point.Occurrence != 4 || point.Kept != 5 || point.Inexact != "" {
				t.Errorf("the point was met as %+v", point)
			}
			s.order(
				history.Event{Kind: history.FaultFired, Fault: 1, Service: kind, Incarnation: 1},
				history.Event{Kind: history.Exited, Service: kind, Incarnation: 1, Code: code(137)},
				history.Event{Kind: history.Exited, Service: kind, Incarnation: 2, Code: code(0)},
			)
			s.count(history.Event{Kind: history.Log, Service: kind, Incarnation: 1, Text: " line "}, 3)
			s.count(history.Event{Kind: history.Log, Service: kind, Incarnation: 2, Text: " line "}, 10)
		})
	}
}

// A limit on processes that is used up already leaves the interposer no room:
// the run is broken before the program starts, by an error that says what to do.
func TestInterposerWithoutRoom(t *testing.T) {
	t.Parallel()
	s := play(t, "kinds-crowded.yaml")
	trouble := s.event(history.Event{Kind: history.Trouble}).Text
	if !strings.Contains(trouble, "start crowded: ") || !strings.Contains(trouble, "nproc") || strings.Contains(trouble, "goroutine") {
		t.Errorf("the trouble is %q", trouble)
	}
	s.count(history.Event{Kind: history.Log, Service: "crowded", Text: " line "}, 0)
}
