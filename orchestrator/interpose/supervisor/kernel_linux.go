package supervisor

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// notification is the kernel's struct seccomp_notif: a call that a thread wants to make and waits in.
type notification struct {
	id    uint64
	tid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

// response is the kernel's struct seccomp_notif_resp.
type response struct {
	id    uint64
	value int64
	errno int32 // negative, or zero
	flags uint32
}

const (
	ioctlValid    = 0x40082102 // SECCOMP_IOCTL_NOTIF_ID_VALID
	ioctlSetFlags = 0x40082104 // SECCOMP_IOCTL_NOTIF_SET_FLAGS
)

// receive blocks until a thread makes a trapped call.
//
// A blocking call that Go's scheduler knows of costs tens of microseconds when the scheduler has turned to something else meanwhile, on two processors and with a program that waits for its disk between the calls. So the scheduler is not told of the wait, until the signal with which it stops whoever runs for too long, or the world, has interrupted it: only the wait that follows is announced. A time limit would do the same, but a timer that is set for each call is what a processor that goes to sleep has to program, and a virtual machine does that slowly.
func receive(listener int, n *notification) unix.Errno {
	ready := unix.PollFd{Fd: int32(listener), Events: unix.POLLIN}
	count, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&ready)), 1, uintptr(unsafe.Pointer(unannounced())), 0, 0, 0)
	if errno == unix.EINTR || errno == 0 && count == 0 {
		_, _, errno = unix.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&ready)), 1, 0, 0, 0, 0)
	}
	if errno != 0 {
		return errno
	}
	if ready.Revents&unix.POLLIN == 0 {
		return unix.ENOENT // nobody is left
	}
	*n = notification{} // the kernel refuses a buffer that is not zeroed
	_, _, errno = unix.RawSyscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(n)))
	return errno
}

// unannounced limits the wait that the scheduler is not told of: not at all, unless the environment, which is the program's too, keeps the scheduler from sending its signal.
var unannounced = sync.OnceValue(func() *unix.Timespec {
	if !strings.Contains(os.Getenv("GODEBUG"), "asyncpreemptoff=1") {
		return nil
	}
	limit := unix.NsecToTimespec((5 * time.Millisecond).Nanoseconds())
	return &limit
})

// respond answers a notification. ENOENT means that the thread died meanwhile, which is no error.
func respond(listener int, r *response) unix.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(r)))
	return errno
}

// proceed lets the call be executed by the kernel as if it had never been trapped.
func proceed(listener int, id uint64) unix.Errno {
	return respond(listener, &response{id: id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE})
}

// stillWaiting reports whether the thread of the notification still waits in the call: only then did its number not pass to another thread while something of it was opened by number.
func stillWaiting(listener int, id *uint64) bool {
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(listener), ioctlValid, uintptr(unsafe.Pointer(id)))
	return errno == 0
}

// setSyncWakeUp asks the kernel to switch between program and interposer on one processor; Linux 6.6 and later can.
func setSyncWakeUp(listener int) bool {
	_, _, errno := unix.RawSyscall(unix.SYS_IOCTL, uintptr(listener), ioctlSetFlags, unix.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)
	return errno == 0
}

// installFilter puts the filter on the calling thread, for good, and returns the descriptor on which its notifications arrive.
func installFilter(program []unix.SockFilter) (int, error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, fmt.Errorf("set no_new_privs: %w", err)
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	flags := uintptr(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
	listener, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&filter)))
	switch errno {
	case 0:
		return int(listener), nil
	case unix.EINVAL:
		return -1, fmt.Errorf("install seccomp filter: %w: exact crash points need Linux 5.19 or later", errno)
	case unix.EBUSY:
		return -1, fmt.Errorf("install seccomp filter: %w: the container's runtime already listens for system calls itself", errno)
	case unix.EPERM, unix.EACCES, unix.ENOSYS:
		return -1, fmt.Errorf("install seccomp filter: %w: the container's seccomp profile forbids seccomp; Docker's default profile allows it", errno)
	}
	return -1, fmt.Errorf("install seccomp filter: %w", errno)
}
