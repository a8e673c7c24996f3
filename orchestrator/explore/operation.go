package explore

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// The operations, as histories name them.
const (
	opWrite   = "write"
	opRead    = "read"
	opPublish = "publish"
	opAck     = "ack"
)

// Operation is one operation of a service in one of its lives, as a recording
// saw it: the place at which crash points are.
type Operation struct {
	Operation string `json:"operation"`
	Call      string `json:"call,omitempty"` // the system call
	Path      string `json:"path,omitempty"`
	Other     string `json:"other,omitempty"` // the second name of a rename or link
	// Queue is empty for a point on any queue.
	Queue string `json:"queue,omitempty"`
	// Occurrence is the number, from 1, of the calls of the life that a crash
	// point on this operation, path or queue matches.
	Occurrence int   `json:"occurrence"`
	Size       int64 `json:"size,omitempty"`
	Offset     int64 `json:"offset"`
	// Sum is empty where the call carries other bytes each time.
	Sum string `json:"sum,omitempty"`
	// Pending is how many changes were not synced just before it.
	Pending int `json:"pending,omitempty"`
	// Incarnation is the life, from 1.
	Incarnation int `json:"incarnation"`
	// Index is its place among all recorded operations since the last crash, from
	// 1.
	Index int `json:"index"`
	// Resting says that the service made it while no unit of work was handled,
	// in a chain: as it came up, or ended.
	Resting bool `json:"resting,omitempty"`
	// Divergent says that it was not the same in every recording.
	Divergent bool `json:"divergent,omitempty"`
}

// isAMQP says whether it is seen on a connection to the broker.
func (o *Operation) isAMQP() bool { return o.Operation == opPublish || o.Operation == opAck }

// Object is what the operation is done to.
func (o *Operation) Object() string {
	if o.isAMQP() {
		return "queue " + o.Queue
	}
	return o.Path
}

// Hash identifies the operation by its content, so that it means the same in
// the next run.
func (o *Operation) Hash(service string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %q %d %d %d %d %q",
		service, o.Operation, o.Path, o.Other, o.Queue, o.Incarnation, o.Occurrence, o.Size, o.Offset, o.Sum))
	return hex.EncodeToString(sum[:8])
}

// isBefore says whether a service comes to the operation before another one.
func (o *Operation) isBefore(other *Operation) bool {
	return o.Incarnation < other.Incarnation || o.Incarnation == other.Incarnation && o.Index < other.Index
}

// place identifies the operation by where it is, whatever it carries.
func (o *Operation) place() string {
	return fmt.Sprintf("%s %q %q %d", o.Operation, o.Path, o.Queue, o.Occurrence)
}

// point is the crash point on the operation, without its timing.
func (o *Operation) point(service string) scenario.Point {
	point := scenario.Point{Service: service, Occurrence: o.Occurrence, Incarnation: o.Incarnation}
	if o.isAMQP() {
		point.Kind, point.Method, point.Queue = scenario.AMQP, o.Operation, o.Queue
		return point
	}
	point.Kind, point.Path = scenario.TriggerKind(o.Operation), scenario.LiteralPattern(o.Path)
	return point
}

// String names the operation in a sentence: write 7 of /data/a.csv (58 bytes
// at byte 311).
func (o *Operation) String() string {
	text := fmt.Sprintf("%s %d of %s", o.Operation, o.Occurrence, o.Object())
	if o.Other != "" {
		text += " (" + o.Other + ")"
	}
	switch {
	case o.Size > 0 && o.Offset >= 0:
		text += fmt.Sprintf(" (%d bytes at byte %d)", o.Size, o.Offset)
	case o.Size > 0:
		text += fmt.Sprintf(" (%d bytes)", o.Size)
	}
	return text
}

// meets says how a held point differs from the operation that was recorded;
// "" when it does not.
func (o *Operation) meets(at *history.Point) string {
	met := numbered(*at, at.Occurrence)
	switch {
	case met.Operation != o.Operation || met.Path != o.Path || met.Other != o.Other || o.Queue != "" && met.Queue != o.Queue,
		met.Occurrence != o.Occurrence:
		return fmt.Sprintf("it came at %s, recorded was %s", &met, o)
	case o.isAMQP():
		// The sizes of its frames are the broker's client's affair: the
		// message is told by its number on its queue.
		return ""
	case met.Size != o.Size || met.Offset != o.Offset:
		return fmt.Sprintf("it came at %s, recorded was %s", &met, o)
	case o.Sum != "" && met.Sum != "" && met.Sum != o.Sum:
		return fmt.Sprintf("it came at %s with other bytes than were recorded", &met)
	}
	return ""
}

// numbered makes an operation of what a history says of a call.
func numbered(at history.Point, occurrence int) Operation {
	return Operation{
		Operation: at.Operation, Call: at.Call, Path: at.Path, Other: at.Other, Queue: soleQueue(at.Queue),
		Occurrence: occurrence, Size: at.Size, Offset: at.Offset, Sum: at.Sum, Pending: at.Pending,
	}
}

// soleQueue is the one queue that an AMQP operation is about. One ack may
// cover several messages, whose queues the history then lists with commas;
// where they are of several queues, or the name itself has a comma, a point
// can only be on any of them.
func soleQueue(queues string) string {
	first, _, several := strings.Cut(queues, ",")
	if !several {
		return queues
	}
	for queue := range strings.SplitSeq(queues, ",") {
		if queue != first {
			return ""
		}
	}
	return first
}

// counter numbers the operations of a life as crash points on them count: a
// rename or link matches by either of its names, and an AMQP operation on any
// queue by all of them.
type counter struct {
	seen map[[2]string]int // by operation and path or queue
	any  map[string]int    // by operation, on any queue
}

func newCounter() *counter {
	return &counter{seen: map[[2]string]int{}, any: map[string]int{}}
}

// next counts a call and gives its number.
func (c *counter) next(at history.Point) int {
	if at.Operation == opPublish || at.Operation == opAck {
		c.any[at.Operation]++
		queue := soleQueue(at.Queue)
		counted := map[string]bool{}
		for one := range strings.SplitSeq(at.Queue, ",") {
			if !counted[one] {
				counted[one] = true
				c.seen[[2]string{at.Operation, one}]++
			}
		}
		if queue == "" {
			return c.any[at.Operation]
		}
		return c.seen[[2]string{at.Operation, queue}]
	}
	c.seen[[2]string{at.Operation, at.Path}]++
	if at.Other != "" && at.Other != at.Path {
		c.seen[[2]string{at.Operation, at.Other}]++
	}
	return c.seen[[2]string{at.Operation, at.Path}]
}
