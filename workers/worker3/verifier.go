package worker3

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/killpoint/killpoint/workers/chunk"
)

// rememberedChunks bounds how many chunks that were found are remembered with
// their lines, to notice that they were written again or have vanished.
const rememberedChunks = 4096

// Verifier finds the rows of chunks in the partition files.
//
// A chunk's rows of one partition must stand together and in order, and every
// line counts for one chunk only, so that a chunk whose rows are lost is not
// taken for there because another has equal rows.
//
// It also notices two things that come to light later. Rows that stand there
// twice: lines without an owner, before those of a chunk that was forwarded
// later, which are the block of a chunk that has its rows already. And rows
// that vanished: a file that was cut has grown to where it was, and a block
// that was found is not there any more.
type Verifier struct {
	dir        string
	partitions int
	patience   time.Duration // how long a file may stay shorter than it was
	log        func(string, ...any)

	files      map[string]*follower
	found      map[fingerprint]bool // ids of all chunks that were found
	remembered []*foundChunk        // the latest of them, oldest first
	vanished   []vanishedBlock
}

// foundChunk is a chunk and where its blocks are.
type foundChunk struct {
	id     string
	blocks []block
}

// block is a chunk's lines of one partition.
type block struct {
	partition int
	file      *follower
	lines     []fingerprint
	rows      []chunk.Row
}

// vanishedBlock was there before its file was cut.
type vanishedBlock struct {
	id    string
	block block
	size  int64 // of the file before, as far as it was read
	since time.Time
}

// Verdict is what is known of a chunk. Problem is empty when it is all there.
type Verdict struct{ ID, Problem string }

// NewVerifier takes note of the files that are there already.
func NewVerifier(dir string, partitions int, patience time.Duration, log func(string, ...any)) (*Verifier, error) {
	v := &Verifier{
		dir: dir, partitions: partitions, patience: patience, log: log,
		files: map[string]*follower{}, found: map[fingerprint]bool{},
	}
	names, err := filepath.Glob(filepath.Join(dir, "*-partition-*.csv"))
	if err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	for _, name := range names {
		f := v.follower(name)
		if _, _, err := f.follow(); err != nil {
			return nil, err
		}
		f.lines.fresh = f.lines.end()
	}
	return v, nil
}

func (v *Verifier) path(client string, partition int) string {
	return filepath.Join(v.dir, fmt.Sprintf("%s-users-partition-%03d.csv", client, partition))
}

func (v *Verifier) follower(name string) *follower {
	f := v.files[name]
	if f == nil {
		f = newFollower(name)
		v.files[name] = f
	}
	return f
}

// split sorts a chunk's rows into the blocks that the files should hold.
func (v *Verifier) split(c chunk.Chunk) []block {
	byPartition := make([]*block, v.partitions)
	var blocks []*block
	for _, row := range c.Rows {
		p := chunk.Partition(row.UserID, v.partitions)
		if byPartition[p] == nil {
			byPartition[p] = &block{partition: p, file: v.follower(v.path(c.Client, p))}
			blocks = append(blocks, byPartition[p])
		}
		b := byPartition[p]
		b.lines = append(b.lines, fingerprintOf(row.Line))
		b.rows = append(b.rows, row)
	}
	sorted := make([]block, len(blocks))
	for i, b := range blocks {
		sorted[i] = *b
	}
	slices.SortFunc(sorted, func(a, b block) int { return a.partition - b.partition })
	return sorted
}

// Look reads what is new and says whether all rows of the chunk are there. If
// so, they are the chunk's from then on. A chunk that was found before is no
// news.
func (v *Verifier) Look(c chunk.Chunk) (bool, error) {
	if v.found[fingerprintOf([]byte(c.ID))] {
		return true, nil
	}
	blocks := v.split(c)
	for _, b := range blocks {
		if err := v.follow(b.file); err != nil {
			return false, err
		}
	}
	return v.settle(c.ID, blocks), nil
}

func (v *Verifier) settle(id string, blocks []block) bool {
	places := make([]int64, len(blocks))
	for i, b := range blocks {
		at, there := b.file.lines.find(b.lines)
		if !there {
			return false
		}
		places[i] = at
	}
	for i, b := range blocks {
		b.file.lines.own(places[i], len(b.lines))
		b.file.lines.reached = max(b.file.lines.reached, places[i])
	}
	v.remember(&foundChunk{id, blocks})
	return true
}

func (v *Verifier) remember(c *foundChunk) {
	v.found[fingerprintOf([]byte(c.id))] = true
	if len(v.remembered) == rememberedChunks {
		v.remembered = slices.Delete(v.remembered, 0, rememberedChunks/4)
	}
	for i := range c.blocks {
		c.blocks[i].rows = nil // the lines will do, and the message's memory is given back
	}
	v.remembered = append(v.remembered, c)
}

// follow reads a file on. When it had to be read again from its beginning, the
// chunks that are remembered take their lines again.
func (v *Verifier) follow(f *follower) error {
	again, before, err := f.follow()
	if again {
		v.log("%s was cut or replaced, %d bytes of it had been read: reading it again", filepath.Base(f.path), before)
		v.own(f, before)
	}
	return err
}

