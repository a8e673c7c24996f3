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
	journal string // where the last record went
	files   map[string]int32
	trace   trace
	uses    [uses]use
}

// trace is what a run of groups asked of the journal and the partition files.
type trace struct {
	groups []group
	writes []rowWrite // of all groups, one after the other
}

// group is what one record brought with it.
type group struct {
	record   int  // bytes
	turnover bool // it began the other journal: a checkpoint goes on beside it
	rows     int  // writes to partition files
}

// rowWrite is a write to a partition file.
type rowWrite struct {
	offset      int64
	file, bytes int32
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
	r.trace, r.uses = trace{}, [uses]use{}
	r.mu.Unlock()
}

func (r *diskRecorder) noted() (trace, [uses]use) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.trace, r.uses
}

// record notes a record of so many bytes, and rows the rows that went to a
// file; the record that names them has been written by then.
func (r *diskRecorder) record(journal string, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trace.groups = append(r.trace.groups, group{record: bytes, turnover: r.journal != "" && r.journal != journal})
	r.journal = journal
}

func (r *diskRecorder) rows(name string, offset int64, bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.files == nil {
		r.files = map[string]int32{}
	}
	file, known := r.files[name]
	if !known {
		file = int32(len(r.files))
		r.files[name] = file
	}
	if n := len(r.trace.groups); n > 0 {
		r.trace.groups[n-1].rows++
		r.trace.writes = append(r.trace.writes, rowWrite{offset: offset, file: file, bytes: int32(bytes)})
	}
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
		recorded := &recordedFile{File: f, recorder: r, name: name, write: otherWrite, sync: otherSync}
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
	name        string
	write, sync int
	grown       bool // what is not synced yet makes room, and is no record
}

func (f *recordedFile) WriteAt(p []byte, offset int64) (int, error) {
	use := f.write
	if use == journalWrite {
		if f.grown = !bytes.HasPrefix(p, recordStart); f.grown {
			use = otherWrite
		} else {
			f.recorder.record(f.name, len(p))
		}
	}
	if use == rowsWrite {
		f.recorder.rows(f.name, offset, len(p))
	}
	defer f.recorder.use(use, time.Now())
	return f.File.WriteAt(p, offset)
}

// StartSync passes on what the operating system's files can do.
func (f *recordedFile) StartSync(offset, length int64) error {
	if early, can := f.File.(interface {
		StartSync(offset, length int64) error
	}); can {
		return early.StartSync(offset, length)
	}
	return nil
}

func (f *recordedFile) SyncData() error {
	use := f.sync
	if f.grown {
		use, f.grown = otherSync, false
	}
	defer f.recorder.use(use, time.Now())
	return f.File.SyncData()
}

// printUses prints what a group's time went to, beside what the limits took
// for it.
func (b *bench) printUses(measured []cell, all map[cell]results) {
	fmt.Fprintf(b.out, "\nWhere killpoint's time goes, in microseconds a group, with the calls in brackets; raw and floor: what the limits take for the same group.\n")
	fmt.Fprintf(b.out, "Rows of large groups are written while the journal is synced, and what comes after them is done in the background: the parts can be more than the whole.\n\n")
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "durability\tbatching\trows/chunk\tpartitions\traw\tfloor\ta group\tjournal\tits sync\trows\tstate files\tids and room\tother syncs\t")
	for _, c := range measured {
		library, limit, floor := all[c][nameKillpoint], all[c][nameRaw], all[c][nameFloor]
		if library == nil || limit == nil || floor == nil {
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\t%s\t", c.durability, c.batching(), c.rows, c.partitions,
			perGroup(limit.took, limit.commits), perGroup(floor.took, floor.commits), perGroup(library.took, library.commits))
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
