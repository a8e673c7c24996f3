package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/killpoint/killpoint/partition"
)

// The uses that the library makes of the disk.
const (
	journalWrite = iota // records
	journalSync
	rowsWrite  // to the partition files
	stateWrite // to the state files for people
	otherWrite // ids and their index; zeros that make room in the journal
	otherSync  // for a checkpoint, and of that room
	uses
)

// use is how often something was done, and how long that took.
type use struct {
	calls int
	took  time.Duration
}

// diskRecorder is a file system that notes the records that go to the journal,
// and what time each use of it takes. Some of that is spent beside each other:
// rows of large groups are written while the journal is synced, and
// checkpoints are made in the background.
type diskRecorder struct {
	partition.FS
	mu      sync.Mutex
	records []int // bytes of each
	uses    [uses]use
}

var recordStart = []byte("\r\nKPJ")

func (r *diskRecorder) use(what int, began time.Time) {
	took := time.Since(began)
	r.mu.Lock()
	r.uses[what].calls++
	r.uses[what].took += took
	r.mu.Unlock()
}

// reset forgets what was noted so far.
func (r *diskRecorder) reset() {
	r.mu.Lock()
	r.records, r.uses = nil, [uses]use{}
	r.mu.Unlock()
}

func (r *diskRecorder) noted() ([]int, [uses]use) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.records, r.uses
}

func (r *diskRecorder) Open(name string) (partition.File, error) {
	return r.wrap(name)(r.FS.Open(name))
}

func (r *diskRecorder) Create(name string) (partition.File, error) {
	return r.wrap(name)(r.FS.Create(name))
}

func (r *diskRecorder) wrap(name string) func(partition.File, error) (partition.File, error) {
	return func(f partition.File, err error) (partition.File, error) {
		if err != nil {
			return f, err
		}
		recorded := &recordedFile{File: f, recorder: r, write: otherWrite, sync: otherSync}
		switch base := filepath.Base(name); {
		case strings.HasPrefix(base, "journal-"):
			recorded.write, recorded.sync = journalWrite, journalSync
		case strings.HasSuffix(base, ".csv"):
			recorded.write = rowsWrite
		case strings.HasSuffix(base, "-chunks.txt"):
			recorded.write = stateWrite
		}
		return recorded, nil
	}
}

type recordedFile struct {
	partition.File
	recorder    *diskRecorder
	write, sync int
	grown       bool // what is not synced yet makes room, and is no record
}

func (f *recordedFile) WriteAt(p []byte, offset int64) (int, error) {
	use := f.write
	if use == journalWrite {
		if f.grown = !bytes.HasPrefix(p, recordStart); f.grown {
			use = otherWrite
		} else {
			f.recorder.mu.Lock()
			f.recorder.records = append(f.recorder.records, len(p))
			f.recorder.mu.Unlock()
		}
	}
	defer f.recorder.use(use, time.Now())
	return f.File.WriteAt(p, offset)
}

func (f *recordedFile) SyncData() error {
	use := f.sync
	if f.grown {
		use, f.grown = otherSync, false
	}
	defer f.recorder.use(use, time.Now())
	return f.File.SyncData()
}

// printUses prints what a group's time went to, beside what the raw limit took
// for it.
func (b *bench) printUses(measured []cell, all map[cell]results) {
	fmt.Fprintf(b.out, "\nWhere killpoint's time goes, in microseconds a group, with the calls in brackets; raw: what the raw limit takes for the same group.\n")
	fmt.Fprintf(b.out, "Rows of large groups are written while the journal is synced, and what comes after them is done in the background: the parts can be more than the whole.\n\n")
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "durability\tbatching\trows/chunk\tpartitions\traw\ta group\tjournal\tits sync\trows\tstate files\tids and room\tother syncs\t")
	for _, c := range measured {
		library, limit := all[c][nameKillpoint], all[c][nameRaw]
		if library == nil || limit == nil {
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\t", c.durability, c.batching(), c.rows, c.partitions, perGroup(limit.took, limit.commits), perGroup(library.took, library.commits))
		for _, u := range library.uses {
			fmt.Fprintf(w, "%s (%s)\t", perGroup(u.took, library.commits), threeDigits(float64(u.calls)/float64(library.commits)))
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush()
}

func perGroup(took time.Duration, groups int) string {
	return count(float64(took.Microseconds()) / float64(groups))
}
