package interpose

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// ErrDetached says that the connection to the interposer has ended: the container was killed, or the program ended and the container with it.
var ErrDetached = errors.New("interposer detached")

// maxLine bounds one line of the protocol. A held point with a long un-synced history is the longest.
const maxLine = 64 << 20

// Client talks to the interposer of one container over the stdin and stdout of ControlCommand. Its methods may be called by several goroutines.
type Client struct {
	stream io.ReadWriteCloser
	events chan Event

	mu      sync.Mutex
	number  int64
	waiting map[int64]chan Event
	err     error         // why the stream ended
	ended   chan struct{} // closed when it has

	write   sync.Mutex
	closing chan struct{}
	once    sync.Once
}

// NewClient attaches to an interposer and begins to receive its events after the one with the given sequence number; 0 gives all, from its start.
func NewClient(stream io.ReadWriteCloser, after int64) (*Client, error) {
	c := &Client{
		stream: stream, events: make(chan Event, 64), waiting: make(map[int64]chan Event),
		ended: make(chan struct{}), closing: make(chan struct{}),
	}
	go c.receive()
	if err := c.send(Request{Name: CommandAttach, Sequence: after}); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Events are the interposer's events in order. The channel is closed when the connection ends; Err says why. It has to be read: an unread channel holds replies up too.
func (c *Client) Events() <-chan Event { return c.events }

// Err is why the connection ended, or nil while it has not. A killed container ends it with ErrDetached.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection; the interposer goes on.
func (c *Client) Close() error {
	c.once.Do(func() { close(c.closing) })
	return c.stream.Close()
}

// Arm lets points fire that the plan has for later, by their IDs. It returns how many calls had matched each point of the plan by then: a point whose occurrence is among them has been passed in this incarnation.
func (c *Client) Arm(ctx context.Context, points ...string) (map[string]int, error) {
	reply, err := c.call(ctx, Request{Name: CommandArm, Points: points})
	return reply.Counts, err
}

// Release lets a held program go on, for a fault that leaves it alive.
func (c *Client) Release(ctx context.Context) error {
	_, err := c.call(ctx, Request{Name: CommandRelease})
	return err
}

// Lose takes un-synced changes away, at a held point, and returns the IDs of those taken.
func (c *Client) Lose(ctx context.Context, lose Lose) ([]int64, error) {
	reply, err := c.call(ctx, Request{Name: CommandLose, Lose: &lose})
	return reply.Lost, err
}

// Kill kills every process of the program in place. The interposer stays for Start.
func (c *Client) Kill(ctx context.Context) error {
	_, err := c.call(ctx, Request{Name: CommandKill})
	return err
}

// Freeze stops every process of the program, for good: the container is to be killed. It answers with a Frozen event, before which every line is reported that the program wrote.
func (c *Client) Freeze(ctx context.Context) error {
	_, err := c.call(ctx, Request{Name: CommandFreeze})
	return err
}

// Start starts the program again, after Kill or an Exited event, as the incarnation that the plan says.
func (c *Client) Start(ctx context.Context, plan Plan) error {
	_, err := c.call(ctx, Request{Name: CommandStart, Plan: &plan})
	return err
}

// Signal sends the program a signal by its number. Like the engine's, it does not reach a program that has no handler for it, SIGKILL apart, unless the plan says Init.
func (c *Client) Signal(ctx context.Context, number int) error {
	_, err := c.call(ctx, Request{Name: CommandSignal, Signal: number})
	return err
}

// PutBack makes the files that Plan.Originals covers what they were before the program first changed them.
func (c *Client) PutBack(ctx context.Context) error {
	_, err := c.call(ctx, Request{Name: CommandPutBack})
	return err
}

// Executed is what a command has left.
type Executed struct {
	Code           int
	Stdout, Stderr []byte
}

// Exec runs a command in the container, as the engine would by exec, and waits for its end, at most as long as the context lasts.
func (c *Client) Exec(ctx context.Context, command []string) (Executed, error) {
	request := Request{Name: CommandExec, Command: command}
	if deadline, has := ctx.Deadline(); has {
		request.Limit = max(time.Until(deadline).Milliseconds(), 1)
	}
	reply, err := c.call(ctx, request)
	return Executed{reply.Code, reply.Stdout, reply.Stderr}, err
}

// MaxRead bounds what Read brings out of a container.
const MaxRead = 24 << 20

// Read gives the regular files that match the glob, sorted by path. It fails, with ErrTooLarge, when they hold more than MaxRead bytes.
func (c *Client) Read(ctx context.Context, glob string) ([]File, error) {
	reply, err := c.call(ctx, Request{Name: CommandRead, Paths: []string{glob}, Limit: MaxRead})
	return reply.Files, err
}

// Sums is Read that gives the sizes and checksums of the files in place of their contents.
func (c *Client) Sums(ctx context.Context, glob string) ([]File, error) {
	reply, err := c.call(ctx, Request{Name: CommandRead, Paths: []string{glob}, Sums: true})
	return reply.Files, err
}

// Snapshot remembers, in the control process, what is in the directories, for Restore. It takes the place of an earlier one of that key.
func (c *Client) Snapshot(ctx context.Context, key string, directories ...string) error {
	_, err := c.call(ctx, Request{Name: CommandSnapshot, Key: key, Paths: directories})
	return err
}

// Restore makes the directories what they were at the Snapshot of that key. Nothing may change them meanwhile. Files that are what they were are left alone.
func (c *Client) Restore(ctx context.Context, key string, directories ...string) error {
	_, err := c.call(ctx, Request{Name: CommandRestore, Key: key, Paths: directories})
	return err
}

// Errors of the interposer that callers decide by.
var (
	// ErrNoProgram says that a command is about a program, and none runs.
	ErrNoProgram = errors.New("no program runs")
	// ErrTooLarge says that files are too large to be brought out of a container in one piece.
	ErrTooLarge = fmt.Errorf("more than %d MiB", MaxRead>>20)
)

// refusal makes an error of what the interposer answered, which is text.
func refusal(command CommandName, message string) error {
	for _, known := range []error{ErrNoProgram, ErrTooLarge} {
		if rest, is := strings.CutSuffix(message, known.Error()); is {
			return fmt.Errorf("command interposer to %s: %s%w", command, rest, known)
		}
	}
	return fmt.Errorf("command interposer to %s: %s", command, message)
}

// call sends a command and waits for its reply.
func (c *Client) call(ctx context.Context, command Request) (Event, error) {
	answer := make(chan Event, 1)
	c.mu.Lock()
	c.number++
	command.Number = c.number
	c.waiting[command.Number] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, command.Number)
		c.mu.Unlock()
	}()
	if err := c.send(command); err != nil {
		return Event{}, err
	}
	select {
	case reply := <-answer:
		if reply.Message != "" {
			return reply, refusal(command.Name, reply.Message)
		}
		return reply, nil
	case <-c.ended:
		return Event{}, fmt.Errorf("command interposer to %s: %w", command.Name, c.Err())
	case <-ctx.Done():
		return Event{}, fmt.Errorf("command interposer to %s: %w", command.Name, ctx.Err())
	}
}

