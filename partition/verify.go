package partition

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"iter"
	"slices"
	"strings"
)

// Report is what Verify found.
type Report struct {
	Files    int   // partition files
	Rows     int64 // over all of them, without headers
	Bytes    int64 // over all of them
	Chunks   int   // ids that were written
	Findings []Finding
}

// Finding is one thing that is not as it should be.
type Finding struct {
	File   string
	Offset int64 // bytes from the start of File; 0 where none applies
	What   string
}

func (f Finding) String() string { return fmt.Sprintf("%s at offset %d: %s", f.File, f.Offset, f.What) }

// Err is nil when nothing was found, and else names all of it.
func (r Report) Err() error {
	if len(r.Findings) == 0 {
		return nil
	}
	lines := make([]string, 0, len(r.Findings))
	for _, f := range r.Findings {
		lines = append(lines, f.String())
	}
	return fmt.Errorf("verify partitions: %d findings:\n%s", len(r.Findings), strings.Join(lines, "\n"))
}

// verifyAttempts bounds how often Verify reads again because a writer was at
// work meanwhile.
const verifyAttempts = 5

// ErrBusy: a writer kept changing the directory while Verify read it.
var ErrBusy = errors.New("the directory is being written; verify it while its writer is idle")

// Verify reads the journal, the partition files and the two state files and
// compares them with each other. It changes nothing and takes no lock, so it
// can look at a directory whose writer is idle; while a writer is at work it
// tries a few times and then returns ErrBusy. Partitions, Header and
// Durability are taken from the directory. The error says that it could not
// look; what it saw is in the report.
func Verify(o Options) (Report, error) {
	if o.Partitions == 0 {
		o.Partitions = 1
	}
	o, err := o.complete()
	if err != nil {
		return Report{}, err
	}
	for attempt := 1; ; attempt++ {
		report, busy, err := look(o)
		switch {
		case attempt == verifyAttempts && busy:
			err = ErrBusy
		case busy, attempt < verifyAttempts && errors.Is(err, ErrCorrupt):
			// A journal that is being written can look damaged.
			continue
		}
		if err != nil {
			return Report{}, fmt.Errorf("verify partitions: %w", err)
		}
		return report, nil
	}
}

// look reads everything once. busy: the journal changed meanwhile, so the
// report means nothing.
func look(o Options) (report Report, busy bool, err error) {
	before, err := loadJournal(o.FS, o.StateDir)
	if err != nil {
		return Report{}, false, err
	}
	if !before.found {
		return Report{}, false, fmt.Errorf("no journal in %s; open the directory once with a writer", o.StateDir)
	}
	v := newVerifier(o, before)
	if err := v.run(before); err != nil {
		return Report{}, false, err
	}
	after, err := loadJournal(o.FS, o.StateDir)
	if err != nil {
		return Report{}, false, err
	}
	last := before.slot.last
	busy = after.slot.last.sequence != last.sequence || after.slot.generation != last.generation
	return v.report, busy, nil
}

// verifier holds what should be there, from the journal, and what was found.
type verifier struct {
	m       *Manager // never opened; it knows the extents and reads the journal
	journal []string // ids that the id log does not have yet
	report  Report
}

func newVerifier(o Options, contents journalContents) *verifier {
	c := contents.slot.checkpoint
	o.Partitions, o.Header, o.Durability = c.partitions, c.header, c.durability
	return &verifier{m: newManager(o)}
}

func (v *verifier) found(file string, offset int64, format string, args ...any) {
	v.report.Findings = append(v.report.Findings, Finding{File: file, Offset: offset, What: fmt.Sprintf(format, args...)})
}

