package supervisor

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// patientSlack is how late, in nanoseconds, the kernel may wake the interposer's own threads from a timed sleep.
//
// A thread of Go's runtime (sysmon) looks every 20 us for work that it need not do here, each time that something happens, and slower and slower after it. With several containers it took a tenth of the machine, and a third of all switches from thread to thread. Its timer cannot be set from outside, but the slack of all timers of a thread can, and is what a new thread takes over; so the interposer has to be executed with it.
const patientSlack = 10_000_000

// patient is the word on the command line that says that the interposer was executed with it. What comes next is the slack that it was started with.
const patient = "patient"

// givenSlack is the slack that the interposer was started with, and its children are to have. Zero: it is theirs already.
var givenSlack uintptr

// bePatient executes the interposer again with its own slack, and comes back only where that is done or cannot be.
func bePatient(arguments []string) []string {
	if len(arguments) > 2 && arguments[0] == patient {
		if slack, err := strconv.ParseUint(arguments[1], 10, 64); err == nil {
			givenSlack = uintptr(slack)
			return arguments[2:]
		}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || slack <= 0 || slack >= patientSlack || unix.Prctl(unix.PR_SET_TIMERSLACK, patientSlack, 0, 0, 0) != nil {
		return arguments
	}
	err = syscall.Exec(ownPath(), append([]string{os.Args[0], patient, strconv.Itoa(slack)}, arguments...), os.Environ())
	complain(fmt.Errorf("execute the interposer with a larger timer slack: %w", err)) // it works without
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0)
	return arguments
}

// giveSlack gives the calling thread, which stays that of its goroutine, the slack that its children are to have.
func giveSlack() {
	if givenSlack != 0 {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, givenSlack, 0, 0, 0)
	}
}

// ownPath is where this executable lies, by whose name processes are listed.
func ownPath() string {
	if path, err := os.Executable(); err == nil && unix.Access(path, unix.X_OK) == nil {
		return path
	}
	return "/proc/self/exe"
}
