package main

import (
	"encoding/hex"
	"math/rand/v2"
	"strconv"
)

// rowBytes is the length of every row with its newline: that of a line of an
// ordinary table.
const rowBytes = 100

// Columns of a row: a user id, which says the partition, and a name that begins
// with the row's number, so that a row that was lost or doubled is known.
const (
	header       = "user_id,name"
	idDigits     = 10
	numberDigits = 9
	numberAt     = idDigits + 1
	fillerAt     = numberAt + numberDigits + 1
)

// data is the rows that all contenders write, the same for each. Rows repeat
// after a while where many are wanted; the ids of chunks never do.
type data struct {
	rows    []byte // one after the other
	userIDs []uint32
	seed    uint64
}

// newData makes up rows from a seed.
func newData(rows int, seed uint64) *data {
	d := &data{rows: make([]byte, rows*rowBytes), userIDs: make([]uint32, rows), seed: seed}
	random := rand.New(rand.NewPCG(seed, 1))
	const letters = "abcdefghijklmnopqrstuvwxyz      "
	filler := make([]byte, 1<<16)
	for i := range filler {
		filler[i] = letters[random.IntN(len(letters))]
	}
	for i := range rows {
		row := d.row(i)
		id := 1_000_000_000 + random.Uint32N(3_000_000_000)
		d.userIDs[i] = id
		strconv.AppendUint(row[:0], uint64(id), 10)
		row[idDigits] = ','
		writeNumber(row[numberAt:fillerAt-1], i)
		row[fillerAt-1] = ' '
		copy(row[fillerAt:], filler[random.IntN(len(filler)-rowBytes):])
		row[rowBytes-1] = '\n'
	}
	return d
}

func (d *data) row(i int) []byte { return d.rows[i*rowBytes:][:rowBytes:rowBytes] }

// len is how many different rows there are.
func (d *data) len() int { return len(d.userIDs) }

func (d *data) partition(row, partitions int) int { return int(d.userIDs[row]) % partitions }

// writeNumber fills digits with a number, zeros in front.
func writeNumber(digits []byte, number int) {
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = byte('0' + number%10)
		number /= 10
	}
}

// chunk is what a message brought: an id and rows from the data.
type chunk struct {
	id          string
	first, rows int
}

// chunk gives the n-th chunk of so many rows.
func (d *data) chunk(n, rows int) chunk {
	return chunk{id: d.id(n), first: n * rows % (d.len() - d.len()%rows), rows: rows}
}

// id is the id of the n-th chunk, a random UUID.
func (d *data) id(n int) string {
	var raw [16]byte
	high, low := mix(d.seed^uint64(n)), mix(d.seed+uint64(n)<<1+1)
	for i := range 8 {
		raw[i], raw[8+i] = byte(high>>(8*i)), byte(low>>(8*i))
	}
	var text [36]byte
	hex.Encode(text[:8], raw[:4])
	hex.Encode(text[9:13], raw[4:6])
	hex.Encode(text[14:18], raw[6:8])
	hex.Encode(text[19:23], raw[8:10])
	hex.Encode(text[24:], raw[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

// mix is the finalizer of SplitMix64: a bijection that looks random.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// blocks is a chunk's rows sorted by partition; its memory is used again.
type blocks struct {
	id      string
	rows    int
	list    []block
	indices []int // partition to position in list, plus one
}

type block struct {
	partition int
	data      []byte
}

// split sorts a chunk by partition.
func (b *blocks) split(d *data, c chunk, partitions int) {
	b.id, b.rows = c.id, c.rows
	if b.indices == nil {
		b.indices = make([]int, partitions)
	}
	clear(b.indices)
	b.list = b.list[:0]
	for row := c.first; row < c.first+c.rows; row++ {
		p := d.partition(row, partitions)
		if b.indices[p] == 0 {
			if len(b.list) < cap(b.list) {
				b.list = b.list[:len(b.list)+1]
			} else {
				b.list = append(b.list, block{})
			}
			last := &b.list[len(b.list)-1]
			last.partition, last.data = p, last.data[:0]
			b.indices[p] = len(b.list)
		}
		at := &b.list[b.indices[p]-1]
		at.data = append(at.data, d.row(row)...)
	}
}

// grouped is the rows of a group, all chunks together, by partition: what the
// stores write, because one record for a partition's rows of a whole group is
// the cheapest that they can do.
type grouped struct {
	data    [][]byte // by partition
	touched []int
}

func (g *grouped) reset(partitions int) {
	if g.data == nil {
		g.data = make([][]byte, partitions)
	}
	for _, p := range g.touched {
		g.data[p] = g.data[p][:0]
	}
	g.touched = g.touched[:0]
}

func (g *grouped) add(b *blocks) {
	for _, block := range b.list {
		if len(g.data[block.partition]) == 0 {
			g.touched = append(g.touched, block.partition)
		}
		g.data[block.partition] = append(g.data[block.partition], block.data...)
	}
}
