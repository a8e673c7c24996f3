package worker3

import "slices"

// fingerprint stands for one line; 0 stands for a line that is not looked for
// any more. Two lines with one fingerprint are taken for equal: it has 64 bits
// and a seed of its own in each process.
type fingerprint uint64

// index finds blocks of lines in a file. It holds what no chunk has been found
// to own yet, so that each line counts for one chunk only, and it forgets lines
// that have an owner.
type index struct {
	first int64         // number of lines[0] in the file, from 0
	lines []fingerprint // in the file's order
	owned int           // how many of the first lines are 0
	where map[fingerprint][]int64

	// fresh is the first line that was appended before this process's eyes.
	// Who owns the lines before it may have been found by an earlier life.
	fresh int64
	// reached is the last place at which a block was owned.
	reached int64
	// passed is the line up to which leftovers were looked at.
	passed int64
}

func newIndex() *index { return &index{where: map[fingerprint][]int64{}} }

// end is the number that the next line gets.
func (x *index) end() int64 { return x.first + int64(len(x.lines)) }

// add appends a line. The zero fingerprint is for a line that nobody owns, the
// header.
func (x *index) add(line fingerprint) {
	if line != 0 {
		x.where[line] = append(x.where[line], x.end())
	}
	x.lines = append(x.lines, line)
}

// find gives the number of the line at which the block begins: the first place
// among the fresh lines, else the first one of all. Fresh lines come first so
// that older ones, whose owners are not known, are left over rather than newer
// ones.
func (x *index) find(block []fingerprint) (at int64, found bool) {
	candidates := x.where[block[0]]
	firstFresh, _ := slices.BinarySearch(candidates, x.fresh)
	for _, at := range candidates[firstFresh:] {
		if x.holds(at, block) {
			return at, true
		}
	}
	for _, at := range candidates[:firstFresh] {
		if x.holds(at, block) {
			return at, true
		}
	}
	return 0, false
}

// holds says whether the block stands at line at and has no owner.
func (x *index) holds(at int64, block []fingerprint) bool {
	from := at - x.first
	return from >= 0 && from+int64(len(block)) <= int64(len(x.lines)) &&
		slices.Equal(x.lines[from:from+int64(len(block))], block)
}

// own takes count lines out of the index.
func (x *index) own(at int64, count int) {
	for number := at; number < at+int64(count); number++ {
		line := x.lines[number-x.first]
		others := x.where[line]
		if position, there := slices.BinarySearch(others, number); there {
			others = slices.Delete(others, position, position+1)
		}
		if len(others) == 0 {
			delete(x.where, line)
		} else {
			x.where[line] = others
		}
		x.lines[number-x.first] = 0
	}
	x.forget()
}

// forget gives the memory of the first lines back once they are the larger part.
func (x *index) forget() {
	for x.owned < len(x.lines) && x.lines[x.owned] == 0 {
		x.owned++
	}
	if x.owned > len(x.lines)/2 {
		x.lines = append([]fingerprint(nil), x.lines[x.owned:]...)
		x.first += int64(x.owned)
		x.owned = 0
	}
}

// leftovers gives the fresh lines without an owner between the last call's
// line and this one, and takes note that they were looked at. Chunks are
// forwarded in the order in which they are written, so no chunk that is still
// to come should own one of them.
func (x *index) leftovers(before int64) []int64 {
	var numbers []int64
	for number := max(x.passed, x.fresh, x.first); number < before; number++ {
		if x.lines[number-x.first] != 0 {
			numbers = append(numbers, number)
		}
	}
	x.passed = max(x.passed, before)
	return numbers
}

// at gives a line, 0 when it has an owner.
func (x *index) at(number int64) fingerprint {
	if number < x.first || number >= x.end() {
		return 0
	}
	return x.lines[number-x.first]
}

// count says how many lines like this one have no owner.
func (x *index) count(line fingerprint) int { return len(x.where[line]) }
