package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// maxSearchSteps bounds the search for a way to take a partition's files
// apart: in general that is an NP-hard question (it contains bin packing), and
// data on which it is one are rare. A search that ends without an answer makes
// the check uncomputed, never passed or failed.
const maxSearchSteps = 4_000_000

// settleAmbiguous looks again at the partitions whose files could be taken
// apart in several ways and for which the way that cover chose left something
// over. If some way leaves nothing over, the partition is in order.
func (o *oracle) settleAmbiguous() error {
	if len(o.ambiguous) == 0 {
		return nil
	}
	blocks := map[int][]int{}
	block := 0
	err := o.eachSentBlock(func(partition int) {
		if o.ambiguous[partition] {
			blocks[partition] = append(blocks[partition], block)
		}
		block++
	})
	if err != nil {
		return err
	}
	for _, partition := range slices.Sorted(maps.Keys(o.ambiguous)) {
		if !o.unsettled(partition, blocks[partition]) {
			continue
		}
		s, err := o.newSearch(partition, blocks[partition])
		if err != nil {
			return err
		}
		switch s.run() {
		case searchFound:
			o.settle(partition, s.chosen())
		case searchGaveUp:
			// Nothing is said of this partition, neither good nor bad.
			o.settle(partition, blocks[partition])
			o.undecided = append(o.undecided, fmt.Sprintf(
				"the rows of partition %d are so alike that they can be taken apart into chunks in too many ways to try (%d were)", partition, maxSearchSteps))
		}
	}
	return nil
}

// unsettled says whether something of a partition is left over or missing.
func (o *oracle) unsettled(partition int, blocks []int) bool {
	for _, file := range o.files {
		if file.partition == partition && file.endLeft > file.firstLeft {
			return true
		}
	}
	return slices.ContainsFunc(blocks, func(block int) bool {
		return o.required(block) && !o.blocks.used.has(block)
	})
}

// settle takes the given blocks of a partition, and all of its lines, as in
// order.
func (o *oracle) settle(partition int, blocks []int) {
	for _, block := range blocks {
		o.blocks.used.set(block)
	}
	for _, file := range o.files {
		if file.partition == partition {
			file.settled = true
			file.firstLeft = file.endLeft
		}
	}
}

// eachSentBlock gives the partition of every block, in the order of numbers.
func (o *oracle) eachSentBlock(each func(partition int)) error {
	lastBlock := -1
	return o.eachSentRow(func(row uint32, _ string, sent sentRow) {
		if block := o.sent.blockOf(int(row)); block != lastBlock {
			lastBlock = block
			each(sent.partition)
		}
	})
}

// search looks for a way to take a partition's files apart into blocks so
// that every required one is used and no one twice.
type search struct {
	oracle   *oracle
	lines    *hashedLines // of all files of the partition, one after the other
	ends     []int        // of each file, where its lines end
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

func (o *oracle) newSearch(partition int, blocks []int) (*search, error) {
	s := &search{
		oracle: o, lines: &hashedLines{lineSums: newLineSums()},
		bySum: map[uint64][]*content{}, failed: map[uint64]bool{},
	}
	for _, file := range o.files {
		if file.partition != partition {
			continue
		}
		read, err := o.hashLines(file)
		if err != nil {
			return nil, err
		}
		for index := range read.len() {
			if index == 0 && read.header.has(0) {
				continue
			}
			s.lines.add(read.line(index))
		}
		s.ends = append(s.ends, s.lines.len())
	}
	for _, must := range []bool{true, false} {
		for _, block := range blocks {
			if o.required(block) == must {
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
	for _, rows := range slices.SortedFunc(maps.Keys(lengths), func(a, b int) int { return cmp.Compare(b, a) }) {
		s.lengths = append(s.lengths, blockLength{rows, power(rows)})
	}
	return s, nil
}

func (s *search) addBlock(block int, required bool) {
	sent := s.oracle.sent
	from, to := sent.block(block)
	sum := uint64(0)
	for row := from; row < to; row++ {
		sum = sum*sumBase + sent.rows.at(row)
	}
	var mine *content
	for _, known := range s.bySum[sum] {
		if s.oracle.blocks.equal(known.blocks[0], to-from, func(i int) uint64 { return sent.rows.at(from + i) }) {
			mine = known
		}
	}
	if mine == nil {
		mine = &content{rows: to - from}
		s.contents = append(s.contents, mine)
		s.bySum[sum] = append(s.bySum[sum], mine)
	}
	mine.blocks = append(mine.blocks, block)
	if required {
		mine.required++
	}
}

// countsFit says whether each row stands at least as often as it must and no
// more often than it may: without that there is no way, and no need to search.
func (s *search) countsFit() bool {
	must, may := map[uint64]int{}, map[uint64]int{}
	for _, content := range s.contents {
		from, to := s.oracle.sent.block(content.blocks[0])
		for row := from; row < to; row++ {
			must[s.oracle.sent.rows.at(row)] += content.required
			may[s.oracle.sent.rows.at(row)] += len(content.blocks)
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

// run searches depth first. A state, the place and what was used up to it,
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
		if s.steps++; s.steps > maxSearchSteps {
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
			equal := s.oracle.blocks.equal(content.blocks[0], length.rows, func(i int) uint64 { return s.lines.line(index + i) })
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
