package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/explore"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/orchestrator/run"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/suite"
)

// machine opens runners: explore.Machine, or a fake in tests.
type machine interface {
	Open(context.Context, explore.Lane) (explore.Runner, error)
	// Fingerprint identifies an image; "" where the engine does not have it.
	Fingerprint(ctx context.Context, image string) (string, error)
	// Swept names what was removed of earlier, dead orchestrators.
	Swept() []string
	Close(context.Context) error
}

// openMachine connects to the engine of this machine.
func openMachine(ctx context.Context, options run.Options) (machine, error) {
	opened, err := explore.OpenMachine(ctx, options)
	if err != nil {
		return nil, err
	}
	return opened, nil
}

// exploration is one use of the explore command.
type exploration struct {
	*world
	*exploreOptions
	file string

	loaded   suite.Loaded // as it is explored
	plain    suite.Loaded // as it is written
	folder   string
	lasting  bool   // the folder is the reader's
	running  string // where histories grow
	machine  machine
	way      explore.Way // how the lanes that were opened crash
	campaign *explore.Campaign
	view     *campaignView
}

// loadExplored loads a scenario with the variables of its facts that make runs
// equal, unless they are to be left away. What is given on the command line
// stands above them.
func (w *world) loadExplored(ctx context.Context, file string, env []string, timeout time.Duration, batched bool) (explored, plain suite.Loaded, err error) {
	load := func(env []string) (suite.Loaded, error) {
		all, problems := w.loadScenarios(ctx, []string{file}, func(sc *scenario.Scenario) {
			setEnv(sc, env)
			if timeout > 0 {
				sc.Timeout = scenario.Duration(timeout)
			}
		})
		if len(problems) > 0 {
			w.annotateProblems(problems)
			return suite.Loaded{}, badScenario(problems)
		}
		return all[0], nil
	}
	plain, err = load(env)
	if err != nil || batched || plain.Scenario.Facts == nil || plain.Scenario.Facts.Explore == nil {
		return plain, plain, err
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(plain.Scenario.Facts.Explore.Env)) {
		all = append(all, name+"="+plain.Scenario.Facts.Explore.Env[name])
	}
	if len(all) == 0 {
		return plain, plain, nil
	}
	explored, err = load(append(all, env...))
	return explored, plain, err
}

func (e *exploration) load(ctx context.Context) (err error) {
	files, err := suite.Find([]string{e.file})
	if err != nil {
		return err
	}
	if len(files) != 1 {
		return fmt.Errorf("explore one scenario at a time, not the %d in %s", len(files), e.file)
	}
	e.file = files[0]
	if e.loaded, e.plain, err = e.loadExplored(ctx, e.file, e.env, e.timeout, e.batched); err != nil {
		return err
	}
	if services := e.loaded.System.ServiceNames(); !slices.Contains(services, e.target) {
		return fmt.Errorf("--target %s: %s has no such service (it has %s)", e.target, e.loaded.System.File, strings.Join(services, ", "))
	}
	if e.chain {
		if len(e.loaded.Scenario.Faults) > 0 {
			return fmt.Errorf("--chain: %s has faults of its own, which are about a whole run: explore a scenario without any", e.file)
		}
		settings := e.settings(e.loaded.Scenario.Name, e.file)
		return settings.Undisturbed(e.loaded.Scenario).CanChain(e.target)
	}
	return nil
}

// prepare makes the folder and opens the campaign, and sees that every file
// can be written, before anything is started.
func (e *exploration) prepare() (err error) {
	if err := e.files.touch(); err != nil {
		return err
	}
	e.folder, e.lasting = e.report, e.report != ""
	if e.lasting {
		err = os.MkdirAll(e.folder, 0o755)
	} else {
		e.folder, err = os.MkdirTemp("", "killpoint-explore-")
	}
	if err != nil {
		return fmt.Errorf("create folder for the campaign: %w", err)
	}
	if e.running, err = os.MkdirTemp("", "killpoint-running-"); err != nil {
		return fmt.Errorf("create folder for histories: %w", err)
	}
	e.view = e.newCampaignView(e.exploreOptions)
	settings := e.settings(e.loaded.Scenario.Name, e.file)
	options := explore.Options{
		Settings:  settings,
		Scenario:  settings.Undisturbed(e.loaded.Scenario),
		Collected: explore.Collected(e.loaded.Scenario, e.loaded.System, e.target),
		Folder:    e.folder, Resume: e.resume, Recordings: e.record, Budget: e.budget, FullTimeout: e.timeout > 0,
		FailFast: e.failFast, AsFound: e.asFound,
		Work: e.work(), Confirm: e.confirm, Keep: e.keepRun, Judge: e.judge, Watcher: e.view, Now: e.now,
	}
	if e.confirm > 0 {
		options.Afresh = e.afresh
	}
	e.campaign, err = explore.Open(options)
	if err != nil {
		e.close()
	}
	return err
}

