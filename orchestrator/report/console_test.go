package report

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// everyKind is a history with one event of each kind.
func everyKind() []history.Event {
	return []history.Event{
		{At: 1 * millisecond, Kind: history.Phase, Text: "starting"},
		{At: 2 * millisecond, Kind: history.Created, Service: "worker-2"},
		{At: 3 * millisecond, Kind: history.Started, Service: "worker-2", Incarnation: 1},
		{At: 4 * millisecond, Kind: history.Healthy, Service: "worker-2", Incarnation: 1},
		{At: 5 * millisecond, Kind: history.Log, Service: "worker-2", Incarnation: 1, Stream: "stderr", Text: "clear: \x1b[2J"},
		{At: 6 * millisecond, Kind: history.Exited, Service: "worker-2", Incarnation: 1, Code: code(0)},
		{At: 7 * millisecond, Kind: history.FaultArmed, Service: "worker-2", Fault: 1, Text: "kill worker-2 after 1s"},
		{At: 8 * millisecond, Kind: history.FaultFired, Service: "worker-2", Incarnation: 1, Fault: 1, Text: "1s were over"},
		{At: 9 * millisecond, Kind: history.FaultDone, Service: "worker-2", Incarnation: 1, Fault: 1, Text: "killed (SIGKILL)"},
		{At: 10 * millisecond, Kind: history.FaultHealed, Service: "worker-2", Incarnation: 2, Fault: 1, Text: "started again"},
		{At: 11 * millisecond, Kind: history.FaultMissed, Service: "worker-2", Fault: 2, Text: "the run ended before"},
		{At: 12 * millisecond, Kind: history.QueueDepth, Queue: "queue-1-2", Ready: 3, Unacked: 4},
		{At: 13 * millisecond, Kind: history.Collected, Service: "worker-2", Text: "/data/a.csv"},
		{At: 14 * millisecond, Kind: history.CommandRan, Service: "worker-2", Code: code(3), Text: "ls /data"},
		{At: 15 * millisecond, Kind: history.AllDone},
		{At: 16 * millisecond, Kind: history.Settled, Text: "3 verdicts"},
		{At: 17 * millisecond, Kind: history.TimedOut, Text: "queue-1-2 is not empty"},
		{At: 18 * millisecond, Kind: history.Interrupted},
		{At: 19 * millisecond, Kind: history.Trouble, Text: "start worker-2: no\na line of its log"},
		{At: 20 * millisecond, Kind: history.Warning, Text: "restart policy\n  ::warning::not a command"},
		{At: 1234 * millisecond, Kind: history.Removed},
		{At: 1235 * millisecond, Kind: history.Unremoved, Text: "container x"},
		{At: 1236 * millisecond, Kind: history.CheckStarted, Text: "rows"},
	}
}

func show(options ConsoleOptions, events []history.Event, results ...Result) (stdout, stderr string) {
	var out, err bytes.Buffer
	options.Stdout, options.Stderr = &out, &err
	console := NewConsole(options)
	console.Begin("restart", restartScenario())
	for _, event := range events {
		console.Event("restart", event)
	}
	for _, result := range results {
		console.End(result)
	}
	console.Close()
	return out.String(), err.String()
}

func TestConsoleWithoutTerminalWritesALineAnEvent(t *testing.T) {
	plain := Style{Unicode: true}
	_, stderr := show(ConsoleOptions{Out: plain, Err: plain, Total: 1, NameWidth: 10}, everyKind())
	golden(t, "progress-plain.txt", stderr)
	_, stderr = show(ConsoleOptions{Out: plain, Err: plain, Total: 1, NameWidth: 7, Verbose: true}, everyKind())
	golden(t, "progress-verbose.txt", stderr)
	for _, line := range strings.Split(stderr, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "::") {
			t.Errorf("a container can give GitHub a command: %q", line)
		}
	}
	if strings.Contains(stderr, "\x1b") {
		t.Error("a container's escape sequence reaches the terminal")
	}
}

