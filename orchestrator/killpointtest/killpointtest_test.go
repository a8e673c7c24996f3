package killpointtest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/orchestrator/run"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/suite"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// fake is an engine in memory: worker says hello and is killed as planned,
// except in scenario b, where it says nothing.
type fake struct {
	options run.Options
	t       *testing.T
	closed  bool
	meet    *sync.WaitGroup // when set, runs wait for each other
}

func (f *fake) Swept() []string { return []string{"container kp-old"} }

func (f *fake) Close(ctx context.Context) error {
	if f.closed = true; ctx.Err() != nil {
		return errors.New("nothing can be removed any more")
	}
	return nil
}

func (f *fake) Run(ctx context.Context, sc *scenario.Scenario, sys *system.System) *history.History {
	if f.closed {
		f.t.Error("a run began after what runs share was removed")
	}
	if f.meet != nil {
		f.meet.Done()
		f.meet.Wait()
	}
	if sc.Name == "c" && os.Getenv(childTest) == "late" {
		<-ctx.Done()
	}
	h := &history.History{Dir: filepath.Join(f.options.Dir, sc.Name)}
	if err := os.MkdirAll(h.Dir, 0o755); err != nil {
		f.t.Error(err)
	}
	h.Meta = history.Meta{Scenario: sc.Name, File: sc.File, Replay: "killpoint run " + sc.File, Killpoint: f.options.Version, Started: time.Unix(0, 0)}
	code := 137
	for _, event := range []history.Event{
		{At: 1 * time.Second, Kind: history.Started, Service: "worker", Incarnation: 1},
		{At: 2 * time.Second, Kind: history.FaultArmed, Service: "worker", Fault: 1},
		{At: 3 * time.Second, Kind: history.FaultFired, Service: "worker", Incarnation: 1, Fault: 1, Text: "1s were over"},
		{At: 3 * time.Second, Kind: history.Exited, Service: "worker", Incarnation: 1, Code: &code},
		{At: 3 * time.Second, Kind: history.FaultDone, Service: "worker", Incarnation: 1, Fault: 1, Text: "killed"},
		{At: 4 * time.Second, Kind: history.Started, Service: "worker", Incarnation: 2},
		{At: 4 * time.Second, Kind: history.FaultHealed, Service: "worker", Incarnation: 2, Fault: 1},
		{At: 5 * time.Second, Kind: history.Log, Service: "worker", Incarnation: 2, Stream: "stdout", Text: "hello from " + sys.Services[0].Image},
		{At: 6 * time.Second, Kind: history.AllDone},
	} {
		if sc.Name == "b" && event.Kind == history.Log {
			continue
		}
		h.Events = append(h.Events, event)
		f.options.OnEvent(sc.Name, event)
	}
	if ctx.Err() != nil {
		h.Events = append(h.Events, history.Event{At: 7 * time.Second, Kind: history.Interrupted})
	}
	return h
}

func (f *fake) open(_ context.Context, options run.Options) (suite.Runner, error) {
	f.options = options
	return f, nil
}

// childTest names, for a child process, what TestChild does: tests that fail
// cannot be looked at in the process that they fail in.
const childTest = "KILLPOINTTEST_CHILD"

func TestChild(t *testing.T) {
	f := &fake{t: t}
	o := Options{Env: map[string]string{"TAG": "7"}, open: f.open}
	defer func() {
		if f.closed {
			t.Error("what runs share was removed before the test was over")
		}
	}()
	switch os.Getenv(childTest) {
	case "":
		t.Skip("only in a child process")
	case "side by side":
		o.Parallel = true
		f.meet = &sync.WaitGroup{}
		f.meet.Add(3)
		o.Run(t, "testdata/three")
	case "passes":
		o.Verbose = true
		o.Run(t, "testdata/three/a.yaml")
	case "nothing":
		o.Run(t)
	case "no file":
		o.Run(t, "testdata/none.yaml")
	case "bad":
		o.Run(t, "testdata/compose.yaml")
	case "no engine":
		o.open = func(context.Context, run.Options) (suite.Runner, error) { return nil, errors.New("no engine here") }
		o.Run(t, "testdata/three/a.yaml")
	default:
		o.Run(t, "testdata/three")
	}
}

