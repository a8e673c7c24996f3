package partition

import "syscall"

// SyncData is fdatasync: it leaves out the times of the file, which nobody
// here reads, and so saves a journal commit of the file system.
func (f osFile) SyncData() error {
	connection, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	err = connection.Control(func(fd uintptr) {
		for {
			if failure = syscall.Fdatasync(int(fd)); failure != syscall.EINTR {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return failure
}
