package explore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/report"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// watched keeps what a campaign tells.
type watched struct {
	phases   []string
	notes    []string
	summary  Summary
	progress Progress
	outcome  func(Progress)
}

func (w *watched) Phase(text string)       { w.phases = append(w.phases, text) }
func (w *watched) Note(text string)        { w.notes = append(w.notes, text) }
func (w *watched) Planned(summary Summary) { w.summary = summary }
func (w *watched) Outcome(_ Outcome, progress Progress) {
	w.progress = progress
	if w.outcome != nil {
		w.outcome(progress)
	}
}

// bench is a campaign of a subject, ready to be run.
type bench struct {
	*testing.T
	subject *subject
	options Options
	watched *watched
	kept    []string // folders of saved runs
	env     []map[string]string
}

func newBench(t *testing.T, s *subject, settings Settings) *bench {
	t.Helper()
	b := &bench{T: t, subject: s, watched: &watched{}}
	settings.Scenario, settings.File, settings.Target = "normal", "scenarios/normal.yaml", s.name
	if settings.Model == "" {
		settings.Model = ProcessCrash
	}
	settings.Depth = max(settings.Depth, 1)
	b.options = Options{
		Settings: settings, Scenario: Settings{Target: s.name}.Undisturbed(scenarioOf(nil)), Folder: t.TempDir(), Watcher: b.watched,
		Keep: func(folder, _ string, _ *scenario.Scenario, _ *history.History, _ check.Verdict) error {
			b.kept = append(b.kept, folder)
			return os.MkdirAll(folder, 0o755)
		},
	}
	return b
}

// run explores with so many lanes, and gives the error of the campaign.
func (b *bench) run(ctx context.Context, lanes int) (*Campaign, error) {
	b.Helper()
	options := b.options
	c, err := Open(options)
	if err != nil {
		return nil, err
	}
	c.Worker = &Lanes{Runners: b.subject.runners(lanes), Trials: c.Trials()}
	if c.Afresh == nil {
		c.Afresh = func(_ context.Context, env map[string]string) (Runner, *scenario.Scenario, error) {
			b.env = append(b.env, env)
			return b.subject.runner(), c.Options.Scenario, nil
		}
	}
	return c, c.Run(ctx)
}

// must explores to the end and saves.
func (b *bench) must(lanes int) (*Campaign, *report.Campaign) {
	b.Helper()
	c, err := b.run(b.Context(), lanes)
	if err != nil {
		b.Fatal(err)
	}
	return c, b.document(c)
}

func (b *bench) document(c *Campaign) *report.Campaign {
	b.Helper()
	document, err := c.Document(Facts{Killpoint: "v0"})
	if err == nil {
		err = c.Save(document)
	}
	if err == nil {
		err = c.Close()
	}
	if err != nil {
		b.Fatal(err)
	}
	return document
}

