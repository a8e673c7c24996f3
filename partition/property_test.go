package partition_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/killpoint/killpoint/partition"
	"github.com/killpoint/killpoint/partition/internal/crashfs"
)

// TestRandomLives runs random workloads with duplicate deliveries through
// lives that end in crashes at random operations, with short reads and writes
// and with errors, and follows which states the files may be in.
func TestRandomLives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &lives{
			t:          t,
			disk:       crashfs.New(),
			allowed:    []model{newModel()},
			durability: rapid.SampledFrom([]partition.Durability{partition.Power, partition.Power, partition.Process}).Draw(t, "durability"),
			journal:    int64(rapid.SampledFrom([]int{1 << 10, 1 << 12, 1 << 14}).Draw(t, "journal")),
			handles:    rapid.IntRange(1, 6).Draw(t, "handles"),
			schedule:   rapid.IntRange(0, len(schedules)-1).Draw(t, "schedule"),
		}
		l.start()
		t.Repeat(map[string]func(*rapid.T){
			"write":      l.write,
			"writeAgain": l.writeAgain,
			"checkpoint": l.checkpoint,
			"reopen":     l.reopen,
			"crash":      l.crash,
			"crashLater": l.crashLater,
			"failLater":  l.failLater,
			"short":      l.short,
		})
		l.fault, l.most = nil, 0
		if l.m != nil && l.m.Close() != nil {
			l.recoverFrom(l.disk.KillProcess())
		}
		if err := judge(l.disk.KillProcess(), l.options(), l.allowed, l.sent); err != nil {
			t.Fatal(err)
		}
	})
}

// lives is a manager, its disk, and what may be on it.
type lives struct {
	t          *rapid.T
	disk       *crashfs.FS
	m          *partition.Manager // nil when it could not be opened
	allowed    []model
	sent       []delivery
	durability partition.Durability
	journal    int64
	handles    int
	schedule   int // of schedules

	most  int                             // bytes that a read or write does at once; 0 for all
	fault func(crashfs.Op) *crashfs.Fault // what happens to a later operation
}

func (l *lives) options() partition.Options {
	o := options(l.disk, l.durability)
	o.JournalBytes, o.OpenFiles = l.journal, l.handles
	return schedules[l.schedule].of(o)
}

func (l *lives) hook(op crashfs.Op) *crashfs.Fault {
	if l.fault != nil {
		if fault := l.fault(op); fault != nil {
			return fault
		}
	}
	if l.most > 0 && (op.Kind == crashfs.Read || op.Kind == crashfs.Write) && len(op.Data) > l.most {
		return &crashfs.Fault{Keep: l.most}
	}
	return nil
}

// start opens the disk; an error is fine as long as a fault explains it.
func (l *lives) start() {
	l.disk.Before = l.hook
	m, err := partition.Open(context.Background(), l.options())
	if err != nil {
		l.m = nil
		l.explained("open", err)
		return
	}
	l.m = m
	l.narrow()
}

// narrow checks that the files hold one of the states that they may hold.
func (l *lives) narrow() {
	found, err := choose(l.disk, l.allowed)
	if err != nil {
		l.t.Fatal(err)
	}
	l.allowed = []model{found}
}

var errInjected = errors.New("injected error")

// explained fails the test when no fault explains an error.
func (l *lives) explained(what string, err error) {
	if !errors.Is(err, errInjected) && !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, crashfs.ErrCrashed) && !errors.Is(err, partition.ErrFailed) {
		l.t.Fatalf("%s: %v", what, err)
	}
	if errors.Is(err, crashfs.ErrCrashed) {
		l.fault = nil
		l.powerOrKill()
	}
}

// afterError closes a manager that stopped, as a worker has to.
func (l *lives) afterError(what string, err error) {
	before := l.m
	l.explained(what, err)
	if l.m == before && errors.Is(err, partition.ErrFailed) {
		l.m.Close()
		l.m = nil
	}
}

