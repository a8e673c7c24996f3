package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var small = cell{durability: power, natural: true, rows: 16, partitions: 5}

// written lets a contender write some chunks into a new directory.
func written(t *testing.T, who contender, c cell, d *data, chunks int) string {
	t.Helper()
	dir := t.TempDir()
	s, err := who.open(dir, c, 8)
	if err != nil {
		t.Fatal(err)
	}
	o, err := drive{store: s, data: d, rows: c.rows, natural: c.natural, inFlight: 8, limit: chunks}.run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if o.chunks != chunks || o.rows != chunks*c.rows {
		t.Fatalf("%d chunks and %d rows were committed, want %d chunks", o.chunks, o.rows, chunks)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Every contender passes in cells of every kind.
func TestContendersKeepTheirPromises(t *testing.T) {
	d := newData(1280, seed)
	for _, who := range contenders() {
		for _, c := range cells() {
			t.Run(who.name+"/"+c.String(), func(t *testing.T) {
				chunks := d.len()/c.rows - 1
				dir := written(t, who, c, d, chunks)
				if err := check(who, c, dir, d, chunks); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// cheat is a contender that does something wrong on purpose.
type cheat struct {
	store
	prepared [redelivered + 1]chunk // by slot

	before func(c *cheat, slots []int) []int // changes what is committed
	claim  func(c *cheat, duplicates int) int
}

func (c *cheat) prepare(slot int, d *data, of chunk) {
	c.prepared[slot] = of
	c.store.prepare(slot, d, of)
}

func (c *cheat) commit(slots []int) (int, error) {
	if c.before != nil {
		slots = c.before(c, slots)
	}
	duplicates, err := c.store.commit(slots)
	if c.claim != nil {
		duplicates = c.claim(c, duplicates)
	}
	return duplicates, err
}

// Whatever a contender leaves out is found.
func TestCheatsAreFound(t *testing.T) {
	d := newData(4096, seed)
	const chunks = 100
	first := func(s *blocks) *block { return &s.list[0] }
	for name, test := range map[string]struct {
		before func(c *cheat, slots []int) []int
		claim  func(c *cheat, duplicates int) int
		says   string
	}{
		"drops a chunk": {
			before: func(c *cheat, slots []int) []int {
				return slices.DeleteFunc(slices.Clone(slots), func(slot int) bool { return c.prepared[slot].first == 7*16 })
			},
			// It is new when it comes again.
			says: "taken for delivered again",
		},
		"drops the last row of a block": {
			before: func(c *cheat, slots []int) []int {
				// One of several: no store is given a block without rows.
				list := c.store.(*stateFileStore).slots[slots[0]].list
				b := &list[slices.IndexFunc(list, func(b block) bool { return len(b.data) > rowBytes })]
				b.data = b.data[:len(b.data)-rowBytes]
				return slots
			},
			says: "rows are missing",
		},
		"tears a row": {
			before: func(c *cheat, slots []int) []int {
				b := first(&c.store.(*stateFileStore).slots[slots[0]])
				b.data = b.data[:len(b.data)-1]
				return slots
			},
			says: "never sent",
		},
		"changes a byte": {
			before: func(c *cheat, slots []int) []int {
				first(&c.store.(*stateFileStore).slots[slots[0]]).data[rowBytes-3] ^= 1
				return slots
			},
			says: "never sent",
		},
		"writes a block twice": {
			before: func(c *cheat, slots []int) []int {
				b := first(&c.store.(*stateFileStore).slots[slots[0]])
				b.data = append(b.data, b.data...)
				return slots
			},
			says: "is there twice",
		},
		"puts a block into another partition": {
			before: func(c *cheat, slots []int) []int {
				b := first(&c.store.(*stateFileStore).slots[slots[0]])
				b.partition = (b.partition + 1) % small.partitions
				return slots
			},
			says: "belongs in",
		},
		"turns a block round": {
			before: func(c *cheat, slots []int) []int {
				for _, b := range c.store.(*stateFileStore).slots[slots[0]].list {
					for i, j := 0, len(b.data)-rowBytes; i < j; i, j = i+rowBytes, j-rowBytes {
						var swap [rowBytes]byte
						copy(swap[:], b.data[i:])
						copy(b.data[i:i+rowBytes], b.data[j:])
						copy(b.data[j:], swap[:])
					}
				}
				return slots
			},
			says: "stands behind row",
		},
		"forgets ids": {
			before: func(c *cheat, slots []int) []int {
				clear(c.store.(*stateFileStore).seen)
				return slots
			},
			says: "taken for delivered again",
		},
		"forgets ids and says that it does not": {
			before: func(c *cheat, slots []int) []int {
				clear(c.store.(*stateFileStore).seen)
				return slots
			},
			claim: func(c *cheat, duplicates int) int { return redelivered },
			says:  "is there twice",
		},
		"takes what is new for delivered again": {
			claim: func(c *cheat, duplicates int) int {
				if duplicates == redelivered {
					return duplicates + 1
				}
				return duplicates
			},
			says: "taken for delivered again",
		},
	} {
		t.Run(name, func(t *testing.T) {
			honest := stateFile()
			who := honest
			who.open = func(dir string, c cell, inFlight int) (store, error) {
				s, err := honest.open(dir, c, inFlight)
				return &cheat{store: s, before: test.before, claim: test.claim}, err
			}
			dir := written(t, who, small, d, chunks)
			err := check(who, small, dir, d, chunks)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("err = %v, want one that says %q", err, test.says)
			}
		})
	}
}

// What a death left behind the state is cut off.
func TestStateFileRecovers(t *testing.T) {
	d := newData(4096, seed)
	dir := written(t, idLog(), small, d, 100)
	for _, name := range []string{plainFile(2), idsName} {
		file, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write(d.row(3000)[:rowBytes/2]); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := check(idLog(), small, dir, d, 100); err != nil {
		t.Error(err)
	}
}

// The raw limit is measured with all that the journal took: no row can come to
// a file that is not in it.
func TestJournalIsRecorded(t *testing.T) {
	d := newData(4096, seed)
	s, err := openKillpoint(t.TempDir(), small, 8)
	if err != nil {
		t.Fatal(err)
	}
	library := s.(*killpointStore)
	library.disk.reset()
	const chunks = 100
	o, err := drive{store: s, data: d, rows: small.rows, natural: true, inFlight: 8, limit: chunks}.run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	bytes := 0
	trace, used := library.disk.noted()
	writes, rowsWritten := 0, 0
	for _, g := range trace.groups {
		bytes += g.record
		writes += g.rows
	}
	for _, w := range trace.writes {
		rowsWritten += int(w.bytes)
	}
	least := o.rows*rowBytes + chunks*idBytes
	if len(trace.groups) != len(o.groups) || bytes < least || bytes > least*5/4 {
		t.Errorf("%d records with %d bytes for %d groups with %d bytes of rows and ids", len(trace.groups), bytes, len(o.groups), least)
	}
	if writes != used[rowsWrite].calls || writes != len(trace.writes) || rowsWritten < o.rows*rowBytes || rowsWritten > o.rows*rowBytes+small.partitions*len(header+"\n") {
		t.Errorf("%d bytes of rows in %d writes are in the trace, of %d rows in %d writes", rowsWritten, writes, o.rows, used[rowsWrite].calls)
	}
	for what, calls := range map[int]int{journalWrite: len(o.groups), journalSync: len(o.groups), stateWrite: 2 * len(o.groups), otherSync: 0} {
		if used[what].calls != calls {
			t.Errorf("use %d was made %d times by %d groups, want %d", what, used[what].calls, len(o.groups), calls)
		}
	}
	if rows := used[rowsWrite].calls; rows < len(o.groups) || rows > small.partitions*len(o.groups) {
		t.Errorf("rows were written %d times by %d groups to %d partitions", rows, len(o.groups), small.partitions)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}
