// Target is the program that the tests run under the interposer. Its first argument says what it does.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/killpoint/killpoint/orchestrator/interpose/supervisor/testdata/record"
	"golang.org/x/sys/unix"
)

func main() {
	verbs := map[string]func([]string) error{
		"append": appendThreads, "pwrite": pwriteThreads, "processes": appendProcesses, "calls": everyCall, "sequence": sequenceOfWrites,
		"exit": exitWith, "wait": waitForSignal, "orphans": leaveOrphans, "touch": touch, "spawn": spawnLoop, "switch": switchUser,
		"measure": measure, "floor": floor, "floored": floored, "forward": forward, "script": script, "drop": dropUser, "direct": directly, "greet": greet, "jail": jailed, "save": saveState, "ring": ring, "map": mapShared, "vfork": vfork, "slack": printSlack,
	}
	verb := verbs[os.Args[1]]
	if verb == nil {
		fail(fmt.Errorf("unknown verb %q", os.Args[1]))
	}
	if err := verb(os.Args[2:]); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "target:", err)
	os.Exit(99)
}

// number parses an argument that the test wrote.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		fail(err)
	}
	return n
}

// inThreads runs work on so many threads of the system and returns the first error.
func inThreads(count int, work func(thread int) error) error {
	errs := make(chan error, count)
	var group sync.WaitGroup
	for thread := range count {
		group.Add(1)
		go func() {
			defer group.Done()
			runtime.LockOSThread()
			if err := work(thread); err != nil {
				errs <- err
			}
		}()
	}
	group.Wait()
	close(errs)
	return <-errs
}

// appendThreads: FILE THREADS RECORDS. All threads append to one file through one descriptor.
func appendThreads(arguments []string) error {
	file, err := unix.Open(arguments[0], unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	return inThreads(number(arguments[1]), func(thread int) error {
		return appendRecords(file, thread, number(arguments[2]))
	})
}

func appendRecords(file, writer, records int) error {
	for i := range records {
		data := record.Of(writer, i)
		if n, err := unix.Write(file, data); err != nil || n != len(data) {
			return fmt.Errorf("wrote %d of %d bytes: %w", n, len(data), err)
		}
	}
	return nil
}

// appendProcesses: FILE PROCESSES RECORDS. Processes of their own append, each with its own descriptor.
func appendProcesses(arguments []string) error {
	var children []*exec.Cmd
	if len(arguments) > 3 {
		file, err := unix.Open(arguments[0], unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND, 0o644)
		if err != nil {
			return err
		}
		return appendRecords(file, number(arguments[3]), number(arguments[2]))
	}
	for process := range number(arguments[1]) {
		child := exec.Command("/proc/self/exe", append([]string{"processes"}, append(arguments, strconv.Itoa(process))...)...)
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			return err
		}
		children = append(children, child)
	}
	for _, child := range children {
		if err := child.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// pwriteThreads: FILE THREADS RECORDS. Each thread writes at its own offsets.
func pwriteThreads(arguments []string) error {
	file, err := unix.Open(arguments[0], unix.O_WRONLY|unix.O_CREAT, 0o644)
	if err != nil {
		return err
	}
	records := number(arguments[2])
	return inThreads(number(arguments[1]), func(thread int) error {
		for i := range records {
			data := record.Of(thread, i)
			if n, err := unix.Pwrite(file, data, record.Offset(thread, i, records)); err != nil || n != len(data) {
				return fmt.Errorf("wrote %d of %d bytes: %w", n, len(data), err)
			}
		}
		return nil
	})
}

// sequenceOfWrites: FILE COUNT. One thread writes the lines 1 to COUNT, going on after a short write, and says what each call returned.
func sequenceOfWrites(arguments []string) error {
	file, err := unix.Open(arguments[0], unix.O_RDWR|unix.O_CREAT, 0o644)
	if err != nil {
		return err
	}
	for i := range number(arguments[1]) {
		line := []byte(fmt.Sprintf("line %d\n", i+1))
		begin := time.Now()
		n, err := unix.Write(file, line)
		fmt.Printf("%d %v %d\n", n, err, time.Since(begin).Milliseconds())
		if n > 0 && n < len(line) {
			if _, err := unix.Write(file, line[n:]); err != nil {
				return err
			}
		}
	}
	err = unix.Fsync(file)
	fmt.Println("fsync", err)
	return nil
}

// exitWith: CODE.
func exitWith(arguments []string) error {
	os.Exit(number(arguments[0]))
	return nil
}

// waitForSignal exits with 40 plus the number of the first signal that it gets, and says when it listens. It has a handler for SIGTERM and SIGUSR1 only.
func waitForSignal([]string) error {
	received := make(chan os.Signal, 1)
	signal.Notify(received, unix.SIGTERM, unix.SIGUSR1)
	fmt.Println("listening, child of", os.Getppid())
	os.Exit(40 + int((<-received).(syscall.Signal)))
	return nil
}

// leaveOrphans makes grandchildren that outlive their parents, waits until they have ended and been reaped, and exits with 0 when no zombie is left.
func leaveOrphans(arguments []string) error {
	if len(arguments) > 0 {
		return exec.Command("/proc/self/exe", "exit", "0").Start() // its parent, this process, ends at once
	}
	for range 5 {
		if err := exec.Command("/proc/self/exe", "orphans", "again").Run(); err != nil {
			return err
		}
	}
	deadline := time.Now().Add(5 * time.Second)
	for {
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return err
		}
		processes := 0
		for _, entry := range entries {
			if _, err := strconv.Atoi(entry.Name()); err == nil {
				processes++
			}
		}
		if processes <= 2 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes are left", processes)
		}
		time.Sleep(time.Millisecond)
	}
}

