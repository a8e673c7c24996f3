package engine

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestPullOfAnImageThatIsNowhere(t *testing.T) {
	ctx, e := with(t)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	// Port 1 of this machine: refused at once, whatever registries there are.
	err := e.Pull(ctx, "127.0.0.1:1/kpe/nowhere:1", "", nil)
	if err == nil || !strings.Contains(err.Error(), "pull image 127.0.0.1:1/kpe/nowhere:1") || ctx.Err() != nil {
		t.Errorf("error %v, want one that names the image, at once", err)
	}
}
