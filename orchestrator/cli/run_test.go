package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/orchestrator/run"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/suite"
)

func openFails(context.Context, run.Options) (suite.Runner, error) {
	return nil, errors.New("the Docker Engine cannot be reached: start it")
}

func TestRunOfSeveralScenarios(t *testing.T) {
	u := newUser(t, "late", "normal", "restart")
	u.outcomes["restart"], u.outcomes["late"] = check.Failed, check.Inconclusive
	u.wants(exitFailed, "run", "scenarios", "--report", "reports")
	golden(t, "run-stdout.txt", u.out.String())
	golden(t, "run-stderr.txt", u.err.String())
}

func TestRunOfOneHasNoClosingLine(t *testing.T) {
	u := newUser(t, "restart")
	u.wants(exitPassed, "run", "scenarios/restart.yaml")
	golden(t, "run-one.txt", u.out.String())
}

func TestQuietSaysOnlyWhatMatters(t *testing.T) {
	u := newUser(t, "normal", "restart")
	u.wants(exitPassed, "run", "scenarios", "--quiet")
	if u.err.String() != "" || u.out.String() != "2 scenarios, 2 passed in 0.0s\n" {
		t.Errorf("stdout %q, stderr %q", u.out, u.err)
	}
}

func TestJSONHasStdoutForItself(t *testing.T) {
	u := newUser(t, "normal", "restart")
	u.outcomes["restart"] = check.Failed
	u.wants(exitFailed, "run", "scenarios", "--json", "-", "--verbose")
	var document report.Document
	decoder := json.NewDecoder(strings.NewReader(u.out.String()))
	if err := decoder.Decode(&document); err != nil || decoder.More() {
		t.Fatalf("stdout is not one JSON document: %v\n%s", err, u.out)
	}
	if document.Totals.Failed != 1 || document.Killpoint != "v0.0.0-test" {
		t.Errorf("document: %+v", document)
	}
	for _, line := range []string{"restart failed", "2 scenarios, 1 passed, 1 failed", "stdout: hello"} {
		if !strings.Contains(u.err.String(), line) {
			t.Errorf("stderr does not say %q:\n%s", line, u.err)
		}
	}
}

func TestReportFolderHoldsEverything(t *testing.T) {
	u := newUser(t, "normal", "restart")
	u.outcomes["restart"] = check.Failed
	for range 2 { // the second time over the first
		u.wants(exitFailed, "run", "scenarios", "--report", "reports", "--junit", "elsewhere.xml")
		var files []string
		filepath.WalkDir("reports", func(path string, entry os.DirEntry, _ error) error {
			if !entry.IsDir() {
				files = append(files, path)
			}
			return nil
		})
		want := []string{
			"reports/junit.xml",
			"reports/normal/events.jsonl", "reports/normal/history.json", "reports/normal/logs/worker-2.1.log",
			"reports/normal/report.html", "reports/normal/result.json", "reports/normal/scenario.json",
			"reports/report.html", "reports/report.json",
			"reports/restart/events.jsonl", "reports/restart/history.json", "reports/restart/logs/worker-2.1.log",
			"reports/restart/report.html", "reports/restart/result.json", "reports/restart/scenario.json",
		}
		if !slices.Equal(files, want) {
			t.Fatalf("files %q", files)
		}
		u.write("reports/normal/logs/worker-9.1.log", "of an older run, to be gone after the next")
	}
	own, _ := os.ReadFile("elsewhere.xml")
	if inReport, _ := os.ReadFile("reports/junit.xml"); len(own) == 0 || !bytes.Equal(own, inReport) {
		t.Error("the two JUnit files differ")
	}
	if entries, _ := os.ReadDir("reports"); len(entries) != 5 {
		t.Errorf("left behind in reports: %v", entries)
	}
	_, h, err := report.Load("reports/restart")
	if err != nil || h.Meta.RunID != "0badcafe" {
		t.Errorf("the saved run cannot be loaded: %v", err)
	}
}

