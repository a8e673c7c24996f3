package explore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// Options say how a campaign is run.
type Options struct {
	Settings
	// Scenario is the undisturbed one; see Undisturbed.
	Scenario  *scenario.Scenario
	Collected []string // see Collected
	// Worker runs the items.
	Worker Worker
	// Folder is where the campaign is kept. It exists.
	Folder string
	// Resume goes on with the campaign that is in the folder.
	Resume bool
	// Recordings is how often the undisturbed run is recorded; 0: 2.
	Recordings int
	// Budget is how long points are run, at most; 0: as long as it takes. What
	// comes before and after them is not cut short.
	Budget time.Duration
	// FailFast begins no further point once one has failed.
	FailFast bool
	// FullTimeout gives every trial as long as the scenario says. Otherwise it
	// is given ten times as long as an undisturbed one took, and failures are
	// confirmed with the full time.
	FullTimeout bool
	// Afresh prepares to run the scenario with some variables set in fresh
	// containers, to confirm failures and to make them smaller; nil: neither
	// is done.
	Afresh func(ctx context.Context, env map[string]string) (Runner, *scenario.Scenario, error)
	// Work says of the variables that make the work smaller how much there is.
	Work map[string]int
	// Confirm is how many failures are confirmed, of different kinds; 0: 3.
	Confirm int
	// AsFound leaves failures as they were found and looks for no smaller one.
	AsFound bool
	// Keep saves a run in fresh containers that failed into a folder, with the
	// command that runs it again.
	Keep func(folder, replay string, sc *scenario.Scenario, h *history.History, verdict check.Verdict) error
	// Judge says what a history proves; nil: check.Judge.
	Judge   func(*scenario.Scenario, *history.History) check.Verdict
	Watcher Watcher
	Now     func() time.Time // nil: time.Now
}

// Watcher is told what happens, one thing at a time.
type Watcher interface {
	// Phase says what is done next.
	Phase(text string)
	// Planned says which points there are and will be run.
	Planned(summary Summary)
	// Outcome tells what came of a point, and how far the campaign is.
	Outcome(outcome Outcome, progress Progress)
	// Note is something that the reader must know.
	Note(text string)
}

// Summary is what a campaign is going to do.
type Summary struct {
	Operations int
	Points     int            // of all of them
	Kinds      map[string]int // points by operation
	Possible   int            // points there would be with every power-loss variant
	Chosen     int            // that this campaign, or this shard of it, runs
	Resumed    int            // of those that were run before
	Left       []string       // what was recorded and is no point
	Divergence Divergence
}

// Progress is how far a campaign is.
type Progress struct {
	Done, Total  int // points
	Failed       int
	Inconclusive int // and broken
	Diverged     int
	Session      int           // of Done, that were run in this session
	Took         time.Duration // of this session, for points
}

// The campaign's own errors.
var (
	// ErrUndisturbed says that the system does not pass without any crash:
	// what it does with one would prove nothing.
	ErrUndisturbed = errors.New("the undisturbed run does not pass")
	// ErrChanged says that a campaign cannot be gone on with, since what it
	// explores is not the same any more.
	ErrChanged = errors.New("the system is not what it was when the campaign began")
)

// Campaign is one exploration of one service, on its way.
type Campaign struct {
	Options
	trials   *Trials
	journal  *Journal
	saved    *saved
	legs     []*leg // the first is of the undisturbed run, the others of recoveries
	places   map[uint64]place
	progress Progress
	began    time.Time
	earlier  float64 // seconds of earlier sessions
	deadline time.Time

	recoveries    map[string]*Recovery // from the journal
	confirmations map[string]Confirmation
	smallest      *Smallest
	trouble       []string
	warnings      []string
}

// leg is the points of one recording that a campaign runs, and what came of
// them. It is kept small.
type leg struct {
	plan    *Plan
	chosen  []int
	results []result
}

