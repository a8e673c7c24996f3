package explore

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

const (
	manyPoints = 100_000
	// mostMemory is what a campaign of manyPoints may take, in bytes.
	mostMemory = 200 << 20
)

// quick answers every crash at once: the subject writes 100 bytes again and
// again.
type quick struct{}

func (quick) Close(context.Context) error { return nil }

func (quick) Trial(_ context.Context, sc *scenario.Scenario, record bool) *history.History {
	p := &play{subject: &subject{name: "worker-2"}}
	if record {
		for i := range manyPoints / 5 {
			at := write("/data/rows.csv", int64(100*i), 100, "0badcafe")
			p.add(history.Event{Kind: history.Operation, Service: "worker-2", Incarnation: 1, Point: &at})
		}
	}
	for i, fault := range sc.Faults {
		number := fault.When.Occurrence
		p.crash(i+1, 1, fault, write("/data/rows.csv", int64(100*(number-1)), 100, "0badcafe"), number)
	}
	p.add(history.Event{Kind: history.AllDone})
	return &p.history
}

// worst judges that one point in fifty fails, in as many words as there can be.
func worst(sc *scenario.Scenario, h *history.History) check.Verdict {
	verdict := check.Verdict{Outcome: check.Passed, Results: []check.Result{{Check: check.CheckFaults, Status: check.StatusPassed}}}
	if len(sc.Faults) == 0 || sc.Faults[0].When.Occurrence%50 != 0 {
		return verdict
	}
	finding := check.Finding{Check: check.CheckRows, Kind: check.Lost, Text: strings.Repeat("lost ", 100)}
	for i := range 20 {
		finding.Rows = append(finding.Rows, check.Row{Chunk: fmt.Sprint("chunk ", i), Text: strings.Repeat("row ", 50)})
	}
	verdict.Outcome = check.Failed
	verdict.Results = append(verdict.Results, check.Result{Check: check.CheckRows, Status: check.StatusFailed, Findings: []check.Finding{finding, finding}})
	return verdict
}

// TestMemory runs a campaign of 100,000 points in a process of its own and
// looks at the most that this has taken from the system.
func TestMemory(t *testing.T) {
	if os.Getenv("KILLPOINT_TEST_MEMORY") != "" {
		memoryCampaign(t)
		return
	}
	if runtime.GOOS != "linux" || raceEnabled {
		t.Skip("how much memory a process took is read from /proc, and the race detector takes its own")
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMemory$", "-test.v")
	child.Env = append(os.Environ(), "KILLPOINT_TEST_MEMORY=1")
	said, err := child.CombinedOutput()
	found := regexp.MustCompile(`(\d+) points took (\d+) kB`).FindSubmatch(said)
	if err != nil || found == nil {
		t.Fatalf("%v\n%s", err, said)
	}
	t.Logf("%s", found[0])
	if took, _ := strconv.Atoi(string(found[2])); took*1024 > mostMemory {
		t.Errorf("%s points took %d MB, want at most %d", found[1], took>>10, mostMemory>>20)
	}
}

func memoryCampaign(t *testing.T) {
	b := newBench(t, worker(1), Settings{})
	b.options.Judge, b.options.Afresh = worst, func(context.Context, map[string]string) (Runner, *scenario.Scenario, error) {
		return quick{}, b.options.Scenario, nil
	}
	c, err := Open(b.options)
	if err != nil {
		t.Fatal(err)
	}
	c.Worker = &Lanes{Runners: []Runner{quick{}, quick{}}, Trials: c.Trials()}
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	document := b.document(c)
	if document.Totals.Points != manyPoints || document.Totals.Failed != manyPoints/50 {
		t.Fatalf("%+v", document.Totals)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	most := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	t.Logf("%d points took %s kB", document.Totals.Points, most[1])
}
