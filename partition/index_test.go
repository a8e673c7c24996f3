package partition_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/killpoint/killpoint/partition"
	"github.com/killpoint/killpoint/partition/internal/crashfs"
)

// numbered is a chunk without rows whose id is of one of several kinds.
func numbered(n int) delivery {
	id := fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(n)*2654435761, n)
	switch n % 5 {
	case 1:
		id = strings.Repeat("long", n%60) + fmt.Sprint("-", n)
	case 2:
		id = fmt.Sprint(n)
	}
	return delivery{id: id, prefix: "A"}
}

func indexFiles(disk *crashfs.FS) map[string]string {
	files := disk.Files()
	maps.DeleteFunc(files, func(path, _ string) bool { return !strings.Contains(path, "chunk-ids.index-") })
	return files
}

// TestIndexKnowsExactlyWhatWasWritten writes chunks in random groups, opens
// again now and then, and asks for each one and for as many others.
func TestIndexKnowsExactlyWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		disk := crashfs.New()
		o := partition.IndexEvery(options(disk, partition.Process), rapid.IntRange(1, 300).Draw(t, "ids a segment"))
		o.JournalBytes = 1 << 16
		open := func() *partition.Manager {
			m, err := partition.Open(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		m := open()
		written, segments := 0, 0
		for range rapid.IntRange(1, 12).Draw(t, "rounds") {
			var group []delivery
			for range rapid.IntRange(0, 400).Draw(t, "chunks") {
				group = append(group, numbered(written))
				written++
			}
			if _, err := m.Write(context.Background(), chunksOf(group)); err != nil {
				t.Fatal(err)
			}
			switch rapid.IntRange(0, 2).Draw(t, "then") {
			case 1:
				if err := m.Checkpoint(context.Background()); err != nil {
					t.Fatal(err)
				}
			case 2:
				if err := m.Close(); err != nil {
					t.Fatal(err)
				}
				m = open()
			}
			segments = max(segments, len(indexFiles(disk)))
		}
		for n := range written {
			if !knows(m, numbered(n).id) {
				t.Fatalf("%q is forgotten", numbered(n).id)
			}
			if other := numbered(n + written).id; knows(m, other) {
				t.Fatalf("%q was never written", other)
			}
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		report, err := partition.Verify(o)
		if err := errors.Join(err, report.Err()); err != nil || report.Chunks != written {
			t.Fatalf("verify: %v, %d chunks of %d", err, report.Chunks, written)
		}
		if segments > 12 {
			t.Fatalf("%d segments", segments)
		}
	})
}

