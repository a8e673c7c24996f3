package suite

import (
	"context"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/run"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// Runner runs scenarios: run.Orchestrator, or a fake in tests.
type Runner interface {
	// Run never gives nil, and has removed what it started when it returns.
	Run(context.Context, *scenario.Scenario, *system.System) *history.History
	// Swept names what was removed of earlier, dead orchestrators.
	Swept() []string
	// Close removes what runs shared.
	Close(context.Context) error
}

// OpenEngine connects to Docker and prepares to run scenarios there.
func OpenEngine(ctx context.Context, options run.Options) (Runner, error) {
	connected, err := engine.Connect(ctx)
	if err != nil {
		return nil, err
	}
	options.Engine = connected
	orchestrator, err := run.New(ctx, options)
	if err != nil {
		return nil, err // not the orchestrator, which as a Runner would not be nil
	}
	return orchestrator, nil
}
