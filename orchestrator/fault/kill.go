package fault

import (
	"context"
	"fmt"

	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// kill sends a signal to the service's first process. The page cache
// survives it: this is the process-crash model, not a power loss.
type kill struct {
	signal  string
	restart *scenario.Duration
}

func (k *kill) Inject(ctx context.Context, target Target) (string, error) {
	if err := target.Kill(ctx, k.signal); err != nil {
		return "", err
	}
	return fmt.Sprintf("killed with %s", k.signal), nil
}

func (k *kill) Heal(ctx context.Context, target Target) (string, error) {
	return startAfter(ctx, target, k.restart)
}
