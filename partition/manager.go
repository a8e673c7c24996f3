package partition

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
)

// Names in the state directory.
const (
	processedName   = "processed-chunks.txt"         // a chunk id a line, for people
	writtenName     = "written-partition-chunks.txt" // {partition}:{chunk id} a line, for people
	idLogName       = "chunk-ids.log"
	halfWrittenName = "adopted-partition-chunks"
	lockName        = "writer.lock"
)

// Manager writes chunks to the partition files of one directory. Its methods
// may be called from several goroutines; writes happen one after the other.
type Manager struct {
	options Options
	fs      FS
	locks   []io.Closer

	mu            sync.Mutex
	families      map[string]*family // by prefix
	processed     *stream
	written       *stream
	ids           *stream
	unsavedIDs    []byte // id log entries since the last checkpoint
	spareIDs      []byte // memory for the next ones
	settlement    *settlement
	unsavedCount  uint64
	savedCount    uint64
	opened        []*stream // partition and state files with a handle
	clock         uint64
	namesUnsynced bool // a file was created since the directories were synced
	journal       journal
	adoption      adoptionState
	plan          plan
	unapplied     bool // plan is committed, but not yet known to be wholly in the files
	stopping      sync.Mutex
	failure       error // sticky
	recovery      Recovery
	seen          dedupe
}

// family is the files of one prefix.
type family struct {
	prefix  string
	streams []*stream // by partition; nil where there is no file
}

// Result says what Write did with one chunk.
type Result struct {
	ID string
	// Duplicate: the chunk had been written before, by an earlier group or
	// earlier in this one, and was not written again.
	Duplicate bool
	// Partitions that the chunk's rows went to, ascending; empty for a
	// duplicate.
	Partitions []int
	// Skipped are partitions whose rows already stood in a directory that was
	// adopted; the chunk had been half written before the library came.
	Skipped []int
}

// Open recovers the directory and returns the only manager that may write to
// it. It makes missing directories, and adopts a directory that has partition
// and state files but no journal.
//
// Errors: ErrLocked, ErrPartitionCount, ErrHeader, ErrShortFile, ErrCorrupt,
// ErrUnrecorded, or what the file system said. Open is safe to try again; it
// cuts nothing that was acknowledged.
func Open(ctx context.Context, o Options) (*Manager, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	m := newManager(o)
	if err := m.open(ctx); err != nil {
		m.release()
		return nil, fmt.Errorf("open partition writer: %w", err)
	}
	return m, nil
}

func newManager(o Options) *Manager {
	state := func(name string) *stream { return &stream{path: filepath.Join(o.StateDir, name)} }
	return &Manager{
		options:   o,
		fs:        o.FS,
		families:  map[string]*family{},
		processed: state(processedName),
		written:   state(writtenName),
		ids:       state(idLogName),
		seen: dedupe{
			recent: newMemoryIDs(), enough: cmp.Or(o.indexIDs, indexIDs), wait: func() {},
			index: &index{fs: o.FS, dir: o.StateDir, log: filepath.Join(o.StateDir, idLogName)},
		},
		journal: journal{fs: o.FS, dir: o.StateDir, durability: o.Durability, limit: o.JournalBytes, sequential: o.Sequential},
	}
}

