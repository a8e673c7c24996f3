package partition_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/partition"
	"github.com/killpoint/killpoint/partition/internal/crashfs"
)

// step is one thing that a workload does with a manager.
type step struct {
	group      []delivery // written when not nil
	checkpoint bool
	reopen     bool
}

// workload has what can go wrong: equal rows in different chunks, duplicates
// in a group and across groups and lives, a chunk without rows, two prefixes,
// a group larger than the journal, and enough bytes for several checkpoints.
func workload() []step {
	long := strings.Repeat("x", 300)
	a := delivery{"a", "A", []row{{0, "1,anna"}, {1, "2,ben"}, {0, "4,cleo"}}}
	b := delivery{"b", "A", []row{{0, "1,anna"}, {1, "2,ben"}, {0, "4,cleo"}}}
	c := delivery{"8f14e45f-ceea-467f-a8d2-5e1c1d6a0c11", "B", []row{{2, "3," + long}}}
	empty := delivery{"empty", "A", nil}
	d := delivery{"d", "A", []row{{2, "6,dora"}, {0, "1,anna"}, {1, "5," + long}}}
	e := delivery{"e", "B", []row{{0, ""}, {2, "3,emil"}, {2, "3,emil"}}}
	f := delivery{"f", "A", []row{{0, "9," + long}, {1, "9," + long}, {2, "9," + long}, {0, "9," + long}}}
	g := delivery{"g", "A", []row{{1, "7,gina"}}}
	return []step{
		{group: []delivery{a}},
		{group: []delivery{b, a, b}},
		{group: []delivery{c, empty}},
		{group: []delivery{a}},
		{checkpoint: true},
		{group: []delivery{d, e}},
		{group: []delivery{f, d}},
		{reopen: true},
		{group: []delivery{f}},
		{group: []delivery{g}},
	}
}

// allDeliveries lists the chunks of a workload, each once.
func allDeliveries(steps []step) []delivery {
	var all []delivery
	for _, s := range steps {
		for _, d := range s.group {
			if !slices.ContainsFunc(all, func(seen delivery) bool { return seen.id == d.id }) {
				all = append(all, d)
			}
		}
	}
	return all
}

// play runs a workload. allowed always points to the states that a crash right
// now may leave.
func play(o partition.Options, steps []step, allowed *[]model) error {
	state := newModel()
	*allowed = []model{state}
	m, err := partition.Open(context.Background(), o)
	if err != nil {
		return err
	}
	for _, s := range steps {
		switch {
		case s.checkpoint:
			err = m.Checkpoint(context.Background())
		case s.reopen:
			if err = m.Close(); err == nil {
				m, err = partition.Open(context.Background(), o)
			}
		default:
			*allowed = with([]model{state}, s.group)
			if _, err = m.Write(context.Background(), chunksOf(s.group)); err == nil {
				state, _ = state.apply(s.group)
				*allowed = []model{state}
			}
		}
		if err != nil {
			return err
		}
	}
	return m.Close()
}

// aftermath is one way in which the machine may come back.
type aftermath struct {
	name string
	of   func(*crashfs.FS) *crashfs.FS
}

func powerLoss(s interface {
	crashfs.Survivors
	fmt.Stringer
}) aftermath {
	return aftermath{s.String(), func(disk *crashfs.FS) *crashfs.FS { return disk.Crash(s) }}
}

func seededLoss(seed uint64) aftermath {
	return aftermath{crashfs.Seeded(seed).String(), func(disk *crashfs.FS) *crashfs.FS { return disk.Crash(crashfs.Seeded(seed)) }}
}

var killed = aftermath{"the process was killed", (*crashfs.FS).KillProcess}

