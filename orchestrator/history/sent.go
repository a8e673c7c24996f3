package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// SentLine is one line of the record that a sender keeps of its work, a JSON
// object a line. A line is one of: an attempt (Chunk and Rows, written before
// the chunk is published; Again without rows when it is sent once more), a
// confirmation (Confirmed, written when the broker has taken the chunk), a
// message that is broken on purpose (Malformed), or the end (Done).
type SentLine struct {
	Chunk      string   `json:"chunk,omitempty"`
	Client     string   `json:"client,omitempty"`
	Partitions int      `json:"partitions,omitempty"`
	Rows       []string `json:"rows,omitempty"`
	Again      bool     `json:"again,omitempty"`
	Confirmed  string   `json:"confirmed,omitempty"`
	Malformed  *string  `json:"malformed,omitempty"`
	Reason     string   `json:"reason,omitempty"`
	Done       bool     `json:"done,omitempty"`
}

// ReadSent gives every line of a sender's record, in order, without holding
// more than one line in memory. An incomplete last line is left out: the
// sender died while writing it, before it published the chunk.
func ReadSent(from io.Reader, each func(SentLine) error) error {
	reader := bufio.NewReaderSize(from, 1<<16)
	for number := 1; ; number++ {
		text, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read sent record: %w", err)
		}
		if text = bytes.TrimSpace(text); len(text) == 0 {
			continue
		}
		var line SentLine
		if err := json.Unmarshal(text, &line); err != nil {
			return fmt.Errorf("read sent record: line %d: %w", number, err)
		}
		if err := each(line); err != nil {
			return err
		}
	}
}
