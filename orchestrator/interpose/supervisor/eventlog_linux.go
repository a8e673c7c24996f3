package supervisor

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// eventLog keeps every event of this interposer process, so that a client that attaches late or again misses none; letGo ends that for those that were passed on.
type eventLog struct {
	start time.Time

	mu      sync.Mutex
	gone    int // lines that were let go of, before lines
	lines   [][]byte
	written int64         // events that a client has confirmed to have passed on
	changed chan struct{} // closed and replaced when lines or written change
	pending bool          // lines were added that nobody has been told of yet
}

// gather is how long recorded operations and lines are gathered before the client is told of them: waking it for each would cost more than the recording.
const gather = 5 * time.Millisecond

func newEventLog() *eventLog {
	return &eventLog{start: time.Now(), changed: make(chan struct{})}
}

// add numbers and keeps an event.
func (l *eventLog) add(event interpose.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	event.Sequence = int64(l.gone+len(l.lines)) + 1
	event.At = time.Since(l.start)
	line, err := json.Marshal(event)
	if err != nil {
		panic("marshal event: " + err.Error()) // it is made of plain fields
	}
	l.lines = append(l.lines, append(line, '\n'))
	switch {
	case event.Kind != interpose.Op && event.Kind != interpose.Line:
		l.wake()
	case !l.pending:
		l.pending = true
		time.AfterFunc(gather, l.flush)
	}
}

// flush tells of the operations that were gathered.
func (l *eventLog) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
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
	l.mu.Lock()
	defer l.mu.Unlock()
	line = min(max(line-l.gone, 0), len(l.lines))
	return l.lines[line:len(l.lines):len(l.lines)], l.changed
}

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
		drained, changed := l.written >= int64(l.gone+len(l.lines)), l.changed
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
