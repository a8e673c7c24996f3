package supervisor

import "golang.org/x/sys/unix"

const (
	auditArchitecture = unix.AUDIT_ARCH_AARCH64
	// foreignAnnouncement is 32-bit ARM's set_tls, which a 32-bit program makes once to set up its thread-local storage.
	foreignAnnouncement = 0x0f0005
	foreignName         = "32-bit ARM"
)

// olderCalls are those that newer architectures do not have; arm64 has none of them.
var olderCalls []call

// vforkCall does not exist on arm64; clone with CLONE_VFORK takes its place.
const vforkCall = -1
