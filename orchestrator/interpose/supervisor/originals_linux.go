package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// changingKinds is what Plan.Originals has to see: whatever changes a name, and what lets the program change a file. What it then writes need not be seen.
const changingKinds = kindOpen | kindRename | kindCreate | kindUnlink | kindMkdir

// originals are what files were before the program first changed them, over all lives of the program since they were last put back.
type originals struct {
	except []pattern
	saved  map[string]*savedFile // nil for a name that was not there
	order  []string              // of the first change
}

func newOriginals() *originals { return &originals{saved: make(map[string]*savedFile)} }

// covers reports whether a path is one that is put back here. What the kernel makes up is not.
func (o *originals) covers(name string) bool {
	for _, made := range []string{"/proc/", "/sys/", "/dev/std", "/dev/null", "/dev/pts/"} {
		if strings.HasPrefix(name, made) {
			return false
		}
	}
	return strings.HasPrefix(name, "/") && !strings.HasSuffix(name, deletedSuffix) && !matchesAny(o.except, name)
}

// keep saves what an operation is about to change for the first time.
func (o *originals) keep(op *operation) error {
	if op.kind&(changingKinds|kindTruncate) == 0 {
		return nil
	}
	for _, place := range []*place{op.place, op.other} {
		if place == nil || !place.changing {
			continue
		}
		place.changing = false
		if _, known := o.saved[place.path]; known || !o.covers(place.path) {
			continue
		}
		saved, err := saveFile(place.path)
		switch {
		case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ENOTDIR):
			saved = nil
		case saved != nil && saved.mode&(os.ModeDevice|os.ModeNamedPipe|os.ModeSocket|os.ModeCharDevice) != 0:
			continue // writing to it changes no file
		case err != nil:
			return fmt.Errorf("keep the original of %s: %w", place.path, err)
		}
		o.saved[place.path] = saved
		o.order = append(o.order, place.path)
	}
	return nil
}

// lasting reports whether one of them may be changed, and is a file that the death of the container leaves behind.
func (o *originals) lasting() bool {
	return slices.ContainsFunc(o.order, func(name string) bool { return !inMemory(name) })
}

// inMemory reports whether a file is, or would be, in a file system that is gone with the container.
func inMemory(name string) bool {
	for ; ; name = path.Dir(name) {
		var st unix.Statfs_t
		if err := unix.Statfs(name, &st); err == nil {
			return st.Type == unix.TMPFS_MAGIC
		}
		if name == "/" {
			return false
		}
	}
}

// putBack makes every changed file what it was. What was not there goes first, last made first, so that directories are empty when it is their turn.
func (o *originals) putBack() error {
	var failed []error
	for i := len(o.order) - 1; i >= 0; i-- {
		name := o.order[i]
		if o.saved[name] != nil {
			continue
		}
		if err := os.RemoveAll(name); err != nil && !errors.Is(err, unix.ENOTDIR) {
			failed = append(failed, err)
		}
	}
	for _, name := range o.order {
		saved := o.saved[name]
		if saved == nil {
			continue
		}
		if info, err := os.Lstat(name); err == nil && info.IsDir() && saved.mode.IsDir() {
			continue
		}
		if err := saved.restore(name); err != nil {
			failed = append(failed, fmt.Errorf("put %s back: %w", name, err))
		}
	}
	o.saved, o.order = make(map[string]*savedFile), nil
	return errors.Join(failed...)
}
