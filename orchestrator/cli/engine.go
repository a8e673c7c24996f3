package cli

import (
	"context"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/run"
)

// openEngine connects to Docker and prepares to run scenarios there.
func openEngine(ctx context.Context, options run.Options) (runner, error) {
	connected, err := engine.Connect(ctx)
	if err != nil {
		return nil, err
	}
	options.Engine = connected
	orchestrator, err := run.New(ctx, options)
	if err != nil {
		return nil, err // not the orchestrator, which as a runner would not be nil
	}
	return orchestrator, nil
}

// sweepEngine connects to Docker and removes leftovers.
func sweepEngine(ctx context.Context, all bool) ([]string, error) {
	connected, err := engine.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return run.Sweep(ctx, connected, all)
}
