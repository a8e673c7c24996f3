package supervisor_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

var (
	costRounds = flag.Int("cost-rounds", 0, "rounds of the cost measurement, each once without and once with the interposer; 0 leaves it out")
	costWrites = flag.Int("cost-writes", 20000, "writes of each round of the cost measurement")
)

// The limits of what the interposer may cost, from the project's design.
const (
	maxTrapped     = 12 * time.Microsecond
	maxTrappedRead = 16 * time.Microsecond
	maxSynced      = 0.10 // of the time of a write with fsync
)

// cost is the medians that the target measures, in nanoseconds.
type cost struct{ write, untrapped, synced int64 }

// TestCost compares the same program in the same kind of container, with its file on a volume, without the interposer, with one that counts, and with one that reads the bytes too.
func TestCost(t *testing.T) {
	if *costRounds == 0 {
		t.Skip("run with -cost-rounds, as make bench-interpose does")
	}
	needDocker(t)
	count := newPlan(hold(interpose.Write, "/data/file", 1<<30, interpose.Before))
	read := newPlan()
	read.Record = &interpose.Record{Operations: []interpose.Operation{interpose.Write}, Paths: []string{"/data/file"}, Sums: true}
	var native, counted, summed []cost
	for range *costRounds {
		native = append(native, measureNative(t))
		counted = append(counted, measureUnder(t, count))
		summed = append(summed, measureUnder(t, read))
	}
	base, plain, sums := medianCost(native), medianCost(counted), medianCost(summed)
	trapped, trappedRead := time.Duration(plain.write-base.write), time.Duration(sums.write-base.write)
	slower := float64(plain.synced)/float64(base.synced) - 1
	t.Logf("write: native %d ns, path and count +%v, recorded with its bytes +%v", base.write, trapped, trappedRead)
	t.Logf("untrapped call: native %d ns, under the interposer %d ns", base.untrapped, plain.untrapped)
	t.Logf("write with fdatasync: native %d ns, under the interposer %+.1f %%", base.synced, 100*slower)
	if trapped > maxTrapped || trappedRead > maxTrappedRead {
		t.Errorf("a trapped call costs too much: at most %v, with its bytes %v", maxTrapped, maxTrappedRead)
	}
	if slower > maxSynced {
		t.Errorf("a program bound by fsync is slowed too much: at most %.0f %%", 100*maxSynced)
	}
	if plain.untrapped > base.untrapped*105/100+2 {
		t.Error("an untrapped call costs more than without the interposer")
	}
}

func measureNative(t *testing.T) cost {
	t.Helper()
	from, err := image()
	if err != nil {
		t.Fatal(err)
	}
	return parseCost(t, docker(t, nil, "run", "--rm", "--network", "none", "--volume", "/data", from, "/target", "measure", "/data/file", fmt.Sprint(*costWrites)))
}

func measureUnder(t *testing.T, plan interpose.Plan) cost {
	t.Helper()
	plan.ID = newPlan().ID
	plan.AwaitClient = true
	c := createContainer(t, plan, []string{"--volume", "/data"}, "/target", "measure", "/data/file", fmt.Sprint(*costWrites))
	c.start(plan)
	if event := c.await(interpose.Exited); event.Code != 0 {
		t.Fatalf("exit code %d", event.Code)
	}
	return parseCost(t, docker(t, nil, "logs", c.name))
}

func parseCost(t *testing.T, output string) cost {
	t.Helper()
	var c cost
	if _, err := fmt.Sscanf(output[strings.LastIndex(output, "write"):], "write %d untrapped %d synced %d", &c.write, &c.untrapped, &c.synced); err != nil {
		t.Fatalf("unexpected output %q: %v", output, err)
	}
	return c
}

// medianCost is the median of each figure.
func medianCost(costs []cost) cost {
	middle := func(of func(cost) int64) int64 {
		var values []int64
		for _, c := range costs {
			values = append(values, of(c))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return cost{
		middle(func(c cost) int64 { return c.write }),
		middle(func(c cost) int64 { return c.untrapped }),
		middle(func(c cost) int64 { return c.synced }),
	}
}
