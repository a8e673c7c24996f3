package main

import (
	"errors"
	"os"
	"path/filepath"
	"time"
)

// rawBytes is how large the raw file is; the writes go round in it.
const rawBytes = 64 << 20

// raw writes as many bytes as the library wrote to its journal, record by
// record, into a file that was there before, and syncs each where power may be
// lost: no writer that journals can be faster with these groups. It gives the
// time that this took.
func raw(dir string, d *data, records []int, sync bool) (elapsed time.Duration, err error) {
	file, err := os.Create(filepath.Join(dir, "raw"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	// A file with bytes in it: first writes into space that is merely reserved
	// change metadata with every sync.
	size := int64(rawBytes)
	for _, n := range records {
		size = max(size, int64(n))
	}
	for at := int64(0); at < size; at += int64(len(d.rows)) {
		if _, err := file.WriteAt(d.rows[:min(int64(len(d.rows)), size-at)], at); err != nil {
			return 0, err
		}
	}
	if err := file.Sync(); err != nil {
		return 0, err
	}
	begin := time.Now()
	at, from := int64(0), 0
	for _, n := range records {
		if at+int64(n) > size {
			at = 0
		}
		if from+n > len(d.rows) {
			from = 0
		}
		if _, err := file.WriteAt(d.rows[from:from+n], at); err != nil {
			return 0, err
		}
		if sync {
			if err := fdatasync(file); err != nil {
				return 0, err
			}
		}
		at, from = at+int64(n), from+n
	}
	return time.Since(begin), nil
}
