package run

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// A broker that runs share is asked for its health until it is up, and by
// nobody afterwards.
func TestHealthIsAskedByHand(t *testing.T) {
	for name, test := range map[string]struct {
		environment map[string]string
		check       *system.Healthcheck
		says        string // "" when it becomes healthy
	}{
		"becomes healthy":      {map[string]string{"LINES": "10", "EVERY": "100ms", "HEALTHY": "8"}, &system.Healthcheck{Test: []string{"CMD", "/actor", "healthy"}, Interval: 50 * time.Millisecond, Retries: 1000}, ""},
		"has no check":         {nil, nil, ""},
		"is never healthy":     {map[string]string{"LINES": "3"}, &system.Healthcheck{Test: []string{"CMD", "/actor", "healthy"}, Interval: 50 * time.Millisecond, Retries: 4}, "database is unhealthy"},
		"has no such command":  {map[string]string{"LINES": "3"}, &system.Healthcheck{Test: []string{"CMD-SHELL", "true"}, Interval: 50 * time.Millisecond, Retries: 4}, "database is unhealthy"},
		"exits before that":    {map[string]string{"LINES": "3", "EXIT": "5"}, &system.Healthcheck{Test: []string{"CMD", "/actor", "healthy"}, Interval: 50 * time.Millisecond, Retries: 1000}, "database exited with 5 before it was healthy"},
		"needs its start time": {map[string]string{"LINES": "10", "EVERY": "100ms", "HEALTHY": "8"}, &system.Healthcheck{Test: []string{"CMD", "/actor", "healthy"}, Interval: 50 * time.Millisecond, Retries: 1, StartPeriod: time.Minute}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := with(t)
			_, sys := mustLoad(t, "depends.yaml")
			o := open(t, ctx, Options{})
			spec := sys.Services[slices.IndexFunc(sys.Services, func(s system.Service) bool { return s.Name == "database" })]
			spec.Environment, spec.Healthcheck = test.environment, &system.Healthcheck{Test: []string{"NONE"}}
			g := o.newGroup(newRunID(), "", sys, history.NewRecorder(history.Meta{}, t.TempDir()))
			defer g.remove(ctx)
			s := newService(g, spec)
			if err := g.create(ctx, []*service{s}); err != nil {
				t.Fatal(err)
			}
			if err := g.watch(ctx); err != nil {
				t.Fatal(err)
			}
			if err := s.Start(ctx); err != nil {
				t.Fatal(err)
			}
			err := s.becomeHealthy(ctx, test.check)
			if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
				t.Errorf("got %v, want %q", err, test.says)
			}
		})
	}
}
