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

	"golang.org/x/sys/unix"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// tree is what is in some directories: each directory, file and link with its contents, a directory before what is in it. Sockets are left out, since they mean nothing without the process that listens.
type tree struct {
	files []interpose.File
	size  int64
	known map[string]int // place in files by path
}

func newTree(files []interpose.File) *tree {
	t := &tree{known: make(map[string]int)}
	for _, file := range files {
		t.add(file)
	}
	return t
}

func (t *tree) add(file interpose.File) {
	t.known[file.Path] = len(t.files)
	t.files = append(t.files, file)
	t.size += int64(len(file.Data))
}

// readTree reads everything in the directories, and these themselves.
func readTree(directories []string) (*tree, error) {
	t := newTree(nil)
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
func readEntry(name string, inodes map[fileKey]string) (*interpose.File, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	file := &interpose.File{Path: name, Mode: uint32(info.Mode()), Modified: info.ModTime()}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, fmt.Errorf("read %s: no owner known", name)
	}
	file.UID, file.GID = int(st.Uid), int(st.Gid)
	switch mode := info.Mode(); {
	case mode.IsRegular():
		key := fileKey{uint64(st.Dev), st.Ino}
		if file.Same = inodes[key]; file.Same != "" {
			return file, nil
		}
		if st.Nlink > 1 {
			inodes[key] = name
		}
		file.Data, err = os.ReadFile(name)
	case mode&os.ModeSymlink != 0:
		var target string
		target, err = os.Readlink(name)
		file.Data = []byte(target)
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
			return fmt.Errorf("restore %s: %w", t.files[i].Path, err)
		}
	}
	// What was made in a directory has changed its time.
	for i := len(t.files) - 1; i >= 0; i-- {
		file := &t.files[i]
		if fs.FileMode(file.Mode).IsDir() {
			if err := os.Chtimes(file.Path, file.Modified, file.Modified); err != nil {
				return fmt.Errorf("restore %s: %w", file.Path, err)
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
		if !known || fs.FileMode(t.files[place].Mode).Type() != entry.Type() || t.files[place].Same != "" {
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

func (t *tree) restoreOne(file *interpose.File) error {
	mode := fs.FileMode(file.Mode)
	var err error
	switch {
	case file.Same != "":
		return os.Link(file.Same, file.Path)
	case mode.IsDir():
		if err = os.Mkdir(file.Path, mode.Perm()); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	case mode&os.ModeSymlink != 0:
		if target, _ := os.Readlink(file.Path); target != string(file.Data) {
			_ = os.Remove(file.Path)
			err = os.Symlink(string(file.Data), file.Path)
		}
	case mode&os.ModeNamedPipe != 0:
		if err = unix.Mkfifo(file.Path, uint32(mode.Perm())); errors.Is(err, unix.EEXIST) {
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
func restoreContents(file *interpose.File) error {
	var st unix.Stat_t
	if unix.Lstat(file.Path, &st) == nil && st.Nlink == 1 && st.Size == int64(len(file.Data)) {
		if now, err := os.ReadFile(file.Path); err == nil && bytes.Equal(now, file.Data) {
			return nil
		}
	}
	if err := os.Remove(file.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(file.Path, file.Data, 0o600)
}

func restoreAttributes(file *interpose.File) error {
	var st unix.Stat_t
	if err := unix.Lstat(file.Path, &st); err != nil {
		return err
	}
	if int(st.Uid) != file.UID || int(st.Gid) != file.GID {
		if err := os.Lchown(file.Path, file.UID, file.GID); err != nil {
			return err
		}
	}
	mode := fs.FileMode(file.Mode)
	if mode&os.ModeSymlink != 0 {
		return nil
	}
	if err := os.Chmod(file.Path, mode); err != nil {
		return err
	}
	return os.Chtimes(file.Path, file.Modified, file.Modified)
}

// signalOf is the signal that ended a command.
func signalOf(exit *exec.ExitError) syscall.Signal {
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return status.Signal()
	}
	return 0
}
