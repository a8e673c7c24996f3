package check

import (
	"cmp"
	"slices"
)

// leftover is a line that is part of no whole block.
type leftover struct {
	key   uint64 // its hash, as of the partition to which its row belongs
	index uint32 // of the line in its file, from 0
	row   uint32 // the row that it was found to be, or none
}

// leftovers are all files' leftover lines, in order.
type leftovers struct {
	lines   list[leftover]
	foreign bits // the row belongs to another partition than the file's
	header  bits
	claimed bits  // the line accounts for its row
	wholes  *rank // of the lines that account for a row of their own partition
}

func (l *leftovers) add(line leftover, foreign, header bool) {
	if foreign {
		l.foreign.set(l.len())
	}
	if header {
		l.header.set(l.len())
	}
	line.row = none
	l.lines.add(line)
}

func (l *leftovers) len() int { return l.lines.len() }

func (l *leftovers) at(number int) *leftover {
	return &l.lines.pages[number/pageSize][number%pageSize]
}

// candidates finds rows that were sent by the hash of a leftover line. Only
// rows that some leftover line equals are in it.
type candidates struct {
	slots []uint32 // open addressing: a number in keys + 1
	keys  []uint64
	first []uint32 // of each key, the first row sent that equals it
	head  []uint32 // of each key, the first row that no line accounts for yet
	next  []uint32 // of each row, the next such one of the same key
	place []uint32 // of each row, the leftover that accounts for it + 1
}

func (o *oracle) newCandidates() *candidates {
	size := 16
	for size < o.left.len()+o.left.len()/2 {
		size *= 2
	}
	c := &candidates{slots: make([]uint32, size)}
	for number := range o.left.len() {
		if o.left.header.has(number) {
			continue
		}
		key := o.left.at(number).key
		if slot := c.slot(key); c.slots[slot] == 0 {
			c.keys = append(c.keys, key)
			c.slots[slot] = uint32(len(c.keys))
		}
	}
	c.first = slices.Repeat([]uint32{none}, len(c.keys))
	c.head = slices.Repeat([]uint32{none}, len(c.keys))
	c.place = make([]uint32, o.sent.rows.len())
	if len(c.keys) == 0 {
		return c
	}
	c.next = make([]uint32, o.sent.rows.len())
	for row := o.sent.rows.len() - 1; row >= 0; row-- {
		if key := c.key(o.sent.rows.at(row)); key >= 0 {
			c.first[key] = uint32(row)
		}
	}
	// A chain grows at its head; rows that must be there come first in it.
	for _, must := range []bool{false, true} {
		for block := o.sent.blockCount() - 1; block >= 0; block-- {
			if o.blocks.used.has(block) || o.required(block) != must {
				continue
			}
			from, to := o.sent.block(block)
			for row := to - 1; row >= from; row-- {
				if key := c.key(o.sent.rows.at(row)); key >= 0 {
					c.next[row] = c.head[key]
					c.head[key] = uint32(row)
				}
			}
		}
	}
	return c
}

func (c *candidates) slot(key uint64) int {
	mask := len(c.slots) - 1
	for slot := int(mix(key)) & mask; ; slot = (slot + 1) & mask {
		if c.slots[slot] == 0 || c.keys[c.slots[slot]-1] == key {
			return slot
		}
	}
}

// key gives the number of a key, -1 when no leftover line has it.
func (c *candidates) key(hash uint64) int { return int(c.slots[c.slot(hash)]) - 1 }

// missing gives the first row of a key that no line accounts for, or none.
func (c *candidates) missing(key int) uint32 {
	for c.head[key] != none && c.place[c.head[key]] != 0 {
		c.head[key] = c.next[c.head[key]]
	}
	return c.head[key]
}