// result is what came of one point. What is not here is in the journal.
type result struct {
	status   uint8 // place in statuses; 0: not run
	failures uint8
	attempts uint8
	seconds  float32
	at       int64 // in the journal
}

var statuses = []Status{"", Survived, Failed, Inconclusive, Diverged, Broken}

func (r result) Status() Status { return statuses[r.status] }

// place is where the result of a point is.
type place struct{ leg, number int32 }

// Open prepares a campaign: it makes its folder, or reads what is there.
func Open(options Options) (*Campaign, error) {
	c := &Campaign{
		Options: options, places: map[uint64]place{},
		recoveries: map[string]*Recovery{}, confirmations: map[string]Confirmation{},
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Recordings == 0 {
		c.Recordings = DefaultRecordings
	}
	if c.Confirm == 0 {
		c.Confirm = DefaultConfirm
	}
	c.trials = &Trials{Scenario: c.Scenario, Target: c.Target, Judge: c.Judge}
	content, err := contentOf(c.Scenario)
	if err != nil {
		return nil, err
	}
	c.saved = &saved{Started: c.Now().UTC().Truncate(time.Millisecond), Settings: c.Settings, Collected: c.Collected, Content: content}
	if IsCampaign(c.Folder) && !c.Resume {
		return nil, fmt.Errorf("%w: %s: go on with it by --resume, or name another folder", ErrOtherCampaign, c.Folder)
	}
	if !c.Resume {
		err := os.RemoveAll(filepath.Join(c.Folder, journalFile)) // of one that recorded nothing
		return c, err
	}
	found, err := load(c.Folder)
	switch {
	case err != nil:
		return nil, err
	case found == nil:
		return c, nil // it was ended before it had begun
	}
	if difference := c.Settings.differs(found.Settings); difference != "" {
		return nil, fmt.Errorf("%w: %s: %s", ErrOtherCampaign, c.Folder, difference)
	}
	if found.Content != content {
		return nil, fmt.Errorf("%w: scenario %s says something else", ErrChanged, c.Settings.Scenario)
	}
	c.saved = found
	return c, nil
}

// Bounds of a campaign.
const (
	DefaultRecordings = 2
	DefaultConfirm    = 3
	DefaultVariants   = 4
	DefaultPairs      = 200
)

// Prepare records and plans, and runs nothing.
func (c *Campaign) Prepare(ctx context.Context) error {
	if err := c.record(ctx); err != nil {
		return err
	}
	if err := c.open(); err != nil {
		return err
	}
	c.Watcher.Planned(c.summary())
	return nil
}

// HasPoints says whether the campaign has come so far that it knows its points.
func (c *Campaign) HasPoints() bool { return len(c.legs) > 0 }

// Points gives the points that are run, in the order of the recording, those
// of recoveries last, where they are known.
func (c *Campaign) Points() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, one := range c.legs {
			for _, i := range one.inOrder() {
				if !yield(one.plan.Text(one.chosen[i])) {
					return
				}
			}
		}
	}
}

// Knows says whether the campaign tells of that trouble itself.
func (c *Campaign) Knows(trouble error) bool {
	return slices.Contains(c.trouble, trouble.Error())
}

func (c *Campaign) summary() Summary {
	first := c.legs[0]
	return Summary{
		Operations: len(c.saved.Recording.Operations), Points: first.plan.Len(), Kinds: first.plan.Kinds(), Possible: first.plan.Possible,
		Chosen: len(first.chosen), Resumed: c.progress.Done, Left: first.plan.Left(), Divergence: c.saved.Diverge,
	}
}

