package check

import (
	"cmp"
	"slices"
)

// leftover is a line that is part of no whole block. The line is in a file of
// the partition, or its row belongs there and it is in another file.
type leftover struct {
	key   uint64 // the hash of its row
	index uint32 // of the line in its file, from 0
	row   uint32 // the row that it was found to be, or none
}

// leftovers are a partition's leftover lines, file by file.
type leftovers struct {
	list[leftover]
	claimed bits // the line accounts for its row
	beyond  int  // lines that were too many to be kept
	limit   int
}

func (l *leftovers) clear() {
	l.list.clear()
	l.claimed, l.beyond = l.claimed[:0], 0
}

func (l *leftovers) add(line leftover) {
	if l.len() >= l.limit {
		l.beyond++
		return
	}
	l.list.add(line)
}

// stranger is a line that belongs to the partition and stands in a file that
// is not one of its own.
type stranger struct {
	key   uint64
	file  uint32
	index uint32
}

// candidates finds rows that were sent by the hash of a line that is wrong.
// Only rows that some such line equals are in it.
type candidates struct {
	slots []uint32 // open addressing: a number in keys + 1
	keys  []uint64
	first []uint32 // of each key, the first row sent that equals it
	head  []uint32 // of each key, the first row that no line accounts for yet
	next  []uint32 // of each row, the next such one of the same key
	place []uint32 // of each row, what accounts for it: a leftover's number + 1, or elsewhere
}

// elsewhere says that a row is accounted for by a line in the wrong place.
const elsewhere = none

// findCandidates fills the candidates, in the memory that they had before.
func (c *partitionCheck) findCandidates() *candidates {
	count := c.left.len() + c.alien.len()
	size := 16
	for size < count+count/2 {
		size *= 2
	}
	k := &c.found
	k.slots, k.keys, k.place = zeroed(k.slots, size), sized(k.keys, count), zeroed(k.place, len(c.rows))
	for number := range c.left.len() {
		k.add(c.left.at(number).key)
	}
	for number := range c.alien.len() {
		k.add(c.alien.at(number).key)
	}
	k.first, k.head = zeroed(k.first, len(k.keys)), zeroed(k.head, len(k.keys))
	for key := range k.keys {
		k.first[key], k.head[key] = none, none
	}
	if len(k.keys) == 0 {
		return k
	}
	k.next = zeroed(k.next, len(c.rows))
	for row := len(c.rows) - 1; row >= 0; row-- {
		if key := k.key(c.rows[row]); key >= 0 {
			k.first[key] = uint32(row)
		}
	}
	// A chain grows at its head; rows that must be there come first in it.
	for _, must := range []bool{false, true} {
		for block := c.blockCount() - 1; block >= 0; block-- {
			if !c.blocks.used.has(block) && c.required(block) == must {
				c.chain(k, block)
			}
		}
	}
	return k
}

// chain hangs a block's rows on the chains of their keys.
func (c *partitionCheck) chain(k *candidates, block int) {
	from, to := c.block(block)
	for row := to - 1; row >= from; row-- {
		if key := k.key(c.rows[row]); key >= 0 {
			k.next[row] = k.head[key]
			k.head[key] = uint32(row)
		}
	}
}

func (k *candidates) add(key uint64) {
	if slot := k.slot(key); k.slots[slot] == 0 {
		k.keys = append(k.keys, key)
		k.slots[slot] = uint32(len(k.keys))
	}
}

func (k *candidates) slot(key uint64) int {
	mask := len(k.slots) - 1
	for slot := int(mix(key)) & mask; ; slot = (slot + 1) & mask {
		if k.slots[slot] == 0 || k.keys[k.slots[slot]-1] == key {
			return slot
		}
	}
}

// key gives the number of a key, -1 when no wrong line has it.
func (k *candidates) key(hash uint64) int { return int(k.slots[k.slot(hash)]) - 1 }

// missing gives the first row of a key that no line accounts for, or none.
func (k *candidates) missing(key int) uint32 {
	for k.head[key] != none && k.place[k.head[key]] != 0 {
		k.head[key] = k.next[k.head[key]]
	}
	return k.head[key]
}