func (m *Manager) open(ctx context.Context) error {
	for _, dir := range []string{m.options.StateDir, m.options.Dir} {
		if err := makeDir(m.fs, dir); err != nil {
			return err
		}
	}
	if err := m.lock(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	contents, err := loadJournal(m.fs, m.options.StateDir)
	if err != nil {
		return err
	}
	if !contents.found {
		if contents, err = m.start(ctx); err != nil {
			return err
		}
	}
	return m.recover(ctx, contents)
}

// lock takes the state directory's lock file and the partition directory
// itself, so that two managers with different state directories cannot write
// to the same files either.
func (m *Manager) lock() error {
	for _, name := range []string{filepath.Join(m.options.StateDir, lockName), m.options.Dir} {
		held, err := m.fs.Lock(name)
		if errors.Is(err, ErrLocked) {
			return fmt.Errorf("%w; stop the other writer first", err)
		}
		if err != nil {
			return fmt.Errorf("lock %s: %w", name, err)
		}
		m.locks = append(m.locks, held)
	}
	return nil
}

// Recovery tells what Open found and did.
func (m *Manager) Recovery() Recovery { return m.recovery }

// Written says whether a chunk's rows are in the partition files, written by
// this manager, by an earlier one, or by an adopted directory's writer. The
// error is that of reading the index, ErrCorrupt where it is damaged.
func (m *Manager) Written(id string) (bool, error) { return m.seen.has(keyOf(id)) }

// Write commits a group of chunks with one sync and puts their rows into the
// partition files. After it returns nil, the rows of every chunk are visible
// there and as durable as Options.Durability says. Duplicates are never
// written again; the results stand in the group's order. ctx is looked at
// before the group is committed; from there on the group cannot be called back.
//
// After an error, whether the group was committed is unknown, and each of its
// chunks is there as a whole or not at all: give them to Write again, now or
// after another Open, and those that are there come back as duplicates. A
// *ChunkError means that nothing was written. An error that is not ErrFailed
// (a full disk, say) leaves the manager usable: a later Write first finishes
// what was committed. After ErrFailed only Close and Open help.
func (m *Manager) Write(ctx context.Context, group []*Chunk) ([]Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(ctx); err != nil {
		return nil, fmt.Errorf("write group of %d chunks: %w", len(group), err)
	}
	for _, c := range group {
		if err := c.check(m.options.Partitions); err != nil {
			return nil, fmt.Errorf("write group of %d chunks: %w", len(group), err)
		}
	}
	results, err := m.planGroup(group)
	if err == nil && len(m.plan.ids) > 0 {
		err = m.commit()
	}
	if err != nil {
		return nil, fmt.Errorf("write group of %d chunks: %w", len(group), err)
	}
	return results, nil
}

// ready says whether the manager can take work, and finishes a group that was
// committed but could not be written to the files.
func (m *Manager) ready(ctx context.Context) error {
	if m.failure != nil {
		return m.failure
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := m.collect(); m.failure != nil {
		return err
	}
	return m.apply()
}

// commit journals the planned group and writes it to the files.
func (m *Manager) commit() error {
	if !m.journal.room(len(m.plan.record)) {
		makeRoom := m.turnOver
		if m.options.Sequential {
			makeRoom = m.checkpoint
		}
		if err := makeRoom(); err != nil {
			return err
		}
	}
	var beside func() (wait func())
	if m.writesBeside() {
		beside = m.writeBeside
	}
	if err := m.journal.append(m, m.plan.record, beside); err != nil {
		return err
	}
	m.advance()
	return m.apply()
}

// Checkpoint syncs the partition files and empties the journal. Write does it
// by itself when the journal is full; a worker may do it when it is idle, to
// make its next start quick.
func (m *Manager) Checkpoint(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.ready(ctx)
	if err == nil {
		err = cmp.Or(m.checkpoint(), m.seen.err())
	}
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

// Close makes a checkpoint and gives the directory free. The directory is free
// even when it returns an error; what was acknowledged is then in the journal.
// Closing twice does nothing.
func (m *Manager) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if errors.Is(m.failure, ErrClosed) {
		return nil
	}
	err := m.ready(context.Background())
	if err == nil && (m.journal.groups > 0 || m.journal.pending) {
		err = cmp.Or(m.checkpoint(), m.seen.err())
	}
	m.failure = ErrClosed
	err = errors.Join(err, m.release())
	if err != nil {
		return fmt.Errorf("close partition writer: %w", err)
	}
	return nil
}

// stop makes every later call fail.
func (m *Manager) stop(cause error) error {
	m.stopping.Lock()
	defer m.stopping.Unlock()
	m.failure = fmt.Errorf("%w: %w", ErrFailed, cause)
	return m.failure
}

// release closes every file and drops the locks, the locks last.
func (m *Manager) release() error {
	var failures []error
	if m.settlement != nil {
		m.settlement.wait()
	}
	for _, s := range m.opened {
		failures = append(failures, s.file.Close())
		s.file = nil
	}
	m.opened = nil
	for i := range m.journal.slots {
		if file := m.journal.slots[i].file; file != nil {
			failures = append(failures, file.Close())
			m.journal.slots[i].file = nil
		}
	}
	failures = append(failures, m.seen.close())
	for _, held := range slices.Backward(m.locks) {
		failures = append(failures, held.Close())
	}
	m.locks = nil
	return errors.Join(failures...)
}

// stream finds or makes the stream of a partition file. Making it touches no
// disk.
func (m *Manager) stream(prefix string, partition int) *stream {
	return m.streamOf(m.family(prefix), partition)
}

// family finds or makes the family of a prefix.
func (m *Manager) family(prefix string) *family {
	f := m.families[prefix]
	if f == nil {
		f = &family{prefix: prefix, streams: make([]*stream, m.options.Partitions)}
		m.families[prefix] = f
	}
	return f
}

func (m *Manager) streamOf(f *family, partition int) *stream {
	s := f.streams[partition]
	if s == nil {
		s = &stream{path: filepath.Join(m.options.Dir, fileName(f.prefix, partition)), prefix: f.prefix, partition: partition}
		f.streams[partition] = s
	}
	return s
}
