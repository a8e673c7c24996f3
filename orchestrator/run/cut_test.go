package run

import (
	"strconv"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/interpose"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// The bytes that a crash left, and what recovery made of them, are in the
// history, also of a file that no check asks for. A folder has no bytes: what
// is in it is not collected in its name.
func TestFilesOfCrashPoints(t *testing.T) {
	t.Parallel()
	s := play(t, "cut.yaml")
	s.well()
	for number, point := range []string{"/data/made", "/data/b.txt"} {
		s.must(history.Event{Kind: history.PointReached, Fault: number + 1, Text: point})
	}
	if got, want := s.stored("worker", "/data/b.txt", history.AtCrash), "this is"; got != want {
		t.Errorf("at the crash b.txt is %q, want %q", got, want)
	}
	if got, want := s.stored("worker", "/data/b.txt", history.Recovered), "this isthis is life 3\n"; got != want {
		t.Errorf("at the end b.txt is %q, want %q", got, want)
	}
	if len(s.history.Files) != 2 {
		t.Errorf("collected %+v, want b.txt twice and nothing else", s.history.Files)
	}
	for _, file := range s.history.Files {
		if file.Fault != 2 {
			t.Errorf("%s at stage %s belongs to fault %d, want 2", file.Path, file.Stage, file.Fault)
		}
	}
}

// The life after a crash point has the next one from its start, whether or not
// that was armed by then; a point behind a fault of another kind is counted.
func TestPlanOfTheLifeAfterAPoint(t *testing.T) {
	state := func(number int, follows bool) *pointState {
		return &pointState{
			planned: &plannedFault{number: number}, follows: follows,
			point: interpose.Point{ID: strconv.Itoa(number), Operation: interpose.Write, Path: "/a", Occurrence: 1, Timing: interpose.Before, Action: interpose.Hold},
		}
	}
	i := &interposer{
		service: &service{group: &group{id: "id"}, spec: system.Service{Name: "worker"}},
		points:  []*pointState{state(1, false), state(2, true), state(4, false)},
	}
	i.points[0].fired = true
	plan := i.plan(2)
	if err := plan.Validate(); err != nil {
		t.Fatal(err)
	}
	if got := plan.Points; len(got) != 2 || got[0].ID != "2" || got[0].Later || got[1].ID != "4" || !got[1].Later {
		t.Errorf("the second life is planned with %+v", got)
	}
}
