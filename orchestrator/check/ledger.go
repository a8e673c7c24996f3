package check

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// ledger is what was sent, as the row oracle needs it: of each row a hash and
// no text, so that ten million rows take some hundred megabytes at most. The
// text of those few that a finding names is read again from the record.
//
// The rows of one chunk in one partition are a block. Blocks are numbered in
// the order of the record, a chunk's own by partition; rows are numbered
// within that order, so that a block's rows have consecutive numbers.
type ledger struct {
	ids       []string // chunk ids in the order of their first attempt
	byID      map[string]uint32
	flags     []chunkFlags
	malformed map[string]bool // messages broken on purpose that have an id
	messages  int             // messages broken on purpose
	done      bool            // the sender wrote its last line

	hasher hasher
	rows   list[uint64] // hash of each row, its partition mixed in
	starts list[uint32] // of each block, its first row
	chunks list[uint32] // of each block, its chunk

	sender string
	// numberless are rows that were sent without a whole number in the
	// partition column: they belong nowhere.
	numberless      []Row
	numberlessCount int
}

type chunkFlags uint8

const (
	flagConfirmed chunkFlags = 1 << iota
	flagAgain                // sent more than once
)

const none = ^uint32(0)

// maxRows is how many rows a ledger can number.
const maxRows = 1<<32 - 2

func (l *ledger) confirmed(chunk int) bool { return l.flags[chunk]&flagConfirmed != 0 }

func (l *ledger) confirmedCount() int {
	count := 0
	for chunk := range l.flags {
		if l.confirmed(chunk) {
			count++
		}
	}
	return count
}

func (l *ledger) has(id string) bool {
	_, ok := l.byID[id]
	return ok
}

func (l *ledger) blockCount() int { return l.starts.len() }

// block gives the numbers of a block's rows, from and up to but not including.
func (l *ledger) block(number int) (from, to int) {
	from, to = int(l.starts.at(number)), l.rows.len()
	if number+1 < l.starts.len() {
		to = int(l.starts.at(number + 1))
	}
	return from, to
}

