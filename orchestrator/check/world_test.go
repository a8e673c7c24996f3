package check_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

const header = "user_id,name"

// world is a scenario and a history made by hand, in the words of the test
// data: one directive a line, see direct.
type world struct {
	t        testing.TB
	scenario scenario.Scenario
	facts    scenario.Facts
	history  history.History
	sent     strings.Builder
	hasSent  bool
	undone   bool // the sender's last line is missing
	held     bool // the sender is held before its next message
	line     int
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, hasSent: true}
	w.history.Dir = t.TempDir()
	w.facts = scenario.Facts{
		Rows: &scenario.Rows{
			Sent:      scenario.SentFile{Service: "sender", File: "/sent.jsonl"},
			Output:    scenario.Output{Service: "writer", Files: "/data/*.csv", Header: header},
			Partition: &scenario.Partition{Column: "user_id", Modulo: "PARTITIONS", File: `-(\d+)\.csv$`, Count: 2},
		},
	}
	w.scenario.Expect = scenario.Expect{Rows: "exactly-once", Order: "any", Verdicts: "off", Drained: "off", Exits: map[string]int{}}
	w.scenario.File = "test.yaml"
	w.scenario.Positions = map[string]scenario.Position{}
	w.scenario.Timeout, w.scenario.Settle = scenario.Duration(time.Minute), scenario.Duration(time.Second/2)
	return w
}

// parseWorld reads the directives of one case.
func parseWorld(t testing.TB, text string) *world {
	w := newWorld(t)
	for number, line := range strings.Split(text, "\n") {
		w.line = number + 1
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			w.direct(line)
		}
	}
	w.finish()
	return w
}

func (w *world) position() scenario.Position {
	return scenario.Position{File: "test.yaml", Line: w.line, Column: 1}
}

// direct takes one directive.
func (w *world) direct(line string) {
	word, rest, _ := strings.Cut(line, " ")
	switch {
	case strings.HasPrefix(word, "@"):
		at, err := time.ParseDuration(word[1:])
		w.check(err)
		w.event(at, rest)
	case word == "expect":
		w.expect(rest)
	case word == "fault":
		w.fault(rest)
	case word == "idle":
		w.scenario.Idle = true
	case word == "partitions":
		if w.facts.Rows.Partition.Count, _ = strconv.Atoi(rest); rest == "none" {
			w.facts.Rows.Partition = nil
		}
	case word == "header":
		w.facts.Rows.Output.Header = rest
	case word == "norows":
		w.facts.Rows, w.hasSent, w.scenario.Expect.Rows = nil, false, "off"
	case word == "verdicts":
		w.facts.Verdicts = &scenario.Verdicts{Service: "judge", Success: `^GOOD (\S+)$`, Failure: `^BAD (\S+)$`}
		w.scenario.Expect.Verdicts = "all"
	case word == "drained":
		w.facts.Done = &scenario.Done{Drained: strings.Fields(rest)}
		w.scenario.Expect.Drained = "all"
	case word == "done":
		w.facts.Done = &scenario.Done{Exited: strings.Fields(rest)}
	case word == "nosent":
		w.hasSent = false
	case word == "undone":
		w.undone = true
	case word == "held":
		w.held = true
	case word == "sent":
		w.send(rest)
	case word == "again":
		w.record(history.SentLine{Chunk: rest, Again: true})
	case word == "malformed":
		w.record(history.SentLine{Malformed: &rest, Reason: "no CSV"})
	case word == "file":
		path, content, _ := strings.Cut(rest, ":")
		w.file("writer", filePath(path), history.AtEnd, fileText(strings.TrimPrefix(content, " ")))
	case word == "before" || word == "after":
		path, content, _ := strings.Cut(rest, ":")
		w.file("writer", filePath(path), history.Stage(word+"-stable"), fileText(strings.TrimPrefix(content, " ")))
	default:
		w.t.Fatalf("unknown directive %q", line)
	}
}

// filePath makes a partition's number into a path.
func filePath(name string) string {
	if number, err := strconv.Atoi(name); err == nil {
		return fmt.Sprintf("/data/rows-%03d.csv", number)
	}
	return name
}

// fileText makes H into the header and | into a newline.
func fileText(text string) string {
	lines := strings.Split(text, "|")
	for i, line := range lines {
		if line == "H" {
			lines[i] = header
		}
	}
	return strings.ReplaceAll(strings.Join(lines, "\n"), `\0`, "\x00")
}

// send records a chunk: "A: 0,a 1,b"; with "A?" it is never confirmed.
func (w *world) send(text string) {
	id, rows, _ := strings.Cut(text, ":")
	id, unconfirmed := strings.CutSuffix(id, "?")
	w.record(history.SentLine{Chunk: id, Client: "TEST", Rows: strings.Fields(rows)})
	if !unconfirmed {
		w.record(history.SentLine{Confirmed: id})
	}
}

func (w *world) record(line history.SentLine) {
	text, err := json.Marshal(line)
	w.check(err)
	w.sent.Write(append(text, '\n'))
}

// file puts a collected file where a recorder would.
func (w *world) file(service, path string, stage history.Stage, content string) {
	stored := fmt.Sprintf("%04d", len(w.history.Files))
	w.check(os.WriteFile(filepath.Join(w.history.Dir, stored), []byte(content), 0o644))
	w.history.Files = append(w.history.Files, history.File{
		Service: service, Path: path, Stage: stage, Stored: stored,
		Size: int64(len(content)), SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(content))),
	})
}

