package check

import (
	"strings"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

func TestCrashPointMustBeThePlannedOne(t *testing.T) {
	planned := func(change func(*scenario.Fault)) plannedFault {
		fault := scenario.Fault{Kind: scenario.Kill, Service: "worker-2", When: scenario.When{
			Kind: scenario.Write, Path: "/data/*.csv", Occurrence: 7, Keep: "11",
		}}
		change(&fault)
		return plannedFault{fault, 1, 1}
	}
	met := func(change func(*history.Point)) *history.Point {
		point := history.Point{Operation: "write", Path: "/data/a.csv", Occurrence: 7, Timing: "during", Size: 58, Kept: 11}
		change(&point)
		return &point
	}
	same := func(*scenario.Fault) {}
	exact := func(*history.Point) {}
	tests := []struct {
		name    string
		planned func(*scenario.Fault)
		met     func(*history.Point)
		says    string // empty: as planned
	}{
		{"as planned", same, exact, ""},
		{"inexact", same, func(p *history.Point) { p.Inexact = "thread 12 did not stop" }, "thread 12"},
		{"another call", same, func(p *history.Point) { p.Operation = "fsync" }, "came at a fsync"},
		{"another occurrence", same, func(p *history.Point) { p.Occurrence = 8 }, "8th write"},
		{"another file", same, func(p *history.Point) { p.Path = "/data/sub/a.csv" }, "/data/sub/a.csv"},
		{"either name", same, func(p *history.Point) { p.Path, p.Other = "/tmp/a", "/data/b.csv" }, ""},
		{"another tear", same, func(p *history.Point) { p.Kept = 12 }, "left 12 bytes"},
		{"more than there is", func(f *scenario.Fault) { f.When.Keep = "99" }, func(p *history.Point) { p.Kept = 58 }, ""},
		{"half", func(f *scenario.Fault) { f.When.Keep = "half" }, func(p *history.Point) { p.Kept = 29 }, ""},
		{"all but one", func(f *scenario.Fault) { f.When.Keep = "all-but-1" }, func(p *history.Point) { p.Kept = 57 }, ""},
		{"not torn at all", func(f *scenario.Fault) { f.When.Keep = "" }, func(p *history.Point) { p.Kept = 0 }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := &history.History{Events: []history.Event{{Kind: history.PointReached, Fault: 1, Point: met(test.met)}}}
			got := metElsewhere(h, planned(test.planned))
			if (got == "") != (test.says == "") || !strings.Contains(got, test.says) {
				t.Errorf("got %q, want it to say %q", got, test.says)
			}
		})
	}
	if got := metElsewhere(&history.History{}, planned(same)); got == "" {
		t.Error("a fault that fired without a crash point counts as planned")
	}
}

func TestOccurrenceOfARepetition(t *testing.T) {
	when := scenario.When{Kind: scenario.Write, Path: "/data/*", Occurrence: 3}
	tests := map[scenario.FaultKind]int{scenario.Kill: 3, scenario.Fail: 4, scenario.Pause: 6}
	for kind, want := range tests {
		if got := plannedOccurrence(plannedFault{scenario.Fault{Kind: kind, When: when}, 2, 2}); got != want {
			t.Errorf("second %s: occurrence %d, want %d", kind, got, want)
		}
	}
}
