package check

import (
	"cmp"
	"maps"
	"slices"
)

// blockIndex finds blocks by what they hold. Blocks of equal content hang on
// one chain, those that must be there before those that may be, each in the
// order in which they were sent.
type blockIndex struct {
	sent    *ledger
	slots   []uint32 // open addressing: a block number + 1, the chain's next unused one
	next    []uint32 // of each block, the next of equal content, or none
	used    bits
	lengths []blockLength
}

// blockLength is a length that some block has.
type blockLength struct {
	rows  int
	power uint64 // sumBase to the length
}

func newBlockIndex(sent *ledger, required func(block int) bool) *blockIndex {
	count := sent.blockCount()
	size := 16
	for size < count+count/2 {
		size *= 2
	}
	index := &blockIndex{sent: sent, slots: make([]uint32, size), next: make([]uint32, count)}
	lengths := map[int]bool{}
	// A chain grows at its head, so blocks are hung on in reverse.
	for _, must := range []bool{false, true} {
		for block := count - 1; block >= 0; block-- {
			if required(block) != must {
				continue
			}
			from, to := sent.block(block)
			lengths[to-from] = true
			index.insert(block)
		}
	}
	for _, rows := range slices.SortedFunc(maps.Keys(lengths), func(a, b int) int { return cmp.Compare(b, a) }) {
		index.lengths = append(index.lengths, blockLength{rows, power(rows)})
	}
	return index
}

func (x *blockIndex) insert(block int) {
	from, to := x.sent.block(block)
	sum := uint64(0)
	for row := from; row < to; row++ {
		sum = sum*sumBase + x.sent.rows.at(row)
	}
	slot := x.find(sum, to-from, func(i int) uint64 { return x.sent.rows.at(from + i) })
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

func (x *blockIndex) equal(block, count int, row func(int) uint64) bool {
	from, to := x.sent.block(block)
	if to-from != count {
		return false
	}
	for i := range count {
		if x.sent.rows.at(from+i) != row(i) {
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
	for _, size := range x.lengths {
		if index+size.rows > lines.len() {
			continue
		}
		sum := lines.stretch(index, size.rows, size.power)
		found := x.find(sum, size.rows, func(i int) uint64 { return lines.line(index + i) })
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
// what is left over proves that the file is wrong. Where one did, the file's
// partition is noted as ambiguous.
func (o *oracle) cover(number int, file *outputFile) error {
	lines, err := o.hashLines(file)
	if err != nil {
		return err
	}
	o.lines += lines.len() - lines.header.count()
	file.firstLeft = o.left.len()
	for index := 0; index < lines.len(); {
		if index == 0 && lines.header.has(0) {
			index++
			continue
		}
		slot, length, choices := 0, 0, 0
		if !lines.foreign.has(index) && !lines.header.has(index) {
			slot, length, choices = o.blocks.at(lines, index)
		}
		if choices == 0 {
			o.left.add(leftover{key: lines.line(index), index: uint32(index)}, lines.foreign.has(index), lines.header.has(index))
			index++
			continue
		}
		if choices > 1 {
			o.ambiguous[file.partition] = true
		}
		block := o.blocks.take(slot)
		if o.inSent {
			file.order.add(uint32(block))
		}
		index += length
	}
	file.endLeft = o.left.len()
	o.checkHeader(number, file, lines)
	return nil
}

// checkHeader asks for the header once and first. Later ones are left over
// and reported as such; a first line that may be a piece of the header is
// looked at with the other fragments.
func (o *oracle) checkHeader(number int, file *outputFile, lines *hashedLines) {
	file.headed = lines.header.has(0)
	if o.facts.Output.Header == "" || file.headed {
		return
	}
	o.report.headerMissing = append(o.report.headerMissing, number)
}
