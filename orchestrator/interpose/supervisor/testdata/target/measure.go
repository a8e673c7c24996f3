package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// measureTurns is how often two programs that are compared take turns, so that what happens to the machine meanwhile happens to both.
const measureTurns = 100

// measure: FILE COUNT MINE THEIRS. Two of them take turns, by one byte in a named pipe of each: MINE is read from before a turn, THEIRS written to after it. It prints, in nanoseconds, the median time of a write through descriptors that are opened anew now and then, of a call that nobody traps, and of a write with fdatasync.
func measure(arguments []string) error {
	runtime.LockOSThread()
	count := number(arguments[1])
	mine, err := os.OpenFile(arguments[2], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	theirs, err := os.OpenFile(arguments[3], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	var write, untrapped, synced []int64
	turn := make([]byte, 1)
	for range measureTurns {
		if _, err := mine.Read(turn); err != nil {
			return err
		}
		file, err := unix.Open(arguments[0], unix.O_RDWR|unix.O_CREAT, 0o644)
		if err != nil {
			return err
		}
		data := make([]byte, 100)
		step := func(durations *[]int64, steps int, call func() error) {
			for range steps {
				begin := time.Now()
				if callErr := call(); callErr != nil && err == nil {
					err = callErr
				}
				*durations = append(*durations, time.Since(begin).Nanoseconds())
			}
		}
		put := func() error {
			_, err := unix.Pwrite(file, data, 0)
			return err
		}
		step(&write, count/measureTurns, put)
		step(&untrapped, count/measureTurns, func() error {
			unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
			return nil
		})
		step(&synced, max(count/measureTurns/20, 1), func() error {
			if err := put(); err != nil {
				return err
			}
			return unix.Fdatasync(file)
		})
		if err != nil {
			return err
		}
		if err := unix.Close(file); err != nil {
			return err
		}
		if _, err := theirs.Write(turn); err != nil {
			return err
		}
	}
	fmt.Printf("write %d untrapped %d synced %d\n", median(write), median(untrapped), median(synced))
	return nil
}

func median(durations []int64) int64 {
	slices.Sort(durations)
	return durations[len(durations)/2]
}
