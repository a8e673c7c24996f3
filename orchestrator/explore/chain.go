package explore

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/killpoint/killpoint/orchestrator/check"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/run"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// A chain crashes a service once in each unit of work of one run, where a trial
// crashes it once in a run. The items of a chain are those of a campaign whose
// scenario has one: each is a crash while one unit is handled, by a life that
// began at rest. Any runner can run one by itself, going from rest to rest
// without a crash to the one before its unit. Where a runner can be led, an item
// begins at any rest at which the files of the service are those that the
// recording has there, its queues are empty, and nothing is under way: by all of
// these, the crashes before might never have come. It is judged at the rest
// behind it, before the next one begins.

// ChainRunner is a Runner whose chains can be led.
type ChainRunner interface {
	Runner
	// Chain runs a scenario that has a chain.
	Chain(ctx context.Context, sc *scenario.Scenario, lead run.Lead) *history.History
}

// Bounds of chains.
const (
	// strangeRests is how many rests in a row may not be those of the recording
	// before a chain is given up: a service may need a life to forget a crash,
	// and its files are put back where it does not.
	strangeRests = 2
	// poolLimit is how many items lanes hold for units that no chain has come to.
	poolLimit = 3 * run.MostUnits
)

// pool is the items of a campaign that lanes have taken and not run, and the
// chains that may come to them.
type pool struct {
	items  <-chan Item
	enough func() bool // no item that is held is to begin any more; nil: never

	mu      sync.Mutex
	changed *sync.Cond
	units   map[int][]Item // those of chains, by unit of work
	alone   []Item         // those that are no chain's
	held    int            // of units
	ended   bool           // there are no more items
	chains  map[*lead]int  // under way, and the unit that each has come to
}

func newPool(items <-chan Item, enough func() bool) *pool {
	p := &pool{items: items, enough: enough, units: map[int][]Item{}, chains: map[*lead]int{}}
	p.changed = sync.NewCond(&p.mu)
	return p
}

func (p *pool) isOver(ctx context.Context) bool {
	return ctx.Err() != nil || p.enough != nil && p.enough()
}

// next gives an item to begin with; of those of chains, the first of those that
// are held. It waits where the chains that are under way will come to all that
// are left, and may give some back.
func (p *pool) next(ctx context.Context) (Item, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.changed.Broadcast()
	})()
	for {
		switch {
		case len(p.alone) > 0 && !p.isOver(ctx):
			item := p.alone[0]
			p.alone = p.alone[1:]
			return item, true
		case p.held == 0 && !p.ended:
			item, more := next(ctx, p.items)
			p.ended = !more
			if more {
				return item, true
			}
		case p.isOver(ctx), p.held == 0 && len(p.chains) == 0:
			return Item{}, false
		case p.held > 0 && (!p.ended || p.wantsChain()):
			return p.pop(slices.Min(slices.Collect(maps.Keys(p.units)))), true
		default:
			p.changed.Wait()
		}
	}
}

// wantsChain says whether there are more items of a unit than chains that have
// not come to it yet.
func (p *pool) wantsChain() bool {
	for unit, items := range p.units {
		coming := 0
		for _, at := range p.chains {
			if at < unit {
				coming++
			}
		}
		if len(items) > coming {
			return true
		}
	}
	return false
}

// begin notes a chain, whose first item goes to whichever chain comes to its
// unit first.
func (p *pool) begin(chain *lead, first Item) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.chains[chain] = 0
	p.push(first)
}

// end takes a chain out, and what it was given and did not begin back.
func (p *pool) end(chain *lead) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.chains, chain)
	if chain.planned != nil {
		p.push(*chain.planned)
		chain.planned = nil
	}
	p.changed.Broadcast()
}

// take gives a chain an item of the unit that it comes to; false where there is
// none to be had.
func (p *pool) take(ctx context.Context, chain *lead, unit int) (Item, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.chains[chain] = unit
	for len(p.units[unit]) == 0 && !p.ended && p.held < poolLimit {
		item, more := next(ctx, p.items)
		if p.ended = !more; more {
			p.push(item)
		}
	}
	p.changed.Broadcast()
	if len(p.units[unit]) == 0 {
		return Item{}, false
	}
	return p.pop(unit), true
}

// putBack keeps an item for another chain.
func (p *pool) putBack(item Item) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.push(item)
	p.changed.Broadcast()
}

// hasFrom says whether an item of a unit or a later one is to be had.
func (p *pool) hasFrom(unit int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for one := range p.units {
		if one >= unit {
			return true
		}
	}
	return !p.ended
}

func (p *pool) push(item Item) {
	if item.State == "" {
		p.alone = append(p.alone, item)
		return
	}
	p.units[item.unit()] = append(p.units[item.unit()], item)
	p.held++
}

func (p *pool) pop(unit int) Item {
	item := p.units[unit][0]
	if p.units[unit] = p.units[unit][1:]; len(p.units[unit]) == 0 {
		delete(p.units, unit)
	}
	p.held--
	return item
}

// lead leads one chain: see run.Lead.
type lead struct {
	ctx    context.Context // of the lane
	trials *Trials
	pool   *pool
	tell   func(Item, Outcome)

	planned *Item            // may come in the unit that is next
	running *link            // the unit that is handled has a crash
	before  *link            // the last one that had, until the unit behind it was judged too
	faults  []scenario.Fault // of all that came
	strange int              // rests in a row that are not the recording's
	ran     int              // items that came to something
	odd     bool             // a rest was not the recording's, or something was wrong at one
	idle    bool             // it ended since other chains had taken every item
	again   *link            // is to be run by itself
}

