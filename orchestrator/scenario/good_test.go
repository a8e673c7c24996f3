package scenario

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bmatcuk/doublestar/v4"
)

// goodScenarios gives every text that Parse must accept: the good cases of
// testdata, the scenarios of this repository, and what the docs show.
func goodScenarios(t testing.TB) map[string]string {
	t.Helper()
	good := map[string]string{}
	for _, kind := range FaultKinds {
		good["kind "+kind.Name] = "system: a.yaml\nfaults:\n  - " + kind.Example + "\n"
	}
	for _, kind := range TriggerKinds {
		good["kind "+kind.Name] = "system: a.yaml\nfaults:\n  - {pause: a, for: 1s, when: " + kind.Example + "}\n"
	}
	for _, test := range readCases(t, filepath.Join("testdata", "accepted.txt")) {
		good[test.name] = test.input
	}
	for _, file := range scenarioFiles(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		good[file] = string(text)
	}
	return good
}

// scenarioFiles gives the scenarios of this repository: every YAML file in
// scenarios that is no compose file.
func scenarioFiles(t testing.TB) []string {
	t.Helper()
	found, err := doublestar.FilepathGlob("../../scenarios/**/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(found, func(file string) bool {
		return strings.HasPrefix(filepath.Base(file), "compose")
	})
}

const editorLine = "# yaml-language-server: $schema="

// TestScenariosOfTheRepository holds that each parses together with the file
// of its system, tells editors where the schema is, says in one sentence what
// it is about, and, when it does something to a service, expects something of
// what came after: a further life, or work and lines that go on.
func TestScenariosOfTheRepository(t *testing.T) {
	files := scenarioFiles(t)
	if len(files) < 11 {
		t.Fatalf("found %d scenarios only", len(files))
	}
	schema, err := filepath.Abs(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		scenario, problems := Parse(file)
		if problems != nil {
			t.Errorf("%v", problems)
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		line, _, _ := strings.Cut(string(text), "\n")
		named, _ := filepath.Abs(filepath.Join(filepath.Dir(file), strings.TrimPrefix(line, editorLine)))
		if !strings.HasPrefix(line, editorLine) || named != schema {
			t.Errorf("%s: the first line is %q, want the schema %s", file, line, schema)
		}
		if about := scenario.Description; !strings.HasSuffix(about, ".") || strings.Contains(about, ". ") {
			t.Errorf("%s: the description is not one sentence: %q", file, about)
		}
		shows := showsAFault
		if !slices.ContainsFunc(scenario.Faults, func(f Fault) bool { return !f.Kind.OnCall() }) {
			shows = showsThatItLivesOn
		}
		if len(scenario.Faults) > 0 && !slices.ContainsFunc(scenario.Expect.Logs, shows) {
			t.Errorf("%s: nothing that it expects of the logs would be missing without its faults", file)
		}
	}
}

// showsAFault says whether an expectation can hold only when a service has
// lived twice, or ended early, or did something again.
func showsAFault(entry LogExpect) bool {
	return entry.Incarnation > 1 || entry.Incarnation == 1 && (entry.AtMost != nil || entry.AtLeast != nil && *entry.AtLeast > 1)
}

// showsThatItLivesOn is showsAFault for faults that end no life: something
// must be logged in the very life that they are done to.
func showsThatItLivesOn(entry LogExpect) bool {
	return showsAFault(entry) || entry.Incarnation == 1 && (entry.AtLeast != nil || entry.Times != nil && *entry.Times > 0)
}
