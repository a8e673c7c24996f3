package partition

import "syscall"

// StartSync is sync_file_range with SYNC_FILE_RANGE_WRITE: the disk begins to
// write the bytes and nobody waits. It promises nothing, and an error means no
// more than that SyncData will have more to do.
func (f osFile) StartSync(offset, length int64) error {
	connection, err := f.SyscallConn()
	if err != nil {
		return err
	}
	const write = 2 // SYNC_FILE_RANGE_WRITE
	var failure error
	err = connection.Control(func(fd uintptr) { failure = syscall.SyncFileRange(int(fd), offset, length, write) })
	if err != nil {
		return err
	}
	return failure
}

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
