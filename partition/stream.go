package partition

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"slices"
)

// stream is a file that only grows. Its extent is what is committed; the bytes
// may still be on their way to the file.
type stream struct {
	extent
	path    string
	adopted int64 // bytes from before the library

	prefix    string // of a partition file, else ""
	partition int

	file    File   // nil while closed
	used    uint64 // when the handle was last used, for eviction
	dirty   bool   // written since the last sync, or since a settlement took it over
	held    bool   // by a settlement, which will sync it
	present bool   // known to be in the directory
	listed  bool   // to be named by checkpoints

	pieces []piece // what the group that is being built adds
}

// piece is what one chunk adds to a stream in the group that is being built.
type piece struct {
	chunk int
	data  []byte
}

// openStream returns the handle of a stream, making the file when it is
// missing, and closes the one that was used longest ago when there are too
// many.
func (m *Manager) openStream(s *stream) (File, error) {
	m.clock++
	s.used = m.clock
	if s.file != nil {
		return s.file, nil
	}
	if err := m.evict(); err != nil {
		return nil, err
	}
	file, err := m.fs.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = m.fs.Create(s.path)
		m.namesUnsynced = true
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", s.path, err)
	}
	s.file, s.present = file, true
	m.opened = append(m.opened, s)
	return file, nil
}

// evict makes room for one more handle. What it closes is synced first: a
// write error that the kernel finds later would have no handle to be told to.
func (m *Manager) evict() error {
	if len(m.opened) < m.options.OpenFiles {
		return nil
	}
	oldest := 0
	for i, s := range m.opened {
		if s.used < m.opened[oldest].used {
			oldest = i
		}
	}
	s := m.opened[oldest]
	if s.held {
		if err := m.join(); err != nil {
			return err
		}
	}
	if err := m.syncStream(s); err != nil {
		return err
	}
	err := s.file.Close()
	s.file = nil
	m.opened[oldest] = m.opened[len(m.opened)-1]
	m.opened = m.opened[:len(m.opened)-1]
	if err != nil {
		return m.stop(fmt.Errorf("close %s: %w", s.path, err))
	}
	return nil
}

// syncStream makes what was written to a stream durable. After a failure
// nothing is known about the file, so the manager stops: a second fsync would
// succeed without having written the pages that the first one gave up.
func (m *Manager) syncStream(s *stream) error {
	if !s.dirty {
		return nil
	}
	if _, err := m.openStream(s); err != nil {
		return err
	}
	if err := s.file.SyncData(); err != nil {
		return m.stop(fmt.Errorf("sync %s: %w", s.path, err))
	}
	s.dirty = false
	return nil
}

// writeStream writes bytes at an offset of a stream. Doing it again with the
// same bytes is harmless.
func (m *Manager) writeStream(s *stream, data []byte, offset int64) error {
	if len(data) == 0 {
		return nil
	}
	file, err := m.openStream(s)
	if err != nil {
		return err
	}
	s.dirty = true
	if err := writeFull(file, data, offset); err != nil {
		return fmt.Errorf("write %s at offset %d: %w", s.path, offset, err)
	}
	return nil
}

// extend is the extent with data added.
func (e extent) extend(data []byte) extent {
	return extent{size: e.size + int64(len(data)), checksum: crc32.Update(e.checksum, castagnoli, data)}
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
