package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/explore"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/orchestrator/run"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/suite"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// explorer is a user with a machine on which a worker-2 writes four lines and
// syncs after each.
type explorer struct {
	*terminalUser
	mu     sync.Mutex
	lanes  []explore.Lane
	closed int // runners
	trials int
	opened run.Options
	refuse explore.Way // what no lane can be opened for
	fails  func(sc *scenario.Scenario) bool
	during func(trial int)
}

func newExplorer(t *testing.T) *explorer {
	t.Helper()
	u := &explorer{terminalUser: newUser(t)}
	u.write("scenarios/normal.yaml", "system: ../compose.yaml\nenv: {LINES: 4}\nexpect:\n  run: [{service: worker-2, command: [verify]}]\n  exits: {worker-2: 0}\nx-killpoint:\n  explore: {env: {STEADY: 1}, shrink: LINES}\n")
	u.world.load = func(_ context.Context, sc *scenario.Scenario, _ []string) (*system.System, scenario.Problems) {
		environment := map[string]string{"LINES": sc.Env["LINES"]}
		sys := &system.System{File: "compose.yaml", Services: []system.Service{{Name: "worker-2", Environment: environment}, {Name: "worker-3"}}}
		return sys, sc.Bind(scenario.Binding{Services: sys.ServiceNames()})
	}
	u.world.machines = func(_ context.Context, options run.Options) (machine, error) {
		u.opened = options
		return u, nil
	}
	u.world.judge = check.Judge
	u.fails = func(*scenario.Scenario) bool { return false }
	return u
}

func (u *explorer) Open(_ context.Context, lane explore.Lane) (explore.Runner, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if lane.Way == u.refuse {
		return nil, errors.New("it writes to the host")
	}
	u.lanes = append(u.lanes, lane)
	return &fakeLane{u, lane}, nil
}

func (u *explorer) Fingerprint(context.Context, string) (string, error) { return "", nil }

type fakeLane struct {
	*explorer
	lane explore.Lane
}

func (l *fakeLane) Close(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed++
	return nil
}

func (l *fakeLane) Trial(ctx context.Context, sc *scenario.Scenario, record bool) *history.History {
	l.mu.Lock()
	l.trials++
	trial := l.trials
	l.mu.Unlock()
	if l.during != nil {
		l.during(trial)
	}
	return l.play(ctx, sc, record)
}

// play is a run of the worker: recorded, or crashed as the scenario says.
func (u *explorer) play(ctx context.Context, sc *scenario.Scenario, record bool) *history.History {
	h := &history.History{Meta: history.Meta{Scenario: sc.Name, File: sc.File, Model: "process-crash", Engine: "fake", Replay: "killpoint run " + sc.File}}
	add := func(event history.Event) { h.Events = append(h.Events, event) }
	if ctx.Err() != nil {
		add(history.Event{Kind: history.Interrupted})
		return h
	}
	line := func(number int) *history.Point {
		return &history.Point{Operation: "write", Call: "write", Path: "/data/lines", Size: 2, Offset: int64(2 * (number - 1)), Occurrence: number}
	}
	if record {
		for number := 1; number <= 4; number++ {
			add(history.Event{Kind: history.Operation, Service: "worker-2", Incarnation: 1, Point: line(number)})
			add(history.Event{Kind: history.Operation, Service: "worker-2", Incarnation: 1, Point: &history.Point{Operation: "fsync", Path: "/data/lines", Offset: -1}})
		}
	}
	for i, fault := range sc.Faults {
		point := fault.Point()
		at := line(point.Occurrence)
		if point.Kind == scenario.Fsync {
			at = &history.Point{Operation: "fsync", Path: "/data/lines", Offset: -1, Occurrence: point.Occurrence}
		}
		if at.Timing = point.Timing; point.Keep != "" {
			at.Timing, at.Kept = "during", 1
		}
		killed := 137
		add(history.Event{Kind: history.PointReached, Service: "worker-2", Incarnation: 1, Fault: i + 1, Point: at})
		add(history.Event{Kind: history.FaultFired, Service: "worker-2", Incarnation: 1, Fault: i + 1})
		add(history.Event{Kind: history.FaultDone, Service: "worker-2", Incarnation: 1, Fault: i + 1})
		add(history.Event{Kind: history.Exited, Service: "worker-2", Incarnation: 1, Code: &killed})
	}
	add(history.Event{Kind: history.AllDone})
	code := 0
	if u.fails(sc) {
		code = 1
	}
	add(history.Event{Kind: history.CommandRan, Service: "worker-2", Text: "verify", Code: &code})
	return h
}

