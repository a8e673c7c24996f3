package cli

import (
	"context"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/run"
)

// sweepEngine connects to Docker and removes leftovers.
func sweepEngine(ctx context.Context, all bool) ([]string, error) {
	connected, err := engine.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return run.Sweep(ctx, connected, all)
}
