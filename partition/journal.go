package partition

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// journal is two files of which one is written. A checkpoint begins the other
// one, so that a slot is only ever overwritten while the other holds all that
// matters, and neither is ever truncated. A pending checkpoint begins the other
// slot before the files are synced; until a record behind it says that they
// are, both slots matter.
type journal struct {
	fs         FS
	dir        string
	durability Durability
	limit      int64 // bytes at which a slot stops growing
	sequential bool

	slots      [2]slot
	current    int
	generation uint64
	sequence   uint64 // of the last record
	previous   uint32 // checksum of the last record
	tail       int64  // where the next record goes
	groups     int    // records behind the checkpoint
	pending    bool   // the checkpoint is not settled yet: the other slot is needed
}

type slot struct {
	file File
	size int64 // bytes that are there to be overwritten without growing
}

func slotName(index int) string { return fmt.Sprintf("journal-%d", index) }

func (j *journal) path(index int) string { return filepath.Join(j.dir, slotName(index)) }

// room says whether a record fits without growing the slot, and one more that
// settles the checkpoint. A slot that holds no group takes any record, since a
// checkpoint would not give it more room.
func (j *journal) room(size int) bool {
	if !j.sequential {
		size += recordHeaderBytes
	}
	return j.groups == 0 || j.tail+int64(size) <= j.slots[j.current].size
}

