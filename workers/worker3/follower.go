package worker3

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"

	"github.com/killpoint/killpoint/workers/chunk"
)

const (
	readBytes = 256 << 10
	// tailBytes is how much of what was read last is compared before a reader
	// goes on. A file that recovery cut, and that has grown again past the
	// place where the reader was, has the size that one would expect; what
	// stands there is no longer what was read. Everything behind a cut is
	// written anew, so it shows in the last bytes.
	tailBytes = 4 << 10
)

var seed = maphash.MakeSeed()

func fingerprintOf(line []byte) fingerprint {
	if sum := maphash.Bytes(seed, line); sum != 0 {
		return fingerprint(sum)
	}
	return 1
}

// follower reads a partition file as it grows, each byte once, and starts again
// when what it has read is no longer there.
type follower struct {
	path    string
	file    *os.File
	offset  int64  // behind the last whole line that was read
	tail    []byte // what stood before offset, at most tailBytes
	lines   *index
	buffer  []byte
	scratch [tailBytes]byte // what stands before offset now
}

func newFollower(path string) *follower { return &follower{path: path, lines: newIndex()} }

// follow reads what is new. It says whether it had to start again, because the
// file was cut or replaced; every line then counts as old and without owner,
// and before is how far it had read.
func (f *follower) follow() (again bool, before int64, err error) {
	before = f.offset
	still, err := f.still()
	if err != nil {
		return false, before, fmt.Errorf("follow %s: %w", f.path, err)
	}
	if !still {
		f.forget()
	}
	if f.file != nil {
		if err := f.read(); err != nil {
			return !still, before, fmt.Errorf("follow %s: %w", f.path, err)
		}
	}
	if !still {
		f.lines.fresh = f.lines.end()
	}
	return !still, before, nil
}

// reread starts again although nothing speaks for it.
func (f *follower) reread() error {
	f.forget()
	_, _, err := f.follow()
	f.lines.fresh = f.lines.end()
	return err
}

func (f *follower) forget() {
	f.offset, f.tail, f.lines = 0, nil, newIndex()
}

func (f *follower) close() {
	if f.file != nil {
		_ = f.file.Close()
		f.file = nil
	}
}

// still says whether what was read is still there, and opens the file.
func (f *follower) still() (bool, error) {
	there, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		f.close()
		return f.offset == 0, nil
	}
	if err != nil {
		return false, err
	}
	if f.file != nil {
		opened, err := f.file.Stat()
		if err != nil {
			return false, err
		}
		if !os.SameFile(there, opened) {
			f.close()
		}
	}
	if f.file == nil {
		if f.file, err = os.Open(f.path); err != nil {
			return false, err
		}
		return f.offset == 0, nil
	}
	now := f.scratch[:len(f.tail)]
	if _, err := f.file.ReadAt(now, f.offset-int64(len(now))); errors.Is(err, io.EOF) {
		return false, nil // shorter than it was
	} else if err != nil {
		return false, err
	}
	return bytes.Equal(now, f.tail), nil
}

// read takes whole lines in until the end of the file.
func (f *follower) read() error {
	if f.buffer == nil {
		f.buffer = make([]byte, readBytes)
	}
	for {
		n, err := f.file.ReadAt(f.buffer, f.offset)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		whole := bytes.LastIndexByte(f.buffer[:n], '\n') + 1
		f.take(f.buffer[:whole])
		switch {
		case err != nil: // the end
			return nil
		case whole == 0: // a line longer than the buffer
			f.buffer = make([]byte, 2*len(f.buffer))
		}
	}
}

func (f *follower) take(lines []byte) {
	f.offset += int64(len(lines))
	f.tail = append(f.tail, lines[max(0, len(lines)-tailBytes):]...)
	f.tail = f.tail[max(0, len(f.tail)-tailBytes):]
	for len(lines) > 0 {
		var line []byte
		line, lines, _ = bytes.Cut(lines, []byte{'\n'})
		if f.lines.end() == 0 && string(line) == chunk.Header {
			f.lines.add(0)
			continue
		}
		f.lines.add(fingerprintOf(line))
	}
}
