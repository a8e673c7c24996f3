package check

import (
	"fmt"
	"slices"
	"strings"
)

// namedLine is a line of a file, a row that was sent, or both.
type namedLine struct {
	file  int    // its number; -1 when it is in none
	index uint32 // of the line, from 0
	row   rowID  // noRow when it is not known as a row that was sent
}

// named counts lines and keeps the first of them.
type named struct {
	count int
	lines []namedLine
}

func (n *named) note(line namedLine) {
	if n.count++; len(n.lines) < maxNamed {
		n.lines = append(n.lines, line)
	}
}

// tornLine is a line that is not one complete row.
type tornLine struct {
	namedLine
	why   string
	parts []match
}

// report is what the oracle has seen so far, without most texts, which are
// read again at the end for those lines that are named.
type report struct {
	lost, duplicated, misplaced, unexpected named
	half                                    named // rows of an unconfirmed block that is not whole
	apart, reordered, disordered            named
	headerAgain, headerLate                 named
	headerMissing                           []int // files
	torn                                    []tornLine
	tornCount                               int
	tornLast                                map[int]bool // files whose last line is in torn

	lostChunks, lostWhole int // chunks that lost some rows; that lost all
	beyond                int // wrong lines that were too many to be explained
}

func (r *report) noteTorn(line tornLine) {
	if r.tornCount++; len(r.torn) < maxNamed {
		r.torn = append(r.torn, line)
	}
}

// headerFound says that a piece of a file's header is there, and reported.
func (r *report) headerFound(file int) {
	r.headerMissing = slices.DeleteFunc(r.headerMissing, func(missing int) bool { return missing == file })
}

// texts are what the files and the sender's record say of the lines named.
type texts struct {
	oracle *oracle
	lines  map[[2]int]string // by file and index
	rows   map[rowID]sentAs
	byText map[string]sentAs
}

