package fleet

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/killpoint/killpoint/orchestrator/explore"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/suite"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// Every shipped scenario, and its system, arrives at an agent as it was bound,
// but for the places of files.
func TestParcelsSayWhatWasLoaded(t *testing.T) {
	var files []string
	if err := filepath.WalkDir("../../scenarios", func(file string, _ fs.DirEntry, err error) error {
		if name := filepath.Base(file); filepath.Ext(file) == ".yaml" && !strings.HasPrefix(name, "compose") {
			files = append(files, file)
		}
		return err
	}); err != nil || len(files) < 10 {
		t.Fatalf("scenarios %v, %v", files, err)
	}
	all, problems := suite.Load(t.Context(), files, os.Environ(), system.Load, func(*scenario.Scenario) {})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	mounts := 0
	for _, one := range all {
		b := newBench(t.TempDir(), explore.Settings{})
		b.options.Scenario = one.Scenario
		campaign, err := explore.Open(b.options)
		if err != nil {
			t.Fatal(err)
		}
		campaign.Trials().Recording = &explore.Recording{}
		b.fleet.Campaign, b.fleet.System = campaign, one.System
		b.fleet.Fingerprint = func(context.Context, string) (string, error) { return "print", nil }
		if err := b.fleet.prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		again := b.fleet
		again.parcel, again.id = nil, ""
		if err := again.prepare(t.Context()); err != nil || again.id != b.fleet.id {
			t.Errorf("%s: packed again, it is %s, not %s, %v", one.Scenario.File, again.id, b.fleet.id, err)
		}
		if strings.Contains(string(b.fleet.parcel), mustAbs(t, "../..")) {
			t.Errorf("%s: the parcel names paths of this machine", one.Scenario.File)
		}
		folder := t.TempDir()
		parcel, err := unpack(b.fleet.parcel, b.fleet.id, folder)
		if err != nil {
			t.Fatal(err)
		}
		if difference := cmp.Diff(one.Scenario, parcel.Scenario, cmpopts.IgnoreUnexported(scenario.Scenario{}), cmpopts.IgnoreFields(scenario.Facts{}, "Positions"), cmpopts.EquateEmpty()); difference != "" {
			t.Errorf("%s: loaded (-), arrived (+):\n%s", one.Scenario.File, difference)
		}
		if difference := cmp.Diff(sameSystem(one.System), sameSystem(parcel.System), cmpopts.IgnoreFields(scenario.Facts{}, "Positions")); difference != "" {
			t.Errorf("%s: loaded (-), arrived (+):\n%s", one.Scenario.File, difference)
		}
		for i := range one.System.Services {
			for at, was := range one.System.Services[i].Mounts {
				if is := parcel.System.Services[i].Mounts[at]; was.Kind == system.MountBind {
					mounts++
					compareMount(t, was, is, folder)
				}
			}
		}
	}
	if mounts == 0 {
		t.Error("nothing is mounted: this says little")
	}
	if _, err := unpack([]byte("{}"), hashOf([]byte("{ }")), t.TempDir()); err == nil {
		t.Error("another campaign's parcel was taken")
	}
}

// sameSystem is a system without what differs between machines.
func sameSystem(sys *system.System) *system.System {
	same := *sys
	same.Dir = ""
	same.Services = slices.Clone(sys.Services)
	for i := range same.Services {
		service := &same.Services[i]
		if service.Build != nil {
			service.Build = &system.Build{}
		}
		service.Mounts = slices.Clone(service.Mounts)
		for at := range service.Mounts {
			if service.Mounts[at].Kind == system.MountBind {
				service.Mounts[at].Source = ""
			}
		}
	}
	return &same
}

func compareMount(t *testing.T, was, is system.Mount, folder string) {
	t.Helper()
	if !strings.HasPrefix(is.Source, folder+"/") {
		t.Fatalf("%s is mounted from %s", is.Target, is.Source)
	}
	if err := filepath.WalkDir(was.Source, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		below, err := filepath.Rel(was.Source, file)
		if err != nil {
			return err
		}
		want, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		got, err := os.ReadFile(filepath.Join(is.Source, below))
		if err == nil && string(got) != string(want) {
			t.Errorf("%s differs from %s", filepath.Join(is.Source, below), file)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	absolute, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return absolute
}
