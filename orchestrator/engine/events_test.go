package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/events"

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
		for event.Action == ActionPause && i > 1 || event.Action == ActionUnpause && i > 2 {
			event = next(t, events) // engines tell of a pause and of its end again when containerd's word of it comes late
		}
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

// TestEventsSurviveABrokenConnection talks to the engine through a proxy that
// cuts the first stream of events after one, the second after two, and so on.
func TestEventsSurviveABrokenConnection(t *testing.T) {
	ctx, e := with(t)
	target, err := url.Parse(e.api.DaemonHost())
	if err != nil {
		t.Fatal(err)
	}
	if target.Scheme != "unix" {
		t.Skip("the proxy speaks to a socket")
	}
	var streams atomic.Int32
	proxy := &httputil.ReverseProxy{
		Rewrite: func(request *httputil.ProxyRequest) {
			request.Out.URL.Scheme, request.Out.URL.Host = "http", "engine"
		},
		FlushInterval: -1,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", target.Path)
		}},
		ErrorLog: log.New(io.Discard, "", 0),
		ModifyResponse: func(response *http.Response) error {
			if strings.HasSuffix(response.Request.URL.Path, "/events") {
				response.Body = &fewEvents{response.Body, int(streams.Add(1))}
			}
			return nil
		},
	}
	server := httptest.NewServer(proxy)
	defer server.Close()
	t.Setenv("DOCKER_HOST", "tcp://"+server.Listener.Addr().String())
	far, err := Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()

	following, cancel := context.WithCancel(ctx)
	defer cancel()
	events, ready := make(chan Event, 100), make(chan struct{})
	go func() {
		_ = far.Events(following, map[string]string{"kpe.who": "broken"}, func() { close(ready) }, func(event Event) { events <- event })
	}()
	<-ready
	id := create(t, labelled("broken"), "wait")
	for range 3 {
		if err := e.Start(ctx, id); err != nil {
			t.Fatal(err)
		}
		if err := e.Kill(ctx, id, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := e.WaitStopped(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		for _, want := range []Action{ActionStart, ActionKill, ActionDie} {
			if event := next(t, events); event.Action != want {
				t.Fatalf("event %s, want %s", event.Action, want)
			}
		}
	}
	if len(events) > 0 || streams.Load() < 4 {
		t.Errorf("%d more events after the last, over %d connections", len(events), streams.Load())
	}
}

// fewEvents is a stream of events that breaks after so many.
type fewEvents struct {
	io.ReadCloser
	left int
}

func (f *fewEvents) Read(content []byte) (int, error) {
	n, err := f.ReadCloser.Read(content)
	for i, char := range content[:n] {
		if char != '\n' {
			continue
		}
		if f.left--; f.left == 0 {
			return i + 1, io.ErrUnexpectedEOF
		}
	}
	return n, err
}

func TestSeenEventsForgetsTheOldest(t *testing.T) {
	seen := &seenEvents{keys: map[eventKey]bool{}}
	message := func(at int) events.Message { return events.Message{Action: "die", TimeNano: int64(at)} }
	for at := range seenLimit + 1 {
		if !seen.add(message(at)) || seen.add(message(at)) {
			t.Fatalf("event %d is not new, or is new twice", at)
		}
	}
	if !seen.add(message(0)) || len(seen.keys) != seenLimit || len(seen.order) != seenLimit {
		t.Errorf("%d keys and %d in order, want %d", len(seen.keys), len(seen.order), seenLimit)
	}
}
