package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// rawBytes is how large the raw file is; the writes go round in it.
const rawBytes = 64 << 20

// raw writes as many bytes as the library wrote to its journal, record by
// record, into a file that was there before, and syncs each where power may be
// lost: no writer that journals can be faster with these groups. It gives the
// time that this took.
//
// With files it is the floor: the least that anybody has to ask of the disk who
// journals and has the rows in partition files when a group is committed. The
// rows of each group are written to their files by another thread, beside the
// sync of the record, and where the library turned its journal over, the files
// are synced beside the groups that follow, eight at once; a second turn waits
// for the first. Nothing is parsed, looked up, summed or kept.
func raw(dir string, d *data, t trace, sync, files bool) (elapsed time.Duration, err error) {
	file, err := os.Create(filepath.Join(dir, "raw"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	// A file with bytes in it: first writes into space that is merely reserved
	// change metadata with every sync.
	size := int64(rawBytes)
	for _, g := range t.groups {
		size = max(size, int64(g.record))
	}
	for at := int64(0); at < size; at += int64(len(d.rows)) {
		if _, err := file.WriteAt(d.rows[:min(int64(len(d.rows)), size-at)], at); err != nil {
			return 0, err
		}
	}
	if err := file.Sync(); err != nil {
		return 0, err
	}
	var partitions *partitionFiles
	if files {
		if partitions, err = openPartitionFiles(dir, d, t); err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, partitions.close()) }()
	}
	begin := time.Now()
	at, from, rows := int64(0), 0, t.writes
	for _, g := range t.groups {
		n := g.record
		if at+int64(n) > size {
			at = 0
		}
		if from+n > len(d.rows) {
			from = 0
		}
		if partitions != nil && g.turnover {
			partitions.settle()
		}
		if _, err := file.WriteAt(d.rows[from:from+n], at); err != nil {
			return 0, err
		}
		if partitions != nil {
			partitions.groups <- rows[:g.rows]
			rows = rows[g.rows:]
		}
		if sync {
			if err := fdatasync(file); err != nil {
				return 0, err
			}
		}
		if partitions != nil {
			if err := <-partitions.written; err != nil {
				return 0, err
			}
		}
		at, from = at+int64(n), from+n
	}
	return time.Since(begin), nil
}

// partitionFiles are the files that the floor writes rows to.
type partitionFiles struct {
	data    *data
	files   []*os.File
	dirty   []bool
	groups  chan []rowWrite // to the thread that writes them
	written chan error      // from it, once for each group
	settled chan error      // of the settlement that goes on; nil when none does
	failed  error
}

// openPartitionFiles makes the files of a trace.
func openPartitionFiles(dir string, d *data, t trace) (p *partitionFiles, err error) {
	p = &partitionFiles{data: d, groups: make(chan []rowWrite), written: make(chan error)}
	for _, w := range t.writes {
		for len(p.files) <= int(w.file) {
			file, err := os.Create(filepath.Join(dir, fmt.Sprintf("floor-%d", len(p.files))))
			if err != nil {
				return nil, errors.Join(err, p.closeFiles())
			}
			p.files, p.dirty = append(p.files, file), append(p.dirty, false)
		}
	}
	go func() {
		for rows := range p.groups {
			p.written <- p.write(rows)
		}
		close(p.written)
	}()
	return p, nil
}

func (p *partitionFiles) write(rows []rowWrite) error {
	for _, w := range rows {
		from := int(w.offset) % (len(p.data.rows) - int(w.bytes) + 1)
		if _, err := p.files[w.file].WriteAt(p.data.rows[from:from+int(w.bytes)], w.offset); err != nil {
			return err
		}
		p.dirty[w.file] = true
	}
	return nil
}

// settle begins to sync what was written since the last time.
func (p *partitionFiles) settle() {
	p.join()
	var dirty []*os.File
	for i, is := range p.dirty {
		if is {
			dirty = append(dirty, p.files[i])
			p.dirty[i] = false
		}
	}
	settled := make(chan error, 1)
	p.settled = settled
	go func() { settled <- syncFiles(dirty) }()
}

// syncers is how many files the library syncs at once.
const syncers = 8

func syncFiles(files []*os.File) error {
	var next atomic.Int64
	var all sync.WaitGroup
	failures := make([]error, syncers)
	for syncer := range syncers {
		all.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(files); i = next.Add(1) - 1 {
				failures[syncer] = errors.Join(failures[syncer], fdatasync(files[i]))
			}
		})
	}
	all.Wait()
	return errors.Join(failures...)
}

func (p *partitionFiles) join() {
	if p.settled != nil {
		p.failed = errors.Join(p.failed, <-p.settled)
		p.settled = nil
	}
}

func (p *partitionFiles) close() error {
	close(p.groups)
	for range p.written { // of a group that nobody waited for
	}
	p.join()
	return errors.Join(p.failed, p.closeFiles())
}

func (p *partitionFiles) closeFiles() error {
	var failed error
	for _, file := range p.files {
		failed = errors.Join(failed, file.Close())
	}
	return failed
}
