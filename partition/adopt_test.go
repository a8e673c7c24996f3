package partition_test

import (
	"context"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/partition"
	"github.com/killpoint/killpoint/partition/internal/crashfs"
)

// old is a directory as a writer before this library left it.
type old struct {
	name      string
	files     map[string]string // by partition file name, without the header
	processed string
	written   string

	redelivered []delivery          // what comes again
	want        map[string][]string // rows afterwards, in any order
	skipped     map[string][]int    // by chunk
	repairs     int
	ignored     string
}

// x is a chunk that the old writer was killed in, and y one that comes later.
var (
	x = delivery{"x", "A", []row{{0, "10,a"}, {0, "11,b"}, {0, "12,c"}, {1, "13,d"}}}
	y = delivery{"y", "A", []row{{0, "10,a"}, {1, "14,e"}}}
)

const (
	file0 = "A-partition-000.csv"
	file1 = "A-partition-001.csv"
)

func oldDirectories() []old {
	both := map[string][]string{
		file0: {"1,p", "10,a", "10,a", "11,b", "12,c"},
		file1: {"13,d", "14,e"},
	}
	twin := delivery{"twin", "A", x.rows}
	twice := map[string][]string{
		file0: {"1,p", "10,a", "10,a", "11,b", "11,b", "12,c", "12,c"},
		file1: {"13,d", "13,d"},
	}
	return []old{
		{
			name:        "killed in a line, and two chunks with these rows come",
			files:       map[string]string{file0: "1,p\n10,a\n11,b\n12"},
			processed:   "p\n",
			written:     "0:p\n",
			redelivered: []delivery{twin, x},
			want:        twice,
			repairs:     1,
		},
		{
			name:        "killed in the line of the partition, and two chunks with these rows come",
			files:       map[string]string{file0: "1,p\n10,a\n11,b\n12,c\n"},
			processed:   "p\n",
			written:     "0:p\n0:",
			redelivered: []delivery{x, twin},
			want:        twice,
			skipped:     map[string][]int{"x": {0}},
			repairs:     1,
		},
		{
			name:        "closed well",
			files:       map[string]string{file0: "1,p\n"},
			processed:   "p\n",
			written:     "0:p\n",
			redelivered: []delivery{{"p", "A", []row{{0, "1,p"}}}, x, y},
			want:        both,
		},
		{
			name:        "one partition of a chunk written and recorded",
			files:       map[string]string{file0: "1,p\n10,a\n11,b\n12,c\n"},
			processed:   "p\n",
			written:     "0:p\n0:x\n",
			redelivered: []delivery{x, y},
			want:        both,
			skipped:     map[string][]int{"x": {0}},
		},
		{
			name:        "all partitions written and recorded, the chunk not",
			files:       map[string]string{file0: "1,p\n10,a\n11,b\n12,c\n", file1: "13,d\n"},
			processed:   "p\n",
			written:     "0:p\n0:x\n1:x\n",
			redelivered: []delivery{y, x},
			want:        both,
			skipped:     map[string][]int{"x": {0, 1}},
		},
		{
			name:        "killed in a line, the chunk's first",
			files:       map[string]string{file0: "1,p\n1"},
			processed:   "p\n",
			written:     "0:p\n",
			redelivered: []delivery{x, y},
			want:        both,
			repairs:     1,
		},
		{
			name:        "killed in a line, after lines of the same chunk",
			files:       map[string]string{file0: "1,p\n10,a\n11,b\n12"},
			processed:   "p\n",
			written:     "0:p\n",
			redelivered: []delivery{x, y},
			want:        both,
			repairs:     1,
		},
		{
			name:        "killed in a line, and another chunk comes first",
			files:       map[string]string{file0: "1,p\n10,a\n11,b\n12"},
			processed:   "p\n",
			written:     "0:p\n",
			redelivered: []delivery{{"z", "A", []row{{0, "20,z"}}}, y, x},
			want: map[string][]string{
				file0: {"1,p", "10,a", "10,a", "11,b", "12,c", "20,z"},
				file1: {"13,d", "14,e"},
			},
			repairs: 1,
		},
		{
			name:        "killed before the last newline",
			files:       map[string]string{file0: "1,p\n10,a\n11,b\n12,c"},
			processed:   "p\n",
			written:     "0:p\n",
			redelivered: []delivery{x, y},
			want:        both,
			repairs:     1,
		},
		{
			name:        "killed in the line of the partition",
			files:       map[string]string{file0: "1,p\n10,a\n11,b\n12,c\n"},
			processed:   "p\n",
			written:     "0:p\n0:",
			redelivered: []delivery{x, y},
			want:        both,
			skipped:     map[string][]int{"x": {0}},
			repairs:     1,
		},
		{
			name:        "killed in the line of the chunk",
			files:       map[string]string{file0: "1,p\n10,a\n11,b\n12,c\n", file1: "13,d\n"},
			processed:   "p\nx",
			written:     "0:p\n0:x\n1:x\n",
			redelivered: []delivery{x, y},
			want:        both,
			skipped:     map[string][]int{"x": {0, 1}},
			repairs:     1,
		},
		{
			name:        "killed in a header",
			files:       map[string]string{file0: "1,p\n10,a\n11,b\n12,c\n", file1: "torn header"},
			processed:   "p\n",
			written:     "0:p\n0:x\n",
			redelivered: []delivery{x, y},
			want:        both,
			skipped:     map[string][]int{"x": {0}},
			repairs:     1,
		},
		{
			name:        "windows line ends and lines that make no sense",
			files:       map[string]string{file0: "1,p\n"},
			processed:   "p\r\n\r\n",
			written:     "0:p\n\n???\n",
			ignored:     "written-partition-chunks.txt:3",
			redelivered: []delivery{{"p", "A", []row{{0, "1,p"}}}, x, y},
			want:        both,
		},
	}
}

