package explore

import (
	"cmp"
	"maps"
	"slices"
)

// spread puts points into an order of which every beginning is drawn by seed
// and spread over kinds: the operation and where in it. The same seed gives
// the same order, whatever becomes of the points.
func spread(seed, length int, kind, text func(int) string) []int {
	groups := map[string][]int{}
	lots := make([]uint64, length)
	for number := range length {
		groups[kind(number)] = append(groups[kind(number)], number)
		lots[number] = lot(seed, text(number))
	}
	// Which kind comes first is drawn too, or a small sample would be of the
	// same few kinds everywhere. In another recording, it is another one.
	turns := map[string]uint64{}
	for name, numbers := range groups {
		turns[name] = lot(seed, name+" "+text(numbers[0]))
	}
	names := slices.SortedFunc(maps.Keys(groups), func(a, b string) int {
		return cmp.Or(cmp.Compare(turns[a], turns[b]), cmp.Compare(a, b))
	})
	for _, name := range names {
		slices.SortFunc(groups[name], func(a, b int) int {
			return cmp.Or(cmp.Compare(lots[a], lots[b]), cmp.Compare(a, b))
		})
	}
	order := make([]int, 0, length)
	for round := 0; len(order) < length; round++ {
		for _, name := range names {
			if round < len(groups[name]) {
				order = append(order, groups[name][round])
			}
		}
	}
	return order
}

// Order is the points in the order in which they are run: see spread.
func (p *Plan) Order() []int {
	return spread(p.Seed, len(p.points), func(number int) string {
		one := p.points[number]
		return p.Operations[one.operation].Operation + " " + timings[one.timing]
	}, p.Text)
}

// Chosen is the numbers of the points that a campaign runs, in their order:
// the first most of all of them (0: all), and of those the ones of the shard.
// So the shards of a campaign together are the campaign.
func (p *Plan) Chosen(most int, shard Shard) []int {
	order := p.Order()
	if most > 0 && most < len(order) {
		order = order[:most]
	}
	if shard.Of <= 1 {
		return order
	}
	return slices.DeleteFunc(order, func(number int) bool { return !shard.Has(p.Text(number)) })
}
