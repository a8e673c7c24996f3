package report

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares text with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if difference := cmp.Diff(string(want), got); difference != "" {
		t.Errorf("%s differs (-want +got; go test -update renews it):\n%s", path, difference)
	}
}

const millisecond = time.Millisecond

// restartScenario is a scenario as it is after binding.
func restartScenario() *scenario.Scenario {
	restart := scenario.Duration(200 * millisecond)
	return &scenario.Scenario{
		File: "scenarios/restart.yaml", Name: "restart",
		Description: "Kill worker-2 in the middle of its work; nothing is lost or doubled.",
		System:      "../compose/partition-writes.yaml",
		Env:         map[string]string{"SEED": "7"},
		Faults: []scenario.Fault{{
			Kind: scenario.Kill, Service: "worker-2", Times: 2, Restart: &restart,
			When: scenario.When{Kind: scenario.Log, Log: "Wrote partition 3", Occurrence: 2},
		}},
		Facts:     &scenario.Facts{Verdicts: &scenario.Verdicts{Service: "worker-3", Success: `^SUCCESS \[(.+)\]$`}},
		Timeout:   scenario.Duration(time.Minute),
		Positions: map[string]scenario.Position{"": {File: "scenarios/restart.yaml", Line: 1, Column: 1}, "name": {File: "scenarios/restart.yaml", Line: 2, Column: 7}},
	}
}

func code(number int) *int { return &number }

// restartHistory is a run of restartScenario in which all went well.
func restartHistory() *history.History {
	event := func(at time.Duration, kind history.Kind, service string, life int, text string) history.Event {
		return history.Event{At: at, Kind: kind, Service: service, Incarnation: life, Text: text}
	}
	fault := func(at time.Duration, kind history.Kind, life, number int, text string) history.Event {
		return history.Event{At: at, Kind: kind, Service: "worker-2", Incarnation: life, Fault: number, Text: text}
	}
	log := func(at time.Duration, service, text string) history.Event {
		return history.Event{At: at, Kind: history.Log, Service: service, Incarnation: 1, Stream: "stdout", Text: text}
	}
	exited := event(6310*millisecond, history.Exited, "worker-2", 1, "SIGKILL")
	exited.Code = code(137)
	return &history.History{
		Meta: history.Meta{
			RunID: "3f9a01c2", Scenario: "restart", File: "scenarios/restart.yaml", Replay: "killpoint run scenarios/restart.yaml",
			Model: "process-crash", Seed: "7", Started: time.Date(2025, 3, 4, 5, 6, 7, 890123456, time.UTC),
			Killpoint: "v0.1.0", Engine: "Docker Engine 20.10.24", Images: map[string]string{"worker-2": "sha256:abc"},
		},
		Events: []history.Event{
			event(2*millisecond, history.Phase, "", 0, "starting containers"),
			event(100*millisecond, history.Created, "worker-2", 0, ""),
			event(5300*millisecond, history.Healthy, "rabbitmq", 1, ""),
			event(5500*millisecond, history.Started, "worker-2", 1, ""),
			event(5600*millisecond, history.Phase, "", 0, "running"),
			fault(5601*millisecond, history.FaultArmed, 0, 1, "kill worker-2 at log line \"Wrote partition 3\", 2nd"),
			log(5900*millisecond, "worker-3", "SUCCESS [c1]"),
			fault(6200*millisecond, history.FaultFired, 1, 1, "Worker 2: Wrote partition 3 from chunk c2"),
			fault(6280*millisecond, history.FaultDone, 1, 1, "killed (SIGKILL)"),
			exited,
			fault(6700*millisecond, history.FaultHealed, 2, 1, "started again after 200ms"),
			log(6800*millisecond, "worker-3", "SUCCESS [c2]"),
			log(6810*millisecond, "worker-3", "SUCCESS [c2]"),
			{At: 6900 * millisecond, Kind: history.QueueDepth, Queue: "queue-2-3"},
			event(6900*millisecond, history.AllDone, "", 0, ""),
			event(7350*millisecond, history.Removed, "", 0, ""),
		},
		Spans: []history.Span{
			{Name: history.SpanImages, Start: 0, End: 10 * millisecond},
			{Name: history.SpanContainers, Start: 10 * millisecond, End: 1200 * millisecond},
			{Name: history.SpanBroker, Start: 200 * millisecond, End: 5300 * millisecond},
			{Name: history.SpanContainers, Start: 5300 * millisecond, End: 5600 * millisecond},
			{Name: history.SpanWorkload, Start: 5650 * millisecond, End: 6850 * millisecond},
			{Name: history.SpanFaults, Start: 6200 * millisecond, End: 6700 * millisecond},
			{Name: history.SpanCollect, Start: 6900 * millisecond, End: 7000 * millisecond},
			{Name: history.SpanRemoval, Start: 7000 * millisecond, End: 7350 * millisecond},
		},
	}
}

