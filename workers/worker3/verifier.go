package worker3

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/killpoint/killpoint/workers/chunk"
)

// rememberedRows bounds how many rows that were found are remembered, the
// latest ones: to find another place for them when a chunk that is forwarded
// later needs theirs, and to notice that they have vanished.
const rememberedRows = 1 << 17

// Verifier finds the rows of chunks in the partition files.
//
// A chunk's rows of one partition must stand together and in order, and every
// line counts for one chunk only, so that a chunk whose rows are lost is not
// taken for there because another has equal rows. Chunks may be forwarded in
// another order than they stand in the files.
//
// It also notices rows that vanished: a file that was cut has grown to where it
// was, and a block that was found is not there any more. Rows that stand there
// twice it cannot tell from those of a chunk that is still to come.
type Verifier struct {
	dir        string
	partitions int
	patience   time.Duration // how long a file may stay shorter than it was
	log        func(string, ...any)

	files      map[string][]*follower // by client, then partition; nil where none was looked at
	inOrder    []*follower            // the same, so that reads come in one order
	looks      uint64                 // how many there were
	buffer     []byte                 // for all files, which are read one after the other
	found      set                    // ids of all chunks that were found
	remembered [][]*block             // of the latest of them, oldest first
	rows       int                    // that are remembered
	vanished   []vanishedBlock

	where  []int // the partition of each row of the chunk that is split
	counts []int // of its rows, by partition
}

// vanishedBlock was there before its file was cut.
type vanishedBlock struct {
	block *block
	size  int64 // of the file before, as far as it was read
	since time.Time
}

// Verdict is what is known of a chunk. Problem is empty when it is all there.
type Verdict struct{ ID, Problem string }

// NewVerifier reads nothing yet: a file is read when the first chunk comes that
// has rows in it.
func NewVerifier(dir string, partitions int, patience time.Duration, log func(string, ...any)) *Verifier {
	return &Verifier{
		dir: dir, partitions: partitions, patience: patience, log: log,
		files: map[string][]*follower{}, buffer: make([]byte, readBytes), counts: make([]int, partitions),
	}
}

func (v *Verifier) path(client string, partition int) string {
	return filepath.Join(v.dir, fmt.Sprintf("%s-users-partition-%03d.csv", client, partition))
}

// file gives a client's file of a partition.
func (v *Verifier) file(client string, partition int) *follower {
	files := v.files[client]
	if files == nil {
		files = make([]*follower, v.partitions)
		v.files[client] = files
	}
	if files[partition] == nil {
		files[partition] = newFollower(v.path(client, partition), &v.buffer)
		v.inOrder = append(v.inOrder, files[partition])
	}
	return files[partition]
}

// split sorts a chunk's rows into the blocks that the files should hold, by
// partition.
func (v *Verifier) split(c chunk.Chunk) []*block {
	clear(v.counts)
	v.where = v.where[:0]
	for _, row := range c.Rows {
		p := chunk.Partition(row.UserID, v.partitions)
		v.where = append(v.where, p)
		v.counts[p]++
	}
	rows := make([]fingerprint, len(c.Rows)) // of all blocks, one after the other
	blocks := make([]*block, v.partitions)
	for i, row := range c.Rows {
		p := v.where[i]
		b := blocks[p]
		if b == nil {
			b = &block{id: c.ID, partition: p, file: v.file(c.Client, p), lines: rows[:0:v.counts[p]]}
			blocks[p], rows = b, rows[v.counts[p]:]
		}
		b.lines = append(b.lines, fingerprintOf(row.Line))
	}
	return slices.DeleteFunc(blocks, func(b *block) bool { return b == nil })
}

// Look reads what is new, once for all of the chunks, and says of each whether
// all of its rows are there. If so, they are the chunk's from then on. A chunk
// that was found before is no news.
func (v *Verifier) Look(chunks ...chunk.Chunk) (there []bool, err error) {
	there = make([]bool, len(chunks))
	all := make([][]*block, len(chunks))
	v.looks++
	for i, c := range chunks {
		if v.found.has(fingerprintOf([]byte(c.ID))) {
			continue
		}
		all[i] = v.split(c)
		for _, b := range all[i] {
			if b.file.looked == v.looks {
				continue
			}
			if err := v.follow(b.file); err != nil {
				return there, err
			}
			b.file.looked = v.looks
		}
	}
	for i, c := range chunks {
		there[i] = v.found.has(fingerprintOf([]byte(c.ID))) || len(v.settle(all[i])) == 0
	}
	return there, nil
}

// settle gives a chunk's blocks their places. It returns those for which there
// is none; then the others get none either.
func (v *Verifier) settle(blocks []*block) (missing []*block) {
	var plans [][]move // each in a file of its own
	for _, b := range blocks {
		if plan, there := b.file.lines.plan(b); there {
			plans = append(plans, plan)
		} else {
			missing = append(missing, b)
		}
	}
	if len(missing) > 0 {
		return missing
	}
	for i, b := range blocks {
		b.file.lines.move(plans[i])
	}
	v.remember(blocks)
	return nil
}

