package supervisor

import (
	"golang.org/x/sys/unix"
)

// The offsets of struct seccomp_data, which the filter program sees.
const (
	dataNumber       = 0
	dataArchitecture = 4
	dataArguments    = 16
)

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func loadArgument(index int) unix.SockFilter { return load(dataArguments + 8*uint32(index)) }

func jumpIf(test uint16, value uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | test, Jt: yes, Jf: no, K: value}
}

func answer(action uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
}

// buildFilter makes the program that traps exactly the given calls, where they can be one of the wanted kinds.
//
// Every other call takes the same way through it, whatever its arguments, so that the kernel (5.11 and later) finds out once that it is always allowed and does not run the program for it any more.
func buildFilter(trapped []*call, wanted kind) []unix.SockFilter {
	program := []unix.SockFilter{
		load(dataArchitecture),
		jumpIf(unix.BPF_JEQ, auditArchitecture, 4, 0),
		// A program of the 32-bit architecture cannot be followed. Its C library announces it with a call that every such program makes once.
		load(dataNumber),
		jumpIf(unix.BPF_JEQ, foreignAnnouncement, 0, 1),
		answer(unix.SECCOMP_RET_USER_NOTIF),
		answer(unix.SECCOMP_RET_ALLOW),
		load(dataNumber),
	}
	for _, c := range trapped {
		block := trapBlock(c, wanted)
		program = append(program, jumpIf(unix.BPF_JEQ, uint32(c.nr), 0, uint8(len(block))))
		program = append(program, block...)
	}
	return append(program, answer(unix.SECCOMP_RET_ALLOW))
}

// trapBlock decides about one call, of which the program knows the number already.
func trapBlock(c *call, wanted kind) []unix.SockFilter {
	switch {
	case c.sharedMapping:
		// MAP_SHARED and MAP_SHARED_VALIDATE differ in a bit that MAP_PRIVATE has too, so the type is compared, not tested.
		return []unix.SockFilter{
			loadArgument(2),
			jumpIf(unix.BPF_JSET, unix.PROT_WRITE, 0, 6),
			loadArgument(3),
			jumpIf(unix.BPF_JSET, unix.MAP_ANONYMOUS, 4, 0),
			{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: unix.MAP_TYPE},
			jumpIf(unix.BPF_JEQ, unix.MAP_SHARED, 1, 0),
			jumpIf(unix.BPF_JEQ, unix.MAP_SHARED_VALIDATE, 0, 1),
			answer(unix.SECCOMP_RET_USER_NOTIF),
			answer(unix.SECCOMP_RET_ALLOW),
		}
	case c.flags != nil:
		return []unix.SockFilter{
			loadArgument(c.flags.argument),
			jumpIf(unix.BPF_JSET, c.flags.mask(wanted), 0, 1),
			answer(unix.SECCOMP_RET_USER_NOTIF),
			answer(unix.SECCOMP_RET_ALLOW),
		}
	}
	return []unix.SockFilter{answer(unix.SECCOMP_RET_USER_NOTIF)}
}
