package partition

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
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

// start makes the journal of a directory that has none. What it records about
// files that are there already is found by reading alone, so that a death on
// the way changes nothing: creating the journal is the moment of adoption, and
// cutting off fragments is left to the recovery that follows.
func (m *Manager) start(ctx context.Context) (journalContents, error) {
	c, log, half, err := m.survey(ctx)
	if err != nil {
		return journalContents{}, err
	}
	if err := m.writeNew(idLogName, log); err != nil {
		return journalContents{}, err
	}
	if err := m.writeNew(halfWrittenName, half); err != nil {
		return journalContents{}, err
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

// writeNew writes a file of the state directory and syncs it; without data it
// makes none.
func (m *Manager) writeNew(name string, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	path := filepath.Join(m.options.StateDir, name)
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
	seen, log := adoption.takeIDs(processed)
	half, err = m.surveyWritten(written, seen, adoption)
	if err != nil {
		return nil, nil, nil, err
	}
	if number, id, found := strings.Cut(tornWritten, ":"); found {
		if partition, err := strconv.Atoi(number); err == nil && partition >= 0 && partition < m.options.Partitions {
			c.torn = append(c.torn, tornRemainder{tornKey{kind: tornLine, partition: partition}, id})
		}
	}
	c.chunks, c.ids, c.halfWritten = uint64(seen.len()), extent{}.extend(log), extent{}.extend(half)
	m.recovery.Adopted = adoption
	return c, log, half, nil
}

// takeIDs makes the id log of the lines of processed-chunks.txt.
func (a *Adoption) takeIDs(lines []string) (seen *memoryIDs, log []byte) {
	seen = newMemoryIDs()
	for i, id := range lines {
		switch {
		case id == "", seen.has(id):
		case badID(id) != "":
			a.Ignored = append(a.Ignored, fmt.Sprintf("%s:%d", processedName, i+1))
		default:
			seen.add(id)
			log = appendID(log, id)
		}
	}
	a.Chunks = seen.len()
	return seen, log
}

// surveyWritten lists what was written of chunks that are not processed.
func (m *Manager) surveyWritten(lines []string, processed *memoryIDs, adoption *Adoption) (half []byte, err error) {
	unfinished := newMemoryIDs()
	for i, line := range lines {
		partition, id, ok := parseWrittenLine(line)
		switch {
		case line == "":
		case !ok:
			adoption.Ignored = append(adoption.Ignored, fmt.Sprintf("%s:%d", writtenName, i+1))
		case partition >= m.options.Partitions:
			return nil, fmt.Errorf("%w: %s:%d names partition %d, the options say %d partitions; use the count that the directory was written with",
				ErrPartitionCount, m.written.path, i+1, partition, m.options.Partitions)
		case !processed.has(id):
			unfinished.add(id)
			half = appendWrittenLine(half, partition, id)
		}
	}
	adoption.HalfWritten = unfinished.len()
	return half, nil
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
		lines = append(lines, strings.TrimRight(line, "\r\n"))
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
