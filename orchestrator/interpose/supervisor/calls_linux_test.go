package supervisor_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// everyCall is what the target's verb calls does, each once: which operation, on which path, and its number on that path.
const everyCall = `
create data 1
write data 1
write data 2
write data 3
write data 4
write data 5
write data 6
write data 7
write data 8
create other 1
write other 1
fsync data 1
fsync data 2
read data 1
create copy 1
write copy 1
read data 2
write copy 2
read data 3
write copy 3
truncate copy 1
truncate copy 2
truncate copy 3
mkdir sub 1
mkdir sub/deep 1
rename copy sub/moved 1
rename sub/moved back 1
create back hard 1
create soft 1
fsync sub 1
truncate back 1
write back 1
unlink hard 1
unlink sub/deep 1
unlink sub 1
create made 1
truncate made 1
create only 1
create modern 1
create dangling 1
create pointed 1
create named 1
create gone 1
unlink gone 1`

func TestEachCallIsCountedOnceAndRightly(t *testing.T) {
	directory := t.TempDir()
	plan := newPlan()
	plan.Record = &interpose.Record{Paths: []string{directory + "/**"}, Operations: []interpose.Operation{
		interpose.Write, interpose.Fsync, interpose.Rename, interpose.Create, interpose.Truncate, interpose.Unlink, interpose.Read, interpose.Mkdir,
	}}
	p := start(t, plan, target, "calls", directory)
	if event := p.await(interpose.Exited); event.Code != 0 {
		t.Fatalf("exit code %d: %s", event.Code, p.errors())
	}
	got := "\n" + strings.Join(p.operations(directory), "\n")
	if difference := cmp.Diff(strings.Split(everyCall, "\n"), strings.Split(got, "\n")); difference != "" {
		t.Error(difference)
	}
}

func TestRecordedWritesHaveOffsetsSizesAndSums(t *testing.T) {
	directory := t.TempDir()
	plan := newPlan()
	plan.Record = &interpose.Record{Paths: []string{directory + "/data"}, Operations: []interpose.Operation{interpose.Write}, Sums: true}
	p := start(t, plan, target, "calls", directory)
	p.await(interpose.Exited)
	type where struct{ Offset, Size int64 }
	var got []where
	sums := make(map[string]bool)
	for _, event := range p.seen {
		if event.Kind == interpose.Op {
			got = append(got, where{event.Offset, event.Size})
			sums[event.Sum] = true
		}
	}
	want := []where{{0, 10}, {4, 2}, {10, 11}, {2, 4}, {21, 2}, {23, 3}, {23, 3}, {26, 5}}
	if difference := cmp.Diff(want, got); difference != "" {
		t.Error(difference)
	}
	if len(sums) != len(want) || sums[""] {
		t.Errorf("want a sum of its own for each of %d writes, got %v", len(want), sums)
	}
}

func TestSymbolicLinksInAPatternAreFollowed(t *testing.T) {
	directory := t.TempDir()
	link := t.TempDir() + "/link"
	if err := os.Symlink(directory, link); err != nil {
		t.Fatal(err)
	}
	p := start(t, newPlan(hold(interpose.Write, link+"/*.txt", 2, interpose.Before)), target, "sequence", directory+"/file.txt", "4")
	p.await(interpose.Reached)
	p.kill()
	if got := contents(t, directory+"/file.txt"); got != lines(1) {
		t.Errorf("got %q", got)
	}
}

func TestRecordedOperationsArriveWhileTheProgramRuns(t *testing.T) {
	file := t.TempDir() + "/file"
	plan := newPlan()
	plan.Record = &interpose.Record{Operations: []interpose.Operation{interpose.Write}, Paths: []string{file}}
	p := start(t, plan, "sh", "-c", "until [ -e $0.go ]; do :; done; echo x > $0; exec sleep 100", file)
	p.await(interpose.Started)
	if err := os.WriteFile(file+".go", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if event := p.await(interpose.Op); event.Path != file {
		t.Errorf("unexpected event %+v", event)
	}
}
