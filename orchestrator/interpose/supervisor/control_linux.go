package supervisor

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// socketName is the abstract socket, which needs no file and so no place that can be written to. It belongs to the container's network namespace, which containers can share: hence the plan's ID.
func socketName(id string) *net.UnixAddr {
	return &net.UnixAddr{Name: "@killpoint-" + id, Net: "unix"}
}

// request is a command with the way to answer it.
type request struct {
	interpose.Request
	reply func(interpose.Event)
}

// control takes clients and hands their commands on.
type control struct {
	listener *net.UnixListener
	events   *eventLog
	requests chan request
	attached chan struct{} // closed when a client has attached
	once     sync.Once
}

func listenControl(id string, events *eventLog) (*control, error) {
	listener, err := net.ListenUnix("unix", socketName(id))
	if err != nil {
		return nil, fmt.Errorf("listen for the orchestrator: %w", err)
	}
	c := &control{listener: listener, events: events, requests: make(chan request), attached: make(chan struct{})}
	go c.accept()
	return c, nil
}

func (c *control) accept() {
	for {
		connection, err := c.listener.AcceptUnix()
		if err != nil {
			return // closed: the interposer ends
		}
		go c.talk(connection)
	}
}

// talk serves one client until it goes away.
func (c *control) talk(connection *net.UnixConn) {
	defer connection.Close()
	var mu sync.Mutex // one line at a time
	send := func(line []byte) error {
		mu.Lock()
		defer mu.Unlock()
		_, err := connection.Write(line)
		return err
	}
	decoder := json.NewDecoder(connection)
	for {
		var command interpose.Request
		if err := decoder.Decode(&command); err != nil {
			return
		}
		switch command.Name {
		case interpose.CommandAttach:
			c.once.Do(func() { close(c.attached) })
			go c.stream(int(command.Sequence), send)
		case interpose.CommandConfirm:
			c.events.confirm(command.Sequence)
		default:
			c.requests <- request{command, func(event interpose.Event) {
				event.Kind, event.Command = interpose.Reply, command.Number
				if line, err := json.Marshal(event); err == nil {
					_ = send(append(line, '\n')) // a client that is gone wants no answer
				}
			}}
		}
	}
}

// stream sends every event after the given one, until the connection breaks.
func (c *control) stream(line int, send func([]byte) error) {
	for {
		lines, more := c.events.from(line)
		for some := range slices.Chunk(lines, maxTogether) {
			if send(bytes.Join(some, nil)) != nil {
				return
			}
		}
		line += len(lines)
		<-more
	}
}

// maxTogether bounds the lines that are sent in one piece.
const maxTogether = 128

// controlClient connects stdin and stdout to the interposer of this container: it is what the orchestrator executes inside. It confirms each event once it has left the container.
func controlClient(id string, stdin io.Reader, stdout io.Writer) error {
	makeThreads(controlThreads)
	connection, err := dialControl(id)
	if err != nil {
		return err
	}
	defer connection.Close()
	out := &serialWriter{to: stdout}
	in := &serialWriter{to: connection}
	own := &local{reply: out}
	go func() {
		lines := bufio.NewReader(stdin)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				connection.Close() // the orchestrator is gone
				return
			}
			if own.takes(line) {
				continue
			}
			if _, err := in.Write(line); err != nil {
				return
			}
		}
	}()
	return passEvents(connection, out, func(line []byte) error {
		_, err := in.Write(line)
		return err
	})
}

// controlThreads is as many as the command needs that reaches the interposer: readers of both ends, and what is done for requests meanwhile.
const controlThreads = 6

// serialWriter lets several goroutines write whole lines.
type serialWriter struct {
	mu sync.Mutex
	to io.Writer
}

func (w *serialWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(line)
}

// passEvents passes whole lines on, those that are there in one piece.
func passEvents(connection io.Reader, stdout io.Writer, send func([]byte) error) error {
	lines := bufio.NewReaderSize(connection, 1<<16)
	var together []byte
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return nil // the interposer has ended, or the orchestrator has gone
		}
		together = append(together, line...)
		if next, err := lines.Peek(lines.Buffered()); err == nil && bytes.IndexByte(next, '\n') >= 0 {
			continue
		}
		if _, err := stdout.Write(together); err != nil {
			return fmt.Errorf("pass event on: %w", err)
		}
		together = together[:0]
		var event struct {
			Sequence int64 `json:"sequence"`
		}
		if json.Unmarshal(line, &event) != nil || event.Sequence == 0 {
			continue
		}
		confirm, err := json.Marshal(interpose.Request{Name: interpose.CommandConfirm, Sequence: event.Sequence})
		if err != nil {
			return fmt.Errorf("confirm event: %w", err)
		}
		if send(append(confirm, '\n')) != nil {
			return nil
		}
	}
}

// dialControl waits for the interposer, which may have been started only just now.
func dialControl(id string) (*net.UnixConn, error) {
	deadline := time.Now().Add(10 * time.Second)
	for {
		connection, err := net.DialUnix("unix", nil, socketName(id))
		if err == nil {
			return connection, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("reach the interposer of this container: %w", err)
		}
		time.Sleep(time.Millisecond)
	}
}

// complain writes a message of the interposer's to the container's log.
func complain(err error) { fmt.Fprintln(os.Stderr, "killpoint interposer:", err) }
