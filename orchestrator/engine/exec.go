package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// ExecSpec is a command to run in a container that runs already.
type ExecSpec struct {
	Command     []string
	User        string
	Environment []string // NAME=value
	WorkingDir  string
	Stdin       io.Reader // nil: none; not used by ExecStream
}

// ExecResult is how a command ended and what it printed.
type ExecResult struct {
	Code   int
	Stdout string
	Stderr string
	// Truncated says that the command printed more than OutputLimit bytes on
	// one of its streams; the rest is left out.
	Truncated bool
}

// OutputLimit is how many bytes of each stream of a command are kept.
const OutputLimit = 4 << 20

// Exec runs a command in a running container to its end. The error is about
// running it at all; a command that is not in the image ends with code 126 or
// 127 and the engine's message on Stdout or Stderr. When the context ends
// first, the command may go on: the engine has no way to stop it.
func (e *Engine) Exec(ctx context.Context, id string, spec ExecSpec) (ExecResult, error) {
	ctx, cancel := bounded(ctx, copyCall)
	defer cancel()
	session, err := e.exec(ctx, id, spec, spec.Stdin != nil)
	if err != nil {
		return ExecResult{}, err
	}
	defer session.Close()
	if spec.Stdin != nil {
		go func() {
			// A command that does not read its input is no trouble of ours.
			_, _ = io.Copy(session.connection.Conn, spec.Stdin)
			_ = session.connection.CloseWrite()
		}()
	}
	var stdout, stderr limitedBuffer
	if _, err := stdcopy.StdCopy(&stdout, &stderr, session.connection.Reader); err != nil {
		return ExecResult{}, fmt.Errorf("run %q in container %s: read its output: %w", spec.Command[0], short(id), orContext(ctx, err))
	}
	code, err := session.Wait(ctx)
	if err != nil {
		return ExecResult{}, err
	}
	return ExecResult{
		Code: code, Stdout: stdout.String(), Stderr: stderr.String(), Truncated: stdout.dropped || stderr.dropped,
	}, nil
}

// orContext prefers the reason for which a connection was cut.
func orContext(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// limitedBuffer keeps the beginning of what is written.
type limitedBuffer struct {
	bytes.Buffer
	dropped bool
}

func (b *limitedBuffer) Write(content []byte) (int, error) {
	room := OutputLimit - b.Len()
	if len(content) > room {
		b.dropped = true
		b.Buffer.Write(content[:max(room, 0)])
		return len(content), nil
	}
	return b.Buffer.Write(content)
}

// execSession is a command that was started, and the connection to it.
type execSession struct {
	engine     *Engine
	container  string
	command    string
	id         string
	connection types.HijackedResponse
	release    func() bool
}

// exec starts a command and attaches to it. The connection is cut when the
// context ends, so that no reader hangs on it.
func (e *Engine) exec(ctx context.Context, id string, spec ExecSpec, stdin bool) (*execSession, error) {
	if len(spec.Command) == 0 {
		return nil, fmt.Errorf("run a command in container %s: it is empty", short(id))
	}
	created, err := e.api.ContainerExecCreate(ctx, id, container.ExecOptions{
		User: spec.User, Env: spec.Environment, WorkingDir: spec.WorkingDir, Cmd: spec.Command,
		AttachStdin: stdin, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return nil, fmt.Errorf("run %q in container %s: %w", spec.Command[0], short(id), e.runningError(ctx, id, err))
	}
	connection, err := e.api.ContainerExecAttach(ctx, created.ID, container.ExecAttachOptions{})
	if err != nil {
		return nil, fmt.Errorf("run %q in container %s: %w", spec.Command[0], short(id), e.runningError(ctx, id, err))
	}
	return &execSession{
		engine: e, container: id, command: spec.Command[0], id: created.ID, connection: connection,
		release: context.AfterFunc(ctx, connection.Close),
	}, nil
}

// Close cuts the connection. The command sees the end of its input and
// goes on until it ends by itself.
func (s *execSession) Close() {
	s.release()
	s.connection.Close()
}

// execPoll is how often the engine is asked for the exit code of a command
// whose output has ended; it is there within a few milliseconds.
const execPoll = 2 * time.Millisecond

// Wait gives the exit code once the command has ended.
func (s *execSession) Wait(ctx context.Context) (int, error) {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	ticker := time.NewTicker(execPoll)
	defer ticker.Stop()
	for {
		found, err := s.engine.api.ContainerExecInspect(ctx, s.id)
		if err != nil {
			return 0, fmt.Errorf("run %q in container %s: %w", s.command, short(s.container), containerError(err))
		}
		if !found.Running {
			return found.ExitCode, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return 0, fmt.Errorf("run %q in container %s: wait for its end: %w", s.command, short(s.container), ctx.Err())
		}
	}
}

// Stream is a command that runs in a container, with its standard input and
// output: writes go to the one, reads come from the other.
type Stream struct {
	session *execSession
	stdout  *io.PipeReader
	stop    context.CancelFunc

	mu     sync.Mutex
	stderr limitedBuffer
}

// ExecStream starts a command and connects its standard input and output. It
// lasts until the command ends, Close is called or the context ends.
func (e *Engine) ExecStream(ctx context.Context, id string, spec ExecSpec) (*Stream, error) {
	ctx, stop := context.WithCancel(ctx)
	session, err := e.exec(ctx, id, spec, true)
	if err != nil {
		stop()
		return nil, err
	}
	reader, writer := io.Pipe()
	stream := &Stream{session: session, stdout: reader, stop: stop}
	go func() {
		_, err := stdcopy.StdCopy(writer, (*streamErrors)(stream), session.connection.Reader)
		if errors.Is(err, net.ErrClosed) {
			err = nil // by Close
		}
		writer.CloseWithError(err) // nil gives io.EOF
	}()
	return stream, nil
}

type streamErrors Stream

func (s *streamErrors) Write(content []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.Write(content)
}

// Read gives what the command prints on its standard output.
func (s *Stream) Read(content []byte) (int, error) { return s.stdout.Read(content) }

// Write gives the command input.
func (s *Stream) Write(content []byte) (int, error) { return s.session.connection.Conn.Write(content) }

// CloseWrite ends the command's input.
func (s *Stream) CloseWrite() error { return s.session.connection.CloseWrite() }

// Stderr is what the command has printed on its standard error up to now.
func (s *Stream) Stderr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stderr.String()
}

// Close cuts the connection; the command sees the end of its input.
func (s *Stream) Close() error {
	s.stop()
	s.session.Close()
	return s.stdout.Close()
}

// Wait gives the exit code once the command has ended.
func (s *Stream) Wait(ctx context.Context) (int, error) { return s.session.Wait(ctx) }
