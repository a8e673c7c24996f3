package partition

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// journal is two files of which one is written. A checkpoint begins the other
// one, so that a slot is only ever overwritten while the other holds all that
// matters, and neither is ever truncated.
type journal struct {
	fs         FS
	dir        string
	durability Durability
	limit      int64 // bytes at which a slot stops growing

	slots      [2]slot
	current    int
	generation uint64
	sequence   uint64 // of the last record
	previous   uint32 // checksum of the last record
	tail       int64  // where the next record goes
	groups     int    // records behind the checkpoint
}

type slot struct {
	file File
	size int64 // bytes that are there to be overwritten without growing
}

func slotName(index int) string { return fmt.Sprintf("journal-%d", index) }

func (j *journal) path(index int) string { return filepath.Join(j.dir, slotName(index)) }

// room says whether a record fits without growing the slot. A slot that holds
// no group takes any record, since a checkpoint would not give it more room.
func (j *journal) room(size int) bool {
	return j.groups == 0 || j.tail+int64(size) <= j.slots[j.current].size
}

// append writes a group record and, for Power, makes it durable: this is the
// moment at which the group is committed. A failed write leaves the tail where
// it was, so that the next record overwrites what came of it.
func (j *journal) append(m *Manager, buffer []byte) error {
	checksum := sealRecord(buffer, groupRecord, j.generation, j.sequence+1, j.previous)
	s := &j.slots[j.current]
	if err := writeFull(s.file, buffer, j.tail); err != nil {
		return fmt.Errorf("write journal %s at offset %d: %w; the group was not written, write it again when the cause is gone",
			j.path(j.current), j.tail, err)
	}
	if j.durability == Power {
		if err := s.file.SyncData(); err != nil {
			return m.stop(fmt.Errorf("sync journal %s: %w", j.path(j.current), err))
		}
	}
	j.sequence++
	j.groups++
	j.previous = checksum
	j.tail += int64(len(buffer))
	s.size = max(s.size, j.tail)
	return nil
}

// create makes a slot with a checkpoint as its first record. The file gets its
// name when its bytes are durable, so a slot that has a name was whole once.
func (j *journal) create(m *Manager, index int, record []byte, size int64) error {
	temporary := j.path(index) + ".new"
	file, err := j.fs.Create(temporary)
	if err != nil {
		return fmt.Errorf("create journal %s: %w", temporary, err)
	}
	fail := func(err error) error {
		file.Close()
		return fmt.Errorf("create journal %s: %w", temporary, err)
	}
	if err := file.Truncate(0); err != nil {
		return fail(err)
	}
	if err := writeFull(file, record, 0); err != nil {
		return fail(err)
	}
	if err := fillZeros(file, int64(len(record)), size); err != nil {
		return fail(err)
	}
	if err := file.SyncData(); err != nil {
		return m.stop(fail(err))
	}
	if err := j.fs.Rename(temporary, j.path(index)); err != nil {
		return m.stop(fail(err))
	}
	if err := j.fs.SyncDir(j.dir); err != nil {
		return m.stop(fail(err))
	}
	// The handle goes by the old name in errors, so another one takes over.
	if err := file.Close(); err != nil {
		return m.stop(fmt.Errorf("close journal %s: %w", temporary, err))
	}
	if file, err = j.fs.Open(j.path(index)); err != nil {
		return m.stop(fmt.Errorf("open journal %s: %w", j.path(index), err))
	}
	j.slots[index] = slot{file: file, size: max(size, int64(len(record)))}
	return nil
}

