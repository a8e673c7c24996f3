package supervisor

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// maxReportedLine is where a line is cut in two, as engines cut theirs.
const maxReportedLine = 16 << 10

// outputTimeout bounds the wait for the last lines of a program that is dead. They are in the pipe by then; only a descriptor that was given away to another container could keep it open.
const outputTimeout = time.Second

// output is the pipes that a program writes its lines to, and those who read them.
type output struct {
	program [2]int            // the ends that the program gets, as stdout and stderr
	names   map[string]string // how the kernel names them → under which name their writes count
	readers [2]*os.File
	reading sync.WaitGroup
}

func openOutput() (*output, error) {
	o := &output{program: [2]int{-1, -1}, names: make(map[string]string)}
	for i, name := range []string{"/dev/stdout", "/dev/stderr"} {
		var pipe [2]int
		if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
			o.close()
			return nil, fmt.Errorf("open pipe for %s: %w", name, err)
		}
		o.program[i] = pipe[1]
		_ = unix.SetNonblock(pipe[0], true) // so that closing ends a read
		o.readers[i] = os.NewFile(uintptr(pipe[0]), name)
		link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", pipe[1]))
		if err != nil {
			o.close()
			return nil, fmt.Errorf("name pipe for %s: %w", name, err)
		}
		o.names[link] = name
	}
	return o, nil
}

// follow reports each line that comes, once the program has its ends.
func (o *output) follow(life int, events *eventLog) {
	o.letGo()
	for i, stream := range []string{"stdout", "stderr"} {
		o.reading.Go(func() { readOutput(o.readers[i], stream, life, events) })
	}
}

func readOutput(from io.Reader, stream string, life int, events *eventLog) {
	lines := bufio.NewReaderSize(from, maxReportedLine)
	for {
		line, err := lines.ReadSlice('\n')
		if n := len(line); n > 0 {
			if line[n-1] == '\n' {
				line = line[:n-1]
			}
			events.add(interpose.Event{Kind: interpose.Line, Incarnation: life, Stream: stream, Message: string(line)})
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// letGo closes the program's ends, which it has got.
func (o *output) letGo() {
	for i, descriptor := range o.program {
		if descriptor >= 0 {
			unix.Close(descriptor)
			o.program[i] = -1
		}
	}
}

// settle waits until every line of a stopped program has been reported, also one that has no end yet. Nothing more is reported afterwards.
func (o *output) settle() error {
	deadline := time.Now().Add(outputTimeout)
	for _, reader := range o.readers {
		for {
			left, err := unread(reader)
			if err != nil {
				return err
			}
			if left == 0 {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("read the output of the program: %d bytes of %s are left after %v", left, reader.Name(), outputTimeout)
			}
			pause()
		}
		// The next read ends at once, after what was read is reported.
		if err := reader.SetReadDeadline(time.Now()); err != nil {
			return fmt.Errorf("read the output of the program: %w", err)
		}
	}
	o.reading.Wait()
	return nil
}

// unread is how many bytes are in a pipe.
func unread(pipe *os.File) (int, error) {
	connection, err := pipe.SyscallConn()
	if err != nil {
		return 0, err
	}
	var left int
	var failure error
	if err := connection.Control(func(descriptor uintptr) { left, failure = unix.IoctlGetInt(int(descriptor), unix.TIOCINQ) }); err != nil {
		return 0, err
	}
	return left, failure
}

// finish waits until every line of a dead program has been reported.
func (o *output) finish() {
	stuck := time.AfterFunc(outputTimeout, o.close)
	defer stuck.Stop()
	o.reading.Wait()
	o.close()
}

func (o *output) close() {
	o.letGo()
	for _, reader := range o.readers {
		if reader != nil {
			reader.Close()
		}
	}
}
