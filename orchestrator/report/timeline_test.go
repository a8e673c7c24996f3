package report

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// lived makes the events of a container's life short to write.
func lived(kind history.Kind, at int, service string, number int) history.Event {
	return history.Event{At: time.Duration(at) * millisecond, Kind: kind, Service: service, Incarnation: number}
}

func TestTimelineLanes(t *testing.T) {
	died, left, removed := lived(history.Exited, 300, "b", 1), lived(history.Exited, 900, "b", 2), lived(history.Exited, 980, "c", 1)
	died.Code, died.Text = code(137), "SIGKILL"
	left.Code, removed.Code = code(0), code(137)
	h := &history.History{Events: []history.Event{
		lived(history.Created, 10, "b", 0),
		lived(history.Started, 100, "c", 1), // healthy after a while
		lived(history.Started, 120, "b", 1),
		lived(history.Healthy, 120, "b", 1), // healthy at once: never seen starting
		lived(history.Healthy, 250, "c", 1),
		died,
		lived(history.Started, 500, "b", 2),
		lived(history.Healthy, 700, "a", 1), // a broker that was there before
		left,
		{At: 950 * millisecond, Kind: history.Phase, Text: "removing"},
		removed,
		{At: 1000 * millisecond, Kind: history.Removed},
	}}
	got := newTimeline(&scenario.Scenario{}, h)
	if want := []string{"a", "b", "c"}; !slices.Equal(got.Services, want) {
		t.Fatalf("services %q, want %q", got.Services, want)
	}
	want := []lane{
		{Service: 0, Created: -1, Spans: []stretch{{State: stateUp, Life: 1, From: 700_000, To: 1_000_000}}},
		{Service: 1, Created: 10_000, Spans: []stretch{
			{State: stateUp, Life: 1, From: 120_000, To: 300_000, End: "exited 137 (SIGKILL)", Bad: true},
			{State: stateUp, Life: 2, From: 500_000, To: 900_000, End: "exited 0"},
		}},
		{Service: 2, Created: -1, Spans: []stretch{
			{State: stateStarting, Life: 1, From: 100_000, To: 250_000},
			{State: stateUp, Life: 1, From: 250_000, To: 980_000, End: "exited 137", Bad: true, Swept: true},
		}},
	}
	if difference := cmp.Diff(want, got.Lanes); difference != "" {
		t.Errorf("lanes (-want +got):\n%s", difference)
	}
}

func TestTimelineFaults(t *testing.T) {
	sc := &scenario.Scenario{Faults: []scenario.Fault{
		{Kind: scenario.Kill, Service: "b", Times: 2, When: scenario.When{Kind: scenario.Write, Path: "/a"}},
		{Kind: scenario.Pause, Service: "b", When: scenario.When{Kind: scenario.After}},
		{Kind: scenario.Disconnect, Service: "b"},
	}}
	fault := func(kind history.Kind, at, number int, text string) history.Event {
		event := lived(kind, at, "b", 1)
		event.Fault, event.Text = number, text
		return event
	}
	h := &history.History{Events: []history.Event{
		lived(history.Started, 10, "b", 1), lived(history.Started, 11, "a", 1),
		fault(history.FaultFired, 100, 1, "after write 1"), fault(history.FaultDone, 110, 1, "killed"), fault(history.FaultHealed, 150, 1, "started"),
		fault(history.FaultFired, 200, 2, "after write 1"), fault(history.FaultDone, 210, 2, "killed"),
		fault(history.FaultFired, 300, 3, "3s were over"), fault(history.FaultDone, 310, 3, "paused"), fault(history.FaultHealed, 400, 3, "unpaused"),
		fault(history.FaultMissed, 900, 4, "the run ended before"),
		{At: 1000 * millisecond, Kind: history.Removed},
	}}
	got := newTimeline(sc, h)
	want := []faultMark{
		{Number: 1, Service: 1, Fired: 100_000, Healed: 150_000, Exact: true, Text: "kill b", Matched: "after write 1"},
		{Number: 2, Service: 1, Fired: 200_000, Healed: -1, Exact: true, Text: "kill b", Matched: "after write 1"},
		{Number: 3, Service: 1, Fired: 300_000, Healed: 400_000, Text: "pause b", Matched: "3s were over"},
	}
	if difference := cmp.Diff(want, got.Faults); difference != "" {
		t.Errorf("faults (-want +got):\n%s", difference)
	}
	spans := got.Lanes[1].Spans
	if hurt := spans[len(spans)-1]; len(spans) != 2 || hurt != (stretch{State: stateHurt, Life: 1, From: 310_000, To: 400_000, End: "paused"}) {
		t.Errorf("the pause is %+v", spans)
	}
	if got.View[0] >= 100_000 || got.View[1] != got.End {
		t.Errorf("the first view is %v", got.View)
	}
}

