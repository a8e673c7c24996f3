package partition

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/bits"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// index finds ids in the id log without holding them in memory. It is made of
// segments, each an immutable hash table on disk of one range of the log, as in
// the logarithmic method of Bentley and Saxe (1980): a new segment takes in the
// older ones that are not larger than it, so that there are few, and an id is
// written again only when its segment doubles.
//
// The log is the truth and the index is derived from it: a segment names the
// log's checksum before and behind its range, so one that belongs to another
// log is not believed, and one that is missing is made again. A death between
// any two operations of making one costs nothing but that work.
//
// Hashes find candidates, and the ids themselves, in the log, decide.
type index struct {
	fs       FS
	dir      string
	log      string // path of the id log
	key      indexKey
	segments []*indexSegment // in the order of their ranges; each of a lower level than the one before it
	reader   File            // of the log
}

// indexKey keeps senders from choosing ids whose hashes meet. It is drawn once
// for a directory.
type indexKey [16]byte

// A segment file, numbers little-endian:
//
//	page 0: magic 8 bytes, key 16, start and end of the range in the log 8+8,
//	        the log's CRC-32C up to them 4+4, ids 8, pages 8, bytes of the
//	        filter 8, CRC-32C of the filter 4, and of what stands before 4
//	then pages, each: CRC-32C of the rest 4, entries 4, number of the page 8,
//	        and for each entry, ascending, the hash 8 and the place in the log 8
//	then the filter
//
// The page of an id follows from its hash, so a lookup reads one page.
const (
	indexPrefix      = "chunk-ids.index-"
	indexPageBytes   = 4 << 10
	indexHeaderBytes = 80
	pageHeaderBytes  = 16
	pageEntryBytes   = 16
	maxPageEntries   = (indexPageBytes - pageHeaderBytes) / pageEntryBytes
	// meanPageEntries leaves so much room that chance fills no page: 255 are
	// more than six standard deviations above the mean.
	meanPageEntries = 170
	// indexFilterBits an id and 6 of them set let about one lookup in 80 read
	// a page in vain.
	indexFilterBits = 10
	filterBlock     = 64 // bytes, a line of the processor's cache

	// indexIDs is how many ids gather in memory before a segment is made.
	indexIDs = 1 << 17
)

var indexMagic = []byte("KPIDX1\r\n")

// indexSegment is one file of the index.
type indexSegment struct {
	path         string
	file         File
	key          indexKey
	start, end   extent // of the log, before and behind the range
	count, pages uint64
	filter       idFilter
}

// indexEntry is an id of the log.
type indexEntry struct {
	hash  uint64
	place uint64 // offset of its length byte
}

// level is the power of two that a number of ids belongs to; no two segments
// of an index have the same.
func indexLevel(count uint64) int { return bits.Len64(count) }

func (k *indexKey) hash(id string) uint64 {
	var text [len(indexKey{}) + MaxIDBytes]byte
	n := copy(text[:], k[:])
	n += copy(text[n:], id)
	// Of a keyed SHA-256 nobody without the key can predict a bit, and
	// processors compute it.
	sum := sha256.Sum256(text[:n])
	return binary.LittleEndian.Uint64(sum[:])
}

func pageOf(hash, pages uint64) uint64 {
	page, _ := bits.Mul64(hash, pages)
	return page
}

// idFilter is a Bloom filter of which an id uses one block (Putze, Sanders and
// Singler, 2007).
type idFilter []byte

func newIDFilter(count uint64) idFilter {
	return make(idFilter, (count*indexFilterBits/8/filterBlock+1)*filterBlock)
}

// spot gives the block of a hash, and the hash's bits in it, 9 each.
func (f idFilter) spot(hash uint64) (block []byte, bits uint64) {
	at := uint64(uint32(hash)) * uint64(len(f)/filterBlock) >> 32 * filterBlock
	return f[at : at+filterBlock], hash * 0x9e3779b97f4a7c15 >> 10
}

