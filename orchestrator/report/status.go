package report

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// status is what the redrawn line says of one run that goes on.
type status struct {
	name     string
	began    time.Time
	phase    string
	removing bool // what exits now was made to
	planned  int  // faults, every repetition counted
	fired    int
	success  *regexp.Regexp // a log line that judges a unit of work; nil when the system has none
	whose    string         // the service that writes such lines
	done     map[string]bool
}

// Phases that a run names and that mean something here: what exits in them
// was made to.
const (
	collectingPhase = "collecting"
	removingPhase   = "removing"
)

func newStatus(name string, sc *scenario.Scenario, began time.Time) *status {
	current := &status{name: name, began: began, phase: "starting", done: map[string]bool{}}
	for _, fault := range sc.Faults {
		current.planned += max(fault.Times, 1)
	}
	if sc.Facts != nil && sc.Facts.Verdicts != nil {
		// A pattern that does not compile was refused long before; should
		// it come here all the same, only the counter is missing.
		current.success, _ = regexp.Compile(sc.Facts.Verdicts.Success)
		current.whose = sc.Facts.Verdicts.Service
	}
	return current
}

// interesting says whether an event can change what the line says; the others
// need not be kept until the screen is drawn.
func (s *status) interesting(event history.Event) bool {
	switch event.Kind {
	case history.Phase, history.FaultFired:
		return true
	case history.Log:
		return s.success != nil && event.Service == s.whose && s.success.MatchString(event.Text)
	default:
		return false
	}
}

func (s *status) apply(event history.Event) {
	switch event.Kind {
	case history.Phase:
		s.phase = event.Text
		s.removing = event.Text == removingPhase
	case history.FaultFired:
		s.fired++
	case history.Log:
		if s.success == nil || event.Service != s.whose {
			return
		}
		if match := s.success.FindStringSubmatch(event.Text); len(match) > 1 {
			s.done[match[1]] = true
		}
	}
}

// full says everything in words, brief the same in figures, short leaves out
// the phase, and bare all but name and time.
func (s *status) full(now time.Time) string {
	parts := []string{fmt.Sprintf("%s %s %s", s.name, oneLine(s.phase), shortTime(now.Sub(s.began)))}
	if s.success != nil {
		parts = append(parts, fmt.Sprintf("%d done", len(s.done)))
	}
	if s.planned > 0 {
		parts = append(parts, fmt.Sprintf("fault %d/%d", s.fired, s.planned))
	}
	return strings.Join(parts, ", ")
}

func (s *status) brief(now time.Time) string {
	return s.figures(fmt.Sprintf("%s %s %s", s.name, oneLine(s.phase), shortTime(now.Sub(s.began))))
}

func (s *status) short(now time.Time) string {
	return s.figures(fmt.Sprintf("%s %s", s.name, shortTime(now.Sub(s.began))))
}

func (s *status) figures(text string) string {
	if s.success != nil {
		text += fmt.Sprintf(" %d done", len(s.done))
	}
	if s.planned > 0 {
		text += fmt.Sprintf(" %d/%d", s.fired, s.planned)
	}
	return text
}

func (s *status) bare(now time.Time) string {
	return fmt.Sprintf("%s %s", s.name, shortTime(now.Sub(s.began)))
}

// statusLine tells all runs that go on, in the order in which they began, in
// so many words as the columns allow; 0 columns are no limit.
func statusLine(running []*status, ended, total, columns int, now time.Time) string {
	head := ""
	if total > 1 {
		head = fmt.Sprintf("%d of %d done", ended, total)
	}
	for _, say := range []func(*status, time.Time) string{(*status).full, (*status).brief, (*status).short, (*status).bare} {
		parts := []string{}
		if head != "" {
			parts = append(parts, head)
		}
		for _, current := range running {
			parts = append(parts, say(current, now))
		}
		line := strings.Join(parts, " | ")
		if columns <= 0 || columnsOf(line) <= columns {
			return line
		}
	}
	if len(running) == 1 || head == "" {
		return cut(strings.TrimPrefix(head+" | "+running[0].full(now), " | "), columns)
	}
	return cut(fmt.Sprintf("%s | %d go on", head, len(running)), columns)
}
