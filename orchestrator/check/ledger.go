package check

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// ledger is what was sent. Of each row it keeps a hash and no text, by
// partition, and only one partition's rows are in memory at a time (see
// sheet), so that memory does not grow much with the number of rows. The text
// of those few that a finding names is read again from the record.
type ledger struct {
	ids       []string // chunk ids in the order of their first attempt
	byID      map[string]uint32
	flags     []chunkFlags
	sizes     []uint32        // of each chunk, how many rows it has
	sums      []uint64        // of each chunk, a hash of its rows
	malformed map[string]bool // ids of messages broken on purpose
	done      bool            // the sender wrote its last line

	hasher hasher
	spool  spool
	parts  []part   // by partition
	hashes []uint64 // of the rows of the chunk being read

	sender string
	// numberless are rows that were sent without a whole number in the
	// partition column: they belong nowhere.
	numberless      []Row
	numberlessCount int
}

// part is where the blocks of one partition are kept: of each a word with its
// chunk and its length, then the hashes of its rows.
type part struct {
	stream
	rows, blocks int
}

type chunkFlags uint8

const (
	flagConfirmed chunkFlags = 1 << iota
	flagAgain                // sent more than once
)

const none = ^uint32(0)

// maxRows is how many rows a partition can number.
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
	if event, done := seen.last(history.AllDone); done && event.Unit > 0 {
		return nil // it is held before its next message
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

func (h hasher) row(text string) uint64 { return maphash.String(h.seed, text) }

// line is row for a line of a file.
func (h hasher) line(text []byte) uint64 { return maphash.Bytes(h.seed, text) }

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

// readLedger reads the sender's record. The ledger must be closed.
func readLedger(h *history.History, facts *scenario.Rows, held int) (*ledger, error) {
	place, err := newPlacer(facts)
	if err != nil {
		return nil, err
	}
	l := &ledger{
		byID: map[string]uint32{}, malformed: map[string]bool{}, parts: make([]part, place.count),
		hasher: hasher{maphash.MakeSeed()}, spool: spool{limit: held}, sender: facts.Sent.Service,
	}
	err = walkSent(h, facts, func(line history.SentLine, rows []sentRow) error {
		switch {
		case line.Malformed != nil:
			if *line.Malformed != "" {
				l.malformed[*line.Malformed] = true
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
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *ledger) close() { l.spool.close() }

// attempt notes a chunk that was about to be published. One that was
// attempted before adds nothing: sent twice, it still counts once.
func (l *ledger) attempt(line history.SentLine, rows []sentRow) error {
	sum, size := uint64(0), 0
	l.hashes = zeroed(l.hashes, len(rows))
	hashes := l.hashes
	for i, row := range rows {
		if row.partition != NoPartition {
			hashes[i] = l.hasher.row(row.text)
			sum = sum*sumBase + hashes[i]
			size++
		}
	}
	if chunk, again := l.byID[line.Chunk]; again {
		l.flags[chunk] |= flagAgain
		if len(rows) > 0 && l.sums[chunk] != sum {
			return fmt.Errorf("chunk %s was recorded twice, with different rows", line.Chunk)
		}
		return nil
	}
	chunk := uint32(len(l.ids))
	l.byID[line.Chunk] = chunk
	l.ids = append(l.ids, line.Chunk)
	l.flags = append(l.flags, 0)
	l.sizes = append(l.sizes, uint32(size))
	l.sums = append(l.sums, sum)
	for from := 0; from < len(rows); {
		to := from + 1
		for to < len(rows) && rows[to].partition == rows[from].partition {
			to++
		}
		if rows[from].partition == NoPartition {
			l.noteNumberless(line.Chunk, rows[from:to])
		} else if err := l.addBlock(chunk, rows[from].partition, hashes[from:to]); err != nil {
			return err
		}
		from = to
	}
	return nil
}

func (l *ledger) noteNumberless(chunk string, rows []sentRow) {
	l.numberlessCount += len(rows)
	for _, row := range rows[:min(len(rows), maxNamed-len(l.numberless))] {
		l.numberless = append(l.numberless, Row{Chunk: chunk, Partition: NoPartition, Text: row.text, Expected: NoPartition})
	}
}

func (l *ledger) addBlock(chunk uint32, partition int, hashes []uint64) error {
	part := &l.parts[partition]
	if part.rows+len(hashes) > maxRows {
		return fmt.Errorf("more than %d rows were sent to partition %d", uint64(maxRows), partition)
	}
	part.rows += len(hashes)
	part.blocks++
	if err := l.spool.add(&part.stream, uint64(chunk)<<32|uint64(len(hashes))); err != nil {
		return err
	}
	for _, hash := range hashes {
		if err := l.spool.add(&part.stream, hash); err != nil {
			return err
		}
	}
	return nil
}
