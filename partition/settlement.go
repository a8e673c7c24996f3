package partition

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// settlement is what is left to do of a checkpoint once its slot was begun: to
// bring everything that stands in the other slot into the files for good. It
// goes on beside the writes that follow, on handles that nobody closes
// meanwhile.
type settlement struct {
	ids      []byte // entries of the id log
	idsStart int64
	idLog    *stream
	streams  []*stream // to be synced
	names    bool      // new files are among them
	slot     *slot     // that was begun; nil when it is synced already
	free     *slot     // the other one, which gets freeSize bytes
	freeSize int64
	logged   extent // the id log, afterwards

	wait func()
	done atomic.Bool
	err  error
	lost bool // a sync failed
}

// launch does work beside the caller. wait comes back when it is over.
func (m *Manager) launch(work func()) (wait func()) {
	if m.options.launch != nil {
		return m.options.launch(work)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		work()
	}()
	return func() { <-done }
}

// turnOver makes room in the journal: it begins the other slot with a pending
// checkpoint, and leaves the rest of it to a settlement. When the one before is
// not over yet, the disk is slower than the writer, who has to wait.
func (m *Manager) turnOver() error {
	if err := m.join(); err != nil {
		return err
	}
	if err := m.journal.settle(m); err != nil {
		return err
	}
	if _, err := m.openStream(m.ids); err != nil {
		return err
	}
	snapshot := m.snapshot()
	snapshot.pending = true
	free, freeSize := m.journal.current, m.journal.nextSize()
	if err := m.journal.begin(m, snapshot.encode(startRecord(nil)), true); err != nil {
		return err
	}
	s := &settlement{
		ids: m.unsavedIDs, idsStart: m.ids.size, idLog: m.ids, names: m.namesUnsynced, logged: snapshot.ids,
		free: &m.journal.slots[free], freeSize: freeSize,
	}
	if m.options.Durability != Power {
		s.slot = &m.journal.slots[m.journal.current]
	}
	for _, stream := range m.opened {
		if stream.dirty || stream == m.ids {
			s.streams = append(s.streams, stream)
			stream.dirty, stream.held = false, true
		}
	}
	m.namesUnsynced = false
	m.ids.extent, m.savedCount = snapshot.ids, snapshot.chunks
	m.unsavedIDs, m.spareIDs, m.unsavedCount = m.spareIDs[:0], nil, 0
	m.seen.freeze(m.ids.extent)
	m.settlement = s
	s.wait = m.launch(func() { m.settle(s) })
	return nil
}

// settle does the work of a settlement. Doing it again is harmless.
func (m *Manager) settle(s *settlement) {
	s.err = m.trySettle(s)
	s.done.Store(true)
}

func (m *Manager) trySettle(s *settlement) error {
	if err := writeFull(s.idLog.file, s.ids, s.idsStart); err != nil {
		return fmt.Errorf("write %s at offset %d: %w; the journal holds the ids, nothing is lost", s.idLog.path, s.idsStart, err)
	}
	err := m.syncAll(s.streams)
	if err == nil && s.names {
		for _, dir := range []string{m.options.Dir, m.options.StateDir} {
			if err = m.fs.SyncDir(dir); err != nil {
				err = fmt.Errorf("sync directory %s: %w", dir, err)
				break
			}
		}
	}
	if err == nil && s.slot != nil {
		if err = s.slot.file.SyncData(); err != nil {
			err = fmt.Errorf("sync journal: %w", err)
		}
	}
	if err != nil {
		s.lost = true
		return err
	}
	// The next slot is made longer in time; where that fails, it is not.
	if s.free.size < s.freeSize && fillZeros(s.free.file, s.free.size, s.freeSize) == nil && s.free.file.SyncData() == nil {
		s.free.size = s.freeSize
	}
	return nil
}

// syncers is how many files are synced at once: file systems take the syncs that
// come together for one.
const syncers = 8

// syncAll syncs the streams. All are tried.
func (m *Manager) syncAll(streams []*stream) error {
	failures := make([]error, len(streams))
	syncOne := func(i int) {
		if err := streams[i].file.SyncData(); err != nil {
			failures[i] = fmt.Errorf("sync %s: %w", streams[i].path, err)
		}
	}
	if m.options.launch != nil {
		for i := range streams {
			syncOne(i)
		}
		return errors.Join(failures...)
	}
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(syncers, len(streams)) {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(streams) {
					return
				}
				syncOne(i)
			}
		})
	}
	all.Wait()
	return errors.Join(failures...)
}

// join waits for the settlement, if there is one, and takes its end over. What
// failed for a reason that may have gone is tried once more.
func (m *Manager) join() error {
	s := m.settlement
	if s == nil {
		return nil
	}
	s.wait()
	if s.err != nil && !s.lost {
		m.settle(s)
	}
	return m.collect()
}

// collect takes the end of the settlement over, if it has come.
func (m *Manager) collect() error {
	s := m.settlement
	if s == nil || !s.done.Load() {
		return nil
	}
	if s.lost {
		return m.stop(s.err)
	}
	if s.err != nil {
		return s.err
	}
	for _, stream := range s.streams {
		stream.held = false
	}
	m.spareIDs = s.ids
	m.settlement = nil
	m.makeSegment()
	return nil
}

// makeSegment makes a segment of the index, unless one is being made.
func (m *Manager) makeSegment() {
	d := &m.seen
	if m.options.Sequential {
		d.makeSegment(m.ids.extent)
		return
	}
	if !d.making.CompareAndSwap(false, true) {
		return
	}
	d.wait()
	logged := m.ids.extent
	d.wait = m.launch(func() {
		d.makeSegment(logged)
		d.making.Store(false)
	})
}
