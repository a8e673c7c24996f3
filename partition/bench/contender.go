package main

import "fmt"

// durability is what survives.
type durability string

const (
	power   durability = "power"   // what was committed survives a power loss
	process durability = "process" // what was committed survives SIGKILL
)

// cell is one place of the table: what is measured, whoever does it.
type cell struct {
	durability durability
	natural    bool // batching; otherwise one chunk a commit
	rows       int  // a chunk
	partitions int
}

func (c cell) batching() string {
	if c.natural {
		return "natural"
	}
	return "one-chunk"
}

func (c cell) String() string {
	return fmt.Sprintf("%s %s %d rows %d partitions", c.durability, c.batching(), c.rows, c.partitions)
}

// cells is the whole table.
func cells() []cell {
	var list []cell
	for _, d := range []durability{power, process} {
		for _, natural := range []bool{true, false} {
			for _, rows := range []int{16, 256} {
				for _, partitions := range []int{5, 64} {
					list = append(list, cell{d, natural, rows, partitions})
				}
			}
		}
	}
	return list
}

// store is one contender's writer of a directory. Chunks are in slots, which
// are used again.
type store interface {
	// prepare makes of a chunk what commit takes. It runs beside commit, for
	// other slots, as decoding the next messages does in a worker.
	prepare(slot int, d *data, c chunk)
	// commit writes the chunks in these slots as one group, with what its
	// durability needs, and returns how many of them it had written before.
	commit(slots []int) (duplicates int, err error)
	close() error
}

// reader calls f for all rows, partition by partition, each partition's in its
// order; a call has whole rows.
type reader func(dir string, c cell, f func(partition int, rows []byte) error) error

// contender is one way to append rows.
type contender struct {
	name string
	what string // how it does it, for the legend
	open func(dir string, c cell, inFlight int) (store, error)
	read reader
	// forgets: it does not recognise a chunk that comes again, and so promises
	// nothing.
	forgets bool
}

const (
	nameKillpoint = "killpoint"
	nameStateFile = "state file"
	nameIDLog     = "state+log"
	nameBolt      = "bbolt"
	nameSQLite    = "SQLite"
	namePebble    = "Pebble"
	nameAppend    = "append"
	nameRaw       = "raw"
	nameFloor     = "raw+files"
)

// contenders are all but the raw limit and the floor, which repeat what
// killpoint did.
func contenders() []contender {
	return []contender{killpoint(), stateFile(), idLog(), bolt(), sqlite(), pebbleDB(), plainAppend()}
}
