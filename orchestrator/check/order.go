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
func (o *oracle) checkOrder() {
	for number, file := range o.files {
		misfits := o.outOfOrder(file)
		if len(misfits) == 0 && !file.settled {
			continue
		}
		if o.ambiguous[file.partition] {
			o.undecided = append(o.undecided, fmt.Sprintf(
				"%s can be taken apart into blocks in several ways, so the order of its blocks could not be decided", file.Path))
			continue
		}
		places := o.blockPlaces(file)
		for _, at := range misfits {
			row, _ := o.sent.block(int(file.order.at(at)))
			o.report.disordered.note(namedLine{file: number, index: places[at], row: uint32(row)})
		}
	}
}

// blockPlaces gives the line at which each of a file's whole blocks begins:
// the lines that are neither left over nor the first header, in order.
func (o *oracle) blockPlaces(file *outputFile) []uint32 {
	places := make([]uint32, 0, file.order.len())
	index, left := uint32(0), file.firstLeft
	if file.headed {
		index++
	}
	for at := range file.order.len() {
		for left < file.endLeft && o.left.at(left).index == index {
			index, left = index+1, left+1
		}
		places = append(places, index)
		from, to := o.sent.block(int(file.order.at(at)))
		index += uint32(to - from)
	}
	return places
}

// outOfOrder gives the places, in the file's sequence of blocks, of those
// that are not in a longest run of ascending ones (patience sorting).
func (o *oracle) outOfOrder(file *outputFile) []int {
	var places []int
	ascending := true
	for at := range file.order.len() {
		if !o.orderKnown(int(file.order.at(at))) {
			continue
		}
		if len(places) > 0 && file.order.at(at) < file.order.at(places[len(places)-1]) {
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
		pile, _ := slices.BinarySearchFunc(tops, file.order.at(place), func(top int, block uint32) int {
			return cmp.Compare(file.order.at(places[top]), block)
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

// orderKnown says whether the order of a block can be asked for.
func (o *oracle) orderKnown(block int) bool {
	if o.orderUnknown == nil {
		o.orderUnknown = o.blocksOfUnknownOrder()
	}
	return !o.orderUnknown.has(block)
}

// blocksOfUnknownOrder finds the blocks of chunks that were sent more than
// once or never confirmed, and those that equal one.
func (o *oracle) blocksOfUnknownOrder() *bits {
	unknown := bits{}
	tainted := map[int]bool{} // slots
	slotOf := func(block int) int {
		from, to := o.sent.block(block)
		sum := uint64(0)
		for row := from; row < to; row++ {
			sum = sum*sumBase + o.sent.rows.at(row)
		}
		return o.blocks.find(sum, to-from, func(i int) uint64 { return o.sent.rows.at(from + i) })
	}
	for block := range o.sent.blockCount() {
		if o.sent.flags[o.sent.chunks.at(block)] != flagConfirmed {
			unknown.set(block)
			tainted[slotOf(block)] = true
		}
	}
	if len(tainted) > 0 {
		for block := range o.sent.blockCount() {
			if tainted[slotOf(block)] {
				unknown.set(block)
			}
		}
	}
	return &unknown
}
