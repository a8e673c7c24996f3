package worker3

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/killpoint/killpoint/workers/chunk"
)

// few rows, all of partition 0, so that most are equal to others.
var few = rapid.SampledFrom([]string{"0,a", "0,b", "3,c"})

// The verdict is SUCCESS if and only if every chunk with that verdict, and this
// one, can have rows of its own: whatever stands in the file, in whatever order
// chunks come, and whatever recovery cuts from the file and writes anew.
func TestVerdictIsExact(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		b := newBench(t)
		b.log = func(string, ...any) {}
		b.restart()
		var file []string    // its lines
		var found [][]string // the rows of chunks with SUCCESS in this life
		number := 0
		r.Repeat(map[string]func(*rapid.T){
			"write": func(r *rapid.T) {
				rows := rapid.SliceOfN(few, 1, 4).Draw(r, "rows")
				b.put(0, strings.Join(rows, "\n")+"\n")
				file = append(file, rows...)
			},
			"rewrite": func(r *rapid.T) {
				cut := rapid.IntRange(1, 3).Draw(r, "lines")
				if len(file) < cut {
					r.Skip()
				}
				gone := file[len(file)-cut:]
				anew := rapid.Permutation(gone).Draw(r, "anew")
				after := slices.Concat(file[:len(file)-cut], anew)
				if !assignable(after, found) {
					r.Skip("the writer would lose what was judged; see TestRowsVanish")
				}
				b.cut(0, len(strings.Join(gone, "\n"))+1)
				if rapid.Bool().Draw(r, "look between") {
					b.nothingMore(r)
				}
				b.put(0, strings.Join(anew, "\n")+"\n")
				file = after
			},
			"judge": func(r *rapid.T) {
				group := rapid.SliceOfN(rapid.SliceOfN(few, 1, 3), 1, 3).Draw(r, "group")
				var chunks []chunk.Chunk
				for _, rows := range group {
					number++
					chunks = append(chunks, b.chunk(fmt.Sprint("chunk-", number), rows...))
				}
				there, err := b.verifier.Look(chunks...)
				if err != nil {
					r.Fatal(err)
				}
				for i, rows := range group {
					if want := assignable(file, append(found, rows)); there[i] != want {
						r.Fatalf("file %q, chunks %q, and now %q: there = %v, want %v", file, found, rows, there[i], want)
					}
					if !there[i] {
						verdict, err := b.verifier.GiveUp(chunks[i])
						if err != nil || verdict.Problem == "" {
							r.Fatalf("giving up says %q, %v", verdict.Problem, err)
						}
						continue
					}
					found = append(found, rows)
				}
				if again, err := b.verifier.Look(chunks...); err != nil || !slices.Equal(again, there) {
					r.Fatalf("delivered again: there = %v, %v, want %v", again, err, there)
				}
			},
			"restart": func(*rapid.T) {
				b.restart()
				found = nil
			},
			"look": b.nothingMore,
		})
	})
}

// assignable says whether each block can have lines of its own, by trying all
// places for all of them.
func assignable(file []string, blocks [][]string) bool {
	taken := make([]bool, len(file))
	failed := map[string]bool{}
	var try func(blocks [][]string) bool
	try = func(blocks [][]string) bool {
		if len(blocks) == 0 {
			return true
		}
		state := fmt.Sprint(len(blocks), taken)
		if failed[state] {
			return false
		}
		block := blocks[0]
		for at := range len(file) - len(block) + 1 {
			if !slices.Equal(file[at:at+len(block)], block) || slices.Contains(taken[at:at+len(block)], true) {
				continue
			}
			for i := range block {
				taken[at+i] = true
			}
			if try(blocks[1:]) {
				return true
			}
			for i := range block {
				taken[at+i] = false
			}
		}
		failed[state] = true
		return false
	}
	// Long ones first, and equal ones together.
	sorted := slices.Clone(blocks)
	slices.SortFunc(sorted, func(a, b []string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return slices.Compare(a, b)
	})
	return try(sorted)
}

