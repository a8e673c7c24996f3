package supervisor_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// withPowerLoss makes a plan that holds at a point and takes away what is not synced in a directory.
func withPowerLoss(directory string, point interpose.Point, lose interpose.Lose) interpose.Plan {
	point.Lose = &lose
	plan := newPlan(point)
	plan.PowerLoss = &interpose.PowerLoss{Paths: []string{directory + "/**"}}
	return plan
}

// afterPowerLoss runs the target's verb save and returns the state file's contents after a power cut, or "none".
func afterPowerLoss(t *testing.T, point func(directory string) interpose.Point, lose interpose.Lose, arguments ...string) (string, interpose.Event) {
	t.Helper()
	directory := t.TempDir()
	plan := withPowerLoss(directory, point(directory), lose)
	p := start(t, plan, append([]string{target, "save", directory, "5"}, arguments...)...)
	event := p.await(interpose.Reached)
	if event.Inexact != "" {
		t.Error(event.Inexact)
	}
	p.kill()
	data, err := os.ReadFile(filepath.Join(directory, "state"))
	if errors.Is(err, os.ErrNotExist) {
		return "none", event
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(data), event
}

func TestPowerLossTakesWhatWasNotSynced(t *testing.T) {
	at := func(operation interpose.Operation, name string, occurrence int, timing interpose.Timing) func(string) interpose.Point {
		return func(directory string) interpose.Point {
			return hold(operation, filepath.Join(directory, name), occurrence, timing)
		}
	}
	tests := map[string]struct {
		point     func(string) interpose.Point
		survive   interpose.Lose
		arguments []string // one more leaves the syncs out
		want      string
	}{
		"a rename before the directory is synced is lost": {at(interpose.Rename, "state", 3, interpose.After), interpose.Lose{Survive: "none"}, nil, "state 2\n"},
		"all of it may survive":                           {at(interpose.Rename, "state", 3, interpose.After), interpose.Lose{Survive: "all"}, nil, "state 3\n"},
		"a synced directory keeps its names":              {at(interpose.Create, "state.tmp", 4, interpose.Before), interpose.Lose{Survive: "none"}, nil, "state 3\n"},
		"the first file's name is lost too":               {at(interpose.Rename, "state", 1, interpose.After), interpose.Lose{Survive: "none"}, nil, "none"},
		"without syncs everything is lost":                {at(interpose.Rename, "state", 3, interpose.After), interpose.Lose{Survive: "none"}, []string{"unsynced"}, "none"},
		"a rename that survives without its data":         {at(interpose.Rename, "state", 1, interpose.After), interpose.Lose{Survive: "except", IDs: []int64{2}}, []string{"unsynced"}, ""},
		"a prefix of the changes":                         {at(interpose.Rename, "state", 3, interpose.After), interpose.Lose{Survive: "prefix", Count: 5}, []string{"unsynced"}, "state 1\n"},
		"all but the last rename":                         {at(interpose.Rename, "state", 2, interpose.After), interpose.Lose{Survive: "except", IDs: []int64{6}}, []string{"unsynced"}, "state 1\n"},
		"the last change dropped by its place":            {at(interpose.Rename, "state", 2, interpose.After), interpose.Lose{Survive: "drop", Index: 6}, []string{"unsynced"}, "state 1\n"},
		"a change in the middle dropped by its place":     {at(interpose.Rename, "state", 1, interpose.After), interpose.Lose{Survive: "drop", Index: 2}, []string{"unsynced"}, ""},
		"a rename kept by its place":                      {at(interpose.Rename, "state", 1, interpose.After), interpose.Lose{Survive: "keep", Index: 3}, []string{"unsynced"}, "none"},
		"only a rename that depends on what is lost":      {at(interpose.Rename, "state", 1, interpose.After), interpose.Lose{Survive: "only", IDs: []int64{3}}, []string{"unsynced"}, "none"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, event := afterPowerLoss(t, test.point, test.survive, test.arguments...)
			if got != test.want {
				t.Errorf("got %q, want %q; not synced: %+v, lost %v", got, test.want, event.Unsynced, event.Lost)
			}
		})
	}
}

// TestPowerLossBeyondTheList asks for changes that there are not: a point at which something else was lost than planned must not look exact.
func TestPowerLossBeyondTheList(t *testing.T) {
	for name, lose := range map[string]interpose.Lose{
		"drop": {Survive: "drop", Index: 4}, "keep": {Survive: "keep", Index: 4}, "prefix": {Survive: "prefix", Count: 4},
	} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			plan := withPowerLoss(directory, hold(interpose.Rename, directory+"/state", 1, interpose.After), lose)
			p := start(t, plan, target, "save", directory, "5", "unsynced")
			event := p.await(interpose.Reached)
			p.kill()
			if want := "lose: there is no un-synced change 4: there are 3"; event.Inexact != want || len(event.Lost) != 0 {
				t.Errorf("inexact %q, lost %v of %+v; want %q", event.Inexact, event.Lost, event.Unsynced, want)
			}
			if got := contents(t, directory+"/state"); got != "state 1\n" {
				t.Errorf("the file holds %q", got)
			}
		})
	}
}

