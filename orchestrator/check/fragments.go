package check

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// maxFragmentBytes bounds how much of a line is compared.
const maxFragmentBytes = 1 << 16

// fragments are lines that equal no row that was sent. A line that is a part
// of a row, or a part of one run into the next, is torn; others were never
// sent. The rows are read again from the record for this, since the ledger
// has no text.
type fragments struct {
	oracle  *oracle
	seed    maphash.Seed
	lines   []*fragment
	beyond  []namedLine // the first of the lines that were too many to be compared
	more    int         // how many those are
	claimed map[rowID]bool

	// expected are the rows that the lines beside a line lead one to expect in
	// its place.
	expected map[linePlace][]rowID
}

// linePlace is where a line stands.
type linePlace struct {
	file  int
	index uint32
}

// maxExpected bounds the lines of which it is remembered what one expects
// there. Rows that stand in a wrong file are among them, so they are more than
// the lines that are compared.
const maxExpected = 1 << 16

type fragment struct {
	namedLine
	text     []byte
	expected []rowID

	whole  match // the row of which the line is the beginning
	end    match // the row of which the line is the end
	tail   match // the row with which the line ends
	start  match // the row with which the line begins
	before match // the row of which the text before tail is the beginning
	after  match // the row of which the text after start is the beginning
}

// match is a row that has to do with a line, or the header.
type match struct {
	found  bool
	header bool
	sentAs
	rank    int
	missing bool // no line accounts for it
	near    bool // next to another row that stands in the line
	same    bool // stands in the line already
}

// adjacent says whether one row comes right after another in one block.
func (m match) adjacent(next match) bool {
	return m.id.partition == next.id.partition && m.id.row+1 == next.id.row && m.chunk == next.chunk
}

// beside is the match in a line that holds another row already: one more
// piece of the same row accounts for nothing, so a row that is missing is
// thought of before it, and one next to the other in its block most of all.
func (m match) beside(other match) match {
	switch {
	case m.header || other.header:
	case m.id == other.id:
		m.missing, m.same = false, true
	case m.adjacent(other) || other.adjacent(m):
		m.near = true
	}
	return m
}

func (f *fragments) add(line *fragment) {
	if len(f.lines) >= f.oracle.seen.limits.fragments {
		if f.more++; len(f.beyond) < maxNamed {
			f.beyond = append(f.beyond, line.namedLine)
		}
		return
	}
	f.lines = append(f.lines, line)
}

// expect notes that a line stands where a row would be expected.
func (f *fragments) expect(file int, index uint32, row rowID) {
	place := linePlace{file, index}
	if known := f.expected[place]; known != nil || len(f.expected) < maxExpected {
		f.expected[place] = append(known, row)
	}
}

// resolve compares the lines with the rows that were sent and reports each.
func (f *fragments) resolve() error {
	if len(f.lines) == 0 {
		return nil
	}
	f.seed, f.claimed = maphash.MakeSeed(), map[rowID]bool{}
	slices.SortFunc(f.lines, func(a, b *fragment) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.index, b.index))
	})
	for _, line := range f.lines {
		line.expected = f.expected[linePlace{line.file, line.index}]
	}
	for _, step := range []func() error{f.readTexts, f.compare, f.compareRests} {
		if err := step(); err != nil {
			return err
		}
	}
	for _, fragment := range f.lines {
		f.judge(fragment)
	}
	for _, line := range f.beyond {
		f.oracle.report.unexpected.note(line)
	}
	f.oracle.report.unexpected.count += f.more - len(f.beyond)
	return nil
}

