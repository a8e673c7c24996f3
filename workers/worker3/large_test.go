package worker3

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/killpoint/killpoint/workers/chunk"
)

var largeRows = flag.Int("large", 100_000, "how many rows TestLarge has the verifier read")

// What ten million rows may take is 500 MB, of which 100 are there in any case,
// whether the verifier has seen them come, or finds them there.
func TestLarge(t *testing.T) {
	for _, chunkRows := range []int{1, 10, 1000} {
		t.Run(fmt.Sprintf("judged, %d rows a chunk", chunkRows), func(t *testing.T) { judgeLarge(t, *largeRows, chunkRows, false) })
	}
	t.Run("there before", func(t *testing.T) { judgeLarge(t, *largeRows, 10, true) })
}

func judgeLarge(t *testing.T, rows, chunkRows int, before bool) {
	const partitions = 5
	dir := t.TempDir()
	v := NewVerifier(dir, partitions, time.Second, t.Logf)
	outputs := make([]*bufio.Writer, partitions)
	for p := range outputs {
		file, err := os.Create(v.path("TEST", p))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		outputs[p] = bufio.NewWriterSize(file, 1<<16)
		fmt.Fprintln(outputs[p], chunk.Header)
	}
	debug.FreeOSMemory()
	resetPeak(t)
	began := time.Now()
	judge := func(first int) {
		lines := make([]string, chunkRows)
		for i := range lines {
			row := first + i
			lines[i] = fmt.Sprintf("%d,name%d", row*7919%1_000_003, row)
		}
		c, err := chunk.Decode(fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(first*2654435761), first), "TEST", chunk.Encode(lines))
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range c.Rows {
			p := outputs[chunk.Partition(row.UserID, partitions)]
			p.Write(row.Line)
			p.WriteByte('\n')
		}
		if before {
			return
		}
		for _, p := range outputs {
			if err := p.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		if there, err := v.Look(c); err != nil || !there[0] {
			t.Fatalf("chunk at row %d: there = %v, %v", first, there, err)
		}
	}
	for first := 0; first < rows; first += chunkRows {
		judge(first)
	}
	for _, p := range outputs {
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if before {
		v = NewVerifier(dir, partitions, time.Second, t.Logf)
		before = false
		for first := rows; first < rows+1000*chunkRows; first += chunkRows {
			judge(first)
		}
	}
	took, peak := time.Since(began), peakMegabytes(t)
	t.Logf("%d rows in %s, peak of memory %d MB", rows, took.Round(time.Millisecond), peak)
	if most := 100 + rows/25_000; peak > most && !raceEnabled {
		t.Errorf("took %d MB, want at most %d", peak, most)
	}
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
	kilobytes, err := strconv.Atoi(strings.Fields(string(rest))[0])
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes / 1000
}
