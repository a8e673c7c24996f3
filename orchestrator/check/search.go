package check

import (
	"fmt"
	"slices"
)

// settle looks again at a partition whose files could be taken apart in
// several ways when the way that cover chose left something over. If some way
// leaves nothing over, the partition is in order.
func (c *partitionCheck) settle() error {
	if !c.ambiguous || c.clean() {
		return nil
	}
	s, err := c.newSearch()
	if err != nil {
		return err
	}
	switch s.run() {
	case searchFound:
		c.inOrder(s.chosen())
	case searchGaveUp:
		// Nothing is said of this partition, neither good nor bad.
		c.inOrder(c.allBlocks())
		c.undecided = append(c.undecided, fmt.Sprintf(
			"the rows of partition %d are so alike that they can be taken apart into chunks in too many ways to try (%d were)", c.partition, s.steps))
	}
	return nil
}

func (c *partitionCheck) allBlocks() []int {
	blocks := make([]int, c.blockCount())
	for block := range blocks {
		blocks[block] = block
	}
	return blocks
}

// inOrder takes the given blocks, and all lines of the partition's files, as
// being in order.
func (c *partitionCheck) inOrder(blocks []int) {
	c.settled = true
	for _, block := range blocks {
		c.blocks.used.set(block)
	}
	c.left.clear()
	for i := range c.parts {
		c.parts[i].first, c.parts[i].end = 0, 0
	}
}

// search looks for a way to take a partition's files apart into blocks so
// that every required one is used and no one twice.
type search struct {
	check    *partitionCheck
	lines    hashedLines // of all files of the partition, one after the other
	ends     []int       // of each file, where its lines end
	contents []*content
	bySum    map[uint64][]*content
	lengths  []blockLength
	spare    int // how many lines may still go to blocks that are not required
	steps    int
	failed   map[uint64]bool // states from which there is no way on
	state    uint64          // stands for how often each content is used
}

// content is what one or more equal blocks hold.
type content struct {
	blocks   []int // required ones first
	required int
	used     int
	rows     int
	mark     uint64 // its share in the state
}

type searchResult int

const (
	searchFound searchResult = iota
	searchImpossible
	searchGaveUp
)

func (c *partitionCheck) newSearch() (*search, error) {
	s := &search{check: c, bySum: map[uint64][]*content{}, failed: map[uint64]bool{}}
	s.lines.clear()
	for _, part := range c.parts {
		file := c.files[part.number]
		err := c.readLines(file, &c.lines, func(int, int, uint64) error { return nil })
		if err != nil {
			return nil, err
		}
		for index := range c.lines.len() {
			if index > 0 || !file.headed {
				s.lines.add(c.lines.line(index))
			}
		}
		s.ends = append(s.ends, s.lines.len())
	}
	for _, must := range []bool{true, false} {
		for block := range c.blockCount() {
			if c.required(block) == must {
				s.addBlock(block, must)
			}
		}
	}
	lengths := map[int]bool{}
	s.spare = s.lines.len()
	for number, content := range s.contents {
		content.mark = mix(uint64(number) + 1)
		lengths[content.rows] = true
		s.spare -= content.required * content.rows
	}
	s.lengths = sortedLengths(lengths)
	return s, nil
}

func (s *search) addBlock(block int, required bool) {
	sum := s.check.sum(block)
	rows := s.rowsOf(block)
	var mine *content
	for _, known := range s.bySum[sum] {
		if slices.Equal(s.rowsOf(known.blocks[0]), rows) {
			mine = known
		}
	}
	if mine == nil {
		mine = &content{rows: len(rows)}
		s.contents = append(s.contents, mine)
		s.bySum[sum] = append(s.bySum[sum], mine)
	}
	mine.blocks = append(mine.blocks, block)
	if required {
		mine.required++
	}
}

func (s *search) rowsOf(block int) []uint64 {
	from, to := s.check.block(block)
	return s.check.rows[from:to]
}

// countsFit says whether each row stands at least as often as it must and no
// more often than it may: without that there is no way, and no need to search.
func (s *search) countsFit() bool {
	must, may := map[uint64]int{}, map[uint64]int{}
	for _, content := range s.contents {
		for _, row := range s.rowsOf(content.blocks[0]) {
			must[row] += content.required
			may[row] += len(content.blocks)
		}
	}
	for index := range s.lines.len() {
		must[s.lines.line(index)]--
		may[s.lines.line(index)]--
	}
	for _, left := range must {
		if left > 0 {
			return false
		}
	}
	for _, left := range may {
		if left < 0 {
			return false
		}
	}
	return true
}

// choice is one place at which a block was put, and those not yet tried there.
type choice struct {
	index   int
	options []*content
	taken   *content
}

// run searches depth first. In general the question is NP-hard (it contains
// bin packing), so the number of steps is bounded; data on which the bound
// matters are rare. A search that ends without an answer makes the check
// uncomputed, never passed or failed. A state, the place and what was used up to it,
// that was once left without success is not entered again.
func (s *search) run() searchResult {
	if !s.countsFit() {
		return searchImpossible
	}
	trail := []choice{{index: 0, options: s.options(0)}}
	for len(trail) > 0 {
		here := &trail[len(trail)-1]
		if here.index == s.lines.len() {
			return searchFound // spare is 0: see options
		}
		if here.taken != nil {
			s.giveBack(here.taken)
			here.taken = nil
		}
		if len(here.options) == 0 {
			s.failed[mix(s.state+uint64(here.index))] = true
			trail = trail[:len(trail)-1]
			continue
		}
		if s.steps++; s.steps > s.check.seen.limits.searched {
			return searchGaveUp
		}
		here.taken, here.options = here.options[0], here.options[1:]
		s.use(here.taken)
		next := here.index + here.taken.rows
		if s.spare < 0 || s.failed[mix(s.state+uint64(next))] {
			continue
		}
		trail = append(trail, choice{index: next, options: s.options(next)})
	}
	return searchImpossible
}

// use takes one more block of a content: a required one while there is any.
// Since all lines are used up in the end, those of required blocks are too if
// and only if the others take exactly the lines to spare.
func (s *search) use(c *content) {
	if c.used >= c.required {
		s.spare -= c.rows
	}
	c.used++
	s.state += c.mark
}

func (s *search) giveBack(c *content) {
	c.used--
	if c.used >= c.required {
		s.spare += c.rows
	}
	s.state -= c.mark
}

// options gives the contents that stand at a place and are not used up,
// within one file, the longest first.
func (s *search) options(index int) []*content {
	file, _ := slices.BinarySearch(s.ends, index+1)
	if file == len(s.ends) {
		return nil
	}
	var options []*content
	for _, length := range s.lengths {
		if index+length.rows > s.ends[file] {
			continue
		}
		for _, content := range s.bySum[s.lines.stretch(index, length.rows, length.power)] {
			equal := s.check.blocks.equal(content.blocks[0], length.rows, func(i int) uint64 { return s.lines.line(index + i) })
			if equal && content.used < len(content.blocks) {
				options = append(options, content)
			}
		}
	}
	return options
}

// chosen gives the blocks that the way found uses.
func (s *search) chosen() []int {
	var blocks []int
	for _, content := range s.contents {
		blocks = append(blocks, content.blocks[:content.used]...)
	}
	return blocks
}
