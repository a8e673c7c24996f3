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

// The aims of what the interposer may cost, from the project's design: they are printed as met or missed.
const (
	aimTrapped     = 12 * time.Microsecond
	aimTrappedRead = 16 * time.Microsecond
	aimSynced      = 0.10 // of the time of a write with fdatasync
)

// cost is what the target measures in one turn, in nanoseconds: medians, and each write with fdatasync.
type cost struct {
	write, untrapped float64
	inPlace, atEnd   []float64
}

func writeOf(c cost) float64     { return c.write }
func untrappedOf(c cost) float64 { return c.untrapped }
func inPlaceOf(c cost) []float64 { return c.inPlace }
func atEndOf(c cost) []float64   { return c.atEnd }

// turnsPerBlock is how many turns in a row are taken together to compare writes with fdatasync: a single one says more of the disk at that moment than of the program.
const turnsPerBlock = 20

// TestCost compares a program with the same program under the interposer, and under the floor: the least that anybody has to do who traps the same calls. They are three containers of one kind that take turns and write to one volume. Each turn is compared with the native program's turn beside it, and the medians of these differences count: what the machine does meanwhile, it does to all. Of writes with fdatasync the medians of blocks of turns are compared, which hold some hundreds of each program's.
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

	counted := compareCost(t, counting, "write")
	reported := compareCost(t, reporting, "write,bytes")
	both := compareCost(t, syncing, "write,sync")

	fmt.Printf("a write takes %v, and\n", duration(counted.native(writeOf).median))
	counted.printExtra("trapped, its path found and counted", aimTrapped)
	reported.printExtra("reported, with a sum of its bytes", aimTrappedRead)
	untrapped := counted.extra(counted.interposed, untrappedOf)
	native := counted.native(untrappedOf).median
	free := untrapped.median <= native/20+2
	fmt.Printf("a call that is not trapped takes %v, and %v more under the interposer: %s\n", duration(native), untrapped, verdict(free))
	for _, synced := range []struct {
		where string
		of    func(cost) []float64
	}{{"at the end of a file", atEndOf}, {"in place", inPlaceOf}} {
		fmt.Printf("a write with fdatasync %s takes %v, and\n", synced.where, duration(median(counted.natives, synced.of)))
		counted.printSlowed("the write trapped", synced.of)
		both.printSlowed("both trapped", synced.of)
	}
	if !free {
		t.Error("a call that is not trapped costs more than without the interposer")
	}
	fmt.Println("The floor is a program that only receives the same calls, reads what the interposer has to read, and lets them go on.")
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "MISSED"
}

// comparison is the turns of three programs.
type comparison struct{ natives, floor, interposed []cost }

// printExtra prints what a trapped write costs more than a native one.
func (c comparison) printExtra(what string, aim time.Duration) {
	extra, floor := c.extra(c.interposed, writeOf), c.extra(c.floor, writeOf)
	fmt.Printf("  %-36s %v more; aim %v: %s; the floor %v more, this %.2f times that\n",
		what, extra, aim, verdict(extra.median <= float64(aim)), duration(floor.median), extra.median/floor.median)
}

// printSlowed prints how much slower a write with fdatasync is than a native one.
func (c comparison) printSlowed(what string, of func(cost) []float64) {
	slowed, floor := c.slowed(c.interposed, of), c.slowed(c.floor, of)
	fmt.Printf("  %-36s %s; aim %.0f %%: %s; the floor %s\n", what, slowed.percent(), 100*aimSynced, verdict(slowed.median-1 <= aimSynced), floor.percent())
}

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
	return c.pairs(c.natives, func(native, _ cost) float64 { return of(native) })
}

func (c comparison) extra(turns []cost, of func(cost) float64) spread {
	return c.pairs(turns, func(native, other cost) float64 { return of(other) - of(native) })
}

