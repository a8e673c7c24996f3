package fault

import (
	"context"
	"fmt"

	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// disconnect takes the service off all its networks: packets vanish, and
// neither side is told.
type disconnect struct{ lasts scenario.Duration }

func (d *disconnect) Inject(ctx context.Context, target Target) (string, error) {
	if err := target.Disconnect(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("disconnected for %s", d.lasts), nil
}

func (d *disconnect) Heal(ctx context.Context, target Target) (string, error) {
	if err := wait(ctx, d.lasts); err != nil {
		return "", err
	}
	if err := target.Reconnect(ctx); err != nil {
		return "", err
	}
	return "connected again", nil
}