// withIndex is a disk with so many chunks, closed, of which all but the last few
// are in segments.
func withIndex(t *testing.T, chunks int) (*crashfs.FS, partition.Options) {
	t.Helper()
	disk := crashfs.New()
	o := partition.IndexEvery(options(disk, partition.Power), 40)
	o.JournalBytes = 1 << 16
	m := mustOpen(t, o)
	for n := range chunks {
		mustWrite(t, m, numbered(n))
		if n%50 == 49 {
			if err := m.Checkpoint(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustClose(t, m)
	if len(indexFiles(disk)) < 2 {
		t.Fatalf("%d chunks make the segments %v", chunks, slices.Collect(maps.Keys(indexFiles(disk))))
	}
	return disk, o
}

// TestOpenReadsNoMoreThanItMust: of the log only what the index does not cover,
// and of the index only its filters.
func TestOpenReadsNoMoreThanItMust(t *testing.T) {
	disk, o := withIndex(t, 2030)
	read := 0
	disk.Before = func(op crashfs.Op) *crashfs.Fault {
		name := filepath.Base(op.Name)
		switch {
		case op.Kind == crashfs.Read && strings.HasPrefix(name, "chunk-ids."):
			read += len(op.Data)
		case op.Kind.Changes() && strings.HasPrefix(name, "chunk-ids.index"):
			t.Errorf("%s in an Open that has nothing to make", op)
		}
		return nil
	}
	m := mustOpen(t, o)
	disk.Before = nil
	segments := len(indexFiles(disk))
	log := len(disk.Files()[stateDir+"/chunk-ids.log"])
	// At most 39 ids of at most 256 bytes, and a page and the filter of each
	// segment, stale ones as well.
	if most := 39*256 + segments*4096 + 2*2030*10/8 + segments*64; read > most || log < 2*most {
		t.Errorf("read %d bytes of ids, want at most %d; the log has %d, in %d segments", read, most, log, segments)
	}
	mustClose(t, m)
}

// TestIndexIsMadeAgain: a log without its index, or with another's, and one that
// was written before there was an index, are indexed by Open.
func TestIndexIsMadeAgain(t *testing.T) {
	const chunks = 730
	whole, o := withIndex(t, chunks)
	other, _ := withIndex(t, 0+chunks+1)
	for name, change := range map[string]func(disk *crashfs.FS, path string){
		"none":       nil,
		"emptied":    func(disk *crashfs.FS, path string) { disk.Put(path, "") },
		"cut":        func(disk *crashfs.FS, path string) { disk.Put(path, indexFiles(disk)[path][:5000]) },
		"of another": func(disk *crashfs.FS, path string) { disk.Put(path, indexFiles(other)[path]) },
	} {
		t.Run(name, func(t *testing.T) {
			disk := crashfs.New()
			for path, contents := range whole.Files() {
				if !strings.Contains(path, "chunk-ids.index-") || change != nil {
					disk.Put(path, contents)
				}
			}
			for path := range indexFiles(disk) {
				change(disk, path)
			}
			o := o
			o.FS = disk
			m := mustOpen(t, o)
			for n := range chunks {
				if !knows(m, numbered(n).id) || knows(m, numbered(n+chunks).id) {
					t.Fatalf("wrong about %q or %q", numbered(n).id, numbered(n+chunks).id)
				}
			}
			mustClose(t, m)
			report, err := partition.Verify(o)
			if err := errors.Join(err, report.Err()); err != nil || report.Chunks != chunks {
				t.Errorf("verify: %v, %d chunks", err, report.Chunks)
			}
			if len(indexFiles(disk)) == 0 {
				t.Error("no index was made")
			}
		})
	}
}

// TestDamagedIndexIsNeverWrong changes bytes of the index and of the log behind
// its back: what is asked is answered right, or not at all.
func TestDamagedIndexIsNeverWrong(t *testing.T) {
	const chunks = 230
	whole, o := withIndex(t, chunks)
	refused, wrongly := 0, 0
	damage := func(path string, at int) {
		disk := whole.Clone()
		contents := []byte(disk.Files()[path])
		contents[at] ^= 1 << (at % 8)
		disk.Put(path, string(contents))
		o := o
		o.FS = disk
		m, err := partition.Open(context.Background(), o)
		if err != nil {
			if !errors.Is(err, partition.ErrCorrupt) {
				t.Fatalf("%s at %d: open: %v", path, at, err)
			}
			refused++
			return
		}
		defer m.Close()
		for n := range chunks {
			for _, want := range []bool{true, false} {
				id := numbered(n).id
				if !want {
					id = numbered(n + chunks).id
				}
				got, err := m.Written(id)
				if err != nil && !errors.Is(err, partition.ErrCorrupt) {
					t.Fatalf("%s at %d: %v", path, at, err)
				}
				if err != nil {
					refused++
				} else if got != want {
					wrongly++
					t.Errorf("%s at %d: Written(%q) is %v", path, at, id, got)
				}
			}
		}
	}
	files := indexFiles(whole)
	files[stateDir+"/chunk-ids.log"] = whole.Files()[stateDir+"/chunk-ids.log"]
	random := rand.New(rand.NewPCG(1, 2))
	for path, contents := range files {
		for at := 0; at < len(contents); at += 1 + random.IntN(40) {
			damage(path, at)
		}
	}
	if refused == 0 {
		t.Error("no damage was seen")
	}
}

var manyIDs = flag.Int("ids", 300_000, "how many chunks TestManyChunks has the writer see")

// TestManyChunks: after ten million chunks a writer opens in under a second and
// holds less than 200 MB. The memory is asserted, the time printed.
func TestManyChunks(t *testing.T) {
	if underRace && *manyIDs < 1_000_000 {
		t.Skip("measures memory")
	}
	o := killOptions(t.TempDir(), partition.Process)
	o.JournalBytes = 64 << 20
	m := mustOpen(t, o)
	random := rand.New(rand.NewPCG(7, 7))
	id := func(random *rand.Rand) string {
		return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", random.Uint32(), random.Uint32()>>16, random.Uint32()>>20, random.Uint32()>>20, random.Uint64()>>16)
	}
	began := time.Now()
	group := make([]*partition.Chunk, 1000)
	for i := range group {
		group[i] = &partition.Chunk{}
	}
	for n := 0; n < *manyIDs; n += len(group) {
		for _, c := range group {
			c.Reset(id(random), "A")
		}
		if _, err := m.Write(context.Background(), group); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, m)
	t.Logf("%d chunks without rows written in %v", *manyIDs, time.Since(began).Round(time.Millisecond))

	debug.FreeOSMemory()
	before := residentMegabytes(t)
	began = time.Now()
	m = mustOpen(t, o)
	t.Logf("opened in %v", time.Since(began).Round(time.Millisecond))
	random = rand.New(rand.NewPCG(7, 7))
	began = time.Now()
	for range *manyIDs {
		if id := id(random); !knows(m, id) {
			t.Fatalf("%s is forgotten", id)
		}
	}
	t.Logf("%v a lookup of a chunk that is there", time.Since(began)/time.Duration(*manyIDs))
	began = time.Now()
	for range *manyIDs {
		if id := id(random); knows(m, id) {
			t.Fatalf("%s was never written", id)
		}
	}
	t.Logf("%v a lookup of one that is not", time.Since(began)/time.Duration(*manyIDs))
	resident := residentMegabytes(t)
	t.Logf("resident: %d MB, before it was opened %d MB", resident, before)
	if most := 100 + *manyIDs/100_000; resident > most {
		t.Errorf("resident memory is %d MB, want at most %d", resident, most)
	}
	mustClose(t, m)
}

func residentMegabytes(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skipf("the memory cannot be measured here: %v", err)
	}
	_, rest, _ := bytes.Cut(status, []byte("VmRSS:"))
	kilobytes, err := strconv.Atoi(strings.Fields(string(rest))[0])
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes / 1000
}

// TestIndexOnAFullDisk: without room for the index the writer goes on, says so
// when it is closed, and makes it later.
func TestIndexOnAFullDisk(t *testing.T) {
	disk := crashfs.New()
	o := partition.IndexEvery(options(disk, partition.Power), 2)
	m := mustOpen(t, o)
	hits, stop := failing(disk, crashfs.Write, "chunk-ids.index-*", 100, errInjected)
	mustWrite(t, m, first, second, third)
	if err := m.Checkpoint(context.Background()); !errors.Is(err, errInjected) || errors.Is(err, partition.ErrFailed) {
		t.Fatalf("checkpoint: %v, want the injected error", err)
	}
	mustWrite(t, m, first, second, third)
	if *hits == 0 || len(indexFiles(disk)) != 1 || filepath.Ext(slices.Collect(maps.Keys(indexFiles(disk)))[0]) != ".new" {
		t.Errorf("%d writes failed and left %v", *hits, indexFiles(disk))
	}
	stop()
	if err := m.Checkpoint(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(indexFiles(disk)) != 1 {
		t.Error("no index was made")
	}
	mustClose(t, m)
	if err := judgeClosed(disk, o, modelOf(first, second, third)); err != nil {
		t.Error(err)
	}
}