// begin makes a checkpoint durable as the first record of the other slot and
// turns to that slot. Once the slot's first byte may have changed there is no
// way back but recovery: a checkpoint that is on disk although its write
// reported an error would hide what the old slot takes afterwards.
func (j *journal) begin(m *Manager, buffer []byte) error {
	next := 1 - j.current
	checksum := sealRecord(buffer, checkpointRecord, j.generation+1, j.sequence+1, j.previous)
	size := j.nextSize()
	if j.slots[next].file == nil {
		if err := j.create(m, next, buffer, size); err != nil {
			return err
		}
	} else {
		s := &j.slots[next]
		if s.size < size && fillZeros(s.file, s.size, size) == nil {
			s.size = size
		}
		if err := writeFull(s.file, buffer, 0); err != nil {
			return m.stop(fmt.Errorf("write journal %s: %w", j.path(next), err))
		}
		if err := s.file.SyncData(); err != nil {
			return m.stop(fmt.Errorf("sync journal %s: %w", j.path(next), err))
		}
		s.size = max(s.size, int64(len(buffer)))
	}
	j.started(next, checksum, int64(len(buffer)))
	return nil
}

// started records that a slot has just been begun with a checkpoint.
func (j *journal) started(index int, checksum uint32, tail int64) {
	j.current = index
	j.generation++
	j.sequence++
	j.previous = checksum
	j.tail = tail
	j.groups = 0
}

// nextSize is how long the next slot should be: twice as long when the current
// one was filled, so that few large checkpoints serve a busy writer and a
// quiet one stays small.
func (j *journal) nextSize() int64 {
	size := j.slots[j.current].size
	if j.tail > size/2 {
		size *= 2
	}
	return min(max(size, min(initialJournalBytes, j.limit)), j.limit)
}

// fillZeros writes zeros instead of asking for space, because a first write
// into space that was merely reserved changes the file's metadata, which costs
// every fdatasync a second write.
func fillZeros(file File, from, to int64) error {
	zeros := make([]byte, min(max(to-from, 0), initialJournalBytes))
	for from < to {
		part := zeros[:min(to-from, int64(len(zeros)))]
		if err := writeFull(file, part, from); err != nil {
			return err
		}
		from += int64(len(part))
	}
	return nil
}

// journalContents is what both slots hold, judged together.
type journalContents struct {
	found   bool // whether there is a journal at all
	current int  // the slot to go on from
	slot    slotContents
	data    []byte // of that slot, up to its last valid record
	sizes   [2]int64
}

// loadJournal reads both slots and chooses the newer one.
func loadJournal(fsys FS, dir string) (journalContents, error) {
	var (
		c      journalContents
		data   [2][]byte
		parsed [2]slotContents
		broken [2]error
		best   = -1
	)
	for i := range data {
		path := filepath.Join(dir, slotName(i))
		var err error
		if data[i], err = readWhole(fsys, path); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return c, fmt.Errorf("read journal %s: %w", path, err)
		}
		c.found = true
		c.sizes[i] = int64(len(data[i]))
		parsed[i], broken[i] = parseSlot(path, data[i])
		if (parsed[i].checkpoint != nil || broken[i] != nil) && (best < 0 || parsed[i].generation > parsed[best].generation) {
			best = i
		}
	}
	if !c.found {
		return c, nil
	}
	if best < 0 {
		return c, &CorruptError{File: filepath.Join(dir, slotName(0)), Offset: 0,
			Reason: "no journal begins with a valid checkpoint; " + corruptJournalHint}
	}
	if broken[best] != nil {
		return c, broken[best]
	}
	other := 1 - best
	if at, found := findRecord(data[other], parsed[best].generation+1); found {
		return c, &CorruptError{File: filepath.Join(dir, slotName(other)), Offset: 0, Reason: fmt.Sprintf(
			"its checkpoint is damaged, but record %d, at offset %d, is newer than all of %s; %s",
			at.sequence, at.offset, slotName(best), corruptJournalHint)}
	}
	c.current, c.slot, c.data = best, parsed[best], data[best][:parsed[best].end]
	return c, nil
}

// readWhole reads a file from start to end.
func readWhole(fsys FS, path string) ([]byte, error) {
	file, err := fsys.OpenRead(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if err := readFull(file, data, 0); err != nil {
		return nil, err
	}
	return data, nil
}
