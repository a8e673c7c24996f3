package partition_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/partition"
	"github.com/killpoint/killpoint/partition/internal/crashfs"
)

// killAt runs one write and kills the process in the n-th write to a file,
// after keep bytes of it.
func killAt(t *testing.T, m *partition.Manager, disk *crashfs.FS, name string, keep int, group ...delivery) *crashfs.FS {
	t.Helper()
	disk.Before = func(op crashfs.Op) *crashfs.Fault {
		if op.Kind != crashfs.Write || filepath.Base(op.Name) != name {
			return nil
		}
		return &crashfs.Fault{Crash: true, Keep: keep}
	}
	if _, err := m.Write(context.Background(), chunksOf(group)); !errors.Is(err, crashfs.ErrCrashed) {
		t.Fatalf("write: %v, want the crash", err)
	}
	return disk.KillProcess()
}

// TestRecoveryTellsWhatItFound kills a writer in the middle of a line of the
// second partition of a chunk, and does not deliver the chunk again.
func TestRecoveryTellsWhatItFound(t *testing.T) {
	disk := crashfs.New()
	m := mustOpen(t, options(disk, partition.Power))
	mustWrite(t, m, first)
	chunk := delivery{"torn", "A", []row{{0, "6,fritz"}, {0, "9,gert"}, {1, "7,hanna"}, {1, "10,ida"}, {2, "8,jan"}}}
	disk = killAt(t, m, disk, "A-partition-001.csv", 11, chunk)

	m = mustOpen(t, options(disk, partition.Power))
	expectFiles(t, disk, []delivery{first}, []delivery{chunk})
	file := func(n string) string { return filepath.Join(dataDir, "A-partition-00"+n+".csv") }
	want := partition.Recovery{
		Replayed: 2,
		Redone:   []string{"torn"},
		AlreadyWritten: []partition.AlreadyWritten{
			{ChunkID: "torn", File: file("0"), Partition: 0, Rows: 2},
		},
		Repaired: []partition.Repair{
			{File: file("1"), Offset: int64(len("user_id,name\n2,ben\n7,hanna\n")), Fragment: "10,", Completed: 4},
		},
	}
	if difference := cmp.Diff(want, m.Recovery()); difference != "" {
		t.Errorf("recovery (-want +got):\n%s", difference)
	}
	if text := m.Recovery().Repaired[0].String(); !strings.Contains(text, "incomplete line") {
		t.Errorf("the repair says %q", text)
	}
	if results := mustWrite(t, m, chunk); !results[0].Duplicate {
		t.Error("the chunk was written again")
	}
	expectFiles(t, disk, []delivery{first}, []delivery{chunk})
}

func TestRecoveryOfATornHeader(t *testing.T) {
	disk := crashfs.New()
	m := mustOpen(t, options(disk, partition.Process))
	disk = killAt(t, m, disk, "A-partition-000.csv", 4, first)
	m = mustOpen(t, options(disk, partition.Process))
	expectFiles(t, disk, []delivery{first})
	want := []partition.Repair{{File: filepath.Join(dataDir, "A-partition-000.csv"), Fragment: "user", Completed: 9}}
	if difference := cmp.Diff(want, m.Recovery().Repaired); difference != "" {
		t.Errorf("repairs (-want +got):\n%s", difference)
	}
}

func TestRecoveryOfATornStateLine(t *testing.T) {
	disk := crashfs.New()
	m := mustOpen(t, options(disk, partition.Power))
	disk = killAt(t, m, disk, "processed-chunks.txt", 3, first)
	m = mustOpen(t, options(disk, partition.Power))
	expectFiles(t, disk, []delivery{first})
	want := []partition.Repair{{File: filepath.Join(stateDir, "processed-chunks.txt"), Fragment: "fir", Completed: 3}}
	if difference := cmp.Diff(want, m.Recovery().Repaired); difference != "" {
		t.Errorf("repairs (-want +got):\n%s", difference)
	}
	if got := m.Recovery().AlreadyWritten; len(got) != 2 {
		t.Errorf("already written: %+v, want both partitions of the chunk", got)
	}
}