// explain says of every leftover line and of every block that was not found
// whole what is wrong. Rows are assigned to lines of equal text, one to one,
// so that the number of rows lost, doubled and unknown is exact; which of
// several equal rows a line is taken for is chosen so that blocks stay
// together.
func (c *partitionCheck) explain() error {
	if err := c.readStrangers(); err != nil {
		return err
	}
	k := c.findCandidates()
	for i := range c.parts {
		for at := c.parts[i].first; at < c.parts[i].end; at++ {
			c.assign(k, &c.parts[i], at)
		}
	}
	for number := range c.alien.len() {
		c.explainStranger(k, c.alien.at(number))
	}
	for i := range c.parts {
		for at := c.parts[i].first; at < c.parts[i].end; at++ {
			c.explainLine(k, &c.parts[i], at)
			c.expectBeside(&c.parts[i], at)
		}
	}
	for block := range c.blockCount() {
		if !c.blocks.used.has(block) {
			c.explainBlock(k, block)
		}
	}
	c.report.beyond += c.left.beyond
	return nil
}

// readStrangers reads the lines that belong to this partition and stand in
// the files of others.
func (c *partitionCheck) readStrangers() error {
	c.alien.clear()
	words, place := 0, uint64(0)
	return c.strangers.each(&c.foreign[c.partition], func(word uint64) {
		if words++; words%2 == 1 {
			place = word
		} else if c.alien.len() < c.left.limit {
			c.alien.add(stranger{key: word, file: uint32(place >> 32), index: uint32(place)})
		} else {
			c.left.beyond++
		}
	})
}

// assign finds the row that a line stands for, among those that no line
// accounts for yet.
func (c *partitionCheck) assign(k *candidates, part *partFile, at int) {
	line := c.left.at(at)
	head := k.missing(k.key(line.key))
	if head == none {
		return
	}
	line.row = c.bestRow(k, part, at, head)
	k.place[line.row] = uint32(at) + 1
	c.left.claimed.set(at)
	part.claimed.set(int(line.index))
}

// bestRow chooses among equal rows the one that goes on where the line before
// ended, else one after which the next line goes on, else one of the same
// block as the line before. Beyond the first it looks at a few candidates
// only, so that data in which all rows are equal takes no quadratic time.
func (c *partitionCheck) bestRow(k *candidates, part *partFile, at int, head uint32) uint32 {
	const looked = 16
	previous := none
	if at > part.first {
		previous = c.left.at(at - 1).row
	}
	if next := previous + 1; c.adjacent(previous, next) && k.place[next] == 0 && c.rows[next] == c.left.at(at).key {
		return next
	}
	var following *leftover
	if at+1 < part.end && c.left.at(at+1).index == c.left.at(at).index+1 {
		following = c.left.at(at + 1)
	}
	best, bestRank := head, -1
	for row, n := head, 0; row != none && n < looked; row, n = k.next[row], n+1 {
		rank := 0
		switch {
		case k.place[row] != 0:
			continue
		case following != nil && c.adjacent(row, row+1) && k.place[row+1] == 0 && c.rows[row+1] == following.key:
			rank = 2
		case previous != none && row > previous && c.sameBlock(row, previous):
			rank = 1
		}
		if rank > bestRank {
			best, bestRank = row, rank
		}
	}
	return best
}

// explainStranger says what a line is that stands in another partition's file.
func (c *partitionCheck) explainStranger(k *candidates, line *stranger) {
	named := namedLine{file: int(line.file), index: line.index, row: noRow}
	key := k.key(line.key)
	row := k.missing(key)
	switch {
	case row != none:
		k.place[row] = elsewhere
	case k.first[key] != none:
		row = k.first[key] // one more than there should be anywhere
	default:
		c.fragments.add(&fragment{namedLine: named})
		return
	}
	named.row = rowID{c.partition, row}
	c.report.misplaced.note(named)
}

