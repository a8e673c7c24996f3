package supervisor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const pageSize = 4096

// memory reads and writes the memory of the program's threads.
type memory struct {
	// throughProc says that process_vm_readv is forbidden here, as by the default profile of Docker before 22, and /proc/TID/mem is read instead.
	throughProc bool
	threads     *threads
	// kept says that each thread's /proc/TID/mem is kept open. It stays that of the memory that the thread had when it was opened, so every exec has to be trapped, and makes the threads be forgotten.
	kept bool
}

// read fills buffer from the thread's memory at address; fewer bytes are an error.
func (m *memory) read(t *thread, address uint64, buffer []byte) error {
	n, err := m.readSome(t, address, buffer)
	if err != nil {
		return err
	}
	if n < len(buffer) {
		return fmt.Errorf("read memory of thread %d at %#x: %w", t.tid, address, unix.EFAULT)
	}
	return nil
}

func (m *memory) readSome(t *thread, address uint64, buffer []byte) (int, error) {
	if len(buffer) == 0 {
		return 0, nil
	}
	if !m.throughProc {
		n, errno := m.transfer(unix.SYS_PROCESS_VM_READV, t, address, buffer)
		if errno == 0 {
			return n, nil
		}
		if errno != unix.EPERM && errno != unix.ENOSYS {
			return 0, fmt.Errorf("read memory of thread %d at %#x: %w", t.tid, address, errno)
		}
	}
	n, errno := m.readFile(t, address, buffer)
	if errno == 0 && n > 0 {
		return n, nil
	}
	if errno == 0 {
		errno = unix.EIO // the memory is gone
	}
	return 0, accessDenied(t, fmt.Errorf("read memory of thread %d at %#x: %w", t.tid, address, errno))
}

// readFile reads from /proc/TID/mem.
func (m *memory) readFile(t *thread, address uint64, buffer []byte) (int, unix.Errno) {
	known := t.directory > 0
	if known && !t.seen && t.gone() {
		// The number has passed to another thread.
		if err := m.threads.open(t); err != nil {
			return 0, unix.ESRCH
		}
	}
	if file, open := t.kept[keptMemory]; open {
		if n, errno := readAt(file, address, buffer); errno == 0 && n > 0 {
			return n, 0
		}
		m.threads.drop(t, keptMemory)
	}
	file, errno := openMemory(t)
	if known && (errno == unix.EACCES || errno == unix.EPERM) && m.threads.open(t) == nil {
		// The thread may have changed its user since it was looked at.
		file, errno = openMemory(t)
	}
	if errno != 0 {
		return 0, errno
	}
	n, errno := readAt(file, address, buffer)
	if known && m.kept && n > 0 {
		m.threads.keep(t, keptMemory, file)
	} else {
		unix.Close(file)
	}
	return n, errno
}

func openMemory(t *thread) (file int, errno unix.Errno) {
	file, err := unix.Open(t.procPath("mem"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	errors.As(err, &errno)
	return file, errno
}

// readAt reads without telling the scheduler, which takes longer.
func readAt(file int, offset uint64, buffer []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, uintptr(file), uintptr(unsafe.Pointer(&buffer[0])), uintptr(len(buffer)), uintptr(offset), 0, 0)
	return int(n), errno
}

// write puts data into the thread's memory.
func (m *memory) write(t *thread, address uint64, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	n, errno := m.transfer(unix.SYS_PROCESS_VM_WRITEV, t, address, data)
	if errno == 0 && n == len(data) {
		return nil
	}
	file, err := os.OpenFile(t.procPath("mem"), os.O_WRONLY, 0)
	if err != nil {
		return accessDenied(t, err)
	}
	defer file.Close()
	if _, err := file.WriteAt(data, int64(address)); err != nil {
		return fmt.Errorf("write memory of thread %d at %#x: %w", t.tid, address, err)
	}
	return nil
}

func (m *memory) transfer(number uintptr, t *thread, address uint64, buffer []byte) (int, unix.Errno) {
	local := vector{uint64(uintptr(unsafe.Pointer(&buffer[0]))), uint64(len(buffer))}
	remote := vector{address, uint64(len(buffer))}
	n, _, errno := unix.RawSyscall6(number, uintptr(t.tid), uintptr(unsafe.Pointer(&local)), 1, uintptr(unsafe.Pointer(&remote)), 1, 0)
	runtime.KeepAlive(buffer)
	return int(n), errno
}

// readString reads a path that ends in a zero byte, page by page, since what lies behind it may not be mapped.
func (m *memory) readString(t *thread, address uint64, buffer []byte) ([]byte, error) {
	length := 0
	for length < len(buffer) {
		at := address + uint64(length)
		chunk := min(pageSize-int(at%pageSize), len(buffer)-length)
		n, err := m.readSome(t, at, buffer[length:length+chunk])
		if err != nil {
			return nil, err
		}
		if end := bytes.IndexByte(buffer[length:length+n], 0); end >= 0 {
			return buffer[:length+end], nil
		}
		length += n
		if n < chunk {
			break
		}
	}
	return nil, fmt.Errorf("read path of thread %d at %#x: %w", t.tid, address, unix.ENAMETOOLONG)
}

// maxVectors is the kernel's own bound (UIO_MAXIOV).
const maxVectors = 1024

// vector is one buffer of a vectored call, in the program's memory.
type vector struct{ base, length uint64 }

// readVectors reads the array of buffers of a vectored call.
func (m *memory) readVectors(t *thread, address uint64, count int) ([]vector, error) {
	if count < 0 || count > maxVectors {
		return nil, fmt.Errorf("read %d buffers of thread %d: %w", count, t.tid, unix.EINVAL)
	}
	raw := make([]byte, 16*count)
	if err := m.read(t, address, raw); err != nil {
		return nil, err
	}
	vectors := make([]vector, count)
	for i := range vectors {
		vectors[i].base = binary.LittleEndian.Uint64(raw[16*i:])
		vectors[i].length = binary.LittleEndian.Uint64(raw[16*i+8:])
	}
	return vectors, nil
}