// Run explores. Whatever happens, what was done up to then is in the folder.
// The error is the reason why it could not be finished: trouble, or one of the
// campaign's own.
func (c *Campaign) Run(ctx context.Context) (err error) {
	c.began = c.Now()
	if err := c.record(ctx); err != nil {
		return err
	}
	if err := c.open(); err != nil {
		return err
	}
	defer func() {
		_, noted := c.journal.Add(Entry{Session: &Session{Seconds: c.Now().Sub(c.began).Seconds()}})
		err = errors.Join(err, noted)
	}()
	if err := c.explore(ctx); err != nil {
		c.trouble = append(c.trouble, err.Error())
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return c.settle(ctx)
}

// Identity tells the campaign from every other one by what it was planned
// from. It stays the same however often the campaign is gone on with, and is
// known once its points are.
func (c *Campaign) Identity() (string, error) {
	text, err := json.Marshal([]any{c.saved.Started, c.saved.Settings, c.saved.Content, c.saved.Recording})
	if err != nil {
		return "", fmt.Errorf("identify the campaign: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// Trials is how the campaign's items are run, for a worker on this machine.
func (c *Campaign) Trials() *Trials { return c.trials }

// Close closes the journal; the results cannot be read any more.
func (c *Campaign) Close() error {
	if c.journal == nil {
		return nil
	}
	return c.journal.Close()
}

// explore runs the points that are left, and then those of recoveries.
func (c *Campaign) explore(ctx context.Context) error {
	c.startClock()
	first := c.legs[0]
	c.Watcher.Planned(c.summary())
	c.progress.Total = len(first.chosen)
	if c.Depth > 1 {
		c.progress.Total += c.pairs() // as far as is known
	}
	c.Watcher.Phase("crashing " + c.Target)
	if err := c.runLegs(ctx, c.legs[:1], c.share()); err != nil || c.Depth < 2 || c.isDecided() {
		return err
	}
	return c.exploreRecoveries(ctx)
}

// startClock begins the time that a budget is about.
func (c *Campaign) startClock() {
	c.began = c.Now()
	if c.Budget > 0 {
		c.deadline = c.began.Add(c.Budget)
	}
}

// share is until when the first points are run: where crashes during recovery
// are to come as well, a third of the budget is theirs.
func (c *Campaign) share() time.Time {
	if c.Budget > 0 && c.Depth > 1 {
		return c.began.Add(c.Budget * 2 / 3)
	}
	return c.deadline
}

func (c *Campaign) isOver(deadline time.Time) bool {
	return !deadline.IsZero() && !c.Now().Before(deadline)
}

// record runs the system undisturbed a few times, with every operation of the
// target recorded, and takes what is the same in all of them.
func (c *Campaign) record(ctx context.Context) error {
	c.Watcher.Phase("recording " + c.Target + " undisturbed")
	items := make([]Item, c.Recordings)
	for i := range items {
		items[i] = Item{Record: true, Number: i}
	}
	recordings := make([]Recording, len(items))
	var failed *Outcome
	told, took := 0, 0.0
	recording, enough := context.WithCancel(ctx)
	defer enough()
	err := c.work(recording, items, func(item Item, outcome Outcome) {
		told++
		took = max(took, outcome.Seconds)
		if outcome.Status != Survived || outcome.Recording == nil {
			failed = &outcome
			enough()
			return
		}
		recordings[item.Number] = *outcome.Recording
		if outcome.Meta != nil {
			c.saved.Engine = outcome.Meta.Engine
			c.addImages(outcome.Meta.Images)
		}
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case failed != nil:
		return &UndisturbedError{*failed}
	case err != nil:
		return fmt.Errorf("record %s: %w", c.Target, err)
	case told < len(items):
		return fmt.Errorf("record %s: %d of %d runs came to nothing", c.Target, len(items)-told, len(items))
	}
	if c.Chain && len(recordings[0].States) == 0 {
		return fmt.Errorf("record %s: %w", c.Target, errNoRest)
	}
	c.limit(time.Duration(took * float64(time.Second)))
	merged, divergence := Merge(recordings, c.matters(recordings))
	if c.Resume && len(c.saved.Recording.Operations) > 0 {
		return c.compare(merged)
	}
	merged.Varies = c.Batched
	c.saved.Recording, c.saved.Diverge = merged, divergence
	return nil
}

// errNoRest says that a chain has no links: nothing is known of the moments at
// which one could end and the next begin.
var errNoRest = errors.New("the sender of its work was held before no message: what it publishes cannot be seen, as over TLS, or it publishes nothing")

// limit bounds how long a trial may take by how long an undisturbed one did: a
// service that does nothing any more is not waited for as long as one that
// works.
func (c *Campaign) limit(took time.Duration) {
	limit := scenario.Duration(10*took + leastTimeout)
	if c.FullTimeout || limit >= c.trials.Scenario.Timeout {
		return
	}
	limited := *c.trials.Scenario
	limited.Timeout = limit
	c.trials.Scenario = &limited
}

// leastTimeout is what every trial is given, however quick the undisturbed one
// was.
const leastTimeout = 5 * time.Second

func (c *Campaign) addImages(images map[string]string) {
	if c.saved.Images == nil {
		c.saved.Images = maps.Clone(images)
	}
}

// UndisturbedError is ErrUndisturbed with what was found.
type UndisturbedError struct{ Outcome Outcome }

func (e *UndisturbedError) Error() string {
	text := ErrUndisturbed.Error()
	if e.Outcome.Status == Broken {
		text = "the undisturbed run is broken"
	}
	for _, finding := range e.Outcome.Findings {
		text += fmt.Sprintf("\n  %s: %s", finding.Kind, finding.Text)
	}
	if e.Outcome.Reason != "" {
		text += "\n  " + e.Outcome.Reason
	}
	return text
}

func (e *UndisturbedError) Unwrap() error { return ErrUndisturbed }

// matters says which operations of recordings can be points.
func (c *Campaign) matters(recordings []Recording) func(*Operation) bool {
	return c.rules().Matters(recordings)
}

// compare holds a campaign that is gone on with to the recording that it was
// planned from.
func (c *Campaign) compare(recording Recording) error {
	both := []Recording{c.saved.Recording, recording}
	_, differs := Merge(both, c.matters(both))
	if !c.saved.Recording.Varies && c.saved.Diverge.String() == "" && differs.String() != "" {
		return fmt.Errorf("%w: %s", ErrChanged, differs)
	}
	if !slices.Equal(mergeStates(both), c.saved.Recording.States) {
		return fmt.Errorf("%w: the files of %s at rest are other ones", ErrChanged, c.Target)
	}
	return nil
}

// open keeps what the campaign is planned from, and reads what was done before.
func (c *Campaign) open() error {
	if err := save(c.Folder, c.saved); err != nil {
		return err
	}
	return c.read()
}

// read makes the plan and reads the journal.
func (c *Campaign) read() error {
	plan, err := NewPlan(c.rules(), nil, c.saved.Recording, 0)
	if err != nil {
		return err
	}
	c.trials.Recording = &c.saved.Recording
	c.addLeg(plan, plan.Chosen(c.Most, c.Shard))
	c.journal, err = OpenJournal(filepath.Join(c.Folder, journalFile), c.remember)
	return err
}

func (c *Campaign) rules() Rules {
	return Rules{Service: c.Target, Model: c.Model, Seed: c.Seed, Variants: c.Variants, Collected: c.saved.Collected, Changed: changedFiles(c.saved.Recording.Operations)}
}

// addLeg takes points in that are to be run.
func (c *Campaign) addLeg(plan *Plan, chosen []int) *leg {
	added := &leg{plan: plan, chosen: chosen, results: make([]result, len(chosen))}
	c.legs = append(c.legs, added)
	for i, number := range chosen {
		c.places[lot(0, plan.Text(number))] = place{int32(len(c.legs) - 1), int32(i)}
	}
	return added
}

// remember takes in what the journal says of an earlier session. A recovery
// stands before the outcomes of its points.
func (c *Campaign) remember(at int64, entry Entry) error {
	switch {
	case entry.Outcome != nil:
		c.keep(at, entry.Outcome)
	case entry.Recovery != nil:
		if c.recoveries[entry.Recovery.First] == nil {
			c.recoveries[entry.Recovery.First] = entry.Recovery
			c.planRecovery(entry.Recovery)
		}
	case entry.Confirmation != nil:
		c.confirmations[entry.Confirmation.Point] = *entry.Confirmation
	case entry.Smallest != nil:
		if entry.Smallest.smallerThan(c.smallest) {
			c.smallest = entry.Smallest
		}
	case entry.Session != nil:
		c.earlier += entry.Session.Seconds
	}
	return nil
}

// keep puts an outcome into its place. What was broken is run again.
func (c *Campaign) keep(at int64, outcome *Outcome) {
	where, known := c.places[lot(0, outcome.Point)]
	if !known {
		return
	}
	kept := &c.legs[where.leg].results[where.number]
	if kept.status == 0 {
		c.progress.Done++
	} else {
		c.count(kept.Status(), -1)
	}
	*kept = result{
		status:   uint8(slices.Index(statuses, outcome.Status)),
		failures: uint8(min(outcome.Failures, 255)), attempts: uint8(min(outcome.Attempts, 255)),
		seconds: float32(outcome.Seconds), at: at,
	}
	c.count(outcome.Status, 1)
}

func (c *Campaign) count(status Status, by int) {
	switch status {
	case Failed:
		c.progress.Failed += by
	case Inconclusive, Broken:
		c.progress.Inconclusive += by
	case Diverged:
		c.progress.Diverged += by
	}
}

// runLegs runs the points of some legs that have no outcome yet.
func (c *Campaign) runLegs(ctx context.Context, legs []*leg, deadline time.Time) error {
	feeding, stop := context.WithCancel(ctx)
	defer stop()
	enough := make(chan struct{})
	found := sync.OnceFunc(func() { close(enough) })
	if c.isDecided() {
		found()
	}
	items := make(chan Item)
	go func() {
		defer close(items)
		for _, one := range legs {
			for i, number := range one.chosen {
				if status := one.results[i].Status(); status != "" && status != Broken {
					continue
				}
				if c.isOver(deadline) {
					return
				}
				select {
				case <-enough: // which the next select may not see
					return
				default:
				}
				select {
				case items <- one.plan.Item(number):
				case <-enough:
					return
				case <-feeding.Done():
					return
				}
			}
		}
	}()
	c.trials.enough = func() bool {
		select {
		case <-enough:
			return true
		default:
			return c.isOver(deadline)
		}
	}
	defer func() { c.trials.enough = nil }()
	var failed error
	err := c.Worker.Work(feeding, items, func(_ Item, outcome Outcome) {
		if err := c.note(outcome); err != nil && failed == nil {
			failed = err
			stop()
		}
		if c.isDecided() {
			found()
		}
	})
	stop()
	return errors.Join(err, failed)
}

// isDecided says whether a failure is all that was asked for, and there is one.
func (c *Campaign) isDecided() bool { return c.FailFast && c.progress.Failed > 0 }

// note writes an outcome down and tells of it.
func (c *Campaign) note(outcome Outcome) error {
	at, err := c.journal.Add(Entry{Outcome: &outcome})
	if err != nil {
		return err
	}
	c.keep(at, &outcome)
	c.progress.Session++
	c.progress.Took = c.Now().Sub(c.began)
	c.Watcher.Outcome(outcome, c.progress)
	return nil
}

// work runs a few items and gives their outcomes.
func (c *Campaign) work(ctx context.Context, all []Item, tell func(Item, Outcome)) error {
	items := make(chan Item, len(all))
	for _, item := range all {
		items <- item
	}
	close(items)
	return c.Worker.Work(ctx, items, tell)
}
