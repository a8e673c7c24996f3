package supervisor

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// operation is what one call does to one file, found out before it is executed.
type operation struct {
	kind  kind
	call  *call
	place *place
	other *place // second name of a rename or link
	// descriptor is the thread's, -1 where the file is named by a path.
	descriptor int32
	// size is the bytes asked for; for a truncate, the bytes that go away.
	size int64
	// offset is where in the file, when placed; for a truncate, the new length. Otherwise the descriptor's position counts.
	offset int64
	placed bool
	// appends is set where the call itself says that it appends, whatever the descriptor says.
	appends bool
	// synced is set where the call itself says that what it writes is synced.
	synced bool
	// The bytes: one buffer, or an array of vectors when vectored, in the program's memory, or another descriptor.
	buffer   uint64
	vectors  int
	vectored bool
	source   int32 // descriptor that a transfer reads from, or -1
	sourceAt int64 // its explicit offset, or -1
	// mode is fallocate's, or the flags of renameat2 or of a socket call.
	mode uint64
	// message is the address of the struct msghdr that the buffers were listed in, or zero.
	message uint64
	// outgoing tells a socket's writes from its reads.
	outgoing bool
}

// bytes reads up to limit bytes that a write carries.
func (e *engine) bytes(t *thread, op *operation, limit int64) ([]byte, error) {
	if op.source >= 0 {
		return e.sourceBytes(t, op, limit)
	}
	vectors := []vector{{op.buffer, uint64(op.size)}}
	if op.vectored {
		var err error
		if vectors, err = e.memory.readVectors(t, op.buffer, op.vectors); err != nil {
			return nil, err
		}
	}
	data := make([]byte, 0, min(limit, op.size))
	for _, v := range vectors {
		part := min(int64(v.length), limit-int64(len(data)))
		if part <= 0 {
			continue
		}
		start := len(data)
		data = append(data, make([]byte, part)...)
		if err := e.memory.read(t, v.base, data[start:]); err != nil {
			return nil, err
		}
	}
	return data, nil
}

// sourceBytes reads what a transfer between descriptors would carry, without taking it away from its source, which must therefore be a file.
func (e *engine) sourceBytes(t *thread, op *operation, limit int64) ([]byte, error) {
	at, err := e.sourceOffset(t, op)
	if err != nil {
		return nil, err
	}
	return e.readSource(t, op, limit, func(file int, data []byte) (int, error) { return preadFull(file, data, at) })
}

// takeSource is sourceBytes for a source that is a pipe: what it reads is gone from there.
func (e *engine) takeSource(t *thread, op *operation, limit int64) ([]byte, error) {
	return e.readSource(t, op, limit, unix.Read)
}

func (e *engine) readSource(t *thread, op *operation, limit int64, read func(int, []byte) (int, error)) ([]byte, error) {
	file, err := e.threads.reopen(t, op.source, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("reopen source of %s: %w", op.call.name, err)
	}
	defer unix.Close(file)
	data := make([]byte, min(limit, op.size))
	n, err := read(file, data)
	if err != nil {
		return nil, fmt.Errorf("read source of %s: %w", op.call.name, err)
	}
	return data[:n], nil
}

func (e *engine) sourceOffset(t *thread, op *operation) (int64, error) {
	if op.sourceAt >= 0 {
		return op.sourceAt, nil
	}
	position, _, err := e.threads.position(t, op.source)
	return position, err
}

// start is the file offset at which the call will write or read.
func (e *engine) start(t *thread, op *operation) (int64, error) {
	position, flags, err := e.threads.position(t, op.descriptor)
	if err != nil {
		return 0, err
	}
	if op.kind == kindWrite && (flags&unix.O_APPEND != 0 || op.appends) {
		st, err := t.stat(op.descriptor)
		return st.Size, err
	}
	if op.placed {
		return op.offset, nil
	}
	return position, nil
}

// available bounds the size of a transfer by what its source still has.
func (e *engine) available(t *thread, op *operation) int64 {
	if op.source < 0 {
		return op.size
	}
	st, err := t.stat(op.source)
	if err != nil {
		return op.size
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		if at, err := e.sourceOffset(t, op); err == nil {
			return min(op.size, max(st.Size-at, 0))
		}
	case unix.S_IFIFO:
		return min(op.size, e.pipeFill(t, op.source))
	}
	return op.size
}

// pipeFill is how many bytes wait in a pipe.
func (e *engine) pipeFill(t *thread, descriptor int32) int64 {
	pipe, err := e.threads.reopen(t, descriptor, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return 0
	}
	defer unix.Close(pipe)
	fill, err := unix.IoctlGetInt(pipe, unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return int64(fill)
}

// preadFull reads until the buffer is full or the file ends.
func preadFull(descriptor int, buffer []byte, offset int64) (int, error) {
	total := 0
	for total < len(buffer) {
		n, err := unix.Pread(descriptor, buffer[total:], offset+int64(total))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return total, err
		}
		if n == 0 {
			break
		}
		total += n
	}
	return total, nil
}

// pwriteFull writes everything or fails.
func pwriteFull(descriptor int, data []byte, offset int64) error {
	for len(data) > 0 {
		n, err := unix.Pwrite(descriptor, data, offset)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		data, offset = data[n:], offset+int64(n)
	}
	return nil
}
