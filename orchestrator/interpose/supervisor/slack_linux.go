package supervisor

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// patientSlack is how late, in nanoseconds, the kernel may wake one thread of the interposer from a timed sleep: the one with which Go's runtime looks for work that was left lying (sysmon).
//
// That thread sleeps for 20 us at first and longer where nothing happens, but something does with each trapped call: in a bed of three containers it woke up a thousand times a second in each, which was a third of all switches from thread to thread, and took a tenth of the machine. Nothing sets its pauses; but a new thread takes over the timer slack of the one that makes it, so the interposer is executed with a large one, which the runtime's first threads have, and gives the others the slack that it was started with.
const patientSlack = 10_000_000

// patient is the word on the command line that says that the interposer was executed with it. What comes next is the slack that it was started with.
const patient = "patient"

// givenSlack is the slack that the interposer was started with. Zero: every thread has it.
var givenSlack uintptr

// bePatient executes the interposer again with the slack of patience. It comes back, with the arguments proper, where that has been done or cannot be.
func bePatient(arguments []string) []string {
	if len(arguments) > 2 && arguments[0] == patient {
		if slack, err := strconv.ParseUint(arguments[1], 10, 64); err == nil {
			givenSlack = uintptr(slack)
			giveSlack() // before any thread is made for this one, which is the first
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

// giveSlack gives the calling thread the slack that the interposer was started with, for itself and for what is forked from it.
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
