package explore

import (
	"cmp"
	"slices"

	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// subsets is how many subsets are drawn by seed at a point, where the other
// ways of losing do not cover all there are.
const subsets = 2

// losses is every way in which a campaign lets a power cut take the changes
// that are pending at a point: all, none, each one alone dropped, each one
// alone kept, every prefix, and some subsets by seed. What comes to the same is
// there once. A negative number is one that is not known.
func losses(pending, seed int) []scenario.Loss {
	all := []scenario.Loss{{Kind: scenario.LoseAll}}
	if pending == 0 {
		return all
	}
	all = append(all, scenario.Loss{Kind: scenario.LoseNone})
	if pending > 1 {
		for n := 1; n <= pending; n++ {
			all = append(all, scenario.Loss{Kind: scenario.LoseDrop, Number: n})
		}
	}
	if pending > 2 {
		for n := 1; n <= pending; n++ {
			all = append(all, scenario.Loss{Kind: scenario.LoseKeep, Number: n})
		}
		// A prefix of 1 keeps the first, one of all but 1 drops the last.
		for n := 2; n < pending-1; n++ {
			all = append(all, scenario.Loss{Kind: scenario.LosePrefix, Number: n})
		}
	}
	if pending < 0 || pending > 3 {
		for n := range subsets {
			all = append(all, scenario.Loss{Kind: scenario.LoseSeed, Number: seed + n})
		}
	}
	return all
}

// draw takes at most so many of the losses of a point, by seed; all and none
// are always among them. 0 takes every one.
func draw(all []scenario.Loss, most, seed int, point string) []scenario.Loss {
	if most <= 0 || len(all) <= most {
		return all
	}
	sure := min(len(all), 2)
	rest := all[sure:]
	lots := make(map[scenario.Loss]uint64, len(rest))
	for _, loss := range rest {
		lots[loss] = lot(seed, point+" "+loss.String())
	}
	rest = slices.SortedFunc(slices.Values(rest), func(a, b scenario.Loss) int { return cmp.Compare(lots[a], lots[b]) })
	return append(slices.Clone(all[:sure]), rest[:max(most-sure, 0)]...)
}
