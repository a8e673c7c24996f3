package engine

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/system"
)

func TestKillStartAndStop(t *testing.T) {
	ctx, e := with(t)
	id := create(t, nil, "wait")
	if state, err := e.Inspect(ctx, id); err != nil || state.Running || !state.StartedAt.IsZero() || !state.FinishedAt.IsZero() {
		t.Errorf("created: state %+v, error %v", state, err)
	}
	if err := e.Kill(ctx, id, ""); !errors.Is(err, ErrNotRunning) {
		t.Errorf("kill before start: error %v, want ErrNotRunning", err)
	}
	if err := e.Start(ctx, id); err != nil {
		t.Fatal(err)
	}
	if err := e.Kill(ctx, id, ""); err != nil {
		t.Fatal(err)
	}
	if code, err := e.WaitStopped(ctx, id); code != 137 || err != nil {
		t.Errorf("killed: code %d, error %v, want 137", code, err)
	}
	state, err := e.Inspect(ctx, id)
	if err != nil || state.Running || state.ExitCode != 137 || state.FinishedAt.IsZero() || state.OOMKilled {
		t.Errorf("killed: state %+v, error %v", state, err)
	}

	if err := e.Start(ctx, id); err != nil {
		t.Fatal(err)
	}
	waitLineOfLife(t, id, 2, "ready")
	if killed, err := e.Stop(ctx, id, nil); killed || err != nil {
		t.Errorf("stop: killed %v, error %v", killed, err)
	}
	if state, err := e.Inspect(ctx, id); err != nil || state.ExitCode != 3 {
		t.Errorf("stopped: state %+v, error %v, want the program's own code 3", state, err)
	}
	for verb, err := range map[string]error{"kill": e.Kill(ctx, id, "SIGTERM"), "pause": e.Pause(ctx, id)} {
		if !errors.Is(err, ErrNotRunning) {
			t.Errorf("%s when stopped: error %v, want ErrNotRunning", verb, err)
		}
	}
}

// waitLineOfLife skips the lives before, then waits for the line.
func waitLineOfLife(t *testing.T, id string, life int, line string) {
	t.Helper()
	ctx, e := with(t)
	cursor := &Cursor{}
	for range life - 1 {
		if err := e.Logs(ctx, id, cursor, func(Line) {}); err != nil {
			t.Fatal(err)
		}
	}
	found := make(chan struct{})
	go func() {
		_ = e.Logs(ctx, id, cursor, func(got Line) {
			if got.Text == line {
				close(found)
			}
		})
	}()
	select {
	case <-found:
	case <-ctx.Done():
		t.Fatalf("no line %q in life %d", line, life)
	}
}

func TestStopKillsWhatIsDeaf(t *testing.T) {
	ctx, e := with(t)
	id := start(t, nil, "deaf")
	waitLine(t, id, "ready")
	grace := 150 * time.Millisecond
	began := time.Now()
	killed, err := e.Stop(ctx, id, &grace)
	if took := time.Since(began); !killed || err != nil || took < grace || took > 10*time.Second {
		t.Errorf("killed %v, error %v, after %v", killed, err, took)
	}
}

func TestStopSignal(t *testing.T) {
	ctx, e := with(t)
	id := start(t, func(spec *ContainerSpec) { spec.Service.StopSignal = "SIGKILL" }, "deaf")
	if killed, err := e.Stop(ctx, id, nil); killed || err != nil {
		t.Errorf("killed %v, error %v: its own stop signal should have ended it", killed, err)
	}
}

func TestPause(t *testing.T) {
	ctx, e := with(t)
	id := start(t, nil, "wait")
	if err := e.Pause(ctx, id); err != nil {
		t.Fatal(err)
	}
	if state, err := e.Inspect(ctx, id); err != nil || !state.Paused || !state.Running {
		t.Errorf("paused: state %+v, error %v", state, err)
	}
	if err := e.Unpause(ctx, id); err != nil {
		t.Fatal(err)
	}
	if state, err := e.Inspect(ctx, id); err != nil || state.Paused {
		t.Errorf("unpaused: state %+v, error %v", state, err)
	}
}

func TestDeathAtStartShowsLastLines(t *testing.T) {
	ctx, e := with(t)
	id := start(t, nil, "die", "30")
	if code, err := e.WaitStopped(ctx, id); code != 7 || err != nil {
		t.Fatalf("code %d, error %v", code, err)
	}
	lines, err := e.Tail(ctx, id, 3)
	if want := []string{"last words 28", "last words 29", "last words 30"}; err != nil || !slices.Equal(lines, want) {
		t.Errorf("lines %q, error %v, want %q", lines, err, want)
	}
}

