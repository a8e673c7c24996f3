package run

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/interpose"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// The tests' systems are made of one program, testdata/actor, in an image that
// holds nothing else.
var (
	testEngine *engine.Engine
	actorImage = fmt.Sprintf("kpr-actor:%d", os.Getpid())
)

// TestMain builds that image, and removes it with whatever a failed test has
// left. Called with a task for a child process it does that instead.
func TestMain(m *testing.M) {
	// Runs wait for the engine more than they compute.
	flag.Set("test.parallel", "4")
	flag.Parse()
	host := fmt.Sprintf("kpr-%d", os.Getpid())
	if given := os.Getenv(childHost); given != "" {
		host = given
	}
	hostName = func() (string, error) { return host, nil }
	if os.Getenv(childScenario) != "" {
		if err := beChild(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if testing.Short() {
		os.Exit(m.Run())
	}
	code, err := runWithEngine(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func runWithEngine(m *testing.M) (code int, err error) {
	ctx := context.Background()
	testEngine, err = engine.Connect(ctx)
	if err != nil {
		return 1, fmt.Errorf("%w (go test -short leaves out what needs an engine)", err)
	}
	defer testEngine.Close()
	if err := importActor(ctx); err != nil {
		return 1, err
	}
	// Lock files of killed children stay out of the person's own folder.
	cache, err := os.MkdirTemp("", "kpr-cache-")
	if err != nil {
		return 1, err
	}
	os.Setenv("XDG_CACHE_HOME", cache)
	if err := buildInterposer(ctx, cache); err != nil {
		return 1, err
	}
	code = m.Run()
	// Every orchestrator of the tests is closed, so that its owner is dead.
	left, err := Sweep(ctx, testEngine, false)
	if len(left) > 0 {
		err = errors.Join(err, fmt.Errorf("the tests have left %q", left))
	}
	return code, errors.Join(err, testEngine.RemoveImage(ctx, actorImage), os.RemoveAll(cache))
}

// buildInterposer makes the interposer that the tests' containers get.
func buildInterposer(ctx context.Context, folder string) error {
	binary := filepath.Join(folder, interpose.Name)
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, "../interpose/cmd/interposer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+testEngine.Info().Arch)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the interposer: %w\n%s", err, out)
	}
	return os.Setenv(interpose.BinaryVariable, binary)
}

func importActor(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "kpr-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "actor")
	if err := buildActor(program); err != nil {
		return err
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	var root bytes.Buffer
	archive := tar.NewWriter(&root)
	for _, header := range []*tar.Header{
		{Typeflag: tar.TypeReg, Name: "actor", Mode: 0o755, Size: int64(len(content))},
		{Typeflag: tar.TypeDir, Name: "data/", Mode: 0o755},
	} {
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(content[:header.Size]); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	_, err = testEngine.Import(ctx, actorImage, &root, `CMD ["/actor"]`)
	return err
}

// buildActor makes the static program.
func buildActor(program string) error {
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "./testdata/actor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+testEngine.Info().Arch)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the actor: %w\n%s", err, out)
	}
	return nil
}

// with gives a context that ends before the test would hang.
func with(t *testing.T) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a Docker Engine")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// load reads a scenario of testdata as the command line does, with variables
// for its compose file.
func load(file string, image string, variables ...string) (*scenario.Scenario, *system.System, error) {
	sc, problems := scenario.Parse(filepath.Join("testdata", file))
	if len(problems) > 0 {
		return nil, nil, problems
	}
	sys, problems := system.Load(context.Background(), sc, append(variables, "ACTOR_IMAGE="+image))
	if len(problems) > 0 {
		return nil, nil, problems
	}
	return sc, sys, nil
}

func mustLoad(t *testing.T, file string, variables ...string) (*scenario.Scenario, *system.System) {
	t.Helper()
	sc, sys, err := load(file, actorImage, variables...)
	if err != nil {
		t.Fatal(err)
	}
	return sc, sys
}

// unclosed makes an orchestrator that the test itself closes.
func unclosed(t *testing.T, ctx context.Context, options Options) *Orchestrator {
	t.Helper()
	options.Engine, options.Dir = testEngine, t.TempDir()
	o, err := New(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// open makes an orchestrator that is closed when the test has ended.
func open(t *testing.T, ctx context.Context, options Options) *Orchestrator {
	t.Helper()
	o := unclosed(t, ctx, options)
	t.Cleanup(func() {
		if err := o.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return o
}

// play runs one scenario with an orchestrator of its own, and sees to it that
// nothing is left behind.
func play(t *testing.T, file string, variables ...string) *seen {
	t.Helper()
	ctx := with(t)
	sc, sys := mustLoad(t, file, variables...)
	return watched(t, open(t, ctx, Options{}).Run(ctx, sc, sys))
}

// watched gives the history of a run that must have removed everything.
func watched(t *testing.T, h *history.History) *seen {
	t.Helper()
	s := &seen{T: t, history: h}
	t.Cleanup(s.show)
	s.must(history.Event{Kind: history.Removed})
	if left := thingsOf(t, h.Meta.RunID); len(left) > 0 {
		t.Errorf("the run has left %q", left)
	}
	return s
}

// thingsOf is everything on the engine that bears the label of a run.
func thingsOf(t *testing.T, runID string) []string {
	t.Helper()
	things, err := testEngine.Labelled(context.Background(), labelRun, runID)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for kind, list := range map[string][]engine.Thing{"container": things.Containers, "network": things.Networks, "volume": things.Volumes} {
		for _, thing := range list {
			names = append(names, kind+" "+thing.Name)
		}
	}
	return names
}
