package testrunner

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/google/uuid"
	"github.com/killpoint/killpoint/workers/chunk"
)

// source gives the rows of one chunk after the other, and io.EOF at the end.
type source interface {
	next() (rows []string, err error)
}

// Random streams of a seed. A chunk's rows and ids come from streams of their
// own, so that they do not depend on how many other chunks there are.
const (
	streamOfIDs = iota + 1
	streamOfMalformedIDs
	streamOfPopularRows
	streamsOfRows // plus the chunk's number
)

func stream(seed, number uint64) *rand.ChaCha8 {
	var key [32]byte
	for i := range 8 {
		key[i], key[8+i] = byte(seed>>(8*i)), byte(number>>(8*i))
	}
	return rand.NewChaCha8(key)
}

// ids gives UUIDs (version 4 in form) that derive from the seed.
type ids struct{ bytes io.Reader }

func newIDs(seed, number uint64) ids { return ids{stream(seed, number)} }

func (i ids) next() string {
	return uuid.Must(uuid.NewRandomFromReader(i.bytes)).String()
}

var names = []string{
	"Ann", "Bob", "Chloë", "Dmitri", "Ebba", "Femi", "Gül", "Hana", "Ivo", "Jun", "Kofi", "Łucja", "Mina",
	"Niamh", "O'Hara", "Pia", "Quentin", "Rosa", "Siân", "Tomás", "Uma", "Vera", "Wim", "Xenia", "Yara", "Zoë",
}

const (
	largestUserID = 1_000_000
	popularRows   = 12
	// Every popularOneIn-th row, by chance, is one of the popular rows, so that
	// chunks with equal rows occur: a writer that recognises what it has
	// written by its content loses some of them.
	popularOneIn = 8
)

// generated makes up its rows from a seed.
type generated struct {
	seed, number uint64
	chunks       uint64
	rows         int
	popular      []string
}

func newGenerated(seed uint64, chunks, rowsPerChunk int) *generated {
	g := &generated{seed: seed, chunks: uint64(chunks), rows: rowsPerChunk}
	random := rand.New(stream(seed, streamOfPopularRows))
	for range popularRows {
		g.popular = append(g.popular, randomRow(random))
	}
	return g
}

func randomRow(random *rand.Rand) string {
	return fmt.Sprintf("%d,%s", 1+random.IntN(largestUserID), names[random.IntN(len(names))])
}

func (g *generated) next() ([]string, error) {
	if g.number == g.chunks {
		return nil, io.EOF
	}
	random := rand.New(stream(g.seed, streamsOfRows+g.number))
	g.number++
	rows := make([]string, g.rows)
	for i := range rows {
		if random.IntN(popularOneIn) == 0 {
			rows[i] = g.popular[random.IntN(len(g.popular))]
		} else {
			rows[i] = randomRow(random)
		}
	}
	return rows, nil
}

// file chunks a CSV file.
type file struct {
	name    string
	lines   *bufio.Scanner
	number  int
	rows    int
	closing io.Closer
}

const longestLine = 1 << 20 // bytes

func openFile(name string, rowsPerChunk int) (*file, error) {
	opened, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("INPUT: %w", err)
	}
	f := &file{name: name, lines: bufio.NewScanner(opened), rows: rowsPerChunk, closing: opened}
	f.lines.Buffer(nil, longestLine)
	if header, err := f.line(); err != nil || strings.TrimPrefix(header, "\ufeff") != chunk.Header {
		_ = opened.Close()
		return nil, errors.Join(err, fmt.Errorf("INPUT=%q: the first line is %.80q: want %q", name, header, chunk.Header))
	}
	return f, nil
}

func (f *file) line() (string, error) {
	if !f.lines.Scan() {
		if err := f.lines.Err(); err != nil {
			return "", fmt.Errorf("INPUT=%q: line %d: %w", f.name, f.number+1, err)
		}
		return "", io.EOF
	}
	f.number++
	return strings.TrimSuffix(f.lines.Text(), "\r"), nil
}

func (f *file) next() ([]string, error) {
	var rows []string
	for len(rows) < f.rows {
		row, err := f.line()
		if errors.Is(err, io.EOF) && len(rows) > 0 {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		if _, err := chunk.ParseRow([]byte(row)); err != nil {
			return nil, fmt.Errorf("INPUT=%q: line %d %w", f.name, f.number, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// newSource opens what the configuration names. A file is read through once
// before anything is sent, because a chunk cannot be called back when a later
// line turns out to be bad. It returns how many chunks there are.
func newSource(c Config) (source, int, error) {
	if c.Input == "" {
		return newGenerated(c.Seed, c.Chunks, c.RowsPerChunk), c.Chunks, nil
	}
	trial, err := openFile(c.Input, c.RowsPerChunk)
	if err != nil {
		return nil, 0, err
	}
	defer trial.closing.Close()
	chunks := 0
	for ; ; chunks++ {
		if _, err := trial.next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, 0, err
		}
	}
	if chunks == 0 {
		return nil, 0, fmt.Errorf("INPUT=%q: there is no row under the header", c.Input)
	}
	f, err := openFile(c.Input, c.RowsPerChunk)
	return f, chunks, err
}