func (v *Verifier) remember(blocks []*block) {
	v.found.add(fingerprintOf([]byte(blocks[0].id)))
	v.remembered = append(v.remembered, blocks)
	for _, b := range blocks {
		v.rows += len(b.lines)
	}
	if v.rows <= rememberedRows {
		return
	}
	// Half of them at once, so that it costs little for each.
	oldest := 0
	for ; v.rows > rememberedRows/2 && oldest < len(v.remembered)-1; oldest++ {
		for _, b := range v.remembered[oldest] {
			b.forgotten = true
			v.rows -= len(b.lines)
		}
	}
	v.remembered = slices.Delete(v.remembered, 0, oldest)
	for _, f := range v.inOrder {
		f.lines.forget()
	}
}

// follow reads a file on. When it had to be read again from its beginning, the
// blocks that are remembered take their lines again.
func (v *Verifier) follow(f *follower) error {
	again, before, err := f.follow()
	if again {
		v.log("%s was cut or replaced, %d bytes of it had been read: reading it again", filepath.Base(f.path), before)
		v.retake(f, before)
	}
	v.comeBack(f)
	return err
}

// retake gives the remembered blocks their lines of a file that was read again,
// and keeps in mind which have none there any more, and since when. What stands
// where it stood goes first: nothing has happened to it.
func (v *Verifier) retake(f *follower, before int64) {
	moved := slices.DeleteFunc(f.lost, func(b *block) bool {
		still := f.lines.holds(b.at, b.lines)
		if still {
			f.lines.place(b, b.at)
		}
		return still
	})
	f.lost = nil
	for _, b := range moved {
		if plan, there := f.lines.plan(b); there {
			f.lines.move(plan)
		} else {
			v.vanished = append(v.vanished, vanishedBlock{b, before, time.Now()})
		}
	}
}

// comeBack gives vanished blocks their lines of a file in which they stand
// again, before another chunk takes those.
func (v *Verifier) comeBack(f *follower) {
	v.vanished = slices.DeleteFunc(v.vanished, func(b vanishedBlock) bool {
		if b.block.file != f {
			return false
		}
		plan, there := f.lines.plan(b.block)
		if there {
			f.lines.move(plan)
		}
		return there
	})
}

// GiveUp says why the chunk is not there. To be sure, it reads the files in
// which something is missing once more from their beginning.
func (v *Verifier) GiveUp(c chunk.Chunk) (Verdict, error) {
	blocks := v.split(c)
	missing := v.settle(blocks)
	if len(missing) == 0 {
		return Verdict{ID: c.ID}, nil
	}
	for _, b := range missing {
		before := b.file.offset
		if err := b.file.reread(); err != nil {
			return Verdict{}, err
		}
		v.retake(b.file, before)
		v.comeBack(b.file)
	}
	var problems []string
	for _, b := range v.settle(blocks) {
		problems = append(problems, v.explain(c, b))
	}
	return Verdict{c.ID, strings.Join(problems, "; ")}, nil
}

// explain says what of a block is where.
func (v *Verifier) explain(c chunk.Chunk, b *block) string {
	var missing []string
	taken := map[fingerprint]int{}
	for _, row := range c.Rows {
		if chunk.Partition(row.UserID, v.partitions) != b.partition {
			continue
		}
		line := fingerprintOf(row.Line)
		if taken[line]++; taken[line] > b.file.lines.count(line) {
			missing = append(missing, fmt.Sprintf("%q", row.Line))
		}
	}
	name := filepath.Base(b.file.path)
	if len(missing) == 0 {
		return fmt.Sprintf("partition %d: its %d rows are in %s, but not together and in order", b.partition, len(b.lines), name)
	}
	text := fmt.Sprintf("partition %d: %d of %d rows are missing in %s: %s", b.partition, len(missing), len(b.lines), name, strings.Join(missing[:min(len(missing), 5)], " "))
	for other := range v.partitions {
		f := v.file(c.Client, other)
		if other == b.partition || v.follow(f) != nil {
			continue
		}
		if _, there := f.lines.find(b.lines); there {
			return text + fmt.Sprintf(" (they are in partition %d)", other)
		}
	}
	return text
}

// Afterthoughts gives the chunks of which more is known than when they were
// found: their rows have vanished.
func (v *Verifier) Afterthoughts() ([]Verdict, error) {
	for _, f := range v.inOrder {
		if err := v.follow(f); err != nil {
			return nil, err
		}
	}
	return v.Gone(), nil
}

// Gone gives those afterthoughts that what was read already leads to.
func (v *Verifier) Gone() []Verdict {
	var verdicts []Verdict
	v.vanished = slices.DeleteFunc(v.vanished, func(b vanishedBlock) bool {
		f := b.block.file
		gone := f.offset >= b.size && time.Since(b.since) >= v.patience
		if gone {
			verdicts = append(verdicts, Verdict{b.block.id, fmt.Sprintf("partition %d: its %d rows were in %s, and are not there any more", b.block.partition, len(b.block.lines), filepath.Base(f.path))})
		}
		return gone
	})
	return verdicts
}
