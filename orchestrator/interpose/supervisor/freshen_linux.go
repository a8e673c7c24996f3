package supervisor

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// freshen makes what a container's death takes away, and the death of its program alone does not, what it is in a new life: memory shared by name, and what is in file systems in memory, but for volumes that are such.
func freshen(volumes []pattern) error {
	mounts, err := memoryMounts()
	if err != nil {
		return err
	}
	for _, mount := range mounts {
		if matchesAny(volumes, mount+"/x") {
			continue
		}
		if err := empty(mount); err != nil {
			return fmt.Errorf("empty %s: %w", mount, err)
		}
	}
	return removeSharedMemory()
}

// memoryMounts lists the container's writable file systems in memory, but for those that hold devices or hide what the engine hides.
func memoryMounts() ([]string, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	defer file.Close()
	var mounts []string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		_, after, found := strings.Cut(lines.Text(), " - ")
		if !found || len(fields) < 6 || !strings.HasPrefix(after, "tmpfs ") || !strings.HasPrefix(fields[5], "rw") {
			continue
		}
		point := unescapeMount(fields[4])
		if point == "/dev" || point == "/" || strings.HasPrefix(point, "/proc") || strings.HasPrefix(point, "/sys") {
			continue
		}
		mounts = append(mounts, point)
	}
	return mounts, nil
}

// unescapeMount reads a path of mountinfo, in which blanks are octal.
func unescapeMount(text string) string {
	for _, escaped := range []struct{ from, to string }{{`\040`, " "}, {`\011`, "\t"}, {`\012`, "\n"}, {`\134`, `\`}} {
		text = strings.ReplaceAll(text, escaped.from, escaped.to)
	}
	return text
}

// empty removes what is in a directory.
func empty(directory string) error {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return err
	}
	var failed []error
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(directory, entry.Name())); err != nil && !errors.Is(err, unix.EBUSY) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// removeSharedMemory removes the System V objects of the container, which live in a namespace that ends with it.
func removeSharedMemory() error {
	for _, kind := range []struct {
		list  string
		call  uintptr
		owner int // the field that says whose it is
	}{{"shm", unix.SYS_SHMCTL, 7}, {"sem", unix.SYS_SEMCTL, 4}, {"msg", unix.SYS_MSGCTL, 7}} {
		text, err := os.ReadFile("/proc/sysvipc/" + kind.list)
		if err != nil {
			continue // a kernel without them
		}
		for index, line := range strings.Split(string(text), "\n") {
			fields := strings.Fields(line)
			if index == 0 || len(fields) <= kind.owner {
				continue
			}
			id, idErr := strconv.Atoi(fields[1])
			owner, ownerErr := strconv.Atoi(fields[kind.owner])
			if idErr != nil || ownerErr != nil {
				continue
			}
			command := []uintptr{uintptr(id), unix.IPC_RMID, 0}
			if kind.list == "sem" {
				command = []uintptr{uintptr(id), 0, unix.IPC_RMID}
			}
			remove := func() unix.Errno {
				_, _, errno := unix.RawSyscall(kind.call, command[0], command[1], command[2])
				return errno
			}
			errno := remove()
			if errno == unix.EPERM {
				errno = as(owner, remove)
			}
			if errno != 0 && errno != unix.EINVAL && errno != unix.EIDRM {
				return fmt.Errorf("remove System V object %d of user %d: %w", id, owner, errno)
			}
		}
	}
	return nil
}

// as does something as another user. Root in a container may not remove what belongs to others; it may become them.
func as(user int, do func() unix.Errno) unix.Errno {
	const unchanged = ^uintptr(0)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own := uintptr(unix.Geteuid())
	// Go's own calls are for all threads, these for this one alone.
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, unchanged, uintptr(user), unchanged); errno != 0 {
		return errno
	}
	errno := do()
	if _, _, back := unix.RawSyscall(unix.SYS_SETRESUID, unchanged, own, unchanged); back != 0 {
		complain(fmt.Errorf("become user %d again: %w", own, back))
		os.Exit(exitTrouble)
	}
	return errno
}
