package main

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
)

// plainAppend promises nothing: rows go through buffers into their files, ids
// are not looked at, and nothing is synced. What stands in a buffer when the
// process dies is lost, and what is delivered again is there twice.
func plainAppend() contender {
	return contender{
		name: nameAppend,
		what: "rows through a buffer of 64 KiB into their files: no sync, no ids, loses and doubles rows when the process dies",
		open: openAppend,
		read: readPartitionFiles(plainFile), forgets: true,
	}
}

type appendStore struct {
	files   []*os.File
	buffers []*bufio.Writer
	slots   []blocks
}

func openAppend(dir string, c cell, inFlight int) (store, error) {
	s := &appendStore{slots: make([]blocks, inFlight)}
	for p := range c.partitions {
		file, err := os.OpenFile(filepath.Join(dir, plainFile(p)), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.files = append(s.files, file)
		s.buffers = append(s.buffers, bufio.NewWriterSize(file, 64<<10))
	}
	return s, nil
}

func (s *appendStore) prepare(slot int, d *data, c chunk) { s.slots[slot].split(d, c, len(s.files)) }

func (s *appendStore) commit(slots []int) (duplicates int, err error) {
	for _, slot := range slots {
		for _, b := range s.slots[slot].list {
			if _, err := s.buffers[b.partition].Write(b.data); err != nil {
				return 0, err
			}
		}
	}
	return 0, nil
}

func (s *appendStore) close() error {
	var failures []error
	for i, file := range s.files {
		failures = append(failures, s.buffers[i].Flush(), file.Close())
	}
	return errors.Join(failures...)
}