func (v *verifier) run(contents journalContents) error {
	m := v.m
	if err := m.restore(contents.base()); err != nil {
		return err
	}
	r, err := m.readGroups(contents)
	if err != nil {
		return err
	}
	if err := m.checkUnrecorded(); errors.Is(err, ErrUnrecorded) {
		v.found(m.options.Dir, 0, "%v", err)
	} else if err != nil {
		return err
	}
	if err := v.checkIDs(); errors.Is(err, ErrCorrupt) || errors.Is(err, ErrShortFile) {
		v.found(m.ids.path, 0, "%v", err)
	} else if err != nil {
		return err
	}
	v.journal = r.ids
	v.report.Chunks = int(m.savedCount) + len(r.ids)
	for _, s := range m.listedStreams() {
		if err := v.checkFile(s); err != nil {
			return err
		}
	}
	return v.checkState()
}

// checkIDs reads the id log and looks each of its ids up in the index.
func (v *verifier) checkIDs() error {
	m := v.m
	log, err := m.openLog()
	if err != nil || log == nil {
		return err
	}
	defer log.Close()
	x, err := openIndex(m.fs, m.options.StateDir, m.ids.path, m.ids.extent)
	if err != nil {
		return err
	}
	defer x.close()
	var failure error
	count := uint64(0)
	check := func(id []byte, place int64) {
		count++
		if place >= x.end().size || failure != nil {
			return
		}
		if found, err := x.has(string(id)); errors.Is(err, ErrCorrupt) {
			v.found(m.options.StateDir, 0, "%v", err)
		} else if err != nil {
			failure = err
		} else if !found {
			v.found(m.ids.path, place, "chunk %q is not in the index", id)
		}
	}
	if err := newLogReader(log, m.ids.path, extent{}).each(m.ids.extent, check); err != nil {
		return err
	}
	if count != m.savedCount {
		v.found(m.ids.path, 0, "it holds %d chunk ids, recorded are %d", count, m.savedCount)
	}
	return failure
}

// eachID gives every id that was written, in the order of their commits, until
// yield returns false. What the log no longer has is left out; checkIDs tells.
func (v *verifier) eachID(yield func(id string) bool) {
	if log, err := v.m.openLog(); err == nil && log != nil {
		defer log.Close()
		for reader := newLogReader(log, v.m.ids.path, extent{}); reader.at.size < v.m.ids.size; {
			id, err := reader.next(v.m.ids.size)
			if err != nil {
				break
			}
			if !yield(string(id)) {
				return
			}
		}
	}
	for _, id := range v.journal {
		if !yield(id) {
			return
		}
	}
}

// checkFile reads one partition file once.
func (v *verifier) checkFile(s *stream) error {
	header := v.m.options.Header + "\n"
	check := func(line []byte, offset int64) {
		if v.m.options.Header != "" && (string(line) == header) != (offset == 0) {
			if offset == 0 {
				v.found(s.path, offset, "the first line is not the header: %.128q", line)
			} else if offset >= s.adopted {
				v.found(s.path, offset, "the header stands there again")
			}
		}
		if v.m.options.Header == "" || offset > 0 {
			v.report.Rows++
		}
	}
	size, err := v.checkExtent(s, check)
	if size > 0 {
		v.report.Files++
		v.report.Bytes += size
	}
	return err
}

// checkExtent reads a file line by line and compares its length and checksum
// with what was recorded.
func (v *verifier) checkExtent(s *stream, check func(line []byte, offset int64)) (size int64, err error) {
	file, err := v.m.fs.OpenRead(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		if s.size > 0 {
			v.found(s.path, 0, "the file is missing, %d bytes were committed", s.size)
		}
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", s.path, err)
	}
	defer file.Close()
	if size, err = file.Size(); err != nil {
		return 0, fmt.Errorf("read %s: %w", s.path, err)
	}
	if size != s.size {
		v.found(s.path, min(size, s.size), "the file has %d bytes, committed are %d", size, s.size)
	}
	var checksum uint32
	var rest []byte
	buffer := make([]byte, min(size, 1<<20))
	for at := int64(0); at < size; {
		n := min(size-at, int64(len(buffer)))
		if err := readFull(file, buffer[:n], at); err != nil {
			return size, fmt.Errorf("read %s: %w", s.path, err)
		}
		inside := max(min(s.size-at, n), 0)
		checksum = crc32.Update(checksum, castagnoli, buffer[:inside])
		rest = append(rest, buffer[:n]...)
		at += n
		start := at - int64(len(rest))
		for {
			end := bytes.IndexByte(rest, '\n') + 1
			if end == 0 {
				break
			}
			check(rest[:end], start)
			rest, start = rest[end:], start+int64(end)
		}
		rest = slices.Clone(rest)
	}
	if len(rest) > 0 {
		v.found(s.path, size-int64(len(rest)), "the last line is torn: %.128q", rest)
	}
	if size >= s.size && checksum != s.checksum {
		v.found(s.path, 0, "the first %d bytes do not match their checksum", s.size)
	}
	return size, nil
}

