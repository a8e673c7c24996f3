package partition

import (
	"errors"
	"fmt"
)

// A group record's payload, numbers as unsigned varints, texts as length and
// bytes:
//
//	chunks     count, then each id
//	prefixes   count, then each text
//	files      count, then for each, ascending by prefix and partition:
//	             prefix index, partition, start, header length,
//	             segments: count, then each (chunk index, length),
//	             checksum: 4 bytes, CRC-32C of the whole file up to its end
//	used       count, then each torn remainder that the group used up:
//	             kind, prefix index (0 when none), partition
//	data       for each file the header line, if any, and its segments
//
// A segment of length 0 is a partition of the chunk whose rows already stood
// in an adopted file; only its line in the state file is owed.

// segment is what one chunk adds to one file.
type segment struct {
	chunk      int   // position in the group
	start, end int64 // offsets in the file
}

// groupFile is what one group adds to one file.
type groupFile struct {
	prefix     string
	partition  int
	start, end int64 // offsets in the file
	checksum   uint32
	segments   []segment
	data       []byte // the bytes of start..end
}

// group is a decoded group record.
type group struct {
	ids   []string
	files []groupFile
	used  []tornKey
}

func decodeGroup(payload []byte, partitions int) (*group, error) {
	g := &group{}
	d := &decoder{data: payload}
	for range d.count() {
		id := d.text()
		if reason := badID(id); d.err == nil && reason != "" {
			d.fail(errors.New(reason))
		}
		g.ids = append(g.ids, id)
	}
	var prefixes []string
	for range d.count() {
		prefix := d.text()
		if reason := badPrefix(prefix); d.err == nil && reason != "" {
			d.fail(errors.New(reason))
		}
		prefixes = append(prefixes, prefix)
	}
	for range d.count() {
		file := groupFile{}
		if at := d.below(len(prefixes)); d.err == nil {
			file.prefix = prefixes[at]
		}
		file.partition = d.below(partitions)
		file.start = d.size()
		file.end = file.start + int64(d.count())
		for range d.count() {
			s := segment{chunk: d.below(len(g.ids)), start: file.end}
			s.end = s.start + int64(d.count())
			file.end = s.end
			file.segments = append(file.segments, s)
		}
		file.checksum = d.checksum()
		g.files = append(g.files, file)
	}
	for range d.count() {
		g.used = append(g.used, d.tornKey(prefixes, partitions))
	}
	for i := range g.files {
		length := g.files[i].end - g.files[i].start
		if length > int64(len(d.data)) {
			d.fail(errTruncated)
			break
		}
		g.files[i].data, d.data = d.data[:length], d.data[length:]
	}
	if d.err != nil {
		return nil, d.err
	}
	if len(d.data) != 0 {
		return nil, fmt.Errorf("%d bytes too many", len(d.data))
	}
	return g, nil
}
