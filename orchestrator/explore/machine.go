package explore

import (
	"context"
	"errors"
	"fmt"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/run"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/suite"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// Way is how the crashes of trials are done.
type Way string

// The ways, the fastest first.
const (
	// KillProcess ends and starts the programs in containers that stay.
	KillProcess Way = "process"
	// KillContainer has the engine kill the target's container, and start it
	// again; the other services stay and start in place.
	KillContainer Way = "container"
	// Fresh gives all services containers of their own in each trial.
	Fresh Way = "fresh"
)

// Ways is every way, as --kill takes them.
var Ways = []Way{KillProcess, KillContainer, Fresh}

// Lane says what a runner is for.
type Lane struct {
	suite.Loaded
	Target string
	Model  Model
	Way    Way
}

// Machine opens runners on the engine of this machine.
type Machine struct {
	engine       *engine.Engine
	orchestrator *run.Orchestrator
}

// OpenMachine connects to the engine.
func OpenMachine(ctx context.Context, options run.Options) (*Machine, error) {
	connected, err := engine.Connect(ctx)
	if err != nil {
		return nil, err
	}
	options.Engine = connected
	orchestrator, err := run.New(ctx, options)
	if err != nil {
		return nil, err
	}
	return &Machine{connected, orchestrator}, nil
}

// Fingerprint identifies what containers of an image are made of, the same on
// every machine; "" where this engine does not have it.
func (m *Machine) Fingerprint(ctx context.Context, image string) (string, error) {
	found, err := m.engine.Image(ctx, image)
	switch {
	case errors.Is(err, engine.ErrNoImage):
		return "", nil
	case err != nil:
		return "", err
	}
	return found.Fingerprint(), nil
}

// Swept names what was removed of earlier, dead orchestrators.
func (m *Machine) Swept() []string { return m.orchestrator.Swept() }

// Close removes what the runners shared. They are closed.
func (m *Machine) Close(ctx context.Context) error { return m.orchestrator.Close(ctx) }

// Open makes a runner.
func (m *Machine) Open(ctx context.Context, lane Lane) (Runner, error) {
	recording := &run.Recording{Service: lane.Target, PowerLoss: lane.Model == PowerLoss}
	if lane.Way == Fresh {
		return &freshRunner{m.orchestrator, lane.System, recording}, nil
	}
	made := &bedRunner{recording: recording, make: func(ctx context.Context) (bed, error) {
		return m.orchestrator.NewBed(ctx, lane.Scenario, lane.System, run.BedOptions{Target: lane.Target, KillContainer: lane.Way == KillContainer})
	}}
	if err := made.open(ctx); err != nil || lane.Way == KillProcess {
		return made, err
	}
	return unled{made}, nil
}

// unled is a runner whose chains are not led: each of its containers' lives is
// one of a run.
type unled struct{ Runner }

// freshRunner gives each trial containers of its own.
type freshRunner struct {
	orchestrator *run.Orchestrator
	system       *system.System
	recording    *run.Recording
}

func (r *freshRunner) Trial(ctx context.Context, sc *scenario.Scenario, record bool) *history.History {
	recording := r.recording
	if !record {
		recording = nil
	}
	return r.orchestrator.Record(ctx, sc, r.system, recording)
}

func (r *freshRunner) Close(context.Context) error { return nil }

// bed is run.Bed, or a fake in tests.
type bed interface {
	Trial(context.Context, *scenario.Scenario, *run.Recording) *history.History
	Chain(context.Context, *scenario.Scenario, run.Lead) *history.History
	Err() error
	Close(context.Context) error
}

// bedRunner runs trials on a bed. One that broke is replaced: a container that
// somebody removed, or an engine that was restarted, must not end a campaign
// of hours.
type bedRunner struct {
	make      func(context.Context) (bed, error)
	recording *run.Recording
	bed       bed
}

func (r *bedRunner) open(ctx context.Context) error {
	made, err := r.make(ctx)
	if err == nil {
		r.bed = made
	}
	return err
}

func (r *bedRunner) Trial(ctx context.Context, sc *scenario.Scenario, record bool) *history.History {
	if err := r.ready(ctx); err != nil {
		return troubled(err)
	}
	recording := r.recording
	if !record {
		recording = nil
	}
	return r.bed.Trial(ctx, sc, recording)
}

// Chain: see ChainRunner.
func (r *bedRunner) Chain(ctx context.Context, sc *scenario.Scenario, lead run.Lead) *history.History {
	if err := r.ready(ctx); err != nil {
		return troubled(err)
	}
	return r.bed.Chain(ctx, sc, lead)
}

// ready replaces a bed that broke.
func (r *bedRunner) ready(ctx context.Context) error {
	if r.bed != nil && r.bed.Err() != nil {
		if err := r.Close(ctx); err != nil {
			return fmt.Errorf("remove the containers of a lane that broke: %w", err)
		}
	}
	if r.bed == nil {
		if err := r.open(ctx); err != nil {
			return fmt.Errorf("replace the containers of a lane that broke: %w", err)
		}
	}
	return nil
}

func (r *bedRunner) Close(ctx context.Context) error {
	if r.bed == nil {
		return nil
	}
	closing := r.bed
	r.bed = nil
	return closing.Close(ctx)
}

// troubled is the history of a trial that could not begin.
func troubled(err error) *history.History {
	return &history.History{Events: []history.Event{{Kind: history.Trouble, Text: err.Error()}}}
}

// OpenLanes opens so many runners of a kind, side by side.
func OpenLanes(ctx context.Context, count int, open func(context.Context) (Runner, error)) ([]Runner, error) {
	runners := make([]Runner, count)
	failed := make([]error, count)
	done := make(chan int)
	for i := range count {
		go func() {
			defer func() { done <- i }()
			runners[i], failed[i] = open(ctx)
		}()
	}
	for range count {
		<-done
	}
	if err := errors.Join(failed...); err != nil {
		for i, runner := range runners {
			if failed[i] == nil {
				err = errors.Join(err, runner.Close(ctx))
			}
		}
		return nil, err
	}
	return runners, nil
}