// child runs TestChild and gives what go test prints and whether it passed.
func child(t *testing.T, task string, flags ...string) (string, bool) {
	t.Helper()
	command := exec.Command(os.Args[0], append([]string{"-test.run=^TestChild$", "-test.v"}, flags...)...)
	command.Env = append(os.Environ(), childTest+"="+task)
	out, err := command.CombinedOutput()
	return string(out), err == nil
}

// Of three scenarios, the one in which a check fails fails its subtest, and
// says what a person needs; the others pass.
func TestOneSubtestAScenario(t *testing.T) {
	out, passed := child(t, "three")
	if passed {
		t.Error("the test passed")
	}
	for _, text := range []string{
		"--- PASS: TestChild/a", "--- FAIL: TestChild/b", "--- PASS: TestChild/c",
		"b failed: violated: worker logged a line with \"hello\" 0 times", "go test -artifacts keeps the report",
		"killpoint run testdata/three/b.yaml --env TAG=7", // the command that runs it again
		"[a]    3.000s  worker #1  fault 1 fired: 1s were over",
		"removed container kp-old, which an earlier killpoint had left",
	} {
		if !strings.Contains(out, text) {
			t.Errorf("not said: %q\n%s", text, out)
		}
	}
}

func TestPassedScenariosPass(t *testing.T) {
	out, passed := child(t, "passes")
	// The image is named by a variable of Options.Env.
	if !passed || !strings.Contains(out, "stdout: hello from x:7") {
		t.Error(out)
	}
	if strings.Contains(out, "  report ") {
		t.Errorf("a report is named that nothing keeps:\n%s", out)
	}
}

// The runs of three subtests wait for each other: one after the other they
// would hang.
func TestSubtestsSideBySide(t *testing.T) {
	out, _ := child(t, "side by side", "-test.parallel=3", "-test.timeout=60s")
	if !strings.Contains(out, "--- PASS: TestChild/c") || strings.Contains(out, "panic: test timed out") || strings.Contains(out, "a run began after") {
		t.Error(out)
	}
}

// Every subtest's run is saved in its own artifact directory, passed or not.
func TestArtifacts(t *testing.T) {
	folder := t.TempDir()
	child(t, "three", "-test.artifacts", "-test.outputdir="+folder)
	var saved []string
	filepath.WalkDir(folder, func(path string, entry os.DirEntry, _ error) error {
		if entry.IsDir() && report.IsSaved(path) {
			_, h, err := report.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			saved = append(saved, h.Meta.Scenario)
			if filepath.Base(path) != "killpoint" {
				t.Errorf("saved in %s", path)
			}
		}
		return nil
	})
	slices.Sort(saved)
	if !slices.Equal(saved, []string{"a", "b", "c"}) {
		t.Errorf("saved are %q", saved)
	}
}

// A run that would outlast go test is given up in time to clean up.
func TestDeadline(t *testing.T) {
	out, passed := child(t, "late", "-test.timeout=4s")
	if passed || !strings.Contains(out, "c interrupted") || !strings.Contains(out, "before go test's own -timeout") || strings.Contains(out, "panic: test timed out") {
		t.Error(out)
	}
}

func TestNothingIsStartedWhenSomethingIsWrong(t *testing.T) {
	for task, says := range map[string]string{
		"nothing":   "run scenarios: none was named",
		"no file":   "read scenario testdata/none.yaml: there is no such file or folder",
		"bad":       "testdata/compose.yaml:1:1: ",
		"no engine": "no engine here",
	} {
		if out, passed := child(t, task); passed || !strings.Contains(out, says) || strings.Contains(out, "TestChild/") {
			t.Errorf("%s: want it to fail with %q:\n%s", task, says, out)
		}
	}
}
