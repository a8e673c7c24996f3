package main

import (
	"fmt"
	"slices"
)

// spread is what several rounds gave.
type spread struct{ low, median, high float64 }

// spreadOf gives zeros for no values.
func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := sorted[len(sorted)/2]
	if len(sorted)%2 == 0 {
		middle = (middle + sorted[len(sorted)/2-1]) / 2
	}
	return spread{sorted[0], middle, sorted[len(sorted)-1]}
}

// ratios compares two series round by round, so that what the machine did
// meanwhile is in both. Rounds that one of them lacks are left out.
func ratios(above, below []float64) []float64 {
	var list []float64
	for i := range min(len(above), len(below)) {
		if below[i] > 0 {
			list = append(list, above[i]/below[i])
		}
	}
	return list
}

// count prints a large number shortly: 1234567 is 1.23M.
func count(n float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if n >= unit.size {
			return threeDigits(n/unit.size) + unit.name
		}
	}
	return threeDigits(n)
}

func threeDigits(n float64) string {
	switch {
	case n >= 99.95:
		return fmt.Sprintf("%.0f", n)
	case n >= 9.995:
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.2f", n)
}

// target is what a ratio should be at least.
type target struct {
	least   float64
	percent bool
}

// judge prints a ratio and whether it meets the target.
func (t target) judge(ratio float64) string {
	verdict := "met"
	if !(ratio >= t.least) {
		verdict = "MISSED"
	}
	if t.percent {
		return fmt.Sprintf("%.0f %% %s", 100*ratio, verdict)
	}
	return fmt.Sprintf("%s× %s", threeDigits(ratio), verdict)
}

func (t target) String() string {
	if t.percent {
		return fmt.Sprintf("at least %.0f %%", 100*t.least)
	}
	return fmt.Sprintf("at least %s×", threeDigits(t.least))
}
