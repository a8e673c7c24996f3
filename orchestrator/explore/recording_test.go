package explore

import (
	"strings"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

func TestRecordedUntilDone(t *testing.T) {
	operation := func(life int, point history.Point) history.Event {
		return history.Event{Kind: history.Operation, Service: "worker-2", Incarnation: life, Point: &point}
	}
	h := &history.History{Events: []history.Event{
		operation(1, write("/a", 0, 1, "")),
		{Kind: history.Operation, Service: "worker-3", Incarnation: 1, Point: &history.Point{Operation: "read", Path: "/a"}},
		{Kind: history.FaultFired, Fault: 1},
		operation(2, write("/a", 0, 1, "")), operation(2, write("/a", 1, 1, "")),
		{Kind: history.AllDone},
		operation(2, write("/a", 2, 1, "")), operation(3, write("/a", 0, 1, "")),
	}}
	recording := Recorded(h, "worker-2", 1)
	if len(recording.Operations) != 3 || recording.From != 1 {
		t.Fatalf("recorded %+v", recording)
	}
	for i, want := range []struct{ life, occurrence, index int }{{1, 1, 1}, {2, 1, 1}, {2, 2, 2}} {
		if o := recording.Operations[i]; o.Incarnation != want.life || o.Occurrence != want.occurrence || o.Index != want.index {
			t.Errorf("operation %d is %+v, want %+v", i, o, want)
		}
	}
	if recording := Recorded(h, "worker-2", 0); recording.From != 0 {
		t.Errorf("without a fault, points begin at %d", recording.From)
	}
}

// TestOccurrencesAreThoseOfPoints compares the numbers of operations with what
// the interposer counts for a point on each.
func TestOccurrencesAreThoseOfPoints(t *testing.T) {
	operations := []history.Point{
		rename("/t", "/s"), rename("/s", "/t"), rename("/t", "/s"), rename("/s", "/s"),
		amqp("ack", "a", 1), amqp("ack", "a,b", 1), amqp("ack", "b,b,b", 1), amqp("ack", "a,a", 1), amqp("publish", "", 1), amqp("publish", "a", 1), amqp("publish", "", 1),
		write("/s", 0, 1, ""), write("/t", 0, 1, ""), write("/s", 0, 1, ""),
	}
	recording := recordingOf(operations...)
	for i := range recording.Operations {
		o := &recording.Operations[i]
		when := o.point("worker-2").When()
		counted := 0
		for _, at := range operations[:i+1] {
			if matches(when, at) {
				counted++
			}
		}
		if counted != o.Occurrence {
			t.Errorf("operation %d, %s: the interposer counts %d", i+1, o, counted)
		}
	}
	if queue := recording.Operations[5].Queue; queue != "" {
		t.Errorf("an ack on two queues is on %q", queue)
	}
}

func TestMerge(t *testing.T) {
	first := recordingOf(write("/a", 0, 10, "x"), write("/a", 10, 10, "y"), amqp("publish", "q", 80), fsync("/a"), write("/b", 0, 1, ""))
	first.Operations[3].Pending = 4
	again := recordingOf(write("/a", 0, 10, "x"), write("/a", 10, 12, "y"), amqp("publish", "q", 81), fsync("/a"))
	again.Operations[3].Pending = 3
	third := recordingOf(write("/a", 0, 10, "z"), write("/a", 10, 10, "y"), amqp("publish", "q", 80), fsync("/a"), write("/b", 0, 1, ""), fsync("/b"))
	third.Operations[3].Pending = 5
	merged, found := Merge([]Recording{first, again, third}, nil)
	want := Divergence{
		Recordings: 3, Differ: 2, Extra: 1, Bytes: 1,
		First: "write 2 of /a (10 bytes at byte 10); in recording 2, write 2 of /a (12 bytes at byte 10)",
	}
	if found != want {
		t.Errorf("found %+v, want %+v", found, want)
	}
	for i, divergent := range []bool{false, true, false, false, true} {
		if merged.Operations[i].Divergent != divergent {
			t.Errorf("%s: divergent %v", &merged.Operations[i], !divergent)
		}
	}
	if o := merged.Operations; o[0].Sum != "" || o[1].Sum != "y" || o[2].Size != 0 || o[3].Pending != 3 {
		t.Errorf("merged %+v", o)
	}
	if first.Operations[0].Sum != "x" {
		t.Error("the recording itself was changed")
	}
	if !strings.Contains(found.String(), "2 operations differ between 3 recordings, 1 more are in some of them only") {
		t.Error(found)
	}
	if merged, found := Merge([]Recording{first, first}, nil); found != (Divergence{Recordings: 2}) || found.String() != "" || len(merged.Operations) != 5 {
		t.Errorf("two equal recordings: %+v, %+v", merged, found)
	}
}

func TestWhatIsNoPointMayDiffer(t *testing.T) {
	first := recordingOf(read("/proc/25/cgroup", 0, 9), read("/etc/hosts", 0, 9), read("/out/a", 0, 9), read("/data/a", 0, 9), write("/data/a", 0, 1, ""))
	again := recordingOf(read("/proc/26/cgroup", 0, 9), read("/etc/hosts", 0, 8), read("/out/a", 0, 9), read("/data/a", 0, 9), write("/data/a", 0, 1, ""))
	both := []Recording{first, again}
	rules := Rules{Collected: []string{"/out/*"}}
	if _, found := Merge(both, rules.Matters(both)); found.String() != "" {
		t.Error(found)
	}
	again.Operations[2].Size, again.Operations[3].Size = 1, 1
	if merged, found := Merge(both, rules.Matters(both)); found.Differ != 2 || !merged.Operations[2].Divergent || !merged.Operations[3].Divergent {
		t.Errorf("%+v", found)
	}
}

func TestMeets(t *testing.T) {
	recorded := recordingOf(rename("/t", "/s"), write("/a", 10, 20, "x"), amqp("ack", "q", 21), amqp("ack", "q,r", 21))
	at := func(point history.Point, occurrence int) *history.Point {
		point.Occurrence = occurrence
		return &point
	}
	for name, test := range map[string]struct {
		operation int
		at        *history.Point
		want      string
	}{
		"the same":              {1, at(write("/a", 10, 20, "x"), 1), ""},
		"without a sum":         {1, at(write("/a", 10, 20, ""), 1), ""},
		"other bytes":           {1, at(write("/a", 10, 20, "y"), 1), "with other bytes"},
		"elsewhere":             {1, at(write("/a", 11, 20, "x"), 1), "it came at write 1 of /a (20 bytes at byte 11), recorded was write 1 of /a (20 bytes at byte 10)"},
		"shorter":               {1, at(write("/a", 10, 19, "x"), 1), "it came at"},
		"another occurrence":    {1, at(write("/a", 10, 20, "x"), 2), "it came at"},
		"another file":          {1, at(write("/b", 10, 20, "x"), 1), "it came at"},
		"another operation":     {1, at(fsync("/a"), 1), "it came at"},
		"a rename":              {0, at(rename("/t", "/s"), 1), ""},
		"to elsewhere":          {0, at(rename("/t", "/u"), 1), "it came at"},
		"an ack":                {2, at(amqp("ack", "q", 30), 1), ""},
		"on another queue":      {2, at(amqp("ack", "r", 21), 1), "it came at"},
		"on any queue":          {3, at(amqp("ack", "q,r", 21), 2), ""},
		"too late on any queue": {3, at(amqp("ack", "q,r", 21), 3), "it came at"},
	} {
		got := recorded.Operations[test.operation].meets(test.at)
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestHash(t *testing.T) {
	base := Operation{Operation: "write", Path: "/a", Occurrence: 1, Size: 3, Offset: 4, Sum: "x", Incarnation: 1}
	seen := map[string]bool{base.Hash("a"): true, base.Hash("b"): true}
	for _, change := range []func(*Operation){
		func(o *Operation) { o.Operation = "read" }, func(o *Operation) { o.Path = "/b" }, func(o *Operation) { o.Occurrence = 2 },
		func(o *Operation) { o.Size = 4 }, func(o *Operation) { o.Offset = 5 }, func(o *Operation) { o.Sum = "y" },
		func(o *Operation) { o.Incarnation = 2 }, func(o *Operation) { o.Other = "/c" }, func(o *Operation) { o.Queue = "q" },
	} {
		changed := base
		change(&changed)
		if seen[changed.Hash("a")] {
			t.Errorf("%+v has the hash of another", changed)
		}
		seen[changed.Hash("a")] = true
	}
	moved := base
	moved.Index, moved.Pending = 9, 9
	if moved.Hash("a") != base.Hash("a") {
		t.Error("the hash depends on what came before")
	}
	var none scenario.Sequence
	if (&Item{}).Text("a") != none.String() {
		t.Error("the undisturbed run has a text")
	}
}
