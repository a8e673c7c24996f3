package run

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// group is the containers, networks and volumes that live and die together:
// those of one run, or those of one shared broker.
type group struct {
	*Orchestrator
	id       string
	system   *system.System
	recorder *history.Recorder
	labels   map[string]string
	services map[string]*service

	// What was made on the engine, to be removed; in the order of making.
	mu       sync.Mutex
	networks map[string]string // the engine's name by the compose file's
	made     engine.Things
	volumes  string            // the id in the names of its volumes, where these are another group's
	copies   map[string]string // the volume that holds the copy of a host folder
	copying  sync.Mutex        // one copy of a host folder is made at a time

	watching context.CancelFunc
	watched  sync.WaitGroup

	abort  context.CancelCauseFunc // ends what waits for this group, with the reason
	onRead func()                  // called when the log of a life was read to its end
}

func (o *Orchestrator) newGroup(id, scenarioName string, sys *system.System, recorder *history.Recorder) *group {
	labels := map[string]string{labelRun: id, labelOwner: o.owner.name}
	if scenarioName != "" {
		labels[labelScenario] = scenarioName
	}
	if o.options.Keep {
		labels[labelKept] = "true"
	}
	return &group{
		Orchestrator: o, id: id, system: sys, recorder: recorder, labels: labels,
		services: map[string]*service{}, networks: map[string]string{}, copies: map[string]string{}, watching: func() {},
		abort: func(error) {}, onRead: func() {},
	}
}

// guard is deferred in what goes on beside the run: a panic there is trouble
// of this run alone, which ends, and its containers are removed as after any
// other. Going on, it would wait for what nobody tells it any more.
func (g *group) guard(doing string) {
	if reason := recover(); reason != nil {
		g.abort(panicError(doing, reason))
	}
}

func panicError(doing string, reason any) error {
	return fmt.Errorf("%s: panic: %v\n%s", doing, reason, debug.Stack())
}

// safely makes a panic an error, in goroutines that have somebody who waits
// for their errors. It would end the process, and leave everything behind.
func safely(doing string, do func() error) func() error {
	return func() (err error) {
		defer func() {
			if reason := recover(); reason != nil {
				err = panicError(doing, reason)
			}
		}()
		return do()
	}
}

// name is what a thing of this group is called on the engine.
func (g *group) name(thing string) string { return thingName(g.id, thing) }

func thingName(id, thing string) string { return "kp-" + id + "-" + fileName(thing) }

func (g *group) labelsFor(service string) map[string]string {
	labels := map[string]string{labelService: service}
	for key, value := range g.labels {
		labels[key] = value
	}
	return labels
}

// watch follows the engine's events of this group's containers until remove.
// It returns when the subscription stands, so that no start is missed.
func (g *group) watch(ctx context.Context) error {
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g.watching = cancel
	ready := make(chan error, 1)
	g.watched.Go(func() {
		defer g.guard("follow the engine's events")
		err := g.engine.Events(watching, map[string]string{labelRun: g.id}, func() { ready <- nil }, g.dispatch)
		if err != nil && watching.Err() == nil {
			g.abort(fmt.Errorf("follow the engine's events: %w", err))
		}
		select {
		case ready <- err:
		default:
		}
	})
	select {
	case err := <-ready:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *group) dispatch(event engine.Event) {
	if s := g.services[event.Labels[labelService]]; s != nil {
		s.see(event)
	}
}

// create makes the networks and volumes and then all containers side by side.
// Nothing is started.
func (g *group) create(ctx context.Context, services []*service) error {
	if err := g.createNetworks(ctx, services); err != nil {
		return err
	}
	if err := g.createVolumes(ctx, services); err != nil {
		return err
	}
	for _, s := range services {
		g.services[s.spec.Name] = s
	}
	making, ctx := errgroup.WithContext(ctx)
	making.SetLimit(parallelCalls)
	for _, s := range services {
		making.Go(safely("create "+s.spec.Name, func() error { return s.create(ctx) }))
	}
	return making.Wait()
}

// parallelCalls bounds how many calls one run has under way at the engine.
const parallelCalls = 8

// making notes a thing that is about to be made, and must be removed, and
// gives the context to make it with. The engine goes on making what nobody
// waits for any more, so that only a call that was not begun can be cut short.
func (g *group) making(ctx context.Context, list *[]engine.Thing, name string) (context.Context, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	*list = append(*list, engine.Thing{Name: name, Labels: g.labels})
	return context.WithoutCancel(ctx), nil
}

// start starts the services as their dependencies allow, side by side.
func (g *group) start(ctx context.Context, services []*service) error {
	starting, ctx := errgroup.WithContext(ctx)
	for _, s := range services {
		starting.Go(safely("start "+s.spec.Name, func() error {
			if err := s.awaitDependencies(ctx); err != nil {
				return err
			}
			return s.Start(ctx)
		}))
	}
	return starting.Wait()
}

// remove takes everything away that was made, and names what it could not.
func (g *group) remove(ctx context.Context) {
	g.mu.Lock()
	made := g.made
	g.made = engine.Things{}
	g.mu.Unlock()
	for _, s := range g.services {
		s.stopFollowing() // what a container says while it is removed says nothing of the system
	}
	removing := errgroup.Group{}
	removing.SetLimit(parallelCalls)
	for _, container := range made.Containers {
		removing.Go(safely("remove container "+container.Name, func() error {
			one := engine.Things{Containers: []engine.Thing{container}}
			_, err := removeThings(ctx, g.engine, one, func(map[string]string) bool { return true })
			return err
		}))
	}
	err := removing.Wait()
	g.watching()
	g.watched.Wait()
	made.Containers = nil
	_, rest := removeThings(ctx, g.engine, made, func(map[string]string) bool { return true })
	if err = errors.Join(err, rest); err != nil {
		g.recorder.Add(history.Event{Kind: history.Unremoved, Text: err.Error()})
		return
	}
	g.recorder.Add(history.Event{Kind: history.Removed})
}

// removalTime is how long removal may take once a run has ended, be it by
// Ctrl-C: it has its own deadline, since the run's context has ended.
const removalTime = 60 * time.Second

func removalContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), removalTime)
}
