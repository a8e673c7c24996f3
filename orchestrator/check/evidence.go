package check

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// evidence is the scenario and the history, with what several checks need
// from them computed once.
type evidence struct {
	scenario *scenario.Scenario
	history  *history.History
	facts    scenario.Facts
	limits   limits

	ledger      *ledger
	ledgerError error
	ledgerRead  bool

	tally      *tally
	tallyError error
}

// limits bound the memory and the time of the checks.
type limits struct {
	// held is how many words of what was sent, and of lines that stand in
	// the wrong file, are held in memory; more are set aside on disk. The
	// rows of a usual run never come to as much.
	held int
	// explained is how many wrong lines of a partition are explained. Beyond
	// it they are only counted, and it is no longer said what is lost.
	explained int
	// fragments is how many lines that are no row are compared with the rows
	// that were sent; further ones are reported as never sent.
	fragments int
	// searched is how many steps are taken in search of a way to take a
	// partition's files apart.
	searched int
}

var usualLimits = limits{held: 4 << 20, explained: 2_000_000, fragments: 4096, searched: 4_000_000}

func newEvidence(sc *scenario.Scenario, h *history.History) *evidence {
	seen := &evidence{scenario: sc, history: h}
	if sc.Facts != nil {
		seen.facts = *sc.Facts
	}
	return seen
}

// errNoRecord means that what was sent cannot be known.
var errNoRecord = errors.New("the system's facts do not say what was sent (rows.sent)")

// sent reads the sender's record, once for all checks.
func (e *evidence) sent() (*ledger, error) {
	if !e.ledgerRead {
		e.ledgerRead = true
		if e.facts.Rows == nil {
			e.ledgerError = errNoRecord
		} else {
			e.ledger, e.ledgerError = readLedger(e.history, e.facts.Rows, e.limits.held)
		}
	}
	return e.ledger, e.ledgerError
}

// close lets go of what was set aside.
func (e *evidence) close() {
	if e.ledger != nil {
		e.ledger.close()
	}
}

// last gives the last event of a kind, and whether there is one.
func (e *evidence) last(kind history.Kind) (history.Event, bool) {
	for i := len(e.history.Events) - 1; i >= 0; i-- {
		if e.history.Events[i].Kind == kind {
			return e.history.Events[i], true
		}
	}
	return history.Event{}, false
}

// first gives the index of the first event of a kind, or -1.
func (e *evidence) first(kind history.Kind) int {
	for i, event := range e.history.Events {
		if event.Kind == kind {
			return i
		}
	}
	return -1
}

// end gives the index of the event with which the system was done, or given
// up on; the number of events when there is none. What services do after it
// is the run's doing: one more restart, or their removal.
func (e *evidence) end() int {
	for i, event := range e.history.Events {
		switch event.Kind {
		case history.AllDone, history.Settled, history.TimedOut:
			return i
		}
	}
	return len(e.history.Events)
}

// lateLife gives the first incarnation of a service that began after the
// end; 0 when none did.
func (e *evidence) lateLife(service string) int {
	end := e.end()
	for i, event := range e.history.Events {
		if i > end && event.Kind == history.Started && event.Service == service {
			return event.Incarnation
		}
	}
	return 0
}

// started says whether a service lived at all.
func (e *evidence) started(service string) bool {
	for _, event := range e.history.Events {
		if event.Service == service && (event.Kind == history.Started || event.Kind == history.Log) {
			return true
		}
	}
	return false
}

// position finds where the scenario says a thing, by its path in the file.
func (e *evidence) position(path string) scenario.Position {
	return e.scenario.Positions[path]
}

func joinReasons(reasons []string) string { return strings.Join(reasons, "; ") }

// short rounds a time to what a person can compare with a log.
func short(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(time.Millisecond).String()
	default:
		return d.String()
	}
}

// clip keeps a text on one line and within a length, for use in a sentence.
func clip(text string, limit int) string {
	text = strings.TrimSpace(strings.ReplaceAll(strings.ReplaceAll(text, "\r", ""), "\n", " ⏎ "))
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return text
}

// amount writes a number with thousands separated, and its noun.
func amount(n int, noun string) string {
	digits := fmt.Sprint(n)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	if n == 1 {
		return digits + " " + noun
	}
	return digits + " " + noun + "s"
}
