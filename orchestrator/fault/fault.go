// Package fault does planned faults to services. One file per kind of fault;
// each is a pair of steps: Inject takes effect at the moment that the trigger
// came, Heal brings the service back. When they are done is package
// trigger's, and what they led to is package check's.
//
//	Match ──▶ Inject ──▶ (down for a while) ──▶ Heal ──▶ the service is back
package fault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// Target is the service that a fault is done to. Its methods return when the
// effect is there: Kill when the process is dead, Start when it runs.
type Target interface {
	// Kill sends a signal. It waits for the death of the process when the
	// signal is one that ends it.
	Kill(ctx context.Context, signal string) error
	// Stop sends the stop signal, and SIGKILL after the grace time; nil is
	// the service's own.
	Stop(ctx context.Context, grace *time.Duration) error
	Start(ctx context.Context) error
	Pause(ctx context.Context) error
	Unpause(ctx context.Context) error
	Disconnect(ctx context.Context) error
	Reconnect(ctx context.Context) error
	// RestartIfExited has the service started again, this long after it was
	// down, whenever it exits by itself from now on.
	RestartIfExited(after time.Duration)
}

// ErrNotRunning says that a fault came for a service that was already down.
var ErrNotRunning = errors.New("the service is not running")

// Fault is one kind of fault with its parameters.
type Fault interface {
	// Inject does it, and says in words what it did.
	Inject(ctx context.Context, target Target) (done string, err error)
	// Heal waits as long as the fault lasts and brings the service back. It
	// says in words what it did: nothing when the fault is for good.
	Heal(ctx context.Context, target Target) (healed string, err error)
}

// New gives the fault that a scenario plans.
func New(planned scenario.Fault) (Fault, error) {
	switch planned.Kind {
	case scenario.Kill:
		return &kill{signal: planned.Signal, restart: planned.Restart}, nil
	case scenario.Stop:
		return &stop{grace: planned.Grace, restart: planned.Restart}, nil
	case scenario.Restart:
		now := scenario.Duration(0)
		return &stop{grace: planned.Grace, restart: &now}, nil
	case scenario.Pause:
		return &pause{lasts: *planned.For}, nil
	case scenario.Disconnect:
		return &disconnect{lasts: *planned.For}, nil
	case scenario.Fail, scenario.Short, scenario.Delay:
		return newInPlace(planned), nil
	}
	return nil, fmt.Errorf("prepare fault %q: no such kind", planned.Kind)
}

// wait lets a fault last: it is part of the plan, not a way to synchronise.
func wait(ctx context.Context, lasts scenario.Duration) error {
	timer := time.NewTimer(time.Duration(lasts))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// startAfter starts the target again when the delay has passed; nil leaves it
// down for good.
func startAfter(ctx context.Context, target Target, delay *scenario.Duration) (string, error) {
	if delay == nil {
		return "", nil
	}
	if err := wait(ctx, *delay); err != nil {
		return "", err
	}
	if err := target.Start(ctx); err != nil {
		return "", err
	}
	return "started again", nil
}
