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
				x.chainAll()
				x.own(oldest)
				x.add(7)
			}
		})
	}
}

// Whatever lines are taken and given back, the chains hold those without an
// owner that are not new, each once, and can be followed from both ends.
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
		case random.IntN(3) == 0 && x.front < x.end:
			delete(free, x.front)
			x.own(x.front)
		case free[number]:
			x.chainAll()
			delete(free, number)
			x.own(number)
		case number < x.front && lines[number] != 0:
			free[number] = true
			x.release(number, lines[number])
		}
		if step%500 != 0 {
			continue
		}
		found := x.end - x.front
		for _, newest := range x.last {
			for at, newer := newest, link(0); at != 0; found++ {
				s, i := x.segment(int64(at) - 1)
				if s == nil || !free[int64(at)-1] || s.lines[i] != lines[int64(at)-1] || s.after[i] != newer {
					t.Fatalf("step %d: line %d is in a chain, free: %t, behind line %d", step, at, free[int64(at)-1], newer)
				}
				at, newer = s.before[i], at
			}
		}
		if found != int64(len(free)) || int64(x.chained) != found-(x.end-x.front) {
			t.Fatalf("step %d: the chains and what is not chained hold %d lines, %d are counted in the chains, and %d have no owner", step, found, x.chained, len(free))
		}
	}
}

// A block that takes lines behind the front leaves the others to be found.
func TestPlaceBehindTheFront(t *testing.T) {
	x := newIndex()
	for line := fingerprint(1); line <= 6; line++ {
		x.add(line)
	}
	x.place(&block{lines: []fingerprint{4, 5}}, 3)
	for line := fingerprint(1); line <= 6; line++ {
		at, found := x.find([]fingerprint{line})
		if want := line != 4 && line != 5; found != want || found && at != int64(line)-1 {
			t.Errorf("line %d: found at %d, %t; want %t", line, at, found, want)
		}
	}
	held := 0
	for _, at := range x.last {
		for ; at != 0; held++ {
			s, i := x.segment(int64(at) - 1)
			at = s.before[i]
		}
	}
	if held != 4 || x.chained != 4 {
		t.Errorf("the chains hold %d lines and count %d, want 4", held, x.chained)
	}
}
