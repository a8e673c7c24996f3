package partition

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
)

// dedupe knows every chunk that was written: the latest ones from memory, all
// others from the index of the id log. Its memory does not grow with the
// chunks but for the index's filter, at 10 bits each.
type dedupe struct {
	mu     sync.RWMutex
	recent *memoryIDs // that no segment has, less those that are frozen
	// frozen are ids that a segment is being made of. They stand in the id log
	// behind the index, up to frozenEnd.
	frozen    *memoryIDs
	frozenEnd extent
	index     *index

	enough  int         // ids that a segment is made of
	making  atomic.Bool // a segment
	wait    func()      // until it is made
	abandon atomic.Bool
	failure atomic.Pointer[error] // of the last attempt to make a segment
}

func (d *dedupe) has(id idKey) (bool, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.recent.hasKey(id) || d.frozen.hasKey(id) {
		return true, nil
	}
	return d.index.has(id.text)
}

func (d *dedupe) add(ids []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range ids {
		d.recent.add(id)
	}
}

func (d *dedupe) addKeys(ids []idKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range ids {
		d.recent.addKey(id)
	}
}

// freeze sets the ids up to here apart for a segment, when they are enough and
// no others are. logged is where the log will end when they are all in it.
func (d *dedupe) freeze(logged extent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.frozen == nil && d.recent.len() >= d.enough {
		d.frozen, d.recent, d.frozenEnd = d.recent, newMemoryIDs(), logged
	}
}

// makeSegment makes a segment of what is frozen, if anything is and it is durable in
// the log. Nothing depends on its success: until then the ids stay in memory,
// and the next checkpoint tries again.
func (d *dedupe) makeSegment(logged extent) {
	if d.frozen == nil || d.frozenEnd.size > logged.size || d.abandon.Load() {
		return
	}
	longer, replaced, err := d.index.extend(d.frozenEnd, &d.abandon)
	d.failure.Store(&err)
	if err != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.index, d.frozen = longer, nil
	for _, s := range replaced {
		s.file.Close()
	}
}

// err is why the last segment could not be made.
func (d *dedupe) err() error {
	failure := d.failure.Load()
	if failure == nil || *failure == nil || errors.Is(*failure, errAbandoned) {
		return nil
	}
	return fmt.Errorf("index chunk ids: %w; they stay in memory, nothing is lost", *failure)
}

// close gives the files of the index free. Ids that only they have cannot be
// looked up any more, which has then gives as an error.
func (d *dedupe) close() error {
	d.abandon.Store(true)
	d.wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.index.close()
}

// openIDs opens the index and reads what the log holds behind it. Of a log that
// was never indexed it makes the index, once.
func (m *Manager) openIDs() error {
	d := &m.seen
	none := d.index
	found, err := openIndex(m.fs, m.options.StateDir, m.ids.path, m.ids.extent)
	if err != nil {
		return err
	}
	d.index = found
	err = m.readRecent()
	if errors.Is(err, ErrCorrupt) && len(d.index.segments) > 0 {
		// Segments of another log, or of this one before it was damaged.
		found.close()
		d.index, d.recent = none, newMemoryIDs()
		err = m.readRecent()
	}
	return err
}

// readRecent reads the log behind the index.
func (m *Manager) readRecent() error {
	d := &m.seen
	log, err := m.openLog()
	if err != nil || log == nil {
		return err
	}
	defer log.Close()
	if left := m.savedCount - d.index.count(); left > 4*uint64(d.enough) && left <= m.savedCount {
		if err := m.indexLog(log); err != nil {
			return err
		}
	}
	tail := newLogReader(log, m.ids.path, d.index.end())
	if err := tail.each(m.ids.extent, func(id []byte, _ int64) { d.recent.add(string(id)) }); err != nil {
		return err
	}
	if count := d.index.count() + uint64(d.recent.len()); count != m.savedCount {
		return &CorruptError{File: m.ids.path, Offset: 0, Reason: fmt.Sprintf("it holds %d chunk ids, recorded are %d; %s", count, m.savedCount, corruptIDsHint)}
	}
	return nil
}

// openLog opens the id log, which must be as long as it is recorded; nil when
// nothing is.
func (m *Manager) openLog() (File, error) {
	if m.ids.size == 0 {
		return nil, nil
	}
	file, err := m.fs.OpenRead(m.ids.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &ShortFileError{File: m.ids.path, Recorded: m.ids.size}
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", m.ids.path, err)
	}
	size, err := file.Size()
	if err == nil && size < m.ids.size {
		err = &ShortFileError{File: m.ids.path, Recorded: m.ids.size, Actual: size}
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("read %s: %w", m.ids.path, err)
	}
	return file, nil
}

// indexLog makes segments of a log that was written before there was an index,
// or whose index was lost, so many ids at once that it takes little memory.
// What is left is less than a segment is made of.
func (m *Manager) indexLog(log File) error {
	d := &m.seen
	whole := newLogReader(log, m.ids.path, d.index.end())
	if err := whole.each(m.ids.extent, func([]byte, int64) {}); err != nil {
		return err
	}
	for left := m.savedCount - d.index.count(); left >= uint64(d.enough); left = m.savedCount - d.index.count() {
		part := newLogReader(log, m.ids.path, d.index.end())
		for range min(left, 8*uint64(d.enough)) {
			if _, err := part.next(m.ids.size); err != nil {
				return err
			}
		}
		longer, replaced, err := d.index.extend(part.at, &d.abandon)
		if err != nil {
			return fmt.Errorf("index chunk ids: %w", err)
		}
		for _, s := range replaced {
			s.file.Close()
		}
		d.index = longer
	}
	return nil
}
