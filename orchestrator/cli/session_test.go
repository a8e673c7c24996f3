package cli

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/killpoint/killpoint/orchestrator/run"
)

// countedMachine counts how often it is closed.
type countedMachine struct {
	machine
	closed int
}

func (m *countedMachine) Close(context.Context) error {
	m.closed++
	return nil
}

// Explorations of a session share one machine, which outlives each of them and
// ends with the session, and so does the folder of its histories.
func TestSessionSharesTheMachine(t *testing.T) {
	var made []*countedMachine
	var dir string
	s := Session{connect: func(_ context.Context, options run.Options) (machine, error) {
		dir = options.Dir
		made = append(made, &countedMachine{})
		return made[len(made)-1], nil
	}}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			opened, err := s.open(t.Context(), run.Options{Dir: "of this exploration"})
			if err != nil || opened.Swept() != nil || opened.Close(t.Context()) != nil {
				t.Errorf("opened %v, %v", opened, err)
			}
		})
	}
	all.Wait()
	if len(made) != 1 || made[0].closed != 0 {
		t.Fatalf("%d machines were opened, and the first one closed %d times; want one that stays", len(made), made[0].closed)
	}
	if _, err := os.Stat(dir); err != nil || dir == "of this exploration" {
		t.Errorf("histories grow in %q, which goes with one exploration: %v", dir, err)
	}
	for range 2 {
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) || made[0].closed != 1 {
		t.Errorf("closed %d times; folder: %v", made[0].closed, err)
	}
}

// What one command alone may ask of the engine is not shared.
func TestSessionRefusesWhatIsNotForAll(t *testing.T) {
	s := Session{connect: func(context.Context, run.Options) (machine, error) {
		t.Error("it was opened")
		return nil, nil
	}}
	for _, options := range []run.Options{{Build: true}, {AllowExternal: true}} {
		if _, err := s.open(t.Context(), options); err == nil {
			t.Errorf("%+v is shared", options)
		}
	}
}

func TestSessionRunsCommandLines(t *testing.T) {
	var s Session
	var stdout, stderr bytes.Buffer
	if code := s.Run(t.Context(), &stdout, &stderr, "version"); code != 0 || !strings.Contains(stdout.String(), "killpoint") {
		t.Errorf("exit code %d, %q, %q", code, stdout.String(), stderr.String())
	}
	if code := s.Run(t.Context(), &stdout, &stderr, "explore"); code != exitUsage || !strings.Contains(stderr.String(), "which scenario") {
		t.Errorf("exit code %d, %q", code, stderr.String())
	}
}
