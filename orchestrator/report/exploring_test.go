package report

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// showCampaign tells of a campaign from its beginning to its end, with 50 ms
// between two things.
func showCampaign(options ExploringOptions) string {
	var out bytes.Buffer
	now := time.Date(2025, 3, 4, 5, 6, 7, 0, time.UTC)
	options.Stderr = &out
	options.Now = func() time.Time { now = now.Add(50 * time.Millisecond); return now }
	e := NewExploring(options)
	e.Phase("recording worker-2 undisturbed")
	e.Planned(CampaignPlan{Operations: 1340, Points: 4284, Kinds: map[string]int{"write": 4000, "fsync": 284}, Chosen: 1284, Resumed: 3, Notes: []string{"2 operations left out: reads"}})
	e.Phase("crashing worker-2")
	for done := range 400 {
		e.Progress(CampaignProgress{Done: done + 1, Total: 1284, Failed: done / 300, Rate: 1180.4, Left: 49.2, Seconds: float64(done) / 20})
		if done == 300 {
			e.Found("worker-2:write:/a:1:+1", Failed, "lost: 1 row\x1b[2J is lost")
		}
	}
	e.Note("a warning")
	e.Close()
	return out.String()
}

func TestExploringOnATerminal(t *testing.T) {
	shown := showCampaign(ExploringOptions{Err: Style{Width: 60, Unicode: true}})
	golden(t, "exploring.txt", strings.ReplaceAll(strings.ReplaceAll(shown, eraseLine, "«erase»"), "\r", "«return»"))
	for line := range strings.SplitSeq(strings.ReplaceAll(shown, eraseLine, "\n"), "\n") {
		if strings.Contains(line, "/1,284") && len([]rune(line)) > 59 {
			t.Errorf("wider than the terminal: %q", line)
		}
	}
	if quiet := showCampaign(ExploringOptions{Err: Style{Width: 60}, Quiet: true}); quiet != "a warning\n" {
		t.Errorf("quiet: %q", quiet)
	}
}

func TestExploringElsewhere(t *testing.T) {
	shown := showCampaign(ExploringOptions{})
	golden(t, "exploring.jsonl", shown)
	events := map[string]int{}
	for line := range strings.Lines(shown) {
		var told ExploringLine
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&told); err != nil {
			t.Fatal(err)
		}
		events[told.Event]++
	}
	// 400 points in 20 s, and the last of them at the end.
	if events["progress"] < 2 || events["progress"] > 4 || events["found"] != 1 || events["phase"] != 2 {
		t.Errorf("told %v", events)
	}
}
