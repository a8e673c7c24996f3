package suite

import (
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// recorded is the events of a run as they were seen from outside: what is
// left of its history when the run panics.
type recorded struct {
	mu     sync.Mutex
	events []history.Event
}

func (s *Suite) recorded(name string) *recorded {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events[name]
}

func (s *Suite) onEvent(name string, event history.Event) {
	if seen := s.recorded(name); seen != nil {
		seen.mu.Lock()
		seen.events = append(seen.events, event)
		seen.mu.Unlock()
	}
	s.Watcher.Event(name, event)
}

// guard turns a panic into an error that says where it came from.
func guard(do func()) (panicked error) {
	defer func() {
		if reason := recover(); reason != nil {
			panicked = fmt.Errorf("killpoint itself failed, please report it: panic: %v\n%s", reason, debug.Stack())
		}
	}()
	do()
	return nil
}

func addTrouble(h *history.History, err error) {
	event := history.Event{Kind: history.Trouble, Text: err.Error()}
	if len(h.Events) > 0 {
		event.At = h.Events[len(h.Events)-1].At
	}
	h.Events = append(h.Events, event)
}
