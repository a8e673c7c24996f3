package supervisor

import (
	"errors"
	"fmt"
	"math"
	"path"

	"golang.org/x/sys/unix"
)

// observe notes what a call is about to change, of which at most limit bytes will take effect. It is called just before the call is executed.
func (e *engine) observe(t *thread, op *operation, limit int64) {
	m := e.power
	if m.broken != nil || op.kind&powerKinds == 0 {
		return
	}
	if op.kind == kindSyncAll {
		m.syncAll()
		return
	}
	if !op.place.tracked && (op.other == nil || !op.other.tracked) {
		return
	}
	m.adopt()
	if err := e.note(t, op, limit); err != nil {
		m.broken = fmt.Errorf("model power loss: %s of %s: %w", op.call.name, op.place.path, err)
	}
	if m.broken != nil {
		e.cover("coverage incomplete, because what is not synced is not known: " + m.broken.Error())
	}
}

func (e *engine) note(t *thread, op *operation, limit int64) error {
	switch op.kind {
	case kindFsync:
		return e.noteSync(t, op)
	case kindWrite:
		return e.noteWrite(t, op, limit)
	case kindTruncate:
		return e.noteTruncate(t, op)
	case kindCreate, kindMkdir:
		return e.noteCreate(op)
	case kindUnlink:
		return e.noteUnlink(op)
	case kindRename:
		return e.noteRename(op)
	}
	return nil
}

// noteSync makes durable what is there now. The sync itself may still run when something else happens; it is complete when a point is held, because the thread that makes it has to stop first.
func (e *engine) noteSync(t *thread, op *operation) error {
	st, err := t.stat(op.descriptor)
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		e.power.syncDirectory(op.place.path)
		return nil
	}
	e.power.syncFile(e.power.file(st))
	return nil
}

func (e *engine) noteWrite(t *thread, op *operation, limit int64) error {
	st, err := t.stat(op.descriptor)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return err
	}
	_, flags, err := e.threads.position(t, op.descriptor)
	if err != nil {
		return err
	}
	offset, err := e.start(t, op)
	if err != nil {
		return err
	}
	data, err := e.bytes(t, op, min(limit, e.available(t, op)))
	if err != nil {
		return err
	}
	if op.synced || flags&unix.O_DSYNC != 0 {
		// With its data go the file's earlier changes, which is more than some systems do.
		e.power.syncFile(e.power.file(st))
		return nil
	}
	old, err := e.readRange(t, op, offset, min(offset+int64(len(data)), st.Size))
	if err != nil {
		return err
	}
	e.power.add(&change{kind: kindWrite, file: e.power.file(st), path: op.place.path, offset: offset, data: data, old: old, oldSize: st.Size})
	return nil
}

// readRange reads what a change is about to overwrite or cut off.
func (e *engine) readRange(t *thread, op *operation, from, to int64) ([]byte, error) {
	if from >= to {
		return nil, nil
	}
	var file int
	var err error
	if op.descriptor >= 0 {
		file, err = e.threads.reopen(t, op.descriptor, unix.O_RDONLY)
	} else {
		file, err = unix.Open(op.place.path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(file)
	data := make([]byte, to-from)
	n, err := preadFull(file, data, from)
	return data[:n], err
}

// noteTruncate notes a new length, whether by truncate, fallocate or an open that cuts.
func (e *engine) noteTruncate(t *thread, op *operation) error {
	var st unix.Stat_t
	var err error
	if op.descriptor >= 0 {
		st, err = t.stat(op.descriptor)
	} else {
		err = unix.Stat(op.place.path, &st)
	}
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return err
	}
	length := op.offset
	if op.call.nr == unix.SYS_FALLOCATE {
		if op.mode&^unix.FALLOC_FL_KEEP_SIZE != 0 {
			return errors.New("fallocate that changes contents is not modelled")
		}
		if op.mode != 0 {
			return nil // space only
		}
		length = max(st.Size, op.offset+op.size)
	}
	if length == st.Size {
		return nil
	}
	old, err := e.readRange(t, op, length, st.Size)
	if err != nil {
		return err
	}
	e.power.add(&change{kind: kindTruncate, file: e.power.file(st), path: op.place.path, offset: min(length, st.Size), newSize: length, old: old, oldSize: st.Size})
	return nil
}

// noteCreate notes a new name. The file has no identity before it is made; adopt finds it out.
func (e *engine) noteCreate(op *operation) error {
	c := &change{kind: op.kind, path: op.place.path}
	if op.other != nil {
		c.link, c.other = true, op.other.path
	}
	e.power.add(c)
	return nil
}

func (e *engine) noteUnlink(op *operation) error {
	var st unix.Stat_t
	if unix.Lstat(op.place.path, &st) != nil {
		return nil // nothing is there: the call fails
	}
	saved, err := saveFile(op.place.path)
	if err != nil {
		return err
	}
	e.power.add(&change{kind: kindUnlink, file: e.power.file(st), path: op.place.path, saved: saved})
	e.power.retire(st)
	return nil
}

func (e *engine) noteRename(op *operation) error {
	var st unix.Stat_t
	if op.other == nil || unix.Lstat(op.place.path, &st) != nil || op.place == op.other {
		return nil // the call fails, or does nothing
	}
	c := &change{kind: kindRename, file: e.power.file(st), path: op.place.path, other: op.other.path, exchange: op.mode&unix.RENAME_EXCHANGE != 0}
	var replaced unix.Stat_t
	err := unix.Lstat(op.other.path, &replaced)
	switch {
	case err == nil && op.mode&unix.RENAME_NOREPLACE != 0:
		return nil
	case err == nil && !c.exchange:
		if c.saved, err = saveFile(op.other.path); err != nil {
			return err
		}
		e.power.retire(replaced)
	}
	e.power.add(c)
	return nil
}

// trackedDirectories adds to globs of files those of their directories, whose syncs make the names durable.
func trackedDirectories(globs []string) []string {
	all := append([]string(nil), globs...)
	for _, glob := range globs {
		all = append(all, path.Dir(glob))
	}
	return all
}

// everything is the limit of a call that takes effect as a whole.
const everything = math.MaxInt64
