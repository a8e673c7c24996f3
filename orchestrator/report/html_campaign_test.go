package report

import (
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"
)

// bigCampaign is a campaign of about so many points, as they come of a worker
// that writes partition files: what is wrong with it is wrong in one file and
// at one kind of operation.
func bigCampaign(points int) *Campaign {
	c := &Campaign{
		Killpoint: "v0.1.0", Scenario: "normal", File: "scenarios/normal.yaml", Target: "worker-2", Model: "process-crash", Seed: "7",
		Depth: 2, Started: time.Date(2025, 3, 4, 5, 6, 7, 0, time.UTC), Seconds: float64(points) / 20,
		Replay: "killpoint explore scenarios/normal.yaml --target worker-2 --seed 7",
	}
	occurrences := map[string]int{}
	for len(c.Points) < points {
		chunk := c.Recorded / 9
		partition := fmt.Sprintf("/app/worker-data/partitions/TEST-users-partition-%03d.csv", chunk%40)
		for _, operation := range [][2]string{
			{"write", "/app/worker-data/state/journal-0"}, {"fsync", "/app/worker-data/state/journal-0"},
			{"write", partition}, {"write", partition}, {"fsync", partition},
			{"rename", "/app/worker-data/state/processed.txt"}, {"publish", "queue-2-3"}, {"write", "stdout"}, {"ack", "queue-1-2"},
		} {
			c.Recorded++
			object := operation[1]
			occurrences[operation[0]+object]++
			c.addPoints(operation[0], object, c.Recorded, occurrences[operation[0]+object])
		}
	}
	c.Tally()
	return c
}

func (c *Campaign) addPoints(operation, object string, index, occurrence int) {
	size := int64(47)
	kept := []int64{1, size / 2, size - 1}
	if operation != "write" {
		size, kept = 0, nil
	}
	add := func(timing, place string, bytes *int64) {
		point := CrashPoint{
			Operation: operation, Path: object, Occurrence: occurrence, Timing: timing, Kept: bytes, Incarnation: 1, Index: index,
			Size: size, Outcome: Passed, Attempts: 1, Seconds: 0.05, Hash: fmt.Sprintf("%016x", index*31+len(place)),
		}
		if operation == "publish" || operation == "ack" {
			point.Path, point.Queue = "", object
		}
		if size > 0 {
			offset := int64(occurrence-1) * size
			point.Offset = &offset
		}
		point.Point = fmt.Sprintf("worker-2:%s:%s:%d:%s", operation, object, occurrence, place)
		switch {
		case timing == "during" && object == "/app/worker-data/partitions/TEST-users-partition-003.csv":
			point.Outcome, point.Failures, point.Attempts, point.Confirmed = Failed, 2, 2, true
			point.Findings = []Finding{{Kind: "torn", Text: fmt.Sprintf("1 line is torn, first at %s:%d", object, occurrence)}}
			point.Replay = "killpoint replay " + point.Point
		case operation == "rename" && index%1801 == 6:
			point.Outcome, point.Failures, point.Attempts = Failed, 1, 4
			point.Findings = []Finding{{Kind: "duplicated", Text: "3 rows stand more often than sent"}}
		case operation == "ack" && index%4410 == 0:
			point.Outcome, point.Attempts, point.Reason = Inconclusive, 3, "diverged at operation 812: recorded was a write, met was an ack"
		case index > c.Recorded*2 && index%7 == 0:
			point.Outcome = NotRun
		}
		c.Points = append(c.Points, point)
		if index%50 == 0 && timing == "after" {
			again := point
			again.Operation, again.Path, again.Queue, again.Timing, again.Kept = "read", "/app/worker-data/state/journal-0", "", "before", nil
			again.Incarnation, again.Index, again.Occurrence, again.After = 2, 1+index%9, 1, []string{point.Point}
			again.Point = point.Point + ":then:worker-2:read:/app/worker-data/state/journal-0:1:before:i2"
			again.Outcome, again.Findings, again.Reason = Passed, nil, ""
			c.Points = append(c.Points, again)
		}
	}
	add("before", "before", nil)
	for _, bytes := range kept {
		add("during", fmt.Sprintf("+%d", bytes), &bytes)
	}
	add("after", "after", nil)
}

// countingWriter counts what is written.
type countingWriter struct{ count int }

func (w *countingWriter) Write(text []byte) (int, error) {
	w.count += len(text)
	return len(text), nil
}

// A hundred thousand points take less than 5 s and 20 MB, and the report of
// them less memory than an orchestrator may have.
func TestLargeCampaignPage(t *testing.T) {
	campaign := bigCampaign(100_000)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	var page countingWriter
	if err := WriteCampaignHTML(&page, campaign); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	t.Logf("%d points: %.1f MB of HTML in %v, %d MB allocated", campaign.Totals.Points, float64(page.count)/1e6, took, (after.TotalAlloc-before.TotalAlloc)>>20)
	if took > 5*time.Second || page.count > 20e6 {
		t.Errorf("%d points: %d bytes in %v", campaign.Totals.Points, page.count, took)
	}
	for name, write := range map[string]func(io.Writer, *Campaign) error{"JSON": WriteCampaignJSON, "JUnit": WriteCampaignJUnit} {
		began, written := time.Now(), countingWriter{}
		if err := write(&written, campaign); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %.1f MB in %v", name, float64(written.count)/1e6, time.Since(began))
	}
}