// Without --report, what failed can be looked at, and what passed leaves
// nothing behind.
func TestTemporaryReports(t *testing.T) {
	u := newUser(t, "normal", "restart")
	temporary := os.TempDir()
	u.wants(exitPassed, "run", "scenarios")
	if entries, _ := os.ReadDir(temporary); len(entries) != 0 {
		t.Errorf("runs that passed leave %v", entries)
	}
	u.behave = func(context.Context, *scenario.Scenario, func(history.Event)) {
		if histories, _ := filepath.Glob(filepath.Join(u.options.Dir, "*")); len(histories) != 1 {
			t.Errorf("runs that passed fill the disk while others go on: %v", histories)
		}
	}
	u.outcomes["restart"] = check.Failed
	u.wants(exitFailed, "run", "scenarios")
	found, _ := filepath.Glob(filepath.Join(temporary, "killpoint-*", "*"))
	if len(found) != 1 || filepath.Base(found[0]) != "restart" || !strings.Contains(u.out.String(), "  report   "+found[0]+"\n") {
		t.Errorf("left are %v, and the result says:\n%s", found, u.out)
	}
}

func TestFlagsReachTheRun(t *testing.T) {
	u := newUser(t, "restart")
	u.outcomes["restart"] = check.Failed
	u.wants(exitFailed, "run", "scenarios/restart.yaml", "--keep", "--publish", "--bind-rw", "--allow-external", "--build",
		"--timeout", "90s", "--env", "SEED=4 2", "--env", "N=a=b")
	o := u.options
	if !o.Keep || !o.Publish || !o.BindRW || !o.AllowExternal || !o.Build || o.Version != "v0.0.0-test" {
		t.Errorf("options %+v", o)
	}
	sc := u.ran[0]
	if sc.Timeout != scenario.Duration(90*time.Second) || sc.Env["SEED"] != "4 2" || sc.Env["N"] != "a=b" {
		t.Errorf("timeout %v, env %v", sc.Timeout, sc.Env)
	}
	want := "  replay   killpoint run scenarios/restart.yaml --env 'SEED=4 2' --env N=a=b --timeout 1m30s --publish --bind-rw --allow-external\n"
	if !strings.Contains(u.out.String(), want) {
		t.Errorf("the result does not say %q:\n%s", want, u.out)
	}
}

func TestNoFlagChangesNothing(t *testing.T) {
	u := newUser(t, "restart")
	u.wants(exitPassed, "run", "scenarios/restart.yaml")
	o := u.options
	if o.Keep || o.Publish || o.BindRW || o.AllowExternal || o.Build {
		t.Errorf("options %+v", o)
	}
	if sc := u.ran[0]; sc.Timeout != scenario.Duration(time.Minute) || len(sc.Env) != 0 {
		t.Errorf("timeout %v, env %v", sc.Timeout, sc.Env)
	}
}

// together lets so many runs meet: a run ends when all of them have begun.
func together(count int) func(context.Context, *scenario.Scenario, func(history.Event)) {
	var begun sync.WaitGroup
	begun.Add(count)
	return func(context.Context, *scenario.Scenario, func(history.Event)) {
		begun.Done()
		begun.Wait()
	}
}

func TestParallelRunsSideBySide(t *testing.T) {
	u := newUser(t, "a", "b", "c", "d")
	u.behave = together(4) // hangs when fewer than four run at once
	u.wants(exitPassed, "run", "scenarios", "--parallel", "4")
	if u.peak != 4 {
		t.Errorf("%d ran at once", u.peak)
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		if !strings.Contains(u.err.String(), "["+name+"]") {
			t.Errorf("no progress of %s:\n%s", name, u.err)
		}
	}
}

func TestOneAtATimeByDefault(t *testing.T) {
	u := newUser(t, "a", "b", "c")
	u.wants(exitPassed, "run", "scenarios")
	if u.peak != 1 {
		t.Errorf("%d ran at once", u.peak)
	}
}

func TestRepeatNumbersTheRuns(t *testing.T) {
	u := newUser(t, "a", "b")
	u.outcomes["a.2"] = check.Failed
	u.wants(exitFailed, "run", "scenarios", "--repeat", "3", "--json", "result.json")
	var names []string
	for _, sc := range u.ran {
		names = append(names, sc.Name)
		if !strings.HasPrefix(sc.File, "scenarios/"+sc.Name[:1]) {
			t.Errorf("%s is the scenario of %s", sc.Name, sc.File)
		}
	}
	if want := []string{"a.1", "b.1", "a.2", "b.2", "a.3", "b.3"}; !slices.Equal(names, want) {
		t.Errorf("ran %v, want %v", names, want)
	}
	if !strings.Contains(u.out.String(), "6 scenarios, 5 passed, 1 failed in 0.0s\n  killpoint run scenarios/a.yaml\n") {
		t.Errorf("stdout: %s", u.out)
	}
}

