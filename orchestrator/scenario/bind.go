package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Binding is what a scenario has to know of a system.
type Binding struct {
	// Services is every service that the system starts.
	Services []string
	// Facts is the x-killpoint block of the compose file; nil when it has none.
	Facts *Facts
	// Variable gives a variable of a service's environment. Nil says that
	// no service has any.
	Variable func(service, name string) (string, bool)
}

// written is what the scenario file itself says: Bind begins with it each
// time, so that binding again changes nothing.
type written struct {
	expect    Expect
	facts     *Facts
	positions map[string]Position
	lines     source
}

// keepWritten remembers what was written before Bind adds to it.
func (s *Scenario) keepWritten(lines source) {
	s.written = &written{expect: s.Expect.clone(), facts: s.Facts, positions: maps.Clone(s.Positions), lines: lines}
}

// Bind joins a scenario with its system: afterwards Facts and Expect are what
// holds for the run, the compose file's facts and every default included.
// It says what the scenario names that the system does not have, and which
// expectations lack the facts to judge them by. Binding again, to the same
// system or to another, begins with what the scenario file says.
//
// Nothing of b.Facts is changed or kept: many scenarios may share it.
func (s *Scenario) Bind(b Binding) Problems {
	if s.written == nil {
		s.keepWritten(nil)
	}
	binder := &binder{Scenario: s, Binding: b, sources: map[string]source{s.File: s.written.lines}}
	s.Positions = maps.Clone(s.written.positions)
	if s.Positions == nil {
		s.Positions = map[string]Position{}
	}
	explicit := binder.merge()
	binder.checkServices()
	binder.countPartitions()
	binder.checkFactsFor(explicit)
	return binder.problems.sorted()
}

// DefaultExpect is what is expected where neither the scenario nor its system
// says: everything that the facts allow to judge.
func DefaultExpect(f *Facts) Expect {
	expect := Expect{Rows: "off", Order: "any", Verdicts: "off", Drained: "off"}
	if f == nil {
		return expect
	}
	if f.Rows != nil {
		expect.Rows = "exactly-once"
	}
	if f.Verdicts != nil {
		expect.Verdicts = "all"
	}
	if f.Done != nil && len(f.Done.Drained) > 0 {
		expect.Drained = "all"
	}
	return expect
}

// HurtsBroker says whether the scenario does anything to the broker's own
// container, so that it cannot share one with other runs. It is known after
// Bind.
func (s *Scenario) HurtsBroker() bool {
	if s.Facts == nil || s.Facts.Broker == nil {
		return false
	}
	broker := s.Facts.Broker.Service
	return slices.ContainsFunc(s.Faults, func(f Fault) bool { return f.Service == broker }) ||
		slices.ContainsFunc(s.Expect.Stable, func(e StableExpect) bool { return e.Service == broker })
}

// binder is one call of Bind.
type binder struct {
	*Scenario
	Binding
	problems Problems
	// sources is the lines of the files that problems quote.
	sources map[string]source
}

// around gives the path of what a part stands in.
func around(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// problem makes a problem at the part of the document that a path names.
func (s *Scenario) problem(path, hint, format string, values ...any) Problem {
	binder := &binder{Scenario: s, sources: map[string]source{}}
	if s.written != nil {
		binder.sources[s.File] = s.written.lines
	}
	binder.refuse(path, hint, format, values...)
	return binder.problems[0]
}

// refuse records a problem at the part of the document that a path names, or
// at what is around it.
func (b *binder) refuse(path, hint, format string, values ...any) {
	position := b.place(path)
	lines, known := b.sources[position.File]
	if !known {
		lines = readSource(position.File)
		b.sources[position.File] = lines
	}
	b.problems = append(b.problems, Problem{
		Position: position, Text: fmt.Sprintf(format, values...), Hint: hint, Source: lines.line(position.Line),
	})
}

// place gives the position of a path, or of the nearest thing around it.
func (b *binder) place(path string) Position {
	for {
		if position, known := b.Positions[path]; known {
			return position
		}
		if path == "" {
			return Position{File: b.File}
		}
		path = around(path)
	}
}
