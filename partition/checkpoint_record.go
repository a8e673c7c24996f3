package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	checkpointVersion = 1
	// pendingVersion is that of a checkpoint whose extents are not durable yet:
	// the groups of the other slot, which end where it begins, are still on
	// their way to the files.
	pendingVersion = 2
)

// extent is how far a file that only grows is durable, and what it holds.
type extent struct {
	size     int64  // bytes
	checksum uint32 // CRC-32C of all of them
}

// fileExtent is the extent of one partition file.
type fileExtent struct {
	partition int
	extent
	adopted int64 // bytes that stood in the file before the library did
}

type familyExtent struct {
	prefix string
	files  []fileExtent
}

// checkpoint is everything that was durable when its slot was begun, or, of a
// pending one, when it was settled. Opening a directory needs it and the groups
// behind it, and no look into the partition files beyond their lengths.
type checkpoint struct {
	pending    bool // it counts on the other slot until it is settled
	partitions int
	header     string
	durability Durability
	chunks     uint64 // how many ids the id log holds
	ids        extent
	processed  extent // processed-chunks.txt
	written    extent // written-partition-chunks.txt

	adoptedProcessed int64  // bytes of processed-chunks.txt from before the library
	adoptedWritten   int64  // bytes of written-partition-chunks.txt from before the library
	halfWritten      extent // adopted-partition-chunks, empty when there is none

	families []familyExtent
	torn     []tornRemainder
}

func (c *checkpoint) encode(buffer []byte) []byte {
	version := byte(checkpointVersion)
	if c.pending {
		version = pendingVersion
	}
	buffer = append(buffer, version, byte(c.durability))
	buffer = binary.AppendUvarint(buffer, uint64(c.partitions))
	buffer = appendText(buffer, c.header)
	buffer = binary.AppendUvarint(buffer, c.chunks)
	for _, e := range []extent{c.ids, c.processed, c.written, c.halfWritten} {
		buffer = e.encode(buffer)
	}
	buffer = binary.AppendUvarint(buffer, uint64(c.adoptedProcessed))
	buffer = binary.AppendUvarint(buffer, uint64(c.adoptedWritten))
	buffer = binary.AppendUvarint(buffer, uint64(len(c.families)))
	for _, family := range c.families {
		buffer = appendText(buffer, family.prefix)
		buffer = binary.AppendUvarint(buffer, uint64(len(family.files)))
		for _, file := range family.files {
			buffer = binary.AppendUvarint(buffer, uint64(file.partition))
			buffer = file.extent.encode(buffer)
			buffer = binary.AppendUvarint(buffer, uint64(file.adopted))
		}
	}
	buffer = binary.AppendUvarint(buffer, uint64(len(c.torn)))
	for _, t := range c.torn {
		buffer = t.encode(buffer)
	}
	return buffer
}

func (e extent) encode(buffer []byte) []byte {
	return binary.LittleEndian.AppendUint32(binary.AppendUvarint(buffer, uint64(e.size)), e.checksum)
}

func (d *decoder) extent() extent {
	size := d.size()
	return extent{size: size, checksum: d.checksum()}
}

func decodeCheckpoint(payload []byte) (*checkpoint, error) {
	if len(payload) < 2 {
		return nil, errTruncated
	}
	if payload[0] != checkpointVersion && payload[0] != pendingVersion {
		return nil, fmt.Errorf("written by another version of the library (format %d, this one reads %d and %d)", payload[0], checkpointVersion, pendingVersion)
	}
	c := &checkpoint{pending: payload[0] == pendingVersion, durability: Durability(payload[1])}
	d := &decoder{data: payload[2:]}
	c.partitions = d.below(MaxPartitions + 1)
	c.header = d.text()
	c.chunks = d.number()
	c.ids, c.processed, c.written, c.halfWritten = d.extent(), d.extent(), d.extent(), d.extent()
	c.adoptedProcessed, c.adoptedWritten = d.size(), d.size()
	for range d.count() {
		family := familyExtent{prefix: d.text()}
		for range d.count() {
			file := fileExtent{partition: d.below(max(c.partitions, 1))}
			file.extent = d.extent()
			file.adopted = d.size()
			family.files = append(family.files, file)
		}
		if d.err == nil && badPrefix(family.prefix) != "" {
			d.fail(errors.New(badPrefix(family.prefix)))
		}
		c.families = append(c.families, family)
	}
	for range d.count() {
		c.torn = append(c.torn, d.tornRemainder(max(c.partitions, 1)))
	}
	if d.err != nil {
		return nil, d.err
	}
	if len(d.data) != 0 {
		return nil, fmt.Errorf("%d bytes too many", len(d.data))
	}
	return c, nil
}
