package check_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
)

// madeBlock is what one chunk has in one partition.
type madeBlock struct {
	chunk     string
	partition int
	rows      []string
	confirmed bool
}

// madeFile is an output file as its blocks or, once damaged, as its lines.
type madeFile struct {
	partition int
	lines     []string
	owner     []*madeBlock // of each line; nil for the header
	place     []int        // of each line in its block
	uncut     bool         // the last line has no newline
}

// madeRun is a run in which everything is in its place.
type madeRun struct {
	partitions   int
	allConfirmed bool
	sent         []string // directives
	files        []*madeFile
}

// drawRun makes a run of some chunks: rows are all different and none is a
// part of another, or, if alike, of very few texts.
func drawRun(t *rapid.T, alike bool) *madeRun {
	run := &madeRun{partitions: rapid.IntRange(1, 4).Draw(t, "partitions"), allConfirmed: true}
	blocks := map[int][]*madeBlock{}
	serial := 0
	for number := range rapid.IntRange(1, 8).Draw(t, "chunks") {
		chunk := fmt.Sprintf("chunk%d", number)
		confirmed := number == 0 || rapid.IntRange(0, 3).Draw(t, "confirmed") > 0
		run.allConfirmed = run.allConfirmed && confirmed
		present := confirmed || rapid.Bool().Draw(t, "present")
		mark := map[bool]string{true: "", false: "?"}[confirmed]
		line := fmt.Sprintf("sent %s%s:", chunk, mark)
		own := map[int]*madeBlock{}
		for range rapid.IntRange(1, 8).Draw(t, "rows") {
			id := rapid.IntRange(0, 300).Draw(t, "id")
			row := fmt.Sprintf("%d,name%04d", id, serial)
			if alike {
				id = rapid.IntRange(0, 1).Draw(t, "id")
				row = fmt.Sprintf("%d,%c", id, 'a'+rapid.IntRange(0, 1).Draw(t, "name"))
			}
			serial++
			line += " " + row
			partition := id % run.partitions
			if own[partition] == nil {
				own[partition] = &madeBlock{chunk: chunk, partition: partition, confirmed: confirmed}
				if present {
					blocks[partition] = append(blocks[partition], own[partition])
				}
			}
			own[partition].rows = append(own[partition].rows, row)
		}
		run.sent = append(run.sent, line)
		if rapid.IntRange(0, 4).Draw(t, "again") == 0 {
			run.sent = append(run.sent, "again "+chunk)
		}
	}
	for partition := range run.partitions {
		order := rapid.Permutation(blocks[partition]).Draw(t, "order")
		cut := len(order)
		if alike {
			cut = rapid.IntRange(0, len(order)).Draw(t, "split")
		}
		run.files = append(run.files, newFile(partition, order[:cut]))
		if cut < len(order) {
			run.files = append(run.files, newFile(partition, order[cut:]))
		}
	}
	return run
}

func newFile(partition int, blocks []*madeBlock) *madeFile {
	file := &madeFile{partition: partition, lines: []string{header}, owner: []*madeBlock{nil}, place: []int{0}}
	for _, block := range blocks {
		for place, row := range block.rows {
			file.insert(len(file.lines), row, block, place)
		}
	}
	return file
}

func (f *madeFile) insert(at int, line string, owner *madeBlock, place int) {
	f.lines = slices.Insert(f.lines, at, line)
	f.owner = slices.Insert(f.owner, at, owner)
	f.place = slices.Insert(f.place, at, place)
}

func (f *madeFile) remove(at int) {
	f.lines = slices.Delete(f.lines, at, at+1)
	f.owner = slices.Delete(f.owner, at, at+1)
	f.place = slices.Delete(f.place, at, at+1)
}

func (f *madeFile) text() string {
	if len(f.lines) == 0 {
		return ""
	}
	text := strings.Join(f.lines, "\n") + "\n"
	if f.uncut {
		text = strings.TrimSuffix(text, "\n")
	}
	return text
}

// path is the file's place in the container, by its number in the run.
func (r *madeRun) path(number int) string {
	return fmt.Sprintf("/data/part%d-%03d.csv", number, r.files[number].partition)
}

// judge gives the result of the rows check.
func (r *madeRun) judge(t testing.TB) check.Result {
	w := newWorld(t)
	w.facts.Rows.Partition.Count = r.partitions
	for _, line := range r.sent {
		w.direct(line)
	}
	for number, file := range r.files {
		w.file("writer", r.path(number), history.AtEnd, file.text())
	}
	w.finish()
	for _, result := range check.Judge(&w.scenario, &w.history).Results {
		if result.Check == check.CheckRows {
			return result
		}
	}
	t.Fatal("no result of the rows check")
	return check.Result{}
}

