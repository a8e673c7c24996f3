package check_test

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
)

var largeRows = flag.Int("large", 1_000_000, "how many rows TestLarge judges")

// TestLarge judges a million rows, or as many as -large says, whole and
// damaged, and holds the peak of memory to what ten million may take.
func TestLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	rows := *largeRows
	if raceEnabled {
		rows = min(rows, 100_000)
	}
	for _, shape := range []largeShape{
		{256, 5, ""}, {256, 5, "lost chunk"}, {256, 5, "modulo"}, {16, 64, ""}, {16, 64, "modulo"}, {16, 1, "lost chunk"},
	} {
		name := fmt.Sprintf("%d rows a chunk, %d partitions, %s", shape.chunkRows, shape.partitions, shape.damage)
		t.Run(name, func(t *testing.T) { judgeLarge(t, rows, shape) })
	}
}

// largeShape is how the rows are divided, and what is wrong with them.
type largeShape struct {
	chunkRows, partitions int
	damage                string // nothing; one chunk lost; or nearly all in the wrong partition
}

func judgeLarge(t *testing.T, rows int, shape largeShape) {
	w := writeLarge(t, rows, shape)
	debug.FreeOSMemory()
	resetPeak(t)
	began := time.Now()
	verdict := check.Judge(&w.scenario, &w.history)
	took, peak := time.Since(began), peakMegabytes(t)
	t.Logf("%d rows judged in %s (%.1f million a second), peak of memory %d MB", rows, took.Round(time.Millisecond), float64(rows)/took.Seconds()/1e6, peak)
	want := check.Passed
	if shape.damage != "" {
		want = check.Failed
	}
	if verdict.Outcome != want {
		t.Errorf("outcome %s: %v", verdict.Outcome, verdict.Reasons)
	}
	for _, finding := range verdict.Findings() {
		t.Log(finding.Kind, finding.Text)
	}
	// What ten million rows may take is 500 MB, of which 100 are there in any case.
	if most := 100 + rows/25_000; peak > most && !raceEnabled {
		t.Errorf("took %d MB, want at most %d", peak, most)
	}
}

// writeLarge writes the record and the output of many rows without holding
// them in memory.
func writeLarge(t *testing.T, rows int, shape largeShape) *world {
	chunkRows, partitions, damage := shape.chunkRows, shape.partitions, shape.damage
	w := newWorld(t)
	w.facts.Rows.Partition.Count = partitions
	w.hasSent = false
	create := func(name string) (*bufio.Writer, func()) {
		file, err := os.Create(filepath.Join(w.history.Dir, name))
		w.check(err)
		writer := bufio.NewWriterSize(file, 1<<16)
		return writer, func() {
			w.check(writer.Flush())
			w.check(file.Close())
		}
	}
	sent, closeSent := create("sent")
	outputs := make([]*bufio.Writer, partitions)
	closes := make([]func(), partitions)
	for partition := range outputs {
		outputs[partition], closes[partition] = create(fmt.Sprint(partition))
		fmt.Fprintln(outputs[partition], header)
	}
	filler := strings.Repeat("x", 80)
	for first, chunk := 0, 0; first < rows; first, chunk = first+chunkRows, chunk+1 {
		id := fmt.Sprintf("%08x-0000-4000-8000-%012x", chunk*2654435761%(1<<32), chunk)
		fmt.Fprintf(sent, `{"chunk":%q,"client":"TEST","partitions":%d,"rows":[`, id, partitions)
		for row := first; row < min(first+chunkRows, rows); row++ {
			user := row * 7919 % 1_000_003
			text := fmt.Sprintf("%d,%s%d", user, filler, row)
			if row > first {
				sent.WriteByte(',')
			}
			fmt.Fprintf(sent, "%q", text)
			partition := user % partitions
			switch {
			case damage == "modulo":
				partition = user % 3
			case damage == "lost chunk" && chunk == 100:
				continue
			}
			outputs[partition].WriteString(text)
			outputs[partition].WriteByte('\n')
		}
		fmt.Fprintf(sent, "]}\n{\"confirmed\":%q}\n", id)
	}
	fmt.Fprintln(sent, `{"done":true}`)
	closeSent()
	w.history.Files = append(w.history.Files, history.File{Service: "sender", Path: "/sent.jsonl", Stage: history.AtEnd, Stored: "sent"})
	for partition := range outputs {
		closes[partition]()
		w.history.Files = append(w.history.Files, history.File{Service: "writer", Path: filePath(fmt.Sprint(partition)), Stage: history.AtEnd, Stored: fmt.Sprint(partition)})
	}
	w.finish()
	return w
}

// resetPeak sets the process's peak of resident memory to what it is now.
func resetPeak(t *testing.T) {
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Skipf("the peak of memory cannot be measured here: %v", err)
	}
}

func peakMegabytes(t *testing.T) int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	kilobytes, err := strconv.Atoi(string(bytes.Fields(rest)[0]))
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes / 1000
}
