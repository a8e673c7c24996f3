package report

import (
	"fmt"
	"strings"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// loudness says how much a reader must want to know before an event is shown.
type loudness int

const (
	whisper loudness = iota // with --verbose only: log lines, queue depths and the like
	spoken                  // one line an event where no status line tells it
	loud                    // always: what a person who watches wants to see happen
)

// loudnessOf says when an event is shown.
func loudnessOf(kind history.Kind) loudness {
	switch kind {
	case history.FaultFired, history.FaultDone, history.FaultHealed, history.FaultMissed, history.Exited,
		history.AllDone, history.Settled, history.TimedOut,
		history.Interrupted, history.Trouble, history.Warning, history.Unremoved:
		return loud
	case history.Phase, history.Started, history.Healthy, history.FaultArmed, history.CommandRan, history.Removed,
		history.AtRest, history.UnitDone:
		return spoken
	default:
		return whisper
	}
}

// describe is an event in words: whom it happened to, which may be nobody,
// and what it was.
func describe(event history.Event) (who, what string) {
	who = event.Service
	if who != "" && event.Incarnation > 0 {
		who = fmt.Sprintf("%s #%d", event.Service, event.Incarnation)
	}
	switch event.Kind {
	case history.Phase:
		what = event.Text
	case history.Created:
		what = "created"
	case history.Started:
		what = "started"
	case history.Healthy:
		what = "healthy"
	case history.Log:
		what = event.Stream + ": " + event.Text
	case history.Exited:
		what = "exited" + exitCode(event) + parenthesised(event.Text)
	case history.FaultArmed:
		what = fmt.Sprintf("fault %d armed: %s", event.Fault, event.Text)
	case history.FaultFired:
		what = fmt.Sprintf("fault %d fired: %s", event.Fault, event.Text)
	case history.FaultDone, history.FaultHealed:
		what = event.Text
	case history.FaultMissed:
		what = fmt.Sprintf("fault %d did not happen: %s", event.Fault, event.Text)
	case history.PointReached:
		what = "came to its crash point: " + event.Text
	case history.Operation:
		what = "operation"
		if event.Point != nil {
			what += ": " + event.Point.String()
		}
	case history.QueueDepth:
		who, what = event.Queue, fmt.Sprintf("%d ready, %d unacknowledged", event.Ready, event.Unacked)
	case history.Collected:
		what = "collected " + event.Text
	case history.CommandRan:
		what = fmt.Sprintf("ran %s: exit code%s", event.Text, exitCode(event))
	case history.AtRest:
		what = fmt.Sprintf("at rest before unit %d of the work", event.Unit)
	case history.UnitBegan:
		what = fmt.Sprintf("let go on with message %d", event.Unit)
	case history.UnitDone:
		what = fmt.Sprintf("unit %d of the work was handled", event.Unit)
	case history.AllDone:
		what = "done: everything expected is there"
	case history.Settled:
		what = "settled: the queues are drained and nothing happens any more" + missing(event.Text)
	case history.TimedOut:
		what = "not done" + missing(event.Text)
	case history.Interrupted:
		what = "interrupted" + explained(event.Text)
	case history.Trouble:
		// Its other lines, such as the last ones of a log, are in the result.
		first, _, _ := strings.Cut(event.Text, "\n")
		what = "trouble" + explained(first)
	case history.Warning:
		what = "warning" + explained(event.Text)
	case history.Removed:
		what = "removed"
	case history.Unremoved:
		what = "not removed" + explained(event.Text)
	case history.CheckStarted:
		what = "check" + explained(event.Text)
	default:
		what = strings.TrimSpace(string(event.Kind) + " " + event.Text)
	}
	return who, what
}

func exitCode(event history.Event) string {
	if event.Code == nil {
		return ""
	}
	return fmt.Sprintf(" %d", *event.Code)
}

func missing(text string) string {
	if text == "" {
		return ""
	}
	return ", still missing: " + text
}

func parenthesised(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}

func explained(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

// eventLine is the progress line of one event; nameWidth aligns the lines of
// scenarios that run side by side.
func (s Style) eventLine(name string, nameWidth int, event history.Event) string {
	who, what := describe(event)
	label := fmt.Sprintf("%-*s", nameWidth+2, "["+name+"]")
	line := fmt.Sprintf("%s  %7.3fs  ", s.paint(faint, label), event.At.Seconds())
	if who != "" {
		line += s.paint(bold, printable(who)) + "  "
	}
	return line + s.paint(eventColour(event.Kind), continued(what, "    "))
}

func eventColour(kind history.Kind) string {
	switch kind {
	case history.FaultFired, history.FaultDone, history.Warning, history.Settled, history.Interrupted:
		return yellow
	case history.FaultMissed, history.TimedOut, history.Trouble, history.Unremoved:
		return red
	case history.FaultHealed, history.AllDone:
		return green
	default:
		return ""
	}
}
