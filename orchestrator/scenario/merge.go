package scenario

import (
	"fmt"
	"maps"
	"slices"
)

// merge makes Facts and Expect what holds for the run, and gives what is
// expected in so many words, before the defaults are filled in.
func (b *binder) merge() Expect {
	b.Scenario.Facts = b.mergeFacts()
	expect := b.written.expect.clone()
	if facts := b.Scenario.Facts; facts != nil && facts.Expect != nil {
		b.mergeExpect(&expect, facts.Expect.clone())
	}
	explicit := expect
	fallback := DefaultExpect(b.Scenario.Facts)
	setEmpty(&expect.Rows, fallback.Rows)
	setEmpty(&expect.Order, fallback.Order)
	setEmpty(&expect.Verdicts, fallback.Verdicts)
	setEmpty(&expect.Drained, fallback.Drained)
	b.Expect = expect
	return explicit
}

func setEmpty(text *string, fallback string) {
	if *text == "" {
		*text = fallback
	}
}

// mergeFacts puts the scenario's facts over those of the compose file, key by
// key. What Bind writes into is copied.
func (b *binder) mergeFacts() *Facts {
	own, system := b.written.facts, b.Binding.Facts
	if own == nil && system == nil {
		return nil
	}
	if own == nil {
		own = &Facts{}
	}
	merged := *own
	if system != nil {
		fallBack(b, "broker", &merged.Broker, system.Broker)
		fallBack(b, "done", &merged.Done, system.Done)
		fallBack(b, "verdicts", &merged.Verdicts, system.Verdicts)
		fallBack(b, "rows", &merged.Rows, system.Rows)
		if merged.Ready == nil {
			merged.Ready = system.Ready
			b.takePositions("ready")
		}
		fallBack(b, "explore", &merged.Explore, system.Explore)
		fallBack(b, "expect", &merged.Expect, system.Expect)
	}
	if merged.Rows != nil {
		rows := *merged.Rows
		if rows.Partition != nil {
			partition := *rows.Partition
			rows.Partition = &partition
		}
		merged.Rows = &rows
	}
	merged.Positions = under(b.Positions, factsKey)
	return &merged
}

// fallBack sets a fact that the scenario does not give to the compose file's.
func fallBack[T any](b *binder, key string, own **T, system *T) {
	if *own != nil || system == nil {
		return
	}
	*own = system
	b.takePositions(key)
}

// takePositions says of a fact of the compose file where it was written.
func (b *binder) takePositions(key string) {
	maps.Copy(b.Positions, under(b.Binding.Facts.Positions, join(factsKey, key)))
}

// mergeExpect adds what every scenario of the system expects to what this one
// does: a word of the scenario's own stands, lists are joined, its own entries
// first.
func (b *binder) mergeExpect(own *Expect, system Expect) {
	const from = factsKey + ".expect"
	for _, word := range []struct {
		key         string
		own, system *string
	}{
		{"rows", &own.Rows, &system.Rows},
		{"order", &own.Order, &system.Order},
		{"verdicts", &own.Verdicts, &system.Verdicts},
		{"drained", &own.Drained, &system.Drained},
	} {
		if *word.own == "" && *word.system != "" {
			*word.own = *word.system
			b.movePositions(join(from, word.key), join("expect", word.key))
		}
	}
	own.Logs = appendMoved(b, "logs", own.Logs, system.Logs)
	own.Run = appendMoved(b, "run", own.Run, system.Run)
	own.Stable = appendMoved(b, "stable", own.Stable, system.Stable)
	for service, code := range system.Exits {
		if _, given := own.Exits[service]; given {
			continue
		}
		if own.Exits == nil {
			own.Exits = map[string]int{}
		}
		own.Exits[service] = code
		b.movePositions(from+".exits."+service, "expect.exits."+service)
	}
}

// appendMoved joins two lists of expectations, and says of the second where
// its entries were written.
func appendMoved[T any](b *binder, key string, own, system []T) []T {
	for i := range system {
		b.movePositions(
			fmt.Sprintf("%s.expect.%s[%d]", factsKey, key, i),
			fmt.Sprintf("expect.%s[%d]", key, len(own)+i),
		)
	}
	return append(own, system...)
}

// movePositions gives what stands at one path the place of another as well.
func (b *binder) movePositions(from, to string) {
	for path, position := range under(b.Positions, from) {
		b.Positions[to+path[len(from):]] = position
	}
}

// clone gives an Expect that shares no list or map with this one.
func (e Expect) clone() Expect {
	e.Logs = slices.Clone(e.Logs)
	e.Run = slices.Clone(e.Run)
	e.Stable = slices.Clone(e.Stable)
	e.Exits = maps.Clone(e.Exits)
	return e
}
