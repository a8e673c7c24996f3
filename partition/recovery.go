package partition

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// Recovery tells what Open found and did, for the worker to log.
type Recovery struct {
	// Fresh: the directory was empty.
	Fresh bool
	// Adopted: the directory was written by something else before; nil when
	// it was not, or when an earlier Open adopted it.
	Adopted *Adoption
	// Replayed counts the chunks that the journal held since its checkpoint.
	Replayed int
	// Redone are those of them that a death had left incomplete in the files,
	// in the order in which they were committed.
	Redone []string
	// AlreadyWritten are the blocks of the redone chunks that were whole.
	AlreadyWritten []AlreadyWritten
	// Repaired are the incomplete lines and other remains that were completed
	// or cut off, in partition files and in the two state files.
	Repaired []Repair
	// JournalCut: an uncommitted record at the end of the journal was left
	// out; nil when there was none.
	JournalCut *JournalCut
}

// AlreadyWritten is one partition of a half-written chunk that needed nothing.
type AlreadyWritten struct {
	ChunkID   string
	File      string
	Partition int
	Rows      int
}

// Repair is a place where a file did not end as it should.
type Repair struct {
	File   string
	Offset int64 // where the incomplete line, or what was cut off, begins
	// Fragment is what stood there, at most 128 bytes of it.
	Fragment string
	// Completed bytes were written to make the line whole, or, where bytes
	// were dropped, to take their place.
	Completed int64
	// Dropped bytes were cut off or written over, because no committed chunk
	// holds them.
	Dropped int64
}

func (r Repair) String() string {
	switch {
	case r.Dropped > 0 && !strings.Contains(r.Fragment, "\n"):
		return fmt.Sprintf("%s: dropped the incomplete line at offset %d, %d bytes of no committed chunk: %q", r.File, r.Offset, r.Dropped, r.Fragment)
	case r.Dropped > 0:
		return fmt.Sprintf("%s: dropped %d bytes at offset %d of no committed chunk: %q", r.File, r.Dropped, r.Offset, r.Fragment)
	}
	return fmt.Sprintf("%s: completed the incomplete line at offset %d with %d bytes: %q", r.File, r.Offset, r.Completed, r.Fragment)
}

// JournalCut is where the journal's committed records end.
type JournalCut struct {
	File   string
	Offset int64
}

// recover brings the files to what the journal says and begins a new slot.
// Everything is checked before anything is changed.
func (m *Manager) recover(ctx context.Context, contents journalContents) error {
	if err := m.restore(contents.base()); err != nil {
		return err
	}
	r, err := m.readGroups(contents)
	if err != nil {
		return err
	}
	if err := m.checkUnrecorded(); err != nil {
		return err
	}
	if err := m.loadIDs(r); err != nil {
		return err
	}
	if err := m.adoption.load(m, contents.base().halfWritten); err != nil {
		return err
	}
	for _, redo := range r.redos {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := m.inspect(r, redo); err != nil {
			return err
		}
	}
	m.reportReplay(r)
	if err := m.resumeJournal(contents); err != nil {
		return err
	}
	for _, redo := range r.redos {
		if err := m.redo(redo); err != nil {
			return err
		}
	}
	if m.recovery.Fresh {
		return nil
	}
	// An earlier life may have died between making a name and syncing it.
	m.namesUnsynced = true
	return m.checkpoint()
}

// restore takes over a checkpoint.
func (m *Manager) restore(c *checkpoint) error {
	if c.partitions != m.options.Partitions {
		return fmt.Errorf("%w: directory %s was written with %d partitions, the options say %d; "+
			"use the same count, or another directory", ErrPartitionCount, m.options.Dir, c.partitions, m.options.Partitions)
	}
	if c.header != m.options.Header {
		return fmt.Errorf("%w: directory %s was written with header %q, the options say %q; "+
			"use the same header, or another directory", ErrHeader, m.options.Dir, c.header, m.options.Header)
	}
	for _, f := range c.families {
		for _, file := range f.files {
			s := m.stream(f.prefix, file.partition)
			s.extent, s.adopted, s.listed = file.extent, file.adopted, true
		}
	}
	m.ids.extent, m.savedCount = c.ids, c.chunks
	m.processed.extent, m.processed.adopted = c.processed, c.adoptedProcessed
	m.written.extent, m.written.adopted = c.written, c.adoptedWritten
	m.adoption.torn = c.torn
	return nil
}

// checkUnrecorded refuses partition files that no record names: they would
// have to be cut to nothing, and nobody knows whose rows they are.
func (m *Manager) checkUnrecorded() error {
	names, err := m.fs.List(m.options.Dir)
	if err != nil {
		return fmt.Errorf("read directory %s: %w", m.options.Dir, err)
	}
	for _, name := range names {
		prefix, partition, ok := parseFileName(name)
		if !ok || badPrefix(prefix) != "" {
			continue
		}
		if f := m.families[prefix]; f != nil && partition < len(f.streams) && f.streams[partition] != nil {
			continue
		}
		path := filepath.Join(m.options.Dir, name)
		size, err := sizeOf(m.fs, path)
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		if size > 0 {
			return fmt.Errorf("%w: %s holds %d bytes, but no record of %s names it; move it away",
				ErrUnrecorded, path, size, m.options.StateDir)
		}
	}
	return nil
}

func sizeOf(fsys FS, path string) (int64, error) {
	file, err := fsys.OpenRead(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return file.Size()
}

// loadIDs makes the ids of the id log and of the journal known.
func (m *Manager) loadIDs(r *replay) error {
	if err := m.openIDs(); err != nil {
		return err
	}
	m.seen.add(r.ids)
	return nil
}

// resumeJournal opens the slots and makes what was read from the newer one
// durable: the bytes may have come from a page cache whose sync failed in an
// earlier life, or was never asked for.
func (m *Manager) resumeJournal(contents journalContents) error {
	j := &m.journal
	for i := range j.slots {
		if j.slots[i].file == nil {
			file, err := m.fs.Open(j.path(i))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return fmt.Errorf("open journal %s: %w", j.path(i), err)
			}
			j.slots[i].file = file
		}
		j.slots[i].size = contents.sizes[i]
	}
	j.current = contents.current
	j.generation = contents.slot.generation
	j.sequence, j.previous = contents.slot.last.sequence, contents.slot.last.checksum
	j.tail, j.groups, j.pending = contents.slot.end, len(contents.slot.records), contents.before != nil
	ends := [2]int64{}
	ends[j.current] = contents.slot.end
	if contents.before != nil {
		ends[1-j.current] = contents.before.end
	}
	for i, end := range ends {
		if end == 0 {
			continue
		}
		if err := refresh(j.slots[i].file, end); err != nil {
			return fmt.Errorf("write journal %s again: %w", j.path(i), err)
		}
		if err := j.slots[i].file.SyncData(); err != nil {
			return m.stop(fmt.Errorf("sync journal %s: %w", j.path(i), err))
		}
	}
	return nil
}
