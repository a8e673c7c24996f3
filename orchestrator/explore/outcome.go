package explore

import (
	"slices"
	"strings"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
)

// Status is what came of an item.
type Status string

// What comes of an item.
const (
	Survived     Status = "survived"     // it was held where planned, and every check passed
	Failed       Status = "failed"       // a check has findings
	Inconclusive Status = "inconclusive" // it never came as planned, or a check could not be computed
	// Diverged says that it never came as planned, which was known to be
	// possible: its operation was not the same in every undisturbed recording,
	// or nothing makes runs of the system equal.
	Diverged Status = "diverged"
	Broken   Status = "broken" // trouble of the tool's own, each time
)

// Outcome is what came of an item.
type Outcome struct {
	// Point is the item's text; empty for the undisturbed run.
	Point  string `json:"point"`
	Status Status `json:"status"`
	// Reason says why it is inconclusive, diverged or broken, or what is to be
	// known of a failure that did not come as planned.
	Reason   string          `json:"reason,omitempty"`
	Findings []check.Finding `json:"findings,omitempty"`
	// Failures of Attempts trials failed; trials without a verdict are no
	// attempts, unless there were no others.
	Failures int     `json:"failures,omitempty"`
	Attempts int     `json:"attempts"`
	Seconds  float64 `json:"seconds"`
	// Recording belongs to an item that asked for one, and Number to which.
	Recording *Recording `json:"recording,omitempty"`
	Number    int        `json:"number,omitempty"`
	// Meta is what is known of the run that was recorded.
	Meta *history.Meta `json:"meta,omitempty"`
}

// Kinds says what the findings are about, each once, without what differs
// from one run to the next: rows:duplicated,rows:torn.
func (o *Outcome) Kinds() string {
	var kinds []string
	for _, finding := range o.Findings {
		kinds = append(kinds, finding.Check+":"+string(finding.Kind))
	}
	slices.Sort(kinds)
	return strings.Join(slices.Compact(kinds), ",")
}

// How much of a finding is kept: a campaign may have very many of them, and a
// replay shows the rest.
const (
	maxFindings = 8
	maxRows     = 5
	maxText     = 600
)

// shortened keeps of findings what a list of them can show.
func shortened(findings []check.Finding) []check.Finding {
	kept := slices.Clone(findings[:min(len(findings), maxFindings)])
	for i := range kept {
		kept[i].Rows = slices.Clone(kept[i].Rows[:min(len(kept[i].Rows), maxRows)])
		kept[i].Text = clipped(kept[i].Text)
	}
	return kept
}

func clipped(text string) string {
	if characters := []rune(text); len(characters) > maxText {
		return string(characters[:maxText]) + "…"
	}
	return text
}