// checkState compares the two state files for people with the ids. They have the
// same order, so that this takes no memory; only where they are not in step are
// all ids gathered, to say what is wrong.
func (v *verifier) checkState() error {
	before := len(v.report.Findings)
	inStep, err := v.inStep()
	if inStep || err != nil {
		return err
	}
	v.report.Findings = v.report.Findings[:before]
	return v.explainState()
}

// inStep says whether the state files name what was written, in order. Adopted
// lines may be other ones as well; then it says no.
func (v *verifier) inStep() (bool, error) {
	next, stop := iter.Pull(v.eachID)
	defer stop()
	same := true
	_, err := v.checkExtent(v.m.processed, func(line []byte, _ int64) {
		id, more := next()
		same = same && more && string(line) == id+"\n"
	})
	if _, more := next(); err != nil || !same || more {
		return false, err
	}
	next, stop = iter.Pull(v.eachID)
	defer stop()
	id, last := "", -1
	_, err = v.checkExtent(v.m.written, func(line []byte, offset int64) {
		if offset < v.m.written.adopted || !same {
			return
		}
		partition, of, ok := parseWrittenLine(strings.TrimSuffix(string(line), "\n"))
		if of == id && partition <= last {
			ok = false
		}
		for more := true; ok && id != of; {
			id, more = next()
			ok = more
		}
		same, last = ok && partition < v.m.options.Partitions, partition
	})
	return same, err
}

// explainState says what is wrong with the state files.
func (v *verifier) explainState() error {
	m := v.m
	ids := newMemoryIDs()
	for id := range v.eachID {
		ids.add(id)
	}
	processed, listed := newMemoryIDs(), 0
	_, err := v.checkExtent(m.processed, func(line []byte, offset int64) {
		id := strings.TrimRight(string(line), "\r\n")
		adopted := offset < m.processed.adopted
		switch {
		case adopted && badID(id) != "":
		case processed.has(id):
			if !adopted {
				v.found(m.processed.path, offset, "chunk %q stands there twice", id)
			}
		case !ids.has(id):
			v.found(m.processed.path, offset, "chunk %q was not written", id)
		default:
			listed++
		}
		processed.add(id)
	})
	if err != nil {
		return err
	}
	if missing := ids.len() - listed; missing > 0 {
		v.found(m.processed.path, 0, "%d chunks that were written are missing", missing)
	}
	lines := newMemoryIDs()
	_, err = v.checkExtent(m.written, func(line []byte, offset int64) {
		if offset < m.written.adopted {
			return
		}
		text := strings.TrimSuffix(string(line), "\n")
		partition, id, ok := parseWrittenLine(text)
		switch {
		case !ok || partition >= m.options.Partitions:
			v.found(m.written.path, offset, "not a partition and a chunk: %.128q", text)
		case lines.has(text):
			v.found(m.written.path, offset, "%q stands there twice", text)
		case !ids.has(id):
			v.found(m.written.path, offset, "chunk %q was not written", id)
		}
		lines.add(text)
	})
	if err != nil {
		return err
	}
	return nil
}