// finish writes the sender's record, and the plainest of events if the case
// gave none.
func (w *world) finish() {
	if w.hasSent {
		if !w.undone {
			w.record(history.SentLine{Done: true})
		}
		w.file("sender", "/sent.jsonl", history.AtEnd, w.sent.String())
	}
	if len(w.history.Events) == 0 {
		w.event(0, "created writer")
		w.event(time.Second, "alldone")
	}
	if w.held {
		w.history.Events[len(w.history.Events)-1].Unit = 1
	}
	w.scenario.Facts = &w.facts
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// event adds one: "log writer/2 some text", "exited writer/1 137 SIGKILL",
// "fired 1 writer/1 text", "depth queue 3 0", "ran 0 1 output".
func (w *world) event(at time.Duration, text string) {
	kinds := map[string]history.Kind{
		"alldone": history.AllDone, "settled": history.Settled, "timedout": history.TimedOut,
		"trouble": history.Trouble, "interrupted": history.Interrupted, "warning": history.Warning,
		"armed": history.FaultArmed, "fired": history.FaultFired, "done": history.FaultDone, "missed": history.FaultMissed,
		"created": history.Created, "started": history.Started, "log": history.Log, "err": history.Log, "exited": history.Exited,
		"depth": history.QueueDepth, "ran": history.CommandRan, "collected": history.Collected,
	}
	word, rest, _ := strings.Cut(text, " ")
	event := history.Event{At: at, Kind: kinds[word]}
	next := func() (field string) {
		field, rest, _ = strings.Cut(rest, " ")
		return field
	}
	number := func() int {
		n, err := strconv.Atoi(next())
		w.check(err)
		return n
	}
	service := func() {
		name, life, _ := strings.Cut(next(), "/")
		event.Service = name
		event.Incarnation, _ = strconv.Atoi(life)
	}
	switch word {
	case "armed", "fired", "done", "missed":
		event.Fault = number()
		service()
		event.Text = rest
	case "created", "started", "collected", "warning":
		service()
		event.Text = rest
	case "log", "err":
		service()
		event.Stream, event.Text = map[string]string{"log": "stdout", "err": "stderr"}[word], rest
	case "exited":
		service()
		code := number()
		event.Code, event.Text = &code, rest
	case "depth":
		event.Queue, event.Ready, event.Unacked = next(), number(), number()
	case "ran":
		event.Expect = number()
		if code, err := strconv.Atoi(next()); err == nil {
			event.Code, event.Stdout = &code, rest
		} else {
			event.Stderr = rest
		}
	case "alldone", "settled", "timedout", "trouble", "interrupted":
		event.Text = rest
	default:
		w.t.Fatalf("unknown event %q", text)
	}
	w.history.Events = append(w.history.Events, event)
}

// expect takes "rows at-least-once", "log writer contains=x times=0",
// "run exit=0 stdout=x", "stable /data/*", "exit writer 0".
func (w *world) expect(text string) {
	fields := strings.Fields(text)
	keys := map[string]string{}
	for _, field := range fields {
		if key, value, ok := strings.Cut(field, "="); ok {
			keys[key] = strings.ReplaceAll(value, "_", " ")
		}
	}
	whole := func(key string) *int {
		n, err := strconv.Atoi(keys[key])
		if err != nil {
			return nil
		}
		return &n
	}
	switch fields[0] {
	case "rows":
		w.scenario.Expect.Rows = fields[1]
	case "order":
		w.scenario.Expect.Order = fields[1]
	case "log":
		expect := scenario.LogExpect{
			Service: fields[1], Contains: keys["contains"], Matches: keys["matches"], Position: w.position(),
			Times: whole("times"), AtLeast: whole("at-least"), AtMost: whole("at-most"),
		}
		expect.Incarnation, _ = strconv.Atoi(keys["incarnation"])
		w.scenario.Expect.Logs = append(w.scenario.Expect.Logs, expect)
	case "run":
		expect := scenario.RunExpect{Service: "writer", Command: []string{"verify", "/data"}, Stdout: keys["stdout"], Position: w.position()}
		expect.Exit, _ = strconv.Atoi(keys["exit"])
		w.scenario.Expect.Run = append(w.scenario.Expect.Run, expect)
	case "stable":
		w.scenario.Expect.Stable = append(w.scenario.Expect.Stable, scenario.StableExpect{Service: "writer", Files: fields[1], Position: w.position()})
	case "exit":
		code, err := strconv.Atoi(fields[2])
		w.check(err)
		w.scenario.Expect.Exits[fields[1]] = code
	default:
		w.t.Fatalf("unknown expectation %q", text)
	}
}

// fault takes "kill writer log=text occurrence=2 times=3" or "pause writer after=3s".
func (w *world) fault(text string) {
	fields := strings.Fields(text)
	fault := scenario.Fault{Kind: scenario.FaultKind(fields[0]), Service: fields[1], Times: 1, Position: w.position()}
	fault.When.Occurrence = 1
	for _, field := range fields[2:] {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "log":
			fault.When.Kind, fault.When.Log = scenario.Log, value
		case "after":
			after, err := time.ParseDuration(value)
			w.check(err)
			duration := scenario.Duration(after)
			fault.When.Kind, fault.When.After = scenario.After, &duration
		case "occurrence":
			fault.When.Occurrence, _ = strconv.Atoi(value)
		case "incarnation":
			fault.When.Incarnation, _ = strconv.Atoi(value)
		case "service":
			fault.When.Service = value
		case "times":
			fault.Times, _ = strconv.Atoi(value)
		case "signal":
			fault.Signal = value
		default:
			w.t.Fatalf("unknown key of a fault %q", field)
		}
	}
	w.scenario.Faults = append(w.scenario.Faults, fault)
}
