package partition

import (
	"cmp"
	"fmt"
	"slices"
)

// checkpoint makes everything that the journal has promised durable in the
// files themselves, and then begins the other slot with the new extents. The
// order is the point: data, ids and names first, the record that names them
// last.
func (m *Manager) checkpoint() error {
	if err := m.join(); err != nil {
		return err
	}
	if err := m.writeStream(m.ids, m.unsavedIDs, m.ids.size); err != nil {
		return fmt.Errorf("%w; the journal holds the ids, nothing is lost", err)
	}
	for _, s := range slices.Clone(m.opened) {
		if err := m.syncStream(s); err != nil {
			return err
		}
	}
	if err := m.syncNames(); err != nil {
		return err
	}
	if err := m.journal.settle(m); err != nil {
		return err
	}
	snapshot := m.snapshot()
	if err := m.journal.begin(m, snapshot.encode(startRecord(nil)), false); err != nil {
		return err
	}
	m.ids.extent = snapshot.ids
	m.savedCount = snapshot.chunks
	m.unsavedIDs, m.unsavedCount = m.unsavedIDs[:0], 0
	m.seen.freeze(m.ids.extent)
	m.makeSegment()
	return nil
}

// syncNames makes the names of new files durable, before a record names them.
func (m *Manager) syncNames() error {
	if !m.namesUnsynced {
		return nil
	}
	for _, dir := range []string{m.options.Dir, m.options.StateDir} {
		if err := m.fs.SyncDir(dir); err != nil {
			return m.stop(fmt.Errorf("sync directory %s: %w", dir, err))
		}
	}
	m.namesUnsynced = false
	return nil
}

// snapshot is what a checkpoint records, including ids that were just saved.
func (m *Manager) snapshot() *checkpoint {
	c := &checkpoint{
		partitions:       m.options.Partitions,
		header:           m.options.Header,
		durability:       m.options.Durability,
		chunks:           m.savedCount + m.unsavedCount,
		ids:              m.ids.extend(m.unsavedIDs),
		processed:        m.processed.extent,
		written:          m.written.extent,
		adoptedProcessed: m.processed.adopted,
		adoptedWritten:   m.written.adopted,
		halfWritten:      m.adoption.recorded(),
		torn:             m.adoption.torn,
	}
	for _, f := range m.families {
		entry := familyExtent{prefix: f.prefix}
		for _, s := range f.streams {
			if s != nil && s.listed {
				entry.files = append(entry.files, fileExtent{partition: s.partition, extent: s.extent, adopted: s.adopted})
			}
		}
		if len(entry.files) > 0 {
			c.families = append(c.families, entry)
		}
	}
	slices.SortFunc(c.families, func(a, b familyExtent) int { return cmp.Compare(a.prefix, b.prefix) })
	return c
}
