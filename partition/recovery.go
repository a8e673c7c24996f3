package partition

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"slices"
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

// replay is the journal's groups, sorted by the file that they belong to.
type replay struct {
	ids     []string
	redos   []*redo // partition files in order, then the state files
	byFile  map[*stream]*redo
	whole   []bool // by chunk: nothing was missing
	present []AlreadyWritten
	owner   []int // by position in present: the chunk
}

// redo is what the journal says that a file holds behind its checkpoint.
type redo struct {
	stream   *stream
	base     int64
	data     []byte
	segments []segment // whose bytes, with chunk counted over the whole replay

	size    int64 // of the file as it was found
	missing bool  // the file is not there
}

func (r *redo) end() int64 { return r.base + int64(len(r.data)) }

// recover brings the files to what the journal says and begins a new slot.
// Everything is checked before anything is changed.
func (m *Manager) recover(ctx context.Context, contents journalContents) error {
	if err := m.restore(contents.slot.checkpoint); err != nil {
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
	if err := m.adoption.load(m, contents.slot.checkpoint.halfWritten); err != nil {
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

// readGroups decodes the journal's groups and advances the streams over them.
func (m *Manager) readGroups(contents journalContents) (*replay, error) {
	r := &replay{byFile: map[*stream]*redo{}}
	processed, written := r.add(m.processed), r.add(m.written)
	path := filepath.Join(m.options.StateDir, slotName(contents.current))
	for _, record := range contents.slot.records {
		g, err := decodeGroup(record.payload, m.options.Partitions)
		if err == nil {
			err = m.readGroup(r, g)
		}
		if err != nil {
			return nil, &CorruptError{File: path, Offset: record.offset, Reason: fmt.Sprintf("record %d: %v; %s", record.sequence, err, corruptJournalHint)}
		}
		lines := groupLines(g)
		for i, id := range g.ids {
			chunk := len(r.ids) + i
			processed.append(chunk, appendProcessedLine(nil, id))
			written.append(chunk, lines[i])
			m.unsavedIDs = appendID(m.unsavedIDs, id)
		}
		m.unsavedCount += uint64(len(g.ids))
		r.ids = append(r.ids, g.ids...)
		m.adoption.use(g.ids, g.used)
	}
	m.processed.extent = m.processed.extend(processed.data)
	m.written.extent = m.written.extend(written.data)
	for _, s := range m.listedStreams() {
		r.add(s)
	}
	r.redos = append(r.redos, &redo{stream: m.ids, base: m.ids.size, data: m.unsavedIDs})
	r.whole = slices.Repeat([]bool{true}, len(r.ids))
	if contents.slot.cut {
		m.recovery.JournalCut = &JournalCut{File: path, Offset: contents.slot.end}
	}
	return r, nil
}

// readGroup adds one group's bytes to the files that they belong to.
func (m *Manager) readGroup(r *replay, g *group) error {
	for _, file := range g.files {
		s := m.stream(file.prefix, file.partition)
		if file.start != s.size {
			return fmt.Errorf("file %s: the group begins at %d, but the one before it ended at %d", s.path, file.start, s.size)
		}
		f := r.add(s)
		s.extent, s.listed = s.extend(file.data), true
		if s.checksum != file.checksum {
			return fmt.Errorf("file %s: checksum of the first %d bytes is %08x, recorded is %08x", s.path, s.size, s.checksum, file.checksum)
		}
		f.data = append(f.data, file.data...)
		for _, piece := range file.segments {
			piece.chunk += len(r.ids)
			f.segments = append(f.segments, piece)
		}
	}
	return nil
}

// add finds or makes the redo of a stream.
func (r *replay) add(s *stream) *redo {
	f := r.byFile[s]
	if f == nil {
		f = &redo{stream: s, base: s.size}
		r.byFile[s] = f
		r.redos = append(r.redos, f)
	}
	return f
}

// append adds a chunk's bytes.
func (f *redo) append(chunk int, data []byte) {
	start := f.end()
	f.data = append(f.data, data...)
	f.segments = append(f.segments, segment{chunk: chunk, start: start, end: f.end()})
}

// groupLines rebuilds the lines of written-partition-chunks.txt, by chunk.
func groupLines(g *group) [][]byte {
	lines := make([][]byte, len(g.ids))
	for _, file := range g.files {
		for _, s := range file.segments {
			lines[s.chunk] = appendWrittenLine(lines[s.chunk], file.partition, g.ids[s.chunk])
		}
	}
	return lines
}

// listedStreams are the streams that checkpoints name, by prefix and partition.
func (m *Manager) listedStreams() []*stream {
	var list []*stream
	for _, f := range m.families {
		for _, s := range f.streams {
			if s != nil && s.listed {
				list = append(list, s)
			}
		}
	}
	slices.SortFunc(list, func(a, b *stream) int {
		return cmp.Or(cmp.Compare(a.prefix, b.prefix), cmp.Compare(a.partition, b.partition))
	})
	return list
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

// loadIDs reads the id log and adds the journal's ids to it.
func (m *Manager) loadIDs(r *replay) error {
	log := make([]byte, m.ids.size)
	if m.ids.size > 0 {
		file, err := m.fs.OpenRead(m.ids.path)
		if errors.Is(err, fs.ErrNotExist) {
			return &ShortFileError{File: m.ids.path, Recorded: m.ids.size}
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", m.ids.path, err)
		}
		defer file.Close()
		size, err := file.Size()
		if err != nil {
			return fmt.Errorf("read %s: %w", m.ids.path, err)
		}
		if size < m.ids.size {
			return &ShortFileError{File: m.ids.path, Recorded: m.ids.size, Actual: size}
		}
		if err := readFull(file, log, 0); err != nil {
			return fmt.Errorf("read %s: %w", m.ids.path, err)
		}
	}
	if crc32.Checksum(log, castagnoli) != m.ids.checksum {
		return &CorruptError{File: m.ids.path, Offset: 0, Reason: "the chunk ids do not match their checksum; restore the state directory from a copy"}
	}
	if err := eachID(log, m.seen.add); err != nil {
		return &CorruptError{File: m.ids.path, Offset: 0, Reason: err.Error()}
	}
	if uint64(m.seen.len()) != m.savedCount {
		return &CorruptError{File: m.ids.path, Offset: 0, Reason: fmt.Sprintf("it holds %d chunk ids, recorded are %d", m.seen.len(), m.savedCount)}
	}
	for _, id := range r.ids {
		m.seen.add(id)
	}
	return nil
}

// inspect compares a file with what the journal says and notes what has to be
// told; it changes nothing.
func (m *Manager) inspect(r *replay, f *redo) error {
	found, err := m.readBehind(f)
	if err != nil {
		return err
	}
	for _, s := range f.segments {
		from, to := s.start-f.base, s.end-f.base
		if to > int64(len(found)) || !bytes.Equal(found[from:to], f.data[from:to]) {
			r.whole[s.chunk] = false
			continue
		}
		if f.stream.prefix != "" {
			r.present = append(r.present, AlreadyWritten{
				ChunkID: r.ids[s.chunk], File: f.stream.path, Partition: f.stream.partition,
				Rows: bytes.Count(f.data[from:to], []byte{'\n'}),
			})
			r.owner = append(r.owner, s.chunk)
		}
	}
	if f.stream != m.ids {
		m.noteRepair(f, found)
	}
	return nil
}

// readBehind reads what stands in a file behind the checkpoint, as far as the
// journal has an opinion on it and a little more.
func (m *Manager) readBehind(f *redo) ([]byte, error) {
	file, err := m.fs.OpenRead(f.stream.path)
	if errors.Is(err, fs.ErrNotExist) {
		if f.base > 0 {
			return nil, &ShortFileError{File: f.stream.path, Recorded: f.base}
		}
		f.missing = true
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.stream.path, err)
	}
	defer file.Close()
	if f.size, err = file.Size(); err != nil {
		return nil, fmt.Errorf("read %s: %w", f.stream.path, err)
	}
	if f.size < f.base {
		return nil, &ShortFileError{File: f.stream.path, Recorded: f.base, Actual: f.size}
	}
	found := make([]byte, min(f.size-f.base, int64(len(f.data))+maxFragment))
	if err := readFull(file, found, f.base); err != nil {
		return nil, fmt.Errorf("read %s: %w", f.stream.path, err)
	}
	return found, nil
}

const maxFragment = 128

// noteRepair says how the end of a file differs from what it should be. Rows
// that are missing as a whole are no repair; they are redone.
func (m *Manager) noteRepair(f *redo, found []byte) {
	common := 0
	for common < len(found) && common < len(f.data) && found[common] == f.data[common] {
		common++
	}
	repair := Repair{File: f.stream.path}
	if behind := f.size - f.base; behind > int64(common) {
		repair.Offset = f.base + int64(common)
		repair.Dropped = behind - int64(common)
		repair.Completed = int64(len(f.data) - common)
		repair.Fragment = string(found[common:min(len(found), common+maxFragment)])
	} else {
		start := bytes.LastIndexByte(found, '\n') + 1
		if start == len(found) {
			return
		}
		repair.Offset = f.base + int64(start)
		repair.Completed = int64(bytes.IndexByte(f.data[common:], '\n') + 1)
		repair.Fragment = string(found[start:min(len(found), start+maxFragment)])
	}
	m.recovery.Repaired = append(m.recovery.Repaired, repair)
}

// reportReplay fills in what the worker is told about the journal's chunks.
func (m *Manager) reportReplay(r *replay) {
	m.recovery.Replayed = len(r.ids)
	for chunk, id := range r.ids {
		if !r.whole[chunk] {
			m.recovery.Redone = append(m.recovery.Redone, id)
		}
	}
	order := make([]int, 0, len(r.present))
	for i := range r.present {
		if !r.whole[r.owner[i]] {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(r.owner[a], r.owner[b]) })
	for _, i := range order {
		m.recovery.AlreadyWritten = append(m.recovery.AlreadyWritten, r.present[i])
	}
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
	j.tail, j.groups = contents.slot.end, len(contents.slot.records)
	current := j.slots[j.current].file
	if err := writeFull(current, contents.data, 0); err != nil {
		return fmt.Errorf("write journal %s: %w", j.path(j.current), err)
	}
	if err := current.SyncData(); err != nil {
		return m.stop(fmt.Errorf("sync journal %s: %w", j.path(j.current), err))
	}
	return nil
}

// redo writes what the journal says that a file holds, and cuts off the rest.
// Bytes that are already right are written again: a sync that failed in an
// earlier life left them in the page cache marked as clean, and a sync writes
// only what is dirty.
func (m *Manager) redo(f *redo) error {
	if f.missing && len(f.data) == 0 {
		return nil
	}
	if err := m.writeStream(f.stream, f.data, f.base); err != nil {
		return err
	}
	if f.size <= f.end() {
		return nil
	}
	file, err := m.openStream(f.stream)
	if err != nil {
		return err
	}
	f.stream.dirty = true
	if err := file.Truncate(f.end()); err != nil {
		return fmt.Errorf("cut %s to %d bytes: %w", f.stream.path, f.end(), err)
	}
	return nil
}
