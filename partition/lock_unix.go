//go:build unix

package partition

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Lock uses flock: the kernel drops it with the process, however that died, so
// no stale lock is left to be removed by hand.
func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if errors.Is(err, unix.EISDIR) {
		f, err = os.Open(name)
	}
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", name, ErrLocked)
		}
		return nil, &os.PathError{Op: "flock", Path: name, Err: err}
	}
	return flock{f}, nil
}

// flock is a lock that is held.
type flock struct{ *os.File }

// Close unlocks and does not leave it to the closing of the file: a process
// that another goroutine has just forked, and that has not come to its exec
// yet, has the file open too, and would hold the lock a little longer.
func (l flock) Close() error {
	return errors.Join(unix.Flock(int(l.Fd()), unix.LOCK_UN), l.File.Close())
}
