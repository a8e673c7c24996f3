package cli

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// contract is the exit codes as everybody was told.
var contract = map[string]int{
	"exitPassed": 0, "exitFailed": 1, "exitUsage": 2, "exitBroken": 3, "exitInconclusive": 4, "exitInterrupted": 130,
}

// The block in exit.go is the contract, each code with a comment.
func TestExitCodesAreTheContract(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(packageFolder, "exit.go"), nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	ast.Inspect(file, func(node ast.Node) bool {
		value, is := node.(*ast.ValueSpec)
		if !is || !strings.HasPrefix(value.Names[0].Name, "exit") {
			return true
		}
		code, err := strconv.Atoi(value.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		found[value.Names[0].Name] = code
		if value.Comment.Text() == "" {
			t.Errorf("%s has no comment", value.Names[0].Name)
		}
		return true
	})
	if len(found) != len(contract) {
		t.Errorf("exit.go has %v, the contract %v", found, contract)
	}
	for name, code := range contract {
		if found[name] != code {
			t.Errorf("%s is %d, the contract says %d", name, found[name], code)
		}
	}
}

// The help of run, which is where people look, lists every code and no other.
func TestExitCodesAreInTheHelp(t *testing.T) {
	u := newUser(t)
	u.wants(exitPassed, "run", "--help")
	listed := []int{}
	for _, match := range regexp.MustCompile(`(?m)^  (\d+)  `).FindAllStringSubmatch(u.out.String(), -1) {
		code, _ := strconv.Atoi(match[1])
		listed = append(listed, code)
	}
	if want := []int{0, 1, 2, 3, 4, 130}; !slices.Equal(listed, want) {
		t.Errorf("the help lists %v, want %v", listed, want)
	}
	if !strings.Contains(u.out.String(), "130 beats 3 beats 1 beats 4 beats 0") {
		t.Error("the help does not say which code wins")
	}
}

// Every outcome alone, and every two together: the graver one wins.
func TestExitCodesOfRuns(t *testing.T) {
	outcomes := []struct {
		outcome check.Outcome
		code    int
	}{ // from the gravest on
		{check.Interrupted, 130}, {check.Broken, 3}, {check.Failed, 1}, {check.Inconclusive, 4}, {check.Passed, 0},
	}
	for first := range outcomes {
		for second := range outcomes {
			u := newUser(t, "a", "b")
			for name, index := range map[string]int{"a": first, "b": second} {
				if outcomes[index].outcome != check.Passed {
					u.outcomes[name] = outcomes[index].outcome
				}
			}
			u.wants(outcomes[min(first, second)].code, "run", "scenarios", "--json", "result.json")
			text, err := os.ReadFile("result.json")
			if err != nil {
				t.Fatal(err)
			}
			if want := `"exitCode": ` + strconv.Itoa(outcomes[min(first, second)].code); !strings.Contains(string(text), want) {
				t.Errorf("%v and %v: the JSON does not say %s", outcomes[first], outcomes[second], want)
			}
		}
	}
}

// 2 comes before anything starts: one bad scenario among good ones.
func TestBadScenarioStartsNothing(t *testing.T) {
	u := newUser(t, "good")
	u.write("scenarios/bad.yaml", "name: bad\nsystem: ../none.yaml\nfautls: []\n")
	u.write("scenarios/worse.yaml", "name: worse\nsystem: ../compose.yaml\ntimeout: soon\n")
	u.wants(exitUsage, "run", "scenarios")
	if u.opened != 0 || u.out.String() != "" {
		t.Errorf("opened %d times, stdout %q", u.opened, u.out)
	}
	for _, place := range []string{"scenarios/bad.yaml:2:9", "scenarios/bad.yaml:3:1", "scenarios/worse.yaml:3:10"} {
		if !strings.Contains(u.err.String(), place+": ") {
			t.Errorf("no problem at %s:\n%s", place, u.err)
		}
	}
	if strings.Count(u.err.String(), "none.yaml") < 1 || strings.Contains(u.err.String(), "Try:") {
		t.Errorf("stderr: %s", u.err)
	}
}

func TestTroubleOutsideOfRunsIsBroken(t *testing.T) {
	u := newUser(t, "a")
	u.world.open = openFails
	u.wants(exitBroken, "run", "scenarios/a.yaml")
	if got := u.err.String(); got != "killpoint: the Docker Engine cannot be reached: start it\n" {
		t.Errorf("stderr is %q", got)
	}

	u = newUser(t, "a")
	u.closeErr = os.ErrDeadlineExceeded
	u.wants(exitBroken, "run", "scenarios/a.yaml", "--json", "result.json")
	if !strings.Contains(u.err.String(), "killpoint: remove what runs shared: i/o timeout") {
		t.Errorf("stderr is %q", u.err)
	}
	if text, _ := os.ReadFile("result.json"); !strings.Contains(string(text), `"trouble": [`) || !strings.Contains(string(text), `"exitCode": 3`) {
		t.Errorf("the JSON does not tell of the trouble: %s", text)
	}
}

// A run that was interrupted after its verdict was clear does not hide that
// the command did not do all that it was asked to.
func TestInterruptedCommandEndsWith130(t *testing.T) {
	u := newUser(t, "a", "b")
	u.behave = func(ctx context.Context, _ *scenario.Scenario, _ func(history.Event)) {
		u.interrupts <- os.Interrupt
		<-ctx.Done() // and still ends well
	}
	u.wants(exitInterrupted, "run", "scenarios", "--json", "result.json")
	text, _ := os.ReadFile("result.json")
	if !strings.Contains(string(text), `"exitCode": 130`) || !strings.Contains(string(text), `"notRun": 1`) {
		t.Errorf("JSON: %s", text)
	}
	if u.closed != 1 {
		t.Errorf("what runs shared was removed %d times", u.closed)
	}
}

// The README tells people the same.
func TestExitCodesAreInTheReadme(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(packageFolder, "..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for outcome, code := range map[string]int{
		"passed": exitPassed, "failed": exitFailed, "–": exitUsage, "broken": exitBroken,
		"inconclusive": exitInconclusive, "interrupted": exitInterrupted,
	} {
		if row := "| " + outcome + " | " + strconv.Itoa(code) + " |"; !strings.Contains(string(page), row) {
			t.Errorf("README.md has no row %q", row)
		}
	}
	if !strings.Contains(string(page), "130 beats 3 beats 1 beats 4 beats 0") {
		t.Error("README.md does not say which code wins")
	}
}
