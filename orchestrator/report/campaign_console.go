package report

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// failuresShown is how many points of an outcome the console tells of, each in
// a few lines; the other renderings have all of them, with their rows.
const failuresShown = 5

// WriteCampaign writes what a campaign came to, for a person to read.
func (s Style) WriteCampaign(to io.Writer, campaign *Campaign) error {
	if _, err := io.WriteString(to, s.campaignBlock(campaign)); err != nil {
		return fmt.Errorf("write result of the campaign: %w", err)
	}
	return nil
}

func (s Style) campaignBlock(c *Campaign) string {
	var block strings.Builder
	fmt.Fprintf(&block, "%s %s%s  %s\n", s.mark(c.Outcome), s.paint(bold, oneLine(c.headline())),
		s.paint(faint, " ("+c.how()+")"), s.paint(faint, oneLine(c.File)))
	for _, text := range c.Trouble {
		fmt.Fprintf(&block, "  %s %s\n", s.mark(Broken), continued(firstLines(text, troubleLinesShown), "      "))
	}
	const row = "  %-10s %9s %9s %9s %13s\n"
	fmt.Fprintf(&block, row, "operation", "points", "survived", "failed", "inconclusive")
	for _, kind := range c.Operations {
		fmt.Fprintf(&block, row, kind.Operation, grouped(kind.Points), grouped(kind.Passed), grouped(kind.Failed), grouped(kind.Inconclusive+kind.Broken))
	}
	s.writeFailures(&block, c)
	if c.Note != "" {
		fmt.Fprintf(&block, "  note     %s\n", continued(c.Note, "           "))
	}
	for _, text := range c.Warnings {
		fmt.Fprintf(&block, "  %s\n", s.paint(yellow, "warning  "+continued(text, "           ")))
	}
	if c.Smallest != nil {
		fmt.Fprintf(&block, "  smallest %s\n           %s\n", oneLine(c.Smallest.Point), oneLine(c.Smallest.Text))
		if c.Smallest.Replay != "" {
			fmt.Fprintf(&block, "  replay   %s\n", oneLine(c.Smallest.Replay))
		}
	} else if c.Replay != "" && c.Outcome != Passed {
		fmt.Fprintf(&block, "  replay   %s\n", oneLine(c.Replay))
	}
	took := shortTime(time.Duration(c.Seconds * float64(time.Second)))
	fmt.Fprintf(&block, "%s in %s (%s a minute)\n", s.pointCounts(c.Totals), took, grouped(int(c.Rate)))
	return block.String()
}

// how is the failure model, and whether crashes came in chains.
func (c *Campaign) how() string {
	if c.Chain {
		return c.Model + ", in chains"
	}
	return c.Model
}

// writeFailures tells of the first points that failed, then of those that are
// inconclusive.
func (s Style) writeFailures(block *strings.Builder, c *Campaign) {
	for _, outcome := range []Outcome{Failed, Broken, Inconclusive} {
		told, more := 0, 0
		for index := range c.Points {
			point := &c.Points[index]
			if point.Outcome != outcome || outcome == Inconclusive && point.Divergent {
				continue // what was known to differ is counted apart
			}
			if told == failuresShown {
				more++
				continue
			}
			told++
			fmt.Fprintf(block, "  %s %s\n", s.mark(outcome), oneLine(point.Point))
			for _, line := range s.brief(point) {
				fmt.Fprintf(block, "      %s\n", line)
			}
		}
		if more > 0 {
			fmt.Fprintf(block, "    and %s more %s\n", grouped(more), outcomeWords(outcome))
		}
	}
}

// brief is the least that a reader must know of a point that did not survive.
func (s Style) brief(p *CrashPoint) []string {
	var lines []string
	if len(p.Findings) > 0 {
		lines = append(lines, s.paint(red, p.Findings[0].Kind)+": "+oneLine(p.Findings[0].Text))
	}
	if more := len(p.Findings) - 1; more > 0 {
		lines = append(lines, "and "+plural(more, "more finding"))
	}
	if p.Reason != "" {
		lines = append(lines, oneLine(p.Reason))
	}
	if p.Outcome == Failed {
		lines = append(lines, p.attempts())
	}
	return lines
}

// pointCounts names every outcome that occurred; survived and inconclusive in
// any case, since a campaign stands on both.
func (s Style) pointCounts(totals PointTotals) string {
	parts := []string{grouped(totals.Points) + " crash points"}
	if totals.Points == 1 {
		parts[0] = "1 crash point"
	}
	add := func(count int, outcome Outcome, words string, always bool) {
		if count > 0 || always {
			parts = append(parts, s.paint(colourOf(outcome), grouped(count)+" "+words))
		}
	}
	add(totals.Passed, Passed, "survived", true)
	failed := "failed"
	if totals.Unconfirmed > 0 {
		failed += fmt.Sprintf(" (%s unconfirmed)", grouped(totals.Unconfirmed))
	}
	add(totals.Failed, Failed, failed, false)
	add(totals.Inconclusive, Inconclusive, "inconclusive", true)
	add(totals.Broken, Broken, "broken", false)
	add(totals.NotRun, NotRun, "not run", false)
	add(totals.Diverged, NotRun, "diverged as they may", false)
	return strings.Join(parts, ", ")
}