func (d old) disk() *crashfs.FS {
	disk := crashfs.New()
	for name, rows := range d.files {
		contents := header + "\n" + rows
		if rows == "torn header" {
			contents = header[:5]
		}
		disk.Put(filepath.Join(dataDir, name), contents)
	}
	disk.Put(filepath.Join(stateDir, "processed-chunks.txt"), d.processed)
	disk.Put(filepath.Join(stateDir, "written-partition-chunks.txt"), d.written)
	return disk
}

// check delivers what comes again and compares the rows.
func (d old) check(t *testing.T, disk *crashfs.FS, o partition.Options, reopen bool) {
	t.Helper()
	o.FS = disk
	m := mustOpen(t, o)
	for _, c := range d.redelivered {
		if reopen {
			mustClose(t, m)
			m = mustOpen(t, o)
		}
		result := mustWrite(t, m, c)[0]
		if !slices.Equal(result.Skipped, d.skipped[c.id]) {
			t.Errorf("chunk %s: skipped %v, want %v", c.id, result.Skipped, d.skipped[c.id])
		}
		if again := mustWrite(t, m, c)[0]; !again.Duplicate {
			t.Errorf("chunk %s was written twice", c.id)
		}
	}
	mustClose(t, m)
	got := map[string][]string{}
	for path, contents := range disk.Files() {
		name := filepath.Base(path)
		if strings.HasSuffix(name, ".csv") {
			lines := strings.Split(strings.TrimSuffix(contents, "\n"), "\n")
			if lines[0] != header {
				t.Errorf("%s begins with %q", name, lines[0])
			}
			got[name] = lines[1:]
			sort.Strings(got[name])
		}
	}
	if difference := cmp.Diff(d.want, got); difference != "" {
		t.Errorf("rows (-want +got):\n%s", difference)
	}
	report, err := partition.Verify(o)
	if err != nil || report.Err() != nil {
		t.Errorf("verify: %v, %v", err, report.Err())
	}
}

func TestAdoption(t *testing.T) {
	for _, d := range oldDirectories() {
		t.Run(d.name, func(t *testing.T) {
			o := options(nil, partition.Power)
			o.JournalBytes = 1 << 16
			disk := d.disk()
			o.FS = disk
			m := mustOpen(t, o)
			adopted := m.Recovery().Adopted
			if adopted == nil || adopted.Files != len(d.files) || adopted.Chunks != 1 {
				t.Fatalf("adoption: %+v", adopted)
			}
			if d.ignored != "" && !slices.Equal(adopted.Ignored, []string{d.ignored}) {
				t.Errorf("ignored: %v, want %s", adopted.Ignored, d.ignored)
			}
			if got := len(m.Recovery().Repaired); got != d.repairs {
				t.Errorf("repairs: %v, want %d", m.Recovery().Repaired, d.repairs)
			}
			for path, contents := range disk.Files() {
				if before := d.disk().Files()[path]; strings.HasSuffix(path, ".csv") && contents != before[:strings.LastIndex(before, "\n")+1] {
					t.Errorf("%s was changed from %q to %q", path, before, contents)
				}
			}
			mustClose(t, m)
			d.check(t, disk, o, false)
			d.check(t, d.disk(), o, true)
		})
	}
}

