package history

import (
	"fmt"
	"time"
)

// Point is a crash point as the interposer met it: the call that was held, and
// what of it took effect. In an Operation event it is a call that was let
// through: Occurrence then counts on that very path, and Timing, Action and
// Kept are empty.
type Point struct {
	Operation  string `json:"operation"` // write, fsync, … publish, ack
	Call       string `json:"call"`      // the system call
	Path       string `json:"path,omitempty"`
	Other      string `json:"other,omitempty"` // the second name of a rename or link
	Queue      string `json:"queue,omitempty"`
	Occurrence int    `json:"occurrence"`       // of matching calls in this incarnation
	Timing     string `json:"timing,omitempty"` // before, during or after
	Action     string `json:"action,omitempty"` // hold, fail, short or delay
	Size       int64  `json:"size"`             // bytes that the call asked for
	Offset     int64  `json:"offset"`           // where in the file; -1 where there is no such place
	Kept       int64  `json:"kept"`             // bytes that took effect
	// Sum is a checksum of the bytes that a write carries, where it was asked for.
	Sum string `json:"sum,omitempty"`
	// Pending is how many changes were not synced just before an operation,
	// where that was followed.
	Pending int `json:"pending,omitempty"`
	// Inexact says why the point may be off; empty when it is exact.
	Inexact string        `json:"inexact,omitempty"`
	Quiesce time.Duration `json:"quiesce,omitempty"` // how long stopping the other threads took
	// Unsynced is what a power cut at this point could take, and took.
	Unsynced []Unsynced `json:"unsynced,omitempty"`
}

// Unsynced is one change that had not reached the disk for good.
type Unsynced struct {
	Operation string `json:"operation"`
	Path      string `json:"path"`
	Other     string `json:"other,omitempty"`
	Offset    int64  `json:"offset"`
	Size      int64  `json:"size"`
	Lost      bool   `json:"lost"`
}

// String says where the program was held: "after 11 of 58 bytes of write 7 to
// /data/a.csv, at byte 311".
func (p Point) String() string {
	object := p.Path
	if p.Queue != "" {
		object = "queue " + p.Queue
	}
	if p.Other != "" {
		object += " (" + p.Other + ")"
	}
	call := fmt.Sprintf("%s %d of %s", p.Operation, p.Occurrence, object)
	if p.Size > 0 {
		call += fmt.Sprintf(" (%d bytes", p.Size)
		if p.Offset >= 0 {
			call += fmt.Sprintf(" at byte %d", p.Offset)
		}
		call += ")"
	}
	where := p.Timing
	if p.Timing == "during" {
		where = fmt.Sprintf("after %d bytes of", p.Kept)
	}
	text := call // of an operation that was let through
	if where != "" {
		text = where + " " + call
	}
	lost := 0
	for _, change := range p.Unsynced {
		if change.Lost {
			lost++
		}
	}
	if lost > 0 {
		text += fmt.Sprintf(", %d of %d un-synced changes lost", lost, len(p.Unsynced))
	}
	if p.Inexact != "" {
		text += ", inexact: " + p.Inexact
	}
	return text
}