func TestRecoveryCutsAnUncommittedRecord(t *testing.T) {
	disk := crashfs.New()
	o := options(disk, partition.Power)
	o.JournalBytes = 1 << 16
	m := mustOpen(t, o)
	mustWrite(t, m, first)
	disk = killAt(t, m, disk, "journal-0", 100, second)
	m = mustOpen(t, options(disk, partition.Power))
	expectFiles(t, disk, []delivery{first})
	if cut := m.Recovery().JournalCut; cut == nil || cut.File != filepath.Join(stateDir, "journal-0") || cut.Offset == 0 {
		t.Errorf("journal cut: %+v", cut)
	}
	mustWrite(t, m, second)
	expectFiles(t, disk, []delivery{first}, []delivery{second})
}

// TestRecoveryCutsWhatNobodyCommitted: bytes behind the committed end do not
// stay.
func TestRecoveryCutsWhatNobodyCommitted(t *testing.T) {
	disk := crashfs.New()
	m := mustOpen(t, options(disk, partition.Power))
	mustWrite(t, m, first)
	mustClose(t, m)
	path := filepath.Join(dataDir, "A-partition-001.csv")
	contents := disk.Files()[path]
	disk.Put(path, contents+"99,by hand")
	m = mustOpen(t, options(disk, partition.Power))
	expectFiles(t, disk, []delivery{first})
	expectFiles(t, disk.Crash(crashfs.Nothing{}), []delivery{first})
	want := []partition.Repair{{File: path, Offset: int64(len(contents)), Fragment: "99,by hand", Dropped: 10}}
	if difference := cmp.Diff(want, m.Recovery().Repaired); difference != "" {
		t.Errorf("repairs (-want +got):\n%s", difference)
	}
}

// TestMissingDirectoryIsMadeDurably: the partition directory went missing
// before anything was written to it.
func TestMissingDirectoryIsMadeDurably(t *testing.T) {
	disk := crashfs.New()
	mustClose(t, mustOpen(t, options(disk, partition.Power)))
	if err := disk.Rename(dataDir, "/data/elsewhere"); err != nil {
		t.Fatal(err)
	}
	if err := disk.SyncDir("/data"); err != nil {
		t.Fatal(err)
	}
	m := mustOpen(t, options(disk, partition.Power))
	mustWrite(t, m, first)
	if err := m.Checkpoint(context.Background()); err != nil {
		t.Fatal(err)
	}
	after := disk.Crash(crashfs.Nothing{})
	mustOpen(t, options(after, partition.Power))
	expectFiles(t, after, []delivery{first})
}

// closed returns a disk with two chunks, cleanly closed.
func closed(t *testing.T) *crashfs.FS {
	t.Helper()
	disk := crashfs.New()
	m := mustOpen(t, options(disk, partition.Power))
	mustWrite(t, m, first)
	mustWrite(t, m, second)
	mustClose(t, m)
	return disk
}

// refused opens a disk and expects an error, and that nothing was changed.
func refused(t *testing.T, disk *crashfs.FS, o partition.Options, want error, words ...string) {
	t.Helper()
	before := disk.Files()
	o.FS = disk
	_, err := partition.Open(context.Background(), o)
	if !errors.Is(err, want) {
		t.Errorf("open: %v, want %v", err, want)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not say %q: %v", word, err)
		}
	}
	if difference := cmp.Diff(before, disk.Files()); difference != "" {
		t.Errorf("a refused open changed files:\n%s", difference)
	}
}

func TestRefusesAnotherPartitionCount(t *testing.T) {
	o := options(nil, partition.Power)
	o.Partitions = 7
	refused(t, closed(t), o, partition.ErrPartitionCount, "3", "7", dataDir)
}

func TestRefusesAnotherHeader(t *testing.T) {
	o := options(nil, partition.Power)
	o.Header = "name,user_id"
	refused(t, closed(t), o, partition.ErrHeader, "user_id,name", "name,user_id")
}

func TestRefusesShortFiles(t *testing.T) {
	for _, path := range []string{
		dataDir + "/A-partition-000.csv", stateDir + "/processed-chunks.txt",
		stateDir + "/written-partition-chunks.txt", stateDir + "/chunk-ids.log",
	} {
		disk := closed(t)
		contents := disk.Files()[path]
		disk.Put(path, contents[:len(contents)-1])
		refused(t, disk, options(nil, partition.Power), partition.ErrShortFile, path)
		o := options(disk, partition.Power)
		_, err := partition.Open(context.Background(), o)
		var short *partition.ShortFileError
		want := partition.ShortFileError{File: path, Recorded: int64(len(contents)), Actual: int64(len(contents) - 1)}
		if !errors.As(err, &short) || *short != want {
			t.Errorf("got %+v, want %+v", short, want)
		}
	}
}