// work is how much there is to do, by the variable that says so.
func (e *exploration) work() map[string]int {
	facts := e.loaded.Scenario.Facts
	if facts == nil || facts.Explore == nil || facts.Explore.Shrink == "" {
		return nil
	}
	name := facts.Explore.Shrink
	for _, service := range e.loaded.System.Services {
		if amount, err := strconv.Atoi(service.Environment[name]); err == nil {
			return map[string]int{name: amount}
		}
	}
	return nil
}

// afresh opens a runner in fresh containers, with more variables.
func (e *exploration) afresh(ctx context.Context, more map[string]string) (explore.Runner, *scenario.Scenario, error) {
	loaded := e.loaded
	if len(more) > 0 {
		env := slices.Clone(e.env)
		for _, name := range slices.Sorted(maps.Keys(more)) {
			env = append(env, name+"="+more[name])
		}
		var err error
		if loaded, _, err = e.loadExplored(ctx, e.file, env, e.timeout, e.batched); err != nil {
			return nil, nil, err
		}
	}
	runner, err := e.machine.Open(ctx, e.lane(loaded, explore.Fresh))
	settings := e.settings(loaded.Scenario.Name, e.file)
	return runner, settings.Undisturbed(loaded.Scenario), err
}

func (e *exploration) lane(loaded suite.Loaded, way explore.Way) explore.Lane {
	return explore.Lane{Loaded: loaded, Target: e.target, Model: explore.Model(e.model), Way: way}
}

// keepRun saves a run in fresh containers that failed.
func (e *exploration) keepRun(folder, replay string, sc *scenario.Scenario, h *history.History, verdict check.Verdict) error {
	if err := os.RemoveAll(folder); err != nil {
		return fmt.Errorf("save run: %w", err)
	}
	result := report.NewResult(sc, h, verdict)
	result.Replay, result.Report = replay, folder
	return report.Save(folder, sc, h, result)
}

// close removes what nobody asked for.
func (e *exploration) close() {
	if e.view != nil {
		e.view.Close()
	}
	if e.campaign != nil {
		if err := e.campaign.Close(); err != nil {
			fmt.Fprintln(e.stderr, withName(err))
		}
	}
	os.RemoveAll(e.running)
	if !e.lasting {
		os.RemoveAll(e.folder)
	}
}

// run connects to the engine, opens the lanes, explores and concludes.
func (e *exploration) run(ctx context.Context) error {
	opened, err := e.machines(ctx, run.Options{Version: e.version, AllowExternal: e.allowExternal, Build: e.build, Dir: e.running})
	if err != nil {
		return broken(err)
	}
	e.machine = opened
	for _, thing := range opened.Swept() {
		e.view.Note("removed " + thing + ", which an earlier killpoint had left")
	}
	trouble := e.explore(ctx)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	if err := opened.Close(bounded); err != nil {
		trouble = errors.Join(trouble, fmt.Errorf("remove what runs shared: %w", err))
	}
	return e.conclude(ctx, trouble)
}

// closeTime bounds the removal of what trials shared.
const closeTime = time.Minute

// explore runs the campaign on lanes of this machine, or on a fleet.
func (e *exploration) explore(ctx context.Context) error {
	e.tellAbout()
	if e.fleet != "" {
		return e.exploreOnFleet(ctx)
	}
	return e.onLanes(ctx, e.parallel, func(lanes explore.Worker) error { return e.exploreOn(ctx, lanes) })
}

func (e *exploration) exploreOn(ctx context.Context, worker explore.Worker) error {
	e.campaign.Worker = worker
	if e.list {
		return e.campaign.Prepare(ctx)
	}
	return e.campaign.Run(ctx)
}

// onLanes does something with lanes of this machine, and removes them.
func (e *exploration) onLanes(ctx context.Context, count int, do func(explore.Worker) error) (err error) {
	e.view.Phase(fmt.Sprintf("starting containers for %d runs side by side", count))
	runners, err := e.openLanes(ctx, count)
	if err != nil {
		return err
	}
	lanes := &explore.Lanes{Runners: runners, Trials: e.campaign.Trials()}
	defer func() {
		e.view.Phase("removing containers")
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		err = errors.Join(err, lanes.Close(bounded))
	}()
	defer context.AfterFunc(ctx, func() {
		e.view.Note("interrupted: removing containers (Ctrl-C again aborts and leaves them)")
	})()
	return do(lanes)
}

