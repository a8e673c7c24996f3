package supervisor

import (
	"math/bits"

	"golang.org/x/sys/unix"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// kind is an operation as one bit, so that sets of them are compared at once.
type kind uint16

const (
	kindWrite kind = 1 << iota
	kindFsync
	kindRename
	kindCreate
	kindTruncate
	kindUnlink
	kindRead
	kindMkdir
	kindPublish
	kindAck
	// kindSyncAll is sync and syncfs: no point names them, the power-loss model needs them.
	kindSyncAll
	// kindSocket is a read from or a write to a socket, before it is known which frames it carries.
	kindSocket
	// kindCoverage is what cannot be followed and is therefore reported.
	kindCoverage
	// kindExec gives a process another memory.
	kindExec
	// kindOpen opens a file that is there so that it can be changed, or cuts it by name. No point names it. The originals need it: it comes once, where writes come again and again.
	kindOpen
)

const kindSockets = kindPublish | kindAck | kindSocket

var kindOf = map[interpose.Operation]kind{
	interpose.Write: kindWrite, interpose.Fsync: kindFsync, interpose.Rename: kindRename, interpose.Create: kindCreate,
	interpose.Truncate: kindTruncate, interpose.Unlink: kindUnlink, interpose.Read: kindRead, interpose.Mkdir: kindMkdir,
	interpose.Publish: kindPublish, interpose.Ack: kindAck,
}

// operationOf is kindOf the other way round, by the number of the bit.
var operationOf = func() (operations [16]interpose.Operation) {
	for operation, k := range kindOf {
		operations[bits.TrailingZeros16(uint16(k))] = operation
	}
	return operations
}()

// operation names a kind that is one bit, and gives nothing for one that no plan can name.
func (k kind) operation() interpose.Operation {
	if k == 0 {
		return ""
	}
	return operationOf[bits.TrailingZeros16(uint16(k))]
}

// call is one system call that can be trapped.
type call struct {
	nr    int
	name  string
	kinds kind // what it can turn out to be
	// decode finds out what the call does to which files. It appends to engine.operations.
	decode func(e *engine, n *notification, t *thread)

	// A call with flags is trapped only when they ask for one of the wanted kinds.
	flags         *openFlags
	sharedMapping bool
}

// openFlags is which argument of an open says what it does.
type openFlags struct{ argument int }

// mask is the flags of which an open has at least one where it can be one of the wanted kinds.
func (openFlags) mask(wanted kind) uint32 {
	mask := uint32(unix.O_CREAT | unix.O_TRUNC)
	if wanted&kindOpen != 0 {
		mask |= unix.O_WRONLY | unix.O_RDWR
	}
	return mask
}

var commonCalls = []call{
	{nr: unix.SYS_WRITE, name: "write", kinds: kindWrite | kindSockets, decode: decodeWrite},
	{nr: unix.SYS_PWRITE64, name: "pwrite64", kinds: kindWrite, decode: decodePwrite},
	{nr: unix.SYS_WRITEV, name: "writev", kinds: kindWrite | kindSockets, decode: decodeWritev},
	{nr: unix.SYS_PWRITEV, name: "pwritev", kinds: kindWrite, decode: decodePwritev},
	{nr: unix.SYS_PWRITEV2, name: "pwritev2", kinds: kindWrite, decode: decodePwritev2},
	{nr: unix.SYS_SENDFILE, name: "sendfile", kinds: kindWrite | kindRead, decode: decodeSendfile},
	{nr: unix.SYS_SPLICE, name: "splice", kinds: kindWrite | kindRead, decode: decodeSplice},
	{nr: unix.SYS_COPY_FILE_RANGE, name: "copy_file_range", kinds: kindWrite | kindRead, decode: decodeCopyFileRange},

	{nr: unix.SYS_READ, name: "read", kinds: kindRead | kindSocket, decode: decodeRead},
	{nr: unix.SYS_PREAD64, name: "pread64", kinds: kindRead, decode: decodePread},
	{nr: unix.SYS_READV, name: "readv", kinds: kindRead | kindSocket, decode: decodeReadv},
	{nr: unix.SYS_PREADV, name: "preadv", kinds: kindRead, decode: decodePreadv},
	{nr: unix.SYS_PREADV2, name: "preadv2", kinds: kindRead, decode: decodePreadv},

	{nr: unix.SYS_FSYNC, name: "fsync", kinds: kindFsync, decode: decodeFsync},
	{nr: unix.SYS_FDATASYNC, name: "fdatasync", kinds: kindFsync, decode: decodeFsync},
	{nr: unix.SYS_SYNC, name: "sync", kinds: kindSyncAll, decode: decodeSync},
	{nr: unix.SYS_SYNCFS, name: "syncfs", kinds: kindSyncAll, decode: decodeSync},

	{nr: unix.SYS_OPENAT, name: "openat", kinds: kindCreate | kindTruncate | kindOpen, flags: &openFlags{argument: 2}, decode: decodeOpenat},
	{nr: unix.SYS_OPENAT2, name: "openat2", kinds: kindCreate | kindTruncate | kindOpen, decode: decodeOpenat2},
	{nr: unix.SYS_OPEN_BY_HANDLE_AT, name: "open_by_handle_at", kinds: kindOpen, flags: &openFlags{argument: 2}, decode: decodeOpenByHandle},
	{nr: unix.SYS_MKNODAT, name: "mknodat", kinds: kindCreate, decode: decodeMknodat},
	{nr: unix.SYS_LINKAT, name: "linkat", kinds: kindCreate, decode: decodeLinkat},
	{nr: unix.SYS_SYMLINKAT, name: "symlinkat", kinds: kindCreate, decode: decodeSymlinkat},
	{nr: unix.SYS_TRUNCATE, name: "truncate", kinds: kindTruncate | kindOpen, decode: decodeTruncate},
	{nr: unix.SYS_FTRUNCATE, name: "ftruncate", kinds: kindTruncate, decode: decodeFtruncate},
	{nr: unix.SYS_FALLOCATE, name: "fallocate", kinds: kindTruncate, decode: decodeFallocate},
	{nr: unix.SYS_RENAMEAT, name: "renameat", kinds: kindRename, decode: decodeRenameat},
	{nr: unix.SYS_RENAMEAT2, name: "renameat2", kinds: kindRename, decode: decodeRenameat2},
	{nr: unix.SYS_UNLINKAT, name: "unlinkat", kinds: kindUnlink, decode: decodeUnlinkat},
	{nr: unix.SYS_MKDIRAT, name: "mkdirat", kinds: kindMkdir, decode: decodeMkdirat},

	{nr: unix.SYS_SENDTO, name: "sendto", kinds: kindSockets, decode: decodeTransmit},
	{nr: unix.SYS_SENDMSG, name: "sendmsg", kinds: kindSockets, decode: decodeSendmsg},
	{nr: unix.SYS_RECVFROM, name: "recvfrom", kinds: kindSocket, decode: decodeTransmit},
	{nr: unix.SYS_RECVMSG, name: "recvmsg", kinds: kindSocket, decode: decodeRecvmsg},

	{nr: unix.SYS_EXECVE, name: "execve", kinds: kindExec, decode: decodeExec},
	{nr: unix.SYS_EXECVEAT, name: "execveat", kinds: kindExec, decode: decodeExec},

	{nr: unix.SYS_MMAP, name: "mmap", kinds: kindCoverage, sharedMapping: true, decode: decodeMmap},
	{nr: unix.SYS_IO_URING_SETUP, name: "io_uring_setup", kinds: kindCoverage, decode: decodeRing},
}

// callTable finds a call by its number.
type callTable [512]*call

// selectCalls returns the calls that can be one of the wanted kinds, and the same as a table.
func selectCalls(wanted kind) ([]*call, *callTable) {
	var trapped []*call
	table := new(callTable)
	for _, list := range [][]call{commonCalls, olderCalls} {
		for i := range list {
			if list[i].kinds&wanted == 0 {
				continue
			}
			trapped = append(trapped, &list[i])
			table[list[i].nr] = &list[i]
		}
	}
	return trapped, table
}
