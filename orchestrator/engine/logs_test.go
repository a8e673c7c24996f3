package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/system"
)

// expectLife checks that these are all lines of one life, each once, those of
// a stream in order, and none of another life.
func expectLife(t *testing.T, life, count int, got []Line) {
	t.Helper()
	next := map[string]int{"stdout": 1, "stderr": 1}
	step := map[string]int{"stdout": 1, "stderr": 3}
	for _, line := range got {
		if want := fmt.Sprintf("life %d line %d", life, next[line.Stream]); line.Text != want {
			t.Fatalf("life %d: %s has %q, want %q", life, line.Stream, line.Text, want)
		}
		if line.At.IsZero() {
			t.Fatalf("life %d: line %q has no time", life, line.Text)
		}
		next[line.Stream] += step[line.Stream]
	}
	if next["stdout"] != count+1 || next["stderr"] <= count {
		t.Fatalf("life %d: read up to line %d of stdout and %d of stderr, want all of %d", life, next["stdout"]-1, next["stderr"]-3, count)
	}
}

// followLives reads so many lives while something else restarts the
// container as fast as it can.
func followLives(t *testing.T, id string, lives, count int) {
	t.Helper()
	ctx, e := with(t)
	cursor := &Cursor{}
	for life := 1; life <= lives; life++ {
		var got []Line
		var err error
		for {
			err = e.Logs(ctx, id, cursor, func(line Line) { got = append(got, line) })
			// The next life may not have begun yet.
			if !errors.Is(err, ErrNotRunning) || ctx.Err() != nil {
				break
			}
		}
		if err != nil {
			t.Fatalf("life %d: %v", life, err)
		}
		expectLife(t, life, count, got)
	}
}

func TestLogsKeepLivesApart(t *testing.T) {
	const lives, count = 10, 300
	id := create(t, nil, "lives", fmt.Sprint(count))
	ctx, e := with(t)
	restarted := make(chan error, 1)
	go func() {
		for range lives {
			if err := e.Start(ctx, id); err != nil {
				restarted <- err
				return
			}
			if _, err := e.WaitStopped(ctx, id); err != nil {
				restarted <- err
				return
			}
		}
		restarted <- nil
	}()
	followLives(t, id, lives, count)
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
	// The same again from the beginning, now that all lives are in one log.
	followLives(t, id, lives, count)
	cursor := &Cursor{}
	for range lives {
		if err := e.Logs(ctx, id, cursor, func(Line) {}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Logs(ctx, id, cursor, func(line Line) { t.Errorf("line %q after the last life", line.Text) }); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the last life: error %v, want ErrNotRunning", err)
	}
}

func TestLogsKeepLivesOfARestartPolicyApart(t *testing.T) {
	const lives, count = 4, 200
	id := start(t, func(spec *ContainerSpec) {
		spec.Service.Restart = system.RestartPolicy{Name: "always"}
	}, "lives", fmt.Sprint(count))
	followLives(t, id, lives, count)
}

func TestLogsOfALifeThatIsKilled(t *testing.T) {
	const count = 50
	id := start(t, nil, "lives", fmt.Sprint(count), "wait")
	ctx, e := with(t)
	cursor := &Cursor{}
	for life := 1; life <= 3; life++ {
		var got []Line
		killed := false
		err := e.Logs(ctx, id, cursor, func(line Line) {
			got = append(got, line)
			if !killed && len(got) > count {
				killed = true
				go func() { _ = e.Kill(ctx, id, "") }()
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		expectLife(t, life, count, got)
		if err := e.Start(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLongLinesAreJoined(t *testing.T) {
	const length = 50_000
	for _, terminal := range []bool{false, true} {
		id := start(t, func(spec *ContainerSpec) { spec.Service.TTY = terminal }, "long", fmt.Sprint(length))
		ctx, e := with(t)
		var got []Line
		if err := e.Logs(ctx, id, &Cursor{}, func(line Line) { got = append(got, line) }); err != nil {
			t.Fatal(err)
		}
		if len(got) != 2 || got[0].Text != strings.Repeat("x", length) || got[1].Text != "no newline" {
			t.Errorf("terminal %v: %d lines", terminal, len(got))
			for _, line := range got {
				t.Logf("%d bytes: %.80q", len(line.Text), line.Text)
			}
		}
	}
}

func TestLogsOfATerminal(t *testing.T) {
	const lives, count = 3, 100
	id := create(t, func(spec *ContainerSpec) { spec.Service.TTY = true }, "lives", fmt.Sprint(count))
	ctx, e := with(t)
	cursor := &Cursor{}
	for life := 1; life <= lives; life++ {
		if err := e.Start(ctx, id); err != nil {
			t.Fatal(err)
		}
		lines := 0
		err := e.Logs(ctx, id, cursor, func(line Line) {
			lines++
			if line.Stream != "stdout" || !strings.HasPrefix(line.Text, fmt.Sprintf("life %d line ", life)) || strings.HasSuffix(line.Text, "\r") {
				t.Errorf("life %d: line %+v", life, line)
			}
		})
		if want := count + (count+2)/3; err != nil || lines != want {
			t.Errorf("life %d: %d lines, error %v, want %d", life, lines, err, want)
		}
	}
}

func TestLogsEndWithTheContext(t *testing.T) {
	id := start(t, nil, "wait")
	ctx, e := with(t)
	ctx, cancel := context.WithCancel(ctx)
	err := e.Logs(ctx, id, &Cursor{}, func(Line) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
}

func TestLogsOfAContainerThatIsRemoved(t *testing.T) {
	id := start(t, nil, "wait")
	ctx, e := with(t)
	var removed error
	err := e.Logs(ctx, id, &Cursor{}, func(Line) { removed = e.Remove(ctx, id) })
	if removed != nil || err != nil && !errors.Is(err, ErrNoContainer) {
		t.Errorf("error %v, removal %v; want the end of the life or ErrNoContainer", err, removed)
	}
}

// TestLogsAreNeverCut prints more than the size at which many engines are set
// up to throw the oldest lines away.
func TestLogsAreNeverCut(t *testing.T) {
	const lines = 12 << 10
	id := start(t, nil, "flood", fmt.Sprint(lines<<10))
	ctx, e := with(t)
	got := 0
	if err := e.Logs(ctx, id, &Cursor{}, func(Line) { got++ }); err != nil || got != lines {
		t.Errorf("%d lines of %d, error %v", got, lines, err)
	}
	inspected, err := e.api.ContainerInspect(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if log := inspected.HostConfig.LogConfig; log.Type != "json-file" || log.Config["mode"] != "blocking" || log.Config["max-size"] == "" {
		t.Errorf("log config %+v", log)
	}
}
