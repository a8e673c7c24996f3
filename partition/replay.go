package partition

import (
	"fmt"
	"path/filepath"
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
