package check

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// metElsewhere compares the crash point that the program was held at with the
// one that was planned: the call, its occurrence, the file, and the bytes that
// took effect.
func metElsewhere(h *history.History, fault plannedFault) string {
	point := metPoint(h, fault.number)
	if point == nil {
		return "fired, but the interposer reported no crash point"
	}
	if point.Inexact != "" {
		return fmt.Sprintf("was not exact: %s", point.Inexact)
	}
	operation := string(fault.When.Kind)
	if fault.When.Kind == scenario.AMQP {
		operation = fault.When.Method
	}
	if point.Operation != operation {
		return fmt.Sprintf("came at a %s, planned was a %s", point.Operation, operation)
	}
	if wanted := plannedOccurrence(fault); point.Occurrence != wanted {
		return fmt.Sprintf("came at the %s %s, planned was the %s", ordinal(point.Occurrence), operation, ordinal(wanted))
	}
	if pattern := fault.When.Path; pattern != "" && !matchesEither(pattern, point) {
		return fmt.Sprintf("came at %s, planned was %s", point.Path, pattern)
	}
	if wanted, is := plannedBytes(fault.When.Keep, point.Size); is && point.Kept != wanted {
		return fmt.Sprintf("left %d bytes of the write, planned were %d", point.Kept, wanted)
	}
	return ""
}

func metPoint(h *history.History, fault int) *history.Point {
	for _, event := range h.Events {
		if event.Kind == history.PointReached && event.Fault == fault {
			return event.Point
		}
	}
	return nil
}

// plannedOccurrence is which of the matching calls a repetition is for: a
// fault that is done to calls takes one after the other, one that leaves the
// program running goes on where it was, and one that ends a life counts anew.
func plannedOccurrence(fault plannedFault) int {
	first := max(1, fault.When.Occurrence)
	switch {
	case fault.Kind.OnCall():
		return first + fault.repeat - 1
	case fault.Kind == scenario.Pause, fault.Kind == scenario.Disconnect:
		return first * fault.repeat
	}
	return first
}

// matchesEither lets a rename or link match by either of its names.
func matchesEither(pattern string, point *history.Point) bool {
	for _, name := range []string{point.Path, point.Other} {
		if matched, err := doublestar.Match(pattern, name); err == nil && matched {
			return true
		}
	}
	return false
}

// plannedBytes is how many bytes of a write of that size the plan keeps.
func plannedBytes(keep string, size int64) (bytes int64, is bool) {
	if keep == "" {
		return 0, false
	}
	if keep == "half" {
		return size / 2, true
	}
	digits, allBut := strings.CutPrefix(keep, "all-but-")
	bytes, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, false
	}
	if allBut {
		bytes = size - bytes
	}
	return min(max(bytes, 0), size), true
}