// append writes a group record and, for Power, makes it durable: this is the
// moment at which the group is committed. A failed write leaves the tail where
// it was, so that the next record overwrites what came of it. beside begins
// what is done while the record becomes durable; nil for nothing.
func (j *journal) append(m *Manager, buffer []byte, beside func() (wait func())) error {
	checksum := sealRecord(buffer, groupRecord, j.generation, j.sequence+1, j.previous)
	s := &j.slots[j.current]
	if err := writeFull(s.file, buffer, j.tail); err != nil {
		return fmt.Errorf("write journal %s at offset %d: %w; the group was not written, write it again when the cause is gone",
			j.path(j.current), j.tail, err)
	}
	if beside != nil {
		defer beside()()
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

// hurry has the disk begin with a record that was just written and will be
// synced, so that what is done before the sync is done beside it.
func (j *journal) hurry(length int) {
	if early, can := j.slots[j.current].file.(earlySyncer); can {
		_ = early.StartSync(j.tail, int64(length)) // what failed, the sync says
	}
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

// settle records that the current slot's checkpoint is durable in the files, so
// that the other slot can be begun.
func (j *journal) settle(m *Manager) error {
	if !j.pending {
		return nil
	}
	record := startRecord(nil)
	checksum := sealRecord(record, settledRecord, j.generation, j.sequence+1, j.previous)
	s := &j.slots[j.current]
	if err := writeFull(s.file, record, j.tail); err != nil {
		return fmt.Errorf("write journal %s at offset %d: %w", j.path(j.current), j.tail, err)
	}
	if err := s.file.SyncData(); err != nil {
		return m.stop(fmt.Errorf("sync journal %s: %w", j.path(j.current), err))
	}
	j.sequence++
	j.previous = checksum
	j.tail += int64(len(record))
	j.pending = false
	return nil
}

// begin makes a checkpoint durable as the first record of the other slot and
// turns to that slot. Once the slot's first byte may have changed there is no
// way back but recovery: a checkpoint that is on disk although its write
// reported an error would hide what the old slot takes afterwards.
func (j *journal) begin(m *Manager, buffer []byte, pending bool) error {
	next := 1 - j.current
	checksum := sealRecord(buffer, checkpointRecord, j.generation+1, j.sequence+1, j.previous)
	size := j.nextSize()
	if !j.sequential { // a settlement makes it longer, beside the writes
		size = min(initialJournalBytes, j.limit)
	}
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
		// Without a sync a group the slot has no use for one here: what has not
		// become durable until the checkpoint is settled becomes so with it.
		if !pending || j.durability == Power {
			if err := s.file.SyncData(); err != nil {
				return m.stop(fmt.Errorf("sync journal %s: %w", j.path(next), err))
			}
		}
		s.size = max(s.size, int64(len(buffer)))
	}
	j.started(next, checksum, int64(len(buffer)))
	j.pending = pending
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

// nextSize is how long the next slot should be: four times as long when the current
// one was filled, so that few large checkpoints serve a busy writer and a quiet
// one stays small. To make it as long as it may get at once would keep the disk
// from the groups that are written meanwhile for a tenth of a second.
func (j *journal) nextSize() int64 {
	size := j.slots[j.current].size
	if j.tail > size/2 {
		size *= 4
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
	// before is the other slot, when the current one's checkpoint is pending:
	// its checkpoint is durable, and its groups come before those of slot.
	before *slotContents
	sizes  [2]int64
}

// base is the checkpoint that is durable.
func (c journalContents) base() *checkpoint {
	if c.before != nil {
		return c.before.checkpoint
	}
	return c.slot.checkpoint
}

// loadJournal reads both slots and chooses the newer one.
func loadJournal(fsys FS, dir string) (journalContents, error) {
	var (
		c      journalContents
		data   [2]slotBytes
		parsed [2]slotContents
		broken [2]error
		best   = -1
	)
	for i := range data {
		path := filepath.Join(dir, slotName(i))
		file, err := fsys.OpenRead(path)
		if errors.Is(err, fs.ErrNotExist) {
			data[i] = &slotFile{}
			continue
		}
		if err != nil {
			return c, fmt.Errorf("read journal %s: %w", path, err)
		}
		defer file.Close()
		if c.sizes[i], err = file.Size(); err != nil {
			return c, fmt.Errorf("read journal %s: %w", path, err)
		}
		c.found = true
		data[i] = &slotFile{file: file, size: c.sizes[i]}
		parsed[i], broken[i] = parseSlot(path, data[i])
		if broken[i] != nil && !errors.Is(broken[i], ErrCorrupt) {
			return c, fmt.Errorf("read journal %s: %w", path, broken[i])
		}
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
	if at, found, err := findRecord(data[other], 0, parsed[best].generation+1); err != nil {
		return c, fmt.Errorf("read journal %s: %w", filepath.Join(dir, slotName(other)), err)
	} else if found {
		return c, &CorruptError{File: filepath.Join(dir, slotName(other)), Offset: 0, Reason: fmt.Sprintf(
			"its checkpoint is damaged, but record %d, at offset %d, is newer than all of %s; %s",
			at.sequence, at.offset, slotName(best), corruptJournalHint)}
	}
	c.current, c.slot = best, parsed[best]
	if c.slot.settled {
		return c, nil
	}
	before := parsed[other]
	if broken[other] != nil {
		return c, broken[other]
	}
	if before.checkpoint == nil || before.generation != c.slot.generation-1 ||
		before.last.sequence != c.slot.first.sequence-1 || before.last.checksum != c.slot.first.previous || !before.settled {
		return c, &CorruptError{File: filepath.Join(dir, slotName(other)), Offset: before.end, Reason: fmt.Sprintf(
			"the groups that %s goes on from do not stand there; %s", slotName(best), corruptJournalHint)}
	}
	c.before = &before
	return c, nil
}

// refresh writes the first bytes of a file again and syncs them: they may come
// from a page cache whose sync failed in an earlier life, or was never asked
// for, and a sync writes only what is dirty.
func refresh(file File, size int64) error {
	buffer := make([]byte, min(size, 1<<20))
	for at := int64(0); at < size; at += int64(len(buffer)) {
		buffer = buffer[:min(int64(len(buffer)), size-at)]
		if err := readFull(file, buffer, at); err != nil {
			return err
		}
		if err := writeFull(file, buffer, at); err != nil {
			return err
		}
	}
	return nil
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