func (r *madeRun) String() string {
	text := strings.Join(r.sent, "\n")
	for number, file := range r.files {
		text += fmt.Sprintf("\n%s: %q", r.path(number), file.text())
	}
	return text
}

// checkMade runs a property with a folder of its own for each try.
func checkMade(t *testing.T, property func(t *rapid.T, tb testing.TB)) {
	rapid.Check(t, func(r *rapid.T) { property(r, t) })
}

func TestRightOutputHasNoFinding(t *testing.T) {
	for _, alike := range []bool{false, true} {
		t.Run(fmt.Sprintf("alike=%t", alike), func(t *testing.T) {
			checkMade(t, func(r *rapid.T, tb testing.TB) {
				run := drawRun(r, alike)
				if result := run.judge(tb); result.Status != check.StatusPassed {
					r.Fatalf("%s\n%v: %s %v", run, result.Status, result.Reason, result.Findings)
				}
			})
		})
	}
}

// damage is one thing done to a right output, and what must be found.
type damage struct {
	kind  check.Kind
	rows  []check.Row
	count int
}

func TestOneDamageIsFoundAndNamed(t *testing.T) {
	damages := map[string]func(*rapid.T, *madeRun) (damage, bool){
		"drop a row": dropRow, "double a row": doubleRow, "double a block": doubleBlock,
		"move a row": moveRow, "move a block": moveBlock, "tear a line": tearLine, "cut the last newline": cutNewline,
		"swap two rows": swapRows, "split a block": splitBlock, "add a row": addRow,
		"drop the header": dropHeader, "double the header": doubleHeader,
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			checkMade(t, func(r *rapid.T, tb testing.TB) {
				run := drawRun(r, false)
				want, done := damage(r, run)
				if !done {
					r.Skip("nothing to damage")
				}
				result := run.judge(tb)
				if len(result.Findings) != 1 {
					r.Fatalf("%s\nwant one %s, got %s %v", run, want.kind, result.Reason, result.Findings)
				}
				got := result.Findings[0]
				if got.Kind != want.kind || got.Count != want.count || len(got.Rows) != min(len(want.rows), 20) {
					r.Fatalf("%s\nwant %s of %d rows %v\ngot %s of %d rows %v: %s", run, want.kind, want.count, want.rows, got.Kind, got.Count, got.Rows, got.Text)
				}
				for i, row := range got.Rows {
					if !sameRow(row, want.rows[i]) {
						r.Fatalf("%s\nrow %d: want %+v\ngot %+v", run, i, want.rows[i], row)
					}
				}
			})
		})
	}
}

// sameRow compares what is known of the wanted row.
func sameRow(got, want check.Row) bool {
	return got.Text == want.Text && got.Line == want.Line && (want.Line == 0 || got.File == want.File) &&
		(want.Chunk == "?" || got.Chunk == want.Chunk) && got.Partition == want.Partition && got.Expected == want.Expected
}

// drawLine chooses a line that is a row and meets a condition.
func drawLine(t *rapid.T, run *madeRun, fits func(f *madeFile, at int) bool) (file, at int, ok bool) {
	var places [][2]int
	for number, f := range run.files {
		for at := range f.lines {
			if f.owner[at] != nil && (fits == nil || fits(f, at)) {
				places = append(places, [2]int{number, at})
			}
		}
	}
	if len(places) == 0 {
		return 0, 0, false
	}
	place := rapid.SampledFrom(places).Draw(t, "line")
	return place[0], place[1], true
}

// row is how a finding names a line.
func (r *madeRun) row(file, at int) check.Row {
	f := r.files[file]
	return check.Row{
		Chunk: f.owner[at].chunk, Partition: f.partition, Expected: f.owner[at].partition,
		Text: f.lines[at], File: r.path(file), Line: at + 1,
	}
}

func dropRow(t *rapid.T, run *madeRun) (damage, bool) {
	file, at, ok := drawLine(t, run, func(f *madeFile, at int) bool { return f.owner[at].confirmed })
	if !ok {
		return damage{}, false
	}
	row := run.row(file, at)
	row.Line = 0
	run.files[file].remove(at)
	return damage{check.Lost, []check.Row{row}, 1}, true
}

func doubleRow(t *rapid.T, run *madeRun) (damage, bool) {
	file, at, ok := drawLine(t, run, nil)
	if !ok {
		return damage{}, false
	}
	f := run.files[file]
	f.insert(at+1, f.lines[at], f.owner[at], f.place[at])
	// Either of the two may be called the extra one: it is the one without
	// which the block stands whole, the second one of a block of one row.
	extra := at + 1
	if f.place[at] == 0 && len(f.owner[at].rows) > 1 {
		extra = at
	}
	return damage{check.Duplicated, []check.Row{run.row(file, extra)}, 1}, true
}

