package check

import mathbits "math/bits"

// pageSize is how many items a page of a list holds.
const pageSize = 1 << 14

// list is a slice that grows without copying: appending to a plain one of ten
// million items would hold the old and the new array at once.
type list[T any] struct {
	pages [][]T
	count int
}

func (l *list[T]) add(item T) {
	if l.count%pageSize == 0 {
		l.pages = append(l.pages, make([]T, pageSize))
	}
	l.pages[l.count/pageSize][l.count%pageSize] = item
	l.count++
}

func (l *list[T]) at(index int) T { return l.pages[index/pageSize][index%pageSize] }

func (l *list[T]) len() int { return l.count }

// bits is a set of small numbers; it grows as it must.
type bits []uint64

func (b bits) has(n int) bool { return n/64 < len(b) && b[n/64]&(1<<(n%64)) != 0 }

func (b *bits) set(n int) {
	for n/64 >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[n/64] |= 1 << (n % 64)
}

func (b bits) count() int {
	count := 0
	for _, word := range b {
		count += mathbits.OnesCount64(word)
	}
	return count
}

// rank counts members of a set below a number in constant time.
type rank struct {
	members bits
	below   []uint32 // of each word, the members in the words before it
}

func newRank(size int, member func(int) bool) *rank {
	r := &rank{members: make(bits, size/64+1), below: make([]uint32, size/64+1)}
	for n := range size {
		if member(n) {
			r.members.set(n)
		}
	}
	for word := 1; word < len(r.below); word++ {
		r.below[word] = r.below[word-1] + uint32(mathbits.OnesCount64(r.members[word-1]))
	}
	return r
}

func (r *rank) before(n int) int {
	return int(r.below[n/64]) + mathbits.OnesCount64(r.members[n/64]&(1<<(n%64)-1))
}
