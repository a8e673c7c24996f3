package report

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/killpoint/killpoint/orchestrator/history"
)

func phaseOf(times Times, name string) float64 {
	for _, phase := range times.Phases {
		if phase.Name == name {
			return phase.Seconds
		}
	}
	return math.NaN()
}

func TestBreakdownGivesEachInstantToOnePhase(t *testing.T) {
	times := Breakdown(restartHistory())
	want := map[string]float64{
		history.SpanImages: 0.010,
		// The broker boots from 0.2 s on, beside the containers.
		history.SpanContainers: 0.190 + 0.300,
		history.SpanBroker:     5.100,
		// The workload goes on while worker-2 is down, and is counted less that.
		history.SpanWorkload: 1.200 - 0.500,
		history.SpanFaults:   0.500,
		history.SpanCollect:  0.100,
		history.SpanChecks:   0,
		history.SpanRemoval:  0.350,
		Unattributed:         0.050 + 0.050,
	}
	for name, seconds := range want {
		if got := phaseOf(times, name); math.Abs(got-seconds) > 1e-9 {
			t.Errorf("%s took %.3fs, want %.3fs", name, got, seconds)
		}
	}
	if len(times.Phases) != len(want) {
		t.Errorf("phases %v, want these %d", times.Phases, len(want))
	}
	if times.Total != 7.350 || times.Overhead != 0.100 || times.OverheadPercent != 1.4 {
		t.Errorf("total %v, overhead %v, %v %%; want 7.35, 0.1, 1.4 %%", times.Total, times.Overhead, times.OverheadPercent)
	}
}

// What killpoint itself does is overhead also while the engine removes
// containers beside it.
func TestBreakdownCountsChecksAndUnknownSpansAsOverhead(t *testing.T) {
	h := &history.History{Spans: []history.Span{
		{Name: history.SpanRemoval, Start: 0, End: 10 * time.Second},
		{Name: history.SpanChecks, Start: time.Second, End: 3 * time.Second},
		{Name: "thinking", Start: 10 * time.Second, End: 11 * time.Second},
	}}
	times := Breakdown(h)
	if got := phaseOf(times, "thinking"); got != 1 {
		t.Errorf("a span of another name took %v, want 1", got)
	}
	if times.Overhead != 3 || phaseOf(times, history.SpanRemoval) != 8 {
		t.Errorf("overhead %v, removal %v; want 3 and 8", times.Overhead, phaseOf(times, history.SpanRemoval))
	}
}

func TestBreakdownOfNothing(t *testing.T) {
	if times := Breakdown(&history.History{}); times.Total != 0 || times.OverheadPercent != 0 {
		t.Errorf("an empty history took %v", times)
	}
}

// Whatever the spans are, no instant is lost or counted twice.
func TestBreakdownAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &history.History{}
		for range rapid.IntRange(0, 20).Draw(t, "spans") {
			start := time.Duration(rapid.IntRange(-5, 1000).Draw(t, "start")) * time.Millisecond
			h.Spans = append(h.Spans, history.Span{
				Name:  rapid.SampledFrom(append([]string{"other"}, priority...)).Draw(t, "name"),
				Start: start, End: start + time.Duration(rapid.IntRange(-5, 1000).Draw(t, "length"))*time.Millisecond,
			})
		}
		times := Breakdown(h)
		sum := 0.0
		for _, phase := range times.Phases {
			if phase.Seconds < 0 {
				t.Fatalf("%s took %v", phase.Name, phase.Seconds)
			}
			sum += phase.Seconds
		}
		if math.Abs(sum-times.Total) > 1e-6 {
			t.Fatalf("the phases add up to %v of %v: %v", sum, times.Total, times)
		}
	})
}
