// Package killpointtest runs chaos scenarios inside go test: one subtest a
// scenario, which fails when the scenario does not pass.
//
//	func TestCrashes(t *testing.T) {
//		killpointtest.Run(t, "../scenarios")
//	}
//
// It needs a Docker Engine, as the killpoint command does, and nothing else:
// the interposer is built when a scenario has a crash point. Each subtest
// saves its run (history, logs, collected files) in its artifact directory;
// go test -artifacts keeps it.
//
// Before go test's -timeout is over, a run that goes on is given up and its
// containers are removed. Ctrl-C ends a test without that; what is left then
// is removed by the next run, or by killpoint clean.
package killpointtest

import (
	"context"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/orchestrator/run"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/suite"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// Options say how scenarios are run, as the flags of killpoint run of the
// same names do.
type Options struct {
	// Env is variables for the compose files, above the scenarios' own.
	Env map[string]string
	// Timeout is the longest that a run may take, above what the scenarios
	// say; 0: as they say.
	Timeout time.Duration
	// Parallel runs the subtests side by side, as many at once as go test's
	// own -parallel says.
	Parallel bool
	// Verbose shows every event, log lines of containers too.
	Verbose bool

	Publish, BindRW, AllowExternal, Build bool

	open func(context.Context, run.Options) (suite.Runner, error) // nil: the Docker Engine
}

// Run runs scenarios: files, folders of them, and patterns, relative to the
// test's package. What is wrong with any of them fails the test before
// anything is started.
func Run(t *testing.T, scenarios ...string) {
	t.Helper()
	Options{}.Run(t, scenarios...)
}

// Run runs scenarios in this way.
func (o Options) Run(t *testing.T, scenarios ...string) {
	t.Helper()
	loaded := o.load(t, scenarios)
	ctx := beforeDeadline(t)
	if o.open == nil && needsInterposer(loaded) {
		if err := provideInterposer(ctx); err != nil {
			t.Fatal(err)
		}
	}
	folder, err := suite.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(folder.Close)
	shown := &watcher{consoles: map[string]*report.Console{}, test: t, keeps: keepsArtifacts()}
	s, err := suite.Open(ctx, suite.Options{
		Run: run.Options{
			Version: version(), Publish: o.Publish, BindRW: o.BindRW, AllowExternal: o.AllowExternal, Build: o.Build,
		},
		Open: o.open, Watcher: shown, Folder: folder, ReplayFlags: o.replayFlags(),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, thing := range s.Swept() {
		t.Logf("removed %s, which an earlier killpoint had left", thing)
	}
	t.Cleanup(func() { // when the subtests have ended, those that run side by side too
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	for _, job := range suite.Jobs(loaded, 1) {
		t.Run(job.Name, func(t *testing.T) {
			if o.Parallel {
				t.Parallel()
			}
			o.one(ctx, t, s, shown, job)
		})
	}
}

// one is one subtest.
func (o Options) one(ctx context.Context, t *testing.T, s *suite.Suite, shown *watcher, job suite.Job) {
	t.Helper()
	job.Folder = filepath.Join(t.ArtifactDir(), "killpoint")
	shown.attach(job.Name, report.NewConsole(report.ConsoleOptions{
		Stdout: t.Output(), Stderr: t.Output(), Verbose: o.Verbose, Total: 1, NameWidth: len(job.Name),
	}))
	result := s.One(ctx, job)
	shown.detach(job.Name)
	if result.Outcome == report.Passed {
		return
	}
	if !shown.keeps {
		t.Log("go test -artifacts keeps the report")
	}
	if ctx.Err() != nil && t.Context().Err() == nil {
		t.Log("the run was given up so that it could clean up before go test's own -timeout")
	}
	t.Errorf("%s %s: %s", job.Name, result.Outcome, strings.Join(append(result.Reasons, result.Trouble...), "; "))
}

// keepsArtifacts says whether go test was called with -artifacts.
func keepsArtifacts() bool {
	given := flag.Lookup("test.artifacts")
	return given != nil && given.Value.String() == "true"
}

// load parses the scenarios and binds them to their systems.
func (o Options) load(t *testing.T, arguments []string) []suite.Loaded {
	t.Helper()
	if len(arguments) == 0 {
		t.Fatal("run scenarios: none was named")
	}
	files, err := suite.Find(arguments)
	if err != nil {
		t.Fatal(err)
	}
	loaded, problems := suite.Load(t.Context(), files, os.Environ(), system.Load, o.apply)
	if len(problems) > 0 {
		t.Fatalf("nothing was started:\n%v", problems)
	}
	return loaded
}

// apply puts what stands above a scenario's own words into it.
func (o Options) apply(sc *scenario.Scenario) {
	if o.Timeout > 0 {
		sc.Timeout = scenario.Duration(o.Timeout)
	}
	if len(o.Env) > 0 && sc.Env == nil {
		sc.Env = map[string]string{}
	}
	maps.Copy(sc.Env, o.Env)
}

// replayFlags is what the command that runs a scenario again needs besides
// its file.
func (o Options) replayFlags() []string {
	var flags []string
	for _, name := range slices.Sorted(maps.Keys(o.Env)) {
		flags = append(flags, "--env "+suite.Quoted(name+"="+o.Env[name]))
	}
	if o.Timeout > 0 {
		flags = append(flags, "--timeout "+scenario.Duration(o.Timeout).String())
	}
	return append(flags, suite.ReplayFlags(run.Options{Publish: o.Publish, BindRW: o.BindRW, AllowExternal: o.AllowExternal})...)
}

// cleaningUp is how long before the deadline of go test runs are given up, so
// that their containers are removed: go test itself kills without a word.
const cleaningUp = 30 * time.Second

// beforeDeadline gives a context that ends in time for the cleaning up.
func beforeDeadline(t *testing.T) context.Context {
	deadline, has := t.Deadline()
	if !has {
		return t.Context()
	}
	kept := min(cleaningUp, time.Until(deadline)/2)
	ctx, cancel := context.WithDeadline(t.Context(), deadline.Add(-kept))
	t.Cleanup(cancel)
	return ctx
}

// version is that of the killpoint that is built into the test.
func version() string {
	info, known := debug.ReadBuildInfo()
	if !known {
		return "unknown"
	}
	for _, module := range append(info.Deps, &info.Main) {
		if module.Path == "github.com/killpoint/killpoint" && module.Version != "" {
			return module.Version
		}
	}
	return "devel"
}