func doubleBlock(t *rapid.T, run *madeRun) (damage, bool) {
	file, at, ok := drawLine(t, run, nil)
	if !ok {
		return damage{}, false
	}
	f := run.files[file]
	block, end := f.owner[at], len(f.lines)
	var rows []check.Row
	for place, row := range block.rows {
		f.insert(end+place, row, block, place)
		rows = append(rows, run.row(file, end+place))
	}
	return damage{check.Duplicated, rows, len(rows)}, true
}

// drawOther chooses a file of another partition, and a place in it.
func drawOther(t *rapid.T, run *madeRun, partition int) (file, at int, ok bool) {
	var others []int
	for number, f := range run.files {
		if f.partition != partition {
			others = append(others, number)
		}
	}
	if len(others) == 0 {
		return 0, 0, false
	}
	file = rapid.SampledFrom(others).Draw(t, "other")
	return file, rapid.IntRange(1, len(run.files[file].lines)).Draw(t, "at"), true
}

func moveRow(t *rapid.T, run *madeRun) (damage, bool) {
	file, at, ok := drawLine(t, run, func(f *madeFile, at int) bool { return f.owner[at].confirmed })
	if !ok {
		return damage{}, false
	}
	f := run.files[file]
	to, place, ok := drawOther(t, run, f.partition)
	if !ok {
		return damage{}, false
	}
	run.files[to].insert(place, f.lines[at], f.owner[at], f.place[at])
	f.remove(at)
	return damage{check.Misplaced, []check.Row{run.row(to, place)}, 1}, true
}

func moveBlock(t *rapid.T, run *madeRun) (damage, bool) {
	file, at, ok := drawLine(t, run, nil)
	if !ok {
		return damage{}, false
	}
	f := run.files[file]
	to, place, ok := drawOther(t, run, f.partition)
	if !ok {
		return damage{}, false
	}
	block, first := f.owner[at], at-f.place[at]
	for range block.rows {
		f.remove(first)
	}
	var rows []check.Row
	for i, row := range block.rows {
		run.files[to].insert(place+i, row, block, i)
		rows = append(rows, run.row(to, place+i))
	}
	return damage{check.Misplaced, rows, len(rows)}, true
}

var wholeRow = regexp.MustCompile(`^\d+,name\d{4}$`)

func tearLine(t *rapid.T, run *madeRun) (damage, bool) {
	file, at, ok := drawLine(t, run, nil)
	if !ok {
		return damage{}, false
	}
	f := run.files[file]
	kept := rapid.IntRange(1, len(f.lines[at])-1).Draw(t, "kept")
	f.lines[at] = f.lines[at][:kept]
	row := run.row(file, at)
	if rapid.Bool().Draw(t, "newline lost") {
		if at == len(f.lines)-1 {
			f.uncut = true
		} else {
			f.lines[at] += f.lines[at+1]
			f.remove(at + 1)
			if wholeRow.MatchString(f.lines[at]) {
				return damage{}, false // "1" of one row before "1,name0001": a row that nobody sent, to look at it
			}
			row = run.row(file, at)
		}
	}
	// The number at the beginning of the line may be cut, so that it seems to
	// belong elsewhere; what is expected is where the row belongs that it is
	// a part of. Which of several missing rows that is, is not known.
	if !run.allConfirmed {
		row.Chunk = "?"
	}
	return damage{check.Torn, []check.Row{row}, 1}, true
}

func cutNewline(t *rapid.T, run *madeRun) (damage, bool) {
	file, at, ok := drawLine(t, run, func(f *madeFile, at int) bool { return at == len(f.lines)-1 })
	if !ok {
		return damage{}, false
	}
	run.files[file].uncut = true
	return damage{check.Torn, []check.Row{run.row(file, at)}, 1}, true
}

func swapRows(t *rapid.T, run *madeRun) (damage, bool) {
	file, at, ok := drawLine(t, run, func(f *madeFile, at int) bool { return f.place[at] > 0 })
	if !ok {
		return damage{}, false
	}
	f := run.files[file]
	with := at - rapid.IntRange(1, f.place[at]).Draw(t, "distance")
	f.lines[at], f.lines[with] = f.lines[with], f.lines[at]
	return damage{check.Reordered, []check.Row{run.row(file, with), run.row(file, at)}, 2}, true
}