// touch: FILE... makes files, and waits.
func touch(arguments []string) error {
	for _, name := range arguments {
		if err := os.WriteFile(name, []byte("x"), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// spawnLoop: FILE COUNT. It starts short-lived processes, which share memory with it until they exec, while another thread writes.
func spawnLoop(arguments []string) error {
	file, err := unix.Open(arguments[0], unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	return inThreads(2, func(thread int) error {
		if thread == 0 {
			return appendRecords(file, 0, number(arguments[1]))
		}
		for range number(arguments[1]) {
			if err := exec.Command("/proc/self/exe", "exit", "0").Run(); err != nil {
				return err
			}
		}
		return nil
	})
}

// switchUser: UID VERB… drops to another user, as gosu does, and goes on as that.
func switchUser(arguments []string) error {
	uid := number(arguments[0])
	if err := syscall.Setgroups(nil); err != nil {
		return err
	}
	if err := syscall.Setgid(uid); err != nil {
		return err
	}
	if err := syscall.Setuid(uid); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", append([]string{"target"}, arguments[1:]...), os.Environ())
}

// dropUser: FILE UID. One thread writes a line, drops to another user, and writes another one.
func dropUser(arguments []string) error {
	runtime.LockOSThread()
	file, err := unix.Open(arguments[0], unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	if _, err := unix.Write(file, []byte("as before\n")); err != nil {
		return err
	}
	if err := syscall.Setuid(number(arguments[1])); err != nil {
		return err
	}
	// It can be looked at by its own user again, as after an exec.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		return err
	}
	_, err = unix.Write(file, []byte("as another\n"))
	return err
}

// saveState: DIRECTORY COUNT. It saves a state file so many times as careful programs do: temporary file, sync, rename, sync of the directory.
func saveState(arguments []string) error {
	directory, err := unix.Open(arguments[0], unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	for i := range number(arguments[1]) {
		temporary, err := os.Create(arguments[0] + "/state.tmp")
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(temporary, "state %d\n", i+1); err != nil {
			return err
		}
		if len(arguments) < 3 { // a third argument leaves the syncs out
			if err := temporary.Sync(); err != nil {
				return err
			}
		}
		if err := temporary.Close(); err != nil {
			return err
		}
		if err := os.Rename(arguments[0]+"/state.tmp", arguments[0]+"/state"); err != nil {
			return err
		}
		if len(arguments) < 3 {
			if err := unix.Fsync(directory); err != nil {
				return err
			}
		}
	}
	return nil
}

// ring asks for io_uring and prints what it gets.
func ring([]string) error {
	_, _, errno := unix.RawSyscall(unix.SYS_IO_URING_SETUP, 8, 0, 0)
	fmt.Println(errno == unix.ENOSYS)
	return nil
}

// mapShared: FILE is written to through memory.
func mapShared(arguments []string) error {
	file, err := os.Create(arguments[0])
	if err != nil {
		return err
	}
	if err := file.Truncate(4096); err != nil {
		return err
	}
	data, err := unix.Mmap(int(file.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	copy(data, "mapped")
	return unix.Munmap(data)
}

// printSlack prints by how many nanoseconds the kernel may let a timer of this program be late.
func printSlack([]string) error {
	runtime.LockOSThread()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	fmt.Println(slack)
	return err
}
