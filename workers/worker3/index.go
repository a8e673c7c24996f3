package worker3

import (
	"cmp"
	"fmt"
	"slices"
)

// fingerprint stands for one line; 0 stands for a line that is not looked for:
// it has an owner, or it is the header. Two lines with one fingerprint are
// taken for equal: it has 64 bits and a seed of its own in each process.
type fingerprint uint64

// block is a chunk's lines of one partition, which stand together.
type block struct {
	id        string // of the chunk
	partition int
	file      *follower
	lines     []fingerprint
	at        int64 // of those that have a place: the number of its first line
	forgotten bool  // it keeps its lines, but is not moved any more
}

// index finds blocks of lines in a file. Each line counts for one block only.
//
// Chunks are forwarded in the order in which they stand in the files, as a
// rule. So lines that come are not chained at first: the block that is looked
// for begins at the first of them nearly always, and takes them as they come.
// Whatever else is asked has them chained before.
//
// Of ten million lines without an owner it takes 240 MB: for each, the
// fingerprint, its neighbours in its chain, and a share of the chains' ends.
// Lines with an owner take next to nothing.
type index struct {
	end      int64      // the number that the next line gets
	front    int64      // lines from here on are not chained, and have no owner
	segments []*segment // of the file's lines, in order; nil where all have an owner
	chained  int        // how many lines are in chains: those before front without an owner
	// last has the line that was added last to each chain. The lines of one
	// fingerprint are in one chain, the newest first unless some were released.
	last []link
	// placed are the blocks that may be moved, by their place.
	placed []*block
}

// link is the number of a line, from 1; 0 ends a chain.
type link uint32

// maxLines is how many lines of one file can be told apart.
const maxLines = 1<<32 - 2

const segmentLines = 512

// segment is some lines of a file.
type segment struct {
	free   int
	lines  [segmentLines]fingerprint
	before [segmentLines]link // in the chain, added earlier
	after  [segmentLines]link // added later; equal lines make long chains, and the oldest is taken first as a rule
}

func newIndex() *index { return &index{last: make([]link, 16)} }

// add appends a line.
func (x *index) add(line fingerprint) {
	number := x.end
	x.end++
	if number > 0 && number%segmentLines == 0 {
		x.dropSegment(number - 1)
	}
	x.put(number, line)
}

// addHeader appends a line that nobody owns. It is the first one.
func (x *index) addHeader() {
	x.end++
	x.front++
}

// put makes a line one without an owner.
func (x *index) put(number int64, line fingerprint) {
	which, i := number/segmentLines, number%segmentLines
	for int64(len(x.segments)) <= which {
		x.segments = append(x.segments, nil)
	}
	s := x.segments[which]
	if s == nil {
		s = new(segment)
		x.segments[which] = s
	}
	s.lines[i] = line
	s.free++
}

func (x *index) segment(number int64) (*segment, int64) {
	return x.segments[number/segmentLines], number % segmentLines
}

// dropSegment gives the memory of a line's segment back when all of its lines
// are there and have an owner.
func (x *index) dropSegment(number int64) {
	which := number / segmentLines
	if which < int64(len(x.segments)) && which < x.end/segmentLines && x.segments[which] != nil && x.segments[which].free == 0 {
		x.segments[which] = nil
	}
}

// release takes the owner of a line away.
func (x *index) release(number int64, line fingerprint) {
	x.put(number, line)
	x.chain(number)
}

// chainAll chains what is not chained yet.
func (x *index) chainAll() {
	for x.front < x.end {
		x.front++
		x.chain(x.front - 1)
	}
}

// chain puts a line into its chain.
func (x *index) chain(number int64) {
	if x.chained++; x.chained > len(x.last) {
		x.rechain()
		return
	}
	s, i := x.segment(number)
	x.link(number, s, i)
}

func (x *index) link(number int64, s *segment, i int64) {
	end := x.chainOf(s.lines[i])
	s.before[i], s.after[i] = *end, 0
	if *end != 0 {
		older, j := x.segment(int64(*end) - 1)
		older.after[j] = link(number + 1)
	}
	*end = link(number + 1)
}

func (x *index) chainOf(line fingerprint) *link {
	return &x.last[line&fingerprint(len(x.last)-1)]
}

// rechain makes twice as many chains, so that they stay short.
func (x *index) rechain() {
	x.last = make([]link, 2*len(x.last))
	for which, s := range x.segments {
		if s == nil {
			continue
		}
		for i, line := range s.lines {
			if number := int64(which*segmentLines + i); line != 0 && number < x.front {
				x.link(number, s, int64(i))
			}
		}
	}
}

