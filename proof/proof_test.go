package proof_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/system"
	"github.com/killpoint/killpoint/proof"
)

const root = ".."

// workerImage is what make images builds: variants are put on top of it.
const workerImage = "killpoint/worker:local"

// killpoint builds the command that people use.
func killpoint(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "killpoint")
	build := exec.Command("go", "build", "-o", binary, "./orchestrator")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // it is the interposer too
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build killpoint: %v\n%s", err, output)
	}
	return binary
}

// result is the part of killpoint's JSON that is looked at here.
type result struct {
	Scenarios []struct {
		Outcome string
		Reasons []string
		Checks  []struct {
			Check    string
			Findings []struct {
				Kind string
				Text string
				Rows []struct{ Chunk, Text, File string }
			}
		}
	}
}

// run runs killpoint with its result as JSON, and gives its exit code.
func run(t *testing.T, binary string, arguments ...string) (code int, got result, output string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "result.json")
	command := exec.Command(binary, append([]string{"run", "--json", file}, arguments...)...)
	command.Dir = root
	var both bytes.Buffer
	command.Stdout, command.Stderr = &both, &both
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("killpoint wrote no result: %v\n%s", err, both.String())
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), got, both.String()
}

// image builds a variant's worker and puts it into an image of its own.
func image(t *testing.T, e *engine.Engine, variant proof.Variant) string {
	t.Helper()
	folder := t.TempDir()
	if err := variant.Build(t.Context(), mustAbs(t, root), t.TempDir(), filepath.Join(folder, "worker")); err != nil {
		t.Fatal(err)
	}
	dockerfile := "FROM " + workerImage + "\nCOPY worker /app/worker\n"
	tag := "killpoint/proof:" + variant.Name
	spec := engine.BuildSpec{Build: system.Build{Context: folder, DockerfileInline: dockerfile}, Tag: tag}
	if _, err := e.Build(t.Context(), spec, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.RemoveImage(context.Background(), tag); err != nil { // the test's own context has ended
			t.Error(err)
		}
	})
	return tag
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	absolute, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return absolute
}

// Every variant fails the scenario that it names with exit code 1, and with
// the findings that it names, rows included.
func TestVariantsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("builds images and runs scenarios")
	}
	variants, err := proof.Load("variants")
	if err != nil {
		t.Fatal(err)
	}
	if len(variants) < 4 {
		t.Fatalf("found %d variants, want at least the four of worker-2", len(variants))
	}
	e, err := engine.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	binary := killpoint(t)
	for _, variant := range variants {
		t.Run(variant.Name, func(t *testing.T) {
			arguments := []string{variant.Scenario, "--env", "WORKER_2_IMAGE=" + image(t, e, variant)}
			arguments = append(arguments, variant.Arguments...)
			for name, value := range variant.Env {
				arguments = append(arguments, "--env", name+"="+value)
			}
			code, got, output := run(t, binary, arguments...)
			if code != 1 || len(got.Scenarios) != 1 {
				t.Fatalf("%s\nexit code %d, want 1\n%s", variant.Mistake, code, output)
			}
			for _, kind := range variant.Finds {
				if !found(got, kind) {
					t.Errorf("%s\nno finding of kind %q that names its rows\n%s", variant.Mistake, kind, output)
				}
			}
			if !strings.Contains(output, variant.Says) {
				t.Errorf("%s\nthe result does not say %q\n%s", variant.Mistake, variant.Says, output)
			}
		})
	}
}

// found says whether there is a finding of the kind that names rows, or the
// chunk where what is lost is a verdict.
func found(got result, kind string) bool {
	for _, check := range got.Scenarios[0].Checks {
		for _, finding := range check.Findings {
			if finding.Kind != kind {
				continue
			}
			// A system that hangs has nothing to name but what is awaited.
			if kind == "stalled" || slices.ContainsFunc(finding.Rows, func(row struct{ Chunk, Text, File string }) bool {
				return row.Chunk != "" || row.Text != ""
			}) {
				return true
			}
		}
	}
	return false
}

// What proves nothing is never passed, and never failed either.
func TestOutcomesThatProveNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("runs scenarios")
	}
	binary := killpoint(t)
	tests := []struct {
		scenario string
		code     int
		says     *regexp.Regexp
	}{
		{"never", 4, regexp.MustCompile("did not fire: 0 of 3 lines")},
		{"late", 4, regexp.MustCompile("came too late|the run ended before it was done")},
	}
	for _, test := range tests {
		t.Run(test.scenario, func(t *testing.T) {
			code, got, output := run(t, binary, "proof/testdata/"+test.scenario+".yaml")
			if code != test.code || len(got.Scenarios) != 1 || got.Scenarios[0].Outcome != "inconclusive" {
				t.Fatalf("exit code %d, want %d\n%s", code, test.code, output)
			}
			if !test.says.MatchString(output) {
				t.Errorf("the result does not say %q\n%s", test.says, output)
			}
		})
	}
}

// A scenario that is wrong is refused with every problem at its place, and
// nothing is started.
func TestWrongScenarioIsRefused(t *testing.T) {
	command := exec.Command(killpoint(t), "run", "proof/testdata/refused.yaml")
	command.Dir = root
	output, err := command.CombinedOutput()
	if err == nil || command.ProcessState.ExitCode() != 2 {
		t.Fatalf("got %v, want exit code 2\n%s", err, output)
	}
	for _, says := range []string{"refused.yaml:3:", "refused.yaml:5:11", "refused.yaml:7:5", "worker-9", "restrat"} {
		if !strings.Contains(string(output), says) {
			t.Errorf("the message does not say %q\n%s", says, output)
		}
	}
}
