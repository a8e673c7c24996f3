package supervisor

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// Whoever reads as stream does gets every event, in order, however they come, and is told of the last one.
func TestEventsAreReadInOrderWhileOthersAreAdded(t *testing.T) {
	t.Run("gathered and not", func(t *testing.T) { readWhileAdding(t, 10) })
	t.Run("none gathered", func(t *testing.T) { readWhileAdding(t, 1) })
}

// readWhileAdding adds events of which every so many are told of at once.
func readWhileAdding(t *testing.T, every int) {
	const writers, each = 4, 2000
	l := newEventLog()
	file, write := &place{path: "/data/file"}, &call{name: "write"}
	var adding sync.WaitGroup
	for thread := range writers {
		adding.Go(func() {
			for i := range each {
				switch i % every {
				case 0:
					l.add(interpose.Event{Kind: interpose.Reached, Thread: thread, Occurrence: i})
				case 1:
					l.add(interpose.Event{Kind: interpose.Line, Thread: thread, Occurrence: i})
				default:
					l.record(&recorded{kind: kindWrite, call: write, place: file, thread: thread, occurrence: i, sum: 0xabc, summed: i%2 == 0})
				}
			}
		})
	}
	late := time.After(20 * time.Second)
	next := make([]int, writers)
	for read := 0; read < writers*each; {
		lines, more := l.from(read)
		for _, line := range lines {
			var event interpose.Event
			if err := json.Unmarshal(line, &event); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			read++
			if event.Sequence != int64(read) || event.Occurrence != next[event.Thread] {
				t.Fatalf("event %d is %+v, want occurrence %d of its thread", read, event, next[event.Thread])
			}
			next[event.Thread]++
			if event.Kind == interpose.Op && (event.Path != file.path || event.Call != "write" || (event.Sum == "abc") != (event.Occurrence%2 == 0)) {
				t.Fatalf("unexpected operation %+v", event)
			}
		}
		if read == writers*each {
			break
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("of %d events %d were told of", writers*each, read)
		}
	}
	adding.Wait()
}
