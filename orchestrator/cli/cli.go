// Package cli is the command line: one file per command, its flags, its help
// and its exit codes. What a command does is done by other packages; what it
// shows is rendered by package report.
//
// All contact with the outside goes through one value, world, so that tests
// call the whole command line in memory.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/doctor"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/orchestrator/run"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/suite"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// world is everything that the command line touches outside of itself.
type world struct {
	args           []string
	environ        []string
	stdout, stderr io.Writer
	interrupts     <-chan os.Signal
	now            func() time.Time
	version        string

	// width gives the columns of the terminal that a stream is, 0 when it is
	// none.
	width func(io.Writer) int
	// load makes a scenario's compose file into services and binds the
	// scenario to it.
	load suite.Binder
	// open connects to the engine; an error is trouble, not bad usage.
	open func(context.Context, run.Options) (suite.Runner, error)
	// machines opens what campaigns are run on.
	machines func(context.Context, run.Options) (machine, error)
	// sweep removes what dead orchestrators left behind.
	sweep func(ctx context.Context, all bool) ([]string, error)
	// examine is what the doctor looks at.
	examine func() doctor.Case
	// judge says what a history proves.
	judge func(*scenario.Scenario, *history.History) check.Verdict
}

// Main runs the command line of this process and gives its exit code.
func Main() int {
	// A reader that goes away (killpoint run | head) must not kill this
	// process before it has removed its containers: writing gives an error
	// instead, which nobody is left to read.
	signal.Ignore(syscall.SIGPIPE)
	interrupts := make(chan os.Signal, 2)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	return realWorld(os.Args[1:], os.Stdout, os.Stderr, interrupts).run(context.Background())
}

// realWorld is the one that is not made up by a test.
func realWorld(arguments []string, stdout, stderr io.Writer, interrupts <-chan os.Signal) *world {
	return &world{
		args: arguments, environ: os.Environ(), stdout: stdout, stderr: stderr,
		interrupts: interrupts, now: time.Now, version: buildVersion(debug.ReadBuildInfo()),
		width: terminalWidth, load: system.Load, open: suite.OpenEngine, machines: openMachine, sweep: sweepEngine, examine: examination, judge: check.Judge,
	}
}

// errInterrupted is why a context ended when a person or a CI system asked
// for the end.
var errInterrupted = errors.New("interrupted")

// run does one command line. The first interrupt cancels what the command
// does, and it cleans up; the second returns at once and leaves it behind.
func (w *world) run(ctx context.Context) int {
	stderr := &serialWriter{to: w.stderr}
	w.stdout, w.stderr = &serialWriter{to: w.stdout, with: stderr}, stderr
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan int, 1)
	go func() { done <- w.command(ctx) }()
	for interrupted := false; ; interrupted = true {
		select {
		case code := <-done:
			if interrupted {
				return exitInterrupted
			}
			return code
		case <-w.interrupts:
			if interrupted {
				fmt.Fprintln(w.stderr, "\nkillpoint: aborted; killpoint clean removes what is left")
				return exitInterrupted
			}
			cancel(errInterrupted)
		}
	}
}

// command parses the arguments and does what they say.
func (w *world) command(ctx context.Context) int {
	root := w.root()
	root.SetArgs(w.args)
	if len(w.args) > 0 && w.args[0] == cobra.ShellCompRequestCmd {
		plainDescriptions(root)
	}
	root.SetOut(w.stdout)
	root.SetErr(w.stderr)
	command, err := root.ExecuteContextC(ctx)
	if err != nil {
		return complain(w.stderr, command, err)
	}
	return exitPassed
}

// root is the command line as a tree.
func (w *world) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "killpoint",
		Short: "Kill a container at an exact point and prove that no row was lost",
		Long: `Killpoint runs chaos scenarios against containers: it starts the system that a
scenario names, kills or disturbs a service at the planned moment, brings it
back, and says whether anything was lost, duplicated, torn or misplaced.`,
		Example: `killpoint run scenarios/restart.yaml
killpoint run scenarios --parallel 4 --report reports
killpoint validate scenarios`,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("say what to do")
		},
		PersistentPreRunE: func(command *cobra.Command, _ []string) error {
			return environmentToFlags(command, w.getenv)
		},
	}
	root.AddGroup(
		&cobra.Group{ID: "scenarios", Title: "Scenarios:"},
		&cobra.Group{ID: "tool", Title: "The tool itself:"},
	)
	root.AddCommand(w.runCommand(), w.exploreCommand(), w.agentCommand(), w.replayCommand(), w.initCommand(), w.listCommand(), w.validateCommand(), w.reportCommand(), w.schemaCommand(),
		w.doctorCommand(), w.cleanCommand(), w.completionCommand(), w.versionCommand())
	setHelp(root)
	root.SetHelpCommandGroupID("tool")
	return root
}

// getenv looks a variable up as os.Getenv does.
func (w *world) getenv(name string) string {
	value := ""
	for _, entry := range w.environ {
		if len(entry) > len(name) && entry[:len(name)] == name && entry[len(name)] == '=' {
			value = entry[len(name)+1:] // the last one counts
		}
	}
	return value
}

func (w *world) style(stream io.Writer) report.Style {
	return report.StyleFor(w.width(stream), w.getenv)
}

// terminalWidth is 80 for a terminal that does not say.
func terminalWidth(stream io.Writer) int {
	if serial, wrapped := stream.(*serialWriter); wrapped {
		stream = serial.to
	}
	file, isFile := stream.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return 0
	}
	if width, _, err := term.GetSize(int(file.Fd())); err == nil && width > 0 {
		return width
	}
	return 80
}
