package run

import (
	"strings"
	"testing"
	"time"

	"github.com/killpoint/killpoint/orchestrator/history"
)

func TestDependenciesAreHonoured(t *testing.T) {
	t.Parallel()
	s := play(t, "depends.yaml")
	s.well()
	s.order(history.Event{Kind: history.Started, Service: "cache"}, history.Event{Kind: history.Started, Service: "app"})
	s.order(history.Event{Kind: history.Healthy, Service: "database"}, history.Event{Kind: history.Started, Service: "app"})
	s.order(history.Event{Kind: history.Exited, Service: "migration", Code: code(0)}, history.Event{Kind: history.Started, Service: "report"})
	// One that is not required and fails is said, and holds nobody up.
	s.order(history.Event{Kind: history.Exited, Service: "optional", Code: code(3)}, history.Event{Kind: history.Started, Service: "app"})
	s.must(history.Event{Kind: history.Warning, Text: "app is started all the same: optional, which must complete before it, exited with 3"})
	// The database becomes healthy only by what the zebra says, which nothing
	// else is said about: had it to wait its turn, neither would ever be up.
	s.order(history.Event{Kind: history.Started, Service: "zebra"}, history.Event{Kind: history.Healthy, Service: "database"})
	// Nothing starts before everything is created.
	for _, service := range []string{"app", "cache", "database", "migration", "optional", "report", "zebra"} {
		s.order(history.Event{Kind: history.Created, Service: service}, history.Event{Kind: history.Phase, Text: "starting"})
	}
}

func TestTroubleWithDependencies(t *testing.T) {
	tests := []struct {
		name      string
		variables []string
		want      []string // what the trouble says
	}{
		{"dies", []string{"EXIT=5"}, []string{"start app: database, which must be healthy before it, exited with 5", "last lines of database:", "life 1 line 3."}},
		{"is unhealthy", nil, []string{"start app: database, which must be healthy before it, is unhealthy", "life 1 line 3."}},
		{"has no check", []string{"UNCHECKED=true"}, []string{"start app: database, which must be healthy before it, has no health check", "service_started"}},
		{"does not complete", []string{"CONDITION=service_completed_successfully", "EXIT=5"}, []string{"start app: database, which must complete before it, exited with 5", "life 1 line 3."}},
		{"has no such command", []string{"COMMAND=/no/such/program"}, []string{"start database", "/no/such/program"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := play(t, "trouble.yaml", test.variables...)
			trouble := s.event(history.Event{Kind: history.Trouble})
			for _, want := range test.want {
				if !strings.Contains(trouble.Text, want) {
					t.Errorf("the trouble is %q, want it to say %q", trouble.Text, want)
				}
			}
			s.count(history.Event{Kind: history.Trouble}, 1)
			s.count(history.Event{Kind: history.Started, Service: "app"}, 0)
		})
	}
}

// What others wait for may never come, and nobody may be there to press Ctrl-C.
func TestStartingHasALimit(t *testing.T) {
	t.Parallel()
	ctx := with(t)
	sc, sys := mustLoad(t, "trouble.yaml", "CONDITION=service_completed_successfully")
	o := open(t, ctx, Options{})
	o.startLimit = 2 * time.Second
	s := watched(t, o.Run(ctx, sc, sys))
	s.must(history.Event{Kind: history.Trouble, Text: "not everything was up after 2s: app waits for database (service_completed_successfully)"})
	s.count(history.Event{Kind: history.Started, Service: "app"}, 0)
}

func TestTroubleWithImages(t *testing.T) {
	for variable, want := range map[string]string{
		"PULL_POLICY=missing": "build it first, or name one that is there",
		"PULL_POLICY=never":   "pull_policy says never",
	} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			s := play(t, "no-image.yaml", variable)
			trouble := s.event(history.Event{Kind: history.Trouble}).Text
			for _, want := range []string{want, "localhost:1/kpr-missing:1", "of app"} {
				if !strings.Contains(trouble, want) {
					t.Errorf("the trouble is %q, want it to say %q", trouble, want)
				}
			}
			s.count(history.Event{Kind: history.Started}, 0)
		})
	}
}