// slowed is how many times as long a write with fdatasync takes.
func (c comparison) slowed(turns []cost, of func(cost) []float64) spread {
	var ratios []float64
	for first := 0; first+turnsPerBlock <= len(turns); first += turnsPerBlock {
		ratios = append(ratios, median(turns[first:first+turnsPerBlock], of)/median(c.natives[first:first+turnsPerBlock], of))
	}
	return spreadOf(ratios)
}

// median is that of the writes with fdatasync of some turns.
func median(turns []cost, of func(cost) []float64) float64 {
	var all []float64
	for _, turn := range turns {
		all = append(all, of(turn)...)
	}
	return spreadOf(all).median
}

func (c comparison) pairs(turns []cost, value func(native, other cost) float64) spread {
	values := make([]float64, len(turns))
	for i := range values {
		values[i] = value(c.natives[i], turns[i])
	}
	return spreadOf(values)
}

// compareCost runs the three programs by turns on one volume; floor is what the floor traps. What the interposer counted must be what the program wrote.
func compareCost(t *testing.T, plan interpose.Plan, floor string) comparison {
	t.Helper()
	volume := t.TempDir()
	for _, pipe := range []string{"native", "floor", "interposed"} {
		if err := unix.Mkfifo(volume+"/turn-"+pipe, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	flags := []string{"--volume", volume + ":/data"}
	measure := func(who, next string) []string {
		return []string{"measure", "/data/" + who, fmt.Sprint(*costWrites), "/data/turn-" + who, "/data/turn-" + next}
	}
	c := createContainer(t, plan, flags, append([]string{"/target"}, measure("interposed", "native")...)...)
	native := runBeside(t, c, "native", flags, measure("native", "floor"))
	floored := runBeside(t, c, "floor", flags, append([]string{"floor", floor}, measure("floor", "interposed")...))
	c.start(plan)
	// Whoever reads this byte has the first turn.
	turn, err := os.OpenFile(volume+"/turn-native", os.O_RDWR, 0)
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
	compared := comparison{natives: turnsOf(t, native), floor: turnsOf(t, floored)}
	var written int
	compared.interposed, written = parseCost(t, docker(t, nil, "logs", c.name))
	if len(plan.Points) > 0 && ended.Counts["point"] != written {
		t.Errorf("%d writes were counted of %d", ended.Counts["point"], written)
	}
	if n := len(compared.natives); n == 0 || n != len(compared.floor) || n != len(compared.interposed) {
		t.Fatalf("%d turns of the native program, %d of the floor, %d of the other", n, len(compared.floor), len(compared.interposed))
	}
	return compared
}

// runBeside starts the target in a container of its own and returns its name.
func runBeside(t *testing.T, c *container, who string, flags, arguments []string) string {
	t.Helper()
	from, err := image()
	if err != nil {
		t.Fatal(err)
	}
	name := c.name + "-" + who
	command := append([]string{"run", "--detach", "--name", name, "--network", "none"}, flags...)
	docker(t, nil, append(append(command, from, "/target"), arguments...)...)
	t.Cleanup(func() { docker(t, nil, "rm", "--force", "--volumes", name) })
	return name
}

// turnsOf waits for the end of a container and returns what it measured.
func turnsOf(t *testing.T, name string) []cost {
	t.Helper()
	if code := docker(t, nil, "wait", name); code != "0" {
		t.Fatalf("%s: exit code %s", name, code)
	}
	turns, _ := parseCost(t, docker(t, nil, "logs", name))
	return turns
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
		lists := strings.Split(lines.Text(), "[")
		if len(lists) != 3 {
			t.Fatalf("unexpected output %q", lines.Text())
		}
		for i, into := range []*[]float64{&c.inPlace, &c.atEnd} {
			list, _, _ := strings.Cut(lists[i+1], "]")
			for _, text := range strings.Fields(list) {
				took, parseErr := strconv.ParseFloat(text, 64)
				err = errors.Join(err, parseErr)
				*into = append(*into, took)
			}
		}
		if err != nil || len(c.inPlace) == 0 || len(c.atEnd) == 0 {
			t.Fatalf("unexpected output %q: %v", lines.Text(), err)
		}
		turns = append(turns, c)
	}
	return turns, written
}
