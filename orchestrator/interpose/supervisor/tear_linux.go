package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// tear lets exactly keep bytes of the held write reach its file and returns how many did.
//
// The program writes them itself, in its own call: the limit on the size of files (RLIMIT_FSIZE) is lowered to the byte at which the write is to end, for which a process of the same user needs no privilege. So they arrive by the descriptor, the position, the flags and the rights that the program has. Where the limit cannot be set or does not apply, the interposer writes them.
func (e *engine) tear(q *quiescer, n *notification, t *thread, op *operation, keep interpose.Keep) (int64, error) {
	size := e.available(t, op)
	kept := keep.Of(size)
	switch kept {
	case 0:
		return 0, nil
	case size:
		return e.complete(q, n, t, op)
	}
	st, err := t.stat(op.descriptor)
	if err != nil {
		return 0, fmt.Errorf("tear %s of %s: %w", op.call.name, op.place.path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || op.source >= 0 {
		return e.writeFor(t, op, kept)
	}
	return e.tearFile(q, n, t, op, st, kept)
}

func (e *engine) tearFile(q *quiescer, n *notification, t *thread, op *operation, st unix.Stat_t, kept int64) (int64, error) {
	at, err := e.start(t, op)
	if err != nil {
		return 0, err
	}
	restore, err := limitFile(t, at+kept)
	if err != nil {
		return e.writeFor(t, op, kept)
	}
	want, readErr := e.bytes(t, op, kept)
	e.execute(n, t, kept)
	err = errors.Join(e.settle(q, n, t), restore())
	if err != nil {
		return 0, err
	}
	if readErr != nil {
		return 0, readErr
	}
	return e.verifyTear(t, op, st, at, want)
}

// verifyTear looks at the file: the bytes must be there, and a file that they made longer must end with them.
func (e *engine) verifyTear(t *thread, op *operation, before unix.Stat_t, at int64, want []byte) (int64, error) {
	after, err := t.stat(op.descriptor)
	if err != nil {
		return 0, err
	}
	kept, end := int64(len(want)), at+int64(len(want))
	if after.Size == before.Size && end > before.Size {
		// Direct I/O takes whole blocks only and has refused; the bytes go in through the page cache.
		return e.writeBytes(t, op, want, at)
	}
	if after.Size != max(before.Size, end) {
		return after.Size - at, fmt.Errorf("tear %s of %s: the file is %d bytes long, %d were planned", op.call.name, op.place.path, after.Size, max(before.Size, end))
	}
	file, err := e.threads.reopen(t, op.descriptor, unix.O_RDONLY)
	if err != nil {
		return kept, nil // not readable for this user: the length has to do
	}
	defer unix.Close(file)
	got := make([]byte, kept)
	if _, err := preadFull(file, got, at); err != nil {
		return kept, fmt.Errorf("read back %s: %w", op.place.path, err)
	}
	if !bytes.Equal(got, want) {
		return kept, fmt.Errorf("tear %s of %s: the %d bytes at %d are not those of the call", op.call.name, op.place.path, kept, at)
	}
	return kept, nil
}

// errLimit says that the size limit cannot be used to cut a write.
var errLimit = errors.New("limit file size: the process has a lower limit of its own")

// limitFile bounds the size of every file that the thread's process writes, and returns what undoes it.
func limitFile(t *thread, size int64) (restore func() error, err error) {
	var old unix.Rlimit
	if err := unix.Prlimit(t.process, unix.RLIMIT_FSIZE, nil, &old); err != nil {
		return nil, fmt.Errorf("limit file size of process %d: %w", t.process, err)
	}
	if old.Cur < uint64(size) {
		return nil, errLimit
	}
	if err := unix.Prlimit(t.process, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: uint64(size), Max: old.Max}, nil); err != nil {
		return nil, fmt.Errorf("limit file size of process %d: %w", t.process, err)
	}
	return func() error {
		err := unix.Prlimit(t.process, unix.RLIMIT_FSIZE, &old, nil)
		if errors.Is(err, unix.ESRCH) {
			return nil
		}
		return err
	}, nil
}

// writeFor writes the first bytes of the held write in the program's stead and returns how many.
func (e *engine) writeFor(t *thread, op *operation, kept int64) (int64, error) {
	data, err := e.bytes(t, op, kept)
	if errors.Is(err, unix.ESPIPE) {
		data, err = e.takeSource(t, op, kept)
	}
	if err != nil {
		return 0, err
	}
	at, err := e.start(t, op)
	if err != nil {
		return 0, err
	}
	if e.power != nil {
		e.observe(t, op, kept)
	}
	return e.writeBytes(t, op, data, at)
}

// writeBytes writes through the file opened anew. The program's own position does not move, which nobody sees when the program is killed then.
func (e *engine) writeBytes(t *thread, op *operation, data []byte, at int64) (int64, error) {
	file, err := e.threads.reopen(t, op.descriptor, unix.O_WRONLY)
	if err != nil {
		return 0, fmt.Errorf("reopen %s to write for process %d: %w", op.place.path, t.process, accessDenied(t, err))
	}
	defer unix.Close(file)
	err = pwriteFull(file, data, at)
	if errors.Is(err, unix.ESPIPE) {
		_, err = unix.Write(file, data)
	}
	if err != nil {
		return 0, fmt.Errorf("write %d bytes of %s for process %d: %w", len(data), op.place.path, t.process, err)
	}
	return int64(len(data)), nil
}

// awaitRoom waits until a pipe can take a whole write at once: only then does a pending stop signal not cut it.
func (e *engine) awaitRoom(t *thread, op *operation) error {
	st, err := t.stat(op.descriptor)
	if op.kind != kindWrite || err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return nil
	}
	pipe, err := e.threads.reopen(t, op.descriptor, unix.O_WRONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil // nobody reads it: the write fails at once
	}
	defer unix.Close(pipe)
	capacity, err := unix.FcntlInt(uintptr(pipe), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		return fmt.Errorf("ask size of %s: %w", op.place.path, err)
	}
	deadline := time.Now().Add(5 * time.Second)
	for {
		full, err := unix.IoctlGetInt(pipe, unix.TIOCINQ)
		if err != nil {
			return fmt.Errorf("ask fill of %s: %w", op.place.path, err)
		}
		if full == 0 || int64(capacity-full) >= op.size {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("complete write of %s: its reader takes nothing", op.place.path)
		}
		pause()
	}
}

