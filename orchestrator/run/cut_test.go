package run

import (
	"testing"

	"github.com/killpoint/killpoint/orchestrator/history"
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
