package check_test

import (
	"testing"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
)

// FuzzOutput judges files of any bytes against three small chunks. Only the
// arrangements that are right may pass, and nothing may panic.
func FuzzOutput(f *testing.F) {
	right := map[string]bool{}
	blocks := []string{"0,alice\n2,bob\n", "4,carol\n", "0,alice\n"}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		content := header + "\n"
		for _, block := range order {
			content += blocks[block]
		}
		right[content] = true
		f.Add([]byte(content))
	}
	for _, torn := range []string{"0,al0,alice\n", "0,alice\n2,b", "\x00\x00", "0,alice\n\n2,bob\n", "4,carol0,alice\n2,bob\n", "\"", "1,x\n", "user_id,name\n"} {
		f.Add([]byte(header + "\n" + torn))
		f.Add([]byte(torn))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		w := newWorld(t)
		w.send("A: 0,alice 2,bob")
		w.send("B: 4,carol")
		w.send("C: 0,alice")
		w.file("writer", filePath("0"), history.AtEnd, string(content))
		w.finish()
		result := rowsResult(t, w, check.Limits{})
		want := check.StatusFailed
		if right[string(content)] {
			want = check.StatusPassed
		}
		if result.Status != want {
			t.Errorf("%q: want %s, got %s %s %v", content, want, result.Status, result.Reason, result.Findings)
		}
	})
}
