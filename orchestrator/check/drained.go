package check

import (
	"fmt"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// checkDrained asks that the queues named in done.drained held nothing when
// they were last counted: a message that is ready or unacknowledged at the
// end is work that nobody did.
func checkDrained(seen *evidence) Result {
	if seen.scenario.Expect.Drained == "off" {
		return off()
	}
	if seen.facts.Done == nil || len(seen.facts.Done.Drained) == 0 {
		if seen.scenario.Expect.Drained == "" {
			return off()
		}
		return uncomputed("the system's facts name no queue (done.drained)")
	}
	depths := map[string]history.Event{}
	for _, event := range seen.history.Events {
		if event.Kind == history.QueueDepth {
			depths[event.Queue] = event
		}
	}
	var findings []Finding
	var missing []string
	for _, queue := range seen.facts.Done.Drained {
		depth, counted := depths[queue]
		switch {
		case !counted:
			missing = append(missing, fmt.Sprintf("the depth of queue %s was never read", queue))
		case depth.Ready != 0 || depth.Unacked != 0:
			findings = append(findings, Finding{
				Kind: Violated, At: depth.At, Position: seen.position("expect.drained"),
				Text: fmt.Sprintf("queue %s was not drained: %d ready, %d unacknowledged at %s", queue, depth.Ready, depth.Unacked, short(depth.At)),
			})
		}
	}
	return conclude(findings, missing, amount(len(seen.facts.Done.Drained), "queue")+" empty")
}
