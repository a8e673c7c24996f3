package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// Bed is a system whose containers stay while many trials are run in them, one
// after the other. In each container the interposer is the first process; a
// trial starts the programs in place, and before the next one everything that
// a trial leaves is gone: programs and their connections, queues, exchanges,
// memory shared by name, and whatever was changed in files. So each trial is
// one run from a fresh start, at a fraction of the price of fresh containers.
//
// Trials use the same code as runs do from the first start to the last check;
// only where the lives of a service take place differs (see home).
type Bed struct {
	*Orchestrator
	group     *group
	system    *system.System
	facts     scenario.Facts
	choice    BedOptions
	residents map[string]*resident
	killed    *killedTarget // where the target's containers are killed; nil: in place
	link      *brokerLink
	dir       string

	// rests are the rests of chains at which the target's volumes can be put
	// back: what identifies their files, by the unit that came next.
	rests map[int]string

	mu     sync.Mutex
	broken error
}

// startKey is the key of the snapshots of what every trial begins with.
const startKey = "start"

// BedOptions say what a bed is for.
type BedOptions struct {
	// Target is the service that crash points are in.
	Target string
	// KillContainer has the target's container killed, over the Docker API, and
	// started again; the others stay, and their programs start in place.
	KillContainer bool
}

// NewBed makes the containers of a system for trials. Of the scenario it uses
// what every trial has in common: facts and variables.
func (o *Orchestrator) NewBed(ctx context.Context, sc *scenario.Scenario, sys *system.System, options BedOptions) (_ *Bed, err error) {
	id := "bed-" + newRunID()
	dir, err := os.MkdirTemp("", "killpoint-bed-")
	if err != nil {
		return nil, fmt.Errorf("create folder for the bed: %w", err)
	}
	b := &Bed{Orchestrator: o, system: sys, facts: factsOf(sc), choice: options, residents: map[string]*resident{}, dir: dir, rests: map[int]string{}}
	b.group = o.newGroup(id, sc.Name, sys, history.NewRecorder(history.Meta{RunID: id}, dir))
	b.group.abort = b.fail
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("make the containers for many trials: %w", err), b.Close(ctx))
		}
	}()
	if err := b.refuse(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.startLimit, fmt.Errorf("not everything was up after %s", o.startLimit))
	defer cancel()
	if err := b.create(ctx, sc); err != nil {
		return nil, err
	}
	return b, b.open(ctx)
}

// refuse names what cannot be put back between trials.
func (b *Bed) refuse() error {
	if externals := b.system.Externals(); len(externals) > 0 {
		return fmt.Errorf("the compose file uses %v, which others may use too and which would be put back after each trial", externals)
	}
	if b.options.BindRW {
		return errors.New("--bind-rw would have each trial change files of this machine")
	}
	return nil
}

// create makes and starts the containers; no program of theirs runs yet.
func (b *Bed) create(ctx context.Context, sc *scenario.Scenario) error {
	// A trial is a run of this scenario in another place: what a run finds out
	// about its broker is found out by one.
	r := &run{group: b.group, scenario: sc, facts: b.facts}
	share := r.mayShare()
	var own []*service
	for _, spec := range b.services() {
		isBroker := b.facts.Broker != nil && spec.Name == b.facts.Broker.Service
		s := newService(b.group, spec)
		b.group.services[spec.Name] = s
		switch {
		case isBroker && share:
			s.shared, s.home = true, fixture{}
			continue
		case isBroker:
			s.spec.DependsOn = nil
		default:
			// Its program comes and goes in place: the container itself is
			// neither started again nor checked.
			s.spec.DependsOn, s.spec.Restart = nil, system.RestartPolicy{}
			s.spec.Healthcheck = &system.Healthcheck{Test: []string{"NONE"}}
			s.interposer = &interposer{service: s, stays: true}
			b.residents[spec.Name] = newResident(b, s)
			b.residents[spec.Name].spec = spec
			if b.choice.KillContainer && spec.Name == b.choice.Target {
				b.killed = &killedTarget{bed: b}
			}
		}
		own = append(own, s)
	}
	if b.residents[b.choice.Target] == nil {
		return fmt.Errorf("%s is no service whose program could be started in place", b.choice.Target)
	}
	err := b.makeAll(ctx, r, own, share)
	b.link = r.broker
	return err
}

