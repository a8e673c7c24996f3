package partition

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Adoption tells what Open found in a directory that was written before this
// library came. Its partition files are never cut, but for a last line that
// has no end.
type Adoption struct {
	Files       int // partition files
	Chunks      int // ids in processed-chunks.txt
	HalfWritten int // chunks of which only some partitions are recorded as written
	// Ignored are lines of the state files, as file:line, that make no sense.
	Ignored []string
}

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
		if partition, id, ok := parseWrittenLine(strings.TrimSuffix(line, "\n")); ok && !m.Written(id) {
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

// start makes the journal of a directory that has none. What it records about
// files that are there already is found by reading alone, so that a death on
// the way changes nothing: creating the journal is the moment of adoption, and
// cutting off fragments is left to the recovery that follows.
func (m *Manager) start(ctx context.Context) (journalContents, error) {
	c, log, half, err := m.survey(ctx)
	if err != nil {
		return journalContents{}, err
	}
	for name, data := range map[string][]byte{idLogName: log, halfWrittenName: half} {
		if len(data) > 0 {
			if err := m.writeNew(filepath.Join(m.options.StateDir, name), data); err != nil {
				return journalContents{}, err
			}
		}
	}
	for _, dir := range []string{m.options.Dir, m.options.StateDir} {
		if err := m.syncUpwards(dir); err != nil {
			return journalContents{}, err
		}
	}
	record := c.encode(startRecord(nil))
	sealRecord(record, checkpointRecord, 1, 1, 0)
	if err := m.journal.create(m, 0, record, min(initialJournalBytes, m.options.JournalBytes)); err != nil {
		return journalContents{}, err
	}
	return loadJournal(m.fs, m.options.StateDir)
}

// syncUpwards makes a directory's names durable, and its own name, and those
// of its parents, which an earlier life may have made and not synced. It ends
// at the first parent that cannot be synced, which nobody here made.
func (m *Manager) syncUpwards(dir string) error {
	if err := m.fs.SyncDir(dir); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	for parent := filepath.Dir(dir); parent != dir; dir, parent = parent, filepath.Dir(parent) {
		if err := m.fs.SyncDir(parent); errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL) {
			return nil
		} else if err != nil {
			return fmt.Errorf("sync directory %s: %w", parent, err)
		}
	}
	return nil
}

// writeNew writes a file and syncs it.
func (m *Manager) writeNew(path string, data []byte) error {
	file, err := m.fs.Create(path)
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	defer file.Close()
	if err := writeFull(file, data, 0); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := file.SyncData(); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}

// survey reads a directory that has no journal. It returns the checkpoint to
// begin with, the id log, and the list of half-written chunks.
func (m *Manager) survey(ctx context.Context) (c *checkpoint, log, half []byte, err error) {
	c = &checkpoint{partitions: m.options.Partitions, header: m.options.Header, durability: m.options.Durability}
	adoption := &Adoption{}
	if err := m.surveyFiles(ctx, c, adoption); err != nil {
		return nil, nil, nil, err
	}
	processed, _, err := m.surveyLines(processedName, &c.processed)
	if err != nil {
		return nil, nil, nil, err
	}
	written, tornWritten, err := m.surveyLines(writtenName, &c.written)
	if err != nil {
		return nil, nil, nil, err
	}
	c.adoptedProcessed, c.adoptedWritten = c.processed.size, c.written.size
	if adoption.Files == 0 && c.processed.size == 0 && c.written.size == 0 {
		m.recovery.Fresh = true
		return c, nil, nil, nil
	}
	seen := newMemoryIDs()
	for i, id := range processed {
		if badID(id) != "" {
			adoption.Ignored = append(adoption.Ignored, fmt.Sprintf("%s:%d", processedName, i+1))
		} else if !seen.has(id) {
			seen.add(id)
			log = appendID(log, id)
		}
	}
	unfinished := map[string]bool{}
	for i, line := range written {
		partition, id, ok := parseWrittenLine(line)
		switch {
		case !ok:
			adoption.Ignored = append(adoption.Ignored, fmt.Sprintf("%s:%d", writtenName, i+1))
		case partition >= m.options.Partitions:
			return nil, nil, nil, fmt.Errorf("%w: %s:%d names partition %d, the options say %d partitions; use the count that the directory was written with",
				ErrPartitionCount, m.written.path, i+1, partition, m.options.Partitions)
		case !seen.has(id):
			unfinished[id] = true
			half = appendWrittenLine(half, partition, id)
		}
	}
	if number, id, found := strings.Cut(tornWritten, ":"); found {
		if partition, err := strconv.Atoi(number); err == nil && partition >= 0 && partition < m.options.Partitions {
			c.torn = append(c.torn, tornRemainder{tornKey{kind: tornLine, partition: partition}, id})
		}
	}
	c.chunks, c.ids, c.halfWritten = uint64(seen.len()), extent{}.extend(log), extent{}.extend(half)
	adoption.Chunks, adoption.HalfWritten = seen.len(), len(unfinished)
	m.recovery.Adopted = adoption
	return c, log, half, nil
}

