package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// failure is an error that says with which code the command ends. An error
// that is none came from the parsing of the command line: bad usage.
type failure struct {
	code int
	err  error // nil when everything was said already
}

func (f *failure) Error() string {
	if f.err == nil {
		return fmt.Sprintf("exit code %d", f.code)
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

// ended ends a command that has said everything already.
func ended(code int) error {
	if code == exitPassed {
		return nil
	}
	return &failure{code: code}
}

// broken is trouble that is neither the person's nor the system's.
func broken(err error) error { return &failure{code: exitBroken, err: err} }

// badScenario is the problems of scenario files, which need no hint about
// the command line.
func badScenario(problems scenario.Problems) error {
	return &failure{code: exitUsage, err: problems}
}

// complain prints an error, once, and gives the exit code that goes with it.
// For bad usage it shows a line that works.
func complain(to io.Writer, command *cobra.Command, err error) int {
	var known *failure
	if errors.As(err, &known) {
		// A reader that went away (killpoint list | head) has seen enough.
		if known.err != nil && !errors.Is(known.err, syscall.EPIPE) {
			fmt.Fprintln(to, withName(known.err))
		}
		return known.code
	}
	fmt.Fprintln(to, withName(err))
	fmt.Fprintf(to, "Try: %s\n     %s --help\n", firstExample(command), command.CommandPath())
	return exitUsage
}

// withName puts the program's name before an error, unless the error begins
// with the place in a file to which it belongs.
func withName(err error) string {
	var problems scenario.Problems
	if errors.As(err, &problems) {
		return problems.Error()
	}
	return "killpoint: " + err.Error()
}

// firstExample is the first line of a command's examples.
func firstExample(command *cobra.Command) string {
	for current := command; current != nil; current = current.Parent() {
		if line, _, _ := strings.Cut(strings.TrimSpace(current.Example), "\n"); line != "" {
			line, _, _ = strings.Cut(line, "  #")
			return strings.TrimSpace(line)
		}
	}
	return command.CommandPath()
}
