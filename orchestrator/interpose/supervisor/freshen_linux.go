package supervisor

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
		list string
		call uintptr
	}{{"shm", unix.SYS_SHMCTL}, {"sem", unix.SYS_SEMCTL}, {"msg", unix.SYS_MSGCTL}} {
		text, err := os.ReadFile("/proc/sysvipc/" + kind.list)
		if err != nil {
			continue // a kernel without them
		}
		for index, line := range strings.Split(string(text), "\n") {
			fields := strings.Fields(line)
			if index == 0 || len(fields) < 2 {
				continue
			}
			id, err := strconv.Atoi(fields[1])
			if err != nil {
				continue
			}
			command := []uintptr{uintptr(id), unix.IPC_RMID, 0}
			if kind.list == "sem" {
				command = []uintptr{uintptr(id), 0, unix.IPC_RMID}
			}
			if _, _, errno := unix.Syscall(kind.call, command[0], command[1], command[2]); errno != 0 && errno != unix.EINVAL && errno != unix.EIDRM {
				return fmt.Errorf("remove System V object %d: %w", id, errno)
			}
		}
	}
	return nil
}