// own gives the remembered chunks their lines of a file that was read again,
// and keeps in mind which have none there any more, and since when.
func (v *Verifier) own(f *follower, before int64) {
	missed := map[string]vanishedBlock{}
	v.vanished = slices.DeleteFunc(v.vanished, func(b vanishedBlock) bool {
		if b.block.file == f {
			missed[b.id] = b
		}
		return b.block.file == f
	})
	for _, c := range v.remembered {
		for _, b := range c.blocks {
			if b.file != f {
				continue
			}
			if at, there := f.lines.find(b.lines); there {
				f.lines.own(at, len(b.lines))
				continue
			}
			vanished, known := missed[c.id]
			if !known {
				vanished = vanishedBlock{c.id, b, before, time.Now()}
			}
			v.vanished = append(v.vanished, vanished)
		}
	}
}

// GiveUp says why the chunk is not there. To be sure, it reads the files in
// which something is missing once more from their beginning.
func (v *Verifier) GiveUp(c chunk.Chunk) (Verdict, error) {
	blocks := v.split(c)
	for _, b := range blocks {
		if _, there := b.file.lines.find(b.lines); there {
			continue
		}
		before := b.file.offset
		if err := b.file.reread(); err != nil {
			return Verdict{}, err
		}
		v.own(b.file, before)
	}
	if v.settle(c.ID, blocks) {
		return Verdict{ID: c.ID}, nil
	}
	var problems []string
	for _, b := range blocks {
		if _, there := b.file.lines.find(b.lines); !there {
			problems = append(problems, v.explain(c, b))
		}
	}
	return Verdict{c.ID, strings.Join(problems, "; ")}, nil
}

// explain says what of a block is where.
func (v *Verifier) explain(c chunk.Chunk, b block) string {
	var missing []string
	taken := map[fingerprint]int{}
	for i, line := range b.lines {
		if taken[line]++; taken[line] > b.file.lines.count(line) {
			missing = append(missing, fmt.Sprintf("%q", b.rows[i].Line))
		}
	}
	name := filepath.Base(b.file.path)
	if len(missing) == 0 {
		return fmt.Sprintf("partition %d: its %d rows are in %s, but not together and in order", b.partition, len(b.lines), name)
	}
	text := fmt.Sprintf("partition %d: %d of %d rows are missing in %s: %s", b.partition, len(missing), len(b.lines), name, strings.Join(missing[:min(len(missing), 5)], " "))
	for other := range v.partitions {
		f := v.follower(v.path(c.Client, other))
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
// found: their rows stand there twice, or have vanished.
func (v *Verifier) Afterthoughts() ([]Verdict, error) {
	for _, f := range v.files {
		if err := v.follow(f); err != nil {
			return nil, err
		}
	}
	return append(v.gone(), v.doubled()...), nil
}

func (v *Verifier) gone() []Verdict {
	var verdicts []Verdict
	v.vanished = slices.DeleteFunc(v.vanished, func(b vanishedBlock) bool {
		if at, there := b.block.file.lines.find(b.block.lines); there {
			b.block.file.lines.own(at, len(b.block.lines))
			return true
		}
		if b.block.file.offset < b.size || time.Since(b.since) < v.patience {
			return false
		}
		verdicts = append(verdicts, Verdict{b.id, fmt.Sprintf("partition %d: its %d rows were in %s, and are not there any more", b.block.partition, len(b.block.lines), filepath.Base(b.block.file.path))})
		return true
	})
	return verdicts
}

// doubled looks at the lines that were passed over and owns those that it has
// reported, so that each is reported once.
func (v *Verifier) doubled() []Verdict {
	var verdicts []Verdict
	for _, f := range v.files {
		numbers := f.lines.leftovers(f.lines.reached)
		if len(numbers) == 0 {
			continue
		}
		beginnings := v.beginnings(f)
		for _, number := range numbers {
			for _, known := range beginnings[f.lines.at(number)] {
				if f.lines.holds(number, known.block.lines) {
					f.lines.own(number, len(known.block.lines))
					verdicts = append(verdicts, Verdict{known.id, fmt.Sprintf("partition %d: its %d rows stand in %s again, at line %d", known.block.partition, len(known.block.lines), filepath.Base(f.path), number+1)})
					break
				}
			}
		}
	}
	return verdicts
}

// knownBlock is a remembered chunk's block.
type knownBlock struct {
	id    string
	block block
}

// beginnings gives the remembered blocks of a file by their first line.
func (v *Verifier) beginnings(f *follower) map[fingerprint][]knownBlock {
	blocks := map[fingerprint][]knownBlock{}
	for _, c := range v.remembered {
		for _, b := range c.blocks {
			if b.file == f {
				blocks[b.lines[0]] = append(blocks[b.lines[0]], knownBlock{c.id, b})
			}
		}
	}
	return blocks
}
