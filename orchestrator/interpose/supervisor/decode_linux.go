package supervisor

import (
	"encoding/binary"
	"strings"

	"golang.org/x/sys/unix"
)

// addDescriptor adds an operation on a descriptor, unless nobody asks for its file. It returns nil then.
func (e *engine) addDescriptor(t *thread, k kind, descriptor int32) *operation {
	p := e.descriptorPlace(t, descriptor)
	if p == nil || !p.wanted() {
		return nil
	}
	op := e.add(k, p)
	op.descriptor = descriptor
	return op
}

// addStream adds a read or write of a descriptor that may be a socket.
func (e *engine) addStream(t *thread, k kind, descriptor int32) *operation {
	p := e.descriptorPlace(t, descriptor)
	if p == nil {
		return nil
	}
	if p.socket && e.frames != nil {
		op := e.add(kindSocket, p)
		op.descriptor, op.outgoing = descriptor, k == kindWrite
		return op
	}
	if !p.wanted() {
		return nil
	}
	op := e.add(k, p)
	op.descriptor = descriptor
	return op
}

func (e *engine) add(k kind, p *place) *operation {
	op := &e.operations[e.operationCount]
	e.operationCount++
	*op = operation{kind: k, call: e.call, place: p, descriptor: -1, source: -1, sourceAt: -1}
	return op
}

// descriptorPlace is the file of a descriptor, or nil where it has none or is not open. The kernel is asked each time: a cache would be wrong as soon as a descriptor is closed and used again.
func (e *engine) descriptorPlace(t *thread, descriptor int32) *place {
	link, errno := t.link(descriptor, e.linkBuffer[:])
	if errno != 0 {
		if link = e.retryLink(t, descriptor, errno); link == nil {
			return nil
		}
	}
	p := e.places.get(link)
	if p.suspect {
		if st, err := t.stat(descriptor); err != nil || st.Nlink == 0 {
			return nil // the file has no name any more
		}
	}
	return p
}

// retryLink looks again where the thread has changed its user since it was looked at first, or its number has passed to another one.
func (e *engine) retryLink(t *thread, descriptor int32, errno unix.Errno) []byte {
	if denied := errno == unix.EACCES || errno == unix.EPERM; !denied && !t.gone() {
		return nil // the descriptor is not open
	}
	if err := e.threads.open(t); err != nil {
		e.troubleIfDenied(accessDenied(t, err))
		return nil
	}
	link, errno := t.link(descriptor, e.linkBuffer[:])
	if errno == 0 {
		return link
	}
	e.troubleIfDenied(accessDenied(t, errno))
	return nil
}

// argumentPath reads a path argument.
func (e *engine) argumentPath(t *thread, address uint64) (string, bool) {
	path, err := e.memory.readString(t, address, e.pathBuffer[:])
	if err != nil {
		// A wrong pointer makes the call itself fail; only a refusal is the interposer's trouble.
		e.troubleIfDenied(err)
		return "", false
	}
	return string(path), true
}

// addNamed adds an operation on a path argument. A path that leads nowhere makes the call itself fail and adds nothing.
func (e *engine) addNamed(t *thread, k kind, directory int32, address uint64, follow bool) (*operation, name) {
	argument, ok := e.argumentPath(t, address)
	if !ok || argument == "" {
		return nil, name{}
	}
	if t.gone() {
		if err := e.threads.open(t); err != nil {
			return nil, name{}
		}
	}
	found, err := resolve(t, directory, argument, follow)
	if err != nil {
		e.troubleIfDenied(err)
		return nil, name{}
	}
	p := e.places.get([]byte(found.path))
	return e.add(k, p), found
}

func decodeWrite(e *engine, n *notification, t *thread) {
	if op := e.addStream(t, streamKind(e.call), int32(n.args[0])); op != nil {
		op.buffer, op.size = n.args[1], int64(n.args[2])
	}
}

// decodeTransmit is sendto and recvfrom, which also carry flags.
func decodeTransmit(e *engine, n *notification, t *thread) {
	decodeWrite(e, n, t)
	if e.operationCount > 0 {
		e.operations[0].mode = n.args[3]
	}
}

func decodeRead(e *engine, n *notification, t *thread) { decodeWrite(e, n, t) }

// streamKind tells the calls apart that decode alike.
func streamKind(c *call) kind {
	if c.kinds&(kindWrite|kindPublish) != 0 {
		return kindWrite
	}
	return kindRead
}

func decodePwrite(e *engine, n *notification, t *thread) {
	if op := e.addDescriptor(t, kindWrite, int32(n.args[0])); op != nil {
		op.buffer, op.size = n.args[1], int64(n.args[2])
		op.offset, op.placed = int64(n.args[3]), true
	}
}