func (c *Client) send(command Request) error {
	line, err := json.Marshal(command)
	if err != nil {
		return fmt.Errorf("command interposer to %s: %w", command.Name, err)
	}
	c.write.Lock()
	defer c.write.Unlock()
	if _, err := c.stream.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("command interposer to %s: %w: %w", command.Name, ErrDetached, err)
	}
	return nil
}

// receive reads events until the stream ends. A line that death has cut short is no event.
func (c *Client) receive() {
	err := c.readLines()
	c.mu.Lock()
	c.err = err
	c.mu.Unlock()
	close(c.ended)
	close(c.events)
}

func (c *Client) readLines() error {
	lines := bufio.NewScanner(c.stream)
	lines.Buffer(make([]byte, 1<<16), maxLine)
	lines.Split(splitWholeLines)
	for lines.Scan() {
		var event Event
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return fmt.Errorf("read interposer's event %q: %w", lines.Text(), err)
		}
		if event.Kind != Reply {
			select {
			case c.events <- event:
				continue
			case <-c.closing:
				return ErrDetached
			}
		}
		c.mu.Lock()
		answer := c.waiting[event.Command]
		delete(c.waiting, event.Command)
		c.mu.Unlock()
		if answer != nil {
			answer <- event
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrDetached, err)
	}
	return ErrDetached
}

// splitWholeLines is bufio.ScanLines without the last line that has no end.
func splitWholeLines(data []byte, atEOF bool) (int, []byte, error) {
	advance, token, err := bufio.ScanLines(data, false)
	if advance == 0 && atEOF {
		return len(data), nil, err
	}
	return advance, token, err
}
