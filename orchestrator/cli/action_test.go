package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// The GitHub Action is this command line for other repositories. Its YAML is
// checked by actionlint (make lint), which reads it for the workflow that uses
// it; here its parts are held together, and its script is run.

type actionFile struct {
	Inputs  map[string]struct{ Description, Default string }
	Outputs map[string]struct{ Description, Value string }
	Runs    struct {
		Using string
		Steps []struct {
			ID, Name, Uses, Run, Shell, If string
			Env, With                      map[string]string
			WorkingDirectory               string `yaml:"working-directory"`
		}
	}
}

func readAction(t *testing.T) (actionFile, string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(packageFolder, "..", "..", "action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var action actionFile
	if err := yaml.Unmarshal(text, &action); err != nil {
		t.Fatal(err)
	}
	return action, string(text)
}

const actionScript = ".github/action/run.sh"

// Every input is used and every one that is used is there; outputs are those
// that the script writes; nothing of an input stands in a script.
func TestActionHoldsTogether(t *testing.T) {
	action, text := readAction(t)
	if action.Runs.Using != "composite" {
		t.Errorf("using %q", action.Runs.Using)
	}
	used := map[string]bool{}
	for _, found := range regexp.MustCompile(`inputs\.([\w-]+)`).FindAllStringSubmatch(text, -1) {
		used[found[1]] = true
		if _, known := action.Inputs[found[1]]; !known {
			t.Errorf("input %s is used and not there", found[1])
		}
	}
	for name, input := range action.Inputs {
		if !used[name] || input.Description == "" {
			t.Errorf("input %s: used %v, description %q", name, used[name], input.Description)
		}
	}
	script, err := os.ReadFile(filepath.Join(packageFolder, "..", "..", actionScript))
	if err != nil {
		t.Fatal(err)
	}
	for name, output := range action.Outputs {
		if output.Value != "${{ steps.run.outputs."+name+" }}" || !strings.Contains(string(script), `echo "`+name+`=`) {
			t.Errorf("output %s: %q", name, output.Value)
		}
	}
	for _, step := range action.Runs.Steps {
		if step.Run != "" && step.Shell != "bash" {
			t.Errorf("step %q has shell %q", step.Name, step.Shell)
		}
		if strings.Contains(step.Run, "${{") {
			t.Errorf("step %q puts text of others into a script: %s", step.Name, step.Run)
		}
		for name := range step.Env {
			if !strings.Contains(string(script), name) {
				t.Errorf("the script does not read %s", name)
			}
		}
	}
}

// runAction runs the action's script with inputs, in place of killpoint a
// program that notes its arguments and ends with a code. It gives the
// arguments, a line each, of the doctor and of the run; the step's outputs;
// and the script's own exit code.
func runAction(t *testing.T, scenarios, args string, code int) (said, outputs string, exit int) {
	t.Helper()
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	fake := fmt.Sprintf(`#!/bin/sh
for word; do echo "<$word>" >>"%s/said"; done
[ "$1" = run ] || exit 3
case $4 in --report) mkdir -p "$5" ;; esac
exit %d
`, here, code)
	script, err := os.ReadFile(filepath.Join(packageFolder, "..", "..", actionScript))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir("bin", 0o755), os.WriteFile("bin/killpoint", []byte(fake), 0o755), os.WriteFile("run.sh", script, 0o755)); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("./run.sh")
	command.Env = []string{
		"PATH=" + os.Getenv("PATH"), "GITHUB_ACTION_PATH=" + here, "RUNNER_TEMP=" + here, "GITHUB_OUTPUT=" + here + "/outputs",
		"INPUT_SCENARIOS=" + scenarios, "INPUT_ARGS=" + args, "INPUT_PARALLEL=3",
	}
	out, err := command.CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatalf("%v\n%s", err, out)
	}
	words, _ := os.ReadFile("said")
	written, _ := os.ReadFile("outputs")
	number := regexp.MustCompile(regexp.QuoteMeta(here) + `/killpoint-reports-1-\d+`)
	return number.ReplaceAllString(string(words), "REPORT"), number.ReplaceAllString(string(written), "REPORT"), command.ProcessState.ExitCode()
}

func TestActionScript(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash")
	}
	said, outputs, code := runAction(t, "\n  scenarios/**/*.yaml \nwith space/a b.yaml\n\n", `--fail-fast --env 'NOTE=it is "here"; $(rm -rf x) *'`, 0)
	want := "<doctor>\n<scenarios/**/*.yaml>\n<with space/a b.yaml>\n" +
		"<run>\n<--parallel>\n<3>\n<--report>\n<REPORT>\n<--fail-fast>\n<--env>\n<NOTE=it is \"here\"; $(rm -rf x) *>\n" +
		"<-->\n<scenarios/**/*.yaml>\n<with space/a b.yaml>\n"
	if said != want || code != 0 {
		t.Errorf("exit code %d, killpoint was called with\n%swant\n%s", code, said, want)
	}
	if outputs != "outcome=passed\nexit-code=0\nreport=REPORT\n" {
		t.Errorf("outputs %q", outputs)
	}
	for code, outcome := range map[int]string{
		exitFailed: "failed", exitUsage: "refused", exitBroken: "broken", exitInconclusive: "inconclusive", exitInterrupted: "interrupted", 99: "broken",
	} {
		_, outputs, exit := runAction(t, "a.yaml", "", code)
		if exit != code || !strings.HasPrefix(outputs, fmt.Sprintf("outcome=%s\nexit-code=%d\n", outcome, code)) {
			t.Errorf("killpoint ends with %d, the step with %d and %q", code, exit, outputs)
		}
	}
}

func TestActionScriptRefuses(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash")
	}
	for _, test := range []struct{ scenarios, args string }{{" \n\n", ""}, {"a.yaml", "--env 'SEED=1"}} {
		if said, _, code := runAction(t, test.scenarios, test.args, 0); code != exitUsage || said != "" {
			t.Errorf("%q: exit code %d, killpoint was called with %q", test, code, said)
		}
	}
}
