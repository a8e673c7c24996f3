package report

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

func TestSavedRunComesBack(t *testing.T) {
	sc := restartScenario()
	recorder := history.NewRecorder(history.Meta{Scenario: "restart"}, t.TempDir())
	if _, err := recorder.Store("worker-2", "/data/a.csv", history.AtEnd, strings.NewReader("user_id,name\n")); err != nil {
		t.Fatal(err)
	}
	h := recorder.History()
	h.Events = append(h.Events, restartHistory().Events...)
	folder := filepath.Join(t.TempDir(), "reports", "restart")
	if err := Save(folder, sc, h, NewResult(sc, h, passedVerdict())); err != nil {
		t.Fatal(err)
	}
	if !IsSaved(folder) || IsSaved(t.TempDir()) {
		t.Error("a saved run is not known from another folder")
	}
	gotScenario, gotHistory, err := Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	if difference := cmp.Diff(sc, gotScenario, cmpopts.IgnoreUnexported(scenario.Scenario{}, scenario.Facts{})); difference != "" {
		t.Errorf("the scenario changed:\n%s", difference)
	}
	if difference := cmp.Diff(h.Events, gotHistory.Events); difference != "" {
		t.Errorf("the events changed:\n%s", difference)
	}
	content, err := gotHistory.Open(gotHistory.Files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	if text, _ := io.ReadAll(content); string(text) != "user_id,name\n" {
		t.Errorf("the collected file is %q", text)
	}
	log, err := os.ReadFile(filepath.Join(folder, "logs", "worker-3.1.log"))
	if err != nil {
		t.Fatal(err)
	}
	want := "    5.900s stdout SUCCESS [c1]\n    6.800s stdout SUCCESS [c2]\n    6.810s stdout SUCCESS [c2]\n"
	if string(log) != want {
		t.Errorf("the log is %q, want %q", log, want)
	}
}

// Every field of a scenario survives: a saved run is judged by what was bound.
func TestSavedScenarioKeepsEveryField(t *testing.T) {
	grace, count := scenario.Duration(5*millisecond), 3
	sc := restartScenario()
	sc.Faults[0].Grace, sc.Faults[0].For, sc.Faults[0].Signal = &grace, &grace, "SIGTERM"
	sc.Faults[0].Position = scenario.Position{File: "f", Line: 3, Column: 4}
	sc.Expect = scenario.Expect{
		Rows: "exactly-once", Order: "sent", Verdicts: "all", Drained: "all",
		Logs:   []scenario.LogExpect{{Service: "a", Contains: "b", Matches: "c", Incarnation: 2, Times: &count, AtLeast: &count, AtMost: &count}},
		Run:    []scenario.RunExpect{{Service: "a", Command: []string{"ls", "-l"}, Exit: 1, Stdout: "x"}},
		Stable: []scenario.StableExpect{{Service: "a", Files: "/x/*"}},
		Exits:  map[string]int{"a": 0},
	}
	sc.Facts.Rows = &scenario.Rows{
		Sent: scenario.SentFile{Service: "a", File: "/s"}, Output: scenario.Output{Service: "b", Files: "/o/*", Header: "h"},
		Partition: &scenario.Partition{Column: "id", Modulo: "N", File: "(.)", Count: 5},
	}
	sc.Facts.Done = &scenario.Done{Exited: []string{"a"}, Drained: []string{"q"}}
	sc.Facts.Broker = &scenario.Broker{Service: "r", URLEnv: "U", Share: true}
	folder := t.TempDir()
	h := restartHistory()
	if err := Save(folder, sc, h, NewResult(sc, h, passedVerdict())); err != nil {
		t.Fatal(err)
	}
	got, _, err := Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	if difference := cmp.Diff(sc, got, cmpopts.IgnoreUnexported(scenario.Scenario{}, scenario.Facts{})); difference != "" {
		t.Errorf("the scenario changed:\n%s", difference)
	}
}

// A field that JSON leaves out would be lost for whoever judges a saved run.
func TestEveryFieldOfAScenarioIsSaved(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type, string)
	walk = func(kind reflect.Type, path string) {
		switch kind.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(kind.Elem(), path)
		case reflect.Struct:
			if seen[kind] {
				return
			}
			seen[kind] = true
			for index := range kind.NumField() {
				field := kind.Field(index)
				// Binding has put the positions of facts among the scenario's own.
				bound := kind == reflect.TypeFor[scenario.Facts]() && field.Name == "Positions"
				if field.IsExported() && field.Tag.Get("json") == "-" && !bound {
					t.Errorf("%s.%s is not saved", path, field.Name)
				}
				if field.IsExported() {
					walk(field.Type, path+"."+field.Name)
				}
			}
		}
	}
	walk(reflect.TypeFor[scenario.Scenario](), "Scenario")
	if len(seen) < 10 {
		t.Errorf("only %d types were looked at", len(seen))
	}
}

func TestSavedRunIsJudgedAsBefore(t *testing.T) {
	sc := restartScenario()
	times := 1
	sc.Expect = scenario.Expect{
		Verdicts: "all", Exits: map[string]int{"worker-2": 0},
		Logs: []scenario.LogExpect{{Service: "worker-3", Contains: "SUCCESS", Times: &times, Position: scenario.Position{File: sc.File, Line: 9, Column: 3}}},
	}
	h := restartHistory()
	before := check.Judge(sc, h)
	folder := t.TempDir()
	if err := Save(folder, sc, h, NewResult(sc, h, before)); err != nil {
		t.Fatal(err)
	}
	savedScenario, savedHistory, err := Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	if difference := cmp.Diff(before, check.Judge(savedScenario, savedHistory)); difference != "" {
		t.Errorf("the verdict changed:\n%s", difference)
	}
	if len(before.Findings()) == 0 {
		t.Error("the verdict has no finding, so that little was compared")
	}
}

func TestWriteFileKeepsTheOldOneWhenWritingFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "result.json")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	full := errors.New("disk full")
	err := WriteFile(path, func(to io.Writer) error {
		io.WriteString(to, "half")
		return full
	})
	if !errors.Is(err, full) {
		t.Errorf("the error is %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "old" {
		t.Errorf("the file is %q", text)
	}
	entries, _ := os.ReadDir(filepath.Dir(path))
	if len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}
