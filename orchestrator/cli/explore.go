package cli

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/killpoint/killpoint/orchestrator/broker"
	"github.com/killpoint/killpoint/orchestrator/explore"
	"github.com/killpoint/killpoint/orchestrator/suite"
)

// exploreOptions are the flags of the explore command.
type exploreOptions struct {
	target, model, shard, kill, variants, fleet string

	depth, most, pairs, seed, parallel, record, confirm int

	budget, timeout time.Duration

	env []string

	resume, list, batched, chain, keepLogs, failFast, asFound, quiet bool

	allowExternal, build bool

	files  resultFiles
	report string

	given func(flag string) bool
}

// lanesLimit is how many trials go side by side where nobody says how many:
// each has containers of its own.
const lanesLimit = 8

func (w *world) exploreCommand() *cobra.Command {
	o := &exploreOptions{}
	command := &cobra.Command{
		Use:   "explore SCENARIO.yaml --target SERVICE",
		Short: "Crash a service at every point that there is",
		Long: `Explore a scenario: record what one service does when nothing is hurt, and crash
it at each of its calls in turn: before it, after it, and in the middle of a
write. After each crash the service is started again, the run goes on to its
end, and is judged by what the scenario expects of the data.

Points are changes of files, reads of files that the service changes or a check
collects, AMQP publishes and acks, and what is printed. A crash counts only
where it came exactly where it was recorded.

The campaign is kept in the folder of --report: each outcome is written there as
soon as it is known, and --resume goes on with what is left. Progress goes to
stderr: one line on a terminal, JSON elsewhere.

With --fleet, agents on other machines run the points (killpoint agent), and
RabbitMQ hands them out. This machine records, and confirms what failed. The
variable KILLPOINT_FLEET keeps the broker's password off the command line.

Exit codes:
  0    every point survived
  1    a point failed, or the undisturbed run does
  2    bad usage or a bad scenario; or the folder holds another campaign
  3    broken: Docker, broker, image or disk trouble
  4    inconclusive: a point was not come to as planned, or there are none
  130  interrupted; --resume goes on`,
		Example: `killpoint explore scenarios/normal.yaml --target worker-2
killpoint explore scenarios/normal.yaml --target worker-2 --model power-loss --report reports/power
killpoint explore scenarios/normal.yaml --target worker-2 --depth 2 --budget 5m
killpoint explore scenarios/normal.yaml --target worker-2 --shard 2/4 --report shard-2
killpoint explore scenarios/normal.yaml --target worker-2 --fleet amqp://broker.example:5672/fleet --report fleet
killpoint explore scenarios/normal.yaml --target worker-2 --list  # print the points`,
		GroupID:           "scenarios",
		ValidArgsFunction: completeScenarios,
		RunE: func(command *cobra.Command, arguments []string) error {
			o.given = func(flag string) bool { return command.Flags().Changed(flag) }
			return w.exploreScenario(command.Context(), o, arguments)
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.StringVar(&o.target, "target", "", "crash this `service`")
	flags.StringVar(&o.model, "model", string(explore.ProcessCrash), "failure `model`: process-crash, or power-loss, which takes away what was not synced")
	flags.StringVar(&o.kill, "kill", string(explore.KillProcess), "`what` is killed: the process, in containers that stay; the container of the target; or fresh: containers of their own for every run")
	flags.IntVar(&o.depth, "depth", 1, "`crashes` in one run: 2 crashes it again while it recovers")
	flags.IntVar(&o.pairs, "pairs", explore.DefaultPairs, "with --depth 2, crash at this `number` of points in recoveries")
	flags.StringVar(&o.variants, "variants", strconv.Itoa(explore.DefaultVariants), "with power-loss, so many `ways` of losing what was not synced at each point; all for every one")
	flags.IntVar(&o.most, "max", 0, "run at most this `number` of points, drawn by seed and spread over kinds")
	flags.DurationVar(&o.budget, "budget", 0, "begin no further point after this `time`")
	flags.IntVar(&o.seed, "seed", 1, "the `number` by which points are drawn")
	flags.StringVar(&o.shard, "shard", "", "run part `i/n` of the points only; killpoint report merge joins the parts")
	flags.StringVar(&o.fleet, "fleet", "", "have the points run by the agents of the broker at this amqp:// `URL`")
	flags.BoolVar(&o.resume, "resume", false, "go on with the campaign in the folder of --report")
	flags.BoolVar(&o.list, "list", false, "print the points, and run none")
	flags.IntVar(&o.parallel, "parallel", 0, "run this `number` of points side by side; one for each core when left out, two with --chain, at most 8")
	flags.IntVar(&o.record, "record", explore.DefaultRecordings, "record the undisturbed run this `number` of times, to see what differs")
	flags.IntVar(&o.confirm, "confirm", explore.DefaultConfirm, "run this `number` of failures again in fresh containers, of different kinds; with 0 failures are neither confirmed nor made smaller")
	flags.BoolVar(&o.failFast, "fail-fast", false, "begin no further point once one has failed")
	flags.BoolVar(&o.asFound, "as-found", false, "look for no smaller failure than those that were found")
	flags.BoolVar(&o.batched, "batched", false, "leave away the variables of x-killpoint that make runs equal")
	flags.BoolVar(&o.chain, "chain", false, "crash it once in each unit of work of one run, from rest to rest: many more points a minute")
	flags.BoolVar(&o.keepLogs, "keep-logs", false, "judge by the log lines and exit codes that the scenario expects, too")
	flags.DurationVar(&o.timeout, "timeout", 0, "the longest a run may take, above what the scenario says")
	flags.StringArrayVar(&o.env, "env", nil, "`NAME=VALUE` for the compose file, above the scenario's env; can be repeated")
	flags.BoolVar(&o.allowExternal, "allow-external", false, "allow external networks and volumes")
	flags.BoolVar(&o.build, "build", false, "build images even where they exist")
	o.files.register(flags)
	flags.StringVar(&o.report, "report", "", "keep the campaign in this `folder`")
	flags.BoolVar(&o.quiet, "quiet", false, "no progress")
	return command
}

// check says what is wrong with the flags before anything else is looked at.
func (o *exploreOptions) check(arguments []string) error {
	switch {
	case len(arguments) != 1:
		return errors.New("say which scenario to explore: one file")
	case o.target == "":
		return errors.New("say which service to crash: --target SERVICE")
	case o.model != string(explore.ProcessCrash) && o.model != string(explore.PowerLoss):
		return fmt.Errorf("--model %s: want process-crash or power-loss", o.model)
	case !slices.Contains(explore.Ways, explore.Way(o.kill)):
		return fmt.Errorf("--kill %s: want process, container or fresh", o.kill)
	case o.depth != 1 && o.depth != 2:
		return fmt.Errorf("--depth %d: want 1, or 2 for a second crash during recovery", o.depth)
	case o.chain && o.depth != 1:
		return errors.New("--chain: with it, crashes come one after the other in one run already; leave --depth away")
	case o.chain && o.batched:
		return errors.New("--chain: what is batched has no rest at which a link could end (--batched)")
	case o.chain && o.keepLogs:
		return errors.New("--chain: what is expected of log lines is about a whole run (--keep-logs)")
	case o.budget < 0 || o.timeout < 0:
		return errors.New("--budget and --timeout must not be negative")
	case o.resume && o.report == "":
		return errors.New("--resume: name the campaign's folder with --report")
	case o.list && o.resume:
		return errors.New("--list runs nothing: there is nothing to --resume")
	}
	for _, least := range []struct {
		flag         string
		value, least int
	}{{"pairs", o.pairs, 1}, {"max", o.most, 0}, {"seed", o.seed, 0}, {"parallel", o.parallel, 0}, {"record", o.record, 1}, {"confirm", o.confirm, 0}} {
		if least.value < least.least {
			return fmt.Errorf("--%s %d: must be %d or more", least.flag, least.value, least.least)
		}
	}
	if o.seed > seedLimit {
		return fmt.Errorf("--seed %d: at most %d", o.seed, seedLimit)
	}
	if o.fleet != "" && o.allowExternal {
		return errors.New("--fleet: external networks and volumes are on one engine only (--allow-external)")
	}
	if o.fleet != "" {
		if _, err := broker.ParseURL(o.fleet); err != nil {
			return fmt.Errorf("--fleet: %w", err)
		}
	}
	if _, err := o.shardOf(); err != nil {
		return err
	}
	if _, err := o.variantsOf(); err != nil {
		return err
	}
	return errors.Join(o.files.check(), checkEnv(o.env))
}

// seedLimit leaves room for the seeds that are counted from it.
const seedLimit = 999_999_000

func (o *exploreOptions) shardOf() (explore.Shard, error) {
	if o.shard == "" {
		return explore.Shard{}, nil
	}
	number, of, found := strings.Cut(o.shard, "/")
	shard := explore.Shard{}
	var wrong, bad error
	shard.Number, wrong = strconv.Atoi(number)
	shard.Of, bad = strconv.Atoi(of)
	if shard.Number == 0 { // of those that count from 0, such as indexed jobs
		shard.Number = shard.Of
	}
	if !found || wrong != nil || bad != nil || shard.Number < 1 || shard.Number > shard.Of {
		return explore.Shard{}, fmt.Errorf("--shard %s: want a part and how many there are, such as 2/4", o.shard)
	}
	return shard, nil
}

func (o *exploreOptions) variantsOf() (int, error) {
	if o.variants == "all" {
		return explore.EveryVariant, nil
	}
	number, err := strconv.Atoi(o.variants)
	if err != nil || number < 2 {
		return 0, fmt.Errorf("--variants %s: want a number from 2 up, or all", o.variants)
	}
	return number, nil
}

// settings are those that make the campaign the one that it is.
func (o *exploreOptions) settings(name, file string) explore.Settings {
	shard, _ := o.shardOf()
	variants, _ := o.variantsOf()
	settings := explore.Settings{
		Scenario: name, File: file, Env: o.env, Target: o.target, Model: explore.Model(o.model), Seed: o.seed,
		Depth: o.depth, Most: o.most, Shard: shard, Batched: o.batched, Chain: o.chain, KeepLogs: o.keepLogs,
	}
	if settings.Model == explore.PowerLoss {
		settings.Variants = variants
	}
	if settings.Depth > 1 {
		settings.Pairs = o.pairs
	}
	return settings
}

// again is the command that runs the campaign again.
func (o *exploreOptions) again(file string) string {
	words := []string{"killpoint explore", suite.Quoted(file), "--target", suite.Quoted(o.target)}
	flag := func(name, value string) {
		if o.given(name) {
			words = append(words, "--"+name, suite.Quoted(value))
		}
	}
	flag("model", o.model)
	flag("kill", o.kill)
	flag("depth", strconv.Itoa(o.depth))
	flag("pairs", strconv.Itoa(o.pairs))
	flag("variants", o.variants)
	flag("max", strconv.Itoa(o.most))
	flag("budget", o.budget.String())
	words = append(words, "--seed", strconv.Itoa(o.seed))
	flag("shard", o.shard)
	if o.fleet != "" {
		words = append(words, "--fleet", quotedBroker(o.fleet))
	}
	flag("timeout", o.timeout.String())
	for _, entry := range o.env {
		words = append(words, "--env", suite.Quoted(entry))
	}
	for _, set := range []struct {
		is   bool
		flag string
	}{{o.failFast, "--fail-fast"}, {o.asFound, "--as-found"}, {o.batched, "--batched"}, {o.chain, "--chain"}, {o.keepLogs, "--keep-logs"}, {o.allowExternal, "--allow-external"}} {
		if set.is {
			words = append(words, set.flag)
		}
	}
	return strings.Join(words, " ")
}

// exploreScenario is the explore command: everything that can be wrong with
// what was asked for comes first, then the engine, then the campaign.
func (w *world) exploreScenario(ctx context.Context, o *exploreOptions, arguments []string) error {
	if err := o.check(arguments); err != nil {
		return err
	}
	if o.parallel == 0 {
		o.parallel = min(runtime.NumCPU(), lanesLimit)
		if o.chain {
			// Its links wait more than they work.
			o.parallel = min(2*runtime.NumCPU(), lanesLimit)
		}
	}
	e := &exploration{world: w, exploreOptions: o, file: arguments[0]}
	if err := e.load(ctx); err != nil {
		return err
	}
	if err := e.prepare(); err != nil {
		return err
	}
	defer e.close()
	return e.run(ctx)
}