// blockOf finds the block that holds a row.
func (l *ledger) blockOf(row int) int {
	low, high := 0, l.starts.len()
	for high-low > 1 {
		if middle := (low + high) / 2; int(l.starts.at(middle)) <= row {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// blockConfirmed says whether the broker confirmed the block's chunk.
func (l *ledger) blockConfirmed(number int) bool {
	return l.confirmed(int(l.chunks.at(number)))
}

// doubts says why the record may not be all that was sent. A sender that was
// hurt may have died without its last line; one that was not has failed.
func (l *ledger) doubts(seen *evidence) []string {
	if len(l.ids) == 0 {
		return []string{"nothing was sent: the record of " + l.sender + " holds no chunk"}
	}
	if l.confirmedCount() == 0 {
		return []string{fmt.Sprintf("%s recorded %s and no confirmation, so nothing had to be there", l.sender, amount(len(l.ids), "chunk"))}
	}
	if l.done {
		return nil
	}
	for _, fault := range seen.scenario.Faults {
		if fault.Service == l.sender {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s did not finish: its record ends after %s, without its last line", l.sender, amount(len(l.ids), "chunk"))}
}

// hasher turns rows into numbers. Its seed is drawn anew for each judgement:
// no data can be made to collide, and two rows of ten million do so by
// chance with a probability of less than one in a hundred thousand.
type hasher struct{ seed maphash.Seed }

// row is the number of a row that stands in a partition: the same text in
// another partition is another number.
func (h hasher) row(text string, partition int) uint64 {
	return inPartition(maphash.String(h.seed, text), partition)
}

// line is row for a line of a file.
func (h hasher) line(text []byte, partition int) uint64 {
	return inPartition(maphash.Bytes(h.seed, text), partition)
}

func inPartition(hash uint64, partition int) uint64 {
	return mix(hash + uint64(partition+2)*0x9e3779b97f4a7c15)
}

// mix spreads a number over all of its bits (the finaliser of splitmix64).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// sentFile finds the sender's record among the collected files.
func sentFile(h *history.History, facts *scenario.Rows) (history.File, error) {
	for _, file := range slices.Backward(h.Files) {
		if file.Service == facts.Sent.Service && file.Path == facts.Sent.File && file.Stage == history.AtEnd {
			return file, nil
		}
	}
	return history.File{}, fmt.Errorf("%s of %s, the record of what was sent, was not collected", facts.Sent.File, facts.Sent.Service)
}

// sentRow is one row of a chunk and the partition it belongs to.
type sentRow struct {
	text      string
	partition int
}

// walkSent gives every line of the sender's record with its rows split into
// blocks: sorted by partition, in their order within each. Rows that belong
// to no partition are given as NoPartition, first of all.
func walkSent(h *history.History, facts *scenario.Rows, each func(line history.SentLine, rows []sentRow) error) error {
	file, err := sentFile(h, facts)
	if err != nil {
		return err
	}
	place, err := newPlacer(facts)
	if err != nil {
		return err
	}
	content, err := h.Open(file)
	if err != nil {
		return err
	}
	defer content.Close()
	var rows []sentRow
	var bytes []byte
	return history.ReadSent(content, func(line history.SentLine) error {
		rows = rows[:0]
		for _, text := range line.Rows {
			if strings.Contains(text, "\n") {
				return fmt.Errorf("a row of chunk %s holds a line break; rows are compared a line each", line.Chunk)
			}
			bytes = append(bytes[:0], text...)
			rows = append(rows, sentRow{text, place.home(bytes)})
		}
		slices.SortStableFunc(rows, func(a, b sentRow) int { return a.partition - b.partition })
		return each(line, rows)
	})
}

// readLedger reads the sender's record.
func readLedger(h *history.History, facts *scenario.Rows) (*ledger, error) {
	l := &ledger{
		byID: map[string]uint32{}, malformed: map[string]bool{},
		hasher: hasher{maphash.MakeSeed()}, sender: facts.Sent.Service,
	}
	err := walkSent(h, facts, func(line history.SentLine, rows []sentRow) error {
		switch {
		case line.Malformed != nil:
			l.messages++
			if line.Chunk != "" {
				l.malformed[line.Chunk] = true
			}
		case line.Confirmed != "":
			if chunk, ok := l.byID[line.Confirmed]; ok {
				l.flags[chunk] |= flagConfirmed
			}
		case line.Done:
			l.done = true
		case line.Chunk != "":
			return l.attempt(line, rows)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// attempt notes a chunk that was about to be published. One that was
// attempted before adds nothing: sent twice, it still counts once.
func (l *ledger) attempt(line history.SentLine, rows []sentRow) error {
	if chunk, again := l.byID[line.Chunk]; again {
		l.flags[chunk] |= flagAgain
		if len(rows) > 0 && !l.sameRows(chunk, rows) {
			return fmt.Errorf("chunk %s was recorded twice, with different rows", line.Chunk)
		}
		return nil
	}
	if l.rows.len()+len(rows) > maxRows {
		return fmt.Errorf("more than %d rows were sent", uint64(maxRows))
	}
	chunk := uint32(len(l.ids))
	l.byID[line.Chunk] = chunk
	l.ids = append(l.ids, line.Chunk)
	l.flags = append(l.flags, 0)
	for i, row := range rows {
		if row.partition == NoPartition {
			if l.numberlessCount++; len(l.numberless) < maxNamed {
				l.numberless = append(l.numberless, Row{Chunk: line.Chunk, Partition: NoPartition, Text: row.text, Expected: NoPartition})
			}
			continue
		}
		if i == 0 || rows[i-1].partition != row.partition {
			l.starts.add(uint32(l.rows.len()))
			l.chunks.add(chunk)
		}
		l.rows.add(l.hasher.row(row.text, row.partition))
	}
	return nil
}

func (l *ledger) sameRows(chunk uint32, rows []sentRow) bool {
	block, high := 0, l.chunks.len()
	for block < high {
		if middle := (block + high) / 2; l.chunks.at(middle) < chunk {
			block = middle + 1
		} else {
			high = middle
		}
	}
	var recorded []uint64
	for ; block < l.chunks.len() && l.chunks.at(block) == chunk; block++ {
		from, to := l.block(block)
		for row := from; row < to; row++ {
			recorded = append(recorded, l.rows.at(row))
		}
	}
	for _, row := range rows {
		if row.partition == NoPartition {
			continue
		}
		if len(recorded) == 0 || recorded[0] != l.hasher.row(row.text, row.partition) {
			return false
		}
		recorded = recorded[1:]
	}
	return len(recorded) == 0
}
