package run

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/interpose"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// A chain is a run that goes from rest to rest; see scenario.Chain. The sender
// is held, with every thread of it, before each of its messages, so that
// nothing is under way while the service of the chain is started again, while
// what its life before has left is looked at, and while that is judged.

// MostUnits is how many units a chain has, at most: the sender is held that
// often. The work goes on as it likes after that.
const MostUnits = interpose.MaxPoints

// Lead leads a chain on a bed. Its methods are called one after the other, by
// one goroutine.
type Lead interface {
	// Plan says what may come while a unit of work, by its number from 1, is
	// handled. It is asked before the life begins that handles the unit.
	Plan(unit int) Planned
	// Rest is told of each rest, and says whether the kill that was planned
	// last is to come, and whether to go on.
	Rest(rest Rest) (kill, goOn bool)
}

// Planned is what may come in a unit.
type Planned struct {
	// Kill is a kill at a crash point; nil for none.
	Kill *scenario.Fault
	// State is what the unit must begin with; empty where that is not known.
	State string
	// PutBack makes the service's volumes what they were in an earlier chain of
	// the bed that came to that state before this unit, where there was one.
	PutBack bool
}

// Rest is a moment between two units of work.
type Rest struct {
	// Unit is the one that comes next, from 1.
	Unit int
	// State identifies every file in the service's volumes.
	State string
	// History is what happened up to now, with the files that were collected
	// since the rest before. It ends as that of a run would whose work ends here.
	// It is nil before the first unit.
	History *history.History
	// Over says that there is no unit to come: the sender has ended, or the
	// unit before never came to its end, which History says then.
	Over bool
}

// chain is a run's chain, on its way.
type chain struct {
	of      scenario.Chain
	sender  *service
	service *service
	lead    Lead          // nil: nothing is judged before the end of the run
	next    *plannedFault // that the lead has planned, and that is not to come yet
	sentAt  int           // the unit for which the record of what was sent was read
	size    int64         // of the service's files, in bytes, at the last rest
	kept    int           // the unit before which the volumes were kept last
}

// newChain is the chain of a scenario; nil where it has none.
func newChain(sc *scenario.Scenario, lead Lead) *chain {
	if sc.Chain == nil {
		return nil
	}
	return &chain{of: *sc.Chain, lead: lead}
}

// prepareChain says who is held and who is started again.
func (r *run) prepareChain(ctx context.Context) error {
	c := r.chain
	if err := r.scenario.CanChain(c.of.Service); err != nil {
		return err
	}
	c.service, c.sender = r.services[c.of.Service], r.services[r.facts.Rows.Sent.Service]
	if c.service == nil || c.service.shared || c.sender == nil || c.sender.shared {
		return fmt.Errorf("chain crashes of %s: it and %s must be services of this run's own", c.of.Service, r.facts.Rows.Sent.Service)
	}
	if len(volumesOf(c.service.spec)) == 0 {
		return fmt.Errorf("chain crashes of %s: it mounts nothing by which its state could be told", c.of.Service)
	}
	if c.sender.interposer == nil {
		c.sender.interposer = &interposer{service: c.sender}
	}
	c.sender.interposer.holds = cmp.Or(c.of.Units, MostUnits)
	if !c.isLed() {
		return nil
	}
	if c.service.interposer == nil {
		c.service.interposer = &interposer{service: c.service}
	}
	return r.planNext(ctx, 1, 1, false)
}

// volumesOf are the directories whose files are a service's state.
func volumesOf(spec system.Service) []string {
	var targets []string
	for _, mount := range spec.Mounts {
		if mount.Kind != system.MountTmpfs && !mount.File {
			targets = append(targets, mount.Target)
		}
	}
	return targets
}

// chained goes from rest to rest: to the last one before the work goes on as it
// likes, which it says, or to where its lead ends it.
func (r *run) chained(ctx context.Context, injecting *injection) (goOn bool, err error) {
	c := r.chain
	if begins, err := r.awaitFirstRest(ctx, injecting); err != nil || !begins {
		return false, err
	}
	if !c.sender.now().running { // it had nothing to send
		return !c.isLed(), nil
	}
	for unit := 1; ; unit++ {
		if goOn, err := r.rest(ctx, injecting, Rest{Unit: unit}); err != nil || !goOn {
			return false, err
		}
		r.recorder.Add(history.Event{Kind: history.UnitBegan, Service: c.sender.spec.Name, Unit: unit})
		if err := c.sender.interposer.release(ctx); err != nil {
			return false, fmt.Errorf("let %s go on: %w", c.sender.spec.Name, err)
		}
		if unit == c.of.Units {
			return true, nil
		}
		missing, err := r.awaitUnit(ctx, injecting, unit)
		if err != nil {
			return false, err
		}
		if len(missing) > 0 {
			r.recorder.Add(history.Event{Kind: history.TimedOut, Text: fmt.Sprintf("unit %d of the work: %s", unit, strings.Join(missing, "; "))})
			if c.isLed() {
				c.lead.Rest(Rest{Unit: unit + 1, History: r.recorder.Cut(), Over: true})
			}
			return false, nil
		}
		r.recorder.Add(history.Event{Kind: history.UnitDone, Service: c.sender.spec.Name, Unit: unit})
		over := !c.sender.now().running || unit == MostUnits
		if over && !c.isLed() {
			return true, c.sender.interposer.letGo(ctx)
		}
		if err := r.link(ctx, unit, over); err != nil || over {
			return false, err
		}
	}
}

