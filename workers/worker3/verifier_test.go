package worker3

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/killpoint/killpoint/workers/chunk"
)

// bench is a directory of partition files and a verifier that follows it.
type bench struct {
	*testing.T
	dir      string
	log      func(string, ...any)
	verifier *Verifier
}

const patience = 30 * time.Millisecond

func newBench(t *testing.T) *bench {
	b := &bench{T: t, dir: t.TempDir(), log: t.Logf}
	b.restart()
	return b
}

// restart begins another life of the verifier.
func (b *bench) restart() {
	b.Helper()
	b.verifier = NewVerifier(b.dir, 3, patience, b.log)
}

func (b *bench) path(partition int) string {
	return filepath.Join(b.dir, fmt.Sprintf("TEST-users-partition-%03d.csv", partition))
}

// put appends text to a partition file, with a header when it is new.
func (b *bench) put(partition int, text string) {
	b.Helper()
	f, err := os.OpenFile(b.path(partition), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		b.Fatal(err)
	}
	if at, _ := f.Seek(0, 2); at == 0 {
		text = chunk.Header + "\n" + text
	}
	if _, err := f.WriteString(text); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

// cut shortens a partition file by some bytes.
func (b *bench) cut(partition, bytes int) {
	b.Helper()
	info, err := os.Stat(b.path(partition))
	if err != nil {
		b.Fatal(err)
	}
	if err := os.Truncate(b.path(partition), info.Size()-int64(bytes)); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) chunk(id string, rows ...string) chunk.Chunk {
	b.Helper()
	c, err := chunk.Decode(id, "TEST", chunk.Encode(rows))
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// look expects the chunk to be there, or not.
func (b *bench) look(want bool, id string, rows ...string) {
	b.Helper()
	there, err := b.verifier.Look(b.chunk(id, rows...))
	if err != nil {
		b.Fatal(err)
	}
	if there[0] != want {
		b.Errorf("chunk %s: there = %v, want %v", id, there, want)
	}
}

// giveUp expects a failure that says all of the words.
func (b *bench) giveUp(words []string, id string, rows ...string) {
	b.Helper()
	verdict, err := b.verifier.GiveUp(b.chunk(id, rows...))
	if err != nil {
		b.Fatal(err)
	}
	for _, word := range words {
		if !strings.Contains(verdict.Problem, word) {
			b.Errorf("chunk %s: the problem is %q, want %q in it", id, verdict.Problem, word)
		}
	}
	if len(words) == 0 && verdict.Problem != "" {
		b.Errorf("chunk %s: the problem is %q, want none", id, verdict.Problem)
	}
}

// afterthoughts expects failures of these chunks, and no others.
func (b *bench) afterthoughts(ids ...string) {
	b.Helper()
	verdicts, err := b.verifier.Afterthoughts()
	if err != nil {
		b.Fatal(err)
	}
	var got []string
	for _, v := range verdicts {
		got = append(got, v.ID)
		if v.Problem == "" {
			b.Errorf("chunk %s: an afterthought without a problem", v.ID)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(ids) {
		b.Errorf("afterthoughts are about %v, want %v", got, ids)
	}
}

func TestRowsAreThereOnceAllPartitionsHaveThem(t *testing.T) {
	b := newBench(t)
	b.look(false, "a", "3,Ann", "1,Bob", "6,Cy")
	b.put(0, "3,Ann\n6,Cy\n")
	b.look(false, "a", "3,Ann", "1,Bob", "6,Cy")
	b.put(1, "1,Bo")
	b.look(false, "a", "3,Ann", "1,Bob", "6,Cy")
	b.put(1, "b\n")
	b.look(true, "a", "3,Ann", "1,Bob", "6,Cy")
	b.look(true, "a", "3,Ann", "1,Bob", "6,Cy") // a second delivery is no failure
	b.afterthoughts()
}

func TestNegativeIdsHaveAPartition(t *testing.T) {
	b := newBench(t)
	b.put(2, "-1,Ann\n")
	b.look(true, "a", "-1,Ann")
}

// Chunks with equal rows both need them.
func TestEqualRowsCountForOneChunkEach(t *testing.T) {
	b := newBench(t)
	b.put(0, "3,Ann\n")
	b.look(true, "a", "3,Ann")
	b.look(false, "b", "3,Ann")
	b.put(0, "3,Ann\n")
	b.look(true, "b", "3,Ann")
	b.afterthoughts()
}

// A chunk has rows that are equal to each other.
func TestEqualRowsWithinAChunk(t *testing.T) {
	b := newBench(t)
	b.put(0, "3,Ann\n")
	b.look(false, "a", "3,Ann", "3,Ann")
	b.giveUp([]string{"1 of 2 rows are missing", `"3,Ann"`}, "a", "3,Ann", "3,Ann")
	b.put(0, "3,Ann\n")
	b.look(true, "a", "3,Ann", "3,Ann")
}

func TestFailuresSayWhy(t *testing.T) {
	b := newBench(t)
	b.put(0, "3,Ann\n9,Zoe\n6,Cy\n")
	b.put(1, "2,Dee\n")
	b.giveUp([]string{"partition 2: 1 of 1 rows are missing", `"5,Eve"`}, "a", "5,Eve")
	b.giveUp([]string{"not together and in order"}, "b", "3,Ann", "6,Cy")
	b.giveUp([]string{"not together and in order"}, "c", "6,Cy", "3,Ann")
	b.look(false, "d", "2,Dee")
	b.giveUp([]string{`"2,Dee"`, "they are in partition 1"}, "d", "2,Dee")
	b.look(true, "e", "3,Ann", "9,Zoe", "6,Cy") // what failed took nothing away
}

func TestOrderOfChunksIsFree(t *testing.T) {
	b := newBench(t)
	b.put(0, "3,Ann\n6,Cy\n9,Zoe\n")
	b.look(true, "c", "9,Zoe")
	b.look(true, "a", "3,Ann")
	b.look(true, "b", "6,Cy")
	b.afterthoughts()
}

// A worker-2 that dies leaves chunks behind that the broker hands out again only
// once it has noticed, so that later ones come first. One of those takes a row
// of a chunk to come, which then needs it.
func TestLaterChunksComeFirst(t *testing.T) {
	b := newBench(t)
	b.put(0, "0,a\n3,b\n") // a
	b.put(0, "0,a\n")      // b
	b.put(0, "6,c\n")      // c
	b.put(0, "0,a\n")      // d
	b.look(true, "c", "6,c")
	b.afterthoughts() // the lines before it speak against nobody
	b.look(true, "d", "0,a")
	b.look(true, "b", "0,a")
	b.look(true, "a", "0,a", "3,b")
	b.afterthoughts()
	b.look(false, "e", "0,a")
}

// Chunks that were judged make room: one of two rows goes elsewhere, and one
// shifts by a row.
func TestChunksMakeRoom(t *testing.T) {
	b := newBench(t)
	b.put(0, "0,a\n3,b\n6,x\n0,a\n3,b\n")
	b.look(true, "1", "0,a", "3,b")
	b.look(true, "2", "0,a", "3,b", "6,x")
	b.look(false, "3", "0,a")

	b = newBench(t)
	b.put(0, "6,x\n0,a\n0,a\n0,a\n9,y\n")
	b.look(true, "1", "0,a", "0,a")
	b.look(true, "2", "0,a", "9,y")
	b.look(true, "3", "6,x")
	b.giveUp([]string{"1 of 1 rows are missing"}, "4", "0,a")
}

// Rows of a chunk that is not forwarded yet are not taken for another's.
func TestEqualRowsOfAChunkToCome(t *testing.T) {
	b := newBench(t)
	b.put(0, "3,Ann\n")
	b.look(true, "a", "3,Ann")
	b.put(0, "3,Ann\n")
	b.afterthoughts()
	b.look(true, "b", "3,Ann")
	b.put(0, "6,Cy\n")
	b.look(true, "c", "6,Cy")
	b.afterthoughts()
}

// What an earlier life has seen is not known, so it speaks against nobody.
func TestLinesFromBeforeThisLife(t *testing.T) {
	b := newBench(t)
	b.put(0, "3,Ann\n6,Cy\n")
	b.look(true, "a", "3,Ann")
	b.restart()
	b.put(0, "3,Ann\n9,Zoe\n")
	b.look(true, "b", "6,Cy")
	b.look(true, "c", "3,Ann")
	b.look(true, "d", "9,Zoe")
	b.afterthoughts()
	b.look(true, "a", "3,Ann") // delivered again to this life: the older line is still free
	b.afterthoughts()
}

// Recovery cuts a line that was not committed; what stood before it was read
// already and counts once.
func TestFileIsCut(t *testing.T) {
	b := newBench(t)
	b.put(0, "3,Ann\n6,Cy\n")
	b.look(true, "a", "3,Ann")
	b.cut(0, len("6,Cy\n"))
	b.look(false, "c", "9,Zoe")
	b.put(0, "9,Zoe\n")
	b.look(true, "c", "9,Zoe")
	b.look(false, "b", "6,Cy")
	b.look(false, "x", "3,Ann") // still the row of a
	b.afterthoughts()
}

// The file was cut and has grown again past where the reader was, so that its
// size says nothing.
func TestFileIsCutAndGrowsPastTheReader(t *testing.T) {
	for name, block := range map[string]string{
		"short lines": "",
		"much text":   strings.Repeat("12,some older row of the file\n", 3*tailBytes/30),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.put(0, block+"3,Ann\n6,Cy\n")
			b.look(true, "a", "3,Ann")
			b.cut(0, len("6,Cy\n"))
			b.put(0, "9,Zo\n6,Cy\n") // as long as before, and then more
			b.look(true, "c", "9,Zo")
			b.look(true, "b", "6,Cy")
			b.look(false, "d", "6,Cy") // the lost copy must not count
			b.look(false, "x", "3,Ann")
		})
	}
}

// The same rows are written again after a cut: nothing has happened.
func TestFileIsCutAndRestored(t *testing.T) {
	b := newBench(t)
	b.put(0, "3,Ann\n6,Cy\n")
	b.look(true, "a", "3,Ann")
	b.look(true, "b", "6,Cy")
	b.cut(0, len("6,Cy\n"))
	b.afterthoughts()
	b.put(0, "6,Cy\n")
	time.Sleep(patience) // the time that vanished rows have to come back in
	b.afterthoughts()
	b.look(false, "c", "6,Cy")
}

// Rows that were found are gone, and the file is as long as it was.
func TestRowsVanish(t *testing.T) {
	b := newBench(t)
	b.put(0, "3,Ann\n6,Cy\n")
	b.look(true, "a", "3,Ann")
	b.look(true, "b", "6,Cy")
	b.cut(0, len("6,Cy\n"))
	b.afterthoughts()
	time.Sleep(patience) // the time that vanished rows have to come back in
	b.afterthoughts()    // the writer may be dead, and bring them back when it recovers
	b.put(0, "9,Zoe\n")
	b.afterthoughts("b")
	b.afterthoughts()
}

// What an earlier life has seen is not known after a cut either.
func TestLinesFromBeforeThisLifeAreReadAgain(t *testing.T) {
	b := newBench(t)
	b.put(0, "3,Ann\n")
	b.restart()
	b.put(0, "3,Ann\n6,Cy\n")
	b.look(true, "a", "3,Ann")
	b.cut(0, len("6,Cy\n"))
	b.put(0, "12,Eve\n")
	b.look(true, "b", "12,Eve")
	b.afterthoughts()
}

func TestFileIsReplaced(t *testing.T) {
	b := newBench(t)
	b.put(0, "3,Ann\n6,Cy\n")
	b.look(true, "a", "3,Ann")
	if err := os.Remove(b.path(0)); err != nil {
		t.Fatal(err)
	}
	b.look(false, "b", "6,Cy")
	b.put(0, "9,Zoe\n6,Cy\n")
	b.look(true, "b", "6,Cy")
}

// Another file is put in the place of the one that is followed.
func TestFileIsReplacedByALongerOne(t *testing.T) {
	b := newBench(t)
	b.put(0, "3,Ann\n6,Cy\n")
	b.look(true, "a", "3,Ann")
	if err := os.WriteFile(b.path(1), []byte(chunk.Header+"\n3,Ann\n6,Cy\n9,Zoe\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(b.path(1), b.path(0)); err != nil {
		t.Fatal(err)
	}
	b.look(true, "b", "9,Zoe")
}

// A power cut takes a new file away at any moment, also between two looks at
// its name, and the writer makes it again.
func TestFileComesAndGoes(t *testing.T) {
	b := newBench(t)
	f := b.verifier.file("TEST", 0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 1000 {
			if err := os.WriteFile(b.path(0), []byte(chunk.Header+"\n3,Ann\n"), 0o644); err != nil {
				t.Error(err)
			}
			if err := os.Remove(b.path(0)); err != nil {
				t.Error(err)
			}
		}
	}()
	defer func() { <-done }()
	for {
		if err := b.verifier.follow(f); err != nil {
			t.Fatal(err)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

// A file is read again before a chunk is said to be missing in it.
func TestGivingUpReadsOnceMore(t *testing.T) {
	b := newBench(t)
	b.put(0, "3,Ann\n6,Cy\n")
	b.look(true, "a", "3,Ann")
	b.verifier.file("TEST", 0).lines.own(2) // as if a change had gone unnoticed
	b.look(false, "b", "6,Cy")
	b.giveUp(nil, "b", "6,Cy")
}

func TestLinesLongerThanTheBuffer(t *testing.T) {
	b := newBench(t)
	long := "3," + strings.Repeat("x", 3*readBytes)
	b.put(0, long+"\n6,Cy\n")
	b.look(true, "a", long)
	b.look(true, "b", "6,Cy")
}

// Each byte is read once, but for the last ones before the place to go on from.
func TestBytesAreReadOnce(t *testing.T) {
	b := newBench(t)
	f := b.verifier.file("TEST", 0)
	total := 0
	for i := range 3 * segmentLines {
		row := fmt.Sprintf("%d,Name", 3*i)
		b.put(0, row+"\n")
		b.look(true, fmt.Sprint("chunk-", i), row)
		total += len(row) + 1
		if got := f.lines.end; got != int64(i+2) {
			t.Fatalf("%d lines after %d rows and the header: something was read twice", got, i+1)
		}
	}
	if want := int64(total + len(chunk.Header) + 1); f.offset != want {
		t.Errorf("read %d bytes of %d", f.offset, want)
	}
	if f.lines.chained != 0 || f.lines.front != f.lines.end || len(f.lines.last) > 16 {
		t.Errorf("%d lines are held in %d chains although all have an owner", f.lines.chained, len(f.lines.last))
	}
	for i, s := range f.lines.segments {
		if s != nil && i < len(f.lines.segments)-1 {
			t.Errorf("segment %d of %d is held although all its lines have an owner", i, len(f.lines.segments))
		}
	}
}
