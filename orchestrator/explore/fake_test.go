package explore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// subject is a scripted service: what it does in each life, and what its
// crashes do to it. The runners of a campaign share it.
type subject struct {
	name string
	// life gives the operations of a life. before is the crash points of the
	// lives before it, number how many trials there were before this one.
	life func(life int, before []string, number int) []history.Point
	// fails says whether the crashes of a trial lose anything.
	fails func(crashes []string, number int) bool
	// breaks says whether a trial ends in trouble of the tool's own.
	breaks func(number int) bool
	// hold is waited for by every trial, where it is not nil.
	hold <-chan struct{}

	mu     sync.Mutex
	trials int
	// tried counts trials by the texts of their crash points.
	tried map[string]int
	// recorded counts trials that were recorded.
	recorded int
}

// runner gives one of the subject's runners.
func (s *subject) runner() Runner { return fakeRunner{s} }

func (s *subject) runners(count int) []Runner {
	runners := make([]Runner, count)
	for i := range runners {
		runners[i] = s.runner()
	}
	return runners
}

func (s *subject) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trials
}

func (s *subject) allTried() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.tried))
}

type fakeRunner struct{ *subject }

func (r fakeRunner) Close(context.Context) error { return nil }

// Trial plays the scenario: it goes through the operations of each life,
// counts as the interposer does, and crashes where a fault says so.
func (r fakeRunner) Trial(ctx context.Context, sc *scenario.Scenario, record bool) *history.History {
	r.mu.Lock()
	number := r.trials
	r.trials++
	if r.tried == nil {
		r.tried = map[string]int{}
	}
	r.tried[pointsOf(sc.Faults)]++
	if record {
		r.recorded++
	}
	r.mu.Unlock()
	played := &play{subject: r.subject, record: record, number: number}
	if r.hold != nil {
		select {
		case <-r.hold:
		case <-ctx.Done():
		}
	}
	switch {
	case ctx.Err() != nil:
		played.add(history.Event{Kind: history.Interrupted})
	case r.breaks != nil && r.breaks(number):
		played.add(history.Event{Kind: history.Trouble, Text: "the engine went away"})
	default:
		played.run(sc)
	}
	return &played.history
}

func pointsOf(faults []scenario.Fault) string {
	texts := make([]string, len(faults))
	for i, fault := range faults {
		texts[i] = fault.Point().String()
	}
	return strings.Join(texts, then)
}

const then = ":then:"

// play is one trial of a subject.
type play struct {
	*subject
	record  bool
	number  int
	history history.History
}

func (p *play) add(event history.Event) {
	event.At = time.Duration(len(p.history.Events)) * time.Millisecond
	p.history.Events = append(p.history.Events, event)
}

func (p *play) run(sc *scenario.Scenario) {
	var crashes []string
	next := 0 // fault
	for life := 1; ; life++ {
		p.add(history.Event{Kind: history.Started, Service: p.name, Incarnation: life})
		crashed := false
		counts := make([]int, len(sc.Faults))
		own := map[[2]string]int{}
		for _, operation := range p.life(life, crashes, p.number) {
			own[[2]string{operation.Operation, operation.Path + operation.Queue}]++
			operation.Occurrence = own[[2]string{operation.Operation, operation.Path + operation.Queue}]
			if p.record {
				recorded := operation
				p.add(history.Event{Kind: history.Operation, Service: p.name, Incarnation: life, Point: &recorded})
			}
			for i, fault := range sc.Faults {
				if matches(fault.When, operation) {
					counts[i]++
				}
			}
			if next == len(sc.Faults) {
				continue
			}
			fault := sc.Faults[next]
			if !matches(fault.When, operation) || counts[next] != max(fault.When.Occurrence, 1) || fault.When.Incarnation != 0 && fault.When.Incarnation != life {
				continue
			}
			p.crash(next+1, life, fault, operation, counts[next])
			crashes = append(crashes, fault.Point().String())
			crashed = true
			next++
			break
		}
		if !crashed {
			break
		}
	}
	for ; next < len(sc.Faults); next++ {
		p.add(history.Event{Kind: history.FaultMissed, Service: p.name, Fault: next + 1, Text: "its crash point was not reached"})
	}
	p.add(history.Event{Kind: history.AllDone})
	code := 0
	if p.fails != nil && p.fails(crashes, p.number) {
		code = 1
	}
	p.add(history.Event{Kind: history.CommandRan, Service: p.name, Text: "verify", Code: &code})
}

