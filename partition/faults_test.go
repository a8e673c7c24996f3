package partition_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/killpoint/killpoint/partition"
	"github.com/killpoint/killpoint/partition/internal/crashfs"
)

var (
	first  = delivery{"first", "A", []row{{0, "1,anna"}, {1, "2,ben"}, {0, "3,cleo"}}}
	second = delivery{"second", "A", []row{{0, "1,anna"}, {2, "5,dora"}}}
	third  = delivery{"third", "A", []row{{1, "4,emil"}}}
)

// failing makes the operations of a kind on files of a name fail, after keep
// bytes, until stop is called.
func failing(disk *crashfs.FS, kind crashfs.Kind, name string, keep int, err error) (hits *int, stop func()) {
	hits = new(int)
	disk.Before = func(op crashfs.Op) *crashfs.Fault {
		if matched, _ := filepath.Match(name, filepath.Base(op.Name)); !matched || op.Kind != kind {
			return nil
		}
		*hits++
		return &crashfs.Fault{Err: err, Keep: min(keep, len(op.Data))}
	}
	return hits, func() { disk.Before = nil }
}

func expectFiles(t *testing.T, disk *crashfs.FS, groups ...[]delivery) {
	t.Helper()
	want := newModel()
	for _, group := range groups {
		want, _ = want.apply(group)
	}
	if difference := want.difference(disk); difference != "" {
		t.Fatalf("files (-want +got):\n%s", difference)
	}
}

func TestFullDiskInTheJournal(t *testing.T) {
	for _, keep := range []int{0, 1, 50, 1 << 20} {
		t.Run(fmt.Sprintf("after %d bytes", keep), func(t *testing.T) {
			disk := crashfs.New()
			o := options(disk, partition.Power)
			m := mustOpen(t, o)
			mustWrite(t, m, first)
			hits, stop := failing(disk, crashfs.Write, "journal-*", keep, syscall.ENOSPC)
			_, err := m.Write(context.Background(), chunksOf([]delivery{second}))
			if !errors.Is(err, syscall.ENOSPC) || errors.Is(err, partition.ErrFailed) || *hits != 1 {
				t.Fatalf("write on a full disk: %v, want ENOSPC", err)
			}
			if knows(m, "second") {
				t.Fatal("a chunk whose journal record failed counts as written")
			}
			expectFiles(t, disk, []delivery{first})
			stop()
			if keep < 100 {
				if err := judge(disk.KillProcess(), o, []model{modelOf(first)}, []delivery{first, second}); err != nil {
					t.Fatalf("killed after the failure: %v", err)
				}
			}
			// A smaller group takes the place; what is left of the larger one
			// behind it must not come to life.
			mustWrite(t, m, third)
			expectFiles(t, disk, []delivery{first}, []delivery{third})
			if err := judge(disk.KillProcess(), o, []model{modelOf(first, third)}, []delivery{first, second, third}); err != nil {
				t.Fatalf("killed after going on: %v", err)
			}
			mustWrite(t, m, second)
			expectFiles(t, disk, []delivery{first}, []delivery{third}, []delivery{second})
			mustClose(t, m)
		})
	}
}

func modelOf(group ...delivery) model {
	m := newModel()
	for _, d := range group {
		m, _ = m.apply([]delivery{d})
	}
	return m
}

