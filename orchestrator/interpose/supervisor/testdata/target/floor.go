package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// floorCalls are the calls that the floor can be told to trap.
var floorCalls = map[string]uint32{"write": unix.SYS_PWRITE64, "sync": unix.SYS_FDATASYNC}

// floor: CALLS COMMAND... Runs the command and traps calls of it with the least that anybody has to do who wants to know their files: receive the call, read where its descriptor points to, let it go on. CALLS is some of "write", "sync" and "bytes", which reads what a write carries as well, joined by commas. What it costs is the kernel's; what the interposer costs beyond it is the interposer's own.
func floor(arguments []string) error {
	// As the interposer's, this runtime is to keep quiet.
	runtime.LockOSThread()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return err
	}
	const quiet = 10_000_000
	if slack < quiet {
		if err := unix.Prctl(unix.PR_SET_TIMERSLACK, quiet, 0, 0, 0); err != nil {
			return err
		}
		return syscall.Exec("/proc/self/exe", append([]string{"target", "floor"}, arguments...), os.Environ())
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	child, err := syscall.ForkExec("/proc/self/exe", append([]string{"target", "floored"}, arguments...), &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, 1, 2, uintptr(pair[1])},
	})
	if err != nil {
		return err
	}
	unix.Close(pair[1])
	control := make([]byte, unix.CmsgSpace(4))
	_, controlBytes, _, _, err := unix.Recvmsg(pair[0], make([]byte, 1), control, 0)
	if err != nil {
		return err
	}
	messages, err := unix.ParseSocketControlMessage(control[:controlBytes])
	if err != nil || len(messages) != 1 {
		return fmt.Errorf("receive listener: %d messages, %w", len(messages), err)
	}
	listeners, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	if err := letGo(uintptr(listeners[0]), child, strings.Contains(arguments[0], "bytes")); err != nil {
		return err
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(child, &status, 0, nil); err != nil {
		return err
	}
	if status.ExitStatus() != 0 {
		return fmt.Errorf("the program ended with %d", status.ExitStatus())
	}
	return nil
}

// letGo lets every trapped call go on until nobody is left.
func letGo(listener uintptr, child int, bytes bool) error {
	const setFlags = 0x40082104                                                                  // SECCOMP_IOCTL_NOTIF_SET_FLAGS
	unix.RawSyscall(unix.SYS_IOCTL, listener, setFlags, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) // which older kernels have not
	descriptors, err := unix.Open(fmt.Sprintf("/proc/%d/fd", child), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	memory := -1
	var received struct {
		id         uint64
		tid, flags uint32
		nr         int32
		arch       uint32
		ip         uint64
		args       [6]uint64
	}
	var buffer [unix.PathMax]byte
	for {
		ready := unix.PollFd{Fd: int32(listener), Events: unix.POLLIN}
		_, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&ready)), 1, 0, 0, 0, 0)
		if errno == unix.EINTR {
			unix.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&ready)), 1, 0, 0, 0, 0)
		}
		if ready.Revents&unix.POLLIN == 0 {
			if ready.Revents != 0 {
				return nil
			}
			continue
		}
		clear(unsafe.Slice((*byte)(unsafe.Pointer(&received)), unsafe.Sizeof(received)))
		if _, _, errno := unix.RawSyscall(unix.SYS_IOCTL, listener, unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&received))); errno != 0 {
			continue
		}
		var digits [16]byte
		name := append(strconv.AppendInt(digits[:0], int64(received.args[0]), 10), 0)
		if _, _, errno := unix.RawSyscall6(unix.SYS_READLINKAT, uintptr(descriptors), uintptr(unsafe.Pointer(&name[0])), uintptr(unsafe.Pointer(&buffer[0])), uintptr(len(buffer)), 0, 0); errno != 0 {
			return fmt.Errorf("find the path: %w", errno)
		}
		if bytes {
			if memory < 0 { // it is opened when the program has been executed
				if memory, err = unix.Open(fmt.Sprintf("/proc/%d/mem", child), unix.O_RDONLY, 0); err != nil {
					return err
				}
			}
			if _, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, uintptr(memory), uintptr(unsafe.Pointer(&buffer[0])), uintptr(min(received.args[2], uint64(len(buffer)))), uintptr(received.args[1]), 0, 0); errno != 0 {
				return fmt.Errorf("read the bytes: %w", errno)
			}
		}
		answer := struct {
			id    uint64
			value int64
			errno int32
			flags uint32
		}{id: received.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		unix.RawSyscall(unix.SYS_IOCTL, listener, unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&answer)))
	}
}

// floored: CALLS COMMAND... Becomes the command, with a filter that traps the calls, whose listener goes to descriptor 3.
func floored(arguments []string) error {
	runtime.LockOSThread()
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the call's number
	for name := range strings.SplitSeq(arguments[0], ",") {
		if number, known := floorCalls[name]; known {
			program = append(program,
				unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: number, Jf: 1},
				unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
		}
	}
	program = append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	listener, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, uintptr(unsafe.Pointer(&filter)))
	if errno != 0 {
		return fmt.Errorf("install filter: %w", errno)
	}
	if err := unix.Sendmsg(3, []byte{0}, unix.UnixRights(int(listener)), nil, 0); err != nil {
		return err
	}
	unix.Close(3)
	unix.Close(int(listener))
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 50_000, 0, 0, 0); err != nil { // the kernel's default
		return err
	}
	return syscall.Exec("/proc/self/exe", append([]string{"target"}, arguments[1:]...), os.Environ())
}
