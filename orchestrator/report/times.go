package report

import (
	"math"
	"slices"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// Unattributed is the name of time that no span claims.
const Unattributed = "unattributed"

// priority decides which span an instant belongs to when several cover it;
// the first one here wins. A fault comes before the workload because the
// workload is counted less the time for which faults kept a service down.
// The broker's boot comes before containers and images because what is done
// beside it costs nothing. Checks come before collecting and removal so that
// killpoint's own time is never hidden behind the engine's.
var priority = []string{
	history.SpanFaults, history.SpanWorkload, history.SpanBroker, history.SpanContainers,
	history.SpanImages, history.SpanChecks, history.SpanCollect, history.SpanRemoval,
}

// display is the order in which the phases happen and are shown.
var display = []string{
	history.SpanImages, history.SpanBroker, history.SpanContainers, history.SpanWorkload,
	history.SpanFaults, history.SpanCollect, history.SpanChecks, history.SpanRemoval,
}

// accountable are the phases in which the run waits for Docker, for the
// broker's boot or for the workload. All other time is overhead: killpoint's
// own checks, and what nobody claims.
var accountable = map[string]bool{
	history.SpanImages: true, history.SpanBroker: true, history.SpanContainers: true, history.SpanWorkload: true,
	history.SpanFaults: true, history.SpanCollect: true, history.SpanRemoval: true,
}

// Breakdown attributes every instant of a run, from its beginning to its last
// event or span, to exactly one phase. Every known phase is listed, also one
// that took no time; spans of other names follow by name, and at the end comes
// what no span covers.
func Breakdown(h *history.History) Times {
	total := end(h)
	spent := attribute(h.Spans, total)

	names := slices.Clone(display)
	var others []string
	for name := range spent {
		if !slices.Contains(names, name) && name != Unattributed {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	names = append(append(names, others...), Unattributed)

	times := Times{Total: seconds(total)}
	var overhead time.Duration
	for _, name := range names {
		times.Phases = append(times.Phases, PhaseTime{Name: name, Seconds: seconds(spent[name])})
		if !accountable[name] {
			overhead += spent[name]
		}
	}
	times.Overhead = seconds(overhead)
	times.OverheadPercent = percent(overhead, total)
	return times
}

// end is when the last thing that the history knows of happened.
func end(h *history.History) time.Duration {
	var last time.Duration
	for _, event := range h.Events {
		last = max(last, event.At)
	}
	for _, span := range h.Spans {
		last = max(last, span.End)
	}
	return last
}

// attribute walks over all borders of spans in time and gives each stretch
// between two of them to the open span of the highest priority.
func attribute(spans []history.Span, total time.Duration) map[string]time.Duration {
	type border struct {
		at    time.Duration
		name  string
		delta int
	}
	var borders []border
	for _, span := range spans {
		start, stop := max(span.Start, 0), min(span.End, total)
		if stop > start {
			borders = append(borders, border{start, span.Name, +1}, border{stop, span.Name, -1})
		}
	}
	slices.SortStableFunc(borders, func(a, b border) int { return int(a.at - b.at) })

	spent := map[string]time.Duration{}
	open := map[string]int{}
	var now time.Duration
	for _, next := range borders {
		spent[owner(open)] += next.at - now
		now = next.at
		if open[next.name] += next.delta; open[next.name] == 0 {
			delete(open, next.name)
		}
	}
	spent[Unattributed] += total - now
	return spent
}

func owner(open map[string]int) string {
	for _, name := range priority {
		if open[name] > 0 {
			return name
		}
	}
	other := Unattributed
	for name := range open {
		// Any fixed choice will do between spans that have no priority.
		if other == Unattributed || name < other {
			other = name
		}
	}
	return other
}

// seconds rounds to the millisecond: finer digits are noise to a reader.
func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1000) / 1000 }

// percent has one digit after the point.
func percent(part, whole time.Duration) float64 {
	if whole == 0 {
		return 0
	}
	return math.Round(1000*float64(part)/float64(whole)) / 10
}
