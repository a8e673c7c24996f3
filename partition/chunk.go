package partition

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// Chunk is one unit of exactly-once delivery: the rows of one message, grouped
// by partition. Its id alone tells a second delivery from a first one, never
// its rows. A chunk can be used again after Reset, which keeps its buffers; it
// must not be touched while a Write holds it.
type Chunk struct {
	id, prefix string
	key        idKey // of id
	blocks     []block
	index      []uint16 // partition to position in blocks, plus one
	size       int      // bytes over all blocks
}

// block holds the rows of one partition, in order, each with its newline.
type block struct {
	partition int
	data      []byte
}

// NewChunk makes an empty chunk. id (1 to 255 bytes, no control characters)
// names the delivery; prefix names the files that it goes to,
// <prefix>-partition-000.csv. Both are checked by Write.
func NewChunk(id, prefix string) *Chunk {
	c := &Chunk{}
	c.Reset(id, prefix)
	return c
}

// Reset empties the chunk for another delivery and keeps its memory.
func (c *Chunk) Reset(id, prefix string) {
	for _, b := range c.blocks {
		c.index[b.partition] = 0
	}
	c.id, c.key, c.prefix, c.blocks, c.size = id, keyOf(id), prefix, c.blocks[:0], 0
}

// ID returns the id given to NewChunk or Reset.
func (c *Chunk) ID() string { return c.id }

// Prefix returns the prefix given to NewChunk or Reset.
func (c *Chunk) Prefix() string { return c.prefix }

// Add appends a row, without its newline, to a partition. The row is copied.
// It returns a *ChunkError, and adds nothing, when the row holds a line break
// or the partition is not in 0..MaxPartitions-1; that the partition is below
// Options.Partitions is checked by Write.
func (c *Chunk) Add(partition int, row []byte) error {
	if partition < 0 || partition >= MaxPartitions {
		return &ChunkError{ID: c.id, Reason: fmt.Sprintf("partition %d is out of range; at most %d partitions", partition, MaxPartitions)}
	}
	if bytes.IndexByte(row, '\n') >= 0 || bytes.IndexByte(row, '\r') >= 0 {
		return &ChunkError{ID: c.id, Reason: "a row holds a line break; give one row a call, without its newline"}
	}
	b := c.block(partition)
	b.data = append(append(b.data, row...), '\n')
	c.size += len(row) + 1
	return nil
}

// block finds or makes the block of a partition, reusing the memory of an
// earlier life of the chunk.
func (c *Chunk) block(partition int) *block {
	if partition >= len(c.index) {
		c.index = append(c.index, make([]uint16, partition+1-len(c.index))...)
	}
	if at := c.index[partition]; at > 0 {
		return &c.blocks[at-1]
	}
	if len(c.blocks) < cap(c.blocks) {
		c.blocks = c.blocks[:len(c.blocks)+1]
	} else {
		c.blocks = append(c.blocks, block{})
	}
	b := &c.blocks[len(c.blocks)-1]
	b.partition, b.data = partition, b.data[:0]
	c.index[partition] = uint16(len(c.blocks))
	return b
}

// partitions appends the partitions that have rows, ascending.
func (c *Chunk) partitions(list []int) []int {
	list = list[:0]
	if len(c.index) < 8*len(c.blocks) {
		for partition, at := range c.index {
			if at > 0 {
				list = append(list, partition)
			}
		}
		return list
	}
	for _, b := range c.blocks {
		list = append(list, b.partition)
	}
	slices.Sort(list)
	return list
}

// check says why the chunk cannot be written to a directory of that many
// partitions, or nil.
func (c *Chunk) check(partitions int) error {
	if reason := badID(c.id); reason != "" {
		return &ChunkError{ID: c.id, Reason: reason}
	}
	if reason := badPrefix(c.prefix); reason != "" {
		return &ChunkError{ID: c.id, Reason: reason}
	}
	for _, b := range c.blocks {
		if b.partition >= partitions {
			return &ChunkError{ID: c.id, Reason: fmt.Sprintf("partition %d is out of range; the directory has %d", b.partition, partitions)}
		}
	}
	return nil
}

// badID says what is wrong with a chunk id. Control characters are refused
// because an id is a line of the state files.
func badID(id string) string {
	switch {
	case id == "":
		return "the id is empty"
	case len(id) > MaxIDBytes:
		return fmt.Sprintf("the id has %d bytes; at most %d", len(id), MaxIDBytes)
	case hasControl(id):
		return "the id holds a control character"
	}
	return ""
}

// badPrefix says what is wrong with a file name's prefix.
func badPrefix(prefix string) string {
	switch {
	case prefix == "":
		return "the file prefix is empty"
	case len(prefix) > MaxPrefixBytes:
		return fmt.Sprintf("the file prefix has %d bytes; at most %d", len(prefix), MaxPrefixBytes)
	case strings.ContainsAny(prefix, `/\`):
		return fmt.Sprintf("the file prefix %q holds a path separator", prefix)
	case hasControl(prefix):
		return fmt.Sprintf("the file prefix %q holds a control character", prefix)
	}
	return ""
}

// hasControl looks for a control character of ASCII. In UTF-8 none is a part
// of another character.
func hasControl(text string) bool {
	for i := range len(text) {
		if text[i] < 0x20 || text[i] == 0x7f {
			return true
		}
	}
	return false
}
