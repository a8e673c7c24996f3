package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// measureTurns is how often the programs that are compared take turns, so that what happens to the machine meanwhile happens to all. A turn is some milliseconds: a disk is as fast as it is for longer than that.
const measureTurns = 400

// How a turn divides its calls.
const (
	writesPerOpen = 8  // of the timed writes, before the descriptor's number is given to another file
	syncsPerTurn  = 25 // timed writes with fdatasync, in place and at the end of the file, behind one of each that is not timed
	untrappedRuns = 10 // so many calls that nobody traps are timed as one
)

// measure: FILE COUNT MINE NEXT. Several of them take turns, by one byte in a named pipe of each: MINE is read from before a turn, NEXT written to after it. For each turn it prints, in nanoseconds, the median time of a write, through one number of a descriptor that belongs to FILE and to another file by turns; of a call that nobody traps; and the times of writes with fdatasync, in place and at the end of the file, for which a file system has more to sync. At the end it prints how many writes went to FILE.
func measure(arguments []string) error {
	runtime.LockOSThread()
	m := &measurement{path: arguments[0], data: make([]byte, 100)}
	count := number(arguments[1]) / measureTurns
	mine, err := os.OpenFile(arguments[2], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	next, err := os.OpenFile(arguments[3], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	turn := make([]byte, 1)
	for range measureTurns {
		if _, err := mine.Read(turn); err != nil {
			return err
		}
		m.turn(count)
		if m.err != nil {
			return m.err
		}
		if _, err := next.Write(turn); err != nil {
			return err
		}
	}
	fmt.Printf("written %d\n", m.written)
	return nil
}

// measurement is a running measurement; the first error stays.
type measurement struct {
	path    string
	data    []byte
	file    int
	other   bool // file is the other one
	end     int64
	written int // to the path
	err     error
}

func (m *measurement) turn(count int) {
	var write, untrapped []int64
	for i := range count {
		if i%writesPerOpen == 0 {
			m.open(i/writesPerOpen%2 == 1)
		}
		write = append(write, m.time(func() error { return m.write(0) }))
		if i == count-1 {
			m.close()
		}
	}
	for range max(count/untrappedRuns, 1) {
		untrapped = append(untrapped, m.time(func() error {
			for range untrappedRuns {
				unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
			}
			return nil
		})/untrappedRuns)
	}
	m.open(false)
	inPlace := m.synced(func() int64 { return 0 })
	m.end = int64(len(m.data))
	atEnd := m.synced(func() int64 {
		m.end += int64(len(m.data))
		return m.end - int64(len(m.data))
	})
	if err := unix.Ftruncate(m.file, int64(len(m.data))); m.err == nil {
		m.err = err
	}
	m.close()
	fmt.Println("turn", median(write), median(untrapped), inPlace, atEnd)
}

// synced times writes with fdatasync. The first one syncs what the others had left and is not timed.
func (m *measurement) synced(offset func() int64) []int64 {
	var took []int64
	for range 1 + syncsPerTurn {
		at := offset()
		took = append(took, m.time(func() error {
			if err := m.write(at); err != nil {
				return err
			}
			if _, _, errno := unix.RawSyscall(unix.SYS_FDATASYNC, uintptr(m.file), 0, 0); errno != 0 {
				return errno
			}
			return nil
		}))
	}
	return took[1:]
}

func (m *measurement) time(call func() error) int64 {
	begin := time.Now()
	err := call()
	took := time.Since(begin).Nanoseconds()
	if m.err == nil {
		m.err = err
	}
	return took
}

// write makes the call without a word to the scheduler of this program, which does work of its own when a call takes longer than it did.
func (m *measurement) write(offset int64) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_PWRITE64, uintptr(m.file), uintptr(unsafe.Pointer(&m.data[0])), uintptr(len(m.data)), uintptr(offset), 0, 0)
	if !m.other {
		m.written++
	}
	if errno != 0 {
		return errno
	}
	return nil
}

// open gives the descriptor's number to one of the two files: the lowest that is free is the one that was closed last.
func (m *measurement) open(other bool) {
	if m.file != 0 {
		m.close()
	}
	path := m.path
	if other {
		path += "-other"
	}
	file, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT, 0o644)
	if m.err == nil {
		m.err = err
	}
	m.file, m.other = file, other
}

func (m *measurement) close() {
	if err := unix.Close(m.file); m.err == nil {
		m.err = err
	}
	m.file = 0
}

func median(durations []int64) int64 {
	slices.Sort(durations)
	return durations[len(durations)/2]
}