func (f idFilter) add(hash uint64) {
	block, bits := f.spot(hash)
	for range 6 {
		block[bits>>3&63] |= 1 << (bits & 7)
		bits >>= 9
	}
}

func (f idFilter) has(hash uint64) bool {
	block, bits := f.spot(hash)
	for range 6 {
		if block[bits>>3&63]&(1<<(bits&7)) == 0 {
			return false
		}
		bits >>= 9
	}
	return true
}

// end is how far the index reaches into the log.
func (x *index) end() extent {
	if len(x.segments) == 0 {
		return extent{}
	}
	return x.segments[len(x.segments)-1].end
}

func (x *index) count() (count uint64) {
	for _, s := range x.segments {
		count += s.count
	}
	return count
}

// lookup is the memory of one lookup.
type lookup struct {
	page  [indexPageBytes]byte
	entry [1 + MaxIDBytes]byte
}

var lookups = sync.Pool{New: func() any { return new(lookup) }}

// has says whether the range of the log that the index covers holds an id.
func (x *index) has(id string) (bool, error) {
	if len(x.segments) == 0 || id == "" || len(id) > MaxIDBytes {
		return false, nil
	}
	hash := x.key.hash(id)
	for _, s := range x.segments {
		if !s.filter.has(hash) {
			continue
		}
		if found, err := x.find(s, hash, id); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// find looks an id up in a segment.
func (x *index) find(s *indexSegment, hash uint64, id string) (bool, error) {
	buffer := lookups.Get().(*lookup)
	defer lookups.Put(buffer)
	page, err := s.read(pageOf(hash, s.pages), buffer.page[:])
	if err != nil {
		return false, err
	}
	for at := page.first(hash); at < len(page) && page.entry(at).hash == hash; at += pageEntryBytes {
		entry := page.entry(at)
		there, err := x.read(s, entry.place, buffer.entry[:])
		if err != nil {
			return false, err
		}
		if string(there) == id {
			return true, nil
		}
		if x.key.hash(string(there)) != hash {
			return false, &CorruptError{File: x.log, Offset: int64(entry.place), Reason: fmt.Sprintf(
				"another chunk id stands there than %s was made of; restore the state directory from a copy", s.path)}
		}
	}
	return false, nil
}

// read reads the id at a place of the log.
func (x *index) read(s *indexSegment, place uint64, buffer []byte) ([]byte, error) {
	size := min(uint64(s.end.size)-place, uint64(len(buffer)))
	if err := readFull(x.reader, buffer[:size], int64(place)); err != nil {
		return nil, fmt.Errorf("read %s at offset %d: %w", x.log, place, err)
	}
	return buffer[1:min(size, 1+uint64(buffer[0]))], nil
}

// indexPage is the entries of a page.
type indexPage []byte

func (p indexPage) entry(at int) indexEntry {
	return indexEntry{binary.LittleEndian.Uint64(p[at:]), binary.LittleEndian.Uint64(p[at+8:])}
}

// first is where the first entry stands whose hash is not below the given one.
func (p indexPage) first(hash uint64) int {
	low, high := 0, len(p)/pageEntryBytes
	for low < high {
		middle := (low + high) / 2
		if binary.LittleEndian.Uint64(p[middle*pageEntryBytes:]) < hash {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low * pageEntryBytes
}

// read reads a page.
func (s *indexSegment) read(number uint64, buffer []byte) (indexPage, error) {
	offset := int64(1+number) * indexPageBytes
	if err := readFull(s.file, buffer, offset); err != nil {
		return nil, fmt.Errorf("read %s at offset %d: %w", s.path, offset, err)
	}
	page, ok := parsePage(buffer, number, uint64(s.end.size))
	if !ok {
		return nil, &CorruptError{File: s.path, Offset: offset, Reason: "the page does not match its checksum; " + removeIndexHint}
	}
	return page, nil
}

const removeIndexHint = "stop the writer and remove the file: it is made again of the chunk ids"

func parsePage(buffer []byte, number, end uint64) (indexPage, bool) {
	count := binary.LittleEndian.Uint32(buffer[4:])
	if crc32.Checksum(buffer[4:], castagnoli) != binary.LittleEndian.Uint32(buffer) ||
		binary.LittleEndian.Uint64(buffer[8:]) != number || count > maxPageEntries {
		return nil, false
	}
	page := indexPage(buffer[pageHeaderBytes:][:count*pageEntryBytes])
	for at := 0; at < len(page); at += pageEntryBytes {
		if page.entry(at).place >= end {
			return nil, false
		}
	}
	return page, true
}

func (s *indexSegment) encodeHeader() []byte {
	b := append(make([]byte, 0, indexPageBytes), indexMagic...)
	b = append(b, s.key[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.start.size))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.end.size))
	b = binary.LittleEndian.AppendUint32(b, s.start.checksum)
	b = binary.LittleEndian.AppendUint32(b, s.end.checksum)
	b = binary.LittleEndian.AppendUint64(b, s.count)
	b = binary.LittleEndian.AppendUint64(b, s.pages)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s.filter)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(s.filter, castagnoli))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return b[:indexPageBytes]
}