// Two files whose scenarios have one name must not write into one folder.
func TestEqualNamesAreToldApart(t *testing.T) {
	u := newUser(t, "a")
	u.write("more/a.yaml", "name: a\nsystem: ../compose.yaml\n")
	u.write("more/a1.yaml", "name: a.1\nsystem: ../compose.yaml\n")
	u.wants(exitPassed, "run", "scenarios", "more", "--report", "reports")
	found, _ := filepath.Glob("reports/a*")
	if want := []string{"reports/a.1", "reports/a.2", "reports/a.3"}; !slices.Equal(found, want) {
		t.Errorf("folders %v, want %v", found, want)
	}
}

func TestFailFastStartsNoMore(t *testing.T) {
	u := newUser(t, "a", "b", "c")
	u.outcomes["b"] = check.Inconclusive
	u.wants(exitInconclusive, "run", "scenarios", "--fail-fast")
	if len(u.ran) != 2 || !strings.Contains(u.out.String(), "3 scenarios, 1 passed, 1 inconclusive, 1 not run in") {
		t.Errorf("ran %d; %s", len(u.ran), u.out)
	}
}

// A panic in a run is the tool's own trouble: the others go on, what was seen
// is saved, and what runs share is removed.
func TestPanicInARun(t *testing.T) {
	u := newUser(t, "a", "b")
	u.behave = func(_ context.Context, sc *scenario.Scenario, _ func(history.Event)) {
		if sc.Name == "a" {
			panic("something nobody thought of")
		}
	}
	u.wants(exitBroken, "run", "scenarios", "--report", "reports")
	if u.closed != 1 || len(u.ran) != 2 {
		t.Errorf("closed %d times, ran %d", u.closed, len(u.ran))
	}
	for _, text := range []string{"a broken in", "panic: something nobody thought of", "run_test.go", "killpoint run scenarios/a.yaml", "b passed"} {
		if !strings.Contains(u.out.String(), text) {
			t.Errorf("stdout does not say %q:\n%s", text, u.out)
		}
	}
	_, h, err := report.Load("reports/a")
	if err != nil {
		t.Fatal(err)
	}
	kinds := []history.Kind{}
	for _, event := range h.Events {
		kinds = append(kinds, event.Kind)
	}
	if want := []history.Kind{history.Started, history.Log, history.Trouble}; !slices.Equal(kinds, want) {
		t.Errorf("saved events %v, want %v", kinds, want)
	}
}

func TestPanicInAVerdict(t *testing.T) {
	u := newUser(t, "a")
	u.world.judge = func(*scenario.Scenario, *history.History) check.Verdict { panic("cannot judge") }
	u.wants(exitBroken, "run", "scenarios", "--report", "reports")
	if !strings.Contains(u.out.String(), "panic: cannot judge") || !report.IsSaved("reports/a") || u.closed != 1 {
		t.Errorf("closed %d times; %s", u.closed, u.out)
	}
}

// A report that cannot be saved is trouble, and said where the result is.
func TestReportThatCannotBeSaved(t *testing.T) {
	u := newUser(t, "a")
	u.behave = func(context.Context, *scenario.Scenario, func(history.Event)) {
		u.write("reports/a", "a file where the folder should be")
	}
	u.wants(exitBroken, "run", "scenarios", "--report", "reports")
	if !strings.Contains(u.out.String(), "a broken") || !strings.Contains(u.out.String(), "save report") {
		t.Errorf("stdout: %s", u.out)
	}
}

// The first interrupt lets the run clean up.
func TestFirstInterruptCleansUp(t *testing.T) {
	u := newUser(t, "a", "b")
	u.behave = func(ctx context.Context, _ *scenario.Scenario, event func(history.Event)) {
		u.interrupts <- os.Interrupt
		<-ctx.Done()
		event(history.Event{At: time.Second, Kind: history.Interrupted})
	}
	u.wants(exitInterrupted, "run", "scenarios", "--report", "reports")
	if len(u.ran) != 1 || u.closed != 1 || !report.IsSaved("reports/a") {
		t.Errorf("ran %d, closed %d times", len(u.ran), u.closed)
	}
	if !strings.Contains(u.out.String(), "2 scenarios, 0 passed, 1 interrupted, 1 not run in") {
		t.Errorf("stdout: %s", u.out)
	}
	if !strings.Contains(u.err.String(), "interrupted: removing containers") {
		t.Errorf("stderr: %s", u.err)
	}
}

