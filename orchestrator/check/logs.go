package check

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// checkLogs counts log lines: there, not there, n times, in one incarnation
// or in all of them together. A life that began after the system was done, by
// the further restart of the stable check, does not count.
func checkLogs(seen *evidence) Result {
	expected := seen.scenario.Expect.Logs
	if len(expected) == 0 {
		return off()
	}
	var findings []Finding
	var missing []string
	for _, expect := range expected {
		finding, reason := judgeLog(seen, expect)
		if reason != "" {
			missing = append(missing, reason)
		} else if finding != nil {
			findings = append(findings, *finding)
		}
	}
	return conclude(findings, missing, amount(len(expected), "expectation")+" met")
}

func judgeLog(seen *evidence, expect scenario.LogExpect) (*Finding, string) {
	if !seen.started(expect.Service) {
		return nil, fmt.Sprintf("%s never started, so it has no log", expect.Service)
	}
	matches, err := lineMatcher(expect)
	if err != nil {
		return nil, fmt.Sprintf("the log of %s cannot be searched: %v", expect.Service, err)
	}
	late := seen.lateLife(expect.Service)
	count, at, elsewhere := 0, time.Duration(0), map[int]int{}
	for _, event := range seen.history.Events {
		if event.Kind != history.Log || event.Service != expect.Service || !matches(event.Text) {
			continue
		}
		if late > 0 && event.Incarnation >= late {
			continue
		}
		if expect.Incarnation != 0 && event.Incarnation != expect.Incarnation {
			elsewhere[event.Incarnation]++
			continue
		}
		count, at = count+1, event.At
	}
	bound := logBound(expect)
	if count >= bound.least && (bound.most < 0 || count <= bound.most) {
		return nil, ""
	}
	text := fmt.Sprintf("%s logged %s %s%s, expected %s", expect.Service, lineWords(expect), amount(count, "time"), lifeWords(expect.Incarnation), bound)
	for life, n := range elsewhere {
		if len(elsewhere) == 1 {
			text += fmt.Sprintf(" (%s in incarnation %d)", amount(n, "time"), life)
		}
	}
	return &Finding{Kind: Violated, Service: expect.Service, At: at, Text: text, Position: expect.Position}, ""
}

func lineMatcher(expect scenario.LogExpect) (func(string) bool, error) {
	if expect.Matches == "" {
		return func(line string) bool { return strings.Contains(line, expect.Contains) }, nil
	}
	pattern, err := regexp.Compile(expect.Matches)
	if err != nil {
		return nil, err
	}
	return func(line string) bool {
		return pattern.MatchString(line) && strings.Contains(line, expect.Contains)
	}, nil
}

// bound is how many lines there may be; most is -1 for any number.
type bound struct{ least, most int }

// logBound says how many lines are asked for; with no count, at least one.
func logBound(expect scenario.LogExpect) bound {
	if expect.Times != nil {
		return bound{*expect.Times, *expect.Times}
	}
	if expect.AtLeast == nil && expect.AtMost == nil {
		return bound{1, -1}
	}
	limits := bound{0, -1}
	if expect.AtLeast != nil {
		limits.least = *expect.AtLeast
	}
	if expect.AtMost != nil {
		limits.most = *expect.AtMost
	}
	return limits
}

func (b bound) String() string {
	switch {
	case b.most < 0:
		return fmt.Sprintf("at least %d", b.least)
	case b.least == b.most && b.most == 0:
		return "none"
	case b.least == b.most:
		return fmt.Sprintf("exactly %d", b.least)
	case b.least == 0:
		return fmt.Sprintf("at most %d", b.most)
	default:
		return fmt.Sprintf("%d to %d", b.least, b.most)
	}
}

func lineWords(expect scenario.LogExpect) string {
	switch {
	case expect.Matches == "":
		return fmt.Sprintf("a line with %q", expect.Contains)
	case expect.Contains == "":
		return fmt.Sprintf("a line like /%s/", expect.Matches)
	default:
		return fmt.Sprintf("a line like /%s/ with %q", expect.Matches, expect.Contains)
	}
}

func lifeWords(incarnation int) string {
	if incarnation == 0 {
		return ""
	}
	return fmt.Sprintf(" in incarnation %d", incarnation)
}
