package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// stateFile is what people write by hand: rows are appended to their files,
// each file is synced, and then a file with the state, which is how long every
// file is and which chunks were processed, takes the place of the last one by
// rename. What a death left behind those lengths is cut off.
func stateFile() contender {
	return contender{
		name: nameStateFile,
		what: "rows appended and synced file by file, then lengths and processed chunks: written to a temporary file, synced, renamed, directory synced",
		open: func(dir string, c cell, inFlight int) (store, error) { return openStateFile(dir, c, inFlight, false) },
		read: readPartitionFiles(plainFile),
	}
}

// idLog is the same by somebody who has seen that it gets slower with every
// chunk: the ids go to a file that is appended to, and its length into the
// state.
func idLog() contender {
	return contender{
		name: nameIDLog,
		what: "the same, but the ids are appended to a log that is synced too, so that the state stays small",
		open: func(dir string, c cell, inFlight int) (store, error) { return openStateFile(dir, c, inFlight, true) },
		read: readPartitionFiles(plainFile),
	}
}

func plainFile(partition int) string { return fmt.Sprintf("partition-%03d.csv", partition) }

const (
	stateName = "state"
	idsName   = "processed-chunks"
	idBytes   = 36
)

// stateFileStore has the log of ids, where there is one, behind the
// partitions' in files and sizes.
type stateFileStore struct {
	dir        string
	partitions int
	sync       bool
	folder     *os.File
	files      []*os.File
	sizes      []int64
	seen       map[[idBytes]byte]struct{}
	slots      []blocks
	group      grouped
	ids        []byte // lines: with a log those of the group, else all
	state      []byte
}

func openStateFile(dir string, c cell, inFlight int, log bool) (store, error) {
	files := c.partitions
	if log {
		files++
	}
	s := &stateFileStore{
		dir: dir, partitions: c.partitions, sync: c.durability == power,
		sizes: make([]int64, files), seen: map[[idBytes]byte]struct{}{}, slots: make([]blocks, inFlight),
	}
	if err := s.recover(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stateFileStore) log() bool { return len(s.sizes) > s.partitions }

func (s *stateFileStore) recover() error {
	var err error
	if s.folder, err = os.Open(s.dir); err != nil {
		return err
	}
	state, err := os.ReadFile(filepath.Join(s.dir, stateName))
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for i := range s.sizes {
		if len(state) > 0 {
			s.sizes[i], state = int64(binary.LittleEndian.Uint64(state)), state[8:]
		}
		name := idsName
		if i < s.partitions {
			name = plainFile(i)
		}
		file, err := os.OpenFile(filepath.Join(s.dir, name), os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		s.files = append(s.files, file)
		if err := file.Truncate(s.sizes[i]); err != nil {
			return err
		}
		if err := s.synced(file); err != nil {
			return err
		}
	}
	if err := s.synced(s.folder); err != nil {
		return err
	}
	ids := state
	if s.log() {
		if ids, err = os.ReadFile(filepath.Join(s.dir, idsName)); err != nil {
			return err
		}
	} else {
		s.ids = ids
	}
	for line := range bytes.Lines(ids) {
		s.seen[[idBytes]byte(line)] = struct{}{}
	}
	return nil
}

// synced syncs a file where power may be lost.
func (s *stateFileStore) synced(f *os.File) error {
	if !s.sync {
		return nil
	}
	return fdatasync(f)
}

func (s *stateFileStore) prepare(slot int, d *data, c chunk) {
	s.slots[slot].split(d, c, s.partitions)
}

func (s *stateFileStore) commit(slots []int) (duplicates int, err error) {
	s.group.reset(s.partitions)
	if s.log() {
		s.ids = s.ids[:0]
	}
	for _, slot := range slots {
		id := [idBytes]byte([]byte(s.slots[slot].id))
		if _, found := s.seen[id]; found {
			duplicates++
			continue
		}
		s.seen[id] = struct{}{}
		s.ids = append(append(s.ids, id[:]...), '\n')
		s.group.add(&s.slots[slot])
	}
	if duplicates == len(slots) {
		return duplicates, nil
	}
	for _, p := range s.group.touched {
		if err := s.append(p, s.group.data[p]); err != nil {
			return 0, err
		}
	}
	if s.log() {
		if err := s.append(s.partitions, s.ids); err != nil {
			return 0, err
		}
	}
	return duplicates, s.replaceState()
}

func (s *stateFileStore) append(file int, data []byte) error {
	if _, err := s.files[file].WriteAt(data, s.sizes[file]); err != nil {
		return err
	}
	s.sizes[file] += int64(len(data))
	return s.synced(s.files[file])
}

func (s *stateFileStore) replaceState() error {
	s.state = s.state[:0]
	for _, size := range s.sizes {
		s.state = binary.LittleEndian.AppendUint64(s.state, uint64(size))
	}
	if !s.log() {
		s.state = append(s.state, s.ids...)
	}
	name := filepath.Join(s.dir, stateName)
	file, err := os.Create(name + ".tmp")
	if err != nil {
		return err
	}
	_, err = file.Write(s.state)
	if err == nil {
		err = s.synced(file)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return err
	}
	return s.synced(s.folder)
}

func (s *stateFileStore) close() error {
	var failures []error
	for _, file := range append(s.files, s.folder) {
		if file != nil {
			failures = append(failures, file.Close())
		}
	}
	return errors.Join(failures...)
}
