package partition

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// FS is everything that a manager asks of a file system, so that tests can
// crash it at every operation. Errors satisfy errors.Is with fs.ErrNotExist
// and fs.ErrExist where the operating system's would.
type FS interface {
	// Open opens an existing file for reading and writing.
	Open(name string) (File, error)
	// OpenRead opens an existing file for reading.
	OpenRead(name string) (File, error)
	// Create opens a file for reading and writing and makes it when it is
	// missing; it never cuts one that exists. The name is durable after
	// SyncDir of its directory.
	Create(name string) (File, error)
	// Mkdir makes one directory; its parent must exist.
	Mkdir(name string) error
	// Rename replaces newname by oldname, both in one directory.
	Rename(oldname, newname string) error
	// List returns the names in a directory, sorted.
	List(dir string) ([]string, error)
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
	// Lock takes an exclusive lock, without waiting, on a file (made when it
	// is missing) or on a directory. A lock that is held elsewhere gives
	// ErrLocked. The lock dies with the process.
	Lock(name string) (io.Closer, error)
}

// File is an open file of an FS. ReadAt and WriteAt may do less than asked
// without an error; the manager goes on where they stopped.
type File interface {
	ReadAt(p []byte, offset int64) (int, error)
	WriteAt(p []byte, offset int64) (int, error)
	Truncate(size int64) error
	Size() (int64, error)
	// SyncData makes the bytes and the length durable (fdatasync).
	SyncData() error
	Close() error
}

// earlySyncer is a File that can have the disk begin to write bytes before
// SyncData waits for them.
type earlySyncer interface {
	StartSync(offset, length int64) error
}

// OS returns the operating system's file system.
func OS() FS { return osFS{} }

type osFS struct{}

type osFile struct{ *os.File }

func (osFS) Open(name string) (File, error) { return openOS(name, os.O_RDWR) }

func (osFS) OpenRead(name string) (File, error) { return openOS(name, os.O_RDONLY) }

func (osFS) Create(name string) (File, error) { return openOS(name, os.O_RDWR|os.O_CREATE) }

func openOS(name string, flags int) (File, error) {
	f, err := os.OpenFile(name, flags, 0o644)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Mkdir(name string) error { return os.Mkdir(name, 0o755) }

func (osFS) Rename(oldname, newname string) error { return os.Rename(oldname, newname) }

func (osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, nil
}

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// makeDir makes a directory and its missing parents, and syncs the parent of
// each one that it makes: a file whose directory is lost is lost.
func makeDir(fsys FS, dir string) error {
	_, err := fsys.List(dir)
	if err == nil {
		return nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read directory %s: %w", dir, err)
	}
	parent := filepath.Dir(dir)
	if parent == dir {
		return fmt.Errorf("read directory %s: %w", dir, err)
	}
	if err := makeDir(fsys, parent); err != nil {
		return err
	}
	if err := fsys.Mkdir(dir); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make directory %s: %w", dir, err)
	}
	if err := fsys.SyncDir(parent); err != nil {
		return fmt.Errorf("sync directory %s: %w", parent, err)
	}
	return nil
}

// writeFull writes all of p at offset; a short write goes on where it stopped.
func writeFull(f File, p []byte, offset int64) error {
	for len(p) > 0 {
		n, err := f.WriteAt(p, offset)
		if err != nil {
			return err
		}
		if n <= 0 {
			return io.ErrShortWrite
		}
		p, offset = p[n:], offset+int64(n)
	}
	return nil
}

// readFull fills p from offset; a short read goes on where it stopped. It
// returns io.ErrUnexpectedEOF when the file ends before p is full.
func readFull(f File, p []byte, offset int64) error {
	for len(p) > 0 {
		n, err := f.ReadAt(p, offset)
		p, offset = p[n:], offset+int64(n)
		if len(p) == 0 {
			return nil
		}
		if errors.Is(err, io.EOF) || err == nil && n == 0 {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return nil
}