func (b *Bed) makeAll(ctx context.Context, r *run, own []*service, share bool) error {
	if b.facts.Broker == nil {
		if err := b.group.create(ctx, own); err != nil {
			return err
		}
	} else if err := r.prepareBroker(ctx, own, share); err != nil {
		return err
	}
	if err := b.group.watch(ctx); err != nil {
		return err
	}
	starting, ctx := errgroup.WithContext(ctx)
	for _, s := range own {
		starting.Go(safely("start "+s.spec.Name, func() error {
			resident := b.residents[s.spec.Name]
			if resident == nil { // a broker that is the bed's own
				if err := s.Start(ctx); err != nil {
					return err
				}
				return s.awaitHealthy(ctx)
			}
			if err := b.engine.Start(ctx, s.id); err != nil {
				return s.withTail(ctx, fmt.Errorf("start %s: %w", s.spec.Name, err))
			}
			return resident.open(ctx)
		}))
	}
	return starting.Wait()
}

// open learns what every trial begins with.
func (b *Bed) open(ctx context.Context) error {
	taken := map[string]bool{} // volumes that some resident puts back
	for _, spec := range b.services() {
		r := b.residents[spec.Name]
		if r == nil {
			continue
		}
		image, err := b.images.ensure(ctx, b.system.Name, spec, b.group.recorder)
		if err != nil {
			return err
		}
		r.image = image
		r.findVolumes(taken)
		if len(r.restores) == 0 {
			continue
		}
		if err := r.link().Snapshot(ctx, startKey, r.restores...); err != nil {
			return fmt.Errorf("see what is in the volumes of %s: %w", spec.Name, err)
		}
	}
	return nil
}

// services are those that take part in trials.
func (b *Bed) services() []system.Service {
	var without []string
	if b.facts.Explore != nil {
		without = b.facts.Explore.Without
	}
	return slices.DeleteFunc(slices.Clone(b.system.Services), func(spec system.Service) bool { return slices.Contains(without, spec.Name) })
}

// findVolumes lists the directories that the service can write to outside of
// its container, and those that are this resident's to put back: a volume
// that several mount is put back once.
func (r *resident) findVolumes(taken map[string]bool) {
	volume := func(source, target string) {
		r.volumes = append(r.volumes, target)
		if source == "" || !taken[source] {
			r.restores = append(r.restores, target)
		}
		if source != "" {
			taken[source] = true
		}
	}
	for _, mount := range r.spec.Mounts {
		if mount.Kind != system.MountTmpfs && !mount.ReadOnly && !mount.File {
			volume(mount.Source, mount.Target)
		}
	}
	for _, target := range r.image.Volumes {
		if !slices.Contains(r.volumes, target) {
			volume("", target)
		}
	}
}

// fail notes what makes the bed useless.
func (b *Bed) fail(err error) {
	b.mu.Lock()
	if b.broken == nil {
		b.broken = err
	}
	b.mu.Unlock()
	for _, r := range b.places() {
		if s := r.tenant.Load(); s != nil {
			s.abort(err)
			return
		}
	}
}

// places are the residents, and the target's place where it has one of its own.
func (b *Bed) places() []*resident {
	places := slices.Collect(maps.Values(b.residents))
	if b.killed == nil {
		return places
	}
	if place := b.killed.place.Load(); place != nil {
		places = append(places, place)
	}
	return places
}

// Err says why the bed is of no use any more; nil while it is.
func (b *Bed) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.broken
}

// Trial runs a scenario once on the bed, from a fresh start, with every
// operation of the recorded service in the history when a recording is asked
// for. The scenario's system and variables are those of the bed. It never
// gives nil: trouble is an event of the history. The history's folder is the
// caller's to remove.
func (b *Bed) Trial(ctx context.Context, sc *scenario.Scenario, record *Recording) *history.History {
	return b.trial(ctx, sc, record, nil)
}

// Chain is a trial of a scenario with a chain, which a lead leads: what the
// history is of is judged by it on the way.
func (b *Bed) Chain(ctx context.Context, sc *scenario.Scenario, lead Lead) *history.History {
	return b.trial(ctx, sc, nil, lead)
}

