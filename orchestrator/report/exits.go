package report

import (
	"fmt"
	"strings"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// What is shown at most of containers that ended by themselves.
const (
	exitsShown     = 5 // lives
	lastWordsShown = 5 // lines of each
)

// life is one life of one service.
type life struct {
	service     string
	incarnation int
}

// ownExits tells of lives that ended with an error and by no fault, each with
// the last lines that it logged: where a run came to nothing, the reason is
// often there. Exits while files are collected and containers removed are the
// run's own doing.
func ownExits(h *history.History) []string {
	hurt := map[life]bool{}
	for _, event := range h.Events {
		if event.Fault != 0 && (event.Kind == history.FaultFired || event.Kind == history.FaultDone) {
			hurt[life{event.Service, event.Incarnation}] = true
		}
	}
	words := map[life][]string{}
	var exits []string
	var ended []life
	codes := map[life]string{}
	over := false
	for _, event := range h.Events {
		of := life{event.Service, event.Incarnation}
		switch event.Kind {
		case history.Phase:
			over = over || event.Text == collectingPhase || event.Text == removingPhase
		case history.Log: // a line may be read after its container's death
			words[of] = append(words[of], event.Text)
			words[of] = words[of][max(0, len(words[of])-lastWordsShown):]
		case history.Exited:
			if !over && !hurt[of] && event.Code != nil && *event.Code != 0 {
				ended = append(ended, of)
				codes[of] = fmt.Sprintf("%d%s", *event.Code, parenthesised(event.Text))
			}
		}
	}
	for _, of := range ended[:min(len(ended), exitsShown)] {
		text := fmt.Sprintf("%s #%d exited with %s, and no fault made it", of.service, of.incarnation, codes[of])
		if last := words[of]; len(last) > 0 {
			text += "; it said last:\n" + strings.Join(last, "\n")
		}
		exits = append(exits, text)
	}
	if more := len(ended) - exitsShown; more > 0 {
		exits = append(exits, fmt.Sprintf("%d more lives ended so", more))
	}
	return exits
}
