package explore

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Entry is one line of a journal: exactly one of its fields is set.
type Entry struct {
	Outcome *Outcome `json:"outcome,omitempty"`
	// Recovery is what was recorded after the crash of a first point.
	Recovery *Recovery `json:"recovery,omitempty"`
	// Confirmation is what came of a failing point in containers of its own.
	Confirmation *Confirmation `json:"confirmation,omitempty"`
	// Smallest is the least that still fails.
	Smallest *Smallest `json:"smallest,omitempty"`
	// Session is one time that the campaign was at work.
	Session *Session `json:"session,omitempty"`
}

// Session is one time that a campaign was at work, which may be several.
type Session struct {
	Seconds float64 `json:"seconds"`
}

// Journal is a file to which each outcome is added as soon as it is known. It
// is read back to go on with a campaign, and for the details of outcomes,
// which nobody keeps in memory.
type Journal struct {
	file *os.File
	end  int64
}

// maxLine bounds a line of a journal: the recording of a recovery is the
// longest.
const maxLine = 64 << 20

// OpenJournal opens a journal, or begins one, and tells what it holds, each
// entry with its place. A last line that was cut short, by whatever ended the
// campaign, is taken away: its item is run again.
func OpenJournal(path string, tell func(at int64, entry Entry) error) (*Journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &Journal{file: file}
	if err := j.read(tell); err != nil {
		return nil, errors.Join(fmt.Errorf("read journal %s: %w", path, err), file.Close())
	}
	if err := file.Truncate(j.end); err != nil {
		return nil, errors.Join(fmt.Errorf("cut journal %s to its last whole line: %w", path, err), file.Close())
	}
	return j, nil
}

func (j *Journal) read(tell func(int64, Entry) error) error {
	lines := bufio.NewReaderSize(j.file, 1<<16)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // with what is left of a line, or nothing
		}
		if err != nil {
			return err
		}
		var entry Entry
		if err := json.Unmarshal(line, &entry); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if err := tell(j.end, entry); err != nil {
			return err
		}
		j.end += int64(len(line))
	}
}

// Add writes an entry and gives its place. A crash leaves it whole or, as the
// last line, cut short.
func (j *Journal) Add(entry Entry) (at int64, err error) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(entry); err != nil {
		return 0, fmt.Errorf("write journal: %w", err)
	}
	at = j.end
	if _, err := j.file.WriteAt(line.Bytes(), at); err != nil {
		return 0, fmt.Errorf("write journal: %w", err)
	}
	j.end += int64(line.Len())
	return at, nil
}

// At reads the entry at a place.
func (j *Journal) At(at int64) (Entry, error) {
	line := bufio.NewReader(io.NewSectionReader(j.file, at, maxLine))
	text, err := line.ReadBytes('\n')
	if err != nil {
		return Entry{}, fmt.Errorf("read journal at byte %d: %w", at, err)
	}
	var entry Entry
	if err := json.Unmarshal(text, &entry); err != nil {
		return Entry{}, fmt.Errorf("read journal at byte %d: %w", at, err)
	}
	return entry, nil
}

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }
