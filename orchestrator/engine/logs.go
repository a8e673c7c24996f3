package engine

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// Line is one line that a container printed.
type Line struct {
	Stream string // stdout or stderr; always stdout where the container has a terminal
	Text   string // without its newline
	At     time.Time
}

// Cursor says how far a container's log has been read. The zero Cursor is its
// beginning. A container keeps the lines of all its lives in one log, and
// Logs moves the cursor over one life at a time.
//
// The position is exact and trusts no clock: the entries that were read are
// the first ones of the log, whatever their times, so of those from a given
// time on the first n were read, where n is how many of them Logs has counted.
type Cursor struct {
	last   time.Time // the latest time that any entry bore
	recent []time.Time
	ended  time.Time // when the last life that was read ended
}

// cursorWindow is how far back from the latest entry reading starts again.
// Entries of the two streams may stand in the log in another order than that
// of their times, by the time that a thread may be kept from running.
const cursorWindow = time.Second

// resume is from when to ask for entries, and how many of them to skip.
func (c *Cursor) resume() (since time.Time, skip int) {
	if c.last.IsZero() {
		return time.Time{}, 0
	}
	c.trim()
	return c.last.Add(-cursorWindow), len(c.recent)
}

// trim forgets the entries before the window.
func (c *Cursor) trim() {
	since := c.last.Add(-cursorWindow)
	c.recent = slices.DeleteFunc(c.recent, func(at time.Time) bool { return at.Before(since) })
}

// trimEvery bounds what is kept of a log that is read for long.
const trimEvery = 1 << 14

func (c *Cursor) pass(at time.Time) {
	if at.After(c.last) {
		c.last = at
	}
	c.recent = append(c.recent, at)
	if len(c.recent)%trimEvery == 0 {
		c.trim()
	}
}

// endOfLife is how long the engine may take to report a death whose log has
// ended, and to end the log of a death that it reported.
const endOfLife = 20 * time.Second

// Logs gives each line of one life of a container: the first that the cursor
// has not passed. It follows it while it lasts, returns nil when it has ended
// and every line of it was given, and moves the cursor to the next. When the
// container does not run and every life has been read it returns
// ErrNotRunning; when it was removed, ErrNoContainer.
//
// A life is told from the next by the time of the engine's event of its
// death: the engine reports a death when all that the dead process had
// printed is in the log, and before anything starts again.
func (e *Engine) Logs(ctx context.Context, id string, cursor *Cursor, each func(Line)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := e.readLife(ctx, id, cursor, each); err != nil {
		return fmt.Errorf("follow the log of container %s: %w", short(id), containerError(err))
	}
	return nil
}

func (e *Engine) readLife(ctx context.Context, id string, cursor *Cursor, each func(Line)) error {
	inspected, err := e.api.ContainerInspect(ctx, id)
	if err != nil {
		return err
	}
	over := hasEnded(inspected, cursor)
	if !over && !inspected.State.Running {
		return ErrNotRunning
	}
	from := cursor.ended
	if from.IsZero() {
		from = parseTime(inspected.Created)
	}
	life := &life{
		engine: e, id: inspected.ID, cursor: cursor, terminal: inspected.Config.Tty,
		lines: lineJoiner{each: each}, death: e.watchDeath(ctx, inspected.ID, from, cursor.ended),
	}
	if !over {
		if err := life.follow(ctx); err != nil {
			return err
		}
	}
	return life.finish(ctx)
}

// hasEnded says whether the life that the cursor stands before is over, even
// though the container may run again: the engine remembers the last death.
func hasEnded(inspected container.InspectResponse, cursor *Cursor) bool {
	return parseTime(inspected.State.FinishedAt).After(cursor.ended)
}

// life is one life of a container while its log is read.
type life struct {
	engine   *Engine
	id       string
	cursor   *Cursor
	terminal bool
	lines    lineJoiner
	death    *death
	latest   time.Time // of the entries of this life
}

// errNextLife ends the reading of a log at the first entry of a later life.
var errNextLife = errors.New("the next life began")

// follow reads the log while the life lasts. The engine may end a stream that
// it follows before the last entries are out: finish reads what is left.
func (l *life) follow(ctx context.Context) error {
	following, stop := context.WithCancel(ctx)
	defer stop()
	// A stream that goes on though the process is dead must not hold us.
	defer context.AfterFunc(l.death.known, func() {
		timer := time.AfterFunc(endOfLife, stop)
		context.AfterFunc(following, func() { timer.Stop() })
	})()
	err := l.pass(following, true)
	if errors.Is(err, errNextLife) || ctx.Err() == nil && following.Err() != nil {
		return nil
	}
	return err
}

// finish waits for the death, and reads what has not been read up to it.
func (l *life) finish(ctx context.Context) error {
	died, err := l.death.wait(ctx)
	if err != nil {
		return err
	}
	if err := l.pass(ctx, false); err != nil && !errors.Is(err, errNextLife) {
		return err
	}
	l.lines.flush()
	l.cursor.ended = died
	return nil
}