// aftermaths are the crashes that a durability has to survive.
func aftermaths(d partition.Durability, seeds int) []aftermath {
	if d == partition.Process {
		return []aftermath{killed}
	}
	list := []aftermath{
		killed, powerLoss(crashfs.Nothing{}), powerLoss(crashfs.Everything{}),
		powerLoss(crashfs.NamesOnly{}), powerLoss(crashfs.BytesOnly{}),
	}
	for seed := range seeds {
		list = append(list, seededLoss(uint64(seed)))
	}
	return list
}

// tears are how much of a write is there when the crash comes in its middle.
func tears(op crashfs.Op) []int {
	cuts := []int{0}
	if op.Kind == crashfs.Write {
		for _, cut := range []int{1, 11, len(op.Data) / 2, len(op.Data) - 1} {
			if cut > cuts[len(cuts)-1] && cut < len(op.Data) {
				cuts = append(cuts, cut)
			}
		}
	}
	return cuts
}

// eachCrash calls f with the disk after a crash at one operation, for every
// tear of it and every aftermath.
func eachCrash(disk *crashfs.FS, op crashfs.Op, list []aftermath, f func(name string, after *crashfs.FS)) {
	for _, keep := range tears(op) {
		torn := disk
		if keep > 0 {
			torn = disk.Clone()
			torn.Tear(op, keep)
		}
		for _, a := range list {
			f(fmt.Sprintf("%s +%d, %s", op, keep, a.name), a.of(torn))
		}
	}
}

// exhaustive crashes the recovery from every state at every operation, which
// takes minutes; else every eighth state has to do.
var exhaustive = flag.Bool("exhaustive", false, "crash every recovery at every operation")

// TestCrashAtEveryOperation crashes a workload at every operation, and the
// recovery from each of these crashes at every operation again.
func TestCrashAtEveryOperation(t *testing.T) {
	for _, durability := range []partition.Durability{partition.Power, partition.Process} {
		t.Run(durability.String(), func(t *testing.T) {
			t.Parallel()
			crashEverywhere(t, durability, workload())
		})
	}
}

func crashEverywhere(t *testing.T, durability partition.Durability, steps []step) {
	seeds, nestedSeeds, stride := 3, 0, 12
	if *exhaustive {
		seeds, nestedSeeds, stride = 20, 2, 1
	}
	disk := crashfs.New()
	o := options(disk, durability)
	everything := allDeliveries(steps)
	var allowed []model
	judged := map[string]bool{}
	points, states, nested := 0, 0, 0

	judgeNested := func(name string, after *crashfs.FS) {
		key := fmt.Sprint(after.Fingerprint(), len(allowed), len(allowed[0].ids))
		if judged[key] {
			return
		}
		judged[key] = true
		nested++
		if err := judge(after, o, allowed, everything); err != nil {
			t.Fatalf("crash in the recovery: %s: %v", name, err)
		}
	}
	judgeOuter := func(name string, after *crashfs.FS) {
		key := fmt.Sprint("outer", after.Fingerprint(), len(allowed), len(allowed[0].ids))
		if judged[key] {
			return
		}
		judged[key] = true
		states++
		if err := judge(after.Clone(), o, allowed, everything); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if states%stride != 0 {
			return
		}
		again := after
		again.Before = func(op crashfs.Op) *crashfs.Fault {
			if op.Kind.Changes() {
				eachCrash(again, op, aftermaths(durability, nestedSeeds), func(inner string, after *crashfs.FS) {
					judgeNested(name+", then "+inner, after)
				})
			}
			return nil
		}
		recovering := o
		recovering.FS = again
		if _, err := partition.Open(context.Background(), recovering); err != nil {
			t.Fatalf("%s: open: %v", name, err)
		}
	}
	disk.Before = func(op crashfs.Op) *crashfs.Fault {
		if op.Kind.Changes() {
			points++
			eachCrash(disk, op, aftermaths(durability, seeds), judgeOuter)
		}
		return nil
	}
	if err := play(o, steps, &allowed); err != nil {
		t.Fatal(err)
	}
	disk.Before = nil
	if err := judgeClosed(disk, o, allowed[0]); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d crash points, %d distinct states after them, %d after crashes of their recoveries", points, states, nested)
	if points < 50 || states < points || nested < points {
		t.Errorf("too few crashes to prove anything")
	}
}

