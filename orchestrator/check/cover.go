package check

import (
	"cmp"
	"maps"
	"slices"
)

// partitionCheck is the comparison of what was sent to one partition with
// what its files hold.
type partitionCheck struct {
	*oracle
	sheet
	blocks    blockIndex
	lines     hashedLines // of the file looked at last
	parts     []partFile
	left      leftovers
	alien     list[stranger]
	found     candidates
	ambiguous bool // the files could be taken apart in several ways
	settled   bool // a search found them in order, or gave up: nothing is left over
}

// partFile is one file of the partition, taken apart.
type partFile struct {
	number     int      // of the file
	first, end int      // its leftovers, by number
	loose      bits     // its lines that are in no whole block
	claimed    bits     // those of them that account for a row all the same
	order      []uint32 // its whole blocks as they stand, where order matters

	looseBelow, claimedBelow *rank // counted when first asked for
}

// open takes the files of a partition apart. Lines that belong elsewhere are
// set aside for their own partition the first time that this is done.
func (o *oracle) open(partition int, first bool) (*partitionCheck, error) {
	c := &o.table
	c.oracle, c.ambiguous, c.settled = o, false, false
	c.parts = c.parts[:0]
	c.left.clear()
	if err := c.load(o.sent, partition); err != nil {
		return nil, err
	}
	c.blocks.build(&c.sheet, c.required)
	for number, file := range o.files {
		if file.partition != partition {
			continue
		}
		err := o.readLines(file, &c.lines, func(index, home int, hash uint64) error {
			if home == NoPartition || !first {
				return nil
			}
			return o.sendHome(number, index, home, hash)
		})
		if err != nil {
			return nil, err
		}
		c.cover(number, file)
		if first {
			o.lines += file.lines - file.headers
			o.reportHeaders(number, file, &c.lines)
		}
	}
	return c, nil
}

// required says whether a block must be there.
func (c *partitionCheck) required(block int) bool { return c.requiredChunk(int(c.chunks[block])) }

// clean says that nothing is left over and nothing is missing.
func (c *partitionCheck) clean() bool {
	if c.left.len() > 0 {
		return false
	}
	for block := range c.blockCount() {
		if !c.blocks.used.has(block) && c.required(block) {
			return false
		}
	}
	return true
}

// finish does what is left to do with a partition when it is explained.
func (c *partitionCheck) finish() {
	if c.inSent {
		c.checkOrder()
	}
}

// blockIndex finds blocks by what they hold. Blocks of equal content hang on
// one chain, those that must be there before those that may be, each in the
// order in which they were sent.
type blockIndex struct {
	sent    *sheet
	slots   []uint32 // open addressing: a block number + 1, the chain's next unused one
	next    []uint32 // of each block, the next of equal content, or none
	used    bits
	lengths []blockLength // longest first
}

// blockLength is a length that some block has.
type blockLength struct {
	rows  int
	power uint64 // sumBase to the length
}

func (x *blockIndex) build(sent *sheet, required func(block int) bool) {
	count := sent.blockCount()
	size := 16
	for size < count+count/2 {
		size *= 2
	}
	x.sent = sent
	x.slots = zeroed(x.slots, size)
	x.next = zeroed(x.next, count)
	x.used = zeroed(x.used, count/64+1)
	lengths := map[int]bool{}
	// A chain grows at its head, so blocks are hung on in reverse.
	for _, must := range []bool{false, true} {
		for block := count - 1; block >= 0; block-- {
			if required(block) == must {
				x.insert(block)
				from, to := sent.block(block)
				lengths[to-from] = true
			}
		}
	}
	x.lengths = sortedLengths(lengths)
}

// zeroed gives a slice of zeros, in the memory of an old one where it fits.
func zeroed[S ~[]E, E any](old S, size int) S {
	if cap(old) < size {
		return make(S, size)
	}
	clear(old[:size])
	return old[:size]
}

func sortedLengths(lengths map[int]bool) []blockLength {
	var sorted []blockLength
	for _, rows := range slices.SortedFunc(maps.Keys(lengths), func(a, b int) int { return cmp.Compare(b, a) }) {
		sorted = append(sorted, blockLength{rows, power(rows)})
	}
	return sorted
}

func (x *blockIndex) insert(block int) {
	from, to := x.sent.block(block)
	slot := x.find(x.sent.sum(block), to-from, func(i int) uint64 { return x.sent.rows[from+i] })
	x.next[block] = none
	if x.slots[slot] != 0 {
		x.next[block] = x.slots[slot] - 1
	}
	x.slots[slot] = uint32(block) + 1
}

// find gives the slot of the blocks that hold the given rows, or the empty
// slot where they would be.
func (x *blockIndex) find(sum uint64, count int, row func(int) uint64) int {
	mask := len(x.slots) - 1
	for slot := int(mix(sum+uint64(count))) & mask; ; slot = (slot + 1) & mask {
		if x.slots[slot] == 0 || x.equal(int(x.slots[slot]-1), count, row) {
			return slot
		}
	}
}

// slotOf finds a block's own slot.
func (x *blockIndex) slotOf(block int) int {
	from, to := x.sent.block(block)
	return x.find(x.sent.sum(block), to-from, func(i int) uint64 { return x.sent.rows[from+i] })
}

func (x *blockIndex) equal(block, count int, row func(int) uint64) bool {
	from, to := x.sent.block(block)
	if to-from != count {
		return false
	}
	for i := range count {
		if x.sent.rows[from+i] != row(i) {
			return false
		}
	}
	return true
}

// take uses up the next block of a slot.
func (x *blockIndex) take(slot int) (block int) {
	block = int(x.slots[slot] - 1)
	x.used.set(block)
	// The last of a chain stays in its slot, marked as used, since the slot
	// is found by its content.
	if x.next[block] != none {
		x.slots[slot] = x.next[block] + 1
	}
	return block
}

// at gives the slot of the longest unused block whose rows stand at a line,
// and how many different contents would have fitted.
func (x *blockIndex) at(lines *hashedLines, index int) (slot, length, choices int) {
	row := func(i int) uint64 { return lines.line(index + i) }
	for _, size := range x.lengths {
		if index+size.rows > lines.len() {
			continue
		}
		found := x.find(lines.stretch(index, size.rows, size.power), size.rows, row)
		if x.slots[found] == 0 || x.used.has(int(x.slots[found]-1)) {
			continue
		}
		if choices++; choices == 1 {
			slot, length = found, size.rows
		}
	}
	return slot, length, choices
}

// cover takes one file apart into whole blocks, the longest that fits first;
// lines that no block begins with are left over. As long as no line offered a
// choice between different contents, there was no other way to do it: then
// what is left over proves that the file is wrong. Where one did, the
// partition is noted as ambiguous.
func (c *partitionCheck) cover(number int, file *outputFile) {
	part := partFile{number: number, first: c.left.len()}
	lines := &c.lines
	for index := 0; index < lines.len(); {
		slot, length, choices := 0, 0, 0
		switch {
		case index == 0 && file.headed:
			index++
			continue
		case lines.header.has(index), lines.foreign.has(index):
			part.loose.set(index)
			index++
			continue
		default:
			slot, length, choices = c.blocks.at(lines, index)
		}
		if choices == 0 {
			part.loose.set(index)
			c.left.add(leftover{key: lines.line(index), index: uint32(index), row: none})
			index++
			continue
		}
		c.ambiguous = c.ambiguous || choices > 1
		block := c.blocks.take(slot)
		if c.inSent {
			part.order = append(part.order, uint32(block))
		}
		index += length
	}
	part.end = c.left.len()
	c.parts = append(c.parts, part)
}
