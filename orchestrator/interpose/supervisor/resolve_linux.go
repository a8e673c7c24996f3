package supervisor

import (
	"errors"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks bounds how many symbolic links without a target are followed for one path, as the kernel does.
const maxLinks = 40

// name is a path argument of a call, found in the file system.
type name struct {
	path   string // as the kernel would name it: absolute, no symbolic link in its directories
	exists bool
	stat   unix.Stat_t // of what exists
}

// resolve finds the file that a path argument names, for a thread, as the kernel will: relative to a directory descriptor or the working directory, below the thread's root, with the thread's view of /proc/self. With follow, a symbolic link at the end is followed.
func resolve(t *thread, directory int32, argument string, follow bool) (name, error) {
	reach := reachable(t, directory, argument)
	for range maxLinks {
		if follow {
			if found, err := openName(reach); err == nil {
				return found, nil
			} else if !errors.Is(err, unix.ENOENT) {
				return name{}, accessDenied(t, err)
			}
		}
		found, err := nameInDirectory(reach)
		if err != nil {
			return name{}, accessDenied(t, err)
		}
		if !follow || !found.exists || found.stat.Mode&unix.S_IFMT != unix.S_IFLNK {
			return found, nil
		}
		// A link to a file that does not exist yet: an open with O_CREAT makes its target.
		target, err := os.Readlink(found.path)
		if err != nil {
			return name{}, err
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(found.path), target)
		}
		reach = target
	}
	return name{}, unix.ELOOP
}

// reachable turns a path argument of the thread into a path that means the same to the interposer.
func reachable(t *thread, directory int32, argument string) string {
	if !path.IsAbs(argument) {
		base := t.procPath("cwd")
		if directory != unix.AT_FDCWD {
			base = t.procPath("fd/" + strconv.Itoa(int(directory)))
		}
		if argument == "" {
			return base
		}
		return base + "/" + argument
	}
	process := "/proc/" + strconv.Itoa(t.process)
	for _, own := range []struct{ prefix, meaning string }{
		{"/proc/self", process},
		{"/proc/thread-self", process + "/task/" + strconv.Itoa(t.tid)},
		{"/dev/fd", process + "/fd"},
		{"/dev/stdin", process + "/fd/0"},
		{"/dev/stdout", process + "/fd/1"},
		{"/dev/stderr", process + "/fd/2"},
	} {
		if rest, found := strings.CutPrefix(argument, own.prefix); found && (rest == "" || rest[0] == '/') {
			return own.meaning + rest
		}
	}
	if root, err := os.Readlink(t.procPath("root")); err == nil && root != "/" {
		return t.procPath("root") + argument
	}
	return argument
}

// openName names what the path leads to, links followed.
func openName(reach string) (name, error) {
	descriptor, err := unix.Open(reach, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return name{}, err
	}
	defer unix.Close(descriptor)
	found := name{exists: true}
	if err := unix.Fstat(descriptor, &found.stat); err != nil {
		return name{}, err
	}
	found.path, err = os.Readlink("/proc/self/fd/" + strconv.Itoa(descriptor))
	return found, err
}

// nameInDirectory names an entry of a directory, whether it exists or not; a link at the end is the entry itself.
func nameInDirectory(reach string) (name, error) {
	trimmed := strings.TrimRight(reach, "/")
	directory, entry := path.Split(trimmed)
	if entry == "." || entry == ".." || entry == "" {
		return openName(reach)
	}
	descriptor, err := unix.Open(directory, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return name{}, err
	}
	defer unix.Close(descriptor)
	real, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(descriptor))
	if err != nil {
		return name{}, err
	}
	found := name{path: path.Join(real, entry)}
	found.exists = unix.Fstatat(descriptor, entry, &found.stat, unix.AT_SYMLINK_NOFOLLOW) == nil
	return found, nil
}