// TestErrorAtEveryOperation lets each operation of a workload fail once, with
// an error that goes away again, and checks that the manager either goes on or
// says that it must be opened again, and that nothing is lost or doubled.
func TestErrorAtEveryOperation(t *testing.T) {
	broken := errors.New("input/output error")
	clean := crashfs.New()
	var allowed []model
	steps := workload()
	if err := play(options(clean, partition.Power), steps, &allowed); err != nil {
		t.Fatal(err)
	}
	failed, stopped := 0, 0
	for at := 1; at <= clean.Operations(); at++ {
		for _, half := range []bool{false, true} {
			disk := crashfs.New()
			var point crashfs.Op
			disk.Before = func(op crashfs.Op) *crashfs.Fault {
				if op.Number != at {
					return nil
				}
				point = op
				fault := &crashfs.Fault{Err: broken}
				if half {
					fault.Keep = len(op.Data)
				}
				return fault
			}
			err := playThrough(options(disk, partition.Power), steps)
			if err != nil {
				t.Fatalf("%s fails (all bytes kept: %v): %v", point, half, err)
			}
			failed++
			if point.Kind == crashfs.Sync {
				stopped++
			}
		}
	}
	t.Logf("%d failures injected, %d of them syncs", failed, stopped)
}

// playThrough runs a workload as a worker would whose operations may fail: it
// tries a failed step once more, and after ErrFailed it closes and opens.
// After every success the files must hold one of the states that the failures
// before allow.
func playThrough(o partition.Options, steps []step) error {
	disk := o.FS.(*crashfs.FS)
	allowed := []model{newModel()}
	m, err := openStubbornly(o)
	if err != nil {
		return err
	}
	for number, s := range steps {
		for attempt := 0; ; attempt++ {
			if attempt == 3 {
				return fmt.Errorf("step %d does not succeed: %w", number, err)
			}
			if s.reopen {
				m.Close()
				m, err = openStubbornly(o)
			} else if s.checkpoint {
				err = m.Checkpoint(context.Background())
			} else {
				var results []partition.Result
				results, err = m.Write(context.Background(), chunksOf(s.group))
				if err == nil {
					allowed = agreeing(allowed, s.group, results)
				} else {
					allowed = with(allowed, s.group)
				}
			}
			if err == nil {
				found, err := choose(disk, allowed)
				if err != nil {
					return fmt.Errorf("after step %d: %w", number, err)
				}
				allowed = []model{found}
				break
			}
			if errors.Is(err, partition.ErrFailed) {
				if _, again := m.Write(context.Background(), nil); !errors.Is(again, partition.ErrFailed) {
					return fmt.Errorf("a write after a failed sync returned %v, want ErrFailed", again)
				}
				m.Close()
				if m, err = openStubbornly(o); err != nil {
					return err
				}
			}
		}
	}
	m.Close()
	after := disk.Crash(crashfs.Nothing{})
	o.FS = after
	return judge(after, o, allowed, allDeliveries(steps))
}

// openStubbornly opens, and once more when that fails.
func openStubbornly(o partition.Options) (*partition.Manager, error) {
	m, err := partition.Open(context.Background(), o)
	if err != nil {
		m, err = partition.Open(context.Background(), o)
	}
	if err != nil {
		return nil, fmt.Errorf("open a second time: %w", err)
	}
	return m, nil
}

// agreeing applies a group to those states in which exactly the chunks that
// were reported as duplicates are.
func agreeing(allowed []model, group []delivery, results []partition.Result) []model {
	var left []model
	for _, m := range allowed {
		next, duplicates := m.apply(group)
		same := true
		for i, r := range results {
			same = same && r.Duplicate == duplicates[i]
		}
		if same {
			left = append(left, next)
		}
	}
	return left
}
