package main

import (
	"fmt"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

func vforkWriteExec(file int, data *byte, length int, path *byte, arguments, environment **byte) (process int)

// shared has the same address in parent and child, before the exec and after it.
var shared [64]byte

// vfork: FILE TEXT OTHER. A child that shares this process's memory appends TEXT, and then OTHER as a program of its own, while this process lives on.
func vfork(arguments []string) error {
	runtime.LockOSThread()
	file, err := unix.Open(arguments[0], unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	length := copy(shared[:], arguments[1])
	if len(arguments) == 2 {
		_, err := unix.Write(file, shared[:length])
		return err
	}
	path, err := unix.BytePtrFromString("/proc/self/exe")
	if err != nil {
		return err
	}
	child, err := syscall.SlicePtrFromStrings([]string{"target", "vfork", arguments[0], arguments[2]})
	if err != nil {
		return err
	}
	environment := []*byte{nil}
	process := vforkWriteExec(file, &shared[0], length, path, &child[0], &environment[0])
	if process < 0 {
		return fmt.Errorf("clone: %w", unix.Errno(-process))
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(process, &status, 0, nil); err != nil {
		return err
	}
	if status != 0 {
		return fmt.Errorf("child ended with %v", status)
	}
	return nil
}
