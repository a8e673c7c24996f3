package proof_test

import (
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/proof"
)

var (
	times   = flag.Int("times", 1, "how often each variant must be caught")
	only    = flag.String("only", "", "a pattern of names; variants that it does not match are left out")
	shipped = flag.Bool("shipped", false, "run every shipped scenario with every subtle variant")
)

// variants loads those that -only chooses.
func variants(t *testing.T) []proof.Variant {
	t.Helper()
	all, err := proof.Load("variants")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(v proof.Variant) bool { return !regexp.MustCompile(*only).MatchString(v.Name) })
}

// Every variant is caught, each time, by the scenario or at the crash point
// that it names, with the findings that it names, rows included. The correct
// worker passes at each of those points.
func TestVariantsAreCaught(t *testing.T) {
	if testing.Short() {
		t.Skip("builds images and runs scenarios")
	}
	b := newBench(t)
	chosen := variants(t)
	correct := proof.Correct()
	b.build(t, append(slices.Clone(chosen), correct))
	trials := map[string]trial{}
	for _, variant := range chosen {
		if !variant.Subtle {
			trials[variant.Name] = trial{variant: variant, scenario: filepath.Join(root, variant.Scenario), timeout: variant.Timeout}
			continue
		}
		crashes, err := variant.Crashes()
		if err != nil {
			t.Fatal(err)
		}
		trials[variant.Name] = trial{variant: variant, scenario: exploring, env: variant.Env, crashes: crashes, timeout: variant.Timeout}
		trials["correct-"+variant.Name] = trial{variant: correct, scenario: exploring, env: variant.Env, crashes: crashes}
	}
	results := b.run(t, trials, *times)
	for _, variant := range chosen {
		t.Run(variant.Name, func(t *testing.T) {
			for _, result := range results[variant.Name] {
				judge(t, variant, result)
			}
			for _, result := range results["correct-"+variant.Name] {
				if result.Outcome != report.Passed && !neverThere(result) {
					t.Errorf("the correct worker did not pass:\n%s", told(result))
				}
			}
		})
	}
}

// neverThere says that a run came to no verdict because the correct worker
// makes no such call as the variant's crash point names.
func neverThere(result report.Result) bool {
	return result.Outcome == report.Inconclusive &&
		slices.ContainsFunc(result.Faults, func(fault report.Fault) bool { return fault.Missed != "" })
}

// judge says whether a result has the findings that the variant names.
func judge(t *testing.T, variant proof.Variant, result report.Result) {
	t.Helper()
	if testing.Verbose() {
		t.Log(told(result))
	}
	if result.Outcome != report.Failed {
		t.Errorf("%s\nit was not caught:\n%s", variant.Mistake, told(result))
		return
	}
	for _, kind := range variant.Finds {
		if !found(result, kind) {
			t.Errorf("%s\nno finding of kind %q that names its rows:\n%s", variant.Mistake, kind, told(result))
		}
	}
	if !strings.Contains(told(result), variant.Says) {
		t.Errorf("%s\nthe result does not say %q:\n%s", variant.Mistake, variant.Says, told(result))
	}
	if variant.Subtle && result.Model != variant.Model {
		t.Errorf("the model is %s, want %s", result.Model, variant.Model)
	}
}

// aboutRows are the kinds of finding that name rows, or a chunk where what is
// lost is a verdict.
var aboutRows = []string{"lost", "duplicated", "misplaced", "unexpected", "torn", "reordered"}

func found(result report.Result, kind string) bool {
	for _, check := range result.Checks {
		for _, finding := range check.Findings {
			if finding.Kind != kind {
				continue
			}
			if !slices.Contains(aboutRows, kind) || slices.ContainsFunc(finding.Rows, func(row report.Row) bool {
				return row.Chunk != "" || row.Text != ""
			}) {
				return true
			}
		}
	}
	return false
}

