package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/system"
)

// follow gives the events of the containers with a label, from now on.
func follow(t *testing.T, value string) <-chan Event {
	t.Helper()
	ctx, e := with(t)
	events, ready, ended := make(chan Event, 100), make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		ended <- e.Events(ctx, map[string]string{testLabel: "", "kpe.who": value}, func() { close(ready) }, func(event Event) { events <- event })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("events ended with %v", err)
		}
	})
	select {
	case <-ready:
	case <-ctx.Done():
		t.Fatal("events: not ready")
	}
	return events
}

func labelled(value string) func(*ContainerSpec) {
	return func(spec *ContainerSpec) { spec.Labels = merge(labels(), map[string]string{"kpe.who": value}) }
}

func next(t *testing.T, events <-chan Event) Event {
	t.Helper()
	select {
	case event := <-events:
		return event
	case <-time.After(20 * time.Second):
		t.Fatal("no event")
		return Event{}
	}
}

func TestEventsOfALife(t *testing.T) {
	ctx, e := with(t)
	events := follow(t, "a-life")
	create(t, labelled("somebody-else"))
	id := start(t, labelled("a-life"), "wait")
	steps := []struct {
		want  string
		after func() error
	}{
		{"start", func() error { return e.Pause(ctx, id) }},
		{"pause", func() error { return e.Unpause(ctx, id) }},
		{"unpause", func() error { return e.Kill(ctx, id, "SIGKILL") }},
		{"kill signal 9", nil},
		{"die 137", func() error { return e.Start(ctx, id) }},
		{"start", func() error { waitLineOfLife(t, id, 2, "ready"); return e.Kill(ctx, id, "SIGTERM") }},
		{"kill signal 15", nil},
		{"die 3", func() error { return e.Remove(ctx, id) }},
		{"destroy", nil},
	}
	last := time.Time{}
	for i, step := range steps {
		event := next(t, events)
		got := string(event.Action)
		switch event.Action {
		case ActionKill:
			got += " signal " + event.Signal
		case ActionDie:
			got += fmt.Sprintf(" %d", event.ExitCode)
		}
		if got != step.want || event.ID != id || event.Labels["kpe.who"] != "a-life" || !strings.HasPrefix(event.Name, prefix) || !event.At.After(last) {
			t.Fatalf("event %d: %q of %s, %+v; want %q", i, got, id, event, step.want)
		}
		last = event.At
		if step.after != nil {
			if err := step.after(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestEventsOfHealth(t *testing.T) {
	ctx, e := with(t)
	events := follow(t, "health")
	id := start(t, func(spec *ContainerSpec) {
		labelled("health")(spec)
		spec.Service.Healthcheck = &system.Healthcheck{
			Test: []string{"CMD", "/subject", "exists", "/well"}, Interval: 100 * time.Millisecond, Timeout: 5 * time.Second, Retries: 1,
		}
	}, "wait")
	expect := func(want Action) {
		t.Helper()
		if event := next(t, events); event.Action != want {
			t.Fatalf("event %q, want %q", event.Action, want)
		}
	}
	expect(ActionStart)
	expect(ActionUnhealthy)
	if state, err := e.Inspect(ctx, id); err != nil || state.Health != "unhealthy" || !strings.Contains(state.HealthOutput, "/well") {
		t.Errorf("state %+v, error %v", state, err)
	}
	if _, err := e.Exec(ctx, id, ExecSpec{Command: []string{"/subject", "write", "/well", "x"}}); err != nil {
		t.Fatal(err)
	}
	expect(ActionHealthy)
	if state, err := e.Inspect(ctx, id); err != nil || state.Health != "healthy" {
		t.Errorf("state %+v, error %v", state, err)
	}
}
