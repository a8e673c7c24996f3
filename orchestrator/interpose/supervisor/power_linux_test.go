package supervisor_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

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
