package supervisor

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/killpoint/killpoint/orchestrator/interpose"
)

// Invoked reports whether a program was started to be the interposer rather than itself. An executable whose main function asks, and then calls Main, is the interposer too.
func Invoked(arguments []string) bool {
	interpose.Carry()
	return len(arguments) > 0 && filepath.Base(arguments[0]) == interpose.Name
}

// Main runs the interposer and returns its exit code. The arguments do not include the program's name:
//
//	supervise PLAN -- COMMAND...   run the command, as the container's first process
//	child -- COMMAND...            become the command; started by supervise only
//	control ID                     connect stdin and stdout to the supervise of that plan ID
//	patient SLACK ARGUMENTS...     supervise or control, as these execute themselves; see bePatient
//	probe                          print what this kernel and container allow, as JSON
func Main(arguments []string, stdin io.Reader, stdout io.Writer) int {
	if len(arguments) == 0 {
		complain(fmt.Errorf("nothing to do: it is started by killpoint, not by hand"))
		return 2
	}
	var err error
	switch arguments[0] {
	case patient, "supervise", "control":
		arguments = bePatient(arguments)
	}
	switch verb := arguments[0]; {
	case verb == "supervise" && len(arguments) > 3 && arguments[2] == "--":
		var code int
		code, err = superviseFile(arguments[1], arguments[3:])
		if err == nil {
			return code
		}
	case verb == "child" && len(arguments) > 2 && arguments[1] == "--":
		failure := becomeProgram(arguments[2:])
		reportFailure(failure)
		return failure.Code
	case verb == "control" && len(arguments) == 2:
		err = controlClient(arguments[1], stdin, stdout)
	case verb == "probe" && len(arguments) == 1:
		err = printFeatures(stdout)
	default:
		complain(fmt.Errorf("unknown arguments %q", arguments))
		return 2
	}
	if err != nil {
		complain(err)
		return exitTrouble
	}
	return 0
}

func printFeatures(stdout io.Writer) error {
	features := probe()
	if err := probeFilter(&features); err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(features)
}

func superviseFile(planFile string, command []string) (int, error) {
	data, err := os.ReadFile(planFile)
	if err != nil {
		return 0, fmt.Errorf("read plan: %w", err)
	}
	plan, err := interpose.ParsePlan(data)
	if err != nil {
		return 0, err
	}
	// The program inherits from the thread that forks; a parent-death signal, set for tests outside of a container, belongs to it, too.
	runtime.LockOSThread()
	giveSlack()
	return supervise(plan, command)
}