func TestConsoleQuiet(t *testing.T) {
	d := document()
	stdout, stderr := show(ConsoleOptions{Quiet: true, Total: 2, Out: Style{Width: 80}, Err: Style{Width: 80, Colour: true}}, everyKind(), d.Scenarios[0])
	if stdout+stderr != "" {
		t.Errorf("quiet shows %q and %q of a run that passed", stdout, stderr)
	}
	stdout, _ = show(ConsoleOptions{Quiet: true, Total: 2}, nil, d.Scenarios[1])
	if !strings.Contains(stdout, "restart-twice failed") {
		t.Errorf("quiet hides a failure: %q", stdout)
	}
}

// On a terminal the lines stay and the status line is drawn below them; what
// is on the screen afterwards is checked as a terminal would show it.
func TestScreenRedrawsStatusBelowLines(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	options := ConsoleOptions{
		Stdout: &out, Stderr: &out, Out: Style{Unicode: true, Width: 60}, Err: Style{Unicode: true, Width: 60}, Total: 2, NameWidth: 7,
		Now: func() time.Time { return now },
	}
	view := &screen{ConsoleOptions: options, shows: (&Console{options: options}).shows}
	view.begin(newStatus("restart", restartScenario(), now))
	var frames strings.Builder
	for _, event := range restartHistory().Events {
		now = time.Unix(0, 0).Add(event.At)
		view.event("restart", event)
		view.redraw()
		frames.WriteString(terminal(out.String()) + "\n----\n")
	}
	result := NewResult(restartScenario(), restartHistory(), passedVerdict())
	view.end(result)
	view.redraw()
	frames.WriteString(terminal(out.String()) + "\n")
	golden(t, "progress-terminal.txt", frames.String())
	if last := terminal(out.String()); strings.Contains(last, "0 of 2") {
		t.Errorf("the status line was left behind:\n%s", last)
	}
}

// terminal plays output on a terminal that knows newline, carriage return and
// the erasing of a line, and gives what stands on it.
func terminal(output string) string {
	var lines []string
	line := ""
	for len(output) > 0 {
		switch {
		case strings.HasPrefix(output, "\r\x1b[K"):
			line, output = "", output[len("\r\x1b[K"):]
		case output[0] == '\n':
			lines, line, output = append(lines, line), "", output[1:]
		default:
			line, output = line+output[:1], output[1:]
		}
	}
	return strings.Join(append(lines, line), "\n")
}

func TestStatusLineFitsTheTerminal(t *testing.T) {
	var out bytes.Buffer
	options := ConsoleOptions{Stdout: io.Discard, Stderr: &out, Err: Style{Width: 20}, Total: 12, Now: time.Now}
	view := &screen{ConsoleOptions: options}
	view.begin(newStatus("a-scenario-of-a-long-name", restartScenario(), time.Now()))
	view.redraw()
	if got := len(out.String()); got != 19 {
		t.Errorf("the status line has %d columns of 20: %q", got, out.String())
	}
}

// stuck is a terminal that takes nothing until it is told to.
type stuck struct {
	io.Writer
	release chan struct{}
}

func (s stuck) Write(text []byte) (int, error) {
	<-s.release
	return s.Writer.Write(text)
}

func TestConsoleDoesNotHoldARunUp(t *testing.T) {
	var out bytes.Buffer
	blocked := stuck{&out, make(chan struct{})}
	console := NewConsole(ConsoleOptions{Stdout: io.Discard, Stderr: blocked})
	console.Begin("restart", restartScenario())
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for range 100 {
				console.Event("restart", history.Event{Kind: history.Started, Service: "s", Incarnation: 1})
			}
		})
	}
	senders.Wait() // would never come back if an event waited for the terminal
	close(blocked.release)
	console.Close()
	if lines := strings.Count(out.String(), "\n"); lines != 400 {
		t.Errorf("%d lines of 400 were written", lines)
	}
}
