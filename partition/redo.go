package partition

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

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