func TestRefusesMissingFile(t *testing.T) {
	disk := closed(t)
	if err := disk.Rename(dataDir+"/A-partition-000.csv", dataDir+"/elsewhere"); err != nil {
		t.Fatal(err)
	}
	refused(t, disk, options(nil, partition.Power), partition.ErrShortFile, "A-partition-000.csv", "0 are there")
}

func TestRefusesUnrecordedFile(t *testing.T) {
	disk := closed(t)
	disk.Put(dataDir+"/C-partition-001.csv", "user_id,name\n1,x\n")
	disk.Put(dataDir+"/notes.csv", "not a partition file")
	refused(t, disk, options(nil, partition.Power), partition.ErrUnrecorded, "C-partition-001.csv")
}

func TestRefusesDamagedIDs(t *testing.T) {
	disk := closed(t)
	path := stateDir + "/chunk-ids.log"
	disk.Put(path, strings.Replace(disk.Files()[path], "first", "fIrst", 1))
	refused(t, disk, options(nil, partition.Power), partition.ErrCorrupt, path)
}

// TestDamagedJournal flips every byte of a journal in turn. In the last record
// it cannot be told from a write that was torn; everywhere else it is damage.
func TestDamagedJournal(t *testing.T) {
	disk := crashfs.New()
	o := options(disk, partition.Power)
	m := mustOpen(t, o)
	mustWrite(t, m, first)
	mustClose(t, m)
	m = mustOpen(t, o)
	var ends []int
	disk.Before = func(op crashfs.Op) *crashfs.Fault {
		if op.Kind == crashfs.Write && strings.HasPrefix(filepath.Base(op.Name), "journal-") {
			ends = append(ends, int(op.Offset)+len(op.Data))
		}
		return nil
	}
	groups := [][]delivery{{first}, {second}, {third}, {{"fourth", "A", []row{{1, "4,emil"}}}}}
	for _, group := range groups[1:] {
		mustWrite(t, m, group...)
	}
	disk.Before = nil
	disk = disk.KillProcess()
	path := stateDir + "/journal-0"
	if !strings.HasPrefix(disk.Files()[path][ends[0]:], "\r\nKPJ") {
		path = stateDir + "/journal-1"
	}
	contents := disk.Files()[path]
	lastStart, lastEnd := ends[1], ends[2]
	if len(ends) != 3 {
		t.Fatalf("the journal was written %d times, want 3", len(ends))
	}
	for at := range lastEnd {
		damaged := disk.Clone()
		flipped := []byte(contents)
		flipped[at] ^= 0x40
		damaged.Put(path, string(flipped))
		if at < lastStart {
			refused(t, damaged, options(nil, partition.Power), partition.ErrCorrupt, path, "offset")
			if t.Failed() {
				t.Fatalf("byte %d of %d", at, lastEnd)
			}
			continue
		}
		// The files already hold the last group, which the damaged journal
		// does not, so it is cut off them.
		mustOpen(t, options(damaged, partition.Power))
		expectFiles(t, damaged, groups[:3]...)
	}
}

func TestDamagedJournalsBoth(t *testing.T) {
	disk := closed(t)
	mustClose(t, mustOpen(t, options(disk, partition.Power)))
	for _, name := range []string{"/journal-0", "/journal-1"} {
		disk.Put(stateDir+name, strings.Repeat("x", 1024))
	}
	refused(t, disk, options(nil, partition.Power), partition.ErrCorrupt, "journal")
}

