package explore

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"

	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// The timings of a crash, as histories name them.
const (
	before = "before"
	during = "during"
	after  = "after"
)

// Step is one crash: an operation as it was recorded, and where in it.
type Step struct {
	Operation Operation `json:"operation"`
	Timing    string    `json:"timing"` // before, during or after
	// Kept is how many bytes of a write take effect, where Timing is during.
	Kept int64 `json:"kept,omitempty"`
	// Lose is what a power cut takes, as lose-unsynced says it; empty under
	// process-crash.
	Lose string `json:"lose,omitempty"`
}

// Point is the crash point in the terms of a scenario.
func (s *Step) Point(service string) scenario.Point {
	point := s.Operation.point(service)
	point.Lose = s.Lose
	if s.Timing == during {
		point.Keep = strconv.FormatInt(s.Kept, 10)
	} else {
		point.Timing = s.Timing
	}
	return point
}

// Item is a crash item: what one trial of a campaign does. It says all that
// is needed to run it anywhere and to see whether it came as planned.
type Item struct {
	// Steps are the crashes, in order. None is the undisturbed run.
	Steps []Step `json:"steps"`
	// Record asks for the operations after the last crash, instead of a
	// verdict that counts for the campaign.
	Record bool `json:"record,omitempty"`
	// State identifies what must be in the service's volumes for the item to
	// begin at the rest of a chain; empty where it begins with a run of its own.
	State string `json:"state,omitempty"`
	// Number tells recordings of the same item apart.
	Number int `json:"number,omitempty"`
}

// Sequence is the crash points of the item.
func (i *Item) Sequence(service string) scenario.Sequence {
	sequence := make(scenario.Sequence, len(i.Steps))
	for at := range i.Steps {
		sequence[at] = i.Steps[at].Point(service)
	}
	return sequence
}

// Text is the item's text form, by which journals, shards and replays know it.
func (i *Item) Text(service string) string { return i.Sequence(service).String() }

// Hash identifies the item by the content of its operations.
func (i *Item) Hash(service string) string {
	if len(i.Steps) == 0 {
		return ""
	}
	return i.Steps[len(i.Steps)-1].Operation.Hash(service)
}

// unit is the unit of work in which an item of a chain crashes the service:
// with no crash before it, each unit is handled by a life of its own.
func (i *Item) unit() int { return i.Steps[0].Operation.Incarnation }

// divergent says whether one of its operations is not the same in every
// recording.
func (i *Item) divergent() bool {
	for at := range i.Steps {
		if i.Steps[at].Operation.Divergent {
			return true
		}
	}
	return false
}

// lot gives an item a number that depends on its text and the seed alone: what
// is drawn by it is drawn the same everywhere.
func lot(seed int, text string) uint64 {
	sum := sha256.Sum256(append(strconv.AppendInt(nil, int64(seed), 10), "\x00"+text...))
	return binary.BigEndian.Uint64(sum[:8])
}

// Shard is one part of a campaign; the zero Shard is the whole.
type Shard struct{ Number, Of int }

// Has says whether an item belongs to the shard. Every item belongs to exactly
// one of the shards of a campaign, whatever else is in it; a crash during
// recovery goes with the crash before it, whose recording it needs.
func (s Shard) Has(text string) bool {
	return s.Of <= 1 || lot(0, text)%uint64(s.Of) == uint64(s.Number-1)
}

// String is the shard as --shard takes it; empty for the whole.
func (s Shard) String() string {
	if s.Of <= 1 {
		return ""
	}
	return strconv.Itoa(s.Number) + "/" + strconv.Itoa(s.Of)
}
