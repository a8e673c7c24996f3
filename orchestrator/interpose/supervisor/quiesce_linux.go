package supervisor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// stopPause is how long to wait between two looks at threads that have not stopped yet. The kernel tells nobody but a tracer or a parent about a stop, so it has to be asked.
const stopPause = 20 * time.Microsecond

// pause lasts for stopPause. The calling thread sleeps, since Go's timers are exact to a millisecond only where nothing else is to be done.
func pause() {
	short := unix.NsecToTimespec(stopPause.Nanoseconds())
	_ = unix.Nanosleep(&short, nil)
}

// quiescer stops every thread of the program.
type quiescer struct {
	self    int // the interposer, whose descendants are the program
	timeout time.Duration
	memory  *memory
	// waiting are the threads that wait in a notification and cannot run until it is answered.
	waiting map[int]bool
	// received reports whether a thread's notification is received and not yet looked at.
	received func(thread int) bool
	// signalled are the threads that were sent SIGSTOP.
	signalled map[int]bool
}

func newQuiescer(self int, timeout time.Duration) *quiescer {
	return &quiescer{self: self, timeout: timeout, memory: new(memory), waiting: make(map[int]bool), received: func(int) bool { return false }, signalled: make(map[int]bool)}
}

// stop brings every thread of the given processes to a stop and returns when each is stopped or waits in a notification. When it returns without an error, nothing of the program runs and every call that had been let through is complete.
//
// SIGSTOP goes to the threads, not to the processes: a signal to a process is left to one of its threads, and the kernel may choose the one that waits in a notification, which would take it only after the wait.
func (q *quiescer) stop(list func() ([]int, error)) error {
	deadline := time.Now().Add(q.timeout)
	for {
		processes, err := list()
		if err != nil {
			return err
		}
		running, err := q.pass(processes)
		if err != nil {
			return err
		}
		if running == "" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("stop threads: %s did not stop within %v", running, q.timeout)
		}
		pause()
	}
}

// pass signals what is new and returns a description of a thread that still runs, or nothing. A thread that was signalled only now counts as running, whatever its state: it may have made another one since.
func (q *quiescer) pass(processes []int) (running string, err error) {
	for _, process := range processes {
		entries, err := os.ReadDir("/proc/" + strconv.Itoa(process) + "/task")
		if err != nil {
			continue // it has ended
		}
		for _, entry := range entries {
			thread, err := strconv.Atoi(entry.Name())
			if err != nil {
				continue
			}
			if !q.signalled[thread] {
				if err := unix.Tgkill(process, thread, unix.SIGSTOP); err != nil && !errors.Is(err, unix.ESRCH) {
					return "", fmt.Errorf("stop thread %d: %w: give the container the capability KILL (cap_add: [KILL])", thread, err)
				}
				q.signalled[thread] = true
				running = "thread " + entry.Name()
				continue
			}
			if !q.waiting[thread] && !q.received(thread) && !q.stopped(process, thread) {
				running = "thread " + entry.Name()
			}
		}
	}
	return running, nil
}

// stopped reports whether the thread is stopped, has ended, or waits for a child with which it shares memory and which is itself stopped.
func (q *quiescer) stopped(process, thread int) bool {
	path := "/proc/" + strconv.Itoa(process) + "/task/" + strconv.Itoa(thread)
	stat, err := readStat(path + "/stat")
	if err != nil {
		return true
	}
	switch stat.state {
	case 'T', 't', 'Z', 'X':
		return true
	case 'D':
		return q.waitsForSharedChild(path, thread)
	}
	return false
}

// waitsForSharedChild recognises vfork, and clone with CLONE_VFORK: such a thread cannot be stopped before its child has left the shared memory, and does not run before that either.
func (q *quiescer) waitsForSharedChild(path string, tid int) bool {
	line, err := os.ReadFile(path + "/syscall")
	if err != nil {
		return false
	}
	fields := strings.Fields(string(line))
	if len(fields) < 2 {
		return false
	}
	number, err := strconv.Atoi(fields[0])
	if err != nil {
		return false
	}
	first, _ := strconv.ParseUint(strings.TrimPrefix(fields[1], "0x"), 16, 64)
	switch number {
	case vforkCall:
		return true
	case unix.SYS_CLONE:
		return first&unix.CLONE_VFORK != 0
	case unix.SYS_CLONE3:
		var flags [8]byte
		return q.memory.read(&thread{tid: tid}, first, flags[:]) == nil && binary.LittleEndian.Uint64(flags[:])&unix.CLONE_VFORK != 0
	}
	return false
}

// awaitStop waits until one thread, which was signalled, is stopped or gone.
func (q *quiescer) awaitStop(process, thread int) error {
	deadline := time.Now().Add(q.timeout)
	for !q.stopped(process, thread) {
		if time.Now().After(deadline) {
			return fmt.Errorf("stop threads: thread %d did not come out of its call within %v", thread, q.timeout)
		}
		pause()
	}
	return nil
}

// processStat is what /proc/PID/stat says of a process or thread.
type processStat struct {
	state  byte
	parent int
}

func readStat(path string) (processStat, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return processStat{}, err
	}
	// The name stands in parentheses and may itself hold any byte.
	end := bytes.LastIndexByte(data, ')')
	fields := strings.Fields(string(data[end+1:]))
	if end < 0 || len(fields) < 2 {
		return processStat{}, fmt.Errorf("read %s: unexpected %q", path, data)
	}
	parent, err := strconv.Atoi(fields[1])
	return processStat{state: fields[0][0], parent: parent}, err
}

// descendants lists the living processes that come from self, which are the program: what was brought in from outside, such as by docker exec, is not.
func descendants(self int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	parents := make(map[int]int)
	for _, entry := range entries {
		process, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if stat, err := readStat("/proc/" + entry.Name() + "/stat"); err == nil {
			parents[process] = stat.parent
		}
	}
	var found []int
	for process := range parents {
		for ancestor := parents[process]; ancestor != 0; ancestor = parents[ancestor] {
			if ancestor == self {
				found = append(found, process)
				break
			}
		}
	}
	return found, nil
}

// resume continues every process of the program that was stopped.
func resume(processes []int) {
	for _, process := range processes {
		_ = unix.Kill(process, unix.SIGCONT) // one that has ended needs nothing
	}
}
