package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/killpoint/killpoint/partition"
)

func killpoint() contender {
	return contender{
		name: nameKillpoint,
		what: "this library: journal, one fdatasync a group, rows in partition files",
		open: openKillpoint,
		read: readPartitionFiles(killpointFile),
	}
}

const prefix = "BENCH"

func killpointFile(partition int) string {
	return filepath.Join("partitions", fmt.Sprintf("%s-partition-%03d.csv", prefix, partition))
}

// killpointStore also notes what is asked of the disk: the raw limit is
// measured with the same records, and the table says where the time went.
type killpointStore struct {
	manager    *partition.Manager
	partitions int
	chunks     []*partition.Chunk
	group      []*partition.Chunk
	disk       *diskRecorder
}

func killpointOptions(dir string, partitions int, d durability) partition.Options {
	o := partition.Options{
		Dir: filepath.Join(dir, "partitions"), StateDir: filepath.Join(dir, "state"),
		Partitions: partitions, Header: header, Durability: partition.Power,
	}
	if d == process {
		o.Durability = partition.Process
	}
	return o
}

func openKillpoint(dir string, c cell, inFlight int) (store, error) {
	s := &killpointStore{partitions: c.partitions, disk: &diskRecorder{FS: partition.OS()}}
	o := killpointOptions(dir, c.partitions, c.durability)
	o.FS = s.disk
	var err error
	if s.manager, err = partition.Open(context.Background(), o); err != nil {
		return nil, err
	}
	for range inFlight {
		s.chunks = append(s.chunks, partition.NewChunk("unused", prefix))
	}
	return s, nil
}

func (s *killpointStore) prepare(slot int, d *data, c chunk) {
	to := s.chunks[slot]
	to.Reset(c.id, prefix)
	for row := c.first; row < c.first+c.rows; row++ {
		line := d.row(row)
		// The rows have no line breaks, and Write says it again.
		_ = to.Add(d.partition(row, s.partitions), line[:len(line)-1])
	}
}

func (s *killpointStore) commit(slots []int) (duplicates int, err error) {
	s.group = s.group[:0]
	for _, slot := range slots {
		s.group = append(s.group, s.chunks[slot])
	}
	results, err := s.manager.Write(context.Background(), s.group)
	for _, r := range results {
		if r.Duplicate {
			duplicates++
		}
	}
	return duplicates, err
}

func (s *killpointStore) close() error { return s.manager.Close() }

// readPartitionFiles reads files of rows, which may begin with the header.
func readPartitionFiles(name func(partition int) string) reader {
	return func(dir string, c cell, f func(partition int, rows []byte) error) error {
		for p := range c.partitions {
			text, err := os.ReadFile(filepath.Join(dir, name(p)))
			if os.IsNotExist(err) {
				continue
			}
			if err != nil {
				return err
			}
			text = bytes.TrimPrefix(text, []byte(header+"\n"))
			if err := f(p, text); err != nil {
				return fmt.Errorf("%s: %w", name(p), err)
			}
		}
		return nil
	}
}