func TestCommandThatIsNotInTheImage(t *testing.T) {
	ctx, e := with(t)
	id := create(t, func(spec *ContainerSpec) { spec.Entrypoint = []string{"/nowhere"} }, "x")
	if err := e.Start(ctx, id); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("error %v, want one that names the command", err)
	}
	if err := e.Logs(ctx, id, &Cursor{}, func(Line) {}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("logs: error %v, want ErrNotRunning", err)
	}
}

func TestContainerThatIsGone(t *testing.T) {
	ctx, e := with(t)
	id := create(t, nil)
	if err := e.Remove(ctx, id); err != nil {
		t.Fatal(err)
	}
	if err := e.Remove(ctx, id); err != nil {
		t.Errorf("remove again: %v", err)
	}
	_, inspect := e.Inspect(ctx, id)
	_, wait := e.WaitStopped(ctx, id)
	_, tail := e.Tail(ctx, id, 1)
	_, exec := e.Exec(ctx, id, ExecSpec{Command: []string{"/subject"}})
	for verb, err := range map[string]error{
		"start": e.Start(ctx, id), "kill": e.Kill(ctx, id, ""), "inspect": inspect, "wait": wait, "tail": tail, "exec": exec,
		"logs": e.Logs(ctx, id, &Cursor{}, func(Line) {}), "copy": e.CopyFrom(ctx, id, "/subject", nil),
	} {
		if !errors.Is(err, ErrNoContainer) {
			t.Errorf("%s: error %v, want ErrNoContainer", verb, err)
		}
	}
}

func TestServiceSettingsReachTheContainer(t *testing.T) {
	got := run(t, func(spec *ContainerSpec) {
		spec.Service = system.Service{
			Environment: map[string]string{"COLOUR": "red", "SIZE": "small"}, WorkingDir: "/somewhere", Hostname: "myself",
			CapDrop: []string{"ALL"}, Ulimits: []system.Ulimit{{Name: "nofile", Soft: 100, Hard: 200}},
			Tmpfs: []string{"/scratch:size=1m"}, Limits: system.Limits{Memory: 64 << 20, NanoCPUs: 500_000_000, PIDs: 50},
		}
		spec.Environment = map[string]string{"SIZE": "large"}
	}, "env")
	for _, want := range []string{"COLOUR=red", "SIZE=large", "HOSTNAME=myself"} {
		if !slices.Contains(strings.Split(got, "\n"), want) {
			t.Errorf("no %s in the environment:\n%s", want, got)
		}
	}
	ctx, e := with(t)
	id := create(t, func(spec *ContainerSpec) {
		spec.Service = system.Service{
			Limits: system.Limits{Memory: 64 << 20, NanoCPUs: 500_000_000, PIDs: 50}, User: "12:34", WorkingDir: "/somewhere",
			Restart: system.RestartPolicy{Name: "on-failure", MaxRetries: 2}, Ulimits: []system.Ulimit{{Name: "nofile", Soft: 100, Hard: 200}},
			Sysctls: map[string]string{"net.core.somaxconn": "77"}, Labels: map[string]string{"its": "own"},
		}
	})
	inspected, err := e.api.ContainerInspect(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	host := inspected.HostConfig
	if host.Memory != 64<<20 || host.NanoCPUs != 500_000_000 || *host.PidsLimit != 50 || host.RestartPolicy.MaximumRetryCount != 2 ||
		host.Ulimits[0].Hard != 200 || host.Sysctls["net.core.somaxconn"] != "77" || inspected.Config.User != "12:34" ||
		inspected.Config.Labels["its"] != "own" || inspected.Config.Labels[testLabel] != session || string(host.NetworkMode) != "none" {
		t.Errorf("host config %+v\nconfig %+v", host, inspected.Config)
	}
}

func TestPortsArePublishedOnlyWhenAsked(t *testing.T) {
	ctx, e := with(t)
	network := testNetwork(t)
	for _, publish := range []bool{false, true} {
		id := start(t, func(spec *ContainerSpec) {
			spec.Service.Ports = []system.Port{{Target: 80, HostIP: "127.0.0.1"}}
			spec.Networks = []system.Attachment{{Network: network}}
			spec.Publish = publish
		}, "wait")
		state, err := e.Inspect(ctx, id)
		if err != nil || (state.Ports["80/tcp"] != "") != publish {
			t.Errorf("publish %v: ports %v, error %v", publish, state.Ports, err)
		}
	}
}

func testNetwork(t *testing.T) string {
	t.Helper()
	ctx, e := with(t)
	network := name("net")
	if err := e.CreateNetwork(ctx, network, system.Network{}, labels()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.RemoveNetwork(ctx, network); err != nil {
			t.Error(err)
		}
	})
	return network
}

