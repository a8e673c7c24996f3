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
	headers    int  // lines that are the header
	incomplete bool // the last line has no newline
	headed     bool // the first line is the header
}

// hashedLines is a file read once, as running polynomial hashes of its lines,
// so that any stretch of lines is compared with a block in one step and each
// line's own hash is still there. Stretches that agree are compared line by
// line all the same: see blockIndex.find.
type hashedLines struct {
	sums    list[uint64] // of one item more than there are lines
	foreign bits         // lines that belong to another partition than the file's
	header  bits
}

// sumBase is the base of the running hashes; odd, otherwise arbitrary.
const sumBase = 0xd6e8feb86659fd93

func (s *hashedLines) clear() {
	s.sums.clear()
	s.sums.add(0)
	s.foreign, s.header = s.foreign[:0], s.header[:0]
}

func (s *hashedLines) add(hash uint64) {
	s.sums.add(*s.sums.at(s.sums.len() - 1)*sumBase + hash)
}

func (s *hashedLines) len() int { return s.sums.len() - 1 }

// line gives back the hash of one line.
func (s *hashedLines) line(index int) uint64 {
	return *s.sums.at(index + 1) - *s.sums.at(index)*sumBase
}

// stretch is the hash of some lines; power is sumBase to their number.
func (s *hashedLines) stretch(index, count int, power uint64) uint64 {
	return *s.sums.at(index + count) - *s.sums.at(index)*power
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

// readLines hashes a file. What becomes of a line that belongs to another
// partition than the file's, or to none, is up to stranger.
func (o *oracle) readLines(file *outputFile, into *hashedLines, stranger func(index, home int, hash uint64) error) error {
	into.clear()
	file.lines, file.headers, file.incomplete = 0, 0, false
	header := []byte(o.facts.Output.Header)
	err := o.eachLine(file, func(index int, line []byte, complete bool) error {
		file.lines, file.incomplete = index+1, !complete
		if len(header) > 0 && bytes.Equal(line, header) {
			file.headers++
			into.header.set(index)
			into.add(o.sent.hasher.line(line))
			return nil
		}
		home := o.place.home(line)
		hash := o.sent.hasher.line(line)
		into.add(hash)
		if home == file.partition && home != NoPartition {
			return nil
		}
		if home != NoPartition {
			into.foreign.set(index)
		}
		return stranger(index, home, hash)
	})
	file.headed = into.header.has(0)
	return err
}

// sendHome sets a line aside for the partition to which its row belongs.
func (o *oracle) sendHome(file, index, home int, hash uint64) error {
	if err := o.strangers.add(&o.foreign[home], uint64(file)<<32|uint64(index)); err != nil {
		return err
	}
	return o.strangers.add(&o.foreign[home], hash)
}

// readStray reads a file that no partition has: all of its rows belong
// elsewhere.
func (o *oracle) readStray(number int, file *outputFile) error {
	lines := &o.table.lines
	err := o.readLines(file, lines, func(index, home int, hash uint64) error {
		if home == NoPartition {
			o.fragments.add(&fragment{namedLine: namedLine{number, uint32(index), noRow}})
			return nil
		}
		return o.sendHome(number, index, home, hash)
	})
	if err != nil {
		return err
	}
	o.lines += file.lines - file.headers
	o.reportHeaders(number, file, lines)
	return nil
}

// reportHeaders asks for the header once and first. A first line that may be a
// piece of it is looked at with the other fragments.
func (o *oracle) reportHeaders(number int, file *outputFile, lines *hashedLines) {
	if o.facts.Output.Header == "" {
		return
	}
	if !file.headed && file.headers == 0 {
		o.report.headerMissing = append(o.report.headerMissing, number)
	}
	seen := 0
	for index := 0; seen < file.headers; index++ {
		if !lines.header.has(index) {
			continue
		}
		seen++
		line := namedLine{number, uint32(index), noRow}
		switch {
		case index == 0:
		case seen == 1:
			o.report.headerLate.note(line)
		default:
			o.report.headerAgain.note(line)
		}
	}
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