// TestCrashAtEveryOperationOfAnAdoption crashes an adoption, and the
// redelivery after it, at every operation, and expects the same rows after
// everything has come again.
func TestCrashAtEveryOperationOfAnAdoption(t *testing.T) {
	points := 0
	for _, d := range oldDirectories() {
		t.Run(d.name, func(t *testing.T) {
			d.skipped = nil
			disk := d.disk()
			o := options(disk, partition.Power)
			judged := map[uint64]bool{}
			disk.Before = func(op crashfs.Op) *crashfs.Fault {
				if !op.Kind.Changes() {
					return nil
				}
				points++
				eachCrash(disk, op, aftermaths(partition.Power, 2), func(name string, after *crashfs.FS) {
					if print := after.Fingerprint(); judged[print] {
						return
					} else {
						judged[print] = true
					}
					d.checkRows(t, after, o)
					if t.Failed() {
						t.Fatal(name)
					}
				})
				return nil
			}
			m := mustOpen(t, o)
			for _, c := range d.redelivered {
				mustWrite(t, m, c)
			}
			mustClose(t, m)
		})
	}
	t.Logf("%d crash points", points)
}

// checkRows is check without an opinion on what is skipped, since a crash may
// come before or after.
func (d old) checkRows(t *testing.T, disk *crashfs.FS, o partition.Options) {
	t.Helper()
	o.FS = disk
	m := mustOpen(t, o)
	d.skipped = map[string][]int{}
	for _, c := range d.redelivered {
		if result := mustWrite(t, m, c)[0]; !result.Duplicate {
			d.skipped[c.id] = result.Skipped
		}
	}
	mustClose(t, m)
	d.redelivered = nil
	d.check(t, disk, o, false)
}

// TestAdoptionNeverWritesByContent: a chunk whose rows equal rows that are
// there already is still written.
func TestAdoptionKeepsEqualRows(t *testing.T) {
	d := old{files: map[string]string{file0: "1,p\n10,a\n"}, processed: "p\nq\n", written: "0:p\n0:q\n"}
	disk := d.disk()
	m := mustOpen(t, options(disk, partition.Power))
	mustWrite(t, m, delivery{"other", "A", []row{{0, "10,a"}}})
	if got, want := disk.Files()[filepath.Join(dataDir, file0)], header+"\n1,p\n10,a\n10,a\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAdoptionRefuses(t *testing.T) {
	good := oldDirectories()[1]
	for _, test := range []struct {
		name, path, contents string
		want                 error
		word                 string
	}{
		{"a file of a higher partition", dataDir + "/A-partition-005.csv", header + "\n", partition.ErrPartitionCount, "005"},
		{"a recorded higher partition", stateDir + "/written-partition-chunks.txt", "0:p\n5:x\n", partition.ErrPartitionCount, ":2 names partition 5"},
		{"another header", dataDir + "/A-partition-001.csv", "id,name\n", partition.ErrHeader, "id,name"},
	} {
		t.Run(test.name, func(t *testing.T) {
			disk := good.disk()
			disk.Put(test.path, test.contents)
			refusedButLocked(t, disk, test.want, test.word)
		})
	}
}

// refusedButLocked is refused for a directory that has no lock file yet.
func refusedButLocked(t *testing.T, disk *crashfs.FS, want error, word string) {
	t.Helper()
	disk.Put(stateDir+"/writer.lock", "")
	refused(t, disk, options(nil, partition.Power), want, word)
}

func TestAdoptionOfFilesWithoutState(t *testing.T) {
	disk := crashfs.New()
	disk.Put(filepath.Join(dataDir, file0), header+"\n1,p\n")
	m := mustOpen(t, options(disk, partition.Power))
	if r := m.Recovery(); r.Fresh || r.Adopted == nil || r.Adopted.Files != 1 || r.Adopted.Chunks != 0 {
		t.Errorf("recovery: %+v", r)
	}
	mustWrite(t, m, delivery{"other", "A", []row{{0, "2,q"}}})
	if got, want := disk.Files()[filepath.Join(dataDir, file0)], header+"\n1,p\n2,q\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := m.Write(context.Background(), nil); err != nil {
		t.Error(err)
	}
}