// decodeHeader reads page 0 of a file of that size. It returns the checksum
// that the filter must have.
func (s *indexSegment) decodeHeader(b []byte, size int64) (filter uint64, checksum uint32, ok bool) {
	if !bytes.HasPrefix(b, indexMagic) ||
		crc32.Checksum(b[:indexHeaderBytes-4], castagnoli) != binary.LittleEndian.Uint32(b[indexHeaderBytes-4:]) {
		return 0, 0, false
	}
	copy(s.key[:], b[8:])
	s.start.size, s.end.size = int64(binary.LittleEndian.Uint64(b[24:])), int64(binary.LittleEndian.Uint64(b[32:]))
	s.start.checksum, s.end.checksum = binary.LittleEndian.Uint32(b[40:]), binary.LittleEndian.Uint32(b[44:])
	s.count, s.pages = binary.LittleEndian.Uint64(b[48:]), binary.LittleEndian.Uint64(b[56:])
	filter = binary.LittleEndian.Uint64(b[64:])
	fits := s.pages > 0 && s.pages < 1<<40 && filter > 0 && filter < 1<<40 && filter%filterBlock == 0 &&
		uint64(size) == (1+s.pages)*indexPageBytes+filter && s.start.size < s.end.size && s.start.size >= 0
	return filter, binary.LittleEndian.Uint32(b[72:]), fits
}

