package explore

import (
	"fmt"
	"slices"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// Recording is what a service did in one run, in order.
type Recording struct {
	Operations []Operation `json:"operations"`
	// From is the first of them at which crash points are taken: that after
	// the last fault of the run had fired.
	From int `json:"from,omitempty"`
	// States identify, in a chain, what is in the service's volumes at each
	// rest, the first before the first unit of work; empty where it is not the
	// same in every recording.
	States []string `json:"states,omitempty"`
	// Varies says that nothing makes runs of the system equal: where two of
	// them are, a third one may still differ from both.
	Varies bool `json:"varies,omitempty"`
}

// Recorded gives the operations of a service in a recorded run until the
// system was done. Points are taken from the moment at which the fault of that
// number had fired (0: from the start). What the service does when it is
// stopped for the removal, or restarted once more for a check, is the run's
// doing.
func Recorded(h *history.History, service string, fault int) Recording {
	lives := map[int]*counter{}
	index, newest, crashed := 0, 0, false
	var recording Recording
	handling := true // a unit of work, or there are none
	for _, event := range h.Events {
		switch event.Kind {
		case history.AtRest:
			recording.States = append(recording.States, event.Text)
			handling = false
			// Nothing that came before the first is of a unit either.
			for i := range recording.Operations {
				recording.Operations[i].Resting = recording.Operations[i].Resting || len(recording.States) == 1
			}
		case history.UnitBegan:
			handling = true
		case history.UnitDone:
			handling = false
		case history.AllDone, history.Settled, history.TimedOut:
			return recording
		case history.FaultFired:
			crashed = true
			if event.Fault == fault {
				recording.From = len(recording.Operations)
			}
		case history.Operation:
			if event.Service != service || event.Point == nil {
				continue
			}
			life := event.Incarnation
			if lives[life] == nil {
				lives[life] = newCounter()
			}
			if crashed && life > newest {
				index, crashed = 0, false
			}
			newest = max(newest, life)
			index++
			operation := numbered(*event.Point, lives[life].next(*event.Point))
			operation.Incarnation, operation.Index, operation.Resting = life, index, !handling
			recording.Operations = append(recording.Operations, operation)
		}
	}
	return recording
}

// Divergence is how several recordings of the same run differ.
type Divergence struct {
	Recordings int `json:"recordings"`
	// Differ counts operations of the first recording that another one does
	// not have, or has elsewhere in the file or of another size; Extra those
	// that only others have.
	Differ int `json:"differ,omitempty"`
	Extra  int `json:"extra,omitempty"`
	// First is the first of Differ, in words.
	First string `json:"first,omitempty"`
	// Bytes counts operations that are at the same place and carry other
	// bytes each time.
	Bytes int `json:"bytes,omitempty"`
}

// Merge compares recordings. It gives the operations of the first, marked
// where they diverge, and without what is not the same in all: the sum of
// bytes that change, the size of a frame that does. Operations that matters
// says no of, since they can be no points, may differ as they like; nil: all
// matter.
func Merge(recordings []Recording, matters func(*Operation) bool) (Recording, Divergence) {
	found := Divergence{Recordings: len(recordings)}
	if matters == nil {
		matters = func(*Operation) bool { return true }
	}
	if len(recordings) == 0 {
		return Recording{}, found
	}
	merged := slices.Clone(recordings[0].Operations)
	known := make(map[string]int, len(merged))
	for i := range merged {
		known[merged[i].key()] = i
	}
	carries := map[int]bool{} // other bytes each time
	extra := map[string]bool{}
	differ := func(i int, format string, values ...any) {
		if !matters(&merged[i]) {
			return
		}
		if !merged[i].Divergent {
			merged[i].Divergent = true
			found.Differ++
		}
		if found.First == "" {
			found.First = fmt.Sprintf(format, values...)
		}
	}
	for number, recording := range recordings[1:] {
		seen := make([]bool, len(merged))
		for at := range recording.Operations {
			other := &recording.Operations[at]
			i, there := known[other.key()]
			if !there {
				if matters(other) {
					extra[other.key()] = true
				}
				continue
			}
			seen[i] = true
			if !merged[i].agree(other) {
				differ(i, "%s; in recording %d, %s", &merged[i], number+2, other)
			} else if merged[i].Sum != other.Sum {
				merged[i].Sum = ""
				carries[i] = true
			}
		}
		for i := range merged {
			if !seen[i] {
				differ(i, "%s, which recording %d does not have", &merged[i], number+2)
			}
		}
	}
	found.Extra, found.Bytes = len(extra), len(carries)
	return Recording{Operations: merged, From: recordings[0].From, States: mergeStates(recordings)}, found
}

// mergeStates gives the states that are the same in all recordings.
func mergeStates(recordings []Recording) []string {
	states := slices.Clone(recordings[0].States)
	for i := range states {
		for _, other := range recordings[1:] {
			if i >= len(other.States) || other.States[i] != states[i] {
				states[i] = ""
			}
		}
	}
	return states
}

func (o *Operation) key() string { return fmt.Sprintf("%d %s", o.Incarnation, o.place()) }

// agree compares what is the same operation in two recordings, and keeps of
// it what both have. The frames of a message may be of another size each time.
func (o *Operation) agree(other *Operation) bool {
	o.Pending = min(o.Pending, other.Pending)
	if o.isAMQP() {
		if o.Size != other.Size {
			o.Size = 0
		}
		return true
	}
	return o.Other == other.Other && o.Size == other.Size && o.Offset == other.Offset
}

// String says how recordings differ; "" when they do not.
func (d Divergence) String() string {
	if d.Differ == 0 && d.Extra == 0 {
		return ""
	}
	verb := "differ"
	if d.Differ == 1 {
		verb = "differs"
	}
	text := fmt.Sprintf("%s %s between %d recordings", plural(d.Differ, "operation"), verb, d.Recordings)
	if d.Extra > 0 {
		text += fmt.Sprintf(", %d more are in some of them only", d.Extra)
	}
	if d.First != "" {
		text += "; the first: " + d.First
	}
	return text
}