// crash adds what a run records of one crash.
func (p *play) crash(number, life int, fault scenario.Fault, at history.Point, occurrence int) {
	at.Occurrence, at.Timing, at.Action = occurrence, fault.When.Timing, "hold"
	if at.Timing == "" {
		at.Timing = "before"
	}
	if fault.When.Keep != "" {
		at.Timing = "during"
		at.Kept, _ = strconv.ParseInt(fault.When.Keep, 10, 64)
	}
	killed := 137
	p.add(history.Event{Kind: history.FaultArmed, Service: p.name, Fault: number, Text: fault.String()})
	p.add(history.Event{Kind: history.PointReached, Service: p.name, Incarnation: life, Fault: number, Point: &at, Text: at.String()})
	p.add(history.Event{Kind: history.FaultFired, Service: p.name, Incarnation: life, Fault: number, Text: at.String()})
	p.add(history.Event{Kind: history.FaultDone, Service: p.name, Incarnation: life, Fault: number, Text: "killed"})
	p.add(history.Event{Kind: history.Exited, Service: p.name, Incarnation: life, Code: &killed})
	p.add(history.Event{Kind: history.FaultHealed, Service: p.name, Incarnation: life + 1, Fault: number, Text: "started again"})
}

// matches says whether the interposer counts an operation for a trigger.
func matches(when scenario.When, at history.Point) bool {
	if when.Kind == scenario.AMQP {
		return at.Operation == when.Method && (when.Queue == "" || slices.Contains(strings.Split(at.Queue, ","), when.Queue))
	}
	return at.Operation == string(when.Kind) &&
		(doublestar.MatchUnvalidated(when.Path, at.Path) || at.Other != "" && doublestar.MatchUnvalidated(when.Path, at.Other))
}

// The operations of scripts.
func write(path string, offset, size int64, sum string) history.Point {
	return history.Point{Operation: "write", Call: "write", Path: path, Offset: offset, Size: size, Sum: sum}
}

func fsync(path string) history.Point {
	return history.Point{Operation: "fsync", Call: "fsync", Path: path, Offset: -1}
}

func rename(from, to string) history.Point {
	return history.Point{Operation: "rename", Call: "rename", Path: from, Other: to, Offset: -1}
}

func read(path string, offset, size int64) history.Point {
	return history.Point{Operation: "read", Call: "read", Path: path, Offset: offset, Size: size}
}

func amqp(method, queue string, size int64) history.Point {
	return history.Point{Operation: method, Call: "write", Queue: queue, Size: size, Offset: -1}
}

// pending gives each operation the number of changes that are not synced
// before it, as the interposer would count them for one file.
func pending(operations []history.Point) []history.Point {
	changes := 0
	for i := range operations {
		operations[i].Pending = changes
		switch operations[i].Operation {
		case "write", "create", "rename", "truncate", "unlink":
			changes++
		case "fsync":
			changes = 0
		}
	}
	return operations
}

// worker is a subject that does chunks: for each it writes a row, syncs, saves
// a state, forwards and acknowledges. A new life reads its state first.
func worker(chunks int) *subject {
	return &subject{name: "worker-2", life: func(life int, before []string, _ int) []history.Point {
		var all []history.Point
		if life > 1 {
			all = append(all, read("/data/state", 0, 512), read("/etc/hosts", 0, 100))
		}
		for chunk := range chunks {
			all = append(all,
				write("/data/rows.csv", int64(40*chunk), 40, fmt.Sprint("sum", chunk)),
				fsync("/data/rows.csv"),
				write("/data/state.tmp", 0, 2, fmt.Sprint("state", chunk)),
				rename("/data/state.tmp", "/data/state"),
				amqp("publish", "queue-2-3", 90),
				amqp("ack", "queue-1-2", 21),
				write("/dev/stdout", -1, 20, fmt.Sprint("line", chunk)),
			)
		}
		return pending(all)
	}}
}

// recording plays an undisturbed run of the subject.
func (s *subject) recording(t *testing.T) Recording {
	t.Helper()
	h := s.runner().Trial(t.Context(), &scenario.Scenario{}, true)
	return Recorded(h, s.name, 0)
}

// scenarioOf is a scenario of the subject that its own check command judges.
func scenarioOf(faults []scenario.Fault) *scenario.Scenario {
	return &scenario.Scenario{
		Name: "normal", File: "scenarios/normal.yaml", Faults: faults, Timeout: scenario.Duration(time.Minute),
		Expect: scenario.Expect{Run: []scenario.RunExpect{{Service: "worker-2", Command: []string{"verify"}}}},
	}
}