// own takes a line out of its chain, if it is in one.
func (x *index) own(number int64) {
	s, i := x.segment(number)
	if number == x.front {
		x.front++
	} else {
		x.unchain(s, i)
	}
	s.lines[i] = 0
	s.free--
	x.dropSegment(number)
}

func (x *index) unchain(s *segment, i int64) {
	before, after := s.before[i], s.after[i]
	if after == 0 {
		*x.chainOf(s.lines[i]) = before
	} else {
		newer, j := x.segment(int64(after) - 1)
		newer.before[j] = before
	}
	if before != 0 {
		older, j := x.segment(int64(before) - 1)
		older.after[j] = after
	}
	x.chained--
}

// freeLine gives a line, 0 when it has an owner.
func (x *index) freeLine(number int64) fingerprint {
	if number < 0 || number >= int64(len(x.segments))*segmentLines {
		return 0
	}
	s, i := x.segment(number)
	if s == nil {
		return 0
	}
	return s.lines[i]
}

// line gives a line, 0 when its owner is not one of those placed.
func (x *index) line(number int64) fingerprint {
	if free := x.freeLine(number); free != 0 {
		return free
	}
	if owner := x.owner(number); owner != nil {
		return owner.lines[number-owner.at]
	}
	return 0
}

// owner is the placed block that has a line; nil when there is none.
func (x *index) owner(number int64) *block {
	i, _ := slices.BinarySearchFunc(x.placed, number+1, byPlace)
	if i == 0 {
		return nil
	}
	if b := x.placed[i-1]; number < b.at+int64(len(b.lines)) {
		return b
	}
	return nil
}

func byPlace(b *block, number int64) int { return cmp.Compare(b.at, number) }

// alike gives the lines without an owner that are like this one, the newest
// first as a rule.
func (x *index) alike(line fingerprint) func(yield func(int64) bool) {
	x.chainAll()
	return func(yield func(int64) bool) {
		for at := *x.chainOf(line); at != 0; {
			s, i := x.segment(int64(at) - 1)
			if s.lines[i] == line && !yield(int64(at)-1) {
				return
			}
			at = s.before[i]
		}
	}
}

// choices bounds how many more places are looked at when one was found.
const choices = 64

// find gives the number of a line at which the block begins and has no owner.
// It prefers the newest place that follows on lines that have an owner: where
// chunks come in the file's order, that is where the writer put it, and
// where they do not, it leaves the gap alone that an older one will fill.
func (x *index) find(lines []fingerprint) (at int64, found bool) {
	// No place behind the front follows on a line that has an owner.
	if x.freeLine(x.front-1) == 0 && x.holds(x.front, lines) {
		return x.front, true
	}
	looked := 0
	for number := range x.alike(lines[0]) {
		if looked++; found && looked > choices {
			break
		}
		if !x.holds(number, lines) {
			continue
		}
		if x.freeLine(number-1) == 0 {
			return number, true
		}
		if !found {
			at, found, looked = number, true, 0
		}
	}
	return at, found
}

// holds says whether the lines stand at line at and have no owner.
func (x *index) holds(at int64, lines []fingerprint) bool {
	for len(lines) > 0 {
		which, first := at/segmentLines, at%segmentLines
		if which >= int64(len(x.segments)) || x.segments[which] == nil {
			return false
		}
		here := x.segments[which].lines[first:]
		n := min(len(here), len(lines))
		if !slices.Equal(here[:n], lines[:n]) {
			return false
		}
		at, lines = at+int64(n), lines[n:]
	}
	return true
}

// count says how many lines like this one have no owner.
func (x *index) count(line fingerprint) int {
	n := 0
	for range x.alike(line) {
		n++
	}
	return n
}

// place makes the block the owner of its lines at line at.
func (x *index) place(b *block, at int64) {
	if !x.holds(at, b.lines) {
		panic(fmt.Sprintf("block of %d lines placed at line %d, where it does not stand or which has an owner", len(b.lines), at+1))
	}
	if at != x.front {
		x.chainAll()
	}
	for i := range b.lines {
		x.own(at + int64(i))
	}
	b.at = at
	if !b.forgotten {
		i, _ := slices.BinarySearchFunc(x.placed, at, byPlace)
		x.placed = slices.Insert(x.placed, i, b)
	}
}

// displace takes a block's lines away from it.
func (x *index) displace(b *block) {
	i, _ := slices.BinarySearchFunc(x.placed, b.at, byPlace)
	x.placed = slices.Delete(x.placed, i, i+1)
	for i, line := range b.lines {
		x.release(b.at+int64(i), line)
	}
}

// forget leaves the lines of forgotten blocks to them for good.
func (x *index) forget() {
	x.placed = slices.DeleteFunc(x.placed, func(b *block) bool { return b.forgotten })
}
