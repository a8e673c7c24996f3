package explore

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// kinds says of which kind a point is, in words from the widest to the
// narrowest: the operation and where in it; the queue, or what the file is
// called but for numbers, as the files of many partitions are of one kind; and
// what sort of loss a power cut brings.
type kinds [3]string

func (p *Plan) kinds(number int) kinds {
	one := p.points[number]
	operation := &p.Operations[one.operation]
	object := operation.Object()
	if !operation.isAMQP() {
		object = digits.ReplaceAllString(object, "0")
	}
	loss, _, _ := strings.Cut(one.loss.String(), "-")
	return kinds{operation.Operation + " " + timings[one.timing], object, loss}
}

var digits = regexp.MustCompile("[0-9]+")

// spread puts points into an order of which every beginning is drawn by seed
// and spread over kinds: over the widest first, and what is of one kind over
// the next ones, so that what there is little of comes early too. The same
// seed gives the same order, whatever becomes of the points.
func spread(seed, length int, kinds func(int) kinds, text func(int) string) []int {
	all := make([]int, length)
	lots := make([]uint64, length)
	for number := range length {
		all[number], lots[number] = number, lot(seed, text(number))
	}
	var order func(numbers []int, level int) []int
	order = func(numbers []int, level int) []int {
		if level == len(kinds(0)) {
			slices.SortFunc(numbers, func(a, b int) int {
				return cmp.Or(cmp.Compare(lots[a], lots[b]), cmp.Compare(a, b))
			})
			return numbers
		}
		groups := map[string][]int{}
		for _, number := range numbers {
			name := kinds(number)[level]
			groups[name] = append(groups[name], number)
		}
		// Which kind comes first is drawn too, or a small sample would be of the
		// same few kinds everywhere. In another recording, it is another one.
		turns := map[string]uint64{}
		for name, group := range groups {
			turns[name] = lot(seed, name+" "+text(group[0]))
			groups[name] = order(group, level+1)
		}
		names := slices.SortedFunc(maps.Keys(groups), func(a, b string) int {
			return cmp.Or(cmp.Compare(turns[a], turns[b]), cmp.Compare(a, b))
		})
		dealt := numbers[:0]
		for round := 0; len(dealt) < len(numbers); round++ {
			for _, name := range names {
				if round < len(groups[name]) {
					dealt = append(dealt, groups[name][round])
				}
			}
		}
		return dealt
	}
	return order(all, 0)
}

// Order is the points in the order in which they are run: see spread. Those of
// chains come in rounds of one point of each unit, as chains come to them, and
// the points of each unit are spread.
func (p *Plan) Order() []int {
	if len(p.States) == 0 {
		return spread(p.Seed, len(p.points), p.kinds, p.Text)
	}
	units := map[int32][]int{}
	for number, one := range p.points {
		unit := int32(p.Operations[one.operation].Incarnation)
		units[unit] = append(units[unit], number)
	}
	inOrder := slices.Sorted(maps.Keys(units))
	for _, unit := range inOrder {
		numbers := units[unit]
		order := spread(p.Seed, len(numbers), func(i int) kinds { return p.kinds(numbers[i]) }, func(i int) string { return p.Text(numbers[i]) })
		for i, at := range order {
			order[i] = numbers[at]
		}
		units[unit] = order
	}
	all := make([]int, 0, len(p.points))
	for round := 0; len(all) < len(p.points); round++ {
		for _, unit := range inOrder {
			if round < len(units[unit]) {
				all = append(all, units[unit][round])
			}
		}
	}
	return all
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
