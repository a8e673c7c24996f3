package partition

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
)

// plan is a group commit in the making: its journal record, and where the
// record's bytes go. The memory is used again for the next group.
type plan struct {
	record     []byte
	ids        []string
	keys       []idKey // of ids
	inGroup    map[string]struct{}
	prefixes   []string      // of streams, ascending, each once
	streams    []*stream     // that the group writes to, ascending by prefix and partition
	writes     []plannedFile // in the order of streams
	checksumAt []int         // where each stream's checksum stands in record
	used       []tornKey
	order      []int // of one chunk's partitions
	numbers    []int // of the partitions in the results; handed out with them

	processed, written           []byte // lines for people
	processedStart, writtenStart int64
	inFiles                      bool // all of it was written to the files
}

// plannedFile is a part of the record that goes to a file.
type plannedFile struct {
	stream   *stream
	from, to int // in the record
	after    extent
}

func (p *plan) reset() {
	p.ids, p.keys, p.used, p.prefixes = p.ids[:0], p.keys[:0], p.used[:0], p.prefixes[:0]
	p.streams, p.writes = p.streams[:0], p.writes[:0]
	p.processed, p.written = p.processed[:0], p.written[:0]
	if p.inGroup == nil {
		p.inGroup = map[string]struct{}{}
	}
	clear(p.inGroup)
	p.inFiles = false
}

// planGroup sorts the rows of the chunks that are new by file and builds the
// group's record. It changes nothing that a failure would have to undo.
func (m *Manager) planGroup(group []*Chunk) ([]Result, error) {
	p := &m.plan
	p.reset()
	defer func() {
		for _, s := range p.streams {
			s.pieces = s.pieces[:0]
		}
	}()
	results := make([]Result, len(group))
	size, blocks := 0, 0
	for _, c := range group {
		blocks += len(c.blocks)
	}
	p.numbers = make([]int, 0, blocks) // of all results
	for i, c := range group {
		results[i].ID = c.id
		_, repeated := p.inGroup[c.id]
		if !repeated {
			var err error
			if repeated, err = m.seen.has(c.key); err != nil {
				return nil, err
			}
		}
		if repeated {
			results[i].Duplicate = true
			continue
		}
		p.inGroup[c.id] = struct{}{}
		if size += c.size; size > MaxGroupBytes {
			return nil, fmt.Errorf("the group has more than %d bytes; write fewer chunks at once", MaxGroupBytes)
		}
		if err := m.planChunk(c, &results[i]); err != nil {
			return nil, err
		}
		p.ids, p.keys = append(p.ids, c.id), append(p.keys, c.key)
	}
	if len(p.ids) > 0 {
		m.buildRecord()
	}
	return results, nil
}

// planChunk hands a chunk's blocks to their streams, less what an adopted
// directory already holds.
func (m *Manager) planChunk(c *Chunk, result *Result) error {
	p := &m.plan
	position := len(p.ids)
	first := len(p.numbers)
	p.order = c.partitions(p.order)
	family := m.family(c.prefix)
	for _, partition := range p.order {
		data := c.blocks[c.index[partition]-1].data
		if m.adoption.pending() {
			owed, lineOwed, err := m.owed(c, partition, data)
			if err != nil {
				return err
			}
			if len(owed) == 0 && len(data) > 0 {
				result.Skipped = append(result.Skipped, partition)
			}
			if !lineOwed {
				continue
			}
			data = owed
		}
		s := m.streamOf(family, partition)
		if len(s.pieces) == 0 {
			p.streams = append(p.streams, s)
		}
		s.pieces = append(s.pieces, piece{chunk: position, data: data})
		if len(data) > 0 {
			p.numbers = append(p.numbers, partition)
		}
		p.written = appendWrittenLine(p.written, partition, c.id)
	}
	if len(p.numbers) > first {
		result.Partitions = p.numbers[first:len(p.numbers):len(p.numbers)]
	}
	p.processed = appendProcessedLine(p.processed, c.id)
	return nil
}

// buildRecord encodes the group as group_record.go describes, leaving the
// header of the record for the journal to fill in.
func (m *Manager) buildRecord() {
	p := &m.plan
	slices.SortFunc(p.streams, func(a, b *stream) int {
		return cmp.Or(cmp.Compare(a.prefix, b.prefix), cmp.Compare(a.partition, b.partition))
	})
	for _, s := range p.streams {
		if len(p.prefixes) == 0 || p.prefixes[len(p.prefixes)-1] != s.prefix {
			p.prefixes = append(p.prefixes, s.prefix)
		}
	}
	r := startRecord(p.record)
	r = binary.AppendUvarint(r, uint64(len(p.ids)))
	for _, id := range p.ids {
		r = appendText(r, id)
	}
	r = binary.AppendUvarint(r, uint64(len(p.prefixes)))
	for _, prefix := range p.prefixes {
		r = appendText(r, prefix)
	}
	r = m.buildFiles(r)
	r = binary.AppendUvarint(r, uint64(len(p.used)))
	for _, key := range p.used {
		r = key.encode(r, p.prefixes)
	}
	p.record = m.buildData(r)
	p.processedStart, p.writtenStart = m.processed.size, m.written.size
}