// explain says of every leftover line and of every block that was not found
// whole what is wrong. Rows are assigned to lines of equal text, one to one,
// so that the number of rows lost, doubled and unknown is exact; which of
// several equal rows a line is taken for is chosen so that blocks stay
// together.
func (o *oracle) explain() error {
	c := o.newCandidates()
	for _, file := range o.files {
		for at := file.firstLeft; at < file.endLeft; at++ {
			o.assign(c, file, at)
		}
	}
	unknown := newFragments(o)
	for number, file := range o.files {
		for at := file.firstLeft; at < file.endLeft; at++ {
			o.classify(c, unknown, number, at)
		}
	}
	if err := unknown.resolve(c); err != nil {
		return err
	}
	for number, file := range o.files {
		if file.incomplete && !o.report.tornLast[number] {
			line := namedLine{file: number, index: uint32(file.lines - 1), row: none}
			o.report.noteTorn(tornLine{namedLine: line, why: "a whole row without its newline"})
		}
	}
	o.explainBlocks(c)
	return nil
}

// explainBlocks goes through the blocks that were not found whole, chunk by
// chunk.
func (o *oracle) explainBlocks(c *candidates) {
	rows, lost := 0, 0 // of the chunk
	for block := range o.sent.blockCount() {
		from, to := o.sent.block(block)
		rows += to - from
		if !o.blocks.used.has(block) {
			before := o.report.lost.count
			o.explainBlock(c, block)
			lost += o.report.lost.count - before
		}
		if block+1 < o.sent.blockCount() && o.sent.chunks.at(block) == o.sent.chunks.at(block+1) {
			continue
		}
		if lost > 0 {
			o.report.lostChunks++
		}
		if lost == rows {
			o.report.lostWhole++
		}
		rows, lost = 0, 0
	}
}

// assign finds the row that a line of the right partition stands for, among
// those that no line accounts for yet.
func (o *oracle) assign(c *candidates, file *outputFile, at int) {
	line := o.left.at(at)
	if o.left.foreign.has(at) || o.left.header.has(at) {
		return
	}
	key := c.key(line.key)
	head := c.missing(key)
	if head == none {
		return
	}
	o.claim(c, at, o.bestRow(c, file, at, head))
}

func (o *oracle) claim(c *candidates, at int, row uint32) {
	c.place[row] = uint32(at) + 1
	o.left.claimed.set(at)
	o.left.at(at).row = row
}

// bestRow chooses among equal rows the one that goes on where the line before
// ended, else one after which the next line goes on, else one of the same
// block as the line before. It looks at a few candidates only, so that data in
// which all rows are equal does not take quadratic time.
func (o *oracle) bestRow(c *candidates, file *outputFile, at int, head uint32) uint32 {
	const looked = 16
	var previous, following *leftover
	if at > file.firstLeft {
		previous = o.left.at(at - 1)
	}
	if at+1 < file.endLeft && o.left.at(at+1).index == o.left.at(at).index+1 && !o.left.header.has(at+1) {
		following = o.left.at(at + 1)
	}
	best, bestRank := head, -1
	for row, n := head, 0; row != none && n < looked; row, n = c.next[row], n+1 {
		if c.place[row] != 0 {
			continue
		}
		rank := 0
		if previous != nil && previous.row != none {
			if o.adjacent(previous.row, row) {
				return row
			}
			if row > previous.row && o.sameBlock(row, previous.row) {
				rank = 1
			}
		}
		if next := row + 1; following != nil && o.adjacent(row, next) && c.place[next] == 0 && o.sent.rows.at(int(next)) == following.key {
			rank = 2
		}
		if rank > bestRank {
			best, bestRank = row, rank
		}
	}
	return best
}

func (o *oracle) sameBlock(a, b uint32) bool {
	return o.sent.blockOf(int(a)) == o.sent.blockOf(int(b))
}