func decodePread(e *engine, n *notification, t *thread) {
	if op := e.addDescriptor(t, kindRead, int32(n.args[0])); op != nil {
		op.buffer, op.size = n.args[1], int64(n.args[2])
		op.offset, op.placed = int64(n.args[3]), true
	}
}

func decodeWritev(e *engine, n *notification, t *thread) {
	if op := e.addStream(t, streamKind(e.call), int32(n.args[0])); op != nil {
		e.setVectors(t, op, n.args[1], int(n.args[2]))
	}
}

func decodeReadv(e *engine, n *notification, t *thread) { decodeWritev(e, n, t) }

// setVectors notes the buffers of a vectored call and their whole size.
func (e *engine) setVectors(t *thread, op *operation, address uint64, count int) {
	op.buffer, op.vectors, op.vectored = address, count, true
	vectors, err := e.memory.readVectors(t, address, count)
	if err != nil {
		e.troubleIfDenied(err)
		return
	}
	for _, v := range vectors {
		op.size += int64(v.length)
	}
}

func decodePwritev(e *engine, n *notification, t *thread) {
	if op := e.addDescriptor(t, kindWrite, int32(n.args[0])); op != nil {
		e.setVectors(t, op, n.args[1], int(n.args[2]))
		op.offset, op.placed = int64(n.args[3]), true
	}
}

func decodePwritev2(e *engine, n *notification, t *thread) {
	if op := e.addDescriptor(t, kindWrite, int32(n.args[0])); op != nil {
		e.setVectors(t, op, n.args[1], int(n.args[2]))
		// An offset of -1 means the descriptor's position.
		op.offset, op.placed = int64(n.args[3]), int64(n.args[3]) != -1
		op.appends = n.args[5]&unix.RWF_APPEND != 0
		op.synced = n.args[5]&(unix.RWF_SYNC|unix.RWF_DSYNC) != 0
	}
}

func decodePreadv(e *engine, n *notification, t *thread) {
	if op := e.addDescriptor(t, kindRead, int32(n.args[0])); op != nil {
		e.setVectors(t, op, n.args[1], int(n.args[2]))
		op.offset, op.placed = int64(n.args[3]), int64(n.args[3]) != -1
	}
}

func decodeSendfile(e *engine, n *notification, t *thread) {
	e.addTransfer(t, transfer{out: int32(n.args[0]), in: int32(n.args[1]), inAt: n.args[2], size: int64(n.args[3])})
}

func decodeSplice(e *engine, n *notification, t *thread) {
	e.addTransfer(t, transfer{in: int32(n.args[0]), inAt: n.args[1], out: int32(n.args[2]), outAt: n.args[3], size: int64(n.args[4])})
}

func decodeCopyFileRange(e *engine, n *notification, t *thread) { decodeSplice(e, n, t) }

// transfer is a call that moves bytes between two descriptors; inAt and outAt are addresses of explicit offsets, or zero.
type transfer struct {
	out, in     int32
	inAt, outAt uint64
	size        int64
}

// addTransfer adds what a transfer does: a write of the one file and a read of the other.
func (e *engine) addTransfer(t *thread, move transfer) {
	inOffset, outOffset := int64(-1), int64(-1)
	for _, explicit := range []struct {
		address uint64
		offset  *int64
	}{{move.inAt, &inOffset}, {move.outAt, &outOffset}} {
		var raw [8]byte
		if explicit.address != 0 && e.memory.read(t, explicit.address, raw[:]) == nil {
			*explicit.offset = int64(binary.LittleEndian.Uint64(raw[:]))
		}
	}
	if op := e.addDescriptor(t, kindWrite, move.out); op != nil {
		op.size, op.source, op.sourceAt = move.size, move.in, inOffset
		op.offset, op.placed = outOffset, outOffset >= 0
	}
	if op := e.addDescriptor(t, kindRead, move.in); op != nil {
		op.size = move.size
		op.offset, op.placed = inOffset, inOffset >= 0
	}
}

func decodeFsync(e *engine, n *notification, t *thread) {
	e.addDescriptor(t, kindFsync, int32(n.args[0]))
}

// decodeSync covers sync and syncfs, which write everything of all file systems or of one; the power-loss model takes both as all.
func decodeSync(e *engine, _ *notification, _ *thread) {
	e.add(kindSyncAll, e.places.get([]byte("/")))
}

func decodeFtruncate(e *engine, n *notification, t *thread) {
	if op := e.addDescriptor(t, kindTruncate, int32(n.args[0])); op != nil {
		st, _ := t.stat(op.descriptor)
		op.setLength(st.Size, int64(n.args[1]))
	}
}