const exploring = "explore scenarios/normal.yaml --target worker-2 "

func (u *explorer) explores(code int, flags string) {
	u.Helper()
	u.wants(code, strings.Fields(exploring+flags)...)
}

func campaignIn(t *testing.T, folder string) *report.Campaign {
	t.Helper()
	campaign, err := report.LoadCampaign(folder)
	if err != nil {
		t.Fatal(err)
	}
	return campaign
}

func TestExplore(t *testing.T) {
	u := newExplorer(t)
	u.explores(exitPassed, "--report campaign --parallel 2 --json all.json --junit all.xml --html all.html")
	if !strings.Contains(u.out.String(), "20 crash points, 20 survived, 0 inconclusive") {
		t.Errorf("stdout: %s", u.out)
	}
	for _, file := range []string{"all.json", "all.xml", "all.html", "campaign/campaign.json", "campaign/outcomes.txt", "campaign/journal.jsonl"} {
		if info, err := os.Stat(file); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
	if campaign := campaignIn(t, "campaign"); campaign.Totals.Passed != 20 || campaign.ExitCode != exitPassed || campaign.Seed != "1" {
		t.Errorf("%+v", campaign)
	}
	if len(u.lanes) != 2 || u.closed != 2 || u.terminalUser.closed != 1 {
		t.Errorf("%d lanes, %d closed, %d machines closed", len(u.lanes), u.closed, u.terminalUser.closed)
	}
	for _, lane := range u.lanes {
		if lane.Way != explore.KillProcess || lane.Target != "worker-2" || lane.Scenario.Env["STEADY"] != "1" {
			t.Errorf("a lane %s in %s with %v", lane.Way, lane.Target, lane.Scenario.Env)
		}
	}
	if !strings.Contains(u.err.String(), "the exit code of worker-2 left out") {
		t.Errorf("stderr: %s", u.err)
	}
	for line := range strings.Lines(u.err.String()) {
		if strings.HasPrefix(line, "{") && !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

func TestExploreFindsAndMakesSmaller(t *testing.T) {
	u := newExplorer(t)
	u.fails = func(sc *scenario.Scenario) bool {
		return len(sc.Faults) > 0 && sc.Faults[0].When.Keep != "" && sc.Env["LINES"] != "1"
	}
	u.explores(exitFailed, "--report campaign --kill container --seed 3")
	campaign := campaignIn(t, "campaign")
	const point = "worker-2:write:/data/lines:1:+1"
	command := "killpoint replay " + point + " --scenario scenarios/normal.yaml --env LINES=2"
	if campaign.Totals.Failed != 4 || campaign.Smallest == nil || campaign.Smallest.Replay != command || campaign.Replay != "killpoint explore scenarios/normal.yaml --target worker-2 --kill container --seed 3" {
		t.Fatalf("%+v, %+v, %s", campaign.Totals, campaign.Smallest, campaign.Replay)
	}
	if !strings.Contains(u.out.String(), command) {
		t.Errorf("stdout: %s", u.out)
	}
	confirmed := campaign.Points[slices.IndexFunc(campaign.Points, func(p report.CrashPoint) bool { return p.Point == point })]
	if !confirmed.Confirmed || !report.IsSaved(filepath.Join("campaign", confirmed.Report)) {
		t.Errorf("%+v", confirmed)
	}

	// What it printed can be pasted, and so can what it kept.
	var ran *scenario.Scenario
	u.world.open = func(_ context.Context, options run.Options) (suite.Runner, error) {
		u.options = options
		return replaying{u, &ran}, nil
	}
	for _, replay := range []string{command, "killpoint replay campaign", "killpoint replay campaign/" + confirmed.Report + " --env LINES=2", "killpoint replay campaign/runs/smallest"} {
		ran = nil
		u.out.text.Reset()
		u.wants(exitFailed, strings.Fields(replay)[1:]...)
		if ran == nil || len(ran.Faults) != 1 || ran.Faults[0].Point().String() != point || ran.Env["LINES"] != "2" || ran.Env["STEADY"] != "1" || !ran.Idle || len(ran.Expect.Exits) != 0 {
			t.Errorf("%s ran %+v", replay, ran)
		}
		if !strings.Contains(u.out.String(), "  replay   killpoint replay ") {
			t.Errorf("%s shows %s", replay, u.out)
		}
	}
	if ran.Chain != nil {
		t.Errorf("ran in a chain: %+v", ran.Chain)
	}
	u.write("scenarios/chain.yaml", "system: ../compose.yaml\nenv: {LINES: 4}\nexpect:\n  run: [{service: worker-2, command: [verify]}]\nx-killpoint:\n  rows:\n    sent: {service: worker-3, file: /sent}\n    output: {service: worker-2, files: /data/*}\n  done: {drained: [q]}\n  broker: {service: worker-3}\n")
	u.types("replay", "worker-2:write:/data/lines:3:+1:i2", "--scenario", "scenarios/chain.yaml", "--chain")
	if ran.Chain == nil || *ran.Chain != (scenario.Chain{Service: "worker-2", Units: 2}) {
		t.Errorf("ran %+v: %s", ran.Chain, u.err)
	}
	u.wants(exitUsage, "replay", "worker-2:write:/data/lines:3:+1", "--scenario", "scenarios/normal.yaml", "--chain")
	u.wants(exitFailed, "replay", "campaign", "--point", "worker-2:write:/data/lines:3:+1")
	if ran.Faults[0].Point().Occurrence != 3 || ran.Env["LINES"] != "4" {
		t.Errorf("ran %+v", ran)
	}
	u.wants(exitFailed, "replay", point, "worker-2:fsync:/data/lines:1:before:i2:lose-all", "--scenario", "scenarios/normal.yaml", "--batched", "--keep-logs")
	if len(ran.Faults) != 2 || ran.Faults[1].LoseUnsynced != "all" || ran.Env["STEADY"] != "" || len(ran.Expect.Exits) != 1 {
		t.Errorf("ran %+v", ran)
	}
}

// replaying runs a scenario as the worker does it.
type replaying struct {
	*explorer
	ran **scenario.Scenario
}

func (r replaying) Swept() []string             { return nil }
func (r replaying) Close(context.Context) error { return nil }

func (r replaying) Run(ctx context.Context, sc *scenario.Scenario, _ *system.System) *history.History {
	*r.ran = sc
	h := r.play(ctx, sc, false)
	h.Dir = filepath.Join(r.options.Dir, "run")
	return h
}

func TestReplayRefuses(t *testing.T) {
	u := newExplorer(t)
	u.explores(exitPassed, "--report good")
	for arguments, want := range map[string]string{
		"":                            "say what to replay",
		"worker-2:write:/x:1:+1":      "say which scenario the points are of",
		"worker-2:write:/x":           "read crash point",
		"worker-2:write:/x:1:+1:lose": "read crash point",
		"scenarios":                   "holds neither a campaign nor a run",
		"good":                        "nothing failed in it",
		"good good":                   "one folder at a time",
		"good --point x":              "read crash point",
		"a:write:/x:1:+1 --scenario scenarios/normal.yaml": "compose.yaml has no service a",
		"worker-2:write:/x:1:+1 --scenario none.yaml":      "none.yaml",
	} {
		u.err.text.Reset()
		if code := u.types(append([]string{"replay"}, strings.Fields(arguments)...)...); code != exitUsage || !strings.Contains(u.err.String(), want) {
			t.Errorf("replay %s: exit code %d, %s; want %s", arguments, code, u.err, want)
		}
	}
}

func TestExploreInParts(t *testing.T) {
	whole := newExplorer(t)
	whole.fails = func(sc *scenario.Scenario) bool { return len(sc.Faults) > 0 && sc.Faults[0].When.Keep != "" }
	whole.explores(exitFailed, "--report whole")
	for number := range 3 { // 0/3 is 3/3
		part := fmt.Sprintf("--report part-%d --shard %d/3", number+1, (number+1)%3)
		if code := whole.types(strings.Fields(exploring + part)...); code != exitFailed && code != exitPassed {
			t.Fatalf("part %d: exit code %d, %s", number, code, whole.err)
		}
	}
	whole.out.text.Reset()
	whole.wants(exitFailed, "report", "merge", "part-1", "part-2", "part-3", "--into", "merged", "--json", "merged.json")
	one, _ := os.ReadFile("whole/outcomes.txt")
	other, _ := os.ReadFile("merged/outcomes.txt")
	if len(one) == 0 || string(one) != string(other) {
		t.Errorf("the whole:\n%s\nmerged:\n%s", one, other)
	}
	merged := campaignIn(t, "merged.json")
	if merged.Totals != campaignIn(t, "whole").Totals || merged.Shard != "" || merged.Replay != "killpoint explore scenarios/normal.yaml --target worker-2 --model process-crash --seed 1" {
		t.Errorf("%+v, %s", merged.Totals, merged.Replay)
	}
	if !strings.Contains(whole.out.String(), "20 crash points, 16 survived, 4 failed") {
		t.Errorf("stdout: %s", whole.out)
	}
	whole.wants(exitUsage, "report", "merge", "part-1", "--into", "merged")
	whole.wants(exitUsage, "report", "merge", "part-1")
	whole.wants(exitUsage, "report", "merge", "scenarios", "--into", "x")
}

// TestExploreIsInterruptedAndGoesOn presses Ctrl-C during the eighth trial,
// which ends when the command knows of it.
func TestExploreIsInterruptedAndGoesOn(t *testing.T) {
	u := newExplorer(t)
	u.during = func(trial int) {
		if trial != 8 {
			return
		}
		u.interrupts <- os.Interrupt
		for !strings.Contains(u.err.String(), "interrupted: removing containers") {
			if t.Context().Err() != nil {
				return
			}
		}
	}
	u.explores(exitInterrupted, "--report campaign --parallel 1")
	if campaign := campaignIn(t, "campaign"); campaign.Totals.Passed != 5 || campaign.Totals.NotRun != 15 || campaign.Outcome != report.Interrupted {
		t.Errorf("%+v, %s", campaign.Totals, campaign.Outcome)
	}
	if !strings.Contains(u.err.String(), "go on with: killpoint explore scenarios/normal.yaml --target worker-2 --seed 1 --report campaign --resume") {
		t.Errorf("stderr: %s", u.err)
	}
	if u.closed != len(u.lanes) {
		t.Errorf("%d of %d lanes are closed", u.closed, len(u.lanes))
	}
	u.during = nil
	before := u.trials
	u.explores(exitPassed, "--report campaign --parallel 1 --resume")
	if campaign := campaignIn(t, "campaign"); campaign.Totals.Passed != 20 || u.trials-before != 15+explore.DefaultRecordings {
		t.Errorf("%+v after %d more trials", campaign.Totals, u.trials-before)
	}
	u.explores(exitUsage, "--report campaign")
	u.explores(exitUsage, "--report campaign --resume --seed 2")
}

func TestExploreLists(t *testing.T) {
	u := newExplorer(t)
	u.explores(exitPassed, "--list --max 7 --quiet")
	lines := strings.Split(strings.TrimSpace(u.out.String()), "\n")
	if len(lines) != 7 || u.trials != explore.DefaultRecordings {
		t.Errorf("%d trials, points %q", u.trials, lines)
	}
	for _, line := range lines {
		if _, err := scenario.ParsePoint(line); err != nil {
			t.Error(err)
		}
	}
}

func TestExploreWhatCannotStay(t *testing.T) {
	u := newExplorer(t)
	u.refuse = explore.KillProcess
	u.explores(exitPassed, "--max 3")
	if !strings.Contains(u.err.String(), "every run gets fresh containers, which takes longer: it writes to the host") || u.lanes[0].Way != explore.Fresh {
		t.Errorf("lanes %v, stderr: %s", u.lanes, u.err)
	}
	u.explores(exitBroken, "--max 3 --kill process")
}

func TestExploreRefuses(t *testing.T) {
	u := newExplorer(t)
	u.write("scenarios/hurt.yaml", "system: ../compose.yaml\nfaults: [{kill: worker-2, when: {after: 1s}}]\n")
	for arguments, want := range map[string]string{
		"explore": "say which scenario to explore", "explore scenarios/normal.yaml": "say which service to crash",
		exploring + "x.yaml":                                    "say which scenario to explore",
		exploring + "--model fire":                              "want process-crash or power-loss",
		exploring + "--kill all":                                "want process, container or fresh",
		exploring + "--depth 3":                                 "--depth 3",
		exploring + "--chain --depth 2":                         "leave --depth away",
		exploring + "--chain --batched":                         "has no rest",
		exploring + "--chain --keep-logs":                       "about a whole run",
		exploring + "--chain":                                   "x-killpoint has no rows.sent",
		"explore scenarios/hurt.yaml --target worker-2 --chain": "has faults of its own",
		exploring + "--shard -1/4":                              "--shard -1/4",
		exploring + "--shard 0/0":                               "--shard 0/0",
		exploring + "--fleet http://h/":                         "--fleet: read broker URL",
		exploring + "--fleet amqp://h/ --allow-external":        "--allow-external",
		exploring + "--shard 5/4":                               "--shard 5/4",
		exploring + "--shard x":                                 "--shard x",
		exploring + "--variants 1":                              "--variants 1",
		exploring + "--resume":                                  "name the campaign's folder",
		exploring + "--budget -1s":                              "must not be negative",
		exploring + "--max -1":                                  "--max -1",
		exploring + "--env X":                                   "want NAME=VALUE",
		exploring + "--json - --junit -":                        "stdout",
		"explore scenarios/none.yaml --target worker-2":         "none.yaml",
		"explore scenarios/normal.yaml --target worker":         "has no such service (it has worker-2, worker-3)",
	} {
		u.err.text.Reset()
		if code := u.types(strings.Fields(arguments)...); code != exitUsage || !strings.Contains(u.err.String(), want) {
			t.Errorf("%s: exit code %d, %s; want %s", arguments, code, u.err, want)
		}
	}
	if u.trials != 0 {
		t.Error("something was started")
	}
}

// TestExploreOfASystemThatFails tells what an undisturbed run found.
func TestExploreOfASystemThatFails(t *testing.T) {
	u := newExplorer(t)
	u.fails = func(*scenario.Scenario) bool { return true }
	u.explores(exitFailed, "")
	if !strings.Contains(u.err.String(), "the undisturbed run does not pass") || !strings.Contains(u.err.String(), "exited with code 1") {
		t.Errorf("stderr: %s", u.err)
	}
}
