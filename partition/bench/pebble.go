package main

import (
	"encoding/binary"
	"errors"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/google/uuid"
)

// pebbleDB keeps what bolt keeps, in one LSM tree.
func pebbleDB() contender {
	return contender{
		name: namePebble,
		what: "github.com/cockroachdb/pebble/v2, one batch a group; power: Sync; process: NoSync, which promises less, since a batch may still be in the process's memory when it is killed",
		open: openPebble, read: readPebble,
	}
}

// The first byte of keys.
const (
	pebbleID   = 'i'
	pebbleRows = 'r'
	pebbleNext = 'n' // the number of groups, in one key
)

type pebbleStore struct {
	db         *pebble.DB
	write      *pebble.WriteOptions
	partitions int
	number     uint64
	slots      []blocks
	group      grouped
	inGroup    map[uuid.UUID]struct{}
}

func pebbleOptions() *pebble.Options {
	o := &pebble.Options{
		MemTableSize: 64 << 20, // as much as the library's journal
		Logger:       quiet{},
	}
	o.Levels[0].FilterPolicy = bloom.FilterPolicy(10) // for ids that are new
	return o
}

// quiet says nothing of what is going on, and dies of what cannot.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	pebble.DefaultLogger.Fatalf(format, args...)
}

func openPebble(dir string, c cell, inFlight int) (store, error) {
	db, err := pebble.Open(filepath.Join(dir, "pebble"), pebbleOptions())
	if err != nil {
		return nil, err
	}
	s := &pebbleStore{db: db, write: pebble.Sync, partitions: c.partitions, slots: make([]blocks, inFlight), inGroup: map[uuid.UUID]struct{}{}}
	if c.durability == process {
		s.write = pebble.NoSync
	}
	next, closer, err := db.Get([]byte{pebbleNext})
	if errors.Is(err, pebble.ErrNotFound) {
		return s, nil
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.number = binary.BigEndian.Uint64(next)
	return s, closer.Close()
}

func (s *pebbleStore) prepare(slot int, d *data, c chunk) { s.slots[slot].split(d, c, s.partitions) }

func (s *pebbleStore) commit(slots []int) (duplicates int, err error) {
	batch := s.db.NewBatch()
	defer func() { err = errors.Join(err, batch.Close()) }()
	s.group.reset(s.partitions)
	clear(s.inGroup)
	for _, slot := range slots {
		id := uuid.MustParse(s.slots[slot].id)
		key := append([]byte{pebbleID}, id[:]...)
		_, repeated := s.inGroup[id]
		there, err := s.has(key)
		if err != nil {
			return 0, err
		}
		if there || repeated {
			duplicates++
			continue
		}
		s.inGroup[id] = struct{}{}
		if err := batch.Set(key, nil, nil); err != nil {
			return 0, err
		}
		s.group.add(&s.slots[slot])
	}
	for _, p := range s.group.touched {
		if err := batch.Set(append([]byte{pebbleRows}, rowsKey(p, s.number)...), s.group.data[p], nil); err != nil {
			return 0, err
		}
	}
	s.number++
	if err := batch.Set([]byte{pebbleNext}, binary.BigEndian.AppendUint64(nil, s.number), nil); err != nil {
		return 0, err
	}
	return duplicates, batch.Commit(s.write)
}

func (s *pebbleStore) has(key []byte) (bool, error) {
	_, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, closer.Close()
}

func (s *pebbleStore) close() error { return s.db.Close() }

func readPebble(dir string, _ cell, f func(partition int, rows []byte) error) (err error) {
	o := pebbleOptions()
	o.ReadOnly = true
	db, err := pebble.Open(filepath.Join(dir, "pebble"), o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	all, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{pebbleRows}, UpperBound: []byte{pebbleRows + 1}})
	if err != nil {
		return err
	}
	for all.First(); all.Valid(); all.Next() {
		if err := f(int(binary.BigEndian.Uint16(all.Key()[1:])), all.Value()); err != nil {
			return errors.Join(err, all.Close())
		}
	}
	return errors.Join(all.Error(), all.Close())
}
