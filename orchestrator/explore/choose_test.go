package explore

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func workerPlan(t *testing.T, chunks int, rules Rules) *Plan {
	t.Helper()
	rules.Service = "worker-2"
	plan, err := NewPlan(rules, nil, worker(chunks).recording(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func TestOrderIsDrawnBySeed(t *testing.T) {
	plan := workerPlan(t, 20, Rules{Model: ProcessCrash, Seed: 1})
	order := plan.Order()
	sorted := slices.Sorted(slices.Values(order))
	for i, number := range sorted {
		if i != number {
			t.Fatalf("point %d is missing or there twice", i)
		}
	}
	if !slices.Equal(order, workerPlan(t, 20, Rules{Model: ProcessCrash, Seed: 1}).Order()) {
		t.Error("the same seed gives another order")
	}
	if slices.Equal(order, workerPlan(t, 20, Rules{Model: ProcessCrash, Seed: 2}).Order()) {
		t.Error("another seed gives the same order")
	}
}

// TestEveryBeginningIsSpread holds that however early a campaign ends, no kind
// of point was run more than once more often than another that has any left,
// and that the same is true of what the points of one kind are made at.
func TestEveryBeginningIsSpread(t *testing.T) {
	for _, model := range []Model{ProcessCrash, PowerLoss} {
		plan := workerPlan(t, 20, Rules{Model: model, Seed: 1, Variants: 4})
		for level := range len(kinds{}) {
			// What is spread at a level is spread among those that are alike so far.
			among := func(number int) (wider, name string) {
				all := plan.kinds(number)
				return strings.Join(all[:level], "|"), all[level]
			}
			total, seen := map[string]map[string]int{}, map[string]map[string]int{}
			for number := range plan.Len() {
				wider, name := among(number)
				if total[wider] == nil {
					total[wider], seen[wider] = map[string]int{}, map[string]int{}
				}
				total[wider][name]++
			}
			for _, number := range plan.Order() {
				wider, name := among(number)
				counts := seen[wider]
				counts[name]++
				for one := range total[wider] {
					if counts[one] < counts[name]-1 && counts[one] < total[wider][one] {
						t.Fatalf("%s, among %q: %d of %q, and only %d of %q", model, wider, counts[name], name, counts[one], one)
					}
				}
			}
		}
	}
}

// TestKindsOfPoints holds that files which differ in numbers alone are of one
// kind, and that queues which do are not.
func TestKindsOfPoints(t *testing.T) {
	plan, err := NewPlan(Rules{Service: "worker-2", Model: ProcessCrash}, nil, Recording{Operations: []Operation{
		{Operation: opWrite, Path: "/data/partition-003.csv", Occurrence: 1, Size: 1},
		{Operation: opWrite, Path: "/data/partition-12.csv", Occurrence: 1, Size: 1},
		{Operation: opWrite, Path: "/data/journal", Occurrence: 1, Size: 1},
		{Operation: opAck, Queue: "queue-1-2", Occurrence: 1},
		{Operation: opAck, Queue: "queue-2-3", Occurrence: 1},
	}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	var firsts []kinds // before each of them
	for number := range plan.Len() {
		if plan.step(number).Timing == before {
			firsts = append(firsts, plan.kinds(number))
		}
	}
	if len(firsts) != 5 || firsts[0] != firsts[1] || firsts[1] == firsts[2] || firsts[3] == firsts[4] {
		t.Errorf("%q", firsts)
	}
}

// TestShardsAreTheCampaign holds that shards have each point once, whatever is
// chosen.
func TestShardsAreTheCampaign(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		subject := worker(rapid.IntRange(1, 6).Draw(t, "chunks"))
		h := subject.runner().Trial(t.Context(), scenarioOf(nil), true)
		rules := Rules{Service: "worker-2", Model: rapid.SampledFrom([]Model{ProcessCrash, PowerLoss}).Draw(t, "model"), Seed: rapid.Int().Draw(t, "seed"), Variants: 4}
		plan, err := NewPlan(rules, nil, Recorded(h, "worker-2", 0), 0)
		if err != nil {
			t.Fatal(err)
		}
		most := rapid.IntRange(0, plan.Len()+1).Draw(t, "most")
		whole := plan.Chosen(most, Shard{})
		if most > 0 && len(whole) != min(most, plan.Len()) {
			t.Fatalf("chose %d of %d, wanted %d", len(whole), plan.Len(), most)
		}
		of := rapid.IntRange(1, 5).Draw(t, "shards")
		var parts []int
		for number := range of {
			parts = append(parts, plan.Chosen(most, Shard{number + 1, of})...)
		}
		slices.Sort(whole)
		slices.Sort(parts)
		if !slices.Equal(whole, parts) {
			t.Fatalf("the shards have %v, the campaign %v", parts, whole)
		}
	})
}

func TestShardsAreAboutEqual(t *testing.T) {
	counts := make([]int, 4)
	for i := range 4000 {
		for number := range counts {
			if (Shard{number + 1, 4}).Has(fmt.Sprint("worker-2:write:/a:", i, ":before")) {
				counts[number]++
			}
		}
	}
	for number, got := range counts {
		if got < 900 || got > 1100 {
			t.Errorf("shard %d of 4 has %d of 4000 points", number+1, got)
		}
	}
	if (Shard{}).String() != "" || (Shard{2, 4}).String() != "2/4" || !(Shard{}).Has("x") {
		t.Error("a whole campaign is a shard")
	}
}