// powerOrKill goes on from what a crash leaves.
func (l *lives) powerOrKill() {
	after := l.disk.KillProcess()
	if l.durability == partition.Power {
		switch survive := rapid.IntRange(-4, 1000).Draw(l.t, "survivors"); survive {
		case -4:
			after = l.disk.Crash(crashfs.NamesOnly{})
		case -3:
			after = l.disk.Crash(crashfs.BytesOnly{})
		case -2:
			after = l.disk.Crash(crashfs.Everything{})
		case -1:
			after = l.disk.Crash(crashfs.Nothing{})
		case 0:
		default:
			after = l.disk.Crash(crashfs.Seeded(uint64(survive)))
		}
	}
	l.recoverFrom(after)
}

func (l *lives) recoverFrom(after *crashfs.FS) {
	l.disk, l.m = after, nil
	l.start()
}

// ensure opens the manager again when an earlier attempt failed.
func (l *lives) ensure() bool {
	for range 3 {
		if l.m != nil {
			return true
		}
		l.start()
	}
	return l.m != nil
}

func (l *lives) deliver(group []delivery) {
	if !l.ensure() {
		return
	}
	results, err := l.m.Write(context.Background(), chunksOf(group))
	if err != nil {
		l.allowed = with(l.allowed, group)
		l.afterError("write", err)
		if len(l.allowed) > 8 {
			l.fault = nil
			if l.m != nil {
				l.m.Close()
				l.m = nil
			}
			l.start()
		}
		return
	}
	l.allowed = agreeing(l.allowed, group, results)
	l.narrow()
}

func (l *lives) write(t *rapid.T) {
	var group []delivery
	for range rapid.IntRange(1, 4).Draw(t, "chunks") {
		d := delivery{id: fmt.Sprintf("chunk-%d", len(l.sent)), prefix: rapid.SampledFrom([]string{"A", "B"}).Draw(t, "prefix")}
		for range rapid.IntRange(0, 6).Draw(t, "rows") {
			d.rows = append(d.rows, row{
				rapid.IntRange(0, 2).Draw(t, "partition"),
				rapid.SampledFrom([]string{"", "1", "1,a", "1,b", "22,a long row, but not too long"}).Draw(t, "text"),
			})
		}
		l.sent = append(l.sent, d)
		group = append(group, d)
	}
	l.deliver(group)
}

func (l *lives) writeAgain(t *rapid.T) {
	if len(l.sent) == 0 {
		t.Skip("nothing was sent")
	}
	var group []delivery
	for range rapid.IntRange(1, 4).Draw(t, "chunks") {
		back := rapid.IntRange(1, min(len(l.sent), 6)).Draw(t, "back")
		group = append(group, l.sent[len(l.sent)-back])
	}
	l.deliver(group)
}

func (l *lives) checkpoint(*rapid.T) {
	if !l.ensure() {
		return
	}
	if err := l.m.Checkpoint(context.Background()); err != nil {
		l.afterError("checkpoint", err)
	}
}

func (l *lives) reopen(*rapid.T) {
	if !l.ensure() {
		return
	}
	if err := l.m.Close(); err != nil {
		l.m = nil
		if l.explained("close", err); l.m != nil {
			return
		}
	}
	l.m = nil
	l.start()
}

func (l *lives) crash(*rapid.T) {
	l.fault = nil
	l.powerOrKill()
}

func (l *lives) crashLater(t *rapid.T) {
	left := rapid.IntRange(0, 40).Draw(t, "operations until the crash")
	permille := rapid.IntRange(0, 1000).Draw(t, "permille kept")
	l.fault = func(op crashfs.Op) *crashfs.Fault {
		if left--; left >= 0 {
			return nil
		}
		return &crashfs.Fault{Crash: true, Keep: len(op.Data) * permille / 1000}
	}
}

func (l *lives) failLater(t *rapid.T) {
	left := rapid.IntRange(0, 40).Draw(t, "operations until the error")
	times := rapid.IntRange(1, 3).Draw(t, "times")
	permille := rapid.IntRange(0, 1000).Draw(t, "permille kept")
	err := rapid.SampledFrom([]error{errInjected, syscall.ENOSPC}).Draw(t, "error")
	l.fault = func(op crashfs.Op) *crashfs.Fault {
		if left--; left >= 0 || left < -times {
			return nil
		}
		return &crashfs.Fault{Err: err, Keep: len(op.Data) * permille / 1000}
	}
}

func (l *lives) short(t *rapid.T) { l.most = rapid.IntRange(0, 40).Draw(t, "bytes a call") }
