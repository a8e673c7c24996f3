package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/killpoint/killpoint/orchestrator/run"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/suite"
)

// runOptions are the flags of the run command.
type runOptions struct {
	parallel int
	repeat   int
	failFast bool
	timeout  time.Duration
	env      []string

	keep, publish, bindRW, allowExternal, build, trace bool

	files          resultFiles
	report         string
	quiet, verbose bool
}

func (w *world) runCommand() *cobra.Command {
	o := &runOptions{}
	command := &cobra.Command{
		Use:   "run SCENARIO.yaml | folder | pattern…",
		Short: "Run scenarios and say whether anything was lost",
		Long: `Run scenarios: start the containers of each one's compose file, do its faults,
wait for the end, collect what was written, remove the containers, and judge.

Give at least one scenario file, a folder of them, or a pattern (** reaches
into folders). Every scenario is checked before anything starts.

Results go to stdout, progress to stderr. Each flag can be given as a variable
too: --parallel 4 as KILLPOINT_PARALLEL=4. A flag wins over its variable.

Exit codes:
  0    every scenario passed
  1    a check has findings
  2    bad usage or a bad scenario; nothing was started
  3    broken: Docker, broker, image or disk trouble
  4    inconclusive: a fault did not fire or came too late, or a check could
       not be computed
  130  interrupted; a second Ctrl-C aborts without cleaning up
Over several scenarios 130 beats 3 beats 1 beats 4 beats 0.`,
		Example: `killpoint run scenarios/restart.yaml
killpoint run scenarios --parallel 4 --report reports
killpoint run scenarios/restart.yaml --env SEED=42 --keep
killpoint run 'scenarios/*.yaml' --repeat 10 --fail-fast
killpoint run scenarios --json - --quiet > result.json`,
		GroupID:           "scenarios",
		ValidArgsFunction: completeScenarios,
		RunE: func(command *cobra.Command, arguments []string) error {
			return w.runScenarios(command.Context(), o, arguments)
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.IntVar(&o.parallel, "parallel", 1, "run this `number` of scenarios side by side")
	flags.IntVar(&o.repeat, "repeat", 1, "run each scenario this `number` of times")
	flags.BoolVar(&o.failFast, "fail-fast", false, "start no further scenario after one that did not pass")
	flags.BoolVar(&o.trace, "trace", false, "record every call of services that crash points are in; pages show those around the crash")
	o.register(flags)
	return command
}

// register adds the flags that say how a run is done and shown.
func (o *runOptions) register(flags *pflag.FlagSet) {
	flags.DurationVar(&o.timeout, "timeout", 0, "the longest a run may take, above what the scenarios say")
	flags.StringArrayVar(&o.env, "env", nil, "`NAME=VALUE` for the compose file, above the scenario's env; can be repeated")
	flags.BoolVar(&o.keep, "keep", false, "leave the containers when a run has ended (killpoint clean removes them)")
	flags.BoolVar(&o.publish, "publish", false, "publish the ports that the compose file publishes")
	flags.BoolVar(&o.bindRW, "bind-rw", false, "give containers the real files of bind mounts, not copies")
	flags.BoolVar(&o.allowExternal, "allow-external", false, "allow external networks and volumes")
	flags.BoolVar(&o.build, "build", false, "build images even where they exist")
	o.files.register(flags)
	flags.StringVar(&o.report, "report", "", "write everything below this `folder`: results, pages, histories, logs, files")
	flags.BoolVar(&o.quiet, "quiet", false, "no progress, and no details of scenarios that passed")
	flags.BoolVar(&o.verbose, "verbose", false, "show every event, log lines of containers too")
}

// check says what is wrong with the flags before anything else is looked at.
func (o *runOptions) check(arguments []string) error {
	switch {
	case len(arguments) == 0:
		return errors.New("say which scenario: a file, a folder or a pattern")
	case o.parallel < 1:
		return fmt.Errorf("--parallel %d: must be 1 or more", o.parallel)
	case o.repeat < 1:
		return fmt.Errorf("--repeat %d: must be 1 or more", o.repeat)
	}
	return o.checkHow()
}

// checkHow is check for the flags of register.
func (o *runOptions) checkHow() error {
	switch {
	case o.timeout < 0:
		return fmt.Errorf("--timeout %v: must not be negative", o.timeout)
	case o.quiet && o.verbose:
		return errors.New("--quiet and --verbose exclude each other")
	}
	if err := o.files.check(); err != nil {
		return err
	}
	return checkEnv(o.env)
}

// checkEnv says which entry of --env is none.
func checkEnv(entries []string) error {
	for _, entry := range entries {
		if name, _, assigned := strings.Cut(entry, "="); !assigned || name == "" {
			return fmt.Errorf("--env %s: want NAME=VALUE", entry)
		}
	}
	return nil
}

// setEnv puts variables into a scenario, above what it says itself.
func setEnv(sc *scenario.Scenario, env []string) {
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		if sc.Env == nil {
			sc.Env = map[string]string{}
		}
		sc.Env[name] = value
	}
}

// apply puts the flags that stand above a scenario's own words into it.
func (o *runOptions) apply(sc *scenario.Scenario) {
	if o.timeout > 0 {
		sc.Timeout = scenario.Duration(o.timeout)
	}
	setEnv(sc, o.env)
}

// replayFlags is what must stand behind the command that runs a scenario
// again besides what the history itself knows.
func (o *runOptions) replayFlags() []string {
	var flags []string
	for _, entry := range o.env {
		flags = append(flags, "--env "+suite.Quoted(entry))
	}
	if o.timeout > 0 {
		flags = append(flags, "--timeout "+scenario.Duration(o.timeout).String())
	}
	return append(flags, suite.ReplayFlags(run.Options{Publish: o.publish, BindRW: o.bindRW, AllowExternal: o.allowExternal})...)
}

// runScenarios is the run command: everything that can be wrong with what was
// asked for comes first, then the engine, then the runs.
func (w *world) runScenarios(ctx context.Context, o *runOptions, arguments []string) error {
	if err := o.check(arguments); err != nil {
		return err
	}
	files, err := suite.Find(arguments)
	if err != nil {
		return err
	}
	scenarios, problems := w.loadScenarios(ctx, files, o.apply)
	if len(problems) > 0 {
		w.annotateProblems(problems)
		return badScenario(problems)
	}
	return w.runJobs(ctx, o, suite.Jobs(scenarios, o.repeat))
}

// runJobs runs what was found to be right, shows it and writes it everywhere.
func (w *world) runJobs(ctx context.Context, o *runOptions, jobs []suite.Job) error {
	out, err := newOutputs(o)
	if err != nil {
		return err
	}
	defer out.folder.Close()

	began := w.now()
	pages := newPages(o.files.html != "" || o.report != "")
	console := w.newConsole(o, jobs)
	defer console.Close()
	s, err := suite.Open(ctx, suite.Options{
		Run: run.Options{
			Version: w.version, Keep: o.keep, Publish: o.publish, BindRW: o.bindRW, AllowExternal: o.allowExternal, Build: o.build, Record: o.trace,
		},
		Open: w.open, Judge: w.judge, Now: w.now, Judged: pages.keep,
		Watcher: console, Folder: out.folder, Parallel: o.parallel, FailFast: o.failFast, ReplayFlags: o.replayFlags(),
	})
	if err != nil {
		return broken(err)
	}
	for _, thing := range s.Swept() {
		if !o.quiet {
			console.Note("removed " + thing + ", which an earlier killpoint had left")
		}
	}
	results := s.Execute(ctx, jobs)
	return w.conclude(ctx, out, console, results, pages, s.Close(ctx), began)
}
