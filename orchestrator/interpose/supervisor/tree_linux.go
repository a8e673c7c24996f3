package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tree is what is in some directories: each directory, file and link with its contents, a directory before what is in it. Sockets are left out, since they mean nothing without the process that listens.
type tree struct {
	files []treeFile
	known map[string]int // place in files by path
}

// treeFile is one file of a tree.
type treeFile struct {
	path     string
	mode     fs.FileMode
	uid, gid int
	data     []byte // contents of a regular file, target of a symbolic link
	same     string // of a further name of a file, its first one
	modified time.Time
}

func (t *tree) add(file treeFile) {
	t.known[file.path] = len(t.files)
	t.files = append(t.files, file)
}

// readTree reads everything in the directories, and these themselves.
func readTree(directories []string) (*tree, error) {
	t := &tree{known: make(map[string]int)}
	inodes := make(map[fileKey]string)
	for _, directory := range directories {
		err := filepath.WalkDir(directory, func(name string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			file, err := readEntry(name, inodes)
			if err == nil && file != nil {
				t.add(*file)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("snapshot of %s: %w", directory, err)
		}
	}
	return t, nil
}

// readEntry reads one file of a tree; inodes tells the second name of a file from another file.
func readEntry(name string, inodes map[fileKey]string) (*treeFile, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	file := &treeFile{path: name, mode: info.Mode(), modified: info.ModTime()}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, fmt.Errorf("read %s: no owner known", name)
	}
	file.uid, file.gid = int(st.Uid), int(st.Gid)
	switch mode := info.Mode(); {
	case mode.IsRegular():
		key := fileKey{uint64(st.Dev), st.Ino}
		if file.same = inodes[key]; file.same != "" {
			return file, nil
		}
		if st.Nlink > 1 {
			inodes[key] = name
		}
		file.data, err = os.ReadFile(name)
	case mode&os.ModeSymlink != 0:
		var target string
		target, err = os.Readlink(name)
		file.data = []byte(target)
	case mode.IsDir(), mode&os.ModeNamedPipe != 0:
	case mode&os.ModeSocket != 0:
		return nil, nil
	default:
		return nil, fmt.Errorf("read %s: a %v cannot be put back", name, mode.Type())
	}
	return file, err
}

// restore makes the directories what the tree says: what is not in it is removed, and what differs is made anew.
func (t *tree) restore(directories []string) error {
	for _, directory := range directories {
		if err := t.prune(directory); err != nil {
			return fmt.Errorf("restore %s: %w", directory, err)
		}
	}
	for i := range t.files {
		if err := t.restoreOne(&t.files[i]); err != nil {
			return fmt.Errorf("restore %s: %w", t.files[i].path, err)
		}
	}
	// What was made in a directory has changed its time.
	for i := len(t.files) - 1; i >= 0; i-- {
		file := &t.files[i]
		if file.mode.IsDir() {
			if err := os.Chtimes(file.path, file.modified, file.modified); err != nil {
				return fmt.Errorf("restore %s: %w", file.path, err)
			}
		}
	}
	return nil
}

// prune removes what the tree does not hold, or holds as something else.
func (t *tree) prune(directory string) error {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := filepath.Join(directory, entry.Name())
		place, known := t.known[name]
		if !known || t.files[place].mode.Type() != entry.Type() || t.files[place].same != "" {
			if err := os.RemoveAll(name); err != nil {
				return err
			}
			continue
		}
		if entry.IsDir() {
			if err := t.prune(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tree) restoreOne(file *treeFile) error {
	mode := file.mode
	var err error
	switch {
	case file.same != "":
		return os.Link(file.same, file.path)
	case mode.IsDir():
		if err = os.Mkdir(file.path, mode.Perm()); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	case mode&os.ModeSymlink != 0:
		if target, _ := os.Readlink(file.path); target != string(file.data) {
			_ = os.Remove(file.path)
			err = os.Symlink(string(file.data), file.path)
		}
	case mode&os.ModeNamedPipe != 0:
		if err = unix.Mkfifo(file.path, uint32(mode.Perm())); errors.Is(err, unix.EEXIST) {
			err = nil
		}
	default:
		err = restoreContents(file)
	}
	if err != nil {
		return err
	}
	return restoreAttributes(file)
}

// restoreContents leaves a file alone that has them already, and otherwise makes another one: a name that was a second one of some file must not change that.
func restoreContents(file *treeFile) error {
	var st unix.Stat_t
	if unix.Lstat(file.path, &st) == nil && st.Nlink == 1 && st.Size == int64(len(file.data)) {
		if now, err := os.ReadFile(file.path); err == nil && bytes.Equal(now, file.data) {
			return nil
		}
	}
	if err := os.Remove(file.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(file.path, file.data, 0o600)
}

func restoreAttributes(file *treeFile) error {
	var st unix.Stat_t
	if err := unix.Lstat(file.path, &st); err != nil {
		return err
	}
	if int(st.Uid) != file.uid || int(st.Gid) != file.gid {
		if err := os.Lchown(file.path, file.uid, file.gid); err != nil {
			return err
		}
	}
	mode := file.mode
	if mode&os.ModeSymlink != 0 {
		return nil
	}
	if err := os.Chmod(file.path, mode); err != nil {
		return err
	}
	return os.Chtimes(file.path, file.modified, file.modified)
}

// signalOf is the signal that ended a command.
func signalOf(exit *exec.ExitError) syscall.Signal {
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return status.Signal()
	}
	return 0
}
