package check

import (
	"cmp"
	"fmt"
	"slices"
)

// checkOrder asks that the whole blocks of each file stand in the order in
// which their chunks were first sent. What is named is the smallest set of
// blocks that would have to move. It is not asked of chunks that were sent
// more than once or never confirmed, whose arrival may be any of several, nor
// of blocks that equal one of those.
func (c *partitionCheck) checkOrder() {
	unknown := c.blocksOfUnknownOrder()
	for i := range c.parts {
		part := &c.parts[i]
		misfits := c.outOfOrder(part, unknown)
		if len(misfits) == 0 && !c.settled {
			continue
		}
		if c.ambiguous {
			c.undecided = append(c.undecided, fmt.Sprintf(
				"%s can be taken apart into blocks in several ways, so the order of its blocks could not be decided", c.files[part.number].Path))
			continue
		}
		places := c.blockPlaces(part)
		for _, at := range misfits {
			row, _ := c.block(int(part.order[at]))
			c.report.disordered.note(namedLine{part.number, places[at], rowID{c.partition, uint32(row)}})
		}
	}
}

// blockPlaces gives the line at which each of a file's whole blocks begins.
func (c *partitionCheck) blockPlaces(part *partFile) []uint32 {
	places := make([]uint32, 0, len(part.order))
	index := uint32(0)
	if c.files[part.number].headed {
		index++
	}
	for _, block := range part.order {
		for part.loose.has(int(index)) {
			index++
		}
		places = append(places, index)
		from, to := c.block(int(block))
		index += uint32(to - from)
	}
	return places
}

// outOfOrder gives the places, in the file's sequence of blocks, of those
// that are not in a longest run of ascending ones (patience sorting).
func (c *partitionCheck) outOfOrder(part *partFile, unknown bits) []int {
	var places []int
	ascending := true
	for at, block := range part.order {
		if unknown.has(int(block)) {
			continue
		}
		if len(places) > 0 && block < part.order[places[len(places)-1]] {
			ascending = false
		}
		places = append(places, at)
	}
	if ascending {
		return nil
	}
	var tops []int // of each length of ascending run, the place where the lowest ends
	before := make([]int, len(places))
	for i, place := range places {
		pile, _ := slices.BinarySearchFunc(tops, part.order[place], func(top int, block uint32) int {
			return cmp.Compare(part.order[places[top]], block)
		})
		before[i] = -1
		if pile > 0 {
			before[i] = tops[pile-1]
		}
		if pile == len(tops) {
			tops = append(tops, i)
		} else {
			tops[pile] = i
		}
	}
	fits := map[int]bool{}
	for i := tops[len(tops)-1]; i >= 0; i = before[i] {
		fits[places[i]] = true
	}
	return slices.DeleteFunc(places, func(place int) bool { return fits[place] })
}

// blocksOfUnknownOrder finds the blocks of chunks that were sent more than
// once or never confirmed, and those that equal one.
func (c *partitionCheck) blocksOfUnknownOrder() bits {
	var unknown bits
	tainted := map[int]bool{} // slots
	for block := range c.blockCount() {
		if c.ledger.flags[c.chunks[block]] != flagConfirmed {
			unknown.set(block)
			tainted[c.blocks.slotOf(block)] = true
		}
	}
	if len(tainted) == 0 {
		return unknown
	}
	for block := range c.blockCount() {
		if tainted[c.blocks.slotOf(block)] {
			unknown.set(block)
		}
	}
	return unknown
}
