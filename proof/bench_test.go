package proof_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/cli"
	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/interpose"
	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/suite"
	"github.com/killpoint/killpoint/orchestrator/system"
	"github.com/killpoint/killpoint/proof"
)

const (
	root = ".."
	// workerImage is what make images builds: variants are put on top of it.
	workerImage = "killpoint/worker:local"
	// exploring is the scenario in which subtle variants are crashed.
	exploring = "explore.yaml"
)

var parallel = flag.Int("side-by-side", 4, "runs that go on at once; they wait more than they compute")

// bench builds variants and runs scenarios with them.
type bench struct {
	engine  *engine.Engine
	images  map[string]string // by name of the variant
	mu      sync.Mutex
	session cli.Session
}

func newBench(t *testing.T) *bench {
	t.Helper()
	e, err := engine.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	t.Setenv(interpose.BinaryVariable, interposer(t))
	b := &bench{engine: e, images: map[string]string{}}
	t.Cleanup(func() {
		if err := b.session.Close(context.Background()); err != nil { // the test's own context has ended
			t.Error(err)
		}
	})
	return b
}

// killpoint builds the command that people use, once, with the interposer
// beside it.
func killpoint(t *testing.T) string {
	t.Helper()
	binary, err := builtOnce()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// interposer is what killpoint puts into containers. It starts ten times as
// fast as killpoint itself, which would do in its place.
func interposer(t *testing.T) string {
	t.Helper()
	return filepath.Join(filepath.Dir(killpoint(t)), interpose.BinaryName(runtime.GOARCH))
}

var builtOnce = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(scratch, "killpoint")
	for _, built := range []struct{ system, file, from string }{
		{runtime.GOOS, binary, "./orchestrator"},
		{"linux", filepath.Join(scratch, interpose.BinaryName(runtime.GOARCH)), "./orchestrator/interpose/cmd/interposer"},
	} {
		build := exec.Command("go", "build", "-trimpath", "-o", built.file, built.from)
		build.Dir = root
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+built.system)
		if output, err := build.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", built.from, err, output)
		}
	}
	return binary, nil
})

// scratch is a folder for what all tests share.
var scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if scratch, err = os.MkdirTemp("", "killpoint-proof-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := os.RemoveAll(scratch); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// build makes an image of each variant's worker, two at a time.
func (b *bench) build(t *testing.T, variants []proof.Variant) {
	t.Helper()
	failures := make([]error, len(variants))
	slots := make(chan struct{}, 2)
	var building sync.WaitGroup
	for index, variant := range variants {
		slots <- struct{}{}
		building.Go(func() {
			defer func() { <-slots }()
			failures[index] = b.image(t, variant)
		})
	}
	building.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
}

// image builds a variant's worker and puts it into an image of its own.
func (b *bench) image(t *testing.T, variant proof.Variant) error {
	folder := t.TempDir()
	if err := variant.Build(t.Context(), mustAbs(t, root), t.TempDir(), filepath.Join(folder, "worker")); err != nil {
		return err
	}
	dockerfile := "FROM " + workerImage + "\nCOPY worker /app/worker\n"
	// Tests of one machine must not take away each other's images.
	tag := fmt.Sprintf("killpoint/proof-%d:%s", os.Getpid(), variant.Name)
	spec := engine.BuildSpec{Build: system.Build{Context: folder, DockerfileInline: dockerfile}, Tag: tag}
	if _, err := b.engine.Build(t.Context(), spec, nil); err != nil {
		return err
	}
	t.Cleanup(func() {
		if err := b.engine.RemoveImage(context.Background(), tag); err != nil { // the test's own context has ended
			t.Error(err)
		}
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.images[variant.Name] = tag
	return nil
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	absolute, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return absolute
}

// trial is a scenario that is run with a variant's worker.
type trial struct {
	variant  proof.Variant // whose worker it is
	scenario string        // the file, from this folder
	env      map[string]string
	crashes  scenario.Sequence // faults besides the scenario's own
	timeout  time.Duration     // in place of the scenario's; 0 leaves it
}

// job loads the trial under a name that no other trial has.
func (b *bench) job(t *testing.T, one trial, name string) suite.Job {
	t.Helper()
	loaded, problems := suite.Load(t.Context(), []string{one.scenario}, os.Environ(), system.Load, func(sc *scenario.Scenario) {
		sc.Name = name
		env := map[string]string{"WORKER_2_IMAGE": b.images[one.variant.Name]}
		maps.Copy(env, sc.Env)
		maps.Copy(env, one.env)
		sc.Env = env
		sc.Faults = append(sc.Faults, one.crashes.Kills()...)
		if one.timeout > 0 {
			sc.Timeout = scenario.Duration(one.timeout)
		}
	})
	if len(problems) > 0 {
		t.Fatalf("%s: %v", name, problems)
	}
	return suite.Job{Loaded: loaded[0], Name: name}
}

// run runs every trial as often as it is asked to and gives the results of
// each.
func (b *bench) run(t *testing.T, trials map[string]trial, times int) map[string][]report.Result {
	t.Helper()
	folder, err := suite.NewFolder(filepath.Join(t.TempDir(), "reports"))
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	s, err := suite.Open(t.Context(), suite.Options{Watcher: silent{}, Folder: folder, Parallel: *parallel})
	if err != nil {
		t.Fatal(err)
	}
	var jobs []suite.Job
	var names []string
	for number := range times {
		for name, one := range trials {
			jobs = append(jobs, b.job(t, one, fmt.Sprintf("%s.%d", name, number+1)))
			names = append(names, name)
		}
	}
	results := map[string][]report.Result{}
	for index, result := range s.Execute(t.Context(), jobs) {
		results[names[index]] = append(results[names[index]], result)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	return results
}

// silent is told of runs and says nothing: the tests say what is wrong.
type silent struct{}

func (silent) Begin(string, *scenario.Scenario) {}
func (silent) Event(string, history.Event)      {}
func (silent) End(report.Result)                {}
func (silent) Note(string)                      {}

// told is a result in words.
func told(result report.Result) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s in %.1f s\n", result.Name, result.Outcome, result.Seconds)
	lines := result.Trouble
	if result.Outcome != report.Failed { // whose reasons are its findings
		lines = append(lines, result.Reasons...)
	}
	for _, line := range lines {
		fmt.Fprintf(&text, "  ! %s\n", line)
	}
	for _, fault := range result.Faults {
		fmt.Fprintf(&text, "  fault %d: %s: %s%s\n", fault.Number, fault.Planned, fault.Matched, fault.Missed)
	}
	for _, check := range result.Checks {
		for _, finding := range check.Findings {
			fmt.Fprintf(&text, "  %s: %s: %s\n", check.Name, finding.Kind, finding.Text)
			for index, row := range finding.Rows {
				if index == 3 {
					fmt.Fprintf(&text, "    and %d more\n", len(finding.Rows)-index)
					break
				}
				fmt.Fprintf(&text, "    %s:%d chunk %s %q\n", row.File, row.Line, row.Chunk, row.Text)
			}
		}
	}
	return text.String()
}