// classify says what a leftover line is that accounts for no row of its
// file's partition.
func (o *oracle) classify(c *candidates, unknown *fragments, file, at int) {
	line := o.left.at(at)
	named := namedLine{file: file, index: line.index, row: none}
	if o.left.header.has(at) {
		o.noteHeader(named)
		return
	}
	key := c.key(line.key)
	if c.first[key] == none {
		unknown.add(file, at)
		return
	}
	if o.left.foreign.has(at) {
		row := c.missing(key)
		if row != none {
			o.claim(c, at, row)
		} else {
			row = c.first[key]
		}
		line.row = row
		named.row = row
		o.report.misplaced.note(named)
		return
	}
	if o.left.claimed.has(at) || o.expect == atLeastOnce {
		return
	}
	// An extra line is named after the row that follows the one named before,
	// where it equals that, so that a doubled block is named as one block.
	row := c.first[key]
	if at > 0 {
		if last := o.left.at(at - 1).row; o.adjacent(last, last+1) && o.sent.rows.at(int(last+1)) == line.key {
			row = last + 1
		}
	}
	line.row = row
	named.row = row
	o.report.duplicated.note(named)
}

// noteHeader notes a header that stands elsewhere than in the first line.
func (o *oracle) noteHeader(line namedLine) {
	if missing := slices.Index(o.report.headerMissing, line.file); missing >= 0 {
		o.report.headerMissing = slices.Delete(o.report.headerMissing, missing, missing+1)
		o.report.headerLate.note(line)
		return
	}
	o.report.headerAgain.note(line)
}

// stand is where one row of a block stands: its file, and its place there
// among the lines that account for a row. Lines that should not be there at
// all, which are reported as such, do not count, so that they do not tear a
// block apart.
type stand struct {
	row     uint32
	left    int
	file    int
	ordinal int
}

// explainBlock says what is wrong with a block that was not found whole.
func (o *oracle) explainBlock(c *candidates, block int) {
	from, to := o.sent.block(block)
	var stands []stand
	var absent []uint32
	elsewhere := false
	for row := from; row < to; row++ {
		at := int(c.place[row]) - 1
		switch {
		case at < 0:
			absent = append(absent, uint32(row))
		case o.left.foreign.has(at) || o.left.at(at).row != uint32(row):
			elsewhere = true // misplaced, or in pieces: reported there
		default:
			file := o.fileOfLeft(at)
			stands = append(stands, stand{uint32(row), at, file, o.ordinal(file, at)})
		}
	}
	required := o.required(block)
	switch {
	case len(absent) == 0:
	case required:
		for _, row := range absent {
			o.report.lost.note(namedLine{file: -1, row: row})
		}
	case len(stands) > 0 && !elsewhere && o.expect != atMostOnce:
		for _, stand := range stands {
			o.report.half.note(namedLine{file: stand.file, index: o.left.at(stand.left).index, row: stand.row})
		}
	}
	o.explainOrder(stands)
}

// explainOrder asks that a block's rows stand together and in order. Of a
// block in several pieces the largest is taken for its place, and the others
// are named; of rows that are out of order, those that stand where another
// row should.
func (o *oracle) explainOrder(stands []stand) {
	standing := slices.Clone(stands)
	slices.SortFunc(standing, func(a, b stand) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.ordinal, b.ordinal))
	})
	first, longest, largest := 0, 0, 0
	for i := range standing {
		if i > 0 && (standing[i].file != standing[i-1].file || standing[i].ordinal != standing[i-1].ordinal+1) {
			first = i
		}
		if i-first+1 > longest {
			longest, largest = i-first+1, first
		}
	}
	for i, stand := range standing {
		named := namedLine{file: stand.file, index: o.left.at(stand.left).index, row: stand.row}
		if i < largest || i >= largest+longest {
			o.report.apart.note(named)
		} else if stands[i].row != stand.row {
			o.report.reordered.note(named)
		}
	}
}

func (o *oracle) fileOfLeft(at int) int {
	file, _ := slices.BinarySearchFunc(o.files, at, func(file *outputFile, at int) int {
		if file.endLeft <= at {
			return -1
		}
		return 1
	})
	return file
}

// ordinal is a line's place among those of its file that account for a row.
func (o *oracle) ordinal(file, at int) int {
	if o.left.wholes == nil {
		o.left.wholes = newRank(o.left.len(), func(at int) bool { return o.left.claimed.has(at) && !o.left.foreign.has(at) })
	}
	first := o.files[file].firstLeft
	extra := (at - first) - (o.left.wholes.before(at) - o.left.wholes.before(first))
	return int(o.left.at(at).index) - extra
}
