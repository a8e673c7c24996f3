package run

import (
	"slices"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
	"github.com/killpoint/killpoint/orchestrator/scenario"
	"github.com/killpoint/killpoint/orchestrator/system"
)

// recovery is a run in which a service lives again after a fault.
func recovery(t *testing.T, ready string, settle time.Duration) (*run, *service, func(history.Event)) {
	t.Helper()
	sc := &scenario.Scenario{Settle: scenario.Duration(settle)}
	sc.Expect.Stable = []scenario.StableExpect{{Service: "worker", Ready: ready}, {Service: "worker", Ready: "never"}}
	g := &group{recorder: history.NewRecorder(history.Meta{}, t.TempDir()), services: map[string]*service{}}
	r := &run{group: g, scenario: sc, facts: scenario.Facts{Ready: map[string]string{"worker": "never", "other": "Up"}}}
	var err error
	if r.progress, err = r.newProgress(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"worker", "other"} {
		g.services[name] = newService(g, system.Service{Name: name})
		g.services[name].update(func(state *serviceState) { state.running, state.incarnation = true, 1 })
	}
	r.recorder.Watch(r.progress.see)
	worker := g.services["worker"]
	return r, worker, func(event history.Event) { r.recorder.Add(event) }
}

func TestAServiceThatSaysWhenItIsReadyIsWaitedFor(t *testing.T) {
	r, worker, add := recovery(t, "Ready", time.Hour)
	add(history.Event{Kind: history.Log, Service: "worker", Incarnation: 1, Text: "Ready to go"})
	if unready := r.unready(); len(unready) != 0 || r.mayRecover() {
		t.Errorf("before any fault %v is waited for", unready)
	}
	worker.faulted.Store(true)
	worker.update(func(state *serviceState) { state.incarnation = 2 })
	add(history.Event{Kind: history.Log, Service: "other", Incarnation: 2, Text: "Ready"})
	add(history.Event{Kind: history.Log, Service: "worker", Incarnation: 2, Text: "recovering"})
	if unready := r.unready(); !slices.Equal(unready, []string{"worker to be ready again"}) {
		t.Errorf("%v is waited for", unready)
	}
	add(history.Event{Kind: history.Log, Service: "worker", Incarnation: 2, Text: "Ready to go"})
	if unready := r.unready(); len(unready) != 0 || r.mayRecover() {
		t.Errorf("%v is waited for", unready)
	}
	other := r.services["other"] // of which only the facts know
	other.faulted.Store(true)
	other.update(func(state *serviceState) { state.incarnation = 2 })
	if unready := r.unready(); !slices.Equal(unready, []string{"other to be ready again"}) {
		t.Errorf("%v is waited for", unready)
	}
	add(history.Event{Kind: history.Log, Service: "other", Incarnation: 2, Text: "Up"})
	if unready := r.unready(); len(unready) != 0 {
		t.Errorf("%v is waited for", unready)
	}
	other.update(func(state *serviceState) { state.running = false })
	worker.update(func(state *serviceState) { state.running = false })
	if len(r.recovering()) != 0 {
		t.Error("a service that is down is waited for")
	}
}

func TestAServiceThatSaysNothingIsGivenSilence(t *testing.T) {
	const settle = 250 * time.Millisecond // longer than a busy machine sleeps for a millisecond
	r, worker, add := recovery(t, "", settle)
	r.progress.ready = nil
	worker.faulted.Store(true)
	worker.update(func(state *serviceState) { state.incarnation = 2 })
	begin := time.Now()
	add(history.Event{Kind: history.Started, Service: "worker", Incarnation: 2})
	if !r.mayRecover() {
		t.Error("it has recovered at once")
	}
	for r.mayRecover() {
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(begin); took < settle || len(r.unready()) != 0 {
		t.Errorf("it was silent for %v", took)
	}
	// One that is never silent is at work again after a while.
	begin = time.Now()
	add(history.Event{Kind: history.Started, Service: "worker", Incarnation: 2})
	for r.mayRecover() {
		add(history.Event{Kind: history.Log, Service: "worker", Incarnation: 2, Text: "x"})
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(begin); took < 4*settle {
		t.Errorf("it was waited for %v", took)
	}
}