// openSegment opens a file of the index; nil when it is none, which no crash
// leaves under this name.
func openSegment(fsys FS, path string) (*indexSegment, error) {
	file, err := fsys.OpenRead(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	s := &indexSegment{path: path, file: file}
	whole, err := s.load()
	if err != nil || !whole {
		file.Close()
		if err != nil {
			err = fmt.Errorf("read %s: %w", path, err)
		}
		return nil, err
	}
	return s, nil
}

func (s *indexSegment) load() (whole bool, err error) {
	size, err := s.file.Size()
	if err != nil || size < indexPageBytes {
		return false, err
	}
	header := make([]byte, indexPageBytes)
	if err := readFull(s.file, header, 0); err != nil {
		return false, err
	}
	filter, checksum, ok := s.decodeHeader(header, size)
	if !ok {
		return false, nil
	}
	s.filter = make(idFilter, filter)
	if err := readFull(s.file, s.filter, size-int64(filter)); err != nil {
		return false, err
	}
	return crc32.Checksum(s.filter, castagnoli) == checksum, nil
}

// openIndex opens the segments that follow on each other from the start of the
// log and go no further than it is recorded. It changes nothing.
func openIndex(fsys FS, dir, log string, recorded extent) (x *index, err error) {
	x = &index{fs: fsys, dir: dir, log: log}
	names, err := fsys.List(dir)
	if err != nil {
		return nil, fmt.Errorf("read directory %s: %w", dir, err)
	}
	var all []*indexSegment
	defer func() {
		for _, s := range all {
			if err != nil || !slices.Contains(x.segments, s) {
				s.file.Close()
			}
		}
	}()
	for _, name := range names {
		if !strings.HasPrefix(name, indexPrefix) || strings.HasSuffix(name, newSuffix) {
			continue
		}
		s, err := openSegment(fsys, filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		if s != nil {
			all = append(all, s)
		}
	}
	for {
		var next *indexSegment
		for _, s := range all {
			if s.start == x.end() && s.end.size <= recorded.size && (len(x.segments) == 0 || s.key == x.segments[0].key) &&
				(next == nil || s.end.size > next.end.size) {
				next = s
			}
		}
		if next == nil {
			break
		}
		x.segments = append(x.segments, next)
	}
	if len(x.segments) == 0 {
		return x, nil
	}
	x.key = x.segments[0].key
	if x.reader, err = fsys.OpenRead(log); errors.Is(err, fs.ErrNotExist) {
		return nil, &ShortFileError{File: log, Recorded: recorded.size}
	} else if err != nil {
		return nil, fmt.Errorf("open %s: %w", log, err)
	}
	return x, nil
}

func (x *index) close() error {
	var failures []error
	for _, s := range x.segments {
		failures = append(failures, s.file.Close())
	}
	if x.reader != nil {
		failures = append(failures, x.reader.Close())
	}
	return errors.Join(failures...)
}

const newSuffix = ".new"

// errAbandoned: the segment is not finished, because the manager is closing.
var errAbandoned = errors.New("abandoned")

// extend makes the index that reaches to a further end of the log. x stays as
// it is and may be used meanwhile; what the new one does not share with it is
// in replaced.
func (x *index) extend(to extent, abandon *atomic.Bool) (longer *index, replaced []*indexSegment, err error) {
	longer = &index{fs: x.fs, dir: x.dir, log: x.log, key: x.key, reader: x.reader}
	if longer.reader == nil {
		if _, err := rand.Read(longer.key[:]); err != nil {
			return nil, nil, fmt.Errorf("draw a key: %w", err)
		}
		reader, err := x.fs.OpenRead(x.log)
		if err != nil {
			return nil, nil, fmt.Errorf("open %s: %w", x.log, err)
		}
		defer func() {
			if longer == nil {
				reader.Close()
			}
		}()
		longer.reader = reader
	}
	fresh, err := longer.scan(x.end(), to)
	if err != nil {
		return nil, nil, err
	}
	s := &indexSegment{key: longer.key, start: x.end(), end: to, count: uint64(len(fresh))}
	keep := len(x.segments)
	for keep > 0 && indexLevel(x.segments[keep-1].count) <= indexLevel(s.count) {
		keep--
		s.start, s.count = x.segments[keep].start, s.count+x.segments[keep].count
	}
	sources := []*indexSource{{entries: fresh}}
	for _, old := range x.segments[keep:] {
		sources = append(sources, &indexSource{segment: old})
	}
	s.path = filepath.Join(x.dir, fmt.Sprintf("%s%02d", indexPrefix, indexLevel(s.count)))
	if err := s.make(x.fs, x.dir, sources, abandon); err != nil {
		return nil, nil, err
	}
	longer.segments = append(slices.Clone(x.segments[:keep]), s)
	return longer, x.segments[keep:], nil
}

// scan lists the ids of a range of the log, ascending by hash. The range must
// match its checksum.
func (x *index) scan(from, to extent) ([]indexEntry, error) {
	var entries []indexEntry
	log := newLogReader(x.reader, x.log, from)
	err := log.each(to, func(id []byte, place int64) {
		entries = append(entries, indexEntry{x.key.hash(string(id)), uint64(place)})
	})
	slices.SortFunc(entries, compareEntries)
	return entries, err
}

func compareEntries(a, b indexEntry) int {
	return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.place, b.place))
}

// indexSource gives entries in ascending order.
type indexSource struct {
	entries []indexEntry // that come next
	segment *indexSegment
	number  uint64 // of the segment's page to be read next
	page    []byte
	memory  []indexEntry
}

