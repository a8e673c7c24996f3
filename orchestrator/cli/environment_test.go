package cli

import (
	"slices"
	"strings"
	"testing"
)

func TestFlagBeatsVariableBeatsDefault(t *testing.T) {
	for _, test := range []struct {
		variable string
		flags    []string
		runs     int
	}{
		{"", nil, 1},
		{"KILLPOINT_REPEAT=3", nil, 3},
		{"KILLPOINT_REPEAT=3", []string{"--repeat", "2"}, 2},
		{"KILLPOINT_REPEAT=3", []string{"--repeat", "1"}, 1}, // a flag that says the default is said all the same
		{"KILLPOINT_REPEAT=", nil, 1},
	} {
		u := newUser(t, "a")
		u.world.environ = append(u.world.environ, test.variable)
		u.wants(exitPassed, slices.Concat([]string{"run", "scenarios"}, test.flags)...)
		if len(u.ran) != test.runs {
			t.Errorf("%s and %v: %d runs, want %d", test.variable, test.flags, len(u.ran), test.runs)
		}
	}
}

func TestVariablesOfEveryKindOfFlag(t *testing.T) {
	u := newUser(t, "a", "b", "c", "d")
	u.behave = together(4)
	u.world.environ = append(u.world.environ, "KILLPOINT_PARALLEL=4", "KILLPOINT_BIND_RW=true", "KILLPOINT_TIMEOUT=5s", "KILLPOINT_ENV=SEED=9", "KILLPOINT_JSON=-")
	u.wants(exitPassed, "run", "scenarios")
	if u.peak != 4 || !u.options.BindRW || u.ran[0].Timeout.String() != "5s" || u.ran[0].Env["SEED"] != "9" || !strings.HasPrefix(u.out.String(), "{") {
		t.Errorf("peak %d, options %+v, timeout %v, env %v", u.peak, u.options, u.ran[0].Timeout, u.ran[0].Env)
	}
}

func TestBadVariableIsNamed(t *testing.T) {
	u := newUser(t, "a")
	u.world.environ = append(u.world.environ, "KILLPOINT_PARALLEL=many")
	u.wants(exitUsage, "run", "scenarios")
	if !strings.Contains(u.err.String(), "KILLPOINT_PARALLEL=many") || u.opened != 0 {
		t.Errorf("stderr: %s", u.err)
	}
	u.wants(exitPassed, "run", "scenarios", "--parallel", "1")
}

func TestFlagBeatsTheVariableOfItsOpposite(t *testing.T) {
	u := newUser(t, "a")
	u.world.environ = append(u.world.environ, "KILLPOINT_VERBOSE=1")
	u.wants(exitPassed, "run", "scenarios", "--quiet")
	if strings.Contains(u.err.String(), "hello") {
		t.Errorf("quiet, and yet: %s", u.err)
	}
}

// A variable that was set for something else must not delete what belongs to
// other machines.
func TestCleanAllIsNeverSaidByAVariable(t *testing.T) {
	u := newUser(t)
	swept := recordSweeps(u)
	u.world.environ = append(u.world.environ, "KILLPOINT_ALL=true")
	u.wants(exitPassed, "clean")
	if want := []bool{false}; !slices.Equal(*swept, want) {
		t.Errorf("swept with all %v, want %v", *swept, want)
	}
}
