package partition_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/killpoint/killpoint/partition"
)

// BenchmarkWrite writes groups as natural batching makes them and prints, as a
// ratio within the run, how it compares with writing the same journal bytes
// alone (raw) and with appending the same rows without any promise (plain).
func BenchmarkWrite(b *testing.B) {
	for _, durability := range []partition.Durability{partition.Power, partition.Process} {
		for _, rows := range []int{16, 256} {
			for _, partitions := range []int{5, 64} {
				for _, group := range []int{1, 64} {
					b.Run(fmt.Sprintf("%s/rows=%d/partitions=%d/group=%d", durability, rows, partitions, group), func(b *testing.B) {
						benchmarkWrite(b, durability, rows, partitions, group)
					})
				}
			}
		}
	}
}

func benchmarkWrite(b *testing.B, durability partition.Durability, rows, partitions, group int) {
	dir := b.TempDir()
	m, err := partition.Open(context.Background(), partition.Options{
		Dir: filepath.Join(dir, "p"), StateDir: filepath.Join(dir, "s"), Partitions: partitions, Header: header, Durability: durability,
	})
	if err != nil {
		b.Fatal(err)
	}
	text := fmt.Appendf(nil, "%098d", 7)
	chunks := make([]*partition.Chunk, group)
	for i := range chunks {
		chunks[i] = partition.NewChunk("", "")
	}
	next := 0
	fill := func() {
		for _, c := range chunks {
			c.Reset(fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(next)*2654435761, next), "A")
			for i := range rows {
				if err := c.Add((next*7+i*13)%partitions, text); err != nil {
					b.Fatal(err)
				}
			}
			next++
		}
	}
	var writing time.Duration
	b.ReportAllocs()
	for b.Loop() {
		fill()
		began := time.Now()
		if _, err := m.Write(context.Background(), chunks); err != nil {
			b.Fatal(err)
		}
		writing += time.Since(began)
	}
	b.StopTimer()
	if err := m.Close(); err != nil {
		b.Fatal(err)
	}
	groups := b.N
	written := float64(rows*group*groups) / writing.Seconds()
	raw := rawJournal(b, filepath.Join(dir, "raw"), durability, rows*group*100+group*(40+partitions*3), groups)
	b.ReportMetric(written, "rows/s")
	b.ReportMetric(written/(float64(rows*group*groups)/raw.Seconds()), "of-raw")
	if durability == partition.Process {
		plain := plainAppend(b, filepath.Join(dir, "plain"), rows*group*100/partitions, partitions, groups)
		b.ReportMetric(written/(float64(rows*group*groups)/plain.Seconds()), "of-plain")
	}
}

// rawJournal writes records of a size into a preallocated file of 64 MiB, again
// and again, with a sync each for Power.
func rawJournal(b *testing.B, path string, durability partition.Durability, size, groups int) time.Duration {
	const journal = 64 << 20
	file, err := partition.OS().Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	for at := int64(0); at < journal; at += 1 << 20 {
		if _, err := file.WriteAt(make([]byte, 1<<20), at); err != nil {
			b.Fatal(err)
		}
	}
	if err := file.SyncData(); err != nil {
		b.Fatal(err)
	}
	record := make([]byte, size)
	began := time.Now()
	at := int64(0)
	for range groups {
		if at+int64(size) > journal {
			at = 0
		}
		if _, err := file.WriteAt(record, at); err != nil {
			b.Fatal(err)
		}
		if durability == partition.Power {
			if err := file.SyncData(); err != nil {
				b.Fatal(err)
			}
		}
		at += int64(size)
	}
	return time.Since(began)
}

func plainAppend(b *testing.B, dir string, size, partitions, groups int) time.Duration {
	if err := os.Mkdir(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	files := make([]*os.File, partitions)
	for i := range files {
		var err error
		if files[i], err = os.OpenFile(filepath.Join(dir, fmt.Sprint(i)), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644); err != nil {
			b.Fatal(err)
		}
		defer files[i].Close()
	}
	block := make([]byte, size)
	began := time.Now()
	for range groups {
		for _, file := range files {
			if _, err := file.Write(block); err != nil {
				b.Fatal(err)
			}
		}
	}
	return time.Since(began)
}