// buildFiles appends the table of files and remembers where their checksums
// are owed.
func (m *Manager) buildFiles(r []byte) []byte {
	p := &m.plan
	p.checksumAt = p.checksumAt[:0]
	r = binary.AppendUvarint(r, uint64(len(p.streams)))
	prefix := 0
	for _, s := range p.streams {
		if p.prefixes[prefix] != s.prefix {
			prefix++
		}
		r = binary.AppendUvarint(r, uint64(prefix))
		r = binary.AppendUvarint(r, uint64(s.partition))
		r = binary.AppendUvarint(r, uint64(s.size))
		r = binary.AppendUvarint(r, uint64(len(m.headerFor(s))))
		r = binary.AppendUvarint(r, uint64(len(s.pieces)))
		for _, piece := range s.pieces {
			r = binary.AppendUvarint(r, uint64(piece.chunk))
			r = binary.AppendUvarint(r, uint64(len(piece.data)))
		}
		p.checksumAt = append(p.checksumAt, len(r))
		r = append(r, 0, 0, 0, 0)
	}
	return r
}

// buildData appends the bytes of every file and fills in their checksums.
func (m *Manager) buildData(r []byte) []byte {
	p := &m.plan
	for i, s := range p.streams {
		from := len(r)
		r = append(r, m.headerFor(s)...)
		for _, piece := range s.pieces {
			r = append(r, piece.data...)
		}
		after := extent{
			size:     s.size + int64(len(r)-from),
			checksum: crc32.Update(s.checksum, castagnoli, r[from:]),
		}
		binary.LittleEndian.PutUint32(r[p.checksumAt[i]:], after.checksum)
		p.writes = append(p.writes, plannedFile{stream: s, from: from, to: len(r), after: after})
	}
	return r
}

// headerFor is the header line that the stream still needs.
func (m *Manager) headerFor(s *stream) string {
	if s.size > 0 || m.options.Header == "" {
		return ""
	}
	return m.options.Header + "\n"
}

// advance takes the planned group, which is committed now, into the manager's
// view of the files.
func (m *Manager) advance() {
	p := &m.plan
	for _, w := range p.writes {
		w.stream.extent, w.stream.listed = w.after, true
	}
	m.processed.extent = m.processed.extend(p.processed)
	m.written.extent = m.written.extend(p.written)
	for _, id := range p.ids {
		m.unsavedIDs = appendID(m.unsavedIDs, id)
	}
	m.unsavedCount += uint64(len(p.ids))
	m.adoption.use(p.ids, p.used)
	m.unapplied = true
}

// apply writes the committed group to the files, unless that is done already.
func (m *Manager) apply() error {
	if !m.unapplied {
		return nil
	}
	if err := m.writeFiles(); err != nil {
		return fmt.Errorf("%w; the journal holds the group, and the next Write or Open finishes it", err)
	}
	m.unapplied = false
	m.seen.addKeys(m.plan.keys)
	return nil
}

// writesBeside says whether the group may be written to the files while its
// record is on its way to the disk. The record has been written by then, so a
// death finds it; and when the power goes and takes it, recovery cuts off what
// the files have behind their committed ends. It would not know what to make of
// a file that no record names.
func (m *Manager) writesBeside() bool {
	if m.options.Sequential || m.options.Durability != Power {
		return false
	}
	return !slices.ContainsFunc(m.plan.streams, func(s *stream) bool { return !s.listed })
}

// writeBeside begins to write the group to the files, beside the sync of its
// record. A small group is written at once, while the disk has begun with the
// record: it takes less time than to have another thread do it. What fails,
// apply tries again.
func (m *Manager) writeBeside() (wait func()) {
	write := func() { _ = m.writeFiles() }
	if m.options.launch == nil && len(m.plan.writes) <= atOnceFiles && len(m.plan.record) <= atOnceBytes {
		m.journal.hurry(len(m.plan.record))
		write()
		return func() {}
	}
	return m.launch(write)
}

// A group of no more files and bytes is small.
const (
	atOnceFiles = 24
	atOnceBytes = 512 << 10
)

// writeFiles writes the group to the partition files and then to the state
// files. It can be repeated after a failure, since it writes the same bytes to
// the same places.
func (m *Manager) writeFiles() error {
	p := &m.plan
	if p.inFiles {
		return nil
	}
	for _, w := range p.writes {
		data := p.record[w.from:w.to]
		if err := m.writeStream(w.stream, data, w.after.size-int64(len(data))); err != nil {
			return err
		}
	}
	if err := m.writeStream(m.written, p.written, p.writtenStart); err != nil {
		return err
	}
	if err := m.writeStream(m.processed, p.processed, p.processedStart); err != nil {
		return err
	}
	p.inFiles = true
	return nil
}

// appendProcessedLine appends a line of processed-chunks.txt.
func appendProcessedLine(lines []byte, id string) []byte {
	return append(append(lines, id...), '\n')
}

// appendWrittenLine appends a line of written-partition-chunks.txt.
func appendWrittenLine(lines []byte, partition int, id string) []byte {
	lines = append(strconv.AppendInt(lines, int64(partition), 10), ':')
	return append(append(lines, id...), '\n')
}
