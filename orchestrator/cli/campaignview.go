package cli

import (
	"fmt"
	"time"

	"github.com/killpoint/killpoint/orchestrator/explore"
	"github.com/killpoint/killpoint/orchestrator/report"
)

// campaignView tells of a campaign on its way.
type campaignView struct {
	*report.Exploring
	budget time.Duration
	model  explore.Model
}

func (w *world) newCampaignView(o *exploreOptions) *campaignView {
	return &campaignView{budget: o.budget, model: explore.Model(o.model), Exploring: report.NewExploring(report.ExploringOptions{
		Stderr: w.stderr, Err: w.style(w.stderr), Quiet: o.quiet, Now: w.now, Width: func() int { return w.width(w.stderr) },
	})}
}

// Planned: see explore.Watcher.
func (v *campaignView) Planned(summary explore.Summary) {
	plan := report.CampaignPlan{
		Operations: summary.Operations, Points: summary.Points, Kinds: summary.Kinds, Chosen: summary.Chosen, Resumed: summary.Resumed,
	}
	if v.model == explore.PowerLoss {
		plan.Notes = append(plan.Notes, fmt.Sprintf("%d of %d ways of losing what was not synced (--variants)", summary.Points, summary.Possible))
	}
	plan.Notes = append(plan.Notes, summary.Left...)
	if differs := summary.Divergence.String(); differs != "" {
		plan.Notes = append(plan.Notes, differs)
	}
	if bytes := summary.Divergence.Bytes; bytes > 0 {
		plan.Notes = append(plan.Notes, fmt.Sprintf("%d operations carry other bytes each time: they are known by their place alone", bytes))
	}
	v.Exploring.Planned(plan)
}

// Outcome: see explore.Watcher.
func (v *campaignView) Outcome(outcome explore.Outcome, progress explore.Progress) {
	told := report.CampaignProgress{
		Done: progress.Done, Total: progress.Total, Failed: progress.Failed, Inconclusive: progress.Inconclusive,
		Diverged: progress.Diverged, Seconds: progress.Took.Seconds(),
	}
	if progress.Took > 0 {
		told.Rate = float64(progress.Session) / progress.Took.Minutes()
	}
	if told.Rate > 0 {
		told.Left = float64(progress.Total-progress.Done) / told.Rate * 60
		if v.budget > 0 {
			told.Left = min(told.Left, max((v.budget-progress.Took).Seconds(), 0))
		}
	}
	switch outcome.Status {
	case explore.Failed:
		text := outcome.Reason
		if len(outcome.Findings) > 0 {
			text = string(outcome.Findings[0].Kind) + ": " + outcome.Findings[0].Text
		}
		v.Found(outcome.Point, report.Failed, fmt.Sprintf("%s (%d of %d)", text, outcome.Failures, outcome.Attempts))
	case explore.Inconclusive:
		v.Found(outcome.Point, report.Inconclusive, outcome.Reason)
	case explore.Broken:
		v.Found(outcome.Point, report.Broken, outcome.Reason)
	}
	v.Progress(told)
}