// pass reads from the cursor to the end of the log, or of the life.
func (l *life) pass(ctx context.Context, follow bool) error {
	since, skip := l.cursor.resume()
	query := logQuery{since: since, follow: follow, terminal: l.terminal}
	return l.engine.readLogs(ctx, l.id, query, func(entry logEntry) error {
		if skip > 0 {
			skip--
			return nil
		}
		died, known := l.death.at()
		if !known && entry.at.Sub(l.latest) >= quickestRestart {
			var err error
			if died, known, err = l.deathBefore(ctx); err != nil {
				return err
			}
		}
		if known && entry.at.After(died) {
			return errNextLife
		}
		l.latest = entry.at
		l.cursor.pass(entry.at)
		l.lines.add(entry)
		return nil
	})
}

// quickestRestart is less than any engine takes from a death to the first
// line of the next life: its own restarts wait for 100 ms, and to start a
// container takes longer than this.
const quickestRestart = 40 * time.Millisecond

// deathBefore asks whether the life was over before now. An entry after a
// pause may be of the next life, and the event of the death, which comes on a
// connection of its own, may not have been read yet.
func (l *life) deathBefore(ctx context.Context) (died time.Time, over bool, err error) {
	inspected, err := l.engine.api.ContainerInspect(ctx, l.id)
	if err != nil || !hasEnded(inspected, l.cursor) {
		return time.Time{}, false, err
	}
	died, err = l.death.wait(ctx)
	return died, err == nil, err
}

// lineJoiner makes lines of entries: the engine cuts lines longer than 16 KiB
// into several.
type lineJoiner struct {
	each    func(Line)
	pending [2]strings.Builder
	begun   [2]time.Time
}

var streamNames = [2]string{"stdout", "stderr"}

func (j *lineJoiner) add(entry logEntry) {
	pending := &j.pending[entry.stream]
	if pending.Len() == 0 {
		j.begun[entry.stream] = entry.at
	}
	pending.WriteString(strings.TrimSuffix(entry.text, "\n"))
	if strings.HasSuffix(entry.text, "\n") {
		j.give(entry.stream)
	}
}

func (j *lineJoiner) give(stream int) {
	text := strings.TrimSuffix(j.pending[stream].String(), "\r")
	j.pending[stream].Reset()
	j.each(Line{Stream: streamNames[stream], Text: text, At: j.begun[stream]})
}

// flush gives what the life ended in the middle of.
func (j *lineJoiner) flush() {
	for stream := range j.pending {
		if j.pending[stream].Len() > 0 {
			j.give(stream)
		}
	}
}

// logEntry is what the engine keeps as one: a line with its newline, or 16
// KiB of a longer one without.
type logEntry struct {
	stream int // index of streamNames
	text   string
	at     time.Time
}

type logQuery struct {
	since    time.Time
	follow   bool
	tail     int
	terminal bool
}

// readLogs gives each entry that the query asks for, until the log ends or
// the function returns an error, which is passed on.
func (e *Engine) readLogs(ctx context.Context, id string, query logQuery, each func(logEntry) error) error {
	options := container.LogsOptions{
		ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: query.follow,
	}
	if !query.since.IsZero() {
		options.Since = fmt.Sprintf("%d.%09d", query.since.Unix(), query.since.Nanosecond())
	}
	if query.tail > 0 {
		options.Tail = strconv.Itoa(query.tail)
	}
	stream, err := e.api.ContainerLogs(ctx, id, options)
	if err != nil {
		return err
	}
	defer stream.Close()
	if query.terminal {
		return readTerminal(stream, each)
	}
	// The engine sends each entry as one frame, and StdCopy hands each frame
	// over in one write.
	_, err = stdcopy.StdCopy(entryWriter{0, each}, entryWriter{1, each}, stream)
	return err
}

type entryWriter struct {
	stream int
	each   func(logEntry) error
}

func (w entryWriter) Write(frame []byte) (int, error) {
	stamp, text, found := bytes.Cut(frame, []byte(" "))
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if !found || err != nil {
		return 0, fmt.Errorf("read log: the engine says %q", bytes.TrimSpace(frame))
	}
	if err := w.each(logEntry{stream: w.stream, text: string(text), at: at}); err != nil {
		return 0, err
	}
	return len(frame), nil
}

// terminalChunk is where the engine cuts long lines.
const terminalChunk = 16 * 1024

// readTerminal reads the log of a container with a terminal, which comes
// without frames: a timestamp, a space, and text up to a newline or, for the
// pieces of a long line, up to the engine's limit.
func readTerminal(stream io.Reader, each func(logEntry) error) error {
	reader := bufio.NewReaderSize(stream, 2*terminalChunk)
	for {
		stamp, err := reader.ReadString(' ')
		if errors.Is(err, io.EOF) && stamp == "" {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		at, err := time.Parse(time.RFC3339Nano, strings.TrimSuffix(stamp, " "))
		if err != nil {
			return fmt.Errorf("read log: the engine says %q", stamp)
		}
		text, err := readChunk(reader)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read log: %w", err)
		}
		if err := each(logEntry{text: text, at: at}); err != nil {
			return err
		}
	}
}

func readChunk(reader *bufio.Reader) (string, error) {
	var text []byte
	for len(text) < terminalChunk {
		next, err := reader.ReadByte()
		if err != nil {
			return string(text), err
		}
		text = append(text, next)
		if next == '\n' {
			break
		}
	}
	return string(text), nil
}
