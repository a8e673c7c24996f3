package supervisor_test

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

var costWrites = flag.Int("cost-writes", 0, "writes of each program of the cost measurement; 0 leaves it out")

// The limits of what the interposer may cost, from the project's design.
const (
	maxTrapped     = 12 * time.Microsecond
	maxTrappedRead = 16 * time.Microsecond
	maxSynced      = 0.10 // of the time of a write with fdatasync
)

// cost is what the target measures in one turn, in nanoseconds: medians, and each write with fdatasync.
type cost struct {
	write, untrapped float64
	synced           []float64
}

// turnsPerBlock is how many turns in a row are taken together to compare writes with fdatasync: a single one says more of the disk at that moment than of the program.
const turnsPerBlock = 20

// TestCost compares the same program with and without the interposer, in two containers of the same kind that take turns and write to the same volume. Each turn is compared with the other program's turn just behind it, and the medians of these differences count: what the machine does meanwhile, it does to both. Of writes with fdatasync the medians of blocks of turns are compared, which hold some hundreds of each program's.
func TestCost(t *testing.T) {
	if *costWrites == 0 {
		t.Skip("run with -cost-writes, as make bench-interpose does")
	}
	needDocker(t)
	const file = "/data/interposed"
	counting := newPlan(hold(interpose.Write, file, 1<<30, interpose.Before))
	reporting := newPlan()
	reporting.Record = &interpose.Record{Operations: []interpose.Operation{interpose.Write}, Paths: []string{file}, Sums: true}
	syncing := newPlan(hold(interpose.Write, file, 1<<30, interpose.Before), hold(interpose.Fsync, file, 1<<30, interpose.Before))
	syncing.Points[1].ID = "sync"

	counted := compareCost(t, counting)
	reported := compareCost(t, reporting)
	both := compareCost(t, syncing)

	trapped, trappedRead := counted.extra(func(c cost) float64 { return c.write }), reported.extra(func(c cost) float64 { return c.write })
	t.Logf("write: native %v, with path and count %v more, reported with a sum of its bytes %v more",
		duration(counted.native(func(c cost) float64 { return c.write }).median), trapped, trappedRead)
	untrapped := counted.extra(func(c cost) float64 { return c.untrapped })
	t.Logf("untrapped call: native %v, interposed %v more", duration(counted.native(func(c cost) float64 { return c.untrapped }).median), untrapped)
	synced, syncedToo := counted.slowed(), both.slowed()
	t.Logf("write with fdatasync: native %v; with the write trapped %s, with both trapped %s, in %d blocks of %d turns",
		duration(median(counted.before, 0, len(counted.before))), synced.percent(), syncedToo.percent(), len(counted.before)/turnsPerBlock, turnsPerBlock)

	if trapped.median > float64(maxTrapped) || trappedRead.median > float64(maxTrappedRead) {
		t.Errorf("a trapped call costs too much: at most %v, with its bytes %v", maxTrapped, maxTrappedRead)
	}
	if max(synced.median, syncedToo.median)-1 > maxSynced {
		t.Errorf("a program bound by syncs is slowed too much: at most %.0f %%", 100*maxSynced)
	}
	if native := counted.native(func(c cost) float64 { return c.untrapped }).median; untrapped.median > native/20+2 {
		t.Error("an untrapped call costs more than without the interposer")
	}
}

// comparison is the turns of two programs, the native one's before the interposed one's.
type comparison struct{ before, after []cost }

// spread is the median of some values, with the quarters around it.
type spread struct{ low, median, high float64 }

func spreadOf(values []float64) spread {
	slices.Sort(values)
	return spread{values[len(values)/4], values[len(values)/2], values[3*len(values)/4]}
}

func (s spread) String() string {
	return fmt.Sprintf("%v (%v to %v)", duration(s.median), duration(s.low), duration(s.high))
}

func (s spread) percent() string {
	return fmt.Sprintf("%+.1f %% (%+.1f to %+.1f)", 100*(s.median-1), 100*(s.low-1), 100*(s.high-1))
}

func duration(nanoseconds float64) time.Duration { return time.Duration(nanoseconds) }

