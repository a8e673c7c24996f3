package testrunner

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
)

// record is the file that says what was attempted and what was confirmed, a
// JSON object a line. Whoever judges a run goes by it, so a line about an
// attempt is in the file before the attempt is made, whatever becomes of this
// process.
type record struct{ file *os.File }

// line is one line of the record; the fields that it has say which kind it is.
type line struct {
	// An attempt: a chunk is about to be published, for the first time with
	// its rows, or again.
	Chunk      string   `json:"chunk,omitempty"`
	Client     string   `json:"client,omitempty"`
	Partitions int      `json:"partitions,omitempty"`
	Rows       []string `json:"rows,omitempty"`
	Again      bool     `json:"again,omitempty"`

	// The broker has taken a chunk over.
	Confirmed string `json:"confirmed,omitempty"`

	// A broken message is about to be published; its id may be empty.
	Malformed *string `json:"malformed,omitempty"`
	Reason    string  `json:"reason,omitempty"`

	// Everything was confirmed.
	Done   bool `json:"done,omitempty"`
	Chunks int  `json:"chunks,omitempty"`
}

// past is what an earlier life of this sender recorded.
type past struct {
	attempted map[string]bool
	confirmed map[string]bool
}

// openRecord opens or makes the file. A last line without its end was being
// written when an earlier life died; it is taken back, since what it announces
// had not been done.
func openRecord(name string) (*record, past, error) {
	before := past{map[string]bool{}, map[string]bool{}}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, before, fmt.Errorf("SENT_FILE: %w", err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, before, fmt.Errorf("SENT_FILE: %w", err)
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	if whole < len(text) {
		if err := file.Truncate(int64(whole)); err != nil {
			return nil, before, fmt.Errorf("SENT_FILE: %w", err)
		}
	}
	for number, text := range bytes.Split(bytes.TrimSuffix(text[:whole], []byte{'\n'}), []byte{'\n'}) {
		if len(text) == 0 {
			continue
		}
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			return nil, before, fmt.Errorf("SENT_FILE=%q: line %d is no line of a record: %w; move the file away, or name another", name, number+1, err)
		}
		before.attempted[l.Chunk] = true
		before.confirmed[l.Confirmed] = true
	}
	return &record{file}, before, nil
}

// add writes one line with one call, so that a death leaves it whole or away.
func (r *record) add(l line) error {
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write SENT_FILE: %w", err)
	}
	if _, err := r.file.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("write SENT_FILE: %w", err)
	}
	return nil
}

func (r *record) close() error {
	if err := r.file.Close(); err != nil {
		return fmt.Errorf("close SENT_FILE: %w", err)
	}
	return nil
}
