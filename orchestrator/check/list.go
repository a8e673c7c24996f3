package check

import mathbits "math/bits"

// pageSize is how many items a page of a list holds.
const pageSize = 1 << 12

// list is a slice that grows without copying: appending to a plain one of ten
// million items would hold the old and the new array at once.
type list[T any] struct {
	pages [][]T
	count int
}

func (l *list[T]) add(item T) {
	if l.count/pageSize == len(l.pages) {
		l.pages = append(l.pages, make([]T, pageSize))
	}
	l.pages[l.count/pageSize][l.count%pageSize] = item
	l.count++
}

func (l *list[T]) at(index int) *T { return &l.pages[index/pageSize][index%pageSize] }

func (l *list[T]) len() int { return l.count }

// clear empties the list and keeps its memory.
func (l *list[T]) clear() { l.count = 0 }

// bits is a set of small numbers; it grows as it must.
type bits []uint64

func (b bits) has(n int) bool { return n/64 < len(b) && b[n/64]&(1<<(n%64)) != 0 }

func (b *bits) set(n int) {
	for n/64 >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[n/64] |= 1 << (n % 64)
}

// rank counts members of a set below a number in constant time.
type rank struct {
	members bits
	below   []uint32 // of each word, the members in the words before it
}

func newRank(members bits) *rank {
	r := &rank{members: members, below: make([]uint32, len(members)+1)}
	for word := range members {
		r.below[word+1] = r.below[word] + uint32(mathbits.OnesCount64(members[word]))
	}
	return r
}

func (r *rank) before(n int) int {
	if n/64 >= len(r.members) {
		return int(r.below[len(r.members)])
	}
	return int(r.below[n/64]) + mathbits.OnesCount64(r.members[n/64]&(1<<(n%64)-1))
}
