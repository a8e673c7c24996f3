package main

import (
	"fmt"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// measure: FILE COUNT. It prints, in nanoseconds, the median time of a write through descriptors that are opened anew now and then, of a call that nobody traps, and of a write with fsync.
func measure(arguments []string) error {
	runtime.LockOSThread()
	count := number(arguments[1])
	data := make([]byte, 100)
	file := -1
	write, err := median(count, func(i int) error {
		if i%100 == 0 {
			if file >= 0 {
				unix.Close(file)
			}
			var err error
			if file, err = unix.Open(arguments[0], unix.O_RDWR|unix.O_CREAT, 0o644); err != nil {
				return err
			}
		}
		return nil
	}, func(int) error {
		_, err := unix.Pwrite(file, data, 0)
		return err
	})
	if err != nil {
		return err
	}
	untrapped, err := median(count, nil, func(int) error {
		unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
		return nil
	})
	if err != nil {
		return err
	}
	synced, err := median(count/40, nil, func(int) error {
		if _, err := unix.Pwrite(file, data, 0); err != nil {
			return err
		}
		return unix.Fdatasync(file)
	})
	if err != nil {
		return err
	}
	fmt.Printf("write %d untrapped %d synced %d\n", write, untrapped, synced)
	return nil
}

// median runs step so often and returns the median of its duration; prepare is not measured.
func median(count int, prepare, step func(int) error) (int64, error) {
	durations := make([]int64, count)
	for i := range durations {
		if prepare != nil {
			if err := prepare(i); err != nil {
				return 0, err
			}
		}
		begin := time.Now()
		if err := step(i); err != nil {
			return 0, err
		}
		durations[i] = time.Since(begin).Nanoseconds()
	}
	slices.Sort(durations)
	return durations[count/2], nil
}