// openLanes opens the runners. A system that cannot stay between trials gets
// fresh containers for each, unless it was said what to kill.
func (e *exploration) openLanes(ctx context.Context, count int) ([]explore.Runner, error) {
	open := func(way explore.Way) ([]explore.Runner, error) {
		e.way = way
		return explore.OpenLanes(ctx, count, func(ctx context.Context) (explore.Runner, error) {
			return e.machine.Open(ctx, e.lane(e.loaded, way))
		})
	}
	runners, err := open(explore.Way(e.kill))
	if err != nil && !e.given("kill") && ctx.Err() == nil {
		e.view.Note(fmt.Sprintf("every run gets fresh containers, which takes longer: %v", err))
		return open(explore.Fresh)
	}
	return runners, err
}

// tellAbout says what is not done as the scenario says.
func (e *exploration) tellAbout() {
	for _, warning := range e.loaded.System.Warnings {
		e.view.Note("warning: " + warning)
	}
	if left := explore.LeftOut(e.loaded.Scenario, e.target); left != "" && !e.keepLogs {
		e.view.Note(left + " left out: they describe the run without crashes (--keep-logs keeps them)")
	}
	if facts := e.plain.Scenario.Facts; !e.batched && (facts == nil || facts.Explore == nil || len(facts.Explore.Env) == 0) {
		e.view.Note("nothing says how this system does the same calls each time (x-killpoint: {explore: {env: …}}): what differs is reported apart")
	}
}

// conclude says what the campaign came to, and writes it everywhere.
func (e *exploration) conclude(ctx context.Context, trouble error) error {
	e.view.Close()
	interrupted := ctx.Err() != nil
	if interrupted && errors.Is(trouble, ctx.Err()) {
		trouble = nil
	}
	var undisturbed *explore.UndisturbedError
	switch {
	case errors.As(trouble, &undisturbed):
		return &failure{code: undisturbedCode(undisturbed.Outcome.Status), err: trouble}
	case errors.Is(trouble, explore.ErrNoPoints):
		return &failure{code: exitInconclusive, err: trouble}
	case errors.Is(trouble, explore.ErrChanged):
		return &failure{code: exitUsage, err: trouble}
	case !e.campaign.HasPoints() && interrupted:
		return ended(exitInterrupted)
	case !e.campaign.HasPoints():
		return broken(trouble)
	}
	if e.list {
		if trouble == nil {
			e.printPoints()
		}
		return e.codeOf(trouble, exitPassed)
	}
	facts := explore.Facts{Killpoint: e.version, Command: e.again(e.file)}
	if interrupted {
		facts.Outcome = report.Interrupted
	}
	if trouble != nil && !e.campaign.Knows(trouble) {
		facts.Trouble = []string{trouble.Error()}
	}
	document, err := e.campaign.Document(facts)
	if err != nil {
		return broken(errors.Join(trouble, err))
	}
	document.ExitCode = exitCodeOf(document.Outcome)
	if e.lasting {
		err = e.campaign.Save(document)
	} else if document.Outcome != report.Passed {
		err = e.campaign.Save(document)
		e.lasting = true // something in it may be wanted
	}
	err = errors.Join(err, e.show(document))
	if err != nil {
		return broken(err)
	}
	return ended(document.ExitCode)
}

func undisturbedCode(status explore.Status) int {
	switch status {
	case explore.Failed:
		return exitFailed
	case explore.Broken:
		return exitBroken
	}
	return exitInconclusive
}

func (e *exploration) codeOf(trouble error, code int) error {
	if trouble != nil {
		return broken(trouble)
	}
	return ended(code)
}

// printPoints lists the points that would be run, on stdout.
func (e *exploration) printPoints() {
	for point := range e.campaign.Points() {
		fmt.Fprintln(e.stdout, point)
	}
}

// show shows a campaign on the console and writes the files that were asked
// for.
func (e *exploration) show(document *report.Campaign) error {
	err := e.renderCampaign(&reportOptions{files: e.files}, document)
	if e.lasting {
		fmt.Fprintf(e.stderr, "campaign kept in %s\n", e.folder)
		if document.Totals.NotRun > 0 && e.report != "" {
			fmt.Fprintf(e.stderr, "go on with: %s --report %s --resume\n", e.again(e.file), suite.Quoted(filepath.Clean(e.folder)))
		}
	}
	return err
}