func TestPowerLossOfAppendsGoesBackToTheLastSync(t *testing.T) {
	directory := t.TempDir()
	file := directory + "/log"
	script := `exec 3>>$0; echo one >&3; echo two >&3; sync $0; echo three >&3; echo four >&3; truncate -s 2 $0`
	// The shell's program sync calls fsync for the file.
	plan := withPowerLoss(directory, hold(interpose.Truncate, file, 1, interpose.After), interpose.Lose{Survive: "none"})
	p := start(t, plan, "sh", "-c", script, file)
	event := p.await(interpose.Reached)
	p.kill()
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file's name was never synced and is still there; not synced: %+v", event.Unsynced)
	}
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p = start(t, func() interpose.Plan { plan.ID += "-again"; return plan }(), "sh", "-c", script, file)
	event = p.await(interpose.Reached)
	p.kill()
	if got := contents(t, file); got != "one\ntwo\n" {
		t.Errorf("got %q, want the synced lines; not synced: %+v", got, event.Unsynced)
	}
	if len(event.Unsynced) != 3 || len(event.Lost) != 3 {
		t.Errorf("want two writes and a truncate, got %+v, lost %v", event.Unsynced, event.Lost)
	}
}

// TestPowerLossOfADirectory is about a directory whose own name is not synced: what was synced in it is gone with it.
func TestPowerLossOfADirectory(t *testing.T) {
	inside := []string{"make,d/log", "write,d/log,0,one", "sync,d/log", "mkdir,d/deep", "make,d/deep/file", "sync,d/deep", "sync,d", "write,d/log,3,two"}
	tests := map[string]struct {
		steps   []string
		survive interpose.Lose
		want    map[string]string
	}{
		"its name is lost": {
			append([]string{"mkdir,d"}, inside...), interpose.Lose{Survive: "none"}, map[string]string{},
		},
		"its name was synced": {
			append([]string{"mkdir,d", "sync"}, inside...), interpose.Lose{Survive: "none"},
			map[string]string{"d/": "", "d/log": "one", "d/deep/": "", "d/deep/file": ""},
		},
		"its name survives, and what was written to a file before it does not": {
			append([]string{"make,f", "sync", "write,f,0,abc", "mkdir,d"}, inside...), interpose.Lose{Survive: "except", IDs: []int64{2, 8}},
			map[string]string{"f": "", "d/": "", "d/log": "one", "d/deep/": "", "d/deep/file": ""},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			plan := withPowerLoss(directory, hold(interpose.Create, directory+"/end", 1, interpose.Before), test.survive)
			p := start(t, plan, append(append([]string{target, "script", directory}, test.steps...), "make,end")...)
			event := p.await(interpose.Reached)
			p.kill()
			if difference := cmp.Diff(test.want, tree(t, directory)); difference != "" || event.Inexact != "" {
				t.Errorf("%s\n%s\nnot synced %+v\nlost %v", event.Inexact, difference, event.Unsynced, event.Lost)
			}
		})
	}
}

// tree gives the contents of every file below a directory, by path; a directory's path ends in a slash.
func tree(t *testing.T, directory string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || path == directory:
			return err
		case entry.IsDir():
			found[strings.TrimPrefix(path, directory+"/")+"/"] = ""
		default:
			found[strings.TrimPrefix(path, directory+"/")] = contents(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestPowerLossByCommand(t *testing.T) {
	directory := t.TempDir()
	plan := newPlan(hold(interpose.Rename, directory+"/state", 2, interpose.After))
	plan.PowerLoss = &interpose.PowerLoss{Paths: []string{directory + "/*"}}
	p := start(t, plan, target, "save", directory, "5")
	event := p.await(interpose.Reached)
	if len(event.Unsynced) == 0 {
		t.Fatal("nothing to lose")
	}
	lost, err := p.client.Lose(withTimeout(t), interpose.Lose{Survive: "none"})
	if err != nil {
		t.Fatal(err)
	}
	p.kill()
	if got := contents(t, directory+"/state"); got != "state 1\n" || len(lost) != len(event.Unsynced) {
		t.Errorf("got %q, lost %v of %+v", got, lost, event.Unsynced)
	}
}
