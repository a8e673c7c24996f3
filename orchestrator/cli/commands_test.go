package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
)

func recordSweeps(u *terminalUser) *[]bool {
	var swept []bool
	u.world.sweep = func(_ context.Context, all bool) ([]string, error) {
		swept = append(swept, all)
		return []string{"container kp-1-worker-2", "network kp-1-default"}, nil
	}
	return &swept
}

func TestClean(t *testing.T) {
	u := newUser(t)
	swept := recordSweeps(u)
	u.wants(exitPassed, "clean")
	u.wants(exitPassed, "clean", "--all")
	if !slices.Equal(*swept, []bool{false, true}) {
		t.Errorf("swept with all %v", *swept)
	}
	if want := strings.Repeat("removed container kp-1-worker-2\nremoved network kp-1-default\n", 2); u.out.String() != want {
		t.Errorf("stdout %q, want %q", u.out, want)
	}
}

func TestCleanThatFindsNothing(t *testing.T) {
	u := newUser(t)
	u.wants(exitPassed, "clean")
	if u.out.String() != "nothing to remove\n" {
		t.Errorf("stdout %q", u.out)
	}
}

// What was removed before the trouble is said too.
func TestCleanThatFails(t *testing.T) {
	u := newUser(t)
	u.world.sweep = func(context.Context, bool) ([]string, error) {
		return []string{"container x"}, errors.New("remove network y: it is in use")
	}
	u.wants(exitBroken, "clean")
	if u.out.String() != "removed container x\n" || u.err.String() != "killpoint: clean: remove network y: it is in use\n" {
		t.Errorf("stdout %q, stderr %q", u.out, u.err)
	}
}

func TestVersion(t *testing.T) {
	u := newUser(t)
	u.wants(exitPassed, "version")
	if !strings.HasPrefix(u.out.String(), "killpoint v0.0.0-test ") {
		t.Errorf("stdout %q", u.out)
	}
}

func TestBuildVersion(t *testing.T) {
	settings := func(pairs ...string) (list []debug.BuildSetting) {
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, debug.BuildSetting{Key: pairs[i], Value: pairs[i+1]})
		}
		return list
	}
	for _, test := range []struct {
		info *debug.BuildInfo
		want string
	}{
		{nil, "unknown"},
		{&debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, "v1.2.3"},
		{&debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, "devel"},
		{&debug.BuildInfo{Settings: settings("vcs.revision", "0123456789abcdef", "vcs.modified", "true")}, "devel-0123456789ab+dirty"},
		{&debug.BuildInfo{Settings: settings("vcs.revision", "0123", "vcs.modified", "false")}, "devel-0123"},
	} {
		if got := buildVersion(test.info, test.info != nil); got != test.want {
			t.Errorf("%+v is %q, want %q", test.info, got, test.want)
		}
	}
}

func TestSchema(t *testing.T) {
	u := newUser(t)
	u.wants(exitPassed, "schema")
	if u.out.String() != string(scenario.Schema()) || !strings.Contains(u.out.String(), `"$schema"`) {
		t.Errorf("stdout %.200q", u.out)
	}
}

func TestList(t *testing.T) {
	u := newUser(t, "normal", "restart")
	u.write("scenarios/bare.yaml", "system: ../compose.yaml\ndescription: >\n  Over\n  two lines.\n")
	u.write("scenarios/many.yaml", "system: ../compose.yaml\nfaults:\n  - {pause: a, when: {after: 1s}, for: 1s, times: 3}\n  - {stop: b, when: {after: 1s}}\n")
	u.write("scenarios/compose.override.yaml", "services: {}\n")
	u.wants(exitPassed, "list")
	golden(t, "list.txt", u.out.String())
}

// goneReader is a pipe whose reader has seen enough.
type goneReader struct{}

func (goneReader) Write([]byte) (int, error) { return 0, syscall.EPIPE }

// killpoint list | head says nothing of the pipe.
func TestListWhoseReaderHasGone(t *testing.T) {
	u := newUser(t, "normal")
	u.world.stdout = goneReader{}
	u.wants(exitBroken, "list")
	if u.err.String() != "" {
		t.Errorf("stderr %q", u.err)
	}
}

func TestListShowsTheGoodAmongTheBad(t *testing.T) {
	u := newUser(t, "normal")
	u.write("scenarios/bad.yaml", "name: bad\nsystem: ../compose.yaml\nfautls: []\n")
	u.wants(exitUsage, "list", "scenarios")
	if !strings.Contains(u.out.String(), "\nnormal ") || !strings.Contains(u.err.String(), "scenarios/bad.yaml:3:1: ") {
		t.Errorf("stdout %q, stderr %q", u.out, u.err)
	}
}

func TestValidate(t *testing.T) {
	u := newUser(t, "normal", "restart")
	u.world.load = func(_ context.Context, sc *scenario.Scenario, _ []string) (*system.System, scenario.Problems) {
		return &system.System{File: "compose.yaml", Warnings: []string{"worker-2 has a restart policy"}}, nil
	}
	u.wants(exitPassed, "validate", "scenarios/normal.yaml")
	u.wants(exitPassed, "validate")
	if want := "scenarios/normal.yaml is valid\n2 scenarios are valid\n"; u.out.String() != want {
		t.Errorf("stdout %q, want %q", u.out, want)
	}
	if !strings.Contains(u.err.String(), "compose.yaml: warning: worker-2 has a restart policy\n") {
		t.Errorf("stderr %q", u.err)
	}
	if u.opened != 0 {
		t.Error("validate asked for Docker")
	}
}

// The scenario's own problems and those of its system come together.
func TestValidateShowsProblemsOfBothSides(t *testing.T) {
	u := newUser(t, "normal")
	u.write("scenarios/bad.yaml", "name: bad\nsystem: ../compose.yaml\nfautls: []\n")
	u.world.load = func(_ context.Context, sc *scenario.Scenario, _ []string) (*system.System, scenario.Problems) {
		return nil, scenario.Problems{{Position: scenario.Position{File: "compose.yaml", Line: 1, Column: 1}, Text: "unsupported: links of " + sc.Name}}
	}
	u.wants(exitUsage, "validate", "scenarios")
	for _, text := range []string{"scenarios/bad.yaml:3:1: ", "compose.yaml:1:1: unsupported: links of bad", "compose.yaml:1:1: unsupported: links of normal"} {
		if !strings.Contains(u.err.String(), text) {
			t.Errorf("stderr does not say %q:\n%s", text, u.err)
		}
	}
	if u.out.String() != "" {
		t.Errorf("stdout %q", u.out)
	}
}

func TestMainIsShort(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(packageFolder, "..", "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); lines >= 20 {
		t.Errorf("main.go has %d lines", lines)
	}
}
