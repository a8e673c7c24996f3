package run

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/killpoint/killpoint/orchestrator/engine"
	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// A life begins when the log of the one before was read to its end, so that a
// history never mixes the two.
func TestStartWaitsForTheLogOfTheLifeBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &group{Orchestrator: &Orchestrator{engine: &engine.Engine{}}, recorder: history.NewRecorder(history.Meta{}, t.TempDir())}
		s := newService(g, system.Service{Name: "worker"})
		s.update(func(now *serviceState) { now.incarnation, now.followed = 1, 0 })
		// There is no container, so that it fails as soon as it is tried.
		started := make(chan error, 1)
		go func() { started <- s.Start(context.Background()) }()
		synctest.Wait()
		select {
		case err := <-started:
			t.Fatalf("it was started (%v) before the log was read", err)
		default:
		}
		s.update(func(now *serviceState) { now.followed = 1 })
		if err := <-started; err == nil || !strings.Contains(err.Error(), "start worker: start container") {
			t.Errorf("got %v, want what the engine says of no container", err)
		}
	})
}

func TestExitWords(t *testing.T) {
	for _, test := range []struct {
		code int
		oom  bool
		want string
	}{
		{0, false, ""}, {1, false, ""}, {128, false, ""}, {255, false, ""},
		{137, false, "SIGKILL"}, {143, false, "SIGTERM"}, {139, false, "signal 11"},
		{137, true, "killed by the kernel: out of memory"},
	} {
		if got := exitWords(test.code, test.oom); got != test.want {
			t.Errorf("exitWords(%d, %v) = %q, want %q", test.code, test.oom, got, test.want)
		}
	}
}
