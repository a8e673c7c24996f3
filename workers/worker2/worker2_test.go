package worker2

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/killpoint/killpoint/partition"
	"github.com/killpoint/killpoint/workers/chunk"
	"github.com/killpoint/killpoint/workers/queue"
)

// scripted answers Write with its errors in turn, and then does it.
type scripted struct {
	errors []error
	calls  int
	groups [][]*partition.Chunk
	before func()
}

func (s *scripted) Write(ctx context.Context, group []*partition.Chunk) ([]partition.Result, error) {
	if s.before != nil {
		s.before()
	}
	s.calls++
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(s.errors) > 0 {
		err := s.errors[0]
		s.errors = s.errors[1:]
		return nil, err
	}
	s.groups = append(s.groups, group)
	var results []partition.Result
	for i, c := range group {
		results = append(results, partition.Result{ID: c.ID(), Duplicate: i%2 == 1, Partitions: []int{3}, Skipped: []int{1}})
	}
	return results, nil
}

// worn is a worker with the writer, and what it logs, a string a call.
func worn(files writer) (*worker, *[]string) {
	var lines []string
	return &worker{
		config: Config{MaxGroup: 1, Files: partition.Options{Partitions: 5}}, files: files,
		log: func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) },
	}, &lines
}

func decoded(t *testing.T, ids ...string) []queue.Decoded {
	t.Helper()
	var chunks []queue.Decoded
	for _, id := range ids {
		c, err := chunk.Decode(id, "TEST", []byte("user_id,name\n-2,Ann\n8,Bob\n"))
		if err != nil {
			t.Fatal(err)
		}
		chunks = append(chunks, queue.Decoded{Delivery: queue.Delivery{Message: queue.Message{ID: id, Client: "TEST"}}, Chunk: c})
	}
	return chunks
}

// A disk that is full for a while loses nothing, and does not end the worker.
func TestWriteIsTriedAgain(t *testing.T) {
	files := &scripted{errors: []error{syscall.ENOSPC, syscall.ENOSPC}}
	w, lines := worn(files)
	if err := w.write(context.Background(), decoded(t, "a", "b")); err != nil {
		t.Fatal(err)
	}
	if files.calls != 3 || len(files.groups) != 1 || len(files.groups[0]) != 2 {
		t.Errorf("%d calls, groups %v", files.calls, files.groups)
	}
	want := []string{
		"Processing chunk a", "Processing chunk b",
		"Could not write 2 chunks, trying again in 100ms: no space left on device",
		"Could not write 2 chunks, trying again in 200ms: no space left on device",
		"Partition 1 of chunk a was already written", "Wrote partition 3 from chunk a",
		"Skipping duplicate chunk b, forwarding it again",
	}
	if !slices.Equal(*lines, want) {
		t.Errorf("logged\n%s\nwant\n%s", strings.Join(*lines, "\n"), strings.Join(want, "\n"))
	}
	if c := files.groups[0][0]; c.ID() != "a" || c.Prefix() != "TEST-users" {
		t.Errorf("wrote chunk %q to %q", c.ID(), c.Prefix())
	}
}

// What is said of a group goes out with one call a step, and before a step
// that can take long or fail.
func TestGroupIsLoggedAtOnce(t *testing.T) {
	var before int
	files := &scripted{}
	w, lines := worn(files)
	w.config.MaxGroup = 2
	files.before = func() { before = len(*lines) }
	if err := w.write(context.Background(), decoded(t, "a", "b")); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"Processing chunk a\nWorker 2: Processing chunk b",
		"Partition 1 of chunk a was already written\nWorker 2: Wrote partition 3 from chunk a\n" +
			"Worker 2: Skipping duplicate chunk b, forwarding it again",
	}
	if !slices.Equal(*lines, want) || before != 1 {
		t.Errorf("logged %q, want %q; %d of it before the write, want 1", *lines, want, before)
	}
	if err := w.write(context.Background(), decoded(t, "c")); err != nil || len(*lines) != 4 || (*lines)[2] != "Processing chunk c" {
		t.Errorf("err = %v, logged %q then", err, (*lines)[2:])
	}
}

// After a failed sync nobody knows what is on disk, until a new life looks.
func TestFailedSyncEndsTheWorker(t *testing.T) {
	for _, fatal := range []error{partition.ErrFailed, partition.ErrClosed, &partition.ChunkError{ID: "a", Reason: "bad"}} {
		files := &scripted{errors: []error{fmt.Errorf("write: %w", fatal)}}
		w, _ := worn(files)
		if err := w.write(context.Background(), decoded(t, "a")); !errors.Is(err, fatal) || files.calls != 1 {
			t.Errorf("%v: err = %v after %d calls, want it to end at once", fatal, err, files.calls)
		}
	}
}

// A request to stop does not interrupt a write that can be finished, but it
// ends the waiting for one that cannot.
func TestStopWhileWriting(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	files := &scripted{before: stop}
	w, _ := worn(files)
	if err := w.write(ctx, decoded(t, "a")); err != nil || len(files.groups) != 1 {
		t.Errorf("err = %v, groups %v: the group in hand was not finished", err, files.groups)
	}
	files = &scripted{errors: []error{syscall.ENOSPC, syscall.ENOSPC, syscall.ENOSPC}}
	w, _ = worn(files)
	if err := w.write(ctx, decoded(t, "a")); !errors.Is(err, syscall.ENOSPC) || files.calls != 1 {
		t.Errorf("err = %v after %d calls, want the reason after one", err, files.calls)
	}
}

func TestRecoveryIsLogged(t *testing.T) {
	w, lines := worn(nil)
	w.logRecovery(partition.Recovery{
		Adopted:        &partition.Adoption{Files: 5, Chunks: 7, HalfWritten: 1},
		Replayed:       4,
		Redone:         []string{"b", "c"},
		AlreadyWritten: []partition.AlreadyWritten{{ChunkID: "b", File: "/x/TEST-users-partition-002.csv", Partition: 2, Rows: 3}},
		Repaired: []partition.Repair{
			{File: "/x/TEST-users-partition-003.csv", Offset: 812, Fragment: "12,An", Completed: 2},
			{File: "/x/TEST-users-partition-004.csv", Offset: 99, Fragment: "7,", Dropped: 2},
		},
		JournalCut: &partition.JournalCut{File: "/y/journal-0", Offset: 4096},
	})
	want := []string{
		"Adopted 5 partition files with 7 chunks, 1 of them half written",
		"Left out an uncommitted group at byte 4096 of journal-0",
		`Repaired incomplete line in TEST-users-partition-003.csv at byte 812 ("12,An"): completed it with 2 bytes`,
		`Repaired incomplete line in TEST-users-partition-004.csv at byte 99 ("7,"): took away 2 bytes of no committed chunk`,
		"Partition 2 of chunk b was already written",
		"Redid chunk b from the journal",
		"Redid chunk c from the journal",
		"Recovered: 4 chunks in the journal, 2 redone",
	}
	if !slices.Equal(*lines, want) {
		t.Errorf("logged\n%s\nwant\n%s", strings.Join(*lines, "\n"), strings.Join(want, "\n"))
	}
	w, lines = worn(nil)
	w.logRecovery(partition.Recovery{Fresh: true})
	if len(*lines) != 0 {
		t.Errorf("a fresh directory is logged as %q", *lines)
	}
}
