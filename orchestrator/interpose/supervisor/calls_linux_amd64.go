package supervisor

import "golang.org/x/sys/unix"

const (
	auditArchitecture = unix.AUDIT_ARCH_X86_64
	// foreignAnnouncement is i386's set_thread_area, which a 32-bit program makes once to set up its thread-local storage.
	foreignAnnouncement = 243
	foreignName         = "i386"
)

// olderCalls are those that newer architectures do not have.
var olderCalls = []call{
	{nr: unix.SYS_OPEN, name: "open", kinds: kindCreate | kindTruncate | kindOpen, flags: &openFlags{argument: 1}, decode: decodeOpen},
	{nr: unix.SYS_CREAT, name: "creat", kinds: kindCreate | kindTruncate | kindOpen, decode: decodeCreat},
	{nr: unix.SYS_MKNOD, name: "mknod", kinds: kindCreate, decode: decodeMknod},
	{nr: unix.SYS_RENAME, name: "rename", kinds: kindRename, decode: decodeRename},
	{nr: unix.SYS_LINK, name: "link", kinds: kindCreate, decode: decodeLink},
	{nr: unix.SYS_SYMLINK, name: "symlink", kinds: kindCreate, decode: decodeSymlink},
	{nr: unix.SYS_UNLINK, name: "unlink", kinds: kindUnlink, decode: decodeUnlink},
	{nr: unix.SYS_RMDIR, name: "rmdir", kinds: kindUnlink, decode: decodeUnlink},
	{nr: unix.SYS_MKDIR, name: "mkdir", kinds: kindMkdir, decode: decodeMkdir},
}

// vforkCall makes a child and waits for it to leave the memory that they share.
const vforkCall = unix.SYS_VFORK
