package report

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

const (
	tornFile = "/app/worker-data/partitions/TEST-users-partition-003.csv"
	whole    = "user_id,name\n13,Ada\n18,Grace\n21,Edsger\n34,Barbara\n55,Zo\xc3\xab\n"
)

// tornScenario kills worker-2 in the middle of a write and, in a second
// fault, between the two names of a rename.
func tornScenario() *scenario.Scenario {
	sc := restartScenario()
	restart := scenario.Duration(200 * millisecond)
	sc.File, sc.Name = "scenarios/torn.yaml", "torn"
	sc.Faults = []scenario.Fault{
		{Kind: scenario.Kill, Service: "worker-2", Restart: &restart, When: scenario.When{
			Kind: scenario.Write, Path: "/app/worker-data/partitions/*.csv", Occurrence: 7, Keep: "11"}},
		{Kind: scenario.Kill, Service: "worker-2", Restart: &restart, When: scenario.When{
			Kind: scenario.Rename, Path: "/app/worker-data/state/*", Timing: "after"}},
	}
	return sc
}

// tornHistory is a run of tornScenario in which recovery left the torn line.
func tornHistory(t *testing.T) *history.History {
	recorder := history.NewRecorder(history.Meta{}, t.TempDir())
	store := func(fault int, path string, stage history.Stage, content string) {
		if _, err := recorder.StoreCut(fault, "worker-2", path, stage, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	store(1, tornFile, history.AtCrash, whole[:31])
	store(2, "/app/worker-data/state/processed.txt", history.AtCrash, "c1\nc2\n")
	store(0, tornFile, history.AtEnd, whole[:31]+whole[28:])
	store(2, "/app/worker-data/state/processed.txt", history.Recovered, "c1\nc2\nc3\n")
	h := restartHistory()
	h.Dir, h.Files = recorder.History().Dir, recorder.History().Files
	h.Meta.Scenario, h.Meta.File, h.Meta.Replay = "torn", "scenarios/torn.yaml", "killpoint run scenarios/torn.yaml"
	var events []history.Event
	for _, event := range h.Events {
		if event.Kind == history.FaultFired {
			point := &history.Point{
				Operation: "write", Call: "pwrite64", Path: tornFile, Occurrence: 7, Timing: "during", Action: "hold",
				Size: 19, Offset: 20, Kept: 11,
			}
			event.Kind, event.Point, event.Text = history.PointReached, point, point.String()
			events = append(events, event)
			event.Kind, event.Point = history.FaultFired, nil
		}
		if event.Kind == history.AllDone {
			rename := &history.Point{
				Operation: "rename", Call: "renameat2", Path: "/app/worker-data/state/processed.tmp", Other: "/app/worker-data/state/processed.txt",
				Occurrence: 1, Timing: "after", Action: "hold", Offset: -1,
			}
			at := history.Event{At: event.At, Kind: history.FaultArmed, Service: "worker-2", Fault: 2, Text: "kill worker-2 after its 1st rename"}
			events = append(events, at)
			at.Kind, at.Point, at.Text, at.Incarnation = history.PointReached, rename, rename.String(), 2
			events = append(events, at)
			at.Kind, at.Point = history.FaultFired, nil
			events = append(events, at)
			at.Kind, at.Text = history.FaultDone, "killed with SIGKILL"
			events = append(events, at)
		}
		events = append(events, event)
	}
	h.Events = events
	return h
}

func TestCrashOfAFailedRun(t *testing.T) {
	result := NewResult(tornScenario(), tornHistory(t), failedVerdict())
	golden(t, "crash.txt", Style{Unicode: true}.resultBlock(result))

	point := result.Faults[0].Point
	if want := "worker-2:write:/app/worker-data/partitions/%2A.csv:7:+11"; point.Point != want {
		t.Errorf("the point is %s, want %s", point.Point, want)
	}
	if _, err := scenario.ParsePoint(point.Point); err != nil {
		t.Error(err)
	}
	file := point.Files[0]
	if file.Cut == nil || *file.Cut != 31 || text(t, file.Crash) != whole[:31] || text(t, file.End) != whole[:31]+whole[28:] {
		t.Errorf("the file is %+v", file)
	}
	names := result.Faults[1].Point.Files
	if len(names) != 1 || names[0].Cut != nil || text(t, names[0].Crash) != "c1\nc2\n" {
		t.Errorf("the files of the rename are %+v", names)
	}
	passed := NewResult(tornScenario(), tornHistory(t), check.Verdict{Outcome: check.Passed})
	if block := (Style{}).resultBlock(passed); strings.Contains(block, "  crash ") {
		t.Errorf("a run that passed shows its crash:\n%s", block)
	}
}

func text(t *testing.T, some *Bytes) string {
	t.Helper()
	content, err := hex.DecodeString(some.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// A power cut takes bytes that lie before the call that the program was held
// at, and what is cut is where the first of them was.
func TestCut(t *testing.T) {
	write := history.Point{Operation: "write", Path: "/a", Size: 20, Offset: 100, Timing: "during", Kept: 5}
	before, after := write, write
	before.Timing, before.Kept = "before", 0
	after.Timing, after.Kept = "after", 20
	lost := after
	lost.Unsynced = []history.Unsynced{
		{Operation: "write", Path: "/a", Offset: 10, Size: 5},
		{Operation: "write", Path: "/b", Offset: 20, Size: 5, Lost: true},
		{Operation: "write", Path: "/a", Offset: 70, Size: 5, Lost: true},
		{Operation: "write", Path: "/a", Offset: 60, Size: 5, Lost: true},
		{Operation: "rename", Path: "/a", Offset: 0, Lost: true},
	}
	rename := history.Point{Operation: "rename", Path: "/a", Offset: -1, Timing: "before"}
	for _, test := range []struct {
		name  string
		point history.Point
		path  string
		want  int64 // -1 for none
	}{
		{"during", write, "/a", 105}, {"before", before, "/a", 100}, {"after", after, "/a", 120},
		{"another file", write, "/b", -1}, {"no place", rename, "/a", -1},
		{"lost", lost, "/a", 60}, {"lost in another file", lost, "/b", 20},
	} {
		got := int64(-1)
		if cut := cutIn(&test.point, test.path); cut != nil {
			got = *cut
		}
		if got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}

// Files of any length give at most a few lines, and the mark is there
// whenever the file reaches as far as the cut.
func TestHexdumpMarksTheCut(t *testing.T) {
	for size := range 300 {
		content := strings.Repeat("0123456789abcdef", 20)[:size]
		recorder := history.NewRecorder(history.Meta{}, t.TempDir())
		file, err := recorder.Store("a", "/a", history.AtCrash, strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		for _, cut := range []int64{0, 1, 15, 16, 17, 100, int64(size) - 1, int64(size), int64(size) + 1, 290} {
			if cut < 0 {
				continue
			}
			some := bytesOf(recorder.History(), &file, cut)
			lines := hexdump(some, &cut, "│")
			all := strings.Join(near(lines, some, &cut, 2, 2), "\n")
			want := 2 // in the codes and in the text
			if cut > int64(size) || size == 0 {
				want = 0
			}
			if strings.Count(all, "│") != want {
				t.Fatalf("%d bytes cut at %d:\n%s", size, cut, strings.Join(lines, "\n"))
			}
			if want > 0 && !strings.Contains(all, markedText(content, cut)) {
				t.Fatalf("%d bytes cut at %d: the mark is not before its byte:\n%s", size, cut, all)
			}
			for index, line := range lines {
				if plain := strings.ReplaceAll(line, "│", ""); !strings.HasPrefix(line, fmt.Sprintf("%08x ", some.From+int64(16*index))) || len(plain) > 80 {
					t.Fatalf("line %d of %d bytes cut at %d: %q", index, size, cut, line)
				}
			}
		}
	}
}

// markedText is the line of text that holds the cut, as it must be shown.
func markedText(content string, cut int64) string {
	start := cut - cut%16
	if cut == int64(len(content)) && cut%16 == 0 {
		start -= 16
	}
	line := content[start:min(start+16, int64(len(content)))]
	return "|" + line[:cut-start] + "│" + line[cut-start:] + "|"
}