// TestManyFilesFewHandles writes to more files than may be open.
func TestManyFilesFewHandles(t *testing.T) {
	disk := crashfs.New()
	o := options(disk, partition.Power)
	o.Partitions, o.OpenFiles = 50, 3
	m := mustOpen(t, o)
	var groups [][]delivery
	for _, id := range []string{"a", "b", "c"} {
		d := delivery{id: id, prefix: "A"}
		for p := range 50 {
			d.rows = append(d.rows, row{p, id}, row{49 - p, "x"})
		}
		mustWrite(t, m, d)
		groups = append(groups, []delivery{d})
	}
	expectFiles(t, disk, groups...)
	mustClose(t, m)
	want := modelOf(groups[0][0], groups[1][0], groups[2][0])
	if err := judgeClosed(disk, o, want); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyFindsWhatIsWrong(t *testing.T) {
	good := closed(t)
	replace := func(old, new string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, new, 1) }
	}
	for _, test := range []struct {
		path   string
		change func(string) string
		want   string
	}{
		{dataDir + "/A-partition-000.csv", replace("anna", "ANNA"), "checksum"},
		{dataDir + "/A-partition-000.csv", replace("3,cleo\n", ""), "committed are"},
		{dataDir + "/A-partition-000.csv", func(s string) string { return s + "7,ze" }, "torn"},
		{dataDir + "/A-partition-000.csv", func(s string) string { return s + header + "\n" }, "header stands there again"},
		{dataDir + "/A-partition-001.csv", replace(header+"\n", ""), "not the header"},
		{dataDir + "/A-partition-001.csv", func(string) string { return "" }, "committed are 19"},
		{dataDir + "/A-partition-002.csv", replace("dora", "cora"), "checksum"},
		{dataDir + "/Z-partition-002.csv", func(string) string { return "5,dora\n" }, "no record"},
		{stateDir + "/processed-chunks.txt", replace("second\n", "first\n"), "twice"},
		{stateDir + "/processed-chunks.txt", replace("second\n", "secund\n"), "was not written"},
		{stateDir + "/processed-chunks.txt", replace("second\n", ""), "missing"},
		{stateDir + "/written-partition-chunks.txt", replace("1:first\n", "1:fist\n"), "was not written"},
		{stateDir + "/written-partition-chunks.txt", replace("1:first\n", "0:first\n"), "twice"},
		{stateDir + "/written-partition-chunks.txt", replace("1:first\n", "nonsense\n"), "not a partition"},
		{stateDir + "/written-partition-chunks.txt", replace("1:first\n", "2:first\n"), "checksum"},
		{stateDir + "/chunk-ids.log", replace("first", "fiRst"), "checksum"},
	} {
		disk := good.Clone()
		disk.Put(test.path, test.change(disk.Files()[test.path]))
		report, err := partition.Verify(options(disk, partition.Power))
		if err != nil {
			t.Errorf("%s: %v", test.path, err)
			continue
		}
		if !slices.ContainsFunc(report.Findings, func(f partition.Finding) bool { return strings.Contains(f.String(), test.want) }) {
			t.Errorf("%s: findings %v, want one that says %q", test.path, report.Findings, test.want)
		}
		if report.Err() == nil {
			t.Errorf("%s: no error", test.path)
		}
	}
	report, err := partition.Verify(options(good, partition.Power))
	want := partition.Report{Files: 3, Rows: 5, Bytes: int64(len(header)+1)*3 + int64(len("1,anna\n3,cleo\n1,anna\n2,ben\n5,dora\n")), Chunks: 2}
	if difference := cmp.Diff(want, report); err != nil || difference != "" {
		t.Errorf("report of a good directory: %v (-want +got):\n%s", err, difference)
	}
}

// TestVerifyBesideAWriter looks at a directory whose writer is open and idle.
func TestVerifyBesideAWriter(t *testing.T) {
	disk := crashfs.New()
	o := options(disk, partition.Power)
	m := mustOpen(t, o)
	for _, d := range []delivery{first, second, third} {
		mustWrite(t, m, d)
		report, err := partition.Verify(o)
		if err := errors.Join(err, report.Err()); err != nil {
			t.Fatal(err)
		}
	}
	// A writer that writes whenever Verify reads a partition file.
	number := 0
	disk.Before = func(op crashfs.Op) *crashfs.Fault {
		if op.Kind == crashfs.Read && strings.HasSuffix(op.Name, "000.csv") {
			hook := disk.Before
			disk.Before = nil
			number++
			mustWrite(t, m, delivery{"busy" + strings.Repeat("y", number), "A", []row{{0, "1,x"}}})
			disk.Before = hook
		}
		return nil
	}
	if _, err := partition.Verify(o); !errors.Is(err, partition.ErrBusy) {
		t.Errorf("verify beside a busy writer: %v, want ErrBusy", err)
	}
	disk.Before = nil
	if _, err := partition.Verify(options(crashfs.New(), partition.Power)); err == nil {
		t.Error("verify of nothing found nothing wrong")
	}
}
