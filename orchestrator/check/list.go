package check

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

// bits is a set of small numbers.
type bits []uint64

func newBits(size int) bits { return make(bits, (size+63)/64) }

func (b bits) has(n int) bool { return b[n/64]&(1<<(n%64)) != 0 }

func (b bits) set(n int) { b[n/64] |= 1 << (n % 64) }
