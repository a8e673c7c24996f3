package suite

import (
	"context"
	"slices"

	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// Loaded is a scenario that was bound to its system.
type Loaded struct {
	Scenario *scenario.Scenario
	System   *system.System
}

// Binder makes a scenario's compose file into services, with the variables
// that it may use, and binds the scenario to it: system.Load.
type Binder func(context.Context, *scenario.Scenario, []string) (*system.System, scenario.Problems)

// Load parses every file and binds it to its system. All problems of all files
// come back together; change is applied between the two, for what stands above
// a file's own words.
func Load(ctx context.Context, files, environ []string, bind Binder, change func(*scenario.Scenario)) ([]Loaded, scenario.Problems) {
	var all []Loaded
	var problems scenario.Problems
	for _, file := range files {
		sc, wrong := scenario.Parse(file)
		problems = append(problems, wrong...)
		if sc == nil || isProblemOf("system", sc, wrong) {
			continue // nothing that it could be bound to
		}
		change(sc)
		sys, more := bind(ctx, sc, environ)
		problems = append(problems, more...)
		if len(wrong)+len(more) == 0 {
			all = append(all, Loaded{sc, sys})
		}
	}
	return all, problems
}

// isProblemOf says whether one of the problems is about a key of the scenario.
func isProblemOf(key string, sc *scenario.Scenario, problems scenario.Problems) bool {
	place, written := sc.Positions[key]
	if !written {
		return len(problems) > 0
	}
	return slices.ContainsFunc(problems, func(problem scenario.Problem) bool { return problem.Position == place })
}
