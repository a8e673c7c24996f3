package worker3

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Equal lines share a chain, and those that came first are taken first: what
// taking one costs must not depend on how many wait behind it.
func BenchmarkOwnOldestOfEqualLines(b *testing.B) {
	for _, waiting := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("waiting=%d", waiting), func(b *testing.B) {
			x := newIndex()
			for range waiting {
				x.add(7)
			}
			for oldest := int64(0); b.Loop(); oldest++ {
				x.own(oldest)
				x.add(7)
			}
		})
	}
}

// Whatever lines are taken and given back, the chains hold those without an
// owner, each once, and can be followed from both ends.
func TestChainsHoldTheLinesWithoutOwner(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	x := newIndex()
	lines := map[int64]fingerprint{}
	free := map[int64]bool{}
	for step := range 20_000 {
		switch number := random.Int64N(x.end + 1); {
		case random.IntN(3) == 0:
			line := fingerprint(1 + random.Uint64N(40))
			lines[x.end], free[x.end] = line, true
			x.add(line)
		case free[number]:
			delete(free, number)
			x.own(number)
		case lines[number] != 0:
			free[number] = true
			x.release(number, lines[number])
		}
		if step%500 != 0 {
			continue
		}
		found := 0
		for _, newest := range x.last {
			for at, newer := newest, link(0); at != 0; found++ {
				s, i := x.segment(int64(at) - 1)
				if s == nil || !free[int64(at)-1] || s.lines[i] != lines[int64(at)-1] || s.after[i] != newer {
					t.Fatalf("step %d: line %d is in a chain, free: %t, behind line %d", step, at, free[int64(at)-1], newer)
				}
				at, newer = s.before[i], at
			}
		}
		if found != len(free) || x.free != len(free) {
			t.Fatalf("step %d: the chains hold %d lines, %d are counted, and %d have no owner", step, found, x.free, len(free))
		}
	}
}
