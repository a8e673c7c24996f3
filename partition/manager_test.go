package partition_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/killpoint/killpoint/partition"
	"github.com/killpoint/killpoint/partition/internal/crashfs"
)

// TestManyGoroutines delivers the same chunks from several goroutines, as a
// worker with several consumers would, while others look.
func TestManyGoroutines(t *testing.T) {
	disk := crashfs.New()
	o := options(disk, partition.Power)
	o.Sequential = false
	m := mustOpen(t, o)
	const chunks, writers = 40, 4
	var wait sync.WaitGroup
	var mu sync.Mutex
	fresh := map[string]int{}
	for range writers {
		wait.Go(func() {
			for i := range chunks {
				d := delivery{fmt.Sprint("chunk-", i), "A", []row{{i % 3, fmt.Sprintf("%d,x", i)}}}
				results, err := m.Write(context.Background(), chunksOf([]delivery{d}))
				if err != nil {
					t.Error(err)
					return
				}
				if !knows(m, d.id) {
					t.Errorf("%s is not written after Write", d.id)
				}
				if !results[0].Duplicate {
					mu.Lock()
					fresh[d.id]++
					mu.Unlock()
				}
			}
		})
	}
	wait.Go(func() {
		for range 10 {
			if err := m.Checkpoint(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
	wait.Wait()
	mustClose(t, m)
	if len(fresh) != chunks {
		t.Errorf("%d chunks were new once, want %d", len(fresh), chunks)
	}
	for id, times := range fresh {
		if times != 1 {
			t.Errorf("%s was new %d times", id, times)
		}
	}
	report, err := partition.Verify(o)
	if err != nil || report.Err() != nil || report.Rows != chunks {
		t.Errorf("verify: %+v, %v", report, err)
	}
}

// TestJournalGrowsWithItsUse: a quiet writer keeps a small journal, a busy one
// gets a larger one up to the limit, and a group larger than the limit fits.
func TestJournalGrowsWithItsUse(t *testing.T) {
	dir := t.TempDir()
	o := options(nil, partition.Process)
	o.Dir, o.StateDir, o.JournalBytes = filepath.Join(dir, "p"), filepath.Join(dir, "s"), 4<<20
	o.Sequential = false
	m := mustOpen(t, o)
	largest := func() int64 {
		var size int64
		for i := range 2 {
			if info, err := os.Stat(filepath.Join(o.StateDir, fmt.Sprint("journal-", i))); err == nil {
				size = max(size, info.Size())
			}
		}
		return size
	}
	if size := largest(); size != 1<<20 {
		t.Errorf("a new journal has %d bytes, want 1 MiB", size)
	}
	text := strings.Repeat("x", 1000)
	written := 0
	write := func(rows int) {
		d := delivery{id: fmt.Sprint(written), prefix: "A"}
		for i := range rows {
			d.rows = append(d.rows, row{i % 3, text})
		}
		written++
		mustWrite(t, m, d)
	}
	for range 200 {
		write(100)
	}
	if size := largest(); size != 4<<20 {
		t.Errorf("a busy journal has %d bytes, want 4 MiB", size)
	}
	write(8000)
	if size := largest(); size < 8_000_000 {
		t.Errorf("a journal with a group of 8 MB has %d bytes", size)
	}
	mustClose(t, m)
	report, err := partition.Verify(o)
	if err != nil || report.Err() != nil || report.Rows != 28000 {
		t.Errorf("verify: %+v, %v", report, err)
	}
}

// TestNoAllocationPerRow: filling a chunk that is used again allocates nothing,
// and writing it allocates the same for ten rows as for ten thousand.
func TestNoAllocationPerRow(t *testing.T) {
	dir := t.TempDir()
	o := options(nil, partition.Process)
	o.Dir, o.StateDir, o.JournalBytes = filepath.Join(dir, "p"), filepath.Join(dir, "s"), 64<<20
	m := mustOpen(t, o)
	defer m.Close()
	text := []byte("1234567,somebody")
	written := 0
	c := partition.NewChunk("", "")
	cost := func(rows int) float64 {
		return testing.AllocsPerRun(20, func() {
			written++
			c.Reset(fmt.Sprint("chunk-", written), "A")
			for i := range rows {
				if err := c.Add(i%3, text); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := m.Write(context.Background(), []*partition.Chunk{c}); err != nil {
				t.Fatal(err)
			}
		})
	}
	cost(10_000)
	few, many := cost(10), cost(10_000)
	if many > few+5 {
		t.Errorf("a chunk of 10 rows costs %.0f allocations, one of 10000 rows %.0f", few, many)
	}
	t.Logf("%.0f allocations a chunk", many)
}

// TestStateFilesTakeOver: without journal and ids, the two state files for
// people are enough to go on, as docs/partition.md says.
func TestStateFilesTakeOver(t *testing.T) {
	before := crashfs.New()
	m := mustOpen(t, options(before, partition.Power))
	mustWrite(t, m, first)
	mustWrite(t, m, second)
	disk := crashfs.New()
	for path, contents := range before.Files() {
		if strings.HasSuffix(path, ".csv") || strings.HasSuffix(path, ".txt") {
			disk.Put(path, contents)
		}
	}
	m = mustOpen(t, options(disk, partition.Power))
	if a := m.Recovery().Adopted; a == nil || a.Chunks != 2 || a.Files != 3 || a.HalfWritten != 0 {
		t.Fatalf("adoption: %+v", a)
	}
	for i, result := range mustWrite(t, m, first, second, third) {
		if result.Duplicate != (i < 2) {
			t.Errorf("result %+v", result)
		}
	}
	expectFiles(t, disk, []delivery{first}, []delivery{second}, []delivery{third})
	mustClose(t, m)
	if err := judgeClosed(disk, options(nil, partition.Power), modelOf(first, second, third)); err != nil {
		t.Error(err)
	}
}

func TestIDSetIsExact(t *testing.T) {
	uuid := "8f14e45f-ceea-467f-a8d2-5e1c1d6a0c11"
	for _, id := range []string{
		strings.ToUpper(uuid), strings.ReplaceAll(uuid, "-", ""), "8f14e45fc-eea-467f-a8d2-5e1c1d6a0c11",
		uuid + "0", uuid[:35] + "-", uuid[:35] + "g", "8f14e45f--eea-467f-a8d2-5e1c1d6a0c11", "",
	} {
		if _, packed := partition.PackUUID(id); packed {
			t.Errorf("%q is packed, so it cannot be told from another spelling", id)
		}
	}
	if packed, ok := partition.PackUUID(uuid); !ok || packed[0] != 0x8f || packed[15] != 0x11 {
		t.Errorf("%q packs to %x, %v", uuid, packed, ok)
	}
}

func TestFileNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.StringN(1, 20, 40).Draw(t, "prefix")
		number := rapid.IntRange(0, 999).Draw(t, "partition")
		gotPrefix, gotNumber, ok := partition.ParseFileName(partition.FileName(prefix, number))
		if !ok || gotPrefix != prefix || gotNumber != number {
			t.Fatalf("%q of %q, %d reads as %q, %d, %v", partition.FileName(prefix, number), prefix, number, gotPrefix, gotNumber, ok)
		}
	})
	for _, name := range []string{"", ".csv", "-partition-000.csv", "A-partition-00.csv", "A-partition-0001.csv", "A-partition-00x.csv", "A-partition-000.txt", "A-Partition-000.csv"} {
		if _, _, ok := partition.ParseFileName(name); ok {
			t.Errorf("%q is taken for a partition file", name)
		}
	}
}
