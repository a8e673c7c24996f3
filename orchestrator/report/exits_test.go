package report

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
)

// Of all that exits, only what ended badly, by itself and before the end of
// the run is told, with what it said last.
func TestExitsOfNoFault(t *testing.T) {
	log := func(service string, incarnation int, lines ...string) (events []history.Event) {
		for _, line := range lines {
			events = append(events, history.Event{Kind: history.Log, Service: service, Incarnation: incarnation, Text: line})
		}
		return events
	}
	exit := func(service string, incarnation, with int) history.Event {
		return history.Event{Kind: history.Exited, Service: service, Incarnation: incarnation, Code: code(with)}
	}
	h := &history.History{Events: []history.Event{
		{Kind: history.Phase, Text: "running"},
		exit("sender", 1, 0),
		{Kind: history.FaultFired, Fault: 1, Service: "worker", Incarnation: 1},
		exit("worker", 1, 137),
	}}
	h.Events = append(h.Events, log("worker", 2, "1", "2", "3", "4", "5", "Traceback")...)
	h.Events = append(h.Events, exit("worker", 2, 1), exit("silent", 1, 3))
	h.Events = append(h.Events, log("worker", 2, "ModuleNotFoundError: json")...) // read late
	h.Events = append(h.Events, history.Event{Kind: history.Phase, Text: "collecting"}, exit("worker", 3, 143))
	want := []string{
		"worker #2 exited with 1, and no fault made it; it said last:\n3\n4\n5\nTraceback\nModuleNotFoundError: json",
		"silent #1 exited with 3, and no fault made it",
	}
	if difference := cmp.Diff(want, ownExits(h)); difference != "" {
		t.Errorf("-want +got:\n%s", difference)
	}
	failed := NewResult(restartScenario(), h, check.Verdict{Outcome: check.Inconclusive})
	passed := NewResult(restartScenario(), h, check.Verdict{Outcome: check.Passed})
	if len(failed.Warnings) != 2 || len(passed.Warnings) != 0 {
		t.Errorf("warnings %q where it is inconclusive, %q where it passed", failed.Warnings, passed.Warnings)
	}
	if text := (Style{}).resultBlock(failed); !strings.Contains(text, "ModuleNotFoundError") || strings.Contains(text, "\nTraceback") {
		t.Errorf("the result:\n%s", text)
	}
}

func TestManyExits(t *testing.T) {
	h := &history.History{}
	for i := range 9 {
		h.Events = append(h.Events, history.Event{Kind: history.Exited, Service: fmt.Sprint("s", i), Incarnation: 1, Code: code(1)})
	}
	if got := ownExits(h); len(got) != exitsShown+1 || got[exitsShown] != "4 more lives ended so" {
		t.Errorf("got %q", got)
	}
}
