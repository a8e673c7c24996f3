package report

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
)

// everyKind is a history with one event of each kind, which
// TestEveryKindOfEventIsDescribed sees to.
func everyKind() []history.Event {
	return []history.Event{
		{At: 1 * millisecond, Kind: history.Phase, Text: "starting"},
		{At: 2 * millisecond, Kind: history.Created, Service: "worker-2"},
		{At: 3 * millisecond, Kind: history.Started, Service: "worker-2", Incarnation: 1},
		{At: 4 * millisecond, Kind: history.Healthy, Service: "worker-2", Incarnation: 1},
		{At: 5 * millisecond, Kind: history.Log, Service: "worker-2", Incarnation: 1, Stream: "stderr", Text: "clear: \x1b[2J"},
		{At: 6 * millisecond, Kind: history.Exited, Service: "worker-2", Incarnation: 1, Code: code(0)},
		{At: 7 * millisecond, Kind: history.FaultArmed, Service: "worker-2", Fault: 1, Text: "kill worker-2 after 1s"},
		{At: 8 * millisecond, Kind: history.PointReached, Service: "worker-2", Incarnation: 1, Fault: 1, Text: "before write 7 of /data/a.csv"},
		{At: 8 * millisecond, Kind: history.Operation, Service: "worker-2", Incarnation: 1, Point: &history.Point{Operation: "write", Occurrence: 7, Path: "/data/a.csv", Timing: "before", Size: 3}},
		{At: 8 * millisecond, Kind: history.FaultFired, Service: "worker-2", Incarnation: 1, Fault: 1, Text: "1s were over"},
		{At: 9 * millisecond, Kind: history.FaultDone, Service: "worker-2", Incarnation: 1, Fault: 1, Text: "killed (SIGKILL)"},
		{At: 10 * millisecond, Kind: history.FaultHealed, Service: "worker-2", Incarnation: 2, Fault: 1, Text: "started again"},
		{At: 11 * millisecond, Kind: history.FaultMissed, Service: "worker-2", Fault: 2, Text: "the run ended before"},
		{At: 12 * millisecond, Kind: history.QueueDepth, Queue: "queue-1-2", Ready: 3, Unacked: 4},
		{At: 13 * millisecond, Kind: history.Collected, Service: "worker-2", Text: "/data/a.csv"},
		{At: 14 * millisecond, Kind: history.CommandRan, Service: "worker-2", Code: code(3), Text: "ls /data"},
		{At: 14 * millisecond, Kind: history.AtRest, Service: "worker-2", Incarnation: 2, Unit: 2, Text: "5f2a"},
		{At: 14 * millisecond, Kind: history.UnitBegan, Service: "test-runner", Unit: 2},
		{At: 14 * millisecond, Kind: history.UnitDone, Service: "test-runner", Unit: 2},
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

// A kind that is new in package history is described here too, and decided
// when it is shown.
func TestEveryKindOfEventIsDescribed(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../history/history.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	known := map[history.Kind]bool{}
	for _, event := range everyKind() {
		known[event.Kind] = true
		if _, what := describe(event); strings.HasPrefix(what, string(event.Kind)) && strings.Contains(string(event.Kind), "-") {
			t.Errorf("%s is shown by its name: %q", event.Kind, what)
		}
	}
	count := 0
	ast.Inspect(file, func(node ast.Node) bool {
		value, is := node.(*ast.ValueSpec)
		if !is || value.Type == nil {
			return true
		}
		if name, is := value.Type.(*ast.Ident); is && name.Name == "Kind" {
			count++
			text, err := strconv.Unquote(value.Values[0].(*ast.BasicLit).Value)
			if err != nil || !known[history.Kind(text)] {
				t.Errorf("no event of kind %s here (%v)", text, err)
			}
		}
		return true
	})
	if count < 20 {
		t.Errorf("only %d kinds were found in history.go", count)
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

// What there is room for is said, and no line is ever wider than its terminal.
func TestStatusLineFitsTheTerminal(t *testing.T) {
	began := time.Unix(0, 0)
	now := began.Add(12300 * time.Millisecond)
	running := []*status{newStatus("restart", restartScenario(), began), newStatus("网络中断", restartScenario(), began)}
	for _, current := range running {
		current.apply(history.Event{Kind: history.Phase, Text: "running"})
		current.apply(history.Event{Kind: history.FaultFired})
	}
	for _, test := range []struct {
		columns int
		running []*status
		want    string
	}{
		{0, running, "1 of 4 done | restart running 12s, 0 done, fault 1/2 | 网络中断 running 12s, 0 done, fault 1/2"},
		{94, running, "1 of 4 done | restart running 12s, 0 done, fault 1/2 | 网络中断 running 12s, 0 done, fault 1/2"},
		{93, running, "1 of 4 done | restart running 12s 0 done 1/2 | 网络中断 running 12s 0 done 1/2"},
		{70, running, "1 of 4 done | restart 12s 0 done 1/2 | 网络中断 12s 0 done 1/2"},
		{40, running, "1 of 4 done | restart 12s | 网络中断 12s"},
		{27, running, "1 of 4 done | 2 go on"},
		{9, running, "1 of 4 do"},
		{30, running[1:], "1 of 4 done | 网络中断 12s"},
		{20, running[1:], "1 of 4 done | 网络中"},
		{19, running[1:], "1 of 4 done | 网络"},
	} {
		got := statusLine(test.running, 1, 4, test.columns, now)
		if got != test.want {
			t.Errorf("in %d columns: %q, want %q", test.columns, got, test.want)
		}
		if wide := columnsOf(got); test.columns > 0 && wide > test.columns {
			t.Errorf("in %d columns: %q has %d", test.columns, got, wide)
		}
	}
	alone := statusLine(running[:1], 0, 1, 80, now)
	if alone != "restart running 12s, 0 done, fault 1/2" {
		t.Errorf("a single run: %q", alone)
	}
}

func TestScreenFollowsTheWindow(t *testing.T) {
	var out bytes.Buffer
	columns := 70
	options := ConsoleOptions{
		Stdout: io.Discard, Stderr: &out, Err: Style{Width: 70}, Total: 12, Now: func() time.Time { return time.Unix(0, 0) },
		Width: func() int { return columns },
	}
	view := &screen{ConsoleOptions: options}
	view.begin(newStatus("a-scenario-of-a-long-name", restartScenario(), time.Unix(0, 0)))
	for _, columns = range []int{70, 20, 0} {
		view.redraw()
		want := min(columns-1, 69)
		if columns == 0 {
			want = 69 // it does not say: what it had in the beginning counts
		}
		if got := columnsOf(terminal(out.String())); got > want || got < want/2 {
			t.Errorf("the status line has %d columns of %d: %q", got, columns, out.String())
		}
	}
}

// Containers that exit while they are removed are no news, and others are.
func TestExitsOfTheRemovalAreNotShown(t *testing.T) {
	exit := history.Event{Kind: history.Exited, Service: "worker-2", Incarnation: 1, Code: code(137)}
	events := []history.Event{{Kind: history.Phase, Text: "running"}, exit, {Kind: history.Phase, Text: "removing"}, exit, {Kind: history.Removed}}
	_, stderr := show(ConsoleOptions{Total: 1, NameWidth: 7}, events)
	if strings.Count(stderr, "exited 137") != 1 {
		t.Errorf("stderr:\n%s", stderr)
	}
	_, stderr = show(ConsoleOptions{Total: 1, NameWidth: 7, Verbose: true}, events)
	if strings.Count(stderr, "exited 137") != 2 {
		t.Errorf("with --verbose, stderr:\n%s", stderr)
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
