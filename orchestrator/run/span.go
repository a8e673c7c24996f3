package run

import (
	"slices"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// addWorkloadSpan records from when to when the system worked: from the first
// line of the sender's log to the last verdict, or the exit of the last
// service that the end waits for where that comes later. Where no sender or no
// verdicts are known, from the first start and to the end of the wait. The
// time that faults kept a service down lies within it, in spans of its own.
func (r *run) addWorkloadSpan() {
	sender, judge := "", ""
	if r.facts.Rows != nil {
		sender = r.facts.Rows.Sent.Service
	}
	judge = r.progress.judge
	span := history.Span{Name: history.SpanWorkload, Start: -1, End: -1}
	events := r.recorder.History().Events
	for _, event := range events {
		begins := event.Kind == history.Log && event.Service == sender || sender == "" && event.Kind == history.Started
		if begins && span.Start < 0 {
			span.Start = event.At
		}
		judged := judge != "" && event.Kind == history.Log && event.Service == judge && r.progress.isVerdict(event.Text)
		exited := judge != "" && event.Kind == history.Exited && slices.Contains(r.awaitedExits(), event.Service)
		if judged || exited {
			span.End = event.At
		}
	}
	if span.End < 0 {
		span.End = events[len(events)-1].At
	}
	if span.Start >= 0 && span.Start < span.End {
		r.recorder.AddSpan(span)
	}
}