// link is one item in a chain.
type link struct {
	item    Item
	began   time.Time
	took    time.Duration
	attempt attempt
	// behind are the crashes that came before it in its chain.
	behind scenario.Sequence
}

// chain leads one chain on a runner, that of an item and whatever others the
// lanes have for it, and runs by itself what it did not settle.
func (l *Lanes) chain(ctx context.Context, runner ChainRunner, pool *pool, first Item, tell func(Item, Outcome)) error {
	led := &lead{ctx: ctx, trials: l.Trials, pool: pool, tell: tell}
	pool.begin(led, first)
	h := led.run(runner)
	pool.end(led)
	if h.Dir != "" {
		defer os.RemoveAll(h.Dir)
	}
	led.settle()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if led.again == nil && led.running != nil { // its run broke
		led.again = led.running
	}
	if led.again == nil && led.ran == 0 && (led.odd || !led.idle) {
		// No item could begin. One is settled in any case, or chains would begin
		// forever.
		if item, more := pool.next(ctx); more {
			led.again = &link{item: item}
		}
	}
	if led.again == nil {
		return ctx.Err()
	}
	return l.alone(ctx, runner, led.again, tell)
}

// alone runs an item by itself that a chain did not settle. A failure in the
// chain counts as one attempt; where it does not come again, the crashes before
// it may have a part in it.
func (l *Lanes) alone(ctx context.Context, runner Runner, one *link, tell func(Item, Outcome)) error {
	var earlier *attempt
	if one.attempt.verdict == check.Failed {
		earlier = &one.attempt
	}
	outcome, err := l.Trials.runAfter(ctx, runner, one.item, earlier)
	if err != nil {
		return err
	}
	if earlier != nil && outcome.Failures == 1 && len(one.behind) > 0 {
		outcome.Reason = fmt.Sprintf("it failed behind %s in one run (%s) and not by itself", plural(len(one.behind), "crash"), one.behind)
	}
	tell(one.item, outcome)
	return nil
}

// run is a chain of which nothing but a history comes, even when the runner
// panics.
func (l *lead) run(runner ChainRunner) *history.History {
	return guarded(func() *history.History { return runner.Chain(l.ctx, l.trials.Scenario, l) })
}

// Plan: see run.Lead.
func (l *lead) Plan(unit int) run.Planned {
	l.planned = nil
	item, there := l.pool.take(l.ctx, l, unit)
	if !there {
		return run.Planned{}
	}
	l.planned = &item
	return run.Planned{
		Kill: &item.Sequence(l.trials.Target).Kills()[0], State: item.State,
		// The service had a unit of work to forget the crash, and was judged.
		PutBack: l.strange > 0,
	}
}

// Rest: see run.Lead.
func (l *lead) Rest(rest run.Rest) (kill, goOn bool) {
	if rest.History != nil && !l.judge(rest.History) {
		return false, false
	}
	if l.idle = !l.pool.hasFrom(rest.Unit) && l.planned == nil; l.idle || rest.Over || l.pool.isOver(l.ctx) {
		l.settle()
		return false, false
	}
	expected := ""
	if l.planned != nil {
		expected = l.planned.State
	}
	switch {
	case expected == "":
		return false, true
	case expected != rest.State:
		l.pool.putBack(*l.planned)
		l.planned, l.odd = nil, true
		if l.strange++; l.strange == strangeRests {
			l.settle()
			return false, false
		}
		return false, true
	}
	l.strange = 0
	l.settle()
	fault := l.planned.Sequence(l.trials.Target).Kills()[0]
	fault.When.Incarnation += len(l.faults) // each crash has made one life more
	l.running = &link{item: *l.planned, began: time.Now(), behind: sequenceOf(l.faults)}
	l.faults = append(l.faults, fault)
	l.planned = nil
	return true, true
}

// judge judges what came since the rest before; false where the chain cannot go
// on behind it.
func (l *lead) judge(h *history.History) bool {
	sc := *l.trials.Scenario
	sc.Chain = nil
	sc.Faults = l.faults
	sc.Expect.Exits = exitsIn(h, sc.Expect.Exits)
	one := l.running
	if one == nil {
		late := l.trials.judged(&sc, &Item{}, h, false, len(l.faults))
		if late.verdict == check.Passed {
			l.settle()
			return true
		}
		// No crash came in this unit: what is wrong is what the one before it did.
		l.odd = true
		if l.again = l.before; l.again != nil {
			late.placed = false
			l.again.attempt, l.before = late, nil
		}
		return false
	}
	one.attempt, one.took = l.trials.judged(&sc, &one.item, h, false, len(l.faults)-1), time.Since(one.began)
	l.running = nil
	if one.attempt.verdict != check.Passed || !one.attempt.placed {
		l.again = one
		return false
	}
	l.before = one
	return true
}

// settle tells the outcome of the last crash, once the chain has gone on.
func (l *lead) settle() {
	if l.before == nil {
		return
	}
	l.ran++
	l.tell(l.before.item, Outcome{
		Point: l.before.item.Text(l.trials.Target), Status: Survived, Attempts: 1, Seconds: l.before.took.Seconds(),
	})
	l.before = nil
}

// exitsIn keeps the exit codes that are expected of services that have exited:
// the others are at work.
func exitsIn(h *history.History, expected map[string]int) map[string]int {
	kept := map[string]int{}
	for _, event := range h.Events {
		if code, is := expected[event.Service]; is && event.Kind == history.Exited {
			kept[event.Service] = code
		}
	}
	return kept
}

func sequenceOf(faults []scenario.Fault) scenario.Sequence {
	var sequence scenario.Sequence
	for _, fault := range faults {
		sequence = append(sequence, fault.Point())
	}
	return sequence
}