func outcomesOf(t *testing.T, folder string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, outcomesFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// loses is a worker that loses a row when it is crashed between its publish
// and its ack, and when a torn state is left.
func loses(chunks int) *subject {
	s := worker(chunks)
	s.fails = func(crashes []string, _ int) bool {
		return slices.ContainsFunc(crashes, func(crash string) bool {
			return strings.Contains(crash, ":amqp-publish:") && strings.HasSuffix(crash, ":after") || strings.Contains(crash, "/data/state.tmp:2:+1")
		})
	}
	return s
}

func TestCampaignOfAGoodWorker(t *testing.T) {
	b := newBench(t, worker(4), Settings{})
	_, document := b.must(2)
	want := report.PointTotals{Points: 84, Passed: 84}
	if document.Totals != want || document.Outcome != report.Passed || document.Smallest != nil || document.Recorded != 28 || len(b.env) != 0 {
		t.Errorf("%+v of %d recorded operations", document.Totals, document.Recorded)
	}
	if s := b.watched.summary; s.Points != 84 || s.Chosen != 84 || s.Operations != 28 || s.Kinds["write"] != 52 {
		t.Errorf("planned %+v", s)
	}
	if p := b.watched.progress; p.Done != 84 || p.Total != 84 || p.Session != 84 {
		t.Errorf("progress %+v", p)
	}
	if lines := strings.Count(outcomesOf(t, b.options.Folder), "\tsurvived\n"); lines != 84 {
		t.Errorf("%d lines of outcomes", lines)
	}
	for i := range document.Points {
		point := &document.Points[i]
		sequence, err := scenario.ParseSequence(point.Point)
		if err != nil || len(sequence) != 1 || point.Attempts != 1 || point.Hash == "" || point.Index == 0 {
			t.Errorf("%+v, %v", point, err)
		}
		if i > 0 && document.Points[i-1].Index > point.Index {
			t.Error("points are not in the order of the recording")
		}
	}
}

func TestCampaignOfABadWorker(t *testing.T) {
	b := newBench(t, loses(4), Settings{})
	c, document := b.must(2)
	if document.Totals.Failed != 5 || document.Totals.Passed != 79 || document.Outcome != report.Failed {
		t.Errorf("%+v", document.Totals)
	}
	const first = "worker-2:amqp-publish:queue-2-3:1:after"
	if document.Smallest == nil || document.Smallest.Point != first || document.Smallest.Replay != "killpoint replay "+first+" --scenario scenarios/normal.yaml" {
		t.Errorf("smallest %+v", document.Smallest)
	}
	// Two kinds of failure are confirmed, each at its first point.
	confirmed := map[string]string{}
	for _, point := range document.Points {
		if point.Confirmed {
			confirmed[point.Point] = point.Report
		}
		if point.Outcome == report.Failed && (point.Replay == "" || len(point.Findings) != 1 || point.Failures != point.Attempts) {
			t.Errorf("%+v", point)
		}
	}
	if len(confirmed) != 2 || confirmed[first] == "" || confirmed["worker-2:write:/data/state.tmp:2:+1"] == "" {
		t.Errorf("confirmed %v", confirmed)
	}
	if len(c.confirmations) != 2 || c.confirmations[first].Attempts != 1 {
		t.Errorf("confirmations %+v", c.confirmations)
	}
}

// TestFailFast holds that one failure ends a campaign that asks for no more, in
// a later session too, and that what it found is left as it was found.
func TestFailFast(t *testing.T) {
	b := newBench(t, loses(4), Settings{Depth: 2})
	b.options.FailFast, b.options.AsFound = true, true
	c, document := b.must(1)
	if document.Totals.Failed != 1 || document.Totals.NotRun == 0 || document.Outcome != report.Failed {
		t.Errorf("%+v", document.Totals)
	}
	if document.Smallest != nil || len(c.confirmations) != 1 || len(c.legs) != 1 {
		t.Errorf("smallest %+v, confirmed %v, %d legs", document.Smallest, c.confirmations, len(c.legs))
	}
	b.options.Resume = true
	_, again := b.must(1)
	if again.Totals != document.Totals {
		t.Errorf("resumed: %+v, want %+v", again.Totals, document.Totals)
	}
	b.options.FailFast = false
	if _, whole := b.must(1); whole.Totals.NotRun != 0 || whole.Totals.Failed < 5 {
		t.Errorf("gone on with: %+v", whole.Totals)
	}
}

// TestTheSameSeedGivesTheSameCampaign compares two campaigns as users do.
func TestTheSameSeedGivesTheSameCampaign(t *testing.T) {
	for _, settings := range []Settings{
		{Seed: 3}, {Seed: 3, Most: 20}, {Seed: 3, Model: PowerLoss, Variants: 3, Most: 40}, {Seed: 3, Depth: 2, Pairs: 12},
	} {
		one, two := newBench(t, loses(3), settings), newBench(t, loses(3), settings)
		one.must(1)
		two.must(3)
		if difference := cmp.Diff(outcomesOf(t, one.options.Folder), outcomesOf(t, two.options.Folder)); difference != "" {
			t.Errorf("%+v: %s", settings, difference)
		}
	}
	one, two := newBench(t, loses(3), Settings{Seed: 3, Most: 20}), newBench(t, loses(3), Settings{Seed: 4, Most: 20})
	one.must(1)
	two.must(1)
	if outcomesOf(t, one.options.Folder) == outcomesOf(t, two.options.Folder) {
		t.Error("another seed chooses the same points")
	}
}

func TestMostIsSpreadOverKinds(t *testing.T) {
	b := newBench(t, worker(10), Settings{Most: 15})
	_, document := b.must(2)
	kinds := map[string]int{}
	for _, point := range document.Points {
		kinds[point.Operation+point.Timing]++
	}
	// write before, during, after; before and after of fsync, rename, publish, ack
	if document.Totals.Points != 15 || len(kinds) != 11 {
		t.Errorf("15 points are of %v", kinds)
	}
}

// TestShardsMergeIntoTheCampaign runs four shards and compares the whole.
func TestShardsMergeIntoTheCampaign(t *testing.T) {
	for _, settings := range []Settings{{}, {Most: 30}, {Model: PowerLoss, Variants: 4}, {Depth: 2, Pairs: 40}} {
		whole := newBench(t, loses(3), settings)
		_, document := whole.must(2)
		var folders []string
		points := 0
		for number := range 4 {
			settings.Shard = Shard{number + 1, 4}
			part := newBench(t, loses(3), settings)
			_, document := part.must(1)
			points += document.Totals.Points
			folders = append(folders, part.options.Folder)
		}
		merged, err := MergeFolders(filepath.Join(t.TempDir(), "whole"), folders)
		if err != nil {
			t.Fatal(err)
		}
		joined := whole.document(merged)
		if difference := cmp.Diff(outcomesOf(t, whole.options.Folder), outcomesOf(t, merged.Folder)); difference != "" {
			t.Errorf("%+v: %s", settings, difference)
		}
		if joined.Totals != document.Totals || points != document.Totals.Points || joined.Shard != "" || joined.Outcome != document.Outcome {
			t.Errorf("merged %+v of %d points, whole %+v", joined.Totals, points, document.Totals)
		}
		if joined.Smallest == nil || joined.Smallest.Point != document.Smallest.Point {
			t.Errorf("smallest %+v, of the whole %+v", joined.Smallest, document.Smallest)
		}
		for _, point := range joined.Points {
			if point.Report == "" {
				continue
			}
			if info, err := os.Stat(filepath.Join(merged.Folder, point.Report)); err != nil || !info.IsDir() {
				t.Errorf("the run of %s was not taken over: %v", point.Point, err)
			}
		}
	}
}

func TestMergeRefusesOtherCampaigns(t *testing.T) {
	one := newBench(t, worker(2), Settings{Shard: Shard{1, 2}})
	one.must(1)
	for name, other := range map[string]*bench{
		"Seed is 1":        newBench(t, worker(2), Settings{Shard: Shard{2, 2}, Seed: 1}),
		"more are in some": newBench(t, worker(3), Settings{Shard: Shard{2, 2}}),
		"the scenario says something": func() *bench {
			b := newBench(t, worker(2), Settings{Shard: Shard{2, 2}})
			b.options.Scenario.Timeout = 1
			return b
		}(),
	} {
		other.must(1)
		if _, err := MergeFolders(filepath.Join(t.TempDir(), "x"), []string{other.options.Folder, one.options.Folder}); !errors.Is(err, ErrNoWhole) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := MergeFolders(one.options.Folder, []string{one.options.Folder}); !errors.Is(err, ErrOtherCampaign) {
		t.Errorf("merged into a campaign: %v", err)
	}
	if _, err := MergeFolders(t.TempDir(), []string{t.TempDir()}); err == nil {
		t.Error("merged a folder that holds nothing")
	}
	if _, err := MergeFolders(t.TempDir(), nil); err == nil {
		t.Error("merged nothing")
	}
}

// TestResume ends a campaign in the middle, cuts the last line of its journal,
// and goes on.
func TestResume(t *testing.T) {
	whole := newBench(t, loses(3), Settings{Seed: 1})
	whole.must(1)
	b := newBench(t, loses(3), Settings{Seed: 1})
	ctx, interrupt := context.WithCancel(t.Context())
	b.watched.outcome = func(progress Progress) {
		if progress.Done == 20 {
			interrupt()
		}
	}
	c, err := b.run(ctx, 1)
	if !errors.Is(err, context.Canceled) || c.progress.Done != 20 {
		t.Fatalf("%v after %d points", err, c.progress.Done)
	}
	document, err := c.Document(Facts{Outcome: report.Interrupted})
	if err != nil || document.Totals.NotRun != document.Totals.Points-20 || document.Outcome != report.Interrupted {
		t.Errorf("%+v, %v", document.Totals, err)
	}
	c.Close()

	journal := filepath.Join(b.options.Folder, journalFile)
	text, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	// What stands behind the outcomes is the session; cut into the last outcome.
	lines := strings.SplitAfter(string(text), "\n")
	torn := strings.Join(lines[:19], "") + lines[19][:len(lines[19])/2]
	if err := os.WriteFile(journal, []byte(torn), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := b.run(t.Context(), 1); !errors.Is(err, ErrOtherCampaign) {
		t.Errorf("a campaign was begun over another: %v", err)
	}

	b.options.Resume = true
	b.watched.outcome = nil
	before := b.subject.count()
	resumed, document := b.must(1)
	if b.watched.summary.Resumed != 19 || document.Totals.NotRun != 0 || resumed.progress.Session != document.Totals.Points-19 {
		t.Errorf("resumed %d, %+v, %d in this session", b.watched.summary.Resumed, document.Totals, resumed.progress.Session)
	}
	if difference := cmp.Diff(outcomesOf(t, whole.options.Folder), outcomesOf(t, b.options.Folder)); difference != "" {
		t.Error(difference)
	}
	before, again := b.subject.count(), before
	if _, document := b.must(1); document.Totals.NotRun != 0 || b.subject.count()-before != DefaultRecordings {
		t.Errorf("a campaign that was done ran %d trials, after %d", b.subject.count()-before, before-again)
	}
}

func TestResumeRefusesAnotherSystem(t *testing.T) {
	b := newBench(t, worker(2), Settings{})
	b.must(1)
	b.options.Resume = true
	b.subject.life = worker(3).life
	if _, err := b.run(t.Context(), 1); !errors.Is(err, ErrChanged) {
		t.Errorf("went on with another system: %v", err)
	}
	b.options.Settings.Seed = 9
	if _, err := b.run(t.Context(), 1); !errors.Is(err, ErrOtherCampaign) || !strings.Contains(err.Error(), "Seed is 9, and was not set") {
		t.Errorf("went on with another seed: %v", err)
	}
}

func TestBrokenPointsAreRunAgainOnResume(t *testing.T) {
	b := newBench(t, worker(1), Settings{})
	b.subject.breaks = func(number int) bool { return number >= 5 && number < 8 }
	_, document := b.must(1)
	if document.Totals.Broken != 1 || document.Outcome != report.Broken {
		t.Errorf("%+v", document.Totals)
	}
	b.options.Resume, b.subject.breaks = true, nil
	if _, document := b.must(1); document.Totals.Broken != 0 || document.Totals.Passed != document.Totals.Points {
		t.Errorf("%+v", document.Totals)
	}
}

func TestAnUndisturbedRunThatFails(t *testing.T) {
	b := newBench(t, worker(1), Settings{})
	b.subject.fails = func([]string, int) bool { return true }
	_, err := b.run(t.Context(), 1)
	if !errors.Is(err, ErrUndisturbed) || !strings.Contains(err.Error(), "violated: command \"verify\" in worker-2 exited with code 1") {
		t.Errorf("%v", err)
	}
	if got := b.subject.count(); got != DefaultRepeat {
		t.Errorf("it was run %d times: what fails each of %d times need not be recorded again", got, DefaultRepeat)
	}
	b = newBench(t, worker(1), Settings{})
	b.subject.life = func(int, []string, int) []history.Point { return []history.Point{read("/etc/hosts", 0, 1)} }
	if _, err := b.run(t.Context(), 1); !errors.Is(err, ErrNoPoints) {
		t.Errorf("%v", err)
	}
}

// TestDivergenceIsReportedApart explores a worker of which one write is of
// another size in each run.
func TestDivergenceIsReportedApart(t *testing.T) {
	s := worker(3)
	steady := s.life
	s.life = func(life int, before []string, number int) []history.Point {
		operations := steady(life, before, number)
		if life == 1 {
			operations[7].Size += int64(number)
		}
		return operations
	}
	b := newBench(t, s, Settings{})
	_, document := b.must(1)
	if document.Totals.Diverged != 5 || document.Totals.Inconclusive != 0 || document.Outcome != report.Passed {
		t.Errorf("%+v, %s", document.Totals, document.Outcome)
	}
	if !strings.HasPrefix(document.Note, "1 operation differs between 2 recordings; the first: write 2 of /data/rows.csv") {
		t.Errorf("note %q", document.Note)
	}
	if b.watched.progress.Diverged != 5 {
		t.Errorf("progress %+v", b.watched.progress)
	}
}

// TestAlikeRecordingsOfWhatVaries explores a worker whose runs are alike while
// they are recorded, and not later.
func TestAlikeRecordingsOfWhatVaries(t *testing.T) {
	s := worker(3)
	steady := s.life
	s.life = func(life int, before []string, number int) []history.Point {
		operations := steady(life, before, number)
		if life == 1 && number >= DefaultRecordings {
			operations[7].Size++
		}
		return operations
	}
	for batched, want := range map[bool]report.PointTotals{true: {Diverged: 5}, false: {Inconclusive: 5}} {
		b := newBench(t, s, Settings{Batched: batched})
		s.trials = 0
		_, document := b.must(1)
		if got := document.Totals; got.Diverged != want.Diverged || got.Inconclusive != want.Inconclusive {
			t.Errorf("batched %t: %+v", batched, got)
		}
		divergent := 0
		for _, point := range document.Points {
			if point.Divergent {
				divergent++
			}
		}
		if divergent != want.Diverged {
			t.Errorf("batched %t: %d points are divergent, want %d", batched, divergent, want.Diverged)
		}
	}
}

func TestCrashesDuringRecovery(t *testing.T) {
	s := worker(3)
	s.fails = func(crashes []string, _ int) bool {
		return slices.ContainsFunc(crashes, func(crash string) bool { return strings.Contains(crash, ":read:/data/state:1:after:i2") })
	}
	b := newBench(t, s, Settings{Depth: 2, Pairs: 40})
	_, document := b.must(2)
	second, failed := 0, 0
	for _, point := range document.Points {
		if len(point.After) == 0 {
			continue
		}
		second++
		if point.Incarnation != 2 || !strings.HasPrefix(point.Point, point.After[0]+then) {
			t.Errorf("%+v", point)
		}
		if point.Outcome == report.Failed {
			failed++
		}
	}
	if second != 40 || failed == 0 || failed != document.Totals.Failed {
		t.Errorf("%d points in recoveries, %d of them failed; %+v", second, failed, document.Totals)
	}
	if document.Smallest == nil || !strings.HasPrefix(document.Smallest.Text, "2 crashes") {
		t.Errorf("smallest %+v", document.Smallest)
	}
	if b.watched.progress.Done != document.Totals.Points || b.watched.progress.Total != document.Totals.Points {
		t.Errorf("progress %+v", b.watched.progress)
	}
	// A recovery is recorded once, also when the campaign is gone on with.
	b.options.Resume = true
	before := b.subject.count()
	if _, again := b.must(1); b.subject.count()-before != DefaultRecordings || again.Totals != document.Totals {
		t.Errorf("%d trials, %+v", b.subject.count()-before, again.Totals)
	}
}

func TestBudget(t *testing.T) {
	b := newBench(t, worker(5), Settings{Depth: 2, Pairs: 20})
	var passed atomic.Int64 // seconds
	b.options.Now = func() time.Time { return time.Unix(1_700_000_000+passed.Load(), 0) }
	b.options.Budget = 30 * time.Second
	b.watched.outcome = func(Progress) { passed.Add(1) }
	_, document := b.must(1)
	second := 0
	for _, point := range document.Points {
		if len(point.After) > 0 && point.Outcome == report.Passed {
			second++
		}
	}
	// Two thirds for the first points; items may be on their way.
	if first := document.Totals.Passed - second; first < 20 || first > 21 || second < 9 || second > 11 || document.Totals.NotRun == 0 {
		t.Errorf("%d points and %d in recoveries; %+v", first, second, document.Totals)
	}
	if document.Outcome != report.Passed || b.watched.phases[0] != "recording worker-2 undisturbed" {
		t.Errorf("%s after %v", document.Outcome, b.watched.phases)
	}
}

// TestMinimise holds that the least that still fails is found: an earlier call
// than the campaign ran, the smallest tear, the least work.
func TestMinimise(t *testing.T) {
	s := worker(30)
	// A state that is torn behind its first byte is bad, from the third on.
	s.life = func(life int, before []string, _ int) []history.Point {
		var all []history.Point
		for chunk := range 30 {
			all = append(all, write("/data/rows.csv", int64(100*chunk), 100, fmt.Sprint(chunk)))
		}
		return all
	}
	s.fails = func(crashes []string, _ int) bool {
		if len(crashes) != 1 {
			return false
		}
		point, err := scenario.ParsePoint(crashes[0])
		if err != nil {
			t.Error(err)
		}
		kept := map[string]bool{"0": true, "1": true, "2": true, "": true}
		return point.Occurrence >= 3 && !kept[point.Keep] && point.Keep != "99"
	}
	b := newBench(t, s, Settings{Seed: 5, Most: 12})
	b.options.Scenario.Facts = &scenario.Facts{Explore: &scenario.Explore{Shrink: "NUM_CHUNKS"}}
	b.options.Work = map[string]int{"NUM_CHUNKS": 30}
	var asked []string
	b.options.Afresh = func(_ context.Context, env map[string]string) (Runner, *scenario.Scenario, error) {
		asked = append(asked, env["NUM_CHUNKS"])
		small := &subject{name: s.name, life: s.life, fails: s.fails}
		if env["NUM_CHUNKS"] == "1" || env["NUM_CHUNKS"] == "2" {
			small.life = func(int, []string, int) []history.Point { return []history.Point{write("/data/rows.csv", 0, 100, "")} }
		}
		return small.runner(), b.options.Scenario, nil
	}
	c, document := b.must(2)
	smallest := document.Smallest
	if smallest == nil {
		t.Fatalf("none found: %+v", document.Totals)
	}
	if !strings.HasSuffix(smallest.Point, ":+3") || !strings.Contains(smallest.Text, "3 bytes kept instead of 50 bytes") || !strings.Contains(smallest.Text, "NUM_CHUNKS=3 instead of 30") {
		t.Errorf("smallest %+v", smallest)
	}
	if point, err := scenario.ParsePoint(smallest.Point); err != nil || point.Occurrence != 3 {
		t.Errorf("the first call at which it fails is %+v, %v", point, err)
	}
	if want := []string{"", "1", "2", "3"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	if smallest.Replay != "killpoint replay "+smallest.Point+" --scenario scenarios/normal.yaml --env NUM_CHUNKS=3" {
		t.Error(smallest.Replay)
	}
	if !c.smallest.Confirmed || c.smallest.Trials > earlierLimit*3+tearLimit*3+shrinkLimit {
		t.Errorf("%+v", c.smallest)
	}
}

func TestAFailureThatIsNotConfirmed(t *testing.T) {
	s := loses(2)
	in := s.fails
	b := newBench(t, s, Settings{})
	var mu sync.Mutex
	afresh := false
	s.fails = func(crashes []string, number int) bool {
		mu.Lock()
		defer mu.Unlock()
		return !afresh && in(crashes, number)
	}
	b.options.Afresh = func(context.Context, map[string]string) (Runner, *scenario.Scenario, error) {
		mu.Lock()
		defer mu.Unlock()
		afresh = true
		return s.runner(), b.options.Scenario, nil
	}
	_, document := b.must(1)
	for _, point := range document.Points {
		if point.Point != "worker-2:amqp-publish:queue-2-3:1:after" {
			continue
		}
		if point.Outcome != report.Failed || point.Confirmed || point.Failures != 3 || point.Attempts != 6 || !point.Unconfirmed() {
			t.Errorf("%+v", point)
		}
	}
	if document.Outcome != report.Failed || document.Totals.Unconfirmed != 2 {
		t.Errorf("%s, %+v", document.Outcome, document.Totals)
	}
}

func TestAnEngineThatGoesAwayEndsTheCampaign(t *testing.T) {
	b := newBench(t, worker(9), Settings{})
	b.subject.breaks = func(number int) bool { return number > 9 }
	c, err := b.run(t.Context(), 2)
	if !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	document := b.document(c)
	if document.Outcome != report.Broken || document.Totals.NotRun == 0 || !strings.Contains(strings.Join(document.Trouble, " "), "the engine went away") {
		t.Errorf("%s, %+v, %v", document.Outcome, document.Totals, document.Trouble)
	}
}

// A campaign is the same one when it is gone on with, and no other.
func TestIdentity(t *testing.T) {
	identity := func(c *Campaign, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		text, err := c.Identity()
		if err = errors.Join(err, c.Close()); err != nil || text == "" {
			t.Fatal(text, err)
		}
		return text
	}
	b := newBench(t, worker(2), Settings{})
	first := identity(b.run(t.Context(), 1))
	b.options.Resume = true
	if again := identity(b.run(t.Context(), 1)); again != first {
		t.Errorf("gone on with, it is %s, not %s", again, first)
	}
	other := newBench(t, worker(2), Settings{Seed: 2})
	if another := identity(other.run(t.Context(), 1)); another == first {
		t.Error("another campaign is the same")
	}
}
