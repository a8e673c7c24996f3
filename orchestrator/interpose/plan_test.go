package interpose

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// validPlan uses every field.
func validPlan() Plan {
	return Plan{
		ID: "run-1-worker-2", Incarnation: 2, AwaitClient: true, Stay: true, Init: true, QuiesceTimeout: time.Second,
		Record:    &Record{Operations: []Operation{Write, Publish}, Paths: []string{"/data/**"}, Sums: true},
		PowerLoss: &PowerLoss{Paths: []string{"/data/*"}, Limit: 1 << 20},
		Points: []Point{
			{ID: "a", Operation: Write, Path: "/data/*.csv", Occurrence: 7, Timing: During, Keep: KeepBytes(11), Action: Hold, Lose: &Lose{Survive: "only", IDs: []int64{1, 3}}},
			{ID: "b", Operation: Fsync, Path: "/data/journal", Occurrence: 1, Action: Fail, Errno: "EIO", Times: 2},
			{ID: "c", Operation: Publish, Queue: "queue-2-3", Occurrence: 4, Timing: After, Action: Hold, Incarnation: 2},
			{ID: "d", Operation: Read, Path: "/data/x", Occurrence: 1, Action: Short, Bytes: 5},
			{ID: "e", Operation: Rename, Path: "/data/y", Occurrence: 1, Action: Delay, Wait: time.Millisecond},
			{ID: "f", Operation: Write, Path: "/data/z", Occurrence: 1, Timing: During, Keep: Keep{half: true}, Action: Hold},
		},
	}
}

func TestPlansSurviveTheirJSON(t *testing.T) {
	plan := validPlan()
	data, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ParsePlan(data)
	if err != nil {
		t.Fatal(err)
	}
	if difference := cmp.Diff(plan, parsed, cmp.AllowUnexported(Keep{})); difference != "" {
		t.Error(difference)
	}
}

func TestWrongPlansAreRefused(t *testing.T) {
	tests := map[string]struct {
		spoil func(*Plan)
		want  string
	}{
		"no id":                     {func(p *Plan) { p.ID = "" }, "want 1 to 64 characters"},
		"incarnation 0":             {func(p *Plan) { p.Incarnation = 0 }, "incarnations count from 1"},
		"too many points":           {func(p *Plan) { p.Points = make([]Point, MaxPoints+1) }, "at most 64"},
		"unknown operation":         {func(p *Plan) { p.Points[0].Operation = "chmod" }, `unknown operation "chmod"`},
		"occurrence 0":              {func(p *Plan) { p.Points[0].Occurrence = 0 }, "occurrences count from 1"},
		"relative path":             {func(p *Plan) { p.Points[0].Path = "data" }, "want an absolute path"},
		"bad glob":                  {func(p *Plan) { p.Points[0].Path = "/data/[a" }, "not a valid glob"},
		"path of a publish":         {func(p *Plan) { p.Points[2].Path = "/data" }, "takes a queue, not a path"},
		"torn fsync":                {func(p *Plan) { p.Points[0].Operation = Fsync }, "only a write can be torn"},
		"hold without timing":       {func(p *Plan) { p.Points[0].Timing = "" }, "hold needs a timing"},
		"unknown timing":            {func(p *Plan) { p.Points[0].Timing = "later" }, `unknown timing "later"`},
		"fail after":                {func(p *Plan) { p.Points[1].Timing = After }, "timing after cannot be set"},
		"unknown errno":             {func(p *Plan) { p.Points[1].Errno = "ENOTHING" }, `unknown errno "ENOTHING"`},
		"short rename":              {func(p *Plan) { p.Points[3].Operation = Rename }, "only a read or a write can be short"},
		"short write of nothing":    {func(p *Plan) { p.Points[3].Operation, p.Points[3].Bytes = Write, 0 }, "want at least 1"},
		"delay of nothing":          {func(p *Plan) { p.Points[4].Wait = 0 }, "want a positive duration"},
		"unknown action":            {func(p *Plan) { p.Points[0].Action = "explode" }, `unknown action "explode"`},
		"two holds in one":          {func(p *Plan) { p.Points[0].Times = 2 }, "a hold happens once"},
		"lose without tracking":     {func(p *Plan) { p.PowerLoss = nil }, "lose needs power_loss"},
		"lose without index":        {func(p *Plan) { p.Points[0].Lose = &Lose{Survive: "drop"} }, "lose: drop without an index"},
		"lose without hold":         {func(p *Plan) { p.Points[1].Lose = &Lose{} }, "lose belongs to a hold"},
		"power loss, no quiescing":  {func(p *Plan) { p.NoQuiesce = true }, "power_loss needs quiescing"},
		"record of what is not":     {func(p *Plan) { p.Record.Operations = []Operation{"x"} }, `unknown operation "x"`},
		"record of a relative path": {func(p *Plan) { p.Record.Paths = []string{"x"} }, "want an absolute path"},
		"tracking a relative path":  {func(p *Plan) { p.PowerLoss.Paths = []string{"x"} }, "want an absolute path"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			plan := validPlan()
			test.spoil(&plan)
			if err := plan.Validate(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if _, err := ParsePlan([]byte(`{"id":"x","incarnation":1,"pionts":[]}`)); err == nil {
		t.Error("a key that does not exist: no error")
	}
}

func TestKeepKeepsWhatItSays(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "11": 11, "half": 12, "all-but-1": 24, "all-but-30": 0, "100": 25} {
		keep, err := ParseKeep(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := keep.Of(25); got != want {
			t.Errorf("%s of 25: got %d, want %d", text, got, want)
		}
		if keep.String() != text {
			t.Errorf("%q comes back as %q", text, keep)
		}
	}
	for _, text := range []string{"", "-1", "a half", "all-but-", "all-but--1", "1.5"} {
		if _, err := ParseKeep(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func TestKeepIsNeverOutsideOfTheWrite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keep := rapid.SampledFrom([]Keep{KeepBytes(rapid.Int64Min(0).Draw(t, "bytes")), {half: true}, {allBut: true, bytes: rapid.Int64Min(0).Draw(t, "but")}}).Draw(t, "keep")
		size := rapid.Int64Range(0, 1<<40).Draw(t, "size")
		if kept := keep.Of(size); kept < 0 || kept > size {
			t.Errorf("%v of %d is %d", keep, size, kept)
		}
	})
}
