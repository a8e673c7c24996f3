package check

import (
	"fmt"
	"strings"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// checkStalled asks that the system got done before the timeout. One that
// settled with things missing did get done: what is missing is lost, and the
// checks of the data say so.
func checkStalled(seen *evidence) Result {
	if event, timedOut := seen.last(history.TimedOut); timedOut {
		text := fmt.Sprintf("the system was not done at %s", short(event.At))
		if event.Text != "" {
			text += ", still awaited: " + clip(event.Text, 300)
		}
		for _, service := range lastStates(seen.history) {
			text += "; " + service
		}
		return conclude([]Finding{{Kind: Stalled, At: event.At, Text: text, Position: seen.position("timeout")}}, nil, "")
	}
	if event, done := seen.last(history.AllDone); done {
		return conclude(nil, nil, "done at "+short(event.At))
	}
	if event, settled := seen.last(history.Settled); settled {
		return conclude(nil, nil, "settled at "+short(event.At))
	}
	return uncomputed("the run ended before it was seen whether the system gets done")
}

// lastStates says of each service what state it was in and what it said last,
// in the order in which the services first appear.
func lastStates(h *history.History) []string {
	type state struct{ doing, said string }
	states := map[string]*state{}
	var order []string
	for _, event := range h.Events {
		if event.Service == "" {
			continue
		}
		doing := ""
		switch event.Kind {
		case history.Created:
			doing = "created, not started"
		case history.Started, history.Healthy:
			doing = fmt.Sprintf("running, incarnation %d", event.Incarnation)
		case history.Exited:
			doing = "exited" + inBrackets(event.Text)
			if event.Code != nil {
				doing = fmt.Sprintf("exited with code %d%s", *event.Code, inBrackets(event.Text))
			}
		case history.FaultDone:
			doing = "hurt: " + clip(event.Text, 80)
		case history.FaultHealed:
			doing = "running again: " + clip(event.Text, 80)
		case history.Log:
		default:
			continue
		}
		if states[event.Service] == nil {
			states[event.Service] = &state{}
			order = append(order, event.Service)
		}
		if doing != "" {
			states[event.Service].doing = doing
		}
		if event.Kind == history.Log && strings.TrimSpace(event.Text) != "" {
			states[event.Service].said = fmt.Sprintf("%q at %s", clip(event.Text, 120), short(event.At))
		}
	}
	lines := make([]string, 0, len(order))
	for _, service := range order {
		line := service
		if doing := states[service].doing; doing != "" {
			line += " (" + doing + ")"
		}
		if said := states[service].said; said != "" {
			line += " last logged " + said
		} else {
			line += " logged nothing"
		}
		lines = append(lines, line)
	}
	return lines
}
