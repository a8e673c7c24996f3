package report

import (
	"fmt"
	"strings"
	"time"
)

// What the console shows at most; result.json has everything.
const (
	rowsShown         = 8  // of one finding
	linesBefore       = 2  // of a hexdump, before the line with the cut
	linesAfter        = 2  // and after it
	troubleLinesShown = 30 // of one trouble, such as a stack or a container's last words
)

// resultBlock is the result of one run as a person reads it, its lines from
// the most to the least important.
func (s Style) resultBlock(result Result) string {
	var block strings.Builder
	fmt.Fprintln(&block, s.headline(result))
	for _, text := range result.Trouble {
		fmt.Fprintf(&block, "  %s %s\n", s.mark(Broken), continued(firstLines(text, troubleLinesShown), "      "))
	}
	for _, check := range result.Checks {
		if result.proves(check) {
			s.writeCheck(&block, check)
		}
	}
	if result.Outcome == Inconclusive && !result.explainedByChecks() {
		for _, reason := range result.Reasons {
			fmt.Fprintf(&block, "  %s %s\n", s.mark(Inconclusive), continued(reason, "      "))
		}
	}
	if result.Outcome == Failed {
		for _, fault := range result.Faults {
			s.writeCrash(&block, fault)
		}
	}
	for _, text := range result.Warnings {
		fmt.Fprintf(&block, "  %s\n", s.paint(yellow, "warning  "+continued(text, "           ")))
	}
	for _, text := range result.Unremoved {
		fmt.Fprintf(&block, "  %s\n", s.paint(red, "left     "+oneLine(text)+" (killpoint clean tries again)"))
	}
	if result.Times != nil {
		s.writeTimes(&block, *result.Times)
	}
	if result.Replay != "" && result.Outcome != Passed {
		fmt.Fprintf(&block, "  replay   %s\n", oneLine(result.Replay))
	}
	if result.Report != "" {
		fmt.Fprintf(&block, "  report   %s\n", oneLine(result.Report))
	}
	return block.String()
}

// proves says whether a check of this run means anything: in one that was
// interrupted all that did not happen yet is missing, and in one that broke
// only what was found is of use to whoever repairs it.
func (r Result) proves(check Check) bool {
	switch r.Outcome {
	case Interrupted:
		return false
	case Broken:
		return len(check.Findings) > 0
	default:
		return true
	}
}

// explainedByChecks says whether some check already shows why the run did not
// pass.
func (r Result) explainedByChecks() bool {
	for _, check := range r.Checks {
		if check.Status == CheckFailed || check.Status == CheckUncomputed {
			return true
		}
	}
	return false
}

// headline says which scenario, how it ended, and where it stands.
func (s Style) headline(result Result) string {
	line := fmt.Sprintf("%s %s %s", s.mark(result.Outcome), s.paint(bold, oneLine(result.Name)),
		s.paint(colourOf(result.Outcome), outcomeWords(result.Outcome)))
	if result.Outcome == NotRun {
		return line
	}
	line += " in " + shortTime(time.Duration(result.Seconds*float64(time.Second)))
	if result.Model != "" {
		line += s.paint(faint, " ("+result.Model+")")
	}
	if result.Outcome != Passed {
		line += "  " + s.paint(faint, place(result.File, result.Line, result.Column))
	}
	return line
}

// outcomeWords is an outcome in a sentence.
func outcomeWords(outcome Outcome) string { return strings.ReplaceAll(string(outcome), "-", " ") }

// place is file:line:col as far as it is known, which editors can jump to.
func place(file string, line, column int) string {
	text := oneLine(file)
	if line > 0 {
		text += fmt.Sprintf(":%d", line)
		if column > 0 {
			text += fmt.Sprintf(":%d", column)
		}
	}
	return text
}

// writeCheck shows a check, unless nobody asked for it.
func (s Style) writeCheck(block *strings.Builder, check Check) {
	if check.Status == CheckOff {
		return
	}
	fmt.Fprintf(block, "  %s %s", s.mark(check.Status.outcome()), check.Name)
	for _, text := range []string{check.Detail, check.Reason} {
		if text != "" {
			fmt.Fprintf(block, ": %s", continued(text, "      "))
		}
	}
	fmt.Fprintln(block)
	for _, finding := range check.Findings {
		for index, line := range s.findingLines(finding) {
			fmt.Fprintf(block, "      %s%s\n", strings.Repeat("  ", min(index, 1)), line)
		}
	}
}

// findingLines is what is wrong, then the rows by which the place is found.
func (s Style) findingLines(finding Finding) []string {
	first := s.paint(red, finding.Kind) + ": " + oneLine(finding.Text)
	if finding.Line > 0 {
		first += "  " + s.paint(faint, place(finding.File, finding.Line, finding.Column))
	}
	lines := []string{first}
	for index, row := range finding.Rows {
		if index == rowsShown {
			break
		}
		lines = append(lines, row.String())
	}
	if more := max(finding.Count, len(finding.Rows)) - min(len(finding.Rows), rowsShown); more > 0 && len(finding.Rows) > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return lines
}

