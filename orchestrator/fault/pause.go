package fault

import (
	"context"
	"fmt"

	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// pause freezes every process of the service by the freezer of its cgroup:
// its connections stay open and nobody answers them.
type pause struct{ lasts scenario.Duration }

func (p *pause) Inject(ctx context.Context, target Target) (string, error) {
	if err := target.Pause(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("paused for %s", p.lasts), nil
}

func (p *pause) Heal(ctx context.Context, target Target) (string, error) {
	if err := wait(ctx, p.lasts); err != nil {
		return "", err
	}
	if err := target.Unpause(ctx); err != nil {
		return "", err
	}
	return "unpaused", nil
}
