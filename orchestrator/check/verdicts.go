package check

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// tally is what the judging service said of each unit of work.
type tally struct {
	firstSuccess map[string]time.Duration
	successes    []string // the ids, in the order of their first success
	failures     []failure
	lines        int
}

type failure struct {
	id    string
	index int // of the event
}

var errNoVerdicts = errors.New("the system's facts do not say which service judges the work (verdicts)")

// verdicts reads the judging service's log, once for all checks.
func (e *evidence) verdicts() (*tally, error) {
	if e.tally == nil && e.tallyError == nil {
		if e.facts.Verdicts == nil {
			e.tallyError = errNoVerdicts
		} else {
			e.tally, e.tallyError = readTally(e.history, e.facts.Verdicts)
		}
	}
	return e.tally, e.tallyError
}

func readTally(h *history.History, facts *scenario.Verdicts) (*tally, error) {
	success, err := idPattern(facts.Success)
	if err != nil {
		return nil, err
	}
	fail, err := idPattern(facts.Failure)
	if err != nil {
		return nil, err
	}
	read := &tally{firstSuccess: map[string]time.Duration{}}
	for index, event := range h.Events {
		if event.Kind != history.Log || event.Service != facts.Service || event.Stream == "stderr" {
			continue
		}
		if id, ok := idIn(success, event.Text); ok {
			read.lines++
			if _, again := read.firstSuccess[id]; !again {
				read.firstSuccess[id] = event.At
				read.successes = append(read.successes, id)
			}
		} else if id, ok := idIn(fail, event.Text); ok {
			read.lines++
			read.failures = append(read.failures, failure{id, index})
		}
	}
	return read, nil
}

func idPattern(text string) (*regexp.Regexp, error) {
	if text == "" {
		return nil, nil
	}
	pattern, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("read verdicts: %w", err)
	}
	if pattern.NumSubexp() != 1 {
		return nil, fmt.Errorf("read verdicts: /%s/ has %d groups, want one, the unit's id", text, pattern.NumSubexp())
	}
	return pattern, nil
}

func idIn(pattern *regexp.Regexp, line string) (string, bool) {
	if pattern == nil {
		return "", false
	}
	groups := pattern.FindStringSubmatch(line)
	if groups == nil {
		return "", false
	}
	return groups[1], true
}

// checkVerdicts asks for at least one success and no failure of every chunk
// whose publish was confirmed, and for no verdict on what was never sent. A
// chunk that was not confirmed may have a success or none; a failure counts
// whatever was confirmed. A message that was broken on purpose may be
// judged a failure.
func checkVerdicts(seen *evidence) Result {
	if seen.scenario.Expect.Verdicts == "off" || seen.facts.Verdicts == nil && seen.scenario.Expect.Verdicts == "" {
		return off()
	}
	tally, err := seen.verdicts()
	if err != nil {
		return uncomputed(err.Error())
	}
	sent, err := seen.sent()
	if err != nil {
		// A failure is one whatever was sent.
		return conclude(failureFindings(seen, tally, nil), []string{err.Error()}, "")
	}
	var findings []Finding
	findings = append(findings, missingVerdicts(seen, tally, sent)...)
	findings = append(findings, failureFindings(seen, tally, sent)...)
	findings = append(findings, unknownVerdicts(seen, tally, sent)...)
	return conclude(findings, sent.doubts(seen), amount(len(tally.successes), "chunk")+" with a success, none with a failure")
}

func missingVerdicts(seen *evidence, tally *tally, sent *ledger) []Finding {
	var rows []Row
	count := 0
	for chunk, id := range sent.ids {
		if _, judged := tally.firstSuccess[id]; judged || !sent.confirmed(chunk) {
			continue
		}
		if count++; len(rows) < maxNamed {
			rows = append(rows, Row{Chunk: id, Partition: NoPartition, Expected: NoPartition})
		}
	}
	if count == 0 {
		return nil
	}
	service := seen.facts.Verdicts.Service
	text := fmt.Sprintf("%s of %d confirmed got no success from %s: %s", amount(count, "chunk"), sent.confirmedCount(), service, chunkNames(rows, count))
	if line := lastLogLine(seen.history, service); line != "" {
		text += fmt.Sprintf("; it last logged %q", line)
	} else {
		text += "; it logged nothing"
	}
	return []Finding{{Kind: Lost, Service: service, Rows: rows, Count: count, Text: text, Position: seen.position("expect.verdicts")}}
}

func failureFindings(seen *evidence, tally *tally, sent *ledger) []Finding {
	service := seen.facts.Verdicts.Service
	var rows []Row
	var first failure
	count := 0
	for _, failure := range tally.failures {
		if sent != nil && (sent.malformed[failure.id] || !sent.has(failure.id)) {
			continue
		}
		if count++; count == 1 {
			first = failure
		}
		if len(rows) < maxNamed {
			rows = append(rows, Row{Chunk: failure.id, Partition: NoPartition, Expected: NoPartition, Text: seen.history.Events[failure.index].Text})
		}
	}
	if count == 0 {
		return nil
	}
	text := fmt.Sprintf("%s reported %s: %s", service, amount(count, "failure"), chunkNames(rows, count))
	if around := linesAround(seen.history, first.index, service); around != "" {
		text += "; around the first it logged " + around
	}
	return []Finding{{
		Kind: Violated, Service: service, At: seen.history.Events[first.index].At, Rows: rows, Count: count, Text: text,
		Position: seen.position("expect.verdicts"),
	}}
}

func unknownVerdicts(seen *evidence, tally *tally, sent *ledger) []Finding {
	service := seen.facts.Verdicts.Service
	var rows []Row
	count := 0
	note := func(id string) {
		if count++; len(rows) < maxNamed {
			rows = append(rows, Row{Chunk: id, Partition: NoPartition, Expected: NoPartition})
		}
	}
	for _, id := range tally.successes {
		if !sent.has(id) {
			note(id)
		}
	}
	for _, failure := range tally.failures {
		if !sent.has(failure.id) && !sent.malformed[failure.id] {
			note(failure.id)
		}
	}
	if count == 0 {
		return nil
	}
	return []Finding{{
		Kind: Unexpected, Service: service, Rows: rows, Count: count, Position: seen.position("expect.verdicts"),
		Text: fmt.Sprintf("%s gave a verdict on %s never sent, or good on one that was broken on purpose: %s",
			service, verb(count, "unit that was", "units that were"), chunkNames(rows, count)),
	}}
}

// linesAround quotes what a service logged just before and after an event.
func linesAround(h *history.History, index int, service string) string {
	const before, after = 2, 4
	var lines []string
	for i, n := index-1, 0; i >= 0 && n < before; i-- {
		if event := h.Events[i]; event.Kind == history.Log && event.Service == service {
			lines = append([]string{fmt.Sprintf("%q", clip(event.Text, 160))}, lines...)
			n++
		}
	}
	for i, n := index+1, 0; i < len(h.Events) && n < after; i++ {
		if event := h.Events[i]; event.Kind == history.Log && event.Service == service {
			lines = append(lines, fmt.Sprintf("%q", clip(event.Text, 160)))
			n++
		}
	}
	return strings.Join(lines, ", ")
}

// chunkNames lists the chunks of some rows, each once, the first three by name.
func chunkNames(rows []Row, count int) string {
	var names []string
	known := map[string]bool{}
	for _, row := range rows {
		if !known[row.Chunk] {
			known[row.Chunk] = true
			names = append(names, row.Chunk)
		}
	}
	if len(names) <= 3 && count <= len(rows) {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:min(3, len(names))], ", ") + " and more"
}
