package partition_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/partition"
	"github.com/killpoint/killpoint/partition/internal/crashfs"
)

// journals returns what real workloads leave in journal slots, adopted
// directories included.
func journals(t testing.TB) [][]byte {
	var slots [][]byte
	collect := func(disk *crashfs.FS) {
		for path, contents := range disk.Files() {
			if strings.HasPrefix(filepath.Base(path), "journal-") {
				slots = append(slots, []byte(contents))
			}
		}
	}
	disk := crashfs.New()
	var allowed []model
	if err := play(options(disk, partition.Power), workload()[:6], &allowed); err != nil {
		t.Fatal(err)
	}
	collect(disk)
	for _, d := range oldDirectories() {
		disk := d.disk()
		m, err := partition.Open(context.Background(), options(disk, partition.Power))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range d.redelivered {
			if _, err := m.Write(context.Background(), []*partition.Chunk{c.chunk()}); err != nil {
				t.Fatal(err)
			}
		}
		collect(disk)
	}
	return slots
}

// FuzzJournal gives recovery any bytes as its journal: it must refuse or
// accept them, never panic, hang or ask for more memory than they explain; and
// what it accepts must be a prefix that parses the same on its own.
func FuzzJournal(f *testing.F) {
	for _, slot := range journals(f) {
		f.Add(slot)
		f.Add(slot[:len(slot)/2])
		torn := bytes.Clone(slot)
		torn[len(torn)/3] ^= 1
		f.Add(torn)
	}
	f.Add([]byte("\r\nKPJ1\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		groups, end, err := partition.ParseSlot(data)
		if err == nil && end > 0 {
			again, _, err := partition.ParseSlot(data[:end])
			if err != nil || again != groups {
				t.Fatalf("%d groups in %d bytes, but %d, %v in those alone", groups, end, again, err)
			}
		}
		disk := crashfs.New()
		disk.Put(filepath.Join(stateDir, "journal-0"), string(data))
		m, err := partition.Open(context.Background(), options(disk, partition.Power))
		if err != nil {
			return
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := partition.Verify(options(disk, partition.Power)); err != nil {
			t.Fatalf("verify what was opened: %v", err)
		}
	})
}

// FuzzPayloads gives the decoders payloads without the checksum that shields
// them otherwise.
func FuzzPayloads(f *testing.F) {
	for _, slot := range journals(f) {
		_, payloads := partition.Records(slot)
		for _, payload := range payloads {
			f.Add(payload)
		}
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if encoded, err := partition.DecodeCheckpoint(payload); err == nil {
			again, err := partition.DecodeCheckpoint(encoded)
			if err != nil || !bytes.Equal(encoded, again) {
				t.Fatalf("a decoded checkpoint encodes to %q, and that to %q, %v", encoded, again, err)
			}
		}
		_, _, data, err := partition.DecodeGroup(payload, 3)
		if err == nil && data > len(payload) {
			t.Fatalf("%d bytes of data from a payload of %d", data, len(payload))
		}
	})
}

// FuzzOldStateFiles gives adoption any state files and any partition file: it
// must refuse or adopt, and never cut a whole line.
func FuzzOldStateFiles(f *testing.F) {
	for _, d := range oldDirectories() {
		files := d.disk().Files()
		f.Add(d.processed, d.written, files[filepath.Join(dataDir, file0)])
	}
	f.Fuzz(func(t *testing.T, processed, written, rows string) {
		disk := crashfs.New()
		path := filepath.Join(dataDir, file0)
		disk.Put(path, rows)
		disk.Put(filepath.Join(stateDir, "processed-chunks.txt"), processed)
		disk.Put(filepath.Join(stateDir, "written-partition-chunks.txt"), written)
		m, err := partition.Open(context.Background(), options(disk, partition.Power))
		if err != nil {
			if !errors.Is(err, partition.ErrHeader) && !errors.Is(err, partition.ErrPartitionCount) {
				t.Fatal(err)
			}
			if disk.Files()[path] != rows {
				t.Fatal("a refused adoption changed the partition file")
			}
			return
		}
		whole := rows[:strings.LastIndex(rows, "\n")+1]
		if disk.Files()[path] != whole {
			t.Fatalf("%q became %q", rows, disk.Files()[path])
		}
		if _, err := m.Write(context.Background(), []*partition.Chunk{x.chunk()}); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(disk.Files()[path], whole) {
			t.Fatalf("%q became %q", rows, disk.Files()[path])
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		m, err = partition.Open(context.Background(), options(disk, partition.Power))
		if err != nil {
			t.Fatal(err)
		}
		if !knows(m, "x") {
			t.Fatal("a chunk was forgotten")
		}
	})
}
