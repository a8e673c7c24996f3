package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// eventLog keeps every event of this interposer process, so that a client that attaches late or again misses none; letGo ends that for those that were passed on.
//
// An event gets its number and time when it is added. It is written out as a line later, by whoever asks for lines: the program waits in its call while an operation is added, and writing it out takes longer than everything else that is done meanwhile.
type eventLog struct {
	start time.Time

	// writing is held while events are written out, so that their lines stay in order. It comes before mu.
	writing sync.Mutex

	mu      sync.Mutex
	count   int64   // events that were added
	added   []added // those that are not written out yet
	spare   []added // an empty one to take its place
	gone    int     // lines that were let go of, before lines
	lines   [][]byte
	written int64         // events that a client has confirmed to have passed on
	changed chan struct{} // closed and replaced when lines or written change
	pending bool          // events were added that nobody has been told of yet
}

// added is an event that was added and is not written out yet. Recorded operations come by the thousand: they are kept small.
type added struct {
	at       time.Duration
	event    *interpose.Event // nil for a recorded operation
	recorded recorded
}

// recorded is an operation that was recorded: see interpose.Event.
type recorded struct {
	kind            kind
	call            *call
	place, other    *place
	process, thread int
	incarnation     int
	occurrence      int
	size, offset    int64
	pending         int
	sum             uint32
	summed          bool
}

func (r *recorded) event() interpose.Event {
	event := interpose.Event{
		Kind: interpose.Op, Incarnation: r.incarnation, PID: r.process, Thread: r.thread,
		Operation: r.kind.operation(), Call: r.call.name, Path: r.place.path,
		Occurrence: r.occurrence, Size: r.size, Offset: r.offset, Pending: r.pending,
	}
	if r.other != nil {
		event.Other = r.other.path
	}
	if r.summed {
		event.Sum = formatSum(r.sum)
	}
	return event
}

func formatSum(sum uint32) string { return strconv.FormatUint(uint64(sum), 16) }

// gather is how long recorded operations and lines are gathered before the client is told of them: waking it for each would cost more than the recording.
const gather = 5 * time.Millisecond

func newEventLog() *eventLog {
	return &eventLog{start: time.Now(), changed: make(chan struct{})}
}

// add numbers and keeps an event.
func (l *eventLog) add(event interpose.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keep(added{event: &event})
	switch event.Kind {
	case interpose.Op, interpose.Line:
		l.wakeLater()
	default:
		l.wake()
	}
}

// record is add for a recorded operation.
func (l *eventLog) record(operation *recorded) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keep(added{recorded: *operation})
	l.wakeLater()
}

func (l *eventLog) keep(one added) {
	l.count++
	one.at = time.Since(l.start)
	l.added = append(l.added, one)
}

func (l *eventLog) wakeLater() {
	if !l.pending {
		l.pending = true
		time.AfterFunc(gather, l.flush)
	}
}

// flush writes out what was gathered, and tells of it.
func (l *eventLog) flush() {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write()
	if l.pending {
		l.wake()
	}
}

func (l *eventLog) wake() {
	l.pending = false
	close(l.changed)
	l.changed = make(chan struct{})
}

// from returns the lines from the given one on, counted from 0, and a channel that is closed when there is more.
func (l *eventLog) from(line int) ([][]byte, <-chan struct{}) {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	changed := l.changed // of now: what is added while lines are made closes it
	l.write()
	line = min(max(line-l.gone, 0), len(l.lines))
	return l.lines[line:len(l.lines):len(l.lines)], changed
}

// write makes lines of the events that were added. Both locks are held; while the lines are made others can add.
func (l *eventLog) write() {
	events, sequence := l.added, l.count-int64(len(l.added))
	if len(events) == 0 {
		return
	}
	l.added, l.spare = l.spare, nil
	l.mu.Unlock()
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	ends := make([]int, len(events))
	for i := range events {
		event := events[i].event
		if event == nil {
			made := events[i].recorded.event()
			event = &made
		}
		sequence++
		event.Sequence, event.At = sequence, events[i].at
		if err := encoder.Encode(event); err != nil {
			panic("encode event: " + err.Error()) // it is made of plain fields
		}
		ends[i] = text.Len()
	}
	clear(events) // what they point to can go
	l.mu.Lock()
	start := 0
	for _, end := range ends {
		l.lines = append(l.lines, text.Bytes()[start:end:end])
		start = end
	}
	if cap(events) <= maxSpare {
		l.spare = events[:0]
	}
}

// maxSpare bounds the events whose memory is kept for the next ones.
const maxSpare = 1 << 12

// letGo forgets the lines that a client has passed on: a container whose program is started again and again would keep them for ever.
func (l *eventLog) letGo() {
	l.mu.Lock()
	defer l.mu.Unlock()
	passed := min(int(l.written)-l.gone, len(l.lines))
	if passed <= 0 {
		return
	}
	l.lines = append([][]byte(nil), l.lines[passed:]...)
	l.gone += passed
}

// confirm notes that a client has passed on every event up to and including the given number.
func (l *eventLog) confirm(sequence int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written = max(l.written, sequence)
	l.wake()
}

// drain waits until a client has passed on everything, or the context ends.
func (l *eventLog) drain(ctx context.Context) {
	for {
		l.mu.Lock()
		drained, changed := l.written >= l.count, l.changed
		l.mu.Unlock()
		if drained {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
