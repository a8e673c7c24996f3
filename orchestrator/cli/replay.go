package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/killpoint/killpoint/orchestrator/explore"
	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/suite"
)

// replayOptions are the flags of the replay command: those of run, and how a
// campaign runs a scenario.
type replayOptions struct {
	runOptions
	scenario                 string
	batched, keepLogs, chain bool

	point string
}

func (w *world) replayCommand() *cobra.Command {
	o := &replayOptions{}
	command := &cobra.Command{
		Use:   "replay POINT… --scenario SCENARIO.yaml | FOLDER",
		Short: "Run a crash point again, in real containers, and show it",
		Long: `Replay crash points: run the scenario with exactly these crashes, in fresh
containers, and show what comes of it. Points are written as explore writes
them; several are several crashes in one run, in this order.

In place of points, give the folder of a campaign, of which the smallest
failure is run (--point for another), or the folder of a saved run.

A scenario is run as a campaign runs it: with the variables of x-killpoint that
make runs equal, and judged by what it expects of the data.`,
		Example: `killpoint replay worker-2:write:/app/worker-data/partitions/TEST-users-partition-003.csv:7:+11 --scenario scenarios/normal.yaml
killpoint replay worker-2:fsync:/data/journal:3:before:lose-all --scenario scenarios/normal.yaml --keep
killpoint replay reports/campaign`,
		GroupID: "scenarios",
		RunE: func(command *cobra.Command, arguments []string) error {
			return w.replay(command.Context(), o, arguments)
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.StringVar(&o.scenario, "scenario", "", "the scenario `file` that the points are of")
	flags.StringVar(&o.point, "point", "", "of a campaign, this `point` rather than its smallest failure")
	flags.BoolVar(&o.batched, "batched", false, "leave away the variables of x-killpoint that make runs equal")
	flags.BoolVar(&o.chain, "chain", false, "the points are of a chain: go from rest to rest up to the unit of work that the last one is in")
	flags.BoolVar(&o.keepLogs, "keep-logs", false, "judge by the log lines and exit codes that the scenario expects, too")
	o.register(flags)
	return command
}

// replayed is what is run again.
type replayed struct {
	explore.Settings
	sequence scenario.Sequence
	more     []string // variables that it needs besides those of the campaign
	// saved is a run that is done again as it was, in a folder; nil for points.
	saved  *scenario.Scenario
	folder string
}

// replay runs crashes again, in the same way as run does.
func (w *world) replay(ctx context.Context, o *replayOptions, arguments []string) error {
	if err := o.checkHow(); err != nil {
		return err
	}
	what, err := o.find(arguments)
	if err != nil {
		return err
	}
	job, err := w.replayJob(ctx, o, what)
	if err != nil {
		return err
	}
	o.parallel, o.trace = 1, true
	return w.runJobs(ctx, &o.runOptions, []suite.Job{job})
}

// find says what is to be run again.
func (o *replayOptions) find(arguments []string) (*replayed, error) {
	if len(arguments) == 0 {
		return nil, errors.New("say what to replay: crash points, or the folder of a campaign or of a run")
	}
	if info, err := os.Stat(arguments[0]); err == nil && info.IsDir() {
		if len(arguments) > 1 {
			return nil, errors.New("replay one folder at a time")
		}
		return o.findIn(arguments[0])
	}
	sequence, err := scenario.ParseSequence(strings.Join(arguments, scenario.Then))
	if err != nil {
		return nil, err
	}
	if o.scenario == "" {
		return nil, errors.New("say which scenario the points are of: --scenario SCENARIO.yaml")
	}
	return &replayed{Settings: explore.Settings{File: o.scenario, Batched: o.batched, KeepLogs: o.keepLogs, Chain: o.chain}, sequence: sequence}, nil
}

// findIn finds what to run again in a folder: of a campaign, or of a run.
func (o *replayOptions) findIn(folder string) (*replayed, error) {
	if report.IsSaved(folder) {
		saved, _, err := report.Load(folder)
		return &replayed{saved: saved, folder: folder}, err
	}
	if !explore.IsCampaign(folder) {
		return nil, fmt.Errorf("replay %s: it holds neither a campaign nor a run", folder)
	}
	campaign, err := explore.Load(folder)
	if err != nil {
		return nil, err
	}
	defer campaign.Close()
	what := &replayed{Settings: campaign.Settings}
	text, failed := o.point, true
	if text == "" {
		if text, what.more, failed, err = campaign.Worst(); err != nil {
			return nil, err
		}
	}
	if !failed {
		return nil, fmt.Errorf("replay %s: nothing failed in it (--point names a point)", folder)
	}
	what.sequence, err = scenario.ParseSequence(text)
	return what, err
}

// replayJob loads the scenario and puts the crashes into it.
func (w *world) replayJob(ctx context.Context, o *replayOptions, what *replayed) (suite.Job, error) {
	if what.saved != nil {
		return w.replaySaved(ctx, o, what.saved, what.folder)
	}
	env := slices.Concat(what.Env, what.more, o.env)
	loaded, _, err := w.loadExplored(ctx, what.File, env, o.timeout, what.Batched)
	if err != nil {
		return suite.Job{}, err
	}
	for _, point := range what.sequence {
		if _, has := loaded.System.Service(point.Service); !has {
			return suite.Job{}, fmt.Errorf("replay %s: %s has no service %s", point, loaded.System.File, point.Service)
		}
	}
	what.Target = what.sequence[0].Service
	sc := what.Undisturbed(loaded.Scenario)
	sc.Faults = append(slices.Clip(sc.Faults), what.sequence.Kills()...)
	if what.Chain {
		if err := sc.CanChain(what.Target); err != nil {
			return suite.Job{}, err
		}
		sc.Chain.Units = what.sequence.Units()
	}
	loaded.Scenario = sc
	return suite.Job{Loaded: loaded, Name: sc.Name, Replay: what.Replay(what.sequence.String(), what.more...)}, nil
}

// replaySaved does a saved run again: the same faults, on the system as its
// compose file says it now.
func (w *world) replaySaved(ctx context.Context, o *replayOptions, saved *scenario.Scenario, folder string) (suite.Job, error) {
	var env []string
	for _, name := range slices.Sorted(maps.Keys(saved.Env)) {
		env = append(env, name+"="+saved.Env[name])
	}
	loaded, _, err := w.loadExplored(ctx, saved.File, append(env, o.env...), o.timeout, true)
	if err != nil {
		return suite.Job{}, err
	}
	sc := *loaded.Scenario
	sc.Faults, sc.Expect, sc.Idle, sc.Chain = saved.Faults, saved.Expect, saved.Idle, saved.Chain
	loaded.Scenario = &sc
	return suite.Job{Loaded: loaded, Name: sc.Name, Replay: "killpoint replay " + suite.Quoted(folder)}, nil
}
