package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// savedFile is enough of a file to make it again: its contents, or what else it is.
type savedFile struct {
	mode     os.FileMode
	uid, gid int
	data     []byte
	target   string                // of a symbolic link
	entries  map[string]*savedFile // of a directory, where they were saved with it
}

// saveFile reads a file that is about to lose its name.
func saveFile(name string) (*savedFile, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	saved := &savedFile{mode: info.Mode()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		saved.uid, saved.gid = int(st.Uid), int(st.Gid)
	}
	switch {
	case info.Mode().IsRegular():
		saved.data, err = os.ReadFile(name)
	case info.Mode()&os.ModeSymlink != 0:
		saved.target, err = os.Readlink(name)
	case info.IsDir():
	default:
		err = fmt.Errorf("save %s: a %v cannot be made again", name, info.Mode().Type())
	}
	return saved, err
}

// saveTree reads a directory with all that is in it, of which no more than so many bytes are kept in memory.
func saveTree(name string, left *int64) (*savedFile, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() {
		if *left -= info.Size(); *left < 0 {
			return nil, fmt.Errorf("save %s: too much data: raise the limit", name)
		}
	}
	saved, err := saveFile(name)
	if err != nil || !info.IsDir() {
		return saved, err
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	saved.entries = make(map[string]*savedFile, len(entries))
	for _, entry := range entries {
		if saved.entries[entry.Name()], err = saveTree(filepath.Join(name, entry.Name()), left); err != nil {
			return nil, err
		}
	}
	return saved, nil
}

// restore makes the file again. A name that is taken, by a file whose end did not survive, passes to it.
func (s *savedFile) restore(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var err error
	switch {
	case s.mode.IsDir():
		err = os.Mkdir(name, s.mode.Perm())
	case s.mode&os.ModeSymlink != 0:
		err = os.Symlink(s.target, name)
	default:
		err = os.WriteFile(name, s.data, 0o600)
	}
	if err != nil {
		return err
	}
	if s.uid != os.Geteuid() || s.gid != os.Getegid() {
		if err := os.Lchown(name, s.uid, s.gid); err != nil {
			return err
		}
	}
	if s.mode&os.ModeSymlink != 0 {
		return nil
	}
	for entry, saved := range s.entries {
		if err := saved.restore(filepath.Join(name, entry)); err != nil {
			return err
		}
	}
	return os.Chmod(name, s.mode)
}

// undo takes the change back; every later change has been. Limit is how many bytes may be kept in memory for one that survives and is done again.
func (c *change) undo(survives bool, limit int64) error {
	switch c.kind {
	case kindWrite, kindTruncate:
		return c.undoContents()
	case kindCreate, kindMkdir:
		return c.undoCreate(survives, limit)
	case kindUnlink:
		return c.saved.restore(c.path)
	case kindRename:
		if c.exchange {
			return unix.Renameat2(unix.AT_FDCWD, c.other, unix.AT_FDCWD, c.path, unix.RENAME_EXCHANGE)
		}
		if err := os.Rename(c.other, c.path); err != nil {
			return err
		}
		if c.saved != nil {
			return c.saved.restore(c.other)
		}
	}
	return nil
}

// undoCreate takes a new name away, and with a new directory all that was made durable in it: synced or not, it cannot be reached without that name. What survives is kept to be made again; its contents by now are those that were synced, or none.
func (c *change) undoCreate(survives bool, limit int64) error {
	name := c.newName()
	if survives {
		var err error
		if c.saved, err = saveTree(name, &limit); errors.Is(err, os.ErrNotExist) {
			return nil // the call failed and made nothing
		} else if err != nil {
			return err
		}
	}
	if c.kind == kindMkdir {
		return os.RemoveAll(name)
	}
	if err := os.Remove(name); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (c *change) undoContents() error {
	file, err := os.OpenFile(c.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Truncate(c.oldSize); err != nil {
		return err
	}
	_, err = file.WriteAt(c.old, c.offset)
	return err
}

// redo makes the change again, to the file that now has the given name. It reports whether it could: a change to what did not survive cannot.
func (c *change) redo(name string) (bool, error) {
	err := c.redoAt(name)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return false, nil
	}
	return err == nil, err
}

func (c *change) redoAt(name string) error {
	switch c.kind {
	case kindWrite:
		file, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = file.WriteAt(c.data, c.offset)
		return err
	case kindTruncate:
		return os.Truncate(name, c.newSize)
	case kindCreate, kindMkdir:
		switch {
		case c.link:
			if err := os.Remove(c.other); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			return os.Link(name, c.other)
		case c.saved == nil:
			return os.ErrNotExist // the call had failed
		}
		return c.saved.restore(name)
	case kindUnlink:
		return os.Remove(name)
	case kindRename:
		if c.exchange {
			return unix.Renameat2(unix.AT_FDCWD, name, unix.AT_FDCWD, c.other, unix.RENAME_EXCHANGE)
		}
		return os.Rename(name, c.other)
	}
	return nil
}
