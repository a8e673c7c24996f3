package partition_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
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

// busyWorkload fills one journal file after the other and never pauses, so that
// each checkpoint has to wait for the one before.
func busyWorkload() []step {
	var steps []step
	for i := range 7 {
		d := delivery{id: fmt.Sprint("busy-", i), prefix: "A"}
		for p := range 3 {
			d.rows = append(d.rows, row{p, strings.Repeat(fmt.Sprint(i), 100)})
		}
		steps = append(steps, step{group: []delivery{d}})
	}
	return steps
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
// takes minutes; else every twelfth or fortieth state has to do.
var exhaustive = flag.Bool("exhaustive", false, "crash every recovery at every operation")

// schedules are the ways in which the work beside the writes may fall in with
// them. Each gives options of its own, since it keeps what is still to be done.
var schedules = []struct {
	name string
	of   func(partition.Options) partition.Options
	late bool // a checkpoint may not be over when the next one is due
}{
	{"sequential", func(o partition.Options) partition.Options { return o }, false},
	{"sequential, indexed", func(o partition.Options) partition.Options { return partition.IndexEvery(o, 2) }, false},
	{"at once, indexed", func(o partition.Options) partition.Options { return partition.IndexEvery(atOnce(o), 2) }, false},
	{"at last", atLast, true},
	{"in between", inBetween, true},
}

// atOnce does the work beside before all that follows: rows are in their files
// before the journal is synced, and files are synced before the next group.
func atOnce(o partition.Options) partition.Options {
	return partition.Beside(o, func(work func()) func() {
		work()
		return func() {}
	})
}

// atLast does it when it is waited for.
func atLast(o partition.Options) partition.Options {
	return partition.Beside(o, func(work func()) func() { return sync.OnceFunc(work) })
}

// inBetween does it in the middle of a later operation.
func inBetween(o partition.Options) partition.Options {
	between := &later{FS: o.FS}
	o.FS = between
	return partition.Beside(o, func(work func()) func() {
		once := sync.OnceFunc(func() {
			before := between.busy
			between.busy = true
			work()
			between.busy = before
		})
		between.queue = append(between.queue, once)
		return once
	})
}

// later is a file system in which every third opening, reading and writing
// starts with what was to be done beside.
type later struct {
	partition.FS
	queue []func()
	count int
	busy  bool
}

type laterFile struct {
	partition.File
	fs *later
}

func (l *later) turn() {
	if l.count++; l.count%3 == 0 && len(l.queue) > 0 && !l.busy {
		work := l.queue[0]
		l.queue = l.queue[1:]
		work()
	}
}

func (l *later) wrap(file partition.File, err error) (partition.File, error) {
	if err != nil {
		return nil, err
	}
	return laterFile{file, l}, nil
}

func (l *later) Open(name string) (partition.File, error)     { return l.wrap(l.FS.Open(name)) }
func (l *later) OpenRead(name string) (partition.File, error) { return l.wrap(l.FS.OpenRead(name)) }
func (l *later) Create(name string) (partition.File, error)   { return l.wrap(l.FS.Create(name)) }

func (f laterFile) WriteAt(p []byte, offset int64) (int, error) {
	f.fs.turn()
	return f.File.WriteAt(p, offset)
}

func (f laterFile) SyncData() error {
	f.fs.turn()
	return f.File.SyncData()
}

// TestCrashAtEveryOperation crashes a workload at every operation, and the
// recovery from each of these crashes at every operation again.
func TestCrashAtEveryOperation(t *testing.T) {
	for _, durability := range []partition.Durability{partition.Power, partition.Process} {
		for _, schedule := range schedules {
			if schedule.late {
				t.Run(durability.String()+", "+schedule.name+", busy", func(t *testing.T) {
					t.Parallel()
					crashEverywhere(t, func(disk *crashfs.FS) partition.Options {
						o := options(disk, durability)
						o.OpenFiles = 100 // making room for a file would wait, too
						return schedule.of(o)
					}, busyWorkload(), 40)
				})
			}
			t.Run(durability.String()+", "+schedule.name, func(t *testing.T) {
				t.Parallel()
				stride := 12
				if schedule.name != "sequential" && !*exhaustive {
					stride = 40
				}
				crashEverywhere(t, func(disk *crashfs.FS) partition.Options {
					return schedule.of(options(disk, durability))
				}, workload(), stride)
			})
		}
	}
}

func crashEverywhere(t *testing.T, make func(*crashfs.FS) partition.Options, steps []step, stride int) {
	disk := crashfs.New()
	o := make(disk)
	durability := o.Durability
	seeds, nestedSeeds := 3, 0
	switch {
	case underRace:
		seeds, stride = 1, 48
	case *exhaustive:
		seeds, nestedSeeds, stride = 20, 2, 1
	}
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
		if err := judge(after, make(after), allowed, everything); err != nil {
			t.Fatalf("crash in the recovery: %s: %v", name, err)
		}
	}
	judgeOuter := func(name string, after *crashfs.FS) {
		key := fmt.Sprint("outer", after.Fingerprint(), len(allowed), len(allowed[0].ids))
		if judged[key] {
			return
		}
		judged[key] = true
		if states++; underRace && states%6 != 0 {
			return
		}
		alone := after.Clone()
		if err := judge(alone, make(alone), allowed, everything); err != nil {
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
		if _, err := partition.Open(context.Background(), make(again)); err != nil {
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
// says that it must be opened again, and that nothing is lost or doubled: when
// the worker tries again at once, and when it goes on to other things and is
// killed or loses its power somewhere later.
func TestErrorAtEveryOperation(t *testing.T) {
	for _, schedule := range schedules {
		t.Run(schedule.name, func(t *testing.T) {
			t.Parallel()
			errorAtEveryOperation(t, func(disk *crashfs.FS) partition.Options {
				return schedule.of(options(disk, partition.Power))
			})
		})
	}
}

func errorAtEveryOperation(t *testing.T, make func(*crashfs.FS) partition.Options) {
	clean := crashfs.New()
	var allowed []model
	steps := workload()
	if err := play(make(clean), steps, &allowed); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for at := 1; at <= clean.Operations(); at++ {
		for _, done := range []bool{false, true} {
			for _, persistent := range []bool{true, false} {
				if underRace && at%11 != 0 {
					continue
				}
				disk := crashfs.New()
				var point crashfs.Op
				disk.Before = func(op crashfs.Op) *crashfs.Fault {
					if op.Number != at {
						return nil
					}
					point = op
					fault := &crashfs.Fault{Err: errInjected, Done: done}
					if done {
						fault.Keep = len(op.Data)
					}
					return fault
				}
				worker := worker{options: func() partition.Options { return make(disk) }, disk: disk, persistent: persistent}
				if err := worker.play(steps); err != nil {
					t.Fatalf("%s fails (done all the same: %v; tried again: %v): %v", point, done, persistent, err)
				}
				failed++
			}
		}
	}
	t.Logf("%d failures injected", failed)
}

// TestCrashAfterAFailedSync lets each sync of a workload fail, which leaves
// bytes in the page cache that no later sync writes, and crashes the recovery
// that follows at every operation.
func TestCrashAfterAFailedSync(t *testing.T) {
	for _, schedule := range schedules {
		t.Run(schedule.name, func(t *testing.T) {
			t.Parallel()
			crashAfterAFailedSync(t, schedule.of)
		})
	}
}

func crashAfterAFailedSync(t *testing.T, of func(partition.Options) partition.Options) {
	steps := workload()
	everything := allDeliveries(steps)
	list := []aftermath{powerLoss(crashfs.Nothing{}), seededLoss(1)}
	syncs, states := 0, 0
	for at := 1; ; at++ {
		if underRace && at%5 != 1 {
			continue
		}
		disk := crashfs.New()
		o := of(options(disk, partition.Power))
		seen, hit, index := 0, false, false
		disk.Before = func(op crashfs.Op) *crashfs.Fault {
			if op.Kind != crashfs.Sync {
				return nil
			}
			if seen++; seen != at {
				return nil
			}
			hit, index = true, strings.Contains(op.Name, "chunk-ids.index")
			return &crashfs.Fault{Err: errInjected}
		}
		var allowed []model
		err := play(o, steps, &allowed)
		if !hit {
			break
		}
		if !errors.Is(err, errInjected) && !(index && err == nil) { // the index is made again
			t.Fatalf("sync %d fails: the workload ends with %v", at, err)
		}
		syncs++
		judged := map[uint64]bool{}
		again := disk.Clone()
		again.Before = func(op crashfs.Op) *crashfs.Fault {
			if !op.Kind.Changes() {
				return nil
			}
			eachCrash(again, op, list, func(name string, after *crashfs.FS) {
				if print := after.Fingerprint(); judged[print] {
					return
				} else {
					judged[print] = true
				}
				states++
				if err := judge(after, of(options(after, partition.Power)), allowed, everything); err != nil {
					t.Fatalf("sync %d fails, and in the recovery after it: %s: %v", at, name, err)
				}
			})
			return nil
		}
		m := mustOpen(t, of(options(again, partition.Power)))
		again.Before = nil
		found, err := choose(again, allowed)
		if err != nil {
			t.Fatalf("sync %d fails: %v", at, err)
		}
		mustWrite(t, m, delivery{"next", "A", []row{{0, "8,next"}}})
		found, _ = found.apply([]delivery{{"next", "A", []row{{0, "8,next"}}}})
		if err := judge(again.Crash(crashfs.Nothing{}), options(nil, partition.Power), []model{found}, everything); err != nil {
			t.Fatalf("sync %d fails, and the power after one more group: %v", at, err)
		}
	}
	t.Logf("%d failed syncs, %d states after crashes of their recoveries", syncs, states)
	enough := 20
	if underRace {
		enough = 5
	}
	if syncs < enough || states < syncs {
		t.Error("too few failures to prove anything")
	}
}

// worker goes through a workload with a manager whose operations may fail.
type worker struct {
	options    func() partition.Options
	disk       *crashfs.FS
	m          *partition.Manager
	allowed    []model
	persistent bool // tries a failed step again at once
	troubled   bool // something failed before
}

// play runs a workload. After ErrFailed it closes and opens. After every
// success the files must hold one of the states that the failures before
// allow, and after the first failure they must do so after crashes, too.
func (w *worker) play(steps []step) (err error) {
	w.allowed = []model{newModel()}
	if w.m, err = openStubbornly(w.options()); err != nil {
		return err
	}
	for number, s := range steps {
		for attempt := 0; ; attempt++ {
			if attempt == 3 {
				return fmt.Errorf("step %d does not succeed: %w", number, err)
			}
			err = w.step(s)
			w.troubled = w.troubled || err != nil
			if errors.Is(err, partition.ErrFailed) {
				if _, again := w.m.Write(context.Background(), nil); !errors.Is(again, partition.ErrFailed) {
					return fmt.Errorf("a write after a failed sync returned %v, want ErrFailed", again)
				}
				w.m.Close()
				if w.m, err = openStubbornly(w.options()); err != nil {
					return err
				}
				continue
			}
			if err == nil || !w.persistent {
				break
			}
		}
		if err == nil {
			found, err := choose(w.disk, w.allowed)
			if err != nil {
				return fmt.Errorf("after step %d: %w", number, err)
			}
			w.allowed = []model{found}
		}
		if w.troubled && !w.persistent {
			if err := judge(w.disk.Crash(crashfs.Nothing{}), options(nil, partition.Power), w.allowed, allDeliveries(steps)); err != nil {
				return fmt.Errorf("power loss after step %d: %w", number, err)
			}
		}
	}
	w.m.Close()
	return judge(w.disk.Crash(crashfs.Nothing{}), options(nil, partition.Power), w.allowed, allDeliveries(steps))
}

func (w *worker) step(s step) error {
	switch {
	case s.reopen:
		w.m.Close()
		m, err := openStubbornly(w.options())
		w.m = m
		return err
	case s.checkpoint:
		return w.m.Checkpoint(context.Background())
	}
	results, err := w.m.Write(context.Background(), chunksOf(s.group))
	if err != nil {
		w.allowed = with(w.allowed, s.group)
		return err
	}
	w.allowed = agreeing(w.allowed, s.group, results)
	return nil
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