func (b *Bed) trial(ctx context.Context, sc *scenario.Scenario, record *Recording, lead Lead) *history.History {
	id := newRunID()
	meta := b.meta(id, sc)
	dir := filepath.Join(b.dir, id)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return unstarted(meta, fmt.Errorf("create folder for the history: %w", err))
	}
	recorder := history.NewRecorder(meta, dir)
	recorder.Hold(heldLimit)
	g := b.newGroup(b.group.id, sc.Name, b.system, recorder)
	r := &run{group: g, scenario: sc, facts: factsOf(sc), record: record, bed: b, up: make(chan struct{}), chain: newChain(sc, lead)}
	g.onRead = r.nudge
	aborting, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	g.abort = abort
	r.do(ctx, aborting)
	return recorder.History()
}

// heldLimit is how many bytes of collected files a trial keeps in memory.
const heldLimit = 8 << 20

// occupy is what prepare is for a run on a bed: everything is put back, and
// the residents are told whose lives they lead.
func (r *run) occupy(ctx context.Context) error {
	b := r.bed
	if err := b.reset(ctx); err != nil {
		err = fmt.Errorf("put everything back for the next trial: %w", err)
		if ctx.Err() == nil {
			b.fail(err)
		}
		return err
	}
	r.broker = b.link
	for _, s := range r.services {
		resident := b.residents[s.spec.Name]
		if b.killed != nil && s.spec.Name == b.choice.Target {
			place, err := b.killed.ready(ctx)
			if err != nil {
				return fmt.Errorf("make the container that is killed: %w", err)
			}
			resident = place
		}
		if resident == nil {
			s.shared, s.home = true, fixture{}
			s.see(engine.Event{Action: engine.ActionStart})
			s.see(engine.Event{Action: engine.ActionHealthy})
			continue
		}
		r.recorder.Meta(func(meta *history.Meta) { meta.SetImage(s.spec.Name, resident.image.ID) })
		s.home, s.id = resident, resident.made.id
		s.hasHealthcheck = hasHealthcheck(resident.spec, resident.image)
		resident.tenant.Store(s)
	}
	return nil
}

// reset ends the programs of the trial before and puts everything back.
func (b *Bed) reset(ctx context.Context) error {
	if err := b.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, resetTime)
	defer cancel()
	if err := b.stopAll(ctx); err != nil {
		return err
	}
	clearing, ctx := errgroup.WithContext(ctx)
	clearing.Go(safely("put files back", func() error { return b.each(ctx, (*resident).putBack) }))
	if b.killed != nil {
		clearing.Go(safely("put files back", func() error { return b.killed.putBack(ctx) }))
	}
	if b.link != nil {
		clearing.Go(safely("clear the broker", func() error {
			return b.link.broker.ClearVirtualHost(ctx, b.link.virtualHost, b.link.user)
		}))
	}
	return clearing.Wait()
}

// resetTime bounds a reset: it takes milliseconds, or something is wrong.
const resetTime = 30 * time.Second

// stopAll ends whatever runs.
func (b *Bed) stopAll(ctx context.Context) error {
	if b.killed != nil {
		if err := b.killed.reset(ctx); err != nil {
			return err
		}
	}
	return b.each(ctx, (*resident).reset)
}

// each does something with every resident, side by side.
func (b *Bed) each(ctx context.Context, do func(*resident, context.Context) error) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, r := range b.residents {
		all.Go(safely("reset "+r.spec.Name, func() error { return do(r, ctx) }))
	}
	return all.Wait()
}

// vacate ends the programs of a trial that is over.
func (b *Bed) vacate(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resetTime)
	defer cancel()
	if err := b.stopAll(ctx); err != nil {
		b.fail(err)
	}
}

// Close removes the bed.
func (b *Bed) Close(ctx context.Context) error {
	ctx, cancel := removalContext(ctx)
	defer cancel()
	b.mu.Lock()
	if b.broken == nil {
		b.broken = errors.New("the bed is closed")
	}
	b.mu.Unlock()
	for _, r := range b.places() {
		r.tenant.Store(nil)
		r.leave()
	}
	if b.killed != nil {
		b.killed.remove(ctx)
	}
	if b.link != nil {
		(&run{group: b.group, broker: b.link, scenario: &scenario.Scenario{}}).leaveBroker(ctx)
	}
	b.group.remove(ctx)
	var left []error
	for _, event := range b.group.recorder.History().Events {
		if event.Kind == history.Unremoved || event.Kind == history.Warning {
			left = append(left, errors.New(event.Text))
		}
	}
	return errors.Join(append(left, os.RemoveAll(b.dir))...)
}