func (f *fragments) readTexts() error {
	for number, file := range f.oracle.files {
		var mine []*fragment
		for _, fragment := range f.lines {
			if fragment.file == number {
				mine = append(mine, fragment)
			}
		}
		if len(mine) == 0 {
			continue
		}
		err := f.oracle.eachLine(file, func(index int, line []byte, _ bool) error {
			if len(mine) > 0 && int(mine[0].index) == index {
				mine[0].text = slices.Clone(line[:min(len(line), maxFragmentBytes)])
				mine = mine[1:]
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// piece is a stretch of text to look for in rows, by length and hash.
type piece struct {
	length int
	hash   uint64
}

// pieces finds by text the fragments that have to do with it.
type pieces struct {
	seed    maphash.Seed
	lengths []int // in ascending order
	known   map[piece][]*fragment
}

func (f *fragments) newPieces(texts func(*fragment) [][]byte) *pieces {
	p := &pieces{seed: f.seed, known: map[piece][]*fragment{}}
	lengths := map[int]bool{}
	for _, fragment := range f.lines {
		for _, text := range texts(fragment) {
			key := piece{len(text), maphash.Bytes(f.seed, text)}
			if known := p.known[key]; len(known) == 0 || known[len(known)-1] != fragment {
				p.known[key] = append(known, fragment)
			}
			lengths[len(text)] = true
		}
	}
	for length := range lengths {
		p.lengths = append(p.lengths, length)
	}
	slices.Sort(p.lengths)
	return p
}

func (p *pieces) of(text string) []*fragment {
	return p.known[piece{len(text), maphash.String(p.seed, text)}]
}

// compare finds the rows of which a line is the beginning or the end, and
// those with which a line begins or ends.
func (f *fragments) compare() error {
	itself := f.newPieces(func(fragment *fragment) [][]byte { return [][]byte{fragment.text} })
	ends := f.newPieces(func(fragment *fragment) (texts [][]byte) {
		for i := 1; i < len(fragment.text) && i < maxGlued; i++ {
			texts = append(texts, fragment.text[i:])
		}
		return texts
	})
	starts := f.newPieces(func(fragment *fragment) (texts [][]byte) {
		for i := max(1, len(fragment.text)-maxGlued); i < len(fragment.text); i++ {
			texts = append(texts, fragment.text[:i])
		}
		return texts
	})
	return f.eachSent(func(m match) {
		for _, length := range itself.lengths {
			if length >= len(m.text) {
				break
			}
			for _, fragment := range itself.of(m.text[:length]) {
				f.offer(&fragment.whole, fragment, m)
			}
			for _, fragment := range itself.of(m.text[len(m.text)-length:]) {
				f.offer(&fragment.end, fragment, m)
			}
		}
		for _, fragment := range ends.of(m.text) {
			f.offer(&fragment.tail, fragment, m)
		}
		for _, fragment := range starts.of(m.text) {
			f.offer(&fragment.start, fragment, m)
		}
	})
}

// maxGlued bounds the length of a piece that is run into a row.
const maxGlued = 1024

// compareRests finds the rows of which the rest of a line is the beginning,
// once the row with which the line ends or begins is known.
func (f *fragments) compareRests() error {
	rests := f.newPieces(func(fragment *fragment) (texts [][]byte) {
		if fragment.tail.found {
			texts = append(texts, fragment.head())
		}
		if fragment.start.found {
			texts = append(texts, fragment.rest())
		}
		return texts
	})
	if len(rests.lengths) == 0 {
		return nil
	}
	return f.eachSent(func(m match) {
		for _, length := range rests.lengths {
			if length > len(m.text) {
				break
			}
			for _, fragment := range rests.of(m.text[:length]) {
				if fragment.tail.found && string(fragment.head()) == m.text[:length] {
					f.offer(&fragment.before, fragment, m.beside(fragment.tail))
				}
				if fragment.start.found && string(fragment.rest()) == m.text[:length] {
					f.offer(&fragment.after, fragment, m.beside(fragment.start))
				}
			}
		}
	})
}

// head is the text before the row with which the line ends.
func (f *fragment) head() []byte { return f.text[:len(f.text)-len(f.tail.text)] }

// rest is the text after the row with which the line begins.
func (f *fragment) rest() []byte { return f.text[len(f.start.text):] }

// eachSent gives every row that was sent, and the header.
func (f *fragments) eachSent(each func(match)) error {
	if header := f.oracle.facts.Output.Header; header != "" {
		each(match{found: true, header: true, sentAs: sentAs{id: noRow, text: header}})
	}
	return f.oracle.eachSentRow(func(as sentAs) { each(match{found: true, sentAs: as}) })
}

// expectedRank is the least rank of a row that the neighbours of a line lead
// one to expect in its place.
const expectedRank = 16

// offer keeps the best of the rows that have to do with a line: one that its
// neighbours lead one to expect, one that is missing, and most so when it must
// be there, one of its partition, and among those the longest.
func (f *fragments) offer(kept *match, fragment *fragment, m match) {
	absent := f.oracle.absenceOf(m.id)
	m.missing = absent != nil && !m.same
	switch {
	case m.header:
		// Only the first line of a file can be a piece of the header.
		if fragment.index != 0 {
			return
		}
		m.rank = 2 * expectedRank
	case m.same:
		m.rank = 2
	case m.missing && (m.near || slices.Contains(fragment.expected, m.id)):
		m.rank = expectedRank
	}
	if m.missing {
		m.rank += 4
		if absent.required {
			m.rank += 4
		}
	}
	if m.id.partition == f.oracle.files[fragment.file].partition {
		m.rank++
	}
	if !kept.found || m.rank > kept.rank || m.rank == kept.rank && len(m.text) > len(kept.text) {
		*kept = m
	}
}

// judge decides what a line is. A line that could be a good row, so that it
// may as well have been made up, counts as torn only if a row is missing that
// it would explain, or if it is the beginning of a row.
func (f *fragments) judge(fragment *fragment) {
	o := f.oracle
	malformed := o.place.malformed(fragment.text)
	last := int(fragment.index) == o.files[fragment.file].lines-1 && o.files[fragment.file].incomplete
	var parts []match
	why := ""
	switch {
	case fragment.whole.found && len(fragment.text) > 0:
		parts, why = []match{fragment.whole}, "the beginning of"
	case fragment.glued() && (malformed || fragment.before.missing || fragment.tail.missing || fragment.before.header):
		parts, why = []match{fragment.before, fragment.tail}, "two rows in one line:"
	case fragment.start.found && fragment.after.found && (malformed || fragment.start.missing || fragment.after.missing || fragment.start.header):
		parts, why = []match{fragment.start, fragment.after}, "two rows in one line:"
	case fragment.end.found && len(fragment.text) > 0 && (malformed || fragment.end.missing):
		parts, why = []match{fragment.end}, "the end of"
	case len(fragment.text) == 0:
		why = "an empty line"
		if fragment.whole.found && fragment.whole.missing && fragment.whole.rank >= expectedRank {
			parts, why = []match{fragment.whole}, "an empty line in place of"
		}
	case bytes.IndexByte(fragment.text, 0) >= 0:
		why = "a line with zero bytes"
	case last:
		why = "cut short"
	default:
		o.report.unexpected.note(fragment.namedLine)
		return
	}
	for _, part := range parts {
		if part.header {
			o.report.headerFound(fragment.file)
		} else if part.missing {
			f.claimed[part.id] = true
		}
	}
	if last {
		o.report.tornLast[fragment.file] = true
	}
	o.report.noteTorn(tornLine{fragment.namedLine, why, parts})
}

// glued says whether a line is the beginning of one row run into another.
func (f *fragment) glued() bool { return f.tail.found && f.before.found }

// sentAs is a row as the sender recorded it.
type sentAs struct {
	id    rowID
	chunk string
	text  string
}

// eachSentRow reads the sender's record again and gives every row that
// belongs to a partition.
func (o *oracle) eachSentRow(each func(sentAs)) error {
	next := make([]uint32, o.place.count)
	seen := 0
	return walkSent(o.seen.history, o.facts, func(line history.SentLine, rows []sentRow) error {
		if line.Malformed != nil || line.Confirmed != "" || line.Done || line.Chunk == "" {
			return nil
		}
		if seen >= len(o.sent.ids) || o.sent.ids[seen] != line.Chunk {
			return nil // sent again
		}
		for _, row := range rows {
			if row.partition != NoPartition {
				each(sentAs{rowID{row.partition, next[row.partition]}, o.sent.ids[seen], row.text})
				next[row.partition]++
			}
		}
		seen++
		return nil
	})
}