func passedVerdict() check.Verdict {
	return check.Verdict{Outcome: check.Passed, Results: []check.Result{
		{Check: check.CheckFaults, Status: check.StatusPassed, Detail: "1 fault fired in time"},
		{Check: check.CheckRows, Status: check.StatusPassed, Detail: "400 rows in 5 files, each exactly once"},
		{Check: check.CheckExits, Status: check.StatusOff},
	}}
}

func failedVerdict() check.Verdict {
	file := "/app/worker-data/partitions/TEST-users-partition-003.csv"
	lost := check.Finding{
		Check: check.CheckRows, Kind: check.Lost, Text: "2 rows of acknowledged chunks are in no file", Count: 2, Service: "worker-2",
		Rows: []check.Row{
			{Chunk: "c2", Partition: 3, Expected: 3, Text: "13,Ada"},
			{Chunk: "c2", Partition: 3, Expected: 3, Text: "18,Grace"},
		},
	}
	misplaced := check.Finding{
		Check: check.CheckRows, Kind: check.Misplaced, Text: "30 rows stand in the wrong partition", Count: 30, Service: "worker-2",
		Rows: []check.Row{{Chunk: "c1", Partition: 3, Expected: 2, Text: "12,\x1b[31mBob", File: file, Line: 17}},
	}
	logs := check.Finding{
		Check: check.CheckLogs, Kind: check.Violated, Service: "worker-2", At: 6100 * millisecond,
		Text:     "worker-2 logged a line with \"incomplete\" 0 times, expected at least 1",
		Position: scenario.Position{File: "scenarios/restart.yaml", Line: 14, Column: 7},
	}
	return check.Verdict{
		Outcome: check.Failed, Reasons: []string{"lost: 2 rows of acknowledged chunks are in no file"},
		Results: []check.Result{
			{Check: check.CheckFaults, Status: check.StatusPassed, Detail: "1 fault fired in time"},
			{Check: check.CheckRows, Status: check.StatusFailed, Findings: []check.Finding{lost, misplaced}},
			{Check: check.CheckLogs, Status: check.StatusFailed, Findings: []check.Finding{logs}},
			{Check: check.CheckExits, Status: check.StatusUncomputed, Reason: "worker-3 never started"},
		},
	}
}

// document is one run of every outcome.
func document() Document {
	sc, h := restartScenario(), restartHistory()
	passed := NewResult(sc, h, passedVerdict())

	failed := NewResult(sc, h, failedVerdict())
	failed.Name, failed.Replay = "restart-twice", "killpoint run scenarios/restart-twice.yaml"
	failed.File, failed.Report = "scenarios/restart-twice.yaml", "reports/restart-twice"

	inconclusive := NewResult(sc, h, check.Verdict{
		Outcome: check.Inconclusive, Reasons: []string{"fault 1 came too late"},
		Results: []check.Result{{Check: check.CheckFaults, Status: check.StatusUncomputed, Reason: "fault 1 came too late"}},
	})
	inconclusive.Name, inconclusive.File, inconclusive.Replay = "late", "scenarios/late.yaml", "killpoint run scenarios/late.yaml"

	unchecked := NewResult(sc, h, check.Verdict{Outcome: check.Inconclusive, Reasons: []string{"nothing was checked: say what must hold"}})
	unchecked.Name, unchecked.File, unchecked.Replay = "unchecked", "scenarios/unchecked.yaml", "killpoint run scenarios/unchecked.yaml"

	trouble := restartHistory()
	trouble.Events = append(trouble.Events,
		history.Event{At: 7360 * millisecond, Kind: history.Trouble, Text: "start worker-2: it exited with code 1\nlast lines of worker-2:\n::error::not a command"},
		history.Event{At: 7361 * millisecond, Kind: history.Warning, Text: "worker-2 has a restart policy"},
		history.Event{At: 7362 * millisecond, Kind: history.Unremoved, Text: "container kp-3f9a01c2-worker-2: device busy"})
	whatever := failedVerdict().Results
	broken := NewResult(sc, trouble, check.Verdict{Outcome: check.Broken, Reasons: []string{"start worker-2: it exited with code 1\nlast lines"}, Results: whatever})
	broken.Name, broken.File, broken.Replay = "broker-restart", "scenarios/broker-restart.yaml", "killpoint run scenarios/broker-restart.yaml"

	interrupted := NewResult(sc, h, check.Verdict{Outcome: check.Interrupted, Reasons: []string{"the run was interrupted"}, Results: whatever})
	interrupted.Name, interrupted.File, interrupted.Replay = "pause", "scenarios/pause.yaml", "killpoint run scenarios/pause.yaml"

	notRun := NotRunResult(sc)
	notRun.Name, notRun.File = "normal", "scenarios/normal.yaml"

	d := NewDocument("v0.1.0", h.Meta.Started, 41230*millisecond, []Result{passed, failed, inconclusive, unchecked, broken, interrupted, notRun})
	d.ExitCode = 130
	return d
}
