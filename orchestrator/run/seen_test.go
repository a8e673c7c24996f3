package run

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// seen is a history with the questions that tests ask of it. An event is
// looked for by those of its fields that are set; its text by a part of it.
type seen struct {
	*testing.T
	history *history.History
}

func (s *seen) matches(got, want history.Event) bool {
	return got.Kind == want.Kind &&
		(want.Service == "" || got.Service == want.Service) &&
		(want.Incarnation == 0 || got.Incarnation == want.Incarnation) &&
		(want.Fault == 0 || got.Fault == want.Fault) &&
		(want.Queue == "" || got.Queue == want.Queue) &&
		(want.Code == nil || got.Code != nil && *got.Code == *want.Code) &&
		strings.Contains(got.Text, want.Text)
}

func words(e history.Event) string {
	text := string(e.Kind)
	if e.Service != "" {
		text += " of " + e.Service
	}
	if e.Incarnation != 0 {
		text += fmt.Sprintf(" in life %d", e.Incarnation)
	}
	if e.Fault != 0 {
		text += fmt.Sprintf(", fault %d", e.Fault)
	}
	if e.Code != nil {
		text += fmt.Sprintf(", code %d", *e.Code)
	}
	if e.Text != "" {
		text += fmt.Sprintf(", %q", e.Text)
	}
	return text
}

func code(value int) *int { return &value }

// all gives the places of the events that match.
func (s *seen) all(want history.Event) []int {
	var places []int
	for index, event := range s.history.Events {
		if s.matches(event, want) {
			places = append(places, index)
		}
	}
	return places
}

// must gives the place of the first event that matches.
func (s *seen) must(want history.Event) int {
	s.Helper()
	places := s.all(want)
	if len(places) == 0 {
		s.Fatalf("the history has no %s", words(want))
	}
	return places[0]
}

func (s *seen) event(want history.Event) history.Event {
	s.Helper()
	return s.history.Events[s.must(want)]
}

func (s *seen) count(want history.Event, number int) {
	s.Helper()
	if got := len(s.all(want)); got != number {
		s.Errorf("the history has %d times %s, want %d", got, words(want), number)
	}
}

// order wants the first matches of these events to be there in this order.
func (s *seen) order(wanted ...history.Event) {
	s.Helper()
	for index := 1; index < len(wanted); index++ {
		if before, after := s.must(wanted[index-1]), s.must(wanted[index]); before >= after {
			s.Errorf("%s comes after %s, want it before", words(wanted[index-1]), words(wanted[index]))
		}
	}
}

// well wants a run that was neither broken nor cut short.
func (s *seen) well() {
	s.Helper()
	for _, kind := range []history.Kind{history.Trouble, history.Interrupted, history.Unremoved} {
		for _, place := range s.all(history.Event{Kind: kind}) {
			s.Errorf("unexpected %s", words(s.history.Events[place]))
		}
	}
}

// show prints the events of a run whose test failed.
func (s *seen) show() {
	if !s.Failed() {
		return
	}
	var text strings.Builder
	lines := 0 // of the counted ones, left out
	for _, event := range s.history.Events {
		if event.Kind == history.Log && printedLine.MatchString(event.Text) {
			lines++
			continue
		}
		if lines > 0 {
			fmt.Fprintf(&text, "           … %d lines\n", lines)
			lines = 0
		}
		fmt.Fprintf(&text, "%9.3fs %s\n", event.At.Seconds(), words(event))
	}
	s.Logf("run %s:\n%s", s.history.Meta.RunID, text.String())
}

// stored is the content of a collected file.
func (s *seen) stored(service, path string, stage history.Stage) string {
	s.Helper()
	for _, file := range s.history.Files {
		if file.Service != service || file.Path != path || file.Stage != stage {
			continue
		}
		content, err := s.history.Open(file)
		if err != nil {
			s.Fatal(err)
		}
		defer content.Close()
		text, err := io.ReadAll(content)
		if err != nil {
			s.Fatal(err)
		}
		return string(text)
	}
	s.Fatalf("%s of %s was not collected at stage %s", path, service, stage)
	return ""
}

var printedLine = regexp.MustCompile(`^life (\d+) line (\d+)\.`)

// lines wants every line of a service to bear the life in which it was
// printed and to come before the next one began, each stream's in order, none
// missing and none twice. The two streams are two pipes: where the run ends in
// the middle of the last life, one may have been read further than the other.
// It gives how many lines each life had.
func (s *seen) lines(service string) map[int]int {
	s.Helper()
	type stream struct {
		life int
		name string
	}
	counts, last := map[int]int{}, map[int]int{}
	newest := map[stream]int{}
	printed := map[int][]int{}
	started := 0
	for _, event := range s.history.Events {
		if event.Kind == history.Started && event.Service == service {
			started = event.Incarnation
		}
		parts := printedLine.FindStringSubmatch(event.Text)
		if event.Kind != history.Log || event.Service != service || parts == nil {
			continue
		}
		life, _ := strconv.Atoi(parts[1])
		line, _ := strconv.Atoi(parts[2])
		if life != started {
			s.Errorf("%q of %s comes in the middle of life %d", event.Text, service, started)
		}
		if life != event.Incarnation {
			s.Errorf("life %d of %s is said to have printed %q", event.Incarnation, service, event.Text)
		}
		from := stream{life, event.Stream}
		if line <= newest[from] {
			s.Errorf("%q comes after line %d on %s", event.Text, newest[from], event.Stream)
		}
		newest[from] = line
		counts[life]++
		last[life] = max(last[life], line)
		printed[life] = append(printed[life], line)
	}
	for life, lines := range printed {
		whole := last[life]
		for from, line := range newest {
			if from.life == started && life == started {
				whole = min(whole, line)
			}
		}
		slices.Sort(lines)
		for i, line := range lines {
			if i < whole && line != i+1 {
				s.Errorf("life %d of %s has no line %d, of %d", life, service, i+1, last[life])
				break
			}
		}
		if len(lines) < whole {
			s.Errorf("life %d of %s has %d of its %d lines", life, service, len(lines), last[life])
		}
	}
	return counts
}