func decodeTruncate(e *engine, n *notification, t *thread) {
	if op, found := e.addNamed(t, kindTruncate, unix.AT_FDCWD, n.args[0], true); op != nil {
		op.setLength(found.stat.Size, int64(n.args[1]))
	}
}

// setLength notes the new length of a file that is cut or extended.
func (op *operation) setLength(old, length int64) {
	op.offset, op.placed = length, true
	op.size = max(old-length, 0)
}

func decodeFallocate(e *engine, n *notification, t *thread) {
	if op := e.addDescriptor(t, kindTruncate, int32(n.args[0])); op != nil {
		op.offset, op.placed, op.size, op.mode = int64(n.args[2]), true, int64(n.args[3]), n.args[1]
	}
}

func decodeOpen(e *engine, n *notification, t *thread) {
	e.addOpen(t, unix.AT_FDCWD, n.args[0], n.args[1])
}

func decodeCreat(e *engine, n *notification, t *thread) {
	e.addOpen(t, unix.AT_FDCWD, n.args[0], unix.O_CREAT|unix.O_TRUNC|unix.O_WRONLY)
}

func decodeOpenat(e *engine, n *notification, t *thread) {
	e.addOpen(t, int32(n.args[0]), n.args[1], n.args[2])
}

func decodeOpenat2(e *engine, n *notification, t *thread) {
	var flags [8]byte
	if err := e.memory.read(t, n.args[2], flags[:]); err != nil {
		e.troubleIfDenied(err)
		return
	}
	e.addOpen(t, int32(n.args[0]), n.args[1], binary.LittleEndian.Uint64(flags[:]))
}

// decodeOpenByHandle reports an open that names no file, which takes a capability that containers do not have by default.
func decodeOpenByHandle(e *engine, _ *notification, _ *thread) {
	e.cover("coverage incomplete, because a file was opened for writing by its handle (open_by_handle_at): it is not put back")
}

// addOpen adds what an open changes: it makes a file that does not exist, or cuts one that does; most opens do neither. Where originals are kept it adds what an open lets be changed, too.
func (e *engine) addOpen(t *thread, directory int32, address, flags uint64) {
	toWrite := e.places.original != nil && flags&(unix.O_WRONLY|unix.O_RDWR) != 0
	if flags&(unix.O_CREAT|unix.O_TRUNC) == 0 && !toWrite || flags&unix.O_PATH != 0 || flags&unix.O_TMPFILE == unix.O_TMPFILE {
		return
	}
	exclusive := flags&(unix.O_CREAT|unix.O_EXCL) == unix.O_CREAT|unix.O_EXCL
	op, found := e.addNamed(t, kindCreate, directory, address, flags&unix.O_NOFOLLOW == 0 && !exclusive)
	if op == nil {
		return
	}
	switch {
	case !found.exists && flags&unix.O_CREAT != 0:
	case found.exists && !exclusive && flags&unix.O_TRUNC != 0 && found.stat.Mode&unix.S_IFMT == unix.S_IFREG:
		op.kind = kindTruncate
		op.setLength(found.stat.Size, 0)
	case found.exists && !exclusive && toWrite:
		op.kind = kindOpen
	default:
		e.operationCount-- // it opens what is there, or fails
	}
}

func decodeMknod(e *engine, n *notification, t *thread) {
	e.addNew(t, kindCreate, unix.AT_FDCWD, n.args[0])
}

func decodeMknodat(e *engine, n *notification, t *thread) {
	e.addNew(t, kindCreate, int32(n.args[0]), n.args[1])
}

func decodeMkdir(e *engine, n *notification, t *thread) {
	e.addNew(t, kindMkdir, unix.AT_FDCWD, n.args[0])
}

func decodeMkdirat(e *engine, n *notification, t *thread) {
	e.addNew(t, kindMkdir, int32(n.args[0]), n.args[1])
}

func decodeSymlink(e *engine, n *notification, t *thread) {
	e.addNew(t, kindCreate, unix.AT_FDCWD, n.args[1])
}

func decodeSymlinkat(e *engine, n *notification, t *thread) {
	e.addNew(t, kindCreate, int32(n.args[1]), n.args[2])
}

// addNew adds the making of a name that must not be there yet.
func (e *engine) addNew(t *thread, k kind, directory int32, address uint64) {
	if op, found := e.addNamed(t, k, directory, address, false); op != nil && found.exists {
		e.operationCount--
	}
}

func decodeUnlink(e *engine, n *notification, t *thread) {
	e.addNamed(t, kindUnlink, unix.AT_FDCWD, n.args[0], false)
}

