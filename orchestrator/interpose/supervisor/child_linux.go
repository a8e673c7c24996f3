package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// channelDescriptor is where a child finds its connection to the interposer.
const channelDescriptor = 3

// The exit codes of a program that could not be started, as shells and engines have them.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
	exitTrouble       = 125
)

// startFailure is what a child reports when it cannot become the program.
type startFailure struct {
	Message string `json:"message"`
	Code    int    `json:"code"`
}

func (f *startFailure) Error() string { return f.Message }

// becomeProgram is the life of the child between fork and exec: it takes the filter, puts it on one thread, sends the listener to the interposer and executes the program on that thread.
func becomeProgram(command []string) *startFailure {
	unix.CloseOnExec(channelDescriptor)
	program, err := receiveFilter(channelDescriptor)
	if err != nil {
		return &startFailure{err.Error(), exitTrouble}
	}
	path, failure := lookUp(command[0])
	if failure != nil {
		return failure
	}
	installed, proceed, failed := make(chan int), make(chan struct{}), make(chan *startFailure)
	go func() {
		// Only this thread has the filter, so that the other one can talk to the interposer by calls that the filter traps.
		runtime.LockOSThread()
		listener, err := installFilter(program)
		if err != nil {
			failed <- &startFailure{err.Error(), exitTrouble}
			return
		}
		installed <- listener
		<-proceed
		err = syscall.Exec(path, command, os.Environ())
		failed <- &startFailure{fmt.Sprintf("exec %q: %v", path, err), exitNotExecutable}
	}()
	select {
	case failure := <-failed:
		return failure
	case listener := <-installed:
		if err := sendListener(channelDescriptor, listener); err != nil {
			return &startFailure{err.Error(), exitTrouble}
		}
	}
	var ready [1]byte
	if n, err := unix.Read(channelDescriptor, ready[:]); n != 1 {
		return &startFailure{fmt.Sprintf("wait for the interposer: %v", err), exitTrouble}
	}
	close(proceed)
	return <-failed
}

// reportFailure tells the interposer why there is no program.
func reportFailure(failure *startFailure) {
	line, err := json.Marshal(failure)
	if err == nil {
		_, err = unix.Write(channelDescriptor, line)
	}
	if err != nil {
		complain(failure)
	}
}

// lookUp finds a command as the engine does: a name without a slash along PATH, anything else from the working directory.
func lookUp(command string) (string, *startFailure) {
	if strings.Contains(command, "/") {
		return command, executable(command)
	}
	refused := &startFailure{fmt.Sprintf("exec %q: executable file not found in $PATH", command), exitNotFound}
	for _, directory := range filepath.SplitList(os.Getenv("PATH")) {
		if directory == "" {
			directory = "."
		}
		candidate := filepath.Join(directory, command)
		failure := executable(candidate)
		if failure == nil {
			return candidate, nil
		}
		if failure.Code == exitNotExecutable {
			refused = failure
		}
	}
	return "", refused
}

func executable(path string) *startFailure {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return &startFailure{fmt.Sprintf("exec %q: no such file or directory", path), exitNotFound}
	case err != nil:
		return &startFailure{err.Error(), exitNotExecutable}
	case info.IsDir():
		return &startFailure{fmt.Sprintf("exec %q: is a directory", path), exitNotExecutable}
	case unix.Access(path, unix.X_OK) != nil:
		return &startFailure{fmt.Sprintf("exec %q: permission denied", path), exitNotExecutable}
	}
	return nil
}

// instructionSize is the size of struct sock_filter.
const instructionSize = int(unsafe.Sizeof(unix.SockFilter{}))

// maxInstructions is well above what all trapped calls together need.
const maxInstructions = 1024

func sendFilter(channel int, program []unix.SockFilter) error {
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&program[0])), len(program)*instructionSize)
	if _, err := unix.Write(channel, raw); err != nil {
		return fmt.Errorf("send filter: %w", err)
	}
	return nil
}

func receiveFilter(channel int) ([]unix.SockFilter, error) {
	program := make([]unix.SockFilter, maxInstructions)
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&program[0])), len(program)*instructionSize)
	n, err := unix.Read(channel, raw)
	if err != nil || n == 0 || n%instructionSize != 0 {
		return nil, fmt.Errorf("receive filter: %d bytes: %w", n, err)
	}
	return program[:n/instructionSize], nil
}

func sendListener(channel, listener int) error {
	if err := unix.Sendmsg(channel, []byte{0}, unix.UnixRights(listener), nil, 0); err != nil {
		return fmt.Errorf("send listener: %w", err)
	}
	return nil
}

// receiveListener waits for the child's listener; a child that failed sends its failure in its place.
func receiveListener(channel int) (int, error) {
	buffer, control := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	n, controlLength, _, _, err := unix.Recvmsg(channel, buffer, control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("receive listener: %w", err)
	}
	if controlLength == 0 {
		return -1, parseFailure(buffer[:n])
	}
	messages, err := unix.ParseSocketControlMessage(control[:controlLength])
	if err != nil || len(messages) != 1 {
		return -1, fmt.Errorf("receive listener: %d control messages: %w", len(messages), err)
	}
	descriptors, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(descriptors) != 1 {
		return -1, fmt.Errorf("receive listener: %d descriptors: %w", len(descriptors), err)
	}
	return descriptors[0], nil
}

// awaitExec returns when the child has become the program, or why it has not.
func awaitExec(channel int) error {
	buffer := make([]byte, 4096)
	for {
		n, err := unix.Read(channel, buffer)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("wait for exec: %w", err)
		case n == 0:
			return nil // closed by exec
		default:
			return parseFailure(buffer[:n])
		}
	}
}

func parseFailure(line []byte) error {
	failure := new(startFailure)
	if err := json.Unmarshal(line, failure); err != nil {
		return &startFailure{fmt.Sprintf("start program: the child ended early (%q)", line), exitTrouble}
	}
	return failure
}
