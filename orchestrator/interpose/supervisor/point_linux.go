package supervisor

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// armed is a point with how far it has come in this incarnation.
type armed struct {
	interpose.Point
	kind  kind
	count int // matching calls so far
	fired int
}

func (a *armed) times() int { return max(a.Times, 1) }

func (a *armed) done() bool { return a.fired >= a.times() }

// sequence is the points of a plan, of which only the first that is not done can fire.
type sequence struct {
	points      []*armed
	incarnation int
}

func newSequence(points []interpose.Point, incarnation int) *sequence {
	s := &sequence{incarnation: incarnation}
	for _, point := range points {
		s.points = append(s.points, &armed{Point: point, kind: kindOf[point.Operation]})
	}
	return s
}

// arm lets points fire that were there for later.
func (s *sequence) arm(ids []string) error {
	for _, id := range ids {
		i := slices.IndexFunc(s.points, func(a *armed) bool { return a.ID == id })
		if i < 0 {
			return fmt.Errorf("arm point %q: the plan has no such point", id)
		}
		s.points[i].Later = false
	}
	return nil
}

// here reports whether the point can fire in this incarnation.
func (s *sequence) here(a *armed) bool {
	return a.Incarnation == 0 || a.Incarnation == s.incarnation
}

// next is the one point that can fire now, or nil. Points for later are passed over until they are armed.
func (s *sequence) next() *armed {
	for _, a := range s.points {
		if s.here(a) && !a.Later && !a.done() {
			return a
		}
	}
	return nil
}

// kinds are the operations that the points need to see.
func (s *sequence) kinds() kind {
	var all kind
	for _, a := range s.points {
		all |= a.kind
	}
	return all
}

// count counts an operation for every point that it matches, and returns the point that it reaches, or nil. matching has bit i set where point i's path matches.
func (s *sequence) count(k kind, matching uint64) *armed {
	var reached *armed
	for ; matching != 0; matching &= matching - 1 {
		a := s.points[bits.TrailingZeros64(matching)]
		if a.kind&k == 0 {
			continue
		}
		a.count++
		if a.count >= a.Occurrence && a.count < a.Occurrence+a.times() && a == s.next() {
			reached = a
		}
	}
	return reached
}

// counts says how many calls matched each point.
func (s *sequence) counts() map[string]int {
	counts := make(map[string]int, len(s.points))
	for _, a := range s.points {
		counts[a.ID] = a.count
	}
	return counts
}
