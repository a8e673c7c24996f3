package check

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// outputFile is one collected file of rows and what was seen when it was read.
type outputFile struct {
	history.File
	partition  int // NoPartition when the name says none
	lines      int
	incomplete bool // the last line has no newline
	headed     bool // the first line is the header
	settled    bool // a search found its lines in order: nothing is left over

	firstLeft, endLeft int          // its leftovers, by number
	order              list[uint32] // its blocks as they stand, where order matters
}

// lineSums holds a file's lines as running polynomial hashes, so that any
// stretch of lines is compared with a block in one step and each line's own
// hash is still there. Stretches that agree are compared line by line all the
// same: see blockIndex.find.
type lineSums struct {
	sums list[uint64] // of lines+1 items
}

// sumBase is the base of the running hashes; odd, otherwise arbitrary.
const sumBase = 0xd6e8feb86659fd93

func newLineSums() *lineSums {
	sums := &lineSums{}
	sums.sums.add(0)
	return sums
}

func (s *lineSums) add(hash uint64) {
	s.sums.add(s.sums.at(s.sums.len()-1)*sumBase + hash)
}

func (s *lineSums) len() int { return s.sums.len() - 1 }

// line gives back the hash of one line.
func (s *lineSums) line(index int) uint64 {
	return s.sums.at(index+1) - s.sums.at(index)*sumBase
}

// stretch is the hash of some lines; power is sumBase to their number.
func (s *lineSums) stretch(index, count int, power uint64) uint64 {
	return s.sums.at(index+count) - s.sums.at(index)*power
}

func power(exponent int) uint64 {
	result, base := uint64(1), uint64(sumBase)
	for ; exponent > 0; exponent >>= 1 {
		if exponent&1 == 1 {
			result *= base
		}
		base *= base
	}
	return result
}

// hashedLines is a file read once: each line's hash, and which lines are not
// of the file's partition or are the header.
type hashedLines struct {
	*lineSums
	foreign bits
	header  bits
}

// hashLines reads a file. A line whose row belongs to another partition is
// hashed as of that one, so that it is never taken for a row of this.
func (o *oracle) hashLines(file *outputFile) (*hashedLines, error) {
	read := &hashedLines{lineSums: newLineSums()}
	header := []byte(o.facts.Output.Header)
	err := o.eachLine(file, func(index int, line []byte, complete bool) error {
		file.lines, file.incomplete = index+1, !complete
		if len(header) > 0 && bytes.Equal(line, header) {
			read.header.set(index)
			read.add(o.sent.hasher.line(line, NoPartition))
			return nil
		}
		home := o.place.home(line)
		if home != file.partition {
			read.foreign.set(index)
		}
		read.add(o.sent.hasher.line(line, home))
		return nil
	})
	return read, err
}

// eachLine gives every line of a file without its newline, and whether it had
// one. The line is only valid during the call.
func (o *oracle) eachLine(file *outputFile, each func(index int, line []byte, complete bool) error) error {
	content, err := o.seen.history.Open(file.File)
	if err != nil {
		return err
	}
	defer content.Close()
	reader := bufio.NewReaderSize(content, 1<<16)
	var long []byte
	for index := 0; ; {
		part, err := reader.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, part...)
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s of %s: %w", file.Path, file.Service, err)
		}
		line := part
		if len(long) > 0 {
			long = append(long, part...)
			line = long
		}
		complete := err == nil
		if complete {
			line = line[:len(line)-1]
		}
		if complete || len(line) > 0 {
			if err := each(index, line, complete); err != nil {
				return err
			}
		}
		if !complete {
			return nil
		}
		index, long = index+1, long[:0]
	}
}
