package trigger

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// logLine comes with the n-th log line that contains a text, counted from the
// start of each incarnation. Lines from before it was armed count, but it
// only comes with one from after: a fault is never done for a moment that has
// passed.
type logLine struct {
	when    scenario.When
	service string
	spent   Spent
	over    int
	matched chan Match
	stop    func()

	mu     sync.Mutex
	live   bool // false while the past is replayed
	done   bool
	counts map[int]int
	last   int // the newest incarnation with a match
}

func armLog(when scenario.When, of Fault, recorder *history.Recorder) *logLine {
	armed := &logLine{when: when, service: when.Service, spent: of.Spent, over: of.Over, matched: make(chan Match, 1), counts: map[int]int{}}
	if armed.service == "" {
		armed.service = of.Service
	}
	// No event can come between the replay of the past and the first live
	// one: Watch holds the recorder's lock, and goLive is its last word.
	armed.stop = recorder.WatchFrom(armed.see, armed.goLive)
	return armed
}

func (l *logLine) goLive() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live = true
}

func (l *logLine) see(event history.Event) {
	if event.Kind != history.Log || event.Service != l.service || !strings.Contains(event.Text, l.when.Log) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[event.Incarnation]++
	l.last = event.Incarnation
	if !l.live || l.done || event.Incarnation <= l.over || (l.when.Incarnation != 0 && l.when.Incarnation != event.Incarnation) {
		return
	}
	if l.counts[event.Incarnation]-l.spent[event.Incarnation] != l.when.Occurrence {
		return
	}
	l.done = true
	l.spent[event.Incarnation] = l.counts[event.Incarnation]
	l.matched <- Match{At: event.At, Service: event.Service, Incarnation: event.Incarnation, Text: event.Text}
}

func (l *logLine) Wait(ctx context.Context) (Match, error) {
	select {
	case match := <-l.matched:
		return match, nil
	case <-ctx.Done():
		return Match{}, ctx.Err()
	}
}

func (l *logLine) Came() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done
}

func (l *logLine) Seen() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	incarnation := l.when.Incarnation
	if incarnation == 0 {
		incarnation = max(l.last, 1)
	}
	seen := l.counts[incarnation] - l.spent[incarnation]
	if seen >= l.when.Occurrence {
		return fmt.Sprintf("line %d of incarnation %d that says %q had come before the fault was armed", l.when.Occurrence, incarnation, l.when.Log)
	}
	return fmt.Sprintf("%d of %d lines of %s that say %q had come in incarnation %d", seen, l.when.Occurrence, l.service, l.when.Log, incarnation)
}

func (l *logLine) Disarm() { l.stop() }
