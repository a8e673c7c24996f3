package check

import (
	"fmt"
	"strings"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// checkRun judges the commands that were run in containers at the end, by
// exit code and output.
func checkRun(seen *evidence) Result {
	expected := seen.scenario.Expect.Run
	if len(expected) == 0 {
		return off()
	}
	ran := map[int]history.Event{}
	for _, event := range seen.history.Events {
		if event.Kind == history.CommandRan {
			ran[event.Expect] = event
		}
	}
	var findings []Finding
	var missing []string
	for index, expect := range expected {
		event, done := ran[index]
		command := clip(strings.Join(expect.Command, " "), 120)
		switch {
		case !done:
			missing = append(missing, fmt.Sprintf("command %q was not run in %s", command, expect.Service))
		case event.Code == nil:
			missing = append(missing, fmt.Sprintf("command %q could not be run in %s: %s", command, expect.Service, clip(event.Stderr+event.Text, 200)))
		default:
			if text := commandTrouble(expect, event, command); text != "" {
				findings = append(findings, Finding{Kind: Violated, Service: expect.Service, At: event.At, Text: text, Position: expect.Position})
			}
		}
	}
	return conclude(findings, missing, amount(len(expected), "command")+" as expected")
}

func commandTrouble(expect scenario.RunExpect, event history.Event, command string) string {
	if *event.Code != expect.Exit {
		text := fmt.Sprintf("command %q in %s exited with code %d, expected %d", command, expect.Service, *event.Code, expect.Exit)
		if said := clip(event.Stderr, 300); said != "" {
			return text + fmt.Sprintf("; it said %q", said)
		}
		if said := clip(event.Stdout, 300); said != "" {
			return text + fmt.Sprintf("; it printed %q", said)
		}
		return text
	}
	if !strings.Contains(event.Stdout, expect.Stdout) {
		return fmt.Sprintf("command %q in %s did not print %q but %q", command, expect.Service, expect.Stdout, clip(event.Stdout, 300))
	}
	return ""
}