func (c comparison) native(of func(cost) float64) spread {
	return c.pairs(func(native, _ cost) float64 { return of(native) })
}

func (c comparison) extra(of func(cost) float64) spread {
	return c.pairs(func(native, interposed cost) float64 { return of(interposed) - of(native) })
}

// slowed is how many times as long a write with fdatasync takes.
func (c comparison) slowed() spread {
	var ratios []float64
	for first := 0; first+turnsPerBlock <= len(c.before); first += turnsPerBlock {
		ratios = append(ratios, median(c.after, first, first+turnsPerBlock)/median(c.before, first, first+turnsPerBlock))
	}
	return spreadOf(ratios)
}

// median is that of the writes with fdatasync of some turns.
func median(turns []cost, first, last int) float64 {
	var all []float64
	for _, turn := range turns[first:last] {
		all = append(all, turn.synced...)
	}
	return spreadOf(all).median
}

func (c comparison) pairs(value func(native, interposed cost) float64) spread {
	values := make([]float64, len(c.before))
	for i := range values {
		values[i] = value(c.before[i], c.after[i])
	}
	return spreadOf(values)
}

// compareCost runs the two programs by turns on one volume. What the interposer counted must be what the program wrote.
func compareCost(t *testing.T, plan interpose.Plan) comparison {
	t.Helper()
	volume := t.TempDir()
	for _, pipe := range []string{"first", "second"} {
		if err := unix.Mkfifo(volume+"/"+pipe, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	flags := []string{"--volume", volume + ":/data"}
	count := fmt.Sprint(*costWrites)
	c := createContainer(t, plan, flags, "/target", "measure", "/data/interposed", count, "/data/second", "/data/first")
	from, err := image()
	if err != nil {
		t.Fatal(err)
	}
	name := c.name + "-native"
	arguments := append([]string{"run", "--detach", "--name", name, "--network", "none"}, flags...)
	docker(t, nil, append(arguments, from, "/target", "measure", "/data/native", count, "/data/first", "/data/second")...)
	t.Cleanup(func() { docker(t, nil, "rm", "--force", "--volumes", name) })
	c.start(plan)
	// Whoever reads this byte has the first turn.
	turn, err := os.OpenFile(volume+"/first", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer turn.Close()
	if _, err := turn.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	ended := c.awaitFor(interpose.Exited, costPatience)
	if ended.Code != 0 {
		t.Fatalf("exit code %d", ended.Code)
	}
	if code := docker(t, nil, "wait", name); code != "0" {
		t.Fatalf("native program: exit code %s", code)
	}
	native, _ := parseCost(t, docker(t, nil, "logs", name))
	interposed, written := parseCost(t, docker(t, nil, "logs", c.name))
	if len(plan.Points) > 0 && ended.Counts["point"] != written {
		t.Errorf("%d writes were counted of %d", ended.Counts["point"], written)
	}
	if len(native) == 0 || len(native) != len(interposed) {
		t.Fatalf("%d turns of the native program, %d of the other", len(native), len(interposed))
	}
	return comparison{native, interposed}
}

// costPatience bounds one comparison.
const costPatience = 5 * time.Minute

func parseCost(t *testing.T, output string) (turns []cost, written int) {
	t.Helper()
	for lines := bufio.NewScanner(strings.NewReader(output)); lines.Scan(); {
		if _, err := fmt.Sscanf(lines.Text(), "written %d", &written); err == nil {
			continue
		}
		var c cost
		_, err := fmt.Sscanf(lines.Text(), "turn %g %g", &c.write, &c.untrapped)
		_, list, _ := strings.Cut(lines.Text(), "[")
		for _, text := range strings.Fields(strings.TrimSuffix(list, "]")) {
			took, parseErr := strconv.ParseFloat(text, 64)
			err = errors.Join(err, parseErr)
			c.synced = append(c.synced, took)
		}
		if err != nil || len(c.synced) == 0 {
			t.Fatalf("unexpected output %q: %v", lines.Text(), err)
		}
		turns = append(turns, c)
	}
	return turns, written
}