func TestAliasesSurviveADisconnection(t *testing.T) {
	ctx, e := with(t)
	front, back := testNetwork(t), testNetwork(t)
	attached := []system.Attachment{
		{Network: front, Aliases: []string{"web", "www"}},
		{Network: back, Aliases: []string{"web-inside"}},
	}
	web := start(t, func(spec *ContainerSpec) { spec.Networks = attached }, "wait")
	asker := start(t, func(spec *ContainerSpec) {
		spec.Networks = []system.Attachment{{Network: front}, {Network: back}}
	}, "wait")
	resolves := func(name string) string {
		result, err := e.Exec(ctx, asker, ExecSpec{Command: []string{"/subject", "resolve", name}})
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(result.Stdout)
	}
	check := func(when string) {
		t.Helper()
		state, err := e.Inspect(ctx, web)
		if err != nil {
			t.Fatal(err)
		}
		for alias, network := range map[string]string{"web": front, "www": front, "web-inside": back} {
			if got := resolves(alias); got == "" || got != state.Addresses[network] {
				t.Errorf("%s: %s resolves to %q, want %q", when, alias, got, state.Addresses[network])
			}
		}
	}
	check("at first")
	for _, attachment := range attached {
		if err := e.Disconnect(ctx, web, attachment.Network); err != nil {
			t.Fatal(err)
		}
	}
	if state, err := e.Inspect(ctx, web); err != nil || len(state.Networks) != 0 {
		t.Errorf("disconnected: networks %v, error %v", state.Networks, err)
	}
	if got := resolves("web"); got != "" {
		t.Errorf("disconnected: web still resolves to %s", got)
	}
	for _, attachment := range attached {
		if err := e.Connect(ctx, web, attachment); err != nil {
			t.Fatal(err)
		}
	}
	check("connected again")
}

func TestFixedAddress(t *testing.T) {
	ctx, e := with(t)
	network := name("net")
	subnet := system.Subnet{Subnet: "10.213.77.0/24"}
	if err := e.CreateNetwork(ctx, network, system.Network{Internal: true, Subnets: []system.Subnet{subnet}}, labels()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.RemoveNetwork(ctx, network) })
	id := start(t, func(spec *ContainerSpec) {
		spec.Networks = []system.Attachment{{Network: network, IPv4: "10.213.77.9"}}
	}, "wait")
	if state, err := e.Inspect(ctx, id); err != nil || state.Addresses[network] != "10.213.77.9" {
		t.Errorf("addresses %v, error %v", state.Addresses, err)
	}
	if has, err := e.HasNetwork(ctx, network); !has || err != nil {
		t.Errorf("has network: %v, %v", has, err)
	}
	if has, err := e.HasNetwork(ctx, name("nowhere")); has || err != nil {
		t.Errorf("has a network that is not there: %v, %v", has, err)
	}
}

func TestAnonymousVolumesGoWithTheirContainer(t *testing.T) {
	ctx, e := with(t)
	id := create(t, func(spec *ContainerSpec) {
		spec.Service.Mounts = []system.Mount{{Kind: system.MountVolume, Target: "/anonymous"}}
	})
	inspected, err := e.api.ContainerInspect(ctx, id)
	if err != nil || len(inspected.Mounts) != 1 {
		t.Fatalf("mounts %+v, error %v", inspected.Mounts, err)
	}
	volume := inspected.Mounts[0].Name
	if has, err := e.HasVolume(ctx, volume); !has || err != nil {
		t.Fatalf("before: has volume %v, error %v", has, err)
	}
	if err := e.Remove(ctx, id); err != nil {
		t.Fatal(err)
	}
	if has, err := e.HasVolume(ctx, volume); has || err != nil {
		t.Errorf("after: has volume %v, error %v", has, err)
	}
}
