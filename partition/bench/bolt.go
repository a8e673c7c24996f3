package main

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"
)

// bolt keeps rows in one bucket, a value for a partition's rows of a group, in
// their order, and the ids in another.
func bolt() contender {
	return contender{
		name: nameBolt,
		what: "go.etcd.io/bbolt, one transaction a group; free list not synced; process: NoSync",
		open: openBolt, read: readBolt,
	}
}

var (
	boltRows = []byte("rows")
	boltIDs  = []byte("ids")
)

type boltStore struct {
	db         *bbolt.DB
	partitions int
	slots      []blocks
	group      grouped
}

func openBolt(dir string, c cell, inFlight int) (store, error) {
	db, err := bbolt.Open(filepath.Join(dir, "bolt.db"), 0o644, &bbolt.Options{
		FreelistType: bbolt.FreelistMapType, NoFreelistSync: true, NoSync: c.durability == process,
	})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, first := tx.CreateBucketIfNotExists(boltRows)
		_, second := tx.CreateBucketIfNotExists(boltIDs)
		return errors.Join(first, second)
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &boltStore{db: db, partitions: c.partitions, slots: make([]blocks, inFlight)}, nil
}

func (s *boltStore) prepare(slot int, d *data, c chunk) { s.slots[slot].split(d, c, s.partitions) }

func (s *boltStore) commit(slots []int) (duplicates int, err error) {
	err = s.db.Update(func(tx *bbolt.Tx) error {
		ids, rows := tx.Bucket(boltIDs), tx.Bucket(boltRows)
		s.group.reset(s.partitions)
		for _, slot := range slots {
			id := uuid.MustParse(s.slots[slot].id)
			if ids.Get(id[:]) != nil {
				duplicates++
				continue
			}
			if err := ids.Put(id[:], nil); err != nil {
				return err
			}
			s.group.add(&s.slots[slot])
		}
		number, err := rows.NextSequence()
		if err != nil {
			return err
		}
		for _, p := range s.group.touched {
			if err := rows.Put(rowsKey(p, number), s.group.data[p]); err != nil {
				return err
			}
		}
		return nil
	})
	return duplicates, err
}

// rowsKey sorts the rows of all groups by partition, and by group in each.
func rowsKey(partition int, group uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint16(nil, uint16(partition)), group)
}

func (s *boltStore) close() error { return s.db.Close() }

func readBolt(dir string, _ cell, f func(partition int, rows []byte) error) error {
	name := filepath.Join(dir, "bolt.db")
	if _, err := os.Stat(name); err != nil {
		return err
	}
	db, err := bbolt.Open(name, 0o644, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(boltRows).ForEach(func(key, rows []byte) error {
			return f(int(binary.BigEndian.Uint16(key)), rows)
		})
	})
	return errors.Join(err, db.Close())
}
