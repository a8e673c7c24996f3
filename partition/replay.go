package partition

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// replay is the journal's groups, sorted by the file that they belong to.
type replay struct {
	ids     []string
	redos   []*redo // partition files in order, then the state files
	byFile  map[*stream]*redo
	whole   []bool // by chunk: nothing was missing
	present []AlreadyWritten
	owner   []int // by position in present: the chunk
}

// readGroups decodes the journal's groups and advances the streams over them.
func (m *Manager) readGroups(contents journalContents) (*replay, error) {
	r := &replay{byFile: map[*stream]*redo{}}
	r.add(m.processed)
	r.add(m.written)
	if contents.before != nil {
		if err := m.readSlot(r, 1-contents.current, contents.before.records); err != nil {
			return nil, err
		}
		if err := m.checkPending(contents.slot.checkpoint); err != nil {
			return nil, &CorruptError{File: m.journal.path(contents.current), Offset: 0, Reason: fmt.Sprintf("%v; %s", err, corruptJournalHint)}
		}
	}
	if err := m.readSlot(r, contents.current, contents.slot.records); err != nil {
		return nil, err
	}
	for _, s := range m.listedStreams() {
		r.add(s)
	}
	r.redos = append(r.redos, &redo{stream: m.ids, base: m.ids.size, data: m.unsavedIDs})
	r.whole = slices.Repeat([]bool{true}, len(r.ids))
	if contents.slot.cut {
		m.recovery.JournalCut = &JournalCut{File: m.journal.path(contents.current), Offset: contents.slot.end}
	}
	return r, nil
}

// readSlot adds the groups of one slot.
func (m *Manager) readSlot(r *replay, index int, records []record) error {
	for _, record := range records {
		g, err := decodeGroup(record.payload, m.options.Partitions)
		if err == nil {
			err = m.readGroup(r, g)
		}
		if err != nil {
			return &CorruptError{File: m.journal.path(index), Offset: record.offset, Reason: fmt.Sprintf("record %d: %v; %s", record.sequence, err, corruptJournalHint)}
		}
	}
	return nil
}

// checkPending compares where the groups of the older slot end with where the
// newer one says that it begins.
func (m *Manager) checkPending(c *checkpoint) error {
	reached := m.snapshot()
	reached.pending, reached.durability = c.pending, c.durability
	reached.halfWritten, reached.torn = c.halfWritten, c.torn
	if !bytes.Equal(reached.encode(nil), c.encode(nil)) {
		return errors.New("the checkpoint does not begin where the groups before it end")
	}
	return nil
}

// readGroup adds one group's bytes to the files that they belong to.
func (m *Manager) readGroup(r *replay, g *group) error {
	processed, written := r.add(m.processed), r.add(m.written)
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
	lines := groupLines(g)
	for i, id := range g.ids {
		chunk := len(r.ids) + i
		line := appendProcessedLine(nil, id)
		processed.append(chunk, line)
		written.append(chunk, lines[i])
		m.processed.extent, m.written.extent = m.processed.extend(line), m.written.extend(lines[i])
		m.unsavedIDs = appendID(m.unsavedIDs, id)
	}
	m.unsavedCount += uint64(len(g.ids))
	r.ids = append(r.ids, g.ids...)
	m.adoption.use(g.ids, g.used)
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