// surveyFiles reads the partition files that are there.
func (m *Manager) surveyFiles(ctx context.Context, c *checkpoint, adoption *Adoption) error {
	names, err := m.fs.List(m.options.Dir)
	if err != nil {
		return fmt.Errorf("read directory %s: %w", m.options.Dir, err)
	}
	byPrefix := map[string]int{}
	for _, name := range names {
		prefix, partition, ok := parseFileName(name)
		if !ok || badPrefix(prefix) != "" {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		path := filepath.Join(m.options.Dir, name)
		if partition >= m.options.Partitions {
			return fmt.Errorf("%w: %s is partition %d, the options say %d partitions; use the count that the directory was written with",
				ErrPartitionCount, path, partition, m.options.Partitions)
		}
		whole, fragment, err := m.surveyFile(path)
		if err != nil {
			return err
		}
		at, known := byPrefix[prefix]
		if !known {
			at = len(c.families)
			byPrefix[prefix] = at
			c.families = append(c.families, familyExtent{prefix: prefix})
		}
		c.families[at].files = append(c.families[at].files, fileExtent{partition: partition, extent: whole, adopted: whole.size})
		if fragment != "" && whole.size > 0 {
			c.torn = append(c.torn, tornRemainder{tornKey{kind: tornRow, prefix: prefix, partition: partition}, fragment})
		}
		adoption.Files++
	}
	return nil
}

// maxAdoptedLine bounds a line without an end; a longer one means that the file
// is not made of lines.
const maxAdoptedLine = 16 << 20

// surveyFile reads one partition file, checks its header, makes it durable,
// and returns how far it consists of whole lines and what stands behind them.
func (m *Manager) surveyFile(path string) (whole extent, fragment string, err error) {
	file, err := m.fs.Open(path)
	if err != nil {
		return whole, "", fmt.Errorf("open %s: %w", path, err)
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return whole, "", fmt.Errorf("read %s: %w", path, err)
	}
	var rest []byte
	buffer := make([]byte, min(size, 1<<20))
	for at := int64(0); at < size; at += int64(len(buffer)) {
		buffer = buffer[:min(size-at, int64(len(buffer)))]
		if err := readFull(file, buffer, at); err != nil {
			return whole, "", fmt.Errorf("read %s: %w", path, err)
		}
		if at == 0 && !m.headerFits(buffer) {
			first, _, _ := bytes.Cut(buffer, []byte{'\n'})
			return whole, "", fmt.Errorf("%w: %s begins with %q, the options say %q; set Options.Header to the header that the directory was written with",
				ErrHeader, path, first[:min(len(first), maxFragment)], m.options.Header)
		}
		if end := bytes.LastIndexByte(buffer, '\n') + 1; end > 0 {
			whole = whole.extend(rest).extend(buffer[:end])
			rest = append(rest[:0], buffer[end:]...)
		} else {
			rest = append(rest, buffer...)
		}
		if len(rest) > maxAdoptedLine {
			return whole, "", &CorruptError{File: path, Offset: whole.size, Reason: fmt.Sprintf("a line has more than %d bytes", maxAdoptedLine)}
		}
	}
	if err := file.SyncData(); err != nil {
		return whole, "", fmt.Errorf("sync %s: %w", path, err)
	}
	return whole, string(rest), nil
}

// headerFits says whether a file that begins with data has the header, or died
// while it was written.
func (m *Manager) headerFits(data []byte) bool {
	header := []byte(m.options.Header + "\n")
	if m.options.Header == "" {
		return true
	}
	return bytes.HasPrefix(data, header) || bytes.HasPrefix(header, data)
}

// surveyLines reads a state file of the time before the library. A last line
// without an end is no line: the recovery that follows cuts it off.
func (m *Manager) surveyLines(name string, e *extent) (lines []string, fragment string, err error) {
	path := filepath.Join(m.options.StateDir, name)
	data, err := readWhole(m.fs, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("read %s: %w", path, err)
	}
	end := bytes.LastIndexByte(data, '\n') + 1
	*e = extent{}.extend(data[:end])
	for line := range strings.Lines(string(data[:end])) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			lines = append(lines, line)
		}
	}
	file, err := m.fs.Open(path)
	if err != nil {
		return nil, "", fmt.Errorf("open %s: %w", path, err)
	}
	defer file.Close()
	if err := file.SyncData(); err != nil {
		return nil, "", fmt.Errorf("sync %s: %w", path, err)
	}
	return lines, string(data[end:]), nil
}

// parseWrittenLine reads {partition}:{chunk id}.
func parseWrittenLine(line string) (partition int, id string, ok bool) {
	number, id, found := strings.Cut(line, ":")
	partition, err := strconv.Atoi(number)
	if !found || err != nil || partition < 0 || badID(id) != "" {
		return 0, "", false
	}
	return partition, id, true
}