// head is the next entry; ok is false at the end.
func (s *indexSource) head() (entry indexEntry, ok bool, err error) {
	for len(s.entries) == 0 {
		if s.segment == nil || s.number == s.segment.pages {
			return indexEntry{}, false, nil
		}
		if s.page == nil {
			s.page, s.memory = make([]byte, indexPageBytes), make([]indexEntry, 0, maxPageEntries)
		}
		page, err := s.segment.read(s.number, s.page)
		if err != nil {
			return indexEntry{}, false, err
		}
		s.number++
		s.entries = s.memory
		for at := 0; at < len(page); at += pageEntryBytes {
			s.entries = append(s.entries, page.entry(at))
		}
	}
	return s.entries[0], true, nil
}

// make writes the segment's file. It gets its name when its bytes are durable.
func (s *indexSegment) make(fsys FS, dir string, sources []*indexSource, abandon *atomic.Bool) error {
	temporary := s.path + newSuffix
	file, err := fsys.Create(temporary)
	if err != nil {
		return fmt.Errorf("create %s: %w", temporary, err)
	}
	s.pages = s.count/meanPageEntries + 1
	s.filter = newIDFilter(s.count)
	err = file.Truncate(0)
	if err == nil {
		err = s.writePages(file, sources, abandon)
	}
	if err == nil {
		err = writeFull(file, s.filter, int64(1+s.pages)*indexPageBytes)
	}
	if err == nil {
		err = writeFull(file, s.encodeHeader(), 0)
	}
	if err == nil {
		err = file.SyncData()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", temporary, err)
	}
	if err := fsys.Rename(temporary, s.path); err != nil {
		return fmt.Errorf("rename %s: %w", temporary, err)
	}
	if err := fsys.SyncDir(dir); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	if s.file, err = fsys.OpenRead(s.path); err != nil {
		return fmt.Errorf("open %s: %w", s.path, err)
	}
	return nil
}

// writePages merges the sources into pages.
func (s *indexSegment) writePages(file File, sources []*indexSource, abandon *atomic.Bool) error {
	const together = 64 // pages
	pages := make([]byte, 0, together*indexPageBytes)
	offset := int64(indexPageBytes)
	for number := range s.pages {
		if abandon.Load() {
			return errAbandoned
		}
		start := len(pages)
		pages = pages[:start+indexPageBytes]
		page := pages[start:]
		clear(page)
		count, err := s.fillPage(page[pageHeaderBytes:], number, sources)
		if err != nil {
			return err
		}
		binary.LittleEndian.PutUint32(page[4:], uint32(count))
		binary.LittleEndian.PutUint64(page[8:], number)
		binary.LittleEndian.PutUint32(page, crc32.Checksum(page[4:], castagnoli))
		if len(pages) == cap(pages) || number == s.pages-1 {
			if err := writeFull(file, pages, offset); err != nil {
				return err
			}
			offset += int64(len(pages))
			pages = pages[:0]
		}
	}
	return nil
}

// fillPage takes the entries of one page from the sources.
func (s *indexSegment) fillPage(page []byte, number uint64, sources []*indexSource) (count int, err error) {
	for {
		var least *indexSource
		var entry indexEntry
		for _, source := range sources {
			head, ok, err := source.head()
			if err != nil {
				return 0, err
			}
			if ok && pageOf(head.hash, s.pages) == number && (least == nil || compareEntries(head, entry) < 0) {
				least, entry = source, head
			}
		}
		if least == nil {
			return count, nil
		}
		if count == maxPageEntries {
			return 0, fmt.Errorf("page %d has more than %d entries", number, maxPageEntries)
		}
		least.entries = least.entries[1:]
		s.filter.add(entry.hash)
		binary.LittleEndian.PutUint64(page[count*pageEntryBytes:], entry.hash)
		binary.LittleEndian.PutUint64(page[count*pageEntryBytes+8:], entry.place)
		count++
	}
}
