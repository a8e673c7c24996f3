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
	path   string
	file   *os.File
	opened os.FileInfo // which file it is; while it is open, no other one gets its number
	offset int64       // behind the last whole line that was read
	tail   []byte      // what stood before offset, at most tailBytes
	lines  *index
	lost   []*block // had a place when the file was read before
	buffer *[]byte  // that all followers of a verifier share
	looked uint64   // the verifier's look that it was read in last
}

func newFollower(path string, buffer *[]byte) *follower {
	return &follower{path: path, lines: newIndex(), buffer: buffer}
}

// follow reads what is new. It says whether it had to start again, because the
// file was cut or replaced; no line then has an owner, and before is how far it
// had read.
func (f *follower) follow() (again bool, before int64, err error) {
	before = f.offset
	size, still, err := f.open()
	if err == nil && still {
		still, err = f.read(size)
	}
	if err == nil && !still {
		f.forget()
		if size, still, err = f.open(); err == nil && still {
			_, err = f.read(size)
		}
		again = true
	}
	if err != nil {
		err = fmt.Errorf("follow %s: %w", f.path, err)
	}
	return again, before, err
}

// reread starts again although nothing speaks for it.
func (f *follower) reread() error {
	f.forget()
	_, _, err := f.follow()
	return err
}

func (f *follower) forget() {
	f.lost = append(f.lost, f.lines.placed...)
	f.offset, f.tail, f.lines = 0, nil, newIndex()
}

func (f *follower) close() {
	if f.file != nil {
		_ = f.file.Close()
		f.file = nil
	}
}

// open opens the file that has the name now, and gives its size. It says
// whether that can still be the one that was read.
func (f *follower) open() (size int64, still bool, err error) {
	if f.file != nil {
		there, err := os.Stat(f.path)
		if err == nil && os.SameFile(there, f.opened) {
			return there.Size(), there.Size() >= f.offset, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, false, err
		}
		f.close()
	}
	f.file, err = os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, f.offset == 0, nil
	}
	if err != nil {
		return 0, false, err
	}
	if f.opened, err = f.file.Stat(); err != nil {
		f.close()
		return 0, false, err
	}
	return f.opened.Size(), f.offset == 0, nil
}

// read takes whole lines in, up to the size, unless what was read last is not
// there any more. One call reads both, so that they belong together.
func (f *follower) read(size int64) (still bool, err error) {
	old := len(f.tail)
	for from := f.offset - int64(old); from < size; from = f.offset {
		buffer := *f.buffer
		buffer = buffer[:min(int64(len(buffer)), size-from)]
		n, err := f.file.ReadAt(buffer, from)
		if err != nil && !errors.Is(err, io.EOF) {
			return true, err
		}
		if n < old || !bytes.Equal(buffer[:old], f.tail[:old]) {
			return false, nil
		}
		fresh := buffer[old:n]
		whole := bytes.LastIndexByte(fresh, '\n') + 1
		if err := f.take(fresh[:whole]); err != nil {
			return true, err
		}
		if n < len(buffer) || from+int64(n) == size {
			return true, nil
		}
		if whole == 0 { // a line longer than the buffer
			*f.buffer = make([]byte, 2*len(*f.buffer))
		}
		old = 0
	}
	return true, nil
}

func (f *follower) take(lines []byte) error {
	f.offset += int64(len(lines))
	f.tail = append(f.tail, lines[max(0, len(lines)-tailBytes):]...)
	f.tail = f.tail[max(0, len(f.tail)-tailBytes):]
	for len(lines) > 0 {
		end := bytes.IndexByte(lines, '\n')
		line := lines[:end]
		lines = lines[end+1:]
		if f.lines.end == maxLines {
			return fmt.Errorf("it has more than %d lines", int64(maxLines))
		}
		if f.lines.end == 0 && string(line) == chunk.Header {
			f.lines.addHeader()
			continue
		}
		f.lines.add(fingerprintOf(line))
	}
	return nil
}
