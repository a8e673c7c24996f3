package run

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/killpoint/killpoint/orchestrator/fault"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/trigger"
)

// plannedFault is one fault, a repetition counted by itself, and how far it
// has come.
type plannedFault struct {
	number  int // from 1, as in the history
	planned scenario.Fault
	fault   fault.Fault
	target  *service
	spent   trigger.Spent
	// repetition is which of its times this is, from 0.
	repetition int

	mu      sync.Mutex
	fired   bool
	settled bool // healed, or missed: nothing more will be done
	armed   trigger.Armed
}

// injection does the planned faults, in order, beside the rest of the run.
type injection struct {
	run     *run
	during  context.Context // until the run ends
	cancel  context.CancelFunc
	working sync.WaitGroup
	mu      sync.Mutex
	err     error
}

// plan expands the scenario's faults; each repetition is one by itself.
func (r *run) plan() error {
	for _, planned := range r.scenario.Faults {
		spent := trigger.Spent{}
		for repetition := range max(planned.Times, 1) {
			p, err := r.planFault(planned)
			if err != nil {
				return err
			}
			p.spent, p.repetition = spent, repetition
			r.planned = append(r.planned, p)
		}
	}
	return nil
}

// planFault makes the fault that comes after those that are planned.
func (r *run) planFault(planned scenario.Fault) (*plannedFault, error) {
	one, err := fault.New(planned)
	if err != nil {
		return nil, err
	}
	return &plannedFault{number: len(r.planned) + 1, planned: planned, fault: one, target: r.services[planned.Service], spent: trigger.Spent{}}, nil
}

// armFaults arms the first fault and goes on with the others in the
// background: each is armed when the one before has fired.
func (r *run) armFaults(ctx context.Context) (*injection, error) {
	ctx, cancel := context.WithCancel(ctx)
	i := &injection{run: r, during: ctx, cancel: cancel}
	for _, s := range r.services {
		s.restartLater = func(after time.Duration) {
			s.update(func(now *serviceState) { now.restarts = true })
			i.working.Go(func() { i.restartExits(ctx, s, after) })
		}
	}
	if len(r.planned) == 0 {
		return i, nil
	}
	// A time is counted from when the system is up; see work.
	if first := r.planned[0]; first.planned.When.Kind != scenario.After {
		if err := first.arm(r); err != nil {
			return i, err
		}
	}
	i.working.Go(func() { i.work(ctx) })
	return i, nil
}

func (p *plannedFault) arm(r *run) error {
	of := trigger.Fault{Number: p.number, Service: p.planned.Service, Spent: p.spent}
	watched := p.target
	if other := r.services[p.planned.When.Service]; other != nil {
		watched = other
	}
	if state := watched.now(); !state.running && !state.starting {
		of.Over = state.incarnation
	}
	if p.target.interposer != nil {
		of.Points = p.target.interposer
	}
	armed, err := trigger.Arm(p.planned.When, of, r.recorder)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.armed = armed
	p.mu.Unlock()
	r.recorder.Add(history.Event{Kind: history.FaultArmed, Service: p.planned.Service, Fault: p.number, Text: p.planned.String()})
	return nil
}

func (i *injection) work(ctx context.Context) {
	defer i.run.guard("do the planned faults")
	planned := i.run.planned
	for number, p := range planned {
		var next *plannedFault
		if number+1 < len(planned) {
			next = planned[number+1]
		}
		if !i.do(ctx, p, next) {
			return
		}
	}
}

// add does one more fault, which nobody waits behind.
func (i *injection) add(p *plannedFault) error {
	if err := p.arm(i.run); err != nil {
		return err
	}
	i.working.Go(func() {
		defer i.run.guard("do a fault")
		i.do(i.during, p, nil)
	})
	return nil
}

// do does a fault when its moment comes; false when nothing more is to be done.
func (i *injection) do(ctx context.Context, p, next *plannedFault) bool {
	if !i.arm(ctx, p) {
		return false
	}
	match, err := p.armed.Wait(ctx)
	p.armed.Disarm()
	if err != nil {
		return false // the run has ended; finish says what was missed
	}
	i.run.recorder.Add(history.Event{Kind: history.FaultFired, Service: p.planned.Service, Incarnation: p.target.now().life(), Fault: p.number, Text: match.Text})
	p.mu.Lock()
	p.fired = true
	p.mu.Unlock()
	p.target.faulted.Store(true)
	done, err := p.inject(ctx)
	if err != nil {
		i.missed(ctx, p, err)
		return true
	}
	i.run.recorder.Add(history.Event{Kind: history.FaultDone, Service: p.planned.Service, Incarnation: p.target.now().incarnation, Fault: p.number, Text: done})
	if err := i.run.collectCrash(ctx, p); err != nil && ctx.Err() == nil {
		i.fail(err)
		return false
	}
	// The next life must not begin before the next fault waits for it. A
	// service that lives may not be able to answer before it is healed.
	armed := true
	if next != nil && !p.target.now().running {
		armed = i.arm(ctx, next)
	}
	i.working.Go(func() { i.heal(ctx, p) })
	return armed
}

