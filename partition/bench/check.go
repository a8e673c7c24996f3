package main

import (
	"bytes"
	"fmt"
)

// redelivered is how many chunks come a second time before a result is
// checked.
const redelivered = 64

// check opens what a contender left behind, delivers some chunks again
// together with one that is new, and reads everything back: each row of the
// first chunks has to be there once, whole, in its partition and in its
// order. It returns an error that says what is wrong.
func check(c contender, at cell, dir string, d *data, chunks int) error {
	if !c.forgets {
		s, err := c.open(dir, at, redelivered+1)
		if err != nil {
			return fmt.Errorf("open again: %w", err)
		}
		if err := redeliver(s, d, at.rows, chunks); err != nil {
			_ = s.close() // what was wrong says more
			return err
		}
		if err := s.close(); err != nil {
			return err
		}
		chunks++
	}
	seen := newSeen(d, at, chunks)
	if err := c.read(dir, at, seen.take); err != nil {
		return err
	}
	return seen.complete()
}

// redeliver commits the first and the last chunks again, in one group with a
// new one.
func redeliver(s store, d *data, rows, chunks int) error {
	var slots []int
	deliver := func(n int) {
		s.prepare(len(slots), d, d.chunk(n, rows))
		slots = append(slots, len(slots))
	}
	for n := range min(redelivered/2, chunks) {
		deliver(n)
	}
	for n := max(len(slots), chunks-redelivered/2); n < chunks; n++ {
		deliver(n)
	}
	again := len(slots)
	deliver(chunks)
	duplicates, err := s.commit(slots)
	if err != nil {
		return fmt.Errorf("deliver %d chunks again: %w", again, err)
	}
	if duplicates != again {
		return fmt.Errorf("%d chunks were delivered again with a new one, and %d were taken for delivered again", again, duplicates)
	}
	return nil
}

// seen is which rows were read.
type seen struct {
	data       *data
	rows       int // a chunk
	partitions int
	read       []bool
	last       []int // the last row of each partition
}

func newSeen(d *data, c cell, chunks int) *seen {
	return &seen{data: d, rows: c.rows, partitions: c.partitions, read: make([]bool, chunks*c.rows), last: make([]int, c.partitions)}
}

func (s *seen) take(partition int, rows []byte) error {
	if partition < 0 || partition >= s.partitions {
		return fmt.Errorf("there is a partition %d of %d", partition, s.partitions)
	}
	for len(rows) > 0 {
		row := rows[:min(rowBytes, len(rows))]
		rows = rows[len(row):]
		number, ok := rowNumber(row)
		if !ok || number >= s.data.len() || !bytes.Equal(row, s.data.row(number)) {
			return fmt.Errorf("partition %d has what was never sent: %q", partition, row)
		}
		switch {
		case number >= len(s.read):
			return fmt.Errorf("partition %d has row %d of a chunk that was not committed", partition, number)
		case s.data.partition(number, s.partitions) != partition:
			return fmt.Errorf("row %d is in partition %d and belongs in %d", number, partition, s.data.partition(number, s.partitions))
		case s.read[number]:
			return fmt.Errorf("row %d is there twice", number)
		case s.last[partition] > number && s.last[partition]/s.rows == number/s.rows:
			return fmt.Errorf("row %d of partition %d stands behind row %d of the same chunk", number, partition, s.last[partition])
		}
		s.read[number], s.last[partition] = true, number
	}
	return nil
}

// rowNumber reads the number that a row carries.
func rowNumber(row []byte) (number int, ok bool) {
	if len(row) != rowBytes {
		return 0, false
	}
	for _, digit := range row[numberAt : fillerAt-1] {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		number = 10*number + int(digit-'0')
	}
	return number, true
}

// complete says whether every row was read.
func (s *seen) complete() error {
	missing, first := 0, -1
	for number, read := range s.read {
		if !read {
			if missing++; first < 0 {
				first = number
			}
		}
	}
	if missing > 0 {
		return fmt.Errorf("%d of %d rows are missing, the first is row %d", missing, len(s.read), first)
	}
	return nil
}