// awaitFirstRest waits until the service has come up and the sender is held
// before its first message; false where it never is.
func (r *run) awaitFirstRest(ctx context.Context, injecting *injection) (bool, error) {
	c := r.chain
	if err := r.awaitReady(ctx, c.service, 1, r.facts.Ready[c.service.spec.Name]); err != nil {
		return false, err
	}
	missing, err := r.awaitUnit(ctx, injecting, 0)
	if err != nil {
		return false, err
	}
	if len(missing) > 0 {
		r.recorder.Add(history.Event{Kind: history.TimedOut, Text: strings.Join(missing, "; ")})
		return false, nil
	}
	return true, nil
}

// link is what lies between two units: the service is started again, which must
// change no byte of what it keeps, and what its life before has left is
// collected for a lead. Whatever may change a file is done without one, too, or
// rests would not be the same.
func (r *run) link(ctx context.Context, unit int, over bool) error {
	c := r.chain
	if err := r.collectUnit(ctx); err != nil {
		return err
	}
	var own []scenario.StableExpect
	ready := r.facts.Ready[c.of.Service]
	for _, expect := range r.scenario.Expect.Stable {
		switch {
		case expect.Service == c.of.Service:
			own = append(own, expect)
			ready = cmp.Or(expect.Ready, ready)
		case c.isLed():
			if err := r.collectStable(ctx, expect); err != nil {
				return err
			}
		case r.services[expect.Service].now().running:
			if err := r.restart(ctx, r.services[expect.Service], r.readyLine(expect), nil); err != nil {
				return err
			}
		}
	}
	if !c.isLed() {
		return r.restart(ctx, c.service, ready, nil)
	}
	if err := r.collectEach(ctx, own, history.BeforeStable); err != nil {
		return err
	}
	if err := r.restart(ctx, c.service, ready, func(life int) error { return r.planNext(ctx, unit+1, life, over) }); err != nil {
		return err
	}
	if err := r.collectEach(ctx, own, history.AfterStable); err != nil {
		return err
	}
	if over {
		c.lead.Rest(Rest{Unit: unit + 1, History: c.asEnded(r.recorder.Cut()), Over: true})
	}
	return nil
}

func (c *chain) isLed() bool { return c.lead != nil }

// rest is a moment at which nothing is under way. It returns false where the
// lead ends the chain here.
func (r *run) rest(ctx context.Context, injecting *injection, rest Rest) (goOn bool, err error) {
	c := r.chain
	if c.isLed() || r.record != nil {
		if rest.State, err = r.state(ctx); err != nil {
			return false, err
		}
	}
	r.recorder.Add(history.Event{Kind: history.AtRest, Service: c.of.Service, Incarnation: c.service.now().incarnation, Unit: rest.Unit, Text: rest.State})
	if !c.isLed() {
		return true, nil
	}
	if c.kept == rest.Unit {
		r.bed.rests[c.kept] = rest.State
	}
	if rest.Unit > 1 {
		rest.History = c.asEnded(r.recorder.Cut())
	}
	kill, goOn := c.lead.Rest(rest)
	if !kill || !goOn || c.next == nil {
		return goOn, nil
	}
	r.planned = append(r.planned, c.next)
	return true, injecting.add(c.next)
}

// state identifies the contents of every file in the service's volumes.
func (r *run) state(ctx context.Context) (string, error) {
	all := sha256.New()
	r.chain.size = 0
	for _, volume := range volumesOf(r.chain.service.spec) {
		err := r.chain.service.home.sums(ctx, path.Join(scenario.LiteralPattern(volume), "**"), func(file string, size int64, sum string) {
			fmt.Fprintf(all, "%q %d %s\n", file, size, sum)
			r.chain.size += size
		})
		if err != nil {
			return "", fmt.Errorf("look at the files of %s at rest: %w", r.chain.of.Service, err)
		}
	}
	return hex.EncodeToString(all.Sum(nil)[:16]), nil
}

// planNext asks the lead what may come in the life that begins next. What it
// had planned and did not want in the end is no part of the run.
func (r *run) planNext(ctx context.Context, unit, life int, over bool) error {
	c := r.chain
	if c.next != nil && !slices.Contains(r.planned, c.next) {
		c.service.interposer.remove(c.next)
	}
	c.next = nil
	if over {
		return nil
	}
	next := c.lead.Plan(unit)
	if unit > 1 {
		if err := r.leaveAt(ctx, unit, next); err != nil {
			return err
		}
	}
	planned := next.Kill
	if planned == nil {
		return nil
	}
	if planned.LoseUnsynced != "" {
		r.recorder.Meta(func(meta *history.Meta) { meta.Model = modelPowerLoss })
	}
	their := *planned
	their.When.Incarnation = life
	p, err := r.planFault(their)
	if err != nil {
		return err
	}
	c.next = p
	return c.service.interposer.add(p)
}

