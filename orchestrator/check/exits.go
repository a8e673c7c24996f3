package check

import (
	"fmt"
	"maps"
	"slices"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// checkExits asks for the exit code with which each service named last ended
// until the system was done: what a further restart for the stable check or
// the removal makes of it is not the system's doing. A service that was
// started again after that exit may still run.
func checkExits(seen *evidence) Result {
	expected := seen.scenario.Expect.Exits
	if len(expected) == 0 {
		return off()
	}
	end := seen.end()
	var findings []Finding
	var missing []string
	for _, service := range slices.Sorted(maps.Keys(expected)) {
		exit, exited := lastExit(seen.history.Events[:end], service)
		finding := Finding{Kind: Violated, Service: service, At: exit.At, Position: seen.position("expect.exits." + service)}
		switch {
		case !exited && end == len(seen.history.Events):
			missing = append(missing, fmt.Sprintf("the run ended before %s had exited", service))
			continue
		case !exited:
			finding.Text = fmt.Sprintf("%s did not exit, expected code %d", service, expected[service])
		case exit.Code == nil:
			missing = append(missing, fmt.Sprintf("the code with which %s exited is not known", service))
			continue
		case *exit.Code == expected[service]:
			continue
		default:
			finding.Text = fmt.Sprintf("%s exited with code %d%s at %s, expected %d", service, *exit.Code, inBrackets(exit.Text), short(exit.At), expected[service])
		}
		if line := lastLogLine(seen.history, service); line != "" {
			finding.Text += fmt.Sprintf("; it last logged %q", line)
		}
		findings = append(findings, finding)
	}
	return conclude(findings, missing, amount(len(expected), "exit code")+" as expected")
}

// lastExit gives the last exit of a service, and whether there is one.
func lastExit(events []history.Event, service string) (history.Event, bool) {
	for _, event := range slices.Backward(events) {
		if event.Service == service && event.Kind == history.Exited {
			return event, true
		}
	}
	return history.Event{}, false
}

func lastLogLine(h *history.History, service string) string {
	for i := len(h.Events) - 1; i >= 0; i-- {
		if event := h.Events[i]; event.Kind == history.Log && event.Service == service && event.Text != "" {
			return clip(event.Text, 160)
		}
	}
	return ""
}

func inBrackets(text string) string {
	if text == "" {
		return ""
	}
	return " (" + clip(text, 80) + ")"
}
