package check

// sheet is what was sent to one partition. The rows of one chunk in one
// partition are a block. Blocks are numbered in the order in which their
// chunks were sent, and rows in the order of blocks, so that a block's rows
// have consecutive numbers.
type sheet struct {
	ledger    *ledger
	partition int
	rows      []uint64 // the hash of each row
	starts    []uint32 // of each block, its first row
	chunks    []uint32 // of each block, its chunk
}

// rowID names a row of any partition.
type rowID struct {
	partition int
	row       uint32 // none when it is no row that was sent
}

var noRow = rowID{NoPartition, none}

// load reads a partition into the sheet, whose memory it uses again.
func (s *sheet) load(sent *ledger, partition int) error {
	part := &sent.parts[partition]
	s.ledger, s.partition = sent, partition
	s.rows, s.starts, s.chunks = sized(s.rows, part.rows), sized(s.starts, part.blocks), sized(s.chunks, part.blocks)
	following := 0 // rows that are still to come of the block
	return sent.spool.each(&part.stream, func(word uint64) {
		if following > 0 {
			following--
			s.rows = append(s.rows, word)
			return
		}
		s.starts = append(s.starts, uint32(len(s.rows)))
		s.chunks = append(s.chunks, uint32(word>>32))
		following = int(uint32(word))
	})
}

// sized gives an empty slice with room for a number of items.
func sized[T any](old []T, size int) []T {
	if cap(old) >= size {
		return old[:0]
	}
	return make([]T, 0, size)
}

func (s *sheet) blockCount() int { return len(s.starts) }

// block gives the numbers of a block's rows, from and up to but not including.
func (s *sheet) block(number int) (from, to int) {
	from, to = int(s.starts[number]), len(s.rows)
	if number+1 < len(s.starts) {
		to = int(s.starts[number+1])
	}
	return from, to
}

// blockOf finds the block that holds a row.
func (s *sheet) blockOf(row uint32) int {
	low, high := 0, len(s.starts)
	for high-low > 1 {
		if middle := (low + high) / 2; s.starts[middle] <= row {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

func (s *sheet) sameBlock(a, b uint32) bool { return s.blockOf(a) == s.blockOf(b) }

// adjacent says whether a row comes right after another in one block.
func (s *sheet) adjacent(row, next uint32) bool {
	return row != none && row+1 == next && int(next) < len(s.rows) && s.sameBlock(row, next)
}

// sum is the hash by which a block is found among the lines of a file.
func (s *sheet) sum(block int) uint64 {
	from, to := s.block(block)
	sum := uint64(0)
	for _, row := range s.rows[from:to] {
		sum = sum*sumBase + row
	}
	return sum
}
