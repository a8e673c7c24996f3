package partition

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// adoptionState is what has to be known about an adopted directory until the
// chunks that its writer left half written have come again.
type adoptionState struct {
	half map[string][]int // chunk id to partitions that are written
	file extent           // of adopted-partition-chunks
	torn []tornRemainder
}

// pending says whether chunks have to be looked at at all.
func (a *adoptionState) pending() bool { return len(a.half) > 0 || len(a.torn) > 0 }

// recorded is the extent of the list of half-written chunks, empty when none
// of them is still to come.
func (a *adoptionState) recorded() extent {
	if len(a.half) == 0 {
		return extent{}
	}
	return a.file
}

type tornKind uint8

const (
	// tornRow: a partition file ended in a line without an end. The fragment
	// was dropped; the chunk that it belongs to comes again, because it is not
	// in processed-chunks.txt. Lines of it that were complete still stand in
	// front of where the fragment was, and must not be written twice.
	tornRow tornKind = 1
	// tornLine: written-partition-chunks.txt ended in a line without an end,
	// which names a partition that was written and the start of a chunk's id.
	tornLine tornKind = 2
)

// tornRemainder is evidence of a write that died before the library came.
type tornRemainder struct {
	tornKey
	fragment string // of the row, or of the chunk's id
}

// tornKey identifies a remainder: there is at most one a file.
type tornKey struct {
	kind      tornKind
	prefix    string // of a tornRow; else ""
	partition int
}

func (t tornRemainder) encode(buffer []byte) []byte {
	buffer = appendText(append(buffer, byte(t.kind)), t.prefix)
	return appendText(binary.AppendUvarint(buffer, uint64(t.partition)), t.fragment)
}

func (d *decoder) tornRemainder(partitions int) tornRemainder {
	t := tornRemainder{}
	t.kind = tornKind(d.number())
	t.prefix = d.text()
	t.partition = d.below(partitions)
	t.fragment = d.text()
	return t
}

func (k tornKey) encode(buffer []byte, prefixes []string) []byte {
	buffer = append(buffer, byte(k.kind))
	buffer = binary.AppendUvarint(buffer, uint64(max(slices.Index(prefixes, k.prefix), 0)))
	return binary.AppendUvarint(buffer, uint64(k.partition))
}

func (d *decoder) tornKey(prefixes []string, partitions int) tornKey {
	k := tornKey{kind: tornKind(d.number())}
	if at := d.below(len(prefixes)); d.err == nil && k.kind == tornRow {
		k.prefix = prefixes[at]
	}
	k.partition = d.below(partitions)
	return k
}

// use forgets what a committed group has used up.
func (a *adoptionState) use(ids []string, keys []tornKey) {
	for _, id := range ids {
		delete(a.half, id)
	}
	for _, key := range keys {
		a.torn = slices.DeleteFunc(slices.Clone(a.torn), func(t tornRemainder) bool { return t.tornKey == key })
	}
}

// load reads the list of half-written chunks, less those that came since.
func (a *adoptionState) load(m *Manager, recorded extent) error {
	a.file = recorded
	if recorded.size == 0 {
		return nil
	}
	path := filepath.Join(m.options.StateDir, halfWrittenName)
	data, err := readWhole(m.fs, path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(data)) < recorded.size {
		return &ShortFileError{File: path, Recorded: recorded.size, Actual: int64(len(data))}
	}
	data = data[:recorded.size]
	if crc32.Checksum(data, castagnoli) != recorded.checksum {
		return &CorruptError{File: path, Offset: 0, Reason: "it does not match its checksum; restore the state directory from a copy"}
	}
	a.half = map[string][]int{}
	for line := range strings.Lines(string(data)) {
		partition, id, ok := parseWrittenLine(strings.TrimSuffix(line, "\n"))
		if !ok {
			continue
		}
		written, err := m.Written(id)
		if err != nil {
			return err
		}
		if !written {
			a.half[id] = append(a.half[id], partition)
		}
	}
	return nil
}

// owed says what of a chunk's block is still to be written, and whether the
// line in written-partition-chunks.txt is.
func (m *Manager) owed(c *Chunk, partition int, data []byte) (rest []byte, line bool, err error) {
	if slices.Contains(m.adoption.half[c.id], partition) {
		return nil, false, nil
	}
	s := m.stream(c.prefix, partition)
	for _, t := range m.adoption.torn {
		if t.partition != partition || s.adopted == 0 || slices.Contains(m.plan.used, t.tornKey) {
			continue
		}
		var written int
		var found bool
		switch {
		case t.kind == tornRow && t.prefix == c.prefix:
			written, found, err = m.writtenBefore(s, data, t.fragment)
		case t.kind == tornLine && strings.HasPrefix(c.id, t.fragment):
			written = len(data)
			found, err = m.endsWith(s, data)
		}
		if err != nil {
			return nil, false, err
		}
		if found {
			m.plan.used = append(m.plan.used, t.tornKey)
			return data[written:], true, nil
		}
	}
	return data, true, nil
}

// writtenBefore finds how many bytes of a block, in whole lines, stand at the
// adopted end of a file where the fragment of its next line was dropped. The
// longest match is taken: lines are far more often distinct than repeated.
// Whichever chunk is taken for the torn one, once all of them have come the
// file holds each row as often as it was sent, because the match is by equal
// bytes and is used up once.
func (m *Manager) writtenBefore(s *stream, data []byte, fragment string) (int, bool, error) {
	for start := len(data); start > 0; {
		start = bytes.LastIndexByte(data[:start-1], '\n') + 1
		if !bytes.HasPrefix(data[start:], []byte(fragment)) {
			continue
		}
		found, err := m.endsWith(s, data[:start])
		if found || err != nil {
			return start, found, err
		}
	}
	return 0, false, nil
}

// endsWith says whether the adopted part of a file ends with these whole lines.
func (m *Manager) endsWith(s *stream, lines []byte) (bool, error) {
	if len(lines) == 0 {
		return true, nil
	}
	first := int64(0)
	if m.options.Header != "" {
		first = int64(len(m.options.Header)) + 1
	}
	start := s.adopted - int64(len(lines))
	if start < first {
		return false, nil
	}
	file, err := m.openStream(s)
	if err != nil {
		return false, err
	}
	from := max(start-1, 0)
	found := make([]byte, s.adopted-from)
	if err := readFull(file, found, from); err != nil {
		return false, fmt.Errorf("read %s: %w", s.path, err)
	}
	if start > 0 {
		if found[0] != '\n' {
			return false, nil
		}
		found = found[1:]
	}
	return bytes.Equal(found, lines), nil
}