// short makes a read or write move fewer bytes than it asks for and say so, and returns how many. It answers the notification, unless it returns an error.
func (e *engine) short(n *notification, t *thread, op *operation, limit int64) (int64, error) {
	size := e.available(t, op)
	if limit >= size {
		e.execute(n, t, everything)
		return size, nil
	}
	if op.kind == kindRead {
		return e.shortRead(n, t, op, limit)
	}
	st, err := t.stat(op.descriptor)
	if err != nil {
		return 0, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFREG {
		return e.shortWrite(n, t, op, limit)
	}
	written, err := e.writeFor(t, op, limit)
	if err != nil {
		return 0, err
	}
	respond(e.listener, &response{id: n.id, value: written})
	return written, nil
}

// shortWrite cuts the write by the size limit, as tear does. The limit holds for the whole process, which is therefore stopped for as long as it is set.
func (e *engine) shortWrite(n *notification, t *thread, op *operation, limit int64) (int64, error) {
	e.waiting[n.id] = waiter{thread: t.tid}
	defer delete(e.waiting, n.id)
	q := e.quiescer()
	process := func() ([]int, error) { return []int{t.process}, nil }
	defer resume([]int{t.process})
	if err := q.stop(process); err != nil {
		return 0, err
	}
	at, err := e.start(t, op)
	if err != nil {
		return 0, err
	}
	restore, err := limitFile(t, at+limit)
	if err != nil {
		return 0, err
	}
	e.execute(n, t, limit)
	if err := errors.Join(e.settle(q, n, t), restore()); err != nil {
		e.trouble(err) // the call was answered: there is nothing left to do for it
	}
	return limit, nil
}

// shortRead reads in the program's stead. A position that the program shares with others moves with it only through a copy of the very descriptor.
func (e *engine) shortRead(n *notification, t *thread, op *operation, limit int64) (int64, error) {
	data := make([]byte, limit)
	got := 0
	if limit > 0 {
		var err error
		if got, err = e.readFor(t, op, data); err != nil {
			return 0, err
		}
	}
	if err := e.scatter(t, op, data[:got]); err != nil {
		return 0, err
	}
	respond(e.listener, &response{id: n.id, value: int64(got)})
	return int64(got), nil
}

func (e *engine) readFor(t *thread, op *operation, data []byte) (int, error) {
	if op.placed {
		file, err := e.threads.reopen(t, op.descriptor, unix.O_RDONLY)
		if err != nil {
			return 0, err
		}
		defer unix.Close(file)
		return preadFull(file, data, op.offset)
	}
	file, err := t.copyDescriptor(op.descriptor)
	if err != nil {
		return 0, err
	}
	defer unix.Close(file)
	return unix.Read(file, data)
}

// scatter puts bytes into the buffers of a read.
func (e *engine) scatter(t *thread, op *operation, data []byte) error {
	vectors := []vector{{op.buffer, uint64(op.size)}}
	if op.vectored {
		var err error
		if vectors, err = e.memory.readVectors(t, op.buffer, op.vectors); err != nil {
			return err
		}
	}
	for _, v := range vectors {
		part := min(len(data), int(v.length))
		if err := e.memory.write(t, v.base, data[:part]); err != nil {
			return err
		}
		data = data[part:]
	}
	return nil
}