// Chunks are followed by their ids in the logs: the first time that a service
// names one counts, and words that are no chunk's id do not.
func TestTimelineChunksAndQueues(t *testing.T) {
	recorder := history.NewRecorder(history.Meta{}, t.TempDir())
	sent := `{"chunk":"c-1","rows":["1,a"]}` + "\n" + `{"chunk":"c-2","rows":["2,b"]}` + "\n" + `{"confirmed":"c-1"}` + "\n" + `{"chunk":"c-1","again":true}` + "\n"
	if _, err := recorder.Store("sender", "/sent", history.AtEnd, strings.NewReader(sent)); err != nil {
		t.Fatal(err)
	}
	h := recorder.History()
	h.Events = nil
	say := func(at int, service, text string) {
		event := lived(history.Log, at, service, 1)
		event.Stream, event.Text = "stdout", text
		h.Events = append(h.Events, event)
	}
	depth := func(at int, queue string, ready, unacked int) {
		h.Events = append(h.Events, history.Event{At: time.Duration(at) * millisecond, Kind: history.QueueDepth, Queue: queue, Ready: ready, Unacked: unacked})
	}
	say(10, "sender", "Sent chunk c-1.")
	say(20, "sender", "Sent chunk c-2 and not c-3")
	depth(25, "q2", 0, 0)
	say(30, "worker", "SUCCESS [c-2]")
	depth(35, "q1", 3, 1)
	say(40, "worker", "c-2 again")
	say(50, "worker", "SUCCESS [c-1], c-22")
	depth(55, "q1", 0, 0)
	sc := &scenario.Scenario{Facts: &scenario.Facts{Rows: &scenario.Rows{Sent: scenario.SentFile{Service: "sender", File: "/sent"}}}}
	got := newTimeline(sc, h)
	chunks := []chunkLine{{Service: 0, At: []int64{10_000, 20_000}, Total: 2}, {Service: 1, At: []int64{30_000, 50_000}, Total: 2}}
	if difference := cmp.Diff(chunks, got.Chunks); difference != "" {
		t.Errorf("chunks (-want +got):\n%s", difference)
	}
	queues := []queueLane{{Name: "q1", At: []int64{35_000, 55_000}, Ready: []int{3, 0}, Unacked: []int{1, 0}}, {Name: "q2", At: []int64{25_000}, Ready: []int{0}, Unacked: []int{0}}}
	if difference := cmp.Diff(queues, got.Queues); difference != "" {
		t.Errorf("queues (-want +got):\n%s", difference)
	}
}

// Every event is in the columns, in order, with the time that it happened.
func TestTimelineEvents(t *testing.T) {
	h := &history.History{Events: everyKind()}
	got := newTimeline(&scenario.Scenario{}, h)
	columns := got.Events
	at := int64(0)
	for index, event := range h.Events {
		at += columns.At[index]
		if at != event.At.Microseconds() {
			t.Errorf("event %d is at %d, want %v", index, at, event.At)
		}
		if service := columns.Service[index]; event.Service != "" && got.Services[service] != event.Service || event.Service == "" && service != -1 {
			t.Errorf("event %d is of %d, want %s", index, service, event.Service)
		}
		if strings.ContainsFunc(columns.Text[index], unsafe) {
			t.Errorf("event %d has control characters: %q", index, columns.Text[index])
		}
	}
	for kind, letter := range eventLetters {
		if !slices.ContainsFunc(h.Events, func(event history.Event) bool { return event.Kind == kind }) {
			t.Errorf("no event of kind %s is in the test", kind)
		}
		for index, event := range h.Events {
			want := letter
			if event.Kind == history.Log && event.Stream == "stderr" {
				want = letterErr
			}
			if event.Kind == kind && columns.Kinds[index] != want {
				t.Errorf("%s has the letter %c, want %c", kind, columns.Kinds[index], want)
			}
		}
	}
}
