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
	name    string
	began   time.Time
	phase   string
	planned int // faults, every repetition counted
	fired   int
	success *regexp.Regexp // a log line that judges a unit of work; nil when the system has none
	whose   string         // the service that writes such lines
	done    map[string]bool
}

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

func (s *status) String(now time.Time) string {
	parts := []string{fmt.Sprintf("%s %s %s", s.name, oneLine(s.phase), shortTime(now.Sub(s.began)))}
	if s.success != nil {
		parts = append(parts, fmt.Sprintf("%d done", len(s.done)))
	}
	if s.planned > 0 {
		parts = append(parts, fmt.Sprintf("fault %d/%d", s.fired, s.planned))
	}
	return strings.Join(parts, ", ")
}

// statusLine tells all runs that go on, in the order in which they began.
func statusLine(running []*status, ended, total int, now time.Time) string {
	var parts []string
	for _, current := range running {
		parts = append(parts, current.String(now))
	}
	line := strings.Join(parts, " | ")
	if total > 1 {
		line = fmt.Sprintf("%d of %d done | %s", ended, total, line)
	}
	return strings.TrimSuffix(line, " | ")
}
