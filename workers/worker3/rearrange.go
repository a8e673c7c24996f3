package worker3

import "slices"

// move is a place for a block.
type move struct {
	block *block
	at    int64
}

// searchSteps bounds how many places are tried for one block and those that it
// puts out of theirs. Without equal rows a handful is enough.
const searchSteps = 2000

// plan says how a block comes to a place of its own, if there is a way.
func (x *index) plan(b *block) ([]move, bool) {
	if at, there := x.find(b.lines); there {
		return []move{{b, at}}, true
	}
	return x.rearrange(b)
}

// rearrange finds a place for a block where all of its places have owners: one
// from which the owners can go elsewhere. Which of several equal blocks is whose
// cannot be known when a chunk is judged, since those that are still to come may
// stand before it in the file; so what was chosen then is chosen again.
func (x *index) rearrange(b *block) ([]move, bool) {
	s := search{index: x, moving: map[*block]bool{b: true}}
	if !s.settle([]*block{b}) {
		return nil, false
	}
	return s.moves, true
}

// move carries out a plan.
func (x *index) move(moves []move) {
	for _, m := range moves[1:] { // the first one has no place yet
		x.displace(m.block)
	}
	for _, m := range moves {
		x.place(m.block, m.at)
	}
}

// search tries places, and goes back where one leads nowhere. It comes to every
// arrangement in which each block that moves makes room for another, and so to
// one that is right if there is any, unless it runs out of steps: of all right
// ones, take one that moves the fewest blocks.
type search struct {
	index  *index
	steps  int
	moving map[*block]bool // their old places are free
	moves  []move          // decided
}

// settle finds places for all that wait.
func (s *search) settle(waiting []*block) bool {
	if len(waiting) == 0 {
		return true
	}
	b := waiting[0]
	for _, t := range s.tries(b) {
		if s.steps == searchSteps {
			return false
		}
		s.steps++
		s.moves = append(s.moves, move{b, t.at})
		for _, other := range t.out {
			s.moving[other] = true
		}
		if s.settle(append(slices.Clone(waiting[1:]), t.out...)) {
			return true
		}
		for _, other := range t.out {
			delete(s.moving, other)
		}
		s.moves = s.moves[:len(s.moves)-1]
	}
	return false
}

// try is a place for a block and the blocks that it puts out.
type try struct {
	at  int64
	out []*block
}

// tries gives the places that a block may take, those that put out the fewest
// others first.
func (s *search) tries(b *block) []try {
	var tries []try
	consider := func(at int64) {
		if out, may := s.putOut(b, at); may {
			tries = append(tries, try{at, out})
		}
	}
	for _, owner := range s.index.placed {
		for i, line := range owner.lines {
			if line == b.lines[0] {
				consider(owner.at + int64(i))
			}
		}
	}
	for at := range s.index.alike(b.lines[0]) {
		consider(at)
		if len(tries) >= searchSteps {
			break
		}
	}
	slices.SortStableFunc(tries, func(a, b try) int { return len(a.out) - len(b.out) })
	return tries
}

// putOut gives the blocks that would lose their place. A block may not stand
// where its lines do not, nor where one stands that was given its place in this
// search. To put out an equal block from the same place changes nothing.
func (s *search) putOut(b *block, at int64) (out []*block, may bool) {
	end := at + int64(len(b.lines))
	for i, line := range b.lines {
		number := at + int64(i)
		if s.index.line(number) != line {
			return nil, false
		}
		owner := s.index.owner(number)
		if owner == nil || s.moving[owner] || slices.Contains(out, owner) {
			continue
		}
		if owner.at == at && slices.Equal(owner.lines, b.lines) {
			return nil, false
		}
		out = append(out, owner)
	}
	for _, m := range s.moves {
		if m.at < end && at < m.at+int64(len(m.block.lines)) {
			return nil, false
		}
	}
	return out, true
}