// The second one does not wait for a cleaning up that hangs.
func TestSecondInterruptAborts(t *testing.T) {
	u := newUser(t, "a")
	release, ended := make(chan struct{}), make(chan struct{})
	u.behave = func(ctx context.Context, _ *scenario.Scenario, _ func(history.Event)) {
		defer close(ended)
		u.interrupts <- os.Interrupt
		<-ctx.Done()
		u.interrupts <- os.Interrupt
		<-release // the engine does not answer
	}
	u.wants(exitInterrupted, "run", "scenarios", "--report", "reports")
	select {
	case <-ended:
		t.Error("it waited for the run")
	default:
	}
	if !strings.Contains(u.err.String(), "killpoint clean removes what is left") {
		t.Errorf("stderr: %s", u.err)
	}
	close(release)
	<-ended
	// The command that was given up still saves the run, into the folder that
	// this test is in; it must be through before the test leaves it.
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		if running, err := filepath.Glob("reports/.running-*"); err == nil && len(running) == 0 && report.IsSaved("reports/a") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the run that was given up is not saved")
		}
	}
}

func TestGitHub(t *testing.T) {
	u := newUser(t, "normal", "restart")
	u.outcomes["restart"] = check.Failed
	workspace, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	u.write("summary.md", "from an earlier step\n")
	u.world.environ = append(u.world.environ, "GITHUB_ACTIONS=true", "GITHUB_WORKSPACE="+workspace, "GITHUB_STEP_SUMMARY=summary.md")
	u.wants(exitFailed, "run", "scenarios", "--json", "-")
	want := "::error file=scenarios/restart.yaml,line=1,title=restart failed::rows: lost: 1 row of an acknowledged chunk is in no file%0A" +
		"partition 3  chunk c1  \"13,Ada\"%0Areplay: killpoint run scenarios/restart.yaml\n"
	if strings.Count(u.err.String(), "::error") != 1 || !strings.Contains(u.err.String(), want) {
		t.Errorf("stderr does not annotate %q:\n%s", want, u.err)
	}
	if strings.Contains(u.out.String(), "::error") {
		t.Error("stdout, which is JSON, has an annotation")
	}
	summary, _ := os.ReadFile("summary.md")
	if !strings.HasPrefix(string(summary), "from an earlier step\n### Killpoint: 2 scenarios, 1 passed, 1 failed") {
		t.Errorf("summary: %s", summary)
	}
}

func TestGitHubSeesBadScenarios(t *testing.T) {
	for _, command := range []string{"run", "validate"} {
		u := newUser(t)
		u.write("scenarios/bad.yaml", "name: bad\nsystem: ../compose.yaml\nfautls: []\n")
		u.world.environ = append(u.world.environ, "GITHUB_ACTIONS=true")
		u.wants(exitUsage, command, "scenarios")
		if !strings.Contains(u.err.String(), "::error file=scenarios/bad.yaml,line=3,col=1,title=bad scenario::") {
			t.Errorf("%s: stderr: %s", command, u.err)
		}
	}
}

func TestNotOnGitHubNothingIsAnnotated(t *testing.T) {
	u := newUser(t, "restart")
	u.outcomes["restart"] = check.Failed
	u.wants(exitFailed, "run", "scenarios")
	if strings.Contains(u.err.String()+u.out.String(), "::error") {
		t.Errorf("annotations in %s%s", u.out, u.err)
	}
}

// Both files hold what was run, and agree: a golden of each, with a scenario
// that passed, one that failed, one that is inconclusive and one that was not
// run. The contract of the JSON is docs/json.md.
func TestResultsFiles(t *testing.T) {
	u := newUser(t, "a-passes", "b-fails", "c-late", "d-not-run")
	u.outcomes["b-fails"], u.outcomes["c-late"] = check.Failed, check.Inconclusive
	u.behave = func(ctx context.Context, sc *scenario.Scenario, _ func(history.Event)) {
		if sc.Name == "c-late" {
			u.interrupts <- os.Interrupt
			<-ctx.Done()
		}
	}
	for range 2 { // the second time over the first, which was longer
		u.write("result.json", strings.Repeat("x", 1e5))
		u.wants(exitInterrupted, "run", "scenarios", "--json", "result.json", "--junit", "result.xml", "--report", "reports")
	}
	for _, name := range []string{"result.json", "result.xml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, string(text))
	}
}