// String is the row and everything by which it is found. The row itself is
// quoted, since what is wrong with it may be a byte that cannot be seen.
func (r Row) String() string {
	var parts []string
	if r.File != "" {
		parts = append(parts, place(r.File, r.Line, 0))
	}
	if r.Partition != nil {
		parts = append(parts, fmt.Sprintf("partition %d", *r.Partition))
	}
	if r.Expected != nil && r.Partition != nil && *r.Expected != *r.Partition {
		parts = append(parts, fmt.Sprintf("belongs in partition %d", *r.Expected))
	}
	if r.Chunk != "" {
		parts = append(parts, "chunk "+oneLine(r.Chunk))
	}
	if r.Text != "" || r.File != "" {
		parts = append(parts, fmt.Sprintf("%q", r.Text))
	}
	return strings.Join(parts, "  ")
}

// writeCrash shows where a fault was done to a program, and the bytes around
// the cut: what the next life found, and what it made of them.
func (s Style) writeCrash(block *strings.Builder, fault Fault) {
	if fault.Point == nil {
		return
	}
	fmt.Fprintf(block, "  crash    %s #%d was held %s\n", oneLine(fault.Service), max(fault.Incarnation, 1), oneLine(fault.Point.Text))
	for _, file := range fault.Point.Files {
		name := oneLine(file.Path) + ": "
		if len(fault.Point.Files) == 1 {
			name = ""
		}
		s.writeBytes(block, name+"at the crash", file.Crash, file.Cut)
		s.writeBytes(block, name+"at the end", file.End, file.Cut)
	}
}

func (s Style) writeBytes(block *strings.Builder, when string, some *Bytes, cut *int64) {
	switch {
	case some == nil:
		fmt.Fprintf(block, "           %s: no such file\n", when)
		return
	case some.Unread != "":
		fmt.Fprintf(block, "           %s: %s\n", when, oneLine(some.Unread))
		return
	}
	head := fmt.Sprintf("%s: %s", when, plural(int(some.Size), "byte"))
	if cut != nil {
		head += fmt.Sprintf(", cut (%s) at byte %d", s.cutMark(), *cut)
	}
	fmt.Fprintf(block, "           %s\n", head)
	for _, line := range near(hexdump(some, cut, s.cutMark()), some, cut, linesBefore, linesAfter) {
		fmt.Fprintf(block, "             %s\n", s.paint(faint, line))
	}
}

// cutMark stands between the bytes on both sides of a cut.
func (s Style) cutMark() string {
	if s.Unicode {
		return "│"
	}
	return ">"
}

func (s Style) writeTimes(block *strings.Builder, times Times) {
	fmt.Fprintf(block, "  time     %s\n", s.paint(faint, times.String()))
	fmt.Fprintf(block, "           %s\n", s.paint(faint,
		fmt.Sprintf("neither Docker, broker boot nor workload: %.1f %%", times.OverheadPercent)))
}

// String lists the phases, each with the time that it took.
func (t Times) String() string {
	var parts []string
	for _, phase := range t.Phases {
		part := fmt.Sprintf("%s %.1fs", phase.Name, phase.Seconds)
		if phase.Name == Unattributed && t.Total > 0 {
			part += fmt.Sprintf(" (%.1f %%)", 100*phase.Seconds/t.Total)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "  ")
}

// closing is the last thing that a command over several runs says: the counts,
// and how to run again each one that did not pass.
func (s Style) closing(document Document) string {
	took := shortTime(time.Duration(document.Seconds * float64(time.Second)))
	var text strings.Builder
	fmt.Fprintf(&text, "%s in %s\n", s.counts(document.Totals), took)
	shown := map[string]bool{}
	for _, result := range document.Scenarios {
		if result.Replay == "" || result.Outcome == Passed || shown[result.Replay] {
			continue
		}
		shown[result.Replay] = true
		fmt.Fprintf(&text, "  %s\n", oneLine(result.Replay))
	}
	return text.String()
}

// counts names every outcome that occurred, and passed in any case.
func (s Style) counts(totals Totals) string {
	parts := []string{plural(totals.Scenarios, "scenario")}
	add := func(count int, outcome Outcome) {
		if count > 0 || outcome == Passed {
			parts = append(parts, s.paint(colourOf(outcome), fmt.Sprintf("%d %s", count, outcomeWords(outcome))))
		}
	}
	add(totals.Passed, Passed)
	add(totals.Failed, Failed)
	add(totals.Inconclusive, Inconclusive)
	add(totals.Broken, Broken)
	add(totals.Interrupted, Interrupted)
	add(totals.NotRun, NotRun)
	return strings.Join(parts, ", ")
}
