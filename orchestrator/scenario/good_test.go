package scenario

import (
	"os"
	"path/filepath"
	"testing"
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
	files, err := filepath.Glob("../../scenarios/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		good[filepath.Base(file)] = string(text)
	}
	return good
}
