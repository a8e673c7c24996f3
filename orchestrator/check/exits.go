package check

import (
	"fmt"
	"maps"
	"slices"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// checkExits asks for the exit code of the last life that each service named
// had until the system was done: what a further restart for the stable check
// or the removal makes of it is not the system's doing.
func checkExits(seen *evidence) Result {
	expected := seen.scenario.Expect.Exits
	if len(expected) == 0 {
		return off()
	}
	var findings []Finding
	var missing []string
	for _, service := range slices.Sorted(maps.Keys(expected)) {
		exit, reason := lastExit(seen.history.Events[:seen.end()], service)
		switch {
		case reason != "":
			missing = append(missing, reason)
		case *exit.Code != expected[service]:
			text := fmt.Sprintf("%s exited with code %d%s at %s, expected %d", service, *exit.Code, inBrackets(exit.Text), short(exit.At), expected[service])
			if line := lastLogLine(seen.history, service); line != "" {
				text += fmt.Sprintf("; it last logged %q", line)
			}
			findings = append(findings, Finding{
				Kind: Violated, Service: service, At: exit.At, Text: text,
				Position: seen.position("expect.exits." + service),
			})
		}
	}
	return conclude(findings, missing, amount(len(expected), "exit code")+" as expected")
}

// lastExit gives the exit of a service's last life, or says why there is none.
func lastExit(events []history.Event, service string) (exit history.Event, reason string) {
	life := 0
	for _, event := range events {
		if event.Service != service {
			continue
		}
		switch event.Kind {
		case history.Started:
			life = max(life, event.Incarnation)
		case history.Exited:
			exit = event
		}
	}
	switch {
	case exit.Kind == "" || exit.Incarnation < life:
		return exit, fmt.Sprintf("%s had not exited when the system was done", service)
	case exit.Code == nil:
		return exit, fmt.Sprintf("the exit code of %s is not known", service)
	}
	return exit, ""
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