// A writer that appends each chunk once and for good, group by group, dies in
// the middle of groups and recovers, and forwards what it has written in any
// order, some of it twice: no chunk of it is ever a FAILURE, and each one that
// it has not written is.
func TestWriterInAnyOrder(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		b := newBench(t)
		b.log = func(string, ...any) {}
		b.restart()
		row := rapid.SampledFrom([]string{"0,a", "0,b", "3,c", "1,d", "1,e", "2,f", "99,only here"})
		var waiting, written [][]string // chunks to write, and to forward
		for range rapid.IntRange(2, 12).Draw(r, "chunks") {
			waiting = append(waiting, rapid.SliceOfN(row, 1, 5).Draw(r, "rows"))
		}
		r.Repeat(map[string]func(*rapid.T){
			"write": func(r *rapid.T) {
				if len(waiting) == 0 {
					r.Skip()
				}
				group := waiting[:rapid.IntRange(1, min(3, len(waiting))).Draw(r, "group")]
				if rapid.Bool().Draw(r, "die") {
					b.dieWriting(r, group)
					waiting = rapid.Permutation(waiting).Draw(r, "delivered again")
					return
				}
				for _, rows := range group {
					for partition, text := range texts(rows) {
						if text != "" {
							b.put(partition, text)
						}
					}
				}
				written, waiting = append(written, group...), waiting[len(group):]
			},
			"forward": func(r *rapid.T) {
				if len(written) == 0 {
					r.Skip()
				}
				which := rapid.IntRange(0, len(written)-1).Draw(r, "which")
				id := fmt.Sprint("chunk-", which)
				if there, err := b.verifier.Look(b.chunk(id, written[which]...)); err != nil || !there[0] {
					r.Fatalf("%s %q, written by a correct writer: there = %v, %v", id, written[which], there, err)
				}
			},
			"forward all": func(r *rapid.T) {
				for which, rows := range written {
					id := fmt.Sprint("chunk-", which)
					if there, err := b.verifier.Look(b.chunk(id, rows...)); err != nil || !there[0] {
						r.Fatalf("%s %q, written by a correct writer: there = %v, %v", id, rows, there, err)
					}
				}
				if there, err := b.verifier.Look(b.chunk("lost", "0,a")); err != nil || there[0] {
					r.Fatalf("a chunk that was not written: there = %v, %v", there, err)
				}
			},
			"look": b.nothingMore,
		})
	})
}

// nothingMore expects no afterthoughts.
func (b *bench) nothingMore(r *rapid.T) {
	if verdicts, err := b.verifier.Afterthoughts(); err != nil || len(verdicts) > 0 {
		r.Fatalf("afterthoughts %v, %v", verdicts, err)
	}
}

// texts gives what a chunk's rows add to each of three partition files.
func texts(rows []string) []string {
	texts := make([]string, 3)
	for _, row := range rows {
		id, err := chunk.ParseRow([]byte(row))
		if err != nil {
			panic(err)
		}
		texts[chunk.Partition(id, 3)] += row + "\n"
	}
	return texts
}

// dieWriting puts some of what a group adds to the files, and takes it away
// again, as recovery does.
func (b *bench) dieWriting(r *rapid.T, group [][]string) {
	added := make([]int, 3)
	for _, rows := range group {
		for partition, text := range texts(rows) {
			if text == "" {
				continue
			}
			part := text[:rapid.IntRange(0, len(text)).Draw(r, "torn")]
			b.put(partition, part)
			added[partition] += len(part)
			if len(part) < len(text) {
				break
			}
		}
	}
	if rapid.Bool().Draw(r, "look between") {
		b.nothingMore(r)
	}
	for partition, bytes := range added {
		if bytes > 0 {
			b.cut(partition, bytes)
		}
	}
}