func TestFullDiskInAPartitionFile(t *testing.T) {
	for _, name := range []string{"*.csv", "*.txt"} {
		for _, keep := range []int{0, 1, 20} {
			t.Run(fmt.Sprintf("%s after %d bytes", name, keep), func(t *testing.T) {
				disk := crashfs.New()
				o := options(disk, partition.Power)
				m := mustOpen(t, o)
				_, stop := failing(disk, crashfs.Write, name, keep, syscall.ENOSPC)
				for range 2 {
					_, err := m.Write(context.Background(), chunksOf([]delivery{first}))
					if !errors.Is(err, syscall.ENOSPC) {
						t.Fatalf("write on a full disk: %v, want ENOSPC", err)
					}
				}
				if knows(m, "first") {
					t.Fatal("a chunk whose rows are not in the files counts as written")
				}
				if _, err := partition.Open(context.Background(), options(disk.KillProcess(), partition.Power)); err != nil {
					t.Fatalf("open after the failure: %v", err)
				}
				stop()
				results := mustWrite(t, m, first, second)
				if !results[0].Duplicate || results[1].Duplicate {
					t.Fatalf("results %+v, want the committed chunk as a duplicate and the other not", results)
				}
				expectFiles(t, disk, []delivery{first}, []delivery{second})
				mustClose(t, m)
				if err := judgeClosed(disk, o, modelOf(first, second)); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

func TestFullDiskAtACheckpoint(t *testing.T) {
	disk := crashfs.New()
	o := options(disk, partition.Power)
	m := mustOpen(t, o)
	mustWrite(t, m, first)
	_, stop := failing(disk, crashfs.Write, "chunk-ids.log", 3, syscall.ENOSPC)
	if err := m.Checkpoint(context.Background()); !errors.Is(err, syscall.ENOSPC) || errors.Is(err, partition.ErrFailed) {
		t.Fatalf("checkpoint on a full disk: %v, want ENOSPC", err)
	}
	mustWrite(t, m, second)
	if err := m.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("close on a full disk: %v, want ENOSPC", err)
	}
	stop()
	m = mustOpen(t, o)
	expectFiles(t, disk, []delivery{first}, []delivery{second})
	mustClose(t, m)
	if err := judgeClosed(disk, o, modelOf(first, second)); err != nil {
		t.Fatal(err)
	}
}

func TestOpenOnAFullDisk(t *testing.T) {
	disk := crashfs.New()
	o := options(disk, partition.Power)
	_, stop := failing(disk, crashfs.Write, "journal-*", 5, syscall.ENOSPC)
	if _, err := partition.Open(context.Background(), o); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("open on a full disk: %v, want ENOSPC", err)
	}
	stop()
	m := mustOpen(t, o)
	mustWrite(t, m, first)
	mustClose(t, m)
	if err := judgeClosed(disk, o, modelOf(first)); err != nil {
		t.Fatal(err)
	}
}

// TestFailedSync: after a failed sync nothing is written or synced any more,
// every call says so, and another Open finds all that was acknowledged, also
// when the power then goes at once.
func TestFailedSync(t *testing.T) {
	for _, name := range []string{"journal-0", "journal-1", "A-partition-000.csv", "processed-chunks.txt", "chunk-ids.log", "partitions"} {
		t.Run(name, func(t *testing.T) {
			disk := crashfs.New()
			o := options(disk, partition.Power)
			m := mustOpen(t, o)
			mustWrite(t, m, first)
			mustClose(t, m)
			m = mustOpen(t, o)
			mustWrite(t, m, second)
			broken := errors.New("input/output error")
			kind := crashfs.Sync
			if name == "partitions" {
				kind = crashfs.SyncDir
			}
			hits, stop := failing(disk, kind, name, 0, broken)
			_, err := m.Write(context.Background(), chunksOf([]delivery{third}))
			allowed := []model{modelOf(first, second), modelOf(first, second, third)}
			if err == nil {
				allowed = allowed[1:]
				err = m.Checkpoint(context.Background())
			}
			if err == nil {
				// The other slot's turn.
				mustWrite(t, m, delivery{"fourth", "B", []row{{0, "9,z"}}})
				allowed = []model{modelOf(first, second, third, delivery{"fourth", "B", []row{{0, "9,z"}}})}
				err = m.Checkpoint(context.Background())
			}
			if !errors.Is(err, broken) || !errors.Is(err, partition.ErrFailed) {
				t.Fatalf("got %v, want ErrFailed because of %v", err, broken)
			}
			if *hits != 1 {
				t.Fatalf("the sync was tried %d times", *hits)
			}
			stop()
			disk.Before = func(op crashfs.Op) *crashfs.Fault {
				if op.Kind.Changes() {
					t.Errorf("%s after a failed sync", op)
				}
				return nil
			}
			if _, err := m.Write(context.Background(), chunksOf([]delivery{third})); !errors.Is(err, partition.ErrFailed) {
				t.Errorf("write: %v, want ErrFailed", err)
			}
			if err := m.Checkpoint(context.Background()); !errors.Is(err, partition.ErrFailed) {
				t.Errorf("checkpoint: %v, want ErrFailed", err)
			}
			if err := m.Close(); !errors.Is(err, partition.ErrFailed) {
				t.Errorf("close: %v, want ErrFailed", err)
			}
			disk.Before = nil

			again := mustOpen(t, o)
			found, err := choose(disk, allowed)
			if err != nil {
				t.Fatal(err)
			}
			fifth := delivery{"fifth", "A", []row{{0, "7,x"}}}
			mustWrite(t, again, fifth)
			found, _ = found.apply([]delivery{fifth})
			if err := judge(disk.Crash(crashfs.Nothing{}), o, []model{found}, []delivery{first, second, third, fifth}); err != nil {
				t.Errorf("power loss after opening again: %v", err)
			}
		})
	}
}

// TestShortReadsAndWrites gives every read and write only a part of what it
// asks for.
func TestShortReadsAndWrites(t *testing.T) {
	for _, most := range []int{1, 7, 64} {
		disk := crashfs.New()
		disk.Before = func(op crashfs.Op) *crashfs.Fault {
			if op.Kind != crashfs.Read && op.Kind != crashfs.Write || len(op.Data) <= most {
				return nil
			}
			return &crashfs.Fault{Keep: most}
		}
		var allowed []model
		o := options(disk, partition.Power)
		if err := play(o, workload(), &allowed); err != nil {
			t.Fatal(err)
		}
		if err := judgeClosed(disk, o, allowed[0]); err != nil {
			t.Fatalf("at most %d bytes a call: %v", most, err)
		}
	}
}

func TestWriteThatMakesNoProgress(t *testing.T) {
	disk := crashfs.New()
	o := options(disk, partition.Power)
	m := mustOpen(t, o)
	_, stop := failing(disk, crashfs.Write, "*", 0, nil)
	if _, err := m.Write(context.Background(), chunksOf([]delivery{first})); err == nil {
		t.Fatal("a write of no bytes counts as done")
	}
	stop()
	mustWrite(t, m, first)
	expectFiles(t, disk, []delivery{first})
}

func TestSecondWriter(t *testing.T) {
	for name, make := range map[string]func(*testing.T) partition.Options{
		"in memory": func(*testing.T) partition.Options { return options(crashfs.New(), partition.Power) },
		"operating system": func(t *testing.T) partition.Options {
			o := options(nil, partition.Power)
			o.Dir, o.StateDir = filepath.Join(t.TempDir(), "p"), filepath.Join(t.TempDir(), "s")
			return o
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := make(t)
			m := mustOpen(t, o)
			if _, err := partition.Open(context.Background(), o); !errors.Is(err, partition.ErrLocked) {
				t.Errorf("second writer: %v, want ErrLocked", err)
			}
			elsewhere := o
			elsewhere.StateDir += "-elsewhere"
			if _, err := partition.Open(context.Background(), elsewhere); !errors.Is(err, partition.ErrLocked) {
				t.Errorf("second writer with another state directory: %v, want ErrLocked", err)
			}
			mustWrite(t, m, first)
			mustClose(t, m)
			mustClose(t, mustOpen(t, o))
		})
	}
}

func TestClosed(t *testing.T) {
	m := mustOpen(t, options(crashfs.New(), partition.Power))
	mustWrite(t, m, first)
	mustClose(t, m)
	if _, err := m.Write(context.Background(), chunksOf([]delivery{second})); !errors.Is(err, partition.ErrClosed) {
		t.Errorf("write: %v, want ErrClosed", err)
	}
	if err := m.Checkpoint(context.Background()); !errors.Is(err, partition.ErrClosed) {
		t.Errorf("checkpoint: %v, want ErrClosed", err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if !knows(m, "first") {
		t.Error("a closed manager forgot what was written")
	}
}

func TestCancelled(t *testing.T) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	disk := crashfs.New()
	o := options(disk, partition.Power)
	if _, err := partition.Open(cancelled, o); !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v, want context.Canceled", err)
	}
	m := mustOpen(t, o)
	if _, err := m.Write(cancelled, chunksOf([]delivery{first})); !errors.Is(err, context.Canceled) {
		t.Errorf("write: %v, want context.Canceled", err)
	}
	if knows(m, "first") {
		t.Error("a cancelled write wrote")
	}
	mustWrite(t, m, first)
}

func TestRefusedOptions(t *testing.T) {
	good := options(crashfs.New(), partition.Power)
	for name, change := range map[string]func(*partition.Options){
		"Dir":          func(o *partition.Options) { o.Dir = "" },
		"StateDir":     func(o *partition.Options) { o.StateDir = "" },
		"Partitions":   func(o *partition.Options) { o.Partitions = 1001 },
		"Header":       func(o *partition.Options) { o.Header = "a\nb" },
		"durability":   func(o *partition.Options) { o.Durability = 7 },
		"JournalBytes": func(o *partition.Options) { o.JournalBytes = 10 },
		"OpenFiles":    func(o *partition.Options) { o.OpenFiles = -1 },
	} {
		o := good
		change(&o)
		if _, err := partition.Open(context.Background(), o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want an error that names it", name, err)
		}
	}
}

func TestRefusedChunks(t *testing.T) {
	disk := crashfs.New()
	m := mustOpen(t, options(disk, partition.Power))
	good := first.chunk()
	for name, bad := range map[string]*partition.Chunk{
		"empty id":          partition.NewChunk("", "A"),
		"long id":           partition.NewChunk(strings.Repeat("i", 256), "A"),
		"id of two lines":   partition.NewChunk("a\nb", "A"),
		"no prefix":         partition.NewChunk("x", ""),
		"prefix with slash": partition.NewChunk("x", "../A"),
		"long prefix":       partition.NewChunk("x", strings.Repeat("p", 201)),
		"partition 3 of 3":  delivery{"x", "A", []row{{3, "1,a"}}}.chunk(),
	} {
		_, err := m.Write(context.Background(), []*partition.Chunk{good, bad})
		var refused *partition.ChunkError
		if !errors.As(err, &refused) || !errors.Is(err, partition.ErrBadChunk) || refused.ID != bad.ID() {
			t.Errorf("%s: got %v, want a ChunkError of %q", name, err, bad.ID())
		}
	}
	c := partition.NewChunk("x", "A")
	for name, add := range map[string]func() error{
		"newline":         func() error { return c.Add(0, []byte("a\nb")) },
		"carriage return": func() error { return c.Add(0, []byte("a\r")) },
		"negative":        func() error { return c.Add(-1, []byte("a")) },
		"too high":        func() error { return c.Add(1000, []byte("a")) },
	} {
		if err := add(); !errors.Is(err, partition.ErrBadChunk) {
			t.Errorf("%s: got %v, want ErrBadChunk", name, err)
		}
	}
	mustWrite(t, m, first)
	expectFiles(t, disk, []delivery{first})
}

func TestChunkIsReused(t *testing.T) {
	disk := crashfs.New()
	m := mustOpen(t, options(disk, partition.Power))
	c := partition.NewChunk("", "")
	for _, d := range []delivery{first, second, third} {
		c.Reset(d.id, d.prefix)
		for _, r := range d.rows {
			if err := c.Add(r.partition, []byte(r.text)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := m.Write(context.Background(), []*partition.Chunk{c}); err != nil {
			t.Fatal(err)
		}
	}
	expectFiles(t, disk, []delivery{first}, []delivery{second}, []delivery{third})
}

// TestFailedCheckpointHidesNothing: a checkpoint that is on disk although an
// error was reported must not hide groups that the old slot takes after it.
func TestFailedCheckpointHidesNothing(t *testing.T) {
	for _, kind := range []crashfs.Kind{crashfs.Rename, crashfs.Write} {
		t.Run(string(kind), func(t *testing.T) {
			disk := crashfs.New()
			o := options(disk, partition.Power)
			o.JournalBytes = 1 << 14
			m := mustOpen(t, o)
			mustWrite(t, m, first)
			if kind == crashfs.Write {
				// Both slots are there now, so the next checkpoint writes in place.
				mustClose(t, m)
				m = mustOpen(t, o)
			}
			mustWrite(t, m, second)
			disk.Before = func(op crashfs.Op) *crashfs.Fault {
				if op.Kind == kind && strings.HasPrefix(filepath.Base(op.Name), "journal-") {
					return &crashfs.Fault{Err: errInjected, Keep: len(op.Data), Done: true}
				}
				return nil
			}
			if err := m.Checkpoint(context.Background()); !errors.Is(err, errInjected) {
				t.Fatalf("checkpoint: %v, want the injected error", err)
			}
			disk.Before = nil
			want := modelOf(first, second)
			if _, err := m.Write(context.Background(), chunksOf([]delivery{third})); err == nil {
				want = modelOf(first, second, third)
			} else if !errors.Is(err, partition.ErrFailed) {
				t.Fatalf("write after the checkpoint: %v", err)
			}
			if err := judge(disk.KillProcess(), o, []model{want}, []delivery{first, second, third}); err != nil {
				t.Error(err)
			}
		})
	}
}
