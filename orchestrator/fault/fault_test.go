package fault_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/fault"
	"github.com/killpoint/killpoint/orchestrator/scenario"
)

// target writes down what is done to it.
type target struct {
	calls []string
	down  bool
}

func (t *target) do(call string) error {
	if t.down {
		return fault.ErrNotRunning
	}
	t.calls = append(t.calls, call)
	return nil
}

func (t *target) Kill(_ context.Context, signal string) error { return t.do("kill " + signal) }
func (t *target) Stop(_ context.Context, grace *time.Duration) error {
	if grace == nil {
		return t.do("stop")
	}
	return t.do("stop " + grace.String())
}
func (t *target) Start(context.Context) error      { return t.do("start") }
func (t *target) Pause(context.Context) error      { return t.do("pause") }
func (t *target) Unpause(context.Context) error    { return t.do("unpause") }
func (t *target) Disconnect(context.Context) error { return t.do("disconnect") }
func (t *target) Reconnect(context.Context) error  { return t.do("reconnect") }
func (t *target) RestartIfExited(after time.Duration) {
	t.calls = append(t.calls, "restart if exited after "+after.String())
}

func duration(d time.Duration) *scenario.Duration {
	given := scenario.Duration(d)
	return &given
}

func TestFaultsInjectAndHeal(t *testing.T) {
	tests := []struct {
		name    string
		planned scenario.Fault
		calls   string
	}{
		{"kill for good", scenario.Fault{Kind: scenario.Kill, Signal: "SIGKILL"}, "kill SIGKILL"},
		{"kill and restart", scenario.Fault{Kind: scenario.Kill, Signal: "SIGKILL", Restart: duration(0)}, "kill SIGKILL, start"},
		{"another signal", scenario.Fault{Kind: scenario.Kill, Signal: "SIGTERM"}, "kill SIGTERM"},
		{"stop", scenario.Fault{Kind: scenario.Stop}, "stop"},
		{"stop with a grace time", scenario.Fault{Kind: scenario.Stop, Grace: duration(5 * time.Second), Restart: duration(0)}, "stop 5s, start"},
		{"restart", scenario.Fault{Kind: scenario.Restart}, "stop, start"},
		{"pause", scenario.Fault{Kind: scenario.Pause, For: duration(0)}, "pause, unpause"},
		{"disconnect", scenario.Fault{Kind: scenario.Disconnect, For: duration(0)}, "disconnect, reconnect"},
		{"fail", scenario.Fault{Kind: scenario.Fail, Errno: "ENOSPC"}, ""},
		{"fail with a restart", scenario.Fault{Kind: scenario.Fail, Errno: "EIO", RestartIfExited: duration(time.Second)}, "restart if exited after 1s"},
		{"short", scenario.Fault{Kind: scenario.Short, Bytes: new(5)}, ""},
		{"delay", scenario.Fault{Kind: scenario.Delay, By: duration(time.Second)}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			planned, err := fault.New(test.planned)
			if err != nil {
				t.Fatal(err)
			}
			var on target
			done, err := planned.Inject(t.Context(), &on)
			if err != nil || done == "" {
				t.Fatalf("Inject gave %q, %v; want words and no error", done, err)
			}
			healed, err := planned.Heal(t.Context(), &on)
			if err != nil {
				t.Fatal(err)
			}
			if calls := strings.Join(on.calls, ", "); calls != test.calls {
				t.Errorf("did %q, want %q", calls, test.calls)
			}
			if back := len(on.calls) > 1; back != (healed != "") {
				t.Errorf("Heal said %q after %v", healed, on.calls)
			}
		})
	}
}

func TestHealLastsAsLongAsPlanned(t *testing.T) {
	const lasts = 30 * time.Millisecond
	for _, planned := range []scenario.Fault{
		{Kind: scenario.Kill, Signal: "SIGKILL", Restart: duration(lasts)},
		{Kind: scenario.Pause, For: duration(lasts)},
		{Kind: scenario.Disconnect, For: duration(lasts)},
	} {
		one, err := fault.New(planned)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, err := one.Heal(t.Context(), &target{}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < lasts {
			t.Errorf("%s was healed after %s, want no sooner than %s", planned.Kind, took, lasts)
		}
	}
}

func TestHealEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	one, err := fault.New(scenario.Fault{Kind: scenario.Pause, For: duration(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	var on target
	if _, err := one.Heal(ctx, &on); !errors.Is(err, context.Canceled) || len(on.calls) > 0 {
		t.Errorf("got %v after %v, want the context's error and nothing done", err, on.calls)
	}
}

func TestInjectSaysThatTheTargetIsDown(t *testing.T) {
	for _, kind := range scenario.FaultKinds {
		if scenario.FaultKind(kind.Name).OnCall() {
			continue // the call of a dead program never comes
		}
		one, err := fault.New(scenario.Fault{Kind: scenario.FaultKind(kind.Name), Signal: "SIGKILL", For: duration(0)})
		if err != nil {
			t.Errorf("%s: %v", kind.Name, err)
			continue
		}
		if _, err := one.Inject(t.Context(), &target{down: true}); !errors.Is(err, fault.ErrNotRunning) {
			t.Errorf("%s on a service that is down gave %v, want ErrNotRunning", kind.Name, err)
		}
	}
}