func decodeUnlinkat(e *engine, n *notification, t *thread) {
	e.addNamed(t, kindUnlink, int32(n.args[0]), n.args[1], false)
}

func decodeRename(e *engine, n *notification, t *thread) {
	e.addPair(t, kindRename, pair{oldDirectory: unix.AT_FDCWD, oldAddress: n.args[0], newDirectory: unix.AT_FDCWD, newAddress: n.args[1]})
}

func decodeRenameat(e *engine, n *notification, t *thread) {
	e.addPair(t, kindRename, pair{oldDirectory: int32(n.args[0]), oldAddress: n.args[1], newDirectory: int32(n.args[2]), newAddress: n.args[3]})
}

func decodeRenameat2(e *engine, n *notification, t *thread) {
	decodeRenameat(e, n, t)
	if e.operationCount > 0 {
		e.operations[0].mode = n.args[4]
	}
}

func decodeLink(e *engine, n *notification, t *thread) {
	e.addPair(t, kindCreate, pair{oldDirectory: unix.AT_FDCWD, oldAddress: n.args[0], newDirectory: unix.AT_FDCWD, newAddress: n.args[1]})
}

func decodeLinkat(e *engine, n *notification, t *thread) {
	if n.args[4]&unix.AT_EMPTY_PATH != 0 {
		if empty, ok := e.argumentPath(t, n.args[1]); ok && empty == "" {
			// The file is given by a descriptor alone: only the new name is one.
			e.addNew(t, kindCreate, int32(n.args[2]), n.args[3])
			return
		}
	}
	e.addPair(t, kindCreate, pair{
		oldDirectory: int32(n.args[0]), oldAddress: n.args[1], newDirectory: int32(n.args[2]), newAddress: n.args[3],
		follow: n.args[4]&unix.AT_SYMLINK_FOLLOW != 0,
	})
}

// pair is the two names of a rename or link.
type pair struct {
	oldDirectory int32
	oldAddress   uint64
	newDirectory int32
	newAddress   uint64
	follow       bool // a symbolic link at the end of the old name
}

// addPair adds a rename or link as one operation with two names.
func (e *engine) addPair(t *thread, k kind, names pair) {
	op, found := e.addNamed(t, k, names.oldDirectory, names.oldAddress, names.follow)
	if op == nil {
		return
	}
	if found.exists && found.stat.Nlink == 0 {
		// A file that never had a name gets its first one.
		e.operationCount--
		e.addNew(t, k, names.newDirectory, names.newAddress)
		return
	}
	second, _ := e.addNamed(t, k, names.newDirectory, names.newAddress, false)
	if second == nil {
		e.operationCount--
		return
	}
	op.other = second.place
	e.operationCount--
}

func decodeSendmsg(e *engine, n *notification, t *thread) { e.addMessage(t, kindWrite, n) }

func decodeRecvmsg(e *engine, n *notification, t *thread) { e.addMessage(t, kindRead, n) }

// addMessage adds a socket call whose buffers are listed in a struct msghdr.
func (e *engine) addMessage(t *thread, k kind, n *notification) {
	op := e.addStream(t, k, int32(n.args[0]))
	if op == nil {
		return
	}
	var header [32]byte // name, name length, vectors, vector count
	if err := e.memory.read(t, n.args[1], header[:]); err != nil {
		e.troubleIfDenied(err)
		return
	}
	op.mode, op.message = n.args[2], n.args[1]
	e.setVectors(t, op, binary.LittleEndian.Uint64(header[16:]), int(binary.LittleEndian.Uint64(header[24:])))
}

// decodeExec forgets the threads of the process: they get another memory, and the one that is left may have changed its user. The memory may be read, and so kept open, once more before the exec takes place, by another thread of the process; that thread ends then, and a memory without threads has nothing to read any more.
func decodeExec(e *engine, _ *notification, t *thread) { e.threads.forgetProcess(t.process) }

// decodeMmap reports a shared, writable mapping: what is written through it goes by no call.
func decodeMmap(e *engine, n *notification, t *thread) {
	p := e.descriptorPlace(t, int32(n.args[4]))
	if p != nil && p.wanted() && strings.HasPrefix(p.path, "/") {
		e.cover("coverage incomplete, because " + p.path + " is mapped shared and writable: writes through memory cannot be seen")
	}
}

// decodeRing reports io_uring, which the engine then answers as a kernel without it would, so that the program takes ordinary calls.
func decodeRing(e *engine, n *notification, _ *thread) {
	e.cover("io_uring was answered with ENOSYS, so that the program uses calls that can be seen; it may be slower, or refuse to start without it")
	e.refusal = unix.ENOSYS
}
