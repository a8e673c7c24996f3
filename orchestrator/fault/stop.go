package fault

import (
	"context"
	"time"

	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// stop asks the service to end, as a deployment does. With a restart of zero
// it is the restart fault.
type stop struct {
	grace   *scenario.Duration
	restart *scenario.Duration
}

func (s *stop) Inject(ctx context.Context, target Target) (string, error) {
	var grace *time.Duration
	if s.grace != nil {
		given := time.Duration(*s.grace)
		grace = &given
	}
	if err := target.Stop(ctx, grace); err != nil {
		return "", err
	}
	return "stopped", nil
}

func (s *stop) Heal(ctx context.Context, target Target) (string, error) {
	return startAfter(ctx, target, s.restart)
}