// Every shipped scenario passes with every subtle variant: no crash that
// somebody thought of finds them.
func TestSubtleVariantsPassTheScenarios(t *testing.T) {
	if !*shipped {
		t.Skip("takes about two minutes a variant; make proof-subtle runs it")
	}
	scenarios, err := filepath.Glob(filepath.Join(root, "scenarios", "*.yaml"))
	if err != nil || len(scenarios) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	subtle := slices.DeleteFunc(variants(t), func(v proof.Variant) bool { return !v.Subtle })
	b := newBench(t)
	b.build(t, subtle)
	trials := map[string]trial{}
	for _, variant := range subtle {
		for _, file := range scenarios {
			name := variant.Name + "-" + strings.TrimSuffix(filepath.Base(file), ".yaml")
			trials[name] = trial{variant: variant, scenario: file}
		}
	}
	results := b.run(t, trials, 1)
	for _, variant := range subtle {
		t.Run(variant.Name, func(t *testing.T) {
			passed := 0
			for _, name := range slices.Sorted(maps.Keys(results)) {
				if trials[name].variant.Name != variant.Name {
					continue
				}
				if result := results[name][0]; result.Outcome != report.Passed {
					t.Errorf("%s", told(result))
				} else {
					passed++
				}
			}
			t.Logf("passes %d of %d shipped scenarios", passed, len(scenarios))
		})
	}
}

// The command that people type says it too: exit code 1, the crash point in
// words, the rows, the bytes around the cut before and after recovery, and how
// to run it again.
func TestCommandCatches(t *testing.T) {
	if testing.Short() {
		t.Skip("builds an image and runs a scenario")
	}
	all, err := proof.Load("variants")
	if err != nil {
		t.Fatal(err)
	}
	index := slices.IndexFunc(all, func(v proof.Variant) bool { return v.Name == "no-torn-line-recovery" })
	b := newBench(t)
	b.build(t, all[index:index+1])
	setting := "WORKER_2_IMAGE=" + b.images[all[index].Name]
	code, output := command(t, "run", all[index].Scenario, "--env", setting)
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	for _, says := range []string{
		"after 11 bytes of write 7 of /app/worker-data/partitions/TEST-users-partition-", "torn: ", `"672666,Rosa\x00\x00\x00`,
		"at the crash: ", "at the end: ", "replay ", setting,
	} {
		if !strings.Contains(output, says) {
			t.Errorf("the result does not say %q", says)
		}
	}
	if t.Failed() {
		t.Log(output)
	}
}

// command runs killpoint in the project's root.
func command(t *testing.T, arguments ...string) (code int, output string) {
	t.Helper()
	command := exec.Command(killpoint(t), arguments...)
	command.Dir = root
	text, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), string(text)
}

// run runs scenarios with the result as a document too.
func run(t *testing.T, arguments ...string) (code int, got report.Document, output string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "result.json")
	code, output = command(t, append([]string{"run", "--json", file}, arguments...)...)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("killpoint wrote no result: %v\n%s", err, output)
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	return code, got, output
}

// What proves nothing is never passed, and never failed either.
func TestOutcomesThatProveNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("runs scenarios")
	}
	code, output := command(t, "run", "proof/testdata/never.yaml", "proof/testdata/late.yaml", "--parallel", "2")
	if code != 4 {
		t.Errorf("exit code %d, want 4", code)
	}
	for _, says := range []string{"never inconclusive", "did not fire: 0 of 3 lines", "late inconclusive", "came too late|the run ended before it was done"} {
		if !regexp.MustCompile(says).MatchString(output) {
			t.Errorf("the result does not say %q", says)
		}
	}
	if t.Failed() {
		t.Log(output)
	}
}

// A scenario that is wrong is refused with every problem at its place, and
// nothing is started.
func TestWrongScenarioIsRefused(t *testing.T) {
	code, output := command(t, "run", "proof/testdata/refused.yaml")
	if code != 2 {
		t.Fatalf("exit code %d, want 2\n%s", code, output)
	}
	for _, says := range []string{"refused.yaml:3:", "refused.yaml:5:11", "refused.yaml:7:5", "worker-9", "restrat"} {
		if !strings.Contains(output, says) {
			t.Errorf("the message does not say %q\n%s", says, output)
		}
	}
}
