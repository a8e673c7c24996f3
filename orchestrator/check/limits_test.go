package check_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
)

// rowsResult judges under limits and gives the result of the rows check.
func rowsResult(t *testing.T, w *world, limits check.Limits) check.Result {
	t.Helper()
	for _, result := range check.JudgeWithin(&w.scenario, &w.history, limits).Results {
		if result.Check == check.CheckRows {
			return result
		}
	}
	t.Fatal("no result of the rows check")
	return check.Result{}
}

// TestRowsAreSetAsideOnDisk judges more rows than are held in memory, right
// and with every row in the wrong partition, and finds nothing left on disk.
func TestRowsAreSetAsideOnDisk(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, swapped := range []bool{false, true} {
		w := newWorld(t)
		files := [2]strings.Builder{}
		const chunks, rows = 50, 100
		for file := range files {
			files[file].WriteString(header + "\n")
		}
		for chunk := range chunks {
			line := fmt.Sprintf("chunk%d:", chunk)
			for row := range rows {
				text := fmt.Sprintf("%d,row%d", row, chunk*rows+row)
				line += " " + text
				file := row % 2
				if swapped {
					file = 1 - file
				}
				files[file].WriteString(text + "\n")
			}
			w.send(line)
		}
		for file := range files {
			w.file("writer", filePath(fmt.Sprint(file)), history.AtEnd, files[file].String())
		}
		w.finish()
		result := rowsResult(t, w, check.Limits{Held: 1})
		switch {
		case !swapped && result.Status != check.StatusPassed:
			t.Errorf("right rows: %s %s %v", result.Status, result.Reason, result.Findings)
		case swapped && (len(result.Findings) != 1 || result.Findings[0].Kind != check.Misplaced || result.Findings[0].Count != chunks*rows):
			t.Errorf("swapped rows: %s %s %v", result.Status, result.Reason, result.Findings)
		}
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left in the folder for temporary files: %v %v", left, err)
	}
}

func TestRowsThatCannotBeSetAsideAreNotJudged(t *testing.T) {
	w := newWorld(t)
	t.Setenv("TMPDIR", "/nowhere")
	w.send("A:" + strings.Repeat(" 0,a", 1000))
	w.finish()
	if result := rowsResult(t, w, check.Limits{Held: 1}); result.Status != check.StatusUncomputed || !strings.Contains(result.Reason, "set rows aside") {
		t.Errorf("got %s %s %v", result.Status, result.Reason, result.Findings)
	}
}

// TestTooManyWrongLines asks that lines beyond the limit are counted, and
// that rows which they may hold are not called lost.
func TestTooManyWrongLines(t *testing.T) {
	w := parseWorld(t, `
		sent A: 0,a 2,b 4,c 6,d
		file 0: H|6,d|4,c|2,b|0,a|`)
	result := rowsResult(t, w, check.Limits{Explained: 2})
	counted := 0
	for _, finding := range result.Findings {
		if finding.Kind == check.Lost {
			t.Errorf("lost: %s", finding.Text)
		}
		if finding.Kind == check.Unexpected {
			counted = finding.Count
		}
	}
	if result.Status != check.StatusFailed || counted != 2 {
		t.Errorf("want 2 lines beyond the limit, got %s %v", result.Status, result.Findings)
	}
}

// TestLongRow has a row that is longer than any buffer, whole and cut short.
func TestLongRow(t *testing.T) {
	long := "0," + strings.Repeat("x", 1<<18)
	for content, want := range map[string]check.Status{
		header + "\n" + long + "\n0,a\n":         check.StatusPassed,
		header + "\n" + long[:1<<17] + "\n0,a\n": check.StatusFailed,
	} {
		w := newWorld(t)
		w.send("A: " + long + " 0,a")
		w.file("writer", filePath("0"), history.AtEnd, content)
		w.finish()
		if result := rowsResult(t, w, check.Limits{}); result.Status != want {
			t.Errorf("%d bytes: want %s, got %s %s", len(content), want, result.Status, result.Reason)
		}
	}
}

func TestTooManyFragments(t *testing.T) {
	w := parseWorld(t, `
		sent A: 0,alice
		file 0: H|0,alice|0,al|0,ali|0,alic|`)
	result := rowsResult(t, w, check.Limits{Fragments: 1})
	kinds := map[check.Kind]int{}
	for _, finding := range result.Findings {
		kinds[finding.Kind] = finding.Count
	}
	if kinds[check.Torn] != 1 || kinds[check.Unexpected] != 2 {
		t.Errorf("want 1 torn and 2 that were not compared, got %v", result.Findings)
	}
}

// TestSearchThatGivesUp asks that data which could not be decided are neither
// passed nor failed.
func TestSearchThatGivesUp(t *testing.T) {
	w := parseWorld(t, `
		sent A: 0,a 0,a 0,a 0,a
		sent B: 0,a 0,a 0,a
		sent C: 0,a 0,a 0,a
		file 0: H|0,a|0,a|0,a|0,a|0,a|0,a|
		file /data/second-0.csv: H|0,a|0,a|0,a|0,a|`)
	result := rowsResult(t, w, check.Limits{Searched: 1})
	if result.Status != check.StatusUncomputed || !strings.Contains(result.Reason, "too many ways") {
		t.Errorf("got %s %s %v", result.Status, result.Reason, result.Findings)
	}
}