// leaveAt puts the volumes back, where that is asked for and can be done; or
// keeps what is in them for a later chain, where nothing of use is kept for the
// unit. No life of the service is under way.
func (r *run) leaveAt(ctx context.Context, unit int, next Planned) error {
	place := r.bed.residents[r.chain.of.Service]
	key := fmt.Sprintf("unit %d", unit)
	switch known := r.bed.rests[unit] == next.State; {
	case next.State == "":
	case known && next.PutBack:
		return place.recall(ctx, key)
	case !known && r.chain.size*int64(unit) <= keptLimit:
		r.chain.kept = unit
		return place.remember(ctx, key)
	}
	return nil
}

// keptLimit bounds what is kept of volumes, in bytes: it is in memory.
const keptLimit = 256 << 20

// collectUnit does what a run does at its end before services are started again.
func (r *run) collectUnit(ctx context.Context) error {
	if r.chain.isLed() {
		if err := r.collectRows(ctx); err != nil {
			return err
		}
		if err := r.collectRecovered(ctx, r.planned[max(0, len(r.planned)-1):]); err != nil {
			return err
		}
	}
	for index, expect := range r.scenario.Expect.Run {
		if err := r.runCommand(ctx, index, expect); err != nil {
			return err
		}
	}
	return nil
}

// asEnded is a history in which the work ends with the last unit that was done.
func (c *chain) asEnded(h *history.History) *history.History {
	for i := len(h.Events) - 1; i >= 0; i-- {
		if event := &h.Events[i]; event.Kind == history.UnitDone {
			event.Kind = history.AllDone
			if !c.sender.now().running {
				event.Unit = 0
			}
			break
		}
	}
	return h
}

// awaitUnit waits until everything that was sent up to and including a unit has
// been handled, and the sender is held before its next message or has ended. It
// gives what is missing where that does not come.
func (r *run) awaitUnit(ctx context.Context, injecting *injection, unit int) (missing []string, err error) {
	timed, cancel := context.WithTimeout(ctx, time.Duration(r.scenario.Timeout))
	defer cancel()
	settle := time.Duration(r.scenario.Settle)
	pause := firstUnitPause
	var patience time.Duration
	r.progress.mu.Lock()
	r.progress.last = r.recorder.Now()
	r.progress.mu.Unlock()
	for {
		if err := injecting.failed(); err != nil {
			return nil, err
		}
		asked := r.progress.lastAt()
		if missing, err = r.unitMissing(timed, unit); err != nil {
			return nil, err
		}
		last := r.progress.lastAt()
		quiet := r.recorder.Now() - last
		next := longDepthPause
		switch {
		case last != asked:
			next = 0
		case len(missing) > 0:
			// A lead may run what stands still here alone, up to the timeout.
			if r.chain.isLed() && quiet >= standstill*settle && !r.isStarved(timed, &patience) && r.progress.lastAt() == last {
				return missing, nil
			}
		case r.record != nil && quiet < settle || r.mayRecover():
			next = settle - quiet
		default:
			if missing = r.undrained(timed); len(missing) == 0 && r.progress.lastAt() == last {
				return nil, nil
			}
			next = pause
			pause = min(2*pause, longDepthPause)
		}
		if !r.wait(timed, max(next, time.Millisecond)) {
			if errors.Is(timed.Err(), context.DeadlineExceeded) && ctx.Err() == nil {
				return append(missing, "the timeout had come"), nil
			}
			return nil, timed.Err()
		}
	}
}

const (
	// firstUnitPause is how soon the broker is asked again: an ack may be on
	// its way.
	firstUnitPause = 2 * time.Millisecond
	// standstill is for how many times the settle time nothing happens in a
	// unit of which a lead is told that it never came to its end.
	standstill = 4
)

// unitMissing says in words what is still awaited, the queues left out.
func (r *run) unitMissing(ctx context.Context, unit int) ([]string, error) {
	c := r.chain
	var missing []string
	for _, p := range r.planned {
		if !p.isSettled() && (c.isLed() || p.isDue()) {
			missing = append(missing, fmt.Sprintf("fault %d (%s) to be over", p.number, p.planned))
		}
	}
	state := c.sender.now()
	ended := state.incarnation > 0 && !state.running
	if !ended && c.sender.interposer.heldBefore() <= unit {
		return append(missing, fmt.Sprintf("%s to come to its next message or to exit", c.sender.spec.Name)), nil
	}
	missing = append(missing, r.unreadLogs()...)
	if len(missing) > 0 || unit == 0 {
		return missing, nil
	}
	if c.sentAt != unit {
		r.sent, c.sentAt = nil, unit
	}
	verdicts, err := r.missingVerdicts(ctx)
	if err != nil {
		return nil, err
	}
	return append(append(missing, verdicts...), r.unready()...), nil
}