// readTexts reads the text of every line that is named, from the files and
// from the sender's record, each once and only if there is one to read.
func (r *report) readTexts(o *oracle) (*texts, error) {
	t := &texts{oracle: o, lines: map[[2]int]string{}, rows: map[rowID]sentAs{}, byText: map[string]sentAs{}}
	wanted := map[int]map[uint32]bool{}
	named := slices.Concat(r.lost.lines, r.duplicated.lines, r.misplaced.lines, r.unexpected.lines, r.half.lines,
		r.apart.lines, r.reordered.lines, r.disordered.lines, r.headerAgain.lines, r.headerLate.lines)
	for _, torn := range r.torn {
		named = append(named, torn.namedLine)
	}
	for _, line := range named {
		if line.row != noRow {
			t.rows[line.row] = sentAs{}
		}
		if line.file >= 0 {
			if wanted[line.file] == nil {
				wanted[line.file] = map[uint32]bool{}
			}
			wanted[line.file][line.index] = true
		}
	}
	for file, indexes := range wanted {
		err := o.eachLine(o.files[file], func(index int, line []byte, _ bool) error {
			if indexes[uint32(index)] {
				text := string(line[:min(len(line), maxFragmentBytes)])
				t.lines[[2]int{file, index}] = text
				t.byText[text] = sentAs{}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(named) == 0 {
		return t, nil
	}
	return t, o.eachSentRow(func(as sentAs) {
		if _, ok := t.rows[as.id]; ok {
			t.rows[as.id] = as
		}
		if known, ok := t.byText[as.text]; ok && known.chunk == "" {
			t.byText[as.text] = as
		}
	})
}

// row makes a line into one that a person can look up.
func (t *texts) row(line namedLine) Row {
	o := t.oracle
	row := Row{Partition: NoPartition, Expected: NoPartition}
	if line.file >= 0 {
		file := o.files[line.file]
		row.File, row.Line = file.Path, int(line.index)+1
		row.Text = t.lines[[2]int{line.file, int(line.index)}]
		row.Partition = file.partition
		row.Expected = o.place.home([]byte(row.Text))
	}
	as, known := sentAs{}, false
	if line.row != noRow {
		as, known = t.rows[line.row], true
	} else if line.file >= 0 {
		as = t.byText[row.Text]
		known = as.chunk != ""
	}
	if known {
		row.Chunk, row.Expected = as.chunk, as.id.partition
		if line.file < 0 {
			row.Text, row.Partition, row.File = as.text, as.id.partition, o.pathOf(as.id.partition)
		}
	}
	if o.facts.Partition == nil {
		row.Partition, row.Expected = NoPartition, NoPartition
	}
	return row
}

func (t *texts) all(lines []namedLine) []Row {
	rows := make([]Row, 0, len(lines))
	for _, line := range lines {
		rows = append(rows, t.row(line))
	}
	return rows
}

// findings puts what was seen into words.
func (r *report) findings(o *oracle) ([]Finding, error) {
	texts, err := r.readTexts(o)
	if err != nil {
		return nil, err
	}
	var findings []Finding
	add := func(kind Kind, rows []Row, count int, text string) {
		findings = append(findings, Finding{
			Kind: kind, Service: o.facts.Output.Service, Rows: rows, Count: count, Text: text,
			Position: o.seen.position("expect.rows"),
		})
	}
	several := func(kind Kind, lines named, say func(rows []Row, count int) string) {
		if lines.count > 0 {
			rows := texts.all(lines.lines)
			add(kind, rows, lines.count, say(rows, lines.count))
		}
	}
	several(Lost, r.lost, r.lostWords)
	several(Duplicated, r.duplicated, duplicatedWords)
	several(Misplaced, r.misplaced, misplacedWords)
	several(Unexpected, r.unexpected, unexpectedWords)
	for _, file := range o.files {
		if text := strayWords(o, file); text != "" {
			add(Unexpected, nil, 0, text)
		}
	}
	if r.beyond > 0 {
		add(Unexpected, nil, r.beyond, fmt.Sprintf(
			"%s out of place and too many to be explained one by one; whether rows are lost was not looked at", verb(r.beyond, "more line is", "more lines are")))
	}
	if r.tornCount > 0 {
		rows := make([]Row, 0, len(r.torn))
		for _, torn := range r.torn {
			rows = append(rows, texts.tornRow(torn))
		}
		add(Torn, rows, r.tornCount, tornWords(r.torn[0], rows[0], r.tornCount))
	}
	several(Torn, r.half, halfWords)
	several(Reordered, r.apart, apartWords)
	several(Reordered, r.reordered, reorderedWords)
	several(Reordered, r.disordered, disorderedWords)
	several(Duplicated, r.headerAgain, func(rows []Row, count int) string {
		return fmt.Sprintf("the header stands %s, first at %s", verb(count, "more time", "more times"), placeWords(rows[0]))
	})
	several(Reordered, r.headerLate, func(rows []Row, count int) string {
		return fmt.Sprintf("the header is not the first line: it stands at %s", placeWords(rows[0]))
	})
	for _, file := range r.headerMissing[:min(len(r.headerMissing), maxNamed)] {
		add(Lost, nil, 0, fmt.Sprintf("the first line of %s is not the header %q", o.files[file].Path, o.facts.Output.Header))
	}
	if count := o.sent.numberlessCount; count > 0 {
		row := o.sent.numberless[0]
		add(Violated, o.sent.numberless, count, fmt.Sprintf(
			"%s sent %s without a whole number in column %q, first %q of chunk %s, and did not record them as malformed",
			o.sent.sender, amount(count, "row"), o.facts.Partition.Column, row.Text, row.Chunk))
	}
	return findings, nil
}

func (r *report) lostWords(rows []Row, count int) string {
	whole := ""
	switch {
	case r.lostWhole == r.lostChunks && r.lostChunks == 1:
		whole = " (it is gone as a whole)"
	case r.lostWhole == r.lostChunks:
		whole = " (they are gone as a whole)"
	case r.lostWhole > 0:
		whole = fmt.Sprintf(" (%d of them gone as a whole)", r.lostWhole)
	}
	return fmt.Sprintf("%s in no output file, of %s%s: first %q (%s)",
		verb(count, "row is", "rows are"), amount(r.lostChunks, "confirmed chunk"), whole, rows[0].Text, ownerWords(rows[0]))
}

func duplicatedWords(rows []Row, count int) string {
	return fmt.Sprintf("%s more often than sent: chunk %s, first %q again at %s",
		verb(count, "row stands", "rows stand"), chunkNames(rows, count), rows[0].Text, placeWords(rows[0]))
}

func misplacedWords(rows []Row, count int) string {
	where := fmt.Sprintf("in partition %d", rows[0].Partition)
	if rows[0].Partition == NoPartition {
		where = "in no partition"
	}
	return fmt.Sprintf("%s in the wrong partition: chunk %s, first %q at %s, %s instead of %d",
		verb(count, "row stands", "rows stand"), chunkNames(rows, count), rows[0].Text, placeWords(rows[0]), where, rows[0].Expected)
}

func unexpectedWords(rows []Row, count int) string {
	return fmt.Sprintf("%s never sent, first %q at %s", verb(count, "row was", "rows were"), clip(rows[0].Text, 120), placeWords(rows[0]))
}

func strayWords(o *oracle, file *outputFile) string {
	switch {
	case o.facts.Partition == nil:
		return ""
	case file.partition == NoPartition:
		return fmt.Sprintf("%s is no partition's file: its name is not like /%s/", file.Path, o.facts.Partition.File)
	case file.partition >= o.place.count:
		return fmt.Sprintf("%s is the file of partition %d, and there are only %d", file.Path, file.partition, o.place.count)
	}
	return ""
}

func (t *texts) tornRow(torn tornLine) Row {
	row := t.row(torn.namedLine)
	if len(torn.parts) > 0 && !torn.parts[0].header {
		row.Chunk = torn.parts[0].chunk
		if t.oracle.facts.Partition != nil {
			row.Expected = torn.parts[0].id.partition
		}
	}
	return row
}

func tornWords(torn tornLine, row Row, count int) string {
	var parts []string
	for _, part := range torn.parts {
		text := fmt.Sprintf("%q of chunk %s", part.text, part.chunk)
		if part.header {
			text = fmt.Sprintf("the header %q", part.text)
		}
		parts = append(parts, text)
	}
	what := torn.why
	if len(parts) > 0 {
		what += " " + strings.Join(parts, " and ")
	}
	return fmt.Sprintf("%s torn, first at %s, which holds %q: %s", verb(count, "line is", "lines are"), placeWords(row), clip(row.Text, 120), what)
}

func halfWords(rows []Row, count int) string {
	return fmt.Sprintf("%s without the rest of their block: chunk %s was never confirmed, so its rows may be absent, but only together; first %q at %s",
		verb(count, "row stands", "rows stand"), chunkNames(rows, count), rows[0].Text, placeWords(rows[0]))
}

func apartWords(rows []Row, count int) string {
	return fmt.Sprintf("%s apart from the other rows of their chunk: chunk %s, first %q at %s",
		verb(count, "row stands", "rows stand"), chunkNames(rows, count), rows[0].Text, placeWords(rows[0]))
}

func reorderedWords(rows []Row, count int) string {
	return fmt.Sprintf("%s in another order than they were sent in: chunk %s, first %q at %s",
		verb(count, "row stands", "rows stand"), chunkNames(rows, count), rows[0].Text, placeWords(rows[0]))
}

func disorderedWords(rows []Row, count int) string {
	return fmt.Sprintf("%s out of the order in which chunks were sent: chunk %s, first %q at %s",
		verb(count, "block stands", "blocks stand"), chunkNames(rows, count), rows[0].Text, placeWords(rows[0]))
}

func verb(count int, one, many string) string {
	number, _, _ := strings.Cut(amount(count, ""), " ")
	if count == 1 {
		return number + " " + one
	}
	return number + " " + many
}

func placeWords(row Row) string { return fmt.Sprintf("%s:%d", row.File, row.Line) }

func ownerWords(row Row) string {
	text := "chunk " + row.Chunk
	if row.Expected != NoPartition {
		text += fmt.Sprintf(", partition %d", row.Expected)
	}
	return text
}
