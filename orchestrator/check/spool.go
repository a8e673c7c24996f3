package check

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// spoolPage is how many words a stream hands on at once.
const spoolPage = 512

// spool keeps many streams of words that are written side by side and read
// one after the other, in memory as far as it allows and beyond that in one
// temporary file, which has no name as soon as it is open.
type spool struct {
	limit int // how many words of full pages are held in memory
	held  int
	file  *os.File
	size  int64 // of the file, in bytes
	bytes []byte
}

// stream is one sequence of words in a spool.
type stream struct {
	pages []page
	last  []uint64
}

func (s *stream) empty() bool { return len(s.pages) == 0 && len(s.last) == 0 }

// page is a full one of spoolPage words, in memory or at a place in the file.
type page struct {
	words  []uint64
	offset int64
}

func (s *spool) add(to *stream, word uint64) error {
	to.last = append(to.last, word)
	if len(to.last) < spoolPage {
		return nil
	}
	if s.held+spoolPage <= s.limit {
		s.held += spoolPage
		to.pages = append(to.pages, page{words: to.last})
		to.last = nil
		return nil
	}
	offset, err := s.store(to.last)
	to.pages = append(to.pages, page{offset: offset})
	to.last = to.last[:0]
	return err
}

// store writes a page of words to the file.
func (s *spool) store(words []uint64) (offset int64, err error) {
	if s.file == nil {
		if s.file, err = os.CreateTemp("", "killpoint-rows-*"); err != nil {
			return 0, fmt.Errorf("set rows aside: %w", err)
		}
		if err := os.Remove(s.file.Name()); err != nil {
			return 0, fmt.Errorf("set rows aside: %w", err)
		}
	}
	s.bytes = s.bytes[:0]
	for _, word := range words {
		s.bytes = binary.LittleEndian.AppendUint64(s.bytes, word)
	}
	offset = s.size
	if _, err := s.file.WriteAt(s.bytes, offset); err != nil {
		return 0, fmt.Errorf("set rows aside: %w", err)
	}
	s.size += int64(len(s.bytes))
	return offset, nil
}

// each gives a stream's words in the order in which they were added.
func (s *spool) each(from *stream, each func(word uint64)) error {
	bytes := make([]byte, spoolPage*8)
	for _, page := range from.pages {
		if page.words == nil {
			if _, err := s.file.ReadAt(bytes, page.offset); err != nil && !errors.Is(err, io.EOF) {
				return fmt.Errorf("read rows set aside: %w", err)
			}
			for at := 0; at < len(bytes); at += 8 {
				each(binary.LittleEndian.Uint64(bytes[at:]))
			}
			continue
		}
		for _, word := range page.words {
			each(word)
		}
	}
	for _, word := range from.last {
		each(word)
	}
	return nil
}

func (s *spool) close() {
	if s.file != nil {
		// The file has no name any more, so nothing is left to fail at.
		_ = s.file.Close()
	}
}
