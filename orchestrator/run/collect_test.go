package run

import (
	"strings"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/history"
)

func TestCollection(t *testing.T) {
	t.Parallel()
	s := play(t, "collect.yaml")
	s.well()

	// What was sent and what came out, byte for byte.
	if got, want := s.stored("sender", "/sent.jsonl", history.AtEnd), `{"chunk":"1","rows":["1,Ä","2,b"]}`+"\n"+`{"confirmed":"1"}`; got != want {
		t.Errorf("the sent record is %q, want %q", got, want)
	}
	if got, want := s.stored("worker", "/data/out/a.csv", history.AtEnd), "id,name\n1,Ä\n2,b"; got != want {
		t.Errorf("a.csv is %q, want %q", got, want)
	}
	if got := s.stored("worker", "/data/out/empty.csv", history.AtEnd); got != "" {
		t.Errorf("empty.csv is %q, want nothing", got)
	}
	for _, file := range s.history.Files {
		if strings.Contains(file.Path, "other") {
			t.Errorf("%s was collected, which the glob does not match", file.Path)
		}
	}

	s.commands()

	// Stable files before and after one more restart, which is over when the
	// service says that it is ready.
	if before, after := s.stored("worker", "/data/lives.txt", history.BeforeStable), s.stored("worker", "/data/lives.txt", history.AfterStable); before != "life 1\n" || after != "life 1\nlife 2\n" {
		t.Errorf("lives.txt is %q before and %q after the restart, want one line and two", before, after)
	}
	s.count(history.Event{Kind: history.Started, Service: "worker"}, 2)
	ready := s.must(history.Event{Kind: history.Log, Service: "worker", Incarnation: 2, Text: " line 3."})
	if collected := s.all(history.Event{Kind: history.Collected, Service: "worker", Text: "/data/lives.txt"}); len(collected) != 2 || collected[1] < ready {
		t.Errorf("lives.txt was collected at events %d, want twice, the second time after event %d", collected, ready)
	}
	// Without such a line, when its health check passes.
	if before, after := s.stored("checked", "/lives.txt", history.BeforeStable), s.stored("checked", "/lives.txt", history.AfterStable); before != "life 1\n" || after != "life 1\nlife 2\n" {
		t.Errorf("lives.txt of checked is %q before and %q after the restart, want one line and two", before, after)
	}
	collected := s.all(history.Event{Kind: history.Collected, Service: "checked"})
	if healthy := s.must(history.Event{Kind: history.Healthy, Service: "checked", Incarnation: 2}); collected[1] < healthy {
		t.Errorf("files of checked were collected at event %d, before it was healthy at %d", collected[1], healthy)
	}
	s.must(history.Event{Kind: history.Warning, Text: "sender does not run at the end: whether /sent.* are stable cannot be seen"})
}

// commands judges what collect.yaml's commands are recorded to have done.
func (s *seen) commands() {
	s.Helper()
	want := []struct {
		service string
		code    *int // nil: it could not be run
		stdout  string
		stderr  string
	}{
		{"worker", code(3), "hello\n", ""},
		{"worker", code(0), "id,name\n1,Ä\n2,b", ""},
		{"worker", code(125), "", "actor: no such command: sulk\n"},
		{"sender", nil, "", "not running"},
	}
	ran := s.all(history.Event{Kind: history.CommandRan})
	if len(ran) != len(want)+1 {
		s.Fatalf("%d commands are recorded, want %d", len(ran), len(want)+1)
	}
	for index, wanted := range want {
		got := s.history.Events[ran[index]]
		if got.Expect != index || got.Service != wanted.service || got.Stdout != wanted.stdout || !strings.Contains(got.Stderr, wanted.stderr) ||
			(got.Code == nil) != (wanted.code == nil) || got.Code != nil && *got.Code != *wanted.code {
			s.Errorf("command %d is recorded as %+v (code %v), want %+v", index, got, got.Code, wanted)
		}
	}
	// A program that is not in the image is one that failed, whichever of the
	// two codes the engine gives it.
	missing := s.history.Events[ran[len(want)]]
	if missing.Code == nil || *missing.Code != 126 && *missing.Code != 127 || !strings.Contains(missing.Stdout+missing.Stderr, "/no/such/program") {
		s.Errorf("a program that is not there is recorded as %+v (code %v), want 126 or 127 and its name", missing, missing.Code)
	}
}

// A sender that leaves no record is the system's doing, not trouble.
func TestCollectionOfWhatIsNotThere(t *testing.T) {
	t.Parallel()
	s := play(t, "collect-nothing.yaml")
	s.well()
	s.must(history.Event{Kind: history.Warning, Text: "sender has no /none.jsonl: what it sent is not known"})
	if len(s.history.Files) != 0 {
		t.Errorf("collected %+v, want nothing", s.history.Files)
	}
}
