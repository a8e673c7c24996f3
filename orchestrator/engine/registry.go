package engine

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
)

// InRegistry asks an image's registry whether it has it, without pulling it,
// with the docker command's logins. The error wraps ErrNoImage when the
// registry has not, or does not give it to this user, and ErrNoRegistry when
// it does not answer.
func (e *Engine) InRegistry(ctx context.Context, reference string) error {
	ctx, cancel := bounded(ctx, quickCall)
	defer cancel()
	login, err := e.encodedLogin(ctx, reference)
	if err != nil {
		return fmt.Errorf("ask the registry for %s: %w", reference, err)
	}
	_, err = e.api.DistributionInspect(ctx, reference, login)
	switch {
	case err == nil:
		return nil
	case errdefs.IsNotFound(err), errdefs.IsUnauthorized(err), errdefs.IsPermissionDenied(err):
		return fmt.Errorf("ask the registry for %s: %w: %w", reference, ErrNoImage, err)
	}
	return fmt.Errorf("ask the registry for %s: %w: %w", reference, ErrNoRegistry, err)
}