// arm arms a fault that is not armed yet; false when the run ends first.
func (i *injection) arm(ctx context.Context, p *plannedFault) bool {
	if p.armed != nil {
		return true
	}
	if p.number == 1 {
		select {
		case <-i.run.up:
		case <-ctx.Done():
			return false
		}
	}
	if err := p.arm(i.run); err != nil {
		i.fail(err)
		return false
	}
	return true
}

func (i *injection) heal(ctx context.Context, p *plannedFault) {
	defer i.run.guard("bring " + p.planned.Service + " back")
	start := i.run.recorder.Now()
	healed, err := p.heal(ctx)
	i.run.recorder.AddSpan(history.Span{Name: history.SpanFaults, Note: p.planned.String(), Start: start, End: i.run.recorder.Now()})
	if err != nil {
		if ctx.Err() == nil {
			i.fail(fmt.Errorf("bring %s back after fault %d: %w", p.planned.Service, p.number, err))
		}
		return
	}
	if healed != "" {
		i.run.recorder.Add(history.Event{Kind: history.FaultHealed, Service: p.planned.Service, Incarnation: p.target.now().incarnation, Fault: p.number, Text: healed})
	}
	i.settle(p)
}

// holds says whether the program is held at the fault's crash point.
func (p *plannedFault) holds() bool {
	return p.planned.When.IsCrashPoint() && !p.planned.Kind.OnCall()
}

// inject does the fault. A program that is held at a crash point is let go
// where the fault is one that it must be able to answer, or to outlive.
func (p *plannedFault) inject(ctx context.Context) (string, error) {
	if !p.holds() {
		return p.fault.Inject(ctx, p.target)
	}
	switch kind := p.planned.Kind; {
	case kind == scenario.Kill && p.planned.Signal == "SIGKILL", kind == scenario.Pause:
		return p.fault.Inject(ctx, p.target)
	case kind == scenario.Disconnect:
		done, err := p.fault.Inject(ctx, p.target)
		return done, errors.Join(err, p.target.interposer.release(ctx))
	}
	if err := p.target.interposer.release(ctx); err != nil {
		return "", err
	}
	return p.fault.Inject(ctx, p.target)
}

// heal brings the service back; a program that was frozen while it was held
// is let go when it thaws.
func (p *plannedFault) heal(ctx context.Context) (string, error) {
	healed, err := p.fault.Heal(ctx, p.target)
	if err == nil && p.holds() && p.planned.Kind == scenario.Pause {
		err = p.target.interposer.release(ctx)
	}
	return healed, err
}

// restartExits starts a service again whenever it exits, until the run ends.
func (i *injection) restartExits(ctx context.Context, s *service, after time.Duration) {
	defer i.run.guard("restart " + s.spec.Name + " when it exits")
	for {
		if s.await(ctx, func(state serviceState) (bool, error) { return !state.running && !state.starting, nil }) != nil {
			return
		}
		select {
		case <-time.After(after):
		case <-ctx.Done():
			return
		}
		if err := s.Start(ctx); err != nil {
			if ctx.Err() == nil {
				i.fail(fmt.Errorf("restart %s, which had exited: %w", s.spec.Name, err))
			}
			return
		}
	}
}

// missed records a fault whose trigger came and that could not be done.
func (i *injection) missed(ctx context.Context, p *plannedFault, err error) {
	if ctx.Err() != nil {
		return
	}
	i.run.recorder.Add(history.Event{Kind: history.FaultMissed, Service: p.planned.Service, Fault: p.number, Text: err.Error()})
	if !errors.Is(err, fault.ErrNotRunning) {
		i.fail(fmt.Errorf("fault %d (%s): %w", p.number, p.planned, err))
	}
	i.settle(p)
}

func (i *injection) settle(p *plannedFault) {
	p.mu.Lock()
	p.settled = true
	p.mu.Unlock()
	i.run.nudge()
}

func (i *injection) fail(err error) {
	i.mu.Lock()
	i.err = errors.Join(i.err, err)
	i.mu.Unlock()
	i.run.nudge()
}

func (i *injection) failed() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.err
}

// finish cuts short what is under way and records the faults that never fired.
func (i *injection) finish() error {
	i.cancel()
	i.working.Wait()
	for _, s := range i.run.services {
		if s.interposer != nil {
			s.interposer.pass()
		}
	}
	for _, p := range i.run.planned {
		if p.hasFired() {
			continue
		}
		seen := "the fault before it had not fired"
		if p.armed != nil {
			seen = p.armed.Seen()
		}
		i.run.recorder.Add(history.Event{Kind: history.FaultMissed, Service: p.planned.Service, Fault: p.number, Text: seen})
	}
	return i.failed()
}

func (p *plannedFault) hasFired() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fired
}

// isDue says whether the fault has fired, or will at once: its trigger may
// have come with the very line that the end of the run was waiting for.
func (p *plannedFault) isDue() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fired || p.armed != nil && p.armed.Came()
}

func (p *plannedFault) isSettled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.settled
}