// splitBlock moves the last row of a block behind all other blocks.
func splitBlock(t *rapid.T, run *madeRun) (damage, bool) {
	file, at, ok := drawLine(t, run, func(f *madeFile, at int) bool {
		return f.place[at] > 0 && f.place[at] == len(f.owner[at].rows)-1 && at < len(f.lines)-1
	})
	if !ok {
		return damage{}, false
	}
	f := run.files[file]
	line, owner, place := f.lines[at], f.owner[at], f.place[at]
	f.remove(at)
	f.insert(len(f.lines), line, owner, place)
	return damage{check.Reordered, []check.Row{run.row(file, len(f.lines)-1)}, 1}, true
}

func addRow(t *rapid.T, run *madeRun) (damage, bool) {
	file := rapid.IntRange(0, len(run.files)-1).Draw(t, "file")
	f := run.files[file]
	at := rapid.IntRange(1, len(f.lines)).Draw(t, "at")
	id := rapid.IntRange(1000, 2000).Draw(t, "id")
	f.insert(at, fmt.Sprintf("%d,stranger", id), nil, 0)
	row := check.Row{Partition: f.partition, Expected: id % run.partitions, Text: f.lines[at], File: run.path(file), Line: at + 1}
	return damage{check.Unexpected, []check.Row{row}, 1}, true
}

func dropHeader(t *rapid.T, run *madeRun) (damage, bool) {
	run.files[rapid.IntRange(0, len(run.files)-1).Draw(t, "file")].remove(0)
	return damage{check.Lost, nil, 0}, true
}

func doubleHeader(t *rapid.T, run *madeRun) (damage, bool) {
	file := rapid.IntRange(0, len(run.files)-1).Draw(t, "file")
	f := run.files[file]
	at := rapid.IntRange(1, len(f.lines)).Draw(t, "at")
	f.insert(at, header, nil, 0)
	row := check.Row{Partition: f.partition, Expected: check.NoPartition, Text: header, File: run.path(file), Line: at + 1}
	return damage{check.Duplicated, []check.Row{row}, 1}, true
}

// TestAlikeRowsAreDecidedExactly compares the oracle with trying everything,
// on files of few and short rows of two texts.
func TestAlikeRowsAreDecidedExactly(t *testing.T) {
	checkMade(t, func(r *rapid.T, tb testing.TB) {
		run := &madeRun{partitions: 1}
		var blocks []*madeBlock
		for number := range rapid.IntRange(1, 5).Draw(r, "chunks") {
			block := &madeBlock{chunk: fmt.Sprintf("chunk%d", number), confirmed: number == 0 || rapid.Bool().Draw(r, "confirmed")}
			mark := map[bool]string{true: "", false: "?"}[block.confirmed]
			line := fmt.Sprintf("sent %s%s:", block.chunk, mark)
			for range rapid.IntRange(1, 3).Draw(r, "rows") {
				block.rows = append(block.rows, rapid.SampledFrom([]string{"0,a", "0,b"}).Draw(r, "row"))
				line += " " + block.rows[len(block.rows)-1]
			}
			run.sent, blocks = append(run.sent, line), append(blocks, block)
		}
		for range rapid.IntRange(1, 2).Draw(r, "files") {
			file := newFile(0, nil)
			for range rapid.IntRange(0, 6).Draw(r, "lines") {
				file.insert(len(file.lines), rapid.SampledFrom([]string{"0,a", "0,b"}).Draw(r, "line"), nil, 0)
			}
			run.files = append(run.files, file)
		}
		want := check.StatusFailed
		if canBeTakenApart(run.files, blocks) {
			want = check.StatusPassed
		}
		if result := run.judge(tb); result.Status != want {
			r.Fatalf("%s\nwant %s, got %s %s %v", run, want, result.Status, result.Reason, result.Findings)
		}
	})
}

// canBeTakenApart tries every way to take files apart into blocks.
func canBeTakenApart(files []*madeFile, blocks []*madeBlock) bool {
	used := make([]bool, len(blocks))
	var try func(file, at int) bool
	try = func(file, at int) bool {
		if file == len(files) {
			for i, block := range blocks {
				if block.confirmed && !used[i] {
					return false
				}
			}
			return true
		}
		lines := files[file].lines[1:]
		if at == len(lines) {
			return try(file+1, 0)
		}
		for i, block := range blocks {
			end := at + len(block.rows)
			if used[i] || end > len(lines) || !slices.Equal(lines[at:end], block.rows) {
				continue
			}
			used[i] = true
			if try(file, end) {
				return true
			}
			used[i] = false
		}
		return false
	}
	return try(0, 0)
}