// explainLine says what a leftover line is that accounts for no row.
func (c *partitionCheck) explainLine(k *candidates, part *partFile, at int) {
	if c.left.claimed.has(at) {
		return
	}
	line := c.left.at(at)
	named := namedLine{file: part.number, index: line.index, row: noRow}
	row := k.first[k.key(line.key)]
	if row == none {
		c.fragments.add(&fragment{namedLine: named})
		return
	}
	if c.expect == atLeastOnce {
		return
	}
	// An extra line is named after the row that follows the one named before,
	// where it equals that, so that a doubled block is named as one block.
	if at > part.first {
		if last := c.left.at(at - 1).row; c.adjacent(last, last+1) && c.rows[last+1] == line.key {
			row = last + 1
		}
	}
	line.row = row
	named.row = rowID{c.partition, row}
	c.report.duplicated.note(named)
}

// expectBeside notes, where the line before or after one that accounts for a
// row accounts for none itself, which row of the same block belongs there.
// That line may be explained with another partition: a row that is cut in its
// number may seem to belong elsewhere.
func (c *partitionCheck) expectBeside(part *partFile, at int) {
	if !c.left.claimed.has(at) {
		return
	}
	index, row := c.left.at(at).index, c.left.at(at).row
	open := func(index uint32) bool { return part.loose.has(int(index)) && !part.claimed.has(int(index)) }
	if open(index+1) && c.adjacent(row, row+1) {
		c.fragments.expect(part.number, index+1, rowID{c.partition, row + 1})
	}
	if index > 0 && row > 0 && open(index-1) && c.adjacent(row-1, row) {
		c.fragments.expect(part.number, index-1, rowID{c.partition, row - 1})
	}
}

// absence is a stretch of a block's rows that no line accounts for.
type absence struct {
	from, to uint32
	chunk    uint32
	required bool
	half     []namedLine // lines of the same block that are there, though the chunk was never confirmed
}

// stand is where one row of a block stands: its file, and its place there
// among the lines that account for a row. Lines that should not be there at
// all, which are reported as such, do not count, so that they do not tear a
// block apart.
type stand struct {
	namedLine
	ordinal int
}

// explainBlock says what is wrong with a block that was not found whole. What
// is absent may yet be found in a line that is no row: see reportAbsences.
func (c *partitionCheck) explainBlock(k *candidates, block int) {
	from, to := c.block(block)
	var stands []stand
	var absences []absence
	misplaced := false
	for row := uint32(from); row < uint32(to); row++ {
		switch place := k.place[row]; {
		case place == elsewhere:
			misplaced = true
		case place != 0:
			stands = append(stands, c.standOf(int(place)-1, row))
		case len(absences) > 0 && absences[len(absences)-1].to == row:
			absences[len(absences)-1].to++
		default:
			absences = append(absences, absence{from: row, to: row + 1, chunk: c.chunks[block], required: c.required(block)})
		}
	}
	if len(absences) > 0 && !c.required(block) && !misplaced && c.expect != atMostOnce {
		for _, stand := range stands {
			absences[0].half = append(absences[0].half, stand.namedLine)
		}
	}
	// With lines that were not looked at, nothing is known to be absent.
	if c.left.beyond == 0 && len(absences) > 0 {
		c.absences[c.partition] = append(c.absences[c.partition], absences...)
	}
	c.explainOrder(stands)
}

func (c *partitionCheck) standOf(at int, row uint32) stand {
	number, _ := slices.BinarySearchFunc(c.parts, at, func(part partFile, at int) int {
		if part.end <= at {
			return -1
		}
		return 1
	})
	part := &c.parts[number]
	index := c.left.at(at).index
	return stand{namedLine{part.number, index, rowID{c.partition, row}}, part.ordinal(int(index))}
}

// ordinal is a line's place among those of its file that account for a row.
func (p *partFile) ordinal(index int) int {
	if p.looseBelow == nil {
		p.looseBelow, p.claimedBelow = newRank(p.loose), newRank(p.claimed)
	}
	return index - p.looseBelow.before(index) + p.claimedBelow.before(index)
}

// explainOrder asks that a block's rows stand together and in order. Of a
// block in several pieces the largest is taken for its place, and the others
// are named; of rows that are out of order, those that stand where another
// row should.
func (c *partitionCheck) explainOrder(stands []stand) {
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
		if i < largest || i >= largest+longest {
			c.report.apart.note(stand.namedLine)
		} else if stands[i].row != stand.row {
			c.report.reordered.note(stand.namedLine)
		}
	}
}
