package fleet

import (
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/explore"
)

// BenchmarkCoordinator says how many points a coordinator and a broker bring
// through when trials take no time, beside the same points without a fleet: it
// bounds how many agents one campaign can keep at work.
func BenchmarkCoordinator(b *testing.B) {
	url := virtualHost(b)
	for _, name := range []string{"one", "two"} {
		m := &machine{}
		a := agentOf(url, m)
		a.Name, m.chunks = name, benchChunks
		works(b, a)
	}
	points := 0.0
	var fleet, alone time.Duration
	for range b.N {
		for _, url := range []string{url, ""} {
			campaign := newBench(b.TempDir(), explore.Settings{})
			campaign.machine.chunks = benchChunks
			var first, last time.Time // outcomes: the start is left out
			campaign.watched.outcome = func(explore.Outcome, explore.Progress) {
				if last = time.Now(); first.IsZero() {
					first = last
				}
				if url != "" {
					points++
				}
			}
			if _, err := campaign.run(b.Context(), url); err != nil {
				b.Fatal(err)
			}
			if url != "" {
				fleet += last.Sub(first)
			} else {
				alone += last.Sub(first)
			}
		}
	}
	b.ReportMetric(points/fleet.Seconds(), "points/s")
	b.ReportMetric(points/alone.Seconds(), "points/s-alone")
	b.ReportMetric(fleet.Seconds()/alone.Seconds(), "times-alone")
}

const benchChunks = 40
